//! What every world behind the `cloud` traits must show: the simulator is trusted only as far as it
//! passes what the emulator passes.
//!
//! A [`Case`] sees nothing but a [`TestWorld`]: it picks resources of the sample shop by tag, name
//! or identifier, and waits by polling. Each case gets a freshly seeded shop and may leave it in
//! any state. A runner per world walks [`CASES`]; a case that a world is known not to show says why.

use std::sync::Arc;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use redrill::cloud::{
    Cloud, CloudResult, DbInstance, Filter, Instance, Mutation, ObjectVersion, Outcome, Reply, RouteTable,
    Subnet, all_pages,
};
use redrill::model::{Clock, Tags};

mod databases;
mod distributions;
mod instances;
mod liar;
mod listings;
mod objects;
mod on_sim;
mod tables;

/// A world with a freshly seeded shop in it.
pub struct TestWorld {
    /// The world.
    pub cloud: Cloud,
    /// Its time.
    pub clock: Arc<dyn Clock>,
    /// How often to look while waiting.
    pub every: Duration,
    /// How long to wait for anything at most.
    pub patience: Duration,
}

/// One behaviour.
pub struct Case {
    /// What it shows.
    pub name: &'static str,
    /// Why the emulator does not show it, where that is known.
    pub not_on_emulator: Option<&'static str>,
    /// Panics where the behaviour is missing.
    pub run: for<'a> fn(&'a TestWorld) -> LocalBoxFuture<'a, ()>,
}

macro_rules! cases {
    ($($module:ident::$name:ident $(but $why:literal)?,)*) => {
        &[$(Case {
            name: stringify!($name),
            not_on_emulator: cases!(@why $($why)?),
            run: |w| Box::pin($module::$name(w)),
        }),*]
    };
    (@why $why:literal) => { Some($why) };
    (@why) => { None };
}

/// Every behaviour.
pub const CASES: &[Case] = cases![
    listings::the_caller_is_known,
    listings::every_page_is_read_once,
    listings::tags_filter_with_lists_and_wildcards,
    listings::what_does_not_exist_is_not_found,
    listings::alarms_are_read_by_name,
    listings::details_hold_user_data_and_protection,
    listings::registrations_tell_their_health,
    listings::quotas_count_databases,
    instances::a_terminated_instance_ends_and_others_stay,
    instances::a_terminated_instance_forgets_its_subnet,
    instances::a_stopped_instance_starts_again,
    instances::a_terminated_instance_neither_stops_nor_starts,
    instances::an_unknown_id_fails_the_whole_batch,
    instances::a_protected_instance_fails_its_batch,
    instances::a_launch_is_like_its_model,
    instances::a_launch_with_the_same_token_is_one_launch,
    instances::tags_come_and_go,
    instances::a_new_instance_becomes_a_healthy_target,
    tables::a_subnet_without_association_follows_the_main_table,
    tables::every_replacement_has_a_new_id,
    tables::the_main_association_stays,
    tables::a_subnet_has_one_association,
    tables::a_table_with_associations_is_not_deleted,
    tables::a_new_table_with_the_same_token_is_one_table,
    databases::restorable_times_lag_and_advance,
    databases::a_restore_outside_the_window_is_refused,
    databases::a_restore_without_backups_is_refused,
    databases::a_restore_onto_an_existing_name_is_refused,
    databases::a_restored_database_has_what_was_asked,
    databases::a_database_in_creation_is_not_deleted,
    databases::deletion_protection_is_lifted_before_deletion,
    databases::a_failover_changes_the_zone_and_needs_two,
    databases::database_tags_come_and_go,
    objects::each_deletion_adds_a_marker,
    objects::a_removed_marker_brings_the_object_back,
    objects::without_versions_an_object_is_gone,
    objects::more_than_a_thousand_keys_are_refused,
    objects::bucket_tags_are_replaced_as_a_whole,
    distributions::an_invalidation_completes,
    distributions::the_same_reference_is_one_invalidation,
    distributions::distribution_tags_come_and_go,
];

impl TestWorld {
    /// Sends a change.
    async fn send(&self, mutation: Mutation) -> CloudResult<Reply> {
        self.cloud.mutate.send(&mutation).await
    }

    /// Sends a change that must be accepted.
    async fn done(&self, mutation: Mutation) -> Outcome {
        let operation = mutation.operation();
        match self.send(mutation).await {
            Ok(reply) => reply.outcome,
            Err(e) => panic!("{operation} should be accepted: {e}"),
        }
    }

