//! A decorator over a whole [`Cloud`] whose reads now and then leave out what is there: for the crash harness.
//!
//! It says only what AWS may say: that something asked for by name is not found, a page without its items, or what
//! was true before the last change. Changes pass as they are, and are counted; probes of the network are not its
//! business. One wrapper a trait, and no logic in any of them but [`Reader::read`].

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::*;
use crate::model::Tags;

/// How a look misses what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misread {
    /// What is asked for by name is not found.
    NotFound,
    /// The answer, or one page of it, has no items.
    Empty,
    /// The answer is the one from before the last change.
    Stale,
}

/// Decides for the n-th read (from 0) of which operation whether and how it misses something.
pub type Decide = dyn Fn(usize, &str) -> Option<Misread> + Send + Sync;

/// Misreads as `decide` says, and remembers what else could have been misread.
pub struct Reader {
    decide: Box<Decide>,
    reads: AtomicUsize,
    changes: AtomicUsize,
    memory: Mutex<BTreeMap<String, Remembered>>,
    chances: Mutex<Vec<(usize, Misread)>>,
}

/// The newest answer to a question and the newest one from before the last change, each after how many changes.
#[derive(Default)]
struct Remembered {
    newest: Option<(usize, Box<dyn Any + Send>)>,
    older: Option<Box<dyn Any + Send>>,
}

impl Reader {
    /// Misreads nothing until `decide` says so.
    pub fn new(decide: impl Fn(usize, &str) -> Option<Misread> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            decide: Box::new(decide),
            reads: AtomicUsize::new(0),
            changes: AtomicUsize::new(0),
            memory: Mutex::default(),
            chances: Mutex::default(),
        })
    }

    /// The cloud as this reader sees it.
    pub fn over(self: &Arc<Self>, cloud: Cloud) -> Cloud {
        macro_rules! misread {
            ($($service:ident),*) => {
                Reads {
                    $($service: Arc::new(Seen { inner: Arc::clone(&cloud.reads.$service), by: Arc::clone(self) }),)*
                    ..cloud.reads.clone()
                }
            };
        }
        let reads = misread!(ec2, autoscaling, elb, rds, s3, cloudfront);
        let mutate = Arc::new(Seen { inner: Arc::clone(&cloud.mutate), by: Arc::clone(self) });
        Cloud { reads, mutate, ..cloud }
    }

    /// Every read so far that could have said something else, with how.
    pub fn chances(&self) -> Vec<(usize, Misread)> {
        self.chances.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `missing` is the answer where what was asked for by name is not found; `emptied` takes the items out.
    async fn read<T, F>(
        &self,
        operation: &'static str,
        question: &[&(dyn Debug + Sync)],
        ask: F,
        missing: Option<CloudResult<T>>,
        emptied: impl FnOnce(&T) -> Option<T> + Send,
    ) -> CloudResult<T>
    where
        T: Clone + Debug + Send + 'static,
        F: Future<Output = CloudResult<T>>,
    {
        let n = self.reads.fetch_add(1, Ordering::SeqCst);
        let answer = ask.await;
        let older = self.remember(format!("{operation} {question:?}"), &answer);
        let Ok(items) = &answer else { return answer };
        let others =
            [(Misread::NotFound, missing), (Misread::Empty, emptied(items).map(Ok)), (Misread::Stale, older)];
        let said = format!("{answer:?}");
        let wanted = (self.decide)(n, operation);
        let mut instead = None;
        for (how, other) in others {
            let Some(other) = other.filter(|o| format!("{o:?}") != said) else { continue };
            self.chances.lock().unwrap_or_else(PoisonError::into_inner).push((n, how));
            if wanted == Some(how) {
                instead = Some(other);
            }
        }
        instead.unwrap_or(answer)
    }

    /// Keeps an answer; gives the one to the same question from before the last change.
    fn remember<T: Clone + Send + 'static>(
        &self,
        question: String,
        answer: &CloudResult<T>,
    ) -> Option<CloudResult<T>> {
        let now = self.changes.load(Ordering::SeqCst);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let known = memory.entry(question).or_default();
        match known.newest.take() {
            Some((then, newest)) if then < now => known.older = Some(newest),
            _ => {}
        }
        known.newest = Some((now, Box::new(answer.clone())));
        known.older.as_ref().and_then(|older| older.downcast_ref::<CloudResult<T>>().cloned())
    }
}

struct Seen<T: ?Sized> {
    inner: Arc<T>,
    by: Arc<Reader>,
}

#[async_trait]
impl Mutate for Seen<dyn Mutate> {
    async fn send(&self, mutation: &Mutation) -> CloudResult<Reply> {
        let answer = self.inner.send(mutation).await;
        self.by.changes.fetch_add(1, Ordering::SeqCst);
        answer
    }
}

fn gone<T>(operation: &str, named: bool, code: &str) -> Option<CloudResult<T>> {
    let error = || CloudError::new(operation, ErrorKind::NotFound, "it is not found (injected)").code(code);
    named.then(|| Err(error()))
}

