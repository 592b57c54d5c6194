//! Whether the caller may do what the policy of a drill says, as IAM's own simulation answers. Reads only.
//!
//! Each statement of the policy is one question: its actions on its resources, in the context that its
//! conditions ask for. It leaves out what the simulation does not know: policies of resources and of keys,
//! policies of a session, and resource control policies. Invariant: what is not certain is never called
//! denied. "No policy allows it" is certain for a resource that has a name, for what the run makes (its names
//! cannot be known, so a policy cannot name them) and for actions that know no resources; a policy may well
//! name single ones of what is there already.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::policy::{Condition, Document, Phase, Source, Statement, grants};
use crate::catalog::{Finding, Severity};
use crate::cloud::{
    CloudError, CloudResult, ContextValue, Decision, ErrorKind, Identity, Question, Reads, Ruling,
};
use crate::model::{Tags, World};

/// Resources in one question.
const AT_ONCE: usize = 25;
/// How long all the questions may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What the simulation leaves out (IAM User Guide, "Testing IAM policies with the IAM policy simulator").
pub const NOT_COVERED: &str = "IAM's simulation covers the caller's own policies, the permissions boundary and \
     the organization's service control policies; not the policies of buckets and keys, of a session and of \
     endpoints, nor resource control policies";

/// Why a refusal of the organization's is not certain.
const ORGANIZATION: &str = "the organization's policies do not allow it as IAM's simulation asks; they may allow the \
                            call itself, which has more context";

/// What the simulation said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It could not be asked, and why.
    Not(String),
    /// The principal that was asked about, and every permission.
    Asked(String, Vec<Permission>),
}

/// One action on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Permission {
    /// For example `ec2:StopInstances`.
    pub action: String,
    /// An ARN, a pattern of ARNs, or `*`.
    pub resource: String,
    /// Whether it is allowed.
    #[serde(flatten)]
    pub state: State,
}

/// Whether something is allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "state", content = "why", rename_all = "snake_case")]
pub enum State {
    /// A policy does not allow it, or denies it.
    Denied(String),
    /// It cannot be told, and why.
    NotChecked(String),
    /// It is.
    Allowed,
}

/// Who the caller is to IAM: only users and roles have policies that can be simulated.
#[derive(Debug, PartialEq, Eq)]
enum Principal {
    User(String),
    /// A role's name; the session's ARN does not say its path.
    Role(String),
}

/// The user or role behind a caller's ARN.
fn principal(caller: &str) -> Result<Principal, String> {
    let mut parts = caller.splitn(6, ':');
    let (_, partition, service, _, account, name) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
    let (Some(partition), Some(service), Some(account), Some(name)) = (partition, service, account, name)
    else {
        return Err(format!("`{caller}` is no ARN"));
    };
    match (service, name.split('/').collect::<Vec<_>>().as_slice()) {
        (_, ["user", _, ..]) => Ok(Principal::User(format!("arn:{partition}:iam::{account}:{name}"))),
        ("sts", ["assumed-role", role, _, ..]) => Ok(Principal::Role((*role).to_owned())),
        ("iam", ["root"]) => Err("the root user has no policies that could be simulated".to_owned()),
        ("sts", ["federated-user", ..]) => Err("a federated user's session cannot be simulated".to_owned()),
        _ => Err(format!("`{caller}` is neither a user nor a role")),
    }
}

/// Asks about every permission of one phase.
pub async fn check(
    source: &Source<'_>,
    phase: Phase,
    reads: &Reads,
    identity: &Identity,
    world: World,
    region: &str,
) -> Checked {
    let who = match principal(&identity.arn) {
        Ok(Principal::User(arn)) => arn,
        Ok(Principal::Role(name)) => match role(reads, &name, identity).await {
            Ok(arn) => arn,
            Err(e) => return Checked::Not(plainly(&e, world)),
        },
        Err(why) => return Checked::Not(why),
    };
    let words = Words::of(source, phase);
    let mut known: BTreeMap<(String, String), State> = BTreeMap::new();
    let mut broken: Option<String> = None;
    let end = tokio::time::sleep(LIMIT);
    tokio::pin!(end);
    for statement in Document::plain(grants(source, phase)).statement {
        for question in questions(&statement, &who, identity, region, &words) {
            // one at a time: the account shares these calls with everybody in it
            let answer = match &broken {
                Some(why) => Err(why.clone()),
                None => tokio::select! {
                    biased;
                    answer = reads.iam.simulate(&question) => answer.map_err(|e| plainly(&e, world)),
                    () = &mut end => Err(format!("not answered within {} s", LIMIT.as_secs())),
                },
            };
            if let Err(why) = &answer {
                if known.is_empty() {
                    return Checked::Not(why.clone());
                }
                broken = Some(why.clone());
            }
            for ((action, resource), state) in states(&statement, &question, answer, &words) {
                // of two statements for the same one is enough; the worst says what to look at
                let entry = known.entry((action, resource)).or_insert_with(|| state.clone());
                *entry = entry.clone().min(state);
            }
        }
    }
    let all = known.into_iter().map(|((action, resource), state)| Permission { action, resource, state });
    Checked::Asked(who, all.collect())
}

