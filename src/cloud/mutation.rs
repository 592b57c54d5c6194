//! Changes as data: everything that redrill can change, and what AWS answers.
//!
//! A change is journalled before it is sent, so each variant is serialisable and holds no secret
//! but the user data of a launch, which [`Mutation::redacted`] leaves out.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::types::*;
use crate::model::Tags;

/// One mutating AWS call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "operation")]
#[expect(missing_docs, reason = "fields are named as in AWS's API reference")]
pub enum Mutation {
    #[serde(rename = "ec2:TerminateInstances")]
    TerminateInstances { ids: Vec<String> },
    #[serde(rename = "ec2:StopInstances")]
    StopInstances { ids: Vec<String> },
    #[serde(rename = "ec2:StartInstances")]
    StartInstances { ids: Vec<String> },
    #[serde(rename = "ec2:RunInstances")]
    RunInstances { token: String, spec: Box<LaunchSpec> },
    #[serde(rename = "ec2:CreateTags")]
    CreateTags { ids: Vec<String>, tags: Tags },
    /// Removes these keys whatever their value.
    #[serde(rename = "ec2:DeleteTags")]
    DeleteTags { ids: Vec<String>, keys: Vec<String> },
    #[serde(rename = "ec2:CreateRouteTable")]
    CreateRouteTable { token: String, vpc: String, tags: Tags },
    #[serde(rename = "ec2:DeleteRouteTable")]
    DeleteRouteTable { table: String },
    #[serde(rename = "ec2:AssociateRouteTable")]
    AssociateRouteTable { subnet: String, table: String },
    #[serde(rename = "ec2:DisassociateRouteTable")]
    DisassociateRouteTable { association: String },
    #[serde(rename = "ec2:ReplaceRouteTableAssociation")]
    ReplaceRouteTableAssociation { association: String, table: String },
    #[serde(rename = "ec2:AssociateAddress")]
    AssociateAddress {
        allocation: String,
        instance: String,
        /// The ended instance that it is taken from; whoever else has put it to use keeps it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
    #[serde(rename = "elasticloadbalancing:RegisterTargets")]
    RegisterTargets { group: String, id: String, port: Option<i32> },
    #[serde(rename = "elasticloadbalancing:DeregisterTargets")]
    DeregisterTargets { group: String, id: String, port: Option<i32> },
    #[serde(rename = "rds:RestoreDBInstanceToPointInTime")]
    RestoreDb { spec: Box<RestoreSpec> },
    #[serde(rename = "rds:ModifyDBInstance")]
    ModifyDb { identifier: String, change: ModifyDb },
    /// SkipFinalSnapshot and DeleteAutomatedBackups.
    #[serde(rename = "rds:DeleteDBInstance")]
    DeleteDb {
        identifier: String,
        /// The snapshot to take first; none where it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        final_snapshot: Option<String>,
    },
    #[serde(rename = "rds:RebootDBInstance")]
    RebootDb { identifier: String, failover: bool },
    #[serde(rename = "rds:AddTagsToResource")]
    TagDb { arn: String, tags: Tags },
    #[serde(rename = "rds:RemoveTagsFromResource")]
    UntagDb { arn: String, keys: Vec<String> },
    /// At most 1,000 objects. Without a version a delete marker is added; with one it is removed.
    #[serde(rename = "s3:DeleteObjects")]
    DeleteObjects { bucket: String, objects: Vec<ObjectRef> },
    /// Replaces the whole set of tags; an empty set removes it.
    #[serde(rename = "s3:PutBucketTagging")]
    TagBucket { bucket: String, tags: Tags },
    #[serde(rename = "cloudfront:CreateInvalidation")]
    CreateInvalidation { distribution: String, caller_reference: String, paths: Vec<String> },
    #[serde(rename = "cloudfront:TagResource")]
    TagDistribution { arn: String, tags: Tags },
    #[serde(rename = "cloudfront:UntagResource")]
    UntagDistribution { arn: String, keys: Vec<String> },
}

/// A key, and a version where exactly that version is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Key.
    pub key: String,
    /// Version id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What RunInstances needs to launch one instance like another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// The instance that this one replaces: source of image, type, subnet, groups, key, profile …
    pub like: Instance,
    /// User data, base64.
    pub user_data: Option<String>,
    /// Volumes to create, with their device names.
    pub volumes: Vec<(BlockDevice, Volume)>,
    /// Termination protection.
    pub disable_api_termination: bool,
    /// What a shutdown from within does, where it is not `stop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<String>,
    /// `standard` or `unlimited`: CPU credits, where the type has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits: Option<String>,
    /// Whether to ask for the same private address.
    pub private_ip: Option<String>,
    /// Whether it gets a public address, whatever the subnet does by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_ip: Option<bool>,
    /// Tags for the volumes at launch.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub volume_tags: Tags,
    /// Tags for the instance and its interfaces at launch.
    pub tags: Tags,
}

