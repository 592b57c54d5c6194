//! Checking a bundle offline, and saying in plain words what that proves. Pure.
//!
//! Everything must hold: one file more, one less, one byte changed, and the bundle is refused. What
//! the signature covers is checked first; then the plan is made again from the drill's text, the run is
//! judged again from journal and plan (`judged`), and every other file is made again, so that not even
//! the owner of the key can sign what the journal does not bear out. What an older redrill did not write
//! down, and clocks that do not agree, are caveats: nothing is proven wrong, and a reader must know.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::{
    ANNOTATIONS, CHECKPOINT, CHECKPOINT_KEY, CHECKPOINTS, DRILL, ENVELOPE, Files, JOURNAL, KEY, PDF, PLAN,
    REPORT, SETTINGS, SIGNATURES, SIGSTORE, Sources, TIMESTAMP, judged, seal,
};
use crate::engine::verdict::Rules;
use crate::evidence::checkpoint::{Checkpoint, LATE, notes};
use crate::evidence::dsse::Envelope;
use crate::evidence::keys::PublicKey;
use crate::evidence::review::{self, Annotation};
use crate::evidence::statement::{self, Statement, TEST_RESULT, digest};
use crate::evidence::{Material, Record, Settings, approval, merkle, record, trail};
use crate::journal::{Verdict, reader};
use crate::model::World;
use crate::plan::{Plan, file};
use crate::view::RunView;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What holds, one sentence each.
    pub holds: Vec<String>,
    /// What does not; empty when all of it holds.
    pub broken: Vec<String>,
    /// What a reader must know: what the bundle lacks and so could not be checked, and what is odd.
    pub caveats: Vec<String>,
    /// What nobody can tell from this folder alone.
    pub unproven: Vec<String>,
}

/// Whom the reader trusts.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// A public key that was got another way.
    pub key: Option<PublicKey>,
    /// A fingerprint that was got another way.
    pub fingerprint: Option<String>,
    /// What time the reader has, to tell what is from the future.
    pub now: Option<DateTime<Utc>>,
    /// Certificates (DER) of timestamp authorities, or of those that certify them.
    pub timestamp_roots: Option<Vec<Vec<u8>>>,
    /// The keys that CloudTrail signs digests under, as AWS gives them.
    pub cloudtrail_keys: Option<trail::PublicKeys>,
}

impl Findings {
    pub(super) fn check<T>(&mut self, what: Result<(T, String), String>) -> Option<T> {
        match what {
            Ok((value, sentence)) => {
                self.holds.push(sentence);
                Some(value)
            }
            Err(why) => {
                self.broken.push(why);
                None
            }
        }
    }

    /// With what another check found.
    pub fn add(&mut self, other: Self) {
        self.holds.extend(other.holds);
        self.broken.extend(other.broken);
        self.caveats.extend(other.caveats);
        self.unproven.extend(other.unproven);
    }

    /// Whether all of it holds.
    pub fn all_hold(&self) -> bool {
        self.broken.is_empty()
    }
}

/// Checks a bundle's files.
pub fn verify(files: &Files, trust: &Trust) -> Findings {
    let mut found = Findings::default();
    let Some((key, statement, envelope)) = signature(files, trust, &mut found) else { return found };
    // what is not as it was signed need not be read any further
    if found.check(subjects(files, &statement)).is_none() {
        return found;
    }
    let Some(plan) = plan(files, &mut found) else { return found };
    let Some(made) = journal(files, &plan, &mut found) else { return found };
    checkpoints(files, &made, &mut found);
    let mut signed = Findings::default();
    signed.check(same_statement(files, &made, &statement));
    seal::check(files, (&key, &envelope), made.record.identity.finished_at, trust, &mut signed);
    made_again(files, &made, &key, signed.all_hold(), &mut found);
    found.add(signed);
    found.add(super::trail_check::check(files, made.journal, trust));
    times(&made, trust, &mut found);
    limits(&made, &key, trust, &mut found);
    found
}

/// Times of people and of the run that cannot be right, or not by the reader's clock.
fn times(made: &Made<'_>, trust: &Trust, found: &mut Findings) {
    let record = &made.record;
    for s in &record.review.sign_offs {
        if record.identity.finished_at.is_some_and(|end| s.at < end) {
            found.caveats.push(format!("the sign-off of {} is from before the end of the run", s.who()));
        }
    }
    let Some(now) = trust.now.and_then(|now| now.checked_add_signed(TimeDelta::minutes(5))) else { return };
    let run = record.run.last_at.map(|at| ("the run".to_owned(), at));
    let signed = record.review.sign_offs.iter().map(|s| (format!("the sign-off of {}", s.who()), s.at));
    for (what, at) in run.into_iter().chain(signed).filter(|(_, at)| *at > now) {
        let at = at.format("%Y-%m-%d %H:%M:%S UTC");
        found.caveats.push(format!("{what} is from the future by the clock of this machine: {at}"));
    }
}

