//! Takes secrets out of events before they are written, and puts them back in where they are acted on. Pure.
//!
//! Only values are looked through: messages, notes, what was seen, what was asked and answered, outputs,
//! undo records. What the state is folded from (ids, targets, stages, kinds, verdicts) is never touched;
//! that no secret stands there is for [`super::secrets`] to see to, before the fault.
//!
//! A secret is known by its text, so it is looked for in every way in which a text may be meant ([`views`]: the
//! escapes of URLs, JSON, HTML and shells undone, lines put together again), and there as it is, in base64 (at
//! each of its three alignments, alone or behind a user's name) and in hexadecimal digits; and each of these cut
//! off, at the end of a text and wherever a text was cut, which `…` says. Of a secret of several lines each line is
//! looked for in what people read: programs write a prefix before it. In what people read, the keys that this
//! process itself holds are looked for as well, and the user name and password of every URL are stars. Left to others: ways of
//! writing a secret that nobody can foresee. Invariant: what is acted on later comes back byte for byte, or not at all: [`reveal`]
//! errs where a secret is not known. What can be put back is what a list knows ([`encoded`]); views are for the rest.

mod encodings;
mod needles;
mod views;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use self::encodings::{encoded, in_base64, in_hex, in_json};
use self::needles::Needles;
use self::views::{View, calm, views};
use crate::cloud::held;
use crate::journal::Event;
use crate::model::ProgramId;
use crate::model::text::without_user;

/// The shortest beginning of a secret that is taken for a secret cut off.
const SHORTEST_CUT: usize = 4;
/// The same of an encoded one: what little there is in it may stand in any number or id.
const SHORTEST_ENCODED_CUT: usize = 6;
/// The shortest line of a secret that is told from other texts.
const SHORTEST_LINE: usize = 8;
/// What a text that was cut goes on with: whoever cuts one writes it.
const CUT: char = '…';
/// What others write for it.
const DOTS: &str = "...";
/// How every mark begins.
pub(super) const MARK: &str = "[secret ";
/// What is held, in words: nothing puts these back.
const HELD: [&str; 3] = [held::SECRET_KEY, held::SESSION_TOKEN, held::PASSWORD];
/// What stands for [`MARK`] where a text that is acted on held it itself.
const LITERAL: &str = "[secret :]";

/// What is kept out of the journal.
pub struct Redaction {
    /// The secret parameters.
    given: Sought,
    /// These, and what this process holds beside them.
    all: Sought,
    /// Every secret parameter that there is.
    names: Vec<String>,
    /// Those whose values this process does not know.
    unknown: Vec<String>,
}

/// What is looked for.
struct Sought {
    /// What to look for, the longest first.
    forms: Vec<Form>,
    /// The same by their numbers.
    as_written: Needles,
    /// What to look for in a [`View`].
    meant: Vec<Meant>,
    /// The same by their numbers.
    as_meant: Needles,
    /// The same in whatever case, as servers answer with it, and with the lines of each.
    in_any_case: Needles,
}

/// One way in which a secret may be written.
struct Form {
    text: String,
    name: String,
    /// Which of the [`encoded`] it is; the secret itself is none.
    encoding: Option<usize>,
}

/// What a view says where it says a secret.
struct Meant {
    bytes: Vec<u8>,
    name: String,
    /// The shortest beginning of it that is taken for it, cut off.
    shortest: usize,
}

/// What stands somewhere in a text.
#[derive(Clone, Copy)]
enum Found<'r> {
    /// This, as it is known.
    Written(&'r Form),
    /// The secret of this name, in whatever way.
    Meant(&'r str),
    /// [`MARK`].
    Literal,
}

/// For whom a text is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// For people: a mark says what stood there.
    People,
    /// For people, and for whoever holds it against what was sent: only what is surely a secret is taken out, in the case in
    /// which it is known.
    Both,
    /// For whoever acts on it later: a mark says how to put back what stood there.
    Acting,
}

/// How long the beginning of the secret is that the text ends with, where it is long enough to tell.
fn begun(secret: &[u8], text: &[u8], shortest: usize) -> Option<usize> {
    let longest = secret.len().saturating_sub(1).min(text.len());
    (shortest..=longest).rev().find(|n| text[text.len() - n..].eq_ignore_ascii_case(&secret[..*n]))
}

