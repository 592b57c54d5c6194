//! What interfaces belong to, and who routes through them.

use std::sync::Arc;

use super::*;
use crate::sim::{InstanceSeed, Sim, SubnetSeed};

fn interface(kind: &str, description: &str) -> Interface {
    Interface {
        id: "eni-1".to_owned(),
        kind: kind.to_owned(),
        description: description.to_owned(),
        ..Interface::default()
    }
}

#[test]
fn the_services_say_in_type_and_description_whose_an_interface_is() {
    for (kind, description, what, passage) in [
        (
            "nat_gateway",
            "Interface for NAT Gateway nat-0a1",
            "NAT gateway nat-0a1",
            Some(Passage::NatGateway),
        ),
        ("natGateway", "", "NAT gateway", Some(Passage::NatGateway)),
        (
            "gateway_load_balancer_endpoint",
            "VPC Endpoint Interface vpce-0b2",
            "Gateway Load Balancer endpoint vpce-0b2",
            Some(Passage::GatewayLoadBalancerEndpoint),
        ),
        (
            "transit_gateway",
            "Network Interface for Transit Gateway Attachment tgw-attach-0c3",
            "transit gateway attachment tgw-attach-0c3",
            Some(Passage::TransitGateway),
        ),
        ("vpc_endpoint", "VPC Endpoint Interface vpce-0d4", "interface endpoint vpce-0d4", None),
        ("interface", "ELB app/shop/5e", "load balancer app/shop/5e", None),
        ("network_load_balancer", "ELB net/shop/6f", "load balancer net/shop/6f", None),
        ("lambda", "AWS Lambda VPC ENI-orders-7a", "Lambda function", None),
        (
            "interface",
            "arn:aws:ecs:us-east-1:123456789012:attachment/8b-9c",
            "ECS task (attachment 8b-9c)",
            None,
        ),
        ("interface", "RDSNetworkInterface", "RDS database", None),
        ("interface", "ElastiCache shop-001", "ElastiCache shop-001", None),
        ("interface", "EFS mount target for fs-1 (fsmt-1)", "EFS mount target for fs-1 (fsmt-1)", None),
        ("interface", "", "network interface", None),
    ] {
        let (said, _, way) = described(&interface(kind, description));
        assert_eq!((said.as_str(), way), (what, passage), "{kind} {description}");
    }
}

/// A VPC with a public subnet, a private one that follows the main table, and one on a table of its own.
struct Place {
    sim: Arc<Sim>,
    main: String,
    own: String,
    public: String,
    private: String,
    apart: String,
}

fn place() -> Place {
    let start = chrono::DateTime::from_timestamp(1_800_000_000, 0).expect("a valid time");
    let sim = Sim::new(Arc::new(crate::model::time::VirtualClock::starting_at(start)));
    let (vpc, main) = sim.add_vpc("10.0.0.0/16");
    let out = sim.add_route_table(&vpc, "public", &Tags::new(), Some("igw-1"));
    let own = sim.add_route_table(&vpc, "own", &Tags::new(), None);
    let subnet = |n: u8, table: Option<&String>| {
        sim.add_subnet(&SubnetSeed {
            vpc: vpc.clone(),
            cidr: format!("10.0.{n}.0/24"),
            zone: "us-east-1a".to_owned(),
            table: table.cloned(),
            ..SubnetSeed::default()
        })
    };
    let (public, private, apart) = (subnet(1, Some(&out)), subnet(2, None), subnet(3, Some(&own)));
    sim.set_page_size(1);
    Place { sim, main, own, public, private, apart }
}

impl Place {
    async fn found(&self) -> Inhabitants {
        let hit = BTreeSet::from([self.public.as_str()]);
        inhabitants(&self.sim.cloud().reads, "us-east-1", &hit).await.expect("reads")
    }

