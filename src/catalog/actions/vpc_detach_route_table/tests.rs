//! Detaching on the simulator, with everything that can go wrong on the way.

use serde_json::{Value, json};

use super::*;
use crate::catalog::DynAction;
use crate::catalog::actions::testing::{Bench, subnet};
use crate::cloud::faulty::Fault;
use crate::cloud::misread::Misread;

const REPLACE: &str = "ec2:ReplaceRouteTableAssociation";
const CREATE: &str = "ec2:CreateRouteTable";

fn main() -> Value {
    json!({"to": "main"})
}

async fn place(bench: &Bench, subnet: &str) -> Option<String> {
    let tables = routing::tables(bench.read()).await.expect("reads");
    routing::place(&tables, subnet).table().map(str::to_owned)
}

#[tokio::test(start_paused = true)]
async fn both_subnets_leave_their_table_for_one_empty_one_and_come_back() {
    let bench = Bench::new();
    let before = bench.sim.snapshot();
    let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a), subnet(&bench.b)], &Value::Null).await;
    for outcome in bench.apply(&DetachRouteTable, &batch, &Value::Null).await {
        outcome.expect("accepted");
    }
    assert_eq!(bench.sent(CREATE), 1, "one table for the VPC");
    let (a, b) = (place(&bench, &bench.a).await, place(&bench, &bench.b).await);
    assert_eq!(a, b);
    assert_ne!(a.as_deref(), Some(bench.private.as_str()));
    for p in &batch {
        bench.ready(&DetachRouteTable, p, &Value::Null).await;
        assert!(matches!(bench.undo(&DetachRouteTable, p).await, Ok(Undone::PutBack(_))));
    }
    assert_eq!(bench.sim.snapshot(), before, "the run's table is gone too");
    for p in &batch {
        assert!(matches!(bench.undo(&DetachRouteTable, p).await, Ok(Undone::Already(_))), "undo twice");
    }
    assert_eq!(bench.sim.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn to_main_drops_the_association_and_undo_makes_it_again() {
    let bench = Bench::new();
    let before = bench.sim.snapshot();
    let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a)], &main()).await;
    bench.apply(&DetachRouteTable, &batch, &main()).await.remove(0).expect("accepted");
    assert_eq!(place(&bench, &bench.a).await, None);
    let notes = bench.ready(&DetachRouteTable, &batch[0], &main()).await.notes;
    assert!(notes[0].contains(&bench.main), "{notes:?}");
    assert!(matches!(bench.undo(&DetachRouteTable, &batch[0]).await, Ok(Undone::PutBack(_))));
    assert_eq!(bench.sim.snapshot(), before);
    assert_eq!(bench.sent(CREATE), 0);
}

#[tokio::test(start_paused = true)]
async fn undo_of_what_was_never_applied_changes_nothing() {
    let bench = Bench::new();
    let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a)], &Value::Null).await;
    assert_eq!(bench.outcome(&DetachRouteTable, &batch[0], &Value::Null).await, Ok(Progress::Absent));
    assert!(matches!(bench.undo(&DetachRouteTable, &batch[0]).await, Ok(Undone::Already(_))));
    assert!(bench.sim.changes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_found_by_polling_and_undone() {
    let mut bench = Bench::new();
    let before = bench.sim.snapshot();
    for params in [Value::Null, main()] {
        bench.faulty(|_, m| {
            let moves = matches!(m.operation(), REPLACE | "ec2:DisassociateRouteTable");
            moves.then_some(Fault::LoseAnswer)
        });
        let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a)], &params).await;
        let error = bench.apply(&DetachRouteTable, &batch, &params).await.remove(0).expect_err("no answer");
        assert_eq!(error.effect, EffectCertainty::Unknown);
        bench.ready(&DetachRouteTable, &batch[0], &params).await;
        // The undo's own answer is lost as well: what shows decides.
        assert!(matches!(bench.undo(&DetachRouteTable, &batch[0]).await, Ok(Undone::PutBack(_))));
        assert_eq!(bench.sim.snapshot(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_absent_and_leaves_no_table_behind() {
    let mut bench = Bench::new();
    let before = bench.sim.snapshot();
    bench.fail_once(REPLACE, Fault::LoseRequest);
    let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a)], &Value::Null).await;
    let error = bench.apply(&DetachRouteTable, &batch, &Value::Null).await.remove(0).expect_err("no answer");
    assert_eq!(error.effect, EffectCertainty::Unknown);
    assert_eq!(bench.outcome(&DetachRouteTable, &batch[0], &Value::Null).await, Ok(Progress::Absent));
    assert_ne!(bench.sim.snapshot(), before, "the run's table is there");
    assert!(matches!(bench.undo(&DetachRouteTable, &batch[0]).await, Ok(Undone::Already(_))));
    assert_eq!(bench.sim.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn a_table_whose_answer_is_lost_is_found_by_its_tags() {
    let mut bench = Bench::new();
    bench.fail_once(CREATE, Fault::LoseAnswer);
    let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a)], &Value::Null).await;
    bench.apply(&DetachRouteTable, &batch, &Value::Null).await.remove(0).expect("goes on");
    bench.ready(&DetachRouteTable, &batch[0], &Value::Null).await;

    let mut bench = Bench::new();
    bench.fail_once(CREATE, Fault::LoseRequest);
    let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a)], &Value::Null).await;
    let error = bench.apply(&DetachRouteTable, &batch, &Value::Null).await.remove(0).expect_err("no answer");
    assert_eq!(error.effect, EffectCertainty::Unknown);
    assert_eq!(bench.outcome(&DetachRouteTable, &batch[0], &Value::Null).await, Ok(Progress::Absent));
}

