//! Takes secrets out of events before they are written, and puts them back in where they are acted on. Pure.
//!
//! A secret is known by its text, so it is also looked for as it stands inside JSON, a URL, base64 (at
//! each of its three alignments, alone or behind a user's name) and hexadecimal digits, and cut off at the
//! end of a text. Left to others: ways of writing a secret that nobody can foresee. Invariant: only a
//! plain `[secret NAME]` is ever put back; the other marks stay, since they stand in texts for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::journal::Event;

/// The shortest beginning of a secret that is taken for a secret cut off.
const SHORTEST_CUT: usize = 4;

/// What is kept out of the journal.
pub struct Redaction {
    /// What to look for and what stands in its place, the longest first.
    forms: Vec<(String, String)>,
    /// Secrets by name.
    secrets: BTreeMap<String, String>,
    /// Secret parameters whose values this process does not know.
    unknown: Vec<String>,
}

impl Redaction {
    /// For the values given, and the names of every secret parameter that there is.
    pub fn new(secrets: BTreeMap<String, String>, names: &[String]) -> Self {
        let mut forms: Vec<(String, String)> = Vec::new();
        for (name, secret) in secrets.iter().filter(|(_, s)| !s.is_empty()) {
            forms.push((secret.clone(), format!("[secret {name}]")));
            forms.extend(encoded(secret).into_iter().map(|f| (f, format!("[secret {name}, encoded]"))));
        }
        forms.sort_by_key(|(form, _)| std::cmp::Reverse(form.len()));
        let unknown = names.iter().filter(|n| !secrets.contains_key(*n)).cloned().collect();
        Self { forms, secrets, unknown }
    }

    /// The event as it may be written.
    pub fn event(&self, event: Event) -> Event {
        let event = self.without_notes(event);
        if self.forms.is_empty() {
            return event;
        }
        // what is acted on later must come back as it was; all else is for people
        let exact = matches!(event, Event::StepPrepared { .. } | Event::Captured { .. });
        let Ok(mut value) = serde_json::to_value(&event) else { return event };
        self.value(&mut value, exact);
        // a secret that is also a word of the format would break the event: then it is kept as it stands,
        // redacted, and never as it was
        serde_json::from_value(value.clone()).unwrap_or(Event::Unknown(value))
    }

