//! Approvals: a plan that needs them, people who give them, and everything that does not count.

use redrill::drill::LoadOptions;
use redrill::evidence::approval::{self, Said};
use redrill::evidence::keys::PrivateKey;
use redrill::model::Clock as _;
use redrill::model::time::SystemClock;
use redrill::plan::file;

use super::{Place, Ran, os_user};

const DRILL: &str = r#"version: 1
name: approved
title: Needs two approvals
service: shop
objectives: { rto: 15m }
limits: { accounts: ["123456789012"], regions: [us-east-1], max_targets: 1, approvals: 2 }
targets: { web: { resource: ec2.instance, tags: { service: shop, role: web }, select: { count: 1 } } }
steady_state: [{ probe: http, with: { url: "http://127.0.0.1:8080/health" } }]
fault: [{ action: ec2.stop-instances, target: web }]
"#;

/// A plan, and three keys.
fn place() -> Place {
    let place = Place::new();
    place.write("plan.json", place.plan_of(DRILL));
    for name in ["ann", "ben", "eve"] {
        let _ = place.run(&["init", "--key", &format!("{name}.pem")]).exits(0);
    }
    place
}

/// Approves as the tests' own user, whatever the environment says.
fn approve(place: &Place, by: &str, key: &str, more: &[&str]) -> Ran {
    place.run(&[&["approve", "plan.json", "--yes", "--by", by, "--key", key], more].concat())
}

/// What the command leaves when another user approves on another machine.
fn approve_as(place: &Place, user: &str, by: &str, key: &str) {
    let key = PrivateKey::from_pem(&place.read(key), None).expect("a key");
    let plan = file::read(&place.read("plan.json")).expect("a plan");
    let at = SystemClock.now();
    let said = Said {
        by: by.to_owned(),
        operator: format!("{user}@elsewhere"),
        at,
        expires: at + chrono::TimeDelta::days(7),
        drill: plan.drill.name.clone(),
        note: String::new(),
    };
    let bytes = approval::seal(&key, &plan.sha256(), &said).expect("signed");
    let free = (1..).map(|n| format!("plan.approval-{n}.json")).find(|n| !place.path().join(n).exists());
    place.write(&free.expect("a number"), bytes);
}

/// How many of the two approvals count; `None` where they are enough, and AWS is asked for in vain.
fn counts(place: &Place) -> (Option<String>, String) {
    let ran = place.run(&["run", "plan.json", "--yes", "--region", "us-east-1"]);
    if ran.code == 5 {
        return (None, ran.stderr);
    }
    let ran = ran.exits(3);
    let begin = "redrill: refused: limits.approvals: the plan has ";
    let first = ran.stderr.lines().next().unwrap_or_default().to_owned();
    let has = first.strip_prefix(begin).unwrap_or_else(|| panic!("{}", ran.stderr));
    (Some(has.to_owned()), ran.stderr)
}

#[test]
fn a_plan_runs_once_enough_others_have_approved_it() {
    let place = place();
    assert_eq!(counts(&place).0.as_deref(), Some("0 of 2 approvals"));
    let approved = approve(&place, "ann", "ann.pem", &[]).exits(0);
    assert!(approved.stdout.contains("approved by ann, key SHA256:"), "{}", approved.stdout);
    assert!(approved.stderr.contains("ec2.stop-instances"), "the approver sees the plan");
    let (has, told) = counts(&place);
    assert_eq!(has.as_deref(), Some("0 of 2 approvals"), "the runner's own");
    assert!(told.contains("given by the user who runs the drill"), "{told}");
    approve_as(&place, "ann", "ann", "ann.pem");
    assert_eq!(counts(&place).0.as_deref(), Some("1 of 2 approvals"));
    approve_as(&place, "ben", "ben", "ben.pem");
    assert_eq!(counts(&place).0, None);
}

