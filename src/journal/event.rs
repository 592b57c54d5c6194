//! What a journal records. Pure data; the public, versioned form of a run.
//!
//! Events carry what happened, never what to do next: state is a fold over them. No field holds a
//! secret; the recorder redacts before it writes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{RunId, Stamp, StepId, World};

/// The journal's format version. 1 (redrill 0.1.0) does not say on which boot of its machine a process ran,
/// nor which run was before, and took the user's name from the environment.
pub const FORMAT: u32 = 2;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// Number, from 0.
    #[serde(deserialize_with = "crate::model::bounded::count")]
    pub seq: u64,
    /// SHA-256 (hex) of the previous line's bytes without the newline; 64 zeros on the first.
    pub prev: String,
    /// When it was recorded.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Why a process attached itself to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The first process.
    Run,
    /// Goes on after a crash.
    Resume,
    /// Puts everything back.
    Rollback,
    /// Only records what a person says, while no process works on the run.
    Tell,
}

/// The request in the run's inbox that a line answers: how it is known again after a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Asked {
    /// Its id, unique in the run.
    pub id: String,
    /// When it was left (UTC).
    #[serde(deserialize_with = "crate::model::bounded::time")]
    pub at: DateTime<Utc>,
}

/// A signed approval that a run started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approved {
    /// Who.
    pub by: String,
    /// The fingerprint of their key.
    pub key: String,
    /// When (UTC).
    #[serde(deserialize_with = "crate::model::bounded::time")]
    pub at: DateTime<Utc>,
    /// Until when a run could start (UTC).
    #[serde(deserialize_with = "crate::model::bounded::time")]
    pub expires: DateTime<Utc>,
    /// Whether it was given by the user who runs the drill, on the same machine: then only its key and
    /// its name speak for somebody else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub same_user: bool,
    /// Whether it was given on the machine that runs the drill, by whatever user.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub same_machine: bool,
    /// What they say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Whether the rules that the plan was made under list its key: else anybody can have made it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listed: bool,
    /// Where it says that it was made: `user@host`. A claim: whoever signs can write it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub made_as: String,
}

impl Approved {
    /// Why it does not show that somebody else approved, where it does not. A key that nobody lists can be
    /// anybody's, whatever name and machine it is signed for.
    pub fn not_independent(&self) -> Option<&'static str> {
        match (self.same_user, self.same_machine, self.listed) {
            (true, _, _) => Some("given by the user who ran it, on the same machine"),
            (false, true, _) => Some("given on the machine that ran it"),
            (false, false, false) => Some("with a key that no [[approvers]] list"),
            (false, false, true) => None,
        }
    }

    /// Where it says that it was made, in words; empty where it does not say.
    pub fn claim(&self) -> String {
        if self.made_as.is_empty() {
            String::new()
        } else {
            format!(", says it was made as {}", self.made_as)
        }
    }
}

/// The phase that a call belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Setting the `redrill:held` tag.
    Hold,
    /// Doing the step.
    Apply,
    /// Putting it back.
    Undo,
    /// Retagging what is kept.
    Keep,
    /// Removing the `redrill:held` tag.
    Release,
}

/// How the sentence of a give-up begins that was caused by probes which could not be read: version 0.1.0 knew no
/// other way to say so.
pub const UNREADABLE: &str = "a probe that decides could not be read";

/// Why a run was stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StopCause {
    /// No probe saw the fault in time.
    NoImpact,
    /// Not recovered by `give_up`.
    GaveUp,
    /// The same, and a probe that decides could not be read. Before format 2 only the sentence told, see
    /// [`UNREADABLE`].
    Unreadable,
    /// A step failed.
    StepFailed,
    /// A stop condition was breached.
    StopCondition,
    /// A signal or `redrill abort`.
    Signal,
    /// `redrill rollback`.
    Rollback,
    /// The steady state did not hold before the fault.
    NotSteady,
    /// Preflight refused.
    Refused,
    /// AWS could not be reached, or denied, before anything changed.
    Aws,
}

/// Marks that people set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// T1: detected.
    Detected,
    /// T2: acknowledged.
    Ack,
    /// T3: declared.
    Declare,
    /// Anything else worth a time.
    Note,
}

