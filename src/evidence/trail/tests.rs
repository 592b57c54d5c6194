//! Recorded-style trail files (made-up accounts) against a made-up journal: every class, both ways.

mod agreeing;

use std::io::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::*;
use crate::journal::{Event, Line, Measured, Verdict};
use crate::model::{CallError, EffectCertainty, Stamp};

pub(crate) const REGIONAL: &str = include_str!("../../../tests/fixtures/trail/eu-west-1.json");
pub(crate) const GLOBAL: &str = include_str!("../../../tests/fixtures/trail/us-east-1.json");
const RUN: &str = "20260921T141320Z-shop-aaaaaa";

pub(crate) fn at(s: i64) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-09-21T14:13:00Z").expect("a time").to_utc() + TimeDelta::seconds(s)
}

pub(crate) struct Journal(Vec<Line>);

impl Journal {
    fn new() -> Self {
        let mut journal = Self(Vec::new());
        journal.push(
            20,
            Event::Header {
                format: 1,
                redrill: "0.1.0".into(),
                run: RunId::from_existing(RUN),
                drill: "shop".into(),
                title: "Lose the shop".into(),
                plan_sha256: "ab".repeat(32),
                world: World::Aws,
                account: "123456789012".into(),
                caller: "arn:aws:sts::123456789012:assumed-role/drill/quarterly".into(),
                region: "eu-west-1".into(),
                rto_ms: 60_000,
                give_up_ms: 120_000,
                chain: None,
            },
        );
        journal
    }

    fn push(&mut self, s: i64, event: Event) {
        let stamp = Stamp { at: at(s), mono_ms: u64::try_from(s).expect("later") * 1_000 };
        self.0.push(Line { seq: self.0.len() as u64, prev: String::new(), stamp, event });
    }

    /// Sent at `s`, answered a second later.
    pub(crate) fn call(
        &mut self,
        s: i64,
        operation: &str,
        params: Value,
        request_id: Option<&str>,
        error: Option<&str>,
    ) {
        let call = self.0.len() as u64;
        let (step, phase) = (Some(StepId::new("step")), Phase::Apply);
        self.push(s, Event::CallSent { call, step, phase, operation: operation.into(), params, attempt: 1 });
        let error = error.map(|kind| CallError {
            kind: kind.into(),
            code: None,
            message: "made up".into(),
            effect: EffectCertainty::Unknown,
        });
        let request_id = request_id.map(str::to_owned);
        self.push(s + 1, Event::CallAnswered { call, request_id, outcome: None, error });
    }

    pub(crate) fn finish(mut self, s: i64) -> Vec<Line> {
        let (verdict, measured) = (Verdict::Passed, Box::new(Measured::default()));
        self.push(s, Event::Finished { verdict, exit_code: 0, reasons: vec![], measured });
        self.0
    }
}

/// A run whose every call the recorded files explain.
pub(crate) fn run() -> Journal {
    let mut j = Journal::new();
    j.call(30, "ec2:TerminateInstances", json!({"ids": ["i-0aaa"]}), Some("req-terminate"), None);
    let spec = json!({"spec": {"source": "shop-orders", "target": "shop-orders-drill"}});
    j.call(40, "rds:RestoreDBInstanceToPointInTime", spec, Some("req-restore"), None);
    j.call(50, "ec2:StopInstances", json!({"ids": ["i-0bbb"]}), None, Some("timeout"));
    j.call(
        60,
        "cloudfront:CreateInvalidation",
        json!({"distribution": "E1EXAMPLE"}),
        Some("req-invalidate"),
        None,
    );
    j
}

fn compare_at(lines: &[Line], files: &[(&str, &[u8])], now: DateTime<Utc>) -> Reconciliation {
    let session = Session::of(lines).expect("a header");
    let mut gathering = Gathering::new(&session, matching::request_ids(lines));
    for (name, bytes) in files {
        gathering.file(name, bytes);
    }
    let source = Source::Files { from: "trail".into(), files: gathering.files().to_vec() };
    reconcile(lines, &session, gathering, source, now)
}

fn compare(lines: &[Line], files: &[(&str, &[u8])]) -> Reconciliation {
    compare_at(lines, files, at(86_400))
}

fn recorded() -> [(&'static str, &'static [u8]); 2] {
    [("eu-west-1.json", REGIONAL.as_bytes()), ("us-east-1.json", GLOBAL.as_bytes())]
}

