//! Compares a journal's calls with gathered records, both ways. Pure.
//!
//! Only a request id matches. A call whose answer was lost may have a record that is probably its own:
//! the same operation, the session's, within the tolerance, naming the same thing; it is said to be
//! probable, and never counted as matched.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::calls::{self, Call};
use super::named;
use super::proof::{Include, Included, Proven};
use super::read::{Gathering, TrailRecord};
use super::session::{Session, Tie};
use super::{
    CallResult, Class, Counts, ReadCount, Reconciliation, Seen, SessionTerms, Source, Standing, VERSION,
};
use crate::journal::Line;
use crate::model::World;

/// CloudTrail delivers most records within this time.
pub(super) const DELIVERY: TimeDelta = TimeDelta::minutes(15);

/// The request ids that a journal knows.
pub fn request_ids(lines: &[Line]) -> Vec<String> {
    calls::calls(lines).into_iter().filter_map(|c| c.request_id).collect()
}

/// A comparison, and the files that show it.
#[derive(Debug)]
pub struct Compared {
    /// What it gave.
    pub result: Reconciliation,
    /// What of the trail goes into the run's folder; nothing where no digest vouches for it.
    pub files: Vec<Include>,
}

/// Compares the journal with what was gathered for it.
pub fn reconcile(
    lines: &[Line],
    session: &Session,
    gathered: Gathering,
    source: Source,
    compared_at: DateTime<Utc>,
) -> Reconciliation {
    compare(lines, session, gathered, source, (compared_at, Included::default())).result
}

