//! Commands on runs that lie on disk: listed, shown, reported, resumed and rolled back.

use std::fs;

use serde_json::{Value, json};

use super::{Place, fixture, shipped, text_of};

/// The id of every run that these tests make of the drill `stop`: fixed clock, fixed entropy.
const STOP: &str = "20260921T141320Z-stop-";

pub(super) fn a_place_with_runs() -> (Place, Vec<String>) {
    let place = Place::new();
    let stop = place.run_of(&text_of(&fixture("stop")), 1);
    let missed = place.run_of(&text_of(&fixture("missed")), 2);
    let ids = vec![stop.id().to_string(), missed.id().to_string()];
    (place, ids)
}

#[test]
fn no_runs_are_no_error() {
    let place = Place::new();
    assert_eq!(place.run(&["runs"]).all(), (0, "no runs in .redrill; start with: redrill demo\n", ""));
    assert_eq!(place.run(&["runs", "--output", "json"]).all(), (0, "[]\n", ""));
    assert!(!place.state().exists(), "looking makes nothing");
    for command in ["show", "report"] {
        assert_eq!(
            place.run(&[command]).all(),
            (
                2,
                "",
                "redrill: there are no runs in .redrill\n  \
                 hint: make one with `redrill demo`, or name another folder with --state\n"
            )
        );
    }
}

#[test]
fn runs_are_listed_oldest_first() {
    let (place, ids) = a_place_with_runs();
    let list = place.run(&["runs", "--output", "json"]).exits(0).json().remove(0);
    let list = list.as_array().expect("an array");
    let mut sorted = ids.clone();
    sorted.sort();
    assert_eq!(list.iter().map(|r| r["run"].as_str().unwrap_or("")).collect::<Vec<_>>(), sorted);
    let missed = list.iter().find(|r| r["drill"] == "missed").expect("listed");
    assert_eq!(
        (&missed["verdict"], &missed["world"], &missed["account"]),
        (&"objective-missed".into(), &"sim".into(), &"123456789012".into())
    );
    assert_eq!((&missed["started_at"], &missed["rto_ms"]), (&"2026-09-21T14:13:22Z".into(), &60_000.into()));
    assert!(missed["rta_ms"].as_i64().is_some_and(|ms| ms > 60_000), "{missed}");
    let text = place.run(&["runs"]).exits(0).stdout;
    let mut lines = text.lines();
    assert!(lines.next().is_some_and(|l| l.starts_with("RUN ") && l.ends_with("STARTED")), "{text}");
    assert_eq!(lines.count(), 2);
    assert!(text.contains("objective-missed") && text.contains("2026-09-21 14:13:22 UTC"), "{text}");
}

#[test]
fn a_run_is_found_by_prefix_path_and_last() {
    let (place, ids) = a_place_with_runs();
    let want = place.run(&["show", &ids[0]]).exits(0).stdout;
    assert!(want.contains(&format!("run       {}", ids[0])), "{want}");
    let prefix = &ids[0][..ids[0].len() - 2];
    let path = format!(".redrill/runs/{}", ids[0]);
    let file = format!("{path}/journal.jsonl");
    for name in [prefix, &path, &file] {
        assert_eq!(place.run(&["show", name]).exits(0).stdout, want, "{name}");
    }
    // the last is the last by name; both began in the same second
    assert_eq!(place.run(&["show"]).exits(0).stdout, place.run(&["show", "last"]).exits(0).stdout);
    let shown = place.run(&["show", &ids[1], "--timeline"]).exits(0).stdout;
    assert!(shown.contains("verdict: objective-missed"), "{shown}");
    let json = place.run(&["show", &ids[1], "--output", "json"]).exits(0).json();
    assert_eq!((json.len(), &json[0]["run"]["verdict"]["word"]).0, 1, "one line");
}

