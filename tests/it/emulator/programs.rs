//! A program of `command` ends with redrill, however redrill ends; what is left is ended before it is undone.

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::drills::{Parts, network};
use super::world::{Ended, REDRILL, Running, World};
use crate::programs::{lives, signal, told, until};

/// Breaks again and again until it is ended, and has a child that leaves the group and does the same.
const BREAKS: &str = "setsid sh -c 'echo $$ > child; while :; do touch BROKEN; sleep 0.05; done' &
    echo $$ > own; while :; do touch BROKEN; sleep 0.05; done";
/// Says whether what it undoes was still at work.
const MENDS: &str =
    "for p in $(cat own child); do grep -v ') Z ' /proc/$p/stat && touch OVERLAP; done; rm -f BROKEN";

fn broken_by(w: &World, fault: &str, undo: &str) -> Parts {
    let mut drill = network(w).top("impact: none-expected");
    let (home, one) = (w.home.path().display().to_string(), fault.replace('\n', " "));
    let with = json!({
        "argv": ["/bin/sh", "-c", one], "cwd": home, "timeout": "10m",
        "undo": { "argv": ["/bin/sh", "-c", undo], "cwd": home, "timeout": "10m" },
    });
    drill.fault = format!("  - {{ action: command, id: break, with: {with} }}");
    drill.recovery = String::new();
    drill.targets = " {}".to_owned();
    drill
}

/// What the fault's program and its child are known by, and the guard's process id, once all are there.
async fn at_work(w: &World, run: &mut Running) -> ([String; 2], String) {
    let started = run.event("program-started").await;
    let file = |name: &str| w.home.path().join(name);
    let pids = [told(&file("own")).await, told(&file("child")).await];
    (pids, started["program"]["pid"].to_string())
}

fn there(w: &World, file: &str) -> bool {
    Path::new(&w.home.path().join(file)).exists()
}

fn ends(ended: &Ended) -> Vec<Value> {
    ended.events("program-ended").iter().map(|e| e["how"].clone()).collect()
}

#[tokio::test]
async fn kill_9_ends_the_program_too_and_a_rollback_puts_back_for_good() {
    let Some(w) = World::start().await else { return };
    let mut run = w.start_run(&broken_by(&w, BREAKS, MENDS).text());
    let (pids, guard) = at_work(&w, &mut run).await;
    run.kill().await;
    // nobody but the guard is there to end it
    until("all are gone", || !pids.iter().chain([&guard]).any(|pid| lives(pid))).await;
    assert!(there(&w, "BROKEN"));
    let ended = w.take_up("rollback").end().await;
    assert_eq!(ended.code, Some(0), "{ended}");
    assert_eq!(ends(&ended), ["gone", "seen"], "{ended}");
    assert!(!there(&w, "BROKEN") && !there(&w, "OVERLAP"), "{ended}");
}

#[tokio::test]
async fn a_program_whose_guard_was_killed_as_well_is_ended_before_it_is_undone() {
    let Some(w) = World::start().await else { return };
    for verb in ["rollback", "resume"] {
        let _fresh = std::fs::remove_file(w.home.path().join("own"));
        let _fresh = std::fs::remove_file(w.home.path().join("child"));
        let mut run = w.start_run(&broken_by(&w, BREAKS, MENDS).text());
        let (pids, guard) = at_work(&w, &mut run).await;
        signal(&guard, Signal::STOP);
        run.kill().await;
        signal(&guard, Signal::KILL);
        assert!(pids.iter().all(|pid| lives(pid)), "nothing has ended them");
        let ended = w.take_up(verb).end().await;
        // a resumed run goes on, and finds that its fault did not come to its end
        assert_eq!(ended.code, Some(if verb == "rollback" { 0 } else { 14 }), "{ended}");
        assert_eq!(ends(&ended), ["ended", "seen"], "{ended}");
        assert!(!pids.iter().any(|pid| lives(pid)), "{ended}");
        assert!(!there(&w, "BROKEN") && !there(&w, "OVERLAP"), "{ended}");
    }
}

