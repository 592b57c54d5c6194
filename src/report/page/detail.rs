//! The run itself: steps, checks, probes, timeline, calls; then review, gaps, limits and integrity.

use serde_json::Value;

use super::super::{cell_status, health_name, in_words, lower, pictures, timeline};
use super::content::{Cell, Fact, Section, code, exact, json, maybe, moment, pairs, status, text};
use crate::evidence::Record;

pub(super) fn sections(record: &Record) -> Vec<Section> {
    let mut out = vec![recovery(record), safety(record), checks(record), probes(record), timeline(record)];
    out.extend([calls(record), review(record), gaps(record), limits(record), integrity(record)]);
    out
}

fn dash(text: Option<&String>) -> &str {
    text.map_or("–", String::as_str)
}

fn recovery(r: &Record) -> Section {
    let recoveries = r.recoveries.iter().map(|c| {
        vec![
            code(&c.step),
            code(c.action.as_deref().unwrap_or("by a person")),
            code(dash(c.target.as_ref())),
            moment(c.started_at),
            moment(c.ready_at),
            text(pairs(&c.outputs)),
            text(c.notes.join("; ")),
        ]
    });
    let steps = r.run.steps.iter().flat_map(|s| {
        let stage = s.stage.map(lower).unwrap_or_default();
        let person = match (&s.skipped, &s.waiting, &s.confirmed) {
            (Some(why), ..) => Some(format!("skipped: {why}")),
            (_, Some(text), _) => Some(format!("waits for a person: {text}")),
            (_, _, Some(who)) => Some(format!("confirmed by {who}")),
            _ => None,
        };
        let person = person.map(|p| vec![code(&s.id), text(&stage), text("–"), text(p), text("")]);
        let cells = s.cells.iter().filter(|_| s.skipped.is_none()).map(move |c| {
            let hint = c.hint.iter().chain(&c.progress).cloned();
            let known: Vec<String> = c.notes.iter().cloned().chain(hint).collect();
            vec![
                code(&s.id),
                text(&stage),
                code(dash(c.target.as_ref())),
                text(cell_status(s, c)),
                text(known.join("; ")),
            ]
        });
        person.into_iter().chain(cells).collect::<Vec<_>>()
    });
    Section::new("recovery", "Steps and recovery")
        .picture(pictures::step_times(r))
        .table(
            "What was recovered",
            &["Step", "Action", "Target", "Sent", "Ready", "Outputs", "Notes"],
            recoveries.collect(),
            "No recovery step was run.",
        )
        .table(
            "Every step on every target",
            &["Step", "Stage", "Target", "Outcome", "Notes"],
            steps.collect(),
            "No step was run.",
        )
}

fn safety(r: &Record) -> Section {
    let s = &r.safety;
    let faults = s.faults.iter().map(|f| {
        vec![
            code(&f.step),
            code(f.action.as_deref().unwrap_or("–")),
            code(dash(f.target.as_ref())),
            text(&f.reversibility),
            moment(f.started_at),
            text(&f.ending),
        ]
    });
    let after = match s.steady_after {
        Some(true) => "healthy",
        Some(false) => "not healthy",
        None => "not measured",
    };
    Section::new("safety", "Safety")
        .text("What was broken, and whether it was put back.")
        .table(
            "Faults",
            &["Step", "Action", "Target", "Can it be undone", "Sent", "How it ended"],
            faults.collect(),
            "No fault was injected.",
        )
        .facts(vec![
            ("Targets that the plan names", text(s.targets)),
            (
                "Clean (T8)",
                text(if s.clean {
                    "yes"
                } else if r.run.calls.is_empty() {
                    "nothing was changed"
                } else {
                    "no"
                }),
            ),
            ("Steady state after the clean-up", text(after)),
            (
                "Still tagged redrill:held",
                text(if r.run.held.is_empty() { "none".to_owned() } else { r.run.held.join(", ") }),
            ),
        ])
        .list(&s.left_behind, "Nothing is on record as left behind.")
        .list(
            &s.kept.iter().map(|k| format!("kept on purpose: {k}")).collect::<Vec<_>>(),
            "Nothing is kept on purpose.",
        )
}