#[test]
fn a_run_that_is_not_there_or_could_be_several_is_wrong_usage() {
    let (place, ids) = a_place_with_runs();
    for command in ["show", "report", "resume", "rollback", "abort"] {
        let unknown = place.run(&[command, "20200101"]).exits(2);
        assert_eq!(
            unknown.stderr,
            "redrill: no run `20200101`\n  hint: `redrill runs` lists them; --state names another folder\n",
            "{command}"
        );
        let several = place.run(&[command, "2026"]).exits(2);
        assert!(several.stderr.contains("`2026` could be any of "), "{command}: {}", several.stderr);
        assert!(ids.iter().all(|id| several.stderr.contains(id)), "{command}: {}", several.stderr);
        let near = place.run(&[command, "missed"]).exits(2);
        assert!(near.stderr.contains(&format!("did you mean `{}`?", ids[1])), "{command}: {}", near.stderr);
        for hostile in ["", "..", "../..", "/etc", "./nowhere", "\u{1b}[31m"] {
            let ran = place.run(&[command, hostile]).exits(2);
            assert!(ran.stdout.is_empty(), "{command} {hostile:?}");
        }
    }
    let result = place.run(&["rollback", "20200101", "--output", "json"]).exits(2).json();
    assert_eq!(result[0]["exit_code"], 2);
}

#[test]
fn reports_come_from_the_journal_alone_and_are_always_the_same() {
    let (place, ids) = a_place_with_runs();
    let run = &ids[1];
    let form = |form: &str| place.run(&["report", run, "--format", form]).exits(0).stdout;
    let (text, json, markdown) = (form("text"), form("json"), form("markdown"));
    assert!(text.contains("verdict   OBJECTIVE-MISSED (exit code 10)"), "{text}");
    let value: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(value["schema"], "redrill/report");
    assert!(markdown.starts_with("# "), "{markdown}");
    for text in [&text, &json, &markdown] {
        assert!(text.contains("sim"), "the world is named:\n{text}");
    }
    for (name, first) in [("text", &text), ("json", &json), ("markdown", &markdown)] {
        assert_eq!(&form(name), first, "the same bytes");
    }
    // with the journal alone, what the plan would have said is a gap, and nothing else is different
    let folder = format!(".redrill/runs/{run}");
    for other in ["plan.json", "drill.yaml"] {
        fs::remove_file(place.path().join(&folder).join(other)).expect("removed");
    }
    let bare: Value = serde_json::from_str(&form("json")).expect("JSON");
    assert_eq!(bare["run"], value["run"]);
    assert_eq!(bare["result"]["verdict"], value["result"]["verdict"]);
    assert!(bare["gaps"].as_array().is_some_and(|g| g.iter().any(|g| g["what"] == "the plan")), "{bare}");
    let page = form("markdown");
    assert!(page.contains("| identity | the plan | keep"), "{page}");
    let sentence =
        |page: &str| page.lines().find(|l| l.starts_with("**Objective missed: ")).map(str::to_owned);
    assert!(sentence(&page).is_some() && sentence(&page) == sentence(&markdown), "{page}");
    let ran = place.run(&["report", run, "--output", "json"]).exits(0);
    let files = [format!("{folder}/report.json"), format!("{folder}/report.md")];
    assert_eq!(ran.json(), [json!({"run": run, "files": files})]);
    assert_eq!(place.read(&files[1]), page);
    assert_eq!(place.read(&files[0]), form("json"));
}

#[test]
fn a_finished_run_needs_nothing_more() {
    let (place, ids) = a_place_with_runs();
    let before = place.read(&format!(".redrill/runs/{}/journal.jsonl", ids[1]));
    for (command, code) in [("rollback", 0), ("resume", 10)] {
        let want = format!("run {} is finished already (objective-missed); nothing was changed\n", ids[1]);
        assert_eq!(place.run(&[command, &ids[1]]).all(), (code, want.as_str(), ""));
    }
    assert_eq!(place.run(&["resume", &ids[0]]).code, 0, "a run that passed");
    let line = place.run(&["rollback", &ids[1], "--output", "json"]).exits(0).json();
    assert_eq!(
        line,
        [json!({
            "type": "result", "v": 1, "run": ids[1], "verdict": null, "rta_ms": null, "rta_low_ms": null,
            "rta_high_ms": null, "rto_ms": null, "exit_code": 0
        })]
    );
    let line = place.run(&["resume", &ids[1], "--output", "json"]).exits(10).json().remove(0);
    assert_eq!((&line["verdict"], &line["rto_ms"]), (&"objective-missed".into(), &60_000.into()));
    assert!(line["rta_ms"].is_i64(), "{line}");
    assert_eq!(place.read(&format!(".redrill/runs/{}/journal.jsonl", ids[1])), before, "nothing is written");
}

