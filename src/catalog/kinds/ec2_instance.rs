//! `ec2.instance`: EC2 instances. Terminated ones are listed for an hour or so ("Terminate Amazon EC2 instances",
//! Amazon EC2 User Guide), and do not count as existing.

use async_trait::async_trait;

use crate::catalog::iam::Type;
use crate::catalog::kind::{End, Kind, KindSpec, Listing, Wanted, attrs, name, text};
use crate::cloud::{CloudResult, Filter, Instance, Mutation, Reads, What, all_pages};
use crate::model::{ResourceKind, Target};

/// Its name.
pub const KIND: ResourceKind = ResourceKind::new("ec2.instance");
/// The tag that Auto Scaling sets on the members of a group.
const GROUP_TAG: &str = "aws:autoscaling:groupName";
/// The ARN of an instance's profile.
const PROFILE: &str = "instance_profile";

/// `ec2.instance`.
pub struct Ec2Instance;

static SPEC: KindSpec = KindSpec {
    attributes: &["id", "name", "state", "zone", "vpc", "subnet", "type", "image", "private_ip", "group"],
    ends: &[
        End { state: "terminated", says: "it is terminated" },
        End { state: "shutting-down", says: "it is being terminated" },
    ],
    lingers: true,
    stands_in: true,
    before: &["state"],
    profile: Some(PROFILE),
    list: &["ec2:DescribeInstances"],
    ..KindSpec::new(KIND, "An EC2 instance.", What::Instance, Type::Instance)
};

#[async_trait]
impl Kind for Ec2Instance {
    fn spec(&self) -> &'static KindSpec {
        &SPEC
    }

    async fn list(&self, reads: &Reads, _region: &str, _wanted: &Wanted<'_>) -> CloudResult<Listing> {
        let all = Filter::default();
        let found = all_pages(|page| reads.ec2.instances(&all, page)).await?;
        let targets: Vec<Target> = found.into_iter().map(target).collect();
        let exist = targets.iter().filter(|t| SPEC.end_of(t).is_none()).count();
        Ok(Listing { population: exist, targets, unreadable: Vec::new() })
    }

    fn removal(&self, target: &Target, _final_snapshot: Option<String>) -> Option<Mutation> {
        Some(Mutation::TerminateInstances { ids: vec![target.id.clone()] })
    }

    fn moved(&self, before: &Target, now: &Target) -> Option<String> {
        let (was, is) = (before.attrs.get("state")?, now.attrs.get("state")?);
        let settled = [was, is].iter().all(|s| matches!(s.as_str(), "running" | "stopped"));
        (settled && was != is).then(|| format!("it is {is} now, and was {was} when it was planned"))
    }
}

fn target(i: Instance) -> Target {
    Target {
        kind: KIND,
        arn: None,
        name: name(&i.tags),
        attrs: attrs([
            ("id", text(&i.id)),
            ("name", name(&i.tags)),
            ("state", text(&i.state)),
            ("zone", text(&i.zone)),
            ("vpc", i.vpc),
            ("subnet", i.subnet),
            ("type", text(&i.instance_type)),
            ("image", text(&i.image)),
            ("private_ip", i.private_ip),
            ("group", i.tags.get(GROUP_TAG).cloned()),
            (PROFILE, i.profile_arn),
        ]),
        id: i.id,
        tags: i.tags,
    }
}
