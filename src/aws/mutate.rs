//! The one gate for changes: each [`Mutation`] becomes exactly one request. I/O.
//!
//! For: building the request, naming the result, keeping the request id. Not for: retries (the
//! clients here do not retry), undo, order. Invariant: a batch of nothing is refused before AWS
//! could read it as "everything".

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_ec2::types as ec2;
use aws_sdk_s3::types as s3;
use aws_types::request_id::RequestId;

use super::ec2_launch::run_instances;
use super::error::failed_change;
use super::{launch, non_empty, rds_change, settable};
use crate::cloud::{
    CloudError, CloudResult, DeletedObject, ErrorKind, LaunchSpec, Mutate, Mutation, ObjectError, ObjectRef,
    Outcome, Reply,
};
use crate::model::Tags;

/// Clients that send a request once.
pub(super) struct Changes {
    pub(super) ec2: aws_sdk_ec2::Client,
    pub(super) elb: aws_sdk_elasticloadbalancingv2::Client,
    pub(super) rds: aws_sdk_rds::Client,
    pub(super) s3: aws_sdk_s3::Client,
    pub(super) cloudfront: aws_sdk_cloudfront::Client,
}

/// A reply with AWS's request id.
pub(super) fn reply(request_id: Option<&str>, outcome: Outcome) -> Reply {
    Reply { request_id: request_id.map(str::to_owned), outcome }
}

fn done(answer: &impl RequestId) -> Reply {
    reply(answer.request_id(), Outcome::Done)
}

/// What was created must have an id; without one the answer is as good as lost.
fn created(operation: &str, answer: &impl RequestId, id: Option<&str>) -> CloudResult<Reply> {
    let request_id = answer.request_id();
    match non_empty(id) {
        Some(id) => Ok(reply(request_id, Outcome::Created { id })),
        None => {
            let mut error =
                CloudError::new(operation, ErrorKind::Unreadable, "the answer names nothing created")
                    .effect(crate::cloud::EffectCertainty::Unknown);
            error.request_id = request_id.map(str::to_owned);
            Err(error)
        }
    }
}

fn states<'a>(changes: impl Iterator<Item = &'a ec2::InstanceStateChange>) -> Outcome {
    let states: BTreeMap<String, String> = changes
        .filter_map(|change| {
            let state = change.current_state()?.name()?.as_str().to_owned();
            Some((change.instance_id()?.to_owned(), state))
        })
        .collect();
    Outcome::Instances { states }
}

