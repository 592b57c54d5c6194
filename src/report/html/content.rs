//! What a page consists of: sections of facts, tables, lists and pictures. Text is cleaned here.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::super::{clean, in_words};
use crate::evidence::record::{ControlOutcome, FindingSeverity, Status};
use crate::report::pictures::Picture;

/// How a cell reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
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
    pub(super) fn class(self) -> &'static str {
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
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) kind: Kind,
}

impl Cell {
    /// Whether a word in it is longer than a column should be wide.
    pub(super) fn long(&self) -> bool {
        self.text.split_whitespace().any(|word| word.chars().count() > 24)
    }

    /// The classes in a table.
    pub(super) fn class(&self) -> String {
        format!("{}{}", self.kind.class(), if self.long() { " long" } else { "" })
    }
}

/// A row of facts.
pub(super) type Fact = (&'static str, Cell);

/// A piece of a section.
#[derive(Debug)]
pub(super) enum Block {
    Text(String),
    Facts(Vec<Fact>),
    List(Vec<String>),
    Table { caption: String, head: &'static [&'static str], rows: Vec<Vec<Cell>> },
    Picture(Picture),
}

/// A section.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) blocks: Vec<Block>,
}

impl Section {
    pub(super) fn new(id: &'static str, title: &'static str) -> Self {
        Self { id, title, blocks: Vec::new() }
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        self.blocks.push(Block::Text(clean(text)));
        self
    }

    pub(super) fn facts(mut self, facts: Vec<Fact>) -> Self {
        self.blocks.push(Block::Facts(facts));
        self
    }

    pub(super) fn picture(mut self, picture: Option<Picture>) -> Self {
        self.blocks.extend(picture.map(Block::Picture));
        self
    }

    /// A list; where it is empty, `none` says so.
    pub(super) fn list<T: AsRef<str>>(mut self, items: &[T], none: &str) -> Self {
        self.blocks.push(if items.is_empty() {
            Block::Text(none.to_owned())
        } else {
            Block::List(items.iter().map(|i| clean(i.as_ref())).collect())
        });
        self
    }

    /// A table; where it is empty, `none` says so.
    pub(super) fn table(
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
pub(super) fn text(text: impl Display) -> Cell {
    Cell { text: clean(&text.to_string()), kind: Kind::Plain }
}

/// Something that machines take.
pub(super) fn code(text: impl Display) -> Cell {
    Cell { text: clean(&text.to_string()), kind: Kind::Code }
}

/// What is asked for and was not recorded.
pub(super) fn gap() -> Cell {
    Cell { text: "not recorded (gap)".to_owned(), kind: Kind::Gap }
}

/// Words, or that there are none.
pub(super) fn maybe(text: Option<impl Display>) -> Cell {
    text.map_or_else(gap, self::text)
}

/// A duration, or that it was not measured.
pub(super) fn took(ms: Option<i64>) -> Cell {
    ms.map_or_else(|| Cell { text: "not measured".to_owned(), kind: Kind::Gap }, |ms| text(in_words(ms)))
}

/// A time to the millisecond, or a dash.
pub(super) fn moment(at: Option<DateTime<Utc>>) -> Cell {
    text(at.map_or_else(|| "–".to_owned(), exact))
}

/// A time to the millisecond.
pub(super) fn exact(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()
}

/// How something came out.
pub(super) fn status(status: Status) -> Cell {
    let kind = match status {
        Status::Satisfied => Kind::Good,
        Status::NotSatisfied => Kind::Bad,
        Status::NotTested => Kind::Open,
    };
    Cell { text: status.name().to_owned(), kind }
}

/// What the run says about a control.
pub(super) fn outcome(outcome: ControlOutcome) -> Cell {
    let kind = match outcome {
        ControlOutcome::Supports => Kind::Good,
        ControlOutcome::DoesNotSupport => Kind::Bad,
        ControlOutcome::NotTested => Kind::Open,
    };
    Cell { text: outcome.name().to_owned(), kind }
}

/// How bad.
pub(super) fn severity(severity: FindingSeverity) -> Cell {
    let kind = if severity == FindingSeverity::High { Kind::Bad } else { Kind::Open };
    Cell { text: severity.name().to_owned(), kind }
}

/// Names and values on one line: `env = staging; service = orders`.
pub(super) fn pairs<'a, V: Display + 'a>(pairs: impl IntoIterator<Item = (&'a String, V)>) -> String {
    pairs.into_iter().map(|(k, v)| format!("{k} = {v}")).collect::<Vec<_>>().join("; ")
}

/// JSON as it stands, on one line; nothing for what is empty.
pub(super) fn json(value: &Value) -> Cell {
    match value {
        Value::Null => text(""),
        Value::Object(map) if map.is_empty() => text(""),
        other => code(other),
    }
}
