//! Findings over many runs: which are open, and which later run closed which. Pure.
//!
//! A finding is open until a later finished run of the same drill and service, in the same place, that
//! was able to show it does not have it. Nothing else closes one: no note, no run elsewhere (above all
//! none off AWS), and no run that did not get as far. A remark cannot be seen by any run; it is closed
//! by a person who names a later run that passed.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{approved_late, set};
use crate::evidence::record::{Finding, Record, Status};
use crate::evidence::review::Annotation;
use crate::journal::Verdict;
use crate::model::{RunId, World};

/// A run that is over or not, with what people added to it.
#[derive(Clone, Debug)]
pub struct Past {
    /// Its record.
    pub record: Record,
    /// What people added.
    pub annotations: Vec<Annotation>,
}

/// Where a drill ran. A finding of one place is never closed by a run in another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The drill.
    pub drill: String,
    /// The service.
    pub service: String,
    /// The world.
    pub world: World,
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// The environment chosen with `--env`.
    pub environment: Option<String>,
}

impl Place {
    fn of(r: &Record) -> Self {
        Self {
            drill: r.identity.drill.clone(),
            service: r.identity.service.clone(),
            world: r.scope.world,
            account: r.scope.account.clone(),
            region: r.scope.region.clone(),
            environment: r.scope.environment.clone(),
        }
    }
}

/// A finding through its runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// The finding; `run` is the run that opened it.
    #[serde(flatten)]
    pub finding: Finding,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// Every run that shows it, oldest first.
    pub seen_in: Vec<RunId>,
    /// The later run whose evidence shows that it is gone; `None` while open.
    pub closed_by: Option<RunId>,
    /// When that run ended.
    pub closed_at: Option<DateTime<Utc>>,
}

impl Entry {
    /// Whether nothing closed it.
    pub fn is_open(&self) -> bool {
        self.closed_by.is_none()
    }
}

/// Every finding of these runs, open ones first, the worst of them first. One that comes back after it
/// was closed is another entry.
pub fn history(runs: &[Past]) -> Vec<Entry> {
    let mut runs: Vec<&Past> = runs.iter().collect();
    let key = |p: &Past| (p.record.identity.started_at, p.record.identity.run.as_str().to_owned());
    runs.sort_by_key(|p| key(p));
    let mut entries: Vec<Entry> = Vec::new();
    for past in &runs {
        let r = &past.record;
        let place = Place::of(r);
        for entry in entries.iter_mut().filter(|e| e.is_open() && e.place == place) {
            let then = runs.iter().rfind(|p| entry.seen_in.last() == Some(&p.record.identity.run));
            let kind = entry.finding.kind.as_str();
            // words of people are no matter of how the drill was made
            let alike = matches!(kind, "late-approval" | "review-rejected")
                || then.is_none_or(|then| {
                    same_test(r, &then.record) && (kind != "objective-missed" || as_strict(r, &then.record))
                });
            if !r.findings.iter().any(|f| f.id == entry.finding.id)
                && shows_absence(&entry.finding, r)
                && alike
            {
                entry.closed_by = Some(r.identity.run.clone());
                entry.closed_at = r.identity.finished_at;
            }
        }
        for f in &r.findings {
            let same = |e: &&mut Entry| e.is_open() && e.place == place && e.finding.id == f.id;
            match entries.iter_mut().find(same) {
                Some(open) => open.seen_in.push(r.identity.run.clone()),
                None => entries.push(Entry {
                    finding: f.clone(),
                    place: place.clone(),
                    seen_in: vec![r.identity.run.clone()],
                    closed_by: None,
                    closed_at: None,
                }),
            }
        }
    }
    // what people said about it in any of its runs
    for entry in &mut entries {
        let of = runs.iter().filter(|p| entry.seen_in.contains(&p.record.identity.run));
        for note in of.flat_map(|p| &p.annotations) {
            set(&mut entry.finding, note);
            let Annotation::Close { finding, run, .. } = note else { continue };
            let later = runs.iter().find(|p| p.record.identity.run == *run);
            if *finding == entry.finding.id
                && entry.is_open()
                && let Some(later) = later
                && may_close(entry, &later.record).is_ok()
            {
                entry.closed_by = Some(run.clone());
                entry.closed_at = later.record.identity.finished_at;
            }
        }
    }
    entries.sort_by(|a, b| {
        let open = b.is_open().cmp(&a.is_open());
        open.then_with(|| b.finding.severity.cmp(&a.finding.severity))
            .then_with(|| (&a.finding.run, &a.finding.id).cmp(&(&b.finding.run, &b.finding.id)))
    });
    entries
}