fn text<'a>(files: &'a Files, name: &str) -> Result<&'a str, String> {
    let bytes = files.get(name).ok_or_else(|| format!("{name} is missing"))?;
    std::str::from_utf8(bytes).map_err(|_| format!("{name} is no text"))
}

fn key(files: &Files, name: &str) -> Result<PublicKey, String> {
    PublicKey::from_pem(text(files, name)?).map_err(|e| format!("{name}: {e}"))
}

fn signature(files: &Files, trust: &Trust, found: &mut Findings) -> Option<(PublicKey, Statement, Envelope)> {
    let signed = || {
        let key = key(files, KEY)?;
        let bytes = files.get(ENVELOPE).ok_or_else(|| format!("{ENVELOPE} is missing"))?;
        let envelope = Envelope::from_bytes(bytes).map_err(|e| format!("{ENVELOPE}: {e}"))?;
        let payload = envelope.verify(&key).map_err(|e| format!("{ENVELOPE}: {e}"))?;
        let statement: Statement =
            serde_json::from_slice(&payload).map_err(|e| format!("{ENVELOPE}: no statement: {e}"))?;
        if statement.predicate_type != TEST_RESULT || statement.kind != statement::STATEMENT {
            return Err(format!("{ENVELOPE}: the statement is of another kind"));
        }
        let sentence = format!("the statement is signed by key {}", key.fingerprint());
        Ok(((key, statement, envelope), sentence))
    };
    let (key, statement, envelope) = found.check(signed())?;
    let timestamps: Vec<Vec<u8>> = files.get(TIMESTAMP).cloned().into_iter().collect();
    let same = files.get(SIGSTORE).is_some_and(|bytes| *bytes == envelope.sigstore(&timestamps));
    let held = if timestamps.is_empty() { "the same envelope" } else { "the same envelope and timestamp" };
    found.check(if same {
        Ok(((), format!("{SIGSTORE} holds {held}")))
    } else {
        Err(format!("{SIGSTORE} is missing, or does not hold {held} in its canonical form"))
    });
    let trusted = [trust.key.as_ref().map(PublicKey::fingerprint), trust.fingerprint.clone()];
    for fingerprint in trusted.into_iter().flatten() {
        found.check(if fingerprint == key.fingerprint() {
            Ok(((), "that is the key you named".to_owned()))
        } else {
            Err(format!("it is signed by key {}, not by {fingerprint}", key.fingerprint()))
        });
    }
    Some((key, statement, envelope))
}

fn subjects(files: &Files, statement: &Statement) -> Result<((), String), String> {
    let named: BTreeSet<&str> = statement.subject.iter().map(|s| s.name.as_str()).collect();
    if named.len() != statement.subject.len() {
        return Err("the statement names a file twice".to_owned());
    }
    for name in files.keys().filter(|n| !SIGNATURES.contains(&n.as_str())) {
        if !named.contains(name.as_str()) {
            return Err(format!("{name} is not part of what was signed"));
        }
    }
    for subject in &statement.subject {
        let bytes = files.get(&subject.name).ok_or_else(|| format!("{} is missing", subject.name))?;
        if bytes.is_empty() {
            return Err(format!("{} is empty", subject.name));
        }
        if subject.digest.get("sha256") != Some(&digest(bytes)) {
            return Err(format!("{} was changed after it was signed", subject.name));
        }
    }
    Ok(((), format!("{} files are as they were signed, none is missing, none was added", named.len())))
}

fn plan(files: &Files, found: &mut Findings) -> Option<Arc<Plan>> {
    let read = || {
        let plan = file::read(text(files, PLAN)?).map_err(|e| format!("{PLAN}: {e}"))?;
        let drill = files.get(DRILL).ok_or_else(|| format!("{DRILL} is missing"))?;
        if *drill != plan.source.as_bytes() {
            return Err(format!("{DRILL} is not the file that the plan was made of"));
        }
        Ok((Arc::new(plan), "the plan has its hash".to_owned()))
    };
    let plan = found.check(read())?;
    let again = crate::plan::again(&plan);
    let same = again.broken.is_empty();
    found.broken.extend(again.broken);
    if let Some(f) = plan.refusals().next() {
        found.broken.push(format!("the plan refuses the run: {}: {}", f.subject, f.text));
    } else if same && again.lacking.is_empty() {
        found.holds.push(
            "made again from the drill file, its parameters and what was found, the plan is the same, within \
             its own limits and rules"
                .to_owned(),
        );
    }
    found.caveats.extend(again.lacking);
    Some(plan)
}

