//! The suite's negative twin: on a world that accepts every change and makes none, each case that
//! changes something must fail. A case that passes here proves nothing.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use redrill::cloud::{CloudResult, DeletedObject, Mutate, Mutation, Outcome, Reply};

use super::{CASES, on_sim};

struct Liar;

fn pretend(m: &Mutation) -> Outcome {
    let created = |id: &str| Outcome::Created { id: id.to_owned() };
    match m {
        Mutation::TerminateInstances { ids } => states(ids, "shutting-down"),
        Mutation::StopInstances { ids } => states(ids, "stopping"),
        Mutation::StartInstances { ids } => states(ids, "pending"),
        Mutation::RunInstances { .. } => created("i-00000000000000001"),
        Mutation::CreateRouteTable { .. } => created("rtb-00000000000000001"),
        Mutation::AssociateRouteTable { .. } | Mutation::ReplaceRouteTableAssociation { .. } => {
            created("rtbassoc-00000000000000001")
        }
        Mutation::AssociateAddress { .. } => created("eipassoc-00000000000000001"),
        Mutation::CreateInvalidation { .. } => created("I0000000000001"),
        Mutation::RestoreDb { spec } => {
            Outcome::Db { identifier: spec.target.clone(), status: "creating".to_owned() }
        }
        Mutation::ModifyDb { identifier, .. }
        | Mutation::DeleteDb { identifier, .. }
        | Mutation::RebootDb { identifier, .. } => {
            Outcome::Db { identifier: identifier.clone(), status: "available".to_owned() }
        }
        Mutation::DeleteObjects { objects, .. } => Outcome::Objects {
            deleted: objects
                .iter()
                .map(|o| DeletedObject {
                    key: o.key.clone(),
                    version: o.version.clone(),
                    marker: o.version.is_none().then(|| "marker".to_owned()),
                })
                .collect(),
            errors: Vec::new(),
        },
        _ => Outcome::Done,
    }
}

fn states(ids: &[String], state: &str) -> Outcome {
    Outcome::Instances { states: ids.iter().map(|id| (id.clone(), state.to_owned())).collect() }
}

#[async_trait]
impl Mutate for Liar {
    async fn send(&self, mutation: &Mutation) -> CloudResult<Reply> {
        Ok(Reply { request_id: None, outcome: pretend(mutation) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_world_that_only_pretends_fails_every_case_that_changes_something() {
    let mut passed = Vec::new();
    for case in CASES {
        let mut w = on_sim::world();
        w.cloud.mutate = Arc::new(Liar);
        if AssertUnwindSafe((case.run)(&w)).catch_unwind().await.is_ok() {
            passed.push(case.name);
        }
    }
    // these only read
    let expected = [
        "the_caller_is_known",
        "every_page_is_read_once",
        "tags_filter_with_lists_and_wildcards",
        "what_does_not_exist_is_not_found",
        "alarms_are_read_by_name",
        "details_hold_user_data_and_protection",
        "registrations_tell_their_health",
        "quotas_count_databases",
        "restorable_times_lag_and_advance",
    ];
    assert_eq!(passed, expected);
}
