//! Whose records are the run's. Pure.
//!
//! redrill's user agent carries `redrill-<run>` as application name, whoever runs it, so that is the
//! first term. What the same caller did meanwhile without that name is of the session, too: it is
//! exactly what a completeness test looks for.

use chrono::{DateTime, TimeDelta, Utc};

use super::read::TrailRecord;
use crate::journal::{Event, Line};
use crate::model::{RunId, World};

/// Clocks of two machines, whole seconds in a record, an answer on its way.
const TOLERANCE: TimeDelta = TimeDelta::seconds(60);

/// A run, as far as its records are concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The run.
    pub run: RunId,
    /// Which world.
    pub world: World,
    /// The account.
    pub account: String,
    /// The region of regional calls.
    pub region: String,
    /// The ARN that began it.
    pub caller: String,
    /// From when records may be of it.
    pub from: DateTime<Utc>,
    /// Until when.
    pub to: DateTime<Utc>,
    /// The journal's last line.
    pub ended: DateTime<Utc>,
    /// Whether the run came to its end.
    pub finished: bool,
    /// How far a record's time may be from the journal's.
    pub tolerance: TimeDelta,
}

/// How a record belongs to the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tie {
    /// Its user agent names the run.
    UserAgent,
    /// It is the caller's, within the window.
    Caller,
    /// It names another run of redrill.
    OtherRun,
}

impl Session {
    /// The session of these lines; `None` where the journal has no header.
    pub fn of(lines: &[Line]) -> Option<Self> {
        let first = lines.first()?;
        let Event::Header { run, world, account, region, caller, .. } = &first.event else { return None };
        let skew = lines.iter().filter_map(|l| match l.event {
            Event::Skew { ms } => Some(ms.saturating_abs().min(86_400_000)),
            _ => None,
        });
        let tolerance = TOLERANCE + TimeDelta::milliseconds(skew.max().unwrap_or(0));
        let ended = lines.iter().map(|l| l.stamp.at).max()?;
        Some(Self {
            run: run.clone(),
            world: *world,
            account: account.clone(),
            region: region.clone(),
            caller: caller.clone(),
            from: first.stamp.at.checked_sub_signed(tolerance)?,
            to: ended.checked_add_signed(tolerance)?,
            ended,
            finished: lines.iter().any(|l| matches!(l.event, Event::Finished { .. })),
            tolerance,
        })
    }

    /// The application name in the user agent.
    pub fn app_name(&self) -> String {
        format!("redrill-{}", self.run)
    }

    /// The regions that the run's calls are recorded in: its own, and where its partition's global services are.
    pub fn regions(&self) -> Vec<String> {
        let mut regions = vec![self.region.clone()];
        regions.extend(Some(global(&self.region)).filter(|region| *region != self.region).map(str::to_owned));
        regions
    }

    /// The region that a call of this operation is recorded in.
    pub fn region_of(&self, operation: &str) -> &str {
        if operation.starts_with("cloudfront:") { global(&self.region) } else { &self.region }
    }