pub(crate) fn gz(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(text.as_bytes()).expect("packed");
    packed.finish().expect("packed")
}

/// The recorded records, changed.
pub(crate) fn changed(change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut all: Value = serde_json::from_str(REGIONAL).expect("JSON");
    all["Records"].as_array_mut().expect("records").iter_mut().for_each(change);
    serde_json::to_vec(&all).expect("JSON")
}

fn classes(r: &Reconciliation) -> Vec<Class> {
    r.calls.iter().map(|c| c.class).collect()
}

#[test]
fn recorded_files_explain_the_run() {
    let r = compare(&run().finish(100), &recorded());
    use Class::{Matched, Probable};
    assert_eq!(classes(&r), [Matched, Matched, Probable, Matched]);
    assert!(r.holds, "{}: {:?}", r.verdict, r.warnings);
    let c = &r.counts;
    // the restore was delivered twice; another user's terminate is nobody's business here
    assert_eq!((c.records, c.duplicates, c.of_session, c.reads, c.unexplained), (8, 1, 6, 1, 0));
    assert_eq!(r.by_services.iter().map(|s| s.operation.as_str()).collect::<Vec<_>>(), ["kms:CreateGrant"]);
    assert_eq!(r.calls[3].record.as_ref().expect("a record").region, "us-east-1");
    assert_eq!(r.session.access_keys, ["ASIA…0001"]);
    assert_eq!(
        r.verdict,
        "unclear: no digest file of CloudTrail vouches for these files; journal and trail agree: all 3 calls \
         that the trail can cover are matched; 0 not coverable, 1 probable"
    );
    assert_eq!(r.warnings, Vec::<String>::new());
}

#[test]
fn packed_or_not_and_in_any_order_the_result_is_the_same() {
    let lines = run().finish(100);
    let plain = compare(&lines, &recorded());
    let (a, b) = (gz(REGIONAL), gz(GLOBAL));
    let packed = compare(&lines, &[("us-east-1.json.gz", &b), ("eu-west-1.json.gz", &a)]);
    assert_eq!((&packed.calls, &packed.counts, &packed.reads), (&plain.calls, &plain.counts, &plain.reads));
    assert_eq!(compare(&lines, &recorded()), plain);
    let Source::Files { files, .. } = &packed.source else { panic!("files") };
    assert_eq!(files[1].sha256, crate::evidence::merkle::hex(&crate::evidence::merkle::sha256(&a)));
}

#[test]
fn a_comparison_that_lists_no_records_is_not_believed() {
    let lines = run().finish(100);
    let told = compare(&lines, &recorded());
    let believed =
        |told: &Reconciliation| of_run(&serde_json::to_vec(told).unwrap(), &lines).unwrap().is_some();
    assert!(believed(&told), "the twin: as it was made");
    let mut without = told.clone();
    without.calls.iter_mut().for_each(|c| c.record = None);
    assert!(!believed(&without));
    let mut none = told;
    (none.counts.records, none.counts.of_session) = (0, 0);
    assert!(!believed(&none));
}

#[test]
fn a_call_without_a_record_is_missing() {
    let mut j = run();
    j.call(70, "ec2:StartInstances", json!({"ids": ["i-0ccc"]}), Some("nobody-saw-it"), None);
    let r = compare(&j.finish(100), &recorded());
    assert_eq!((r.holds, r.counts.missing, r.calls[4].class), (false, 1, Class::Missing));
    assert!(r.verdict.contains("1 call without a record"), "{}", r.verdict);
}

