//! Every action, one file each. To add one: write the file, add the module and the line below.

use super::DynAction;

mod batch;
mod claims;
mod cloudfront_invalidate;
pub mod command;
pub mod ec2_launch_replacement;
pub mod ec2_stop;
pub mod ec2_terminate;
mod look;
pub mod original;
mod rds_reboot;
mod rds_restore;
mod replacement;
mod routing;
mod s3_delete;
mod s3_objects;
mod s3_own;
mod s3_restore;
#[cfg(test)]
mod testing;
#[cfg(test)]
pub(in crate::catalog) mod trial;
pub mod vpc_attach_route_table;
pub mod vpc_detach_route_table;
pub mod wait;
mod whole;

/// The slice that everything is derived from, in the order of the documentation.
pub const ACTIONS: &[&dyn DynAction] = &[
    &ec2_terminate::TerminateInstances,
    &ec2_stop::StopInstances,
    &vpc_detach_route_table::DetachRouteTable,
    &s3_delete::S3Delete,
    &ec2_launch_replacement::LaunchReplacement,
    &vpc_attach_route_table::AttachRouteTable,
    &rds_restore::RdsRestore,
    &rds_reboot::RdsReboot,
    &s3_restore::S3Restore,
    &cloudfront_invalidate::CloudfrontInvalidate,
    &wait::Wait,
    &command::Command,
];