fn checks(r: &Record) -> Section {
    let rows = r.checks.iter().map(|c| {
        vec![
            text(&c.name),
            status(c.status),
            code(&c.probe),
            json(&c.with),
            text(&c.seen),
            moment(c.at),
            text(c.observations),
            code(&c.with_sha256),
        ]
    });
    Section::new("checks", "Checks after the recovery").table(
        "What was checked",
        &["Check", "Status", "Probe", "Asked", "Seen last", "When", "Times", "SHA-256 of what was asked"],
        rows.collect(),
        "The drill has no checks after the recovery (gap).",
    )
}

fn probes(r: &Record) -> Section {
    let rows = r.run.probes.iter().flat_map(|p| {
        p.segments.iter().map(|s| {
            vec![
                text(&p.name),
                text(health_name(s.health)),
                text(exact(s.from)),
                text(in_words(s.to.signed_duration_since(s.from).num_milliseconds())),
                text(s.observations),
                text(&s.seen),
            ]
        })
    });
    Section::new("probes", "Probes").picture(pictures::probe_health(r)).table(
        "Stretches of the same health",
        &["Probe", "Health", "From", "For", "Observations", "Seen first"],
        rows.collect(),
        "Nothing was observed.",
    )
}

fn timeline(r: &Record) -> Section {
    let mut moments: Vec<_> = r.run.moments.iter().collect();
    moments.sort_by_key(|m| (m.at, m.seq));
    let (from, what) = timeline::origin(&r.run).map_or((None, "the start"), |(at, what)| (Some(at), what));
    let rows = moments.iter().map(|m| {
        vec![
            text(m.seq),
            text(exact(m.at)),
            text(from.map(|from| timeline::offset(from, m.at)).unwrap_or_default()),
            text(m.stage.map(lower).unwrap_or_default()),
            text(&m.what),
        ]
    });
    Section::new("timeline", "Timeline")
        .text(&format!(
            "Offsets count from {what}. The line is the number (`seq`) of the journal's line that says so."
        ))
        .table(
            "What happened",
            &["Line", "When", "Offset", "Stage", "What"],
            rows.collect(),
            "Nothing happened.",
        )
}

fn calls(r: &Record) -> Section {
    let rows = r.run.calls.iter().map(|c| {
        vec![
            text(c.seq),
            text(exact(c.sent_at)),
            code(&c.operation),
            text(lower(c.phase)),
            code(c.step.as_ref().map_or("–", |s| s.as_str())),
            text(c.attempt),
            code(c.request_id.as_deref().unwrap_or("–")),
            text(match (&c.error, c.answered_at) {
                (Some(error), _) => error,
                (None, Some(_)) => "accepted",
                (None, None) => "not answered",
            }),
        ]
    });
    Section::new("calls", "Changes sent")
        .text("Every mutating call with its request id. CloudTrail has the calls that went to AWS under the same ids.")
        .table(
            "Calls",
            &["Line", "Sent", "Operation", "For", "Step", "Attempt", "Request id", "Answer"],
            rows.collect(),
            "No change was sent.",
        )
}

/// The run before, by which one that was thrown away is missed.
fn before(r: &Record) -> Cell {
    let chain = r.run.header.as_ref().and_then(|h| h.chain.as_ref());
    let Some(chain) = chain else { return text("not recorded") };
    match &chain.before {
        None => text("none: it is the first"),
        Some(before) => match &before.root {
            Some(root) => text(format!("{}, {} lines, root {root}", before.run, before.lines)),
            None => text(format!("{}, which was no longer there", before.run)),
        },
    }
}

