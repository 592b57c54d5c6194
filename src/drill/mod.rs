//! A drill: the YAML a person writes, read strictly and checked whole.
//!
//! [`schema`] holds the shape; `parse` keeps line and column of every node; `check` reports every
//! problem of a file at once. Synchronous, no I/O: the caller reads the file.

pub mod schema;

pub use schema::{
    Drill, Impact, Limits, Objectives, ParamSpec, ParamType, ProbeUse, Role, RtoClock, Select, Stage, Step,
    StopUse, TargetSpec,
};
