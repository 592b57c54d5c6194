//! Risks from what has to be followed up, and the plan of action and milestones that lists them. Pure.
//!
//! A risk's UUID comes from the finding's id, so the same problem is the same risk in every run's files.

use super::NS;
use super::base::{Base, markup, prop};
use super::document::{Id, Import, Prop};
use super::model::{
    ActionItem, ActionPlan, Characterization, Facet, ObservationRef, Remediation, ResponseRef, Risk,
    RiskEntry, RiskLog, RiskRef, SystemId,
};
use super::results;
use crate::evidence::NAMESPACE;
use crate::evidence::record::Finding;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

/// The UUID of a finding's risk.
pub(super) fn uuid(finding: &Finding) -> Id {
    Id::new(NAMESPACE, &format!("risk\u{1f}{}", finding.id))
}

/// The reference to a finding's risk.
pub(super) fn reference(finding: &Finding) -> RiskRef {
    RiskRef { risk_uuid: uuid(finding) }
}

/// A risk for each open finding.
pub(super) fn of(base: &Base<'_>) -> Vec<Risk> {
    base.record.findings.iter().map(|f| risk(base, f)).collect()
}

fn risk(base: &Base<'_>, f: &Finding) -> Risk {
    let r = base.record;
    let facet = |name, value: String| Facet { name, system: NS, value };
    let mut facets = vec![facet("severity", f.severity.name().to_owned())];
    if f.subject == "rto" {
        facets.push(facet("rto-ms", r.objectives.rto_ms.to_string()));
        facets.extend(r.measures.judged_ms.map(|ms| facet("judged-ms", ms.to_string())));
        facets.extend(r.measures.margin_ms.map(|ms| facet("margin-ms", ms.to_string())));
    }
    let response = base.uuid("remediation", &f.id);
    let planned = f.owner.is_some() || f.ticket.is_some();
    let owner = f.owner.as_deref().unwrap_or("nobody yet");
    Risk {
        uuid: uuid(f),
        title: markup(&f.title),
        description: markup(&f.detail),
        statement: markup(&format!(
            "As long as this is open, the service may not recover as its objectives ask: {}",
            f.title
        )),
        props: props(base, f),
        status: if planned { "remediating" } else { "open" },
        origins: vec![base.origin()],
        characterizations: vec![Characterization { origin: base.origin(), facets }],
        deadline: f.due.map(end_of),
        remediations: vec![Remediation {
            uuid: response,
            lifecycle: if planned { "planned" } else { "recommendation" },
            title: markup(&format!("Follow up {}", f.id)),
            description: markup(&format!(
                "Owner: {owner}. Ticket: {}. Drill again to show that it is gone.",
                f.ticket.as_deref().unwrap_or("none yet")
            )),
            props: f.ticket.iter().map(|t| prop("ticket", t)).collect(),
        }],
        risk_log: Some(RiskLog {
            entries: vec![RiskEntry {
                uuid: base.uuid("risk-log", &f.id),
                title: "Seen".to_owned(),
                description: markup(&format!("Seen in run {}", r.identity.run)),
                start: base.last(),
                status_change: "open",
                related_responses: vec![ResponseRef { response_uuid: response }],
            }],
        }),
        related_observations: observation(base, f).into_iter().collect(),
    }
}

/// The observation that shows it, where the finding is about an objective; else that of all measures.
fn observation(base: &Base<'_>, f: &Finding) -> Option<ObservationRef> {
    let about = base.record.result.objectives.iter().find(|o| o.key == f.subject);
    let observation_uuid = match about {
        Some(o) => results::objective(base, &o.key),
        None => base.uuid("observation", "measures"),
    };
    Some(ObservationRef { observation_uuid })
}

fn props(base: &Base<'_>, f: &Finding) -> Vec<Prop> {
    let mut out = vec![
        prop("finding", &f.id),
        prop("kind", &f.kind),
        prop("subject", &f.subject),
        prop("severity", f.severity.name()),
        prop("first-run", f.run.as_str()),
        prop("world", &base.record.scope.world.to_string()),
    ];
    out.extend(f.owner.as_ref().map(|owner| prop("owner", owner)));
    out
}

/// The last second of a day, UTC.
fn end_of(day: NaiveDate) -> DateTime<Utc> {
    let last = NaiveTime::from_hms_opt(23, 59, 59).unwrap_or(NaiveTime::MIN);
    day.and_time(last).and_utc()
}

/// The plan of action and milestones of a record with findings.
pub(super) fn action_plan(base: &Base<'_>) -> ActionPlan {
    let items = base.record.findings.iter().map(|f| ActionItem {
        uuid: Id::new(NAMESPACE, &format!("item\u{1f}{}", f.id)),
        title: markup(&f.title),
        description: markup(&f.detail),
        props: props(base, f),
        origins: vec![base.origin()],
        related_observations: observation(base, f).into_iter().collect(),
        related_risks: vec![reference(f)],
    });
    ActionPlan {
        uuid: Id::nil(),
        metadata: base.metadata("Plan of action and milestones", base.last()),
        import_ssp: Import {
            href: format!("#{}", base.contingency_plan()),
            remarks: Some("The contingency plan under test stands for the system security plan.".to_owned()),
        },
        system_id: SystemId {
            identifier_type: "http://ietf.org/rfc/rfc4122",
            id: base.service().to_string(),
        },
        observations: results::observations(base),
        risks: of(base),
        poam_items: items.collect(),
        back_matter: base.back_matter(),
    }
}