    fn instance(&self, subnet: &str) -> String {
        self.sim.add_instance(&InstanceSeed { subnet: subnet.to_owned(), ..InstanceSeed::default() })
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_not_attached_or_elsewhere_is_not_there() {
    let p = place();
    let task = p.sim.add_interface(&p.public, "interface", "arn:aws:ecs:us-east-1:1:attachment/1");
    let unused = p.sim.add_interface(&p.public, "interface", "");
    p.sim.edit_interface(&unused, |i| i.status = "available".to_owned());
    p.sim.add_interface(&p.private, "lambda", "AWS Lambda VPC ENI-f");
    let server = p.instance(&p.public);
    let elsewhere = p.instance(&p.private);
    let found = p.found().await;
    assert_eq!(found.population, 2);
    assert_eq!(found.instances.iter().map(|t| &t.id).collect::<Vec<_>>(), [&server], "not {elsewhere}");
    assert_eq!(found.others.iter().map(|n| &n.interface).collect::<Vec<_>>(), [&task]);
}

#[tokio::test(start_paused = true)]
async fn who_routes_through_a_passage_is_reached_by_its_own_table_and_by_the_main_one() {
    for (kind, description, via, passage) in [
        ("nat_gateway", "Interface for NAT Gateway nat-0a1", "nat-0a1", Passage::NatGateway),
        (
            "gateway_load_balancer_endpoint",
            "VPC Endpoint Interface vpce-0b2",
            "vpce-0b2",
            Passage::GatewayLoadBalancerEndpoint,
        ),
        (
            "transit_gateway",
            "Network Interface for Transit Gateway Attachment tgw-attach-0c3",
            "tgw-0d4",
            Passage::TransitGateway,
        ),
    ] {
        let p = place();
        p.sim.add_interface(&p.public, kind, description);
        let server = p.instance(&p.private);
        let through = async || {
            let found = p.found().await;
            let [one] = &*found.others else { panic!("{:?}", found.others) };
            assert_eq!(one.passage, Some(passage));
            (one.through.clone(), found.instances.into_iter().map(|t| t.id).collect::<Vec<_>>())
        };
        assert_eq!(through().await, (vec![], vec![]), "{kind}");
        p.sim.set_route(&p.own, "0.0.0.0/0", via, "active");
        assert_eq!(through().await, (vec![p.apart.clone()], vec![]), "{kind}");
        p.sim.set_route(&p.main, "0.0.0.0/0", via, "active");
        // the server in a subnet that routes through it is affected
        assert_eq!(through().await, (vec![p.private.clone(), p.apart.clone()], vec![server]), "{kind}");
        p.sim.set_route(&p.own, "0.0.0.0/0", "nat-elsewhere", "active");
        assert_eq!(through().await.0, std::slice::from_ref(&p.private), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_a_route_leads_to_is_a_router() {
    let p = place();
    let server = p.instance(&p.public);
    assert_eq!(p.found().await.others, []);
    let eni = server.replace("i-", "eni-");
    for via in [&server, &eni] {
        p.sim.set_route(&p.own, "0.0.0.0/0", via, "active");
        let found = p.found().await;
        let [one] = &*found.others else { panic!("{via}: {:?}", found.others) };
        assert_eq!((one.passage, &one.through), (Some(Passage::Router), &vec![p.apart.clone()]), "{via}");
        assert_eq!(found.instances.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_of_another_account_in_a_shared_subnet_is_seen_by_its_interface() {
    let p = place();
    let id = p.sim.add_interface(&p.public, "interface", "");
    p.sim.edit_interface(&id, |i| i.instance = Some("i-0participant".to_owned()));
    let found = p.found().await;
    assert_eq!((found.instances.len(), found.others.len()), (0, 1));
    assert_eq!(found.others[0].what, "instance i-0participant");
}

#[test]
fn a_nat_gateway_is_one_whatever_its_interface_says() {
    let nat = || NatGateway {
        id: "nat-0a1".to_owned(),
        subnet: "subnet-1".to_owned(),
        interfaces: vec!["eni-1".to_owned()],
        ..NatGateway::default()
    };
    for mut all in [vec![interface("interface", "")], vec![]] {
        mark(&mut all, nat());
        let [one] = &*all else { panic!("{all:?}") };
        assert_eq!((one.id.as_str(), one.status.as_str()), ("eni-1", "in-use"));
        assert_eq!(described(one).0, "NAT gateway nat-0a1");
    }
}
