//! Time: the only module that reads a clock.
//!
//! Every stamp holds wall time (UTC, milliseconds) and a monotonic reading. The monotonic clock
//! goes on during a suspend (CLOCK_BOOTTIME), so that a closed laptop does not shorten a recovery.
//! Sleeping is tokio's business: on a paused runtime [`VirtualClock`] and `tokio::time::sleep`
//! advance together, which is what the simulator's manual clock is.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stamp {
    /// Wall time, UTC, whole milliseconds.
    #[serde(deserialize_with = "super::bounded::time")]
    pub at: DateTime<Utc>,
    /// Milliseconds of a monotonic clock; comparable only within one boot of a machine.
    #[serde(deserialize_with = "super::bounded::count")]
    pub mono_ms: u64,
}

/// Reads wall and monotonic time.
pub trait Clock: Send + Sync {
    /// Reads both clocks at once.
    fn stamp(&self) -> Stamp;

    /// Which boot of the machine the monotonic clock counts from: readings of the same boot are comparable
    /// across processes. `None` where nobody can tell.
    fn boot(&self) -> Option<String> {
        None
    }

    /// Wall time, UTC, whole milliseconds.
    fn now(&self) -> DateTime<Utc> {
        self.stamp().at
    }
}

/// The machine's own clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// Within so long both clocks are read at one time.
const TOGETHER_MS: u64 = 100;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn stamp(&self) -> Stamp {
        let mut begun = monotonic_ms();
        loop {
            let stamp = Stamp { at: Utc::now().trunc_subsecs(3), mono_ms: monotonic_ms() };
            // a process that is stopped between the two would look like a clock that was set
            if stamp.mono_ms.saturating_sub(begun) < TOGETHER_MS {
                return stamp;
            }
            begun = stamp.mono_ms;
        }
    }

    fn boot(&self) -> Option<String> {
        // where the kernel has no such file, nobody can tell
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let id = id.trim();
        (!id.is_empty() && id.len() <= 64).then(|| id.to_owned())
    }
}

#[cfg(target_os = "linux")]
fn monotonic_ms() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1000 + u64::try_from(t.tv_nsec).unwrap_or(0) / 1_000_000
}

#[cfg(not(target_os = "linux"))]
fn monotonic_ms() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1000 + u64::try_from(t.tv_nsec).unwrap_or(0) / 1_000_000
}

/// A clock that follows tokio's: real in a normal runtime, manual in a paused one.
#[derive(Clone, Copy, Debug)]
pub struct VirtualClock {
    start: tokio::time::Instant,
    base: DateTime<Utc>,
}

impl VirtualClock {
    /// Starts at `base` (UTC) now. Must be called inside a runtime.
    #[expect(clippy::disallowed_methods, reason = "the simulator's clock is tokio's")]
    pub fn starting_at(base: DateTime<Utc>) -> Self {
        Self { start: tokio::time::Instant::now(), base: base.trunc_subsecs(3) }
    }
}

impl Clock for VirtualClock {
    fn stamp(&self) -> Stamp {
        let elapsed = self.start.elapsed();
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        Stamp {
            at: self.base + chrono::TimeDelta::milliseconds(i64::try_from(ms).unwrap_or(i64::MAX)),
            mono_ms: ms,
        }
    }
}

/// A duration as drills write it: `30s`, `15m`, `4h`, `1h 30m`. What is read is never longer than
/// [`Dur::LONGEST`]; what is computed may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dur(pub Duration);

impl Dur {
    /// The longest that anybody may write: as long as RDS keeps its backups.
    pub const LONGEST: Self = Self::hours(35 * 24);

    /// Whole seconds.
    pub const fn secs(s: u64) -> Self {
        Self(Duration::from_secs(s))
    }

    /// Whole minutes.
    pub const fn mins(m: u64) -> Self {
        Self(Duration::from_secs(m * 60))
    }

    /// Whole hours.
    pub const fn hours(h: u64) -> Self {
        Self(Duration::from_secs(h * 3600))
    }

    /// Milliseconds; never more than a century of them, so that no sum of a moment and a few durations
    /// leaves what a number or a date can hold.
    pub fn ms(self) -> i64 {
        const CENTURY: i64 = 36_525 * 24 * 3_600_000;
        i64::try_from(self.0.as_millis()).unwrap_or(CENTURY).min(CENTURY)
    }
}

