//! Takes secrets out of events before they are written, and puts them back in where they are acted on. Pure.
//!
//! Only values are looked through: messages, notes, what was seen, what was asked and answered, outputs,
//! undo records. What the state is folded from (ids, targets, stages, kinds, verdicts) is never touched;
//! that no secret stands there is for [`super::secrets`] to see to, before the fault.
//!
//! A secret is known by its text, so it is also looked for as it stands inside JSON, a URL, base64 (at
//! each of its three alignments, alone or behind a user's name) and hexadecimal digits; and each of these cut
//! off, at the end of a text and wherever a text was cut, which `…` says. Left to others: ways of writing a secret that nobody can foresee. Invariant: what is
//! acted on later comes back byte for byte, or not at all: [`reveal`] errs where a secret is not known.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::journal::Event;
use crate::model::ProgramId;

/// The shortest beginning of a secret that is taken for a secret cut off.
const SHORTEST_CUT: usize = 4;
/// The same of an encoded one: what little there is in it may stand in any number or id.
const SHORTEST_ENCODED_CUT: usize = 6;
/// What a text that was cut goes on with: whoever cuts one writes it.
const CUT: char = '…';
/// How every mark begins.
pub(super) const MARK: &str = "[secret ";
/// What stands for [`MARK`] where a text that is acted on held it itself.
const LITERAL: &str = "[secret :]";

/// What is kept out of the journal.
pub struct Redaction {
    /// What to look for, the longest first.
    forms: Vec<Form>,
    /// Every secret parameter that there is.
    names: Vec<String>,
    /// Those whose values this process does not know.
    unknown: Vec<String>,
}

/// One way in which a secret may be written.
struct Form {
    text: String,
    name: String,
    /// Which of the [`encoded`] it is; the secret itself is none.
    encoding: Option<usize>,
}

/// For whom a text is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// For people: a mark says what stood there.
    People,
    /// For whoever acts on it later: a mark says how to put back what stood there.
    Acting,
}

impl Form {
    /// How long the beginning of it is that the text ends with, where it is long enough to tell.
    fn begun(&self, text: &str) -> Option<usize> {
        let shortest = if self.encoding.is_none() { SHORTEST_CUT } else { SHORTEST_ENCODED_CUT };
        let longest = self.text.len().saturating_sub(1).min(text.len());
        (shortest..=longest).rev().find(|n| {
            self.text.is_char_boundary(*n) && text.as_bytes().ends_with(&self.text.as_bytes()[..*n])
        })
    }

    fn mark(&self, whom: For) -> String {
        match (self.encoding, whom) {
            (None, _) => format!("{MARK}{}]", self.name),
            (Some(_), For::People) => format!("{MARK}{}, encoded]", self.name),
            (Some(n), For::Acting) => format!("{MARK}{}, form {n}]", self.name),
        }
    }
}

impl Redaction {
    /// For the values given, and the names of every secret parameter that there is.
    pub fn new(secrets: BTreeMap<String, String>, names: &[String]) -> Self {
        let mut forms = Vec::new();
        for (name, secret) in secrets.iter().filter(|(_, s)| !s.is_empty()) {
            forms.push(Form { text: secret.clone(), name: name.clone(), encoding: None });
            let encoded = encoded(secret).into_iter().enumerate();
            forms.extend(encoded.map(|(n, text)| Form { text, name: name.clone(), encoding: Some(n) }));
        }
        forms.sort_by_key(|form| std::cmp::Reverse(form.text.len()));
        let unknown = names.iter().filter(|n| !secrets.contains_key(*n)).cloned().collect();
        Self { forms, names: names.to_vec(), unknown }
    }

    /// Puts the secrets that are known here back in; a value that holds another one stays as it is.
    pub fn put_back(&self, value: &mut Value) {
        let plain = self.forms.iter().filter(|form| form.encoding.is_none());
        let secrets = plain.map(|form| (form.name.clone(), form.text.clone())).collect();
        let _another_one = reveal(value, &secrets, &self.names);
    }

