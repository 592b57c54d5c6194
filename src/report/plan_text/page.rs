//! The page that a plan is written on: labels, columns, and texts that stay within them. Pure.
//!
//! Left to others: what stands on it. Invariant: no line is wider than the page, and nothing on it acts on a
//! terminal.

use std::fmt::Write as _;

use crate::model::text::written_out;
use crate::report::{clean, short, words};

/// Widest column but the last.
const WIDEST: usize = 40;
/// The least room beside a label.
const LEAST: usize = 12;
/// Narrowest page that is still laid out.
const NARROWEST: usize = 40;
/// More of one text than this is counted and not shown.
const LONGEST: usize = 8_000;

pub(super) struct Page {
    out: String,
    width: usize,
}

impl Page {
    /// An empty one, of so many columns.
    pub(super) fn new(width: usize) -> Self {
        Self { out: String::new(), width: width.max(NARROWEST) }
    }

    /// What stands on it.
    pub(super) fn text(self) -> String {
        self.out
    }

    pub(super) fn blank(&mut self) {
        self.out.push('\n');
    }

    pub(super) fn title(&mut self, text: &str) {
        self.blank();
        self.hanging("", text);
    }

    /// A text after a label; further lines start below the text.
    pub(super) fn hanging(&mut self, label: &str, text: &str) {
        let indent = label.chars().count();
        if indent + LEAST > self.width {
            // no room beside the label: it is text like the rest
            let margin = " ".repeat(indent - label.trim_start().chars().count() + 2);
            return self.hanging(&margin[2..], &format!("{label} {text}"));
        }
        let room = self.width.saturating_sub(indent).max(LEAST);
        for (n, line) in wrap(&clean(text), room).into_iter().enumerate() {
            if n == 0 {
                self.out.push_str(label);
            } else {
                self.out.push_str(&" ".repeat(indent));
            }
            self.out.push_str(&line);
            let end = self.out.trim_end_matches(' ').len();
            self.out.truncate(end);
            self.blank();
        }
    }

    /// A text after a label, whole: everything that is not seen is written out, blanks stay as they are, and what is
    /// too long to be read is counted. Broken after a written line break and, where there is one, at a blank.
    pub(super) fn exact(&mut self, label: &str, text: &str) {
        self.whole(label, &written_out(text));
    }

    fn whole(&mut self, label: &str, text: &str) {
        let length = text.chars().count();
        let shown: String = text.chars().take(LONGEST).collect();
        let indent = label.chars().count();
        if indent + LEAST > self.width {
            // no room beside the label: it is text like the rest
            let margin = " ".repeat(indent - label.trim_start().chars().count());
            return self.whole(&margin, &format!("{}{text}", label.trim_start()));
        }
        let room = self.width - indent;
        let mut label = label.to_owned();
        for line in broken(&shown, room) {
            self.out.push_str(&label);
            self.out.push_str(&line);
            let end = self.out.trim_end_matches(' ').len();
            self.out.truncate(end);
            self.blank();
            label = " ".repeat(indent);
        }
        if let Some(more) = length.checked_sub(LONGEST).filter(|more| *more > 0) {
            self.hanging(&label, &format!("[{more} more characters, which the plan's file shows]"));
        }
    }

    /// Rows whose columns line up; the last one wraps.
    pub(super) fn table(&mut self, indent: usize, rows: &[Vec<String>]) {
        let narrow = |row: &Vec<String>| {
            let last = row.len().saturating_sub(1);
            row.iter()
                .enumerate()
                .map(|(n, c)| if n < last { short(&clean(c), WIDEST) } else { c.clone() })
                .collect()
        };
        let rows: Vec<Vec<String>> = rows.iter().map(narrow).collect();
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|c| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0))
            .collect();
        for row in &rows {
            let mut label = " ".repeat(indent);
            let Some((last, first)) = row.split_last() else { continue };
            for (cell, width) in first.iter().zip(&widths).filter(|(_, width)| **width > 0) {
                let _ = write!(label, "{cell:<width$}  ");
            }
            self.hanging(&label, last);
        }
    }
}

/// Breaks a text at blanks; a word that is longer than the line is broken, too.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words(text, width) {
        let used = lines.last().map_or(0, |l| l.chars().count());
        let fits = used + usize::from(used > 0) + word.chars().count() <= width;
        match lines.last_mut() {
            Some(line) if used == 0 || fits => {
                if used > 0 {
                    line.push(' ');
                }
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// Breaks a text without losing a character of it.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest: &str = text;
    loop {
        let end = rest.char_indices().nth(width).map_or(rest.len(), |(at, _)| at);
        let fits = &rest[..end];
        let at = match fits.find("\\n").map(|at| at + 2).filter(|at| *at < rest.len()) {
            Some(at) => at,
            None if end == rest.len() => break,
            // a blank in the first half would leave most of the line empty
            None => fits.rfind(' ').map(|at| at + 1).filter(|at| *at > end / 2).unwrap_or(end),
        };
        lines.push(rest[..at].to_owned());
        rest = &rest[at..];
    }
    lines.push(rest.to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_wraps_below_its_label_and_long_words_are_broken() {
        let mut page = Page::new(40);
        page.hanging("  seed  ", &format!("{} then some more words that wrap", "x".repeat(50)));
        let lines: Vec<&str> = page.out.lines().collect();
        assert_eq!(lines[0], format!("  seed  {}", "x".repeat(32)));
        assert!(lines[1].starts_with(&format!("        {} then", "x".repeat(18))), "{lines:?}");
        assert!(lines.iter().all(|l| l.chars().count() <= 40), "{lines:?}");
    }

    #[test]
    fn an_exact_text_loses_nothing() {
        let text = format!("one  two\n{} \u{1b}[2Jthree{}four", "x".repeat(70), " ".repeat(200));
        let mut page = Page::new(40);
        page.exact("  runs  ", &text);
        assert!(page.out.lines().all(|l| l.chars().count() <= 40), "{}", page.out);
        assert_eq!(page.out.lines().next(), Some("  runs  one  two\\n"));
        let joined: String = page.out.lines().map(|l| l.chars().skip(8).collect::<String>()).collect();
        let want = format!("one  two\\n{} \\u{{1b}}[2Jthree [200 blanks] four", "x".repeat(70));
        assert_eq!(joined.replace(' ', ""), want.replace(' ', ""));

        let mut page = Page::new(80);
        page.exact("  ", &"y".repeat(LONGEST + 5));
        assert!(page.out.ends_with("  [5 more characters, which the plan's file shows]\n"), "{}", page.out);
    }

    proptest::proptest! {
        #[test]
        fn broken_pieces_are_the_whole(text in "[a \\\\n]{0,60}", width in 1..20usize) {
            let pieces = broken(&text, width);
            proptest::prop_assert_eq!(pieces.concat(), text);
            proptest::prop_assert!(pieces.iter().all(|p| p.chars().count() <= width.max(2)));
        }
    }
}
