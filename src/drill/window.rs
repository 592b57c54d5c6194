//! Time windows: `Mon-Fri 13:00-17:00 Europe/Amsterdam`. Pure.
//!
//! A window is days, hours and an IANA zone, in the zone's local time. A window whose end is before
//! its start ends on the next day and belongs to the day it starts on. `daily` stands for all days.
//! `A and B` is open while both are: what merging the windows of an environment yields.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike as _, TimeDelta, Timelike as _, Utc, Weekday};
use chrono_tz::Tz;

/// When faults may be injected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    all: Vec<Slot>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    /// By days from Monday.
    days: [bool; 7],
    /// Minutes of the day; `end` may be 1440, or before `start`.
    start: u32,
    end: u32,
    zone: Tz,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// How far ahead the next opening is looked for: a week, and one more for a lost hour.
const AHEAD: i64 = 15 * 24 * 60;

/// Whether a window is open; no window at all is always open.
///
/// # Errors
/// The next opening (UTC), where there is one within two weeks.
pub fn open_at(windows: &[Window], at: DateTime<Utc>) -> Result<(), Option<DateTime<Utc>>> {
    if windows.is_empty() || windows.iter().any(|w| w.is_open(at)) {
        return Ok(());
    }
    let Some(minute) = at.with_second(0).and_then(|t| t.with_nanosecond(0)) else { return Err(None) };
    let next =
        (1..=AHEAD).map(|n| minute + TimeDelta::minutes(n)).find(|at| windows.iter().any(|w| w.is_open(*at)));
    Err(next)
}

impl Window {
    /// Whether it is open.
    pub fn is_open(&self, at: DateTime<Utc>) -> bool {
        self.all.iter().all(|s| s.is_open(at))
    }
}

impl Slot {
    fn is_open(&self, at: DateTime<Utc>) -> bool {
        let local = at.with_timezone(&self.zone);
        let minute = local.hour() * 60 + local.minute();
        let on = |day: Weekday| self.days[day.num_days_from_monday() as usize];
        if self.start < self.end {
            on(local.weekday()) && (self.start..self.end).contains(&minute)
        } else {
            (on(local.weekday()) && minute >= self.start) || (on(local.weekday().pred()) && minute < self.end)
        }
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = text.split(" and ").map(slot).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { all })
    }
}

fn slot(text: &str) -> Result<Slot, String> {
    const FORM: &str = "write for example `Mon-Fri 13:00-17:00 Europe/Amsterdam`";
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [days, hours, name] = parts[..] else {
        return Err(format!("`{text}` is not a window; {FORM}"));
    };
    let (start, end) = hours.split_once('-').ok_or_else(|| format!("`{hours}` are no hours; {FORM}"))?;
    let (start, end) = (minutes(start)?, minutes(end)?);
    if start == end || start == 1440 {
        return Err(format!("`{hours}` is no time at all; for whole days write `00:00-24:00`"));
    }
    Ok(Slot { days: weekdays(days)?, start, end, zone: zone(name)? })
}

/// The zone of this IANA name.
pub(super) fn zone(name: &str) -> Result<Tz, String> {
    name.parse::<Tz>().map_err(|_| {
        let near = super::problem::nearest(name, &chrono_tz::TZ_VARIANTS.map(Tz::name));
        let hint = near.map_or_else(
            || "write a name such as `Europe/Amsterdam` or `UTC`".to_owned(),
            |n| format!("did you mean `{n}`?"),
        );
        format!("`{name}` is no time zone; {hint}")
    })
}

fn weekdays(text: &str) -> Result<[bool; 7], String> {
    if text.eq_ignore_ascii_case("daily") {
        return Ok([true; 7]);
    }
    let day = |name: &str| {
        let known = DAYS.iter().position(|d| d.eq_ignore_ascii_case(name));
        known.ok_or_else(|| format!("`{name}` is no day; write Mon, Tue, Wed, Thu, Fri, Sat, Sun or daily"))
    };
    let mut out = [false; 7];
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (day(from)?, day(to)?);
        // `Fri-Mon` goes over the weekend
        for n in 0..=(to + 7 - from) % 7 {
            out[(from + n) % 7] = true;
        }
    }
    Ok(out)
}

