//! The traits: one narrow read trait a service, and the one gate for changes.
//!
//! Listings return single pages; callers read them all with [`super::all_pages`]. Implementations
//! retry reads themselves where that is safe, and never cache.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::asked::*;
use super::launching::{Image, InstanceType, Offering, StatusChecks};
use super::network::*;
use super::types::*;
use super::whole::{Fields, Part};
use super::{Certificate, CloudResult, DbSubnetGroup, Mutation, Reply};
use crate::model::{ProgramEnd, ProgramId};

/// STS.
#[async_trait]
pub trait Sts: Send + Sync {
    /// GetCallerIdentity.
    async fn identity(&self) -> CloudResult<Identity>;
}

/// IAM: what it would decide, without a call to the service that is asked about.
#[async_trait]
pub trait Iam: Send + Sync {
    /// GetRole: the ARN of a role with its path, which the ARN of a session leaves out.
    async fn role_arn(&self, name: &str) -> CloudResult<String>;
    /// GetInstanceProfile: the ARN of the role in it, where there is one; a profile that does not exist is an error of
    /// kind `NotFound`.
    async fn profile_role(&self, profile: &str) -> CloudResult<Option<String>>;
    /// SimulatePrincipalPolicy, every page: each action on each resource. It only reads; AWS performs none of
    /// the actions.
    async fn simulate(&self, question: &Question) -> CloudResult<Vec<Decision>>;
}

