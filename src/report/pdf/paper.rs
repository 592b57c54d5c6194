//! What stands on the paper: the sections of the web page, as values for the typesetter. Pure.
//!
//! Tables of a long run are cut to what a person reads, and say so. Nothing here is typst markup.

use serde::Serialize;

use super::Attachment;
use crate::evidence::Record;
use crate::report::page::content::{Block, Cell, Kind, Section};
use crate::report::pictures::Picture;
use crate::report::{clean, page, time, world_line};

/// "May break here", inside long ids. `clean` takes it out of whatever comes from elsewhere, and the
/// typesetter turns it into a place to break, so it is in no text of the PDF.
pub(super) const MAY_BREAK: char = '\u{200b}';

/// Rows that a table shows from its beginning …
const HEAD_ROWS: usize = 300;
/// … and from its end, when it has more than both.
const TAIL_ROWS: usize = 100;
/// Characters that a cell shows.
const CELL: usize = 1_500;

/// The document.
#[derive(Debug, Serialize)]
pub(super) struct Paper {
    title: String,
    run: String,
    world: Option<String>,
    tool: String,
    finished: Option<String>,
    sentence: String,
    tone: &'static str,
    reasons: Vec<String>,
    cards: Vec<Card>,
    /// The recovery against its objective.
    picture: Option<Piece>,
    facts: Vec<(String, Text)>,
    left_behind: Vec<String>,
    findings: Vec<String>,
    sections: Vec<Part>,
    attachments: Vec<Attached>,
}