/// How a run ended; each has its own exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All objectives met, everything clean.
    Passed,
    /// Limits, no targets, drift, lock: nothing changed.
    Refused,
    /// The steady state did not hold before the fault: nothing changed.
    NotSteady,
    /// Recovered, later than the RTO or with more loss than the RPO.
    ObjectiveMissed,
    /// Not recovered by `give_up`.
    NotRecovered,
    /// No probe saw the fault.
    NoImpact,
    /// A stop condition, a signal or the kill switch; rolled back.
    Stopped,
    /// A step failed; rolled back.
    Failed,
    /// A probe that decides could not be read.
    Inconclusive,
    /// An undo failed for good: a person is needed.
    Stuck,
}

impl Verdict {
    /// The exit code, part of the interface.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Refused => 3,
            Self::NotSteady => 4,
            Self::ObjectiveMissed => 10,
            Self::NotRecovered => 11,
            Self::NoImpact => 12,
            Self::Stopped => 13,
            Self::Failed => 14,
            Self::Inconclusive => 15,
            Self::Stuck => 20,
        }
    }

    /// The name as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::NotSteady => "not-steady",
            Self::ObjectiveMissed => "objective-missed",
            Self::NotRecovered => "not-recovered",
            Self::NoImpact => "no-impact",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Inconclusive => "inconclusive",
            Self::Stuck => "stuck",
        }
    }
}

/// What the recovery clock measured. Times are UTC; durations are milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measured {
    /// The marks that exist, `t0` … `t8`.
    #[serde(deserialize_with = "crate::model::bounded::times")]
    pub marks: BTreeMap<String, DateTime<Utc>>,
    /// T7 − T0.
    #[serde(default, deserialize_with = "crate::model::bounded::ms_opt")]
    pub rta_ms: Option<i64>,
    /// Lower bound of the RTA.
    #[serde(default, deserialize_with = "crate::model::bounded::ms_opt")]
    pub rta_low_ms: Option<i64>,
    /// Upper bound of the RTA.
    #[serde(default, deserialize_with = "crate::model::bounded::ms_opt")]
    pub rta_high_ms: Option<i64>,
    /// The objective.
    #[serde(deserialize_with = "crate::model::bounded::ms")]
    pub rto_ms: i64,
    /// T7 − T3, where declared.
    #[serde(default, deserialize_with = "crate::model::bounded::ms_opt")]
    pub from_declaration_ms: Option<i64>,
    /// The figure that the verdict compares: RTA or `from_declaration_ms`.
    #[serde(default, deserialize_with = "crate::model::bounded::ms_opt")]
    pub judged_ms: Option<i64>,
    /// Consecutive phases between the marks that exist; they sum to the RTA exactly.
    pub phases: Vec<PhaseTime>,
    /// Healthy, then unhealthy inside the hold.
    pub flaps: u32,
    /// Stretches in which nothing was observed; where there are very many, the widest.
    pub gaps: Vec<Gap>,
    /// How many more there were.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gaps_left_out: u64,
    /// Whether any client probe was unhealthy between T0 and T7.
    pub outage: bool,
    /// Whether one was unhealthy after the steady state had been held, and before the clean-up was over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outage_in_clean_up: bool,
    /// The resolution of the client probes: the largest `every`.
    #[serde(deserialize_with = "crate::model::bounded::ms")]
    pub resolution_ms: i64,
    /// Time until the `capacity` probes were back, where there are any.
    #[serde(default, deserialize_with = "crate::model::bounded::ms_opt")]
    pub capacity_ms: Option<i64>,
    /// Whether one of them dropped and was not back at the end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub capacity_lost: bool,
    /// T0 − the restore point, where a step restored to a point in time. Not an RPO.
    #[serde(default, deserialize_with = "crate::model::bounded::ms_opt")]
    pub restore_point_age_ms: Option<i64>,
    /// Sentences that a reader must know: what T0 stands for, late or missing marks.
    pub notes: Vec<String>,
}

impl Measured {
    /// What the judged figure counts from, where that is not the fault.
    pub fn since_declaration(&self) -> Option<String> {
        let declared = self.from_declaration_ms.filter(|ms| self.judged_ms == Some(*ms))?;
        let since_fault = self.rta_ms.filter(|rta| *rta != declared)?;
        Some(format!("since the declaration ({} since the fault)", crate::model::time::in_words(since_fault)))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// One phase of the recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseTime {
    /// From this mark …
    pub from: String,
    /// … to this one.
    pub to: String,
    /// How long.
    #[serde(deserialize_with = "crate::model::bounded::ms")]
    pub ms: i64,
}

/// A stretch in which nothing was observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// Sending of the last observation before (UTC).
    #[serde(deserialize_with = "crate::model::bounded::time")]
    pub from: DateTime<Utc>,
    /// Answer of the first after (UTC).
    #[serde(deserialize_with = "crate::model::bounded::time")]
    pub to: DateTime<Utc>,
    /// Why, where known: `no process was running`, `probe late`.
    pub why: String,
}

