//! What CloudTrail's digests show about the records of a run. Pure.
//!
//! A record is vouched for where a digest that AWS signed names its file with the hash that the file has.
//! A region is covered where such digests follow each other without a gap from the run's beginning until
//! its last records must have been delivered. Invariants: nothing but a signature makes a digest count; a
//! digest of another account or region never does; what is missing is said and leaves it open.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::calls::Call;
use super::digest::{Digest, PublicKeys, base};
use super::matching::DELIVERY;
use super::read::Gathering;
use super::session::Session;
use crate::evidence::merkle;

/// How the names of these files begin in a run's folder and in a bundle.
pub const NAME: &str = "cloudtrail-";
/// The keys that the digests were checked with.
pub const KEYS: &str = "cloudtrail-public-keys.json";
/// Services whose calls are recorded in one region, wherever they are sent from.
const GLOBAL: [&str; 3] = ["cloudfront:", "iam:", "route53:"];
/// Digests whose file name does not tell their signature are tried with at most this many.
const MOST_TRIED: usize = 64;
/// How many reasons are told; an organisation's trail has digests of many accounts.
const MOST_SAID: usize = 20;

/// Which log files go into the bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Included {
    /// Those that hold records of the run's session.
    #[default]
    Run,
    /// All of the run's time: then it can be checked again that nothing else of the session is in them.
    All,
}

/// What CloudTrail's own digests prove of a comparison.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Proof {
    /// Whether the digests vouch for the record of every matched call, and cover the run without a gap.
    /// By these keys: whether they are AWS's is for whoever has them from AWS to say.
    pub proven: bool,
    /// Whether every log file of the run's time was at hand.
    pub complete: bool,
    /// Digests whose signature holds.
    pub digests: usize,
    /// The keys that they are signed under.
    pub keys: Vec<KeyUsed>,
    /// The regions that the run's calls are recorded in.
    pub regions: Vec<RegionProof>,
    /// Matched calls whose record no digest vouches for.
    pub unvouched: usize,
    /// What was changed after CloudTrail delivered it, one sentence each.
    pub changed: Vec<String>,
    /// What else leaves it open, one sentence each.
    pub open: Vec<String>,
    /// Which log files are in the bundle.
    pub included: Included,
}

/// A key that digests are signed under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize)]
pub struct KeyUsed {
    /// CloudTrail's name for it.
    pub fingerprint: String,
    /// SHA-256 (hex) of the key.
    pub sha256: String,
}

/// How far a region's digests reach.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct RegionProof {
    /// The region.
    pub region: String,
    /// The trail and its home region, where one covers the run.
    pub trail: Option<String>,
    /// From when its digests follow each other.
    pub from: Option<DateTime<Utc>>,
    /// Until when.
    pub until: Option<DateTime<Utc>>,
    /// How many digests that is.
    pub digests: usize,
    /// How many log files they name for the run's time.
    pub log_files: usize,
    /// How many of these were not at hand.
    pub missing: usize,
    /// Digests that name files of the run's time and whose signature could not be checked.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unchecked: usize,
    /// Why it is not covered.
    pub gap: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `skip_serializing_if` hands over a reference")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl RegionProof {
    /// In words, after the region's name.
    pub fn in_words(&self) -> String {
        let utc = |t: Option<DateTime<Utc>>| {
            t.map(|t| t.format("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default()
        };
        if let Some(gap) = &self.gap {
            return format!("not covered: {gap}");
        }
        let missing = match self.missing {
            0 => String::new(),
            n => format!(", {n} of them not there"),
        };
        let unchecked = match self.unchecked {
            0 => String::new(),
            1 => {
                "; 1 more digest names files of that time, and its signature could not be checked".to_owned()
            }
            n => format!(
                "; {n} more digests name files of that time, and their signatures could not be checked"
            ),
        };
        let (digests, they_name) = match self.digests {
            1 => ("1 digest".to_owned(), "it names"),
            n => (format!("{n} digests"), "they name"),
        };
        let log_files = match self.log_files {
            1 => "1 log file".to_owned(),
            n => format!("{n} log files"),
        };
        format!(
            "covered from {} until {} by {digests} of trail {}; {they_name} {log_files} of the run's time{missing}{unchecked}",
            utc(self.from),
            utc(self.until),
            self.trail.as_deref().unwrap_or_default(),
        )
    }
}

/// A file that goes into the run's folder, and so into the bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Include {
    /// One that was given: its number among them.
    Given {
        /// Its number.
        file: usize,
        /// Its name from now on.
        name: String,
    },
    /// One that is made of what was given.
    Made {
        /// Its name.
        name: String,
        /// Its content.
        bytes: Vec<u8>,
    },
}