#[derive(Debug, Serialize)]
struct Card {
    name: &'static str,
    value: Text,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Text {
    text: String,
    kind: &'static str,
}

#[derive(Debug, Serialize)]
struct Part {
    title: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Piece {
    Text { text: String },
    Facts { rows: Vec<(String, Text)> },
    List { items: Vec<String>, cut: Option<String> },
    Table { caption: String, head: Vec<String>, widths: Vec<f64>, rows: Vec<Vec<Text>>, cut: Option<String> },
    Picture { file: String, title: String, alt: String },
}

#[derive(Debug, Serialize)]
struct Attached {
    file: String,
    name: String,
    mime: String,
    relationship: &'static str,
    description: &'static str,
    size: String,
}

/// The name under which the typesetter finds a picture: by what it shows, never by its place.
pub(super) fn picture_file(name: &str) -> String {
    format!("picture-{name}.svg")
}

/// The name under which the typesetter finds an attachment.
pub(super) fn attachment_file(number: usize) -> String {
    format!("attachment-{number}")
}

/// The paper of this record.
pub(super) fn paper(record: &Record, attachments: &[Attachment<'_>]) -> Paper {
    let id = &record.identity;
    let summary = page::summary(record);
    Paper {
        title: breakable(&page::title(record)),
        run: breakable(&clean(id.run.as_str())),
        world: world_line(record.scope.world, record.scope.endpoint_doubt.as_deref()),
        tool: clean(&format!("{} {}", id.tool, record.made_by)),
        finished: id.finished_at.map(time),
        sentence: breakable(&summary.sentence),
        tone: kind(summary.tone),
        reasons: summary.reasons.iter().map(|r| breakable(r)).collect(),
        cards: summary
            .cards
            .iter()
            .map(|c| Card { name: c.name, value: text(&c.value), detail: breakable(&c.detail) })
            .collect(),
        picture: summary.picture.map(drawn),
        facts: summary.facts.iter().map(|(name, cell)| ((*name).to_owned(), text(cell))).collect(),
        left_behind: listed(summary.left_behind),
        findings: listed(summary.findings),
        sections: page::sections(record).into_iter().map(part).collect(),
        attachments: attachments.iter().enumerate().map(|(n, a)| attached(n, a)).collect(),
    }
}

fn drawn(picture: Picture) -> Piece {
    let file = picture_file(picture.name);
    Piece::Picture { file, title: clean(&picture.title), alt: clean(&picture.description) }
}

fn part(section: Section) -> Part {
    let mut pieces = Vec::new();
    for block in section.blocks {
        pieces.push(match block {
            Block::Text(text) => Piece::Text { text: breakable(&text) },
            Block::Facts(facts) => Piece::Facts {
                rows: facts.iter().map(|(name, cell)| ((*name).to_owned(), text(cell))).collect(),
            },
            Block::List(items) => {
                let (items, note) = cut(items);
                Piece::List { items: items.iter().map(|i| breakable(i)).collect(), cut: note }
            }
            Block::Table { caption, head, rows } => {
                let widths = widths(head, &rows);
                let (rows, note) = cut(rows);
                Piece::Table {
                    caption: breakable(&caption),
                    head: head.iter().map(|h| (*h).to_owned()).collect(),
                    widths,
                    rows: rows.iter().map(|row| row.iter().map(text).collect()).collect(),
                    cut: note,
                }
            }
            Block::Picture(picture) => drawn(picture),
        });
    }
    Part { title: section.title.to_owned(), pieces }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Plain => "plain",
        Kind::Code => "code",
        Kind::Good => "good",
        Kind::Bad => "bad",
        Kind::Open => "open",
        Kind::Gap => "gap",
    }
}

fn text(cell: &Cell) -> Text {
    Text { text: breakable(&cell.text), kind: kind(cell.kind) }
}

/// The first and the last items of many, and what to say about the rest.
fn cut<T>(mut items: Vec<T>) -> (Vec<T>, Option<String>) {
    let all = items.len();
    if all <= HEAD_ROWS + TAIL_ROWS {
        return (items, None);
    }
    items.drain(HEAD_ROWS..all - TAIL_ROWS);
    let note = format!(
        "{} of {all} shown: the first {HEAD_ROWS} and the last {TAIL_ROWS}. The journal has all of them.",
        HEAD_ROWS + TAIL_ROWS
    );
    (items, Some(note))
}

/// A list of the first page; where it is cut, its last item says so.
fn listed(items: Vec<String>) -> Vec<String> {
    let (items, note) = cut(items);
    items.iter().map(|i| breakable(i)).chain(note).collect()
}

/// Shares of the width: by the longest word and the amount of text, within bounds.
fn widths(head: &[&str], rows: &[Vec<Cell>]) -> Vec<f64> {
    let share = |column: usize| {
        let cells = || rows.iter().filter_map(|row| row.get(column));
        let longest = cells().map(|c| c.text.chars().count().min(160)).max().unwrap_or(0);
        let title = head[column].chars().count();
        let word = cells()
            .flat_map(|c| c.text.split_whitespace())
            .chain(head[column].split_whitespace())
            .map(|w| w.chars().count().min(16))
            .max()
            .unwrap_or(0);
        // words first, then a share that grows slower than the text
        let text = f64::from(u16::try_from(longest.max(title)).unwrap_or(u16::MAX)).sqrt() * 2.2;
        let word = f64::from(u16::try_from(word).unwrap_or(u16::MAX));
        word.max(text).max(4.0)
    };
    (0..head.len()).map(share).collect()
}

/// The text with places to break inside its long words: after punctuation, and within runs of letters
/// and digits that no language has. What is longer than a cell should be is cut, and says so.
fn breakable(text: &str) -> String {
    let total = text.chars().count();
    let shown: String = text.chars().take(CELL).collect();
    let mut out = String::with_capacity(shown.len() + shown.len() / 4);
    for (number, word) in shown.split(' ').enumerate() {
        if number > 0 {
            out.push(' ');
        }
        let long = word.chars().count() > 12;
        let digits = word.chars().any(|c| c.is_ascii_digit());
        let mut run = 0;
        let mut small = false;
        for c in word.chars() {
            // `PointInTime` breaks where a new word begins in it
            let begins = small && c.is_uppercase();
            if long && (begins || run >= if digits { 4 } else { 18 }) {
                out.push(MAY_BREAK);
                run = 0;
            }
            small = c.is_lowercase();
            out.push(c);
            run += 1;
            if long && !c.is_alphanumeric() {
                out.push(MAY_BREAK);
                run = 0;
            }
        }
    }
    if total > CELL {
        let more = format!(" … ({} more characters)", total - CELL);
        out.push_str(&more);
    }
    out
}

fn attached(number: usize, (name, mime, bytes): &Attachment<'_>) -> Attached {
    let (relationship, description) = match name.as_str() {
        "journal.jsonl" => ("source", "The journal of the run, which this report is made from"),
        "plan.json" => ("source", "The plan that was run, with its hash"),
        "drill.yaml" => ("source", "The drill as it was run"),
        "report.json" => ("data", "This report for machines"),
        name if name.contains("oscal") || name.contains("assessment") => {
            ("data", "The assessment in OSCAL, for machines")
        }
        _ => ("data", "A machine-readable part of the evidence"),
    };
    Attached {
        file: attachment_file(number),
        name: name.clone(),
        mime: (*mime).to_owned(),
        relationship,
        description,
        size: format!("{} bytes", bytes.len()),
    }
}
