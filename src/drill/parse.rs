//! YAML to [`Node`]s: one document, no duplicate keys, no anchors, YAML 1.2's core scalars. Pure.
//!
//! Anchors and merge keys are refused and not expanded: a drill is read by people who must see what
//! it does, and a file cannot grow while it is read.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use serde_json::Number;

use super::nodes::{Data, Key, Node, Pos, Span};
use super::problem::Report;

/// Largest drill file, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Deepest nesting of lists and mappings.
const MAX_DEPTH: usize = 32;
/// Where a file has more problems than this, reading stops.
const MAX_PROBLEMS: usize = 100;

/// A list or a mapping that is still open.
struct Open {
    span: Span,
    data: Data,
    /// The key that waits for its value.
    key: Option<Key>,
    /// The keys so far, with their lines.
    seen: HashMap<String, usize>,
}

impl Open {
    fn new(span: Span, data: Data) -> Self {
        Self { span, data, key: None, seen: HashMap::new() }
    }
}

fn pos(m: &Marker) -> Pos {
    Pos { line: m.line().max(1), column: m.col() + 1 }
}

/// Reads the text; `None` where there is no tree to go on with. Problems go to the report.
pub(super) fn parse(text: &str, report: &mut Report<'_>) -> Option<Node> {
    if text.len() > MAX_BYTES {
        report.outside(
            format!("the file has more than {0} MiB; a drill may have {0} MiB", MAX_BYTES >> 20),
            None,
        );
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut open: Vec<Open> = Vec::new();
    let mut root: Option<Node> = None;
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(next) => next,
            Err(e) => {
                let at = pos(e.marker());
                let (message, hint) = explain(e.info(), report.line(at.line));
                // one character at least is marked
                let span = Span { start: at, end: at };
                match hint {
                    Some(hint) => report.hint(span, message, hint),
                    None => report.at(span, message),
                }
                return None;
            }
        };
        let span = Span { start: pos(&span.start), end: pos(&span.end) };
        if report.len() > MAX_PROBLEMS {
            return None;
        }
        match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    report.hint(span, "a second document in one file", "one drill a file");
                    return root;
                }
            }
            Event::Alias(_) => {
                report.hint(
                    span,
                    "aliases are not read",
                    "write the value out, or use a parameter: `${params.NAME}`",
                );
                attach(Node::new(span, Data::Null), &mut open, &mut root, report);
            }
            Event::Scalar(value, style, anchor, tag) => {
                extras(anchor, tag.is_some(), span, report);
                let node = scalar(&value, style, span, report);
                attach(node, &mut open, &mut root, report);
            }
            Event::SequenceStart(anchor, tag) => {
                extras(anchor, tag.is_some(), span, report);
                open.push(Open::new(span, Data::List(Vec::new())));
            }
            Event::MappingStart(anchor, tag) => {
                extras(anchor, tag.is_some(), span, report);
                open.push(Open::new(span, Data::Map(Vec::new())));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(done) = open.pop() {
                    let whole = Span { start: done.span.start, end: span.end };
                    attach(Node::new(whole, done.data), &mut open, &mut root, report);
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        if open.len() > MAX_DEPTH {
            report.at(span, format!("nested more than {MAX_DEPTH} deep"));
            return None;
        }
    }
    if root.is_none() {
        report.outside(
            "the file is empty",
            Some(
                "`redrill schema` says what a drill holds; the shipped drills are good to start from"
                    .to_owned(),
            ),
        );
    }
    root
}

fn extras(anchor: usize, tag: bool, span: Span, report: &mut Report<'_>) {
    if anchor != 0 {
        report.hint(
            span,
            "anchors are not read",
            "write the value out, or use a parameter: `${params.NAME}`",
        );
    }
    if tag {
        report.hint(span, "YAML tags are not read", "quotes make text of a value");
    }
}

