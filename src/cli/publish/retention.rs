//! For how long a bundle is locked: `7y`, `90d`, or until a date. Pure.

use chrono::{DateTime, Days, Months, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::CliError;
use crate::report;

/// The longest retention; more is a slip of the hand.
const MOST_YEARS: u32 = 100;

/// A retention as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retain {
    Days(u32),
    Years(u32),
    Until(DateTime<Utc>),
}

impl Retain {
    /// `7y` or `90d`.
    pub fn read(text: &str) -> Result<Self, CliError> {
        let wrong = || {
            CliError::usage(format!("`{text}` is no time to retain something"))
                .hint("write years or days: 7y, 90d")
        };
        let unit = text.chars().last().ok_or_else(wrong)?;
        let count =
            text.strip_suffix(unit).and_then(|n| n.parse().ok()).filter(|n| *n > 0).ok_or_else(wrong)?;
        match unit {
            'y' => Ok(Self::Years(count)),
            'd' => Ok(Self::Days(count)),
            _ => Err(wrong()),
        }
    }

    /// A date, or a time with its zone.
    pub fn until_date(text: &str) -> Result<Self, CliError> {
        let time = DateTime::parse_from_rfc3339(text).map(|t| t.to_utc());
        let date = || text.parse::<NaiveDate>().map(|d| d.and_time(NaiveTime::MIN).and_utc());
        // to the next whole second: S3 need not keep fractions, and would then end the lock earlier than was asked
        let whole = |t: DateTime<Utc>| match t.timestamp_subsec_nanos() {
            0 => t,
            n => t + TimeDelta::nanoseconds(1_000_000_000 - i64::from(n)),
        };
        time.or_else(|_| date()).map(|t| Self::Until(whole(t))).map_err(|_| {
            CliError::usage(format!("`{text}` is no date")).hint("write 2033-12-31, or 2033-12-31T18:00:00Z")
        })
    }

    /// When it ends for what is published at a time: durations last to the next midnight, so that a
    /// repetition on the same day asks for the same.
    ///
    /// # Errors
    /// Where that is not in the future, or farther away than anybody means.
    pub fn until(self, from: DateTime<Utc>) -> Result<DateTime<Utc>, CliError> {
        let too_long = || {
            CliError::usage(format!("that is more than {MOST_YEARS} years"))
                .hint("nobody can shorten it afterwards; S3 takes no more")
        };
        let latest = from.checked_add_months(Months::new(12 * MOST_YEARS)).ok_or_else(too_long)?;
        let until = match self {
            Self::Until(until) => Some(until),
            Self::Days(n) => from.checked_add_days(Days::new(n.into())).and_then(midnight),
            Self::Years(n) => n
                .checked_mul(12)
                .and_then(|months| from.checked_add_months(Months::new(months)))
                .and_then(midnight),
        };
        let until =
            until.filter(|until| *until <= latest + chrono::TimeDelta::days(1)).ok_or_else(too_long)?;
        if until <= from {
            return Err(CliError::usage(format!(
                "the lock would end on {}, which is over",
                report::time(until)
            ))
            .hint("name a date that is to come"));
        }
        Ok(until)
    }
}

/// The first midnight (UTC) that is not before a time.
fn midnight(at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let day = at.date_naive().and_time(NaiveTime::MIN).and_utc();
    if day == at { Some(day) } else { day.checked_add_days(Days::new(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn durations_end_at_midnight_and_dates_where_they_say() {
        let now = at("2026-11-21T08:30:00Z");
        let until = |r: Result<Retain, CliError>| r.unwrap().until(now).unwrap();
        assert_eq!(until(Retain::read("7y")), at("2033-11-22T00:00:00Z"));
        assert_eq!(until(Retain::read("1d")), at("2026-11-23T00:00:00Z"));
        assert_eq!(until(Retain::read("100y")), at("2126-11-22T00:00:00Z"));
        assert_eq!(until(Retain::until_date("2033-12-31")), at("2033-12-31T00:00:00Z"));
        assert_eq!(until(Retain::until_date("2033-12-31T18:00:00+01:00")), at("2033-12-31T17:00:00Z"));
        // never earlier than was asked, whatever S3 makes of fractions
        assert_eq!(until(Retain::until_date("2033-12-31T18:00:00.2Z")), at("2033-12-31T18:00:01Z"));
        assert_eq!(
            Retain::read("1d").unwrap().until(at("2026-11-21T00:00:00Z")).unwrap(),
            at("2026-11-22T00:00:00Z")
        );
        // a leap day has an anniversary, too
        assert_eq!(
            Retain::read("1y").unwrap().until(at("2028-02-29T01:00:00Z")).unwrap(),
            at("2029-03-01T00:00:00Z")
        );
    }

    #[test]
    fn what_is_over_or_absurd_is_refused() {
        let now = at("2026-11-21T08:30:00Z");
        let refused = |r: Retain, what: &str| {
            let text = r.until(now).unwrap_err().text();
            assert!(text.contains(what), "{text}");
        };
        refused(Retain::until_date("2026-11-21").unwrap(), "which is over");
        refused(Retain::until_date("1999-01-01").unwrap(), "which is over");
        for long in ["101y", "4000000000y", "4000000000d"] {
            refused(Retain::read(long).unwrap(), "more than 100 years");
        }
        refused(Retain::until_date("3033-01-01").unwrap(), "more than 100 years");
        for wrong in ["", "y", "7", "0y", "-1y", "7m", "7 y", "1.5y", "7y7", "é"] {
            assert!(Retain::read(wrong).is_err(), "{wrong}");
        }
        assert!(Retain::until_date("31.12.2033").is_err());
    }
}
