//! What IAM's answers come to, with answers made up.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::*;
use crate::cloud::Iam;
use crate::drill::{self, LoadOptions, Loaded};
use crate::plan::House;
use crate::sim::Sim;

const USER: &str = "arn:aws:iam::123456789012:user/drills/runner";

/// For an action and a resource: the ruling, and a condition key that is missing.
type Decide = fn(&str, &str) -> (Ruling, &'static str);

/// IAM, answering as told; what it was asked is kept.
#[derive(Default)]
struct Oracle {
    asked: Mutex<Vec<Question>>,
    decide: Option<Decide>,
    fails_after: Option<(usize, ErrorKind)>,
    role: Option<ErrorKind>,
}

#[async_trait]
impl Iam for Oracle {
    async fn role_arn(&self, name: &str) -> CloudResult<String> {
        match self.role {
            None => Ok(format!("arn:aws:iam::123456789012:role/teams/{name}")),
            Some(kind) => Err(CloudError::new("iam:GetRole", kind, "no")),
        }
    }

    async fn profile_role(&self, _profile: &str) -> CloudResult<Option<String>> {
        Ok(None)
    }

    async fn simulate(&self, question: &Question) -> CloudResult<Vec<Decision>> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(question.clone());
        if let Some((n, kind)) = self.fails_after
            && asked.len() > n
        {
            return Err(CloudError::new("iam:SimulatePrincipalPolicy", kind, "no"));
        }
        let pairs = question.actions.iter().flat_map(|a| question.resources.iter().map(move |r| (a, r)));
        let decide = |(action, resource): (&String, &String)| {
            let (ruling, missing) = self.decide.map_or((Ruling::Allowed, ""), |d| d(action, resource));
            let missing = if missing.is_empty() { Vec::new() } else { vec![missing.to_owned()] };
            Decision { action: action.clone(), resource: resource.clone(), ruling, missing }
        };
        Ok(pairs.map(decide).collect())
    }
}

