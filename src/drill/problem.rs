//! What is wrong with a drill file, where, and what was probably meant. Pure.
//!
//! A [`Report`] collects while the file is read; [`Problems`] is what people and machines get:
//! every problem of a file at once, in the order of the file. No problem shows who stands in a URL.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::nodes::Span;
use crate::model::text::{is_unseen, shown, without_user};

/// Longest stretch of a source line that is shown, in characters.
const SHOWN: usize = 96;
/// Longest message, in characters.
const LONGEST: usize = 1_000;
/// How many problems are printed; the rest is counted.
const PRINTED: usize = 50;
/// How many problems are collected: a file with more is not a drill.
const COLLECTED: usize = 1000;

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Line, from 1; `None` where it is not about the file (`--set`, `--env`).
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What was probably meant, or what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    #[serde(skip)]
    width: usize,
    #[serde(skip)]
    source: String,
}

/// Every problem of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problems {
    /// The file as the caller named it.
    pub file: String,
    /// The problems, in the order of the file; never empty.
    pub problems: Vec<Problem>,
}

impl std::error::Error for Problems {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, None)
    }
}

impl Problem {
    /// A problem of these words, where they first stand in the file; of no place where they do not.
    pub fn of_words(text: &str, words: &str, message: impl Into<String>, hint: Option<String>) -> Self {
        let lines = text.lines().enumerate();
        let found = lines.filter(|(_, l)| !l.trim_start().starts_with('#')).find_map(|(n, line)| {
            let at = line.find(words)?;
            Some((n + 1, line[..at].chars().count() + 1, line.to_owned()))
        });
        let (line, column, source) = match found {
            Some((line, column, source)) => (Some(line), Some(column), source),
            None => (None, None, String::new()),
        };
        Self { line, column, message: message.into(), hint, width: words.chars().count().max(1), source }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, file: Option<&str>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        let (Some(line), Some(column)) = (self.line, self.column) else {
            return match &self.hint {
                Some(hint) => write!(f, "\n  = {hint}"),
                None => Ok(()),
            };
        };
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let (shown, at) = excerpt(&without_user(&self.source), column);
        write!(f, "\n{gutter}--> {}:{line}:{column}\n{gutter} |\n", file.unwrap_or("drill"))?;
        let carets = "^".repeat(self.width.clamp(1, (shown.chars().count() + 1).saturating_sub(at).max(1)));
        writeln!(f, "{number} | {shown}")?;
        write!(f, "{gutter} | {}{carets}", " ".repeat(at))?;
        match &self.hint {
            Some(hint) => write!(f, " {hint}"),
            None => Ok(()),
        }
    }
}

/// The part of a line to show, made printable, and the offset of the column in it.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let chars: Vec<char> = line.chars().map(|c| if is_unseen(c) { ' ' } else { c }).collect();
    let at = (column - 1).min(chars.len());
    if chars.len() <= SHOWN {
        return (chars.into_iter().collect(), at);
    }
    let from = at.saturating_sub(SHOWN / 3);
    let to = (from + SHOWN).min(chars.len());
    let mut out = String::new();
    if from > 0 {
        out.push('…');
    }
    out.extend(&chars[from..to]);
    if to < chars.len() {
        out.push('…');
    }
    (out, at - from + usize::from(from > 0))
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.problems.iter().take(PRINTED) {
            problem.write(f, Some(&self.file))?;
            f.write_str("\n\n")?;
        }
        let n = self.problems.len();
        if n > PRINTED {
            write!(f, "and {} more\n\n", n - PRINTED)?;
        }
        let noun = if n == 1 { "problem" } else { "problems" };
        write!(f, "{n} {noun} in {}; nothing was run.", self.file)
    }
}

/// Collects problems while a file is read.
pub(super) struct Report<'a> {
    lines: Vec<&'a str>,
    found: BTreeSet<Problem>,
    /// Where something stands that nobody should read.
    concealed: Vec<Span>,
}