/// The role's ARN. Who may not ask for its path may still be right without one.
async fn role(reads: &Reads, name: &str, identity: &Identity) -> CloudResult<String> {
    match reads.iam.role_arn(name).await {
        Err(e) if e.kind == ErrorKind::Denied => {
            let partition = identity.arn.split(':').nth(1).unwrap_or("aws");
            Ok(format!("arn:{partition}:iam::{}:role/{name}", identity.account))
        }
        answer => answer,
    }
}

/// Why it could not be asked.
fn plainly(e: &CloudError, world: World) -> String {
    match e.kind {
        ErrorKind::Denied => format!("the caller may not call {}", e.operation),
        ErrorKind::NotFound => {
            format!("{} does not find the caller; allow iam:GetRole, which tells a role's path", e.operation)
        }
        ErrorKind::Throttled => "IAM answers too many requests at the moment".to_owned(),
        ErrorKind::Invalid | ErrorKind::Server | ErrorKind::Unreadable | ErrorKind::Other
            if world != World::Aws =>
        {
            "this emulator does not simulate policies".to_owned()
        }
        _ => e.to_string(),
    }
}

/// The condition keys that redrill's own policies use. Of these it is known what a call has and what it lacks;
/// what depends on any other is not certain.
struct Words<'a> {
    keys: BTreeSet<String>,
    /// The planned targets' tags, by id: where a plan names them its policy needs no tags, but the caller's may.
    tags: BTreeMap<&'a str, &'a Tags>,
}

impl<'a> Words<'a> {
    fn of(source: &Source<'a>, phase: Phase) -> Self {
        let unplanned = Source {
            drill: source.drill,
            steps: source.steps.clone(),
            house: source.house,
            plan: None,
            only: source.only,
        };
        let all = grants(source, phase).into_iter().chain(grants(&unplanned, phase));
        let keys = all.flat_map(|g| g.condition.into_values().flat_map(BTreeMap::into_keys)).collect();
        let drawn = source.plan.into_iter().flat_map(|p| p.targets.values()).flat_map(|t| &t.drawn);
        Self { keys, tags: drawn.map(|t| (t.id.as_str(), &t.tags)).collect() }
    }

    /// What is known of a resource's tags, as far as any policy of redrill's asks for them.
    fn of_resource(&self, resource: &str) -> BTreeMap<String, String> {
        let id = resource.rsplit(['/', ':']).next().unwrap_or_default();
        let tags = self.tags.get(id).copied().into_iter().flatten();
        let known = tags.map(|(key, value)| (format!("aws:ResourceTag/{key}"), value.clone()));
        known.filter(|(key, _)| self.keys.contains(key)).collect()
    }
}

/// The questions of a statement: its resources in portions of the same tags.
fn questions(
    s: &Statement,
    who: &str,
    identity: &Identity,
    region: &str,
    words: &Words<'_>,
) -> Vec<Question> {
    let context = context(&s.condition, identity, region);
    let mut alike: BTreeMap<BTreeMap<String, String>, Vec<String>> = BTreeMap::new();
    for resource in s.resource.0.iter().map(|r| named(r)) {
        alike.entry(words.of_resource(&resource)).or_default().push(resource);
    }
    let mut out = Vec::new();
    for (tags, resources) in alike {
        let mut context = context.clone();
        context.extend(tags.into_iter().map(|(key, value)| (key, ContextValue::Text(value))));
        out.extend(resources.chunks(AT_ONCE).map(|some| Question {
            principal: who.to_owned(),
            actions: s.action.0.iter().cloned().collect(),
            resources: some.to_vec(),
            context: context.clone(),
        }));
    }
    out
}

/// A resource as a name: IAM's escapes stand in policies only.
fn named(resource: &str) -> String {
    resource.replace("${*}", "*").replace("${?}", "?").replace("${$}", "$")
}

/// A context in which the conditions hold, and what is so of every call of redrill's.
fn context(condition: &Condition, identity: &Identity, region: &str) -> BTreeMap<String, ContextValue> {
    let text = |v: &str| ContextValue::Text(v.to_owned());
    let mut out = BTreeMap::from([
        ("aws:RequestedRegion".to_owned(), text(region)),
        ("aws:ResourceAccount".to_owned(), text(&identity.account)),
        ("aws:SecureTransport".to_owned(), ContextValue::Bool(true)),
    ]);
    for (operator, keys) in condition {
        for (key, values) in keys {
            // EC2's two names in China: its policies have the longer one
            let own = values.0.iter().find(|v| v.ends_with(".amazonaws.com.cn"));
            let first = own.or(values.0.first()).map(String::as_str).unwrap_or_default();
            let value = match *operator {
                "StringNotLike" => continue, // a tag that is not there
                "Bool" => ContextValue::Bool(first == "true"),
                "ForAllValues:StringEquals" => ContextValue::Texts(values.0.iter().cloned().collect()),
                "StringLike" => ContextValue::Text(sample(first)),
                _ => text(first),
            };
            out.entry(key.clone()).or_insert(value);
        }
    }
    out
}

