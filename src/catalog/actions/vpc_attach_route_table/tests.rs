//! Attaching on the simulator, after a detachment and by itself.

use serde_json::{Value, json};

use super::*;
use crate::catalog::DynAction;
use crate::catalog::actions::testing::{Bench, subnet};
use crate::catalog::actions::vpc_detach_route_table::DetachRouteTable;
use crate::cloud::faulty::Fault;

/// Captures for the attachment, detaches subnet a, prepares the attachment.
async fn detached(bench: &mut Bench, to: &str, with: &Value) -> (Prepared<Value>, Prepared<Value>) {
    let target = subnet(&bench.a);
    let captured =
        DynAction::capture(&AttachRouteTable, bench.read(), &target, with).await.expect("captures");
    let params = json!({ "to": to });
    let fault = bench.prepare(&DetachRouteTable, std::slice::from_ref(&target), &params).await.remove(0);
    bench.apply(&DetachRouteTable, std::slice::from_ref(&fault), &params).await.remove(0).expect("detached");
    bench.step("step-2");
    let batch = [(Some(target.clone()), captured)];
    let undo =
        DynAction::prepare(&AttachRouteTable, bench.read(), &batch, with).await.remove(0).expect("prepares");
    (fault, Prepared { target: Some(target), undo })
}

