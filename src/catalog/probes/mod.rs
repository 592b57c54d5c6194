//! Every probe, one file each. To add one: write the file, add the module and the line below.

use super::DynProbe;

mod answer;
pub mod cloudwatch_alarm;
mod ec2_instances;
mod http;
mod rds_instance;
mod s3_object;
mod sql;
mod tcp;
#[cfg(test)]
mod tests;
mod vpc_route_table;

/// The slice that everything is derived from, in the order of the documentation.
pub const PROBES: &[&dyn DynProbe] = &[
    &http::Http,
    &tcp::Tcp,
    &sql::Sql,
    &ec2_instances::Ec2Instances,
    &rds_instance::RdsInstance,
    &vpc_route_table::VpcRouteTable,
    &s3_object::S3Object,
    &cloudwatch_alarm::CloudwatchAlarm,
];
