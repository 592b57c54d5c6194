//! What an undo record may name: it is acted on by whoever has the journal, and a journal is a file. Pure.
//!
//! A record is about the target of the place where it stands, about what the plan read of that target, and about what
//! follows from the run, the step, its parameters and what preflight captured. Whatever else it names, an undo would
//! change what the plan never named. Left to others: the calls, which are held against the same
//! ([`crate::engine::strangers`]).

use serde_json::Value;

use crate::catalog::{kind, kinds};
use crate::cloud::{Named, What};
use crate::model::{RunId, StepId, Target, naming};

/// Where an undo record stands.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// The run, where it is known.
    pub run: Option<&'a RunId>,
    /// The step.
    pub step: &'a StepId,
    /// The target as the plan has it.
    pub target: Option<&'a Target>,
    /// The step's parameters, references resolved; `None` where one has no value.
    pub params: Option<&'a Value>,
    /// What preflight captured of the target.
    pub captured: Option<&'a Value>,
    /// Whether a target that is on another route table than planned was refused: not by version 0.1.0.
    pub refused_elsewhere: bool,
}

/// What an undo record says that it must not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stray {
    /// It is about another target.
    #[error("is about `{0}`, which is not its target")]
    Target(String),
    /// It names something around a target that the plan did not find there.
    #[error("names {0} `{1}`, which the plan did not find at its target")]
    Around(What, String),
    /// A field says something else than it follows from.
    #[error("has another `{0}` than the plan and the preflight give")]
    Field(&'static str),
}

impl Stray {
    /// The id that it names, if any.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Target(id) | Self::Around(_, id) => Some(id),
            Self::Field(_) => None,
        }
    }
}

impl Of<'_> {
    /// Whether all of these are known here; `beside` are the ids of the target's kind that the parameters name.
    pub(in crate::catalog) fn knows(&self, names: &[Named<'_>], beside: &[String]) -> Result<(), Stray> {
        let around = self.target.map(kind::around).unwrap_or_default();
        let own = self.target.map(|t| kinds::what(t.kind));
        for (what, id) in names {
            let known = around.contains(&(*what, *id)) || beside.iter().any(|b| b == id);
            if known || (*what == What::RouteTable && own != Some(*what) && !self.refused_elsewhere) {
                continue;
            }
            let id = (*id).to_owned();
            let is_kind = own.is_none_or(|own| own == *what);
            return Err(if is_kind { Stray::Target(id) } else { Stray::Around(*what, id) });
        }
        Ok(())
    }

    /// Whether this is the token by which this step asks for that ([`naming::token`]).
    pub(in crate::catalog) fn is_token(&self, token: &str, what: &str) -> bool {
        self.run.is_none_or(|run| naming::token(run, self.step, what) == token)
    }

    /// Whether what was captured is this; `true` where nothing was.
    pub(in crate::catalog) fn is_captured<T: serde::Serialize>(&self, record: &T) -> bool {
        self.captured.is_none_or(|c| c.is_null() || serde_json::to_value(record).is_ok_and(|r| r == *c))
    }

    /// Whether these are the tags of this run and this step.
    pub(in crate::catalog) fn is_tagged(&self, tags: &crate::model::Tags) -> bool {
        use crate::model::target::{TAG_RUN, TAG_STEP};
        let is = |key, want: &str| tags.get(key).is_some_and(|have| have == want);
        is(TAG_STEP, self.step.as_str()) && self.run.is_none_or(|run| is(TAG_RUN, run.as_str()))
    }
}
