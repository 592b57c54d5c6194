//! What faults reach without naming it: counted, limited, and looked at again.

use super::*;
use crate::catalog::kinds;
use crate::cloud::misread::{Misread, Reader};
use crate::sim::InstanceSeed;

/// Both private subnets, with the shop's three web servers and the interfaces of its databases in them: one each, and one
/// more of the standby. One more instance is elsewhere.
const CUT: &str = r#"version: 1
name: cut
title: A cut
service: shop
objectives: { rto: 15m }
limits:
  accounts: ["123456789012"]
  regions: [us-east-1]
  max_targets: 2
targets:
  private: { resource: vpc.subnet, tags: { tier: private } }
  public: { resource: vpc.subnet, tags: { tier: public }, select: { count: 1 } }
steady_state:
  - probe: http
    with: { url: "http://127.0.0.1:8080/health" }
fault:
  - action: vpc.detach-route-table
    target: private
"#;

fn with(limit: &str) -> String {
    CUT.replace("max_targets: 2", &format!("max_targets: 3\n  {limit}"))
}

fn told(findings: &[Finding], severity: Severity) -> Vec<String> {
    let wanted = findings.iter().filter(|f| f.severity == severity);
    wanted.map(|f| format!("{}: {}", f.subject, f.text)).collect()
}

#[tokio::test(start_paused = true)]
async fn instances_in_a_subnet_that_a_fault_changes_are_counted() {
    let plan = planned(&with("max_affected: 7")).await;
    assert_eq!(plan.refusals().count(), 0, "{:?}", plan.findings);
    let affected = plan.affected.as_ref().expect("a subnet is hit");
    assert_eq!((affected.count(), affected.population), (3, 4));
    let drawn: Vec<&str> = plan.targets["private"].drawn.iter().map(|t| t.id.as_str()).collect();
    let of: Vec<&str> = affected.instances.keys().map(String::as_str).collect();
    assert_eq!(of, drawn, "the subnet that no fault changes is left out");
    let text = plan_text(&plan, 100);
    assert!(
        text.contains(
            "  affected: 3 ec2.instance and 4 others in the subnets that faults change (4 exist)\n"
        ),
        "{text}"
    );
    assert!(text.contains("  affected  at most 7\n"), "{text}");
    // it is part of what the plan's hash vouches for
    let mut other = plan.clone();
    other.affected = None;
    assert_ne!(plan.sha256(), other.sha256());
    assert_eq!(file::read(&file::write(&plan)).unwrap(), plan);
    // without a limit any number may be, and it is said all the same
    let free = planned(&with("max_percent: 100")).await;
    assert_eq!(free.refusals().count(), 0);
    assert_eq!(free.affected, plan.affected);
    assert!(planned(DRILL).await.affected.is_none(), "no subnet is hit");
}

