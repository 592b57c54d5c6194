//! When a session begins and ends, and what ties a record to it.

use super::super::tests::{at, run};
use super::*;

#[test]
fn the_tolerance_is_a_minute_and_what_the_clocks_were_apart() {
    let with = |skews: &[i64]| {
        let mut lines = run().finish(100);
        for ms in skews {
            let mut line = lines[1].clone();
            line.event = Event::Skew { ms: *ms };
            lines.insert(1, line);
        }
        Session::of(&lines).expect("a header")
    };
    for (skews, seconds) in [
        (&[][..], 60),
        (&[2_000], 62),
        (&[-3_000], 63),
        (&[1_000, -5_000, 2_000], 65),
        // a journal may say anything
        (&[i64::MIN], 60 + 86_400),
    ] {
        let session = with(skews);
        assert_eq!(session.tolerance, TimeDelta::seconds(seconds), "{skews:?}");
        assert_eq!((session.from, session.to), (at(20 - seconds), at(100 + seconds)));
        assert_eq!(session.ended, at(100));
        for (s, covered) in [
            (20 - seconds - 1, false),
            (20 - seconds, true),
            (100 + seconds, true),
            (100 + seconds + 1, false),
        ] {
            assert_eq!(session.covers(at(s)), covered, "{s}");
        }
    }
    assert_eq!(Session::of(&[]), None);
    assert_eq!(Session::of(&run().finish(100)[1..]), None);
}

#[test]
fn the_caller_is_known_by_the_last_part_of_its_name() {
    let mut session = Session::of(&run().finish(100)).expect("a header");
    assert_eq!(session.app_name(), "redrill-20260921T141320Z-shop-aaaaaa");
    for (caller, user) in [
        ("arn:aws:sts::123456789012:assumed-role/drill/quarterly", "quarterly"),
        ("arn:aws:iam::123456789012:user/ops/deploy", "deploy"),
        ("arn:aws:iam::123456789012:root", "root"),
        ("root", "root"),
    ] {
        session.caller = caller.to_owned();
        assert_eq!(session.user(), user);
    }
}

#[test]
fn a_user_agent_names_a_run_in_a_word_of_its_own() {
    for (agent, named) in [
        ("aws-sdk-rust/1.3 app/redrill-a-1 os/linux", Some("a-1")),
        ("[app/redrill-a-1]", Some("a-1")),
        ("x,app/redrill-a-1;y", Some("a-1")),
        ("(app/redrill-a-1)", Some("a-1")),
        ("xapp/redrill-a-1", None),
        ("app/other", None),
        ("", None),
    ] {
        assert_eq!(named_run(agent), named, "{agent}");
    }
}
