//! Bundles that whoever owns the key made of an edited run: chained, hashed and signed anew, with every
//! other file made of what was edited. Each must be found; and what version 0.1.0 wrote must still verify,
//! with what it lacks named.

mod named;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use redrill::bundle::verify::{Findings, Trust, verify};
use redrill::bundle::{self, Files, Sources};
use redrill::engine::recovery::measure;
use redrill::engine::setup::clock_params;
use redrill::engine::state::RunState;
use redrill::engine::verdict::judge;
use redrill::evidence::checkpoint::Checkpoint;
use redrill::evidence::dsse::{Envelope, pae};
use redrill::evidence::statement::digest;
use redrill::evidence::{Material, merkle, record};
use redrill::journal::reader;
use redrill::plan::file;
use serde_json::{Value, json};

use super::{SOURCES, VERDICTS, folder, key};

/// A run that somebody edits: its journal's lines and its plan, as JSON.
struct Run {
    lines: Vec<Value>,
    plan: Value,
    drill: Vec<u8>,
    /// How many of the lines each checkpoint covers, counted from the end.
    checkpoints: Vec<usize>,
    /// The redrill that is said to have made the reports.
    made_by: String,
}

impl Run {
    fn of(verdict: &str) -> Self {
        Self::at(&folder(verdict))
    }

    /// As version 0.1.0 wrote it.
    fn old(verdict: &str) -> Self {
        Self { made_by: "0.1.0".to_owned(), ..Self::at(&old().join("bundles").join(verdict)) }
    }