    /// Sends a change that creates something; its id.
    async fn created(&self, mutation: Mutation) -> String {
        match self.done(mutation).await {
            Outcome::Created { id } => id,
            other => panic!("expected the id of something new: {other:?}"),
        }
    }

    /// Looks until there is something to see.
    async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            assert!(waited < self.patience, "waited {waited:?} for this: {what}");
            tokio::time::sleep(self.every).await;
            waited += self.every;
        }
    }

    async fn instances(&self, filter: &Filter) -> Vec<Instance> {
        let ec2 = &self.cloud.reads.ec2;
        all_pages(|page| async move { ec2.instances(filter, page).await })
            .await
            .expect("instances are listed")
    }

    /// The shop's instance of this name.
    async fn instance(&self, name: &str) -> Instance {
        let filter = Filter { ids: Vec::new(), tags: vec![("Name".to_owned(), vec![name.to_owned()])] };
        self.instances(&filter)
            .await
            .into_iter()
            .next()
            .unwrap_or_else(|| panic!("no instance is called {name}"))
    }

    async fn state(&self, id: &str) -> String {
        let filter = Filter { ids: vec![id.to_owned()], tags: Vec::new() };
        self.instances(&filter).await.into_iter().next().expect("the instance is listed").state
    }

    /// Waits until the instance can be found and is in this state.
    async fn reaches(&self, id: &str, state: &str) {
        let filter = Filter { ids: vec![id.to_owned()], tags: Vec::new() };
        self.until(&format!("{id} is {state}"), async || {
            let page = self.cloud.reads.ec2.instances(&filter, None).await.ok()?;
            page.items.into_iter().find(|i| i.state == state).map(|_| ())
        })
        .await;
    }

    async fn subnets(&self, filter: &Filter) -> Vec<Subnet> {
        let ec2 = &self.cloud.reads.ec2;
        all_pages(|page| async move { ec2.subnets(filter, page).await }).await.expect("subnets are listed")
    }

    async fn subnet(&self, name: &str) -> Subnet {
        let filter = Filter { ids: Vec::new(), tags: vec![("Name".to_owned(), vec![name.to_owned()])] };
        self.subnets(&filter).await.into_iter().next().unwrap_or_else(|| panic!("no subnet is called {name}"))
    }

    async fn tables(&self) -> Vec<RouteTable> {
        let (ec2, all) = (&self.cloud.reads.ec2, &Filter::default());
        all_pages(|page| async move { ec2.route_tables(all, page).await }).await.expect("tables are listed")
    }

    /// The table that the subnet is associated with explicitly, and the association's id.
    async fn association(&self, subnet: &str) -> Option<(String, String)> {
        self.tables().await.into_iter().find_map(|t| {
            let a = t.associations.iter().find(|a| a.subnet.as_deref() == Some(subnet))?;
            Some((t.id.clone(), a.id.clone()))
        })
    }

    async fn dbs(&self) -> Vec<DbInstance> {
        let rds = &self.cloud.reads.rds;
        all_pages(|page| async move { rds.instances(None, page).await }).await.expect("databases are listed")
    }

    /// A database, or `None` where it is gone.
    async fn db(&self, identifier: &str) -> Option<DbInstance> {
        match self.cloud.reads.rds.instances(Some(identifier), None).await {
            Ok(page) => page.items.into_iter().next(),
            Err(e) if e.is_not_found() => None,
            Err(e) => panic!("{identifier} should be readable: {e}"),
        }
    }

    /// Waits for a database to reach this status.
    async fn db_is(&self, identifier: &str, status: &str) -> DbInstance {
        self.until(&format!("{identifier} is {status}"), async || {
            self.db(identifier).await.filter(|d| d.status == status)
        })
        .await
    }

    async fn versions(&self, bucket: &str, prefix: &str) -> Vec<ObjectVersion> {
        let s3 = &self.cloud.reads.s3;
        all_pages(|page| async move { s3.versions(bucket, prefix, page).await })
            .await
            .expect("versions are listed")
    }
}

/// Tags from pairs.
fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// A filter by tags.
fn tagged(wanted: &[(&str, &[&str])]) -> Filter {
    let tags = wanted
        .iter()
        .map(|(k, values)| ((*k).to_owned(), values.iter().map(|v| (*v).to_owned()).collect()))
        .collect();
    Filter { ids: Vec::new(), tags }
}
