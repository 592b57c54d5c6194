//! Roles that steps pass on: what a plan knows of them, what its policy names, what the limits refuse.

use super::*;
use crate::plan::policy::{self, Phase, Source};

const LOSS: &[(&str, &str)] = &[
    ("limits:", "allow_irreversible: true\nlimits:"),
    ("ec2.stop-instances\n    target: web", "ec2.terminate-instances\n    target: web"),
    ("\nfault:", "\nrecovery: [{ action: ec2.launch-replacement, target: web }]\nfault:"),
];
const RESTORE: &[(&str, &str)] = &[
    ("tags: { service: shop, role: web }\n    select: { count: 2 }", "where: { identifier: shop-orders }"),
    ("ec2.instance", "rds.instance"),
    (
        "fault:\n  - action: ec2.stop-instances",
        "recovery:\n  - action: rds.restore-to-point-in-time\n    with: { to: -15m }",
    ),
];
const WEB: [&str; 3] = ["i-00000000000000001", "i-00000000000000002", "i-00000000000000003"];

/// The shop, with an instance profile for each of its web servers.
async fn planned_with(sim: &Arc<Sim>, clock: &VirtualClock, edits: &[(&str, &str)], limit: &str) -> Plan {
    let limit = format!("max_targets: 3\n  {limit}");
    let edits: Vec<_> = edits.iter().copied().chain([("max_targets: 3", limit.as_str())]).collect();
    build(&load(&edited(&edits)), &sim.cloud().reads, clock, &options()).await.unwrap()
}

fn profiled() -> (Arc<Sim>, Arc<VirtualClock>) {
    let (sim, clock) = shop();
    for id in WEB {
        let profile = format!(
            "arn:aws:iam::123456789012:instance-profile/teams/{}",
            if id == WEB[1] { "a" } else { "b" }
        );
        sim.edit_instance(id, |i, _| i.profile_arn = Some(profile));
    }
    (sim, clock)
}

/// The roles that may be passed.
fn passed(source: &Source<'_>) -> Vec<String> {
    let document = policy::policy(source, Phase::Run);
    let pass = document.statement.iter().filter(|s| s.action.0.contains("iam:PassRole"));
    pass.flat_map(|s| s.resource.0.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_plans_policy_names_the_roles_of_its_targets_and_no_other() {
    let (sim, clock) = profiled();
    let plan = planned_with(&sim, &clock, LOSS, "").await;
    let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    // both servers that were drawn, each with the role of its own profile
    assert_eq!(plan.roles.values().flatten().cloned().collect::<Vec<_>>(), [role("a"), role("b")]);
    assert_eq!(passed(&Source::plan(&plan)), [role("a"), role("b")]);
    let asked = sim.calls().iter().filter(|c| c.operation == "iam:GetInstanceProfile").count();
    assert!(asked <= 4, "each profile once here and once where the launch is foreseen: {asked}");
    // a plan without roles passes none, and one of another version may not have looked
    let (bare, clock) = shop();
    let mut plan = planned_with(&bare, &clock, LOSS, "").await;
    assert_eq!((plan.roles.len(), passed(&Source::plan(&plan)).len()), (0, 0));
    "0.1.0".clone_into(&mut plan.redrill);
    assert_eq!(passed(&Source::plan(&plan)), [role("*")]);
}

#[tokio::test(start_paused = true)]
async fn a_profile_that_cannot_be_read_is_any_role() {
    let (sim, clock) = profiled();
    sim.fail_next("iam:GetInstanceProfile", "AccessDenied", 100);
    let plan = planned_with(&sim, &clock, LOSS, "").await;
    assert_eq!(passed(&Source::plan(&plan)), ["arn:aws:iam::123456789012:role/*"]);
    assert!(policy::passes_any_role(&policy::policy(&Source::plan(&plan), Phase::Run)));
    // a limit cannot be held against what nobody knows
    let (sim, clock) = profiled();
    sim.fail_next("iam:GetInstanceProfile", "AccessDenied", 100);
    let plan = planned_with(&sim, &clock, LOSS, "roles: [a, b]").await;
    let refused: Vec<&str> = plan.refusals().map(|f| f.text.as_str()).collect();
    assert!(refused.len() == 2 && refused[0].contains("could not be read"), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn the_limits_name_the_roles_of_a_drill_and_refuse_others() {
    let limit = ("max_targets: 3", "max_targets: 3\n  roles: [b, teams/db]");
    let drill = load(&edited(&[LOSS, &[limit]].concat())).drill;
    let mut house = House::default();
    let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    assert_eq!(passed(&Source::drill(&drill, &house)), [role("b"), role("teams/db")]);
    let open = load(&edited(LOSS)).drill;
    assert_eq!(passed(&Source::drill(&open, &house)), [role("*")]);
    house.limits.roles = vec!["ours".to_owned()];
    assert_eq!(passed(&Source::drill(&open, &house)), [role("ours")]);

    let (sim, clock) = profiled();
    let plan = planned_with(&sim, &clock, LOSS, "roles: [b, teams/db]").await;
    let refused: Vec<_> = plan.refusals().map(|f| (f.subject.as_str(), f.text.as_str())).collect();
    assert_eq!(refused, [(WEB[1], "its role a would be passed on, which limits.roles does not name")]);
    // taken out of the file, it is found out again
    let mut forged = plan.clone();
    forged.findings.retain(|f| f.severity != Severity::Refusal);
    assert!(again(&forged).broken.iter().any(|b| b.contains("its role a would be passed on")));
}

#[tokio::test(start_paused = true)]
async fn a_database_passes_the_roles_that_it_has() {
    let (sim, clock) = shop();
    let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    let plan = planned_with(&sim, &clock, RESTORE, "").await;
    assert_eq!(passed(&Source::plan(&plan)), [""; 0]);
    sim.edit_db("shop-orders", |db| {
        db.monitoring_role = Some(role("service/monitor"));
        db.domain_role = Some(role("directory"));
    });
    let plan = planned_with(&sim, &clock, RESTORE, "").await;
    assert_eq!(passed(&Source::plan(&plan)), [role("directory"), role("service/monitor")]);
}
