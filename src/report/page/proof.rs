//! What an auditor asks first: objectives, the clock, controls, findings, scope, people, conditions.

use super::super::{in_words, lower, mark_label, time, timeline};
use super::content::{
    Cell, Fact, Section, code, exact, gap, json, known, maybe, moment, outcome, pairs, severity, status,
    text, took,
};
use super::outage_in_words;
use crate::evidence::Record;
use crate::evidence::record::Selection;
use crate::model::exercise::Document;

pub(super) fn sections(record: &Record) -> Vec<Section> {
    let mut out = vec![objectives(record), clock(record)];
    out.extend([controls(record), findings(record), scope(record), people(record), conditions(record)]);
    out
}

fn objectives(r: &Record) -> Section {
    let o = &r.objectives;
    let rows = r
        .result
        .objectives
        .iter()
        .map(|o| vec![text(&o.name), text(&o.expected), text(&o.actual), status(o.status)]);
    let criteria = o.criteria.iter().map(|c| {
        // only what clients feel has to hold
        let holds = c.part == "steady-state" && c.role == "client";
        let held = if holds { in_words(c.hold_ms) } else { String::new() };
        vec![
            text(&c.name),
            code(&c.probe),
            text(&c.part),
            text(&c.role),
            json(&c.with),
            text(in_words(c.every_ms)),
            text(held),
        ]
    });
    let began = r.run.measured.as_ref().is_some_and(|m| m.marks.contains_key("t0"));
    let from = match o.clock.as_str() {
        "declaration" => "the declaration (T3)",
        _ if began && !r.run.has_fault() => "the start of the recovery (T0): there was no fault",
        _ => "the fault's effect (T0)",
    };
    Section::new("objectives", "Objectives")
        .table(
            "Each objective and how it came out",
            &["Objective", "Expected", "Actual", "Status"],
            rows.collect(),
            "No objectives are known.",
        )
        .facts(vec![
            ("Recovery time objective (RTO)", text(in_words(o.rto_ms))),
            ("The RTO counts from", text(from)),
            ("Recovery point objective (RPO)", maybe(o.rpo_ms.map(in_words))),
            ("Detection objective", maybe(o.detect_ms.map(in_words))),
            ("Maximum tolerable downtime", maybe(o.max_tolerable_downtime_ms.map(in_words))),
            ("Least service at the RTO", maybe(o.minimum_service.as_ref())),
            ("The run stops waiting after", text(in_words(o.give_up_ms))),
            ("Business impact analysis", document(r.identity.impact_analysis.as_ref())),
        ])
        .table(
            "What counts as recovered, fixed before the start",
            &["Name", "Probe", "Part", "Role", "Parameters", "Looks every", "Must hold"],
            criteria.collect(),
            "No criteria are known.",
        )
}

fn clock(r: &Record) -> Section {
    let m = &r.measures;
    let measured = r.run.measured.as_ref();
    let t0 = measured.and_then(|m| m.marks.get("t0")).copied();
    let marks = measured.iter().flat_map(|m| &m.marks).map(|(name, at)| {
        let since = t0.map(|t0| timeline::offset(t0, *at)).unwrap_or_default();
        vec![text(mark_label(&r.run, name)), text(exact(*at)), text(since)]
    });
    let phases = measured.iter().flat_map(|m| &m.phases).map(|p| {
        vec![text(mark_label(&r.run, &p.from)), text(mark_label(&r.run, &p.to)), text(in_words(p.ms))]
    });
    let gaps = measured.iter().flat_map(|m| &m.gaps).map(|g| {
        let ms = g.to.signed_duration_since(g.from).num_milliseconds();
        vec![text(exact(g.from)), text(exact(g.to)), text(in_words(ms)), text(&g.why)]
    });
    let interval = match (m.rta_low_ms, m.rta_high_ms) {
        (Some(low), Some(high)) => text(format!("{} to {}", in_words(low), in_words(high))),
        _ => took(None),
    };
    let mut facts: Vec<Fact> = vec![
        ("Recovery time actual (RTA), T0 to T7", took(m.rta_ms)),
        ("It lies between", interval),
        ("Margin to the RTO", took(m.margin_ms)),
        ("From the declaration, T3 to T7", took(m.from_declaration_ms)),
        ("To detect, T0 to T1", took(m.detect_ms)),
        ("To acknowledge, T0 to T2", took(m.acknowledge_ms)),
        ("To declare, T0 to T3", took(m.declare_ms)),
        ("To decide, T0 to T4", took(m.decide_ms)),
        ("Technical restore, T4 to T5", took(m.technical_restore_ms)),
        ("Capacity back after", took(m.capacity_ms)),
        ("Restore point before T0 (not an RPO)", took(m.restore_point_age_ms)),
        ("Clients saw an outage", known(outage_in_words(r))),
        ("Healthy, then unhealthy inside the hold", text(format!("{} times", m.flaps))),
        ("Local clock minus AWS's", took(m.skew_ms)),
    ];
    if m.resolution_ms > 0 {
        facts.push(("Resolution of the client probes", text(in_words(m.resolution_ms))));
    }
    Section::new("clock", "Recovery clock")
        .facts(facts)
        .table("Marks", &["Mark", "When", "Since T0"], marks.collect(), "The clock did not start.")
        .table(
            "Phases, which sum to the RTA",
            &["From", "To", "Took"],
            phases.collect(),
            "No phases were measured.",
        )
        .table(
            "Stretches without an observation",
            &["From", "To", "Lasted", "Why"],
            gaps.collect(),
            "There was no gap in observation.",
        )
        .list(measured.map_or(&[], |m| m.notes.as_slice()), "The clock has nothing to add.")
}