/// What the digests say of what was gathered.
#[derive(Debug)]
pub(super) struct Proven {
    digests: usize,
    keys: PublicKeys,
    pub(super) regions: Vec<RegionProof>,
    /// The files that a digest vouches for.
    pub(super) vouched: BTreeSet<usize>,
    changed: Vec<String>,
    open: Vec<String>,
    /// Whether the covering trails show a change by anybody in every region: else they may leave changes out.
    pub(super) shows_changes: bool,
    /// The digests that count, with the signature of each: its number among the gathered ones.
    chain: BTreeMap<usize, Vec<u8>>,
    /// Every log file of the run's time.
    logs: BTreeSet<usize>,
}

impl Proven {
    /// Looks at the digests that were gathered, if there are any.
    pub(super) fn of(gathered: &Gathering, session: &Session, calls: &[Call]) -> Option<Self> {
        if gathered.digests.is_empty() {
            return None;
        }
        let mut out = Self {
            digests: 0,
            keys: PublicKeys::default(),
            regions: Vec::new(),
            vouched: BTreeSet::new(),
            changed: Vec::new(),
            open: Vec::new(),
            shows_changes: true,
            chain: BTreeMap::new(),
            logs: BTreeSet::new(),
        };
        let signed = out.signed(gathered, session);
        out.vouch(gathered, &signed);
        for region in regions(session, calls) {
            out.cover(gathered, session, region, &signed);
        }
        Some(out)
    }

    /// The digests of the account that AWS signed, each with its signature.
    fn signed(&mut self, gathered: &Gathering, session: &Session) -> BTreeMap<usize, Vec<u8>> {
        let mut signed = BTreeMap::new();
        let mut used = PublicKeys::default();
        for (n, (_, digest)) in gathered.digests.iter().enumerate() {
            if digest.account != session.account {
                self.open.push(format!(
                    "{} is of account {}, and the run was in {}",
                    digest.name(),
                    digest.account,
                    session.account
                ));
                continue;
            }
            let keys = match gathered.keys.of(digest) {
                Ok(keys) => keys,
                Err(why) => {
                    self.open.push(format!("{} {why}", digest.name()));
                    continue;
                }
            };
            let found = candidates(gathered, digest)
                .find_map(|s| keys.iter().find(|k| digest.is_signed(s, k)).map(|k| (s, *k)));
            match found {
                Some((signature, key)) => {
                    used.add(PublicKeys { keys: vec![key.clone()] });
                    signed.insert(n, signature.to_vec());
                }
                None => self.open.push(format!(
                    "no signature at hand is AWS's of {}: it is in the object's metadata, or in the digest \
                     that follows",
                    digest.name()
                )),
            }
        }
        // what a signed digest says of the one before it
        for (_, successor) in signed.keys().map(|n| &gathered.digests[*n]) {
            let Some(previous) = &successor.previous else { continue };
            let same = |d: &&(usize, Digest)| d.1.bucket == previous.bucket && d.1.object == previous.object;
            let mut there = gathered.digests.iter().filter(same).peekable();
            if there.peek().is_some() && !there.any(|(_, d)| d.sha256 == previous.sha256) {
                self.changed.push(format!("{} is not as CloudTrail delivered it", base(&previous.object)));
            }
        }
        self.digests = signed.len();
        self.keys = used;
        signed
    }

    /// The given log files that a signed digest names with the hash that they have.
    fn vouch(&mut self, gathered: &Gathering, signed: &BTreeMap<usize, Vec<u8>>) {
        let named = signed.keys().flat_map(|n| &gathered.digests[*n].1.logs);
        let mut hashes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for log in named {
            hashes.entry(log.name()).or_default().insert(&log.sha256);
            self.vouched.extend(gathered.contents.get(&log.sha256));
        }
        for (hash, file) in &gathered.contents {
            let name = base(&gathered.files[*file].name);
            // in a bundle its name has a beginning of redrill's
            let name = name.strip_prefix(NAME).unwrap_or(name);
            let packed = format!("{name}.gz");
            let known = hashes.get(name).or_else(|| hashes.get(packed.as_str()));
            if known.is_some_and(|known| !known.contains(hash.as_str())) {
                self.changed.push(format!("{name} is not as CloudTrail delivered it"));
            }
        }
    }