impl Meant {
    /// As it may stand in a view: the secret, without its blanks, and encoded as it is or as JSON is.
    fn all_of(name: &str, secret: &str) -> Vec<Self> {
        let mut all = BTreeSet::from([secret.split_ascii_whitespace().collect::<String>().into_bytes()]);
        all.extend(calm(secret));
        for once in in_base64(secret.as_bytes()) {
            all.extend(in_base64(once.as_bytes()).into_iter().map(String::into_bytes));
        }
        for text in [secret.to_owned(), in_json(secret)] {
            all.extend(in_base64(text.as_bytes()).into_iter().map(String::into_bytes));
        }
        let hex = in_hex(secret.as_bytes());
        all.extend([hex.to_uppercase().into_bytes(), hex.into_bytes()]);
        all.remove(secret.as_bytes());
        let all = all.into_iter().map(|bytes| (bytes, SHORTEST_ENCODED_CUT));
        let all = all.chain([(secret.as_bytes().to_vec(), SHORTEST_CUT)]);
        let all = all.filter(|(bytes, _)| bytes.len() >= SHORTEST_CUT);
        all.map(|(bytes, shortest)| Self { bytes, name: name.to_owned(), shortest }).collect()
    }

    /// What programs write line by line, each behind a prefix of theirs, is told by each of its lines. What everybody
    /// has, as a key's first and last line, tells nothing; and neither does what `is_word` knows.
    fn lines_of(name: &str, secret: &str, is_word: &dyn Fn(&str) -> bool) -> Vec<Self> {
        let of = secret.split(['\n', '\r']).flat_map(|line| line.split("\\n")).map(str::trim);
        let lines: BTreeSet<&str> =
            of.filter(|line| line.len() >= SHORTEST_LINE && *line != secret.trim()).collect();
        let frames = |line: &str| line.starts_with("-----") && line.ends_with("-----");
        let lines = lines.into_iter().filter(|line| !frames(line) && !is_word(line));
        let line = |line: &str| {
            let bytes = line.as_bytes().to_vec();
            Self { bytes, name: name.to_owned(), shortest: SHORTEST_LINE }
        };
        lines.map(line).collect()
    }

    /// From where on a text that was cut ends with the beginning of it, as the view says.
    fn begun_at(&self, view: &View, text: &str) -> Option<usize> {
        let shortest = if view.squeezed { SHORTEST_ENCODED_CUT } else { SHORTEST_CUT };
        let length = begun(&self.bytes, &view.bytes, shortest.max(self.shortest))?;
        Some(view.range(text, view.bytes.len() - length, view.bytes.len()).0)
    }
}

impl Form {
    /// From where on a text that was cut ends with the beginning of it.
    fn begun_at(&self, text: &str) -> Option<usize> {
        let shortest = if self.encoding.is_none() { SHORTEST_CUT } else { SHORTEST_ENCODED_CUT };
        let length = begun(self.text.as_bytes(), text.as_bytes(), shortest)?;
        Some(text.floor_char_boundary(text.len() - length))
    }

    fn mark(&self, whom: For) -> String {
        match (self.encoding, whom) {
            (None, _) => format!("{MARK}{}]", self.name),
            (Some(_), For::People | For::Both) => format!("{MARK}{}, encoded]", self.name),
            (Some(n), For::Acting) => format!("{MARK}{}, form {n}]", self.name),
        }
    }
}

impl Sought {
    fn new<'s>(
        secrets: impl Iterator<Item = (&'s String, &'s String)>,
        is_word: &dyn Fn(&str) -> bool,
    ) -> Self {
        let (mut forms, mut meant, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        for (name, secret) in secrets.filter(|(_, s)| !s.is_empty()) {
            meant.extend(Meant::all_of(name, secret));
            lines.extend(Meant::lines_of(name, secret, is_word));
            forms.push(Form { text: secret.clone(), name: name.clone(), encoding: None });
            let encoded = encoded(secret).into_iter().enumerate();
            forms.extend(encoded.map(|(n, text)| Form { text, name: name.clone(), encoding: Some(n) }));
        }
        forms.sort_by_key(|form| std::cmp::Reverse(form.text.len()));
        let as_written = Needles::new(forms.iter().map(|form| form.text.as_bytes()), false);
        let as_meant = Needles::new(meant.iter().map(|meant| meant.bytes.as_slice()), false);
        meant.extend(lines);
        let in_any_case = Needles::new(meant.iter().map(|meant| meant.bytes.as_slice()), true);
        Self { forms, as_written, meant, as_meant, in_any_case }
    }
}

impl Redaction {
    /// For the values given, the names of every secret parameter that there is, and what `held` says: each with the
    /// words for it.
    pub fn new(secrets: &BTreeMap<String, String>, names: &[String], held: &[(String, String)]) -> Self {
        Self::except(&|_| false, secrets, names, held)
    }

    /// The same, and a line of a secret of several lines is left alone where `is_word` knows it: then it is none.
    pub fn except(
        is_word: &dyn Fn(&str) -> bool,
        secrets: &BTreeMap<String, String>,
        names: &[String],
        held: &[(String, String)],
    ) -> Self {
        let given = Sought::new(secrets.iter(), is_word);
        // what is a parameter, too, can be put back
        let held = held.iter().filter(|(_, text)| !secrets.values().any(|s| s == text));
        let all = Sought::new(secrets.iter().chain(held.map(|(what, text)| (what, text))), is_word);
        let unknown = names.iter().filter(|n| !secrets.contains_key(*n)).cloned().collect();
        Self { given, all, names: names.to_vec(), unknown }
    }