#[tokio::test(start_paused = true)]
async fn it_settles_the_fault_whose_undo_then_only_tidies_up() {
    for to in ["empty", "main"] {
        let mut bench = Bench::new();
        let before = bench.sim.snapshot();
        let (fault, step) = detached(&mut bench, to, &Value::Null).await;
        assert_eq!(bench.outcome(&AttachRouteTable, &step, &Value::Null).await, Ok(Progress::Absent));
        bench
            .apply(&AttachRouteTable, std::slice::from_ref(&step), &Value::Null)
            .await
            .remove(0)
            .expect("back");
        let applied = bench.ready(&AttachRouteTable, &step, &Value::Null).await;
        assert_eq!(applied.outputs["route_table"], bench.private);
        assert!(matches!(bench.undo(&AttachRouteTable, &step).await, Ok(Undone::Nothing(_))));
        bench.step("step-1");
        assert!(matches!(bench.undo(&DetachRouteTable, &fault).await, Ok(Undone::Already(_))));
        assert_eq!(bench.sim.snapshot(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answers_and_lost_requests_are_told_apart_by_polling() {
    let mut bench = Bench::new();
    let (_, step) = detached(&mut bench, "empty", &Value::Null).await;
    let batch = std::slice::from_ref(&step);
    bench.fail_once("ec2:ReplaceRouteTableAssociation", Fault::LoseRequest);
    bench.apply(&AttachRouteTable, batch, &Value::Null).await.remove(0).expect_err("no answer");
    assert_eq!(bench.outcome(&AttachRouteTable, &step, &Value::Null).await, Ok(Progress::Absent));
    bench.fail_once("ec2:ReplaceRouteTableAssociation", Fault::LoseAnswer);
    bench.apply(&AttachRouteTable, batch, &Value::Null).await.remove(0).expect_err("no answer");
    bench.ready(&AttachRouteTable, &step, &Value::Null).await;
    let changes = bench.sim.changes().len();
    bench.mended();
    bench.apply(&AttachRouteTable, batch, &Value::Null).await.remove(0).expect("nothing left to do");
    assert_eq!(bench.sim.changes().len(), changes, "already there");
}

#[tokio::test(start_paused = true)]
async fn another_table_is_taken_off_again_by_undo() {
    let with = json!({"table": "public"});
    let mut bench = Bench::new();
    let before = bench.sim.snapshot();
    let (fault, step) = detached(&mut bench, "empty", &with).await;
    bench.apply(&AttachRouteTable, std::slice::from_ref(&step), &with).await.remove(0).expect("attached");
    let applied = bench.ready(&AttachRouteTable, &step, &with).await;
    assert_eq!(applied.outputs["route_table"], bench.public);
    bench.fail_once("ec2:ReplaceRouteTableAssociation", Fault::LoseAnswer);
    assert!(matches!(bench.undo(&AttachRouteTable, &step).await, Ok(Undone::PutBack(_))));
    assert!(matches!(bench.undo(&AttachRouteTable, &step).await, Ok(Undone::Already(_))), "undo twice");
    bench.step("step-1");
    bench.undo(&DetachRouteTable, &fault).await.expect("nothing left but the table");
    assert_eq!(bench.sim.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn undo_before_apply_leaves_the_fault_alone() {
    let with = json!({"table": "public"});
    let mut bench = Bench::new();
    let (_, step) = detached(&mut bench, "empty", &with).await;
    let now = bench.sim.snapshot();
    assert!(matches!(bench.undo(&AttachRouteTable, &step).await, Ok(Undone::Already(_))));
    assert_eq!(bench.sim.snapshot(), now);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_put_on_the_wanted_table_stays_there() {
    let with = json!({"table": "public"});
    let mut bench = Bench::new();
    let (_, step) = detached(&mut bench, "main", &with).await;
    bench
        .somebody(Mutation::AssociateRouteTable { subnet: bench.a.clone(), table: bench.public.clone() })
        .await;
    let now = bench.sim.snapshot();
    assert!(matches!(bench.undo(&AttachRouteTable, &step).await, Ok(Undone::Nothing(_))));
    assert_eq!(bench.sim.snapshot(), now);
}

#[tokio::test(start_paused = true)]
async fn a_subnet_that_somebody_moved_is_left_alone() {
    let mut bench = Bench::new();
    let (_, step) = detached(&mut bench, "main", &Value::Null).await;
    bench
        .somebody(Mutation::AssociateRouteTable { subnet: bench.a.clone(), table: bench.public.clone() })
        .await;
    let now = bench.sim.snapshot();
    let error = bench
        .apply(&AttachRouteTable, std::slice::from_ref(&step), &Value::Null)
        .await
        .remove(0)
        .expect_err("not ours");
    assert!(error.hopeless);
    assert_eq!(bench.sim.snapshot(), now);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_does_not_fit_is_refused() {
    let bench = Bench::new();
    let (other, _) = bench.sim.add_vpc("10.1.0.0/16");
    bench.sim.add_route_table(&other, "elsewhere", &crate::model::Tags::new(), None);
    bench.sim.add_route_table(&bench.vpc, "twin", &crate::model::Tags::new(), None);
    bench.sim.add_route_table(&bench.vpc, "twin", &crate::model::Tags::new(), None);
    for (name, why) in
        [("nowhere", "no route table"), ("elsewhere", "not in the subnet's VPC"), ("twin", "several")]
    {
        let refused = bench.refusals(&AttachRouteTable, &[subnet(&bench.a)], &json!({ "table": name })).await;
        assert!(refused[0].contains(why), "{refused:?}");
    }
    let loose = bench.refusals(&AttachRouteTable, &[subnet(&bench.loose)], &Value::Null).await;
    assert!(loose[0].contains("no route table of its own"), "{loose:?}");
    assert!(
        bench.refusals(&AttachRouteTable, &[subnet(&bench.a)], &json!({"table": "public"})).await.is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn a_subnet_of_another_account_is_refused() {
    let bench = Bench::new();
    for (account, refused) in [(crate::sim::ACCOUNT, false), ("999999999999", true)] {
        let mut shared = subnet(&bench.a);
        shared.arn = Some(format!("arn:aws:ec2:us-east-1:{account}:subnet/{}", bench.a));
        let said = bench.refusals(&AttachRouteTable, &[shared], &Value::Null).await;
        assert_eq!(said.iter().any(|s| s.contains("belongs to account 999999999999")), refused, "{said:?}");
    }
}
