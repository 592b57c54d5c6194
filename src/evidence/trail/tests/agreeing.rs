//! A comparison is believed as far as it agrees with itself, figure by figure; and small rules at their edges.

use super::*;
use crate::evidence::trail::calls::{Call, calls};
use crate::evidence::trail::digest::LogFile;

/// A comparison that holds, of the run with these lines.
fn told() -> (Vec<Line>, Reconciliation) {
    let lines = run().finish(100);
    let told = compare(&lines, &recorded());
    assert!(told.holds && agrees_with_itself(&told), "the twin: as it was made");
    (lines, told)
}

#[test]
fn each_figure_is_that_of_the_calls_that_are_listed() {
    let (_, told) = told();
    let changes: [fn(&mut Counts); 7] = [
        |c| c.calls += 1,
        |c| c.matched -= 1,
        |c| c.probable -= 1,
        |c| c.missing += 1,
        |c| c.contradicted += 1,
        |c| c.not_coverable += 1,
        |c| c.unexplained += 1,
    ];
    for holds in [true, false] {
        for (n, change) in changes.iter().enumerate() {
            let mut other = told.clone();
            other.holds = holds;
            assert!(agrees_with_itself(&other), "what does not hold may be told of anything");
            change(&mut other.counts);
            assert!(!agrees_with_itself(&other), "figure {n}, holds: {holds}");
        }
    }
}

#[test]
fn a_call_counts_as_found_where_its_own_record_is_there() {
    let (_, told) = told();
    let changes: [fn(&mut Reconciliation); 4] = [
        |r| r.calls[0].record = None,
        |r| r.calls[2].record = None,
        |r| r.calls[0].record.as_mut().unwrap().request_id = Some("another".to_owned()),
        |r| (r.calls[0].request_id, r.calls[0].record.as_mut().unwrap().request_id) = (None, None),
    ];
    assert_eq!((told.calls[0].class, told.calls[2].class), (Class::Matched, Class::Probable));
    for (n, change) in changes.iter().enumerate() {
        let mut other = told.clone();
        other.holds = false;
        change(&mut other);
        assert!(!agrees_with_itself(&other), "change {n}");
    }
    // what is probable has no request id to be found by
    let mut other = told;
    other.calls[2].record.as_mut().unwrap().request_id = Some("its own".to_owned());
    assert!(agrees_with_itself(&other));
}

#[test]
fn there_are_no_fewer_records_than_calls_that_were_found() {
    let (_, mut told) = told();
    assert_eq!((told.counts.matched, told.counts.probable), (3, 1));
    for (records, of_session, believed) in
        [(4, 4, true), (5, 4, true), (4, 3, false), (3, 4, false), (9, 3, false)]
    {
        (told.counts.records, told.counts.of_session) = (records, of_session);
        for holds in [true, false] {
            told.holds = holds;
            assert_eq!(agrees_with_itself(&told), believed, "{records} {of_session} {holds}");
        }
    }
}

#[test]
fn what_holds_is_whole_and_has_a_match() {
    let (_, told) = told();
    let changes: [fn(&mut Reconciliation); 5] = [
        |r| r.counts.malformed = 1,
        |r| r.counts.unreadable_files = 1,
        |r| {
            r.calls[0].class = Class::Missing;
            (r.counts.matched, r.counts.missing) = (2, 1);
        },
        |r| {
            r.calls[0].class = Class::Contradicted;
            (r.counts.matched, r.counts.contradicted) = (2, 1);
        },
        |r| {
            r.unexplained.push(r.calls[0].record.clone().unwrap());
            r.counts.unexplained = 1;
        },
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut other = told.clone();
        change(&mut other);
        assert!(!agrees_with_itself(&other), "change {n}");
        other.holds = false;
        assert!(agrees_with_itself(&other), "change {n}: it does not say that it holds");
    }
    let mut none = told.clone();
    none.calls.retain(|c| c.class == Class::Probable);
    (none.counts.calls, none.counts.matched) = (1, 0);
    assert!(!agrees_with_itself(&none));
    none.holds = false;
    assert!(agrees_with_itself(&none));
    for (holds, standing) in [(true, Standing::Proven), (false, Standing::Proven)] {
        let mut other = told.clone();
        (other.holds, other.standing, other.proof) = (holds, Some(standing), None);
        assert!(!agrees_with_itself(&other), "nothing proves it");
    }
    for standing in [None, Some(Standing::Differs)] {
        let mut other = told.clone();
        other.standing = standing;
        assert!(agrees_with_itself(&other), "{standing:?}");
    }
}