fn controls(r: &Record) -> Section {
    const HEAD: &[&str] = &["Control", "About", "This run", "Why", "Shown by", "How often"];
    let mut section = Section::new("controls", "Controls")
        .text("Computed from what the run did and how it came out. Whether a control is met is for its owner and auditor to judge.");
    let mut frameworks: Vec<(&str, &str)> = Vec::new();
    for c in &r.controls {
        if !frameworks.iter().any(|(key, _)| *key == c.framework) {
            frameworks.push((&c.framework, &c.framework_name));
        }
    }
    for (key, name) in &frameworks {
        let rows = r.controls.iter().filter(|c| c.framework == *key).map(|c| {
            vec![
                text(&c.id),
                text(&c.paraphrase),
                outcome(c.outcome),
                text(&c.why),
                text(c.shows.join("; ")),
                text(&c.cadence),
            ]
        });
        section = section.table(name, HEAD, rows.collect(), "");
    }
    if frameworks.is_empty() {
        section = section.text("No control is named for this run.");
    }
    section
}

fn findings(r: &Record) -> Section {
    let rows = r.findings.iter().map(|f| {
        vec![
            code(&f.id),
            severity(f.severity),
            text(&f.title),
            text(&f.detail),
            text(&f.kind),
            maybe(f.owner.as_ref()),
            maybe(f.due),
            maybe(f.ticket.as_ref()),
        ]
    });
    Section::new("findings", "Findings").table(
        "What has to be followed up",
        &["Id", "Severity", "What", "Detail", "Kind", "Owner", "Due", "Ticket"],
        rows.collect(),
        "The run has no findings.",
    )
}

fn filter(s: &Selection) -> String {
    let tags = s.tags.iter().map(|(k, v)| format!("tag {k} = {}", v.join(" | ")));
    let attributes = s.attributes.iter().map(|(k, v)| format!("{k} = {}", v.join(" | ")));
    tags.chain(attributes).collect::<Vec<_>>().join("; ")
}

fn scope(r: &Record) -> Section {
    let s = &r.scope;
    let selections = s.selections.iter().map(|s| {
        vec![
            text(&s.name),
            code(s.resource),
            text(filter(s)),
            text(s.population),
            text(s.matched),
            text(&s.select),
            text(s.drawn.len()),
        ]
    });
    let drawn = s.selections.iter().flat_map(|s| {
        s.drawn.iter().map(|d| {
            vec![
                code(&d.id),
                text(&s.name),
                text(d.name.as_deref().unwrap_or("–")),
                code(d.arn.as_deref().unwrap_or("–")),
                text(d.zone.as_deref().unwrap_or("–")),
                text(pairs(&d.tags)),
            ]
        })
    });
    Section::new("scope", "Scope")
        .facts(vec![
            ("World", text(s.world)),
            ("Account", code(&s.account)),
            ("Region", code(&s.region)),
            ("Endpoint", text(s.endpoint.as_deref().unwrap_or("AWS's own"))),
            ("Environment", text(s.environment.as_deref().unwrap_or("none chosen"))),
            ("Seed of the sample", maybe(s.seed)),
        ])
        .table(
            "Populations and samples",
            &["Selector", "Resource", "Filter as typed", "Of the kind", "Matched", "To draw", "Drawn"],
            selections.collect(),
            "Nothing was selected, or the plan is missing.",
        )
        .table(
            "What was drawn, as it was when the plan was made",
            &["Id", "Selector", "Name", "ARN", "Zone", "Tags"],
            drawn.collect(),
            "Nothing was drawn.",
        )
}

