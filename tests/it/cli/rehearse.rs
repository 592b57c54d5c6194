//! `redrill rehearse`: every shipped drill, each verdict that a rehearsal can reach, plans, JSON.

use serde_json::Value;

use super::{Place, Ran, fixture, shipped, text_of};

const SHIPPED: [&str; 6] = [
    "cdn-invalidation",
    "critical-service-loss",
    "ec2-instance-loss",
    "rds-point-in-time",
    "route-table-detach",
    "s3-object-loss",
];

#[test]
fn every_shipped_drill_passes_with_a_timeline() {
    let place = Place::new();
    for name in SHIPPED {
        let ran = place.run(&["rehearse", &shipped(name)]).exits(0);
        assert_eq!(ran.stderr, "", "{name}");
        let text = &ran.stdout;
        assert!(text.contains("\nverdict   PASSED (exit code 0)\n"), "{name}:\n{text}");
        assert!(text.contains("world: sim"), "{name}: the world is named\n{text}");
        let timeline: Vec<&str> = text.lines().take_while(|l| !l.is_empty()).collect();
        assert!(timeline.len() > 10, "{name}:\n{text}");
        for line in timeline {
            let (offset, _) = line.split_once("  ").unwrap_or_else(|| panic!("{name}: {line}"));
            assert!(offset.len() == 9 && offset.starts_with(['+', '-']), "{name}: {line}");
        }
    }
    assert!(!place.state().exists(), "a rehearsal writes nothing");
}

/// The last line, which must have every field that is promised, and the events before it.
fn result(ran: &Ran) -> (Vec<Value>, Value) {
    let mut lines = ran.json();
    let result = lines.pop().expect("a result line");
    let keys: Vec<&str> = result.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["type", "v", "run", "verdict", "rta_ms", "rta_low_ms", "rta_high_ms", "rto_ms", "exit_code"]
    );
    assert_eq!((&result["type"], &result["v"]), (&"result".into(), &1.into()));
    assert_eq!(result["exit_code"], ran.code);
    (lines, result)
}

#[test]
fn json_is_one_event_a_line_and_ends_with_the_result() {
    let place = Place::new();
    let ran = place.run(&["rehearse", &shipped("route-table-detach"), "--output", "json"]).exits(0);
    assert_eq!(ran.stderr, "");
    let (events, result) = result(&ran);
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], n, "{event}");
        assert!(event["type"].is_string() && event["at"].is_string() && event["mono_ms"].is_u64(), "{event}");
    }
    assert_eq!(events[0]["type"], "header");
    assert_eq!(events[0]["run"], result["run"]);
    assert_eq!(events[0]["world"], "sim");
    assert_eq!(events.last().map(|e| &e["type"]), Some(&"finished".into()));
    assert_eq!(result["verdict"], "passed");
    let number = |key: &str| result[key].as_i64().unwrap_or_else(|| panic!("{key} of {result}"));
    assert!(
        number("rta_low_ms") <= number("rta_ms") && number("rta_ms") <= number("rta_high_ms"),
        "{result}"
    );
    assert!(number("rta_ms") > 0 && number("rta_high_ms") <= number("rto_ms"), "{result}");
}

/// The exit code of each verdict, its word, and a part of its reason.
const VERDICTS: [(&str, i32, &str, &str); 9] = [
    ("reboot", 0, "passed", "everything is clean"),
    ("stop", 0, "passed", "no client outage"),
    ("not-steady", 4, "not-steady", "`the shop answers` is unhealthy"),
    ("missed", 10, "objective-missed", "later than the RTO of 1 min"),
    ("gave-up", 11, "not-recovered", "not recovered by give_up"),
    ("no-impact", 12, "no-impact", "no probe saw the fault"),
    ("failed", 14, "failed", "step `wait` failed"),
    ("unreadable", 15, "inconclusive", "a probe that decides could not be read: `rows`"),
    ("command", 12, "no-impact", "nothing was seen to change"),
];

#[test]
fn each_verdict_has_its_exit_code() {
    let place = Place::new();
    for (name, code, verdict, reason) in VERDICTS {
        let ran = place.run(&["rehearse", &fixture(name), "--output", "json"]).exits(code);
        let (events, result) = result(&ran);
        assert_eq!(result["verdict"], verdict, "{name}");
        let finished = events.last().expect("events");
        assert_eq!(finished["exit_code"], code);
        let reasons = finished["reasons"].to_string();
        assert!(reasons.contains(reason), "{name}: `{reason}` is not in {reasons}");
        for unit in ["0ms", "s5", "m0s"] {
            assert!(!reasons.contains(unit), "{name}: times are written for people: {reasons}");
        }
        let text = place.run(&["rehearse", &fixture(name)]).exits(code);
        let line = format!("\nverdict   {} (exit code {code})\n", verdict.to_uppercase());
        assert!(text.stdout.contains(&line), "{name}:\n{}", text.stdout);
    }
}

