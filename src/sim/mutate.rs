//! The one gate for changes: each [`Mutation`] goes to the part of the account that it changes.

use async_trait::async_trait;

use super::Sim;
use super::refusal::Answer;
use super::world::World;
use crate::cloud::{CloudResult, Mutate, Mutation, Outcome, Reply};

#[async_trait]
impl Mutate for Sim {
    async fn send(&self, mutation: &Mutation) -> CloudResult<Reply> {
        self.change(mutation).await
    }
}

impl World {
    /// Makes one change, or refuses it.
    pub(super) fn mutate(&mut self, m: &Mutation) -> Answer<Outcome> {
        match m {
            Mutation::TerminateInstances { ids } => self.terminate(ids),
            Mutation::StopInstances { ids } => self.stop(ids),
            Mutation::StartInstances { ids } => self.start(ids),
            Mutation::RunInstances { token, spec } => self.run_instance(token, spec),
            Mutation::CreateTags { ids, tags } => self.create_tags(ids, tags),
            Mutation::DeleteTags { ids, keys } => self.delete_tags(ids, keys),
            Mutation::CreateRouteTable { token, vpc, tags } => self.create_table(token, vpc, tags),
            Mutation::DeleteRouteTable { table } => self.delete_table(table),
            Mutation::AssociateRouteTable { subnet, table } => self.associate(subnet, table),
            Mutation::DisassociateRouteTable { association } => self.disassociate(association),
            Mutation::ReplaceRouteTableAssociation { association, table } => {
                self.replace_assoc(association, table)
            }
            Mutation::AssociateAddress { allocation, instance, from } => {
                self.associate_address(allocation, instance, from.is_some())
            }
            Mutation::RegisterTargets { group, id, port } => self.register(group, id, *port),
            Mutation::DeregisterTargets { group, id, port } => self.deregister(group, id, *port),
            Mutation::RestoreDb { spec } => self.restore(spec),
            Mutation::ModifyDb { identifier, change } => self.modify(identifier, change),
            Mutation::DeleteDb { identifier, .. } => self.delete_db(identifier),
            Mutation::RebootDb { identifier, failover } => self.reboot(identifier, *failover),
            Mutation::TagDb { arn, tags } => self.tag_db(arn, tags),
            Mutation::UntagDb { arn, keys } => self.untag_db(arn, keys),
            Mutation::DeleteObjects { bucket, objects } => self.delete_objects(bucket, objects),
            Mutation::TagBucket { bucket, tags } => self.tag_bucket(bucket, tags),
            Mutation::CreateInvalidation { distribution, caller_reference, paths } => {
                self.invalidate(distribution, caller_reference, paths)
            }
            Mutation::TagDistribution { arn, tags } => self.tag_distribution(arn, tags),
            Mutation::UntagDistribution { arn, keys } => self.untag_distribution(arn, keys),
        }
    }
}