    fn at(folder: &Path) -> Self {
        let read = |name: &str| fs::read(folder.join(name)).expect("a file");
        let journal = String::from_utf8(read(bundle::JOURNAL)).expect("text");
        let plan: Value = serde_json::from_slice(&read(bundle::PLAN)).expect("a plan");
        Self {
            lines: journal.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect(),
            plan: plan["plan"].clone(),
            drill: read(bundle::DRILL),
            checkpoints: Vec::new(),
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn last(&mut self) -> &mut Value {
        self.lines.iter_mut().rfind(|l| l["type"] == "finished").expect("an end")
    }

    /// The files: hashed, chained, and everything else made of them.
    fn sources(&self) -> Files {
        let bytes = serde_json_canonicalizer::to_vec(&self.plan).expect("canonical");
        let sha256 = digest(&bytes);
        let plan = json!({"plan": self.plan, "sha256": sha256});
        let mut journal = Vec::new();
        let mut prev = "0".repeat(64);
        for (seq, line) in self.lines.iter().enumerate() {
            let mut line = line.clone();
            line["seq"] = json!(seq);
            line["prev"] = json!(prev);
            if line["type"] == "header" {
                line["plan_sha256"] = json!(sha256);
            }
            let line = serde_json::to_vec(&line).expect("JSON");
            prev = digest(&line);
            journal.extend(line);
            journal.push(b'\n');
        }
        let mut files = Files::from([
            (bundle::DRILL.to_owned(), self.drill.clone()),
            (bundle::PLAN.to_owned(), serde_json::to_vec_pretty(&plan).expect("JSON")),
            (bundle::JOURNAL.to_owned(), journal),
        ]);
        if !self.checkpoints.is_empty() {
            let journal = files[bundle::JOURNAL].clone();
            let leaves = merkle::leaves(&journal);
            let run = self.lines[0]["run"].as_str().expect("an id");
            let mut notes = String::new();
            for short in &self.checkpoints {
                let (leaves, at) = (&leaves[..leaves.len() - short], "2026-09-21T14:30:00.000Z");
                let note = Checkpoint::of(run, leaves, "stage", at).sign(&key()).expect("signed");
                notes += &note;
                files.insert(bundle::CHECKPOINT.to_owned(), note.into_bytes());
            }
            files.insert(bundle::CHECKPOINTS.to_owned(), notes.into_bytes());
            files.insert(bundle::CHECKPOINT_KEY.to_owned(), key().public().to_pem().into_bytes());
        }
        files
    }

    /// What the last line would say if it were honest about the rest.
    fn judge_again(&mut self) {
        let files = self.sources();
        let lines = reader::read(&files[bundle::JOURNAL]).expect("a chain").lines;
        let plan = Arc::new(file::read(&String::from_utf8_lossy(&files[bundle::PLAN])).expect("a plan"));
        let end = lines.iter().rposition(|l| matches!(l.event, redrill::journal::Event::Finished { .. }));
        let before = &lines[..end.expect("an end")];
        let measured = measure(before, &clock_params(&plan));
        let judged = judge(&RunState::replay(plan, before), &measured);
        let last = self.last();
        last["verdict"] = json!(judged.verdict);
        last["exit_code"] = json!(judged.exit_code);
        last["reasons"] = json!(judged.reasons);
        last["measured"] = json!(measured);
    }

    /// The signed bundle of it, checked.
    fn checked(&self) -> Findings {
        let sources = Sources { files: self.sources() };
        let journal = &sources.files[bundle::JOURNAL];
        let lines = reader::read(journal).expect("a chain").lines;
        let plan = file::read(&String::from_utf8_lossy(&sources.files[bundle::PLAN])).expect("a plan");
        let mut record = record(&Material {
            lines: &lines,
            journal,
            plan: Some(&plan),
            sign_offs: &[],
            annotations: &[],
            checkpoints: self.checkpoints.len(),
            frameworks: &[],
            follow_up: &Default::default(),
            reconciliation: None,
            publication: None,
            timestamp_authority: None,
        });
        record.made_by.clone_from(&self.made_by);
        let files = bundle::texts(&record, &sources, &key().public());
        let payload = bundle::statement(&record, &files).to_bytes();
        let signature = key().sign(&pae(&payload)).expect("signed");
        let sealed = bundle::sealed(files, &Envelope::new(&payload, &key().public(), &signature), None);
        verify(&sealed, &Trust { key: Some(key().public()), ..Trust::default() })
    }

    /// Says of everything that version 0.1.0 wrote it.
    fn declare_old(&mut self) {
        self.made_by = "0.1.0".to_owned();
        self.plan["format"] = json!(1);
        self.plan["redrill"] = json!("0.1.0");
        let old = fs::read(old().join("bundles/passed/plan.json")).expect("a plan");
        let old: Value = serde_json::from_slice(&old).expect("JSON");
        let known = |map: &mut Value, like: &Value| {
            let map = map.as_object_mut().expect("an object");
            map.retain(|key, _| like.get(key).is_some());
        };
        known(&mut self.plan, &old["plan"]);
        for drawn in self.plan["targets"].as_object_mut().expect("targets").values_mut() {
            drawn.as_object_mut().expect("an object").remove("candidates");
        }
        for line in self.lines.iter_mut().filter(|l| l["type"] == "header" || l["type"] == "attached") {
            line["redrill"] = json!("0.1.0");
            for new in ["boot", "uid", "chain"] {
                line.as_object_mut().expect("an object").remove(new);
            }
        }
        self.lines[0]["format"] = json!(1);
    }
}

fn old() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v0.1.0")
}

fn found(run: &Run, wanted: &str) {
    let found = run.checked();
    assert!(found.broken.iter().any(|b| b.contains(wanted)), "{wanted}: {found:#?}");
}

#[test]
fn a_run_that_is_put_together_again_unchanged_holds() {
    for (verdict, ..) in VERDICTS {
        let mut run = Run::of(verdict);
        run.checkpoints = vec![3, 0];
        run.judge_again();
        let found = run.checked();
        assert_eq!(found.broken, [""; 0], "{verdict}");
        assert_eq!(found.caveats, [""; 0], "{verdict}");
        assert!(found.holds.iter().any(|h| h.starts_with("judged again from the journal")), "{found:#?}");
        assert!(found.holds.iter().any(|h| h.starts_with("made again from the drill file")), "{found:#?}");
    }
}

#[test]
fn a_last_line_that_the_journal_does_not_bear_out_is_found() {
    let passed = |run: &mut Run| {
        let last = run.last();
        last["verdict"] = json!("passed");
        last["exit_code"] = json!(0);
        last["reasons"] = json!(["recovered in 1.200 s, within the RTO of 15 min; everything is clean"]);
    };
    for verdict in
        ["objective-missed", "not-recovered", "no-impact", "stopped", "failed", "stuck", "inconclusive"]
    {
        let mut run = Run::of(verdict);
        passed(&mut run);
        found(&run, &format!("the journal says `passed`; judged again it is `{verdict}`"));
        // and as if by a redrill that did not check it
        run.declare_old();
        let found = run.checked();
        let told = format!("judged again it is `{verdict}`");
        assert!(found.broken.iter().any(|t| t.contains(&told)), "{verdict}: {found:#?}");
        assert!(!found.holds.iter().any(|h| h.contains("the same verdict")), "{verdict}: {found:#?}");
        // and as if by one that was never released, which nobody can ask
        for version in ["0.1.9", "0.0.1", "0.1", "9.0.0", "0.1.0-rc.1", ""] {
            for old_reports in [false, true] {
                let mut run = Run::of(verdict);
                passed(&mut run);
                for line in run.lines.iter_mut().filter(|l| l["type"] == "header" || l["type"] == "attached")
                {
                    line["redrill"] = json!(version);
                }
                if old_reports {
                    run.made_by = version.to_owned();
                }
                let found = run.checked();
                assert!(found.broken.iter().any(|t| t.contains(&told)), "{version}, {verdict}: {found:#?}");
                assert!(found.broken.iter().any(|t| t.contains("knows no such version")), "{found:#?}");
                assert!(!found.holds.iter().any(|h| h.contains("the same verdict")), "{found:#?}");
            }
        }
    }
    let mut run = Run::of("objective-missed");
    run.last()["measured"]["rta_ms"] = json!(1_200);
    found(&run, "rta_ms: ");
    run.declare_old();
    found(&run, "rta_ms: ");
    let mut run = Run::of("objective-missed");
    run.last()["reasons"] = json!(["a little late"]);
    found(&run, "other reasons");
    let mut run = Run::of("passed");
    run.last()["exit_code"] = json!(10);
    found(&run, "exit code 10; judged again it is 0");
    let mut run = Run::of("passed");
    run.last()["measured"]["gaps"] =
        json!([{"from": "2026-09-21T14:13:20Z", "to": "2026-09-21T14:13:21Z", "why": "x"}]);
    found(&run, "another gaps");
}

#[test]
fn a_first_line_and_steps_that_are_not_the_plans_are_found() {
    for (field, value, what) in [
        ("rto_ms", json!(86_400_000), "another RTO"),
        ("give_up_ms", json!(1), "another time to give up"),
        ("world", json!("aws"), "another world"),
        ("account", json!("111122223333"), "another account"),
        ("caller", json!("arn:aws:iam::123456789012:user/other"), "another caller"),
        ("title", json!("Another title"), "another title"),
    ] {
        let mut run = Run::of("passed");
        run.lines[0][field] = value;
        run.judge_again();
        found(&run, what);
    }
    let mut run = Run::of("passed");
    let started = run.lines.iter().position(|l| l["type"] == "step-started").expect("a step");
    let mut more = run.lines[started].clone();
    more["targets"] = json!(["subnet-0000000000000dead"]);
    run.lines.insert(started + 1, more);
    run.judge_again();
    found(&run, "subnet-0000000000000dead as a target of step");
    let mut run = Run::of("passed");
    let header = run.lines[0].clone();
    run.lines.insert(1, header);
    found(&run, "a second first line");
}

#[test]
fn a_change_of_what_the_plan_does_not_draw_is_found() {
    let at = |run: &Run, of: &str| {
        let of_step = |l: &Value| l["type"] == of && !l["step"].is_null();
        run.lines.iter().position(of_step).expect("a line of a step")
    };
    let mut run = Run::of("passed");
    let prepared = at(&run, "step-prepared");
    run.lines[prepared]["undo"]["subnet"] = json!("subnet-0000000000000dead");
    run.judge_again();
    found(&run, "is about `subnet-0000000000000dead`, which is not its target");
}

#[test]
fn a_journal_ends_with_its_run_and_at_its_last_checkpoint() {
    let mut run = Run::of("objective-missed");
    run.checkpoints = vec![9, 1];
    found(&run, "goes on for 1 lines beyond its last checkpoint");
    let mut run = Run::of("objective-missed");
    let line = run.lines.iter().find(|l| l["type"] == "observed").expect("one").clone();
    run.lines.push(line);
    found(&run, "goes on for 1 lines after the run's end");
    let none = Run::of("passed").checked();
    assert!(
        none.all_hold() && none.caveats.iter().any(|c| c.starts_with("there are no checkpoints")),
        "{none:#?}"
    );
}

#[test]
fn a_plan_that_its_drill_does_not_give_is_found_in_whatever_format() {
    let edit = |path: &str, value: Value| {
        let mut run = Run::of("objective-missed");
        *run.plan.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
        let rto = &run.plan["drill"]["objectives"]["rto"];
        let hours = (rto == "4h").then(|| json!(4 * 3_600_000));
        if let Some(rto) = hours {
            run.lines[0]["rto_ms"] = rto;
            run.lines[0]["give_up_ms"] = json!(8 * 3_600_000);
            run.plan["drill"]["objectives"]["give_up"] = json!("8h");
        }
        run.judge_again();
        run
    };
    let mut run = edit("/drill/objectives/rto", json!("4h"));
    assert_eq!(run.last()["verdict"], "passed", "the edit would pay");
    found(&run, "the plan is not what its drill file gives: objectives.");
    run.declare_old();
    run.judge_again();
    found(&run, "the plan is not what its drill file gives: objectives.");
    found(&edit("/drill/steady_state/0/every", json!("30s")), "steady_state.0.every");
    found(&edit("/steps/0/timeout", json!("9h")), "the plan's steps are not those of its drill");
    let mut run = Run::of("objective-missed");
    run.plan["house"] = json!({"limits": {"accounts": ["111122223333"]}});
    run.judge_again();
    found(&run, "the plan lacks a refusal of its own rules: redrill.toml: limits.accounts");
    let findings = json!([{"severity": "refusal", "subject": "redrill.toml: limits.accounts", "text": "x"}]);
    run.plan["findings"] = findings;
    found(&run, "the plan refuses the run");
}

#[test]
fn what_version_0_1_0_wrote_is_read_judged_again_and_verifies_with_what_it_lacks_named() {
    for (verdict, exit_code, _) in VERDICTS {
        let run = Run::old(verdict);
        let found = run.checked();
        assert_eq!(found.broken, [""; 0], "{verdict}");
        for lacks in [
            "the journal has format 1, of redrill 0.1.0",
            "the plan has format 1, of redrill 0.1.0",
            "redrill 0.1.0 made these files",
        ] {
            assert!(found.caveats.iter().any(|c| c.contains(lacks)), "{verdict}: {lacks}: {found:#?}");
        }
        let last = Run::old(verdict).last().clone();
        assert_eq!(last["exit_code"], exit_code, "{verdict}");
        let kept = fs::read(old().join("bundles").join(verdict).join(SOURCES[2])).expect("a journal");
        assert!(reader::read(&kept).expect("a chain").unknown.is_empty(), "{verdict}");
    }
    // the whole bundle, as the binary of that version signed it
    let entries = fs::read_dir(old().join("sealed/passed")).expect("a folder").flatten();
    let name = |e: &fs::DirEntry| e.file_name().to_string_lossy().into_owned();
    let files: Files = entries.map(|e| (name(&e), fs::read(e.path()).expect("a file"))).collect();
    let checked = verify(&files, &Trust::default());
    assert_eq!(checked.broken, [""; 0]);
    assert!(checked.caveats.iter().any(|c| c.contains("report.html")), "{checked:#?}");
    assert!(!checked.holds.iter().any(|h| h.contains("every file says what journal and plan say")));
}

#[test]
fn who_declares_the_old_version_gains_nothing_unseen() {
    let mut run = Run::of("passed");
    run.declare_old();
    run.judge_again();
    let honest = run.checked();
    assert!(honest.all_hold(), "{honest:#?}");
    assert!(honest.caveats.len() >= 3, "{honest:#?}");
    // only in part
    let mut run = Run::of("passed");
    run.made_by = "0.1.0".to_owned();
    found(&run, "redrill 0.1.0 made these files");
    let mut run = Run::of("passed");
    run.lines[0]["format"] = json!(1);
    found(&run, "writes no journal of format 1");
    let mut run = Run::of("passed");
    run.lines[0]["redrill"] = json!("0.1.0");
    found(&run, "writes no journal of format 2");
    let mut run = Run::of("passed");
    run.lines[0]["format"] = json!(3);
    found(&run, "the journal has format 3");
}

/// The bundle of version 0.1.0 with one of its files edited, signed anew.
fn resigned(name: &str, edit: impl FnOnce(String) -> String) -> Findings {
    let mut files = Files::new();
    for entry in fs::read_dir(old().join("sealed/passed")).expect("a folder").flatten() {
        files.insert(
            entry.file_name().to_string_lossy().into_owned(),
            fs::read(entry.path()).expect("a file"),
        );
    }
    let text = String::from_utf8(files[name].clone()).expect("text");
    let edited = edit(text.clone());
    assert_ne!(text, edited, "{name}");
    files.insert(name.to_owned(), edited.into_bytes());
    files.insert(bundle::KEY.to_owned(), key().public().to_pem().into_bytes());
    let old = Envelope::from_bytes(&files[bundle::ENVELOPE]).expect("an envelope");
    let mut statement: redrill::evidence::statement::Statement =
        serde_json::from_slice(&old.payload()).expect("a statement");
    let signed: Files = files
        .iter()
        .filter(|(n, _)| !bundle::SIGNATURES.contains(&n.as_str()))
        .map(|(n, b)| (n.clone(), b.clone()))
        .collect();
    statement.subject = redrill::evidence::statement::subjects(&signed);
    let payload = statement.to_bytes();
    let envelope = Envelope::new(&payload, &key().public(), &key().sign(&pae(&payload)).expect("signed"));
    verify(&bundle::sealed(signed, &envelope, None), &Trust::default())
}

#[test]
fn reports_that_cannot_be_made_again_are_compared_in_their_facts_and_said_to_be_unchecked() {
    for (place, value, says) in [
        ("/measures/rta_ms", json!(1), "says another measures.rta_ms than"),
        ("/result/exit_code", json!(10), "says another result.exit_code than"),
        ("/scope/selections/0/drawn/0/id", json!("subnet-1"), "says another scope.selections than"),
        ("/run/stages/1/from", json!("2026-09-21T14:13:21Z"), "says another run.stages than"),
        ("/safety/faults/0/target", json!("subnet-1"), "has other safety.faults than"),
        ("/recoveries/0/ready_at", json!("2026-09-21T14:13:51Z"), "has other recoveries than"),
    ] {
        let checked = resigned(bundle::REPORT, |text| {
            let mut report: Value = serde_json::from_str(&text).expect("JSON");
            *report.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = value;
            serde_json::to_string_pretty(&report).expect("JSON")
        });
        assert_eq!(checked.broken, [format!("report.json {says} journal and plan give")]);
    }
    for (name, from, to) in [
        ("report.md", "| Verdict | **passed**", "| Verdict | **failed**"),
        ("vanta.csv", "-aaaaaa: passed.", "-aaaaaa: failed."),
        ("ocsf.json", "-aaaaaa: passed.", "-aaaaaa: failed."),
    ] {
        let checked = resigned(name, |text| text.replacen(from, to, 1));
        assert_eq!(
            checked.broken,
            [format!("{name} says `failed`, which is not the verdict in the journal")]
        );
    }
    let checked = resigned("report.html", |text| text + "<p>No outage.</p>");
    assert_eq!(checked.broken, [""; 0], "nobody can tell");
    assert!(checked.unproven.iter().any(|u| u.contains("report.html")), "{checked:#?}");
}

#[test]
fn times_that_cannot_be_are_told() {
    let told = |run: &Run, wanted: &str| {
        let found = run.checked();
        assert!(found.caveats.iter().any(|c| c.contains(wanted)), "{wanted}: {found:#?}");
        found
    };
    // the wall clock set back in the middle: what was measured is what it was, and a reader is told
    let mut run = Run::of("passed");
    let from = run.lines.len() - 5;
    for line in &mut run.lines[from..] {
        let at: chrono::DateTime<chrono::Utc> = serde_json::from_value(line["at"].clone()).expect("a time");
        line["at"] = json!(at - chrono::TimeDelta::seconds(35));
    }
    run.judge_again();
    let found = told(&run, "the wall clock was set back by 35 s");
    assert_eq!(found.broken, [""; 0]);
    // a declaration for later than it was made does not count, and a last line that counts it is found
    let mut run = Run::of("passed");
    let mark = run.lines.iter_mut().find(|l| l["type"] == "marked" && l["mark"] == "declare").expect("one");
    mark["marked_at"] = json!("2026-09-21T14:20:00Z");
    let found = told(&run, "the mark declare is from ");
    assert!(found.broken.iter().any(|b| b.contains("from_declaration_ms")), "{found:#?}");
    let trust = Trust { now: Some("2026-09-21T00:00:00Z".parse().expect("a time")), ..Trust::default() };
    let mut files = Files::new();
    for entry in fs::read_dir(old().join("sealed/passed")).expect("a folder").flatten() {
        files.insert(
            entry.file_name().to_string_lossy().into_owned(),
            fs::read(entry.path()).expect("a file"),
        );
    }
    let found = verify(&files, &trust);
    assert!(found.caveats.iter().any(|c| c.contains("the run is from the future")), "{found:#?}");
}

#[test]
fn a_run_names_the_one_before_and_one_that_was_thrown_away_is_missed() {
    let before = |root: Value| {
        let mut run = Run::of("passed");
        let before = json!({"run": "20260920T100000Z-routes-lost-bbbbbb", "lines": 77, "root": root});
        run.lines[0]["chain"] = json!({"number": 4, "list": "ab".repeat(32), "before": before});
        run.checked()
    };
    let found = before(json!("cd".repeat(32)));
    assert_eq!(found.broken, [""; 0]);
    let named = "this is run 4 of its state folder, after 20260920T100000Z-routes-lost-bbbbbb, 77 lines with root cdcd";
    assert!(found.unproven.iter().any(|u| u.contains(named)), "{found:#?}");
    let found = before(Value::Null);
    let gone = "the run before it, 20260920T100000Z-routes-lost-bbbbbb, was no longer in the state folder";
    assert!(found.caveats.iter().any(|c| c.contains(gone)), "{found:#?}");
    let mut run = Run::of("passed");
    run.lines[0].as_object_mut().expect("an object").remove("chain");
    let found = run.checked();
    assert!(found.caveats.iter().any(|c| c.contains("names no run before it")), "{found:#?}");
}

/// Every number and time of a value, by its path; paths that lists share are one.
fn leaves(value: &Value, path: &str, out: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, v)| leaves(v, &format!("{path}/{key}"), out)),
        Value::Array(list) => list.iter().take(1).for_each(|v| leaves(v, &format!("{path}/0"), out)),
        Value::Number(_) => _ = out.insert(path.to_owned()),
        Value::String(text) if text.parse::<chrono::DateTime<chrono::Utc>>().is_ok() => {
            out.insert(path.to_owned());
        }
        _ => {}
    }
}

