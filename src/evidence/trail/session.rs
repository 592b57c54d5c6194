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

    /// The regions that the run's calls are recorded in: its own, and where global services are.
    pub fn regions(&self) -> Vec<String> {
        let mut regions = vec![self.region.clone()];
        if self.region != "us-east-1" {
            regions.push("us-east-1".to_owned());
        }
        regions
    }

    /// The prefixes under which a trail's bucket has files of this run. `prefix` is where the trail
    /// begins, or its folder `CloudTrail/` (organisations have one more folder above it), or anything
    /// deeper, which is taken as it is.
    pub fn prefixes(&self, prefix: &str) -> Vec<String> {
        let prefix = prefix.trim_matches('/');
        let base = if prefix.ends_with("CloudTrail") {
            format!("{prefix}/")
        } else if prefix.contains("/CloudTrail/") {
            return vec![prefix.to_owned()];
        } else {
            let above = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
            format!("{above}AWSLogs/{}/CloudTrail/", self.account)
        };
        // files are filed by their delivery, which may be on the next day
        let last = self.to.checked_add_signed(TimeDelta::minutes(30)).unwrap_or(self.to).date_naive();
        let days: Vec<_> = self.from.date_naive().iter_days().take_while(|d| *d <= last).collect();
        let of = |region: String| {
            let base = &base;
            days.iter().map(move |d| format!("{base}{region}/{}/", d.format("%Y/%m/%d"))).collect::<Vec<_>>()
        };
        self.regions().into_iter().flat_map(of).collect()
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

/// The run that a user agent names. AWS writes it as `app/redrill-<run>`, one word among others.
pub fn named_run(user_agent: &str) -> Option<&str> {
    user_agent
        .split(|c: char| c.is_whitespace() || matches!(c, '[' | ']' | ',' | ';' | '(' | ')'))
        .find_map(|word| word.strip_prefix("app/redrill-"))
}
