//! What a run can show, and whether this one did: the words between steps and controls. Pure.
//!
//! A capability is seen to hold only by what the record has; what was not measured is not tested.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{asks_the_service, of_action, of_check, of_objective};
use crate::drill::Impact;
use crate::evidence::findings::approved_late;
use crate::evidence::record::{Check, Criterion, Record, Recovery, Status};
use crate::journal::Phase;
use crate::model::{Health, Stage, StepId};
use crate::plan::{Plan, restored};
use crate::view;

/// How far apart clocks may be that count as agreeing.
const CLOCKS_AGREE_MS: i64 = 2_000;

/// Something that a run can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// A fault was injected on purpose, and seen.
    SelfChallenge,
    /// A part was taken away and no client noticed.
    Redundancy,
    /// The steps of a recovery were carried out.
    Recovery,
    /// Faults or recovery steps were carried out by redrill, not by people.
    Automated,
    /// Data was restored from a backup.
    Restore,
    /// The recovered data was read and compared.
    DataCheck,
    /// The state of the recovered resources was read.
    ResourceCheck,
    /// The service answered after the recovery.
    ServiceCheck,
    /// Security settings of the recovered system were checked.
    SecurityCheck,
    /// The recovery time objective.
    RecoveryTime,
    /// The recovery point objective.
    RecoveryPoint,
    /// Somebody or something noticed in time.
    Detection,
    /// A person declared the incident.
    Declaration,
    /// Everything was put back and the service was steady again.
    CleanUp,
    /// The sample was drawn from a known population with a recorded seed.
    Sample,
    /// The recovery ran at another site.
    AlternateSite,
    /// Others were told during the run.
    Communication,
    /// People took part in known roles.
    People,
    /// It was approved before it started.
    Approval,
    /// The plan under test is named.
    PlanUnderTest,
    /// The risk that the scenario stands for is named.
    Scenario,
    /// Every finding has an owner and a date.
    FollowUp,
    /// Somebody else signed the result off.
    Review,
    /// Lessons were noted.
    Lessons,
    /// The record is under signed checkpoints.
    SignedRecord,
    /// The local clock was compared with AWS's.
    ClockCompared,
    /// The calls were found in CloudTrail.
    TrailCompared,
    /// A copy lies where nobody can change it.
    KeptCopy,
}

impl Capability {
    /// Every one.
    pub const ALL: [Self; 28] = [
        Self::SelfChallenge,
        Self::Redundancy,
        Self::Recovery,
        Self::Automated,
        Self::Restore,
        Self::DataCheck,
        Self::ResourceCheck,
        Self::ServiceCheck,
        Self::SecurityCheck,
        Self::RecoveryTime,
        Self::RecoveryPoint,
        Self::Detection,
        Self::Declaration,
        Self::CleanUp,
        Self::Sample,
        Self::AlternateSite,
        Self::Communication,
        Self::People,
        Self::Approval,
        Self::PlanUnderTest,
        Self::Scenario,
        Self::FollowUp,
        Self::Review,
        Self::Lessons,
        Self::SignedRecord,
        Self::ClockCompared,
        Self::TrailCompared,
        Self::KeptCopy,
    ];

    /// In words, as reasons name it.
    pub fn words(self) -> &'static str {
        match self {
            Self::SelfChallenge => "fault on purpose",
            Self::Redundancy => "redundancy",
            Self::Recovery => "recovery steps",
            Self::Automated => "automated steps",
            Self::Restore => "restore",
            Self::DataCheck => "check of the data",
            Self::ResourceCheck => "check of the resources",
            Self::ServiceCheck => "check of the service",
            Self::SecurityCheck => "check of security settings",
            Self::RecoveryTime => "recovery time",
            Self::RecoveryPoint => "recovery point",
            Self::Detection => "detection",
            Self::Declaration => "declaration",
            Self::CleanUp => "clean-up",
            Self::Sample => "sample",
            Self::AlternateSite => "alternate site",
            Self::Communication => "communication",
            Self::People => "people",
            Self::Approval => "approval",
            Self::PlanUnderTest => "plan under test",
            Self::Scenario => "risk of the scenario",
            Self::FollowUp => "follow-up of findings",
            Self::Review => "independent review",
            Self::Lessons => "lessons",
            Self::SignedRecord => "signed checkpoints",
            Self::ClockCompared => "comparison of clocks",
            Self::TrailCompared => "comparison with CloudTrail",
            Self::KeptCopy => "copy under Object Lock",
        }
    }
}