#[expect(clippy::unnecessary_wraps, reason = "what `Reader::read` takes")]
fn no_items<T>(page: &Page<T>) -> Option<Page<T>> {
    Some(Page { items: Vec::new(), next: page.next.clone() })
}

#[expect(clippy::unnecessary_wraps, reason = "what `Reader::read` takes")]
fn none_of<T>(_: &Vec<T>) -> Option<Vec<T>> {
    Some(Vec::new())
}

#[async_trait]
impl Ec2 for Seen<dyn Ec2> {
    async fn instances(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<Instance>> {
        let op = "ec2:DescribeInstances";
        let missing = gone(op, !filter.ids.is_empty(), "InvalidInstanceID.NotFound");
        let ask = self.inner.instances(filter, page.clone());
        self.by.read(op, &[filter, &page], ask, missing, no_items).await
    }
    async fn attribute(&self, id: &str, which: InstanceAttribute) -> CloudResult<Option<String>> {
        let op = "ec2:DescribeInstanceAttribute";
        let missing = gone(op, true, "InvalidInstanceID.NotFound");
        self.by.read(op, &[&id], self.inner.attribute(id, which), missing, |_| None).await
    }
    async fn volumes(&self, ids: &[String], page: Option<String>) -> CloudResult<Page<Volume>> {
        let op = "ec2:DescribeVolumes";
        let missing = gone(op, !ids.is_empty(), "InvalidVolume.NotFound");
        self.by.read(op, &[&ids, &page], self.inner.volumes(ids, page.clone()), missing, no_items).await
    }
    async fn addresses(&self, instances: &[String]) -> CloudResult<Vec<Address>> {
        let ask = self.inner.addresses(instances);
        self.by.read("ec2:DescribeAddresses", &[&instances], ask, None, none_of).await
    }
    async fn subnets(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<Subnet>> {
        let op = "ec2:DescribeSubnets";
        let missing = gone(op, !filter.ids.is_empty(), "InvalidSubnetID.NotFound");
        self.by.read(op, &[filter, &page], self.inner.subnets(filter, page.clone()), missing, no_items).await
    }
    async fn interfaces(&self, of: &InterfacesOf, page: Option<String>) -> CloudResult<Page<Interface>> {
        let ask = self.inner.interfaces(of, page.clone());
        self.by.read("ec2:DescribeNetworkInterfaces", &[of, &page], ask, None, no_items).await
    }
    async fn nat_gateways(&self, subnets: &[String], page: Option<String>) -> CloudResult<Page<NatGateway>> {
        let ask = self.inner.nat_gateways(subnets, page.clone());
        self.by.read("ec2:DescribeNatGateways", &[&subnets, &page], ask, None, no_items).await
    }
    async fn route_tables(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<RouteTable>> {
        let op = "ec2:DescribeRouteTables";
        let missing = gone(op, !filter.ids.is_empty(), "InvalidRouteTableID.NotFound");
        let ask = self.inner.route_tables(filter, page.clone());
        self.by.read(op, &[filter, &page], ask, missing, no_items).await
    }
    async fn spot_request_type(&self, request: &str) -> CloudResult<Option<String>> {
        self.inner.spot_request_type(request).await
    }
    async fn images(&self, ids: &[String]) -> CloudResult<Vec<Image>> {
        // images, key pairs and offerings are no part of what a run changes: they are old, and listed
        self.inner.images(ids).await
    }
    async fn key_pairs(&self, names: &[String]) -> CloudResult<Vec<String>> {
        self.inner.key_pairs(names).await
    }
    async fn offerings(&self, types: &[String], page: Option<String>) -> CloudResult<Page<Offering>> {
        self.inner.offerings(types, page).await
    }
    async fn fleets(&self, ids: &[String]) -> CloudResult<BTreeMap<String, String>> {
        self.inner.fleets(ids).await
    }
    async fn instance_types(&self, names: &[String]) -> CloudResult<Vec<InstanceType>> {
        self.inner.instance_types(names).await
    }
    async fn credits(&self, ids: &[String]) -> CloudResult<BTreeMap<String, String>> {
        self.inner.credits(ids).await
    }
    async fn status_checks(&self, ids: &[String]) -> CloudResult<Vec<StatusChecks>> {
        let ask = self.inner.status_checks(ids);
        self.by.read("ec2:DescribeInstanceStatus", &[&ids], ask, None, none_of).await
    }
}

#[async_trait]
impl AutoScaling for Seen<dyn AutoScaling> {
    async fn members(&self, instances: &[String]) -> CloudResult<Vec<GroupMember>> {
        let ask = self.inner.members(instances);
        self.by.read("autoscaling:DescribeAutoScalingInstances", &[&instances], ask, None, none_of).await
    }
}

#[async_trait]
impl Elb for Seen<dyn Elb> {
    async fn target_groups(&self, page: Option<String>) -> CloudResult<Page<TargetGroup>> {
        let ask = self.inner.target_groups(page.clone());
        self.by.read("elasticloadbalancing:DescribeTargetGroups", &[&page], ask, None, no_items).await
    }
    async fn registrations(&self, group: &str) -> CloudResult<Vec<Registration>> {
        let op = "elasticloadbalancing:DescribeTargetHealth";
        let missing = gone(op, true, "TargetGroupNotFound");
        self.by.read(op, &[&group], self.inner.registrations(group), missing, none_of).await
    }
    async fn classic(&self, page: Option<String>) -> CloudResult<Page<ClassicLoadBalancer>> {
        let ask = self.inner.classic(page.clone());
        self.by.read("elasticloadbalancing:DescribeLoadBalancers", &[&page], ask, None, no_items).await
    }
}

#[async_trait]
impl Rds for Seen<dyn Rds> {
    async fn instances(
        &self,
        identifier: Option<&str>,
        page: Option<String>,
    ) -> CloudResult<Page<DbInstance>> {
        let op = "rds:DescribeDBInstances";
        let missing = gone(op, identifier.is_some(), "DBInstanceNotFound");
        let ask = self.inner.instances(identifier, page.clone());
        self.by.read(op, &[&identifier, &page], ask, missing, no_items).await
    }
    async fn subnet_group(&self, name: &str) -> CloudResult<DbSubnetGroup> {
        let op = "rds:DescribeDBSubnetGroups";
        let missing = gone(op, true, "DBSubnetGroupNotFoundFault");
        self.by.read(op, &[&name], self.inner.subnet_group(name), missing, |_| None).await
    }
    async fn certificates(&self, page: Option<String>) -> CloudResult<Page<Certificate>> {
        let ask = self.inner.certificates(page.clone());
        self.by.read("rds:DescribeCertificates", &[&page], ask, None, no_items).await
    }
    async fn quotas(&self) -> CloudResult<Vec<Quota>> {
        self.by.read("rds:DescribeAccountAttributes", &[], self.inner.quotas(), None, none_of).await
    }
}

#[async_trait]
impl S3 for Seen<dyn S3> {
    async fn buckets(&self, page: Option<String>) -> CloudResult<Page<Bucket>> {
        self.by.read("s3:ListBuckets", &[&page], self.inner.buckets(page.clone()), None, no_items).await
    }
    async fn bucket_tags(&self, bucket: &str) -> CloudResult<Tags> {
        let op = "s3:GetBucketTagging";
        let missing = gone(op, true, "NoSuchBucket");
        let ask = self.inner.bucket_tags(bucket);
        self.by.read(op, &[&bucket], ask, missing, |_| Some(Tags::new())).await
    }
    async fn region(&self, bucket: &str) -> CloudResult<String> {
        let op = "s3:GetBucketLocation";
        let missing = gone(op, true, "NoSuchBucket");
        self.by.read(op, &[&bucket], self.inner.region(bucket), missing, |_| None).await
    }
    async fn versioning(&self, bucket: &str) -> CloudResult<String> {
        let op = "s3:GetBucketVersioning";
        let missing = gone(op, true, "NoSuchBucket");
        self.by.read(op, &[&bucket], self.inner.versioning(bucket), missing, |_| None).await
    }
    async fn bucket_info(&self, bucket: &str) -> CloudResult<BucketInfo> {
        let op = "s3:GetBucketVersioning";
        let missing = gone(op, true, "NoSuchBucket");
        self.by.read(op, &[&bucket], self.inner.bucket_info(bucket), missing, |_| None).await
    }
    async fn versions(
        &self,
        bucket: &str,
        prefix: &str,
        page: Option<String>,
    ) -> CloudResult<Page<ObjectVersion>> {
        let op = "s3:ListObjectVersions";
        let missing = gone(op, true, "NoSuchBucket");
        let ask = self.inner.versions(bucket, prefix, page.clone());
        self.by.read(op, &[&bucket, &prefix, &page], ask, missing, no_items).await
    }
    async fn head(&self, bucket: &str, key: &str) -> CloudResult<Option<ObjectMeta>> {
        let ask = self.inner.head(bucket, key);
        self.by.read("s3:HeadObject", &[&bucket, &key], ask, Some(Ok(None)), |_| None).await
    }
}

#[async_trait]
impl CloudFront for Seen<dyn CloudFront> {
    async fn distributions(&self, page: Option<String>) -> CloudResult<Page<Distribution>> {
        let ask = self.inner.distributions(page.clone());
        self.by.read("cloudfront:ListDistributions", &[&page], ask, None, no_items).await
    }
    async fn tags(&self, arn: &str) -> CloudResult<Tags> {
        let op = "cloudfront:ListTagsForResource";
        let missing = gone(op, true, "NoSuchResource");
        self.by.read(op, &[&arn], self.inner.tags(arn), missing, |_| Some(Tags::new())).await
    }
    async fn invalidations(
        &self,
        distribution: &str,
        page: Option<String>,
    ) -> CloudResult<Page<Invalidation>> {
        let ask = self.inner.invalidations(distribution, page.clone());
        self.by.read("cloudfront:ListInvalidations", &[&distribution, &page], ask, None, no_items).await
    }
    async fn invalidation(&self, distribution: &str, id: &str) -> CloudResult<Option<Invalidation>> {
        let ask = self.inner.invalidation(distribution, id);
        self.by.read("cloudfront:GetInvalidation", &[&distribution, &id], ask, Some(Ok(None)), |_| None).await
    }
}