#[test]
fn a_change_without_an_entry_is_listed_however_it_is_tied() {
    // the restore and the terminate are taken out of the journal
    let mut j = Journal::new();
    j.call(60, "cloudfront:CreateInvalidation", json!({}), Some("req-invalidate"), None);
    let lines = j.finish(100);
    let names = |r: &Reconciliation| -> Vec<(String, String)> {
        r.unexplained.iter().map(|s| (s.operation.clone(), s.tie.clone())).collect()
    };
    let all = ["ec2:TerminateInstances", "rds:RestoreDBInstanceToPointInTime", "ec2:StopInstances"];
    let want = |tie: &str| all.map(|o| (o.to_owned(), tie.to_owned())).to_vec();
    let r = compare(&lines, &recorded());
    assert_eq!((r.holds, names(&r)), (false, want("user agent")));
    // the same session from another tool
    let other = changed(|r| r["userAgent"] = "aws-cli/2.30.0".into());
    let r = compare(&lines, &[("a.json", &other), ("b.json", GLOBAL.as_bytes())]);
    assert_eq!((r.holds, names(&r)), (false, want("caller")));
    // another session name under the same access key
    let other = changed(|r| {
        r["userAgent"] = "aws-cli/2.30.0".into();
        if r["userIdentity"]["accessKeyId"] == "ASIAEXAMPLEKEY000001" {
            r["userIdentity"]["arn"] = "arn:aws:sts::123456789012:assumed-role/drill/other".into();
        }
    });
    let r = compare(&lines, &[("a.json", &other), ("b.json", GLOBAL.as_bytes())]);
    assert_eq!((r.holds, names(&r)), (false, want("access key")));
    // a day later the same caller does something else; only the run's own name still ties
    let later = changed(|r| {
        r["userAgent"] = "aws-cli/2.30.0".into();
        r["eventTime"] = "2026-09-22T14:13:40Z".into();
    });
    let r = compare(&lines, &[("a.json", &later), ("b.json", GLOBAL.as_bytes())]);
    assert_eq!((r.holds, r.unexplained.len()), (true, 0));
    // another run of redrill by the same caller
    let another =
        changed(|r| r["userAgent"] = "aws-sdk-rust/1.3 app/redrill-20260921T141320Z-shop-bbbbbb".into());
    let r = compare(&lines, &[("a.json", &another), ("b.json", GLOBAL.as_bytes())]);
    assert_eq!((r.holds, r.counts.of_other_runs), (true, 5));
}

