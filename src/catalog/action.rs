//! What an action is: do it, find it again, put it back; declared together.
//!
//! `prepare` reads and returns what `undo` will need; the engine has it on disk before `apply` is
//! called. `undo` works from that record alone, whether `apply` finished, started or never ran, and
//! may be called again. Every change goes through the [`Gate`], which journals each attempt before
//! it is sent. Actions hold no state.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cloud::{CloudResult, CommandOutput, CommandRequest, DryRun, Mutation, Named, Reads, Reply, What};
use crate::model::pattern::OneOrMany;
use crate::model::{Clock, Dur, RunId, StepId, Tags, Target, naming, target};

mod error;
mod record;
mod sent;
mod spec;

pub use error::ActionError;
pub use record::{Of, Stray};
pub use sent::{Calls, SentCall};
pub use spec::{ActionSpec, After, Batch, OutputSpec, Permissions, Reversibility, StageRule};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Think about it before running.
    Warning,
    /// The run is refused.
    Refusal,
}

/// Something that plan and preflight found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What it is about: a target's id, a step, a limit.
    pub subject: String,
    /// What was found, a sentence.
    pub text: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    /// A finding without a hint.
    pub fn new(severity: Severity, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { severity, subject: subject.into(), text: text.into(), hint: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Named outputs of a step.
pub type Outputs = std::collections::BTreeMap<String, String>;

/// What was captured of each target, in order.
pub type Captures = Vec<Result<Value, ActionError>>;

/// The context of everything that only reads.
#[derive(Clone, Copy)]
pub struct ReadCx<'a> {
    /// The world.
    pub reads: &'a Reads,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Region of the run.
    pub region: &'a str,
    /// Account of the run.
    pub account: &'a str,
    /// The run; in `plan`, a placeholder.
    pub run: &'a RunId,
    /// The step.
    pub step: &'a StepId,
    /// What the end of the run does with what the step makes.
    pub after: After,
    /// T0 (UTC), once the fault began or, without a fault, the recovery stage.
    pub t0: Option<DateTime<Utc>>,
    /// Upper bound for looking again after a change, for eventual consistency.
    pub settle: Dur,
    /// How long the drill waits for recovery: what capacity errors may be retried for.
    pub give_up: Dur,
    /// What the run has sent so far.
    pub calls: &'a dyn Calls,
    /// Tags of what no run may touch, as the drill and the house have them.
    pub forbid_tags: [Option<&'a std::collections::BTreeMap<String, OneOrMany>>; 2],
    /// The plan is being made: what costs a call a target, and AWS enforces afterwards, is read only now.
    pub planning: bool,
    /// The drill allows what cannot be undone.
    pub irreversible: bool,
    /// No outage is expected or waited for, so a fault is done only once nothing of it is still to come.
    pub no_impact: bool,
    /// In preflight on AWS: whether a change would be accepted.
    pub dry_run: Option<&'a dyn DryRun>,
}

impl ReadCx<'_> {
    /// The tags of everything this step creates.
    pub fn run_tags(&self) -> Tags {
        Tags::from([
            (target::TAG_RUN.to_owned(), self.run.to_string()),
            (target::TAG_STEP.to_owned(), self.step.to_string()),
        ])
    }

    /// A token that is the same each time this step asks for the same thing: at most 32 characters of
    /// `[0-9a-f]`, for ClientToken, CallerReference and new identifiers.
    pub fn token(&self, what: &str) -> String {
        naming::token(self.run, self.step, what)
    }
}

/// Sends changes: journals the attempt, sends it once, journals the answer, and repeats only what was throttled.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Sends one change.
    async fn send(&self, mutation: Mutation) -> CloudResult<Reply>;
}

/// Runs local programs: journals what each is known by before it does anything, and its end.
#[async_trait]
pub trait Programs: Send + Sync {
    /// Runs one to its end or its time limit.
    async fn run(&self, request: &CommandRequest) -> CloudResult<CommandOutput>;
}

/// The context of `apply`, `undo` and `keep`.
#[derive(Clone, Copy)]
pub struct WriteCx<'a> {
    /// Everything that reads.
    pub read: ReadCx<'a>,
    /// The way to change something.
    pub gate: &'a dyn Gate,
    /// The way to run a program.
    pub programs: &'a dyn Programs,
}

/// A target with its undo record.
#[derive(Clone, Debug)]
pub struct Prepared<U> {
    /// The target; `None` for actions without one.
    pub target: Option<Target>,
    /// What undo needs.
    pub undo: U,
}