    /// Looks for a trail whose digests cover the run in a region.
    fn cover(
        &mut self,
        gathered: &Gathering,
        session: &Session,
        region: String,
        signed: &BTreeMap<usize, Vec<u8>>,
    ) {
        let mut trails: BTreeMap<&str, Vec<(usize, &Digest)>> = BTreeMap::new();
        for (n, digest) in signed.keys().map(|n| (*n, &gathered.digests[*n].1)) {
            if digest.region == region {
                trails.entry(&digest.trail).or_default().push((n, digest));
            }
        }
        let window = (session.from, session.ended + DELIVERY);
        let mut gap = format!("no digest of {region} counts");
        for (trail, digests) in trails {
            let regular = digests.iter().filter(|(_, d)| !d.backfill).copied().collect();
            let mut chain = match walk(regular, window) {
                Ok(chain) => chain,
                Err(why) => {
                    gap = why;
                    continue;
                }
            };
            let reach = (chain.first().map(|(_, d)| d.start), chain.last().map(|(_, d)| d.end));
            // what CloudTrail delivered late is named by later digests, or by digests of its own
            let times = (session.from, session.to);
            let names_some = |d: &Digest| d.logs.iter().any(|l| l.may_hold(times));
            let taken: BTreeSet<usize> = chain.iter().map(|(n, _)| *n).collect();
            chain.extend(digests.into_iter().filter(|(n, d)| !taken.contains(n) && names_some(d)));
            let unchecked = gathered.digests.iter().enumerate().filter(|(n, (_, d))| {
                let same = d.account == session.account && d.region == region && d.trail == trail;
                same && !signed.contains_key(n) && names_some(d)
            });
            let unchecked = unchecked.count();
            let logs: BTreeMap<&str, Option<&usize>> = chain
                .iter()
                .flat_map(|(_, d)| &d.logs)
                .filter(|l| l.may_hold(times))
                .map(|l| (l.sha256.as_str(), gathered.contents.get(&l.sha256)))
                .collect();
            let at_hand: BTreeSet<usize> = logs.values().flatten().map(|n| **n).collect();
            let changes = |file: &usize| gathered.changes.get(&(*file, region.clone())).copied().unwrap_or(0);
            self.shows_changes &= at_hand.iter().any(|file| changes(file) > 0);
            self.regions.push(RegionProof {
                trail: Some(trail.to_owned()),
                from: reach.0,
                until: reach.1,
                digests: chain.len(),
                log_files: logs.len(),
                missing: logs.values().filter(|file| file.is_none()).count(),
                unchecked,
                gap: None,
                region,
            });
            self.logs.extend(at_hand);
            for (n, _) in chain {
                self.chain.extend(signed.get(&n).map(|s| (n, s.clone())));
            }
            return;
        }
        let (trail, from, until) = (None, None, None);
        self.shows_changes = false;
        self.regions.push(RegionProof {
            region,
            trail,
            from,
            until,
            digests: 0,
            log_files: 0,
            missing: 0,
            unchecked: 0,
            gap: Some(gap),
        });
    }

    /// Whether the run is covered without a gap.
    pub(super) fn covers(&self) -> bool {
        !self.regions.is_empty() && self.regions.iter().all(|r| r.gap.is_none())
    }

    /// The files that go along, `own` being those that hold records of the session.
    pub(super) fn include(
        &self,
        gathered: &Gathering,
        own: &BTreeSet<usize>,
        included: Included,
    ) -> Vec<Include> {
        let mut out = Vec::new();
        let mut chain = self.chain.clone();
        let mut logs: BTreeSet<usize> = own.intersection(&self.vouched).copied().collect();
        if included == Included::All {
            logs.extend(&self.logs);
        }
        if logs.is_empty() {
            return out;
        }
        let mut taken: BTreeSet<String> = BTreeSet::new();
        let packed = |file: usize, name: &str| {
            let name = format!("{NAME}{name}");
            if gathered.packed.contains(&file) { name } else { name.trim_end_matches(".gz").to_owned() }
        };
        for (hash, file) in gathered.contents.iter().filter(|(_, file)| logs.contains(*file)) {
            let named = gathered.digests.iter().find_map(|(_, d)| d.logs.iter().find(|l| l.sha256 == *hash));
            let name = packed(*file, &safe(named.map_or("log.json.gz", |l| l.name()), hash));
            if taken.insert(name.clone()) {
                out.push(Include::Given { file: *file, name });
            }
        }
        let ends: Vec<usize> = chain
            .keys()
            .filter(|n| {
                let digest = &gathered.digests[**n].1;
                !chain.keys().any(|other| gathered.digests[*other].1.follows(digest))
            })
            .copied()
            .collect();
        for (n, signature) in std::mem::take(&mut chain) {
            let (file, digest) = &gathered.digests[n];
            let base = safe(digest.name(), &digest.sha256);
            // the digest that follows has it, except of the last
            if ends.contains(&n) {
                let answer = json!({ "Metadata": {
                    "signature": merkle::hex(&signature), "signature-algorithm": "SHA256withRSA",
                } });
                let name = format!("{NAME}{}.signature.json", base.trim_end_matches(".json.gz"));
                out.push(Include::Made { name, bytes: format!("{answer:#}\n").into_bytes() });
            }
            out.push(Include::Given { file: *file, name: packed(*file, &base) });
        }
        out.push(Include::Made { name: KEYS.to_owned(), bytes: self.keys.to_bytes() });
        out
    }

