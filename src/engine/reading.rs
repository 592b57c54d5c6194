//! Reading at a pace: how a run asks AWS, by steps and by probes.
//!
//! AWS counts reads, too. What steps read (above all, polling) waits for its turn once AWS has
//! throttled ([`Pacer`]), is asked again where it was throttled, and each repetition is on record. What
//! probes read never waits: probes measure, and all that they share with polling is that a probe which
//! is throttled slows the polling down. A probe that is throttled all the same answers "unknown".
//!
//! One wrapper a trait, and no logic in any of them but [`Lane::read`]. Looks at single instances are
//! [gathered](super::gathered) before they come here.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use tokio::sync::Semaphore;

use super::gate::call_error;
use super::gathered::Gathered;
use super::gathered_health::GatheredHealth;
use super::pace::{Lane as Pace, Pacer};
use super::recorder::Recorder;
use crate::cloud::*;
use crate::journal::Event;
use crate::model::Tags;

/// How often a throttled read is sent; with the longest gaps about half a minute, after which polling
/// says that it cannot look, and looks again.
const ATTEMPTS: u32 = 8;
/// Reads of steps under way at once: a step polls all its targets together.
const ABREAST: usize = 8;

/// How reads are sent.
#[derive(Clone)]
struct Lane {
    pacer: Arc<Pacer>,
    /// Where repetitions are recorded; without one, reads go out at once and once.
    patient: Option<Arc<Recorder>>,
    /// How many more reads may be under way.
    room: Arc<Semaphore>,
    /// Where secrets that were read are noted.
    held: Held,
}