#[tokio::test(start_paused = true)]
async fn a_refused_replacement_still_leaves_something_to_undo() {
    let mut bench = Bench::new();
    let before = bench.sim.snapshot();
    bench.fail_once(REPLACE, Fault::Deny);
    let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a)], &Value::Null).await;
    let error = bench.apply(&DetachRouteTable, &batch, &Value::Null).await.remove(0).expect_err("denied");
    assert_eq!(error.effect, EffectCertainty::Partial, "the table was made");
    bench.undo(&DetachRouteTable, &batch[0]).await.expect("undone");
    assert_eq!(bench.sim.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_did_is_never_overwritten() {
    let bench = Bench::new();
    let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a)], &Value::Null).await;
    bench.apply(&DetachRouteTable, &batch, &Value::Null).await.remove(0).expect("accepted");
    let tables = routing::tables(bench.read()).await.expect("reads");
    let Place::On { association, .. } = routing::place(&tables, &bench.a) else { panic!("on a table") };
    let (association, table) = (association.to_owned(), bench.public.clone());
    bench.somebody(Mutation::ReplaceRouteTableAssociation { association, table }).await;
    let now = bench.sim.snapshot();
    let error = bench.undo(&DetachRouteTable, &batch[0]).await.expect_err("left alone");
    assert!(error.hopeless, "{error}");
    assert_eq!(bench.sim.snapshot(), now);
    assert!(bench.outcome(&DetachRouteTable, &batch[0], &Value::Null).await.expect_err("not ours").hopeless);
}

#[tokio::test(start_paused = true)]
async fn undo_without_the_original_table_needs_a_person() {
    let bench = Bench::new();
    let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a), subnet(&bench.b)], &Value::Null).await;
    bench.apply(&DetachRouteTable, &batch, &Value::Null).await;
    bench.somebody(Mutation::DeleteRouteTable { table: bench.private.clone() }).await;
    assert!(bench.undo(&DetachRouteTable, &batch[0]).await.expect_err("nowhere to go").hopeless);
}

#[tokio::test(start_paused = true)]
async fn inspect_refuses_what_cannot_bite() {
    let bench = Bench::new();
    let loose = bench.refusals(&DetachRouteTable, &[subnet(&bench.loose)], &Value::Null).await;
    assert!(loose[0].contains("implicitly"), "{loose:?}");
    assert!(bench.refusals(&DetachRouteTable, &[subnet(&bench.a)], &Value::Null).await.is_empty());
    assert!(bench.refusals(&DetachRouteTable, &[subnet(&bench.a)], &main()).await.is_empty());

    bench.sim.set_route(&bench.main, "0.0.0.0/0", "nat-1", "active");
    let equal = bench.refusals(&DetachRouteTable, &[subnet(&bench.a)], &main()).await;
    assert!(equal[0].contains("same routes"), "{equal:?}");

    bench.sim.set_route(&bench.main, "0.0.0.0/0", "igw-1", "active");
    let findings = bench.inspect(&DetachRouteTable, &[subnet(&bench.a)], &main()).await;
    assert!(findings.iter().any(|f| f.text.contains("becomes public")), "{findings:?}");
    assert!(findings.iter().any(|f| f.text.contains("- 0.0.0.0/0 via nat-1; + 0.0.0.0/0 via igw-1")));
}

