//! Rules at their edges: what is just allowed, and what is not any more.

use super::*;
use crate::catalog::action::{After, Reversibility};

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

/// Nothing is wrong, or exactly this.
#[track_caller]
fn only(edits: &[(&str, &str)], wrong: Option<&str>) {
    assert_eq!(told(edits), wrong.into_iter().collect::<Vec<_>>(), "{edits:?}");
}

#[test]
fn names_are_lower_case_letters_digits_and_inner_hyphens() {
    let long = |n: usize| "x".repeat(n);
    for (name, fits) in [
        ("a", true),
        ("9-a", true),
        (&long(63), true),
        (&long(64), false),
        ("-a", false),
        ("a-", false),
        ("a_b", false),
        ("A", false),
        ("é", false),
    ] {
        let wrong = |what: &str| format!("`{name}` is no name for {what}");
        only(&[("name: sample", &format!("name: \"{name}\""))], (!fits).then(|| wrong("a drill")).as_deref());
        let environment = format!("environments: {{ \"{name}\": {{ title: t }} }}\ntargets:\n");
        only(&[("targets:\n", &environment)], (!fits).then(|| wrong("an environment")).as_deref());
        let selector = format!("  \"{name}\":\n    resource: vpc.subnet\n");
        // a selector may be called `my_subnets`
        let wrong = (!fits && name != "a_b").then(|| wrong("a selector"));
        only(&[("  net:\n    resource: vpc.subnet\n", &selector)], wrong.as_deref());
    }
    for name in ["\"\"", "a"] {
        let wrong = (name != "a").then_some("`` is no name for a drill");
        only(&[("name: sample", &format!("name: {name}"))], wrong);
    }
}

#[test]
fn an_id_begins_with_a_letter_or_a_digit() {
    let long = |n: usize| "x".repeat(n);
    for (id, fits) in [
        ("9.a_b-c", true),
        (&long(64), true),
        (&long(65), false),
        (".a", false),
        ("_a", false),
        ("aB", false),
        ("a b", false),
        ("", false),
    ] {
        let wrong = (!fits).then(|| format!("`{id}` is no id for a step"));
        only(&[("id: kill", &format!("id: \"{id}\""))], wrong.as_deref());
    }
}

#[test]
fn accounts_are_twelve_digits_and_regions_look_like_regions() {
    for (account, fits) in
        [("000000000000", true), ("0000000000000", false), ("00000000000a", false), ("٠00000000000", false)]
    {
        assert_eq!(limits::is_account(account), fits, "{account}");
    }
    for (region, fits) in [
        ("eu-west-1", true),
        ("us-gov-east-1", true),
        ("ap-southeast-12", true),
        ("global", true),
        ("globe", false),
        ("eu-1", false),
        ("eu-west", false),
        ("eu-west-", false),
        ("eu--1", false),
        ("eu-west1-1", false),
        ("EU-west-1", false),
        ("eu-west-1a", false),
        ("", false),
    ] {
        assert_eq!(limits::is_region(region), fits, "{region}");
    }
    only(&[("regions: [us-east-1]", "regions: [global, us-east-1]")], None);
    let global = "CloudFront is global, and `limits.regions` does not list `global`";
    let cdn = ("resource: vpc.subnet", "resource: cloudfront.distribution");
    only(&[cdn], Some(global));
    only(&[cdn, ("regions: [us-east-1]", "regions: [us-east-1, global]")], None);
    only(&[cdn, ("  regions: [us-east-1]\n", "")], Some("`limits` needs `regions`"));
}

#[test]
fn what_takes_no_time_is_no_time() {
    let nothing = |key: &str| format!("`{key}` must be more than nothing");
    let top = "allow_irreversible";
    for (from, to, key) in [
        (top, "impact_timeout: %\nallow_irreversible", "impact_timeout"),
        ("{ rto: 15m }", "{ rto: 15m, detect: % }", "detect"),
        ("    probe: http\n", "    probe: http\n    timeout: %\n", "timeout"),
        (
            "max_targets: 5\n",
            "max_targets: 5\n  gates: [{ probe: tcp, with: { host: h, port: 1 }, timeout: % }]\n",
            "timeout",
        ),
    ] {
        only(&[(from, &to.replace('%', "0s"))], Some(&nothing(key)));
        only(&[(from, &to.replace('%', "1s"))], None);
    }
    only(&[(top, "settle: 0s\nallow_irreversible")], None);
}