#[test]
fn a_run_without_a_whole_line_is_listed_and_has_nothing_to_put_back() {
    let (place, ids) = a_place_with_runs();
    let journal = place.path().join(format!(".redrill/runs/{}/journal.jsonl", ids[0]));
    let bytes = fs::read(&journal).expect("a journal");
    for cut in [Some(0), Some(1), Some(100), None] {
        match cut {
            Some(n) => fs::write(&journal, &bytes[..n]).expect("written"),
            None => fs::remove_file(&journal).expect("removed"),
        }
        let list = place.run(&["runs", "--output", "json"]).exits(0).json().remove(0);
        let entry =
            list.as_array().and_then(|l| l.iter().find(|r| r["run"] == *ids[0])).expect("listed").clone();
        assert_eq!((&entry["verdict"], &entry["drill"]), (&Value::Null, &"stop".into()), "{cut:?}");
        assert!(place.run(&["runs"]).exits(0).stdout.contains("unfinished"));
        let want = format!("run {} ended before its first line; nothing was changed\n", ids[0]);
        for command in ["rollback", "resume", "show", "report"] {
            assert_eq!(place.run(&[command, &ids[0]]).all(), (0, want.as_str(), ""), "{command} {cut:?}");
        }
        for command in ["rollback", "resume"] {
            let line = place.run(&[command, &ids[0], "--output", "json"]).exits(0).json();
            assert_eq!(
                line,
                [json!({
                    "type": "result", "v": 1, "run": ids[0], "verdict": null, "rta_ms": null, "rta_low_ms": null,
                    "rta_high_ms": null, "rto_ms": null, "exit_code": 0
                })]
            );
        }
    }
}

#[test]
fn a_journal_cut_anywhere_is_read_as_far_as_it_is_whole() {
    let place = Place::new();
    let dir = place.run_of(&text_of(&fixture("stop")), 1);
    let bytes = fs::read(dir.journal()).expect("a journal");
    let ends: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(n, _)| n + 1).collect();
    let lines = ends.len();
    assert!(lines > 30, "{lines}");
    for n in [1, 2, lines / 3, lines / 2, lines - 2] {
        let (end, next) = (ends[n - 1], ends[n]);
        for cut in [end, end + 1, (end + next) / 2, next - 1] {
            fs::write(dir.journal(), &bytes[..cut]).expect("written");
            let ran = place.run(&["show", "last"]).exits(0);
            assert!(ran.stdout.contains("none yet: the run is not finished"), "{n} lines: {}", ran.stdout);
            let id = dir.id();
            let hint =
                format!("Go on with: redrill resume {id}\nor put everything back:  redrill rollback {id}\n");
            assert!(ran.stdout.ends_with(&hint), "{}", ran.stdout);
            let list = place.run(&["runs", "--output", "json"]).exits(0).json().remove(0);
            assert_eq!((&list[0]["verdict"], &list[0]["world"]), (&Value::Null, &"sim".into()));
            let _ = place.run(&["report", "last", "--format", "markdown"]).exits(0);
        }
    }
    // without its last line's end the run is not finished
    fs::write(dir.journal(), &bytes[..bytes.len() - 1]).expect("written");
    let _ = place.run(&["show"]).exits(0);
}

