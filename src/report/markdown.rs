//! `report.md`: the record as one Markdown page. Pure.
//!
//! Says what the web page and the PDF say, in the same words and order: all are made of `report::page`. Only
//! the pictures are missing; their figures are in the tables. Nothing from elsewhere is markup here.

use super::page::content::{Block, Cell, Kind, Section};
use super::page::{self, Summary};
use super::{escape, world_line};
use crate::evidence::Record;

/// The report.
pub fn report(record: &Record) -> String {
    let mut out = String::new();
    line(&mut out, &format!("# {}", escape(&page::title(record))));
    let world = world_line(record.scope.world, record.scope.endpoint_doubt.as_deref())
        .map(|world| format!("> **{world}**"));
    if let Some(world) = &world {
        line(&mut out, world);
    }
    first(&mut out, &page::summary(record));
    for part in page::sections(record) {
        section(&mut out, &part);
    }
    line(&mut out, "---");
    let run = escape(record.identity.run.as_str());
    line(&mut out, &format!("Run {run}. {}", escape(&page::colophon(record))));
    if let Some(world) = &world {
        line(&mut out, world);
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// What everybody asks first.
fn first(out: &mut String, summary: &Summary) {
    line(out, &format!("**{}**", escape(&summary.sentence)));
    list(out, &summary.reasons);
    let cards = summary.cards.iter().map(|card| {
        let detail = if card.detail.is_empty() { String::new() } else { format!(" ({})", card.detail) };
        vec![card.name.to_owned(), format!("**{}**{}", escape(&card.value.text), escape(&detail))]
    });
    let facts = summary.facts.iter().map(|(name, value)| vec![(*name).to_owned(), cell(value)]);
    table(out, &["", ""], cards.chain(facts));
    titled(out, "Left behind", &summary.left_behind, "Nothing is on record as left behind.");
    titled(out, "Found", &summary.findings, "No findings.");
}

fn section(out: &mut String, section: &Section) {
    line(out, &format!("## {}", section.title));
    for block in &section.blocks {
        match block {
            Block::Text(text) => line(out, &escape(text)),
            Block::List(items) => list(out, items),
            Block::Facts(facts) => {
                table(
                    out,
                    &["", ""],
                    facts.iter().map(|(name, value)| vec![(*name).to_owned(), cell(value)]),
                );
            }
            Block::Table { caption, head, rows } => {
                line(out, &format!("**{}**", escape(caption)));
                table(out, head, rows.iter().map(|row| row.iter().map(cell).collect()));
            }
            Block::Picture(_) => {}
        }
    }
}

/// What machines take reads best as it stands, where nothing in it could end the code.
fn cell(cell: &Cell) -> String {
    let plain = |c: char| (c.is_ascii_graphic() || c == ' ') && !"`|<>&\\".contains(c);
    let short = |text: &str| !text.trim().is_empty() && text != "–";
    if cell.kind == Kind::Code && short(&cell.text) && cell.text.chars().all(plain) {
        return format!("`{}`", cell.text.trim());
    }
    escape(&cell.text)
}

/// A paragraph.
fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push_str("\n\n");
}

fn list(out: &mut String, items: &[String]) {
    for item in items {
        out.push_str("- ");
        out.push_str(&escape(item));
        out.push('\n');
    }
    if !items.is_empty() {
        out.push('\n');
    }
}

fn titled(out: &mut String, title: &str, items: &[String], none: &str) {
    line(out, &format!("### {title}"));
    if items.is_empty() {
        line(out, none);
    }
    list(out, items);
}

/// A table; cells are escaped already.
fn table(out: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut row = |cells: &str| {
        out.push_str(cells);
        out.push('\n');
    };
    row(&format!("| {} |", head.join(" | ")));
    row(&format!("|{}", " --- |".repeat(head.len())));
    for cells in rows {
        row(&format!("| {} |", cells.join(" | ")));
    }
    out.push('\n');
}
