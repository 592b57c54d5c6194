//! The record of a run: every field that auditors ask for, or a gap that says it is missing. Pure data.
//!
//! This is `report.json`, public and versioned: fields are added without a new version, none changes
//! its meaning. Times are UTC, durations milliseconds. Texts are as recorded; whoever writes them out
//! cleans them.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::journal::Verdict;
use crate::model::exercise::{Approval, Document, ExerciseKind, Participant};
use crate::model::{ResourceKind, RunId, Target, World};
use crate::view::RunView;

/// The name of the format.
pub const SCHEMA: &str = "redrill/report";
/// Its version.
pub const VERSION: u32 = 1;

/// Everything that is known of a run.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Record {
    /// Always `redrill/report`.
    pub schema: String,
    /// Version of this format.
    pub v: u32,
    /// The redrill version that made this record; the one that ran the drill stands in `identity`.
    pub made_by: String,
    /// What ran, and exactly which.
    pub identity: Identity,
    /// On whose authority.
    pub authority: Authority,
    /// Where, and on what.
    pub scope: Scope,
    /// What had to be met, fixed before the start.
    pub objectives: Objectives,
    /// Who took part.
    pub people: People,
    /// What was assumed, and what would have stopped it.
    pub conditions: Conditions,
    /// What the clock measured.
    pub measures: Measures,
    /// What was restored or recovered.
    pub recoveries: Vec<Recovery>,
    /// What was checked after the recovery.
    pub checks: Vec<Check>,
    /// How it came out.
    pub result: Outcome,
    /// What was broken, and whether it was put back.
    pub safety: Safety,
    /// What has to be followed up.
    pub findings: Vec<Finding>,
    /// What was learned, as people noted it.
    pub lessons: Vec<Remark>,
    /// Who looked at the result.
    pub review: Review,
    /// What the run says about each control.
    pub controls: Vec<ControlResult>,
    /// What the record rests on.
    pub integrity: Integrity,
    /// What this record cannot tell: what was simulated, what was not measured.
    pub limits: Vec<String>,
    /// What auditors ask for and this run does not have.
    pub gaps: Vec<Gap>,
    /// The run itself: stages, steps, probes, calls, timeline.
    pub run: RunView,
}

impl Record {
    /// Whether a comparison with CloudTrail is proven by its signed digests, and final.
    pub fn trail_is_proven(&self) -> bool {
        self.integrity.reconciliation.as_ref().is_some_and(|told| {
            told["standing"] == "proven" && told["holds"] == true && told["provisional_until"].is_null()
        })
    }

    /// Whether what the run shows can count: on AWS, and shown to be, by its endpoint or by its trail.
    pub fn counts(&self) -> bool {
        self.scope.world == World::Aws && (self.scope.endpoint_doubt.is_none() || self.trail_is_proven())
    }
}

/// What ran (A).
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Identity {
    /// The run.
    pub run: RunId,
    /// The drill's name.
    pub drill: String,
    /// Its title.
    pub title: String,
    /// Why, and what to know.
    pub description: String,
    /// The service.
    pub service: String,
    /// `redrill`.
    pub tool: String,
    /// Its version, as the journal's header says.
    pub tool_version: String,
    /// SHA-256 (hex) of the drill file's bytes.
    pub drill_sha256: Option<String>,
    /// SHA-256 (hex) of the plan's RFC 8785 bytes, as the journal's first line says.
    pub plan_sha256: String,
    /// When the plan was made.
    pub planned_at: Option<DateTime<Utc>>,
    /// First line of the journal.
    pub started_at: Option<DateTime<Utc>>,
    /// The end; `None` while unfinished.
    pub finished_at: Option<DateTime<Utc>>,
    /// The business impact analysis that the objectives come from.
    pub impact_analysis: Option<Document>,
    /// Ids of the risks that the scenario stands for.
    pub risks: Vec<String>,
}

/// On whose authority (B).
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Authority {
    /// Approvals as stated in the plan, given before the start.
    pub approvals: Vec<Approval>,
    /// The change ticket.
    pub ticket: Option<String>,
    /// What participants may and may not do.
    pub rules: Option<String>,
    /// What kind of exercise it was.
    pub exercise_type: Option<ExerciseKind>,
    /// Whether the people involved knew of it beforehand.
    pub announced: Option<bool>,
    /// The contingency or recovery plan under test.
    pub plan: Option<Document>,
}