#[test]
fn a_journal_with_a_changed_byte_is_refused() {
    let place = Place::new();
    let dir = place.run_of(&text_of(&fixture("stop")), 1);
    let bytes = fs::read(dir.journal()).expect("a journal");
    let second = bytes.iter().position(|b| *b == b'\n').expect("a line") + 1;
    let title = String::from_utf8_lossy(&bytes).find("Stop a web server").expect("the title");
    for (at, part) in [
        (title, "line 2 does not follow line 1: the journal was changed"),
        (second, "line 2 is not a whole line: the journal was cut or changed"),
        (0, "line 1 is not a whole line"),
    ] {
        let mut changed = bytes.clone();
        changed[at] ^= 0x01;
        fs::write(dir.journal(), &changed).expect("written");
        for command in ["show", "report", "resume", "rollback"] {
            let ran = place.run(&[command, "last"]).exits(2);
            let want = format!("redrill: the journal of run {} cannot be trusted: {part}", dir.id());
            assert!(ran.stderr.starts_with(&want), "{command}: {}", ran.stderr);
            let hint = "\n  hint: nothing was changed\n  hint: restore the run's folder from a copy, or put back by hand";
            assert!(ran.stderr.contains(hint) && ran.stdout.is_empty(), "{command}: {}", ran.stderr);
        }
        assert_eq!(fs::read(dir.journal()).expect("there"), changed, "and left as it is");
    }
    // a line less, a line twice, two lines turned around
    let text = String::from_utf8(bytes).expect("text");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let without: String = [&lines[..3], &lines[4..]].concat().concat();
    let twice: String = [&lines[..4], &lines[3..]].concat().concat();
    let mut turned = lines.clone();
    turned.swap(3, 4);
    for changed in [without, twice, turned.concat(), lines[1..].concat()] {
        fs::write(dir.journal(), changed).expect("written");
        let ran = place.run(&["rollback", "last"]).exits(2);
        assert!(ran.stderr.contains("cannot be trusted: line "), "{}", ran.stderr);
    }
}

#[test]
fn an_unfinished_run_with_a_changed_plan_is_refused() {
    let place = Place::new();
    let dir = place.run_of(&text_of(&shipped("s3-object-loss")), 1);
    let journal = fs::read_to_string(dir.journal()).expect("a journal");
    let unfinished: String = journal.split_inclusive('\n').take(20).collect();
    fs::write(dir.journal(), unfinished).expect("written");
    let other = place.plan_of(&text_of(&fixture("stop")));
    fs::write(dir.plan(), other).expect("written");
    let ran = place.run(&["rollback", "last"]).exits(2);
    let want = format!("redrill: the plan of run {} is not the one it was started with\n", dir.id());
    assert!(ran.stderr.starts_with(&want), "{}", ran.stderr);
    fs::write(dir.plan(), "{").expect("written");
    let ran = place.run(&["resume", "last"]).exits(2);
    assert!(ran.stderr.contains("plan.json cannot be used"), "{}", ran.stderr);
    fs::remove_file(dir.plan()).expect("removed");
    let ran = place.run(&["resume", "last"]);
    assert!(ran.code == 21 && ran.stderr.contains("the run's plan cannot be read"), "{}", ran.stderr);
}

#[test]
fn a_state_that_is_no_folder_is_told() {
    let place = Place::new();
    place.write("state", "a file");
    for args in [
        &["runs", "--state", "state"][..],
        &["show", "--state", "state"],
        &["rollback", "x", "--state", "state"],
    ] {
        let ran = place.run(args);
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("is not a folder") && ran.code == 2,
            "{args:?}: {} {}",
            ran.code,
            ran.stderr
        );
    }
    // a link in it is not followed
    fs::create_dir(place.path().join("linked")).expect("a folder");
    let (elsewhere, _) = a_place_with_runs();
    std::os::unix::fs::symlink(elsewhere.state().join("runs"), place.path().join("linked/runs"))
        .expect("a link");
    let ran = place.run(&["runs", "--state", "linked", "--output", "json"]);
    assert_eq!(ran.stdout, "[]\n");
}

