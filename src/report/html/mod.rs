//! `report.html`: the record as one page that needs nothing else: no network, no script. Pure.
//!
//! The first screen answers what was tested, when, by whom, whether the objectives were met, what was
//! left behind and what was found; everything else in the record follows. What is in the page: `report::page`;
//! how it looks: `page.html` and `page.css`. Every text is cleaned before it comes here and escaped by the
//! template; only the pictures go in as they are.

use askama::Template;

use super::page::content::{Block, Section};
use super::page::{self, Summary};
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
    colophon: String,
}

/// The page of a run.
///
/// # Panics
/// Never: text can always be written to a string.
pub fn report(record: &Record) -> String {
    let id = &record.identity;
    let page = Page {
        drill: clean(&id.drill),
        title: page::title(record),
        world: world_line(record.scope.world, record.scope.endpoint_doubt.as_deref()),
        summary: page::summary(record),
        sections: page::sections(record),
        run: clean(id.run.as_str()),
        tool: clean(&format!("{} {}", id.tool, record.made_by)),
        colophon: page::colophon(record),
    };
    let mut text = page.render().expect("BUG: the page renders into a string");
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
