//! The read traits over the account. Each call is logged and takes its latency; none changes anything.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::Sim;
use super::refusal::refuse;
use crate::cloud::{
    Address, Alarm, AutoScaling, Bucket, BucketInfo, Certificate, ClassicLoadBalancer, CloudFront,
    CloudResult, CloudWatch, DbInstance, DbSubnetGroup, Decision, Distribution, Ec2, Elb, Filter,
    GroupMember, Iam, Identity, Image, Instance, InstanceAttribute, InstanceType, Interface, InterfacesOf,
    Invalidation, NatGateway, ObjectMeta, ObjectVersion, Offering, Page, Question, Quota, Rds, Registration,
    RouteTable, Ruling, S3, Secret, Secrets, Ssm, StatusChecks, StoredFile, Sts, Subnet, TargetGroup, Trail,
    TrailKey, TrailObject, Volume,
};
use crate::model::Tags;

type Next = Option<String>;

#[async_trait]
impl Sts for Sim {
    async fn identity(&self) -> CloudResult<Identity> {
        self.read("sts:GetCallerIdentity", |w| {
            Ok(Identity {
                account: w.account.clone(),
                arn: format!("arn:aws:sts::{}:assumed-role/redrill/rehearsal", w.account),
                expires_at: None,
                renewable: Some(true),
                server_date: Some(w.now),
            })
        })
        .await
    }
}

/// Nothing here has policies, so everything is allowed but what a test denies. It takes no time and is not
/// among the calls: a rehearsal is about the drill.
#[async_trait]
impl Iam for Sim {
    async fn role_arn(&self, name: &str) -> CloudResult<String> {
        Ok(format!("arn:aws:iam::{}:role/{name}", self.lock().account))
    }

    async fn profile_role(&self, profile: &str) -> CloudResult<Option<String>> {
        self.read("iam:GetInstanceProfile", |w| {
            if w.withdrawn.contains(&format!("profile {profile}")) {
                return Err(refuse("NoSuchEntity", format!("Instance Profile {profile} cannot be found.")));
            }
            Ok(Some(format!("arn:aws:iam::{}:role/{profile}", w.account)))
        })
        .await
    }

    async fn simulate(&self, question: &Question) -> CloudResult<Vec<Decision>> {
        let w = self.lock();
        let pairs = question.actions.iter().flat_map(|a| question.resources.iter().map(move |r| (a, r)));
        let decide = |(action, resource): (&String, &String)| Decision {
            action: action.clone(),
            resource: resource.clone(),
            ruling: if w.denied.contains(action) { Ruling::NoPolicy } else { Ruling::Allowed },
            missing: Vec::new(),
        };
        Ok(pairs.map(decide).collect())
    }
}

#[async_trait]
impl Ec2 for Sim {
    async fn instances(&self, filter: &Filter, page: Next) -> CloudResult<Page<Instance>> {
        self.read("ec2:DescribeInstances", |w| w.list_instances(filter, page)).await
    }

    async fn attribute(&self, id: &str, which: InstanceAttribute) -> CloudResult<Option<String>> {
        self.read("ec2:DescribeInstanceAttribute", |w| w.attribute(id, which)).await
    }

    async fn volumes(&self, ids: &[String], page: Next) -> CloudResult<Page<Volume>> {
        self.read("ec2:DescribeVolumes", |w| w.list_volumes(ids, page)).await
    }

    async fn addresses(&self, instances: &[String]) -> CloudResult<Vec<Address>> {
        self.read("ec2:DescribeAddresses", |w| Ok(w.list_addresses(instances))).await
    }

    async fn subnets(&self, filter: &Filter, page: Next) -> CloudResult<Page<Subnet>> {
        self.read("ec2:DescribeSubnets", |w| w.list_subnets(filter, page)).await
    }

    async fn interfaces(&self, of: &InterfacesOf, page: Next) -> CloudResult<Page<Interface>> {
        self.read("ec2:DescribeNetworkInterfaces", |w| w.list_interfaces(of, page)).await
    }

    async fn nat_gateways(&self, subnets: &[String], page: Next) -> CloudResult<Page<NatGateway>> {
        self.read("ec2:DescribeNatGateways", |w| w.list_nat_gateways(subnets, page)).await
    }

