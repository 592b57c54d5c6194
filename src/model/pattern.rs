//! Patterns with `*` and `?`, and values that may be one or several. Pure.
//!
//! The same rules as EC2's filters: `*` stands for any text, `?` for one character, a backslash
//! before `*`, `?` or `\` takes it literally; upper and lower case differ. So what a selector
//! matches here is what EC2 would have matched.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Any text.
    Any,
    /// Any one character.
    One,
    /// This character.
    Literal(char),
}

/// What a pattern is made of, for those who write it in another language.
pub fn parts(pattern: &str) -> impl Iterator<Item = Part> {
    tokens(pattern).into_iter()
}

fn tokens(pattern: &str) -> Vec<Part> {
    let mut out = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(match c {
            '*' => Part::Any,
            '?' => Part::One,
            '\\' => match chars.next_if(|c| matches!(c, '*' | '?' | '\\')) {
                Some(escaped) => Part::Literal(escaped),
                None => Part::Literal('\\'),
            },
            c => Part::Literal(c),
        });
    }
    out
}

/// Whether the whole text matches the pattern. Never takes longer than pattern × text steps,
/// whatever the pattern: only the last `*` is ever reconsidered.
pub fn matches(pattern: &str, text: &str) -> bool {
    let pattern = tokens(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // where the last `*` stands, and how much text it has swallowed up to
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Part::Any) => {
                star = Some((p, t));
                p += 1;
            }
            Some(Part::One) => {
                p += 1;
                t += 1;
            }
            Some(Part::Literal(c)) if *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, swallowed)) => {
                    star = Some((at, swallowed + 1));
                    p = at + 1;
                    t = swallowed + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|token| *token == Part::Any)
}

/// Whether the text holds `*` or `?` that [`matches`] would not take literally.
pub fn is_pattern(text: &str) -> bool {
    tokens(text).iter().any(|t| matches!(t, Part::Any | Part::One))
}

/// One value or a list of values. Numbers and booleans are taken as text, since YAML reads
/// `version: 15` as a number and a tag's value never is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Raw", into = "Raw")]
pub struct OneOrMany(Vec<String>);

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Raw {
    One(Scalar),
    Many(Vec<Scalar>),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Bool(bool),
    Number(serde_json::Number),
}

impl From<Scalar> for String {
    fn from(s: Scalar) -> Self {
        match s {
            Scalar::Text(s) => s,
            Scalar::Bool(b) => b.to_string(),
            Scalar::Number(n) => n.to_string(),
        }
    }
}

impl From<Raw> for OneOrMany {
    fn from(raw: Raw) -> Self {
        Self(match raw {
            Raw::One(one) => vec![one.into()],
            Raw::Many(many) => many.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<OneOrMany> for Raw {
    fn from(mut values: OneOrMany) -> Self {
        match values.0.len() {
            1 => Self::One(Scalar::Text(values.0.remove(0))),
            _ => Self::Many(values.0.into_iter().map(Scalar::Text).collect()),
        }
    }
}

impl From<&str> for OneOrMany {
    fn from(one: &str) -> Self {
        Self(vec![one.to_owned()])
    }
}

impl From<Vec<String>> for OneOrMany {
    fn from(many: Vec<String>) -> Self {
        Self(many)
    }
}

impl OneOrMany {
    /// The values.
    pub fn values(&self) -> &[String] {
        &self.0
    }

    /// Whether there is no value at all (an empty list), which matches nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the values stands for any text there may be.
    pub fn matches_anything(&self) -> bool {
        let anything = |p: &String| {
            let parts = tokens(p);
            parts.contains(&Part::Any) && !parts.iter().any(|part| matches!(part, Part::Literal(_)))
        };
        self.0.iter().any(anything)
    }

    /// Whether the text matches at least one of the values, each taken as a pattern.
    pub fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|p| matches(p, text))
    }
}

impl fmt::Display for OneOrMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" or "))
    }
}

impl JsonSchema for OneOrMany {
    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let scalar = ["string", "number", "boolean"];
        schemars::json_schema!({
            "description": "One value or a list of values; `*` stands for any text, `?` for one character.",
            "anyOf": [
                { "type": scalar },
                { "type": "array", "items": { "type": scalar }, "minItems": 1 }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text, want) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("?", "", false),
            ("?", "é", true),
            ("shop-*", "shop-web-1", true),
            ("shop-*", "the-shop-web", false),
            ("shop-web-?", "shop-web-10", false),
            ("*-web-*", "shop-web-1", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("Shop", "shop", false),
            (r"50\*", "50*", true),
            (r"50\*", "500", false),
            (r"a\b", r"a\b", true),
            (r"a\\b", r"a\b", true),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern} against {text}");
        }
        assert!(is_pattern("a*") && is_pattern("?") && !is_pattern("a") && !is_pattern(r"\*"));
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        // exponential for a matcher that tries every split
        assert!(!matches(&"*a".repeat(200), &"a".repeat(150)));
    }

    #[test]
    fn one_or_many_reads_yaml_scalars_and_writes_them_back() {
        let read = |s: &str| serde_json::from_str::<OneOrMany>(s).unwrap();
        assert_eq!(read("\"a\"").values(), ["a"]);
        assert_eq!(read("15").values(), ["15"]);
        assert_eq!(read("true").values(), ["true"]);
        assert_eq!(read("[\"a\", 1.5, false]").values(), ["a", "1.5", "false"]);
        assert!(serde_json::from_str::<OneOrMany>("{}").is_err());
        assert!(serde_json::from_str::<OneOrMany>("null").is_err());
        for text in ["\"a\"", "[\"a\",\"b\"]", "[]"] {
            assert_eq!(serde_json::to_string(&read(text)).unwrap(), text);
        }
        assert!(read("[\"prod\", \"stag*\"]").matches("staging"));
        assert!(read("[\"prod\", \"*\"]").matches_anything() && read("\"?*\"").matches_anything());
        assert!(["\"stag*\"", "\"?\"", "[]", r#""\\\\*""#].iter().all(|text| !read(text).matches_anything()));
        assert!(!read("[]").matches(""));
    }

    // Tries every split: obviously right, obviously slow.
    fn naive(pattern: &[Part], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((Part::Any, rest)) => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            Some((Part::One, rest)) => !text.is_empty() && naive(rest, &text[1..]),
            Some((Part::Literal(c), rest)) => text.first() == Some(c) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_matcher(pattern in r"[ab*?\\]{0,8}", text in r"[ab*?\\]{0,10}") {
            let chars: Vec<char> = text.chars().collect();
            prop_assert_eq!(matches(&pattern, &text), naive(&tokens(&pattern), &chars));
        }

        #[test]
        fn a_text_matches_itself_escaped(text in ".{0,20}") {
            let escaped = text.replace('\\', r"\\").replace('*', r"\*").replace('?', r"\?");
            prop_assert!(matches(&escaped, &text));
            prop_assert!(!is_pattern(&escaped));
        }
    }
}
