//! What calls and undo records name: each edited to name a stranger, of every service.

use serde_json::{Value, json};

use super::{Run, found};

/// The line of this kind that holds this text.
fn holding<'r>(run: &'r mut Run, kind: &str, text: &str) -> &'r mut Value {
    let wanted = |l: &&mut Value| l["type"] == kind && l.to_string().contains(text);
    run.lines.iter_mut().find(wanted).unwrap_or_else(|| panic!("no {kind} with {text}"))
}

#[test]
fn a_call_on_what_the_plan_does_not_draw_and_the_run_did_not_make_is_found() {
    let forged = |verdict: &str, call: &str, field: &str, value: Value, wanted: &str| {
        let mut run = Run::of(verdict);
        holding(&mut run, "call-sent", call)["params"][field] = value;
        run.judge_again();
        found(&run, wanted);
    };
    let (table, subnet) = ("rtb-0000000000000dead", "subnet-0000000000000dead");
    for (call, field, value, wanted) in [
        ("ec2:CreateRouteTable", "vpc", json!("vpc-0dead"), "of step `detach` on VPC vpc-0dead"),
        ("ec2:ReplaceRouteTableAssociation", "table", json!(table), "on route table rtb-0000000000000dead"),
        ("ec2:DeleteRouteTable", "table", json!(table), "on route table rtb-0000000000000dead"),
        // not even the table of before the fault, which is the target's, is the run's to delete
        ("ec2:CreateTags", "ids", json!([subnet]), "on subnet subnet-0000000000000dead"),
        ("ec2:DeleteTags", "ids", json!(["eni-0dead"]), "of holding and letting go on resource eni-0dead"),
    ] {
        forged("passed", call, field, value, wanted);
    }
    forged("no-impact", "ec2:StopInstances", "ids", json!(["i-0dead"]), "of step `stop` on instance i-0dead");
    forged("no-impact", "ec2:StartInstances", "ids", json!(["i-0dead"]), "on instance i-0dead");
    let arn = json!("arn:aws:rds:us-east-1:123456789012:db:payroll");
    forged(
        "objective-missed",
        "rds:DeleteDBInstance",
        "identifier",
        json!("shop-orders-old"),
        "shop-orders-old",
    );
    forged("objective-missed", "rds:AddTagsToResource", "arn", arn.clone(), "on database payroll");
    forged("objective-missed", "rds:RemoveTagsFromResource", "arn", arn, "on database payroll");
    for (operation, params, wanted) in [
        ("s3:DeleteObjects", json!({"bucket": "payroll-123", "objects": []}), "on bucket payroll-123"),
        ("s3:PutBucketTagging", json!({"bucket": "payroll-123", "tags": {}}), "on bucket payroll-123"),
        (
            "cloudfront:CreateInvalidation",
            json!({"distribution": "E0DEAD", "caller_reference": "x", "paths": ["/*"]}),
            "on distribution E0DEAD",
        ),
        (
            "cloudfront:UntagResource",
            json!({"arn": "arn:aws:cloudfront::123456789012:distribution/E0DEAD", "keys": []}),
            "on distribution E0DEAD",
        ),
        ("rds:RebootDBInstance", json!({"identifier": "payroll", "failover": false}), "on database payroll"),
        ("ec2:TerminateInstances", json!({"ids": ["i-0dead"]}), "on instance i-0dead"),
        ("ec2:CreateKeyPair", json!({}), "a call ec2:CreateKeyPair that cannot be read"),
    ] {
        let mut run = Run::of("no-impact");
        let call = holding(&mut run, "call-sent", "ec2:StopInstances");
        call["operation"] = json!(operation);
        call["params"] = params;
        call["params"]["operation"] = json!(operation);
        run.judge_again();
        found(&run, wanted);
    }
    let mut run = Run::of("no-impact");
    holding(&mut run, "call-sent", "ec2:StopInstances")["operation"] = json!("ec2:StartInstances");
    found(&run, "a call ec2:StartInstances with what ec2:StopInstances takes");
}

