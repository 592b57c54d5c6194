//! Days on which nothing is broken: `2026-12-18 to 2027-01-03 Europe/Amsterdam`, or one day. Pure.
//!
//! Days are whole days in the zone, first and last included.

use std::str::FromStr;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use super::window::zone;

/// A freeze, or a holiday.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    first: NaiveDate,
    last: NaiveDate,
    zone: Tz,
}

impl Freeze {
    /// Whether it holds at this time.
    pub fn holds(&self, at: DateTime<Utc>) -> bool {
        (self.first..=self.last).contains(&at.with_timezone(&self.zone).date_naive())
    }
}

impl FromStr for Freeze {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "write for example `2026-12-18 to 2027-01-03 Europe/Amsterdam`";
        let parts: Vec<&str> = text.split_whitespace().collect();
        let (first, last, name) = match parts[..] {
            [day, zone] => (day, day, zone),
            [first, "to", last, zone] => (first, last, zone),
            _ => return Err(format!("`{text}` is no freeze; {FORM}")),
        };
        let day = |text: &str| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| format!("`{text}` is no day; {FORM}"))
        };
        let (first, last) = (day(first)?, day(last)?);
        if last < first {
            return Err(format!("`{text}` ends before it begins"));
        }
        Ok(Self { first, last, zone: zone(name)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_days_in_their_zone_first_and_last_included() {
        let freeze: Freeze = "2026-12-24 to 2026-12-26 Europe/Amsterdam".parse().unwrap();
        for (at, holds) in [
            ("2026-12-23T22:59:59Z", false),
            ("2026-12-23T23:00:00Z", true),
            ("2026-12-26T22:59:59Z", true),
            ("2026-12-26T23:00:00Z", false),
        ] {
            assert_eq!(freeze.holds(at.parse().unwrap()), holds, "{at}");
        }
        let day: Freeze = "2027-01-01 UTC".parse().unwrap();
        assert!(day.holds("2027-01-01T00:00:00Z".parse().unwrap()));
        assert!(!day.holds("2027-01-02T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn what_is_no_freeze_says_how_to_write_one() {
        for (text, want) in [
            ("christmas", "is no freeze; write for example"),
            ("2026-13-01 UTC", "`2026-13-01` is no day"),
            ("2026-12-26 to 2026-12-24 UTC", "ends before it begins"),
            ("2026-12-24 Europe/Amsterdm", "did you mean `Europe/Amsterdam`?"),
        ] {
            let e = text.parse::<Freeze>().unwrap_err();
            assert!(e.contains(want), "{text}: {e}");
        }
    }
}