    fn value(&self, value: &mut Value, exact: bool) {
        match value {
            Value::String(s) => {
                if let Some(redacted) = self.text(s) {
                    *s = redacted;
                }
                if !exact {
                    self.cut(s);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|v| self.value(v, exact)),
            Value::Object(map) => map.values_mut().for_each(|v| self.value(v, exact)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// `None` where there is nothing to take out. One pass, so that no mark is looked through again.
    fn text(&self, text: &str) -> Option<String> {
        let mut rest = text;
        let mut out = String::new();
        loop {
            let found =
                self.forms.iter().filter_map(|(form, mark)| Some((rest.find(form.as_str())?, form, mark)));
            let Some((at, form, mark)) = found.min_by_key(|(at, form, _)| (*at, usize::MAX - form.len()))
            else {
                break;
            };
            out.push_str(&rest[..at]);
            out.push_str(mark);
            rest = &rest[at + form.len()..];
        }
        if rest.len() == text.len() {
            return None;
        }
        out.push_str(rest);
        Some(out)
    }

    /// A text that was cut to a length may end within a secret.
    fn cut(&self, text: &mut String) {
        for (name, secret) in &self.secrets {
            let whole = secret.len().saturating_sub(1).min(text.len());
            let end = (SHORTEST_CUT..=whole)
                .rev()
                .filter(|n| secret.is_char_boundary(*n))
                .find(|n| text.trim_end_matches('…').ends_with(&secret[..*n]));
            if let Some(length) = end {
                let kept = text.trim_end_matches('…').len() - length;
                text.truncate(kept);
                let _ = write!(text, "[secret {name}, cut]");
                return;
            }
        }
    }

    /// What a person wrote may hold a secret that only the person knows.
    fn without_notes(&self, mut event: Event) -> Event {
        let Some(name) = self.unknown.first() else { return event };
        let kept_out = format!("[kept out: it could hold the secret `{name}`, which was not given]");
        match &mut event {
            Event::Marked { note, .. }
            | Event::Confirmed { note, .. }
            | Event::RequestUnused { note, .. }
                if !note.is_empty() =>
            {
                *note = kept_out;
            }
            Event::StopRequested { detail, request: Some(_), .. } => {
                if let Some((who, _)) = detail.split_once(": ") {
                    *detail = format!("{who}: {kept_out}");
                }
            }
            _ => {}
        }
        event
    }
}

/// The other ways in which the secret may be written.
fn encoded(secret: &str) -> BTreeSet<String> {
    let bytes = secret.as_bytes();
    let mut out = BTreeSet::new();
    let json = Value::from(secret).to_string();
    let json = json[1..json.len() - 1].to_owned();
    // once more, as JSON within JSON
    let twice = Value::from(json.as_str()).to_string();
    out.insert(twice[1..twice.len() - 1].to_owned());
    out.insert(json);
    out.insert(secret.split_whitespace().collect::<Vec<_>>().join(" "));
    for unreserved in ["-_.~", "", "-_.~!$&'()*+,;=:@/?"] {
        for space in ["%20", "+"] {
            let url: String = bytes
                .iter()
                .map(|b| match char::from(*b) {
                    ' ' => space.to_owned(),
                    c if c.is_ascii_alphanumeric() || unreserved.contains(c) => c.to_string(),
                    _ => format!("%{b:02X}"),
                })
                .collect();
            out.insert(lower_escapes(&url));
            out.insert(url);
        }
    }
    for shift in 0..3 {
        // of the characters that depend on the neighbours too, none is looked for
        let mut padded = vec![0; shift];
        padded.extend_from_slice(bytes);
        let (from, to) = ((shift * 8).div_ceil(6), padded.len() * 8 / 6);
        for text in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            out.insert(text[from..to].to_owned());
        }
    }
    let hex = bytes.iter().fold(String::new(), |mut hex, b| {
        let _ = write!(hex, "{b:02x}");
        hex
    });
    out.insert(hex.to_uppercase());
    out.insert(hex);
    out.retain(|form| form != secret && form.len() >= SHORTEST_CUT);
    out
}

fn lower_escapes(url: &str) -> String {
    let mut parts = url.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(part.len().min(2));
        let _ = write!(out, "%{}{rest}", digits.to_lowercase());
    }
    out
}

/// Puts the secret values back in: what is read from the journal to act on it.
pub fn reveal(value: &mut Value, secrets: &BTreeMap<String, String>) {
    match value {
        Value::String(s) => {
            for (name, secret) in secrets {
                let mark = format!("[secret {name}]");
                if s.contains(&mark) {
                    *s = s.replace(&mark, secret);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| reveal(v, secrets)),
        Value::Object(map) => map.values_mut().for_each(|v| reveal(v, secrets)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::StepId;

    const SECRET: &str = "cAn?ry \"7/ü\"+x";

    fn redaction() -> Redaction {
        Redaction::new([("token".to_owned(), SECRET.to_owned())].into(), &["token".to_owned()])
    }

    fn redacted(text: &str) -> String {
        let mut value = json!(text);
        redaction().value(&mut value, false);
        value.as_str().unwrap().to_owned()
    }

    #[test]
    fn a_secret_is_known_however_it_is_written() {
        assert_eq!(redacted(&format!("a {SECRET} b {SECRET}")), "a [secret token] b [secret token]");
        let json = json!({ "said": SECRET }).to_string();
        assert_eq!(redacted(&json), r#"{"said":"[secret token, encoded]"}"#);
        assert!(!redacted(&json!({ "body": json }).to_string()).contains("ry"));
        for url in
            ["cAn%3Fry%20%227%2F%C3%BC%22%2Bx", "cAn%3fry+%227%2f%c3%bc%22%2bx", "cAn?ry%20%227/%C3%BC%22+x"]
        {
            assert_eq!(
                redacted(&format!("http://h/?q={url}&r")),
                "http://h/?q=[secret token, encoded]&r",
                "{url}"
            );
        }
        for user in ["", "a:", "ab:", "abc:", "user:"] {
            for suffix in ["", "\n", "xyz"] {
                let plain = format!("{user}{SECRET}{suffix}");
                for text in [STANDARD_NO_PAD.encode(&plain), URL_SAFE_NO_PAD.encode(&plain)] {
                    let got = redacted(&format!("Authorization: Basic {text}"));
                    assert!(got.contains("[secret token, encoded]"), "{plain}: {got}");
                }
            }
        }
        assert!(!redacted("6341 6e 63416e3f727920").contains("secret"), "half of it is nothing");
        assert!(redacted("x63416E3F72792022372FC3BC222B78y").contains("[secret token, encoded]"));
    }

    #[test]
    fn a_text_that_ends_within_a_secret_loses_the_rest() {
        assert_eq!(redacted("stdout: cAn?ry \"7/"), "stdout: [secret token, cut]");
        assert_eq!(redacted("stdout: cAn?r…"), "stdout: [secret token, cut]");
        assert_eq!(redacted("stdout: cAn"), "stdout: cAn");
    }

    #[test]
    fn what_is_acted_on_comes_back_as_it_was() {
        let undo = json!({ "env": { "A": SECRET, "B": "ends in cAn?ry" } });
        let event = Event::StepPrepared { step: StepId::new("s"), target: None, undo: undo.clone() };
        let Event::StepPrepared { undo: mut kept, .. } = redaction().event(event) else { panic!() };
        assert_eq!(kept["env"]["A"], "[secret token]");
        reveal(&mut kept, &redaction().secrets);
        assert_eq!(kept, undo);
    }

    #[test]
    fn a_note_is_kept_out_while_a_secret_is_unknown() {
        let names = ["other".to_owned(), "token".to_owned()];
        let half = Redaction::new([("other".to_owned(), "known-value".to_owned())].into(), &names);
        let note = |text: &str| Event::Confirmed {
            step: StepId::new("s"),
            by: "a@b".to_owned(),
            note: text.to_owned(),
            simulated: false,
            request: None,
        };
        let Event::Confirmed { note: kept, .. } = half.event(note("anything")) else { panic!() };
        assert_eq!(kept, "[kept out: it could hold the secret `token`, which was not given]");
        assert_eq!(half.event(note("")), note(""));
        assert_eq!(redaction().event(note("anything")), note("anything"));
    }
}
