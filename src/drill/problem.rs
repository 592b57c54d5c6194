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
    // `rds.restor` for `rds.restore-to-point-in-time`
    let begins = |candidate: &&&str| wanted.chars().count() >= 4 && plain(candidate).starts_with(&wanted);
    best.map(|(_, candidate)| candidate).or_else(|| known.iter().find(begins).copied())
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
        assert_eq!(nearest("ec2.ter", &known), Some("ec2.terminate-instances"));
        assert_eq!(nearest("ec2", &known), None);
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

    fn span(from: (usize, usize), to: (usize, usize)) -> Span {
        let pos = |(line, column)| super::super::nodes::Pos { line, column };
        Span { start: pos(from), end: pos(to) }
    }

    #[test]
    fn an_excerpt_is_the_line_or_a_stretch_of_it() {
        let line =
            |n: usize| (0..n).map(|n| char::from(b'a' + u8::try_from(n % 26).unwrap())).collect::<String>();
        assert_eq!(excerpt("ab\tc\u{202e}", 3), ("ab c ".to_owned(), 2));
        assert_eq!(excerpt("ab", 9), ("ab".to_owned(), 2));
        assert_eq!(excerpt(&line(96), 96), (line(96), 95));
        let long = line(200);
        assert_eq!(excerpt(&long, 1), (format!("{}…", &long[..96]), 0));
        assert_eq!(excerpt(&long, 33), (format!("{}…", &long[..96]), 32));
        assert_eq!(excerpt(&long, 34), (format!("…{}…", &long[1..97]), 33));
        assert_eq!(excerpt(&long, 136), (format!("…{}…", &long[103..199]), 33));
        assert_eq!(excerpt(&long, 137), (format!("…{}", &long[104..]), 33));
        assert_eq!(excerpt(&long, 200), (format!("…{}", &long[167..]), 33));
    }

    #[test]
    fn a_problem_is_marked_as_far_as_it_reaches() {
        let text = "first\nsecond line\n  third\n";
        for (span, marked) in [
            (span((1, 1), (1, 3)), "1 | first\n  | ^^"),
            (span((2, 8), (2, 8)), "2 | second line\n  |        ^"),
            // to the end of its line
            (span((2, 8), (3, 4)), "2 | second line\n  |        ^^^^"),
            (span((3, 3), (3, 99)), "3 |   third\n  |   ^^^^^^"),
            (span((3, 8), (3, 9)), "3 |   third\n  |        ^"),
        ] {
            let mut report = Report::new(text);
            report.at(span, "wrong");
            let shown = report.into_problems("f").problems[0].to_string();
            let (line, column) = (span.start.line, span.start.column);
            assert_eq!(shown, format!("error: wrong\n --> drill:{line}:{column}\n  |\n{marked}"));
        }
        let mut report = Report::new(text);
        report.outside("wrong", Some("do it".to_owned()));
        report.outside("worse", None);
        report.hint(span((1, 1), (1, 2)), "here", "so");
        assert_eq!((report.len(), report.is_empty(), report.is_full()), (3, false, false));
        assert_eq!(
            report.into_problems("f").to_string(),
            "error: here\n --> f:1:1\n  |\n1 | first\n  | ^ so\n\nerror: worse\n\nerror: wrong\n  = do it\n\n\
             3 problems in f; nothing was run."
        );
    }

    #[test]
    fn fifty_problems_are_printed_and_a_thousand_collected() {
        let found = |n: usize| {
            let mut report = Report::new("a");
            for n in 0..n {
                report.at(span((1, n + 1), (1, n + 2)), "wrong");
            }
            (report.is_full(), report.into_problems("f"))
        };
        for (n, more) in
            [(1, None), (50, None), (51, Some("and 1 more\n\n51 problems")), (60, Some("and 10 more"))]
        {
            let shown = found(n).1.to_string();
            assert_eq!(shown.matches("error: ").count(), n.min(50));
            match more {
                Some(more) => assert!(shown.contains(more), "{shown}"),
                None => assert!(!shown.contains("more"), "{shown}"),
            }
        }
        assert!(found(1).1.to_string().ends_with("1 problem in f; nothing was run."));
        assert_eq!((found(999).0, found(1_000).0), (false, true));
        assert_eq!(found(1_001).1.problems.len(), 1_000);
    }

    #[test]
    fn a_message_is_bounded_and_plain() {
        assert_eq!(bounded("a\u{1b}b\nhttps://me:pw@h/".to_owned()), "ab https://*****@h/");
        let long = |n: usize| "x".repeat(n);
        assert_eq!(bounded(long(1_000)), long(1_000));
        assert_eq!(bounded(long(1_001)), format!("{}…", long(1_000)));
    }

    #[test]
    fn what_nobody_should_read_is_starred_out_and_nothing_else() {
        let line = "key: secret # why";
        for (at, from, to, expected) in [
            (2, (2, 6), (2, 12), "key: ****** # why"),
            (1, (2, 6), (2, 12), line),
            (3, (2, 6), (2, 12), line),
            (2, (2, 6), (3, 1), "key: ************"),
            (3, (2, 6), (4, 3), "*****************"),
            (4, (2, 6), (4, 7), "****** secret # why"),
            // an end that is not behind its beginning
            (2, (2, 6), (2, 6), "key: ************"),
        ] {
            let source = if at == 4 { "abcdef secret # why" } else { line };
            assert_eq!(hide(source, Some(at), span(from, to)), expected, "{at} {from:?} {to:?}");
        }
        assert_eq!(hide(line, None, span((2, 6), (2, 12))), line);
    }

    #[test]
    fn words_are_found_where_they_first_stand() {
        let text = "# stop: x\nfault:\n  ä stop: x\nstop: y\n";
        let found = Problem::of_words(text, "stop:", "wrong", None);
        assert_eq!(
            (found.line, found.column, found.width, found.source.as_str()),
            (Some(3), Some(5), 5, "  ä stop: x")
        );
        let none = Problem::of_words(text, "start:", "wrong", Some("so".to_owned()));
        assert_eq!((none.line, none.column), (None, None));
        assert_eq!(none.to_string(), "error: wrong\n  = so");
        assert_eq!(Problem::of_words(text, "", "wrong", None).width, 1);
    }

    #[test]
    fn a_few_names_are_listed_and_many_are_not() {
        let names = |n: usize| (0..n).map(|n| format!("name-{n:02}")).collect::<Vec<_>>();
        let says = |n: usize| suggest("x", names(n).iter().map(String::as_str));
        assert_eq!((says(0), says(13)), (None, None));
        assert_eq!(says(2), Some("known here: name-00, name-01".to_owned()));
        assert!(says(12).is_some_and(|s| s.ends_with("name-11")));
        // one letter of three may be wrong, and the nearer of two wins, then the first
        assert_eq!((nearest("abx", &["abc"]), nearest("axx", &["abc"])), (Some("abc"), None));
        assert_eq!((nearest("abxxef", &["abcdef"]), nearest("abxxxf", &["abcdef"])), (Some("abcdef"), None));
        assert_eq!(nearest("b", &["a", "c"]), Some("a"));
        assert_eq!(nearest("abcd", &["abxd", "abcd", "abcx"]), Some("abcd"));
        assert_eq!(nearest("ab", &["a.ab", "x.y"]), Some("a.ab"));
    }
}