#[test]
fn ids_are_as_they_are_promised() {
    let (_place, ids) = a_place_with_runs();
    let id = &ids[0];
    assert!(id.starts_with(STOP), "{id}");
    let tail = id.rsplit('-').next().expect("a tail");
    assert!(tail.len() == 6 && tail.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{id}");
}

#[test]
fn a_run_is_exported_in_the_formats_of_other_tools() {
    let (place, ids) = a_place_with_runs();
    let export = |format: &str| place.run(&["report", &ids[1], "--export", format]).exits(0).stdout;
    for (format, model) in [
        ("oscal-ap", "assessment-plan"),
        ("oscal-ar", "assessment-results"),
        ("oscal-poam", "plan-of-action-and-milestones"),
    ] {
        let file: Value = serde_json::from_str(&export(format)).expect("OSCAL is JSON");
        assert_eq!(file[model]["metadata"]["oscal-version"], "1.2.1", "{format}");
        assert_eq!(export(format), export(format), "the same bytes every time");
    }
    for format in ["ocsf", "asff", "drata"] {
        let file: Value = serde_json::from_str(&export(format)).expect("JSON");
        assert!(file.is_array() || file["filedAt"].is_string(), "{format}");
    }
    assert!(export("junit").contains(r#"name="Recovery time objective"><failure"#));
    assert!(export("vanta").starts_with("\"kind\",\"name\""));
    assert_eq!(place.run(&["report", &ids[1], "--export", "junit", "--format", "json"]).code, 2);
}

/// The journal of a run that was killed in the middle.
fn unfinished(place: &Place) -> redrill::journal::runs::RunDir {
    let dir = place.run_of(&text_of(&fixture("stop")), 1);
    let journal = fs::read_to_string(dir.journal()).expect("a journal");
    let undo = |line: &&str| line.contains(r#""type":"stage""#) && line.contains(r#""undo""#);
    let begun = journal.split_inclusive('\n').take_while(|line| !undo(line)).take(30);
    fs::write(dir.journal(), begun.collect::<String>()).expect("written");
    dir
}

#[test]
fn what_names_another_place_is_refused_before_anything_is_sent_or_left() {
    let place = Place::new();
    let dir = unfinished(&place);
    let before = fs::read(dir.journal()).expect("a journal");
    let commands: [&[&str]; 6] = [
        &["resume", "last"],
        &["rollback", "last"],
        &["mark", "last", "note"],
        &["confirm", "last", "call"],
        &["abort", "last"],
        &["rollback", ".redrill/runs/ID"],
    ];
    let other = "http://127.0.0.1:1";
    for (by, value, says) in [
        ("--endpoint-url", other, "repeat the command without --endpoint-url"),
        ("REDRILL_ENDPOINT_URL", other, "unset REDRILL_ENDPOINT_URL"),
        ("AWS_ENDPOINT_URL", other, "unset AWS_ENDPOINT_URL"),
        ("AWS_ENDPOINT_URL_EC2", other, "unset AWS_ENDPOINT_URL_EC2"),
        ("--region", "eu-west-1", "repeat the command with --region us-east-1"),
        ("REDRILL_REGION", "eu-west-1", "repeat the command with --region us-east-1"),
    ] {
        for args in commands {
            let args: Vec<String> = args.iter().map(|a| a.replace("ID", dir.id().as_str())).collect();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let mut command = place.command(&args);
            if by.starts_with("--") {
                command.args([by, value]);
            } else {
                command.env(by, value);
            }
            let ran = super::finish(command).exits(3);
            assert!(ran.stderr.contains(&format!("{by} names {value}")), "{args:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(says), "{args:?}: {}", ran.stderr);
            assert_eq!(fs::read(dir.journal()).expect("a journal"), before, "{args:?}");
            assert_eq!(fs::read_dir(dir.path().join("inbox")).expect("an inbox").count(), 0, "{args:?}");
        }
    }
}

#[test]
fn a_run_under_way_is_shown_as_such_with_its_process() {
    let place = Place::new();
    let dir = unfinished(&place);
    let (id, process) = (dir.id(), std::process::id());
    let at_work = redrill::journal::runs::lock(&dir).expect("nobody else");
    let list = place.run(&["runs"]).exits(0).stdout;
    assert!(
        list.contains("  under way ") && list.contains(&format!("(process {process}, since 2")),
        "{list}"
    );
    let json = place.run(&["runs", "--output", "json"]).exits(0).json().remove(0);
    assert_eq!((&json[0]["verdict"], &json[0]["under_way"]["pid"]), (&Value::Null, &json!(process)));
    let shown = place.run(&["show"]).exits(0).stdout;
    let says = format!("The run is under way: process {process}, since 2");
    assert!(shown.contains(&says) && shown.contains(&format!("redrill abort {id}\n")), "{shown}");
    assert!(!shown.contains("redrill resume"), "{shown}");
    let refused = place.run(&["rollback", "last"]);
    assert!(
        refused.stderr.contains(&format!("run {id} is in use by process {process}, since 2")),
        "{}",
        refused.stderr
    );
    drop(at_work);
    assert!(place.run(&["runs"]).exits(0).stdout.contains("  unfinished "));
}

#[test]
fn a_run_in_a_folder_of_another_name_is_still_that_run() {
    let (place, ids) = a_place_with_runs();
    fs::rename(place.state().join("runs").join(&ids[0]), place.path().join("moved-copy")).expect("moved");
    for args in [
        &["show", "./moved-copy"][..],
        &["report", "./moved-copy"],
        &["resume", "./moved-copy/journal.jsonl"],
    ] {
        let ran = place.run(args);
        assert!(ran.stdout.contains(&ids[0]), "{args:?}: {} {}", ran.stdout, ran.stderr);
        assert!(!ran.stdout.contains("run moved-copy"), "{args:?}: {}", ran.stdout);
    }
}

#[test]
fn where_a_runs_folder_is_lost_its_tags_are_named() {
    let place = Place::new();
    let run = "20260921T141320Z-stop-aaaaaa";
    for command in ["rollback", "resume"] {
        let ran = place.run(&[command, run]).exits(2);
        assert!(
            ran.stderr.contains(&format!("put back by tag: redrill sweep --run {run}\n")),
            "{}",
            ran.stderr
        );
        assert!(!place.run(&[command, "last"]).exits(2).stderr.contains("sweep"));
    }
}

#[test]
fn a_run_that_was_thrown_away_is_missed() {
    let (place, ids) = a_place_with_runs();
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).expect("a valid time");
    for id in &ids {
        let id = redrill::model::RunId::from_existing(id);
        redrill::journal::chain::begin(&place.state(), &id, now, |_| String::new()).expect("on the list");
    }
    assert!(!place.run(&["runs"]).exits(0).stderr.contains("is not there"));
    std::fs::remove_dir_all(place.state().join("runs").join(&ids[0])).expect("thrown away");
    let told = place.run(&["runs"]).exits(0).stderr;
    assert!(told.contains(&format!("run {} began at", ids[0])) && told.contains("is not there"), "{told}");
}

#[test]
fn only_what_is_stuck_can_be_accepted_and_only_with_a_reason() {
    let place = Place::new();
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bundles/stuck");
    let journal = fs::read_to_string(golden.join("journal.jsonl")).expect("a journal");
    let header: Value = serde_json::from_str(journal.lines().next().expect("a line")).expect("JSON");
    let id = header["run"].as_str().expect("an id");
    let run = place.state().join("runs").join(id);
    fs::create_dir_all(&run).expect("made");
    for name in ["journal.jsonl", "plan.json", "drill.yaml"] {
        fs::copy(golden.join(name), run.join(name)).expect("copied");
    }
    let stuck = "detach/subnet-00000000000000003";
    let ran = place.run(&["rollback", id, "--accept", stuck]).exits(2);
    assert!(ran.stderr.contains("--reason"), "{}", ran.stderr);
    let ran = place.run(&["rollback", id, "--accept", stuck, "--reason", " "]).exits(2);
    assert!(ran.stderr.contains("the reason is empty"), "{}", ran.stderr);
    for other in ["detach/subnet-00000000000000004", "detach", "nothing/at-all"] {
        let ran = place.run(&["rollback", id, "--accept", other, "--reason", "meant"]).exits(2);
        let told = format!("redrill: `{other}` is not stuck, so there is nothing to accept\n");
        assert!(ran.stderr.starts_with(&told), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("stuck is: {stuck}")), "{}", ran.stderr);
    }
    // what is stuck is taken; there is no world here to go on in
    let ran = place.run(&["rollback", id, "--accept", stuck, "--reason", "meant"]);
    assert!(ran.code != 0 && !ran.stderr.contains("accept"), "{}", ran.stderr);
    assert_eq!(
        fs::read_to_string(run.join("journal.jsonl")).expect("there"),
        journal,
        "nothing was recorded"
    );
}