    async fn route_tables(&self, filter: &Filter, page: Next) -> CloudResult<Page<RouteTable>> {
        self.read("ec2:DescribeRouteTables", |w| w.list_tables(filter, page)).await
    }

    async fn spot_request_type(&self, request: &str) -> CloudResult<Option<String>> {
        self.read("ec2:DescribeSpotInstanceRequests", |w| Ok(w.spot_requests.get(request).cloned())).await
    }

    async fn images(&self, ids: &[String]) -> CloudResult<Vec<Image>> {
        self.read("ec2:DescribeImages", |w| w.list_images(ids)).await
    }

    async fn key_pairs(&self, names: &[String]) -> CloudResult<Vec<String>> {
        self.read("ec2:DescribeKeyPairs", |w| Ok(w.list_key_pairs(names))).await
    }

    async fn offerings(&self, types: &[String], page: Next) -> CloudResult<Page<Offering>> {
        self.read("ec2:DescribeInstanceTypeOfferings", |w| w.list_offerings(types, page)).await
    }

    async fn instance_types(&self, names: &[String]) -> CloudResult<Vec<InstanceType>> {
        let of = |name: &String| InstanceType {
            name: name.clone(),
            cores: Some(2),
            threads: Some(1),
            storage: super::launch::has_storage(name),
        };
        self.read("ec2:DescribeInstanceTypes", |_| Ok(names.iter().map(of).collect())).await
    }

    async fn fleets(&self, ids: &[String]) -> CloudResult<BTreeMap<String, String>> {
        let known = |w: &super::world::World| {
            ids.iter().filter_map(|id| Some((id.clone(), w.fleets.get(id)?.clone()))).collect()
        };
        self.read("ec2:DescribeFleets", |w| Ok(known(w))).await
    }

    async fn credits(&self, ids: &[String]) -> CloudResult<BTreeMap<String, String>> {
        self.read("ec2:DescribeInstanceCreditSpecifications", |w| w.list_credits(ids)).await
    }

    async fn status_checks(&self, ids: &[String]) -> CloudResult<Vec<StatusChecks>> {
        self.read("ec2:DescribeInstanceStatus", |w| w.list_status_checks(ids)).await
    }
}

#[async_trait]
impl AutoScaling for Sim {
    async fn members(&self, instances: &[String]) -> CloudResult<Vec<GroupMember>> {
        self.read("autoscaling:DescribeAutoScalingInstances", |w| Ok(w.members(instances))).await
    }
}

#[async_trait]
impl Elb for Sim {
    async fn target_groups(&self, page: Next) -> CloudResult<Page<TargetGroup>> {
        self.read("elasticloadbalancing:DescribeTargetGroups", |w| w.list_target_groups(page)).await
    }

    async fn registrations(&self, group: &str) -> CloudResult<Vec<Registration>> {
        self.read("elasticloadbalancing:DescribeTargetHealth", |w| w.list_registrations(group)).await
    }

    async fn classic(&self, page: Next) -> CloudResult<Page<ClassicLoadBalancer>> {
        self.read("elasticloadbalancing:DescribeLoadBalancers", |w| w.list_classic(page)).await
    }
}

#[async_trait]
impl Rds for Sim {
    async fn instances(&self, identifier: Option<&str>, page: Next) -> CloudResult<Page<DbInstance>> {
        self.read("rds:DescribeDBInstances", |w| w.list_dbs(identifier, page)).await
    }

    async fn subnet_group(&self, name: &str) -> CloudResult<DbSubnetGroup> {
        self.read("rds:DescribeDBSubnetGroups", |w| w.db_subnet_group(name)).await
    }

    async fn certificates(&self, page: Next) -> CloudResult<Page<Certificate>> {
        self.read("rds:DescribeCertificates", |w| w.list_certificates(page)).await
    }

    async fn quotas(&self) -> CloudResult<Vec<Quota>> {
        self.read("rds:DescribeAccountAttributes", |w| Ok(w.quotas())).await
    }
}

#[async_trait]
impl S3 for Sim {
    async fn buckets(&self, page: Next) -> CloudResult<Page<Bucket>> {
        self.read("s3:ListAllMyBuckets", |w| w.list_buckets(page)).await
    }