/// EC2 and VPC reads.
#[async_trait]
pub trait Ec2: Send + Sync {
    /// DescribeInstances. Ids that do not exist are an error of kind `NotFound`, as on AWS.
    async fn instances(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<Instance>>;
    /// DescribeInstanceAttribute: one attribute of one instance, as AWS has no call for several of either. `None`
    /// where it has no value.
    async fn attribute(&self, id: &str, which: InstanceAttribute) -> CloudResult<Option<String>>;
    /// DescribeVolumes.
    async fn volumes(&self, ids: &[String], page: Option<String>) -> CloudResult<Page<Volume>>;
    /// DescribeAddresses: the Elastic IPs associated with these instances (AWS does not page it).
    async fn addresses(&self, instances: &[String]) -> CloudResult<Vec<Address>>;
    /// DescribeSubnets.
    async fn subnets(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<Subnet>>;
    /// DescribeNetworkInterfaces: at most 200 values of a filter.
    async fn interfaces(&self, of: &InterfacesOf, page: Option<String>) -> CloudResult<Page<Interface>>;
    /// DescribeNatGateways in these subnets: at most 200 of them.
    async fn nat_gateways(&self, subnets: &[String], page: Option<String>) -> CloudResult<Page<NatGateway>>;
    /// DescribeRouteTables.
    async fn route_tables(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<RouteTable>>;
    /// Whether a Spot request is `one-time` or `persistent` (DescribeSpotInstanceRequests).
    async fn spot_request_type(&self, request: &str) -> CloudResult<Option<String>>;
    /// `maintain`, `request` or `instant`: the types of those of these EC2 Fleets that exist (DescribeFleets).
    async fn fleets(&self, ids: &[String]) -> CloudResult<BTreeMap<String, String>>;
    /// DescribeImages, deprecated ones included. An id that does not exist, or that the caller may not use, is an error
    /// of kind `NotFound`, as on AWS.
    async fn images(&self, ids: &[String]) -> CloudResult<Vec<Image>>;
    /// The names of these key pairs that exist (DescribeKeyPairs).
    async fn key_pairs(&self, names: &[String]) -> CloudResult<Vec<String>>;
    /// The zones of the region that have these instance types (DescribeInstanceTypeOfferings).
    async fn offerings(&self, types: &[String], page: Option<String>) -> CloudResult<Page<Offering>>;
    /// DescribeInstanceTypes. A type that does not exist is an error of kind `Invalid`, as on AWS.
    async fn instance_types(&self, names: &[String]) -> CloudResult<Vec<InstanceType>>;
    /// `standard` or `unlimited`, by id; the instances are of types with CPU credits (DescribeInstanceCreditSpecifications).
    async fn credits(&self, ids: &[String]) -> CloudResult<BTreeMap<String, String>>;
    /// DescribeInstanceStatus: the status checks of those of these instances that run.
    async fn status_checks(&self, ids: &[String]) -> CloudResult<Vec<StatusChecks>>;
}

/// Reads in full: every field that AWS tells, also those that nothing here knows.
#[async_trait]
pub trait Whole: Send + Sync {
    /// Those of these resources that exist, by id. An instance or a database that does not exist may be an error of
    /// kind `NotFound`.
    async fn whole(&self, part: Part, ids: &[String]) -> CloudResult<BTreeMap<String, Fields>>;
}

/// Auto Scaling reads.
#[async_trait]
pub trait AutoScaling: Send + Sync {
    /// The groups that these instances belong to, with the groups' suspended processes
    /// (DescribeAutoScalingInstances and DescribeAutoScalingGroups, every page).
    async fn members(&self, instances: &[String]) -> CloudResult<Vec<GroupMember>>;
}

/// Elastic Load Balancing reads.
#[async_trait]
pub trait Elb: Send + Sync {
    /// DescribeTargetGroups.
    async fn target_groups(&self, page: Option<String>) -> CloudResult<Page<TargetGroup>>;
    /// DescribeTargetHealth (AWS does not page it).
    async fn registrations(&self, group: &str) -> CloudResult<Vec<Registration>>;
    /// DescribeLoadBalancers of the first version of the API: Classic Load Balancers.
    async fn classic(&self, page: Option<String>) -> CloudResult<Page<ClassicLoadBalancer>>;
}

/// RDS reads.
#[async_trait]
pub trait Rds: Send + Sync {
    /// DescribeDBInstances; with an identifier, one page with one item or `NotFound`.
    async fn instances(
        &self,
        identifier: Option<&str>,
        page: Option<String>,
    ) -> CloudResult<Page<DbInstance>>;
    /// DescribeDBSubnetGroups, of one name.
    async fn subnet_group(&self, name: &str) -> CloudResult<DbSubnetGroup>;
    /// DescribeCertificates.
    async fn certificates(&self, page: Option<String>) -> CloudResult<Page<Certificate>>;
    /// DescribeAccountAttributes.
    async fn quotas(&self) -> CloudResult<Vec<Quota>>;
}

/// S3 reads.
#[async_trait]
pub trait S3: Send + Sync {
    /// ListBuckets.
    async fn buckets(&self, page: Option<String>) -> CloudResult<Page<Bucket>>;
    /// GetBucketTagging; no tags is an empty map, not an error.
    async fn bucket_tags(&self, bucket: &str) -> CloudResult<crate::model::Tags>;
    /// GetBucketLocation: its region.
    async fn region(&self, bucket: &str) -> CloudResult<String>;
    /// GetBucketVersioning: `Enabled`, `Suspended`, or empty where it was never on.
    async fn versioning(&self, bucket: &str) -> CloudResult<String>;
    /// All the settings that a deletion depends on, one call for each.
    async fn bucket_info(&self, bucket: &str) -> CloudResult<BucketInfo>;
    /// ListObjectVersions under a prefix: versions and delete markers.
    async fn versions(
        &self,
        bucket: &str,
        prefix: &str,
        page: Option<String>,
    ) -> CloudResult<Page<ObjectVersion>>;
    /// HeadObject; a missing object (or one under a delete marker) is `None`.
    async fn head(&self, bucket: &str, key: &str) -> CloudResult<Option<ObjectMeta>>;
}

/// CloudFront reads.
#[async_trait]
pub trait CloudFront: Send + Sync {
    /// ListDistributions.
    async fn distributions(&self, page: Option<String>) -> CloudResult<Page<Distribution>>;
    /// ListTagsForResource.
    async fn tags(&self, arn: &str) -> CloudResult<crate::model::Tags>;
    /// ListInvalidations: id, status and time only.
    async fn invalidations(
        &self,
        distribution: &str,
        page: Option<String>,
    ) -> CloudResult<Page<Invalidation>>;
    /// GetInvalidation; `None` where it does not exist.
    async fn invalidation(&self, distribution: &str, id: &str) -> CloudResult<Option<Invalidation>>;
}

/// CloudWatch reads.
#[async_trait]
pub trait CloudWatch: Send + Sync {
    /// DescribeAlarms by name; `None` where it does not exist.
    async fn alarm(&self, name: &str) -> CloudResult<Option<Alarm>>;
}

/// Secrets Manager reads.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// GetSecretValue: the secret string.
    async fn secret(&self, id: &str) -> CloudResult<Secret>;
}

/// Systems Manager reads.
#[async_trait]
pub trait Ssm: Send + Sync {
    /// GetParameter, without decryption; a parameter that does not exist is `None`.
    async fn parameter(&self, name: &str) -> CloudResult<Option<String>>;
}

/// CloudTrail, and the files that a trail leaves in S3.
#[async_trait]
pub trait Trail: Send + Sync {
    /// LookupEvents: the management events of a user name in one region and window, each as its JSON
    /// text. Two requests a second are allowed per account and region; the caller paces itself.
    async fn events(
        &self,
        region: &str,
        user: &str,
        window: (DateTime<Utc>, DateTime<Utc>),
        page: Option<String>,
    ) -> CloudResult<Page<String>>;
    /// ListObjectsV2 under a prefix.
    async fn files(&self, bucket: &str, prefix: &str, page: Option<String>) -> CloudResult<Page<StoredFile>>;
    /// GetObject. An object larger than `limit` bytes is an error of kind `Limit`.
    async fn file(&self, bucket: &str, key: &str, limit: u64) -> CloudResult<TrailObject>;
    /// ListPublicKeys: what CloudTrail signed digests of a region under, in a time.
    async fn public_keys(
        &self,
        region: &str,
        window: (DateTime<Utc>, DateTime<Utc>),
        page: Option<String>,
    ) -> CloudResult<Page<TrailKey>>;
}

/// What probes ask of the network. The caller bounds the time.
#[async_trait]
pub trait Net: Send + Sync {
    /// One HTTP request; no redirects, no retries.
    async fn http(&self, request: &HttpRequest) -> CloudResult<HttpResponse>;
    /// Opens a TCP connection and closes it; to a link-local address only if that is allowed.
    async fn tcp(&self, host: &str, port: u16, link_local: bool) -> CloudResult<()>;
    /// One query on one fresh connection, in a transaction that only reads.
    async fn sql(&self, request: &SqlRequest) -> CloudResult<SqlAnswer>;

    /// The value of an environment variable of this machine. A machine that is made up has each of them.
    fn variable(&self, _name: &str) -> Option<Secret> {
        Some(Secret::new("simulated"))
    }

    /// Whether there is a file of that name on this machine. A machine that is made up has it.
    fn is_file(&self, _path: &str) -> bool {
        true
    }

    /// The key that probes make hashes with of what they read. It is made anew by each process and written
    /// nowhere, so that a short value cannot be found by trying. What is made up needs none.
    fn hash_key(&self) -> [u8; 32] {
        [0; 32]
    }
}

/// Whoever has a local program started: is told what it will be known by.
#[async_trait]
pub trait Starting: Send + Sync {
    /// What is put into its environment, so that it and whatever it starts are known again.
    fn mark(&self) -> &str;

    /// It is known by this, and does nothing before this has returned.
    ///
    /// # Errors
    /// It is not to be started.
    async fn known(&self, program: &ProgramId) -> CloudResult<()>;
}

/// Why a program that may still run was not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unended {
    /// From here it cannot be seen whether it runs.
    Unseen(String),
    /// It is there, and could not be ended: these processes, in words, and by their ids.
    Lives(String, Vec<u32>),
}

/// Runs local programs.
#[async_trait]
pub trait Local: Send + Sync {
    /// Runs one program to its end or its time limit; `Err` where it could not be started, or nobody knows how it
    /// ended. A machine that is made up starts nothing and tells `starting` nothing.
    async fn run(&self, request: &CommandRequest, starting: &dyn Starting) -> CloudResult<CommandOutput>;