#[tokio::test(start_paused = true)]
async fn prepare_refuses_a_subnet_on_a_table_that_a_run_made() {
    let mut bench = Bench::new();
    let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a)], &Value::Null).await;
    bench.apply(&DetachRouteTable, &batch, &Value::Null).await.remove(0).expect("accepted");
    bench.step("step-2");
    let refused = bench.refusals(&DetachRouteTable, &[subnet(&bench.a)], &Value::Null).await;
    assert!(refused[0].contains("this run made"), "{refused:?}");
    let again = [(Some(subnet(&bench.a)), Value::Null)];
    let records =
        crate::catalog::DynAction::prepare(&DetachRouteTable, bench.read(), &again, &Value::Null).await;
    assert!(records[0].is_err());
}

#[tokio::test(start_paused = true)]
async fn a_change_that_arrives_late_is_still_undone() {
    let mut bench = Bench::new();
    let before = bench.sim.snapshot();
    let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a)], &main()).await;
    let tables = routing::tables(bench.read()).await.expect("reads");
    let Place::On { association, .. } = routing::place(&tables, &bench.a) else { panic!("on a table") };
    bench.fail_once("ec2:DisassociateRouteTable", Fault::LoseRequest);
    bench.apply(&DetachRouteTable, &batch, &main()).await.remove(0).expect_err("no answer");
    let (mutate, association) = (bench.sim.cloud().mutate, association.to_owned());
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        mutate.send(&Mutation::DisassociateRouteTable { association }).await.expect("accepted");
    });
    assert!(matches!(bench.undo(&DetachRouteTable, &batch[0]).await, Ok(Undone::PutBack(_))));
    assert_eq!(bench.sim.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn one_empty_page_leaves_no_table_behind_and_needs_no_person() {
    for to in [Value::Null, main()] {
        for at in 0..40 {
            let mut bench = Bench::new();
            let before = bench.sim.snapshot();
            let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a)], &to).await;
            bench.apply(&DetachRouteTable, &batch, &to).await.remove(0).expect("accepted");
            bench.misread(move |n, _| (n == at).then_some(Misread::Empty));
            bench.ready(&DetachRouteTable, &batch[0], &to).await;
            let done = bench.undo(&DetachRouteTable, &batch[0]).await;
            assert!(matches!(done, Ok(Undone::PutBack(_))), "{to} {at}: {done:?}");
            assert_eq!(bench.sim.snapshot(), before, "{to} {at}");
        }
    }
}

/// Somebody makes a table with the tags of the run's.
async fn copied(bench: &Bench, p: &Prepared<Value>) -> String {
    let undo: Undo = serde_json::from_value(p.undo.clone()).expect("a record");
    let theirs =
        Mutation::CreateRouteTable { token: "theirs".to_owned(), vpc: undo.vpc.clone(), tags: undo.tags };
    let before = routing::tables(bench.read()).await.expect("reads");
    bench.somebody(theirs).await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let now = routing::tables(bench.read()).await.expect("reads");
    now.into_iter().find(|t| before.iter().all(|b| b.id != t.id)).expect("made").id
}

async fn poll(bench: &Bench, p: &Prepared<Value>) -> Result<Progress, ActionError> {
    DynAction::poll(&DetachRouteTable, bench.read(), p.target.as_ref(), &p.undo, &Value::Null).await
}

async fn is_there(bench: &Bench, table: &str) -> bool {
    routing::tables(bench.read()).await.expect("reads").iter().any(|t| t.id == table)
}

