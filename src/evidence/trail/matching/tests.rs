//! What is said of a comparison, figure by figure, and the rules of a match at their edges.

use serde_json::json;

use super::super::proof::RegionProof;
use super::super::tests::{at, run};
use super::super::{Proof, Standing};
use super::*;
use crate::model::CallError;

/// A change of one thing, and what is said of it.
type Change<T> = (fn(&mut T), &'static str);

fn session() -> Session {
    Session::of(&run().finish(100)).expect("a header")
}

fn gathering() -> Gathering {
    Gathering::new(&session(), [])
}

fn files() -> Source {
    Source::Files { from: "trail".into(), files: vec![] }
}

/// A call that was sent at 30 and answered at 32.
fn call() -> Call {
    let mut j = run();
    j.call(30, "ec2:StopInstances", json!({"ids": ["i-1"]}), None, Some("timeout"));
    let mut call = calls::calls(&j.finish(100)).pop().expect("a call");
    call.answered_at = Some(at(32));
    call
}

fn record(id: &str, s: i64) -> TrailRecord {
    TrailRecord {
        event_id: id.into(),
        at: at(s),
        operation: "ec2:StopInstances".into(),
        region: "eu-west-1".into(),
        request_id: None,
        account: None,
        principal: None,
        access_key: None,
        invoked_by: None,
        user_agent: None,
        error: None,
        read_only: false,
        data: false,
        bucket: None,
        about: "i-1 i-2".into(),
        named: Default::default(),
    }
}

#[test]
fn each_figure_has_its_words_for_one_and_for_more() {
    type Figure = (fn(&mut Counts, usize), &'static str, &'static str);
    let figures: [Figure; 5] = [
        (|c, n| c.missing = n, "1 call without a record", "2 calls without a record"),
        (
            |c, n| c.contradicted = n,
            "1 call whose record says something else",
            "2 calls whose records say something else",
        ),
        (
            |c, n| c.unexplained = n,
            "1 change without an entry in the journal",
            "2 changes without an entry in the journal",
        ),
        (|c, n| c.unreadable_files = n, "1 file could not be read", "2 files could not be read"),
        (|c, n| c.malformed = n as u64, "1 record could not be read", "2 records could not be read"),
    ];
    let said =
        |counts: &Counts, changed| verdict(counts, false, Standing::Differs, changed, &session(), false);
    for (set, one, more) in figures {
        for (n, words) in [(1, one), (2, more)] {
            let mut counts = Counts { calls: 3, matched: 3, ..Counts::default() };
            set(&mut counts, n);
            assert_eq!(said(&counts, 0), format!("journal and trail do not agree: {words}"));
        }
    }
    let mut counts = Counts { calls: 3, matched: 3, ..Counts::default() };
    assert_eq!(said(&counts, 1), "journal and trail do not agree: 1 file that was changed after delivery");
    (counts.missing, counts.malformed) = (1, 2);
    assert_eq!(
        verdict(&counts, false, Standing::Unclear, 0, &session(), true),
        "journal and trail are not shown to agree: 1 call without a record, 2 records could not be read \
         (provisional: records may still arrive)"
    );
}

#[test]
fn where_no_figure_tells_it_the_next_best_reason_is_said() {
    let mut unfinished = session();
    unfinished.finished = false;
    for (calls, matched, not_coverable, probable, session, said) in [
        (0, 0, 0, 0, session(), "nothing to compare: the journal has no call"),
        (1, 0, 0, 0, session(), "nothing is shown: no call is matched by a record"),
        (
            1,
            0,
            1,
            0,
            session(),
            "nothing is shown: no call is matched by a record; 1 not coverable, 0 probable",
        ),
        (
            1,
            0,
            0,
            1,
            session(),
            "nothing is shown: no call is matched by a record; 0 not coverable, 1 probable",
        ),
        (3, 1, 1, 1, session(), "not conclusive: see the warnings; 1 not coverable, 1 probable"),
        (1, 1, 0, 0, unfinished, "not conclusive: the run has not come to its end"),
        (1, 1, 0, 0, session(), "not conclusive: see the warnings"),
    ] {
        let counts = Counts { calls, matched, not_coverable, probable, ..Counts::default() };
        assert_eq!(verdict(&counts, false, Standing::Unclear, 0, &session, false), said);
    }
    let counts = Counts { calls: 9, matched: 4, not_coverable: 2, probable: 3, ..Counts::default() };
    assert_eq!(
        verdict(&counts, true, Standing::Proven, 0, &session(), false),
        "journal and trail agree: all 4 calls that the trail can cover are matched; 2 not coverable, 3 probable"
    );
}

#[test]
fn what_leaves_it_open_is_said_in_this_order() {
    let region = |gap: Option<&str>, missing, unchecked| RegionProof {
        region: "eu-west-1".into(),
        trail: None,
        from: None,
        until: None,
        digests: 1,
        log_files: 1,
        missing,
        unchecked,
        gap: gap.map(str::to_owned),
    };
    let proof = |regions: Vec<RegionProof>, unvouched| Proof {
        proven: false,
        complete: false,
        digests: 1,
        keys: vec![],
        regions,
        unvouched,
        changed: vec![],
        open: vec![],
        included: Included::Run,
    };
    let checked = "that name log files of the run's time could not be checked";
    for (regions, unvouched, absence_counts, said) in [
        (vec![region(None, 1, 1), region(Some("a gap"), 0, 0)], 1, false, "eu-west-1: a gap".to_owned()),
        (
            vec![region(None, 1, 1), region(None, 0, 0)],
            1,
            false,
            "1 digest that names log files of the run's time could not be checked".into(),
        ),
        (vec![region(None, 1, 1), region(None, 0, 2)], 1, false, format!("3 digests {checked}")),
        (vec![region(None, 1, 0)], 2, false, "1 log file that the digests name is not there".into()),
        (vec![region(None, 1, 0); 2], 1, false, "2 log files that the digests name are not there".into()),
        (vec![region(None, 0, 0)], 1, false, "no digest vouches for the record of 1 call".into()),
        (vec![region(None, 0, 0)], 2, false, "no digest vouches for the records of 2 calls".into()),
        (
            vec![region(None, 0, 0)],
            0,
            false,
            "the trail shows no change by anybody; it may leave changes out".into(),
        ),
        (
            vec![region(None, 0, 0)],
            0,
            true,
            "the digests hold, but not all that they vouch for is shown".into(),
        ),
    ] {
        assert_eq!(unclear(Some(&proof(regions, unvouched)), &files(), absence_counts), said);
    }
    assert_eq!(unclear(None, &files(), true), "no digest file of CloudTrail vouches for these files");
    let lookup = Source::Lookup { regions: vec![], user: String::new(), from: at(0), to: at(1) };
    assert_eq!(
        unclear(None, &lookup, true),
        "LookupEvents signs nothing; name a trail's files with their digests"
    );
}

#[test]
fn an_access_key_is_shown_without_its_middle_or_not_at_all() {
    for (key, shown) in [
        ("", "…"),
        ("ABCDEFGHIJK", "…"),
        ("ABCDEFGHIJKL", "ABCD…IJKL"),
        ("ASIAEXAMPLEKEY000001", "ASIA…0001"),
    ] {
        assert_eq!(masked(key), shown);
    }
}

#[test]
fn a_record_is_of_the_call_within_the_tolerance_and_no_further() {
    let (session, call) = (session(), call());
    assert_eq!(session.tolerance, TimeDelta::seconds(60));
    let unanswered = Call { answered_at: None, ..call.clone() };
    for (call, s, fits) in [
        (&call, 30 - 61, false),
        (&call, 30 - 60, true),
        (&call, 32 + 60, true),
        (&call, 32 + 61, false),
        (&unanswered, 30 + 60, true),
        (&unanswered, 30 + 61, false),
    ] {
        let r = record("a", s);
        let time = format!("the record with its request id is of {}", utc(r.at));
        assert_eq!(differs(call, &r, &session), (!fits).then_some(time), "{s}");
        // the same for a call whose answer was lost
        let mut results = [certain(call, &session, &BTreeMap::new(), &gathering())];
        let claimed = probable(std::slice::from_ref(call), &mut results, &[(&r, "caller")], &session);
        assert_eq!((results[0].class == Class::Probable, claimed.len()), (fits, usize::from(fits)), "{s}");
    }
    let changes: [Change<TrailRecord>; 3] = [
        (|r| r.operation = "ec2:StartInstances".into(), "ec2:StartInstances"),
        (|r| r.account = Some("999999999999".into()), "account 999999999999"),
        (|r| r.user_agent = Some("app/redrill-another".into()), "run another"),
    ];
    for (change, says) in changes {
        let mut r = record("a", 31);
        change(&mut r);
        let says = format!("the record with its request id is of {says}");
        assert_eq!(differs(&call, &r, &session), Some(says));
    }
    let mut own = record("a", 31);
    own.account = Some("123456789012".into());
    own.user_agent = Some(format!("aws-sdk-rust/1 app/{}", session.app_name()));
    assert_eq!(differs(&call, &own, &session), None);
}

#[test]
fn a_lost_answers_record_is_the_nearest_that_names_the_same_and_is_not_taken() {
    let session = session();
    let records = [record("far", 40), record("b", 29), record("a", 31), record("other", 30)];
    let mut left: Vec<(&TrailRecord, &'static str)> = records.iter().map(|r| (r, "caller")).collect();
    let mut other = records[3].clone();
    other.about = "i-3".into();
    left[3].0 = &other;
    let unanswered = call();
    let refused = |kind: &str, id: Option<&str>| {
        let error = unanswered.error.clone().map(|e| CallError { kind: kind.into(), ..e });
        Call { error, request_id: id.map(str::to_owned), ..unanswered.clone() }
    };
    let calls = [
        refused("unreachable", None),
        refused("timeout", Some("its own")),
        unanswered.clone(),
        unanswered.clone(),
        // one that names nothing may be any
        Call { names: vec![], ..unanswered.clone() },
        unanswered.clone(),
        unanswered,
    ];
    let of = |call: &Call| certain(call, &session, &BTreeMap::new(), &gathering());
    let mut results: Vec<CallResult> = calls.iter().map(of).collect();
    assert_eq!(results[1].class, Class::Missing);
    let claimed = probable(&calls, &mut results, &left, &session);
    let found: Vec<_> =
        results.iter().map(|r| r.record.as_ref().map(|s| (s.event_id.as_str(), s.tie.as_str()))).collect();
    let by = |id| Some((id, "caller"));
    assert_eq!(found, [None, None, by("a"), by("b"), by("other"), by("far"), None]);
    assert_eq!(claimed.len(), 4);
    assert_eq!((results[1].class, results[2].class), (Class::Missing, Class::Probable));
}

#[test]
fn why_no_trail_can_be_asked_is_said_of_each_call() {
    let answered = Call { error: None, request_id: Some("id".into()), ..call() };
    let failed = |kind: &str| call().error.map(|e| CallError { kind: kind.into(), ..e });
    let objects = |bucket: &str| Call {
        operation: "s3:DeleteObjects".into(),
        bucket: Some(bucket.to_owned()),
        ..answered.clone()
    };
    let mut gathering = gathering();
    gathering.logged_buckets.insert("logged".into());
    let no_answer = Some("no answer came, so there is no request id to look for");
    for (call, why) in [
        (answered.clone(), None),
        (
            Call { error: failed("unreachable"), request_id: None, ..call() },
            Some("it never left this machine"),
        ),
        // AWS gave it an id, so it was there
        (Call { error: failed("unreachable"), ..answered.clone() }, None),
        (Call { request_id: None, ..call() }, no_answer),
        (Call { error: None, answered_at: None, ..call() }, no_answer),
        (Call { error: None, ..call() }, Some("the answer had no request id")),
        (
            Call { error: failed("throttled"), ..answered.clone() },
            Some("it was refused before the service looked at it; such calls need not be recorded"),
        ),
        (Call { error: failed("denied"), ..answered.clone() }, None),
        (
            objects("quiet"),
            Some("calls on objects are data events, and the records hold none of this bucket"),
        ),
        (objects("logged"), None),
        (Call { bucket: Some("quiet".into()), ..answered.clone() }, None),
    ] {
        assert_eq!(not_coverable(&call, &gathering).as_deref(), why, "{call:?}");
    }
}

#[test]
fn each_limit_of_a_comparison_is_warned_of_and_nothing_else_is() {
    let whole = || {
        let mut gathering = gathering();
        (gathering.oldest, gathering.newest) = (Some(at(100)), Some(at(40)));
        gathering
    };
    let said = |session: &Session, gathered: &Gathering| warnings(session, gathered, &files(), None);
    assert_eq!(said(&session(), &whole()), [""; 0], "just in time");
    let mut sim = session();
    sim.world = World::Sim;
    assert_eq!(said(&sim, &whole()), ["the run did not touch AWS itself; CloudTrail has no records of it"]);
    let mut open = session();
    open.finished = false;
    assert_eq!(said(&open, &whole()), ["the run has not come to its end; compare again when it has"]);
    let changes: [Change<Gathering>; 5] = [
        (|g| g.oldest = None, "the files hold nothing from before the run's end"),
        (|g| g.oldest = Some(at(101)), "the files hold nothing from before the run's end"),
        (
            |g| g.newest = Some(at(39)),
            "the newest record is older than the run's end: later files may be missing",
        ),
        (|g| g.left_out = true, "there were more records than are kept; name fewer files"),
        (|g| g.differing.push("e-1".into()), "event e-1 was delivered twice with different contents"),
    ];
    for (change, says) in changes {
        let mut gathered = whole();
        change(&mut gathered);
        assert_eq!(said(&session(), &gathered), [says]);
    }
    let regions = vec!["eu-west-1".to_owned(), "us-east-1".to_owned()];
    let lookup = Source::Lookup { regions, user: String::new(), from: at(0), to: at(1) };
    assert_eq!(
        warnings(&session(), &gathering(), &lookup, Some(at(0))),
        [
            "records arrive up to 15 minutes late; compare again after 2026-09-21 14:13:00 UTC",
            "LookupEvents has no data events, and was asked in eu-west-1 and us-east-1 only",
        ]
    );
}

#[test]
fn an_access_key_ties_a_record_of_the_runs_time_that_names_no_other_run() {
    let (session, keys) = (session(), BTreeSet::from(["AKIA1".to_owned()]));
    let by = |key: &str, agent: &str, s| {
        let (access_key, user_agent) = (Some(key.to_owned()), Some(agent.to_owned()));
        tie(&TrailRecord { access_key, user_agent, ..record("a", s) }, &session, &keys)
    };
    assert_eq!(by("AKIA1", "console", 50), Some("access key"));
    assert_eq!(by("AKIA2", "console", 50), None);
    assert_eq!(by("AKIA1", "console", 161), None);
    assert_eq!(by("AKIA1", "app/redrill-another", 50), None);
    assert_eq!(tie(&record("a", 50), &session, &keys), None);
    let own = TrailRecord { user_agent: Some(format!("app/{}", session.app_name())), ..record("a", 9_999) };
    assert_eq!(tie(&own, &session, &keys), Some("user agent"));
}

#[test]
fn what_was_read_in_part_only_does_not_hold() {
    use super::super::tests::{GLOBAL, REGIONAL};
    let lines = run().finish(100);
    let compared = |change: fn(&mut Gathering)| {
        let mut gathered = Gathering::new(&session(), request_ids(&lines));
        for (name, text) in [("eu", REGIONAL), ("us", GLOBAL)] {
            gathered.file(name, text.as_bytes());
        }
        change(&mut gathered);
        reconcile(&lines, &session(), gathered, files(), at(86_400))
    };
    assert!(compared(|_| ()).holds, "the twin");
    let changes: [fn(&mut Gathering); 4] =
        [|g| g.malformed = 1, |g| g.unreadable = 1, |g| g.left_out = true, |g| g.differing.push("e".into())];
    for change in changes {
        let r = compared(change);
        assert_eq!((r.holds, r.standing), (false, Some(Standing::Unclear)));
    }
    // a call without a record differs, unless its record may be in what could not be read
    let lacking = |change: fn(&mut Gathering)| {
        let mut gathered = Gathering::new(&session(), request_ids(&lines));
        gathered.file("eu", REGIONAL.as_bytes());
        change(&mut gathered);
        let r = reconcile(&lines, &session(), gathered, files(), at(86_400));
        assert!(r.counts.missing > 0);
        r.standing
    };
    assert_eq!(lacking(|_| ()), Some(Standing::Differs));
    for change in [changes[0], changes[1], changes[2]] {
        assert_eq!(lacking(change), Some(Standing::Unclear));
    }
}

#[test]
fn apis_names_with_their_date_are_the_operation() {
    for (call, record, same) in [
        ("cloudfront:CreateInvalidation", "cloudfront:CreateInvalidation2020_05_31", true),
        ("cloudfront:CreateInvalidation", "cloudfront:CreateInvalidation", true),
        ("s3:PutBucketTagging", "s3:DeleteBucketTagging", true),
        ("s3:PutBucketTagging", "s3:PutBucketTagging", true),
        ("s3:DeleteBucketTagging", "s3:PutBucketTagging", false),
        ("s3:PutBucketPolicy", "s3:DeleteBucketTagging", false),
        ("ec2:StopInstances", "ec2:StartInstances", false),
    ] {
        assert_eq!(same_operation(call, record), same, "{call} {record}");
    }
    let signing = TrailRecord { operation: "kms:Sign".into(), ..record("a", 1) };
    assert!(signs(&signing) && !signs(&record("a", 1)));
    assert_eq!(request_ids(&run().finish(100)), ["req-terminate", "req-restore", "req-invalidate"]);
}
