//! What a local program is known by on its machine, and how it ended. Pure data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The variable in the environment of a program that holds its mark.
pub const MARK: &str = "REDRILL_PROGRAM";

/// What a local program is known by. A process id alone says nothing once its process has ended: the system gives it
/// to another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProgramId {
    /// The process that guards it: the leader of its session and of its process group.
    pub pid: u32,
    /// When that process was started, in ticks since the machine's boot; absent where the system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
    /// The boot of the machine; absent where the system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// The machine.
    pub host: String,
    /// What stands in its environment, and in that of whatever it starts, as [`MARK`].
    pub mark: String,
}

/// How it came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramEnd {
    /// In the sight of the process that started it: by itself, or at its time limit.
    Seen,
    /// It was looked for later, and nothing of it was there any more.
    Gone,
    /// It was looked for later, was still there, and was ended.
    Ended,
    /// It could not be looked for; a person says that it has ended.
    Said,
}
