//! Another resource under the same name is not the one that was planned for.

use super::*;
use crate::catalog::kind::CREATED;
use crate::catalog::kinds;

#[tokio::test(start_paused = true)]
async fn a_target_that_was_made_anew_is_refused() {
    let mut plan = planned(&edited(&[])).await;
    let told = |plan: &Plan, now: Vec<Option<Target>>| -> Vec<String> {
        crate::plan::drift::compare(plan, &now, &plan.account, plan.world, None)
            .into_iter()
            .map(|f| f.text)
            .collect()
    };
    let created = |plan: &Plan, at: &str| {
        let mut now = crate::plan::drift::targets(plan);
        now[0].attrs.insert(CREATED.to_owned(), at.to_owned());
        now.into_iter().map(Some).collect::<Vec<_>>()
    };
    assert_eq!(told(&plan, created(&plan, "today")), [""; 0], "the plan does not say when it was made");
    let first = &mut plan.targets.get_mut("web").unwrap().drawn[0];
    first.attrs.insert(CREATED.to_owned(), "yesterday".to_owned());
    assert_eq!(told(&plan, created(&plan, "yesterday")), [""; 0]);
    let another = "another resource has its name now: it was created today, the planned one yesterday";
    assert_eq!(told(&plan, created(&plan, "today")), [another]);
}

#[tokio::test(start_paused = true)]
async fn what_undo_would_put_back_to_is_what_was_planned() {
    let mut plan = planned(&edited(&[])).await;
    let told = |plan: &Plan, change: fn(&mut Target)| -> Vec<String> {
        let mut now = crate::plan::drift::targets(plan);
        change(&mut now[0]);
        let now: Vec<_> = now.into_iter().map(Some).collect();
        let found = crate::plan::drift::compare(plan, &now, &plan.account, plan.world, None);
        found.into_iter().map(|f| f.text).filter(|t| t.contains("planned")).collect()
    };
    let set = |t: &mut Target, key: &str, value: &str| {
        t.attrs.insert(key.to_owned(), value.to_owned());
    };
    let web = |plan: &mut Plan, kind, key: &str, value: &str| {
        let first = &mut plan.targets.get_mut("web").unwrap().drawn[0];
        first.kind = kind;
        set(first, key, value);
    };
    web(&mut plan, kinds::VPC_SUBNET, "route_table", "rtb-1");
    assert_eq!(told(&plan, |_| {}), [""; 0]);
    let moved = |to: &str| format!("it stands on {to} now, and stood on rtb-1 when it was planned");
    assert_eq!(told(&plan, |t| drop(t.attrs.insert("route_table".into(), "rtb-2".into()))), [moved("rtb-2")]);
    assert_eq!(told(&plan, |t| drop(t.attrs.remove("route_table"))), [moved("the VPC's main table")]);

    web(&mut plan, kinds::EC2_INSTANCE, "state", "running");
    let stopped = "it is stopped now, and was running when it was planned";
    assert_eq!(told(&plan, |t| drop(t.attrs.insert("state".into(), "stopped".into()))), [stopped]);
    assert_eq!(told(&plan, |_| {}), [""; 0], "the table of an instance is nobody's");
    web(&mut plan, kinds::EC2_INSTANCE, "state", "pending");
    assert_eq!(
        told(&plan, |t| drop(t.attrs.insert("state".into(), "running".into()))),
        [""; 0],
        "it came up"
    );
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_and_what_no_longer_matches_is_named() {
    let mut plan = planned(&edited(&[])).await;
    let told = |plan: &Plan, change: &dyn Fn(&mut Target)| -> Vec<String> {
        let mut now = crate::plan::drift::targets(plan);
        change(&mut now[0]);
        let now: Vec<_> = now.into_iter().map(Some).collect();
        let found = crate::plan::drift::compare(plan, &now, &plan.account, plan.world, None);
        found.into_iter().map(|f| f.text).collect()
    };
    use kinds::{EC2_INSTANCE, RDS_INSTANCE, VPC_SUBNET};
    for (kind, key, state, text) in [
        (EC2_INSTANCE, "state", "terminated", "it is terminated"),
        (EC2_INSTANCE, "state", "shutting-down", "it is being terminated"),
        (RDS_INSTANCE, "status", "deleting", "it is being deleted"),
    ] {
        let first = &mut plan.targets.get_mut("web").unwrap().drawn[0];
        first.kind = kind;
        let found = told(&plan, &|t| drop(t.attrs.insert(key.to_owned(), state.to_owned())));
        assert_eq!(found, [text], "{state}");
        // whether or not the selector asks for a state
        let mut any = plan.clone();
        any.drill.targets.get_mut("web").unwrap().attrs.clear();
        assert_eq!(
            told(&any, &|t| drop(t.attrs.insert(key.to_owned(), state.to_owned()))),
            [text],
            "{state}"
        );
    }
    plan.targets.get_mut("web").unwrap().drawn[0].kind = VPC_SUBNET;
    let said = told(&plan, &|t| drop(t.attrs.insert("state".to_owned(), "terminated".to_owned())));
    assert!(!said.iter().any(|t| t == "it is terminated"), "a subnet has no such state: {said:?}");
}

#[test]
fn the_same_is_what_was_made_at_the_same_moment() {
    let made = |at: Option<&str>| {
        let attrs = at.map(|at| (CREATED.to_owned(), at.to_owned())).into_iter().collect();
        let id = "shop-orders".to_owned();
        Target { kind: kinds::RDS_INSTANCE, id, arn: None, name: None, tags: Tags::new(), attrs }
    };
    let same = |was, is| crate::plan::is_the_same(&made(was), &made(is));
    assert!(same(Some("yesterday"), Some("yesterday")) && same(None, None));
    assert!(!same(Some("yesterday"), Some("today")) && !same(Some("yesterday"), None));
}