fn attach(node: Node, open: &mut [Open], root: &mut Option<Node>, report: &mut Report<'_>) {
    let Some(parent) = open.last_mut() else {
        *root = Some(node);
        return;
    };
    match &mut parent.data {
        Data::List(items) => items.push(node),
        Data::Map(entries) => match parent.key.take() {
            None => parent.key = Some(key(node, report)),
            Some(key) => {
                // an empty value stands where the next token is; the key is what people look for
                let node = match (&node.data, node.raw.as_deref()) {
                    (Data::Null, Some("")) => Node { span: key.span, ..node },
                    _ => node,
                };
                match parent.seen.get(&key.text) {
                    Some(line) => {
                        report.hint(
                            key.span,
                            format!("`{}` stands here twice", key.text),
                            format!("first in line {line}"),
                        );
                    }
                    None if key.text == "<<" => report.hint(
                        key.span,
                        "merge keys are not read",
                        "write the keys out, or use `environments`",
                    ),
                    None => {
                        parent.seen.insert(key.text.clone(), key.span.start.line);
                        entries.push((key, node));
                    }
                }
            }
        },
        _ => {}
    }
}

fn key(node: Node, report: &mut Report<'_>) -> Key {
    let text = match (&node.data, node.raw) {
        (Data::Text(s), _) => s.clone(),
        (Data::Bool(_) | Data::Number(_), Some(raw)) => raw,
        _ => {
            report.at(node.span, "a key must be text");
            String::new()
        }
    };
    Key { text, span: node.span }
}

/// YAML 1.2's core schema: `no`, `on` and `12:30` are text.
fn scalar(value: &str, style: ScalarStyle, span: Span, report: &mut Report<'_>) -> Node {
    if style != ScalarStyle::Plain {
        return Node::new(span, Data::Text(value.to_owned()));
    }
    let data = match value {
        "" | "~" | "null" | "Null" | "NULL" => Data::Null,
        "true" | "True" | "TRUE" => Data::Bool(true),
        "false" | "False" | "FALSE" => Data::Bool(false),
        _ => match number(value) {
            None => Data::Text(value.to_owned()),
            Some(Some(n)) => Data::Number(n),
            Some(None) => {
                report.hint(span, format!("the number {value} is too large"), "quotes make text of it");
                Data::Null
            }
        },
    };
    Node { span, data, raw: Some(value.to_owned()) }
}

/// `None` where the text is no number, `Some(None)` where the number is out of reach.
fn number(text: &str) -> Option<Option<Number>> {
    let digits = |s: &str, radix: u32| !s.is_empty() && s.chars().all(|c| c.is_digit(radix));
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal, 8).then(|| u64::from_str_radix(octal, 8).ok().map(Number::from));
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return digits(hex, 16).then(|| u64::from_str_radix(hex, 16).ok().map(Number::from));
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(None);
    }
    if digits(unsigned, 10) {
        let plain = text.strip_prefix('+').unwrap_or(text);
        let whole =
            plain.parse::<u64>().map(Number::from).or_else(|_| plain.parse::<i64>().map(Number::from));
        return Some(whole.ok());
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e.strip_prefix(['+', '-']).unwrap_or(e))),
        None => (unsigned, None),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |s: &str| s.chars().all(|c| c.is_ascii_digit());
    let float = all_digits(whole)
        && all_digits(part)
        && !(whole.is_empty() && part.is_empty())
        && exponent.is_none_or(|e| digits(e, 10));
    float.then(|| text.parse::<f64>().ok().and_then(Number::from_f64))
}