#[async_trait]
impl Mutate for Changes {
    async fn send(&self, mutation: &Mutation) -> CloudResult<Reply> {
        let op = mutation.operation();
        refuse_nothing(mutation)?;
        match mutation {
            Mutation::TerminateInstances { ids } => {
                let call = self.ec2.terminate_instances().set_instance_ids(Some(ids.clone()));
                let out = call.send().await.map_err(failed_change(op, ids.len() > 1))?;
                Ok(reply(out.request_id(), states(out.terminating_instances().iter())))
            }
            Mutation::StopInstances { ids } => {
                let call = self.ec2.stop_instances().set_instance_ids(Some(ids.clone()));
                let out = call.send().await.map_err(failed_change(op, ids.len() > 1))?;
                Ok(reply(out.request_id(), states(out.stopping_instances().iter())))
            }
            Mutation::StartInstances { ids } => {
                let call = self.ec2.start_instances().set_instance_ids(Some(ids.clone()));
                let out = call.send().await.map_err(failed_change(op, ids.len() > 1))?;
                Ok(reply(out.request_id(), states(out.starting_instances().iter())))
            }
            Mutation::RunInstances { token, spec } => self.run_instance(op, token, spec).await,
            Mutation::CreateTags { ids, tags } => {
                let call =
                    self.ec2.create_tags().set_resources(Some(ids.clone())).set_tags(Some(ec2_tags(tags)));
                let out = call.send().await.map_err(failed_change(op, ids.len() > 1))?;
                Ok(done(&out))
            }
            Mutation::DeleteTags { ids, keys } => {
                // without a value, a key goes whatever its value is
                let keys = keys.iter().map(|key| ec2::Tag::builder().key(key).build()).collect();
                let call = self.ec2.delete_tags().set_resources(Some(ids.clone())).set_tags(Some(keys));
                let out = call.send().await.map_err(failed_change(op, ids.len() > 1))?;
                Ok(done(&out))
            }
            Mutation::CreateRouteTable { token, vpc, tags } => {
                let tags = launch::tagged(ec2::ResourceType::RouteTable, tags).map(|t| vec![t]);
                let call = self.ec2.create_route_table().client_token(token).vpc_id(vpc);
                let call = call.set_tag_specifications(tags);
                let out = call.send().await.map_err(failed_change(op, false))?;
                created(op, &out, out.route_table().and_then(|t| t.route_table_id()))
            }
            Mutation::DeleteRouteTable { table } => {
                let call = self.ec2.delete_route_table().route_table_id(table);
                Ok(done(&call.send().await.map_err(failed_change(op, false))?))
            }
            Mutation::AssociateRouteTable { subnet, table } => {
                let call = self.ec2.associate_route_table().subnet_id(subnet).route_table_id(table);
                let out = call.send().await.map_err(failed_change(op, false))?;
                created(op, &out, out.association_id())
            }
            Mutation::DisassociateRouteTable { association } => {
                let call = self.ec2.disassociate_route_table().association_id(association);
                Ok(done(&call.send().await.map_err(failed_change(op, false))?))
            }
            Mutation::ReplaceRouteTableAssociation { association, table } => {
                let call = self.ec2.replace_route_table_association();
                let call = call.association_id(association).route_table_id(table);
                let out = call.send().await.map_err(failed_change(op, false))?;
                created(op, &out, out.new_association_id())
            }
            Mutation::AssociateAddress { allocation, instance, from } => {
                // an address that somebody else has put to use is not taken away
                let call = self.ec2.associate_address().allocation_id(allocation).instance_id(instance);
                let out = call
                    .allow_reassociation(from.is_some())
                    .send()
                    .await
                    .map_err(failed_change(op, false))?;
                created(op, &out, out.association_id())
            }
            Mutation::RegisterTargets { group, id, port } => {
                let call = self.elb.register_targets().target_group_arn(group).targets(registered(id, *port));
                Ok(done(&call.send().await.map_err(failed_change(op, false))?))
            }
            Mutation::DeregisterTargets { group, id, port } => {
                let call =
                    self.elb.deregister_targets().target_group_arn(group).targets(registered(id, *port));
                Ok(done(&call.send().await.map_err(failed_change(op, false))?))
            }
            Mutation::RestoreDb { spec } => rds_change::restore(&self.rds, spec).await,
            Mutation::ModifyDb { identifier, change } => {
                rds_change::modify(&self.rds, identifier, change).await
            }
            Mutation::DeleteDb { identifier, final_snapshot } => {
                rds_change::delete(&self.rds, identifier, final_snapshot.as_deref()).await
            }
            Mutation::RebootDb { identifier, failover } => {
                rds_change::reboot(&self.rds, identifier, *failover).await
            }
            Mutation::TagDb { arn, tags } => rds_change::tag(&self.rds, arn, tags).await,
            Mutation::UntagDb { arn, keys } => rds_change::untag(&self.rds, arn, keys).await,
            Mutation::DeleteObjects { bucket, objects } => self.delete_objects(op, bucket, objects).await,
            Mutation::TagBucket { bucket, tags } => self.tag_bucket(op, bucket, tags).await,
            Mutation::CreateInvalidation { distribution, caller_reference, paths } => {
                self.invalidate(op, distribution, caller_reference, paths).await
            }
            Mutation::TagDistribution { arn, tags } => {
                let tags = built(op, cloudfront_tags(tags))?;
                let call = self.cloudfront.tag_resource().resource(arn).tags(tags);
                Ok(done(&call.send().await.map_err(failed_change(op, false))?))
            }
            Mutation::UntagDistribution { arn, keys } => {
                let keys =
                    aws_sdk_cloudfront::types::TagKeys::builder().set_items(Some(keys.clone())).build();
                let call = self.cloudfront.untag_resource().resource(arn).tag_keys(keys);
                Ok(done(&call.send().await.map_err(failed_change(op, false))?))
            }
        }
    }
}

impl Changes {
    async fn run_instance(&self, op: &str, token: &str, spec: &LaunchSpec) -> CloudResult<Reply> {
        let call = run_instances(&self.ec2, spec).client_token(token);
        let out = call.send().await.map_err(failed_change(op, false))?;
        created(op, &out, out.instances().first().and_then(|i| i.instance_id()))
    }

    async fn delete_objects(&self, op: &str, bucket: &str, objects: &[ObjectRef]) -> CloudResult<Reply> {
        let named: Result<Vec<_>, _> = objects
            .iter()
            .map(|o| s3::ObjectIdentifier::builder().key(&o.key).set_version_id(o.version.clone()).build())
            .collect();
        let delete = s3::Delete::builder().set_objects(Some(built(op, named)?)).quiet(false).build();
        let call = self.s3.delete_objects().bucket(bucket).delete(built(op, delete)?);
        let out = call.send().await.map_err(failed_change(op, objects.len() > 1))?;
        let deleted = out
            .deleted()
            .iter()
            .map(|d| DeletedObject {
                key: d.key().unwrap_or_default().to_owned(),
                version: non_empty(d.version_id()),
                marker: non_empty(d.delete_marker_version_id()).filter(|_| d.version_id().is_none()),
            })
            .collect();
        let errors = out
            .errors()
            .iter()
            .map(|e| ObjectError {
                key: e.key().unwrap_or_default().to_owned(),
                code: e.code().unwrap_or_default().to_owned(),
                message: e.message().unwrap_or_default().to_owned(),
            })
            .collect();
        Ok(reply(out.request_id(), Outcome::Objects { deleted, errors }))
    }

