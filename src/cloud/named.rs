//! What calls and targets name: ids, with what they are the ids of. Pure.
//!
//! One function of the call, so that whoever asks what a run touched asks for all calls alike. Left to others: which
//! of them are known.

use std::fmt;

use super::Mutation;

/// What an id is the id of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named as in AWS")]
pub enum What {
    Instance,
    Volume,
    Image,
    Subnet,
    Vpc,
    RouteTable,
    /// Of a subnet with a route table.
    Association,
    /// An Elastic IP, by its allocation.
    Address,
    TargetGroup,
    Database,
    Bucket,
    Distribution,
    /// Anything else that carries tags.
    Other,
}

/// An id with what it is.
pub type Named<'a> = (What, &'a str);

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Instance => "instance",
            Self::Volume => "volume",
            Self::Image => "image",
            Self::Subnet => "subnet",
            Self::Vpc => "VPC",
            Self::RouteTable => "route table",
            Self::Association => "association",
            Self::Address => "Elastic IP",
            Self::TargetGroup => "target group",
            Self::Database => "database",
            Self::Bucket => "bucket",
            Self::Distribution => "distribution",
            Self::Other => "resource",
        })
    }
}

impl What {
    /// What EC2 tags by this id.
    fn of_ec2(id: &str) -> Self {
        match id.split('-').next() {
            Some("i") => Self::Instance,
            Some("vol") => Self::Volume,
            Some("subnet") => Self::Subnet,
            Some("rtb") => Self::RouteTable,
            _ => Self::Other,
        }
    }
}

/// The part of an ARN, or of a plain id, that names the resource.
fn last(arn: &str, before: char) -> &str {
    arn.rsplit(before).next().unwrap_or(arn)
}

impl Mutation {
    /// Everything that exists, or is to exist, and that the call names.
    pub fn names(&self) -> Vec<Named<'_>> {
        match self {
            Self::TerminateInstances { ids } | Self::StopInstances { ids } | Self::StartInstances { ids } => {
                ids.iter().map(|id| (What::Instance, id.as_str())).collect()
            }
            Self::RunInstances { spec, .. } => {
                let like = &spec.like;
                let subnet = like.subnet.as_deref().map(|id| (What::Subnet, id));
                let made_from = [(What::Instance, like.id.as_str()), (What::Image, like.image.as_str())];
                made_from.into_iter().chain(subnet).filter(|(_, id)| !id.is_empty()).collect()
            }
            Self::CreateTags { ids, .. } | Self::DeleteTags { ids, .. } => {
                ids.iter().map(|id| (What::of_ec2(id), id.as_str())).collect()
            }
            Self::CreateRouteTable { vpc, .. } => vec![(What::Vpc, vpc)],
            Self::DeleteRouteTable { table } => vec![(What::RouteTable, table)],
            Self::AssociateRouteTable { subnet, table } => {
                vec![(What::Subnet, subnet), (What::RouteTable, table)]
            }
            Self::DisassociateRouteTable { association } => vec![(What::Association, association)],
            Self::ReplaceRouteTableAssociation { association, table } => {
                vec![(What::Association, association), (What::RouteTable, table)]
            }
            Self::AssociateAddress { allocation, instance, from } => {
                let from = from.as_deref().map(|id| (What::Instance, id));
                [(What::Address, allocation.as_str()), (What::Instance, instance)]
                    .into_iter()
                    .chain(from)
                    .collect()
            }
            // a group of addresses names them instead of instances
            Self::RegisterTargets { group, id, .. } | Self::DeregisterTargets { group, id, .. } => {
                let instance = id.starts_with("i-").then_some((What::Instance, id.as_str()));
                std::iter::once((What::TargetGroup, group.as_str())).chain(instance).collect()
            }
            Self::RestoreDb { spec } => {
                vec![(What::Database, spec.source.as_str()), (What::Database, spec.target.as_str())]
            }
            Self::ModifyDb { identifier, .. }
            | Self::DeleteDb { identifier, .. }
            | Self::RebootDb { identifier, .. } => vec![(What::Database, identifier)],
            Self::TagDb { arn, .. } | Self::UntagDb { arn, .. } => vec![(What::Database, last(arn, ':'))],
            Self::DeleteObjects { bucket, .. } | Self::TagBucket { bucket, .. } => {
                vec![(What::Bucket, bucket)]
            }
            Self::CreateInvalidation { distribution, .. } => vec![(What::Distribution, distribution)],
            Self::TagDistribution { arn, .. } | Self::UntagDistribution { arn, .. } => {
                vec![(What::Distribution, last(arn, '/'))]
            }
        }
    }

    /// What the call makes, with what tells two calls for the same thing: its token, or the name that it gets.
    pub fn makes(&self) -> Option<Named<'_>> {
        Some(match self {
            Self::RunInstances { token, .. } => (What::Instance, token),
            Self::CreateRouteTable { token, .. } => (What::RouteTable, token),
            Self::AssociateRouteTable { subnet, .. } => (What::Association, subnet),
            Self::ReplaceRouteTableAssociation { association, .. } => (What::Association, association),
            Self::RestoreDb { spec } => (What::Database, spec.target.as_str()),
            _ => return None,
        })
    }
}