/// A text that a pattern of IAM matches.
fn sample(pattern: &str) -> String {
    let marked = pattern.replace("${*}", "\u{1}").replace("${?}", "\u{2}");
    marked.replace(['*', '?'], "x").replace('\u{1}', "*").replace('\u{2}', "?").replace("${$}", "$")
}

type Answers = Vec<((String, String), State)>;

/// What an answer says of every pair that was asked about.
fn states(s: &Statement, q: &Question, answer: Result<Vec<Decision>, String>, words: &Words<'_>) -> Answers {
    let mut told: BTreeMap<(&str, &str), State> = BTreeMap::new();
    if let Ok(decisions) = &answer {
        for d in decisions {
            told.insert((d.action.as_str(), d.resource.as_str()), state(s, d, words));
        }
    }
    let silent = match &answer {
        Ok(_) => State::NotChecked("IAM's answer leaves it out".to_owned()),
        Err(why) => State::NotChecked(why.clone()),
    };
    let pairs = q.actions.iter().flat_map(|a| q.resources.iter().map(move |r| (a, r)));
    let of = |a: &String, r: &String| told.get(&(a.as_str(), r.as_str())).unwrap_or(&silent).clone();
    pairs.map(|(a, r)| ((a.clone(), r.clone()), of(a, r))).collect()
}

fn state(s: &Statement, d: &Decision, words: &Words<'_>) -> State {
    let unknown: Vec<&str> =
        d.missing.iter().map(String::as_str).filter(|k| !words.keys.contains(*k)).collect();
    let why = match d.ruling {
        Ruling::Allowed => return State::Allowed,
        Ruling::NoPolicy => "no policy allows it",
        Ruling::Explicit => "a policy denies it",
        // Their conditions are evaluated, but IAM does not say which keys they ask for (API reference,
        // "EvaluationResult"); what a call has and the question had not denies here and nowhere else.
        Ruling::Organization => {
            return State::NotChecked(ORGANIZATION.to_owned());
        }
        Ruling::Boundary => "the permissions boundary does not allow it",
    };
    if !unknown.is_empty() {
        return State::NotChecked(format!("it depends on {}", unknown.join(", ")));
    }
    let pattern = d.resource != "*" && d.resource.contains(['*', '?']);
    let made = s.sid.starts_with("MakeItsOwn") || s.sid.starts_with("OnTheRuns");
    if d.ruling == Ruling::NoPolicy && pattern && !made {
        return State::NotChecked(
            "no policy allows it on all of them; one may on those that are used".to_owned(),
        );
    }
    State::Denied(why.to_owned())
}

impl Checked {
    /// What preflight finds: refused where something is denied, else how far it was checked.
    pub fn findings(&self, how: &str) -> Vec<Finding> {
        let subject = "permissions";
        let (who, all) = match self {
            Self::Not(why) => {
                return vec![Finding::new(Severity::Info, subject, format!("not checked: {why}"))];
            }
            Self::Asked(who, all) => (who, all),
        };
        let mut findings = Vec::new();
        let mut told = BTreeSet::new();
        for p in all {
            let State::Denied(why) = &p.state else { continue };
            if told.insert(&p.action) {
                let text = format!("{who} may not {} on {}: {why}", p.action, p.resource);
                findings.push(Finding::new(Severity::Refusal, subject, text).hint(how));
            }
        }
        for p in all.iter().filter(|p| p.state == State::NotChecked(ORGANIZATION.to_owned())) {
            if told.insert(&p.action) {
                let text = format!("{} on {}: {ORGANIZATION}", p.action, p.resource);
                findings
                    .push(Finding::new(Severity::Warning, subject, text).hint(
                        "look at the conditions of the service control policies that name this action",
                    ));
            }
        }
        let of = |state: fn(&State) -> bool| all.iter().filter(|p| state(&p.state)).count();
        let allowed = of(|s| *s == State::Allowed);
        let open: Vec<&Permission> = all.iter().filter(|p| matches!(p.state, State::NotChecked(_))).collect();
        let mut text = format!("IAM's simulation allows {allowed} of {}", all.len());
        if let Some(Permission { action, resource, state: State::NotChecked(why) }) = open.first() {
            let _ = write!(text, "; {} not checked, the first {action} on {resource}: {why}", open.len());
        }
        findings.push(Finding::new(Severity::Info, subject, text).hint(NOT_COVERED));
        findings
    }
}

#[cfg(test)]
mod tests;
