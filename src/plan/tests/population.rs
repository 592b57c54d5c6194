//! Shares of what exists, held again once the plan is run.

use super::*;
use crate::sim::InstanceSeed;

#[tokio::test(start_paused = true)]
async fn a_share_that_has_become_too_large_is_refused() {
    let all = "max_targets: 3\n  max_percent: 50";
    let kind = "max_targets: 3\n  kinds: { ec2.instance: { max_percent: 50 } }";
    for (limits, house, subject) in [
        (all, "", "limits.max_percent"),
        (kind, "", "limits.kinds.ec2.instance.max_percent"),
        ("max_targets: 3", "max_percent = 50", "redrill.toml: limits.max_percent"),
        (
            "max_targets: 3",
            "kinds.\"ec2.instance\".max_percent = 50",
            "redrill.toml: limits.kinds.ec2.instance.max_percent",
        ),
    ] {
        let (sim, clock) = shop();
        let cloud = sim.cloud();
        let house = toml::from_str(&format!("[limits]\n{house}")).expect("rules");
        let options = BuildOptions { house, ..options() };
        let text = edited(&[("max_targets: 3", limits)]);
        let plan = build(&load(&text), &cloud.reads, &*clock, &options).await.unwrap();
        assert_eq!(plan.refusals().count(), 0, "2 of 4: {:?}", plan.findings);
        let drift = async || check_drift(&plan, &cloud.reads, World::Sim, &plan.account, None).await.unwrap();
        assert_eq!(drift().await, []);
        // more to draw from is no drift, and neither is what does not exist any more
        let id = sim.add_instance(&InstanceSeed {
            name: "new".to_owned(),
            subnet: plan.targets["web"].drawn[0].attrs["subnet"].clone(),
            instance_type: "t3.small".to_owned(),
            security_groups: vec![],
            tags: Tags::new(),
            user_data: None,
        });
        assert_eq!(drift().await, []);
        let gone = |id: &str| Mutation::TerminateInstances { ids: vec![id.to_owned()] };
        cloud.mutate.send(&gone(&id)).await.unwrap();
        assert_eq!(drift().await, []);
        // one that is no target
        cloud.mutate.send(&gone("i-00000000000000001")).await.unwrap();
        let found = drift().await;
        let told: Vec<String> = found.iter().map(|f| format!("{}: {}", f.subject, f.text)).collect();
        assert_eq!(
            told,
            [format!("{subject}: `web` draws 2 of the 3 ec2.instance that exist, more than 50 %")]
        );
        assert_eq!(found[0].severity, Severity::Refusal);
        assert_eq!(found[0].hint.as_deref(), Some("plan again: redrill plan"));
    }
}
