//! What a page consists of: sections of facts, tables, lists and pictures. Text is cleaned here.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::super::{clean, in_words};
use crate::evidence::record::{ControlOutcome, FindingSeverity, Status};
use crate::report::pictures::Picture;

/// How a cell reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Kind {
    Plain,
    /// An id, a hash, a name that machines take.
    Code,
    /// It held.
    Good,
    /// It did not.
    Bad,
    /// Nothing was shown.
    Open,
    /// Asked for, and not there.
    Gap,
}

impl Kind {
    /// The class in the page.
    pub(in crate::report) fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Code => "code",
            Self::Good => "tag good",
            Self::Bad => "tag bad",
            Self::Open => "tag open",
            Self::Gap => "gap",
        }
    }
}

/// A text and how it reads.
#[derive(Clone, Debug)]
pub(in crate::report) struct Cell {
    pub(in crate::report) text: String,
    pub(in crate::report) kind: Kind,
}

impl Cell {
    /// Whether a word in it is longer than a column should be wide.
    pub(in crate::report) fn long(&self) -> bool {
        self.text.split_whitespace().any(|word| word.chars().count() > 24)
    }

    /// The classes in a table.
    pub(in crate::report) fn class(&self) -> String {
        format!("{}{}", self.kind.class(), if self.long() { " long" } else { "" })
    }
}

/// A row of facts.
pub(in crate::report) type Fact = (&'static str, Cell);

/// A piece of a section.
#[derive(Debug)]
pub(in crate::report) enum Block {
    Text(String),
    Facts(Vec<Fact>),
    List(Vec<String>),
    Table { caption: String, head: &'static [&'static str], rows: Vec<Vec<Cell>> },
    Picture(Picture),
}

/// A section.
#[derive(Debug)]
pub(in crate::report) struct Section {
    pub(in crate::report) id: &'static str,
    pub(in crate::report) title: &'static str,
    pub(in crate::report) blocks: Vec<Block>,
}

impl Section {
    pub(in crate::report) fn new(id: &'static str, title: &'static str) -> Self {
        Self { id, title, blocks: Vec::new() }
    }

    pub(in crate::report) fn text(mut self, text: &str) -> Self {
        self.blocks.push(Block::Text(clean(text)));
        self
    }

    pub(in crate::report) fn facts(mut self, facts: Vec<Fact>) -> Self {
        self.blocks.push(Block::Facts(facts));
        self
    }

    pub(in crate::report) fn picture(mut self, picture: Option<Picture>) -> Self {
        self.blocks.extend(picture.map(Block::Picture));
        self
    }

    /// A list; where it is empty, `none` says so.
    pub(in crate::report) fn list<T: AsRef<str>>(mut self, items: &[T], none: &str) -> Self {
        self.blocks.push(if items.is_empty() {
            Block::Text(none.to_owned())
        } else {
            Block::List(items.iter().map(|i| clean(i.as_ref())).collect())
        });
        self
    }

    /// A table; where it is empty, `none` says so.
    pub(in crate::report) fn table(
        mut self,
        caption: &str,
        head: &'static [&'static str],
        rows: Vec<Vec<Cell>>,
        none: &str,
    ) -> Self {
        self.blocks.push(if rows.is_empty() {
            Block::Text(none.to_owned())
        } else {
            Block::Table { caption: clean(caption), head, rows }
        });
        self
    }
}

/// Words.
pub(in crate::report) fn text(text: impl Display) -> Cell {
    Cell { text: clean(&text.to_string()), kind: Kind::Plain }
}

/// Something that machines take.
pub(in crate::report) fn code(text: impl Display) -> Cell {
    Cell { text: clean(&text.to_string()), kind: Kind::Code }
}

/// What is asked for and was not recorded.
pub(in crate::report) fn gap() -> Cell {
    Cell { text: "not recorded (gap)".to_owned(), kind: Kind::Gap }
}

/// Words, or that there are none.
pub(in crate::report) fn maybe(text: Option<impl Display>) -> Cell {
    text.map_or_else(gap, self::text)
}

/// A duration, or that it was not measured.
pub(in crate::report) fn took(ms: Option<i64>) -> Cell {
    known(ms.map(in_words))
}

/// What was measured, or that it was not.
pub(in crate::report) fn known(what: Option<impl Display>) -> Cell {
    what.map_or_else(|| Cell { text: "not measured".to_owned(), kind: Kind::Gap }, text)
}

/// A time to the millisecond, or a dash.
pub(in crate::report) fn moment(at: Option<DateTime<Utc>>) -> Cell {
    text(at.map_or_else(|| "–".to_owned(), exact))
}

/// A time to the millisecond.
pub(in crate::report) fn exact(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()
}

/// How something came out.
pub(in crate::report) fn status(status: Status) -> Cell {
    let kind = match status {
        Status::Satisfied => Kind::Good,
        Status::NotSatisfied => Kind::Bad,
        Status::NotTested => Kind::Open,
    };
    Cell { text: status.name().to_owned(), kind }
}

/// What the run says about a control.
pub(in crate::report) fn outcome(outcome: ControlOutcome) -> Cell {
    let kind = match outcome {
        ControlOutcome::Supports => Kind::Good,
        ControlOutcome::DoesNotSupport => Kind::Bad,
        ControlOutcome::NotTested => Kind::Open,
    };
    Cell { text: outcome.name().to_owned(), kind }
}

/// How bad.
pub(in crate::report) fn severity(severity: FindingSeverity) -> Cell {
    let kind = if severity == FindingSeverity::High { Kind::Bad } else { Kind::Open };
    Cell { text: severity.name().to_owned(), kind }
}

/// Names and values on one line: `env = staging; service = orders`.
pub(in crate::report) fn pairs<'a, V: Display + 'a>(
    pairs: impl IntoIterator<Item = (&'a String, V)>,
) -> String {
    pairs.into_iter().map(|(k, v)| format!("{k} = {v}")).collect::<Vec<_>>().join("; ")
}

/// JSON as it stands, on one line; nothing for what is empty.
pub(in crate::report) fn json(value: &Value) -> Cell {
    match value {
        Value::Null => text(""),
        Value::Object(map) if map.is_empty() => text(""),
        other => code(other),
    }
}
