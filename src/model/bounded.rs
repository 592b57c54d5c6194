//! Reading numbers and times only as far as anything can be computed with them. Pure.
//!
//! A journal, a plan and a sign-off are files, and whoever signs a bundle can write any number into them.
//! What is read here lies between the years 1970 and 9999, and within 2^53 milliseconds or units either
//! way, so that no sum or difference of a few of them leaves what a number or a date can hold.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, Utc};
use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer};

/// The largest number, either way.
const MOST: i64 = 1 << 53;

fn within(at: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    if (1970..=9999).contains(&at.year()) {
        return Ok(at);
    }
    Err(format!("a time in the year {}", at.year()))
}

/// A time.
///
/// # Errors
/// It is none, or out of bounds.
pub fn time<'de, D: Deserializer<'de>>(d: D) -> Result<DateTime<Utc>, D::Error> {
    within(DateTime::deserialize(d)?).map_err(D::Error::custom)
}

/// A time that may be left out.
///
/// # Errors
/// It is none, or out of bounds.
pub fn time_opt<'de, D: Deserializer<'de>>(d: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    Option::<DateTime<Utc>>::deserialize(d)?.map(within).transpose().map_err(D::Error::custom)
}

/// Times by name.
///
/// # Errors
/// One is none, or out of bounds.
pub fn times<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, DateTime<Utc>>, D::Error> {
    let all = BTreeMap::<String, DateTime<Utc>>::deserialize(d)?;
    match all.values().find_map(|at| within(*at).err()) {
        Some(why) => Err(D::Error::custom(why)),
        None => Ok(all),
    }
}

fn small(n: i64) -> Result<i64, String> {
    if (-MOST..=MOST).contains(&n) { Ok(n) } else { Err(format!("the number {n}")) }
}

/// Milliseconds.
///
/// # Errors
/// It is no whole number, or out of bounds.
pub fn ms<'de, D: Deserializer<'de>>(d: D) -> Result<i64, D::Error> {
    small(i64::deserialize(d)?).map_err(D::Error::custom)
}

/// Milliseconds that may be left out.
///
/// # Errors
/// It is no whole number, or out of bounds.
pub fn ms_opt<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
    Option::<i64>::deserialize(d)?.map(small).transpose().map_err(D::Error::custom)
}

/// A count.
///
/// # Errors
/// It is no whole number, or out of bounds.
pub fn count<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    let n = u64::deserialize(d)?;
    if n <= MOST.unsigned_abs() { Ok(n) } else { Err(D::Error::custom(format!("the number {n}"))) }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct All {
        #[serde(deserialize_with = "time")]
        at: DateTime<Utc>,
        #[serde(default, deserialize_with = "time_opt")]
        maybe: Option<DateTime<Utc>>,
        #[serde(default, deserialize_with = "times")]
        marks: BTreeMap<String, DateTime<Utc>>,
        #[serde(deserialize_with = "ms")]
        ms: i64,
        #[serde(default, deserialize_with = "ms_opt")]
        ms_maybe: Option<i64>,
        #[serde(deserialize_with = "count")]
        count: u64,
    }

    #[test]
    fn what_nothing_can_be_computed_with_is_not_read() {
        let read = |key: &str, value: serde_json::Value| {
            let mut all = serde_json::json!({"at": "2026-01-01T00:00:00Z", "ms": -5, "count": 7});
            all[key] = value;
            serde_json::from_value::<All>(all)
        };
        let good = read("maybe", serde_json::json!("9999-12-31T23:59:59Z")).unwrap();
        assert_eq!((good.ms, good.count, good.ms_maybe, good.marks.len()), (-5, 7, None, 0));
        assert!(good.maybe.is_some_and(|m| m > good.at));
        for at in [
            "+262142-12-31T23:59:59Z",
            "-262143-01-01T00:00:00Z",
            "+10000-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(read("at", at.into()).is_err(), "{at}");
            assert!(read("maybe", at.into()).is_err(), "{at}");
            assert!(read("marks", serde_json::json!({"t0": at})).is_err(), "{at}");
        }
        for n in [i64::MAX, i64::MIN, MOST + 1] {
            assert!(read("ms", n.into()).is_err() && read("ms_maybe", n.into()).is_err(), "{n}");
        }
        assert!(read("count", u64::MAX.into()).is_err());
        assert!(read("ms", (-MOST).into()).is_ok() && read("count", MOST.into()).is_ok());
    }
}
