//! The assessment plan: objectives, terms, controls and targets as they were before the start. Pure.

use super::NS;
use super::base::{Base, CONTINGENCY_PLAN_TESTING, markup, prop, token};
use super::document::{Id, Import, Part};
use super::model::{
    Activity, ActivityStep, ActivityUse, AssessmentPlan, Assets, Component, ComponentStatus, ComponentUse,
    Definitions, LocalObjective, OnDate, Platform, Subjects, Task, Terms, Timing,
};
use crate::model::time::in_words;
/// The name that an objective has in the OSCAL files.
pub(super) fn objective_id(key: &str) -> String {
    format!("redrill-{}", token(key))
}

/// The plan of a record.
pub(super) fn of(base: &Base<'_>) -> AssessmentPlan {
    let r = base.record;
    let planned = r.identity.planned_at.unwrap_or_else(|| base.start());
    let activity = activity(base);
    let subjects = || -> Vec<Subjects> {
        let of = |kind: &'static str, description: &str| {
            let ids = base.subjects().into_iter().filter(|s| s.kind == kind).collect::<Vec<_>>();
            (!ids.is_empty()).then(|| Subjects {
                kind,
                description: description.to_owned(),
                include_subjects: ids,
            })
        };
        [of("component", "The service"), of("inventory-item", "The targets")].into_iter().flatten().collect()
    };
    AssessmentPlan {
        uuid: Id::nil(),
        metadata: base.metadata("Assessment plan", planned),
        import_ssp: Import {
            href: format!("#{}", base.contingency_plan()),
            remarks: Some("The contingency plan under test stands for the system security plan.".to_owned()),
        },
        local_definitions: Definitions {
            components: base.components(),
            inventory_items: base.inventory(),
            objectives_and_methods: objectives(base),
            activities: vec![activity],
        },
        terms_and_conditions: terms(base),
        reviewed_controls: base.reviewed("Controls that the drill is meant to say something about."),
        assessment_subjects: subjects(),
        assessment_assets: Some(Assets {
            components: vec![Component {
                uuid: base.tool(),
                kind: "software",
                title: "redrill".to_owned(),
                description: markup(&format!(
                    "redrill {}, which ran the drill and measured.",
                    r.identity.tool_version
                )),
                props: vec![prop("version", &r.identity.tool_version)],
                status: ComponentStatus { state: "operational" },
            }],
            assessment_platforms: vec![Platform {
                uuid: base.uuid("platform", "redrill"),
                title: "redrill".to_owned(),
                uses_components: vec![ComponentUse { component_uuid: base.tool() }],
            }],
        }),
        tasks: vec![Task {
            uuid: base.uuid("task", "drill"),
            kind: "action",
            title: "Run the drill".to_owned(),
            description: markup(&r.identity.title),
            timing: r.identity.started_at.map(|date| Timing { on_date: OnDate { date } }),
            associated_activities: vec![ActivityUse {
                activity_uuid: base.uuid("activity", "drill"),
                subjects: subjects(),
            }],
        }],
        back_matter: base.back_matter(),
    }
}

fn objectives(base: &Base<'_>) -> Vec<LocalObjective> {
    let objectives = base.record.result.objectives.iter();
    objectives
        .map(|o| LocalObjective {
            control_id: CONTINGENCY_PLAN_TESTING.to_owned(),
            description: markup(&o.name),
            parts: vec![Part {
                id: Some(objective_id(&o.key)),
                name: "assessment-objective",
                ns: None,
                title: Some(markup(&o.name)),
                props: Vec::new(),
                prose: Some(markup(&o.expected)),
            }],
        })
        .collect()
}

fn activity(base: &Base<'_>) -> Activity {
    let criteria = base.record.objectives.criteria.iter();
    Activity {
        uuid: base.uuid("activity", "drill"),
        title: "The drill".to_owned(),
        description:
            "Break what the drill names, recover it by the drilled procedure, and measure until the \
                      service is steady again. Every step stands in plan.json."
                .to_owned(),
        steps: criteria
            .enumerate()
            .map(|(n, c)| ActivityStep {
                uuid: base.uuid("criterion", &n.to_string()),
                title: markup(&format!("{}: {}", c.part, c.name)),
                description: markup(&format!(
                    "Probe {}, every {}, healthy for {}, with {}",
                    c.probe,
                    in_words(c.every_ms),
                    in_words(c.hold_ms),
                    c.with
                )),
                props: vec![prop("role", &c.role)],
            })
            .collect(),
    }
}

fn terms(base: &Base<'_>) -> Option<Terms> {
    let r = base.record;
    let part = |name: &'static str, title: &str, prose: &str, props| Part {
        id: None,
        name,
        ns: Some(NS),
        title: Some(title.to_owned()),
        props,
        prose: Some(markup(prose)),
    };
    let mut parts = Vec::new();
    parts.extend(r.authority.rules.as_ref().map(|t| part("rules", "Rules of engagement", t, Vec::new())));
    for a in &r.authority.approvals {
        let mut props = vec![prop("approver", &a.name)];
        props.extend(a.at.map(|at| prop("approved-at", &at.to_rfc3339())));
        props.extend(a.reference.as_ref().map(|v| prop("reference", v)));
        parts.push(part(
            "approval",
            "Approval, as stated in the drill",
            &format!("Approved by {}", a.name),
            props,
        ));
    }
    parts.extend(r.conditions.assumptions.iter().map(|t| part("assumption", "Assumption", t, Vec::new())));
    parts.extend(
        r.conditions.deviations.iter().map(|t| part("deviation", "Differs from production", t, Vec::new())),
    );
    parts.extend(r.conditions.limits.iter().map(|t| part("limit", "Limit", t, Vec::new())));
    parts.extend(
        r.conditions.abort_conditions.iter().map(|t| part("stop-condition", "Stop condition", t, Vec::new())),
    );
    (!parts.is_empty()).then_some(Terms { parts })
}