    async fn tag_bucket(&self, op: &str, bucket: &str, tags: &Tags) -> CloudResult<Reply> {
        if tags.is_empty() {
            let call = self.s3.delete_bucket_tagging().bucket(bucket);
            return Ok(done(&call.send().await.map_err(failed_change(op, false))?));
        }
        // the whole set is replaced, so tags of AWS's own stay in it
        let set: Result<Vec<_>, _> =
            tags.iter().map(|(k, v)| s3::Tag::builder().key(k).value(v).build()).collect();
        let tagging = built(op, s3::Tagging::builder().set_tag_set(Some(built(op, set)?)).build())?;
        let call = self.s3.put_bucket_tagging().bucket(bucket).tagging(tagging);
        Ok(done(&call.send().await.map_err(failed_change(op, false))?))
    }

    async fn invalidate(
        &self,
        op: &str,
        distribution: &str,
        reference: &str,
        paths: &[String],
    ) -> CloudResult<Reply> {
        use aws_sdk_cloudfront::types::{InvalidationBatch, Paths};
        let quantity = i32::try_from(paths.len()).unwrap_or(i32::MAX);
        let paths = Paths::builder().quantity(quantity).set_items(Some(paths.to_vec())).build();
        let batch = InvalidationBatch::builder().paths(built(op, paths)?).caller_reference(reference).build();
        let call = self.cloudfront.create_invalidation().distribution_id(distribution);
        let call = call.invalidation_batch(built(op, batch)?);
        let out = call.send().await.map_err(failed_change(op, false))?;
        created(op, &out, out.invalidation().map(|i| i.id()))
    }
}

/// A request that the SDK could not even build.
fn built<T, E: std::fmt::Display>(op: &str, built: Result<T, E>) -> CloudResult<T> {
    built.map_err(|error| CloudError::new(op, ErrorKind::Invalid, error.to_string()))
}

fn refuse_nothing(mutation: &Mutation) -> CloudResult<()> {
    let empty = match mutation {
        Mutation::TerminateInstances { ids }
        | Mutation::StopInstances { ids }
        | Mutation::StartInstances { ids } => ids.is_empty(),
        Mutation::CreateTags { ids, tags } => ids.is_empty() || settable(tags).next().is_none(),
        // no keys would remove every tag
        Mutation::DeleteTags { ids, keys } => ids.is_empty() || keys.is_empty(),
        Mutation::UntagDb { keys, .. } | Mutation::UntagDistribution { keys, .. } => keys.is_empty(),
        Mutation::TagDb { tags, .. } | Mutation::TagDistribution { tags, .. } => {
            settable(tags).next().is_none()
        }
        Mutation::DeleteObjects { objects, .. } => objects.is_empty(),
        Mutation::CreateInvalidation { paths, .. } => paths.is_empty(),
        _ => false,
    };
    if empty {
        return Err(CloudError::new(mutation.operation(), ErrorKind::Invalid, "nothing to change is named"));
    }
    Ok(())
}

fn registered(id: &str, port: Option<i32>) -> aws_sdk_elasticloadbalancingv2::types::TargetDescription {
    aws_sdk_elasticloadbalancingv2::types::TargetDescription::builder().id(id).set_port(port).build()
}

fn ec2_tags(tags: &Tags) -> Vec<ec2::Tag> {
    settable(tags).map(|(k, v)| ec2::Tag::builder().key(k).value(v).build()).collect()
}

fn cloudfront_tags(
    tags: &Tags,
) -> Result<aws_sdk_cloudfront::types::Tags, aws_sdk_cloudfront::error::BuildError> {
    use aws_sdk_cloudfront::types::{Tag, Tags as List};
    let items: Result<Vec<_>, _> =
        settable(tags).map(|(k, v)| Tag::builder().key(k).value(v).build()).collect();
    Ok(List::builder().set_items(Some(items?)).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_nothing_is_refused() {
        let nothing = [
            Mutation::TerminateInstances { ids: Vec::new() },
            Mutation::DeleteTags { ids: vec!["i-1".into()], keys: Vec::new() },
            Mutation::DeleteObjects { bucket: "b".into(), objects: Vec::new() },
        ];
        for mutation in nothing {
            assert_eq!(refuse_nothing(&mutation).unwrap_err().kind, ErrorKind::Invalid);
        }
        assert!(refuse_nothing(&Mutation::StopInstances { ids: vec!["i-1".into()] }).is_ok());
        assert!(refuse_nothing(&Mutation::TagBucket { bucket: "b".into(), tags: Tags::new() }).is_ok());
    }
}
