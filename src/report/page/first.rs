//! The first screen: what was tested, when, by whom, how it came out, what was left behind and found.

use super::super::pictures::{self, Picture};
use super::super::{clean, in_words, time};
use super::content::{Cell, Fact, Kind, code, gap, text};
use crate::evidence::Record;
use crate::evidence::record::{ControlOutcome, FindingSeverity, Status};
use crate::journal::Verdict;
use crate::model::World;
use crate::view::RunView;

/// A figure that everybody looks for first.
#[derive(Debug)]
pub(in crate::report) struct Card {
    pub(in crate::report) name: &'static str,
    pub(in crate::report) value: Cell,
    pub(in crate::report) detail: String,
}

/// The first screen.
#[derive(Debug)]
pub(in crate::report) struct Summary {
    pub(in crate::report) sentence: String,
    pub(in crate::report) tone: Kind,
    pub(in crate::report) reasons: Vec<String>,
    pub(in crate::report) cards: Vec<Card>,
    /// The recovery against its objective: where people look first.
    pub(in crate::report) picture: Option<Picture>,
    pub(in crate::report) facts: Vec<Fact>,
    pub(in crate::report) left_behind: Vec<String>,
    pub(in crate::report) findings: Vec<String>,
}

pub(in crate::report) fn summary(record: &Record) -> Summary {
    let found = record.findings.iter().map(|f| format!("{} {} ({})", f.id, f.title, f.severity.name()));
    Summary {
        sentence: clean(&in_a_sentence(&record.run)),
        tone: tone(record.result.verdict),
        reasons: reasons(record),
        cards: vec![
            verdict(record),
            rto(record),
            rpo(record),
            left(record),
            findings(record),
            controls(record),
        ],
        picture: pictures::recovery_clock(record),
        facts: facts(record),
        left_behind: record.safety.left_behind.iter().map(|l| clean(l)).collect(),
        findings: found.map(|f| clean(&f)).collect(),
    }
}

/// What a manager reads.
pub(in crate::report) fn in_a_sentence(view: &RunView) -> String {
    let rta = view.measured.as_ref().and_then(|m| {
        let since = m.since_declaration().map(|t| format!(" {t}")).unwrap_or_default();
        Some(format!("{}{since}", in_words(m.judged_ms?)))
    });
    let rto = view.measured.as_ref().map(|m| in_words(m.rto_ms)).unwrap_or_default();
    match (view.verdict, rta) {
        (None, _) => "The run is not finished.".to_owned(),
        (Some(Verdict::Passed), Some(rta)) => format!("Passed: recovered in {rta}; the objective is {rto}."),
        (Some(Verdict::Passed), None) => "Passed: the service survived the fault.".to_owned(),
        (Some(Verdict::ObjectiveMissed), Some(rta)) => {
            format!("Objective missed: recovered in {rta}; the objective is {rto}.")
        }
        (Some(verdict), _) => match verdict {
            Verdict::Passed | Verdict::ObjectiveMissed => "Objective missed.",
            Verdict::Refused => "Refused: the drill was not allowed to start. Nothing was changed.",
            Verdict::NotSteady => {
                "Not started: the service was not healthy to begin with. Nothing was changed."
            }
            Verdict::NotRecovered => "Not recovered within the time that the drill allows.",
            Verdict::NoImpact => "Not tested: no probe saw the fault.",
            Verdict::Stopped if view.is_unmended() => "Stopped before its end; what it broke is not mended.",
            Verdict::Stopped => "Stopped before its end and rolled back.",
            Verdict::Failed => "Failed: a step did not work.",
            Verdict::Inconclusive => "Inconclusive: what decides could not be read.",
            Verdict::Stuck if view.is_unmended() => "A person is needed: what the drill broke is not mended.",
            Verdict::Stuck => "A person is needed: something could not be put back.",
        }
        .to_owned(),
    }
}

/// Why it came out so; where a step failed, in its own words.
fn reasons(r: &Record) -> Vec<String> {
    const SHOWN: usize = 3;
    let failures = match r.result.verdict {
        Some(Verdict::Failed | Verdict::Stuck) => r.run.failures(),
        _ => Vec::new(),
    };
    let more = failures.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("and {more} more, see the steps"));
    // what was asked for and not measured is no part of a pass
    let open = r.result.objectives.iter().filter(|o| {
        r.result.verdict == Some(Verdict::Passed)
            && o.status == Status::NotTested
            && matches!(o.key.as_str(), "rpo" | "detect")
    });
    let open = open.map(|o| format!("not tested: {}, asked for: {}", o.name.to_lowercase(), o.expected));
    let told = r.result.reasons.iter().chain(failures.iter().take(SHOWN)).chain(&more).cloned();
    told.chain(open).map(|t| clean(&t)).collect()
}

/// What was left behind, in a few words.
pub(in crate::report) fn left_in_words(r: &Record) -> String {
    match (r.safety.left_behind.len(), r.safety.clean) {
        (0, true) => "nothing".to_owned(),
        (0, false) if r.run.calls.is_empty() => "nothing was changed".to_owned(),
        (0, false) => "the clean-up was not completed".to_owned(),
        (n, _) => n.to_string(),
    }
}

/// Whether clients saw an outage. Before the clock starts there is none that the run could have caused,
/// whatever was seen.
pub(in crate::report) fn outage_in_words(r: &Record) -> Option<&'static str> {
    let began = r.run.measured.as_ref().is_some_and(|m| m.marks.contains_key("t0"));
    match (r.measures.outage, began) {
        (true, _) => Some("yes"),
        (false, true) if r.measures.outage_in_clean_up => Some("yes, in the clean-up"),
        (false, true) => Some("no"),
        (false, false) => None,
    }
}

