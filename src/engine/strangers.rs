//! What a run's calls name and must not: neither drawn by the plan, nor made by the run, nor found of a target before
//! it was changed. Pure: a pass over the journal.
//!
//! One rule for all calls: what a call names ([`Mutation::names`]) is one of the step's targets, what the plan read of
//! them, what an undo record found of them, or what the run's own calls made, by the ids that were answered. Where an
//! answer was lost, as many ids may come unannounced as answers are missing; a database that was renamed meanwhile is
//! let go of by another name. Left to others: undo records
//! (`place`), which are refused before anything is undone by them; whether an answer on record is AWS's, which only
//! CloudTrail tells.

use std::collections::{BTreeMap, BTreeSet};

use super::redaction;
use crate::catalog;
use crate::catalog::{kind, kinds};
use crate::cloud::{Mutation, Outcome, What};
use crate::journal::{Event, Line, Phase};
use crate::model::target::{TAG_HELD, TAG_KEPT, TAG_RUN, TAG_STEP};
use crate::model::{EffectCertainty, Stage, StepId};
use crate::plan::Plan;

/// What does not belong in the journal of this plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strangers {
    /// Calls that no run of this plan sends.
    pub calls: Vec<String>,
    /// Calls of which the journal cannot tell whose it is that they name.
    pub unclear: Vec<String>,
}

/// The calls of a journal, held against its plan.
pub fn strangers(plan: &Plan, lines: &[Line]) -> Strangers {
    let told = lines.iter().filter_map(|line| match &line.event {
        Event::CallAnswered { call, outcome, error, .. } => {
            let refused = error.as_ref().is_some_and(|e| e.effect == EffectCertainty::None);
            (outcome.is_some() || refused).then_some(*call)
        }
        _ => None,
    });
    let known = Known { told: told.collect(), ..Known::default() };
    let mut pass = Pass { plan, known, found: Strangers::default() };
    for line in lines {
        pass.take(&line.event);
    }
    pass.found
}

/// An id with what it is.
type Id = (What, String);

/// What the run is known to have made and found.
#[derive(Default)]
struct Known {
    /// What was made, by the calls that may have made it.
    made: BTreeMap<Id, BTreeSet<u64>>,
    /// What the undo records of a step found.
    found: BTreeMap<StepId, BTreeSet<Id>>,
    /// Calls that were answered, now or later, or surely had no effect.
    told: BTreeSet<u64>,
    /// What calls were to make, by their numbers.
    creations: BTreeMap<u64, Id>,
    /// How many ids of each kind came without an answer that told them.
    adopted: BTreeMap<What, usize>,
    /// Subnets whose association nobody wrote down: journals of version 0.1.0.
    unwritten: usize,
    /// The ARNs of databases that were renamed, by the ids that the plan has.
    renamed: BTreeMap<String, String>,
    /// The ARNs of databases that a step kept under names which are not on record.
    kept: BTreeMap<StepId, BTreeSet<String>>,
}

impl Known {
    fn answered(&mut self, call: u64, outcome: Option<&Outcome>, refused: bool) {
        let Some(makes) = self.creations.get(&call).cloned() else { return };
        if let Some(Outcome::Created { id }) = outcome {
            self.made.entry((makes.0, id.clone())).or_default().insert(call);
            // the same was asked for before, and now it is told what that is
            self.creations.retain(|_, other| *other != makes);
        }
        if refused {
            self.made.values_mut().for_each(|calls| _ = calls.remove(&call));
        }
    }

    fn is_made(&self, id: &Id) -> bool {
        self.made.get(id).is_some_and(|calls| !calls.is_empty())
    }

    /// Takes an id for one of those that a lost answer did not tell.
    fn adopt(&mut self, id: &Id) -> bool {
        let lost = self.creations.iter().filter(|(call, makes)| makes.0 == id.0 && !self.told.contains(call));
        // a database is known by its name, whatever was answered
        let lost: BTreeSet<&Id> = lost.filter(|_| id.0 != What::Database).map(|(_, makes)| makes).collect();
        let unwritten = if id.0 == What::Association { self.unwritten } else { 0 };
        let adopted = self.adopted.entry(id.0).or_default();
        if *adopted >= lost.len() + unwritten {
            return false;
        }
        *adopted += 1;
        self.made.entry(id.clone()).or_default().insert(u64::MAX);
        true
    }
}

/// An ARN without the name at its end.
fn beside(arn: &str) -> Option<&str> {
    arn.rsplit_once(':').map(|(beside, _)| beside)
}

struct Pass<'p> {
    plan: &'p Plan,
    known: Known,
    found: Strangers,
}

