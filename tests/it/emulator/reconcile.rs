//! A run against the emulator's call log, as a trail of AWS's own would hold it: the log is kept by
//! the other side of the wire, with the request ids that it gave out.

use serde_json::{Value, json};

use redrill::sandbox::{Pace, SandboxOptions};

use super::world::{Ended, World};

/// A line of the call log as a CloudTrail record.
pub(super) fn record(number: usize, call: &Value) -> Value {
    let service = match call["service"].as_str() {
        Some("elb" | "elbv2") => "elasticloadbalancing",
        Some("cloudwatch") => "monitoring",
        other => other.expect("a service"),
    };
    let name = call["action"].as_str().expect("an action");
    let objects = service == "s3" && name.contains("Object");
    json!({
        "eventID": format!("log-{number}"),
        "eventTime": call["time"],
        "eventSource": format!("{service}.amazonaws.com"),
        "eventName": name,
        "awsRegion": call["region"].as_str().unwrap_or("us-east-1"),
        "requestID": call["request_id"],
        "recipientAccountId": "123456789012",
        "userIdentity": {"type": "IAMUser", "accessKeyId": call["access_key"]},
        "userAgent": call["user_agent"],
        "errorCode": call["error"],
        "readOnly": call["mutating"] == false,
        "managementEvent": !objects,
        "eventCategory": if objects { "Data" } else { "Management" },
        "requestParameters": {
            "names": call["resources"],
            "bucketName": (service == "s3").then(|| {
                call["resources"][0].as_str().unwrap_or_default().split('/').next().map(str::to_owned)
            }).flatten(),
        },
    })
}

async fn compared(w: &World, run: &str, leave_out: Option<&str>) -> Ended {
    let calls = w.calls().await;
    let kept =
        calls.iter().enumerate().filter(|(_, c)| Some(c["action"].as_str().unwrap_or("")) != leave_out);
    let records: Vec<Value> = kept.map(|(n, c)| record(n, c)).collect();
    let file = w.file("trail.json", &json!({ "Records": records }).to_string());
    let file = file.to_str().expect("a path");
    w.go(["reconcile", run, "--from", file, "--output", "json"]).await
}

async fn ran(w: &World, drill: &str) -> String {
    let file = format!("{}/drills/{drill}.yaml", env!("CARGO_MANIFEST_DIR"));
    let health = format!("health_url={}/health", w.sandbox.health);
    let ended = w.go(["run", &file, "--yes", "--output", "json", "--set", &health]).await;
    ended.expect(0, "passed");
    ended.result()["run"].as_str().expect("a run").to_owned()
}

#[tokio::test]
async fn every_kind_of_call_is_matched_by_its_request_id() {
    let options = SandboxOptions { pace: Pace::Fast, ..SandboxOptions::default() };
    let Some(w) = World::of(options).await else { return };
    for (drill, some_call) in
        [("critical-service-loss", "RestoreDBInstanceToPointInTime"), ("s3-object-loss", "DeleteObjects")]
    {
        w.reseed().await;
        let run = ran(&w, drill).await;
        let same = compared(&w, &run, None).await;
        let counts = &same.lines[0]["counts"];
        assert_eq!(same.code, Some(15), "{same}");
        assert!(counts["matched"].as_u64() > Some(3), "{counts}");
        assert_eq!((&counts["matched"], &counts["unexplained"]), (&counts["calls"], &json!(0)), "{drill}");
        assert!(counts["reads"].as_u64() > Some(3), "{counts}");

        // a record less
        let less = compared(&w, &run, Some(some_call)).await;
        let missing = less.lines[0]["counts"]["missing"].as_u64().unwrap_or(0);
        assert!(less.code == Some(1) && missing >= 1, "{drill}: {less}");

        // a change more, with the same key and behind redrill's back
        let subnet = w.named("subnets", "shop-private-b").await;
        w.ec2(&[
            ("Action", "CreateTags"),
            ("ResourceId.1", &subnet),
            ("Tag.1.Key", "k"),
            ("Tag.1.Value", "v"),
        ])
        .await;
        let more = compared(&w, &run, None).await;
        assert_eq!(more.code, Some(1), "{more}");
        let unexplained = more.lines[0]["unexplained"].as_array().expect("a list");
        let told: Vec<_> = unexplained.iter().map(|s| (&s["operation"], &s["tie"])).collect();
        assert_eq!(told, [(&json!("ec2:CreateTags"), &json!("access key"))], "{drill}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_in_the_log_and_only_probable() {
    let Some(w) = World::start().await else { return };
    w.faults(
        json!([{ "service": "ec2", "action": "TerminateInstances", "fault": "lose_answer", "times": 1 }]),
    )
    .await;
    let run = ran(&w, "ec2-instance-loss").await;
    let r = compared(&w, &run, None).await;
    let counts = &r.lines[0]["counts"];
    assert_eq!(
        (r.code, &counts["probable"], &counts["unexplained"]),
        (Some(15), &json!(1), &json!(0)),
        "{r}"
    );
}

#[tokio::test]
async fn a_trails_files_are_read_out_of_their_bucket() {
    let Some(w) = World::start().await else { return };
    let run = ran(&w, "ec2-instance-loss").await;
    let calls = w.calls().await;
    let records: Vec<Value> = calls.iter().enumerate().map(|(n, c)| record(n, c)).collect();
    let day = format!("{}/{}/{}", &run[..4], &run[4..6], &run[6..8]);
    let bucket = "shop-assets-123456789012";
    let base = "audit/AWSLogs/123456789012/CloudTrail/us-east-1";
    let half = records.len() / 2;
    for (n, part) in [&records[..half], &records[half..]].into_iter().enumerate() {
        w.put(bucket, &format!("{base}/{day}/{n}.json"), json!({ "Records": part }).to_string()).await;
    }
    // of another day, and no file of a trail at all
    w.put(bucket, &format!("{base}/1999/01/01/0.json"), "{".to_owned()).await;
    w.put(bucket, &format!("{base}/{day}/notes.txt"), "{".to_owned()).await;
    let from = format!("s3://{bucket}/audit");
    let same = w.go(["reconcile", &run, "--from", &from, "--output", "json"]).await;
    assert_eq!(same.code, Some(15), "{same}");
    let files: Vec<_> = same.lines[0]["source"]["files"].as_array().expect("files").iter().collect();
    assert_eq!((files.len(), &same.lines[0]["counts"]["unexplained"]), (2, &json!(0)), "{files:?}");
    assert!(files.iter().all(|f| f["sha256"].as_str().is_some_and(|h| h.len() == 64)), "{files:?}");

    let none = w.go(["reconcile", &run, "--from", &format!("s3://{bucket}/elsewhere")]).await;
    assert!(none.code == Some(2) && none.err.contains("holds no trail file"), "{none}");
    let gone = w.go(["reconcile", &run, "--from", "s3://no-such-bucket-here/"]).await;
    assert!(gone.code == Some(5) || gone.code == Some(2), "{gone}");
    // the emulator is not AWS, and redrill does not pretend to look there
    let lookup = w.go(["reconcile", &run, "--from", "lookup"]).await;
    assert!(lookup.code == Some(2) && lookup.err.contains("did not touch AWS itself"), "{lookup}");
}
