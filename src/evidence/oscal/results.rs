//! The assessment results: what was seen, the timeline, and findings where something was tested. Pure.

use super::base::{Base, markup, prop, token};
use super::document::{Id, Import, Part, Prop, ResponsibleParty};
use super::model::{
    AssessmentResults, Attestation, Definitions, Evidence, Finding, Log, LogEntry, Observation,
    ObservationRef, RiskRef, RunResult, Target, TargetStatus,
};
use super::plan::objective_id;
use super::{ASSESSMENT_PLAN, NS, risks};
use crate::evidence::record::{Check, ControlOutcome, Record, Status};
use chrono::DateTime;
use chrono::{TimeDelta, Utc};

/// How long a drill counts: the longest period between two tests that any of the frameworks sets. Each
/// control's own cadence may be shorter.
const VALID_DAYS: i64 = 365;

/// The results of a record.
pub(super) fn of(base: &Base<'_>) -> AssessmentResults {
    let r = base.record;
    let signed = r.review.sign_offs.iter().map(|s| s.at).max();
    let at = signed.map_or(base.last(), |at| at.max(base.last()));
    let findings = findings(base);
    let mut props = base.identity();
    props.push(prop("verdict", r.result.verdict.map_or("unfinished", crate::journal::Verdict::name)));
    props.extend(r.result.exit_code.map(|code| prop("exit-code", &code.to_string())));
    props.extend(base.other_controls());
    AssessmentResults {
        uuid: Id::nil(),
        metadata: base.metadata("Assessment results", at),
        import_ap: Import { href: ASSESSMENT_PLAN.to_owned(), remarks: None },
        results: vec![RunResult {
            uuid: base.uuid("result", "run"),
            title: markup(&r.identity.title),
            description: markup(&description(r)),
            start: base.start(),
            end: r.identity.finished_at,
            props,
            local_definitions: Definitions {
                components: base.components(),
                inventory_items: base.inventory(),
                objectives_and_methods: Vec::new(),
                activities: Vec::new(),
            },
            reviewed_controls: base.reviewed(if base.counts() {
                "Controls that the drill says something about; one without a finding was not tested."
            } else {
                "Controls that the drill is about. None of them was tested: nothing ran on AWS."
            }),
            attestations: attestations(r),
            assessment_log: log(base),
            observations: observations(base),
            risks: risks::of(base),
            findings,
            remarks: Some(markup(&format!("{} {}", base.world_sentence(), r.limits.join("; ")))),
        }],
        back_matter: base.back_matter(),
    }
}

fn description(r: &Record) -> String {
    match r.result.verdict {
        Some(verdict) => format!("{}: {}", verdict.name(), r.result.reasons.join("; ")),
        None => "The run is not finished; nothing is judged.".to_owned(),
    }
}

/// The UUID of an objective's observation.
pub(super) fn objective(base: &Base<'_>, key: &str) -> Id {
    base.uuid("objective", key)
}

/// The UUID of a check's observation.
fn check(base: &Base<'_>, check: &Check) -> Id {
    base.uuid("check", &format!("{}\u{1f}{}", check.name, check.with_sha256))
}

/// The measures, each objective, each check.
pub(super) fn observations(base: &Base<'_>) -> Vec<Observation> {
    let r = base.record;
    let observation = |uuid, title: &str, description: &str, props, at: DateTime<Utc>| Observation {
        uuid,
        title: markup(title),
        description: markup(description),
        props,
        methods: vec!["TEST"],
        types: vec!["control-objective"],
        origins: vec![base.origin()],
        subjects: base.subjects(),
        relevant_evidence: evidence(base),
        collected: at,
        expires: r.identity.finished_at.and_then(|at| at.checked_add_signed(TimeDelta::days(VALID_DAYS))),
    };
    let mut out = vec![observation(
        base.uuid("observation", "measures"),
        "What the recovery clock measured",
        &description(r),
        measures(r),
        base.last(),
    )];
    for o in &r.result.objectives {
        let props = vec![
            prop("objective", &o.key),
            prop("expected", &o.expected),
            prop("actual", &o.actual),
            prop("status", &o.status.name().replace(' ', "-")),
        ];
        let text = format!("Expected: {}. Seen: {}. {}.", o.expected, o.actual, o.status.name());
        out.push(observation(objective(base, &o.key), &o.name, &text, props, base.last()));
    }
    let mut seen = Vec::new();
    for c in &r.checks {
        let uuid = check(base, c);
        if seen.contains(&uuid) {
            continue;
        }
        seen.push(uuid);
        let props = vec![
            prop("probe", &c.probe),
            prop("with-sha256", &c.with_sha256),
            prop("observations", &c.observations.to_string()),
            prop("status", &c.status.name().replace(' ', "-")),
        ];
        let text = format!("Asked: {}. Seen: {}. {}.", c.with, c.seen, c.status.name());
        out.push(observation(uuid, &format!("Check: {}", c.name), &text, props, c.at.unwrap_or(base.last())));
    }
    out
}

