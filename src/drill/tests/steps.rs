//! Steps, and references between them.

use super::*;

#[test]
fn steps_are_one_thing_each_and_stand_in_their_stage() {
    says(
        &[("action: ec2.terminate-instances", "action: ec2.terminate-instance")],
        r"
error: no action `ec2.terminate-instance`
  --> drill.yaml:28:13
   |
28 |   - action: ec2.terminate-instance
   |             ^^^^^^^^^^^^^^^^^^^^^^ did you mean `ec2.terminate-instances`?
",
    );
    brief(&[("probe: http", "probe: htttp")], "no probe `htttp`", Some("did you mean `http`?"));
    brief(
        &[("recovery:\n", "recovery:\n  - action: ec2.terminate-instances\n    target: web\n")],
        "`ec2.terminate-instances` breaks something and stands under `recovery`",
        Some("move it to `fault`"),
    );
    brief(
        &[("fault:\n", "fault:\n  - action: vpc.attach-route-table\n    target: net\n")],
        "`vpc.attach-route-table` is part of a recovery and stands under `fault`",
        Some("move it to `recovery`"),
    );
    brief(
        &[("  - action: wait\n", "  - action: wait\n    manual: wait\n")],
        "a step is one of `action`, `manual` and `parallel`",
        None,
    );
    brief(
        &[("  - action: wait\n    with: { for: 1s }\n", "  - id: nothing\n")],
        "a step needs `action`, `manual` or `parallel`",
        None,
    );
    brief(&[("fault:\n", "fault:\n  - parallel: []\n")], "`parallel` has no steps", None);
    brief(
        &[("fault:\n", "fault:\n  - parallel:\n      - parallel: []\n      - manual: look\n")],
        "`parallel` cannot stand within `parallel`",
        None,
    );
    brief(
        &[("fault:\n", "fault:\n  - id: both\n    parallel:\n      - manual: look\n")],
        "`id` belongs to the steps under `parallel`",
        None,
    );
    brief(
        &[("fault:\n", "fault:\n  - manual: look\n    target: web\n")],
        "`target` is for actions; a person reads the text of `manual`",
        None,
    );
    brief(
        &[("fault:\n", "fault:\n  - manual: \" \"\n")],
        "`manual` is empty: say what the person has to do",
        None,
    );
    brief(
        &[("fault:\n", "fault:\n  - action: wait\n    with: { for: 1s }\n")],
        "two steps are called `wait`",
        Some("the other is in line 28; give one an `id`"),
    );
    brief(
        &[("    id: kill\n", "    id: kill\n    after: keep\n")],
        "`after` is for recovery steps; a fault is always put back",
        None,
    );
    brief(
        &[("    id: restore\n", "    id: restore\n    after: none\n")],
        "`rds.restore-to-point-in-time` creates something",
        Some("say `remove` or `keep`"),
    );
    brief(
        &[("  - action: wait\n", "  - action: wait\n    after: keep\n")],
        "`wait` creates nothing that could be removed or kept",
        None,
    );
    says(
        &[("allow_irreversible: true\n", "")],
        r"
error: `ec2.terminate-instances` cannot be put back
  --> drill.yaml:27:13
   |
27 |   - action: ec2.terminate-instances
   |             ^^^^^^^^^^^^^^^^^^^^^^^ if that is meant, say `allow_irreversible: true` at the top
",
    );
}

