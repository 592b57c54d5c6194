//! `redrill check`: good, bad and hostile files.

use std::fmt::Write as _;

use super::{Place, fixture, shipped, text_of};

const BAD: &str = "\
version: 1
name: bad
title: A drill with two mistakes
service: shop
objectives: { rto: 15m }
limits:
  accounts: [\"123456789012\"]
  regions: [us-east-1]
  max_targets: 1
targets:
  web:
    resource: ec2.instanse
    tags: { service: shop }
steady_state:
  - probe: http
    with: { url: \"http://127.0.0.1/\" }
recovery:
  - action: wait
    with: { four: 1s }
";

const SAID: &str = "\
error: `resource` cannot be `ec2.instanse`
  --> bad.yaml:12:15
   |
12 |     resource: ec2.instanse
   |               ^^^^^^^^^^^^ did you mean `ec2.instance`?

error: unknown key `four`
  --> bad.yaml:19:13
   |
19 |     with: { four: 1s }
   |             ^^^^ did you mean `for`?

2 problems in bad.yaml; nothing was run.
";

#[test]
fn good_files_are_told_in_a_line() {
    let place = Place::new();
    let drill = shipped("route-table-detach");
    let ran = place.run(&["check", &drill]);
    let want = format!("ok    {drill}  Take the private subnets off the network and back (2 steps)\n");
    let title =
        text_of(&drill).lines().find_map(|l| l.strip_prefix("title: ").map(str::to_owned)).expect("a title");
    let want = want.replace("Take the private subnets off the network and back", &title);
    assert_eq!(ran.all(), (0, want.as_str(), ""));
}

#[test]
fn every_problem_of_every_file_is_told_at_once() {
    let place = Place::new();
    place.write("bad.yaml", BAD);
    let good = shipped("s3-object-loss");
    let ran = place.run(&["check", "bad.yaml", &good, "missing.yaml"]).exits(2);
    assert!(ran.stdout.starts_with(&format!("ok    {good}")) && ran.stdout.lines().count() == 1);
    let missing = "redrill: cannot read missing.yaml: No such file or directory (os error 2)\n  \
                   hint: name a drill file, for example drills/ec2-instance-loss.yaml\n";
    assert_eq!(ran.stderr, format!("{SAID}{missing}"));
}

#[test]
fn machines_get_each_problem_with_its_place() {
    let place = Place::new();
    place.write("bad.yaml", BAD);
    let ran =
        place.run(&["check", "bad.yaml", "missing.yaml", &fixture("stop"), "--output", "json"]).exits(2);
    let [bad, missing, good] = <[_; 3]>::try_from(ran.json()).expect("a line for each file");
    assert_eq!((&bad["file"], &bad["ok"]), (&"bad.yaml".into(), &false.into()));
    assert_eq!(bad["problems"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        bad["problems"][0],
        serde_json::json!({
            "line": 12, "column": 15, "message": "`resource` cannot be `ec2.instanse`",
            "hint": "did you mean `ec2.instance`?"
        })
    );
    assert_eq!((&missing["ok"], &missing["problems"][0]["line"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(
        good,
        serde_json::json!({"file": fixture("stop"), "ok": true, "drill": "stop", "problems": []})
    );
}

#[test]
fn parameters_may_be_missing_in_a_check_and_not_in_a_rehearsal() {
    let place = Place::new();
    let text = text_of(&fixture("stop"))
        .replace("limits:", "params:\n  host: { type: string }\nlimits:")
        .replace("host: shop.example.com", "host: \"${params.host}\"");
    place.write("needs.yaml", text);
    let _ = place.run(&["check", "needs.yaml"]).exits(0);
    let ran = place.run(&["rehearse", "needs.yaml"]).exits(2);
    assert!(ran.stderr.contains("`host`") && ran.stderr.contains("--set host="), "{}", ran.stderr);
    let _ = place.run(&["rehearse", "needs.yaml", "--set", "host=shop.example.com"]).exits(0);
    let unknown = place.run(&["check", "needs.yaml", "--env", "production"]).exits(2);
    assert!(unknown.stderr.contains("--env production: no such environment"), "{}", unknown.stderr);
}

#[test]
fn what_is_no_drill_is_refused_in_a_sentence() {
    let place = Place::new();
    place.write("empty.yaml", "");
    place.write("broken.yaml", "name: [a, b\ntitle: x\n");
    place.write("binary.yaml", [0xff, 0xfe, 0x00, 0x80, 0x0a]);
    place.write("nul.yaml", "name: a\u{0}b\n");
    place.write("bomb.yaml", "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n");
    let mut deep = String::from("version: 1\nname: ");
    for _ in 0..10_000 {
        deep.push('[');
    }
    place.write("deep.yaml", &deep);
    let mut long = String::from("version: 1\n");
    for n in 0..200_000 {
        let _ = writeln!(long, "key{n}: value");
    }
    place.write("huge.yaml", &long);
    place.write("cut.yaml", "ä".repeat(1 << 20));
    std::fs::create_dir(place.path().join("folder")).expect("a folder");
    for (file, part) in [
        ("empty.yaml", "problem"),
        ("broken.yaml", "this is not YAML"),
        ("binary.yaml", "binary.yaml is not UTF-8 text, from byte 0"),
        ("nul.yaml", "problem"),
        ("bomb.yaml", "problem"),
        ("deep.yaml", "deep"),
        ("huge.yaml", "a drill may have 1 MiB"),
        ("cut.yaml", "a drill may have 1 MiB"),
        ("folder", "cannot read folder: Is a directory"),
        ("/dev/zero", "it is no regular file"),
    ] {
        for command in ["check", "rehearse", "run", "plan"] {
            let ran = place.run(&[command, file]).exits(2);
            assert!(ran.stderr.contains(part), "{command} {file}: {}", ran.stderr);
            assert!(ran.stdout.is_empty(), "{command} {file}");
            assert!(!ran.stderr.contains("panicked") && ran.stderr.len() < 20_000, "{command} {file}");
        }
    }
}

#[test]
fn a_plan_in_place_of_a_drill_is_told_in_a_line() {
    let place = Place::new();
    place.write("plan.json", place.plan_of(&text_of(&shipped("rds-point-in-time"))));
    for args in [
        &["plan", "plan.json"][..],
        &["check", "plan.json"],
        &["rehearse", "plan.json"],
        &["iam", "plan.json"],
    ] {
        let ran = place.run(args);
        if args[0] == "iam" {
            // it takes either
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            continue;
        }
        let want = "redrill: plan.json is a plan, and this command takes the drill\n  hint: run the plan: redrill run plan.json\n";
        assert_eq!(ran.all(), (2, "", want), "{args:?}");
    }
}

#[test]
fn a_number_for_a_duration_is_told_once_how_it_is_written() {
    let place = Place::new();
    let drill = text_of(&fixture("missed"));
    let rto = drill.lines().find(|l| l.starts_with("objectives:")).expect("objectives");
    for (value, hint) in [
        ("15", "with its unit: 15s, 15m or 15h"),
        ("\"15\"", "`15` is not a duration; write for example 30s, 15m or 4h"),
    ] {
        place.write("drill.yaml", drill.replace(rto, &format!("objectives: {{ rto: {value} }}")));
        let ran = place.run(&["check", "drill.yaml"]).exits(2);
        assert!(ran.stderr.contains(hint) && ran.stderr.contains("1 problem in"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("in quotes"), "{}", ran.stderr);
    }
    place.write("drill.yaml", drill.replace(rto, "objectives: { rto: 15m }"));
    let _ = place.run(&["check", "drill.yaml"]).exits(0);
}
