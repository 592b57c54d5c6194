//! What a report of a run says, as sections of facts, tables, lists and pictures. Pure.
//!
//! Made once from the record; the web page, the PDF and the Markdown page only write it out, each in its
//! own form. So all of them say the same. What is in it: `first` (the first screen), `proof` and
//! `detail`; every text is cleaned when it becomes a cell.

pub(super) mod content;
mod detail;
mod first;
mod proof;

use self::content::Section;
pub(super) use self::first::{Summary, in_a_sentence, left_in_words, outage_in_words, summary};
use super::clean;
use crate::evidence::Record;

/// What stands over the page.
pub(super) fn title(record: &Record) -> String {
    let title = record.identity.title.trim();
    clean(if title.is_empty() { "A run without a title" } else { title })
}

/// Everything after the first screen, in the order of reading.
pub(super) fn sections(record: &Record) -> Vec<Section> {
    proof::sections(record).into_iter().chain(detail::sections(record)).collect()
}

/// What stands under the page: which run, and which redrill made the page of it.
pub(super) fn colophon(record: &Record) -> String {
    clean(&format!(
        "Made by {} {} from the run's journal and plan. Times are UTC.",
        record.identity.tool, record.made_by
    ))
}