/// The same, with the files that show it.
pub fn compare(
    lines: &[Line],
    session: &Session,
    mut gathered: Gathering,
    source: Source,
    (compared_at, included): (DateTime<Utc>, Included),
) -> Compared {
    let calls = calls::calls(lines);
    let kept = std::mem::take(&mut gathered.kept);
    let files: BTreeMap<String, BTreeSet<usize>> =
        kept.iter().map(|(id, k)| (id.clone(), k.files.clone())).collect();
    let records: Vec<TrailRecord> = kept.into_values().map(|k| k.record).collect();
    let mut by_id: BTreeMap<&str, Vec<&TrailRecord>> = BTreeMap::new();
    for record in &records {
        if let Some(id) = &record.request_id {
            by_id.entry(id).or_default().push(record);
        }
    }
    // first what is certain; then, of what is left, what is probable
    let mut results: Vec<CallResult> = calls.iter().map(|c| certain(c, session, &by_id, &gathered)).collect();
    once(&mut results);
    let explained: BTreeSet<&str> = calls.iter().filter_map(|c| c.request_id.as_deref()).collect();
    let matched_events: BTreeSet<&str> = results
        .iter()
        .filter(|r| r.class == Class::Matched)
        .filter_map(|r| r.record.as_ref().map(|s| s.event_id.as_str()))
        .collect();
    let keys: BTreeSet<String> = records
        .iter()
        .filter(|r| matched_events.contains(r.event_id.as_str()) || session.tie(r) == Some(Tie::UserAgent))
        .filter_map(|r| r.access_key.clone())
        .collect();
    drop(matched_events);
    let left: Vec<(&TrailRecord, &'static str)> = records
        .iter()
        .filter(|r| !r.request_id.as_deref().is_some_and(|id| explained.contains(id)))
        .filter_map(|r| Some((r, tie(r, session, &keys)?)))
        .collect();
    let of_session = left.len()
        + records.iter().filter(|r| r.request_id.as_deref().is_some_and(|id| explained.contains(id))).count();
    let own: BTreeSet<usize> = left
        .iter()
        .map(|(r, _)| &r.event_id)
        .chain(results.iter().filter_map(|r| r.record.as_ref()).map(|s| &s.event_id))
        .filter_map(|id| files.get(id))
        .flatten()
        .copied()
        .collect();
    let claimed = probable(&calls, &mut results, &left, session);

    let (mut unexplained, mut by_services) = (Vec::new(), Vec::new());
    let mut reads: BTreeMap<&str, u64> =
        gathered.more_reads.iter().map(|(operation, n)| (operation.as_str(), *n)).collect();
    let more_reads: u64 = reads.values().sum();
    for (record, tie) in left.iter().filter(|(r, _)| !claimed.contains(r.event_id.as_str())) {
        if record.read_only || signs(record) || only_asked(record) {
            *reads.entry(&record.operation).or_default() += 1;
        } else if record.invoked_by.is_some() {
            by_services.push(seen(record, tie));
        } else {
            unexplained.push(seen(record, tie));
        }
    }
    let in_order = |list: &mut Vec<Seen>| list.sort_by(|a, b| (a.at, &a.event_id).cmp(&(b.at, &b.event_id)));
    in_order(&mut unexplained);
    in_order(&mut by_services);

    let of = |class| results.iter().filter(|r| r.class == class).count();
    let counts = Counts {
        calls: results.len(),
        matched: of(Class::Matched),
        probable: of(Class::Probable),
        missing: of(Class::Missing),
        contradicted: of(Class::Contradicted),
        not_coverable: of(Class::NotCoverable),
        records: gathered.records,
        of_session: of_session as u64 + more_reads,
        reads: reads.values().sum(),
        unexplained: unexplained.len(),
        by_services: by_services.len(),
        of_other_runs: gathered.of_other_runs,
        duplicates: gathered.duplicates,
        malformed: gathered.malformed,
        unreadable_files: gathered.unreadable,
    };
    let complete = session.ended + DELIVERY;
    let provisional_until = (compared_at < complete).then_some(complete);
    let proven = Proven::of(&gathered, session, &calls);
    let include = proven.as_ref().map(|p| p.include(&gathered, &own, included)).unwrap_or_default();
    // a trail that shows no change by anybody may be one that leaves changes out
    let absence_counts = proven.as_ref().is_none_or(|p| p.shows_changes);
    let vouched = |r: &&CallResult| {
        let of = r.record.as_ref().and_then(|s| files.get(&s.event_id));
        proven.as_ref().zip(of).is_some_and(|(p, of)| of.iter().any(|f| p.vouched.contains(f)))
    };
    let matched = results.iter().filter(|r| r.class == Class::Matched);
    let unvouched = counts.matched - matched.filter(vouched).count();
    let proof = proven.map(|p| p.summary(unvouched, counts.matched, included));
    let changed = proof.as_ref().map_or(0, |p| p.changed.len());
    let holds = session.finished
        && changed == 0
        && counts.calls > 0
        && counts.matched > 0
        && counts.missing + counts.contradicted + counts.unexplained == 0
        && counts.malformed == 0
        && counts.unreadable_files == 0
        && gathered.differing.is_empty()
        && !gathered.left_out;
    let differs = counts.contradicted + counts.unexplained > 0
        || changed > 0
        || (counts.missing > 0
            && absence_counts
            // a record may be in what could not be read
            && counts.unreadable_files == 0
            && counts.malformed == 0
            && !gathered.left_out
            && proof.as_ref().is_none_or(|p| p.complete && p.unvouched == 0));
    let standing = match &proof {
        _ if differs => Standing::Differs,
        Some(p) if holds && p.proven && p.complete => Standing::Proven,
        _ => Standing::Unclear,
    };
    let warnings = warnings(session, &gathered, &source, provisional_until);
    let mut verdict = verdict(&counts, holds, standing, changed, session, provisional_until.is_some());
    if standing == Standing::Unclear {
        verdict = format!("unclear: {}; {verdict}", unclear(proof.as_ref(), &source, absence_counts));
    }
    let result = Reconciliation {
        v: VERSION,
        run: session.run.clone(),
        world: session.world,
        compared_at,
        holds,
        standing: Some(standing),
        verdict,
        proof,
        provisional_until,
        source,
        session: SessionTerms {
            app_name: session.app_name(),
            caller: session.caller.clone(),
            access_keys: keys.iter().map(|k| masked(k)).collect(),
            from: session.from,
            to: session.to,
        },
        counts,
        calls: results,
        unexplained,
        by_services,
        reads: reads.into_iter().map(|(o, n)| ReadCount { operation: o.to_owned(), records: n }).collect(),
        warnings,
    };
    Compared { result, files: include }
}

/// One record is one call's: the second call that names it has none.
fn once(results: &mut [CallResult]) {
    let mut used = BTreeSet::new();
    for result in results.iter_mut().filter(|r| r.class == Class::Matched) {
        let Some(seen) = &result.record else { continue };
        if !used.insert(seen.event_id.clone()) {
            result.class = Class::Contradicted;
            result.why = Some("the record with its request id is another call's".to_owned());
        }
    }
}

/// What keeps a comparison from showing anything, as far as the digests go.
fn unclear(proof: Option<&super::Proof>, source: &Source, absence_counts: bool) -> String {
    let Some(p) = proof else {
        return match source {
            Source::Files { .. } => "no digest file of CloudTrail vouches for these files",
            Source::Lookup { .. } => "LookupEvents signs nothing; name a trail's files with their digests",
        }
        .to_owned();
    };
    let gap = p.regions.iter().find_map(|r| Some(format!("{}: {}", r.region, r.gap.as_deref()?)));
    if let Some(gap) = gap {
        return gap;
    }
    match p.regions.iter().map(|r| r.unchecked).sum::<usize>() {
        0 => {}
        1 => return "1 digest that names log files of the run's time could not be checked".to_owned(),
        n => return format!("{n} digests that name log files of the run's time could not be checked"),
    }
    let missing: usize = p.regions.iter().map(|r| r.missing).sum();
    match (missing, p.unvouched) {
        (0, 0) if !absence_counts => {
            "the trail shows no change by anybody; it may leave changes out".to_owned()
        }
        (0, 0) => "the digests hold, but not all that they vouch for is shown".to_owned(),
        (0, 1) => "no digest vouches for the record of 1 call".to_owned(),
        (0, n) => format!("no digest vouches for the records of {n} calls"),
        (1, _) => "1 log file that the digests name is not there".to_owned(),
        (n, _) => format!("{n} log files that the digests name are not there"),
    }
}

/// What can be told from a call and the records of its request id alone.
fn certain(
    call: &Call,
    session: &Session,
    by_id: &BTreeMap<&str, Vec<&TrailRecord>>,
    gathered: &Gathering,
) -> CallResult {
    let candidates = call.request_id.as_deref().and_then(|id| by_id.get(id));
    let fits = |r: &&&TrailRecord| differs(call, r, session).is_none();
    let (class, why, record) = if let Some(list) = candidates {
        match list.iter().find(fits) {
            Some(record) => (Class::Matched, None, Some(*record)),
            None => {
                let first = list.first().copied();
                (Class::Contradicted, first.and_then(|r| differs(call, r, session)), first)
            }
        }
    } else if let Some(why) = not_coverable(call, gathered) {
        (Class::NotCoverable, Some(why), None)
    } else {
        (Class::Missing, Some("no record has its request id".to_owned()), None)
    };
    CallResult {
        seq: call.seq,
        call: call.call,
        step: call.step.clone(),
        phase: call.phase,
        operation: call.operation.clone(),
        sent_at: call.sent_at,
        request_id: call.request_id.clone(),
        class,
        why,
        record: record.map(|r| seen(r, "request id")),
    }
}

/// What a record with a call's request id says otherwise.
fn differs(call: &Call, record: &TrailRecord, session: &Session) -> Option<String> {
    if !same_operation(&call.operation, &record.operation) {
        return Some(format!("the record with its request id is of {}", record.operation));
    }
    if let Some(account) = record.account.as_ref().filter(|a| **a != session.account) {
        return Some(format!("the record with its request id is of account {account}"));
    }
    let from = call.sent_at - session.tolerance;
    let to = call.answered_at.unwrap_or(call.sent_at) + session.tolerance;
    if !(from..=to).contains(&record.at) {
        return Some(format!("the record with its request id is of {}", utc(record.at)));
    }
    let run = super::session::named_run(record.user_agent.as_deref().unwrap_or_default());
    if let Some(run) = run.filter(|run| *run != session.run.as_str()) {
        return Some(format!("the record with its request id is of run {run}"));
    }
    let region = session.region_of(&call.operation);
    if record.region != region {
        return Some(format!("the record with its request id is of region {}, not {region}", record.region));
    }
    match (call.accepted(), &record.error) {
        (Some(true), Some(code)) => {
            return Some(format!("the record with its request id is of a call that was refused: {code}"));
        }
        (Some(false), None) => {
            return Some("the record with its request id is of a call that was not refused".to_owned());
        }
        _ => {}
    }
    let named = named::other(&record.named, &call.named);
    named.map(|named| format!("the record with its request id {named}"))
}

fn utc(t: DateTime<Utc>) -> String {
    t.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Why no trail can be asked about a call.
fn not_coverable(call: &Call, gathered: &Gathering) -> Option<String> {
    if call.never_sent() {
        return Some("it never left this machine".to_owned());
    }
    if call.request_id.is_none() {
        return Some(
            if call.answered_at.is_none() || call.error.is_some() {
                "no answer came, so there is no request id to look for"
            } else {
                "the answer had no request id"
            }
            .to_owned(),
        );
    }
    if let Some(why) = call.unrecorded() {
        return Some(why.to_owned());
    }
    let logged = call.bucket.as_ref().is_some_and(|b| gathered.logged_buckets.contains(b));
    (call.is_data_event() && !logged)
        .then(|| "calls on objects are data events, and the records hold none of this bucket".to_owned())
}

/// Whether a record's event is a call's operation. CloudFront and others add the API's date to the name.
fn same_operation(call: &str, record: &str) -> bool {
    let bare = record.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
    let same =
        |name: &str| name == call || (name == "s3:DeleteBucketTagging" && call == "s3:PutBucketTagging");
    same(record) || same(bare)
}

/// Signing a run's evidence with a KMS key changes nothing.
fn signs(record: &TrailRecord) -> bool {
    record.operation == "kms:Sign"
}

/// EC2 was asked with DryRun whether it would, and did nothing.
fn only_asked(record: &TrailRecord) -> bool {
    matches!(record.error.as_deref(), Some("Client.DryRunOperation" | "DryRunOperation"))
}

fn tie(record: &TrailRecord, session: &Session, keys: &BTreeSet<String>) -> Option<&'static str> {
    match session.tie(record) {
        Some(Tie::UserAgent) => Some("user agent"),
        Some(Tie::Caller) => Some("caller"),
        Some(Tie::OtherRun) => None,
        None => {
            let other = super::session::named_run(record.user_agent.as_deref().unwrap_or_default()).is_some();
            let known = record.access_key.as_ref().is_some_and(|k| keys.contains(k));
            (!other && known && session.covers(record.at)).then_some("access key")
        }
    }
}

/// Looks for records of calls without a request id; gives the events that were claimed.
fn probable(
    calls: &[Call],
    results: &mut [CallResult],
    left: &[(&TrailRecord, &'static str)],
    session: &Session,
) -> BTreeSet<String> {
    let mut claimed = BTreeSet::new();
    for (call, result) in calls.iter().zip(results) {
        if call.request_id.is_some() || call.never_sent() {
            continue;
        }
        let from = call.sent_at - session.tolerance;
        let to = call.answered_at.unwrap_or(call.sent_at) + session.tolerance;
        let best = left
            .iter()
            .filter(|(r, _)| same_operation(&call.operation, &r.operation) && (from..=to).contains(&r.at))
            .filter(|(r, _)| !claimed.contains(&r.event_id))
            // what names another thing is another call
            .filter(|(r, _)| call.names.is_empty() || call.names.iter().any(|n| r.about.contains(n.as_str())))
            .min_by_key(|(r, _)| ((r.at - call.sent_at).abs(), r.event_id.clone()));
        if let Some((record, tie)) = best {
            claimed.insert(record.event_id.clone());
            result.class = Class::Probable;
            result.why =
                Some("no request id; this record is of the same operation, time and resource".to_owned());
            result.record = Some(seen(record, tie));
        }
    }
    claimed
}

fn seen(r: &TrailRecord, tie: &str) -> Seen {
    Seen {
        event_id: r.event_id.clone(),
        at: r.at,
        operation: r.operation.clone(),
        region: r.region.clone(),
        request_id: r.request_id.clone(),
        principal: r.principal.clone(),
        user_agent: r.user_agent.clone(),
        error: r.error.clone(),
        tie: tie.to_owned(),
    }
}

/// An access key without its middle.
fn masked(key: &str) -> String {
    let chars: Vec<char> = key.chars().collect();
    if chars.len() < 12 {
        return "…".to_owned();
    }
    let (head, tail): (String, String) =
        (chars[..4].iter().collect(), chars[chars.len() - 4..].iter().collect());
    format!("{head}…{tail}")
}

fn verdict(
    c: &Counts,
    holds: bool,
    standing: Standing,
    changed: usize,
    session: &Session,
    provisional: bool,
) -> String {
    let mut parts = Vec::new();
    let mut part = |n: usize, one: &str, many: &str| {
        if n > 0 {
            parts.push(format!("{n} {}", if n == 1 { one } else { many }));
        }
    };
    part(c.missing, "call without a record", "calls without a record");
    part(c.contradicted, "call whose record says something else", "calls whose records say something else");
    part(c.unexplained, "change without an entry in the journal", "changes without an entry in the journal");
    part(changed, "file that was changed after delivery", "files that were changed after delivery");
    part(c.unreadable_files, "file could not be read", "files could not be read");
    part(
        usize::try_from(c.malformed).unwrap_or(usize::MAX),
        "record could not be read",
        "records could not be read",
    );
    let mut text = if holds {
        let coverable = c.calls - c.not_coverable - c.probable;
        format!("journal and trail agree: all {coverable} calls that the trail can cover are matched")
    } else if !parts.is_empty() {
        let what = if standing == Standing::Differs { "do not agree" } else { "are not shown to agree" };
        format!("journal and trail {what}: {}", parts.join(", "))
    } else if c.calls == 0 {
        "nothing to compare: the journal has no call".to_owned()
    } else if c.matched == 0 {
        "nothing is shown: no call is matched by a record".to_owned()
    } else if !session.finished {
        "not conclusive: the run has not come to its end".to_owned()
    } else {
        "not conclusive: see the warnings".to_owned()
    };
    if c.not_coverable + c.probable > 0 {
        let more = format!("; {} not coverable, {} probable", c.not_coverable, c.probable);
        text.push_str(&more);
    }
    if provisional {
        text.push_str(" (provisional: records may still arrive)");
    }
    text
}

fn warnings(
    session: &Session,
    gathered: &Gathering,
    source: &Source,
    provisional_until: Option<DateTime<Utc>>,
) -> Vec<String> {
    let mut out = Vec::new();
    if session.world != World::Aws {
        out.push("the run did not touch AWS itself; CloudTrail has no records of it".to_owned());
    }
    if !session.finished {
        out.push("the run has not come to its end; compare again when it has".to_owned());
    }
    if let Some(until) = provisional_until {
        out.push(format!(
            "records arrive up to {} minutes late; compare again after {}",
            DELIVERY.num_minutes(),
            utc(until)
        ));
    }
    match source {
        Source::Files { .. } => {
            if gathered.oldest.is_none_or(|t| t > session.ended) {
                out.push("the files hold nothing from before the run's end".to_owned());
            }
            if gathered.newest.is_some_and(|t| t < session.ended - session.tolerance) {
                out.push(
                    "the newest record is older than the run's end: later files may be missing".to_owned(),
                );
            }
        }
        Source::Lookup { regions, .. } => out.push(format!(
            "LookupEvents has no data events, and was asked in {} only",
            regions.join(" and ")
        )),
    }
    if gathered.left_out {
        out.push("there were more records than are kept; name fewer files".to_owned());
    }
    for id in &gathered.differing {
        out.push(format!("event {id} was delivered twice with different contents"));
    }
    out
}

#[cfg(test)]
mod tests;