/// AWS has accepted the change for one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// Outputs known already.
    #[serde(default)]
    pub outputs: Outputs,
    /// Anything worth telling, for example settings that differ.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// How far a change has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// On its way; the text says where it stands (`creating`).
    Pending(String),
    /// Begun, and not going on by itself: `apply`, which is repeatable here, must be called again;
    /// the text says what is missing.
    Incomplete(String),
    /// Done.
    Ready(Applied),
    /// Surely not there: it was never applied.
    Absent,
}

/// What undo found and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undone {
    /// Put back; the text is the proof (`subnet-1 is on rtb-2 again`).
    PutBack(String),
    /// Found as before, without a change of this attempt's; the text is what was seen. Who put it back is not known here.
    Already(String),
    /// There is nothing to undo, by what was done; nothing was looked at for that.
    Nothing(String),
    /// There is no undo, by the action's nature.
    Irreversible(String),
    /// What was made stays, since nothing else stands in its place; the text is the proof.
    Kept(String),
    /// Nothing was made, so there is nothing to keep.
    NothingMade(String),
}

/// An action, typed. Implement this; [`DynAction`] follows by itself.
#[async_trait]
pub trait Action: Send + Sync + 'static {
    /// The parameters under `with`.
    type Params: DeserializeOwned + Serialize + JsonSchema + Send + Sync;
    /// What undo needs; journalled before `apply`.
    type Undo: Serialize + DeserializeOwned + Clone + Send + Sync;

    /// Everything static.
    fn spec(&self) -> &'static ActionSpec;

    /// What an undo record names that the plan knows: its target, what the step changes beside it, and what the plan
    /// read of the target, such as its VPC.
    fn about<'u>(&self, undo: &'u Self::Undo) -> Vec<Named<'u>>;

    /// What it names that no plan knows: what was found of the target right before the change.
    fn found<'u>(&self, _undo: &'u Self::Undo) -> Vec<Named<'u>> {
        Vec::new()
    }

    /// The first field of a record that does not follow from what this step does where it stands.
    fn astray(&self, _undo: &Self::Undo, _of: &Of<'_>, _params: &Self::Params) -> Option<&'static str> {
        None
    }

    /// Resources of the target's kind that the step changes beside it: each has to be drawn by a selector, too.
    fn beside<'p>(&self, _params: &'p Self::Params) -> &'p [String] {
        &[]
    }

    /// Whether what a probe with these parameters asks of a target is among what the step restores there.
    fn restores(&self, _params: &Self::Params, _asked: &Value) -> bool {
        true
    }

    /// Whether it can be put back, given its parameters.
    fn reversibility(&self, _params: &Self::Params) -> Reversibility {
        self.spec().reversibility
    }

    /// Checks of the parameters that the schema cannot express; each a message.
    fn check(&self, _params: &Self::Params) -> Vec<String> {
        Vec::new()
    }

    /// Reads only: what plan and preflight should say or refuse about these targets.
    async fn inspect(
        &self,
        _cx: ReadCx<'_>,
        _targets: &[Target],
        _params: &Self::Params,
    ) -> CloudResult<Vec<Finding>> {
        Ok(Vec::new())
    }

    /// Reads only, in preflight, before any fault: what a recovery will need of a target that the fault may destroy.
    async fn capture(
        &self,
        _cx: ReadCx<'_>,
        _target: &Target,
        _params: &Self::Params,
    ) -> Result<Value, ActionError> {
        Ok(Value::Null)
    }

    /// [`Action::capture`] of all targets of a step: one outcome per target, in order.
    async fn capture_all(&self, cx: ReadCx<'_>, targets: &[Target], params: &Self::Params) -> Captures {
        let mut captured = Vec::with_capacity(targets.len());
        for target in targets {
            captured.push(self.capture(cx, target, params).await);
        }
        captured
    }

    /// Reads only, right before `apply`: captures what undo will need. One outcome per target, in order.
    /// `captured` is what [`Action::capture`] returned for the same target.
    async fn prepare(
        &self,
        cx: ReadCx<'_>,
        batch: &[(Option<Target>, Value)],
        params: &Self::Params,
    ) -> Vec<Result<Self::Undo, ActionError>>;

    /// Does it; returns when AWS has accepted. One outcome per prepared target, in order.
    async fn apply(
        &self,
        cx: WriteCx<'_>,
        batch: &[Prepared<Self::Undo>],
        params: &Self::Params,
    ) -> Vec<Result<Applied, ActionError>>;

    /// Reads only: how far it has come, from the undo record alone.
    async fn poll(
        &self,
        cx: ReadCx<'_>,
        target: Option<&Target>,
        undo: &Self::Undo,
        params: &Self::Params,
    ) -> Result<Progress, ActionError>;

    /// Puts it back, from the undo record alone. May be called again at any time.
    async fn undo(
        &self,
        cx: WriteCx<'_>,
        target: Option<&Target>,
        undo: &Self::Undo,
    ) -> Result<Undone, ActionError>;

    /// For `after: keep`: retags what was created as kept.
    async fn keep(
        &self,
        _cx: WriteCx<'_>,
        _target: Option<&Target>,
        _undo: &Self::Undo,
    ) -> Result<Undone, ActionError> {
        Ok(Undone::Nothing("nothing to retag".to_owned()))
    }
}