#[test]
fn a_refusal_says_why_and_what_to_do() {
    let place = Place::new();
    assert_eq!(
        place.run(&["rehearse", &fixture("no-targets")]).all(),
        (
            3,
            "",
            "redrill: refused: web: no target: none of the 4 ec2.instance in us-east-1 matches\n  \
             hint: check `tags` and `where` of the selector\n"
        )
    );
    assert_eq!(
        place.run(&["rehearse", &fixture("too-many")]).all(),
        (
            3,
            "",
            "redrill: refused: limits.max_targets: 2 of the 4 that exist are drawn, 1 are allowed\n  \
             hint: narrow the selectors with `select`, `tags` or `where`\n"
        )
    );
    let ran = place.run(&["rehearse", &fixture("no-targets"), "--output", "json"]).exits(3);
    let (events, result) = result(&ran);
    assert!(events.is_empty());
    assert_eq!((&result["verdict"], &result["run"]), (&"refused".into(), &Value::Null));
    // a drill that is wrong ends with a result line, too
    place.write("bad.yaml", "version: 1\n");
    let ran = place.run(&["rehearse", "bad.yaml", "--output", "json"]).exits(2);
    assert_eq!(self::result(&ran).1["verdict"], Value::Null);
}

#[test]
fn a_rehearsal_is_the_same_for_the_same_seed() {
    let place = Place::new();
    let timeline = |seed: &str| {
        let ran = place.run(&["rehearse", &fixture("missed"), "--seed", seed]).exits(10);
        let timeline = ran.stdout.lines().take_while(|l| !l.is_empty());
        // what waits names its end on the clock
        timeline
            .filter(|l| !(l.contains("until ") && l.contains(" UTC")))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(timeline("7"), timeline("7"));
}

#[test]
fn a_plan_is_rehearsed_on_a_world_made_of_its_targets() {
    let place = Place::new();
    place.write("plan.json", place.plan_of(&text_of(&shipped("rds-point-in-time"))));
    let ran = place.run(&["rehearse", "--from", "plan.json", "--output", "json"]).exits(0);
    let (events, result) = result(&ran);
    assert_eq!((&result["verdict"], &events[0]["world"]), (&"passed".into(), &"sim".into()));
    // nothing exists there beside the target: a share that the plan allows is allowed
    let share =
        text_of(&shipped("rds-point-in-time")).replacen("limits:\n", "limits:\n  max_percent: 34\n", 1);
    place.write("plan.json", place.plan_of(&share));
    let _ = place.run(&["rehearse", "--from", "plan.json"]).exits(0);
}

#[test]
fn a_frozen_day_is_no_hindrance_to_a_rehearsal_and_is_said() {
    let place = Place::new();
    let frozen = "max_targets: 300, freeze: [\"2000-01-01 to 2999-12-31 UTC\"]";
    place.write("drill.yaml", crate::play::drill("/health", CUT).replace("max_targets: 300", frozen));
    let ran = place.run(&["rehearse", "drill.yaml"]).exits(0);
    let says = "warning: limits.freeze: nothing is broken during `2000-01-01 to 2999-12-31 UTC`; a rehearsal goes on";
    assert!(ran.stderr.starts_with(says), "{}", ran.stderr);
}

const CUT: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ action: vpc.attach-route-table, target: it }]";