#[test]
fn references_are_checked_before_anything_runs() {
    says(
        &[("${steps.restore.identifier}", "${steps.restore.idenifier}")],
        r#"
error: `rds.restore-to-point-in-time` has no output `idenifier`
  --> drill.yaml:40:26
   |
40 |     with: { identifier: "${steps.restore.idenifier}" }
   |                          ^^^^^^^^^^^^^^^^^^^^^^^^^^ did you mean `identifier`?
"#,
    );
    let verify = "${steps.restore.identifier}";
    brief(&[(verify, "${steps.restor.identifier}")], "no step `restor`", Some("did you mean `restore`?"));
    brief(&[(verify, "${steps.kill.id}")], "`ec2.terminate-instances` has no outputs", None);
    brief(&[(verify, "${params.x}")], "no parameter `x`", None);
    brief(&[(verify, "${param.x}")], "`${param.x}` refers to nothing", Some("did you mean `params.x`?"));
    brief(
        &[(verify, "${restore}")],
        "`${restore}` refers to nothing",
        Some("references are `params.NAME`, `steps.ID.OUTPUT` and `run.id`"),
    );
    brief(&[(verify, "${steps.restore")], "`${` without its `}`", Some("`$${` is a literal `${`"));
    brief(
        &[("title: A sample", "title: \"${run.id}\"")],
        "`run.id` can only be used under `with` and `manual`",
        None,
    );
    brief(
        &[("http://127.0.0.1:8080/", "http://${steps.restore.endpoint}/")],
        "`steady_state` is watched before any step has run",
        Some("only `verify` and later steps can refer to a step"),
    );
    let before = "fault:\n  - manual: Look at ${steps.restore.endpoint}\n    id: look\n";
    brief(&[("fault:\n", before)], "`restore` comes later", None);
    brief(
        &[("{ to: \"-15m\" }", "{ to: \"-15m\", identifier: \"${steps.restore.source}\" }")],
        "a step cannot refer to itself",
        None,
    );
    let beside = "  - parallel:\n      - manual: Look at ${steps.attach.route_table}\n      - action: vpc.attach-route-table\n        id: attach\n        target: net\n";
    let found = problems(&edited(&[("recovery:\n", &format!("recovery:\n{beside}"))]));
    assert!(found.contains("error: `attach` runs at the same time"), "{found}");
    assert!(
        found.contains("error: a reference to `attach` needs exactly one target, and `net` may draw more"),
        "{found}"
    );
    assert!(found.ends_with("2 problems in drill.yaml; nothing was run."), "{found}");
    let manual = "  - manual: Use ${steps.look.x}\n    id: use\nverify:\n";
    brief(
        &[("fault:\n", "fault:\n  - manual: Look\n    id: look\n"), ("verify:\n", manual)],
        "`look` is done by a person and has no outputs",
        None,
    );
}

#[test]
fn ids_with_dots_are_referred_to_by_the_longest_that_fits() {
    let text = edited(&[
        ("    id: restore\n", ""),
        ("${steps.restore.identifier}", "${steps.rds.restore-to-point-in-time.identifier}"),
    ]);
    assert_eq!(loaded(&text).drill.recovery[0].id.as_deref(), Some("rds.restore-to-point-in-time"));
}

#[test]
fn what_is_ended_for_good_is_replaced_for_good_and_nothing_else_is() {
    let replace =
        |with: &str| format!("recovery:\n  - action: ec2.launch-replacement\n    target: web\n{with}");
    brief(
        &[("recovery:\n", &replace("    after: remove\n"))],
        "`ec2.terminate-instances` ends its target for good, so what `ec2.launch-replacement` puts in its place has to stay",
        Some("say `after: keep`, or leave `after` out"),
    );
    let stops = ("ec2.terminate-instances", "ec2.stop-instances");
    let beside =
        "no step before it ends `web`: what `ec2.launch-replacement` launches would stand beside it for good";
    let hint =
        "add `ec2.terminate-instances` on `web` under `fault`; to try the launch alone, say `after: remove`";
    for with in ["", "    after: keep\n"] {
        brief(&[stops, ("recovery:\n", &replace(with))], beside, Some(hint));
    }
    // another selector may draw another
    let other = ("  net:\n", "  other:\n    resource: ec2.instance\n    tags: { service: shop }\n  net:\n");
    brief(
        &[other, ("recovery:\n", &replace("").replace("target: web", "target: other"))],
        "no step before it ends `other`: what `ec2.launch-replacement` launches would stand beside it for good",
        Some(
            "add `ec2.terminate-instances` on `other` under `fault`; to try the launch alone, say `after: remove`",
        ),
    );
    // a person or a program may end it, but not afterwards
    for by in ["  - manual: Terminate it\n", "  - action: command\n    with: { argv: [end, it] }\n"] {
        let before = format!("fault:\n{by}");
        loaded(&edited(&[stops, ("fault:\n", &before), ("recovery:\n", &replace(""))]));
        brief(&[stops, ("recovery:\n", &replace(by))], beside, Some(hint));
    }
    for fine in [
        [("recovery:\n", replace("")), ("kill", "kill".to_owned())],
        [("recovery:\n", replace("    after: keep\n")), ("kill", "kill".to_owned())],
        [(stops.0, stops.1.to_owned()), ("recovery:\n", replace("    after: remove\n"))],
    ] {
        let edits: Vec<(&str, &str)> = fine.iter().map(|(from, to)| (*from, to.as_str())).collect();
        loaded(&edited(&edits));
    }
    // version 0.1.0 took all of them: its bundles verify
    let old = edited(&[("recovery:\n", &replace("    after: remove\n"))]);
    assert!(check("drill.yaml", &old, &LoadOptions::default()).is_err());
    assert!(check_with(&Known::of("0.1.0"), "drill.yaml", &old, &LoadOptions::default()).is_ok());
    let own = Known::of(env!("CARGO_PKG_VERSION"));
    assert!(check_with(&own, "drill.yaml", &old, &LoadOptions::default()).is_err());
}