/// An action with its types erased to JSON: what the engine and the catalogue hold.
#[async_trait]
#[expect(missing_docs, reason = "each method is the one of `Action` with the same name")]
pub trait DynAction: Send + Sync {
    fn spec(&self) -> &'static ActionSpec;
    /// The JSON Schema of the parameters.
    fn params_schema(&self) -> schemars::Schema;
    /// Reads the parameters and runs [`Action::check`]; the messages of everything wrong.
    fn check(&self, params: &Value) -> Vec<String>;
    fn beside(&self, params: &Value) -> Vec<String>;
    fn restores(&self, params: &Value, asked: &Value) -> bool;
    /// Whether an undo record is about what it has to be about; one that cannot be read is not acted on either.
    ///
    /// # Errors
    /// What it says instead.
    fn is_about(&self, undo: &Value, of: &Of<'_>) -> Result<(), Stray>;
    /// Everything that an undo record names; nothing where it cannot be read.
    fn names(&self, undo: &Value) -> Vec<(What, String)>;
    fn reversibility(&self, params: &Value) -> Reversibility;
    async fn inspect(&self, cx: ReadCx<'_>, targets: &[Target], params: &Value) -> CloudResult<Vec<Finding>>;
    async fn capture_all(&self, cx: ReadCx<'_>, targets: &[Target], params: &Value) -> Captures;
    async fn capture(&self, cx: ReadCx<'_>, target: &Target, params: &Value) -> Result<Value, ActionError> {
        let mut captured = self.capture_all(cx, std::slice::from_ref(target), params).await;
        captured.pop().unwrap_or(Ok(Value::Null))
    }
    async fn prepare(
        &self,
        cx: ReadCx<'_>,
        batch: &[(Option<Target>, Value)],
        params: &Value,
    ) -> Vec<Result<Value, ActionError>>;
    async fn apply(
        &self,
        cx: WriteCx<'_>,
        batch: &[Prepared<Value>],
        params: &Value,
    ) -> Vec<Result<Applied, ActionError>>;
    async fn poll(
        &self,
        cx: ReadCx<'_>,
        target: Option<&Target>,
        undo: &Value,
        params: &Value,
    ) -> Result<Progress, ActionError>;
    async fn undo(
        &self,
        cx: WriteCx<'_>,
        target: Option<&Target>,
        undo: &Value,
    ) -> Result<Undone, ActionError>;
    async fn keep(
        &self,
        cx: WriteCx<'_>,
        target: Option<&Target>,
        undo: &Value,
    ) -> Result<Undone, ActionError>;
}

fn read<T: DeserializeOwned>(what: &str, value: &Value) -> Result<T, ActionError> {
    // An absent `with` is an empty mapping, so that defaults apply.
    let value = if value.is_null() { Value::Object(serde_json::Map::new()) } else { value.clone() };
    serde_json::from_value(value).map_err(|e| ActionError::refused(format!("{what}: {e}")))
}

fn read_undo<T: DeserializeOwned>(value: &Value) -> Result<T, ActionError> {
    serde_json::from_value(value.clone())
        .map_err(|e| ActionError::hopeless(format!("the undo record cannot be read: {e}")))
}

#[async_trait]
impl<A: Action> DynAction for A {
    fn spec(&self) -> &'static ActionSpec {
        Action::spec(self)
    }

    fn params_schema(&self) -> schemars::Schema {
        schemars::schema_for!(A::Params)
    }

    fn check(&self, params: &Value) -> Vec<String> {
        match read::<A::Params>("with", params) {
            Ok(p) => Action::check(self, &p),
            Err(e) => vec![e.message],
        }
    }

    fn beside(&self, params: &Value) -> Vec<String> {
        read::<A::Params>("with", params).map(|p| Action::beside(self, &p).to_vec()).unwrap_or_default()
    }

    fn restores(&self, params: &Value, asked: &Value) -> bool {
        read::<A::Params>("with", params).is_ok_and(|p| Action::restores(self, &p, asked))
    }

    fn is_about(&self, undo: &Value, of: &Of<'_>) -> Result<(), Stray> {
        let Ok(undo) = read_undo::<A::Undo>(undo) else { return Ok(()) };
        let beside = of.params.map(|params| DynAction::beside(self, params)).unwrap_or_default();
        of.knows(&Action::about(self, &undo), &beside)?;
        let params = of.params.and_then(|params| read::<A::Params>("with", params).ok());
        let field = params.and_then(|params| Action::astray(self, &undo, of, &params));
        field.map_or(Ok(()), |field| Err(Stray::Field(field)))
    }

    fn names(&self, undo: &Value) -> Vec<(What, String)> {
        let Ok(undo) = read_undo::<A::Undo>(undo) else { return Vec::new() };
        let all = Action::about(self, &undo).into_iter().chain(Action::found(self, &undo));
        all.map(|(what, id)| (what, id.to_owned())).collect()
    }

    fn reversibility(&self, params: &Value) -> Reversibility {
        match read::<A::Params>("with", params) {
            Ok(p) => Action::reversibility(self, &p),
            Err(_) => Action::spec(self).reversibility,
        }
    }

    async fn inspect(&self, cx: ReadCx<'_>, targets: &[Target], params: &Value) -> CloudResult<Vec<Finding>> {
        match read::<A::Params>("with", params) {
            Ok(p) => Action::inspect(self, cx, targets, &p).await,
            Err(e) => Ok(vec![Finding::new(Severity::Refusal, cx.step.as_str(), e.message)]),
        }
    }

    async fn capture_all(&self, cx: ReadCx<'_>, targets: &[Target], params: &Value) -> Captures {
        match read::<A::Params>("with", params) {
            Ok(p) => {
                let captured = Action::capture_all(self, cx, targets, &p).await;
                assert_eq!(captured.len(), targets.len(), "BUG: capture must return one outcome per target");
                captured
            }
            Err(e) => targets.iter().map(|_| Err(e.clone())).collect(),
        }
    }

    async fn prepare(
        &self,
        cx: ReadCx<'_>,
        batch: &[(Option<Target>, Value)],
        params: &Value,
    ) -> Vec<Result<Value, ActionError>> {
        let params = match read::<A::Params>("with", params) {
            Ok(p) => p,
            Err(e) => return batch.iter().map(|_| Err(e.clone())).collect(),
        };
        let made = Action::prepare(self, cx, batch, &params).await;
        assert_eq!(made.len(), batch.len(), "BUG: prepare must return one outcome per target");
        made.into_iter()
            .map(|r| {
                r.and_then(|u| {
                    serde_json::to_value(u).map_err(|e| ActionError::refused(format!("undo record: {e}")))
                })
            })
            .collect()
    }

    async fn apply(
        &self,
        cx: WriteCx<'_>,
        batch: &[Prepared<Value>],
        params: &Value,
    ) -> Vec<Result<Applied, ActionError>> {
        let fail = |e: &ActionError| batch.iter().map(|_| Err(e.clone())).collect::<Vec<_>>();
        let params = match read::<A::Params>("with", params) {
            Ok(p) => p,
            Err(e) => return fail(&e),
        };
        let mut typed = Vec::with_capacity(batch.len());
        for p in batch {
            match read_undo::<A::Undo>(&p.undo) {
                Ok(undo) => typed.push(Prepared { target: p.target.clone(), undo }),
                Err(e) => return fail(&e),
            }
        }
        let made = Action::apply(self, cx, &typed, &params).await;
        assert_eq!(made.len(), batch.len(), "BUG: apply must return one outcome per target");
        made
    }

    async fn poll(
        &self,
        cx: ReadCx<'_>,
        target: Option<&Target>,
        undo: &Value,
        params: &Value,
    ) -> Result<Progress, ActionError> {
        let params = read::<A::Params>("with", params)?;
        Action::poll(self, cx, target, &read_undo::<A::Undo>(undo)?, &params).await
    }

    async fn undo(
        &self,
        cx: WriteCx<'_>,
        target: Option<&Target>,
        undo: &Value,
    ) -> Result<Undone, ActionError> {
        Action::undo(self, cx, target, &read_undo::<A::Undo>(undo)?).await
    }

    async fn keep(
        &self,
        cx: WriteCx<'_>,
        target: Option<&Target>,
        undo: &Value,
    ) -> Result<Undone, ActionError> {
        Action::keep(self, cx, target, &read_undo::<A::Undo>(undo)?).await
    }
}