#[test]
fn the_world_of_a_plan_has_the_alarms_that_it_names() {
    let place = Place::new();
    let stop =
        "recovery: [{ id: restore, action: rds.restore-to-point-in-time, target: it, with: { to: -15m } }]
objectives: { rto: 1h }
targets: { it: { resource: rds.instance, tags: { role: orders }, select: { count: 1 } } }
verify: [{ name: copy, probe: rds.instance, with: { identifier: \"${steps.restore.identifier}\" } }]
stop: [{ name: errors, probe: cloudwatch.alarm, with: { name: shop-errors } }]";
    let steady = "{ probe: cloudwatch.alarm, with: { name: shop-well }, every: 10s, hold: 20s }";
    let text = crate::play::drill("/health", stop);
    let from = text.find("  - { name: shop, probe: http").expect("the page");
    let to = from + text[from..].find('\n').expect("a line");
    place.write("plan.json", place.plan_of(&format!("{}  - {steady}{}", &text[..from], &text[to..])));
    let ran = place.run(&["rehearse", "--from", "plan.json"]).exits(0);
    assert!(ran.stdout.contains("verdict   PASSED"), "{}", ran.stdout);
}

#[test]
fn a_plan_that_was_edited_is_refused() {
    let place = Place::new();
    let plan = place.plan_of(&text_of(&shipped("rds-point-in-time")));
    let edited = plan.replace("\"seed\": 7", "\"seed\": 8");
    assert_ne!(plan, edited);
    place.write("plan.json", &edited);
    for args in [&["rehearse", "--from", "plan.json"][..], &["run", "plan.json", "--yes"]] {
        let ran = place.run(args).exits(2);
        assert_eq!(ran.stdout, "");
        let said = &ran.stderr;
        assert!(
            said.starts_with("redrill: plan.json: the plan was edited after it was made: its hash is "),
            "{said}"
        );
        assert!(said.contains("Change the drill and plan again"), "{said}");
    }
    // blanks are not part of what is hashed; what is no plan is told apart
    let value: Value = serde_json::from_str(&plan).expect("JSON");
    place.write("plan.json", value.to_string());
    let _ = place.run(&["rehearse", "--from", "plan.json"]).exits(0);
    for (text, part) in
        [("", "this is no plan"), ("{}", "it has no `plan`"), ("{\"plan\":{}}", "plan.json: ")]
    {
        place.write("plan.json", text);
        let ran = place.run(&["rehearse", "--from", "plan.json"]).exits(2);
        assert!(ran.stderr.contains(part) && !ran.stderr.contains("panicked"), "{}", ran.stderr);
    }
    place.write("plan.json", [0xff, 0xfe]);
    let _ = place.run(&["rehearse", "--from", "plan.json"]).exits(2);
}

#[test]
fn what_cannot_be_rehearsed_is_wrong_usage() {
    let place = Place::new();
    let none = place.run(&["rehearse"]).exits(2);
    assert!(none.stderr.contains("name a drill file, or a plan with --from"), "{}", none.stderr);
    let _ = place.run(&["rehearse", "a.yaml", "--from", "plan.json"]).exits(2);
    place.write("world.json", "{}");
    let world = place.run(&["rehearse", &fixture("stop"), "--world", "world.json"]).exits(2);
    assert!(world.stderr.contains("the estate cannot be used"), "{}", world.stderr);
    let missing = place.run(&["rehearse", &fixture("stop"), "--world", "nowhere.json"]).exits(2);
    assert!(missing.stderr.contains("cannot read nowhere.json"), "{}", missing.stderr);
}

#[test]
fn nothing_is_run_without_a_person_or_a_yes() {
    let place = Place::new();
    let ran = place.run(&["run", &fixture("stop")]);
    assert_eq!(
        ran.all(),
        (
            3,
            "",
            "redrill: there is no terminal to ask on, and --yes was not given\n  \
             hint: look at `redrill plan`, then run with --yes\n"
        )
    );
    assert!(!place.state().exists());
}

#[cfg(not(feature = "aws"))]
#[test]
fn without_the_sdk_there_is_no_aws() {
    let place = Place::new();
    let said = "redrill: this redrill was built without the AWS SDK\n  \
                hint: build it with its default features, or rehearse the drill: redrill rehearse DRILL\n";
    for args in
        [&["run", &fixture("stop"), "--yes"][..], &["run", &fixture("stop"), "--yes", "--simulate-people"]]
    {
        assert_eq!(place.run(args).all(), (5, "", said));
    }
    assert_eq!(place.run(&["plan", &fixture("stop")]).all(), (5, "", said));
}

#[test]
fn people_are_simulated_in_a_rehearsal_and_the_journal_says_so() {
    let place = Place::new();
    let text = text_of(&fixture("reboot"))
        .replace("recovery:\n", "recovery:\n  - manual: Tell the team\n    id: tell\n");
    place.write("manual.yaml", text);
    let ran = place.run(&["rehearse", "manual.yaml", "--output", "json"]).exits(0);
    let (events, _) = result(&ran);
    let confirmed: Vec<&Value> = events.iter().filter(|e| e["type"] == "confirmed").collect();
    assert_eq!(confirmed.len(), 1);
    assert_eq!((&confirmed[0]["step"], &confirmed[0]["simulated"]), (&"tell".into(), &true.into()));
}

#[test]
fn a_plan_has_its_targets_and_takes_no_seed() {
    let place = Place::new();
    place.write("plan.json", place.plan_of(&text_of(&shipped("rds-point-in-time"))));
    let ran = place.run(&["run", "plan.json", "--yes", "--seed", "3"]).exits(2);
    assert_eq!(
        ran.stderr,
        "redrill: plan.json is a plan, which has its targets: --seed draws none\n  \
         hint: run it without --seed, or draw again: redrill plan DRILL --seed N -o plan.json\n"
    );
    let ran = place.run(&["rehearse", "--from", "plan.json", "--seed", "1"]).exits(2);
    assert!(ran.stderr.contains("--seed") && ran.stderr.contains("cannot be used with"), "{}", ran.stderr);
    let _ = place.run(&["rehearse", "--from", "plan.json"]).exits(0);
}

#[test]
fn a_plan_is_written_over_a_plan_only() {
    let place = Place::new();
    place.write("drill.yaml", text_of(&shipped("rds-point-in-time")));
    let before = place.read("drill.yaml");
    // before anything is asked of AWS
    let ran = place.run(&["plan", "drill.yaml", "-o", "drill.yaml"]).exits(2);
    assert!(
        ran.stderr.starts_with("redrill: drill.yaml is there already and is no plan\n"),
        "{}",
        ran.stderr
    );
    assert_eq!(place.read("drill.yaml"), before);
    place.write("plan.json", place.plan_of(&before));
    let ran = place.run(&["plan", "drill.yaml", "-o", "plan.json"]);
    assert!(!ran.stderr.contains("is there already"), "{}", ran.stderr);
}
