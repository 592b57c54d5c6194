//! Tests of runs on disk: found, locked, asked.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::journal::writer::encode;
use crate::journal::{Measured, NO_PREVIOUS};
use crate::model::Stamp;

const A: &str = "20260101T000000Z-rds-restore-aaaaaa";
const B: &str = "20260102T000000Z-rds-restore-bbbbbb";
const C: &str = "20270102T000000Z-az-outage-cccccc";

fn state() -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    for id in [A, B, C] {
        create(state.path(), &RunId::from_existing(id), b"{}", b"x: 1\n").unwrap();
    }
    state
}

fn finished(run: &RunDir) {
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
fn a_run_and_a_target_are_locked_once() {
    let state = state();
    let (a, b) = (find(state.path(), A).unwrap(), find(state.path(), B).unwrap());
    let held = lock(&a).unwrap();
    let said = lock(&a).unwrap_err().to_string();
    assert_eq!(said, format!("run {A} is in use by run {A} (process {})", std::process::id()));
    let other = lock(&b).unwrap();
    drop((held, other));
    lock(&a).unwrap();

    let keys = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let first =
        TargetLocks::take(state.path(), a.id(), &keys(&["1/eu/db/x", "1/eu/db/x", "1/eu/db/y"])).unwrap();
    let error = TargetLocks::take(state.path(), b.id(), &keys(&["1/eu/db/w", "1/eu/db/y"])).unwrap_err();
    assert!(error.to_string().starts_with(&format!("target 1/eu/db/y is in use by run {A}")), "{error}");
    TargetLocks::take(state.path(), b.id(), &keys(&["1/eu/db/w"]))
        .expect("a refused take leaves nothing locked");
    drop(first);
    TargetLocks::take(state.path(), b.id(), &keys(&["1/eu/db/y"])).unwrap();
}

#[test]
fn runs_of_two_state_folders_lock_a_target_once() {
    let (state, other) = (state(), tempfile::tempdir().unwrap());
    let (a, b) = (RunId::from_existing(A), RunId::from_existing(B));
    let machine = other.path().join("redrill-0");
    let keys = ["1/eu/db/x".to_owned()];
    let first = TargetLocks::on_machine(&machine, &a, &keys).unwrap();
    assert!(TargetLocks::take(state.path(), &b, &keys).is_ok(), "each state folder has its own");
    let error = TargetLocks::on_machine(&machine, &b, &keys).unwrap_err();
    assert!(error.to_string().starts_with(&format!("target 1/eu/db/x is in use by run {A}")), "{error}");
    drop(first);
    TargetLocks::on_machine(&machine, &b, &keys).unwrap();
    // where everybody may write, the name may be anything
    let link = other.path().join("link");
    std::os::unix::fs::symlink(&machine, &link).unwrap();
    assert!(matches!(TargetLocks::on_machine(&link, &b, &keys), Err(RunsError::NotAFolder { .. })));
}