    /// The event as it may be written. Every field stands here, so that a new one cannot be forgotten.
    pub fn event(&self, event: Event) -> Event {
        let mut event = self.without_notes(event);
        if self.forms.is_empty() && self.names.is_empty() {
            return event;
        }
        match &mut event {
            // the header and the operator are looked through before a run begins
            Event::Header {
                format: _,
                redrill: _,
                run: _,
                drill: _,
                title: _,
                plan_sha256: _,
                world: _,
                account: _,
                caller: _,
                region: _,
                rto_ms: _,
                give_up_ms: _,
                chain: _,
            }
            | Event::Attached { mode: _, pid: _, host: _, user: _, redrill: _, boot: _ }
            | Event::Skew { ms: _ }
            | Event::ObservationsLost { count: _ }
            | Event::Stage { stage: _ }
            | Event::Holding { targets: _ }
            | Event::Held { targets: _ }
            | Event::Released { targets: _ }
            | Event::StepStarted { step: _, targets: _ }
            // a secret that is part of it was refused
            | Event::ProgramsFolder { path: _ }
            // numbers of the system's, the machine's name, and a mark that is made by chance
            | Event::ProgramStarted {
                step: _,
                phase: _,
                program: ProgramId { pid: _, start: _, boot: _, host: _, mark: _ },
            }
            | Event::ProgramEnded { step: _, mark: _, how: _ }
            | Event::Unchanged { probe: _, health: _, count: _, last_sent: _, last_answered: _ }
            | Event::Steady { since: _ }
            | Event::PreflightPassed {}
            | Event::Signal { count: _, now: _ }
            | Event::UndoStarted { step: _, target: _ }
            | Event::Cleaned {}
            | Event::SteadyAfter { healthy: _ } => {}
            // what the environment says may be anything
            Event::Endpoint { proof } => {
                proof.settings.values_mut().for_each(|value| self.told(value));
                proof.proxy.iter_mut().for_each(|proxy| self.told(proxy));
            }
            Event::Approved { approval } => self.told(&mut approval.note),
            Event::Found { finding } => {
                for key in ["text", "hint"] {
                    if let Some(Value::String(text)) = finding.get_mut(key) {
                        self.told(text);
                    }
                }
            }
            Event::Captured { step: _, target: _, data } => self.value(data, For::Acting),
            Event::StepPrepared { step: _, target: _, undo } => self.value(undo, For::Acting),
            Event::CallSent { call: _, step: _, phase: _, operation: _, params, attempt: _ } => {
                self.value(params, For::People);
            }
            Event::CallAnswered { call: _, request_id: _, outcome, error } => {
                if let Some(outcome) = outcome {
                    self.value(outcome, For::People);
                }
                if let Some(error) = error {
                    self.told(&mut error.message);
                }
            }
            Event::ReadRetried { operation: _, attempt: _, error } => self.told(&mut error.message),
            Event::StepApplied { step: _, target: _, outputs, notes }
            | Event::StepReady { step: _, target: _, outputs, notes } => {
                for output in outputs.values_mut() {
                    self.text(output, For::Acting);
                }
                notes.iter_mut().for_each(|note| self.told(note));
            }
            Event::StepFailed { step: _, target: _, error, effect: _, hint } => {
                self.told(error);
                hint.iter_mut().for_each(|hint| self.told(hint));
            }
            Event::Stuck { step: _, target: _, error, hint } => {
                [error, hint].into_iter().for_each(|text| self.told(text));
            }
            Event::StepProgress { step: _, target: _, note } => self.told(note),
            Event::StepSkipped { step: _, why } => self.told(why),
            Event::Waiting { step: _, text } => self.told(text),
            Event::Confirmed { step: _, by: _, note, simulated: _, request: _ }
            | Event::Marked { mark: _, at: _, by: _, note, request: _ } => self.told(note),
            Event::RequestUnused { what, by: _, note, why, request: _ } => {
                // a person may name a step that there is not
                [what, note, why].into_iter().for_each(|text| self.told(text));
            }
            Event::Observed { probe: _, health: _, seen, sent: _, answered: _, source_at: _ } => {
                self.told(seen);
            }
            Event::StopRequested { cause: _, detail, request: _ } => self.told(detail),
            Event::UndoFailed { step: _, target: _, error, attempt: _ } => self.told(error),
            Event::UndoDone { step: _, target: _, how: _, proof }
            | Event::Kept { step: _, target: _, proof } => self.told(proof),
            Event::LeftInPlace { step: _, target: _, why, by: _ } => self.told(why),
            // judged and measured from lines that are written already: said again, it says the same
            Event::Finished { verdict: _, exit_code: _, reasons, measured: _ } => {
                reasons.iter_mut().for_each(|reason| self.text(reason, For::People));
            }
            // nothing of ours; the recorder refuses it
            Event::Unknown(value) => self.value(value, For::People),
        }
        event
    }

    /// A message, which may have been cut to a length.
    fn told(&self, text: &mut String) {
        self.text(text, For::People);
        self.cut(text);
    }