#[test]
fn a_comparison_is_of_this_run_with_these_calls() {
    let (lines, told) = told();
    let of = |told: &Reconciliation| of_run(&serde_json::to_vec(told).unwrap(), &lines).unwrap().is_some();
    assert!(of(&told));
    let mut other = told.clone();
    other.run = RunId::from_existing("20260921T141320Z-shop-bbbbbb");
    assert!(!of(&other), "another run");
    let mut other = told.clone();
    other.calls.pop();
    (other.counts.calls, other.counts.matched) = (3, 2);
    assert!(agrees_with_itself(&other) && !of(&other), "an earlier state of it");
    let mut other = told;
    let id = Some("req-another".to_owned());
    (other.calls[0].request_id, other.calls[0].record.as_mut().unwrap().request_id) = (id.clone(), id);
    assert!(agrees_with_itself(&other) && !of(&other), "other calls");
    assert!(of_run(b"{}", &lines).is_err());
}

#[test]
fn each_class_has_its_words() {
    use Class::{Contradicted, Matched, Missing, NotCoverable, Probable};
    let names = [Matched, Probable, Missing, Contradicted, NotCoverable].map(Class::name);
    assert_eq!(names, ["matched", "probable", "no record", "contradicted", "not coverable"]);
    // records are what most files are, and it is not said of each
    let kinds = [FileKind::Log, FileKind::Digest, FileKind::Signature, FileKind::Keys];
    assert_eq!(kinds.map(|k| k.is_log()), [true, false, false, false]);
}

#[test]
fn a_call_is_known_by_the_names_in_its_own_parameters() {
    let of = |params: Value| -> Call {
        let mut j = run();
        j.call(70, "ec2:RunInstances", params, Some("req-run"), None);
        calls(&j.finish(100)).pop().expect("a call")
    };
    let names = |params: Value| of(params).names;
    assert_eq!(names(json!({ "ids": ["i-1", "i-2"] })), ["i-1", "i-2"]);
    assert_eq!(names(json!({ "distribution": "E1" })), ["E1"]);
    assert_eq!(names(json!({ "spec": { "source": "a", "target": "b" } })), ["b"]);
    // what a resource is made like is no name of the call's
    assert_eq!(names(json!({ "like": { "ids": ["i-3"] }, "image": "ami-1", "id": 7 })), [""; 0]);
    let by_policy = "no VPC endpoint policy allows the ec2:StopInstances action";
    for (kind, message, told) in [
        ("throttled", "", true),
        ("expired", "", true),
        ("clock_skew", "", true),
        ("server", "", true),
        ("denied", by_policy, true),
        ("denied", "no identity-based policy allows the ec2:StopInstances action", false),
        ("invalid", by_policy, false),
        ("timeout", "", false),
    ] {
        let mut j = run();
        j.call(70, "ec2:StopInstances", json!({}), None, Some(kind));
        let mut call = calls(&j.finish(100)).pop().expect("a call");
        call.error.as_mut().expect("an error").message = message.to_owned();
        assert_eq!(call.unrecorded().is_some(), told, "{kind} {message}");
    }
}

#[test]
fn a_log_file_may_hold_what_lies_between_its_oldest_and_its_newest_event() {
    let file = |oldest: Option<i64>, newest: Option<i64>| -> LogFile {
        let time = |s: Option<i64>| s.map(|s| at(s).to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
        serde_json::from_value(json!({
            "s3Bucket": "trail",
            "s3Object": "AWSLogs/1/CloudTrail/eu-west-1/2026/09/21/a.json.gz",
            "hashValue": "00",
            "hashAlgorithm": "SHA-256",
            "newestEventTime": time(newest),
            "oldestEventTime": time(oldest),
        }))
        .expect("a log file")
    };
    assert_eq!(file(None, None).name(), "a.json.gz");
    for (oldest, newest, may) in [
        (Some(10), Some(20), true),
        (Some(0), Some(10), true),
        (Some(0), Some(9), false),
        (Some(20), Some(30), true),
        (Some(21), Some(30), false),
        (None, Some(9), false),
        (Some(21), None, false),
        (None, None, true),
    ] {
        assert_eq!(file(oldest, newest).may_hold((at(10), at(20))), may, "{oldest:?} {newest:?}");
    }
}