#[test]
fn an_impact_is_of_a_fault() {
    let fault = "fault:\n  - action: ec2.terminate-instances\n    id: kill\n    target: web\n";
    let wrong = Some("there is no fault whose impact could be seen");
    for none in ["", "fault: []\n"] {
        only(&[(fault, none), ("service: shop\nobj", "service: shop\nimpact: expected\nobj")], wrong);
        only(&[(fault, none)], None);
    }
    only(&[("service: shop\nobj", "service: shop\nimpact: none-expected\nobj")], None);
}

#[test]
fn a_drill_without_work_is_refused_whichever_way_it_is_written() {
    let (head, _) = BASE.split_once("steady_state:").unwrap();
    let steps = |text: &str| {
        format!("{head}steady_state:\n  - {{ probe: tcp, with: {{ host: h, port: 1 }} }}\n{text}")
    };
    let told = |text: &str| match load("drill.yaml", text, &LoadOptions::default()) {
        Ok(_) => Vec::new(),
        Err(found) => found.problems.into_iter().map(|p| p.message).collect::<Vec<_>>(),
    };
    let idle = "a drill needs at least one step under `fault` or `recovery`";
    for text in ["", "fault: []\n", "fault: []\nrecovery: []\n"] {
        assert_eq!(told(&steps(text)), [idle], "{text}");
    }
    assert_eq!(told(&steps("recovery:\n  - manual: Call\n")), NOTHING);
    // what has the wrong shape is said once
    assert_eq!(told(&steps("fault: [5]\n")), ["`fault`: expected a mapping, found the number 5"]);
    let blind = "a drill needs at least one probe under `steady_state` or `verify`";
    for looks in ["", "steady_state: []\n", "verify: []\nsteady_state: []\n"] {
        assert_eq!(told(&format!("{head}{looks}recovery:\n  - manual: Call\n")), [blind], "{looks}");
    }
    let verify = "verify:\n  - { probe: tcp, with: { host: h, port: 1 } }\nrecovery:\n  - manual: Call\n";
    assert_eq!(told(&format!("{head}{verify}")), NOTHING);
}

#[test]
fn nothing_is_stopped_before_the_fault_or_after_the_end() {
    for (stage, watched) in [
        ("preflight", false),
        ("baseline", false),
        ("fault", true),
        ("impact", true),
        ("recovery", true),
        ("verify", true),
        ("hold", true),
        ("undo", false),
    ] {
        let stop = format!(
            "stop:\n  - {{ probe: tcp, with: {{ host: h, port: 1 }}, stages: [{stage}] }}\nverify:\n"
        );
        let wrong = (!watched).then(|| format!("nothing can be stopped in the stage `{stage}`"));
        only(&[("verify:\n", &stop)], wrong.as_deref());
    }
}

#[test]
fn a_kind_of_resource_is_one_that_there_is() {
    brief(
        &[("max_targets: 5", "max_targets: 5\n  kinds: { ec2.instances: { max_targets: 1 } }")],
        "no kind of resource `ec2.instances`",
        Some("did you mean `ec2.instance`?"),
    );
    // by one of both is enough
    only(&[("    tags: { service: shop }\n", "    where: { state: running }\n")], None);
    let both = "    tags: {}\n    where: { state: running }\n";
    only(&[("    tags: { service: shop }\n", both)], None);
    only(
        &[("    tags: { service: shop }\n", "    tags: {}\n    where: {}\n")],
        Some("`web` would match everything"),
    );
    only(
        &[("    select: { count: 1 }\n  net", "    select: { count: 0 }\n  net")],
        Some("`count` must be at least 1"),
    );
}

