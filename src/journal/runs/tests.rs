//! Tests of runs on disk: found, locked, asked.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::journal::writer::encode;
use crate::journal::{Measured, NO_PREVIOUS};
use crate::model::Stamp;

const A: &str = "20260101T000000Z-rds-restore-aaaaaa";
const B: &str = "20260102T000000Z-rds-restore-bbbbbb";
const C: &str = "20270102T000000Z-az-outage-cccccc";

pub(super) fn state() -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    for id in [A, B, C] {
        create(state.path(), &RunId::from_existing(id), b"{}", b"x: 1\n").unwrap();
    }
    state
}

pub(super) fn finished(run: &RunDir) {
    let header = Event::Header {
        format: 1,
        redrill: "0.1.0".into(),
        run: run.id().clone(),
        drill: "rds-restore".into(),
        title: String::new(),
        plan_sha256: String::new(),
        world: World::Sim,
        account: "1".into(),
        caller: String::new(),
        region: "eu-west-1".into(),
        rto_ms: 5,
        give_up_ms: 10,
        chain: None,
    };
    let measured = Box::new(Measured { rta_ms: Some(4), ..Measured::default() });
    let end = Event::Finished { verdict: Verdict::Passed, exit_code: 0, reasons: vec![], measured };
    let stamp = Stamp { at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(), mono_ms: 0 };
    let bytes = encode(0, NO_PREVIOUS, stamp, &[header, end]).unwrap().0;
    std::fs::write(run.journal(), bytes).unwrap();
}

#[test]
fn a_run_is_found_by_id_prefix_path_and_last() {
    let state = state();
    let s = state.path();
    let name = |what: &str| find(s, what).unwrap().id().as_str().to_owned();
    assert_eq!(name(A), A);
    assert_eq!(name("2027"), C);
    assert_eq!(name("20260102"), B);
    assert_eq!(name("last"), C);
    let path = s.join("runs").join(B);
    assert_eq!(name(path.to_str().unwrap()), B);
    finished(&find(s, B).unwrap());
    assert_eq!(name(path.join(JOURNAL).to_str().unwrap()), B);
}

#[test]
fn what_is_not_found_says_what_is_near() {
    let state = state();
    let said = |what: &str| find(state.path(), what).unwrap_err().to_string();
    assert_eq!(said("2026"), format!("`2026` could be any of {A}, {B}"));
    assert_eq!(said("rds-restore"), format!("no run `rds-restore`; did you mean `{B}`?"));
    assert_eq!(
        said(&A.replace("aaaaaa", "aaaaab")),
        format!("no run `20260101T000000Z-rds-restore-aaaaab`; did you mean `{A}`?")
    );
    assert_eq!(said("zzz"), "no run `zzz`");
    assert_eq!(said("./nowhere"), "no run `./nowhere`");
    assert!(matches!(find(state.path(), ""), Err(RunsError::NotFound { .. })));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(find(empty.path(), "last"), Err(RunsError::NoRuns { .. })));
    assert_eq!(list(empty.path()).unwrap(), []);
}

#[test]
fn every_run_is_listed_even_one_without_a_whole_line() {
    let state = state();
    finished(&find(state.path(), A).unwrap());
    std::fs::write(find(state.path(), B).unwrap().journal(), "{\"seq\":0,").unwrap();
    let all = list(state.path()).unwrap();
    assert_eq!(all.iter().map(|e| e.run.as_str()).collect::<Vec<_>>(), [A, B, C]);
    assert_eq!(all[0].verdict, Some(Verdict::Passed));
    assert_eq!(
        (all[0].rta_ms, all[0].rto_ms, all[0].region.as_deref()),
        (Some(4), Some(5), Some("eu-west-1"))
    );
    for (entry, drill, day) in [(&all[1], "rds-restore", "2026-01-02"), (&all[2], "az-outage", "2027-01-02")]
    {
        assert_eq!((entry.verdict, entry.drill.as_deref()), (None, Some(drill)));
        assert_eq!(entry.started_at.unwrap().format("%F").to_string(), day);
    }
    let json = serde_json::to_value(&all[1]).unwrap();
    assert!(json["verdict"].is_null() && json["started_at"].is_string(), "{json}");
}

#[test]
fn a_run_is_for_its_owner_only_and_is_never_made_twice() {
    let state = state();
    let run = find(state.path(), A).unwrap();
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(run.path()), mode(&run.plan()), mode(&run.drill())), (0o700, 0o600, 0o600));
    assert_eq!(run.read(DRILL).unwrap(), b"x: 1\n");
    assert!(create(state.path(), run.id(), b"", b"").is_err());
    let left = std::fs::read_dir(run.path()).unwrap().count();
    assert_eq!(left, 3, "plan, drill, inbox and nothing temporary");
}