/// What the bundle's own sources give.
struct Made<'a> {
    record: Record,
    journal: &'a [u8],
    /// The redrill that made the bundle's files, as it says.
    made_by: String,
    /// `report.json` as it stands.
    stated: Value,
    /// The plan was made under no rules but the drill's own.
    no_rules: bool,
}

fn journal<'a>(files: &'a Files, plan: &Arc<Plan>, found: &mut Findings) -> Option<Made<'a>> {
    let mut judged = Findings::default();
    let mut read = || {
        let bytes = files.get(JOURNAL).ok_or_else(|| format!("{JOURNAL} is missing"))?;
        if bytes.last() != Some(&b'\n') {
            return Err(format!("{JOURNAL} ends in the middle of a line"));
        }
        let read = reader::read(bytes).map_err(|e| format!("{JOURNAL}: {e}"))?;
        if read.torn > 0 {
            return Err(format!("{JOURNAL}: its last line is none that a journal holds"));
        }
        let lines = read.lines;
        let annotations = annotations(files)?;
        let reviewed = super::reviewed(files);
        let signer = key(files, KEY)?.fingerprint();
        let view = RunView::of(&lines);
        approvals(files, plan, &view)?;
        let settings: Settings = match files.get(SETTINGS) {
            Some(b) => serde_json::from_slice(b).map_err(|e| format!("{SETTINGS}: {e}"))?,
            None => Settings::default(),
        };
        let stated: Value =
            serde_json::from_str(text(files, REPORT)?).map_err(|e| format!("{REPORT}: {e}"))?;
        let sign_offs = review::sign_offs(files, &reviewed, &view, Some(&signer), &plan.house.approvers)
            .map_err(|e| e.to_string())?;
        let reconciliation = files.get(trail::FILE).map_or(Ok(None), |b| trail::of_run(b, &lines));
        let reconciliation = reconciliation.map_err(|e| format!("{}: {e}", trail::FILE))?;
        let record = record(&Material {
            lines: &lines,
            journal: bytes,
            plan: Some(plan.as_ref()),
            sign_offs: &sign_offs,
            annotations: &annotations,
            checkpoints: files.get(CHECKPOINTS).map_or(0, |b| notes(&String::from_utf8_lossy(b)).len()),
            frameworks: &settings.frameworks,
            follow_up: &settings.exercise,
            reconciliation: reconciliation.as_ref(),
            publication: None,
            // that there is one was checked with the signature
            timestamp_authority: stated["integrity"]["timestamp_authority"].as_str(),
        });
        if record.identity.plan_sha256 != plan.sha256() {
            return Err("the journal's first line names another plan".to_owned());
        }
        if record.result.verdict.is_none() {
            return Err("the journal does not come to the run's end".to_owned());
        }
        judged::check(plan, &lines, &view, &mut judged);
        let sentence =
            format!("the journal's {} lines are an unbroken chain that begins with this plan", lines.len());
        let made_by = stated["made_by"].as_str().unwrap_or("an unknown version").to_owned();
        let no_rules = plan.house.is_empty();
        Ok((Made { record, journal: bytes, made_by, stated, no_rules }, sentence))
    };
    let made = read();
    let made = found.check(made);
    found.add(judged);
    made
}

/// The approvals on record are there, signed by the keys on record, for this plan; and no others are.
fn approvals(files: &Files, plan: &Plan, view: &RunView) -> Result<(), String> {
    let mut on_record: BTreeSet<&str> = view.approvals.iter().map(|a| a.key.as_str()).collect();
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with(approval::NAME)) {
        let (said, key) = approval::open(bytes, &plan.sha256()).map_err(|e| format!("{name}: {e}"))?;
        if !on_record.remove(key.as_str()) {
            return Err(format!("{name} is not on record in the journal"));
        }
        for approval in view.approvals.iter().filter(|a| a.key == key) {
            judged::approved(plan, view, approval, &said)?;
        }
    }
    if let Some(key) = on_record.first() {
        return Err(format!("the approval with key {key} is missing"));
    }
    match plan.house.approvals(&plan.drill.limits) {
        needed if view.approvals.len() < needed => {
            Err(format!("the plan needs {needed} approvals, and the run has {}", view.approvals.len()))
        }
        _ => Ok(()),
    }
}