#[test]
fn no_number_and_no_time_of_a_bundle_makes_verify_panic() {
    let honest = Run::of("passed");
    let mut paths = std::collections::BTreeSet::new();
    for line in &honest.lines {
        let mut own = std::collections::BTreeSet::new();
        leaves(line, "", &mut own);
        let kind = line["type"].as_str().expect("a type");
        paths.extend(own.into_iter().filter(|p| p != "/seq").map(|p| (kind.to_owned(), p)));
    }
    assert!(paths.len() > 30, "{paths:?}");
    let mut refused = 0;
    for (kind, path) in &paths {
        let is_time = |v: &Value| v.is_string();
        let mut tried: Vec<Value> = Vec::new();
        for line in honest.lines.iter().filter(|l| l["type"] == **kind) {
            let Some(v) = line.pointer(path) else { continue };
            tried = match is_time(v) {
                true => [
                    "+262142-12-31T23:59:59.999Z",
                    "-262143-01-01T00:00:00Z",
                    "9999-12-31T23:59:59Z",
                    "1970-01-01T00:00:00Z",
                ]
                .map(Value::from)
                .to_vec(),
                false => vec![
                    json!(i64::MAX),
                    json!(i64::MIN),
                    json!(u64::MAX),
                    json!(1_i64 << 53),
                    json!(-(1_i64 << 53)),
                ],
            };
        }
        for value in tried {
            let mut run = Run::of("passed");
            for line in run.lines.iter_mut().filter(|l| l["type"] == **kind) {
                if let Some(slot) = line.pointer_mut(path) {
                    *slot = value.clone();
                }
            }
            let sources = run.sources();
            let whole = reader::read(&sources[bundle::JOURNAL]).is_ok_and(|r| r.torn == 0);
            let found = if whole { run.checked() } else { signed(sources) };
            refused += usize::from(!found.all_hold());
        }
    }
    assert!(refused > paths.len(), "{refused}");
    let mut run = Run::of("passed");
    for at in ["+262142-12-31T23:59:59Z", "9999-12-31T23:59:59Z"] {
        run.plan["created_at"] = json!(at);
        assert!(!signed(run.sources()).all_hold(), "{at}");
    }
}

/// A bundle of these sources and nothing else, signed.
fn signed(files: Files) -> Findings {
    let mut files = files;
    files.insert(bundle::REPORT.to_owned(), b"{}".to_vec());
    files.insert(bundle::KEY.to_owned(), key().public().to_pem().into_bytes());
    let predicate = json!({"result": "PASSED"});
    let subjects = redrill::evidence::statement::subjects(&files);
    let kind = redrill::evidence::statement::TEST_RESULT;
    let payload = redrill::evidence::statement::Statement::new(subjects, kind, predicate).to_bytes();
    let envelope = Envelope::new(&payload, &key().public(), &key().sign(&pae(&payload)).expect("signed"));
    verify(&bundle::sealed(files, &envelope, None), &Trust::default())
}