fn measures(r: &Record) -> Vec<Prop> {
    let m = &r.measures;
    let mut out =
        vec![prop("rto-ms", &r.objectives.rto_ms.to_string()), prop("rto-clock", &r.objectives.clock)];
    out.extend(r.objectives.rpo_ms.map(|ms| prop("rpo-ms", &ms.to_string())));
    let figures = [
        ("rta-ms", m.rta_ms),
        ("rta-low-ms", m.rta_low_ms),
        ("rta-high-ms", m.rta_high_ms),
        ("rta-from-declaration-ms", m.from_declaration_ms),
        ("judged-ms", m.judged_ms),
        ("margin-ms", m.margin_ms),
        ("detect-ms", m.detect_ms),
        ("acknowledge-ms", m.acknowledge_ms),
        ("declare-ms", m.declare_ms),
        ("decide-ms", m.decide_ms),
        ("technical-restore-ms", m.technical_restore_ms),
        ("capacity-ms", m.capacity_ms),
        ("restore-point-age-ms", m.restore_point_age_ms),
        ("clock-skew-ms", m.skew_ms),
    ];
    out.extend(figures.into_iter().filter_map(|(name, ms)| Some(prop(name, &ms?.to_string()))));
    // one figure for an objective that redrill does not measure: said, not left out
    out.push(prop("rpa", "not measured"));
    out.push(prop("resolution-ms", &m.resolution_ms.to_string()));
    out.push(prop("outage-seen", if m.outage { "yes" } else { "no" }));
    out.push(prop("flaps", &m.flaps.to_string()));
    if r.people.simulated {
        out.push(prop("people", "simulated"));
    }
    out
}

fn evidence(base: &Base<'_>) -> Vec<Evidence> {
    let files = [
        ("journal.jsonl", "The journal: every event of the run, in order"),
        ("plan.json", "The plan, fixed before the start"),
        ("drill.yaml", "The drill as it was run"),
    ];
    let evidence = files.into_iter().filter_map(|(name, description)| {
        Some(Evidence { href: format!("#{}", base.file(name)?), description: description.to_owned() })
    });
    evidence.collect()
}

/// What a person stated about the finished run.
fn attestations(r: &Record) -> Vec<Attestation> {
    let sign_offs = r.review.sign_offs.iter();
    sign_offs
        .map(|s| Attestation {
            responsible_parties: vec![ResponsibleParty {
                role_id: token("reviewer"),
                party_uuids: vec![Base::person(&s.by)],
            }],
            parts: vec![Part {
                id: None,
                name: "sign-off",
                ns: Some(NS),
                title: Some(markup(&format!("{} by {}", s.decision, s.who()))),
                props: vec![
                    prop("decision", &s.decision),
                    prop("at", &s.at.to_rfc3339()),
                    prop("key", &s.key),
                    prop("independent", if s.independent { "yes" } else { "no" }),
                ],
                prose: Some(markup(&s.note)),
            }],
        })
        .collect()
}

