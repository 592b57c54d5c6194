//! The part of the OSCAL 1.2.1 models that redrill writes: assessment plan, assessment results, plan of
//! action and milestones. Pure data.
//!
//! Names and order of the fields are OSCAL's; what they mean is defined there. What is empty is left
//! out, since OSCAL refuses empty arrays.

use super::document::{BackMatter, Id, Import, Metadata, Part, Prop, ResponsibleParty};
use chrono::{DateTime, Utc};
use serde::Serialize;

/// An assessment plan: what was fixed before the start.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct AssessmentPlan {
    pub(super) uuid: Id,
    pub(super) metadata: Metadata,
    pub(super) import_ssp: Import,
    pub(super) local_definitions: Definitions,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) terms_and_conditions: Option<Terms>,
    pub(super) reviewed_controls: ReviewedControls,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) assessment_subjects: Vec<Subjects>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) assessment_assets: Option<Assets>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tasks: Vec<Task>,
    pub(super) back_matter: BackMatter,
}

/// Assessment results: what was seen, and what follows.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct AssessmentResults {
    pub(super) uuid: Id,
    pub(super) metadata: Metadata,
    pub(super) import_ap: Import,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) results: Vec<RunResult>,
    pub(super) back_matter: BackMatter,
}

/// A plan of action and milestones: the open findings.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ActionPlan {
    pub(super) uuid: Id,
    pub(super) metadata: Metadata,
    pub(super) import_ssp: Import,
    pub(super) system_id: SystemId,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) observations: Vec<Observation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) risks: Vec<Risk>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) poam_items: Vec<ActionItem>,
    pub(super) back_matter: BackMatter,
}

/// The system that the findings are about.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SystemId {
    pub(super) identifier_type: &'static str,
    pub(super) id: String,
}

/// What the file defines itself.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Definitions {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) components: Vec<Component>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) inventory_items: Vec<InventoryItem>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) objectives_and_methods: Vec<LocalObjective>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) activities: Vec<Activity>,
}

/// A part of the system, or of the tools.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Component {
    pub(super) uuid: Id,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) title: String,
    pub(super) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) props: Vec<Prop>,
    pub(super) status: ComponentStatus,
}

/// Whether it operates.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ComponentStatus {
    pub(super) state: &'static str,
}

/// A target.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct InventoryItem {
    pub(super) uuid: Id,
    pub(super) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) props: Vec<Prop>,
}

/// An objective, and the control that it belongs to.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct LocalObjective {
    pub(super) control_id: String,
    pub(super) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) parts: Vec<Part>,
}

/// What is done.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Activity {
    pub(super) uuid: Id,
    pub(super) title: String,
    pub(super) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) steps: Vec<ActivityStep>,
}

/// One thing of it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ActivityStep {
    pub(super) uuid: Id,
    pub(super) title: String,
    pub(super) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) props: Vec<Prop>,
}

/// Under which terms.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Terms {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) parts: Vec<Part>,
}

/// The controls looked at.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ReviewedControls {
    pub(super) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) props: Vec<Prop>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) control_selections: Vec<ControlSelection>,
}

/// A choice of controls.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ControlSelection {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) include_controls: Vec<ControlId>,
}

/// A control of a catalog.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ControlId {
    pub(super) control_id: String,
}

/// What is looked at.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Subjects {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) include_subjects: Vec<SubjectId>,
}

/// One of them.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SubjectId {
    pub(super) subject_uuid: Id,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
}

/// With which tools.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Assets {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) components: Vec<Component>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) assessment_platforms: Vec<Platform>,
}

/// A tool in use.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Platform {
    pub(super) uuid: Id,
    pub(super) title: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) uses_components: Vec<ComponentUse>,
}

/// A component in use.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ComponentUse {
    pub(super) component_uuid: Id,
}

/// Something that was planned.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Task {
    pub(super) uuid: Id,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) title: String,
    pub(super) description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timing: Option<Timing>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) associated_activities: Vec<ActivityUse>,
}

