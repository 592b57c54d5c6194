//! `report.html`: the record as one page that needs nothing else: no network, no script. Pure.
//!
//! The first screen answers what was tested, when, by whom, whether the objectives were met, what was
//! left behind and what was found; everything else in the record follows. What is in the page: `first`,
//! `proof` and `detail`; how it looks: `page.html` and `page.css`. Every text is cleaned when it becomes a
//! cell and escaped by the template; only the pictures go in as they are.

pub(super) mod content;
mod detail;
pub(super) mod first;
mod proof;

use askama::Template;

use self::content::{Block, Kind, Section};
use self::first::Summary;
use super::{clean, world_line};
use crate::evidence::Record;

/// The page.
#[derive(Template)]
#[template(path = "page.html", config = "src/report/html/askama.toml")]
struct Page {
    drill: String,
    title: String,
    world: Option<String>,
    summary: Summary,
    sections: Vec<Section>,
    run: String,
    tool: String,
}

/// The page of a run.
///
/// # Panics
/// Never: text can always be written to a string.
pub fn report(record: &Record) -> String {
    let id = &record.identity;
    let page = Page {
        drill: clean(&id.drill),
        title: clean(if id.title.is_empty() { "A run without a title" } else { &id.title }),
        world: world_line(record.scope.world),
        summary: first::summary(record),
        sections: sections(record),
        run: clean(id.run.as_str()),
        tool: clean(&format!("{} {}", id.tool, id.tool_version)),
    };
    let mut text = page.render().expect("BUG: the page renders into a string");
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Everything after the first screen, in the order of reading; the PDF has the same.
pub(super) fn sections(record: &Record) -> Vec<Section> {
    proof::sections(record).into_iter().chain(detail::sections(record)).collect()
}

#[cfg(test)]
mod tests;