/// What the run shows of one capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Whether the run tried it at all.
    pub tried: bool,
    /// Whether it held.
    pub status: Status,
    /// What was seen, a fragment.
    pub why: String,
}

impl Shown {
    fn held(why: impl Into<String>) -> Self {
        Self { tried: true, status: Status::Satisfied, why: why.into() }
    }

    fn failed(why: impl Into<String>) -> Self {
        Self { tried: true, status: Status::NotSatisfied, why: why.into() }
    }

    fn absent(why: impl Into<String>) -> Self {
        Self { tried: false, status: Status::NotTested, why: why.into() }
    }

    fn unclear(why: impl Into<String>) -> Self {
        Self { tried: true, status: Status::NotTested, why: why.into() }
    }

    /// What a check came to.
    fn of(check: &Check) -> Self {
        let why = format!("`{}` {}", check.name, check.status.name());
        Self { tried: check.status != Status::NotTested, status: check.status, why }
    }

    fn holds(&self) -> bool {
        self.status == Status::Satisfied
    }

    /// Holds where something is there.
    fn given(there: bool, held: impl Into<String>, absent: &str) -> Self {
        if there { Self::held(held) } else { Self::absent(absent) }
    }

    /// Several things that show the same: the worst decides, and says why.
    fn all(several: Vec<Self>, none: &str) -> Self {
        let tried = several.iter().any(|s| s.tried);
        for status in [Status::NotSatisfied, Status::NotTested, Status::Satisfied] {
            let mut why: Vec<(&str, usize)> = Vec::new();
            for s in several.iter().filter(|s| s.status == status) {
                match why.iter_mut().find(|(w, _)| *w == s.why) {
                    Some((_, times)) => *times += 1,
                    None => why.push((&s.why, 1)),
                }
            }
            if !why.is_empty() {
                // a step says the same of each of its targets
                let words = why
                    .iter()
                    .map(|(w, n)| if *n > 1 { format!("{w} ({n} times)") } else { (*w).to_owned() });
                return Self { tried, status, why: words.collect::<Vec<_>>().join(", ") };
            }
        }
        Self::absent(none)
    }
}

/// What the run shows of every capability.
pub(super) fn all(record: &Record, plan: Option<&Plan>) -> BTreeMap<Capability, Shown> {
    Capability::ALL.iter().map(|c| (*c, shown(*c, record, plan))).collect()
}