#[test]
fn a_drill_has_five_hundred_steps_at_most_those_in_parallel_included() {
    let step = |n: usize| format!("  - {{ manual: look, id: s{n} }}\n");
    let many = |n: usize| (0..n).map(step).collect::<String>();
    let wrong = Some("a drill has at most 500 steps");
    // the sample has three of its own
    only(&[("fault:\n", &format!("fault:\n{}", many(497)))], None);
    only(&[("fault:\n", &format!("fault:\n{}", many(498)))], wrong);
    let inner = (0..498).map(|n| format!("      - {{ manual: look, id: s{n} }}\n")).collect::<String>();
    only(&[("fault:\n", &format!("fault:\n  - parallel:\n{inner}"))], wrong);
}

#[test]
fn a_step_needs_a_target_of_its_kind() {
    let no_target = ("    target: web\n", "");
    brief(
        &[no_target, ("  net:\n    resource: vpc.subnet", "  net:\n    resource: ec2.instance")],
        "`ec2.terminate-instances` needs a target",
        Some("for example `target: web` or `target: net`"),
    );
    brief(
        &[no_target, ("  web:\n    resource: ec2.instance", "  web:\n    resource: vpc.subnet")],
        "`ec2.terminate-instances` needs a target",
        Some("name a selector of ec2.instance"),
    );
    only(
        &[("  web:\n    resource: ec2.instance", "  web:\n    resource: soon")],
        Some("`resource` cannot be `soon`"),
    );
    // what an unknown action needs is not known, but its selector has to be there
    let unknown = ("action: ec2.terminate-instances", "action: colour");
    assert_eq!(
        told(&[unknown, ("target: web", "target: wbe")]),
        ["no action `colour`", "no selector `wbe` under `targets`"]
    );
    assert_eq!(told(&[unknown]), ["no action `colour`"]);
}

#[test]
fn after_says_what_becomes_of_what_was_made() {
    let restore = |after: &str| told(&[("id: restore\n", &format!("id: restore\n    after: {after}\n"))]);
    let wait =
        |after: &str| told(&[("  - action: wait\n", &format!("  - action: wait\n    after: {after}\n"))]);
    assert_eq!((restore("keep"), restore("remove"), wait("none")), (vec![], vec![], vec![]));
    assert_eq!(restore("none"), ["`rds.restore-to-point-in-time` creates something"]);
    for after in ["keep", "remove"] {
        assert_eq!(wait(after), ["`wait` creates nothing that could be removed or kept"]);
    }
    // whatever adds something beside its target says what becomes of it, and nothing else does
    for spec in actions::ACTIONS.iter().map(|a| a.spec()) {
        let adds = spec.reversibility == Reversibility::Additive;
        assert_eq!(adds, spec.after != After::None, "{}", spec.name);
    }
    for key in ["with: { a: b }", "target: web", "after: keep"] {
        let name = key.split(':').next().unwrap();
        let wrong = format!("`{name}` is for actions; a person reads the text of `manual`");
        only(&[("recovery:\n", &format!("recovery:\n  - manual: look\n    {key}\n"))], Some(&wrong));
    }
}

#[test]
fn a_step_is_one_thing_however_it_is_written() {
    let one = Some("a step is one of `action`, `manual` and `parallel`");
    for other in ["action: wait", "manual: look"] {
        let steps = format!("fault:\n  - parallel: [{{ manual: see }}]\n    {other}\n");
        only(&[("fault:\n", &steps)], one);
    }
    only(&[("fault:\n", "fault:\n  - parallel: [{ manual: see }]\n    action:\n    id:\n")], None);
    only(&[("fault:\n", "fault:\n  - parallel: see\n")], Some("`parallel`: expected a list, found text"));
    let typo = told(&[("fault:\n", "fault:\n  - acton: wait\n")]);
    assert_eq!(typo, ["unknown key `acton`"]);
    let none = told(&[("fault:\n", "fault:\n  - id: a\n  - colour: red\n")]);
    let needs = "a step needs `action`, `manual` or `parallel`";
    assert_eq!(none, [needs, needs, "unknown key `colour`"]);
    // ids are unique over all of the drill, and nobody is told of two by the names that they were given
    brief(
        &[("    id: restore\n", "    id: kill\n"), ("${steps.restore.identifier}", "x")],
        "two steps are called `kill`",
        Some("the other is in line 28; give one an `id`"),
    );
    only(&[("fault:\n", "fault:\n  - parallel: [{ manual: a }, { manual: b, id: b }]\n")], None);
}