/// RestoreDBInstanceToPointInTime, every setting explicit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreSpec {
    /// The identifier of the database to restore from.
    pub source: String,
    /// The identifier of the new database.
    pub target: String,
    /// The point in time (UTC); always explicit.
    pub at: DateTime<Utc>,
    /// The settings that the new database gets: those of this instance, overrides applied.
    pub like: DbInstance,
    /// Tags of the new database.
    pub tags: Tags,
}

/// ModifyDBInstance: only what is `Some` is changed, applied immediately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModifyDb {
    /// Deletion protection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_protection: Option<bool>,
    /// Enhanced monitoring: interval in seconds and role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<(i32, Option<String>)>,
    /// Performance Insights: retention in days and key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance_insights: Option<(Option<i32>, Option<String>)>,
    /// RDS is to keep the master password in a secret of its own: with this KMS key, or with the account's
    /// `aws/secretsmanager`. For what runs with a password of somebody's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_password: Option<Option<String>>,
    /// Security groups, parameter group and other settings that a restore did not take, by the name
    /// of the API's parameter (`VpcSecurityGroupIds` with commas, `DBParameterGroupName` …); a name
    /// that is not known is refused before anything is sent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other: BTreeMap<String, String>,
}

/// What AWS answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The request id, as AWS and CloudTrail name the call.
    pub request_id: Option<String>,
    /// The result.
    pub outcome: Outcome,
}

/// The result of a change, as far as redrill uses it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each field is what the variant says")]
pub enum Outcome {
    /// Accepted; nothing to tell.
    Done,
    /// Each id with its new state.
    Instances { states: BTreeMap<String, String> },
    /// The id of what was created: instance, route table, association, invalidation.
    Created { id: String },
    /// A database and its status.
    Db { identifier: String, status: String },
    /// Per object: the delete marker's version id where one was made.
    Objects { deleted: Vec<DeletedObject>, errors: Vec<ObjectError> },
}

/// One object that DeleteObjects dealt with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedObject {
    /// Key.
    pub key: String,
    /// The version that was removed, where one was named.
    pub version: Option<String>,
    /// The version id of the delete marker that was made.
    pub marker: Option<String>,
}

/// One object that DeleteObjects refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectError {
    /// Key.
    pub key: String,
    /// Code.
    pub code: String,
    /// Message.
    pub message: String,
}

impl Mutation {
    /// The call as AWS names it, for example `ec2:TerminateInstances`.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::TerminateInstances { .. } => "ec2:TerminateInstances",
            Self::StopInstances { .. } => "ec2:StopInstances",
            Self::StartInstances { .. } => "ec2:StartInstances",
            Self::RunInstances { .. } => "ec2:RunInstances",
            Self::CreateTags { .. } => "ec2:CreateTags",
            Self::DeleteTags { .. } => "ec2:DeleteTags",
            Self::CreateRouteTable { .. } => "ec2:CreateRouteTable",
            Self::DeleteRouteTable { .. } => "ec2:DeleteRouteTable",
            Self::AssociateRouteTable { .. } => "ec2:AssociateRouteTable",
            Self::DisassociateRouteTable { .. } => "ec2:DisassociateRouteTable",
            Self::ReplaceRouteTableAssociation { .. } => "ec2:ReplaceRouteTableAssociation",
            Self::AssociateAddress { .. } => "ec2:AssociateAddress",
            Self::RegisterTargets { .. } => "elasticloadbalancing:RegisterTargets",
            Self::DeregisterTargets { .. } => "elasticloadbalancing:DeregisterTargets",
            Self::RestoreDb { .. } => "rds:RestoreDBInstanceToPointInTime",
            Self::ModifyDb { .. } => "rds:ModifyDBInstance",
            Self::DeleteDb { .. } => "rds:DeleteDBInstance",
            Self::RebootDb { .. } => "rds:RebootDBInstance",
            Self::TagDb { .. } => "rds:AddTagsToResource",
            Self::UntagDb { .. } => "rds:RemoveTagsFromResource",
            Self::DeleteObjects { .. } => "s3:DeleteObjects",
            Self::TagBucket { .. } => "s3:PutBucketTagging",
            Self::CreateInvalidation { .. } => "cloudfront:CreateInvalidation",
            Self::TagDistribution { .. } => "cloudfront:TagResource",
            Self::UntagDistribution { .. } => "cloudfront:UntagResource",
        }
    }

    /// The call's parameters for the journal, without what may be secret (user data).
    pub fn redacted(&self) -> serde_json::Value {
        let mut copy = self.clone();
        if let Self::RunInstances { spec, .. } = &mut copy
            && spec.user_data.is_some()
        {
            spec.user_data = Some("[redacted]".to_owned());
        }
        serde_json::to_value(&copy).unwrap_or(serde_json::Value::Null)
    }
}