#[tokio::test(start_paused = true)]
async fn a_table_of_somebody_else_with_the_same_tags_is_left_alone_and_told() {
    for between in [false, true] {
        let bench = Bench::new();
        let batch =
            bench.prepare(&DetachRouteTable, &[subnet(&bench.a), subnet(&bench.b)], &Value::Null).await;
        for outcome in bench.apply(&DetachRouteTable, &batch, &Value::Null).await {
            outcome.expect("accepted");
        }
        let early = if between { None } else { Some(copied(&bench, &batch[0]).await) };
        bench.undo(&DetachRouteTable, &batch[0]).await.expect("put back");
        let theirs = match early {
            Some(id) => id,
            None => copied(&bench, &batch[0]).await,
        };
        for p in [&batch[1], &batch[0]] {
            let done = bench.undo(&DetachRouteTable, p).await.expect("put back");
            assert!(format!("{done:?}").contains(&format!("{theirs} carries this run's tags")), "{done:?}");
        }
        assert!(is_there(&bench, &theirs).await, "{between}");
        assert_eq!(bench.sent("ec2:DeleteRouteTable"), 1, "its own");
    }
}

#[tokio::test(start_paused = true)]
async fn a_subnet_that_somebody_put_on_a_copy_of_the_runs_table_is_not_where_the_step_left_it() {
    let bench = Bench::new();
    let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a)], &Value::Null).await;
    for outcome in bench.apply(&DetachRouteTable, &batch, &Value::Null).await {
        outcome.expect("accepted");
    }
    let seen = poll(&bench, &batch[0]).await;
    assert!(matches!(seen, Ok(Progress::Ready(_))), "{seen:?}");
    let theirs = copied(&bench, &batch[0]).await;
    let tables = routing::tables(bench.read()).await.expect("reads");
    let association = routing::place(&tables, &bench.a).association().expect("one").to_owned();
    bench.somebody(Mutation::ReplaceRouteTableAssociation { association, table: theirs.clone() }).await;
    let seen = poll(&bench, &batch[0]).await.expect_err("somebody else's");
    assert!(
        seen.hopeless && seen.message.contains(&format!("is now on {theirs}: somebody else acted")),
        "{seen}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_subnet_that_is_not_where_it_was_planned_is_not_taken() {
    let bench = Bench::new();
    let planned = |table: &str| {
        let mut t = subnet(&bench.a);
        t.attrs.insert("route_table".to_owned(), table.to_owned());
        [(Some(t), Value::Null)]
    };
    let elsewhere =
        DynAction::prepare(&DetachRouteTable, bench.read(), &planned("rtb-other"), &Value::Null).await;
    let refused = elsewhere[0].as_ref().expect_err("it moved");
    assert!(refused.message.contains("was on rtb-other when it was planned and is now on "), "{refused}");
    let there =
        DynAction::prepare(&DetachRouteTable, bench.read(), &planned(&bench.private), &Value::Null).await;
    assert!(there[0].is_ok(), "{there:?}");
}