/// The timeline, and every call with the id that CloudTrail has too.
fn log(base: &Base<'_>) -> Option<Log> {
    let run = &base.record.run;
    let mut entries: Vec<(DateTime<Utc>, u64, LogEntry)> = Vec::new();
    for (n, m) in run.moments.iter().enumerate() {
        let mut props = vec![prop("journal-line", &m.seq.to_string())];
        props.extend(m.stage.map(|stage| prop("stage", &format!("{stage:?}").to_lowercase())));
        entries.push((
            m.at,
            m.seq,
            LogEntry {
                uuid: base.uuid("moment", &n.to_string()),
                title: markup(&m.what),
                description: None,
                start: m.at,
                end: None,
                props,
            },
        ));
    }
    for c in &run.calls {
        let mut props = vec![
            prop("journal-line", &c.seq.to_string()),
            prop("operation", &c.operation),
            prop("attempt", &c.attempt.to_string()),
        ];
        props.extend(c.step.as_ref().map(|step| prop("step", step.as_str())));
        props.extend(c.request_id.as_ref().map(|id| prop("aws-request-id", id)));
        entries.push((
            c.sent_at,
            c.seq,
            LogEntry {
                uuid: base.uuid("call", &c.seq.to_string()),
                title: markup(&format!("Call {}", c.operation)),
                description: c.error.as_ref().map(|e| markup(&format!("Failed: {e}"))),
                start: c.sent_at,
                end: c.answered_at,
                props,
            },
        ));
    }
    entries.sort_by_key(|(at, seq, _)| (*at, *seq));
    let entries: Vec<LogEntry> = entries.into_iter().map(|(_, _, entry)| entry).collect();
    (!entries.is_empty()).then_some(Log { entries })
}

/// What was tested on AWS, and whether it held. Off AWS, and where nothing was tested: nothing.
fn findings(base: &Base<'_>) -> Vec<Finding> {
    if !base.counts() {
        return Vec::new();
    }
    let r = base.record;
    let all: Vec<Id> = r.result.objectives.iter().map(|o| objective(base, &o.key)).collect();
    let refs = |ids: &[Id]| ids.iter().map(|id| ObservationRef { observation_uuid: *id }).collect();
    let mut out = Vec::new();
    for o in &r.result.objectives {
        let Some(status) = status(o.status, None) else { continue };
        let held = o.status == Status::Satisfied;
        let about = r.findings.iter().filter(|f| f.subject == o.key);
        out.push(Finding {
            uuid: base.uuid("finding", &format!("objective\u{1f}{}", o.key)),
            title: markup(&o.name),
            description: markup(&format!("Expected: {}. Seen: {}.", o.expected, o.actual)),
            props: vec![prop("objective", &o.key)],
            origins: vec![base.origin()],
            target: Target { kind: "objective-id", target_id: objective_id(&o.key), status },
            related_observations: refs(&[objective(base, &o.key)]),
            related_risks: about.filter(|_| !held).map(|f| RiskRef { risk_uuid: risks::uuid(f) }).collect(),
        });
    }
    for (id, c) in base.catalog_controls() {
        let state = match c.outcome {
            ControlOutcome::Supports => Status::Satisfied,
            ControlOutcome::DoesNotSupport => Status::NotSatisfied,
            ControlOutcome::NotTested => Status::NotTested,
        };
        let Some(status) = status(state, Some(&c.why)) else { continue };
        let held = state == Status::Satisfied;
        out.push(Finding {
            uuid: base.uuid("finding", &format!("control\u{1f}{id}")),
            title: markup(&format!("{}: {}", c.id, c.outcome.name())),
            description: markup(&format!(
                "{} What this run shows; whether the control is satisfied is the assessor's to judge.",
                c.paraphrase
            )),
            props: vec![prop("cadence", &c.cadence)],
            origins: vec![base.origin()],
            target: Target { kind: "statement-id", target_id: format!("{id}_smt"), status },
            related_observations: refs(&all),
            related_risks: if held { Vec::new() } else { r.findings.iter().map(risks::reference).collect() },
        });
    }
    out
}

/// `None` for what was not tested: OSCAL knows only satisfied and not satisfied.
fn status(status: Status, why: Option<&str>) -> Option<TargetStatus> {
    let (state, reason) = match status {
        Status::Satisfied => ("satisfied", "pass"),
        Status::NotSatisfied => ("not-satisfied", "fail"),
        Status::NotTested => return None,
    };
    Some(TargetStatus { state, reason, remarks: why.map(markup) })
}
