//! Every probe, one file each. To add one: write the file, add the module and the line below.

use super::DynProbe;

/// The slice that everything is derived from, in the order of the documentation.
pub const PROBES: &[&dyn DynProbe] = &[];
