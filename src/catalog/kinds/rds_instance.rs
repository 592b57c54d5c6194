//! `rds.instance`: RDS databases. A cut-over renames them, so that another one may have a target's name by the end of a
//! run: what does not change is when it was made.

use async_trait::async_trait;

use crate::catalog::iam::Type;
use crate::catalog::kind::{CREATED, End, Kind, KindSpec, Listing, Tagging, Wanted, arn, attrs, name, text};
use crate::cloud::{CloudResult, DbInstance, Mutation, Reads, What, all_pages};
use crate::model::{ResourceKind, Tags, Target};

/// Its name.
pub const KIND: ResourceKind = ResourceKind::new("rds.instance");
/// The ARN of the role that sends a database's enhanced monitoring.
const MONITORING_ROLE: &str = "monitoring_role";
/// The ARN of the role that joins a database to its directory.
const DOMAIN_ROLE: &str = "domain_role";

/// `rds.instance`.
pub struct RdsInstance;

static SPEC: KindSpec = KindSpec {
    attributes: &[
        "id",
        "identifier",
        "status",
        "zone",
        "vpc",
        "engine",
        "engine_version",
        "class",
        "multi_az",
        "cluster",
    ],
    id: "identifier",
    state: "status",
    ends: &[
        End { state: "deleting", says: "it is being deleted" },
        End { state: "delete-precheck", says: "it is being deleted" },
    ],
    is_renamed: true,
    stands_in: true,
    roles: &[MONITORING_ROLE, DOMAIN_ROLE],
    list: &["rds:DescribeDBInstances", "rds:ListTagsForResource"],
    tagging: Tagging::Each,
    tag: &["rds:AddTagsToResource", "rds:RemoveTagsFromResource"],
    ..KindSpec::new(KIND, "An RDS database instance.", What::Database, Type::Db)
};

#[async_trait]
impl Kind for RdsInstance {
    fn spec(&self) -> &'static KindSpec {
        &SPEC
    }

    async fn list(&self, reads: &Reads, _region: &str, _wanted: &Wanted<'_>) -> CloudResult<Listing> {
        let found = all_pages(|page| reads.rds.instances(None, page)).await?;
        Ok(Listing::of(found.into_iter().map(target).collect()))
    }

    fn tag(&self, target: &Target, tags: Tags) -> Mutation {
        Mutation::TagDb { arn: arn(target), tags }
    }

    fn untag(&self, target: &Target, keys: Vec<String>) -> Option<Mutation> {
        Some(Mutation::UntagDb { arn: arn(target), keys })
    }

    fn removal(&self, target: &Target, final_snapshot: Option<String>) -> Option<Mutation> {
        Some(Mutation::DeleteDb { identifier: target.id.clone(), final_snapshot })
    }
}

fn target(d: DbInstance) -> Target {
    Target {
        kind: KIND,
        arn: text(&d.arn),
        name: name(&d.tags),
        attrs: attrs([
            ("id", text(&d.identifier)),
            ("identifier", text(&d.identifier)),
            ("status", text(&d.status)),
            ("zone", d.zone),
            ("vpc", d.vpc),
            ("engine", text(&d.engine)),
            ("engine_version", text(&d.engine_version)),
            ("class", text(&d.class)),
            ("multi_az", Some(d.multi_az.to_string())),
            // not for `where`: tells another database of the same name from this one
            (CREATED, d.created_at.map(|at| at.to_rfc3339())),
            (MONITORING_ROLE, d.monitoring_role),
            (DOMAIN_ROLE, d.domain_role),
            ("cluster", d.cluster),
        ]),
        id: d.identifier,
        tags: d.tags,
    }
}