#[test]
fn a_reference_needs_a_step_of_one_target() {
    let attach = |edits: &[(&str, &str)]| {
        let step = "recovery:\n  - action: vpc.attach-route-table\n    id: attach\n    target: net\n  \
                    - manual: See ${steps.attach.route_table}\n";
        let edits: Vec<_> = [("recovery:\n", step)].into_iter().chain(edits.iter().copied()).collect();
        told(&edits)
    };
    let many = "a reference to `attach` needs exactly one target, and `net` may draw more";
    let two = "resource: vpc.subnet\n    select: { count: 2 }";
    assert_eq!(attach(&[]), [many]);
    assert_eq!(attach(&[("resource: vpc.subnet", two)]), [many]);
    assert_eq!(attach(&[("resource: vpc.subnet", &two.replace('2', "1"))]), NOTHING);
    assert_eq!(attach(&[("max_targets: 5", "max_targets: 1")]), NOTHING);
    assert_eq!(attach(&[("max_targets: 5", "max_targets: 2")]), [many]);
}

#[test]
fn what_is_watched_from_the_start_refers_to_no_step() {
    for section in ["steady_state", "stop"] {
        let probe = "  - { name: n, probe: tcp, with: { host: \"${steps.restore.endpoint}\", port: 1 } }\n";
        let edit = match section {
            "stop" => ("verify:\n", format!("stop:\n{probe}verify:\n")),
            _ => ("steady_state:\n", format!("steady_state:\n{probe}")),
        };
        let wrong = format!("`{section}` is watched before any step has run");
        only(&[(edit.0, &edit.1)], Some(&wrong));
        let plain = edit.1.replace("${steps.restore.endpoint}", "${run.id}");
        only(&[(edit.0, &plain)], None);
    }
}

#[test]
fn every_limit_that_is_set_is_told() {
    let limits = serde_json::json!({
        "accounts": ["1", "2"], "regions": ["r"], "environment": "e", "max_targets": 5, "max_percent": 10,
        "kinds": { "ec2.instance": { "max_percent": 20 }, "rds.instance": { "max_targets": 1 } },
        "max_affected": 7, "allow_reach": ["nat-gateway"], "roles": ["web", "teams/db"], "require_tags": { "a": "b", "c": ["d", "e"] }, "forbid_tags": { "f": "g" },
        "windows": ["daily 00:00-24:00 UTC", "soon"], "freeze": ["2026-12-25 UTC", "soon"],
        "gates": [{ "probe": "http" }, { "name": "budget", "probe": "tcp" }], "approvals": 2,
    });
    let limits: Limits = serde_json::from_value(limits).expect("limits");
    let told: Vec<String> =
        limits.in_words().into_iter().map(|(what, says)| format!("{what}: {says}")).collect();
    assert_eq!(
        told,
        [
            "accounts: 1, 2",
            "regions: r",
            "environment: e",
            "targets: at most 5, and 10 % of what exists",
            "targets: ec2.instance: at most 20 % of what exists",
            "targets: rds.instance: at most 1",
            "affected: at most 7",
            "may reach: nat-gateway",
            "roles: web, teams/db",
            "must carry: a=b, c=d or e",
            "never: f=g",
            "windows: daily 00:00-24:00 UTC; soon",
            "freeze: 2026-12-25 UTC; soon",
            "gates: http, budget",
            "approvals: at least 2",
        ]
    );
    assert_eq!((limits.open().len(), limits.frozen().len()), (1, 1));
    assert_eq!(limits.open()[0].to_string(), "daily 00:00-24:00 UTC");
    assert_eq!(Limits::default().in_words(), []);
}