fn review(r: &Record) -> Section {
    let lessons = r.lessons.iter().map(|l| vec![text(exact(l.at)), text(&l.by), text(&l.text)]);
    let signed = r.review.sign_offs.iter().map(|s| {
        let claim = match s.made_as.as_str() {
            "" => s.who(),
            claim => format!("{} (says it was made as {claim})", s.who()),
        };
        vec![
            text(&claim),
            text(exact(s.at)),
            text(&s.decision),
            text(&s.note),
            code(&s.key),
            text(if s.independent { "yes" } else { "no" }),
        ]
    });
    Section::new("review", "Lessons and review")
        .table(
            "Lessons, as people noted them",
            &["When", "By", "What"],
            lessons.collect(),
            "Lessons: not recorded (gap).",
        )
        .table(
            "Sign-offs",
            &["By", "When", "Decision", "Note", "Key", "Independent"],
            signed.collect(),
            "Sign-offs: not recorded (gap).",
        )
        .facts(vec![(
            "Accepted by an independent reviewer",
            text(if r.review.independent { "yes" } else { "no" }),
        )])
}

fn gaps(r: &Record) -> Section {
    let rows = r.gaps.iter().map(|g| vec![text(&g.part), text(&g.what), text(&g.fill)]);
    Section::new("gaps", "Gaps").table(
        "What auditors ask for and this run does not have",
        &["Part", "What is missing", "How to have it next time"],
        rows.collect(),
        "There are no gaps.",
    )
}

fn limits(r: &Record) -> Section {
    Section::new("limits", "Limits")
        .text("What this record cannot tell.")
        .list(&r.limits, "No limits are known.")
}

fn integrity(r: &Record) -> Section {
    let (i, id) = (&r.integrity, &r.identity);
    let mut facts: Vec<Fact> = vec![
        ("Run by", text(format!("{} {}", id.tool, id.tool_version))),
        ("This record made by", text(format!("{} {}", id.tool, r.made_by))),
        ("Format of the record", text(format!("{} {}", r.schema, r.v))),
        ("Drill file, SHA-256", id.drill_sha256.as_ref().map_or_else(|| maybe(None::<&str>), code)),
        ("Plan, SHA-256", code(&id.plan_sha256)),
        ("Journal, lines", text(i.journal_lines)),
        ("Journal, SHA-256", code(&i.journal_sha256)),
        ("Journal, RFC 6962 root", code(&i.journal_root)),
        ("The run before it in its state folder", before(r)),
        ("Signed checkpoints during the run", text(i.checkpoints)),
        ("Calls with a request id", text(format!("{} of {}", i.calls_with_request_id, i.calls))),
    ];
    facts.push((
        "Timestamp of the signature",
        match &i.timestamp_authority {
            Some(url) => text(format!("of {url}; in the bundle, timestamp.tsr")),
            None => maybe(None::<&str>),
        },
    ));
    if i.reconciliation.is_none() {
        facts.push(("Comparison with CloudTrail", maybe(None::<&str>)));
    }
    if i.publication.is_none() {
        facts.push(("Copy under Object Lock", maybe(None::<&str>)));
    }
    let unknown = r.run.unknown.iter().map(|v| vec![code(v)]);
    let mut section = Section::new("integrity", "Integrity").facts(facts);
    for (name, value) in
        [("Comparison with CloudTrail", &i.reconciliation), ("Copy under Object Lock", &i.publication)]
    {
        if let Some(value) = value {
            section = section.table(name, &["What", "Value"], members(value), "Empty.");
        }
    }
    if !r.run.unknown.is_empty() {
        section = section.table(
            "Journal lines of kinds that this redrill does not know",
            &["As it stands"],
            unknown.collect(),
            "",
        );
    }
    section
}

/// The members of a JSON object, one a row.
fn members(value: &Value) -> Vec<Vec<Cell>> {
    match value {
        Value::Object(map) => {
            map.iter().map(|(k, v)| vec![text(k), v.as_str().map_or_else(|| json(v), text)]).collect()
        }
        other => vec![vec![text("–"), json(other)]],
    }
}