/// Where, and on what (C).
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Scope {
    /// Which world. Anything but `aws` leaves every control not tested.
    pub world: World,
    /// Why it is not proven that the endpoint was AWS's, on AWS: then controls count only with a proven trail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_doubt: Option<String>,
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// The overridden endpoint, off AWS.
    pub endpoint: Option<String>,
    /// The environment chosen with `--env`.
    pub environment: Option<String>,
    /// The seed that samples were drawn with.
    pub seed: Option<u32>,
    /// Per selector: the filter as typed, the population, the sample.
    pub selections: Vec<Selection>,
}

/// How targets were picked.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Selection {
    /// The selector's name.
    pub name: String,
    /// The kind of resource.
    pub resource: ResourceKind,
    /// The tag filter as typed.
    pub tags: BTreeMap<String, Vec<String>>,
    /// The attribute filter as typed.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// How many were to be drawn: `all`, `2`, `10 %`.
    pub select: String,
    /// How many of the kind there were.
    pub population: usize,
    /// How many matched the filter.
    pub matched: usize,
    /// What was drawn.
    pub drawn: Vec<Drawn>,
}

/// A target as it was when the plan was made.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Drawn {
    /// The id that AWS's API takes.
    pub id: String,
    /// The ARN.
    pub arn: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// The Availability Zone.
    pub zone: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl From<&Target> for Drawn {
    fn from(t: &Target) -> Self {
        Self {
            id: t.id.clone(),
            arn: t.arn.clone(),
            name: t.name.clone(),
            zone: t.zone().map(str::to_owned),
            tags: t.tags.clone(),
        }
    }
}

/// What had to be met (D).
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Objectives {
    /// Recovery time objective.
    pub rto_ms: i64,
    /// Recovery point objective.
    pub rpo_ms: Option<i64>,
    /// How soon the fault should be detected.
    pub detect_ms: Option<i64>,
    /// When the run would have stopped waiting.
    pub give_up_ms: i64,
    /// Where the RTO's clock starts: `impact` (T0) or `declaration` (T3).
    pub clock: String,
    /// Maximum tolerable downtime.
    pub max_tolerable_downtime_ms: Option<i64>,
    /// The least service that must be back at the RTO.
    pub minimum_service: Option<String>,
    /// What counts as recovered: probes and accepted values, as typed.
    pub criteria: Vec<Criterion>,
}

/// A probe that decides.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Criterion {
    /// Its name in the drill.
    pub name: String,
    /// The probe.
    pub probe: String,
    /// `steady-state`, `verify` or `stop`.
    pub part: String,
    /// `client`, `monitoring` or `capacity`.
    pub role: String,
    /// Its parameters as typed.
    pub with: Value,
    /// How often it looks.
    pub every_ms: i64,
    /// How long it must stay healthy.
    pub hold_ms: i64,
}

/// Who took part (E).
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct People {
    /// ARN of the caller that ran it.
    pub caller: String,
    /// Who sat at redrill: `user@host` of each process that worked on the run.
    pub operators: Vec<String>,
    /// Participants with their roles, as stated in the plan.
    pub participants: Vec<Participant>,
    /// Whether a person was simulated anywhere.
    pub simulated: bool,
}

/// What was assumed, and what would have stopped it (F).
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Conditions {
    /// Assumptions.
    pub assumptions: Vec<String>,
    /// How the place differs from production.
    pub deviations: Vec<String>,
    /// The blast radius: limit and value, as sentences.
    pub limits: Vec<String>,
    /// The stop conditions, as sentences.
    pub abort_conditions: Vec<String>,
    /// What planning and preflight found: severity, subject, text.
    pub notices: Vec<Notice>,
}

/// Something that planning or preflight found.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Notice {
    /// `info`, `warning` or `refusal`.
    pub severity: String,
    /// What it is about.
    pub subject: String,
    /// What was found.
    pub text: String,
}

