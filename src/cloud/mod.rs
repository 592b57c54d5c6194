//! The cloud as redrill sees it: reads, one narrow trait a service, and mutations as data.
//!
//! Reading and changing are apart by type. [`Reads`] bundles the read traits; a change is a value
//! of [`Mutation`] that only a [`Mutate`] can send. `check`, `plan` and `rehearse` are handed no
//! `Mutate` to a real account, so they cannot change anything by mistake, and one decorator each is
//! enough to journal, retry or fail every change there is.
//!
//! No SDK type appears here; `aws`, `sim` and `net` implement these traits. Nothing here retries:
//! reads are retried by the implementation, changes by the engine, which journals each attempt.

use std::collections::BTreeMap;
use std::sync::Arc;

mod address;
pub mod agreed;
mod asked;
pub mod codes;
pub mod custody;
mod database;
mod error;
pub mod faulty;
pub mod held;
mod host;
mod launching;
pub mod misread;
mod mutation;
mod named;
mod network;
mod reads;
pub mod safe;
mod types;
pub mod whole;

pub use address::{is_link_local, link_local};
pub use asked::{CommandOutput, CommandRequest, HttpRequest, HttpResponse, SqlAnswer, SqlRequest};
pub use database::{Certificate, DbMore, DbSubnetGroup, database_serves, may_grow_to};
pub use error::{CLOCK_LIMIT_MS, CloudError, EffectCertainty, ErrorKind, clock_is_off};
pub use held::Held;
pub use host::{ENDPOINT_PREFIXES, is_aws, is_near};
pub use launching::{Image, InstanceType, Offering, Settings, StatusChecks};
pub use mutation::{
    DeletedObject, LaunchSpec, ModifyDb, Mutation, ObjectError, ObjectRef, Outcome, Reply, RestoreSpec,
};
pub use named::{Named, What};
pub use network::{Association, Interface, InterfacesOf, NatGateway, Route, RouteTable, Subnet};
pub use reads::{
    AutoScaling, CloudFront, CloudWatch, DryRun, Ec2, Elb, Iam, Local, Mutate, Net, Rds, S3, Secrets, Ssm,
    Starting, Sts, Trail, Unended, Whole,
};
pub use types::*;
pub use whole::{Fields, Part};

/// The result of a call.
pub type CloudResult<T> = Result<T, CloudError>;

/// Everything that reads. Cheap to clone.
#[derive(Clone)]
pub struct Reads {
    /// Who is calling.
    pub sts: Arc<dyn Sts>,
    /// What IAM would decide.
    pub iam: Arc<dyn Iam>,
    /// Instances, subnets, route tables, volumes, addresses.
    pub ec2: Arc<dyn Ec2>,
    /// Auto Scaling groups and their members.
    pub autoscaling: Arc<dyn AutoScaling>,
    /// Target groups and registrations.
    pub elb: Arc<dyn Elb>,
    /// Databases.
    pub rds: Arc<dyn Rds>,
    /// Buckets and objects.
    pub s3: Arc<dyn S3>,
    /// Distributions and invalidations.
    pub cloudfront: Arc<dyn CloudFront>,
    /// Alarms.
    pub cloudwatch: Arc<dyn CloudWatch>,
    /// Secrets Manager.
    pub secrets: Arc<dyn Secrets>,
    /// Systems Manager's parameters.
    pub ssm: Arc<dyn Ssm>,
    /// CloudTrail's events and files.
    pub trail: Arc<dyn Trail>,
    /// Every field of an instance, a volume, an interface, a database.
    pub whole: Arc<dyn Whole>,
    /// HTTP, TCP and SQL, for probes.
    pub net: Arc<dyn Net>,
    /// What was read and is kept for a later process of the run.
    pub safe: Arc<dyn safe::Safe>,
}

/// Stands for every service in [`Cloud::endpoints`].
pub const ALL_SERVICES: &str = "*";

/// A whole world: what reads, what changes, what runs on this machine.
#[derive(Clone)]
pub struct Cloud {
    /// Everything that reads.
    pub reads: Reads,
    /// The one way to change something.
    pub mutate: Arc<dyn Mutate>,
    /// Whether a change would be accepted, where that can be asked: on AWS itself.
    pub dry_run: Option<Arc<dyn DryRun>>,
    /// Local programs.
    pub local: Arc<dyn Local>,
    /// Which world this is.
    pub world: crate::model::World,
    /// What is known of the way to AWS; `None` off AWS.
    pub endpoint: Option<crate::model::EndpointProof>,
    /// The region of every regional call.
    pub region: String,
    /// By service ([`ALL_SERVICES`] where it is one for all), the endpoint that its calls go to, where that is
    /// not AWS's own.
    pub endpoints: BTreeMap<String, String>,
    /// Secrets that this connection and the probes came by.
    pub held: Held,
}

/// How many pages a listing may have: more than any account's, at the fewest items a page.
pub const MOST_PAGES: usize = 10_000;

/// Reads every page of a listing.
///
/// # Errors
/// The first error of any page, or that there is no end of them; a partial listing is never returned.
pub async fn all_pages<T, F>(page: impl FnMut(Option<String>) -> F) -> CloudResult<Vec<T>>
where
    F: Future<Output = CloudResult<Page<T>>>,
{
    pages_until(page, |_| false).await
}

/// Reads a listing up to the page after which it is enough, that page included.
///
/// # Errors
/// As [`all_pages`].
pub async fn pages_until<T, F>(
    mut page: impl FnMut(Option<String>) -> F,
    mut enough: impl FnMut(&[T]) -> bool,
) -> CloudResult<Vec<T>>
where
    F: Future<Output = CloudResult<Page<T>>>,
{
    let mut items = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let mut token = None;
    loop {
        let mut one = page(token).await?;
        let next = one.next.filter(|_| !enough(&one.items));
        items.append(&mut one.items);
        match next {
            // one that always has another must not hold a run up for ever
            Some(_) if seen.len() >= MOST_PAGES => {
                let text = format!("the listing did not end within {MOST_PAGES} pages");
                return Err(CloudError::new("listing", ErrorKind::Other, text));
            }
            // nor one that hands out the same token
            Some(next) if seen.insert(next.clone()) => token = Some(next),
            Some(_) => {
                return Err(CloudError::new("listing", ErrorKind::Other, "the same page was offered twice"));
            }
            None => return Ok(items),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_page_is_read_and_one_that_comes_again_is_an_error() {
        let page = |token: Option<String>| async move {
            let (items, next) = match token.as_deref() {
                None => (vec![1], Some("a".to_owned())),
                Some("a") => (vec![2, 3], Some("b".to_owned())),
                Some(_) => (vec![4], None),
            };
            Ok(Page { items, next })
        };
        assert_eq!(all_pages(page).await, Ok(vec![1, 2, 3, 4]));
        let again = |_| async { Ok(Page { items: vec![1], next: Some("a".to_owned()) }) };
        assert!(all_pages(again).await.is_err_and(|e| e.message.contains("twice")));
        let endless = |token: Option<String>| async {
            Ok(Page { items: vec![1], next: Some(token.unwrap_or_default() + "a") })
        };
        assert!(
            all_pages(endless).await.is_err_and(|e| e.message.contains("did not end within 10000 pages"))
        );
        let most = |token: Option<String>| async move {
            let page = token.map_or(1, |t| t.parse::<usize>().unwrap());
            Ok(Page { items: vec![page], next: (page < MOST_PAGES).then(|| (page + 1).to_string()) })
        };
        assert_eq!(all_pages(most).await.map(|all| all.len()), Ok(MOST_PAGES), "so many may be");
    }
}