#[test]
fn a_record_that_says_something_else_contradicts() {
    let other = changed(|r| {
        if r["requestID"] == "req-terminate" {
            r["eventName"] = "StartInstances".into();
        }
    });
    let r = compare(&run().finish(100), &[("a.json", &other), ("b.json", GLOBAL.as_bytes())]);
    assert_eq!((r.holds, r.calls[0].class), (false, Class::Contradicted));
    assert!(r.calls[0].why.as_deref().is_some_and(|w| w.contains("ec2:StartInstances")));
    let other = changed(|r| r["recipientAccountId"] = "999999999999".into());
    let r = compare(&run().finish(100), &[("a.json", &other), ("b.json", GLOBAL.as_bytes())]);
    assert_eq!((r.holds, r.counts.contradicted), (false, 2));
    // request ids borrowed from calls that were refused, made elsewhere, or about something else
    type Borrowed = (fn(&mut Value), &'static str);
    let borrowed: [Borrowed; 4] = [
        (
            |r| r["errorCode"] = "Client.UnauthorizedOperation".into(),
            "is of a call that was refused: Client.Unauth",
        ),
        (|r| r["awsRegion"] = "eu-central-1".into(), "is of region eu-central-1, not eu-west-1"),
        (|r| r["awsRegion"] = "us-east-1".into(), "is of region us-east-1, not eu-west-1"),
        (
            |r| r["requestParameters"] = json!({"instancesSet": {"items": [{"instanceId": "i-0fff"}]}}),
            "names i-0fff as `instanceId`, and the journal i-0aaa",
        ),
    ];
    for (change, said) in borrowed {
        let other = changed(|r| {
            if r["requestID"] == "req-terminate" {
                change(r);
            }
        });
        let r = compare(&run().finish(100), &[("a.json", &other), ("b.json", GLOBAL.as_bytes())]);
        assert_eq!(
            (r.holds, r.calls[0].class, r.counts.contradicted),
            (false, Class::Contradicted, 1),
            "{said}"
        );
        let why = r.calls[0].why.clone().unwrap_or_default();
        assert!(why.starts_with("the record with its request id ") && why.contains(said), "{why}");
    }
    // what a record does not say contradicts nothing
    let silent = changed(|r| r["requestParameters"] = Value::Null);
    let r = compare(&run().finish(100), &[("a.json", &silent), ("b.json", GLOBAL.as_bytes())]);
    assert_eq!((r.counts.matched, r.counts.contradicted), (3, 0));
    // a global service is recorded in one region only
    let global = GLOBAL.replace("us-east-1", "eu-west-1");
    let r = compare(&run().finish(100), &[("a.json", REGIONAL.as_bytes()), ("b.json", global.as_bytes())]);
    assert_eq!((r.calls[3].class, r.counts.contradicted), (Class::Contradicted, 1));
}

#[test]
fn a_record_is_of_a_call_that_came_out_as_the_journal_says() {
    let with = |effect: Option<EffectCertainty>, code: Option<&str>| {
        let mut lines = run().finish(100);
        let answer = lines.iter_mut().find_map(|l| match &mut l.event {
            Event::CallAnswered { error, .. } => Some(error),
            _ => None,
        });
        *answer.expect("an answer") = effect.map(|effect| CallError {
            kind: "denied".into(),
            code: Some("UnauthorizedOperation".into()),
            message: "made up".into(),
            effect,
        });
        let records = changed(|r| {
            if r["requestID"] == "req-terminate" {
                r["errorCode"] = code.into();
            }
        });
        compare(&lines, &[("a.json", &records), ("b.json", GLOBAL.as_bytes())]).calls[0].class
    };
    use EffectCertainty::{None as Refused, Partial, Unknown};
    let code = Some("Client.UnauthorizedOperation");
    assert_eq!((with(None, None), with(None, code)), (Class::Matched, Class::Contradicted));
    assert_eq!((with(Some(Refused), None), with(Some(Refused), code)), (Class::Contradicted, Class::Matched));
    // it may or may not have happened
    for effect in [Unknown, Partial] {
        assert_eq!((with(Some(effect), None), with(Some(effect), code)), (Class::Matched, Class::Matched));
    }
}

#[test]
fn what_no_trail_covers_is_said_with_its_reason() {
    let mut j = run();
    let objects = json!({"bucket": "shop-catalogue", "objects": [{"key": "a"}]});
    j.call(70, "s3:DeleteObjects", objects, Some("s3-1"), None);
    j.call(72, "ec2:StartInstances", json!({"ids": ["i-0ddd"]}), None, Some("timeout"));
    j.call(74, "ec2:StartInstances", json!({"ids": ["i-0ddd"]}), None, Some("unreachable"));
    j.call(76, "ec2:StartInstances", json!({"ids": ["i-0ddd"]}), Some("throttled-1"), Some("throttled"));
    let lines = j.finish(100);
    let r = compare(&lines, &recorded());
    assert_eq!(classes(&r)[4..], [Class::NotCoverable; 4]);
    assert!(r.holds && r.verdict.contains("4 not coverable, 1 probable"), "{}", r.verdict);
    let why = |n: usize| r.calls[n].why.clone().unwrap_or_default();
    assert!(why(4).contains("data events") && why(5).contains("no answer"), "{} {}", why(4), why(5));
    assert!(why(6).contains("never left") && why(7).contains("refused"), "{} {}", why(6), why(7));

    // with data events of that bucket, a call on objects is matched or missing like any other
    let data = |name: &str, id: &str, bucket: &str| {
        let mut one: Value = serde_json::from_str(GLOBAL).expect("JSON");
        let r = &mut one["Records"][0];
        r["eventID"] = format!("data-{id}").into();
        r["eventSource"] = "s3.amazonaws.com".into();
        r["eventName"] = name.into();
        r["awsRegion"] = "eu-west-1".into();
        r["requestID"] = id.into();
        r["eventCategory"] = "Data".into();
        r["requestParameters"] = json!({"bucketName": bucket});
        r["readOnly"] = (name == "GetObject").into();
        serde_json::to_vec(&one).expect("JSON")
    };
    let class = |extra: &[u8]| {
        let [a, b] = recorded();
        compare(&lines, &[a, b, ("data.json", extra)]).calls[4].class
    };
    assert_eq!(class(&data("DeleteObjects", "s3-1", "shop-catalogue")), Class::Matched);
    assert_eq!(class(&data("GetObject", "s3-2", "shop-catalogue")), Class::Missing);
    assert_eq!(class(&data("GetObject", "s3-2", "another-bucket")), Class::NotCoverable);
}

#[test]
fn a_lost_answer_is_probable_only_with_the_same_name_and_time() {
    let lost = |name: &str, s: i64| {
        let mut j = Journal::new();
        j.call(30, "ec2:TerminateInstances", json!({"ids": ["i-0aaa"]}), Some("req-terminate"), None);
        j.call(s, "ec2:StopInstances", json!({"ids": [name]}), None, Some("timeout"));
        compare(&j.finish(1_000), &recorded()).calls[1].class
    };
    assert_eq!(lost("i-0bbb", 50), Class::Probable);
    assert_eq!(lost("i-0zzz", 50), Class::NotCoverable);
    assert_eq!(lost("i-0bbb", 500), Class::NotCoverable);
    // one record is one call's
    let mut j = run();
    j.call(52, "ec2:StopInstances", json!({"ids": ["i-0bbb"]}), None, Some("timeout"));
    let r = compare(&j.finish(100), &recorded());
    assert_eq!((r.counts.probable, r.counts.not_coverable), (1, 1));
}

#[test]
fn too_early_is_provisional_and_half_the_files_are_noticed() {
    let lines = run().finish(100);
    let early = compare_at(&lines, &recorded(), at(100 + 899));
    assert_eq!(early.provisional_until, Some(at(100 + 900)));
    assert!(early.verdict.ends_with("(provisional: records may still arrive)"), "{}", early.verdict);
    assert_eq!(compare_at(&lines, &recorded(), at(100 + 900)).provisional_until, None);
    let long = compare(&run().finish(3_600), &recorded());
    assert!(long.warnings.iter().any(|w| w.contains("later files may be missing")), "{:?}", long.warnings);
    let unfinished = compare(&run().0, &recorded());
    assert!(
        !unfinished.holds && unfinished.verdict.contains("not come to its end"),
        "{}",
        unfinished.verdict
    );
}

#[test]
fn an_empty_trail_shows_nothing() {
    let lines = run().finish(100);
    let none = compare(&lines, &[("a.json", b"{\"Records\":[]}")]);
    assert_eq!((none.holds, none.counts.missing), (false, 3));
    let mut j = Journal::new();
    j.call(70, "s3:DeleteObjects", json!({"bucket": "b"}), Some("s3-1"), None);
    let r = compare(&j.finish(100), &[("a.json", b"{\"Records\":[]}")]);
    assert!(!r.holds && r.verdict.contains("nothing is shown"), "no green without work: {}", r.verdict);
}

#[test]
fn hostile_input_is_counted_and_keeps_the_result_from_agreeing() {
    let lines = run().finish(100);
    let cut = &gz(REGIONAL)[..200];
    let deep = format!("{{\"Records\":[{}{}]}}", "[".repeat(100_000), "]".repeat(100_000));
    let bad: [(&str, &[u8]); 6] = [
        ("cut.json.gz", cut),
        ("text.json", b"<html>"),
        ("other.json", b"{\"a\":1}"),
        ("empty.json", b""),
        ("deep.json", deep.as_bytes()),
        ("binary.json", &[0xff, 0xfe, 0x00]),
    ];
    for one in bad {
        let [a, b] = recorded();
        let r = compare(&lines, &[a, b, one]);
        assert_eq!((r.holds, r.counts.unreadable_files, r.counts.matched), (false, 1, 3), "{}", one.0);
        let Source::Files { files, .. } = &r.source else { panic!("files") };
        assert!(files[2].problem.is_some(), "{}", one.0);
    }
    let broken = br#"{"Records":[7, {"eventID": "x"}, {"eventID": "y", "eventTime": "never"}]}"#;
    let [a, b] = recorded();
    let r = compare(&lines, &[a, b, ("broken.json", broken)]);
    assert_eq!((r.holds, r.counts.malformed), (false, 3));
    // a digest that cannot be read could be one that vouches for something else
    let r = compare(&lines, &[a, b, ("digest.json", br#"{"digestS3Object": "x", "logFiles": []}"#)]);
    assert!(!r.holds && r.verdict.contains("1 file could not be read"), "{}", r.verdict);
}

#[test]
fn a_file_that_inflates_without_end_is_given_up() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..=(read::LARGEST_FILE >> 20) {
        packed.write_all(&zeros).expect("packed");
    }
    let bomb = packed.finish().expect("packed");
    let r = compare(&run().finish(100), &[("bomb.json.gz", &bomb)]);
    let Source::Files { files, .. } = &r.source else { panic!("files") };
    assert!(files[0].problem.as_deref().is_some_and(|p| p.contains("more than 64 MB")), "{files:?}");
}

#[test]
fn the_same_event_with_other_contents_is_said() {
    let other = changed(|r| {
        if r["requestID"] == "req-terminate" {
            r["errorCode"] = "Client.UnauthorizedOperation".into();
        }
    });
    let [a, b] = recorded();
    let r = compare(&run().finish(100), &[a, b, ("again.json", &other)]);
    assert!(!r.holds && r.warnings.iter().any(|w| w.contains("different contents")), "{:?}", r.warnings);
}

#[test]
fn looked_up_events_are_the_same_records() {
    let lines = run().finish(100);
    let session = Session::of(&lines).expect("a header");
    assert_eq!(
        (session.user(), session.regions()),
        ("quarterly", vec!["eu-west-1".into(), "us-east-1".into()])
    );
    let mut gathering = Gathering::new(&session, matching::request_ids(&lines));
    for text in [REGIONAL, GLOBAL] {
        let all: Value = serde_json::from_str(text).expect("JSON");
        for event in all["Records"].as_array().expect("records") {
            gathering.event(&event.to_string());
        }
    }
    let (from, to) = (session.from, session.to);
    let source = Source::Lookup { regions: session.regions(), user: "quarterly".into(), from, to };
    let r = reconcile(&lines, &session, gathering, source, at(86_400));
    assert_eq!((r.holds, &r.counts), (true, &compare(&lines, &recorded()).counts));
    assert!(r.warnings.iter().any(|w| w.contains("no data events")), "{:?}", r.warnings);
}

#[test]
fn a_trails_bucket_is_read_only_where_the_run_can_be() {
    let lines = run().finish(100);
    let session = Session::of(&lines).expect("a header");
    let days = |base: &str, folder: &str, days: &[&str]| {
        let of = |region: &str| {
            days.iter().map(|d| format!("{base}{folder}/{region}/2026/09/{d}/")).collect::<Vec<_>>()
        };
        ["eu-west-1", "us-east-1"].iter().flat_map(|r| of(r)).collect::<Vec<_>>()
    };
    // digests of what came late are filed later
    let both = |base: &str| {
        (days(base, "CloudTrail", &["21"]), days(base, "CloudTrail-Digest", &["21", "22", "23"]))
    };
    assert_eq!(session.prefixes(""), both("AWSLogs/123456789012/"));
    assert_eq!(session.prefixes("/logs/"), both("logs/AWSLogs/123456789012/"));
    for given in
        ["AWSLogs/o-example", "AWSLogs/o-example/123456789012", "AWSLogs/o-example/123456789012/CloudTrail/"]
    {
        assert_eq!(session.prefixes(given), both("AWSLogs/o-example/123456789012/"), "{given}");
    }
    // a bucket's own prefix may be called like CloudTrail's folder
    let own = "CloudTrail/AWSLogs/123456789012/";
    assert_eq!(session.prefixes("CloudTrail/AWSLogs"), both(own));
    assert_eq!(session.prefixes(own), both(own));
    let (records, digests) = session.prefixes("CloudTrail");
    assert!(
        records.contains(&both(own).0[0]) && digests.contains(&both(own).1[0]),
        "{records:?} {digests:?}"
    );
    let deeper =
        |folder: &str| vec![format!("CloudTrail/AWSLogs/o-example/123456789012/{folder}/eu-west-1/2026/09")];
    assert_eq!(
        session.prefixes(&deeper("CloudTrail")[0]),
        (deeper("CloudTrail"), deeper("CloudTrail-Digest"))
    );
    // records are delivered after midnight; the digest of the last hour of a day is filed on the next
    for (finish, records) in [(35_000, vec!["21", "22"]), (33_000, vec!["21"])] {
        let late = run().finish(finish);
        let (logs, digests) = Session::of(&late).expect("a header").prefixes("");
        assert_eq!(logs, days("AWSLogs/123456789012/", "CloudTrail", &records), "{finish}");
        assert!(digests.contains(&"AWSLogs/123456789012/CloudTrail-Digest/eu-west-1/2026/09/22/".to_owned()));
    }
    // a journal may say anything
    let endless = run().finish(250_000_000_000);
    assert!(Session::of(&endless).expect("a header").prefixes("").0.len() <= 800);
}

#[test]
fn global_services_are_recorded_where_their_partition_has_them() {
    for (own, global) in [
        ("eu-west-1", Some("us-east-1")),
        ("us-east-1", None),
        ("cn-north-1", Some("cn-northwest-1")),
        ("us-gov-east-1", Some("us-gov-west-1")),
        ("us-gov-west-1", None),
        ("eusc-de-east-1", None),
        ("us-iso-west-1", Some("us-iso-east-1")),
        ("us-isob-east-1", None),
    ] {
        let mut lines = run().finish(100);
        if let Event::Header { region, .. } = &mut lines[0].event {
            own.clone_into(region);
        }
        let expected: Vec<&str> = std::iter::once(own).chain(global).collect();
        assert_eq!(Session::of(&lines).expect("a header").regions(), expected);
    }
}