fn annotations(files: &Files) -> Result<Vec<Annotation>, String> {
    let Some(bytes) = files.get(ANNOTATIONS) else { return Ok(Vec::new()) };
    review::annotations(bytes).map_err(|e| format!("{ANNOTATIONS}: {e}"))
}

fn checkpoints(files: &Files, made: &Made<'_>, found: &mut Findings) {
    let Some(_) = files.get(CHECKPOINTS) else {
        return found
            .caveats
            .push("there are no checkpoints, so nothing ties the journal to the time of the run".to_owned());
    };
    let read = || {
        let key = key(files, CHECKPOINT_KEY)?;
        let all = notes(text(files, CHECKPOINTS)?);
        let leaves = merkle::leaves(made.journal);
        let run = made.record.identity.run.as_str();
        let mut size = 0;
        let mut last: Option<Checkpoint> = None;
        for note in &all {
            let checkpoint = Checkpoint::open(note, run, &key).map_err(|e| format!("{CHECKPOINTS}: {e}"))?;
            checkpoint.fits(&leaves).map_err(|e| format!("{CHECKPOINTS}: {e}"))?;
            if checkpoint.size < size {
                return Err(format!("{CHECKPOINTS}: the journal would have become shorter"));
            }
            size = checkpoint.size;
            last = Some(checkpoint);
        }
        if all.last().map(String::as_str) != text(files, CHECKPOINT).ok() {
            return Err(format!("{CHECKPOINT} is not the last of {CHECKPOINTS}"));
        }
        if size < leaves.len() {
            return Err(format!(
                "the journal goes on for {} lines beyond its last checkpoint, after line {size}: its end was \
                 written, or the checkpoint of its end taken away, later",
                leaves.len() - size
            ));
        }
        let late = last.as_ref().filter(|c| c.stage == LATE);
        let late = late.map(|c| format!("the checkpoint of the run's end was taken later, at {}", c.at));
        let (number, key) = (all.len(), key.fingerprint());
        Ok((late, format!("{number} checkpoints, signed by key {key}, fit the journal to its end")))
    };
    let late = found.check(read());
    found.caveats.extend(late.flatten());
}

/// Every other file is made again from the journal, the plan and what people added, and compared; the PDF,
/// which takes its time, only where all else is as it should be.
fn made_again(files: &Files, made: &Made<'_>, key: &PublicKey, signed: bool, found: &mut Findings) {
    if made.made_by != made.record.made_by {
        return made_elsewhere(files, made, found);
    }
    let sources = files.iter().filter(|(name, _)| super::is_source(name));
    let sources = Sources { files: sources.map(|(n, b)| (n.clone(), b.clone())).collect() };
    let mut again = super::texts(&made.record, &sources, key);
    let same = again.iter().all(|(name, bytes)| files.get(name) == Some(bytes));
    if same && signed && found.all_hold() && files.contains_key(PDF) {
        match super::content(&made.record, &sources, key) {
            Ok(whole) => again = whole,
            Err(e) => return found.broken.push(format!("its files cannot be made again: {e}")),
        }
    }
    if !files.contains_key(PDF) {
        found.unproven.push(format!("anything by {PDF}: there is none in this bundle"));
    }
    for (name, bytes) in files.iter().filter(|(name, _)| !SIGNATURES.contains(&name.as_str())) {
        match again.get(name) {
            Some(own) if own == bytes => {}
            Some(_) => found.broken.push(format!("{name} is not what journal and plan give")),
            None if name == PDF => found.unproven.push(format!("what {PDF} says: it was not made again")),
            None => found.broken.push(format!("{name} is none of the files of a bundle")),
        }
    }
    let missing = again.keys().find(|name| !files.contains_key(*name) && *name != PDF);
    if let Some(name) = missing {
        found.broken.push(format!("{name} is missing, and journal and plan give one"));
    }
    if found.all_hold() {
        found
            .holds
            .push("every file says what journal and plan say: made again, they are the same".to_owned());
    }
}