#[tokio::test]
async fn a_rollback_after_kill_9_says_on_the_screen_what_it_ends() {
    let Some(w) = World::start().await else { return };
    let mut run = w.start_run(&broken_by(&w, BREAKS, MENDS).text());
    let (pids, guard) = at_work(&w, &mut run).await;
    // the guard would have ended it by the time that a busy machine has begun the rollback
    signal(&guard, Signal::STOP);
    run.kill().await;
    signal(&guard, Signal::KILL);
    let ended = w.go(["rollback", "last"]).await;
    assert_eq!(ended.code, Some(0), "{ended}");
    let all = format!("{}{}", ended.out, ended.err);
    assert!(all.contains("break: its program was still running, and was ended"), "{all}");
    assert!(!pids.iter().any(|pid| lives(pid)) && !there(&w, "BROKEN") && !there(&w, "OVERLAP"), "{all}");
}

#[tokio::test]
async fn a_third_signal_leaves_no_program_behind() {
    let Some(w) = World::start().await else { return };
    let deaf = format!("trap '' TERM; {BREAKS}");
    let mut run = w.start_run(&broken_by(&w, &deaf, MENDS).text());
    let (pids, guard) = at_work(&w, &mut run).await;
    for _ in 0..2 {
        run.signal(Signal::INT);
        run.event("signal").await;
    }
    run.signal(Signal::INT);
    let left = run.end().await;
    assert_ne!(left.code, Some(0), "{left}");
    until("all are gone", || !pids.iter().chain([&guard]).any(|pid| lives(pid))).await;
}

#[tokio::test]
async fn a_binary_that_was_replaced_meanwhile_still_guards_what_it_starts() {
    let Some(w) = World::start().await else { return };
    let copy = w.home.path().join("redrill-of-yesterday");
    std::fs::copy(REDRILL, &copy).expect("copied");
    w.file("drill.yaml", &broken_by(&w, "touch BROKEN", "rm BROKEN").text());
    let mut command = tokio::process::Command::new(&copy);
    let like = w.redrill(["run", "drill.yaml", "--yes", "--output", "json"]);
    let like = like.as_std();
    command.env_clear().envs(like.get_envs().filter_map(|(k, v)| Some((k, v?)))).args(like.get_args());
    command.current_dir(w.home.path()).kill_on_drop(true);
    let mut run = Running::start(command);
    run.stage("baseline").await;
    // an upgrade puts another file at its path
    std::fs::remove_file(&copy).expect("removed");
    std::fs::copy("/bin/false", &copy).expect("another");
    let ended = run.end().await;
    assert_eq!(ends(&ended), ["seen", "seen"], "{ended}");
    assert!(!there(&w, "BROKEN"), "{ended}");
}

#[tokio::test]
async fn a_rollback_from_another_folder_starts_the_program_of_the_run() {
    let Some(w) = World::start().await else { return };
    let elsewhere = w.home.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a folder");
    for (folder, does) in [(w.home.path(), "rm -f BROKEN; touch MENDED"), (&elsewhere, "touch STRANGER")] {
        let program = folder.join("mend");
        std::fs::write(&program, format!("#!/bin/sh\n{does}\n")).expect("written");
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .expect("executable");
    }
    let mut drill = broken_by(&w, "true", "true");
    let argv = json!(["/bin/sh", "-c", "touch BROKEN; echo $$ > own; sleep 600"]);
    let with = json!({ "argv": argv, "timeout": "10m", "undo": { "argv": ["./mend"] } });
    drill.fault = format!("  - {{ action: command, id: break, with: {with} }}");
    let mut run = w.start_run(&drill.text());
    run.event("program-started").await;
    told(&w.home.path().join("own")).await;
    run.kill().await;
    let mut rollback = w.redrill(["--state", "../.redrill", "rollback", "last", "--output", "json"]);
    rollback.current_dir(&elsewhere);
    let ended = Running::start(rollback).end().await;
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(there(&w, "MENDED") && !there(&w, "BROKEN") && !there(&w, "elsewhere/STRANGER"), "{ended}");
}