/// The run before another one in its state folder, as it stood when that one began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Before {
    /// Which.
    pub run: RunId,
    /// How many lines its journal had.
    #[serde(deserialize_with = "crate::model::bounded::count")]
    pub lines: u64,
    /// The RFC 6962 root (hex) of them; `None` where it was not there any more.
    pub root: Option<String>,
}

/// A run's place among those of its state folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Chained {
    /// The how manieth it is, from 1.
    #[serde(deserialize_with = "crate::model::bounded::count")]
    pub number: u64,
    /// The hash (SHA-256, hex) of its line in the folder's list of runs.
    pub list: String,
    /// The one before; `None` where it is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
}

/// What can happen in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "fields are named for what they hold; the variants say when")]
pub enum Event {
    /// Line 1: what this run is.
    Header {
        format: u32,
        redrill: String,
        run: RunId,
        drill: String,
        title: String,
        plan_sha256: String,
        world: World,
        account: String,
        caller: String,
        region: String,
        #[serde(deserialize_with = "crate::model::bounded::ms")]
        rto_ms: i64,
        #[serde(deserialize_with = "crate::model::bounded::ms")]
        give_up_ms: i64,
        /// Absent in format 1, and of a run that is kept in no state folder.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chain: Option<Chained>,
    },
    /// A process took the run over; its monotonic clock starts here.
    Attached {
        mode: Mode,
        pid: u32,
        host: String,
        user: String,
        redrill: String,
        /// Which boot of its machine the monotonic clock counts from; absent in format 1, and where the
        /// system does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot: Option<String>,
    },
    /// How the process that attached itself reaches AWS; off AWS there is none.
    Endpoint { proof: crate::model::EndpointProof },
    /// Somebody approved the plan, with a signature that holds.
    Approved { approval: Approved },
    /// The skew between the local clock and AWS's `Date` header, local minus AWS.
    Skew {
        #[serde(deserialize_with = "crate::model::bounded::ms")]
        ms: i64,
    },
    /// A stage began.
    Stage { stage: crate::model::Stage },
    /// Preflight or drift check found something.
    Found { finding: Value },
    /// What a recovery will need of a target, captured before any fault.
    Captured { step: StepId, target: String, data: Value },
    /// The targets about to be tagged `redrill:held`.
    Holding { targets: Vec<String> },
    /// They are tagged.
    Held { targets: Vec<String> },
    /// A database that was held has another name by now, as a cut-over gives it one; before it is let go of by that.
    Renamed { target: String, arn: String },
    /// The tag is removed again.
    Released { targets: Vec<String> },
    /// Undo is known; on disk before the call.
    StepPrepared { step: StepId, target: Option<String>, undo: Value },
    /// About to be applied to these targets.
    StepStarted { step: StepId, targets: Vec<Option<String>> },
    /// A change is about to be sent.
    CallSent {
        #[serde(deserialize_with = "crate::model::bounded::count")]
        call: u64,
        step: Option<StepId>,
        phase: Phase,
        operation: String,
        params: Value,
        attempt: u32,
    },
    /// The folder that the run began in, also for a process that takes it up from somewhere else: where its local
    /// programs are started, and a kill switch's file is looked for.
    ProgramsFolder { path: String },
    /// A local program is about to be started; it has done nothing yet.
    ProgramStarted { step: StepId, phase: Phase, program: crate::model::ProgramId },
    /// The program with this mark, and everything that it started, has ended.
    ProgramEnded { step: StepId, mark: String, how: crate::model::ProgramEnd },
    /// It was answered, or not.
    CallAnswered {
        #[serde(deserialize_with = "crate::model::bounded::count")]
        call: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<crate::model::CallError>,
    },
    /// A read that AWS throttled, and that is sent again.
    ReadRetried { operation: String, attempt: u32, error: crate::model::CallError },
    /// AWS accepted it for this target.
    StepApplied {
        step: StepId,
        target: Option<String>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        outputs: BTreeMap<String, String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// It failed for this target. `effect` tells whether it may have happened all the same.
    StepFailed {
        step: StepId,
        target: Option<String>,
        error: String,
        effect: crate::model::EffectCertainty,
        hint: Option<String>,
    },
    /// Where a pending result stands; recorded when it changes.
    StepProgress { step: StepId, target: Option<String>, note: String },
    /// Done, with its outputs.
    StepReady {
        step: StepId,
        target: Option<String>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        outputs: BTreeMap<String, String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// A step that will not run, and why.
    StepSkipped { step: StepId, why: String },
    /// A manual step waits for a person.
    Waiting { step: StepId, text: String },
    /// A person confirmed it (or, off AWS, was simulated).
    Confirmed {
        step: StepId,
        by: String,
        note: String,
        simulated: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Asked>,
    },
    /// A person set a mark.
    Marked {
        mark: Mark,
        // a line's own `at` is when it was recorded; this one is what the person says
        #[serde(rename = "marked_at")]
        #[serde(deserialize_with = "crate::model::bounded::time")]
        at: DateTime<Utc>,
        by: String,
        note: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Asked>,
    },
    /// What a person asked for and what did not come about, with why.
    RequestUnused {
        what: String,
        by: String,
        note: String,
        why: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Asked>,
    },
    /// A probe's answer changed (or is its first).
    Observed {
        probe: String,
        health: crate::model::Health,
        seen: String,
        sent: Stamp,
        answered: Stamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[serde(deserialize_with = "crate::model::bounded::time_opt")]
        source_at: Option<DateTime<Utc>>,
    },
    /// A probe's answer stayed the same; `count` observations since the last line about it.
    Unchanged {
        probe: String,
        health: crate::model::Health,
        #[serde(deserialize_with = "crate::model::bounded::count")]
        count: u64,
        last_sent: Stamp,
        last_answered: Stamp,
    },
    /// So many lines about observations could not be recorded in time, and are lost.
    ObservationsLost { count: u64 },
    /// The steady state was met and held: T7 is the start of this stretch.
    Steady {
        #[serde(deserialize_with = "crate::model::bounded::time")]
        since: DateTime<Utc>,
    },
    /// Preflight has passed: nothing was refused, recoveries have what they need.
    PreflightPassed {},
    /// A signal: 1 roll back, 2 only undo, 3 leave now. `now` says what that means for this run.
    Signal {
        count: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        now: Option<String>,
    },
    /// The run stops before its end.
    StopRequested {
        cause: StopCause,
        detail: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Asked>,
    },
    /// An undo begins.
    UndoStarted { step: StepId, target: Option<String> },
    /// An undo failed; it is tried again.
    UndoFailed { step: StepId, target: Option<String>, error: String, attempt: u32 },
    /// It is put back, or was already.
    UndoDone { step: StepId, target: Option<String>, how: String, proof: String },
    /// A recovery's result stays.
    Kept { step: StepId, target: Option<String>, proof: String },
    /// An undo failed for good: a person is needed.
    Stuck { step: Option<StepId>, target: Option<String>, error: String, hint: String },
    /// What the run left behind on purpose; `by` is who accepted that what could not be put back stays as it is.
    LeftInPlace {
        step: StepId,
        target: Option<String>,
        why: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Undo and clean-up are over. `until`: so long, at the longest, the run waits for the service to be healthy
    /// (UTC); `None` where it does not wait.
    Cleaned {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<DateTime<Utc>>,
    },
    /// Whether the steady state held again after the clean-up.
    SteadyAfter { healthy: bool },
    /// A person accepts that redrill has not seen the steady state hold again after the clean-up, and looks no more.
    SteadyStateAccepted { why: String, by: String },
    /// The end: the verdict, why, and what was measured.
    Finished { verdict: Verdict, exit_code: u8, reasons: Vec<String>, measured: Box<Measured> },
    /// A kind that this version does not know; kept as it stands.
    #[serde(untagged)]
    Unknown(Value),
}

impl Event {
    /// The run stops before its end, and no request asked for it.
    pub fn stop(cause: StopCause, detail: impl Into<String>) -> Self {
        Self::StopRequested { cause, detail: detail.into(), request: None }
    }

    /// The request that this answers.
    pub fn request(&self) -> Option<&Asked> {
        match self {
            Self::Marked { request, .. }
            | Self::Confirmed { request, .. }
            | Self::StopRequested { request, .. }
            | Self::RequestUnused { request, .. } => request.as_ref(),
            _ => None,
        }
    }
}