/// What another redrill made cannot be made again. Of an older one, `report.json` is held against the run in
/// what does not depend on the version; what that leaves unseen is said.
fn made_elsewhere(files: &Files, made: &Made<'_>, found: &mut Findings) {
    let (by, own) = (&made.made_by, &made.record.made_by);
    let released = Rules::of(by).filter(|by| *by < Rules::Own);
    // no older redrill makes files of what a newer one wrote
    let newest = made.record.run.processes.iter().all(|p| Rules::of(&p.redrill) <= released);
    if released.is_none() || !newest {
        return found.broken.push(format!(
            "redrill {by} made these files, and this is {own}, which cannot make them again to compare: check \
             with redrill {by}"
        ));
    }
    let again = serde_json::to_value(&made.record).unwrap_or_default();
    for place in STABLE {
        if made.stated.pointer(place) != again.pointer(place) {
            let name = place.trim_start_matches('/').replace('/', ".");
            found.broken.push(format!("{REPORT} says another {name} than journal and plan give"));
        }
    }
    for (place, fields) in STABLE_LISTS {
        let of = |report: &Value| -> Vec<Vec<Value>> {
            let entries = report.pointer(place).and_then(Value::as_array).into_iter().flatten();
            entries.map(|e| fields.iter().map(|f| e[*f].clone()).collect()).collect()
        };
        if of(&made.stated) != of(&again) {
            let name = place.trim_start_matches('/').replace('/', ".");
            found.broken.push(format!("{REPORT} has other {name} than journal and plan give"));
        }
    }
    let rest = files.iter().filter(|(n, _)| !super::is_source(n) && !SIGNATURES.contains(&n.as_str()));
    let rest: Vec<_> = rest.filter(|(n, _)| *n != KEY).collect();
    for (name, bytes) in &rest {
        if let Some(other) = other_verdict(&made.record, &String::from_utf8_lossy(bytes)) {
            found.broken.push(format!("{name} says `{other}`, which is not the verdict in the journal"));
        }
    }
    let rest = rest.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    found.caveats.push(format!(
        "redrill {by} made these files, and this is {own}, which cannot make them again: {rest} are as they were \
         signed, and only the verdict and the figures of {REPORT} were compared with the journal"
    ));
    found.unproven.push(format!("what else {rest} say: they were not made again, and hold what was signed"));
}

/// A verdict that a text gives this run, where it is not the run's own.
fn other_verdict<'a>(record: &Record, text: &'a str) -> Option<&'a str> {
    let own = record.result.verdict.map_or("unfinished", Verdict::name);
    let named = format!("run {}: ", record.identity.run);
    let words = [named.as_str(), "| Verdict | **"].into_iter().flat_map(|before| text.split(before).skip(1));
    let words = words.map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(rest.len());
        &rest[..end]
    });
    let verdict = |word: &&str| serde_json::from_value::<Verdict>(Value::from(*word)).is_ok();
    words.filter(verdict).find(|word| *word != own)
}

/// What a report says of a run whichever redrill made it.
const STABLE: [&str; 47] = [
    "/identity/run",
    "/identity/drill",
    "/identity/title",
    "/identity/service",
    "/identity/plan_sha256",
    "/identity/drill_sha256",
    "/identity/tool_version",
    "/identity/planned_at",
    "/identity/started_at",
    "/identity/finished_at",
    "/scope/world",
    "/scope/account",
    "/scope/region",
    "/scope/environment",
    "/scope/seed",
    "/scope/selections",
    "/people/caller",
    "/objectives/rto_ms",
    "/objectives/rpo_ms",
    "/objectives/give_up_ms",
    "/measures/rta_ms",
    "/measures/rta_low_ms",
    "/measures/rta_high_ms",
    "/measures/judged_ms",
    "/measures/margin_ms",
    "/measures/from_declaration_ms",
    "/measures/detect_ms",
    "/measures/resolution_ms",
    "/measures/capacity_ms",
    "/measures/flaps",
    "/measures/skew_ms",
    "/measures/outage",
    "/result/verdict",
    "/result/exit_code",
    "/result/reasons",
    "/safety/targets",
    "/safety/clean",
    "/safety/steady_after",
    "/run/verdict",
    "/run/exit_code",
    "/run/stuck",
    "/run/stages",
    "/run/measured/marks",
    "/integrity/calls",
    "/integrity/journal_lines",
    "/integrity/journal_sha256",
    "/integrity/journal_root",
];
/// The same of its lists, as far as the wording does not matter.
const STABLE_LISTS: [(&str, &[&str]); 2] = [
    ("/safety/faults", &["step", "action", "target", "reversibility", "started_at"]),
    ("/recoveries", &["step", "action", "target", "started_at", "ready_at"]),
];

