//! OCSF 1.8.0 Compliance Findings (class 2003): one for the run, one for each control. Pure.

use serde_json::{Value, json};

use super::{Record, Shown, Status, control_shows, json as text, last, run_shows, summary};
use crate::evidence::text::line;

/// A JSON array of events.
pub fn ocsf(r: &Record) -> String {
    let checks: Vec<Value> = r
        .result
        .objectives
        .iter()
        .map(|o| {
            let (id, name) = compliance(match o.status {
                _ if run_shows(r) == Shown::NotTested => Shown::NotTested,
                Status::Satisfied => Shown::Passed,
                Status::NotSatisfied => Shown::Failed,
                Status::NotTested => Shown::NotTested,
            });
            json!({
                "uid": o.key, "name": line(&o.name),
                "desc": line(&format!("expected: {}; seen: {}", o.expected, o.actual)),
                "status_id": id, "status": name,
            })
        })
        .collect();
    let title = format!("Recovery drill: {}", r.identity.title);
    let mut run = event(r, "run", &title, &summary(r), run_shows(r));
    run["compliance"]["control"] = json!(line(&r.identity.drill));
    run["compliance"]["standards"] = json!(["redrill drill objectives"]);
    if !checks.is_empty() {
        run["compliance"]["checks"] = Value::Array(checks);
    }
    let mut events = vec![run];
    for c in &r.controls {
        let uid = format!("{}/{}", c.framework, c.id);
        let title = format!("{} {}: {}", c.framework_name, c.id, c.outcome.name());
        let mut event = event(r, &uid, &title, &c.paraphrase, control_shows(r, c));
        event["compliance"]["control"] = json!(line(&c.id));
        event["compliance"]["standards"] = json!([line(&c.framework_name)]);
        event["compliance"]["status_detail"] = json!(line(&c.why));
        events.push(event);
    }
    text(&events)
}

fn compliance(shown: Shown) -> (u8, &'static str) {
    match shown {
        Shown::Passed => (1, "Pass"),
        Shown::Unclear => (2, "Warning"),
        Shown::Failed => (3, "Fail"),
        Shown::NotTested => (0, "Unknown"),
    }
}

fn event(r: &Record, uid: &str, title: &str, description: &str, shown: Shown) -> Value {
    let (status_id, status) = compliance(shown);
    let (severity_id, severity) = match shown {
        Shown::Passed | Shown::NotTested => (1, "Informational"),
        Shown::Unclear => (3, "Medium"),
        Shown::Failed => (4, "High"),
    };
    let at = last(r).timestamp_millis();
    json!({
        "activity_id": 1, "activity_name": "Create",
        "category_uid": 2, "category_name": "Findings",
        "class_uid": 2003, "class_name": "Compliance Finding",
        "type_uid": 200_301, "type_name": "Compliance Finding: Create",
        "time": at,
        "start_time": r.identity.started_at.map_or(at, |t| t.timestamp_millis()),
        "end_time": at,
        "severity_id": severity_id, "severity": severity,
        "status_id": 1, "status": "New",
        "message": line(&summary(r)),
        "metadata": {
            "version": "1.8.0",
            "uid": format!("{}/{uid}", r.identity.run),
            "product": {
                "name": "redrill", "vendor_name": "redrill",
                "version": line(&r.identity.tool_version),
            },
        },
        "finding_info": {
            "uid": format!("{}/{uid}", r.identity.run),
            "title": line(title),
            "desc": line(description),
            "created_time": at,
            "types": ["Disaster recovery drill"],
        },
        "compliance": { "status_id": status_id, "status": status },
        "cloud": {
            "provider": "AWS",
            "account": { "uid": line(&r.scope.account), "type_id": 10, "type": "AWS Account" },
            "region": line(&r.scope.region),
        },
        "resources": resources(r),
        "unmapped": {
            "world": r.scope.world.to_string(),
            "rto_ms": r.objectives.rto_ms,
            "rta_ms": r.measures.rta_ms,
            "judged_ms": r.measures.judged_ms,
            "plan_sha256": r.identity.plan_sha256,
            "journal_root": r.integrity.journal_root,
        },
    })
}

/// The targets; where none is known, the account.
fn resources(r: &Record) -> Vec<Value> {
    let drawn = r.scope.selections.iter().flat_map(|s| s.drawn.iter().map(move |d| (s, d)));
    let mut out: Vec<Value> = drawn
        .map(|(s, d)| {
            json!({
                "uid": line(d.arn.as_deref().unwrap_or(&d.id)),
                "name": line(d.name.as_deref().unwrap_or(&d.id)),
                "type": s.resource,
                "region": line(&r.scope.region),
            })
        })
        .collect();
    if out.is_empty() {
        out.push(json!({ "uid": line(&r.scope.account), "type": "AWS Account" }));
    }
    out
}