    /// Nobody could put back what was no parameter, so what is acted on keeps that.
    fn sought(&self, whom: For) -> &Sought {
        match whom {
            For::People | For::Both => &self.all,
            For::Acting => &self.given,
        }
    }

    /// Puts the secrets that are known here back in; a value that holds another one stays as it is.
    pub fn put_back(&self, value: &mut Value) {
        let plain = self.given.forms.iter().filter(|form| form.encoding.is_none());
        let secrets = plain.map(|form| (form.name.clone(), form.text.clone())).collect();
        let _another_one = reveal(value, &secrets, &self.names);
    }

    /// Whether something that is acted on later could not be kept: it holds what is no parameter and nobody may read.
    pub fn is_lost(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => {
                let mut kept = text.clone();
                self.text(&mut kept, For::Acting);
                let is_own = |found: Found<'_>| match found {
                    Found::Written(Form { name, .. }) => !self.names.contains(name),
                    Found::Meant(name) => !self.names.iter().any(|n| n == name),
                    Found::Literal => false,
                };
                self.found(&kept, For::People).into_iter().any(|(_, _, found)| is_own(found))
                    || without_user(&kept) != kept
            }
            Value::Array(items) => items.iter().any(|v| self.is_lost(v)),
            Value::Object(map) => map.values().any(|v| self.is_lost(v)),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// The event as it may be written. Every field stands here, so that a new one cannot be forgotten.
    pub fn event(&self, event: Event) -> Event {
        let mut event = self.without_notes(event);
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
            | Event::Renamed { target: _, arn: _ }
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
            | Event::Cleaned { until: _ }
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
                self.value(params, For::Both);
            }
            Event::CallAnswered { call: _, request_id: _, outcome, error } => {
                if let Some(outcome) = outcome {
                    self.value(outcome, For::Both);
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
                    // a later step that refers to it is refused
                    self.text(output, For::Both);
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
            Event::LeftInPlace { step: _, target: _, why, by: _ }
            | Event::SteadyStateAccepted { why, by: _ } => self.told(why),
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
        if let Some(user) = cut_user(text) {
            text.replace_range(user.clone(), &"*".repeat(text[user].chars().count()));
        }
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
        let mut rest = 0;
        let mut out = String::new();
        for (from, to, found) in self.found(text, whom) {
            out.push_str(&text[rest..from]);
            let mark = match found {
                Found::Written(form) => form.mark(whom),
                Found::Meant(name) => format!("{MARK}{name}, encoded]"),
                Found::Literal => LITERAL.to_owned(),
            };
            out.push_str(&mark);
            rest = to;
        }
        if rest > 0 {
            out.push_str(&text[rest..]);
            *text = out;
        }
        if whom != For::Acting && text.contains('@') {
            *text = without_user(text);
        }
    }

    /// Where what stands in a text, from left to right.
    fn found(&self, text: &str, whom: For) -> Vec<(usize, usize, Found<'_>)> {
        let sought = self.sought(whom);
        let mut all = Vec::new();
        let bytes = text.as_bytes();
        let escaping = whom == For::Acting && !self.names.is_empty();
        let mut at = 0;
        while at < bytes.len() && (escaping || !sought.forms.is_empty()) {
            let form = sought.as_written.begins(&bytes[at..]);
            let literal = escaping && bytes[at..].starts_with(MARK.as_bytes());
            let (length, found) = match form {
                Some((length, _)) if literal && length < MARK.len() => (MARK.len(), Some(Found::Literal)),
                Some((length, number)) => (length, Some(Found::Written(&sought.forms[number]))),
                None if literal => (MARK.len(), Some(Found::Literal)),
                None => (1, None),
            };
            all.extend(found.map(|found| (at, at + length, found)));
            at += length;
        }
        let needles = if whom == For::People { &sought.in_any_case } else { &sought.as_meant };
        for view in if sought.meant.is_empty() { Vec::new() } else { views(text) } {
            // of a secret that may overlap itself the first
            let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
            for (from, to, number) in needles.all_in(&view.bytes) {
                let name = sought.meant[number].name.as_str();
                let end = ends.entry(name).or_default();
                if from >= *end {
                    *end = to;
                    let (from, to) = view.range(text, from, to);
                    all.push((from, to, Found::Meant(name)));
                }
            }
        }
        // of the same place what is known stands first: the sort keeps their order
        all.sort_by_key(|(from, to, _)| (*from, std::cmp::Reverse(*to)));
        let mut apart: Vec<(usize, usize, Found<'_>)> = Vec::new();
        for (from, to, found) in all {
            match apart.last_mut().filter(|last| from < last.1) {
                Some(last) if to <= last.1 => {}
                Some(last) => {
                    let name = |found| match found {
                        Found::Written(form) => Some(form.name.as_str()),
                        Found::Meant(name) => Some(name),
                        Found::Literal => None,
                    };
                    last.1 = to;
                    last.2 = name(last.2).or(name(found)).map_or(Found::Literal, Found::Meant);
                }
                None => apart.push((from, to, found)),
            }
        }
        apart
    }

    /// A text that was cut to a length may end within a secret, however that is written; and other words may
    /// stand behind it by now.
    fn cut(&self, text: &mut String) {
        /// The most characters that two escapes, one in the other, make of one.
        const WIDEST: usize = 16;
        /// As far back escapes are looked through; a session token alone has a thousand characters.
        const FARTHEST: usize = 4096;
        let sought = &self.all;
        if sought.forms.is_empty() {
            return;
        }
        let longest = sought.meant.iter().map(|meant| meant.bytes.len()).max().unwrap_or(0);
        let written = |at: usize, text: &str| {
            sought
                .forms
                .iter()
                .filter_map(|f| Some((f.begun_at(&text[..at])?, &f.name)))
                .min_by_key(|(begun, _)| *begun)
        };
        // programs write rows of dots: what stands before each is looked at as it is
        let dots: Vec<usize> = text.match_indices(DOTS).map(|(at, _)| at).collect();
        for at in dots.into_iter().rev() {
            if let Some((begun, name)) = written(at, text) {
                text.replace_range(begun..at, &format!("{MARK}{name}, cut]"));
            }
        }
        let cuts: Vec<usize> = text.match_indices(CUT).map(|(at, _)| at).chain([text.len()]).collect();
        for at in cuts.into_iter().rev() {
            let from = text.floor_char_boundary(at.saturating_sub((longest * WIDEST).min(FARTHEST)));
            let seen = views(&text[from..at]);
            let meant = sought.meant.iter().flat_map(|meant| {
                let begun = seen.iter().filter_map(|view| meant.begun_at(view, &text[from..at]));
                begun.map(|begun| (from + begun, &meant.name))
            });
            let written = written(at, text);
            if let Some((begun, name)) = written.into_iter().chain(meant).min_by_key(|(begun, _)| *begun) {
                text.replace_range(begun..at, &format!("{MARK}{name}, cut]"));
            }
        }
    }

    /// In place of words from elsewhere, while a secret that could be in them was not given to this process.
    pub fn kept_out(&self) -> Option<String> {
        let name = self.unknown.first()?;
        Some(format!("[kept out: it could hold the secret `{name}`, which was not given]"))
    }

    /// What a person wrote may hold a secret that only the person knows, and what a probe reads one that its host knows.
    fn without_notes(&self, mut event: Event) -> Event {
        let Some(kept_out) = self.kept_out() else { return event };
        match &mut event {
            Event::Observed { seen, .. } if !seen.is_empty() => *seen = kept_out,
            Event::Marked { note, .. }
            | Event::Confirmed { note, .. }
            | Event::RequestUnused { note, .. }
                if !note.is_empty() =>
            {
                *note = kept_out;
            }
            Event::LeftInPlace { why, by: Some(_), .. } | Event::SteadyStateAccepted { why, .. } => {
                *why = kept_out;
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

/// The beginning of the user name and password of a URL that the text was cut within: no `@` follows, but what stands
/// behind the colon is no port.
fn cut_user(text: &str) -> Option<std::ops::Range<usize>> {
    let at = text.rfind(CUT)?;
    let from = text[..at].rfind("://")? + "://".len();
    let user = &text[from..at];
    let ends = |c: char| c.is_whitespace() || "/\\?#@[*".contains(c);
    let (_, password) = user.split_once(':')?;
    let is_port = password.bytes().all(|b| b.is_ascii_digit());
    (!user.contains(ends) && !is_port).then_some(from..at)
}

/// A text that people read outside of any journal, without these parameters and what is held, each with the words for it.
pub fn told(secrets: &BTreeMap<String, String>, held: &[(String, String)], mut text: String) -> String {
    Redaction::new(secrets, &[], held).told(&mut text);
    text
}

/// Puts the secret values back in: what is read from the journal to act on it. `names` are all the secret
/// parameters that there are.
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
    while let Some(at) = rest.find(MARK) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(what) = HELD.iter().find(|what| rest[MARK.len()..].starts_with(*what)) {
            return Err(format!("it held the {what}, which is not on record"));
        }
        if let Some(after) = rest.strip_prefix(LITERAL).filter(|_| !names.is_empty()) {
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
mod tests;
