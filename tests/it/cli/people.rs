//! `mark`, `confirm` and `abort`: requests in the inbox of a run.

use std::fs;

use redrill::journal::runs::{self, Request};
use serde_json::json;

use super::{Place, fixture, text_of};

#[test]
fn requests_are_left_in_their_order_with_who_and_when() {
    let place = Place::new();
    let dir = place.run_of(&text_of(&fixture("stop")), 1);
    // what is finished takes no more, so this one is cut in the middle
    let journal = fs::read_to_string(dir.journal()).expect("a journal");
    fs::write(dir.journal(), journal.split_inclusive('\n').take(20).collect::<String>()).expect("written");
    let id = dir.id();
    assert_eq!(
        place.run(&["mark", "last", "ack", "--note", "mine"]).all(),
        (0, format!("mark left for run {id}\n").as_str(), "")
    );
    let at = ["mark", "last", "declare", "--at", "2026-09-21T14:00:00Z"];
    let _ = place.run(&at).exits(0);
    assert_eq!(
        place.run(&["confirm", "last", "tell", "--output", "json"]).exits(0).json(),
        [json!({"run": id, "left": "confirmation"})]
    );
    let _ = place.run(&["abort", "last", "--note", "enough"]).exits(0);
    let dir = runs::find(&place.state(), id.as_str()).expect("found");
    let taken = dir.take_all().expect("the inbox");
    let who = |by: &str| assert!(by.starts_with("tester@") && by.len() > 7, "{by}");
    let [
        Request::Mark { by, note, .. },
        Request::Mark { at, .. },
        Request::Confirm { step, .. },
        Request::Abort { note: why, .. },
    ] = taken.as_slice()
    else {
        panic!("{taken:?}");
    };
    who(by);
    assert_eq!((note.as_str(), step.as_str(), why.as_str()), ("mine", "tell", "enough"));
    assert_eq!(at.to_rfc3339(), "2026-09-21T14:00:00+00:00");
    assert!(dir.take_all().expect("the inbox").is_empty());
}

#[test]
fn a_finished_run_takes_no_requests() {
    let place = Place::new();
    let dir = place.run_of(&text_of(&fixture("stop")), 1);
    for args in [&["mark", "last", "ack"][..], &["confirm", "last", "tell"], &["abort", "last"]] {
        let ran = place.run(args).exits(2);
        let want =
            format!("redrill: run {} is finished already (passed); nobody would see a request\n", dir.id());
        assert!(ran.stderr.starts_with(&want), "{}", ran.stderr);
    }
    assert!(dir.take_all().expect("the inbox").is_empty());
}

#[test]
fn wrong_marks_and_times_are_wrong_usage() {
    let place = Place::new();
    let mark = place.run(&["mark", "last", "panic"]).exits(2);
    assert!(mark.stderr.contains("[possible values: detected, ack, declare, note]"), "{}", mark.stderr);
    let time = place.run(&["mark", "last", "ack", "--at", "yesterday"]).exits(2);
    assert!(time.stderr.contains("2026-01-31T14:05:00Z"), "it shows how a time is written: {}", time.stderr);
    let none = place.run(&["mark", "last", "ack"]).exits(2);
    assert!(none.stderr.starts_with("redrill: there are no runs in .redrill\n"), "{}", none.stderr);
}