/// When.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Timing {
    pub(super) on_date: OnDate,
}

/// On which date.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct OnDate {
    pub(super) date: DateTime<Utc>,
}

/// An activity, and on what.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ActivityUse {
    pub(super) activity_uuid: Id,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) subjects: Vec<Subjects>,
}

/// What one run gave.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct RunResult {
    pub(super) uuid: Id,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) start: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) props: Vec<Prop>,
    pub(super) local_definitions: Definitions,
    pub(super) reviewed_controls: ReviewedControls,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) attestations: Vec<Attestation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) assessment_log: Option<Log>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) observations: Vec<Observation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) risks: Vec<Risk>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) findings: Vec<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remarks: Option<String>,
}

/// What a person states.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Attestation {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) responsible_parties: Vec<ResponsibleParty>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) parts: Vec<Part>,
}

/// What happened, in order.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Log {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) entries: Vec<LogEntry>,
}

/// One thing of it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct LogEntry {
    pub(super) uuid: Id,
    pub(super) title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    pub(super) start: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) props: Vec<Prop>,
}

/// What was seen.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Observation {
    pub(super) uuid: Id,
    pub(super) title: String,
    pub(super) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) props: Vec<Prop>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) methods: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) types: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) origins: Vec<Origin>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) subjects: Vec<SubjectId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) relevant_evidence: Vec<Evidence>,
    pub(super) collected: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<DateTime<Utc>>,
}

/// What it rests on.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Evidence {
    pub(super) href: String,
    pub(super) description: String,
}

/// Who says so.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Origin {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) actors: Vec<Actor>,
}

/// One of them.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Actor {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) actor_uuid: Id,
}

/// What may follow from a finding.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Risk {
    pub(super) uuid: Id,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) statement: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) props: Vec<Prop>,
    pub(super) status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) origins: Vec<Origin>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) characterizations: Vec<Characterization>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deadline: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) remediations: Vec<Remediation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) risk_log: Option<RiskLog>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) related_observations: Vec<ObservationRef>,
}

/// How bad, according to whom.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Characterization {
    pub(super) origin: Origin,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) facets: Vec<Facet>,
}

/// One measure of it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Facet {
    pub(super) name: &'static str,
    pub(super) system: &'static str,
    pub(super) value: String,
}

/// What is done about it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Remediation {
    pub(super) uuid: Id,
    pub(super) lifecycle: &'static str,
    pub(super) title: String,
    pub(super) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) props: Vec<Prop>,
}

/// What became of it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct RiskLog {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) entries: Vec<RiskEntry>,
}

/// One change.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct RiskEntry {
    pub(super) uuid: Id,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) start: DateTime<Utc>,
    pub(super) status_change: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) related_responses: Vec<ResponseRef>,
}

/// A remediation.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ResponseRef {
    pub(super) response_uuid: Id,
}

/// An observation.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ObservationRef {
    pub(super) observation_uuid: Id,
}

/// A risk.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct RiskRef {
    pub(super) risk_uuid: Id,
}

/// Whether something is satisfied.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Finding {
    pub(super) uuid: Id,
    pub(super) title: String,
    pub(super) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) props: Vec<Prop>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) origins: Vec<Origin>,
    pub(super) target: Target,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) related_observations: Vec<ObservationRef>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) related_risks: Vec<RiskRef>,
}

/// What is or is not satisfied.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Target {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) target_id: String,
    pub(super) status: TargetStatus,
}

/// Whether it is.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct TargetStatus {
    pub(super) state: &'static str,
    pub(super) reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remarks: Option<String>,
}

/// An open finding.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ActionItem {
    pub(super) uuid: Id,
    pub(super) title: String,
    pub(super) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) props: Vec<Prop>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) origins: Vec<Origin>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) related_observations: Vec<ObservationRef>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) related_risks: Vec<RiskRef>,
}
