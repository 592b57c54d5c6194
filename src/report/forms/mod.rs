//! Forms that others ask for, filled from the record as Markdown. Pure.
//!
//! Each form has the rows that its source has, in our own words; a row that the run cannot fill says
//! `not recorded (gap)` and is never left out. Nothing is judged here that the record does not say.

mod after_action;
mod fedramp;
mod iso;
mod rows;
mod summary;

use std::str::FromStr;

use super::{escape, world_line};
use crate::evidence::Record;

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The contingency plan test report of FedRAMP's plan template, table F.1.
    Fedramp,
    /// An after-action report as NIST SP 800-84 describes it.
    AfterAction,
    /// A post-exercise report as ISO 22301 asks for.
    Iso22301,
    /// One page for management.
    Summary,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 4] = [Self::Fedramp, Self::AfterAction, Self::Iso22301, Self::Summary];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fedramp => "fedramp",
            Self::AfterAction => "nist-800-84",
            Self::Iso22301 => "iso-22301",
            Self::Summary => "summary",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Fedramp => "Contingency plan test report",
            Self::AfterAction => "After-action report",
            Self::Iso22301 => "Post-exercise report",
            Self::Summary => "Management summary",
        }
    }

    /// What the form follows.
    fn source(self) -> &'static str {
        match self {
            Self::Fedramp => "Rows of FedRAMP's contingency plan template, table F.1.",
            Self::AfterAction => "Parts as in NIST SP 800-84.",
            Self::Iso22301 => "Parts as asked for in ISO 22301:2019, 8.5.",
            Self::Summary => "One page; the report has the rest.",
        }
    }
}

impl FromStr for Form {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|f| f.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            format!("`{name}` is not a form; there are {}", names.join(", "))
        })
    }
}

/// The form, filled.
pub fn fill(form: Form, record: &Record) -> String {
    let mut out = format!("# {}: {}\n\n", form.title(), escape(&record.identity.title));
    if let Some(world) = world_line(record.scope.world, record.scope.endpoint_doubt.as_deref()) {
        let line = format!("> **{world}**\n\n");
        out.push_str(&line);
    }
    out.push_str(&match form {
        Form::Fedramp => fedramp::fill(record),
        Form::AfterAction => after_action::fill(record),
        Form::Iso22301 => iso::fill(record),
        Form::Summary => summary::fill(record),
    });
    let line = format!(
        "\n---\n\n{} Filled by {} {} from the record of run {}; times are UTC.\n",
        form.source(),
        escape(&record.identity.tool),
        escape(&record.made_by),
        escape(record.identity.run.as_str())
    );
    out.push_str(&line);
    if let Some(world) = world_line(record.scope.world, record.scope.endpoint_doubt.as_deref()) {
        let line = format!("\n> **{world}**\n");
        out.push_str(&line);
    }
    out
}

#[cfg(test)]
mod tests;