impl<'a> Report<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { lines: text.lines().collect(), found: BTreeSet::new(), concealed: Vec::new() }
    }

    /// No problem shows what stands there.
    pub(super) fn conceal(&mut self, span: Span) {
        self.concealed.push(span);
    }

    /// Something wrong at a place.
    pub(super) fn at(&mut self, span: Span, message: impl Into<String>) {
        self.push(span, message.into(), None);
    }

    /// Something wrong at a place, with a hint.
    pub(super) fn hint(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.push(span, message.into(), Some(hint.into()));
    }

    /// Something wrong at a place; the nearest of the known names is suggested, or they are listed.
    pub(super) fn unknown<'n>(
        &mut self,
        span: Span,
        message: impl Into<String>,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) {
        self.push(span, message.into(), suggest(name, known));
    }

    /// Something wrong that is not in the file.
    pub(super) fn outside(&mut self, message: impl Into<String>, hint: Option<String>) {
        let (message, source) = (bounded(message.into()), String::new());
        let hint = hint.map(bounded);
        self.found.insert(Problem { line: None, column: None, message, hint, width: 0, source });
    }

    fn push(&mut self, span: Span, message: String, hint: Option<String>) {
        if self.is_full() {
            return;
        }
        let (message, hint) = (bounded(message), hint.map(bounded));
        let source = self.line(span.start.line).to_owned();
        let width = match span.end.line == span.start.line {
            true => span.end.column.saturating_sub(span.start.column),
            false => (source.trim_end().chars().count() + 1).saturating_sub(span.start.column),
        };
        self.found.insert(Problem {
            line: Some(span.start.line),
            column: Some(span.start.column),
            message,
            hint,
            width: width.max(1),
            source,
        });
    }

    /// A line of the file, from 1.
    pub(super) fn line(&self, number: usize) -> &'a str {
        self.lines.get(number.wrapping_sub(1)).copied().unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether nothing more is collected, so that looking on is of no use.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= COLLECTED
    }

    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// Adds what another report found.
    pub(super) fn absorb(&mut self, other: Report<'_>) {
        self.found.extend(other.found);
        self.concealed.extend(other.concealed);
    }

    pub(super) fn into_problems(mut self, file: &str) -> Problems {
        if !self.concealed.is_empty() {
            let spans = std::mem::take(&mut self.concealed);
            let hidden = |mut p: Problem| {
                p.source = spans.iter().fold(p.source, |source, span| hide(&source, p.line, *span));
                p
            };
            self.found = self.found.into_iter().map(hidden).collect();
        }
        // what is not in the file (no line) sorts first; people read the file's own problems first
        let (outside, inside): (Vec<_>, Vec<_>) = self.found.into_iter().partition(|p| p.line.is_none());
        Problems { file: file.to_owned(), problems: inside.into_iter().chain(outside).collect() }
    }
}

/// A message may repeat what stands in the file, however long it is and whatever it does to a terminal.
fn bounded(text: String) -> String {
    let text = without_user(&text);
    let mut out: String = text.chars().filter_map(shown).take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

/// The line, with stars in place of what lies within the span.
fn hide(source: &str, line: Option<usize>, span: Span) -> String {
    let Some(line) = line.filter(|l| (span.start.line..=span.end.line).contains(l)) else {
        return source.to_owned();
    };
    let from = if line == span.start.line { span.start.column } else { 1 };
    let to = if line == span.end.line && span.end.column > from { span.end.column } else { usize::MAX };
    let star = |(n, c)| if (from..to).contains(&(n + 1)) { '*' } else { c };
    source.chars().enumerate().map(star).collect()
}

/// "did you mean `x`?" for the nearest name; otherwise the names, if they are few.
pub fn suggest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(nearest) = nearest(name, &known) {
        return Some(format!("did you mean `{nearest}`?"));
    }
    (1..=12).contains(&known.len()).then(|| format!("known here: {}", known.join(", ")))
}

/// The name that was probably meant, if one is near enough.
pub fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let plain = |s: &str| s.to_lowercase().replace(['_', ' '], "-");
    let wanted = plain(name);
    if wanted.is_empty() {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in known {
        let other = plain(candidate);
        // `terminate-instances` for `ec2.terminate-instances`
        let tail = other.rsplit_once('.').map_or(other.as_str(), |(_, tail)| tail);
        let far = strsim::damerau_levenshtein(&wanted, &other).min(match tail == wanted {
            true => 1,
            false => usize::MAX,
        });
        let allowed = (other.chars().count().max(wanted.chars().count()) / 3).max(1);
        if far <= allowed && best.is_none_or(|(b, _)| far < b) {
            best = Some((far, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = ["tags", "where", "select", "ec2.terminate-instances", "max_targets"];
        assert_eq!(nearest("tagz", &known), Some("tags"));
        assert_eq!(nearest("maxTargets", &known), Some("max_targets"));
        assert_eq!(nearest("max-targets", &known), Some("max_targets"));
        assert_eq!(nearest("terminate-instances", &known), Some("ec2.terminate-instances"));
        assert_eq!(nearest("ec2.terminate-instance", &known), Some("ec2.terminate-instances"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest("", &known), None);
    }

    #[test]
    fn a_long_line_is_cut_around_its_column() {
        let line = format!("{}X{}", "a".repeat(300), "b".repeat(300));
        let (shown, at) = excerpt(&line, 301);
        assert_eq!(shown.chars().nth(at), Some('X'));
        assert!(shown.chars().count() <= SHOWN + 2 && shown.starts_with('…') && shown.ends_with('…'));
    }
}
