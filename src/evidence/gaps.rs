//! What auditors ask for and a run does not have: listed, never hidden. Pure.

use super::findings::approved_late;
use super::record::{Gap, Record, Status};
use crate::model::World;

/// The gaps of a record, in the order of its parts.
pub(super) fn find(r: &Record) -> Vec<Gap> {
    let mut out = Vec::new();
    let mut gap = |missing: bool, part: &str, what: &str, fill: &str| {
        if missing {
            out.push(Gap { part: part.to_owned(), what: what.to_owned(), fill: fill.to_owned() });
        }
    };
    let plan = r.identity.drill_sha256.is_some();
    gap(!plan, "identity", "the plan", "keep `plan.json` in the run's folder");
    gap(
        r.identity.impact_analysis.is_none(),
        "identity",
        "the business impact analysis",
        "`exercise.impact_analysis` in the drill",
    );
    gap(r.identity.risks.is_empty(), "identity", "ids of the risks drilled", "`exercise.risks` in the drill");
    gap(
        r.authority.approvals.iter().all(|a| approved_late(r, a.at)),
        "authority",
        "who approved it before the start",
        "`redrill approve PLAN`, signed; `exercise.approved_by` only states it",
    );
    gap(
        r.authority.ticket.is_none(),
        "authority",
        "the change ticket",
        "`exercise.ticket` in the drill, or --ticket",
    );
    gap(
        r.authority.exercise_type.is_none(),
        "authority",
        "the type of exercise",
        "`exercise.type` in the drill",
    );
    gap(
        r.authority.announced.is_none(),
        "authority",
        "whether it was announced",
        "`exercise.announced` in the drill",
    );
    gap(
        r.authority.plan.is_none(),
        "authority",
        "the contingency plan under test",
        "`exercise.plan` in the drill",
    );
    gap(r.authority.rules.is_none(), "authority", "rules of engagement", "`exercise.rules` in the drill");
    gap(
        r.people.participants.is_empty(),
        "people",
        "participants with their roles",
        "`exercise.participants` in the drill, or --participant ROLE=NAME",
    );
    gap(
        r.objectives.rpo_ms.is_none(),
        "objectives",
        "a recovery point objective",
        "`objectives.rpo` in the drill",
    );
    gap(
        r.objectives.max_tolerable_downtime_ms.is_none(),
        "objectives",
        "the maximum tolerable downtime",
        "`exercise.max_tolerable_downtime` in the drill",
    );
    gap(
        r.objectives.minimum_service.is_none(),
        "objectives",
        "the least service that must be back (MBCO)",
        "`exercise.minimum_service` in the drill",
    );
    gap(
        r.conditions.assumptions.is_empty(),
        "conditions",
        "assumptions",
        "`exercise.assumptions` in the drill",
    );
    gap(
        r.scope.world == World::Aws && r.conditions.deviations.is_empty(),
        "conditions",
        "how the place differs from production",
        "`exercise.deviations` in the drill",
    );
    gap(
        r.measures.detect_ms.is_none(),
        "measures",
        "the time to detect",
        "a probe of role `monitoring`, or `redrill mark RUN detected`",
    );
    gap(r.measures.acknowledge_ms.is_none(), "measures", "the time to acknowledge", "`redrill mark RUN ack`");
    gap(r.measures.declare_ms.is_none(), "measures", "the time to declare", "`redrill mark RUN declare`");
    gap(true, "measures", "measured data loss (RPA)", "not measured by this version of redrill");
    gap(
        r.checks.is_empty(),
        "checks",
        "checks of the recovered data",
        "`verify` in the drill, for example with the `sql` probe",
    );
    gap(
        r.checks.iter().any(|c| c.status == Status::NotTested),
        "checks",
        "an answer to every check",
        "see the checks that were not tested",
    );
    gap(
        r.lessons.is_empty(),
        "lessons",
        "lessons learned",
        "`redrill mark RUN note --note …` during the run",
    );
    gap(
        !r.review.independent,
        "review",
        "an independent reviewer's acceptance",
        "`redrill sign-off RUN`, by somebody else, with a key that [[approvers]] of redrill.toml list",
    );
    gap(
        true,
        "coverage",
        "systems drilled against systems that should be",
        "a programme of services is not part of this version",
    );
    gap(
        r.integrity.checkpoints == 0,
        "integrity",
        "signed checkpoints taken during the run",
        "`redrill init` before the run",
    );
    gap(
        r.scope.endpoint_doubt.is_some() && !r.trail_is_proven(),
        "integrity",
        "proof that the endpoint was AWS's",
        "run without a proxy and under public certificates, or `redrill reconcile RUN` with signed digest files",
    );
    gap(
        r.integrity.reconciliation.is_none(),
        "integrity",
        "a comparison with CloudTrail",
        "`redrill reconcile RUN`, after a run on AWS",
    );
    gap(
        r.integrity.publication.is_none(),
        "integrity",
        "a copy under Object Lock",
        "`redrill publish RUN --to s3://…`; its receipt says so, since a bundle cannot speak of its own copy",
    );
    gap(
        r.integrity.timestamp_authority.is_none(),
        "integrity",
        "a timestamp of an authority: when it was signed",
        "`timestamp_authority` under `[evidence]` in redrill.toml, or --timestamp URL",
    );
    gap(
        r.measures.skew_ms.is_none() && r.scope.world == World::Aws,
        "integrity",
        "the skew between local clock and AWS's",
        "recorded as soon as AWS answers a call",
    );
    out
}
