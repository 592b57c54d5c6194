//! The trail of a bundle, compared again offline. Pure.
//!
//! The digests, the log files and the journal are all in the bundle, so the comparison is made anew and held
//! against the one that the record tells of. With keys that the reader has from AWS, AWS's signature says
//! that the calls of the journal happened; with those of the bundle, whoever made it says so.

use super::verify::{Findings, Trust};
use super::{Files, JOURNAL};
use crate::evidence::trail::{
    self, Class, Gathering, Included, Reconciliation, Session, Source, Standing, matching, proof,
};
use crate::journal::reader;

/// Compares the journal again with the records in the bundle.
pub(super) fn check(files: &Files, journal: &[u8], trust: &Trust) -> Findings {
    let mut found = Findings::default();
    let Some(told) = files.get(trail::FILE) else {
        if trust.cloudtrail_keys.is_some() {
            found.broken.push("there is no comparison with CloudTrail that your keys could check".to_owned());
        }
        return found;
    };
    // both were read before this, and what cannot be read was said there
    let (Ok(told), Ok(read)) = (serde_json::from_slice::<Reconciliation>(told), reader::read(journal)) else {
        return found;
    };
    let Some(session) = Session::of(&read.lines) else { return found };
    let Some(claimed) = &told.proof else {
        if trust.cloudtrail_keys.is_some() {
            found.broken.push(
                "the comparison with CloudTrail is without digests that your keys could check".to_owned(),
            );
        }
        found.unproven.push(format!(
            "that {} is what CloudTrail says: no digest of CloudTrail's is in this bundle, so whoever wrote the \
             records could have written anything",
            trail::FILE
        ));
        return found;
    };
    let mut gathered = Gathering::new(&session, matching::request_ids(&read.lines));
    if let Some(keys) = &trust.cloudtrail_keys {
        gathered.trust_only(keys.clone());
    }
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with(proof::NAME)) {
        gathered.file(name, bytes);
    }
    let source = Source::Files { from: JOURNAL.to_owned(), files: Vec::new() };
    let again =
        matching::compare(&read.lines, &session, gathered, source, (told.compared_at, claimed.included));
    judge(&told, &again.result, trust, &mut found);
    found
}

fn judge(told: &Reconciliation, again: &Reconciliation, trust: &Trust, found: &mut Findings) {
    let by =
        if trust.cloudtrail_keys.is_some() { "the keys that you gave" } else { "the keys in the bundle" };
    if told.standing != Some(Standing::Proven) {
        found
            .unproven
            .push(format!("that CloudTrail has the same calls: the comparison says “{}”", told.verdict));
        return;
    }
    let proof = again.proof.as_ref();
    if let Some(changed) = proof.and_then(|p| p.changed.first()) {
        return found.broken.push(format!("the trail: {changed}"));
    }
    let Some(proof) = proof.filter(|p| p.proven) else {
        let gap = proof.and_then(|p| p.regions.iter().find_map(|r| r.gap.clone()));
        let why = gap.or_else(|| proof.and_then(|p| p.open.first().cloned()));
        return found.broken.push(format!(
            "the trail does not prove the run by {by}: {}",
            why.unwrap_or_else(|| "its digests and log files are not in the bundle".to_owned())
        ));
    };
    let matched = |r: &Reconciliation| -> Vec<_> {
        let of = r.calls.iter().filter(|c| c.class == Class::Matched);
        of.map(|c| (c.seq, c.record.as_ref().map(|s| s.event_id.clone()))).collect()
    };
    let c = &again.counts;
    if c.unreadable_files > 0 || c.malformed > 0 {
        return found.broken.push("a file of the trail in the bundle cannot be read".to_owned());
    }
    if matched(told) != matched(again)
        || c.contradicted + c.missing > told.counts.contradicted + told.counts.missing
    {
        return found.broken.push(format!("{} is not what the log files in the bundle give", trail::FILE));
    }
    if c.unexplained > 0 {
        return found.broken.push(format!(
            "the log files in the bundle have {} changes of the run's session that {} leaves out",
            c.unexplained,
            trail::FILE
        ));
    }
    found.holds.push(format!(
        "CloudTrail's digests, by {by}, vouch for the record of all {} calls that the trail has of this run, \
         without a gap over its time",
        c.matched
    ));
    let until = proof.regions.iter().filter_map(|r| r.until).min();
    found.unproven.push(format!(
        "that CloudTrail delivered nothing of the run later than that: its digests for late records (backfill) are on no \
         chain, so that one which was left out does not show. Those at hand are counted; the others reach until {}",
        until.map(|t| t.format("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default()
    ));
    if trust.cloudtrail_keys.is_none() {
        let keys: Vec<&str> = proof.keys.iter().map(|k| k.fingerprint.as_str()).collect();
        found.unproven.push(format!(
            "that the trail is AWS's: the keys of its digests, {}, come with the bundle. Get them from AWS (aws \
             cloudtrail list-public-keys, for the run's days, in {}), and give them with --cloudtrail-keys",
            keys.join(" and "),
            proof.regions.iter().map(|r| r.region.as_str()).collect::<Vec<_>>().join(" and in "),
        ));
    }
    if !proof.complete {
        let missing: usize = proof.regions.iter().map(|r| r.missing).sum();
        let unchecked: usize = proof.regions.iter().map(|r| r.unchecked).sum();
        let which = match proof.included {
            Included::Run => "redrill reconcile --include all takes them in",
            Included::All => "they were to be in it",
        };
        found.unproven.push(format!(
            "that the run's session changed nothing else: {missing} log files of the run's time are not in the \
             bundle ({which}), and {unchecked} digests that name more could not be checked"
        ));
    }
}

#[cfg(test)]
mod tests;
