//! Every action, one file each. To add one: write the file, add the module and the line below.

use super::DynAction;

mod batch;
pub mod ec2_stop;
pub mod ec2_terminate;
mod look;

/// The slice that everything is derived from, in the order of the documentation.
pub const ACTIONS: &[&dyn DynAction] = &[&ec2_terminate::TerminateInstances, &ec2_stop::StopInstances];
