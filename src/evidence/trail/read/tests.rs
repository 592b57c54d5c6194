//! What is kept of a record, what a file counts for, and the bounds of both.

use serde_json::json;

use super::super::tests::{REGIONAL, at, gz, run};
use super::*;

const CALLER: &str = "arn:aws:sts::123456789012:assumed-role/drill/quarterly";

fn gathering() -> Gathering {
    let session = Session::of(&run().finish(100)).expect("a header");
    Gathering::new(&session, ["wanted".to_owned()])
}

/// A change by somebody else, a minute into the run.
fn event(id: &str) -> Value {
    json!({
        "eventID": id, "eventTime": "2026-09-21T14:14:00Z", "eventSource": "ec2.amazonaws.com",
        "eventName": "StopInstances", "awsRegion": "eu-west-1", "requestID": format!("of-{id}"),
    })
}

fn with(id: &str, fields: Value) -> Value {
    let mut event = event(id);
    for (key, value) in fields.as_object().expect("fields") {
        event[key] = value.clone();
    }
    event
}

fn record(fields: Value) -> TrailRecord {
    let raw: Raw = serde_json::from_value(with("e", fields)).expect("a record");
    raw.into()
}

fn file(events: &[Value]) -> Vec<u8> {
    json!({ "Records": events }).to_string().into_bytes()
}

fn took(events: &[Value]) -> Gathering {
    let mut gathering = gathering();
    gathering.file("a.json", &file(events));
    gathering
}

#[test]
fn a_record_is_a_read_where_it_says_so_or_is_named_like_one() {
    for (fields, read_only) in [
        (json!({"readOnly": true}), true),
        (json!({"readOnly": "true"}), true),
        (json!({"readOnly": "false", "eventName": "GetIt"}), false),
        (json!({"readOnly": false, "eventName": "GetIt"}), false),
        (json!({"eventName": "GetIt"}), true),
        (json!({"eventName": "LookupIt"}), true),
        (json!({"eventName": "ForGetIt"}), false),
    ] {
        assert_eq!(record(fields.clone()).read_only, read_only, "{fields}");
    }
    for (fields, data) in [
        (json!({"eventCategory": "Data"}), true),
        (json!({"eventCategory": "Management"}), false),
        (json!({"managementEvent": false}), true),
        (json!({"managementEvent": true}), false),
        (json!({}), false),
    ] {
        assert_eq!(record(fields.clone()).data, data, "{fields}");
    }
}