/// Whether a run was asked for no less than an earlier one: an objective that is missed is not met by
/// asking for less.
fn as_strict(now: &Record, then: &Record) -> bool {
    let no_later = |now: Option<i64>, then: Option<i64>| match (now, then) {
        (Some(now), Some(then)) => now <= then,
        (now, then) => now.is_some() || then.is_none(),
    };
    let (now, then) = (&now.objectives, &then.objectives);
    now.rto_ms <= then.rto_ms
        && now.clock == then.clock
        && no_later(now.rpo_ms, then.rpo_ms)
        && no_later(now.detect_ms, then.detect_ms)
}

/// Whether a run tried what an earlier one tried: the same faults (where there were none, the same
/// recovery), watched by the same probes. A drill's name alone says nothing: its file can be another.
fn same_test(now: &Record, then: &Record) -> bool {
    let faults = |r: &Record| r.safety.faults.iter().map(|f| f.action.clone()).collect::<BTreeSet<_>>();
    let recoveries = |r: &Record| r.recoveries.iter().map(|s| s.action.clone()).collect::<BTreeSet<_>>();
    let probes = |r: &Record| {
        let of = r.objectives.criteria.iter().filter(|c| c.part != "stop");
        of.map(|c| (c.part.clone(), c.name.clone(), c.probe.clone(), c.role.clone())).collect::<BTreeSet<_>>()
    };
    let broke = faults(then);
    broke.is_subset(&faults(now))
        && (!broke.is_empty() || recoveries(then).is_subset(&recoveries(now)))
        && probes(then).is_subset(&probes(now))
}

/// Whether a person may close this entry by naming that run.
///
/// # Errors
/// Why not, a sentence without a full stop.
pub fn may_close(entry: &Entry, later: &Record) -> Result<(), &'static str> {
    if entry.finding.kind != "remark" {
        return Err("only a later run that was able to show it closes it");
    }
    if Place::of(later) != entry.place {
        return Err("the run is of another drill or in another place");
    }
    if later.result.verdict != Some(Verdict::Passed) {
        return Err("the run did not pass");
    }
    let after = entry.seen_in.iter().all(|seen| *seen < later.identity.run);
    if after { Ok(()) } else { Err("the run is not a later one") }
}

/// Whether the run would have shown the finding, were it still there. The caller knows that it did not.
fn shows_absence(f: &Finding, r: &Record) -> bool {
    use Verdict::{NotRecovered, ObjectiveMissed, Passed, Stuck};
    let verdict = r.result.verdict;
    let objective = |key: &str| r.result.objectives.iter().find(|o| o.key == key).map(|o| o.status);
    let to_its_end = matches!(verdict, Some(Passed | ObjectiveMissed | NotRecovered | Stuck));
    match f.kind.as_str() {
        "objective-missed" => objective(&f.subject) == Some(Status::Satisfied),
        "check-failed" => r.checks.iter().any(|c| c.name == f.subject && c.status == Status::Satisfied),
        "not-completed" => matches!(verdict, Some(Passed | ObjectiveMissed)),
        "unknown-probe" => {
            to_its_end && r.run.probes.iter().any(|p| p.name == f.subject && p.observations > 0)
        }
        // a service that never went away has not come back without flapping
        "flap" => to_its_end && r.measures.outage && r.measures.rta_ms.is_some(),
        "observation-gap" => to_its_end && r.measures.rta_ms.is_some(),
        "left-behind" => {
            // the same fault on the same target, put back. What a recovery step once made beside the
            // original is not seen by a later run that makes another; `redrill rollback` takes it away
            let same = |step: &str, target: Option<&str>| {
                let what = match target {
                    Some(target) => format!("{step} on {target}"),
                    None => step.to_owned(),
                };
                f.subject.rsplit(": ").next() == Some(what.as_str())
            };
            objective("clean") == Some(Status::Satisfied)
                && r.safety.faults.iter().any(|x| same(&x.step, x.target.as_deref()))
        }
        "review-rejected" => r.review.independent,
        "late-approval" => {
            !r.authority.approvals.is_empty() && r.authority.approvals.iter().all(|a| !approved_late(r, a.at))
        }
        _ => false,
    }
}