fn shipped(name: &str) -> Loaded {
    let path = format!("{}/drills/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    drill::load("drill.yaml", &text, &LoadOptions::default()).unwrap()
}

async fn asked(oracle: Oracle, drill: &str, arn: &str, world: World) -> (Checked, Vec<Question>) {
    let oracle = Arc::new(oracle);
    let mut reads = Sim::new(Arc::new(crate::model::time::SystemClock)).cloud().reads;
    reads.iam = oracle.clone();
    let identity = Identity {
        account: "123456789012".to_owned(),
        arn: arn.to_owned(),
        expires_at: None,
        renewable: None,
        server_date: None,
    };
    let (loaded, house) = (shipped(drill), House::default());
    let mut source = Source::drill(&loaded.drill, &house);
    source.only = Some(("123456789012", Some("us-east-1")));
    let checked = check(&source, Phase::Run, &reads, &identity, world, "us-east-1").await;
    let questions = oracle.asked.lock().unwrap().clone();
    (checked, questions)
}

fn denied(checked: &Checked) -> Vec<&str> {
    let Checked::Asked(_, all) = checked else { panic!("{checked:?}") };
    let denied = all.iter().filter(|p| matches!(p.state, State::Denied(_)));
    denied.map(|p| p.action.as_str()).collect()
}

fn refusals(checked: &Checked) -> Vec<String> {
    let found = checked.findings("redrill iam DRILL");
    found.into_iter().filter(|f| f.severity == Severity::Refusal).map(|f| f.text).collect()
}

#[tokio::test]
async fn each_permission_of_the_policy_is_asked_about_once_and_in_its_own_context() {
    let (checked, questions) = asked(Oracle::default(), "ec2-instance-loss", USER, World::Aws).await;
    let Checked::Asked(who, all) = &checked else { panic!("{checked:?}") };
    assert_eq!(who, USER);
    assert!(all.iter().all(|p| p.state == State::Allowed));
    assert_eq!(refusals(&checked), Vec::<String>::new());
    let (loaded, house) = (shipped("ec2-instance-loss"), House::default());
    let mut source = Source::drill(&loaded.drill, &house);
    source.only = Some(("123456789012", Some("us-east-1")));
    let needed: BTreeSet<String> = grants(&source, Phase::Run).into_iter().map(|g| g.action).collect();
    assert_eq!(all.iter().map(|p| p.action.clone()).collect::<BTreeSet<_>>(), needed);
    let text = |q: &Question, key: &str| match q.context.get(key) {
        Some(ContextValue::Text(v)) => v.clone(),
        other => format!("{other:?}"),
    };
    let launch = questions.iter().find(|q| q.context.contains_key("aws:RequestTag/redrill:run")).unwrap();
    assert_eq!(text(launch, "aws:RequestTag/redrill:run"), "xxxxxxxxTxxxxxxZ-ec2-instance-loss-xxxxxx");
    let fault = questions.iter().find(|q| q.context.contains_key("aws:ResourceTag/role")).unwrap();
    assert_eq!(text(fault, "aws:ResourceTag/role"), "web");
    assert!(!fault.context.contains_key("aws:ResourceTag/redrill"), "the tag that must not be there is not");
    assert!(questions.iter().all(|q| text(q, "aws:RequestedRegion") == "us-east-1"));
    let held = questions.iter().find(|q| q.context.contains_key("aws:TagKeys")).unwrap();
    assert!(matches!(&held.context["aws:TagKeys"], ContextValue::Texts(keys) if !keys.is_empty()));
    let grant = questions.iter().find(|q| q.actions == ["kms:CreateGrant"]).unwrap();
    assert_eq!(grant.context["kms:GrantIsForAWSResource"], ContextValue::Bool(true));
}

#[test]
fn a_service_with_two_names_is_asked_about_under_its_own() {
    let identity = Identity {
        account: "123456789012".to_owned(),
        arn: USER.to_owned(),
        expires_at: None,
        renewable: None,
        server_date: None,
    };
    let passed = |names: &[&str]| {
        let names = names.iter().copied().collect();
        let key = BTreeMap::from([("iam:PassedToService".to_owned(), names)]);
        context(&Condition::from([("StringEquals", key)]), &identity, "cn-north-1")["iam:PassedToService"]
            .clone()
    };
    let text = |t: &str| ContextValue::Text(t.to_owned());
    assert_eq!(passed(&["ec2.amazonaws.com", "ec2.amazonaws.com.cn"]), text("ec2.amazonaws.com.cn"));
    assert_eq!(passed(&["ec2.amazonaws.com"]), text("ec2.amazonaws.com"));
}

#[tokio::test]
async fn what_is_denied_for_certain_refuses_and_names_action_resource_and_caller() {
    let decide = |action: &str, _: &str| match action {
        "ec2:RunInstances" => (Ruling::NoPolicy, ""),
        "ec2:DescribeInstances" => (Ruling::Boundary, ""),
        _ => (Ruling::Allowed, ""),
    };
    let oracle = Oracle { decide: Some(decide), ..Oracle::default() };
    let (checked, _) = asked(oracle, "ec2-instance-loss", USER, World::Aws).await;
    let told = refusals(&checked);
    assert_eq!(told.len(), 2, "one for each action: {told:?}");
    assert_eq!(
        told[0],
        format!("{USER} may not ec2:DescribeInstances on *: the permissions boundary does not allow it")
    );
    let made = "arn:aws:ec2:us-east-1:123456789012:instance/*: no policy allows it";
    assert_eq!(told[1], format!("{USER} may not ec2:RunInstances on {made}"));
    // on what is there already another policy may allow it by name
    let Checked::Asked(_, all) = &checked else { panic!() };
    let image = all.iter().find(|p| p.action == "ec2:RunInstances" && p.resource.contains("image/")).unwrap();
    assert!(matches!(&image.state, State::NotChecked(_)), "{image:?}");
}

#[tokio::test]
async fn what_the_organization_denies_is_a_warning_once_for_each_action() {
    let decide = |action: &str, _: &str| match action {
        "ec2:RunInstances" | "ec2:TerminateInstances" => (Ruling::Organization, ""),
        _ => (Ruling::Allowed, ""),
    };
    let oracle = Oracle { decide: Some(decide), ..Oracle::default() };
    let (checked, _) = asked(oracle, "ec2-instance-loss", USER, World::Aws).await;
    assert_eq!(refusals(&checked), Vec::<String>::new());
    let found = checked.findings("redrill iam DRILL");
    let warned: Vec<_> = found.iter().filter(|f| f.severity == Severity::Warning).collect();
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(warned[0].text.starts_with("ec2:RunInstances on arn:aws:ec2:"), "{warned:?}");
    assert!(found.last().unwrap().text.contains(" not checked, the first ec2:RunInstances"), "{found:?}");
}

#[tokio::test]
async fn what_depends_on_something_unknown_is_not_checked() {
    let decide = |_: &str, _: &str| (Ruling::Explicit, "aws:SourceIp");
    let oracle = Oracle { decide: Some(decide), ..Oracle::default() };
    let (checked, _) = asked(oracle, "cdn-invalidation", USER, World::Aws).await;
    assert_eq!(denied(&checked), Vec::<&str>::new());
    assert_eq!(refusals(&checked), Vec::<String>::new());
    let said = checked.findings("")[0].text.clone();
    assert!(
        said.starts_with("IAM's simulation allows 0 of ") && said.ends_with("it depends on aws:SourceIp"),
        "{said}"
    );
    // a tag that the policy forbids is left out on purpose: that does not make it unknown
    let decide = |_: &str, _: &str| (Ruling::Explicit, "aws:ResourceTag/redrill");
    let oracle = Oracle { decide: Some(decide), ..Oracle::default() };
    let (checked, _) = asked(oracle, "cdn-invalidation", USER, World::Aws).await;
    assert!(!denied(&checked).is_empty());
}

#[tokio::test]
async fn what_cannot_be_asked_is_said_and_never_denied() {
    let not = |checked: Checked| match checked {
        Checked::Not(why) => why,
        other => panic!("{other:?}"),
    };
    for (kind, world, why) in [
        (ErrorKind::Denied, World::Aws, "the caller may not call iam:SimulatePrincipalPolicy"),
        (ErrorKind::Denied, World::Emulator, "the caller may not call iam:SimulatePrincipalPolicy"),
        (ErrorKind::Throttled, World::Aws, "IAM answers too many requests at the moment"),
        (ErrorKind::Invalid, World::Emulator, "this emulator does not simulate policies"),
        (ErrorKind::Invalid, World::Aws, "iam:SimulatePrincipalPolicy: no"),
    ] {
        let oracle = Oracle { fails_after: Some((0, kind)), ..Oracle::default() };
        let (checked, questions) = asked(oracle, "cdn-invalidation", USER, world).await;
        assert_eq!(refusals(&checked), Vec::<String>::new());
        assert_eq!(checked.findings("")[0].text, format!("not checked: {why}"));
        assert_eq!(not(checked), why);
        assert_eq!(questions.len(), 1, "one refusal is enough");
    }
    // answers that stop half-way: what is known stays known
    let oracle = Oracle { fails_after: Some((2, ErrorKind::Throttled)), ..Oracle::default() };
    let (checked, questions) = asked(oracle, "ec2-instance-loss", USER, World::Aws).await;
    let Checked::Asked(_, all) = &checked else { panic!("{checked:?}") };
    let open = all.iter().filter(|p| matches!(p.state, State::NotChecked(_))).count();
    assert!(open > 0 && open < all.len() && questions.len() == 3, "{open} of {}", all.len());
    assert_eq!(denied(&checked), Vec::<&str>::new());
}

#[tokio::test]
async fn a_session_is_asked_about_as_its_role() {
    let session = "arn:aws:sts::123456789012:assumed-role/runner/ci";
    let (_, questions) = asked(Oracle::default(), "cdn-invalidation", session, World::Aws).await;
    assert_eq!(questions[0].principal, "arn:aws:iam::123456789012:role/teams/runner");
    let oracle = Oracle { role: Some(ErrorKind::Denied), ..Oracle::default() };
    let (_, questions) = asked(oracle, "cdn-invalidation", session, World::Aws).await;
    assert_eq!(questions[0].principal, "arn:aws:iam::123456789012:role/runner", "the path is not known");
    let gone = Oracle {
        role: Some(ErrorKind::Denied),
        fails_after: Some((0, ErrorKind::NotFound)),
        ..Oracle::default()
    };
    let (checked, _) = asked(gone, "cdn-invalidation", session, World::Aws).await;
    let why =
        "iam:SimulatePrincipalPolicy does not find the caller; allow iam:GetRole, which tells a role's path";
    assert_eq!(checked, Checked::Not(why.to_owned()));
    for (arn, why) in [
        ("arn:aws:iam::123456789012:root", "the root user has no policies that could be simulated"),
        ("arn:aws:sts::123456789012:federated-user/x", "a federated user's session cannot be simulated"),
        ("nobody", "`nobody` is no ARN"),
    ] {
        let (checked, questions) = asked(Oracle::default(), "cdn-invalidation", arn, World::Aws).await;
        assert_eq!((checked, questions.len()), (Checked::Not(why.to_owned()), 0));
    }
}

#[test]
fn callers_are_users_or_roles() {
    assert_eq!(principal(USER), Ok(Principal::User(USER.to_owned())));
    let cn = "arn:aws-cn:sts::123456789012:assumed-role/a/b";
    assert_eq!(principal(cn), Ok(Principal::Role("a".to_owned())));
    assert_eq!(sample("a*b?c${*}"), "axbxc*");
}

#[tokio::test]
async fn a_planned_target_is_asked_about_with_the_tags_that_a_drills_policy_asks_for() {
    let clock: Arc<dyn crate::model::Clock> = Arc::new(crate::model::time::SystemClock);
    let cloud = Sim::from_estate(crate::sandbox::ESTATE_JSON, Arc::clone(&clock)).unwrap().cloud();
    let loaded = shipped("ec2-instance-loss");
    let options = crate::plan::BuildOptions::new(World::Sim, cloud.region.clone());
    let plan = crate::plan::build(&loaded, &cloud.reads, clock.as_ref(), &options).await.unwrap();
    let oracle = Arc::new(Oracle::default());
    let mut reads = cloud.reads.clone();
    reads.iam = oracle.clone();
    let identity = reads.sts.identity().await.unwrap();
    let _all = check(&Source::plan(&plan), Phase::Run, &reads, &identity, World::Sim, &cloud.region).await;
    let asked = oracle.asked.lock().unwrap();
    let fault = asked.iter().find(|q| q.actions.contains(&"ec2:TerminateInstances".to_owned())).unwrap();
    assert!(!fault.resources[0].contains('*'), "{fault:?}");
    assert_eq!(fault.context["aws:ResourceTag/role"], ContextValue::Text("web".to_owned()));
    assert!(!fault.context.contains_key("aws:ResourceTag/Name"), "no policy of redrill's asks for it");
}