fn tone(verdict: Option<Verdict>) -> Kind {
    match verdict {
        Some(Verdict::Passed) => Kind::Good,
        Some(Verdict::ObjectiveMissed | Verdict::NotRecovered | Verdict::Failed | Verdict::Stuck) => {
            Kind::Bad
        }
        _ => Kind::Open,
    }
}

fn card(name: &'static str, kind: Kind, value: impl Into<String>, detail: String) -> Card {
    Card { name, value: Cell { text: clean(&value.into()), kind }, detail: clean(&detail) }
}

fn verdict(r: &Record) -> Card {
    let detail = r.result.exit_code.map(|c| format!("exit code {c}")).unwrap_or_default();
    let name = r.result.verdict.map_or("not finished", Verdict::name);
    card("Verdict", tone(r.result.verdict), name, detail)
}

fn by_status(status: Status) -> Kind {
    match status {
        Status::Satisfied => Kind::Good,
        Status::NotSatisfied => Kind::Bad,
        Status::NotTested => Kind::Open,
    }
}

fn rto(r: &Record) -> Card {
    let name = "Recovery time (RTO)";
    let Some(o) = r.result.objectives.iter().find(|o| o.key == "rto") else {
        return card(name, Kind::Open, "not tested", String::new());
    };
    let margin = r.measures.margin_ms.filter(|_| o.status != Status::NotTested).map(|ms| {
        if ms >= 0 { format!("; {} to spare", in_words(ms)) } else { format!("; {} too late", in_words(-ms)) }
    });
    let detail = format!("actual: {}; objective: {}{}", o.actual, o.expected, margin.unwrap_or_default());
    card(name, by_status(o.status), o.status.name(), detail)
}

fn rpo(r: &Record) -> Card {
    let name = "Data loss (RPO)";
    match r.result.objectives.iter().find(|o| o.key == "rpo") {
        Some(o) => card(
            name,
            by_status(o.status),
            o.status.name(),
            format!("actual: {}; objective: {}", o.actual, o.expected),
        ),
        None => card(name, Kind::Open, "not tested", "the drill names no objective".to_owned()),
    }
}

fn left(r: &Record) -> Card {
    let name = "Left behind";
    let kept = r.safety.kept.len();
    let kept = if kept > 0 { format!("{kept} kept on purpose") } else { String::new() };
    let kind = match (r.safety.left_behind.is_empty(), r.safety.clean) {
        (true, true) => Kind::Good,
        (true, false) if r.run.calls.is_empty() => Kind::Open,
        _ => Kind::Bad,
    };
    card(name, kind, left_in_words(r), kept)
}

fn findings(r: &Record) -> Card {
    let of = |s: FindingSeverity| r.findings.iter().filter(|f| f.severity == s).count();
    let (high, medium, low) =
        (of(FindingSeverity::High), of(FindingSeverity::Medium), of(FindingSeverity::Low));
    let kind = if high > 0 { Kind::Bad } else { Kind::Plain };
    match r.findings.len() {
        0 => card("Findings", Kind::Plain, "none", String::new()),
        n => card("Findings", kind, n.to_string(), format!("{high} high, {medium} medium, {low} low")),
    }
}

fn controls(r: &Record) -> Card {
    let of = |o: ControlOutcome| r.controls.iter().filter(|c| c.outcome == o).count();
    let (yes, no, open) =
        (of(ControlOutcome::Supports), of(ControlOutcome::DoesNotSupport), of(ControlOutcome::NotTested));
    let kind = match (yes, no) {
        (_, 1..) => Kind::Bad,
        (1.., 0) => Kind::Good,
        (0, 0) => Kind::Open,
    };
    let value = if yes + no == 0 { "not tested".to_owned() } else { format!("{yes} supported") };
    let detail = match r.controls.len() {
        0 => "no control is named for this run".to_owned(),
        _ => format!("{no} not supported, {open} not tested"),
    };
    card("Controls", kind, value, detail)
}

fn facts(r: &Record) -> Vec<Fact> {
    let (id, scope) = (&r.identity, &r.scope);
    let world = match scope.world {
        World::Aws if scope.endpoint_doubt.is_some() => "AWS, endpoint not proven",
        World::Aws => "AWS",
        World::Emulator => "an emulator, not AWS",
        World::Sim => "the simulator, not AWS",
    };
    let service = if id.service.is_empty() { String::new() } else { format!(", service {}", id.service) };
    let when = match (id.started_at, id.finished_at) {
        (Some(from), Some(to)) => {
            let ms = to.signed_duration_since(from).num_milliseconds();
            text(format!("{} to {} ({})", time(from), time(to), in_words(ms)))
        }
        (Some(from), None) => text(format!("since {}; not finished", time(from))),
        _ => gap(),
    };
    let people = if r.people.operators.is_empty() { gap() } else { text(r.people.operators.join(", ")) };
    let mut facts = vec![("Drill", text(format!("{}{service}", id.drill)))];
    if !id.description.is_empty() {
        facts.push(("What was tested", text(id.description.trim())));
    }
    facts.extend([
        ("Where", text(format!("{world}; account {}, region {}", scope.account, scope.region))),
        ("When", when),
        ("By", people),
        ("AWS identity", if r.people.caller.is_empty() { gap() } else { code(&r.people.caller) }),
        (
            "Independent review",
            match r.review.rejected() {
                Some(no) => text(format!("rejected by {}", clean(&no.who()))),
                None if r.review.independent => text("accepted"),
                None => gap(),
            },
        ),
        ("Run", code(&id.run)),
    ]);
    facts
}