impl Lane {
    async fn read<T, F>(&self, operation: &'static str, ask: impl Fn() -> F) -> CloudResult<T>
    where
        F: Future<Output = CloudResult<T>>,
    {
        // it is never closed
        let _room = self.room.acquire().await.ok();
        let mut attempt = 1;
        loop {
            if self.patient.is_some() {
                self.pacer.turn(Pace::Reads, operation).await;
            }
            let answer = ask().await;
            let throttled = matches!(&answer, Err(e) if e.kind == ErrorKind::Throttled);
            self.pacer.answered(Pace::Reads, operation, throttled);
            match (&answer, &self.patient) {
                (Err(e), Some(recorder)) if throttled && attempt < ATTEMPTS => {
                    let (operation, error) = (operation.to_owned(), call_error(e));
                    // a broken journal stops the run elsewhere; a read changes nothing
                    let _broken = recorder.note(vec![Event::ReadRetried { operation, attempt, error }]).await;
                    attempt += 1;
                }
                _ => return answer,
            }
        }
    }
}

struct Paced<T: ?Sized> {
    inner: Arc<T>,
    lane: Lane,
}

/// The same reads as steps ask them, and as probes do.
pub(super) fn lanes(cloud: &Cloud, pacer: &Arc<Pacer>, recorder: &Arc<Recorder>) -> (Reads, Reads) {
    let lane = |patient, room| Lane {
        pacer: Arc::clone(pacer),
        patient,
        room: Arc::new(Semaphore::new(room)),
        held: cloud.held.clone(),
    };
    let mut steps = through(&cloud.reads, &lane(Some(Arc::clone(recorder)), ABREAST));
    steps.ec2 = Arc::new(Gathered::new(steps.ec2));
    steps.elb = Arc::new(GatheredHealth::new(steps.elb));
    (steps, through(&cloud.reads, &lane(None, Semaphore::MAX_PERMITS)))
}

fn through(reads: &Reads, lane: &Lane) -> Reads {
    macro_rules! paced {
        ($($service:ident),*) => {
            Reads {
                $($service: Arc::new(Paced { inner: Arc::clone(&reads.$service), lane: lane.clone() }),)*
                trail: Arc::clone(&reads.trail),
                net: Arc::clone(&reads.net),
                safe: Arc::clone(&reads.safe),
            }
        };
    }
    paced!(sts, iam, ec2, autoscaling, elb, rds, s3, cloudfront, cloudwatch, secrets, ssm, whole)
}

#[async_trait]
impl Sts for Paced<dyn Sts> {
    async fn identity(&self) -> CloudResult<Identity> {
        self.lane.read("sts:GetCallerIdentity", || self.inner.identity()).await
    }
}

#[async_trait]
impl Iam for Paced<dyn Iam> {
    async fn role_arn(&self, name: &str) -> CloudResult<String> {
        self.lane.read("iam:GetRole", || self.inner.role_arn(name)).await
    }
    async fn profile_role(&self, profile: &str) -> CloudResult<Option<String>> {
        self.lane.read("iam:GetInstanceProfile", || self.inner.profile_role(profile)).await
    }
    async fn simulate(&self, question: &Question) -> CloudResult<Vec<Decision>> {
        self.lane.read("iam:SimulatePrincipalPolicy", || self.inner.simulate(question)).await
    }
}

#[async_trait]
impl Whole for Paced<dyn Whole> {
    async fn whole(&self, part: Part, ids: &[String]) -> CloudResult<BTreeMap<String, Fields>> {
        self.lane.read(part.operation(), || self.inner.whole(part, ids)).await
    }
}

#[async_trait]
impl Ec2 for Paced<dyn Ec2> {
    async fn instances(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<Instance>> {
        self.lane.read("ec2:DescribeInstances", || self.inner.instances(filter, page.clone())).await
    }
    async fn attribute(&self, id: &str, which: InstanceAttribute) -> CloudResult<Option<String>> {
        self.lane.read("ec2:DescribeInstanceAttribute", || self.inner.attribute(id, which)).await
    }
    async fn volumes(&self, ids: &[String], page: Option<String>) -> CloudResult<Page<Volume>> {
        self.lane.read("ec2:DescribeVolumes", || self.inner.volumes(ids, page.clone())).await
    }
    async fn addresses(&self, instances: &[String]) -> CloudResult<Vec<Address>> {
        self.lane.read("ec2:DescribeAddresses", || self.inner.addresses(instances)).await
    }
    async fn subnets(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<Subnet>> {
        self.lane.read("ec2:DescribeSubnets", || self.inner.subnets(filter, page.clone())).await
    }
    async fn interfaces(&self, of: &InterfacesOf, page: Option<String>) -> CloudResult<Page<Interface>> {
        self.lane.read("ec2:DescribeNetworkInterfaces", || self.inner.interfaces(of, page.clone())).await
    }
    async fn nat_gateways(&self, subnets: &[String], page: Option<String>) -> CloudResult<Page<NatGateway>> {
        let ask = || self.inner.nat_gateways(subnets, page.clone());
        self.lane.read("ec2:DescribeNatGateways", ask).await
    }
    async fn route_tables(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<RouteTable>> {
        self.lane.read("ec2:DescribeRouteTables", || self.inner.route_tables(filter, page.clone())).await
    }
    async fn spot_request_type(&self, request: &str) -> CloudResult<Option<String>> {
        self.lane.read("ec2:DescribeSpotInstanceRequests", || self.inner.spot_request_type(request)).await
    }
    async fn fleets(&self, ids: &[String]) -> CloudResult<BTreeMap<String, String>> {
        self.lane.read("ec2:DescribeFleets", || self.inner.fleets(ids)).await
    }
    async fn images(&self, ids: &[String]) -> CloudResult<Vec<Image>> {
        self.lane.read("ec2:DescribeImages", || self.inner.images(ids)).await
    }
    async fn key_pairs(&self, names: &[String]) -> CloudResult<Vec<String>> {
        self.lane.read("ec2:DescribeKeyPairs", || self.inner.key_pairs(names)).await
    }
    async fn offerings(&self, types: &[String], page: Option<String>) -> CloudResult<Page<Offering>> {
        let ask = || self.inner.offerings(types, page.clone());
        self.lane.read("ec2:DescribeInstanceTypeOfferings", ask).await
    }
    async fn instance_types(&self, names: &[String]) -> CloudResult<Vec<InstanceType>> {
        self.lane.read("ec2:DescribeInstanceTypes", || self.inner.instance_types(names)).await
    }
    async fn credits(&self, ids: &[String]) -> CloudResult<BTreeMap<String, String>> {
        self.lane.read("ec2:DescribeInstanceCreditSpecifications", || self.inner.credits(ids)).await
    }
    async fn status_checks(&self, ids: &[String]) -> CloudResult<Vec<StatusChecks>> {
        self.lane.read("ec2:DescribeInstanceStatus", || self.inner.status_checks(ids)).await
    }
}

#[async_trait]
impl AutoScaling for Paced<dyn AutoScaling> {
    async fn members(&self, instances: &[String]) -> CloudResult<Vec<GroupMember>> {
        self.lane.read("autoscaling:DescribeAutoScalingInstances", || self.inner.members(instances)).await
    }
}

#[async_trait]
impl Elb for Paced<dyn Elb> {
    async fn target_groups(&self, page: Option<String>) -> CloudResult<Page<TargetGroup>> {
        let ask = || self.inner.target_groups(page.clone());
        self.lane.read("elasticloadbalancing:DescribeTargetGroups", ask).await
    }
    async fn registrations(&self, group: &str) -> CloudResult<Vec<Registration>> {
        let ask = || self.inner.registrations(group);
        self.lane.read("elasticloadbalancing:DescribeTargetHealth", ask).await
    }
    async fn classic(&self, page: Option<String>) -> CloudResult<Page<ClassicLoadBalancer>> {
        let ask = || self.inner.classic(page.clone());
        self.lane.read("elasticloadbalancing:DescribeLoadBalancers", ask).await
    }
}

#[async_trait]
impl Rds for Paced<dyn Rds> {
    async fn instances(
        &self,
        identifier: Option<&str>,
        page: Option<String>,
    ) -> CloudResult<Page<DbInstance>> {
        self.lane.read("rds:DescribeDBInstances", || self.inner.instances(identifier, page.clone())).await
    }
    async fn subnet_group(&self, name: &str) -> CloudResult<DbSubnetGroup> {
        self.lane.read("rds:DescribeDBSubnetGroups", || self.inner.subnet_group(name)).await
    }
    async fn certificates(&self, page: Option<String>) -> CloudResult<Page<Certificate>> {
        let ask = || self.inner.certificates(page.clone());
        self.lane.read("rds:DescribeCertificates", ask).await
    }
    async fn quotas(&self) -> CloudResult<Vec<Quota>> {
        self.lane.read("rds:DescribeAccountAttributes", || self.inner.quotas()).await
    }
}

#[async_trait]
impl S3 for Paced<dyn S3> {
    async fn buckets(&self, page: Option<String>) -> CloudResult<Page<Bucket>> {
        self.lane.read("s3:ListBuckets", || self.inner.buckets(page.clone())).await
    }
    async fn bucket_tags(&self, bucket: &str) -> CloudResult<Tags> {
        self.lane.read("s3:GetBucketTagging", || self.inner.bucket_tags(bucket)).await
    }
    async fn region(&self, bucket: &str) -> CloudResult<String> {
        self.lane.read("s3:GetBucketLocation", || self.inner.region(bucket)).await
    }
    async fn versioning(&self, bucket: &str) -> CloudResult<String> {
        self.lane.read("s3:GetBucketVersioning", || self.inner.versioning(bucket)).await
    }
    async fn bucket_info(&self, bucket: &str) -> CloudResult<BucketInfo> {
        self.lane.read("s3:GetBucketVersioning", || self.inner.bucket_info(bucket)).await
    }
    async fn versions(
        &self,
        bucket: &str,
        prefix: &str,
        page: Option<String>,
    ) -> CloudResult<Page<ObjectVersion>> {
        let ask = || self.inner.versions(bucket, prefix, page.clone());
        self.lane.read("s3:ListObjectVersions", ask).await
    }
    async fn head(&self, bucket: &str, key: &str) -> CloudResult<Option<ObjectMeta>> {
        self.lane.read("s3:HeadObject", || self.inner.head(bucket, key)).await
    }
}

#[async_trait]
impl CloudFront for Paced<dyn CloudFront> {
    async fn distributions(&self, page: Option<String>) -> CloudResult<Page<Distribution>> {
        self.lane.read("cloudfront:ListDistributions", || self.inner.distributions(page.clone())).await
    }
    async fn tags(&self, arn: &str) -> CloudResult<Tags> {
        self.lane.read("cloudfront:ListTagsForResource", || self.inner.tags(arn)).await
    }
    async fn invalidations(
        &self,
        distribution: &str,
        page: Option<String>,
    ) -> CloudResult<Page<Invalidation>> {
        let ask = || self.inner.invalidations(distribution, page.clone());
        self.lane.read("cloudfront:ListInvalidations", ask).await
    }
    async fn invalidation(&self, distribution: &str, id: &str) -> CloudResult<Option<Invalidation>> {
        self.lane.read("cloudfront:GetInvalidation", || self.inner.invalidation(distribution, id)).await
    }
}

#[async_trait]
impl CloudWatch for Paced<dyn CloudWatch> {
    async fn alarm(&self, name: &str) -> CloudResult<Option<Alarm>> {
        self.lane.read("cloudwatch:DescribeAlarms", || self.inner.alarm(name)).await
    }
}

#[async_trait]
impl Secrets for Paced<dyn Secrets> {
    async fn secret(&self, id: &str) -> CloudResult<Secret> {
        let secret = self.lane.read("secretsmanager:GetSecretValue", || self.inner.secret(id)).await?;
        self.lane.held.password(&secret);
        Ok(secret)
    }
}

#[async_trait]
impl Ssm for Paced<dyn Ssm> {
    async fn parameter(&self, name: &str) -> CloudResult<Option<String>> {
        self.lane.read("ssm:GetParameter", || self.inner.parameter(name)).await
    }
}