    async fn bucket_tags(&self, bucket: &str) -> CloudResult<Tags> {
        self.read("s3:GetBucketTagging", |w| w.bucket_tags(bucket)).await
    }

    async fn region(&self, bucket: &str) -> CloudResult<String> {
        self.read("s3:GetBucketLocation", |w| {
            Ok(w.bucket_info(bucket)?.region.unwrap_or_else(|| w.region.clone()))
        })
        .await
    }

    async fn versioning(&self, bucket: &str) -> CloudResult<String> {
        self.read("s3:GetBucketVersioning", |w| w.bucket_info(bucket).map(|i| i.versioning)).await
    }

    async fn bucket_info(&self, bucket: &str) -> CloudResult<BucketInfo> {
        self.read("s3:GetBucketVersioning", |w| w.bucket_info(bucket)).await
    }

    async fn versions(&self, bucket: &str, prefix: &str, page: Next) -> CloudResult<Page<ObjectVersion>> {
        self.read("s3:ListBucketVersions", |w| w.list_versions(bucket, prefix, page)).await
    }

    async fn head(&self, bucket: &str, key: &str) -> CloudResult<Option<ObjectMeta>> {
        self.read("s3:GetObject", |w| w.head(bucket, key)).await
    }
}

#[async_trait]
impl CloudFront for Sim {
    async fn distributions(&self, page: Next) -> CloudResult<Page<Distribution>> {
        self.read("cloudfront:ListDistributions", |w| w.list_distributions(page)).await
    }

    async fn tags(&self, arn: &str) -> CloudResult<Tags> {
        self.read("cloudfront:ListTagsForResource", |w| w.distribution_tags(arn)).await
    }

    async fn invalidations(&self, distribution: &str, page: Next) -> CloudResult<Page<Invalidation>> {
        self.read("cloudfront:ListInvalidations", |w| w.list_invalidations(distribution, page)).await
    }

    async fn invalidation(&self, distribution: &str, id: &str) -> CloudResult<Option<Invalidation>> {
        self.read("cloudfront:GetInvalidation", |w| w.invalidation(distribution, id)).await
    }
}

#[async_trait]
impl CloudWatch for Sim {
    async fn alarm(&self, name: &str) -> CloudResult<Option<Alarm>> {
        self.read("cloudwatch:DescribeAlarms", |w| Ok(w.alarms.get(name).cloned())).await
    }
}

#[async_trait]
impl Secrets for Sim {
    async fn secret(&self, id: &str) -> CloudResult<Secret> {
        self.read("secretsmanager:GetSecretValue", |w| {
            w.secrets
                .get(id)
                .map(|s| Secret::new(s.clone()))
                .ok_or_else(|| refuse("ResourceNotFoundException", format!("no secret is called {id}")))
        })
        .await
    }
}

#[async_trait]
impl Ssm for Sim {
    async fn parameter(&self, name: &str) -> CloudResult<Option<String>> {
        self.read("ssm:GetParameter", |w| Ok(w.parameters.get(name).cloned())).await
    }
}

/// No trail watches the simulator.
#[async_trait]
impl Trail for Sim {
    async fn events(
        &self,
        _region: &str,
        _user: &str,
        _window: (DateTime<Utc>, DateTime<Utc>),
        _page: Next,
    ) -> CloudResult<Page<String>> {
        self.read("cloudtrail:LookupEvents", |_| Ok(Page { items: Vec::new(), next: None })).await
    }

    async fn files(&self, _bucket: &str, _prefix: &str, _page: Next) -> CloudResult<Page<StoredFile>> {
        self.read("s3:ListObjectsV2", |_| Ok(Page { items: Vec::new(), next: None })).await
    }

    async fn file(&self, _bucket: &str, key: &str, _limit: u64) -> CloudResult<TrailObject> {
        self.read("s3:GetObject", |_| Err(refuse("NoSuchKey", format!("there is no {key}")))).await
    }

    async fn public_keys(
        &self,
        _region: &str,
        _window: (DateTime<Utc>, DateTime<Utc>),
        _page: Next,
    ) -> CloudResult<Page<TrailKey>> {
        self.read("cloudtrail:ListPublicKeys", |_| Ok(Page { items: Vec::new(), next: None })).await
    }
}