/// What the clock measured (H). Every figure may be missing; then the record's `gaps` or the run's
/// verdict say why.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize)]
pub struct Measures {
    /// Recovery time actual, T7 − T0.
    pub rta_ms: Option<i64>,
    /// Its lower bound.
    pub rta_low_ms: Option<i64>,
    /// Its upper bound.
    pub rta_high_ms: Option<i64>,
    /// T7 − T3.
    pub from_declaration_ms: Option<i64>,
    /// The figure compared with the RTO.
    pub judged_ms: Option<i64>,
    /// RTO − judged; negative when missed.
    pub margin_ms: Option<i64>,
    /// T1 − T0: time to detect.
    pub detect_ms: Option<i64>,
    /// T2 − T0: time to acknowledge.
    pub acknowledge_ms: Option<i64>,
    /// T3 − T0: time to declare.
    pub declare_ms: Option<i64>,
    /// T4 − T0: until the first recovery step was accepted; decision time.
    pub decide_ms: Option<i64>,
    /// T5 − T4: the machine's part.
    pub technical_restore_ms: Option<i64>,
    /// Time until the capacity probes were back.
    pub capacity_ms: Option<i64>,
    /// T0 − the restore point. Not an RPO.
    pub restore_point_age_ms: Option<i64>,
    /// Whether a client probe saw an outage.
    pub outage: bool,
    /// Whether one saw it in the clean-up, after the recovery was measured.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outage_in_clean_up: bool,
    /// Resolution of the client probes.
    pub resolution_ms: i64,
    /// Healthy, then unhealthy inside the hold.
    pub flaps: u32,
    /// Local clock minus AWS's.
    pub skew_ms: Option<i64>,
}

/// A recovery step on one target (I).
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Recovery {
    /// The step.
    pub step: String,
    /// The action; a manual step has none.
    pub action: Option<String>,
    /// The target.
    pub target: Option<String>,
    /// When it was sent.
    pub started_at: Option<DateTime<Utc>>,
    /// When its result was ready.
    pub ready_at: Option<DateTime<Utc>>,
    /// What it brought about: identifier, endpoint, restore point.
    pub outputs: BTreeMap<String, String>,
    /// What is worth knowing, such as settings that differ from the source's.
    pub notes: Vec<String>,
}

/// Something checked after the recovery (J).
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Check {
    /// Its name in the drill.
    pub name: String,
    /// The probe.
    pub probe: String,
    /// What was asked, as typed.
    pub with: Value,
    /// SHA-256 (hex) of the RFC 8785 bytes of `with`.
    pub with_sha256: String,
    /// `satisfied`, `not-satisfied` or `not-tested`.
    pub status: Status,
    /// The newest answer's words.
    pub seen: String,
    /// When that was.
    pub at: Option<DateTime<Utc>>,
    /// How many observations.
    pub observations: u64,
}

/// Whether something held. What was not tested is never a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It held.
    Satisfied,
    /// It did not.
    NotSatisfied,
    /// Nothing was shown.
    NotTested,
}

impl Status {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Satisfied => "satisfied",
            Self::NotSatisfied => "not satisfied",
            Self::NotTested => "not tested",
        }
    }
}

/// How it came out (K). Computed, never typed.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Outcome {
    /// The verdict; `None` while unfinished.
    pub verdict: Option<Verdict>,
    /// The exit code.
    pub exit_code: Option<u8>,
    /// Why.
    pub reasons: Vec<String>,
    /// Each objective.
    pub objectives: Vec<ObjectiveResult>,
}

/// How one objective came out.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct ObjectiveResult {
    /// `rto`, `rpo`, `detect`, `data`, `clean`, `steady-after`.
    pub key: String,
    /// In words.
    pub name: String,
    /// What was asked.
    pub expected: String,
    /// What was seen.
    pub actual: String,
    /// How it compares.
    pub status: Status,
}

/// What was broken, and whether it was put back (L).
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Safety {
    /// The faults, per step and target.
    pub faults: Vec<Fault>,
    /// How many targets the plan named.
    pub targets: usize,
    /// What was left behind, one sentence each; empty when everything is clean.
    pub left_behind: Vec<String>,
    /// What an irreversible fault took for good, as the drill allowed.
    pub gone: Vec<String>,
    /// What is meant to stay: replacements.
    pub kept: Vec<String>,
    /// Whether the steady state held again after the clean-up.
    pub steady_after: Option<bool>,
    /// Whether T8 was reached: faults undone, nothing left but what an irreversible fault took for good.
    pub clean: bool,
}

/// A fault on one target.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Fault {
    /// The step.
    pub step: String,
    /// The action.
    pub action: Option<String>,
    /// The target.
    pub target: Option<String>,
    /// `reversible`, `additive`, `momentary` or `irreversible`.
    pub reversibility: String,
    /// When it was sent.
    pub started_at: Option<DateTime<Utc>>,
    /// How it ended, in words.
    pub ending: String,
}