#[test]
fn an_association_that_nobody_found_at_a_target_is_found() {
    let association = |run: &mut Run, which: &str| {
        holding(run, "call-sent", which)["params"]["association"] = json!("rtbassoc-0dead");
        run.judge_again();
    };
    let mut run = Run::of("passed");
    for (n, record) in run.lines.iter_mut().filter(|l| l["type"] == "step-prepared").enumerate() {
        record["undo"]["association"] = json!(format!("rtbassoc-{:017}", 4 + n));
    }
    run.judge_again();
    assert_eq!(run.checked().broken, [""; 0], "as it is written now");
    // what a fault takes was found when it was prepared
    association(&mut run, "rtbassoc-00000000000000004");
    found(&run, "of step `detach` on association rtbassoc-0dead");
    // what is put back may have been moved to and fro by somebody else: it is told, and is no proof of anything
    let mut run = Run::of("stopped");
    for (n, record) in run.lines.iter_mut().filter(|l| l["type"] == "step-prepared").enumerate() {
        record["undo"]["association"] = json!(format!("rtbassoc-{:017}", 4 + n));
    }
    association(&mut run, "rtbassoc-00000000000000006");
    let told = run.checked();
    assert!(told.caveats.iter().any(|c| c.contains("on association rtbassoc-0dead")), "{told:#?}");
    assert_eq!(told.broken, [""; 0]);
}

#[test]
fn an_undo_record_that_names_anything_else_is_found() {
    let forged = |verdict: &str, step: &str, field: &str, value: Value, wanted: &str| {
        let mut run = Run::of(verdict);
        let record = holding(&mut run, "step-prepared", &format!("\"step\":\"{step}\""));
        record["undo"].as_object_mut().expect("a record").insert(field.to_owned(), value);
        run.judge_again();
        found(&run, wanted);
    };
    let table = || json!("rtb-0000000000000dead");
    let tags = json!({"redrill:run": "20260921T141320Z-routes-lost-bbbbbb", "redrill:step": "detach"});
    for (step, field, value, wanted) in [
        ("detach", "table", table(), "names route table `rtb-0000000000000dead`"),
        ("detach", "vpc", json!("vpc-0dead"), "names VPC `vpc-0dead`"),
        ("detach", "token", json!("0"), "has another `token`"),
        ("detach", "tags", tags, "has another `tags`"),
        ("attach", "original", table(), "has another `original`"),
        ("attach", "wanted", table(), "has another `wanted`"),
        ("attach", "run", json!("20260921T141320Z-routes-lost-bbbbbb"), "has another `run`"),
    ] {
        forged("passed", step, field, value, wanted);
    }
    forged("no-impact", "stop", "id", json!("i-0dead"), "is about `i-0dead`, which is not its target");
    let restore = |field, value, wanted| forged("objective-missed", "restore", field, value, wanted);
    restore("source", json!("payroll"), "is about `payroll`, which is not its target");
    restore("identifier", json!("payroll"), "has another `identifier`");
    // all that is known of before the fault edited alike, the plan still tells
    let mut run = Run::of("passed");
    for line in &mut run.lines {
        let text = line.to_string().replace("rtb-00000000000000003", "rtb-0000000000000dead");
        *line = serde_json::from_str(&text).expect("JSON");
    }
    run.judge_again();
    found(&run, "names route table `rtb-0000000000000dead`, which the plan did not find at its target");
}

#[test]
fn what_a_person_accepts_was_stuck_and_buys_no_better_word() {
    let accept = |verdict: &str, target: &str| {
        let mut run = Run::of(verdict);
        let end = run.lines.iter().position(|l| l["type"] == "finished").expect("an end");
        let mut line = run.lines[end - 1].clone();
        let at = (line["at"].clone(), line["mono_ms"].clone());
        line = json!({"type": "left-in-place", "step": "detach", "target": target, "why": "x", "by": "a@b"});
        (line["at"], line["mono_ms"]) = at;
        run.lines.insert(end, line);
        run.judge_again();
        run
    };
    let subnet = "subnet-00000000000000003";
    found(&accept("passed", subnet), "step `detach` on subnet-00000000000000003 is not stuck");
    let mut run = accept("stuck", subnet);
    assert_eq!(run.last()["verdict"], "stuck", "only a rollback ends it");
    assert_eq!(run.checked().broken, [""; 0]);
}
