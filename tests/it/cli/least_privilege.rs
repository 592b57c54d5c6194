//! `redrill iam` and what `redrill doctor` says of this machine; what AWS says is tested on the emulator.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::{Value, json};

use super::{Place, Ran, finish, shipped, text_of};

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

/// One document on stdout, and nothing else there.
fn document(ran: &Ran) -> Value {
    let all = ran.json();
    assert_eq!((ran.code, all.len()), (0, 1), "{}{}", ran.stdout, ran.stderr);
    all[0].clone()
}

fn statements(policy: &Value) -> &Vec<Value> {
    assert_eq!(policy["Version"], "2012-10-17");
    policy["Statement"].as_array().expect("statements")
}

fn actions(policy: &Value) -> Vec<&str> {
    let mut all: Vec<&str> = statements(policy).iter().flat_map(|s| texts(&s["Action"])).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn iam(place: &Place, args: &[&str]) -> Ran {
    place.run(&[&["iam", "--output", "json"], args].concat())
}

#[test]
fn the_trust_policy_names_who_may_take_the_role_on() {
    let place = Place::new();
    let drill = shipped("ec2-instance-loss");
    let own = document(&iam(&place, &[&drill, "--trust"]));
    let [statement] = &statements(&own)[..] else { panic!("{own}") };
    assert_eq!((&statement["Effect"], &statement["Action"]), (&json!("Allow"), &json!("sts:AssumeRole")));
    assert_eq!(
        texts(&statement["Principal"]["AWS"]),
        ["arn:aws:iam::000000000000:root", "arn:aws:iam::123456789012:root"]
    );
    assert_eq!(statement["Condition"], Value::Null);
    let runner = "arn:aws:iam::123456789012:role/ci";
    let strict = ["--trust", "--principal", runner, "--external-id", "a b", "--mfa"];
    let strict = document(&iam(&place, &[&[drill.as_str()], &strict[..]].concat()));
    let statement = &statements(&strict)[0];
    assert_eq!(texts(&statement["Principal"]["AWS"]), [runner]);
    assert_eq!(statement["Condition"]["StringEquals"]["sts:ExternalId"], "a b");
    assert_eq!(statement["Condition"]["Bool"]["aws:MultiFactorAuthPresent"], "true");
    // one account alone is trusted where the role is for one account alone
    let one = document(&iam(&place, &[&drill, "--trust", "--account", "123456789012"]));
    assert_eq!(texts(&statements(&one)[0]["Principal"]["AWS"]), ["arn:aws:iam::123456789012:root"]);
    let account = document(&iam(&place, &[&drill, "--trust", "--principal", "123456789012"]));
    assert_eq!(texts(&statements(&account)[0]["Principal"]["AWS"]), ["123456789012"]);
    // nobody is let in by a pattern
    for anybody in ["*", "arn:aws:iam::1:role/*", "arn:aws:iam::123456789012:role/*"] {
        let refused = place.run(&["iam", &drill, "--trust", "--principal", anybody]).exits(2);
        assert_eq!(refused.stdout, "", "{anybody}");
        assert!(refused.stderr.contains("patterns would let in others"), "{}", refused.stderr);
    }
    let loose = place.run(&["iam", &drill, "--mfa"]).exits(2);
    assert!(loose.stderr.contains("--trust"), "{}", loose.stderr);
}

#[test]
fn a_plans_policy_names_its_targets_and_a_drills_their_tags() {
    let place = Place::new();
    let drill = shipped("route-table-detach");
    place.write("plan.json", place.plan_of(&text_of(&drill)));
    let plan: Value = serde_json::from_str(&place.read("plan.json")).expect("JSON");
    let drawn = plan["plan"]["targets"].as_object().expect("targets").values().next().expect("one");
    let subnets: Vec<&str> =
        drawn["drawn"].as_array().expect("drawn").iter().filter_map(|t| t["id"].as_str()).collect();
    assert!(!subnets.is_empty());
    let policy = document(&iam(&place, &["plan.json"]));
    let on_subnets = |policy: &Value| -> Vec<String> {
        let all =
            statements(policy).iter().flat_map(|s| texts(&s["Resource"])).filter(|r| r.contains(":subnet/"));
        let mut all: Vec<String> = all.map(|r| r.split('/').nth(1).unwrap_or_default().to_owned()).collect();
        all.sort();
        all.dedup();
        all
    };
    let mut expected: Vec<String> = subnets.iter().map(|s| (*s).to_owned()).collect();
    expected.sort();
    assert_eq!(on_subnets(&policy), expected);
    let by_tag = document(&iam(&place, &[&drill]));
    assert_eq!(on_subnets(&by_tag), ["*"]);
    assert!(by_tag.to_string().contains("aws:ResourceTag/tier"), "{by_tag}");
    assert_eq!(actions(&by_tag), actions(&policy));
}

#[test]
fn each_phase_has_its_own_policy_and_undo_injects_nothing() {
    let place = Place::new();
    let drill = shipped("rds-point-in-time");
    let of = |phase: &str| document(&iam(&place, &[&drill, "--phase", phase]));
    let (plan, run, undo) = (of("plan"), of("run"), of("undo"));
    assert!(actions(&undo).contains(&"rds:DeleteDBInstance"));
    assert!(!actions(&undo).contains(&"rds:RestoreDBInstanceToPointInTime"));
    assert!(actions(&run).contains(&"rds:RestoreDBInstanceToPointInTime"));
    for action in actions(&plan) {
        let verb = action.split(':').nth(1).unwrap_or_default();
        assert!(["Describe", "Get", "List"].iter().any(|r| verb.starts_with(r)), "{action}");
    }
    for action in actions(&plan).iter().chain(&actions(&undo)) {
        assert!(actions(&run).contains(action), "{action}");
    }
    let _ = place.run(&["iam", &drill, "--phase", "fault"]).exits(2);
}

#[test]
fn a_policy_that_is_too_long_says_so_and_comes_in_parts_that_fit() {
    let place = Place::new();
    let drill = shipped("critical-service-loss");
    let ran = iam(&place, &[&drill]);
    let whole = document(&ran);
    assert!(ran.stderr.contains("a managed policy takes 6144"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("--part 1, --part 2, --part 3; for one account alone it is shorter"),
        "{}",
        ran.stderr
    );
    let mut together = Vec::new();
    for n in ["1", "2", "3"] {
        let ran = iam(&place, &[&drill, "--part", n]);
        let part = document(&ran);
        assert_eq!(ran.stderr, "");
        assert!(part.to_string().len() <= 6144, "part {n}: {}", part.to_string().len());
        together.extend(statements(&part).clone());
    }
    assert_eq!(&together, statements(&whole));
    let none = place.run(&["iam", &drill, "--part", "4"]).exits(2);
    assert_eq!(
        none.stderr,
        "redrill: there is no part 4: the policy has 3\n  hint: parts are counted from 1\n"
    );
    let _ = place.run(&["iam", &drill, "--part", "0"]).exits(2);
    let one = iam(&place, &[&drill, "--account", "123456789012"]);
    assert!(document(&one).to_string().len() < whole.to_string().len());
    let other = place.run(&["iam", &drill, "--account", "999999999999"]).exits(2);
    assert!(other.stderr.contains("`limits.accounts` names 000000000000, 123456789012"), "{}", other.stderr);
    // what fits is one part
    let small = shipped("cdn-invalidation");
    assert_eq!(document(&iam(&place, &[&small, "--part", "1"])), document(&iam(&place, &[&small])));
}

#[test]
fn a_policy_that_passes_any_role_says_so_until_the_roles_are_named() {
    let place = Place::new();
    let passed = |ran: &Ran| -> Vec<String> {
        let all = document(ran);
        let pass = statements(&all).iter().filter(|s| texts(&s["Action"]).contains(&"iam:PassRole"));
        pass.flat_map(|s| texts(&s["Resource"]).into_iter().map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    for (name, roles, said) in [
        ("ec2-instance-loss", "", true),
        ("ec2-instance-loss", "  roles: [web, teams/db]\n", false),
        ("rds-point-in-time", "", true),
        // it passes none
        ("route-table-detach", "", false),
    ] {
        let text = fs::read_to_string(shipped(name)).expect("read");
        place.write("drill.yaml", text.replacen("limits:\n", &format!("limits:\n{roles}"), 1));
        let ran = iam(&place, &["drill.yaml", "--account", "123456789012"]);
        assert_eq!(
            ran.stderr.contains("name the roles of the targets under `limits.roles`"),
            said,
            "{name}: {}",
            ran.stderr
        );
        if !roles.is_empty() {
            let here = "arn:aws:iam::123456789012:role";
            assert_eq!(passed(&ran), [format!("{here}/teams/db"), format!("{here}/web")]);
        }
    }
}

fn doctor(place: &Place, args: &[&str]) -> (i32, Value) {
    let mut command = place.command(&[&["doctor", "--output", "json"], args].concat());
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    let ran = finish(command);
    let all = ran.json();
    assert_eq!(all.len(), 1, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(all[0]["exit_code"], ran.code, "{}", ran.stdout);
    (ran.code, all[0].clone())
}

/// The state and text of a check; each that there is.
fn lines<'a>(said: &'a Value, name: &str) -> Vec<(&'a str, &'a str)> {
    let of = |c: &'a Value| Some((c["state"].as_str()?, c["text"].as_str()?));
    said["checks"].as_array().expect("checks").iter().filter(|c| c["check"] == name).filter_map(of).collect()
}

#[test]
fn without_aws_the_machine_is_looked_at_all_the_same_and_nothing_is_made() {
    let place = Place::new();
    let (code, said) = doctor(&place, &[]);
    assert_eq!(code, 5, "AWS cannot be asked");
    assert_eq!(lines(&said, "aws")[0].0, "problem");
    assert_eq!(lines(&said, "permissions"), [("not_checked", "AWS cannot be asked")]);
    assert_eq!(lines(&said, "state folder"), [("note", ".redrill is made by the first run")]);
    assert_eq!(lines(&said, "configuration")[0].0, "note");
    assert_eq!(lines(&said, "free space").len(), 1);
    assert_eq!(
        lines(&said, "signing key"),
        [("note", "none yet; made when it is first needed, or by: redrill init")]
    );
    assert_eq!(lines(&said, "runs"), [("ok", "0, none unfinished")]);
    assert!(!place.state().exists(), "a doctor makes nothing");
    let _ = place.run(&["init"]).exits(0);
    let (_, said) = doctor(&place, &[]);
    assert_eq!(lines(&said, "state folder"), [("ok", ".redrill, for its owner only")]);
    let (state, key) = lines(&said, "signing key")[0];
    assert!(state == "ok" && key.contains("SHA256:"), "{key}");
}

#[test]
fn a_hostile_state_folder_and_an_open_key_are_problems() {
    let place = Place::new();
    let _ = place.run(&["init"]).exits(0);
    let mode = |path: &std::path::Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode is set");
    };
    mode(&place.state(), 0o777);
    let (_, said) = doctor(&place, &[]);
    let (state, text) = lines(&said, "state folder")[0];
    assert!(state == "problem" && text.contains("777") && text.contains("chmod 700"), "{text}");
    mode(&place.state(), 0o755);
    let (_, said) = doctor(&place, &[]);
    assert_eq!(lines(&said, "state folder")[0].0, "note", "others can look");
    mode(&place.state(), 0o700);
    let elsewhere = place.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder");
    symlink(&elsewhere, place.state().join("runs")).expect("a link");
    let (_, said) = doctor(&place, &[]);
    let state = lines(&said, "state folder");
    assert_eq!(state.len(), 2, "{state:?}");
    assert_eq!(state[1], ("problem", ".redrill/runs is a link, and links in it are not followed"));
    assert_eq!(fs::read_dir(&elsewhere).expect("readable").count(), 0);
    mode(&place.state().join("keys/signing.pem"), 0o644);
    let (_, said) = doctor(&place, &[]);
    let (state, text) = lines(&said, "signing key")[0];
    assert!(state == "problem" && text.starts_with("others can read the key"), "{text}");
    fs::remove_dir_all(place.state()).expect("removed");
    place.write(".redrill", "a file");
    let (_, said) = doctor(&place, &[]);
    assert_eq!(lines(&said, "state folder"), [("problem", ".redrill is no folder")]);
    assert_eq!(lines(&said, "runs")[0].0, "problem");
}

#[test]
fn a_wrong_configuration_is_told_with_the_rest_and_ends_with_2() {
    let place = Place::new();
    place.write("redrill.toml", "[evidence]\nkye = \"a\"\n");
    let (code, said) = doctor(&place, &[]);
    assert_eq!(code, 2);
    let (state, text) = lines(&said, "configuration")[0];
    assert!(state == "problem" && text.starts_with("redrill.toml:2:1: unknown field `kye`"), "{text}");
    assert_eq!(lines(&said, "runs").len(), 1, "the rest is there");
    place.write("redrill.toml", "[evidence]\nkey = \"keys/none.pem\"\n");
    let (_, said) = doctor(&place, &[]);
    assert_eq!(lines(&said, "configuration"), [("ok", "redrill.toml, valid")]);
    let (state, text) = lines(&said, "signing key")[0];
    assert!(state == "problem" && text == "there is no key keys/none.pem", "{text}");
    let none = place.run(&["doctor", "none.yaml"]).exits(2);
    assert!(none.stderr.contains("none.yaml"), "{}", none.stderr);
}

#[test]
fn unfinished_runs_are_named() {
    let place = Place::new();
    let run = place.run_of(&text_of(&shipped("cdn-invalidation")), 7);
    let (_, said) = doctor(&place, &[]);
    assert_eq!(lines(&said, "runs"), [("ok", "1, none unfinished")]);
    let text = fs::read_to_string(run.journal()).expect("a journal");
    let cut: Vec<&str> = text.lines().take(3).collect();
    fs::write(run.journal(), cut.join("\n") + "\n").expect("written");
    let (_, said) = doctor(&place, &[]);
    let (state, text) = lines(&said, "runs")[0];
    assert!(state == "note" && text.ends_with(&format!("redrill rollback {}", run.id())), "{text}");
}