fn shown(c: Capability, r: &Record, plan: Option<&Plan>) -> Shown {
    use Capability as C;
    match c {
        C::SelfChallenge | C::Redundancy => fault(c, r, plan),
        C::Recovery => {
            Shown::all([steps(c, r), manual(r, plan)].concat(), "no recovery step was carried out")
        }
        C::Automated => automated(r, plan),
        C::Restore => Shown::all(steps(c, r), "nothing was restored"),
        C::DataCheck | C::ResourceCheck => {
            Shown::all(of_restored(c, r, plan), "`verify` of the drill has no such probe")
        }
        C::ServiceCheck => service(r),
        C::RecoveryTime => recovery_time(r, plan),
        C::RecoveryPoint => Shown::all(objectives(c, r), "the drill has no such objective"),
        C::CleanUp => Shown::all(objectives(c, r), "nothing had to be put back"),
        C::Detection => match (objectives(c, r), r.measures.detect_ms) {
            (of, _) if !of.is_empty() => Shown::all(of, ""),
            (_, Some(_)) => Shown::held("its time was measured"),
            _ => Shown::absent("nobody and nothing was seen to notice"),
        },
        C::Declaration => {
            let marks = r.run.measured.as_ref().map(|m| &m.marks);
            let (t3, t7) = (marks.and_then(|m| m.get("t3")), marks.and_then(|m| m.get("t7")));
            if t3.zip(t7).is_some_and(|(t3, t7)| t3 > t7) {
                return Shown::unclear("declared only after the recovery");
            }
            Shown::given(r.measures.declare_ms.is_some(), "a person declared it", "nobody declared it")
        }
        C::Sample => sample(r, plan),
        C::People => people(r),
        C::Approval => approval(r),
        C::PlanUnderTest => match &r.authority.plan {
            Some(plan) => Shown::held(plan.title.clone()),
            None => Shown::absent("the drill names none"),
        },
        C::Scenario => {
            Shown::given(!r.identity.risks.is_empty(), r.identity.risks.join(", "), "the drill names none")
        }
        C::FollowUp => follow_up(r),
        C::Review => match (r.review.rejected(), r.review.sign_offs.last()) {
            (Some(no), _) => Shown::failed(format!("{} by {}", no.decision, no.who())),
            (None, Some(_)) if r.review.independent => Shown::held("accepted"),
            (None, Some(_)) => Shown::unclear("no reviewer was somebody else than the operators"),
            (None, None) => Shown::absent("nobody signed the result off"),
        },
        C::Lessons => {
            let n = r.lessons.len();
            Shown::given(n > 0, format!("{n} noted"), "none were noted")
        }
        C::SignedRecord => {
            let n = r.integrity.checkpoints;
            Shown::given(n > 0, format!("{n} taken during the run"), "none were taken during the run")
        }
        C::ClockCompared => match r.measures.skew_ms {
            // AWS's clock is read from a header in whole seconds, and the answer takes its time
            Some(ms) if ms.abs() <= CLOCKS_AGREE_MS => Shown::held(format!("{ms} ms apart")),
            Some(ms) => Shown::failed(format!("{ms} ms apart, more than {CLOCKS_AGREE_MS} ms")),
            None => Shown::absent("no answer of AWS's told its time"),
        },
        C::TrailCompared => trail(r),
        C::KeptCopy => Shown::given(r.integrity.publication.is_some(), "published", "none was published"),
        C::SecurityCheck | C::AlternateSite | C::Communication => {
            Shown::absent("not shown by this version of redrill")
        }
    }
}

/// The objectives that show it, as they were judged.
fn objectives(c: Capability, r: &Record) -> Vec<Shown> {
    let of = r.result.objectives.iter().filter(|o| of_objective(&o.key).unwrap_or_default().contains(&c));
    of.map(|o| Shown {
        tried: o.status != Status::NotTested,
        status: o.status,
        why: if o.actual == o.expected {
            o.actual.clone()
        } else {
            format!("{}, asked for: {}", o.actual, o.expected)
        },
    })
    .collect()
}

/// The checks after the recovery that show it.
fn checks(c: Capability, r: &Record) -> Vec<Shown> {
    r.checks.iter().filter(|k| of_check(k).contains(&c)).map(Shown::of).collect()
}