/// Something to follow up (M).
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Finding {
    /// The same problem of the same drill has the same id in every run: `F-` and ten characters.
    pub id: String,
    /// What kind: `objective-missed`, `flap`, `left-behind`, `unknown-probe`, `remark`, …
    pub kind: String,
    /// `high`, `medium` or `low`.
    pub severity: FindingSeverity,
    /// One line.
    pub title: String,
    /// What was seen.
    pub detail: String,
    /// What it is about: an objective, a probe, a step, a target.
    pub subject: String,
    /// The first run that showed it.
    pub run: RunId,
    /// Who has to see to it.
    pub owner: Option<String>,
    /// By when.
    pub due: Option<NaiveDate>,
    /// Where it is followed up.
    pub ticket: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingSeverity {
    /// Good to fix.
    Low,
    /// Fix before the next drill.
    Medium,
    /// An objective is missed, or something is left behind.
    High,
}

impl FindingSeverity {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What somebody noted during the run.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Remark {
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub by: String,
    /// What.
    pub text: String,
}

/// Who looked at the result (O).
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize)]
pub struct Review {
    /// Sign-offs, oldest first.
    pub sign_offs: Vec<SignOff>,
    /// Whether a reviewer who accepts is somebody else than every operator, with a key of their own.
    pub independent: bool,
}

impl Review {
    /// Of these sign-offs, oldest first.
    pub fn of(sign_offs: &[SignOff]) -> Self {
        let mut review = Self { sign_offs: sign_offs.to_vec(), independent: false };
        let accepted = review.standing().any(|s| s.independent && s.decision == "accepted");
        review.independent = accepted && review.rejected().is_none();
        review
    }

    /// Each key's last word: nobody takes back what somebody else said.
    fn standing(&self) -> impl Iterator<Item = &SignOff> {
        let last = |at: usize, key: &str| !self.sign_offs.iter().skip(at + 1).any(|s| s.key == key);
        self.sign_offs.iter().enumerate().filter(move |(at, s)| last(*at, &s.key)).map(|(_, s)| s)
    }

    /// The newest rejection that its reviewer has not taken back.
    pub fn rejected(&self) -> Option<&SignOff> {
        self.standing().filter(|s| s.decision == "rejected").last()
    }
}

/// A reviewer's decision on a finished run.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct SignOff {
    /// Who, as they typed it.
    pub by: String,
    /// The name under which the plan's rules list the key, where they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listed_as: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// `accepted` or `rejected`.
    pub decision: String,
    /// What they say.
    pub note: String,
    /// Fingerprint of the key that signed it.
    pub key: String,
    /// Whether reviewer and key differ from those of the run, and the plan's rules list the key: without a
    /// list nobody is independent.
    pub independent: bool,
    /// Where it says that it was made, `user@host`: a claim.
    pub made_as: String,
}

/// What the run says about one control, computed.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct ControlResult {
    /// Short name of the framework, for example `soc2`.
    pub framework: String,
    /// Its full name and version.
    pub framework_name: String,
    /// The control's id, for example `A1.3`.
    pub id: String,
    /// A short paraphrase of our own.
    pub paraphrase: String,
    /// How often it is to be shown.
    pub cadence: String,
    /// What the run says.
    pub outcome: ControlOutcome,
    /// Why.
    pub why: String,
    /// What the output must show, and where the record has it.
    pub shows: Vec<String>,
}

/// What a run says about a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlOutcome {
    /// This run supports it.
    Supports,
    /// This run does not support it.
    DoesNotSupport,
    /// Not tested by this run.
    NotTested,
}

impl ControlOutcome {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Supports => "this run supports",
            Self::DoesNotSupport => "does not support",
            Self::NotTested => "not tested",
        }
    }
}

/// What the record rests on (Q). Hashes of the files stand in the signed statement beside it.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Integrity {
    /// Lines of the journal.
    pub journal_lines: u64,
    /// SHA-256 (hex) of the journal's bytes.
    pub journal_sha256: String,
    /// RFC 6962 root (hex) over the journal's lines.
    pub journal_root: String,
    /// Signed checkpoints taken while it ran.
    pub checkpoints: usize,
    /// Calls with an id that CloudTrail also has.
    pub calls_with_request_id: usize,
    /// Calls sent.
    pub calls: usize,
    /// What a comparison with CloudTrail gave, where there was one.
    pub reconciliation: Option<Value>,
    /// Where it is kept under Object Lock, where it was published.
    pub publication: Option<Value>,
    /// The authority (URL) whose timestamp of the signature belongs to the bundle, where one does.
    pub timestamp_authority: Option<String>,
}

/// Something that auditors ask for and that this run does not have.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Gap {
    /// The part of the record.
    pub part: String,
    /// What is missing.
    pub what: String,
    /// How to have it next time.
    pub fill: String,
}