#[test]
fn one_person_one_key_and_the_runner_do_not_count() {
    let place = place();
    let _ = place.run(&["init"]).exits(0);
    approve_as(&place, "ann", "ann", "ann.pem");
    let own = os_user();
    for (user, by, key, why) in [
        ("ben", "ann", "ben.pem", "one person counts once"),
        ("ben", "ben", "ann.pem", "one person counts once"),
        ("ann", "ben", "ben.pem", "one person counts once"),
        ("ben", own.as_str(), "ben.pem", " runs the drill and cannot approve it"),
        ("ben", "ben", ".redrill/keys/signing.pem", "a key of whoever runs the drill"),
    ] {
        approve_as(&place, user, by, key);
        let (has, told) = counts(&place);
        assert_eq!(has.as_deref(), Some("1 of 2 approvals"), "{by} {key}");
        assert!(told.contains(why), "{told}");
        std::fs::remove_file(place.path().join("plan.approval-2.json")).expect("it was the second");
    }
    // the environment makes nobody another user
    let mut command = place.command(&["approve", "plan.json", "--yes", "--by", "ben", "--key", "ben.pem"]);
    command.env("USER", "ben").env("LOGNAME", "ben");
    let _ = super::finish(command).exits(0);
    let (has, told) = counts(&place);
    assert_eq!(has.as_deref(), Some("1 of 2 approvals"));
    assert!(told.contains("given by the user who runs the drill, on the same machine"), "{told}");
}

#[test]
fn a_changed_plan_and_an_expired_approval_are_void() {
    let place = place();
    let _ = approve(&place, "ann", "ann.pem", &["--valid", "1ms"]).exits(0);
    approve_as(&place, "ben", "ben", "ben.pem");
    let (has, told) = counts(&place);
    assert_eq!(has.as_deref(), Some("1 of 2 approvals"));
    assert!(told.contains("plan.approval-1.json: it expired at "), "{told}");
    place.write("plan.json", place.plan_of(&DRILL.replace("rto: 15m", "rto: 16m")));
    let (has, told) = counts(&place);
    assert_eq!(has.as_deref(), Some("0 of 2 approvals"));
    assert!(told.contains("plan.approval-2.json: it is for another plan"), "{told}");
}

#[test]
fn whoever_approves_learns_whether_it_will_count() {
    let place = place();
    let own = approve(&place, "ann", "ann.pem", &[]).exits(0).stderr;
    let says =
        format!("warning: redrill.toml lists no [[approvers]]: it does not count where {}@", os_user());
    assert!(own.contains(&says) && own.contains("approvals: 1 of 2 given"), "{own}");
}

#[test]
fn only_listed_approvers_count_and_the_list_is_part_of_the_plan() {
    let place = place();
    approve_as(&place, "ann", "ann", "ann.pem");
    approve_as(&place, "eve", "eve", "eve.pem");
    assert_eq!(counts(&place).0, None);
    let shown = place.run(&["init", "--key", "zed.pem", "--output", "json"]).exits(0).json();
    let key = shown[0]["fingerprint"].as_str().expect("a fingerprint").to_owned();
    place.write("redrill.toml", format!("[[approvers]]\nname = \"Zed\"\nkey = \"{key}\"\n"));
    let ran = place.run(&["run", "plan.json", "--yes"]).exits(3);
    assert!(ran.stderr.contains("other rules than those of this redrill.toml"), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_approved_is_refused() {
    let place = place();
    let (code, _, err) = {
        let ran = place.run(&["approve", "plan.json", "--by", "ann", "--key", "ann.pem"]);
        (ran.code, ran.stdout, ran.stderr)
    };
    assert!(code == 3 && err.contains("no terminal"), "{code} {err}");
    let missing = approve(&place, "ann", "nobody.pem", &[]).exits(2);
    assert!(missing.stderr.contains("make one: redrill init --key nobody.pem"), "{}", missing.stderr);
    let _ = approve(&place, " ", "ann.pem", &[]).exits(2);
    place.write("plan.json", place.plan_of(&DRILL.replace("role: web", "role: none")));
    let refused = approve(&place, "ann", "ann.pem", &[]).exits(3);
    assert!(refused.stderr.contains("no target"), "{}", refused.stderr);
}

#[test]
fn whoever_approves_is_told_that_secrets_are_not_covered() {
    let place = place();
    let secret = DRILL.replace("/health\" }", "/health\", headers: { X-Key: \"${params.key}\" } }")
        + "params: { key: { secret: true } }\n";
    let set = vec![("key".to_owned(), "kQ8vZ2pLr0".to_owned())];
    let loaded = redrill::drill::load("drill.yaml", &secret, &LoadOptions { env: None, set });
    place.write("plan.json", place.plan_loaded(&loaded.unwrap_or_else(|p| panic!("{p}"))));
    let approved = approve(&place, "ann", "ann.pem", &[]).exits(0);
    let told = "secret parameters (`key`), so the approval does not cover them";
    assert!(approved.stderr.contains(told), "{}", approved.stderr);
    place.write("plan.json", place.plan_of(DRILL));
    let approved = approve(&place, "ann", "ann.pem", &[]).exits(0);
    assert!(!approved.stderr.contains("secret parameters"), "{}", approved.stderr);
}