#[tokio::test(start_paused = true)]
async fn more_than_the_limit_allows_and_forbidden_tags_are_refused() {
    let plan = planned(&with("max_affected: 2")).await;
    let refused = told(&plan.findings, Severity::Refusal);
    let wanted = "limits.max_affected: 7 are in the subnets that faults change, 2 are allowed: 3 of the 4 instances that \
                  exist, and RDS database (eni-";
    assert!(refused.len() == 1 && refused[0].starts_with(wanted), "{refused:?}");
    let plan = planned(&with("forbid_tags: { role: [web, worker] }")).await;
    let refused = told(&plan.findings, Severity::Refusal);
    assert_eq!(refused.len(), 3, "the worker is elsewhere: {refused:?}");
    assert!(refused[0].starts_with("i-00000000000000001 (shop-web-1): a fault changes its subnet subnet-"));
    assert!(
        refused[0].ends_with("and it carries the tag role=web, which limits.forbid_tags forbids"),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn instances_that_come_or_change_after_planning_are_seen() {
    for (limit, most) in [("max_affected: 7", true), ("forbid_tags: { redrill: never }", false)] {
        let (sim, clock) = shop();
        let cloud = sim.cloud();
        let plan = build(&load(&with(limit)), &cloud.reads, &*clock, &options()).await.unwrap();
        let drift = async || check_drift(&plan, &cloud.reads, World::Sim, &plan.account, None).await.unwrap();
        assert_eq!(drift().await, []);
        let subnet = plan.targets["private"].drawn[0].id.clone();
        let web = || InstanceSeed {
            name: "new".to_owned(),
            subnet: subnet.clone(),
            instance_type: "t3.small".to_owned(),
            security_groups: vec![],
            tags: Tags::new(),
            user_data: None,
        };
        let id = sim.add_instance(&web());
        sim.add_instance(&InstanceSeed { subnet: plan.targets["public"].drawn[0].id.clone(), ..web() });
        let found = drift().await;
        assert_eq!(
            told(&found, Severity::Warning),
            [format!("affected: in the subnets that faults change since the plan was made: {id}")]
        );
        let many = "limits.max_affected: 8 are in the subnets that faults change, 7 are allowed: 4 of the 6 instances";
        let refused = told(&found, Severity::Refusal);
        assert!(refused.iter().all(|r| r.starts_with(many)), "{refused:?}");
        assert_eq!(refused.len(), usize::from(most));
        let never = Mutation::CreateTags {
            ids: vec![id.clone()],
            tags: Tags::from([("redrill".to_owned(), "never".to_owned())]),
        };
        cloud.mutate.send(&never).await.unwrap();
        let refused = told(&drift().await, Severity::Refusal);
        let tagged = refused.iter().any(|r| {
            r.starts_with(&format!(
                "{id} (new): a fault changes its subnet {subnet}, and it carries the tag redrill=never"
            ))
        });
        assert_eq!(tagged, !most, "{refused:?}");
        // what is gone is no longer affected
        cloud.mutate.send(&Mutation::TerminateInstances { ids: vec![id] }).await.unwrap();
        assert_eq!(drift().await, []);
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_does_not_understate_how_many_are_affected() {
    let (sim, clock) = shop();
    sim.set_page_size(1);
    let cloud = sim.cloud();
    let plan = build(&load(&with("max_affected: 7")), &cloud.reads, &*clock, &options()).await.unwrap();
    sim.add_instance(&InstanceSeed {
        name: "new".to_owned(),
        subnet: plan.targets["private"].drawn[0].id.clone(),
        ..InstanceSeed::default()
    });
    let four = async |reader: &std::sync::Arc<Reader>| {
        let drift = check_drift(&plan, &reader.over(sim.cloud()).reads, World::Sim, &plan.account, None)
            .await
            .unwrap();
        drift.iter().any(|f| f.severity == Severity::Refusal && f.text.starts_with("8 are in "))
    };
    let calm = Reader::new(|_, _| None);
    assert!(four(&calm).await);
    let empty = calm.chances().into_iter().filter(|(_, how)| *how == Misread::Empty);
    let empty: Vec<usize> = empty.map(|(n, _)| n).collect();
    assert!(empty.len() > 10, "{empty:?}");
    for at in empty {
        let reader = Reader::new(move |n, _| (n == at).then_some(Misread::Empty));
        assert!(four(&reader).await, "{at}");
    }
}

/// The public subnet of the NAT gateway is cut: no instance is in it, and two subnets have no way out any more.
const EDGE: &str = r#"version: 1
name: edge
title: An edge
service: shop
objectives: { rto: 15m }
limits: { accounts: ["123456789012"], regions: [us-east-1], max_targets: 2 }
targets:
  edge: { resource: vpc.subnet, where: { name: shop-public-a } }
steady_state: [{ probe: http, with: { url: "http://127.0.0.1:8080/health" } }]
fault: [{ action: vpc.detach-route-table, target: edge }]
"#;

#[tokio::test(start_paused = true)]
async fn a_subnet_with_a_nat_gateway_is_cut_only_where_the_drill_says_so() {
    let plan = planned(EDGE).await;
    let [refused] = &*told(&plan.findings, Severity::Refusal) else { panic!("{:?}", plan.findings) };
    assert!(refused.contains("NAT gateway nat-"), "{refused}");
    let private: Vec<&String> = plan.affected.as_ref().unwrap().others[0].through.iter().collect();
    assert_eq!(private.len(), 2);
    assert!(private.iter().all(|s| refused.contains(*s)), "{refused}");

    let allowed = EDGE.replace("max_targets: 2", "max_targets: 2, allow_reach: [nat-gateway]");
    let plan = planned(&allowed).await;
    assert_eq!(plan.refusals().count(), 0, "{:?}", plan.findings);
    let text = plan_text(&plan, 200);
    // the servers in the private subnets lose their way out, and the databases beside them
    assert!(
        text.contains("  affected: 3 ec2.instance and 5 others in the subnets that faults change"),
        "{text}"
    );
    assert!(text.contains("  may reach  nat-gateway\n"), "{text}");
    let again = super::again(&plan);
    assert_eq!((again.broken, again.lacking), (vec![], vec![]));
    // the allowance taken out of what runs: the plan is not what its rules say
    let mut forged = plan.clone();
    forged.affected.as_mut().unwrap().others[0].passage = Some(crate::model::reach::Passage::TransitGateway);
    assert!(!super::again(&forged).broken.is_empty());

    let none = EDGE.replace("max_targets: 2", "max_targets: 2, max_affected: 0");
    let refused = told(&planned(&none).await.findings, Severity::Refusal);
    assert!(refused.iter().any(|r| r.starts_with("limits.max_affected: 8 are in")), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn what_comes_into_the_subnet_after_planning_is_seen_though_it_is_no_instance() {
    let (sim, clock) = shop();
    let cloud = sim.cloud();
    let plan = build(&load(&with("max_percent: 100")), &cloud.reads, &*clock, &options()).await.unwrap();
    let drift = async || check_drift(&plan, &cloud.reads, World::Sim, &plan.account, None).await.unwrap();
    assert_eq!(drift().await, []);
    let subnet = plan.targets["private"].drawn[0].id.clone();
    let task = sim.add_interface(&subnet, "interface", "arn:aws:ecs:us-east-1:1:attachment/1");
    let found = drift().await;
    assert_eq!(
        told(&found, Severity::Warning),
        [format!(
            "affected: in the subnets that faults change since the plan was made: ECS task (attachment 1) ({task})"
        )]
    );
    assert_eq!(told(&found, Severity::Refusal), [""; 0]);
    sim.add_interface(
        &subnet,
        "transit_gateway",
        "Network Interface for Transit Gateway Attachment tgw-attach-1",
    );
    let refused = told(&drift().await, Severity::Refusal);
    assert!(refused[0].contains("transit gateway attachment tgw-attach-1"), "{refused:?}");
}

#[test]
fn the_tag_that_forbids_is_named() {
    let limits: crate::drill::Limits = serde_json::from_value(serde_json::json!({
        "forbid_tags": { "env": ["prod", "live"] }
    }))
    .unwrap();
    let tagged = |value: &str| Target {
        kind: kinds::EC2_INSTANCE,
        id: "i-1".to_owned(),
        arn: None,
        name: None,
        tags: Tags::from([("env".to_owned(), value.to_owned())]),
        attrs: BTreeMap::new(),
    };
    let named = |value| crate::plan::limits::forbidden_tag(&limits, &tagged(value));
    assert_eq!((named("prod").as_deref(), named("staging")), (Some("env=prod"), None));
}
