//! Every action, one file each. To add one: write the file, add the module and the line below.

use super::DynAction;

mod batch;
pub mod ec2_launch_replacement;
pub mod ec2_stop;
pub mod ec2_terminate;
mod look;
pub mod original;
mod replacement;
mod routing;
pub mod vpc_attach_route_table;
pub mod vpc_detach_route_table;

/// The slice that everything is derived from, in the order of the documentation.
pub const ACTIONS: &[&dyn DynAction] = &[
    &ec2_terminate::TerminateInstances,
    &ec2_stop::StopInstances,
    &ec2_launch_replacement::LaunchReplacement,
    &vpc_detach_route_table::DetachRouteTable,
    &vpc_attach_route_table::AttachRouteTable,
];
