//! Findings over the runs of a state folder, controls that drills name, `redrill.toml`.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use redrill::evidence::controls::Framework;
use redrill::evidence::record::{ControlOutcome, Record};
use redrill::evidence::{Material, record};
use redrill::journal::{Event, Line, reader, runs::RunDir};
use redrill::model::World;
use redrill::plan::file;

use super::{Place, fixture, shipped, text_of};

/// What `redrill findings …` lists.
fn listed(place: &Place, more: &[&str]) -> Vec<Value> {
    let args = [&["findings", "--output", "json"], more].concat();
    let mut all = place.run(&args).exits(0).json();
    assert_eq!(all.len(), 1, "one value, one line");
    all.remove(0).as_array().expect("an array").clone()
}

fn missed(place: &Place, entropy: u64) -> String {
    place.run_of(&text_of(&fixture("missed")), entropy).id().to_string()
}

#[test]
fn a_missed_objective_is_followed_up() {
    let place = Place::new();
    assert_eq!(place.run(&["findings"]).all(), (0, "no findings\n", ""));
    let run = missed(&place, 1);
    let all = listed(&place, &[]);
    let finding = all.iter().find(|f| f["kind"] == "objective-missed").expect("the RTO was missed");
    let id = finding["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        (&finding["severity"], &finding["run"], &finding["world"], &finding["owner"], &finding["due"]),
        // the run is of 2026-09-21
        (&"high".into(), &run.as_str().into(), &"sim".into(), &Value::Null, &"2026-09-28".into())
    );
    let set = ["findings", "set", &id, "--owner", "service owner", "--ticket", "T-1"];
    assert_eq!(place.run(&set).all(), (0, format!("finding {id} of run {run}: set\n").as_str(), ""));
    let _ = place.run(&["findings", "set", &id, "--due", "2026-10-01"]).exits(0);
    let text = place.run(&["findings", &run]).exits(0).stdout;
    assert!(text.contains("owner: service owner   due: 2026-10-01   ticket: T-1"), "{text}");
    // the report of the run says the same
    let report = place.run(&["report", &run, "--format", "json"]).exits(0).stdout;
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let there = report["findings"].as_array().and_then(|a| a.iter().find(|f| f["id"] == id.as_str()));
    assert_eq!(there.map(|f| &f["owner"]), Some(&"service owner".into()));
    // two lines, only for the owner, and the first is as it was
    let file = place.state().join("runs").join(&run).join("annotations.jsonl");
    let notes = std::fs::read_to_string(&file).expect("annotations");
    assert_eq!((notes.lines().count(), notes.ends_with('\n')), (2, true), "{notes}");
    let mode = std::fs::metadata(&file).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_remark_needs_a_finished_run_and_a_later_one_that_passed() {
    let place = Place::new();
    let run = missed(&place, 1);
    let remark = ["findings", "add", &run, "nobody had the number of the on-call", "--severity", "medium"];
    let said = place.run(&remark).exits(0).stdout;
    let id = said.split_whitespace().nth(1).expect("an id").to_owned();
    assert!(listed(&place, &[]).iter().any(|f| f["kind"] == "remark" && f["id"] == id.as_str()));
    let close = place.run(&["findings", "close", &id, "--run", &run]).exits(2);
    assert!(
        close.stderr.contains(&format!("finding `{id}` stays open: the run did not pass")),
        "{}",
        close.stderr
    );
    // what redrill saw itself is nobody's to close
    let all = listed(&place, &[]);
    let seen = all.iter().find(|f| f["kind"] == "objective-missed").expect("seen");
    let close = place.run(&["findings", "close", seen["id"].as_str().unwrap_or(""), "--run", &run]).exits(2);
    assert!(close.stderr.contains("only a later run that was able to show it"), "{}", close.stderr);
    // a run that is not over takes notes of its own
    let unfinished = place.run_of(&text_of(&fixture("missed")), 2);
    let journal = std::fs::read_to_string(unfinished.journal()).expect("a journal");
    let cut: String = journal.split_inclusive('\n').take(5).collect();
    std::fs::write(unfinished.journal(), cut).expect("written");
    let add = ["findings", "add", unfinished.id().as_str(), "late", "--severity", "low"];
    let refused = place.run(&add).exits(2);
    assert!(refused.stderr.contains("is not finished") && refused.stderr.contains("redrill mark"));
    let wrong = place.run(&["findings", "set", "F-0000000000", "--owner", "x"]).exits(2);
    assert!(wrong.stderr.contains("no finding `F-0000000000`"), "{}", wrong.stderr);
    let nothing = place.run(&["findings", "set", &id]).exits(2);
    assert!(nothing.stderr.contains("--owner"), "{}", nothing.stderr);
}

#[test]
fn off_aws_no_control_is_tested() {
    let place = Place::new();
    let run = place.run_of(&text_of(&shipped("rds-point-in-time")), 1).id().to_string();
    let report = place.run(&["report", &run, "--format", "json"]).exits(0).stdout;
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let controls = report["controls"].as_array().expect("controls");
    assert!(controls.len() > 60);
    assert_eq!(report["result"]["verdict"], "passed");
    for c in controls {
        assert_eq!(
            (&c["outcome"], &c["why"]),
            (&"not-tested".into(), &"ran on the simulator; only a run on AWS counts".into())
        );
    }
}

#[test]
fn a_control_that_nobody_knows_is_refused_unless_redrill_toml_has_it() {
    let place = Place::new();
    let drill = text_of(&shipped("rds-point-in-time"));
    place.write("drill.yaml", drill.replace("iso27001/A.8.13", "soc2/A1.33, house/H-1"));
    let wrong = place.run(&["check", "drill.yaml", "--output", "json"]).exits(2).json().remove(0);
    let problems = wrong["problems"].as_array().expect("problems");
    assert_eq!(
        (&problems[0]["message"], &problems[0]["hint"], &problems[0]["line"], &problems[0]["column"]),
        (
            &"no control `soc2/A1.33` is known".into(),
            &"did you mean `soc2/A1.3`?".into(),
            &16.into(),
            &23.into()
        )
    );
    assert_eq!(problems[1]["hint"], "define it under [[frameworks]] in redrill.toml");
    place.write("drill.yaml", drill.replace("iso27001/A.8.13", "house/H-1"));
    place.write(
        "redrill.toml",
        "[[frameworks]]\nkey = \"house\"\nname = \"House rules\"\nversion = \"3\"\n\
         [[frameworks.controls]]\nid = \"H-1\"\nparaphrase = \"Restores are rehearsed.\"\nneeds = [\"restore\"]\n",
    );
    let _ = place.run(&["check", "drill.yaml"]).exits(0);
}

#[test]
fn a_wrong_configuration_is_refused_by_what_it_concerns_and_by_nothing_else() {
    let place = Place::new();
    place.write("redrill.toml", "[evidence]\nkei = \"x\"\n");
    let wrong = place.run(&["runs"]).exits(2);
    assert_eq!(
        wrong.stderr,
        "redrill.toml:2:1: unknown field `kei`, expected one of `key`, `checkpoint_key`, `retain`, \
         `timestamp_authority`\n  hint: did you mean `key`?\n"
    );
    let _ = place.run(&["catalog"]).exits(0);
    // another file is named instead; one that is named has to be there
    place.write("other.toml", "[exercise]\nowner = \"service owner\"\n");
    let _ = missed(&place, 1);
    let all = listed(&place, &["--config", "other.toml"]);
    assert!(all.iter().all(|f| f["owner"] == "service owner") && !all.is_empty());
    let gone = place.run(&["runs", "--config", "gone.toml"]).exits(2);
    assert!(gone.stderr.contains("the configuration gone.toml cannot be read"), "{}", gone.stderr);
}

#[test]
fn a_fixed_plan_takes_no_more_people() {
    let place = Place::new();
    place.write("plan.json", place.plan_of(&text_of(&shipped("rds-point-in-time"))));
    for flag in [["--ticket", "T-1"], ["--participant", "observer=somebody"], ["--announced", "no"]] {
        let refused = place.run(&[&["run", "plan.json", "--yes"], &flag[..]].concat()).exits(2);
        assert!(refused.stderr.contains("the plan is fixed"), "{}", refused.stderr);
        let refused = place.run(&[&["rehearse", "--from", "plan.json"], &flag[..]].concat()).exits(2);
        assert!(refused.stderr.contains("the plan is fixed"), "{}", refused.stderr);
    }
    let _ = place.run(&["rehearse", "--from", "plan.json"]).exits(0);
}

/// The record that the run would have had on AWS: only the world in its first line is another.
fn as_if_on_aws(run: &RunDir) -> Record {
    let journal = std::fs::read(run.journal()).expect("a journal");
    let mut lines = reader::read(&journal).expect("whole").lines;
    let Event::Header { world, .. } = &mut lines[0].event else { panic!("the first line is the header") };
    *world = World::Aws;
    let event = Event::Endpoint { proof: redrill::model::EndpointProof::public() };
    let attached = lines[1].clone();
    lines.insert(2, Line { event, ..attached });
    let plan = file::read(&std::fs::read_to_string(run.plan()).expect("a plan")).expect("a plan");
    let none: &[Framework] = &[];
    record(&Material {
        lines: &lines,
        journal: &journal,
        plan: Some(&plan),
        sign_offs: &[],
        annotations: &[],
        checkpoints: 0,
        frameworks: none,
        follow_up: &Default::default(),
        reconciliation: None,
        publication: None,
        timestamp_authority: None,
    })
}

#[test]
fn a_fault_that_was_seen_and_mended_in_time_supports_what_it_exercised() {
    let place = Place::new();
    let r = as_if_on_aws(&place.run_of(&text_of(&shipped("ec2-instance-loss")), 1));
    let outcome = |r: &Record, framework: &str, id: &str| {
        let found = r.controls.iter().find(|c| c.framework == framework && c.id == id);
        found.map(|c| (c.outcome, c.why.clone())).expect("a control")
    };
    // a terminated instance is gone for good, as the drill says, and nothing else is left
    assert!(r.safety.clean && r.safety.left_behind.is_empty() && r.findings.is_empty(), "{:?}", r.findings);
    for (framework, id) in [("soc2", "A1.3"), ("iso27001", "A.5.30"), ("nist-800-53", "CP-4(5)")] {
        let (said, why) = outcome(&r, framework, id);
        assert_eq!(said, ControlOutcome::Supports, "{framework}/{id}: {why}");
    }
    // nothing was restored, nobody took part, nobody reviewed it
    for (framework, id) in [("cis", "11.5"), ("nist-800-53", "CP-4"), ("cis", "17.7"), ("iso27001", "A.8.14")]
    {
        assert_eq!(outcome(&r, framework, id).0, ControlOutcome::NotTested, "{framework}/{id}");
    }
    // the twins: too late, and drills that did not do what they say
    let late = as_if_on_aws(&place.run_of(&text_of(&fixture("missed")), 2));
    assert_eq!(outcome(&late, "soc2", "A1.3").0, ControlOutcome::DoesNotSupport);
    for (n, name) in ["no-impact", "not-steady", "unreadable", "failed", "gave-up"].into_iter().enumerate() {
        let run = as_if_on_aws(&place.run_of(&text_of(&fixture(name)), 3 + n as u64));
        assert!(run.controls.iter().all(|c| c.outcome != ControlOutcome::Supports), "{name}");
    }
}