/// The same of what was restored, where anything was: a check of something else says nothing of it, and neither does
/// one that any answer satisfies. Everything restored needs one of its own.
fn of_restored(c: Capability, r: &Record, plan: Option<&Plan>) -> Vec<Shown> {
    let restores = |step: &&Recovery| {
        let action = step.action.as_deref().unwrap_or_default();
        of_action(action, Stage::Recovery).unwrap_or_default().contains(&Capability::Restore)
    };
    let restored: Vec<&Recovery> = r.recoveries.iter().filter(restores).collect();
    let of: Vec<&Check> = r.checks.iter().filter(|k| of_check(k).contains(&c)).collect();
    let failed = of.iter().any(|k| k.status == Status::NotSatisfied);
    if restored.is_empty() || of.is_empty() || failed {
        return checks(c, r);
    }
    let reads = |k: &&&Check, step: &Recovery| {
        let planned = plan.and_then(|p| p.steps.iter().find(|s| s.id.as_str() == step.step));
        let action = step.action.as_deref().unwrap_or_default();
        restored::reads(&k.with, action, &step.step, step.target.as_deref(), planned)
            && !restored::any_answer(&k.probe, &k.with)
    };
    let unread = restored.iter().filter(|step| !of.iter().any(|k| reads(&k, step)));
    let unread: Vec<Shown> =
        unread.map(|step| Shown::absent(format!("none reads what `{}` restored", step.step))).collect();
    if !unread.is_empty() {
        return unread;
    }
    of.iter().filter(|k| restored.iter().any(|step| reads(k, step))).map(|k| Shown::of(k)).collect()
}

/// The recovery steps that show it, one a target.
fn steps(c: Capability, r: &Record) -> Vec<Shown> {
    let of = r.recoveries.iter().filter(|step| {
        let action = step.action.as_deref().unwrap_or_default();
        of_action(action, Stage::Recovery).unwrap_or_default().contains(&c)
    });
    of.map(|step| match (step.started_at, step.ready_at) {
        (_, Some(_)) if !sent(r, &step.step) => {
            Shown::unclear(format!("`{}` found nothing to do", step.step))
        }
        (_, Some(_)) => Shown::held(format!("`{}` done", step.step)),
        (Some(_), None) => Shown::failed(format!("`{}` did not finish", step.step)),
        (None, None) => Shown::absent(format!("`{}` was not reached", step.step)),
    })
    .collect()
}

/// Whether a step sent a change that AWS did not refuse: what had nothing to do recovered nothing.
fn sent(r: &Record, step: &str) -> bool {
    let of =
        |k: &&view::CallView| k.phase == Phase::Apply && k.step.as_ref().is_some_and(|s| s.as_str() == step);
    r.run.calls.iter().filter(of).any(|k| k.error.is_none())
}

/// What redrill itself broke or recovered.
fn automated(r: &Record, plan: Option<&Plan>) -> Shown {
    let fault = Some(fault(Capability::SelfChallenge, r, plan)).filter(|s| s.tried);
    let of = fault.into_iter().chain(steps(Capability::Recovery, r)).collect();
    Shown::all(of, "no automated step broke or recovered anything")
}

/// A recovery time counts where something was recovered: without a fault, an outage or a step that is
/// known to recover something, it is only the time that passed.
fn recovery_time(r: &Record, plan: Option<&Plan>) -> Shown {
    let shown = Shown::all(objectives(Capability::RecoveryTime, r), "the drill has no such objective");
    let seen = r.measures.outage
        || fault(Capability::SelfChallenge, r, plan).status == Status::Satisfied
        || [steps(Capability::Recovery, r), manual(r, plan)].concat().iter().any(Shown::holds);
    if seen || !shown.holds() {
        return shown;
    }
    Shown::unclear(format!(
        "{}, but nothing was seen to break, and no step is known to recover it",
        shown.why
    ))
}

/// A steady state says something of the service where a probe asked the service itself.
fn service(r: &Record) -> Shown {
    let steady = objectives(Capability::ServiceCheck, r).into_iter().map(|s| {
        if !s.holds() || asked_as_a_client(r) { s } else { Shown::unclear(format!("{}, {ONLY_AWS}", s.why)) }
    });
    let checks = checks(Capability::ServiceCheck, r);
    // a check that asked the service says more than a steady state that did not
    let steady: Vec<Shown> = steady.filter(|s| checks.is_empty() || s.status != Status::NotTested).collect();
    Shown::all([steady, checks].concat(), "the service was not asked")
}