#[tokio::test(start_paused = true)]
async fn where_the_answer_was_lost_one_empty_table_is_deleted_at_most() {
    // the run put its subnets on the table that it found, so that one is known
    let mut bench = Bench::new();
    bench.fail_once(CREATE, Fault::LoseAnswer);
    let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a), subnet(&bench.b)], &Value::Null).await;
    bench.apply(&DetachRouteTable, &batch, &Value::Null).await.remove(0).expect("goes on");
    let own = place(&bench, &bench.a).await.expect("on the run's");
    let theirs = copied(&bench, &batch[0]).await;
    bench.undo(&DetachRouteTable, &batch[0]).await.expect("put back");
    let last = bench.undo(&DetachRouteTable, &batch[1]).await;
    assert!(last.is_ok(), "{last:?}");
    assert!(is_there(&bench, &theirs).await && !is_there(&bench, &own).await);

    // nothing was sent that names it, and there are two
    let mut bench = Bench::new();
    bench.fail_once(CREATE, Fault::LoseRequest);
    let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a)], &Value::Null).await;
    bench.apply(&DetachRouteTable, &batch, &Value::Null).await.remove(0).expect_err("no answer");
    let undo: Undo = serde_json::from_value(batch[0].undo.clone()).expect("a record");
    bench.somebody(Mutation::CreateRouteTable { token: undo.token, vpc: undo.vpc, tags: undo.tags }).await;
    copied(&bench, &batch[0]).await;
    let error = bench.undo(&DetachRouteTable, &batch[0]).await.expect_err("a person looks");
    assert!(error.hopeless && error.hint.is_some_and(|h| h.contains("delete-route-table")));
    assert_eq!(bench.sent("ec2:DeleteRouteTable"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_put_on_the_runs_table_is_told_and_the_table_stays_until_it_is_off() {
    let bench = Bench::new();
    let before = bench.sim.snapshot();
    let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a)], &Value::Null).await;
    bench.apply(&DetachRouteTable, &batch, &Value::Null).await.remove(0).expect("accepted");
    let own = place(&bench, &bench.a).await.expect("the run's");
    let move_to = async |table: &str| {
        let tables = routing::tables(bench.read()).await.expect("reads");
        let association = routing::place(&tables, &bench.b).association().expect("one").to_owned();
        bench.somebody(Mutation::ReplaceRouteTableAssociation { association, table: table.to_owned() }).await;
    };
    move_to(&own).await;
    let stuck = bench.undo(&DetachRouteTable, &batch[0]).await.expect_err("a stranger is on it");
    let said = format!("{} stands on {own}, the empty table of this run", bench.b);
    assert!(stuck.hopeless && stuck.message.starts_with(&said), "{stuck}");
    assert_eq!(place(&bench, &bench.a).await.as_ref(), Some(&bench.private), "its own subnet is back");
    move_to(&bench.private).await;
    bench.undo(&DetachRouteTable, &batch[0]).await.expect("the table can go");
    assert_eq!(bench.sim.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn a_subnet_of_another_account_is_refused() {
    let bench = Bench::new();
    for (account, refused) in [(crate::sim::ACCOUNT, false), ("999999999999", true)] {
        let mut shared = subnet(&bench.a);
        shared.arn = Some(format!("arn:aws:ec2:us-east-1:{account}:subnet/{}", bench.a));
        let said = bench.refusals(&DetachRouteTable, &[shared], &Value::Null).await;
        assert_eq!(said.iter().any(|s| s.contains("belongs to account 999999999999")), refused, "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_subnet_that_the_run_has_sent_no_call_for_is_left_where_somebody_put_it() {
    for to in [Value::Null, main()] {
        let bench = Bench::new();
        let both = [subnet(&bench.a), subnet(&bench.b)];
        let batch = bench.prepare(&DetachRouteTable, &both, &to).await;
        let tables = routing::tables(bench.read()).await.expect("reads");
        let Place::On { association, .. } = routing::place(&tables, &bench.b) else { panic!("on a table") };
        bench.apply(&DetachRouteTable, &batch[..1], &to).await.remove(0).expect("accepted");
        bench.somebody(Mutation::DisassociateRouteTable { association: association.to_owned() }).await;
        let done = bench.undo(&DetachRouteTable, &batch[1]).await;
        assert!(matches!(&done, Ok(Undone::Nothing(text)) if text.contains("by this run")), "{to}: {done:?}");
        assert!(matches!(bench.undo(&DetachRouteTable, &batch[0]).await, Ok(Undone::PutBack(_))));
        let tables = routing::tables(bench.read()).await.expect("reads");
        assert_eq!(routing::place(&tables, &bench.b), Place::Implicit, "{to}");
        assert_eq!(routing::place(&tables, &bench.a).table(), Some(bench.private.as_str()), "{to}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_association_that_is_on_record_is_changed() {
    let bench = Bench::new();
    let batch = bench.prepare(&DetachRouteTable, &[subnet(&bench.a)], &main()).await;
    for table in [&bench.public, &bench.private] {
        let tables = routing::tables(bench.read()).await.expect("reads");
        let Place::On { association, .. } = routing::place(&tables, &bench.a) else { panic!("on a table") };
        let (association, table) = (association.to_owned(), table.clone());
        bench.somebody(Mutation::ReplaceRouteTableAssociation { association, table }).await;
    }
    let error =
        bench.apply(&DetachRouteTable, &batch, &main()).await.remove(0).expect_err("another association");
    assert!(error.hopeless && error.message.contains("anew since this was prepared"), "{error}");
    assert_eq!(bench.sent("ec2:DisassociateRouteTable"), 0);
}
