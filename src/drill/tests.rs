//! Every kind of problem, with exactly what people see.

use proptest::prelude::*;

use super::*;

const BASE: &str = r#"version: 1
name: sample
title: A sample
service: shop
objectives: { rto: 15m }
limits:
  accounts: ["123456789012"]
  regions: [us-east-1]
  max_targets: 5
allow_irreversible: true
targets:
  web:
    resource: ec2.instance
    tags: { service: shop }
    select: { count: 1 }
  net:
    resource: vpc.subnet
    tags: { service: shop }
  db:
    resource: rds.instance
    tags: { service: shop }
    select: { count: 1 }
steady_state:
  - name: shop
    probe: http
    with: { url: "http://127.0.0.1:8080/" }
fault:
  - action: ec2.terminate-instances
    id: kill
    target: web
recovery:
  - action: rds.restore-to-point-in-time
    id: restore
    target: db
    with: { to: "-15m" }
  - action: wait
    with: { for: 1s }
verify:
  - probe: rds.instance
    with: { identifier: "${steps.restore.identifier}" }
"#;

fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(BASE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in the sample");
        text.replacen(from, to, 1)
    })
}

fn problems_with(text: &str, options: &LoadOptions) -> String {
    match load("drill.yaml", text, options) {
        Ok(_) => "no problem".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

fn problems(text: &str) -> String {
    problems_with(text, &LoadOptions::default())
}

/// One edit, and everything that is said about it.
fn says(edits: &[(&str, &str)], want: &str) {
    let got = problems(&edited(edits));
    let want = format!("{}\n\n1 problem in drill.yaml; nothing was run.", want.trim_matches('\n'));
    assert_eq!(got, want, "\n--- got\n{got}\n--- want\n{want}\n");
}

/// One edit, and the message and the hint of the one problem.
fn brief(edits: &[(&str, &str)], message: &str, hint: Option<&str>) {
    let text = edited(edits);
    let Err(found) = load("drill.yaml", &text, &LoadOptions::default()) else {
        panic!("no problem, but expected: {message}");
    };
    assert_eq!(found.problems.len(), 1, "{found}");
    assert_eq!(found.problems[0].message, message);
    assert_eq!(found.problems[0].hint.as_deref(), hint, "{found}");
}

fn loaded(text: &str) -> Loaded {
    load("drill.yaml", text, &LoadOptions::default()).unwrap_or_else(|p| panic!("{p}"))
}

#[test]
fn the_sample_loads_with_its_defaults() {
    let drill = loaded(BASE).drill;
    assert_eq!(drill.recovery[1].id.as_deref(), Some("wait"));
    assert_eq!(drill.verify[0].name, "rds.instance");
    assert_eq!(drill.steady_state[0].hold.to_string(), "1m");
    assert_eq!(drill.objectives.give_up().to_string(), "30m");
    assert_eq!(drill.verify[0].with["identifier"], "${steps.restore.identifier}");
}

#[test]
fn an_unknown_key_is_shown_where_it_stands() {
    says(
        &[(
            "    tags: { service: shop }\n    select",
            "    tagz: { service: shop }\n    where: { state: running }\n    select",
        )],
        r"
error: unknown key `tagz`
  --> drill.yaml:14:5
   |
14 |     tagz: { service: shop }
   |     ^^^^ did you mean `tags`?
",
    );
    says(
        &[("version: 1\n", "version: 1\nsevrice: shop\n")],
        r"
error: unknown key `sevrice`
 --> drill.yaml:2:1
  |
2 | sevrice: shop
  | ^^^^^^^ did you mean `service`?
",
    );
}

#[test]
fn where_no_name_is_near_all_are_listed() {
    brief(
        &[("version: 1\n", "version: 1\ncolour: red\n")],
        "unknown key `colour`",
        Some(
            "known here: description, controls, params, environments, impact, impact_timeout, stop, \
             concurrency, settle",
        ),
    );
}

#[test]
fn shapes_are_explained_in_words() {
    says(
        &[(r#"["123456789012"]"#, "[123456789012]")],
        r#"
error: `accounts`: expected text, found the number 123456789012
 --> drill.yaml:7:14
  |
7 |   accounts: [123456789012]
  |              ^^^^^^^^^^^^ in quotes it is text: "123456789012"
"#,
    );
    says(
        &[("{ rto: 15m }", "{ rto: 4 }")],
        r#"
error: `rto`: expected text, found the number 4
 --> drill.yaml:5:20
  |
5 | objectives: { rto: 4 }
  |                    ^ in quotes it is text: "4"
"#,
    );
    says(
        &[("{ rto: 15m }", "{ rto: soon }")],
        r"
error: `soon` is not a duration; write for example 30s, 15m or 4h
 --> drill.yaml:5:20
  |
5 | objectives: { rto: soon }
  |                    ^^^^
",
    );
    says(
        &[("service: shop\nobjectives", "objectives")],
        r"
error: the drill needs `service`
 --> drill.yaml:1:1
  |
1 | version: 1
  | ^^^^^^^^^^
",
    );
    brief(&[("max_targets: 5", "max_targets: -1")], "`max_targets` must be at least 0, not -1", None);
    brief(
        &[("max_targets: 5", "max_targets: 1.5")],
        "`max_targets`: expected a whole number, found the number 1.5",
        None,
    );
    brief(
        &[("max_targets: 5", "max_targets: \"5\"")],
        "`max_targets`: expected a whole number, found text",
        Some("leave the quotes out"),
    );
    brief(
        &[("resource: rds.instance", "resource: rds.instances")],
        "`resource` cannot be `rds.instances`",
        Some("did you mean `rds.instance`?"),
    );
    brief(
        &[("select: { count: 1 }\n  net", "select: one\n  net")],
        "`select` cannot be `one`",
        Some("known here: all"),
    );
    brief(
        &[("select: { count: 1 }\n  net", "select: { cuont: 1 }\n  net")],
        "unknown key `cuont`",
        Some("did you mean `count`?"),
    );
    brief(
        &[("select: { count: 1 }\n  net", "select: { count: 0 }\n  net")],
        "`count` must be at least 1",
        None,
    );
    brief(
        &[("select: { count: 1 }\n  net", "select: { percent: 101 }\n  net")],
        "`percent` must be from 1 to 100, not 101",
        None,
    );
    brief(
        &[("tags: { service: shop }", "tags: { service: { a: b } }")],
        "`service`: expected text or a number or true or false or a list, found a mapping",
        None,
    );
    brief(&[("regions: [us-east-1]", "regions: []")], "`regions` needs at least 1 in its list", None);
    brief(&[("regions: [us-east-1]", "regions:")], "`regions`: expected a list, found nothing", None);
    brief(&[("{ for: 1s }", "{ for: 1s, of: 2s }")], "unknown key `of`", None);
    brief(&[("    with: { for: 1s }\n", "")], "`wait` needs `for`", None);
    brief(&[("{ to: \"-15m\" }", "{ too: \"-15m\" }")], "unknown key `too`", Some("did you mean `to`?"));
}

#[test]
fn names_and_numbers_follow_their_rules() {
    brief(
        &[("version: 1", "version: 2")],
        "version 2 of the drill format is not known",
        Some("this redrill reads version 1"),
    );
    brief(
        &[("name: sample", "name: My_Drill")],
        "`My_Drill` is no name for a drill",
        Some("lower-case letters, digits and hyphens, at most 63"),
    );
    brief(&[("service: shop\nobj", "service: \" \"\nobj")], "`service` is empty", None);
    brief(&[("title: A sample", "title: \"\"")], "`title` is empty", None);
    brief(
        &[("123456789012", "12345678901")],
        "`12345678901` is no account",
        Some("twelve digits, in quotes"),
    );
    brief(
        &[("us-east-1", "useast1")],
        "`useast1` is no region",
        Some("for example us-east-1; `global` for CloudFront"),
    );
    brief(
        &[("us-east-1", "global")],
        "`regions` needs a region beside `global`",
        Some("a run works in one region"),
    );
    brief(&[("max_targets: 5", "max_targets: 0")], "`max_targets` must be at least 1", None);
    brief(
        &[("max_targets: 5", "max_targets: 5\n  max_percent: 0")],
        "`max_percent` must be from 1 to 100, not 0",
        None,
    );
    brief(
        &[("max_targets: 5", "max_targets: 5\n  windows: [Mon 9-17 UTC]")],
        "`9` is no time of day; write for example 13:00",
        None,
    );
    brief(&[("{ rto: 15m }", "{ rto: 0s }")], "`rto` must be more than nothing", None);
    brief(
        &[("{ rto: 15m }", "{ rto: 15m, give_up: 5m }")],
        "`give_up` (5m) comes before the objective is missed (15m)",
        Some("it is 2 × rto if left out"),
    );
    brief(
        &[("    probe: http\n", "    probe: http\n    every: 50ms\n")],
        "`every` must be at least 100ms",
        None,
    );
    brief(
        &[("allow_irreversible", "concurrency: 0\nallow_irreversible")],
        "`concurrency` must be at least 1",
        None,
    );
    brief(
        &[("allow_irreversible", "controls: [A1.3]\nallow_irreversible")],
        "a control is FRAMEWORK/CONTROL",
        Some("for example soc2/A1.3 or iso27001/A.8.13"),
    );
    brief(
        &[("id: kill", "id: Kill it")],
        "`Kill it` is no id for a step",
        Some("lower-case letters, digits, `.`, `_` and `-`, at most 64"),
    );
}

#[test]
fn selectors_say_which_and_use_attributes_that_exist() {
    says(
        &[(
            "    tags: { service: shop }\n    select: { count: 1 }\n  net",
            "    select: { count: 1 }\n  net",
        )],
        r"
error: `web` would match everything
  --> drill.yaml:12:3
   |
12 |   web:
   |   ^^^ say which with `tags` or `where`
",
    );
    brief(
        &[("tags: { service: shop }", "where: { stat: running }")],
        "`ec2.instance` has no attribute `stat`",
        Some("did you mean `state`?"),
    );
    brief(
        &[("tags: { service: shop }", "tags: { service: [] }")],
        "`service` needs at least 1 in its list",
        None,
    );
    brief(
        &[("    target: web", "    target: wbe")],
        "no selector `wbe` under `targets`",
        Some("did you mean `web`?"),
    );
    brief(
        &[("    target: web", "    target: net")],
        "`ec2.terminate-instances` takes ec2.instance, and this selects vpc.subnet",
        None,
    );
    brief(
        &[("    target: web\n", "")],
        "`ec2.terminate-instances` needs a target",
        Some("for example `target: web`"),
    );
    brief(&[("  - action: wait\n", "  - action: wait\n    target: web\n")], "`wait` takes no target", None);
    brief(
        &[("resource: vpc.subnet", "resource: cloudfront.distribution")],
        "CloudFront is global, and `limits.regions` does not list `global`",
        Some("add `global` to `limits.regions`"),
    );
}

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
fn a_drill_does_something_and_looks_at_something() {
    let (start, rest) = BASE.split_once("steady_state:").unwrap();
    let (_, recovery) = rest.split_once("fault:").unwrap();
    assert_eq!(
        problems(&format!("{start}fault:{recovery}").replace(
            "verify:\n  - probe: rds.instance\n    with: { identifier: \"${steps.restore.identifier}\" }\n",
            ""
        )),
        "error: a drill needs at least one probe under `steady_state` or `verify`\n --> drill.yaml:1:1\n  |\n1 | version: 1\n  \
         | ^^^^^^^^^^ one that looks at nothing proves nothing\n\n1 problem in drill.yaml; nothing was run."
    );
    let idle = problems(&format!("{start}steady_state:{}", rest.split_once("fault:").unwrap().0));
    assert!(idle.contains("a drill needs at least one step under `fault` or `recovery`"), "{idle}");
    brief(
        &[(
            "verify:\n",
            "verify:\n  - probe: http\n    with: { url: \"http://127.0.0.1/\" }\n    hold: 1m\n",
        )],
        "`hold` is for `steady_state` only",
        Some("a verify probe has to pass once"),
    );
    brief(
        &[("fault:\n", "  - name: shop\n    probe: tcp\n    with: { host: localhost, port: 80 }\nfault:\n")],
        "two probes under `steady_state` are called `shop`",
        Some("the other is in line 24; give one a `name`"),
    );
    brief(
        &[(
            "verify:\n",
            "stop:\n  - probe: cloudwatch.alarm\n    with: { name: a }\n    stages: [preflight]\nverify:\n",
        )],
        "nothing can be stopped in the stage `preflight`",
        Some("write fault, impact, recovery, verify or hold"),
    );
    brief(
        &[("probe: http", "probe: http\n    role: cleint")],
        "`role` cannot be `cleint`",
        Some("did you mean `client`?"),
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
fn parameters_are_typed_put_in_and_escaped() {
    let params = r#"params:
  port: { type: integer, default: 8080 }
  host: { default: "127.0.0.1" }
  every: { type: duration, default: 2s }
  token: { secret: true }
  odd: { default: "${x}" }
targets:
"#;
    let text = edited(&[
        ("targets:\n", params),
        (
            r#"{ url: "http://127.0.0.1:8080/" }"#,
            r#"{ url: "http://${params.host}:${params.port}/${params.odd}/$${y}", headers: { authorization: "${params.token}" } }"#,
        ),
        ("    probe: http\n", "    probe: http\n    every: ${params.every}\n"),
        ("title: A sample", "title: On ${params.port}, $${literally}"),
    ]);
    let set = |pairs: &[(&str, &str)]| LoadOptions {
        env: None,
        set: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    };
    let done = load("drill.yaml", &text, &set(&[("token", "s3cret"), ("port", "99")])).unwrap();
    let with = &done.drill.steady_state[0].with;
    assert_eq!(with["url"], "http://127.0.0.1:99/$${x}/$${y}");
    assert_eq!(
        refs::resolve(with["url"].as_str().unwrap(), &|_| None).unwrap(),
        "http://127.0.0.1:99/${x}/${y}"
    );
    assert_eq!(with["headers"]["authorization"], "${params.token}");
    assert_eq!(done.drill.title, "On 99, ${literally}");
    assert_eq!(done.drill.steady_state[0].every.to_string(), "2s");
    assert_eq!(done.secrets["token"], "s3cret");
    assert!(!done.params.contains_key("token"));
    assert!(!format!("{done:?}").contains("s3cret"), "a secret never shows itself");

    let found = problems_with(&text, &set(&[("prot", "1"), ("port", "x"), ("every", "soon")]));
    for want in [
        "error: the parameter `token` needs a value\n  --> drill.yaml:15:3\n   |\n15 |   token: { secret: true }\n   |   ^^^^^ --set token=VALUE",
        "error: --set port=x: expected a whole number\n",
        "error: --set every=soon: expected a duration such as 30s\n",
        "error: --set prot=…: the drill has no parameter `prot`\n  = did you mean `port`?",
        "4 problems in drill.yaml; nothing was run.",
    ] {
        assert!(found.contains(want), "{want}\n---\n{found}");
    }
    assert!(check("drill.yaml", &text, &LoadOptions::default()).is_ok(), "a check needs no values");

    brief(
        &[("targets:\n", "params: { a: { type: integer, default: x } }\ntargets:\n")],
        "the default of `a`: expected a whole number, found text",
        None,
    );
    brief(
        &[("targets:\n", "params: { a: { secret: true, default: x } }\ntargets:\n")],
        "a secret has no default: it would be on disk",
        Some("give it with `--set`"),
    );
    let secret = "params: { a: { secret: true } }\ntargets:\n";
    let found = problems_with(
        &edited(&[("targets:\n", secret), ("service: shop\nobj", "service: \"${params.a}\"\nobj")]),
        &set(&[("a", "x")]),
    );
    assert!(found.contains("error: the secret `a` can only be used under `with`"), "{found}");
    let found = problems_with(
        &edited(&[("targets:\n", secret), ("fault:\n", "fault:\n  - manual: Type ${params.a}\n")]),
        &set(&[("a", "x")]),
    );
    assert!(found.contains("error: the secret `a` would be shown to everyone"), "{found}");
}

#[test]
fn environments_merge_deep_and_limits_only_get_stricter() {
    let environments = r#"environments:
  production:
    title: For real
    objectives: { detect: 1m }
    limits:
      accounts: ["123456789012", "999999999999"]
      max_targets: 9
      max_percent: 10
      require_tags: { env: [prod-*, shared] }
      forbid_tags: { redrill: no }
      windows: ["Mon 10:00-12:00 UTC"]
    targets: { web: { tags: { env: production } } }
targets:
"#;
    let text = edited(&[
        ("targets:\n", environments),
        (
            "  max_targets: 5\n",
            "  max_targets: 5\n  require_tags: { env: [prod-1, test] }\n  forbid_tags: { redrill: never }\n  windows: [\"daily 09:00-11:00 UTC\"]\n",
        ),
    ]);
    let production = LoadOptions { env: Some("production".to_owned()), set: vec![] };
    let drill = load("drill.yaml", &text, &production).unwrap_or_else(|p| panic!("{p}")).drill;
    assert_eq!((drill.title.as_str(), drill.objectives.rto.to_string().as_str()), ("For real", "15m"));
    assert_eq!(drill.objectives.detect.unwrap().to_string(), "1m");
    assert_eq!(drill.limits.accounts, ["123456789012"], "no account is added");
    assert_eq!((drill.limits.max_targets, drill.limits.max_percent), (5, Some(10)), "no number grows");
    assert_eq!(drill.limits.require_tags["env"].values(), ["prod-1"], "both must hold");
    assert_eq!(drill.limits.forbid_tags["redrill"].values(), ["never", "no"], "either is enough");
    assert_eq!(drill.limits.windows, ["daily 09:00-11:00 UTC and Mon 10:00-12:00 UTC"]);
    assert_eq!(drill.targets["web"].tags.len(), 2);
    assert!(drill.environments.is_empty());
    assert_eq!(loaded(&text).drill.title, "A sample");

    let found = problems_with(&text, &LoadOptions { env: Some("prodution".to_owned()), set: vec![] });
    assert_eq!(
        found,
        "error: --env prodution: no such environment\n  = did you mean `production`?\n\n1 problem in drill.yaml; nothing was run."
    );
    // an environment is checked even where it is not chosen, and its problems stand where it stands
    says(
        &[("targets:\n", "environments:\n  staging:\n    titel: x\ntargets:\n")],
        r"
error: unknown key `titel`
  --> drill.yaml:13:5
   |
13 |     titel: x
   |     ^^^^^ did you mean `title`?
",
    );
    brief(
        &[(
            "targets:\n",
            "environments: { other: { limits: { accounts: [\"999999999999\"] } } }\ntargets:\n",
        )],
        "none of the drill's `accounts` is left: limits can only get stricter",
        Some("the drill allows 123456789012"),
    );
    brief(
        &[("targets:\n", "environments: { other: { name: x } }\ntargets:\n")],
        "an environment cannot change `name`",
        None,
    );
}

#[test]
fn all_problems_at_once_in_the_order_of_the_file() {
    let text = edited(&[
        ("name: sample", "name: Sample"),
        (
            "tags: { service: shop }\n    select: { count: 1 }\n  net",
            "tagz: { service: shop }\n    where: { stat: running }\n  net",
        ),
        ("probe: http", "probe: htttp"),
        ("target: web", "target: wbe"),
        ("{ for: 1s }", "{ for: soon }"),
        ("restore.identifier", "restore.identifer"),
    ]);
    let found = load("drill.yaml", &text, &LoadOptions::default()).unwrap_err();
    let lines: Vec<Option<usize>> = found.problems.iter().map(|p| p.line).collect();
    assert_eq!(lines, [Some(2), Some(14), Some(15), Some(25), Some(30), Some(37), Some(40)], "{found}");
    assert!(found.to_string().ends_with("7 problems in drill.yaml; nothing was run."));
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["file"], "drill.yaml");
    assert_eq!(
        json["problems"][1],
        serde_json::json!({"line": 14, "column": 5, "message": "unknown key `tagz`", "hint": "did you mean `tags`?"})
    );
}

#[test]
fn numbers_in_tags_are_what_was_written() {
    let drill =
        loaded(&edited(&[("tags: { service: shop }", "tags: { version: 1.10, on: true, n: 007 }")])).drill;
    let tags = &drill.targets["web"].tags;
    assert_eq!(tags["version"].values(), ["1.10"]);
    assert_eq!(tags["on"].values(), ["true"]);
    assert_eq!(tags["n"].values(), ["007"]);
}

fn shipped() -> Vec<(String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("drills");
    let files = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    files
        .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        .map(|p| (p.display().to_string(), std::fs::read_to_string(&p).unwrap()))
        .collect()
}

#[test]
fn every_shipped_drill_loads_and_every_misspelt_key_is_refused_by_walk_and_types_alike() {
    let schema = json_schema::plain();
    for (file, text) in shipped() {
        load(&file, &text, &LoadOptions::default()).unwrap_or_else(|p| panic!("{p}"));
        let mut report = Report::new(&text);
        let tree = parse::parse(&text, &mut report).unwrap();
        let mut paths = Vec::new();
        keys(&tree, &mut Vec::new(), &mut paths);
        assert!(paths.len() > 20);
        for path in paths {
            // free keys: names of selectors, tags, parameters, environments; what stands under `with` is walked by its action
            let free = matches!(
                path[..path.len() - 1].last().map(String::as_str),
                Some("targets" | "tags" | "where" | "params" | "require_tags" | "forbid_tags")
            ) || path[..path.len() - 1].iter().any(|k| k == "with");
            if free {
                continue;
            }
            let mut mutant = tree.clone();
            misspell(&mut mutant, &path);
            tags_are_text(&mut mutant);
            let mut walked = Report::new(&text);
            walk::walk(&mutant, mutant.span, "the drill", &schema, &mut walked);
            let typed = serde_json::from_value::<Drill>(mutant.to_value());
            assert!(!walked.is_empty() && typed.is_err(), "{file}: {path:?} {typed:?}");
        }
    }
}

fn keys(node: &Node, path: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
    for (n, item) in node.items().iter().enumerate() {
        path.push(n.to_string());
        keys(item, path, out);
        path.pop();
    }
    for (key, value) in node.entries() {
        path.push(key.text.clone());
        out.push(path.clone());
        keys(value, path, out);
        path.pop();
    }
}

fn misspell(node: &mut Node, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    match &mut node.data {
        Data::List(items) => misspell(&mut items[first.parse::<usize>().unwrap()], rest),
        Data::Map(entries) => {
            let (key, value) = entries.iter_mut().find(|(k, _)| k.text == *first).unwrap();
            match rest.is_empty() {
                true => key.text.push_str("zz"),
                false => misspell(value, rest),
            }
        }
        _ => unreachable!("paths lead through lists and mappings"),
    }
}

#[test]
fn the_schema_for_editors_knows_every_action_and_probe() {
    let schema = json_schema();
    let rules = |def: &str| schema["$defs"][def]["allOf"].as_array().unwrap().len();
    assert_eq!(rules("Step"), actions::ACTIONS.len());
    assert_eq!(rules("ProbeUse"), probes::PROBES.len());
    assert_eq!(rules("StopUse"), probes::PROBES.len());
    // every reference leads somewhere
    fn refs_of(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(entries) => entries.iter().for_each(|(k, v)| match (k.as_str(), v.as_str()) {
                ("$ref", Some(target)) => out.push(target.to_owned()),
                _ => refs_of(v, out),
            }),
            Value::Array(items) => items.iter().for_each(|v| refs_of(v, out)),
            _ => {}
        }
    }
    let mut targets = Vec::new();
    refs_of(&schema, &mut targets);
    assert!(targets.len() > 20);
    for target in targets {
        assert!(schema.pointer(target.trim_start_matches('#')).is_some(), "{target}");
    }
}

#[test]
#[ignore = "writes drills/drill.schema.json"]
fn write_the_schema() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("drills/drill.schema.json");
    std::fs::write(path, format!("{}\n", serde_json::to_string_pretty(&json_schema()).unwrap())).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = problems(&text);
    }

    #[test]
    fn no_yaml_like_text_makes_it_panic(text in "([a-z]{1,3}: |- |  |\\{|\\}|\\[|\\]|\"|'|#|&a|\\*a|!x|\\||>|\n|\t|\\$\\{|\\$\\$\\{|-15m|1|é|\u{feff}|---\n){0,60}") {
        let _ = problems(&text);
    }

    #[test]
    fn no_damage_to_a_drill_makes_it_panic(at in 0usize..1200, cut in 0usize..40, put in "(\\PC|\n|\t){0,5}") {
        let chars: Vec<char> = BASE.chars().collect();
        let at = at.min(chars.len());
        let end = (at + cut).min(chars.len());
        let text: String = chars[..at].iter().copied().chain(put.chars()).chain(chars[end..].iter().copied()).collect();
        let shown = problems(&text);
        prop_assert!(!shown.is_empty());
    }
}