/// Where every probe read AWS's account of its resources.
const ONLY_AWS: &str = "but only AWS was asked, not the service";

/// Whether a probe that decides over the recovery asked the service, as its clients do.
fn asked_as_a_client(r: &Record) -> bool {
    clients(r).next().is_some()
}

fn clients(r: &Record) -> impl Iterator<Item = &Criterion> {
    let of = |c: &&Criterion| c.part == "steady-state" && c.role == "client" && asks_the_service(&c.probe);
    r.objectives.criteria.iter().filter(of)
}

/// Whether a check passed that had not before: somebody did something.
fn mended(r: &Record) -> bool {
    let passed = r.checks.iter().filter(|c| c.status == Status::Satisfied);
    let mut seen = passed.filter_map(|c| r.run.probes.iter().find(|p| p.name == c.name));
    seen.any(|p| p.segments.iter().any(|s| s.health == Health::Unhealthy))
}

/// Manual steps of the recovery. A simulated person shows nothing, and a person's word alone is unclear:
/// something has to have seen that it was so.
fn manual(r: &Record, plan: Option<&Plan>) -> Vec<Shown> {
    let of = plan.iter().flat_map(|p| &p.steps);
    of.filter(|s| s.stage == Stage::Recovery && s.manual.is_some())
        .map(|s| match step(r, &s.id).and_then(|v| v.confirmed.as_deref()) {
            Some(by) if by.starts_with("simulated") => Shown::absent(format!("`{}` was simulated", s.id)),
            Some(_) if r.measures.outage || mended(r) => Shown::held(format!("`{}` confirmed", s.id)),
            Some(_) => Shown::unclear(format!("`{}` confirmed, and nothing was seen to change by it", s.id)),
            None => Shown::absent(format!("`{}` was not confirmed", s.id)),
        })
        .collect()
}

fn step<'a>(r: &'a Record, id: &StepId) -> Option<&'a view::StepView> {
    r.run.steps.iter().find(|s| &s.id == id)
}

/// A fault counts where it took effect and did what the drill expected of it.
fn fault(c: Capability, r: &Record, plan: Option<&Plan>) -> Shown {
    let Some(plan) = plan else { return Shown::absent("there is no plan") };
    let planned = plan.steps.iter().filter(|s| {
        let action = s.action.as_deref().unwrap_or_default();
        s.stage == Stage::Fault && of_action(action, Stage::Fault).unwrap_or_default().contains(&c)
    });
    let cells: Vec<_> = planned.filter_map(|s| step(r, &s.id)).flat_map(|s| &s.cells).collect();
    let done = |cell: &&&view::CellView| matches!(cell.status, view::Status::Applied | view::Status::Ready);
    let effective = cells.iter().filter(done).count();
    if effective == 0 {
        return Shown::absent("no fault took effect");
    }
    let survives = plan.drill.impact == Impact::NoneExpected;
    match (c, survives, r.measures.outage || r.measures.outage_in_clean_up) {
        (Capability::Redundancy, false, _) => Shown::absent("the drill expects an outage"),
        (Capability::Redundancy, true, true) => Shown::failed("a client saw an outage"),
        (Capability::Redundancy, true, false) if !asked_as_a_client(r) => {
            Shown::unclear(format!("no outage was seen, {ONLY_AWS}"))
        }
        (Capability::Redundancy, true, false) => {
            let by = clients(r).map(|c| format!("`{}` ({})", c.name, c.probe)).collect::<Vec<_>>().join(", ");
            Shown::held(format!("no outage seen by {by}, at a resolution of {} ms", r.measures.resolution_ms))
        }
        _ if effective < cells.len() => {
            Shown::unclear(format!("{effective} of {} faults took effect", cells.len()))
        }
        (_, false, false) => Shown::unclear("no client probe saw it"),
        _ => Shown::held(format!("{effective} injected")),
    }
}

