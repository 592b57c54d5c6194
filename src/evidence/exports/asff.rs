//! AWS Security Finding Format (2018-10-08): one finding for the run, one for each control. Pure.
//!
//! A JSON array, as `aws securityhub batch-import-findings --findings file://…` takes it, which takes
//! at most 100 at a time.

use serde_json::{Value, json};

use super::{Record, Shown, control_shows, json as text, last, run_shows, summary};
use crate::evidence::text::{line, short};

/// A JSON array of findings.
pub fn asff(r: &Record) -> String {
    let title = format!("Recovery drill: {}", r.identity.title);
    let mut findings = vec![finding(r, "run", &title, &summary(r), run_shows(r), None)];
    for c in &r.controls {
        let shown = control_shows(r, c);
        let title = format!("{} {}: {}", c.framework_name, c.id, c.outcome.name());
        let description = format!("{} {} {}", c.paraphrase, c.why, summary(r));
        let requirement = format!("{} {}", c.framework_name, c.id);
        let id = format!("{}/{}", c.framework, c.id);
        findings.push(finding(r, &id, &title, &description, shown, Some(&requirement)));
    }
    text(&findings)
}

fn finding(
    r: &Record,
    id: &str,
    title: &str,
    description: &str,
    shown: Shown,
    requirement: Option<&str>,
) -> Value {
    let (region, account) = (line(&r.scope.region), line(&r.scope.account));
    let partition = match &region {
        r if r.starts_with("cn-") => "aws-cn",
        r if r.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    let (status, severity) = match shown {
        Shown::Passed => ("PASSED", "INFORMATIONAL"),
        Shown::Failed => ("FAILED", "HIGH"),
        Shown::Unclear => ("WARNING", "MEDIUM"),
        Shown::NotTested => ("NOT_AVAILABLE", "INFORMATIONAL"),
    };
    let at = last(r).format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let mut compliance = json!({ "Status": status });
    if let Some(requirement) = requirement {
        compliance["RelatedRequirements"] = json!([short(requirement, 64)]);
    }
    json!({
        "SchemaVersion": "2018-10-08",
        "Id": short(&format!("redrill/{}/{id}", r.identity.run), 512),
        "ProductArn": format!("arn:{partition}:securityhub:{region}:{account}:product/{account}/default"),
        "GeneratorId": short(&format!("redrill/{}/{id}", r.identity.drill), 512),
        "AwsAccountId": account,
        "Types": ["Software and Configuration Checks/Industry and Regulatory Standards"],
        "CreatedAt": at,
        "UpdatedAt": at,
        "Severity": { "Label": severity },
        "Title": short(title, 256),
        "Description": short(description, 1024),
        "ProductFields": {
            "redrill/world": r.scope.world.to_string(),
            "redrill/run": line(r.identity.run.as_str()),
            "redrill/rto-ms": r.objectives.rto_ms.to_string(),
            "redrill/rta-ms": r.measures.rta_ms.map_or_else(|| "not measured".to_owned(), |ms| ms.to_string()),
            "redrill/plan-sha256": line(&r.identity.plan_sha256),
        },
        "Resources": [{
            "Type": "AwsAccount",
            "Id": format!("AWS::::Account:{account}"),
            "Partition": partition,
            "Region": region,
        }],
        "Compliance": compliance,
        "Workflow": { "Status": "NEW" },
        "RecordState": "ACTIVE",
    })
}
