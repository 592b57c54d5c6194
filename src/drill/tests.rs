//! Every kind of problem, with exactly what people see.

mod edges;
mod merging;
mod schema;
mod steps;
mod texts;

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
            "known here: description, controls, exercise, params, environments, impact, impact_timeout, stop, \
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
error: `rto`: expected a duration, found the number 4
 --> drill.yaml:5:20
  |
5 | objectives: { rto: 4 }
  |                    ^ with its unit: 4s, 4m or 4h
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
        &[("allow_irreversible", "exercise: { ticket: 'https://bob:hidden@jira/x' }\nallow_irreversible")],
        "its URL has a user name or password, which would stand in the report",
        Some("leave it out"),
    );
    brief(
        &[("title: A sample", "title: 'see https://hidden@wiki/x'")],
        "its URL has a user name or password, which would stand in the report",
        Some("leave it out"),
    );
    brief(
        &[("id: kill", "id: Kill it")],
        "`Kill it` is no id for a step",
        Some("lower-case letters, digits, `.`, `_` and `-`, at most 64"),
    );
}

#[test]
fn no_duration_is_without_an_end() {
    let probe = "    probe: http\n";
    let top = "allow_irreversible";
    // where it stands, what is written there, the longest that is taken, and a little more
    for (from, written, longest, long) in [
        (top, "impact_timeout: %\nallow_irreversible", "24h", "25h"),
        (top, "settle: %\nallow_irreversible", "1h", "61m"),
        (probe, "    probe: http\n    every: %\n", "1h", "61m"),
        (probe, "    probe: http\n    hold: %\n", "24h", "25h"),
        (probe, "    probe: http\n    timeout: %\n", "1h", "61m"),
        (
            "recovery:\n",
            "stop:\n  - { probe: tcp, with: { host: h, port: 1 }, for: % }\nrecovery:\n",
            "24h",
            "25h",
        ),
        (
            "max_targets: 5\n",
            "max_targets: 5\n  gates: [{ probe: tcp, with: { host: h, port: 1 }, timeout: % }]\n",
            "1h",
            "61m",
        ),
        ("{ rto: 15m }", "{ rto: % }", "35d", "36d"),
        ("{ rto: 15m }", "{ rto: 15m, give_up: % }", "35d", "36d"),
        ("{ rto: 15m }", "{ rto: 15m, rpo: % }", "35d", "36d"),
        ("{ rto: 15m }", "{ rto: 15m, detect: % }", "35d", "36d"),
        ("    id: kill\n", "    id: kill\n    timeout: %\n", "35d", "36d"),
        ("recovery:\n", "recovery:\n  - { manual: Call the team, timeout: % }\n", "35d", "36d"),
        ("{ for: 1s }", "{ for: % }", "35d", "36d"),
    ] {
        let of = |duration: &str| edited(&[(from, &written.replace('%', duration))]);
        assert_eq!(problems(&of(longest)), "no problem", "{written}");
        for long in [long, "36500d", "200000000d", "106751991168d"] {
            let found = problems(&of(long));
            assert!(
                found.contains("is at most ") || found.contains("is too long"),
                "{written} {long}: {found}"
            );
            assert!(found.contains("--> drill.yaml:"), "{found}");
        }
        // given from outside it is no longer
        let param = [(top, "params: { d: { type: duration } }\nallow_irreversible")];
        let text = of("\"${params.d}\"").replacen(param[0].0, param[0].1, 1);
        let given = LoadOptions { env: None, set: vec![("d".to_owned(), "36500d".to_owned())] };
        let found = problems_with(&text, &given);
        assert!(
            found.contains("--set d=36500d: expected a duration such as 30s, at most 35 days"),
            "{found}"
        );
    }
    brief(
        &[(top, "settle: 36500d\nallow_irreversible")],
        "`36500d` is too long: a duration is at most 35 days",
        None,
    );
    brief(&[(top, "settle: 2h\nallow_irreversible")], "`settle` is at most 1h, not 2h", None);
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
        Some("the other is in line 24; give one a `name` of its own"),
    );
    // the journal knows a probe by its name alone, so it is one of a kind in the whole drill
    brief(
        &[(
            "verify:\n",
            "verify:\n  - name: shop\n    probe: tcp\n    with: { host: localhost, port: 80 }\n",
        )],
        "a probe under `steady_state` is called `shop`, too",
        Some("the other is in line 24; give one a `name` of its own"),
    );
    brief(
        &[("verify:\n", "stop:\n  - probe: rds.instance\n    with: { identifier: x }\nverify:\n")],
        "a probe under `verify` is called `rds.instance`, too",
        Some("the other is in line 42; give one a `name` of its own"),
    );
    brief(
        &[
            ("  - name: shop\n    probe: http", "  - name: \"\"\n    probe: http"),
            ("verify:\n", "verify:\n  - probe: http\n    with: { url: \"http://127.0.0.1/\" }\n"),
        ],
        "a probe under `steady_state` is called `http`, too",
        Some("the other is in line 25; give one a `name` of its own"),
    );
    let named = [(
        "verify:\n",
        "stop:\n  - name: old\n    probe: rds.instance\n    with: { identifier: x }\nverify:\n",
    )];
    assert_eq!(problems(&edited(&named)), "no problem");
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

#[test]
fn a_file_made_to_take_long_does_not() {
    let keys: String = (0..60_000).map(|n| format!("k{n}: 1\n")).collect();
    assert!(problems(&keys).contains("and 950 more"));
    let steps = "  - manual: look\n".repeat(30_000);
    brief(&[("fault:\n", &format!("fault:\n{steps}"))], "a drill has at most 500 steps", None);
    let environments: String = (0..40).map(|n| format!("  e{n}: {{ title: t }}\n")).collect();
    brief(
        &[("targets:\n", &format!("environments:\n{environments}targets:\n"))],
        "a drill has at most 32 environments",
        None,
    );
}
