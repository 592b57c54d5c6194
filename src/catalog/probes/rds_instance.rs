//! `rds.instance`: a database's status.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::action::ReadCx;
use crate::catalog::probe::{Probe, ProbeSpec, Reading};
use crate::cloud::DbInstance;
use crate::model::{Dur, OneOrMany};

/// `rds.instance`.
pub struct RdsInstance;

/// Parameters of `rds.instance`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Database identifier, for example `${steps.restore.identifier}`.
    pub identifier: String,
    /// Accepted states. Default: those in which clients are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<OneOrMany>,
}

impl Params {
    fn accepts(&self, status: &str) -> bool {
        self.status
            .as_ref()
            .map_or_else(|| DbInstance::is_usable(status), |accepted| accepted.matches(status))
    }
}

static SPEC: ProbeSpec = ProbeSpec {
    name: "rds.instance",
    summary: "Reads the status of a database.",
    permissions: &["rds:DescribeDBInstances"],
    timeout: Dur::secs(5),
    docs: "Healthy when DescribeDBInstances gives one of `status` for the database; without it, one of the states in \
which clients are served: `available`, `storage-optimization`, `storage-initialization` (a restored database loads its \
blocks for hours), `storage-config-upgrade` and `configuring-…`. A database that does not exist is unhealthy; a call \
that fails is unknown.

`available` is what AWS says, not what clients feel: prove a restored database with a `sql` probe that reads from it.",
};

#[async_trait]
impl Probe for RdsInstance {
    type Params = Params;

    fn spec(&self) -> &'static ProbeSpec {
        &SPEC
    }

    fn check(&self, params: &Params) -> Vec<String> {
        let mut out = Vec::new();
        if params.identifier.is_empty() {
            out.push("`identifier` is empty".to_owned());
        }
        if params.status.as_ref().is_some_and(OneOrMany::is_empty) {
            out.push("`status` is empty; leave it out for all in which clients are served".to_owned());
        }
        out
    }

    fn any_answer(&self, params: &Params) -> bool {
        const FAR_APART: [&str; 7] = [
            "available",
            "creating",
            "deleting",
            "failed",
            "incompatible-restore",
            "stopped",
            "storage-full",
        ];
        FAR_APART.iter().all(|status| params.accepts(status))
    }

    async fn observe(&self, cx: ReadCx<'_>, params: &Params) -> Reading {
        match cx.reads.rds.instances(Some(&params.identifier), None).await {
            Ok(page) => match page.items.first() {
                Some(db) => Reading::judged(params.accepts(&db.status), &db.status),
                None => Reading::judged(false, "does not exist"),
            },
            Err(e) if e.is_not_found() => Reading::judged(false, "does not exist"),
            Err(e) => Reading::unknown(e.to_string()),
        }
    }
}