    /// Ends a program that an earlier [`Local::run`] may have left: asks it to, then kills it. Touches nothing that
    /// is not surely of it. On a machine that is made up there is none.
    ///
    /// # Errors
    /// It may be there all the same.
    async fn end(&self, _program: &ProgramId) -> Result<ProgramEnd, Unended> {
        Ok(ProgramEnd::Gone)
    }

    /// The folder in which programs are started that name none; a machine that is made up has none.
    fn folder(&self) -> Option<String> {
        None
    }

    /// Why a program could not be started, as far as that shows before it is; nothing is wrong where the machine is
    /// made up.
    fn lacks(&self, _request: &CommandRequest) -> Option<String> {
        None
    }

    /// Whether there is a file, a folder or a link of that name on this machine; there is none where
    /// the machine is made up. Where the folder that it would lie in is not there, nobody knows: a share may not be
    /// mounted.
    async fn exists(&self, _path: &str) -> CloudResult<bool> {
        Ok(false)
    }

    /// The addresses of this machine, as far as they are known; empty where it is none of the world's.
    fn addresses(&self) -> Vec<std::net::IpAddr> {
        Vec::new()
    }

    /// Whether this process runs in a container, whose address nobody outside of its host may know.
    fn is_contained(&self) -> bool {
        false
    }
}

/// EC2's DryRun: whether AWS would accept a change, which it does not make.
#[async_trait]
pub trait DryRun: Send + Sync {
    /// Asks.
    ///
    /// # Errors
    /// AWS would refuse the change, says nothing of it, or could not be asked.
    async fn would(&self, mutation: &Mutation) -> CloudResult<()>;
}

/// The one way to change something.
#[async_trait]
pub trait Mutate: Send + Sync {
    /// Sends one change, once. Never retries.
    ///
    /// # Errors
    /// Each error says in `effect` whether something may have happened all the same.
    async fn send(&self, mutation: &Mutation) -> CloudResult<Reply>;
}