    fn value(&self, value: &mut Value, whom: For) {
        match value {
            Value::String(s) => self.text(s, whom),
            Value::Array(items) => items.iter_mut().for_each(|v| self.value(v, whom)),
            Value::Object(map) => map.values_mut().for_each(|v| self.value(v, whom)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// One pass, so that no mark is looked through again.
    fn text(&self, text: &mut String, whom: For) {
        let mut rest = text.as_str();
        let mut out = String::new();
        loop {
            let found = self.forms.iter().filter_map(|f| Some((rest.find(f.text.as_str())?, Some(f))));
            let literal = rest.find(MARK).filter(|_| whom == For::Acting).map(|at| (at, None));
            let length = |form: Option<&Form>| form.map_or(MARK.len(), |f| f.text.len());
            let first = found.chain(literal).min_by_key(|(at, form)| (*at, usize::MAX - length(*form)));
            let Some((at, form)) = first else { break };
            out.push_str(&rest[..at]);
            out.push_str(&form.map_or_else(|| LITERAL.to_owned(), |f| f.mark(whom)));
            rest = &rest[at + length(form)..];
        }
        if rest.len() < text.len() {
            out.push_str(rest);
            *text = out;
        }
    }

    /// A text that was cut to a length may end within a secret, however that is written; and other words may
    /// stand behind it by now.
    fn cut(&self, text: &mut String) {
        let cuts: Vec<usize> = text.match_indices(CUT).map(|(at, _)| at).chain([text.len()]).collect();
        for at in cuts.into_iter().rev() {
            let begun = self.forms.iter().filter_map(|form| Some((form.begun(&text[..at])?, form)));
            if let Some((length, form)) = begun.max_by_key(|(length, _)| *length) {
                text.replace_range(at - length..at, &format!("{MARK}{}, cut]", form.name));
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

/// The other ways in which the secret may be written. Their order is part of the format: marks count them.
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

/// Puts the secret values back in: what is read from the journal to act on it. `names` are all the secret
/// parameters that there are; without any, nothing was taken out.
///
/// # Errors
/// Why it cannot be acted on: a secret that it holds is not among `secrets`.
pub fn reveal(value: &mut Value, secrets: &BTreeMap<String, String>, names: &[String]) -> Result<(), String> {
    match value {
        Value::String(s) => {
            *s = revealed(s, secrets, names)?;
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|v| reveal(v, secrets, names)),
        Value::Object(map) => map.values_mut().try_for_each(|v| reveal(v, secrets, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// As [`reveal`], for one text.
///
/// # Errors
/// As [`reveal`].
pub fn revealed(text: &str, secrets: &BTreeMap<String, String>, names: &[String]) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(MARK).filter(|_| !names.is_empty()) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix(LITERAL) {
            out.push_str(MARK);
            rest = after;
            continue;
        }
        let marked = rest[MARK.len()..].split_once(']').and_then(|(mark, after)| {
            let (name, kind) = mark.split_once(", ").unwrap_or((mark, ""));
            names.iter().any(|n| n == name).then_some((name, kind, after))
        });
        let Some((name, kind, after)) = marked else {
            // nothing of ours
            out.push_str(MARK);
            rest = &rest[MARK.len()..];
            continue;
        };
        let Some(secret) = secrets.get(name) else {
            return Err(format!("it holds the secret `{name}`, which was not given"));
        };
        let form = match kind.strip_prefix("form ") {
            _ if kind.is_empty() => Some(secret.clone()),
            Some(n) => n.parse().ok().and_then(|n| encoded(secret).into_iter().nth(n)),
            None => None,
        };
        let lost = || format!("it held the secret `{name}` in a form that is not on record");
        out.push_str(&form.ok_or_else(lost)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::StepId;

    const SECRET: &str = "cAn?ry \"7/ü\"+x";

    fn secrets() -> BTreeMap<String, String> {
        [("token".to_owned(), SECRET.to_owned())].into()
    }

    fn redaction() -> Redaction {
        Redaction::new(secrets(), &["token".to_owned()])
    }

    fn redacted(text: &str) -> String {
        let mut text = text.to_owned();
        redaction().told(&mut text);
        text
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
        assert!(!redacted("6341 6e 63416e3f727920 x").contains("secret"), "half of it is nothing");
        assert!(redacted("x63416E3F72792022372FC3BC222B78y").contains("[secret token, encoded]"));
    }

    #[test]
    fn a_text_that_ends_within_a_secret_loses_the_rest() {
        assert_eq!(redacted("stdout: cAn?ry \"7/"), "stdout: [secret token, cut]");
        assert_eq!(redacted("stdout: cAn?r…"), "stdout: [secret token, cut]…");
        assert_eq!(redacted("stdout: cAn"), "stdout: cAn");
        assert_eq!(redacted("it is `cAn?ry…`, not `b`"), "it is `[secret token, cut]…`, not `b`");
        assert_eq!(redacted("said: 63416e3f7279…; it failed"), "said: [secret token, cut]…; it failed");
        assert_eq!(redacted("put back on rtb-6341"), "put back on rtb-6341", "as much stands in any id");
    }

    /// The longest beginning of a form that the text holds.
    fn left(text: &str, forms: &[Form]) -> usize {
        let holds =
            |f: &Form| (1..=f.text.len()).rev().find(|n| text.contains(f.text.get(..*n).unwrap_or("\0")));
        forms.iter().filter_map(holds).max().unwrap_or(0)
    }

    proptest::proptest! {
        #[test]
        fn wherever_a_text_is_cut_a_short_rest_of_the_secret_remains(
            secret in "[!-~üß ]{8,40}",
            user in "[a-z:]{0,6}",
            kind in 0_usize..9,
            at in 0_usize..400,
            behind in 0_usize..3,
        ) {
            proptest::prop_assume!(secret.trim() == secret && !secret.contains("  "));
            let redaction = Redaction::new([("pw".to_owned(), secret.clone())].into(), &["pw".to_owned()]);
            let whole = format!("{user}{secret}");
            let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
            let mut forms: Vec<String> = vec![secret.clone()];
            forms.extend(encoded(&secret));
            let written = match kind {
                0 => STANDARD_NO_PAD.encode(&whole),
                1 => URL_SAFE_NO_PAD.encode(&whole),
                2 => hex.to_uppercase(),
                3 => hex,
                4 => json!({ "a": json!({ "b": secret }).to_string() }).to_string(),
                5 => json!({ "b": secret }).to_string(),
                n => forms[(n * at) % forms.len()].clone(),
            };
            let text = format!("#### {written} ####");
            let end = (0..=at.min(text.len())).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
            let mut text = format!("{}{}", &text[..end], ["", "…", "…`; and it failed"][behind]);
            redaction.told(&mut text);
            let left = left(&text, &redaction.forms);
            proptest::prop_assert!(left < SHORTEST_ENCODED_CUT, "{left} of {secret:?} in {text:?}");
        }
    }

    fn names() -> Vec<String> {
        vec!["token".to_owned()]
    }

    #[test]
    fn what_is_acted_on_comes_back_as_it_was() {
        let base64 = STANDARD_NO_PAD.encode(format!("user:{SECRET}"));
        let undo = json!({ "env": {
            "A": SECRET,
            "B": "ends in cAn?ry",
            "C": format!("x{base64}"),
            "D": json!({ "json": SECRET }).to_string(),
            "E": format!("[secret token] [secret :] [secret [secret token, form 1]{SECRET}[secret"),
        } });
        let event = Event::StepPrepared { step: StepId::new("s"), target: None, undo: undo.clone() };
        let Event::StepPrepared { undo: mut kept, .. } = redaction().event(event) else { panic!() };
        assert_eq!(kept["env"]["A"], "[secret token]");
        let written = kept.to_string();
        assert!(!written.contains("ry \\\"7") && !written.contains(&base64[10..20]), "{written}");
        reveal(&mut kept, &secrets(), &names()).unwrap();
        assert_eq!(kept, undo);
    }

    #[test]
    fn what_cannot_be_put_back_is_not_acted_on() {
        let of = |text: &str, secrets: &BTreeMap<String, String>| revealed(text, secrets, &names());
        let known = secrets();
        let why = of("-p[secret token]", &BTreeMap::new()).unwrap_err();
        assert_eq!(why, "it holds the secret `token`, which was not given");
        // as version 0.1.0 wrote it
        for mark in ["[secret token, encoded]", "[secret token, cut]", "[secret token, form 99]"] {
            assert!(of(mark, &known).unwrap_err().contains("not on record"), "{mark}");
        }
        for text in ["[secret other]", "[secret ", "[secret token"] {
            assert_eq!(of(text, &known).as_deref(), Ok(text));
        }
        assert_eq!(revealed("[secret token]", &known, &[]).as_deref(), Ok("[secret token]"));
    }

    #[test]
    fn nothing_that_the_state_is_folded_from_is_touched() {
        let word = |w: &str| Redaction::new([("pw".to_owned(), w.to_owned())].into(), &["pw".to_owned()]);
        let step = StepId::new("restore");
        let target = Some("shop-orders".to_owned());
        let ready = Event::StepReady {
            step: step.clone(),
            target: target.clone(),
            outputs: [("identifier".to_owned(), "shop-orders-2".to_owned())].into(),
            notes: vec!["shop-orders is there".to_owned()],
        };
        let Event::StepReady { step: s, target: t, outputs, notes } = word("orders").event(ready) else {
            panic!()
        };
        assert_eq!((s, t), (step, target));
        assert_eq!(outputs["identifier"], "shop-[secret pw]-2");
        assert_eq!(notes, ["shop-[secret pw] is there"]);
        for event in [
            Event::Stage { stage: crate::model::Stage::Recovery },
            Event::Holding { targets: vec!["recovery".to_owned()] },
            Event::StepStarted { step: StepId::new("recovery"), targets: vec![Some("recovery".to_owned())] },
        ] {
            assert_eq!(word("recovery").event(event.clone()), event);
        }
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