#[test]
fn a_link_to_a_state_folder_that_is_not_there_is_not_one_without_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (state, share) = (folder.path().join("state"), folder.path().join("share"));
    assert_eq!(list(&state).unwrap(), []);
    std::os::unix::fs::symlink(&share, &state).unwrap();
    assert!(matches!(list(&state), Err(RunsError::Io { .. })));
    std::fs::create_dir(&share).unwrap();
    assert_eq!(list(&state).unwrap(), []);
}

#[test]
fn links_in_the_state_folder_are_not_followed() {
    let elsewhere = tempfile::tempdir().unwrap();
    let state = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), state.path().join("runs")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), state.path().join("locks")).unwrap();
    let id = RunId::from_existing(A);
    assert!(matches!(create(state.path(), &id, b"", b""), Err(RunsError::NotAFolder { .. })));
    let keys = ["k".to_owned()];
    assert!(matches!(TargetLocks::take(state.path(), &id, &keys), Err(RunsError::NotAFolder { .. })));
    assert_eq!(list(state.path()).unwrap(), []);
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_run_is_what_line_1_of_its_journal_says() {
    let state = state();
    let run = find(state.path(), A).unwrap();
    finished(&run);
    let copy = state.path().join("moved-copy");
    std::fs::rename(run.path(), &copy).unwrap();
    for what in [copy.clone(), copy.join(JOURNAL)] {
        assert_eq!(find(state.path(), what.to_str().unwrap()).unwrap().id().as_str(), A);
    }
    // beside the others, too; the run's own folder goes before a copy
    let beside = state.path().join("runs").join("20250101T000000Z-copy-aaaaaa");
    std::fs::rename(&copy, &beside).unwrap();
    assert_eq!(find(state.path(), A).unwrap().path(), beside);
    assert!(find(state.path(), "20250101").is_err(), "that is nobody's id");
    assert_eq!(list(state.path()).unwrap()[0].run.as_str(), A);
    let own = create(state.path(), &RunId::from_existing(A), b"{}", b"").unwrap();
    std::fs::copy(beside.join(JOURNAL), own.journal()).unwrap();
    assert_eq!(find(state.path(), A).unwrap().path(), own.path());
}

#[test]
fn an_end_is_seen_however_long_its_line_is_and_whatever_stands_behind_it() {
    let state = state();
    let run = find(state.path(), A).unwrap();
    finished(&run);
    let text = std::fs::read_to_string(run.journal()).unwrap();
    let (head, end) = text.split_once('\n').unwrap();
    let filler = format!("{{\"x\":\"{}\"}}\n", "y".repeat(3_000));
    let wide = end.replacen("\"notes\":[]", &format!("\"notes\":[\"{}\"]", "z".repeat(900_000)), 1);
    assert!(wide.len() > 900_000);
    for (before, behind) in [(0, 0), (400, 0), (400, 5)] {
        let text = [head, "\n", &filler.repeat(before), &wide, &filler.repeat(behind)].concat();
        std::fs::write(run.journal(), text).unwrap();
        let entry = entry_of(&run);
        assert_eq!((entry.verdict, entry.rta_ms), (Some(Verdict::Passed), Some(4)), "{before} {behind}");
        assert_eq!(entry.drill.as_deref(), Some("rds-restore"));
    }
}

#[test]
fn a_run_that_was_taken_up_again_is_open_until_it_ends_again() {
    let state = state();
    let run = find(state.path(), A).unwrap();
    finished(&run);
    assert!(!entry_of(&run).is_open());
    let (host, user, redrill) = (String::new(), String::new(), String::new());
    let again =
        Event::Attached { mode: crate::journal::Mode::Rollback, pid: 1, host, user, redrill, boot: None };
    let stamp = Stamp { at: DateTime::from_timestamp(1_800_000_001, 0).unwrap(), mono_ms: 0 };
    let mut bytes = std::fs::read(run.journal()).unwrap();
    bytes.extend(encode(2, NO_PREVIOUS, stamp, &[again]).unwrap().0);
    std::fs::write(run.journal(), bytes).unwrap();
    assert_eq!((entry_of(&run).verdict, entry_of(&run).rta_ms), (None, None));
}

#[test]
fn what_may_not_be_looked_at_is_not_said_to_be_empty() {
    let place = tempfile::tempdir().unwrap();
    let state = place.path().join("loop");
    std::os::unix::fs::symlink(&state, &state).unwrap();
    assert!(matches!(list(&state), Err(RunsError::Io { .. })));
    assert_eq!(list(&place.path().join("nowhere")).unwrap(), []);
}