impl Pass<'_> {
    fn take(&mut self, event: &Event) {
        match event {
            Event::StepPrepared { step, undo, .. } => {
                let planned = self.plan.step(step).and_then(|s| s.action.as_deref());
                let Some(action) = planned.and_then(catalog::action) else { return };
                let names = action.names(undo);
                let on_subnet = action.spec().kind.is_some_and(|k| kinds::what(k) == What::Subnet);
                if on_subnet && names.iter().all(|(what, _)| *what != What::Association) {
                    self.known.unwritten += 1;
                }
                self.known.found.entry(step.clone()).or_default().extend(names);
            }
            Event::Renamed { target, arn } => {
                let mut drawn = self.plan.targets.values().flat_map(|t| &t.drawn);
                let known = drawn.any(|t| {
                    let theirs =
                        t.arn.as_deref().filter(|_| kinds::spec(t.kind).is_some_and(|k| k.is_renamed));
                    t.id == *target && theirs.is_some_and(|theirs| beside(theirs) == beside(arn))
                });
                if known {
                    self.known.renamed.insert(target.clone(), arn.clone());
                }
            }
            Event::CallSent { call, step, phase, operation, params, .. } => {
                let Ok(mutation) = serde_json::from_value::<Mutation>(params.clone()) else {
                    return self.found.calls.push(format!("a call {operation} that cannot be read"));
                };
                if mutation.operation() != operation {
                    let text = format!("a call {operation} with what {} takes", mutation.operation());
                    self.found.calls.push(text);
                }
                self.sent(*call, step.as_ref(), *phase, &mutation);
            }
            Event::CallAnswered { call, outcome, error, .. } => {
                let outcome = outcome.as_ref().and_then(|o| serde_json::from_value(o.clone()).ok());
                let refused = error.as_ref().is_some_and(|e| e.effect == EffectCertainty::None);
                self.known.answered(*call, outcome.as_ref(), refused);
            }
            _ => {}
        }
    }

    fn sent(&mut self, call: u64, step: Option<&StepId>, phase: Phase, mutation: &Mutation) {
        let makes = mutation.makes().map(|(what, by)| (what, by.to_owned()));
        // known by its name before it is there
        if let Some(makes) = makes.as_ref().filter(|(what, _)| *what == What::Database) {
            self.known.made.entry(makes.clone()).or_default().insert(call);
        }
        let names: Vec<Id> = mutation.names().into_iter().map(|(what, id)| (what, id.to_owned())).collect();
        // the volumes of an instance that the run made are told by no answer
        let with_own = names.iter().any(|id| id.0 == What::Instance && self.known.is_made(id));
        for id in &names {
            if id.1.contains(redaction::MARK) || (id.0 == What::Volume && with_own) {
                continue;
            }
            if self.is_planned(step, id)
                || self.is_known(step, id)
                || self.known.adopt(id)
                || self.is_renamed(step, phase, mutation)
            {
                continue;
            }
            let by =
                step.map_or_else(|| "of holding and letting go".to_owned(), |s| format!("of step `{s}`"));
            let text = format!("a call {by} on {} {}", id.0, id.1);
            let fault = step.and_then(|s| self.plan.step(s)).is_some_and(|s| s.stage == Stage::Fault);
            let told = id.0 != What::Association || (fault && phase == Phase::Apply);
            let list = if told { &mut self.found.calls } else { &mut self.found.unclear };
            if !list.contains(&text) {
                list.push(text);
            }
        }
        self.known.creations.extend(makes.map(|makes| (call, makes)));
    }

    /// Whether it is what the plan draws, or read of what it draws.
    fn is_planned(&self, step: Option<&StepId>, (what, id): &Id) -> bool {
        match step.map(|s| self.plan.step(s)) {
            // the tag is set on every target, once for all steps
            None => self
                .plan
                .targets
                .values()
                .flat_map(|t| &t.drawn)
                .any(|t| kinds::what(t.kind) == *what && t.id == *id),
            Some(None) => false,
            Some(Some(step)) => {
                let targets = self.plan.targets_of(step);
                targets.iter().any(|t| kind::around(t).contains(&(*what, id.as_str())))
                    || self.plan.beside(step).contains(id)
            }
        }
    }

    /// Whether it takes the run's own marks off a database, or tells that it is kept, and no more than that: a service
    /// is cut over by renaming databases, and then what the run held or made is found by its tags under another name.
    /// What was held is on record by that name; what was made has to be beside the step's targets, and there are no
    /// more of them. No other call may name one, so whatever else such a name is, nothing is done to it.
    fn is_renamed(&mut self, step: Option<&StepId>, phase: Phase, mutation: &Mutation) -> bool {
        match (step, phase, mutation) {
            (None, Phase::Release, Mutation::UntagDb { arn, keys }) => {
                keys.iter().all(|k| k == TAG_HELD) && self.known.renamed.values().any(|now| now == arn)
            }
            (Some(step), Phase::Keep, Mutation::UntagDb { arn, keys }) => {
                keys.iter().all(|k| k == TAG_RUN || k == TAG_STEP) && self.may_be_made(step, arn)
            }
            (Some(step), Phase::Keep, Mutation::TagDb { arn, tags }) => {
                tags.keys().all(|k| k == TAG_KEPT) && self.may_be_made(step, arn)
            }
            _ => false,
        }
    }

    fn may_be_made(&mut self, step: &StepId, arn: &str) -> bool {
        let planned = self.plan.step(step).map_or(&[][..], |s| self.plan.targets_of(s));
        let sources = planned.iter().filter(|t| kinds::what(t.kind) == What::Database);
        let sources: Vec<&str> = sources.filter_map(|t| t.arn.as_deref()).collect();
        let kept = self.known.kept.entry(step.clone()).or_default();
        kept.insert(arn.to_owned());
        kept.len() <= sources.len() && sources.iter().any(|source| beside(source) == beside(arn))
    }

    fn is_known(&self, step: Option<&StepId>, id: &Id) -> bool {
        let found = step.and_then(|s| self.known.found.get(s)).is_some_and(|found| found.contains(id));
        found || self.known.is_made(id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::testing::{LOSS, line, plan_of};

    fn sent(call: u64, step: &str, phase: Phase, mutation: &Mutation) -> Line {
        line(
            1,
            Event::CallSent {
                call,
                step: (!step.is_empty()).then(|| StepId::new(step)),
                phase,
                operation: mutation.operation().to_owned(),
                params: mutation.redacted(),
                attempt: 1,
            },
        )
    }

    fn answered(call: u64, outcome: Value) -> Line {
        line(2, Event::CallAnswered { call, request_id: None, outcome: Some(outcome), error: None })
    }

    fn refused(call: u64) -> Line {
        let (kind, message) = ("limit".to_owned(), String::new());
        let error = crate::model::CallError { kind, code: None, message, effect: EffectCertainty::None };
        line(2, Event::CallAnswered { call, request_id: None, outcome: None, error: Some(error) })
    }

    fn launch(call: u64, token: &str, like: &crate::model::Target) -> Line {
        let like = crate::cloud::Instance { id: like.id.clone(), ..Default::default() };
        let spec = Box::new(crate::cloud::LaunchSpec { like, ..Default::default() });
        sent(call, "replace", Phase::Apply, &Mutation::RunInstances { token: token.to_owned(), spec })
    }

    fn terminate(call: u64, step: &str, id: &str) -> Line {
        sent(call, step, Phase::Undo, &Mutation::TerminateInstances { ids: vec![id.to_owned()] })
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_run_made_is_known_by_its_answers_and_as_many_more_as_were_lost() {
        let plan = plan_of(LOSS).await;
        let web = plan.targets["web"].drawn.clone();
        let calls = |lines: &[Line]| strangers(&plan, lines).calls;
        let alien = |step: &str, id: &str| vec![format!("a call of step `{step}` on instance {id}")];
        let made = |id: &str| json!({ "kind": "created", "id": id });
        // drawn by the plan, and answered
        let lines = vec![
            terminate(0, "terminate", &web[0].id),
            launch(1, "t1", &web[0]),
            answered(1, made("i-new")),
            terminate(2, "replace", "i-new"),
        ];
        assert_eq!(calls(&lines), [""; 0]);
        let another = [lines.clone(), vec![terminate(3, "replace", "i-dead")]].concat();
        assert_eq!(calls(&another), alien("replace", "i-dead"));
        // a target of one step is not one of another
        let mut other = terminate(3, "restore", &web[0].id);
        assert_eq!(calls(&[other.clone()]), alien("restore", &web[0].id));
        if let Event::CallSent { step, .. } = &mut other.event {
            *step = None;
        }
        assert_eq!(calls(&[other]), [""; 0], "holding takes the targets of all steps");
        // a lost answer stands for one id, asked for twice for the same one
        let lost = [launch(1, "t1", &web[0]), launch(2, "t1", &web[0]), terminate(3, "replace", "i-lost")];
        assert_eq!(calls(&lost), [""; 0]);
        let twice = [lost.to_vec(), vec![terminate(4, "replace", "i-dead")]].concat();
        assert_eq!(calls(&twice), alien("replace", "i-dead"));
        // asked for again it was answered; or it was refused
        let told = [launch(1, "t1", &web[0]), launch(2, "t1", &web[0]), answered(2, made("i-new"))];
        assert_eq!(
            calls(&[told.to_vec(), vec![terminate(3, "replace", "i-dead")]].concat()),
            alien("replace", "i-dead")
        );
        let none = [launch(1, "t1", &web[0]), refused(1), terminate(2, "replace", "i-dead")];
        assert_eq!(calls(&none), alien("replace", "i-dead"));
        // volumes are told by no answer, and go with an instance that is the run's
        let tags = |ids: &[&str]| {
            let (ids, keys) = (ids.iter().map(|id| (*id).to_owned()).collect(), Vec::new());
            sent(9, "replace", Phase::Keep, &Mutation::DeleteTags { ids, keys })
        };
        let with = |ids: &[&str]| calls(&[lines.clone(), vec![tags(ids)]].concat());
        assert_eq!(with(&["i-new", "vol-1"]), [""; 0]);
        assert_eq!(with(&["vol-1"]), ["a call of step `replace` on volume vol-1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_was_renamed_loses_the_runs_marks_and_nothing_else_is_done_to_it() {
        let plan = plan_of(LOSS).await;
        let id = plan.targets["orders"].drawn[0].id.clone();
        let arn = plan.targets["orders"].drawn[0].arn.clone().expect("an ARN");
        let beside = |id: &str| format!("{}:{id}", beside(&arn).expect("an ARN"));
        let untag = |step: &str, phase: Phase, arn: String, keys: &[&str]| {
            let keys = keys.iter().map(|k| (*k).to_owned()).collect();
            sent(1, step, phase, &Mutation::UntagDb { arn, keys })
        };
        let calls = |lines: &[Line]| strangers(&plan, lines).calls;
        let (held, own) = (&[TAG_HELD][..], &[TAG_RUN, TAG_STEP][..]);
        let release = untag("", Phase::Release, beside("orders-old"), held);
        let kept = Mutation::TagDb {
            arn: beside("orders-new"),
            tags: [(TAG_KEPT.to_owned(), "run".to_owned())].into(),
        };
        let keep = [
            sent(0, "restore", Phase::Keep, &kept),
            untag("restore", Phase::Keep, beside("orders-new"), own),
        ];
        let renamed = |arn: &str| line(0, Event::Renamed { target: id.clone(), arn: arn.to_owned() });
        let told = renamed(&beside("orders-old"));
        assert_eq!(calls(&[told.clone(), release.clone(), release.clone()]), [""; 0]);
        assert_eq!(calls(&keep), [""; 0]);
        // it has to be told before, and it has one name
        assert_eq!(calls(&[release.clone(), told.clone()]).len(), 1);
        assert_eq!(calls(&[told.clone(), renamed(&beside("payroll")), release.clone()]).len(), 1);
        let elsewhere = "arn:aws:rds:eu-west-1:999999999999:db:orders-old";
        let there = untag("", Phase::Release, elsewhere.to_owned(), held);
        assert_eq!(calls(&[renamed(elsewhere), there]).len(), 1);
        let second = untag("", Phase::Release, beside("payroll"), held);
        assert_eq!(
            calls(&[told.clone(), release, second]),
            ["a call of holding and letting go on database payroll"]
        );
        for other in [
            untag("", Phase::Release, beside("orders-old"), &[TAG_HELD, "service"]),
            untag("", Phase::Hold, beside("orders-old"), held),
            untag("", Phase::Release, beside("orders-old"), own),
            untag("restore", Phase::Undo, beside("orders-new"), own),
            untag("terminate", Phase::Keep, beside("orders-new"), own),
            untag("restore", Phase::Keep, elsewhere.to_owned(), own),
        ] {
            assert_eq!(calls(&[told.clone(), other.clone()]).len(), 1, "{other:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_is_known_by_its_name_unless_its_restore_was_refused() {
        let plan = plan_of(LOSS).await;
        let source = plan.targets["orders"].drawn[0].id.clone();
        let restore = |target: &str| {
            let (source, target) = (source.clone(), target.to_owned());
            let spec = Box::new(crate::cloud::RestoreSpec { source, target, ..Default::default() });
            sent(0, "restore", Phase::Apply, &Mutation::RestoreDb { spec })
        };
        let deletion = |id: &str| {
            let (identifier, final_snapshot) = (id.to_owned(), None);
            sent(1, "restore", Phase::Undo, &Mutation::DeleteDb { identifier, final_snapshot })
        };
        let calls = |lines: &[Line]| strangers(&plan, lines).calls;
        assert_eq!(calls(&[restore("copy"), deletion("copy")]), [""; 0], "lost or not");
        let refused = [restore("copy"), refused(0), deletion("copy")];
        assert_eq!(calls(&refused), ["a call of step `restore` on database copy"]);
        assert_eq!(calls(&[restore("copy"), deletion("payroll")]).len(), 1);
    }
}