fn same_statement(files: &Files, made: &Made<'_>, statement: &Statement) -> Result<((), String), String> {
    let content: Files = files
        .iter()
        .filter(|(n, _)| !SIGNATURES.contains(&n.as_str()))
        .map(|(n, b)| (n.clone(), b.clone()))
        .collect();
    let again = statement::test_result(&made.record, &content).predicate;
    // another version may tell more of the parts of a result; what it comes to is the same
    let same = match made.made_by == made.record.made_by {
        true => statement.predicate == again,
        false => ["result", "configuration"].iter().all(|key| statement.predicate[*key] == again[*key]),
    };
    if !same {
        return Err("the signed result is not what the journal says".to_owned());
    }
    let result = statement.predicate["result"].as_str().unwrap_or_default();
    let why = match (made.record.result.verdict, made.record.scope.world) {
        (Some(Verdict::Passed), World::Aws) if !made.record.counts() => {
            " (passed, but the endpoint is not proven to be AWS's)".to_owned()
        }
        (Some(Verdict::Passed), World::Aws) | (None, _) => String::new(),
        (Some(Verdict::Passed), world) => format!(" (passed, but on {world})"),
        (Some(verdict), _) => format!(" ({})", verdict.name()),
    };
    Ok(((), format!("the signed result is {result}{why}, as the journal says")))
}

fn limits(made: &Made<'_>, key: &PublicKey, trust: &Trust, found: &mut Findings) {
    for a in &made.record.run.approvals {
        let how = a.not_independent().map(|how| format!(", {how}")).unwrap_or_default();
        let text = format!("approved by {}, key {}, before it started{}{how}", a.by, a.key, a.claim());
        found.holds.push(text);
    }
    for s in &made.record.review.sign_offs {
        let how = match s.independent {
            true => "independent of who ran it: the plan's rules list the key",
            false => "not independent",
        };
        let (claim, who) = (&s.made_as, s.who());
        found
            .holds
            .push(format!("{} by {who}, key {}, says it was made as {claim}, {how}", s.decision, s.key));
    }
    let unproven = &mut found.unproven;
    if !made.record.run.approvals.is_empty() {
        unproven.push("who approved: compare the fingerprints of their keys, likewise".to_owned());
    }
    if !made.record.review.sign_offs.is_empty() {
        unproven.push(
            "who reviewed: compare the fingerprints of their keys with ones got another way".to_owned(),
        );
    }
    if trust.key.is_none() && trust.fingerprint.is_none() {
        unproven.push(format!(
            "who signed: the key, {}, comes with the bundle. Get the fingerprint from the signer, not from here, \
             and give that one with --fingerprint",
            key.fingerprint()
        ));
    }
    if made.no_rules {
        unproven.push(
            "that the rules of a house were in force: the plan was made without a redrill.toml that has any"
                .to_owned(),
        );
    }
    let chain = made.record.run.header.as_ref().and_then(|h| h.chain.as_ref());
    let whole = "a state folder can be thrown away with every run in it";
    unproven.push(match chain.map(|c| (c.number, &c.before)) {
        None => "that there were no other tries: the run does not name the one before it".to_owned(),
        Some((_, None)) => {
            format!("that there were no other tries: this is the first run of its state folder, and {whole}")
        }
        Some((n, Some(before))) => format!(
            "that there were no other tries: this is run {n} of its state folder, after {}{}. Ask for that one; \
             and {whole}",
            before.run,
            before.root.as_ref().map_or_else(String::new, |r| format!(", {} lines with root {r}", before.lines)),
        ),
    });
    unproven.push(
        "who sat at the machine, and which machine that was: whoever owns it can be any user, and give it any name"
            .to_owned(),
    );
    unproven.push("that nothing was said later: the newest sign-offs and remarks can be left out".to_owned());
    unproven.push(
        "that the calls were made: compare them with AWS's own record, by their request ids".to_owned(),
    );
    unproven.push(
        "what probes saw, and so the recovery time: no record of AWS has it, and this machine alone says so. Hold it \
         against the service's own monitoring"
            .to_owned(),
    );
    if let Some(doubt) = &made.record.scope.endpoint_doubt {
        unproven.push(format!("that AWS answered the run's calls, by the way to it: {doubt}"));
    }
    let world = made.record.scope.world;
    if world != World::Aws {
        unproven.push(format!("anything about AWS: this ran on {world} and is evidence for no control"));
    }
}