fn minutes(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is no time of day; write for example 13:00");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let number = |s: &str| {
        let fits = s.len() == 2 && s.chars().all(|c| c.is_ascii_digit());
        if fits { s.parse::<u32>().map_err(|_| wrong()) } else { Err(wrong()) }
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let total = hour * 60 + minute;
    if minute > 59 || total > 1440 { Err(wrong()) } else { Ok(total) }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, s) in self.all.iter().enumerate() {
            if n > 0 {
                f.write_str(" and ")?;
            }
            let days: Vec<String> = DAYS
                .iter()
                .zip(s.days)
                .filter(|(_, on)| *on)
                .map(|(d, _)| d[..1].to_uppercase() + &d[1..])
                .collect();
            let days = if days.len() == 7 { "daily".to_owned() } else { days.join(",") };
            let (a, b) = (s.start, s.end);
            write!(f, "{days} {:02}:{:02}-{:02}:{:02} {}", a / 60, a % 60, b / 60, b % 60, s.zone.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn w(text: &str) -> Vec<Window> {
        vec![text.parse().expect("a window")]
    }

    #[test]
    fn office_hours_in_their_own_zone() {
        let office = w("Mon-Fri 13:00-17:00 Europe/Amsterdam");
        // summer: UTC+2; 2026-07-01 is a Wednesday
        assert_eq!(open_at(&office, at("2026-07-01T11:00:00Z")), Ok(()));
        assert_eq!(open_at(&office, at("2026-07-01T14:59:59Z")), Ok(()));
        assert_eq!(open_at(&office, at("2026-07-01T15:00:00Z")), Err(Some(at("2026-07-02T11:00:00Z"))));
        // winter: UTC+1; Friday evening waits for Monday
        assert_eq!(open_at(&office, at("2026-01-09T20:00:30Z")), Err(Some(at("2026-01-12T12:00:00Z"))));
    }

    #[test]
    fn a_window_past_midnight_belongs_to_the_day_it_starts_on() {
        let night = w("Fri 22:00-02:00 UTC");
        assert_eq!(open_at(&night, at("2026-01-09T23:00:00Z")), Ok(())); // a Friday
        assert_eq!(open_at(&night, at("2026-01-10T01:59:00Z")), Ok(()));
        assert!(open_at(&night, at("2026-01-10T02:00:00Z")).is_err());
        assert!(open_at(&night, at("2026-01-09T01:00:00Z")).is_err());
    }

    #[test]
    fn several_windows_and_both_of_a_pair() {
        let two: Vec<Window> =
            ["Mon 10:00-11:00 UTC", "Sat,Sun 00:00-24:00 UTC"].iter().map(|s| s.parse().unwrap()).collect();
        assert_eq!(open_at(&two, at("2026-01-10T05:00:00Z")), Ok(()));
        assert_eq!(open_at(&two, at("2026-01-12T09:00:00Z")), Err(Some(at("2026-01-12T10:00:00Z"))));
        let both = w("daily 10:00-12:00 UTC and Mon 11:00-13:00 UTC");
        assert_eq!(open_at(&both, at("2026-01-12T11:30:00Z")), Ok(()));
        assert!(open_at(&both, at("2026-01-12T10:30:00Z")).is_err());
        assert!(open_at(&both, at("2026-01-13T11:30:00Z")).is_err());
        let never = w("Mon 10:00-11:00 UTC and Tue 10:00-11:00 UTC");
        assert_eq!(open_at(&never, at("2026-01-12T10:30:00Z")), Err(None));
        assert_eq!(open_at(&[], at("2026-01-12T10:30:00Z")), Ok(()));
    }

    #[test]
    fn nonsense_is_explained() {
        for (text, want) in [
            ("whenever", "`whenever` is not a window"),
            ("Mon 10-11 UTC", "`10` is no time of day"),
            ("Mon 10:00-10:00 UTC", "is no time at all"),
            ("Mon 10:00-25:00 UTC", "`25:00` is no time of day"),
            ("Mo 10:00-11:00 UTC", "`Mo` is no day"),
            ("Mon 10:00-11:00 Europe/Amsterdm", "did you mean `Europe/Amsterdam`?"),
        ] {
            let got = text.parse::<Window>().unwrap_err();
            assert!(got.contains(want), "{text}: {got}");
        }
        assert_eq!(w("mon-wed,SAT 09:00-10:30 UTC")[0].to_string(), "Mon,Tue,Wed,Sat 09:00-10:30 UTC");
    }

    #[test]
    fn hours_and_days_at_their_edges() {
        let fits = |text: &str| text.parse::<Window>().map(|w| w.to_string());
        for (hours, read) in [
            ("00:00-24:00", Some("00:00-24:00")),
            ("23:59-00:01", Some("23:59-00:01")),
            ("00:59-01:00", Some("00:59-01:00")),
            ("24:00-01:00", None),
            ("00:00-24:01", None),
            ("00:60-02:00", None),
            ("1:00-02:00", None),
            ("001:0-02:00", None),
            ("0a:00-02:00", None),
            ("01:00", None),
        ] {
            assert_eq!(
                fits(&format!("Mon {hours} UTC")).ok(),
                read.map(|r| format!("Mon {r} UTC")),
                "{hours}"
            );
        }
        for (days, read) in [
            ("Mon", "Mon"),
            ("sun,mon", "Mon,Sun"),
            ("Fri-Mon", "Mon,Fri,Sat,Sun"),
            ("Mon-Sun", "daily"),
            ("Wed-Wed", "Wed"),
            ("Tue-Mon", "daily"),
            ("DAILY", "daily"),
        ] {
            assert_eq!(fits(&format!("{days} 01:02-03:04 UTC")), Ok(format!("{read} 01:02-03:04 UTC")));
        }
        let both = "Mon 10:00-11:00 UTC and daily 10:30-12:00 Europe/Amsterdam";
        assert_eq!(fits(both).as_deref(), Ok(both));
    }

    #[test]
    fn it_opens_with_its_first_minute_and_closes_before_its_last() {
        for (window, open, closed) in [
            (
                "Mon 10:00-11:00 UTC",
                ["2026-01-12T10:00:00Z", "2026-01-12T10:59:59Z"],
                ["2026-01-12T09:59:59Z", "2026-01-12T11:00:00Z"],
            ),
            (
                "Mon 22:30-02:15 UTC",
                ["2026-01-12T22:30:00Z", "2026-01-13T02:14:59Z"],
                ["2026-01-12T22:29:59Z", "2026-01-13T02:15:00Z"],
            ),
            // what began the day before, and not on the day itself
            (
                "Mon 22:30-02:15 UTC",
                ["2026-01-12T23:59:59Z", "2026-01-13T00:00:00Z"],
                ["2026-01-12T00:00:00Z", "2026-01-13T22:30:00Z"],
            ),
        ] {
            for (times, is_open) in [(open, true), (closed, false)] {
                for time in times {
                    assert_eq!(w(window)[0].is_open(at(time)), is_open, "{window} {time}");
                }
            }
        }
        // the next opening is looked for from the next minute on, for two weeks
        let monday = w("Mon 10:00-10:01 UTC");
        assert_eq!(open_at(&monday, at("2026-01-12T10:01:00Z")), Err(Some(at("2026-01-19T10:00:00Z"))));
        assert_eq!(open_at(&monday, at("2026-01-12T09:59:59.5Z")), Err(Some(at("2026-01-12T10:00:00Z"))));
        // the hour of the first Sunday is lost to summer time
        let lost = w("Sun 02:15-02:45 Europe/Amsterdam");
        assert_eq!(open_at(&lost, at("2026-03-22T02:00:00Z")), Err(Some(at("2026-04-05T00:15:00Z"))));
    }
}