/// Whether the targets of restores were drawn from a known population with a recorded seed.
fn sample(r: &Record, plan: Option<&Plan>) -> Shown {
    let Some((plan, seed)) = plan.zip(r.scope.seed) else { return Shown::absent("there is no plan") };
    let restores = plan.steps.iter().filter(|s| {
        let action = s.action.as_deref().unwrap_or_default();
        of_action(action, s.stage).unwrap_or_default().contains(&Capability::Restore)
    });
    let mut of: Vec<String> = restores
        .filter_map(|s| {
            let drawn = r.scope.selections.iter().find(|sel| Some(&sel.name) == s.target.as_ref())?;
            let n = drawn.drawn.len();
            (n > 0).then(|| format!("{n} of {} matching, {} there are", drawn.matched, drawn.population))
        })
        .collect();
    of.dedup();
    Shown::given(!of.is_empty(), format!("{}, seed {seed}", of.join(", ")), "no restore has targets")
}

/// Stated participants count; a person that was simulated makes all of it unclear.
fn people(r: &Record) -> Shown {
    let n = r.people.participants.len();
    match (r.people.simulated, n) {
        (true, _) => Shown::unclear("people were simulated"),
        (false, 0) => Shown::absent("no participants were named"),
        (false, n) => Shown::held(format!("{n} named with their roles")),
    }
}

fn approval(r: &Record) -> Shown {
    let approvals = &r.authority.approvals;
    let late = approvals.iter().find(|a| approved_late(r, a.at));
    if let Some(late) = late {
        return Shown::failed(format!("{} approved after the start", late.name));
    }
    // what somebody signed says more than what the drill states
    if let Some(signed) = r.run.approvals.iter().find(|a| a.not_independent().is_none()) {
        return Shown::held(format!("signed by {}", signed.by));
    }
    if let Some(own) = r.run.approvals.first() {
        let how = own.not_independent().unwrap_or_default();
        return Shown::unclear(format!("the approval of {} was {how}", own.by));
    }
    match approvals.first() {
        // whoever plans can type any name
        Some(first) => Shown::unclear(format!("stated for {}, and signed by nobody", first.name)),
        None => Shown::absent("none was stated before the start"),
    }
}

/// Where there is no finding, there is nothing to follow up, and nothing that it was tried on.
fn follow_up(r: &Record) -> Shown {
    let open = r.findings.iter().filter(|f| f.owner.is_none() || f.due.is_none()).count();
    match (r.findings.len(), open) {
        (0, _) => Shown { tried: false, ..Shown::held("there are no findings") },
        (n, 0) => Shown::held(format!("{n} with owner and date")),
        (n, open) => Shown::unclear(format!("{open} of {n} findings lack an owner or a date")),
    }
}

/// What the comparison itself says; one that says nothing is none.
fn trail(r: &Record) -> Shown {
    let Some(told) = &r.integrity.reconciliation else { return Shown::absent("there was none") };
    // made too early: records may still be on their way
    if told.get("provisional_until").is_some_and(|t| !t.is_null()) {
        return Shown::unclear("it is provisional; make it again");
    }
    let holds = told.get("holds").and_then(serde_json::Value::as_bool);
    match told.get("standing").and_then(serde_json::Value::as_str) {
        Some("proven") if r.trail_is_proven() => {
            Shown::held("the same calls, in log files that signed digests of CloudTrail vouch for")
        }
        Some("differs") => Shown::failed("the calls differ"),
        Some(_) => Shown::unclear("no whole chain of CloudTrail's signed digests vouches for it"),
        None if holds == Some(false) => Shown::failed("the calls differ"),
        // whoever wrote the files could have written them so
        None => Shown::unclear("it was made without CloudTrail's signed digests"),
    }
}
