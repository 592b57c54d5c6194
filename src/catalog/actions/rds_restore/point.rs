//! The point in time that a restore asks for, as a drill writes it. Pure.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, SubsecRound as _, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::Dur;

/// `latest`, a time (RFC 3339), or a negative offset from T0 such as `-15m`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestorePoint {
    /// The latest restorable time, read when the step begins.
    Latest,
    /// This time (UTC).
    At(DateTime<Utc>),
    /// This long before T0.
    BeforeT0(Dur),
    /// A reference that is resolved before the step runs.
    Reference(String),
}

impl RestorePoint {
    /// The time asked for, where it does not depend on the database; `t0` is T0, in `plan` the present.
    pub fn at(&self, t0: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::At(at) => Some(*at),
            Self::BeforeT0(by) => Some((t0 - TimeDelta::milliseconds(by.ms())).trunc_subsecs(3)),
            Self::Latest | Self::Reference(_) => None,
        }
    }
}

/// RFC 3339 with milliseconds, as every output gives a time.
pub fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl fmt::Display for RestorePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::At(at) => f.write_str(&rfc3339(*at)),
            Self::BeforeT0(by) => write!(f, "-{by}"),
            Self::Reference(text) => f.write_str(text),
        }
    }
}

impl FromStr for RestorePoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let wrong = || {
            format!(
                "`{text}` is not a point in time; write `latest`, a time with its zone such as \
                 2026-03-01T09:30:00Z, or how long before T0 such as -15m"
            )
        };
        if text == "latest" {
            return Ok(Self::Latest);
        }
        if text.contains("${") {
            return Ok(Self::Reference(text.to_owned()));
        }
        if let Some(offset) = text.strip_prefix('-') {
            return offset.parse().map(Self::BeforeT0).map_err(|_| wrong());
        }
        DateTime::parse_from_rfc3339(text)
            .map(|at| Self::At(at.with_timezone(&Utc).trunc_subsecs(3)))
            .map_err(|_| wrong())
    }
}

impl Serialize for RestorePoint {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RestorePoint {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for RestorePoint {
    fn schema_name() -> Cow<'static, str> {
        "RestorePoint".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": r"^\s*(latest|-\s*(\d+\s*[a-z]+\s*)+|\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})|.*\$\{.*)\s*$",
            "description": "`latest`, a time with its zone, or how long before T0.",
            "examples": ["-15m", "2026-03-01T09:30:00Z", "latest"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> RestorePoint {
        text.parse().unwrap()
    }

    #[test]
    fn three_ways_to_say_when() {
        let t0 = DateTime::from_timestamp(1_700_000_000, 123_456_789).unwrap();
        assert_eq!(parse("latest").at(t0), None);
        assert_eq!(rfc3339(parse("-15m").at(t0).unwrap()), "2023-11-14T21:58:20.123Z");
        assert_eq!(rfc3339(parse("2026-03-01T10:30:00+01:00").at(t0).unwrap()), "2026-03-01T09:30:00.000Z");
        for text in ["latest", "-15m", "2026-03-01T09:30:00.000Z", "${params.to}"] {
            assert_eq!(parse(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_point_in_time_says_what_is() {
        for text in ["15m", "yesterday", "2026-03-01", "2026-03-01T09:30:00", "-", "+5m", ""] {
            let message = text.parse::<RestorePoint>().unwrap_err();
            assert!(message.contains("write `latest`") && message.contains("-15m"), "{message}");
        }
    }
}