    /// The prefixes under which a trail's bucket has files of this run. `prefix` is where the trail
    /// begins, or its folder `CloudTrail/` (organisations have one more folder above it), or anything
    /// deeper, which is taken as it is. Records first, then digests, which lie in a folder beside them.
    pub fn prefixes(&self, prefix: &str) -> (Vec<String>, Vec<String>) {
        let prefix = prefix.trim_matches('/');
        let (mut bases, mut deeper) = (Vec::new(), Vec::new());
        let above = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        // a bucket's own prefix may have any name, that of CloudTrail's folder too
        let own = format!("/{prefix}/").rfind("/AWSLogs/");
        if own.is_none() {
            bases.push(format!("{above}AWSLogs/{}/", self.account));
        }
        let rest = &prefix[own.unwrap_or(0)..];
        if let Some(folder) = rest.strip_suffix("CloudTrail") {
            bases.push(format!("{}{folder}", &prefix[..own.unwrap_or(0)]));
        } else if rest.contains("/CloudTrail/") {
            deeper.push(prefix.to_owned());
        } else if own.is_some() {
            // the trail's folder, with or without the organisation and the account
            bases.push(if prefix.ends_with(&self.account) {
                above
            } else {
                format!("{above}{}/", self.account)
            });
        }
        let all = |folder: &str, late: TimeDelta| -> Vec<String> {
            let last = self.ended.max(self.to).checked_add_signed(late).unwrap_or(self.to).date_naive();
            let days = || self.from.date_naive().iter_days().take_while(|d| *d <= last).take(MOST_DAYS);
            let of = |base: &str, region: &str| {
                days()
                    .map(|d| format!("{base}{folder}/{region}/{}/", d.format("%Y/%m/%d")))
                    .collect::<Vec<_>>()
            };
            let regions = self.regions();
            bases.iter().flat_map(|base| regions.iter().flat_map(|region| of(base, region))).collect()
        };
        let (mut logs, mut digests) = (all("CloudTrail", LATE_LOGS), all("CloudTrail-Digest", LATE_DIGESTS));
        for one in deeper {
            if let Some((before, after)) = one.rsplit_once("/CloudTrail/") {
                digests.push(format!("{before}/CloudTrail-Digest/{after}"));
            }
            logs.push(one);
        }
        (logs, digests)
    }

    /// The name that LookupEvents knows the caller by: the session's or the user's.
    pub fn user(&self) -> &str {
        self.caller.rsplit(['/', ':']).next().unwrap_or(&self.caller)
    }

    /// Whether a record's time is within the run.
    pub fn covers(&self, at: DateTime<Utc>) -> bool {
        (self.from..=self.to).contains(&at)
    }

    /// How a record belongs to the session, as far as it tells by itself.
    pub fn tie(&self, record: &TrailRecord) -> Option<Tie> {
        match named_run(record.user_agent.as_deref().unwrap_or_default()) {
            Some(run) if run == self.run.as_str() => return Some(Tie::UserAgent),
            Some(_) => return self.is_callers(record).then_some(Tie::OtherRun),
            None => {}
        }
        self.is_callers(record).then_some(Tie::Caller)
    }

    fn is_callers(&self, record: &TrailRecord) -> bool {
        self.covers(record.at) && record.principal.as_deref() == Some(self.caller.as_str())
    }
}

/// Files are filed by the day on which they were delivered.
const LATE_LOGS: TimeDelta = TimeDelta::minutes(30);
/// A digest is filed by the day on which its hour ends, and what was delivered late has digests of its own
/// (backfill), which come later.
const LATE_DIGESTS: TimeDelta = TimeDelta::days(2);
/// No run takes longer; a journal may say anything.
const MOST_DAYS: usize = 400;

/// The region in which the global services of a region's partition are recorded (botocore's `partitions.json`,
/// `implicitGlobalRegion`).
pub(super) fn global(region: &str) -> &'static str {
    let of = [
        ("cn-", "cn-northwest-1"),
        ("us-gov-", "us-gov-west-1"),
        ("eusc-", "eusc-de-east-1"),
        ("us-isob-", "us-isob-east-1"),
        ("us-isof-", "us-isof-south-1"),
        ("us-iso-", "us-iso-east-1"),
        ("eu-isoe-", "eu-isoe-west-1"),
    ];
    of.iter().find(|(partition, _)| region.starts_with(partition)).map_or("us-east-1", |(_, region)| region)
}

/// The run that a user agent names. AWS writes it as `app/redrill-<run>`, one word among others.
pub fn named_run(user_agent: &str) -> Option<&str> {
    user_agent
        .split(|c: char| c.is_whitespace() || matches!(c, '[' | ']' | ',' | ';' | '(' | ')'))
        .find_map(|word| word.strip_prefix("app/redrill-"))
}

#[cfg(test)]
mod tests;
