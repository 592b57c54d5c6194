//! Pictures of a run as SVG: the recovery clock, what the probes saw, the steps. Pure.
//!
//! Drawn once and used by the web page and the PDF. Every colour is a presentation attribute that reads
//! well on white; the classes are there so that a page can recolour them for a dark screen. Nothing is
//! told by colour alone, and the same record gives the same bytes. All text that goes into a picture
//! passes [`xml`].

mod clock;
mod probes;
mod scale;
mod steps;
mod svg;

use super::clean;
use crate::evidence::Record;

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// A short name, fit for a file name and for an id: `clock`, `probes`, `steps`.
    pub name: &'static str,
    /// One line that says what it shows; plain text.
    pub title: String,
    /// The same in words, for those who do not see it; plain text.
    pub description: String,
    /// The picture: one `<svg>` element that stands alone.
    pub svg: String,
}

/// The pictures that the record has something to draw for.
pub fn all(record: &Record) -> Vec<Picture> {
    [recovery_clock(record), probe_health(record), step_times(record)].into_iter().flatten().collect()
}

/// The recovery against its objective, and its phases enlarged; `None` where no clock ran.
pub fn recovery_clock(record: &Record) -> Option<Picture> {
    clock::draw(record)
}

/// What each probe saw, and when; `None` where nothing was observed.
pub fn probe_health(record: &Record) -> Option<Picture> {
    probes::draw(record)
}

/// When each step ran on each target; `None` where none was sent.
pub fn step_times(record: &Record) -> Option<Picture> {
    steps::draw(record)
}

/// Text from elsewhere, fit for XML: cleaned, and none of it is markup.
pub fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // no character of XML
            '\u{fffe}' | '\u{ffff}' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
