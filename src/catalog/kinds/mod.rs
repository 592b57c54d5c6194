//! The kinds of resources, each one file and one line here.
//!
//! In the order of the documentation. Nothing else in redrill knows what kinds there are.

use serde_json::{Value, json};

use super::iam::Type;
use super::kind::{Kind, KindSpec};
use crate::cloud::What;
use crate::model::ResourceKind;

mod cloudfront_distribution;
mod ec2_instance;
mod rds_instance;
mod s3_bucket;
mod vpc_route_table;
mod vpc_subnet;

pub use cloudfront_distribution::KIND as CLOUDFRONT_DISTRIBUTION;
pub use ec2_instance::KIND as EC2_INSTANCE;
pub use rds_instance::KIND as RDS_INSTANCE;
pub use s3_bucket::KIND as S3_BUCKET;
pub use vpc_route_table::KIND as VPC_ROUTE_TABLE;
pub use vpc_subnet::KIND as VPC_SUBNET;

/// How many resources are asked at once for what takes a call each.
const AT_ONCE: usize = 8;

/// Every kind.
pub static KINDS: &[&dyn Kind] = &[
    &ec2_instance::Ec2Instance,
    &vpc_subnet::VpcSubnet,
    &vpc_route_table::VpcRouteTable,
    &rds_instance::RdsInstance,
    &s3_bucket::S3Bucket,
    &cloudfront_distribution::CloudfrontDistribution,
];

/// Puts what kinds there are into a schema that names them.
pub fn in_schema(schema: &mut Value) {
    let one = |k: &&dyn Kind| {
        let spec = k.spec();
        json!({ "type": "string", "const": spec.kind.name(), "description": spec.summary })
    };
    if let Some(def) = schema.pointer_mut("/$defs/ResourceKind").and_then(Value::as_object_mut) {
        def.remove("type");
        let about = def.remove("description");
        def.insert("oneOf".to_owned(), KINDS.iter().map(one).collect());
        def.extend(about.map(|about| ("description".to_owned(), about)));
    }
}

/// The kinds' names, in the order of the documentation.
pub fn all() -> impl ExactSizeIterator<Item = ResourceKind> {
    KINDS.iter().map(|k| k.spec().kind)
}

/// What is known of a kind; `None` where this version does not know it.
pub fn kind(kind: ResourceKind) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|k| k.spec().kind == kind)
}

/// The same without asking.
pub fn spec(of: ResourceKind) -> Option<&'static KindSpec> {
    kind(of).map(Kind::spec)
}

/// What calls name, where they name one.
pub fn what(of: ResourceKind) -> What {
    spec(of).map_or(What::Other, |s| s.what)
}

/// What policies call it.
pub fn iam(of: ResourceKind) -> Option<Type> {
    spec(of).map(|s| s.iam)
}

/// Whether AWS runs its service globally.
pub fn is_global(of: ResourceKind) -> bool {
    spec(of).is_some_and(|s| s.is_global)
}