/// The scanner's words, in ours.
fn explain(info: &str, line: &str) -> (String, Option<String>) {
    let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
    if indent.contains('\t') {
        return ("a tab in the indentation".to_owned(), Some("YAML indents with spaces".to_owned()));
    }
    let hint = if line.matches(": ").count() > 1 && !line.contains(['"', '\'', '{']) {
        Some("a value that holds `: ` needs quotes".to_owned())
    } else if line.trim_start().starts_with(['@', '`', '%']) || line.contains(": @") || line.contains(": `") {
        Some("a value that starts with a special character needs quotes".to_owned())
    } else {
        None
    };
    (format!("this is not YAML: {info}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<serde_json::Value, String> {
        let mut report = Report::new(text);
        let node = parse(text, &mut report);
        match report.is_empty() {
            true => Ok(node.expect("a tree").to_value()),
            false => Err(report.into_problems("f.yaml").to_string()),
        }
    }

    #[test]
    fn scalars_follow_yaml_1_2() {
        let value = read(
            "a: no\nb: true\nc: 012\nd: 1e3\ne: 12:30\nf: ~\ng: \"1\"\nh: 0x10\ni: -3\nj: on\nk: 1.\nl: .5\nm: 1.2.3\n",
        )
        .unwrap();
        let want = serde_json::json!({"a": "no", "b": true, "c": 12, "d": 1000.0, "e": "12:30", "f": null,
            "g": "1", "h": 16, "i": -3, "j": "on", "k": 1.0, "l": 0.5, "m": "1.2.3"});
        assert_eq!(value, want);
    }

    #[test]
    fn what_could_hide_something_is_refused() {
        for (text, want) in [
            (
                "a: 1\na: 2\n",
                "error: `a` stands here twice\n --> f.yaml:2:1\n  |\n2 | a: 2\n  | ^ first in line 1",
            ),
            ("a: &x 1\nb: *x\n", "error: aliases are not read\n --> f.yaml:2:4\n"),
            ("a: &x 1\n", "error: anchors are not read\n"),
            ("<<: {a: 1}\n", "error: merge keys are not read\n --> f.yaml:1:1\n"),
            ("a: 1\n---\nb: 1\n", "error: a second document in one file\n --> f.yaml:2:1\n"),
            ("a: !!str 1\n", "error: YAML tags are not read\n"),
            ("a:\n\tb: 1\n", "error: a tab in the indentation\n --> f.yaml:2:"),
            ("a: [1, 2\nb: 3\n", "error: this is not YAML: "),
            ("a: 99999999999999999999999\n", "error: the number 99999999999999999999999 is too large\n"),
            ("a: .nan\n", "error: the number .nan is too large\n"),
            ("", "error: the file is empty\n"),
            ("# nothing\n", "error: the file is empty\n"),
            ("title: a: b\n", "a value that holds `: ` needs quotes"),
            ("? [a]\n: b\n", "error: a key must be text\n"),
        ] {
            let got = read(text).expect_err(text);
            assert!(got.contains(want), "{text:?} gave\n{got}");
        }
        let deep = format!("a: {}{}", "[".repeat(40), "]".repeat(40));
        assert!(read(&deep).unwrap_err().contains("nested more than 32 deep"));
        assert!(
            read(&"a".repeat(MAX_BYTES + 1)).unwrap_err().contains("more than 1 MiB; a drill may have 1 MiB")
        );
    }

    #[test]
    fn every_key_and_value_knows_its_place() {
        let text = "a:\n  - b: täg\n    c: \"x\"\n";
        let mut report = Report::new(text);
        let node = parse(text, &mut report).unwrap();
        let item = &node.get("a").unwrap().items()[0];
        let (key, value) = item.entry("c").unwrap();
        assert_eq!((key.span.start.line, key.span.start.column), (3, 5));
        assert_eq!((value.span.start.line, value.span.start.column, value.span.end.column), (3, 8, 11));
        let (_, value) = item.entry("b").unwrap();
        assert_eq!((value.span.start.column, value.span.end.column), (8, 11));
    }

    #[test]
    fn numbers_are_those_of_yaml_1_2() {
        let of = |text: &str| match number(text) {
            None => "text".to_owned(),
            Some(None) => "too large".to_owned(),
            Some(Some(n)) => n.to_string(),
        };
        for (text, read) in [
            ("0o17", "15"),
            ("0o18", "text"),
            ("0o", "text"),
            ("0o7777777777777777777777777", "too large"),
            ("0x1F", "31"),
            ("0xfg", "text"),
            ("0x", "text"),
            ("0x11111111111111111", "too large"),
            ("+5", "5"),
            ("-5", "-5"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775809", "too large"),
            ("1.5", "1.5"),
            ("-1.5e+3", "-1500.0"),
            ("1e-2", "0.01"),
            ("1E2", "100.0"),
            ("1e999", "too large"),
            ("1e", "text"),
            ("e1", "text"),
            (".", "text"),
            ("1.2.3", "text"),
            ("1.a", "text"),
            ("a.1", "text"),
            ("1e1x", "text"),
            ("-", "text"),
            ("", "text"),
            (".inf", "too large"),
            ("-.Inf", "too large"),
            ("+.INF", "too large"),
            (".NaN", "too large"),
            ("-.nan", "text"),
        ] {
            assert_eq!(of(text), read, "{text}");
        }
        for (text, value) in [
            ("~", serde_json::Value::Null),
            ("null", serde_json::Value::Null),
            ("True", true.into()),
            ("FALSE", false.into()),
            ("'null'", "null".into()),
            ("yes", "yes".into()),
        ] {
            assert_eq!(read(&format!("a: {text}")).unwrap()["a"], value, "{text}");
        }
    }

    #[test]
    fn what_the_scanner_says_comes_with_what_was_probably_meant() {
        let hint = |line: &str| explain("x", line).1.unwrap_or_default();
        let colon = "a value that holds `: ` needs quotes";
        let special = "a value that starts with a special character needs quotes";
        for (line, expected) in [
            ("a: b: c", colon),
            ("a: \"b: c", ""),
            ("a: 'b: c", ""),
            ("a: {b: c", ""),
            ("a: b", ""),
            ("  @a", special),
            ("%a", special),
            ("`a", special),
            ("a: @b", special),
            ("a: `b", special),
            ("\ta: b", "YAML indents with spaces"),
            ("a:\tb", ""),
        ] {
            assert_eq!(hint(line), expected, "{line}");
        }
        assert_eq!(explain("x", "a: b").0, "this is not YAML: x");
        assert_eq!(explain("x", " \ta: b").0, "a tab in the indentation");
    }

    #[test]
    fn a_file_has_bounds_in_every_direction() {
        let nested = |n: usize| read(&format!("{}1{}", "[".repeat(n), "]".repeat(n)));
        assert!(nested(32).is_ok());
        assert!(nested(33).unwrap_err().contains("nested more than 32 deep"));
        assert_eq!(MAX_BYTES, 1_048_576);
        let padded = |n: usize| read(&format!("a: 1{}", " ".repeat(n - 4)));
        assert!(padded(MAX_BYTES).is_ok());
        assert!(padded(MAX_BYTES + 1).unwrap_err().contains("more than 1 MiB"));
        // it stops looking, and says what it has found
        let wrong = |n: usize| read(&"- &a 1\n".repeat(n)).unwrap_err();
        assert!(wrong(101).contains("\n\n101 problems in") && wrong(500).contains("\n\n101 problems in"));
    }

    #[test]
    fn a_problem_stands_where_it_is_seen() {
        for (text, line, column, width) in [
            ("a: 1\nb: *x\n", 2, 4, 2),
            ("a:\n  - !x 1\n", 2, 5, 4),
            ("a: &x {b: 1}\n", 1, 4, 3),
            ("a: &x [1]\n", 1, 4, 3),
            ("a: 1\na: 2\n", 2, 1, 1),
        ] {
            let mut report = Report::new(text);
            parse(text, &mut report);
            let found = report.into_problems("f.yaml");
            let place = (found.problems[0].line, found.problems[0].column);
            assert_eq!(place, (Some(line), Some(column)), "{text} {width}: {found}");
        }
        // an empty value is looked for at its key
        let mut report = Report::new("a:\n\n\nb: ~\n");
        let tree = parse("a:\n\n\nb: ~\n", &mut report).unwrap();
        let starts = tree.entries().iter().map(|(_, v)| (v.span.start.line, v.span.start.column));
        assert_eq!(starts.collect::<Vec<_>>(), [(1, 1), (4, 4)]);
        // keys may be numbers or booleans as they are written
        assert_eq!(read("1.10: a\ntrue: b\n").unwrap(), serde_json::json!({"1.10": "a", "true": "b"}));
        assert!(read("~: a\n").unwrap_err().contains("a key must be text"));
    }
}