#[test]
fn texts_are_kept_up_to_a_length_and_empty_ones_are_none() {
    let long = |n: usize| "x".repeat(n);
    for (text, kept) in [
        (String::new(), None),
        (long(1_024), Some(long(1_024))),
        (long(1_025), Some(long(1_024))),
        // not within a character
        (format!("{}é", long(1_023)), Some(long(1_023))),
        (format!("{}é", long(1_022)), Some(format!("{}é", long(1_022)))),
    ] {
        assert_eq!(record(json!({ "requestID": text })).request_id, kept);
    }
    let whole = record(json!({
        "recipientAccountId": "1", "userAgent": "u", "errorCode": "c",
        "userIdentity": {"arn": "a", "accessKeyId": "k", "invokedBy": "i"},
        "requestParameters": {"bucketName": "b"}, "responseElements": {"id": "r"},
    }));
    let of = |t: &Option<String>| t.clone().unwrap_or_default();
    let fields = [&whole.account, &whole.user_agent, &whole.error, &whole.principal, &whole.access_key];
    assert_eq!(fields.map(of), ["1", "u", "c", "a", "k"]);
    assert_eq!((of(&whole.invoked_by), of(&whole.bucket)), ("i".into(), "b".into()));
    assert_eq!((whole.operation.as_str(), whole.region.as_str()), ("ec2:StopInstances", "eu-west-1"));
    assert_eq!(whole.about, r#"{"bucketName":"b"}{"id":"r"}"#);
    // of a read nothing is looked for
    assert_eq!(record(json!({"readOnly": true, "requestParameters": {"a": 1}})).about, "");
    let much = record(json!({"requestParameters": {"a": long(9_000)}, "responseElements": {"b": 1}}));
    assert_eq!(much.about.len(), LONGEST_ABOUT + r#"{"b":1}"#.len());
}

#[test]
fn what_may_matter_to_the_run_is_kept_and_nothing_else() {
    let key = json!({"accessKeyId": "AKIA1"});
    let own = json!({ "arn": CALLER });
    let agent = "app/redrill-20260921T141320Z-shop-aaaaaa";
    for (fields, kept) in [
        (json!({}), false),
        (json!({"requestID": "wanted"}), true),
        (json!({ "userAgent": agent }), true),
        (json!({"userAgent": agent, "eventTime": "2026-10-01T00:00:00Z"}), true),
        (json!({ "userIdentity": own }), true),
        (json!({"userIdentity": own, "eventTime": "2026-10-01T00:00:00Z"}), false),
        // by its access key it may turn out to be the session's
        (json!({ "userIdentity": key }), true),
        (json!({"userIdentity": key, "readOnly": true}), false),
        (json!({"userIdentity": key, "eventTime": "2026-10-01T00:00:00Z"}), false),
    ] {
        assert_eq!(took(&[with("e", fields.clone())]).kept.len(), usize::from(kept), "{fields}");
    }
    let other = json!({"userIdentity": own, "userAgent": "app/redrill-another"});
    let gathered = took(&[with("e", other.clone())]);
    assert_eq!((gathered.of_other_runs, gathered.kept.len()), (1, 0));
    let mut wanted = with("e", other);
    wanted["requestID"] = "wanted".into();
    let gathered = took(&[wanted]);
    assert_eq!((gathered.of_other_runs, gathered.kept.len()), (0, 1));
}

#[test]
fn changes_are_counted_by_file_and_region() {
    let mut gathering = gathering();
    gathering.file("none.json", &file(&[]));
    gathering.file(
        "a.json",
        &file(&[
            event("1"),
            event("2"),
            event("3"),
            with("4", json!({"awsRegion": "us-east-1"})),
            with("5", json!({"readOnly": true})),
            with("6", json!({"eventCategory": "Data"})),
            with("7", json!({"readOnly": true, "eventCategory": "Data"})),
        ]),
    );
    let counted: Vec<_> = gathering.changes.iter().map(|((f, r), n)| (*f, r.as_str(), *n)).collect();
    assert_eq!(counted, [(1, "eu-west-1", 3), (1, "us-east-1", 1)]);
    gathering.file("b.json", &file(&[event("8"), event("9")]));
    assert_eq!(gathering.files().iter().map(|f| f.records).collect::<Vec<_>>(), [0, 7, 2]);
}

#[test]
fn a_bucket_is_logged_where_a_data_event_of_the_runs_time_names_it() {
    let of = |fields: Value| {
        let mut event = with(
            "e",
            json!({
                "eventSource": "s3.amazonaws.com", "eventCategory": "Data", "requestParameters": {"bucketName": "b"},
            }),
        );
        for (key, value) in fields.as_object().expect("fields") {
            event[key] = value.clone();
        }
        took(&[event]).logged_buckets.len()
    };
    assert_eq!(of(json!({})), 1);
    assert_eq!(of(json!({"eventCategory": "Management"})), 0);
    assert_eq!(of(json!({"eventSource": "s3tables.amazonaws.com"})), 0);
    assert_eq!(of(json!({"eventTime": "2026-09-21T14:17:00Z"})), 0);
    assert_eq!(of(json!({"requestParameters": null})), 0);
}

#[test]
fn the_same_event_again_is_a_duplicate_or_differs() {
    let wanted = |id: &str| with(id, json!({"requestID": "wanted"}));
    let mut gathering = took(&[wanted("1"), event("2"), event("2")]);
    gathering.file("b.json", &file(&[wanted("1"), event("2")]));
    assert_eq!((gathering.records, gathering.duplicates, gathering.differing.len()), (5, 3, 0));
    assert_eq!(gathering.kept["1"].files, [0, 1].into());
    gathering.file("c.json", &file(&[with("1", json!({"requestID": "wanted", "errorCode": "Denied"}))]));
    assert_eq!((gathering.duplicates, gathering.differing.as_slice()), (4, &["1".to_owned()][..]));
    assert_eq!(gathering.kept["1"].files, [0, 1].into());
}

#[test]
fn the_oldest_and_the_newest_record_are_known() {
    let time = |id: &str, t: &str| with(id, json!({"eventTime": format!("2026-09-21T14:{t}Z")}));
    let gathered = took(&[time("1", "14:00"), time("2", "13:10"), time("3", "20:00"), time("4", "15:00")]);
    assert_eq!((gathered.oldest, gathered.newest), (Some(at(10)), Some(at(420))));
    assert_eq!((gathering().oldest, gathering().newest), (None, None));
}

#[test]
fn what_cannot_be_read_is_counted() {
    let mut gathering = gathering();
    gathering.event("{}");
    gathering.event("soon");
    gathering.event(&event("1").to_string());
    assert_eq!((gathering.records, gathering.malformed), (3, 2));
    gathering.file("a.json", br#"{"Records": [7, {"eventID": "x"}]}"#);
    assert_eq!((gathering.records, gathering.malformed), (5, 4));
    gathering.file("b.json", b"soon");
    gathering.unreadable("c.json", "was not there");
    gathering.unreadable("d.json", "neither");
    assert_eq!(gathering.unreadable, 3);
    let told: Vec<_> = gathering.files().iter().map(|f| (f.name.as_str(), f.problem.as_deref())).collect();
    assert_eq!(told[0], ("a.json", None));
    assert!(told[1].1.is_some_and(|p| p.starts_with("is not a CloudTrail file: ")), "{told:?}");
    assert_eq!(told[2..], [("c.json", Some("was not there")), ("d.json", Some("neither"))]);
}

#[test]
fn what_lies_beside_the_records_of_calls_is_no_broken_record() {
    let insight = json!({
        "eventVersion": "1.09", "eventTime": "2026-09-21T14:14:00Z", "awsRegion": "eu-west-1", "eventID": "i",
        "eventType": "AwsCloudTrailInsight", "eventCategory": "Insight", "sharedEventID": "s",
        "insightDetails": {"state": "Start", "eventSource": "ec2.amazonaws.com", "eventName": "RunInstances"},
    });
    let sum = json!({
        "eventVersion": "1.0", "accountId": "123456789012", "eventId": "a", "eventCategory": "Aggregated",
        "eventType": "AwsAggregatedEvent", "awsRegion": "eu-west-1", "eventSource": "s3.amazonaws.com",
        "timeWindow": {"windowStart": "2026-09-21T14:10:00Z", "windowEnd": "2026-09-21T14:15:00Z"},
    });
    let gathered = took(&[insight.clone(), event("1"), sum]);
    assert_eq!((gathered.records, gathered.malformed, gathered.unreadable), (3, 0, 0));
    // they say nothing of what the records cover
    assert_eq!((gathered.oldest, gathered.newest), (Some(at(60)), Some(at(60))));
    // a record of a call does not become one by saying so, nor does a part of one
    let disguised = with("wanted", json!({"eventCategory": "Insight", "requestID": "wanted"}));
    assert_eq!(took(&[disguised]).kept.len(), 1);
    let mut part = event("2");
    part.as_object_mut().expect("fields").remove("eventName");
    part["eventCategory"] = json!("Insight");
    let mut bare = insight;
    bare.as_object_mut().expect("fields").remove("insightDetails");
    assert_eq!(took(&[part, bare]).malformed, 2);
}

#[test]
fn a_run_that_reads_all_the_time_keeps_its_changes() {
    let mut gathering = gathering();
    let run = format!("aws-sdk-rust/1.3 app/{}", gathering.session.app_name());
    for n in 0..MOST_READS + 7 {
        let probe = json!({"eventName": "DescribeAlarms", "userAgent": run, "readOnly": true});
        gathering.event(&with(&n.to_string(), probe).to_string());
    }
    gathering.event(&with("c", json!({"requestID": "wanted"})).to_string());
    assert_eq!((gathering.kept.len(), gathering.left_out), (MOST_READS + 1, false));
    assert_eq!(gathering.more_reads, BTreeMap::from([("ec2:DescribeAlarms".to_owned(), 7)]));
    // so are a change that only its user agent ties to the run, and a read that the journal has a call for
    gathering.event(&with("d", json!({ "userAgent": run })).to_string());
    gathering.event(&with("r", json!({"requestID": "wanted", "readOnly": true})).to_string());
    assert!(gathering.kept.contains_key("d") && gathering.kept.contains_key("r"));
    assert_eq!((gathering.kept.len(), gathering.left_out), (MOST_READS + 3, false));
}

/// So many records like this one are kept already.
fn keep(gathering: &mut Gathering, n: usize) {
    let first = took(&[with("wanted", json!({"requestID": "wanted"}))]).kept.remove("wanted").expect("one");
    for n in 0..n {
        let Kept { record, print, files } = &first;
        let kept = Kept { record: record.clone(), print: *print, files: files.clone() };
        gathering.kept.insert(format!("before-{n}"), kept);
    }
}

#[test]
fn changes_are_kept_up_to_a_number_whatever_was_read_beside_them() {
    let change = |id: &str| with(id, json!({"requestID": "wanted"})).to_string();
    let mut gathering = gathering();
    keep(&mut gathering, MOST_READS + MOST_KEPT - 1);
    gathering.reads_kept = MOST_READS;
    gathering.event(&change("a"));
    assert!(gathering.kept.contains_key("a") && !gathering.left_out);
    gathering.event(&change("b"));
    assert!(!gathering.kept.contains_key("b") && gathering.left_out);
}

#[test]
fn reads_that_are_not_kept_are_told_apart_by_name_up_to_a_number() {
    let mut gathering = gathering();
    gathering.reads_kept = MOST_READS;
    let agent = format!("aws-sdk-rust/1.3 app/{}", gathering.session.app_name());
    for n in 0..MOST_NAMES + 2 {
        let read = json!({"eventName": format!("Describe{n}"), "userAgent": agent, "readOnly": true});
        gathering.event(&with(&n.to_string(), read.clone()).to_string());
        // one that has a name keeps it
        if n == 0 {
            gathering.event(&with("again", read).to_string());
        }
    }
    assert_eq!((gathering.more_reads.len(), gathering.kept.len()), (MOST_NAMES + 1, 0));
    assert_eq!(gathering.more_reads.get("ec2:Describe0"), Some(&2));
    assert_eq!(gathering.more_reads.get("other reads"), Some(&2));
}

#[test]
fn a_file_may_be_as_large_as_any_of_cloudtrails_and_no_larger() {
    let large = usize::try_from(LARGEST_FILE).expect("fits");
    assert_eq!(large, 64 * 1024 * 1024);
    let mut gathering = gathering();
    let mut bytes = vec![b'<'; large];
    gathering.file("a.json", &bytes);
    bytes.push(b'<');
    gathering.file("b.json", &bytes);
    let problem =
        |n: usize, part: &str| gathering.files()[n].problem.as_deref().unwrap_or_default().contains(part);
    assert!(problem(0, "is not a CloudTrail file") && problem(1, "holds more than 64 MB"));
    // the same of what is packed
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &bytes[..large]).expect("packed");
    assert_eq!(inflate(&packed.finish().expect("packed")).map(|plain| plain.len()).ok(), Some(large));
    let two = [gz("{\"Records\":"), gz("[]}")].concat();
    assert_eq!(inflate(&two).expect("several members"), b"{\"Records\":[]}");
}

#[test]
fn digests_and_signatures_are_taken_up_to_a_number() {
    use super::super::forge::Signer;
    let signer = Signer::new("123456789012", "eu-west-1");
    let digest = signer.digest((at(0), at(3_600)), None, &[]);
    let head = digest.head().to_string();
    let mut gathering = gathering();
    for n in 0..MOST_DIGESTS - 1 {
        gathering.signature(&format!("{n}"), "00");
    }
    gathering.signature("none", "soon");
    gathering.file("digest.json", digest.plain.as_bytes());
    gathering.file("again.json", digest.plain.as_bytes());
    gathering.file("head.json", head.as_bytes());
    assert_eq!((gathering.digests.len(), gathering.signatures.len()), (1, MOST_DIGESTS));
    assert_eq!(gathering.unreadable, 0);
    gathering.signature("one more", "00");
    gathering.file("head.json", head.as_bytes());
    gathering.file("digest.json", digest.plain.as_bytes());
    assert_eq!((gathering.digests.len(), gathering.signatures.len()), (1, MOST_DIGESTS));
    assert_eq!(gathering.unreadable, 2);
    let said = "is one digest or signature too many: name fewer days";
    assert_eq!(gathering.files().last().expect("one").problem.as_deref(), Some(said));
}

#[test]
fn each_file_is_known_for_what_it_is() {
    use super::super::forge::Signer;
    let signer = Signer::new("123456789012", "eu-west-1");
    let digest = signer.digest((at(0), at(3_600)), None, &[]);
    let keys = signer.keys().to_string();
    let mut gathering = gathering();
    let packed = gz(REGIONAL);
    let texts: [&[u8]; 6] = [
        REGIONAL.as_bytes(),
        &packed,
        digest.plain.as_bytes(),
        &digest.head().to_string().into_bytes(),
        keys.as_bytes(),
        b"{}",
    ];
    for (n, text) in texts.into_iter().enumerate() {
        gathering.file(&n.to_string(), text);
    }
    let kinds: Vec<_> = gathering.files().iter().map(|f| f.kind).collect();
    use FileKind::{Digest, Keys, Log, Signature};
    assert_eq!(kinds, [Log, Log, Digest, Signature, Keys, Log]);
    assert_eq!(gathering.files()[5].problem.as_deref(), Some("is JSON without `Records`"));
    assert_eq!((gathering.packed.len(), gathering.contents.len(), gathering.unreadable), (1, 1, 1));
    assert_eq!(gathering.keys.keys.len(), 1);
    // an hour before and after what the digests cover
    assert_eq!(gathering.times(), Some((at(-3_600), at(7_200))));
    assert_eq!(self::gathering().times(), None);
}

#[test]
fn what_only_passed_a_vpc_endpoint_is_no_record_of_a_call() {
    let wanted = json!({ "requestID": "wanted" });
    for of_the_network in
        [json!({ "eventCategory": "NetworkActivity" }), json!({ "eventType": "AwsVpceEvent" })]
    {
        let mut network = with("of-the-network", wanted.clone());
        network.as_object_mut().unwrap().extend(of_the_network.as_object().unwrap().clone());
        let took = took(&[network, with("of-the-call", wanted.clone())]);
        assert_eq!(took.records, 2);
        assert_eq!(took.kept.keys().collect::<Vec<_>>(), ["of-the-call"]);
        assert_eq!(
            took.changes.values().sum::<u64>(),
            1,
            "the call's own alone shows that changes are recorded"
        );
    }
}
