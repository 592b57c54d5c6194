//! The words everything else is made of: identifiers, targets, time. Pure; depends on nothing.

pub mod bounded;
pub mod effect;
pub mod endpoint;
pub mod exercise;
pub mod ids;
pub mod kind;
pub mod naming;
pub mod pattern;
pub mod program;
pub mod reach;
pub mod target;
pub mod text;
pub mod time;

pub use effect::{CallError, EffectCertainty, Health, Stage};
pub use endpoint::EndpointProof;
pub use exercise::Exercise;
pub use ids::{RunId, StepId};
pub use kind::ResourceKind;
pub use pattern::OneOrMany;
pub use program::{ProgramEnd, ProgramId};
pub use target::{Tags, Target, World};
pub use time::{Clock, Dur, Stamp};