/// Milliseconds as people read them: `12.345 s`, `21 min 40 s`, `4 h 2 min`. Below a minute to the
/// millisecond, below an hour to the second, else to the minute; never rounded up.
pub fn in_words(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    let (h, min, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    let text = match (h, min) {
        (0, 0) if ms.is_multiple_of(1_000) => format!("{s} s"),
        (0, 0) => format!("{s}.{:03} s", ms % 1_000),
        (0, _) if s == 0 => format!("{min} min"),
        (0, _) => format!("{min} min {s} s"),
        (_, 0) => format!("{h} h"),
        _ => format!("{h} h {min} min"),
    };
    format!("{sign}{text}")
}

impl fmt::Display for Dur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // humantime separates with blanks ("1h 30m"); drills read better without: "1h30m"
        f.write_str(&humantime::format_duration(self.0).to_string().replace(' ', ""))
    }
}

impl FromStr for Dur {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let read = humantime::parse_duration(s.trim())
            .map(Self)
            .map_err(|_| format!("`{s}` is not a duration; write for example 30s, 15m or 4h"))?;
        if read > Self::LONGEST {
            let days = Self::LONGEST.0.as_secs() / 86_400;
            return Err(format!("`{s}` is too long: a duration is at most {days} days"));
        }
        Ok(read)
    }
}

impl Serialize for Dur {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Dur {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Dur {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": r"^\s*(\d+\s*(ms|s|sec|secs|second|seconds|m|min|mins|minute|minutes|h|hr|hrs|hour|hours|d|day|days|w|week|weeks)\s*)+$",
            "description": "A duration: 30s, 15m, 4h, 1h 30m; at most 35 days.",
            "examples": ["30s", "15m", "4h"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["30s", "15m", "4h", "1h30m", "250ms"] {
            assert_eq!(text.parse::<Dur>().expect("parses").to_string(), text);
        }
        assert!("4".parse::<Dur>().is_err());
        assert!("-4h".parse::<Dur>().is_err());
    }

    #[test]
    fn no_duration_is_longer_than_thirty_five_days() {
        for longest in ["35d", "840h", "4w 7d"] {
            assert_eq!(longest.parse::<Dur>(), Ok(Dur::LONGEST), "{longest}");
        }
        for long in ["35d 1ms", "36d", "36500d", "200000000d", "106751991168d"] {
            let why = long.parse::<Dur>().expect_err("is refused");
            assert_eq!(why, format!("`{long}` is too long: a duration is at most 35 days"));
            let file = serde_json::from_value::<Dur>(serde_json::json!(long));
            assert!(file.is_err(), "{long} in a file");
        }
        // more than a number holds
        assert!("99999999999999999999y".parse::<Dur>().is_err());
    }

    #[test]
    fn what_is_computed_may_be_long_and_adds_up_all_the_same() {
        let endless = Dur(Duration::MAX);
        let now = DateTime::from_timestamp(4_000_000_000, 0).expect("valid");
        let sum = now.timestamp_millis() + 10 * endless.ms();
        assert!(now + chrono::TimeDelta::milliseconds(10 * endless.ms()) > now && sum > 0);
        assert_eq!(Dur::LONGEST.ms(), 35 * 24 * 3_600_000);
    }

    #[test]
    fn durations_read_well() {
        for (ms, text) in [
            (0, "0 s"),
            (12_345, "12.345 s"),
            (59_999, "59.999 s"),
            (60_000, "1 min"),
            (1_300_999, "21 min 40 s"),
            (3_600_000, "1 h"),
            (14_520_000, "4 h 2 min"),
            (14_579_999, "4 h 2 min"),
            (-1_500, "-1.500 s"),
            (172_800_000, "48 h"),
            (i64::MIN, "-2562047788015 h 12 min"),
        ] {
            assert_eq!(in_words(ms), text);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_virtual_clock_follows_the_paused_runtime() {
        let clock = VirtualClock::starting_at(DateTime::from_timestamp(1_700_000_000, 0).expect("valid"));
        let before = clock.stamp();
        tokio::time::sleep(Duration::from_secs(4 * 3600)).await;
        assert_eq!(clock.stamp().mono_ms - before.mono_ms, 4 * 3600 * 1000);
        assert_eq!((clock.now() - before.at).num_hours(), 4);
    }
}
