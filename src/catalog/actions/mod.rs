//! Every action, one file each. To add one: write the file, add the module and the line below.

use super::DynAction;

mod cloudfront_invalidate;
mod command;
mod rds_reboot;
mod rds_restore;
mod s3_delete;
mod s3_objects;
mod s3_restore;
#[cfg(test)]
pub(in crate::catalog) mod trial;
mod wait;

/// The slice that everything is derived from, in the order of the documentation.
pub const ACTIONS: &[&dyn DynAction] = &[
    &rds_restore::RdsRestore,
    &rds_reboot::RdsReboot,
    &s3_delete::S3Delete,
    &s3_restore::S3Restore,
    &cloudfront_invalidate::CloudfrontInvalidate,
    &wait::Wait,
    &command::Command,
];
