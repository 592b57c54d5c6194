//! Rules at their edges: what is just allowed, and what is not any more.

use super::*;

/// The messages about the sample with these edits.
fn told(edits: &[(&str, &str)]) -> Vec<String> {
    match load("drill.yaml", &edited(edits), &LoadOptions::default()) {
        Ok(_) => Vec::new(),
        Err(found) => found.problems.into_iter().map(|p| p.message).collect(),
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_control_has_a_framework_and_a_name() {
    for control in ["soc2", "/A1.3", "soc2/"] {
        let edit = format!("service: shop\ncontrols: [\"{control}\"]\nobj");
        assert_eq!(told(&[("service: shop\nobj", &edit)]), ["a control is FRAMEWORK/CONTROL"], "{control}");
    }
    assert_eq!(told(&[("service: shop\nobj", "service: shop\ncontrols: [soc2/A1.3]\nobj")]), NOTHING);
}

#[test]
fn giving_up_is_not_before_the_objective_is_missed() {
    assert_eq!(told(&[("{ rto: 15m }", "{ rto: 15m, give_up: 15m }")]), NOTHING);
    let early = "`give_up` (14m) comes before the objective is missed (15m)";
    assert_eq!(told(&[("{ rto: 15m }", "{ rto: 15m, give_up: 14m }")]), [early]);
}

#[test]
fn a_share_is_from_1_to_100() {
    for (percent, allowed) in [(0, false), (1, true), (100, true), (101, false)] {
        for (from, to, key) in [
            ("max_targets: 5", format!("max_targets: 5\n  max_percent: {percent}"), "max_percent"),
            (
                "max_targets: 5",
                format!("max_targets: 5\n  kinds: {{ ec2.instance: {{ max_percent: {percent} }} }}"),
                "max_percent",
            ),
            ("{ count: 1 }", format!("{{ percent: {percent} }}"), "percent"),
        ] {
            let found = told(&[(from, &to)]);
            let wrong = format!("`{key}` must be from 1 to 100, not {percent}");
            assert_eq!(found, if allowed { vec![] } else { vec![wrong] }, "{to}");
        }
    }
}

#[test]
fn a_probe_looks_ten_times_a_second_at_most() {
    let every =
        |every: &str| told(&[("    probe: http\n", &format!("    probe: http\n    every: {every}\n"))]);
    assert_eq!(every("99ms"), ["`every` must be at least 100ms"]);
    assert_eq!(every("100ms"), NOTHING);
}

#[test]
fn a_verify_probe_is_a_client() {
    let role = |role: &str| {
        told(&[("  - probe: rds.instance\n", &format!("  - probe: rds.instance\n    role: {role}\n"))])
    };
    assert_eq!(role("client"), NOTHING);
    assert_eq!(role("capacity"), ["`role` is for `steady_state` only"]);
}

#[test]
fn what_was_set_is_kept_as_written_and_a_secret_is_known_by_its_name_alone() {
    let params = "params: { port: { type: integer, default: 1 }, token: { secret: true } }\ntargets:\n";
    let text = edited(&[
        ("targets:\n", params),
        ("127.0.0.1:8080/\" }", "127.0.0.1:${params.port}/\", headers: { a: \"${params.token}\" } }"),
    ]);
    let set = [("port", "99"), ("token", "s3cret")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let loaded = load("drill.yaml", &text, &LoadOptions { env: None, set: set.to_vec() }).unwrap();
    assert_eq!(loaded.set.into_iter().collect::<Vec<_>>(), set[..1]);
    let loaded = load("drill.yaml", &text, &LoadOptions { env: None, set: set.to_vec() }).unwrap();
    let shown = format!("{loaded:?}");
    assert!(shown.contains("secrets: [\"token\"]") && !shown.contains("s3cret"), "{shown}");
}