    /// For the comparison. `unvouched` is the number of matched calls whose record nothing vouches for.
    pub(super) fn summary(self, unvouched: usize, matched: usize, included: Included) -> Proof {
        let complete = self.covers() && self.regions.iter().all(|r| r.missing == 0 && r.unchecked == 0);
        let keys: BTreeSet<KeyUsed> = self
            .keys
            .keys
            .iter()
            .map(|k| KeyUsed {
                fingerprint: k.fingerprint.clone(),
                sha256: merkle::hex(&merkle::sha256(&k.der)),
            })
            .collect();
        Proof {
            proven: self.covers() && self.changed.is_empty() && unvouched == 0 && matched > 0,
            complete,
            digests: self.digests,
            keys: keys.into_iter().collect(),
            regions: self.regions,
            unvouched,
            changed: self.changed,
            open: self.open.into_iter().take(MOST_SAID).collect(),
            included,
        }
    }
}

/// The signatures that a digest may have: from the digest that follows, or from beside it.
fn candidates<'a>(gathered: &'a Gathering, digest: &'a Digest) -> impl Iterator<Item = &'a [u8]> {
    let after = gathered.digests.iter().filter_map(|(_, d)| d.previous.as_ref());
    let after = after.filter(|p| p.bucket == digest.bucket && p.object == digest.object);
    let stem = digest.name().trim_end_matches(".json.gz");
    let (beside, others): (Vec<_>, Vec<_>) =
        gathered.signatures.iter().partition(|(name, _)| name.contains(stem));
    let beside = beside.into_iter().chain(others.into_iter().take(MOST_TRIED));
    after.map(|p| p.signature.as_slice()).chain(beside.map(|(_, s)| s.as_slice()))
}

/// The digests, each following the one before, from the first time to the second; or where they break off.
fn walk(
    mut digests: Vec<(usize, &Digest)>,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<(usize, &Digest)>, String> {
    let utc = |t: DateTime<Utc>| t.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    digests.sort_by_key(|(_, d)| (d.start, d.end));
    let first = digests.iter().rev().find(|(_, d)| d.start <= from && d.end > from);
    let Some(first) = first else { return Err(format!("no digest covers {}", utc(from))) };
    let mut chain = vec![*first];
    let mut last = first.1;
    while last.end < until {
        let next = digests.iter().find(|(_, d)| d.follows(last) && d.start <= last.end && d.end > last.end);
        let Some(next) = next else {
            let later = digests.iter().any(|(_, d)| d.end > last.end);
            let why = if later {
                format!("the digests have a gap after {}", utc(last.end))
            } else {
                format!(
                    "the newest digest ends at {}, and the run's last records came until {}: CloudTrail \
                     delivers one an hour",
                    utc(last.end),
                    utc(until)
                )
            };
            return Err(why);
        };
        chain.push(*next);
        last = next.1;
    }
    Ok(chain)
}

/// The regions whose trail has to have the run's calls.
fn regions(session: &Session, calls: &[Call]) -> Vec<String> {
    let sent = calls.iter().filter(|c| c.request_id.is_some() && !c.never_sent());
    let global = |c: &Call| GLOBAL.iter().any(|service| c.operation.starts_with(service));
    let elsewhere = super::session::global(&session.region).to_owned();
    let all: BTreeSet<String> =
        sent.map(|c| if global(c) { elsewhere.clone() } else { session.region.clone() }).collect();
    all.into_iter().collect()
}

/// A file name as CloudTrail makes them; anything else is named by its hash.
fn safe(name: &str, sha256: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '=');
    if !name.is_empty() && name.len() < 200 && name.ends_with(".json.gz") && name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("{sha256}.json.gz")
    }
}

#[cfg(test)]
pub(crate) mod tests;