fn document(d: Option<&Document>) -> Cell {
    let Some(d) = d else { return gap() };
    let version = d.version.as_ref().map(|v| format!("version {v}"));
    let hash = d.sha256.as_ref().map(|h| format!("SHA-256 {h}"));
    let parts = [Some(d.title.clone()), version, d.reference.clone(), hash];
    text(parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn people(r: &Record) -> Section {
    let (a, p) = (&r.authority, &r.people);
    let announced = a.announced.map(|yes| if yes { "announced" } else { "not announced" });
    let approvals = a.approvals.iter().map(|a| {
        let at = a.at.map_or_else(gap, |at| text(time(at)));
        vec![text(&a.name), at, maybe(a.reference.as_ref())]
    });
    let participants =
        p.participants.iter().map(|p| vec![text(&p.role), text(&p.name), maybe(p.identity.as_ref())]);
    let processes = r.run.processes.iter().map(|p| {
        vec![
            text(exact(p.at)),
            text(lower(p.mode)),
            text(format!("{}@{}", p.user, p.host)),
            text(format!("redrill {}, process {}", p.redrill, p.pid)),
        ]
    });
    let marks =
        r.run.marks.iter().map(|m| vec![text(exact(m.at)), text(lower(m.mark)), text(&m.by), text(&m.note)]);
    Section::new("people", "People and authority")
        .facts(vec![
            ("Kind of exercise", maybe(a.exercise_type.map(|k| k.name()))),
            ("Announced", maybe(announced)),
            ("Change ticket", maybe(a.ticket.as_ref())),
            ("Plan under test", document(a.plan.as_ref())),
            ("Rules of engagement", maybe(a.rules.as_ref())),
            ("AWS identity", if p.caller.is_empty() { gap() } else { code(&p.caller) }),
            ("People simulated", text(if p.simulated { "yes" } else { "no" })),
        ])
        .table(
            "Approvals before the start: stated in the plan, or signed",
            &["Approved by", "When", "Where that is written"],
            approvals.collect(),
            "Approvals: not recorded (gap).",
        )
        .table(
            "Participants, as stated in the plan",
            &["Role", "Name", "Identity"],
            participants.collect(),
            "Participants: not recorded (gap).",
        )
        .table(
            "Processes that worked on the run",
            &["Since", "For", "Who", "What"],
            processes.collect(),
            "No process is on record.",
        )
        .table("What people marked", &["When", "Mark", "By", "Note"], marks.collect(), "Nobody set a mark.")
}

fn conditions(r: &Record) -> Section {
    let c = &r.conditions;
    let notices = c.notices.iter().map(|n| vec![text(&n.severity), text(&n.subject), text(&n.text)]);
    let labelled = |name: &str, items: &[String]| -> Vec<String> {
        items.iter().map(|i| format!("{name}: {i}")).collect()
    };
    Section::new("conditions", "Conditions")
        .list(&labelled("Assumed", &c.assumptions), "Assumptions: not recorded (gap).")
        .list(
            &labelled("Differs from production", &c.deviations),
            "Differences from production: not recorded (gap).",
        )
        .list(&labelled("Limit", &c.limits), "Limits: not recorded (gap).")
        .list(&labelled("Stops it", &c.abort_conditions), "Stop conditions: not recorded (gap).")
        .table(
            "What planning and preflight found",
            &["Severity", "About", "What"],
            notices.collect(),
            "Planning and preflight found nothing.",
        )
        .facts(vec![
            (
                "Stopped before its end",
                match &r.run.stop {
                    Some(stop) => text(format!("{}: {}", exact(stop.at), stop.detail)),
                    None => text("no"),
                },
            ),
            ("Plan made", moment(r.identity.planned_at)),
            (
                "Risks drilled",
                if r.identity.risks.is_empty() { gap() } else { text(r.identity.risks.join(", ")) },
            ),
        ])
}
