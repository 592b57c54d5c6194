//! What is odd about the times of a journal: clocks that were set, times that run backwards, marks and
//! requests from the future. Pure.
//!
//! Nothing of it changes what was measured, which goes by the monotonic clock; a reader must know it, since
//! every time that is shown is a wall clock's. The first of each kind is told, and how many more there are.

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::journal::{Event, Line, Mark};
use crate::model::World;
use crate::model::time::in_words;

/// What two readings may differ by without anything being odd.
const SLACK_MS: i64 = 1_000;
/// How far two skews of the same machine may lie apart: AWS gives whole seconds, twice.
const SKEWS_APART_MS: i64 = 2_000;

/// Everything odd, one sentence each.
pub fn odd(lines: &[Line]) -> Vec<String> {
    let mut seen = Seen::default();
    for line in lines {
        seen.line(line);
    }
    seen.told()
}

/// A kind of oddity: the first of it in words, and how many there are.
type Kind = Option<(String, usize)>;

fn note(kind: &mut Kind, text: impl FnOnce() -> String) {
    match kind {
        Some((_, more)) => *more += 1,
        None => *kind = Some((text(), 0)),
    }
}

#[derive(Default)]
struct Seen {
    format: u32,
    world: Option<World>,
    processes: usize,
    boot: Option<String>,
    before: Option<(DateTime<Utc>, u64)>,
    skew: Option<i64>,
    set: Kind,
    backwards: Kind,
    monotonic: Kind,
    future: Kind,
    skews: Kind,
    unsaid: Kind,
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn apart(later: DateTime<Utc>, earlier: DateTime<Utc>) -> i64 {
    later.signed_duration_since(earlier).num_milliseconds()
}

impl Seen {
    fn line(&mut self, line: &Line) {
        let mut same_boot = self.before.is_some();
        match &line.event {
            Event::Header { format, world, run, .. } => {
                (self.format, self.world) = (*format, Some(*world));
                let begun = run.as_str().split_once('-').map_or("", |(at, _)| at);
                let begun = NaiveDateTime::parse_from_str(begun, "%Y%m%dT%H%M%SZ").ok();
                if let Some(begun) = begun.map(|t| t.and_utc())
                    && apart(begun, line.stamp.at) >= SLACK_MS
                {
                    note(&mut self.backwards, || {
                        format!("the run is named for {}, which is after its first line", time(begun))
                    });
                }
            }
            Event::Attached { boot, .. } => {
                same_boot &= self.processes == 0 || (boot.is_some() && *boot == self.boot);
                self.processes += 1;
                self.boot.clone_from(boot);
                if boot.is_none() && self.format > 1 && self.world != Some(World::Sim) {
                    let n = self.processes;
                    note(&mut self.unsaid, || {
                        format!(
                            "process {n} does not say on which boot of its machine it ran: its time is the wall clock's"
                        )
                    });
                }
            }
            Event::Skew { ms } => {
                if let Some(before) = self.skew
                    && (ms - before).abs() > SKEWS_APART_MS
                {
                    note(&mut self.skews, || {
                        format!(
                            "the local clock minus AWS's was {} first and {} later",
                            in_words(before),
                            in_words(*ms)
                        )
                    });
                }
                self.skew = Some(*ms);
            }
            _ => {}
        }
        if let Some((at, mono)) = self.before {
            self.follows(line, at, mono, same_boot);
        }
        self.ahead(line);
        self.before = Some((line.stamp.at, line.stamp.mono_ms));
    }

    /// How a line's time follows the one before it.
    fn follows(&mut self, line: &Line, at: DateTime<Utc>, mono: u64, same_boot: bool) {
        let number = line.seq.saturating_add(1);
        let wall = apart(line.stamp.at, at);
        if !same_boot {
            if wall <= -SLACK_MS {
                note(&mut self.backwards, || {
                    format!("line {number} was recorded {} before the line before it", in_words(-wall))
                });
            }
            return;
        }
        let Some(passed) = line.stamp.mono_ms.checked_sub(mono).and_then(|ms| i64::try_from(ms).ok()) else {
            return note(&mut self.monotonic, || {
                format!("line {number}: the monotonic clock ran backwards, which it cannot")
            });
        };
        let moved = wall.saturating_sub(passed);
        if moved.abs() >= SLACK_MS {
            let (way, so) = match moved > 0 {
                true => (
                    "forward",
                    ", or the machine stood still: which of both, AWS's clock tells where it was asked",
                ),
                false => ("back", "; durations go by the monotonic clock"),
            };
            note(&mut self.set, || {
                format!(
                    "the wall clock was set {way} by {} before line {number} ({}){so}",
                    in_words(moved.saturating_abs()),
                    time(line.stamp.at)
                )
            });
        }
    }

    /// What a line says of a time after itself.
    fn ahead(&mut self, line: &Line) {
        let said: [(&str, Option<DateTime<Utc>>); 4] = [
            (
                match &line.event {
                    Event::Marked { mark: Mark::Detected, .. } => "the mark detected",
                    Event::Marked { mark: Mark::Ack, .. } => "the mark ack",
                    Event::Marked { mark: Mark::Declare, .. } => "the mark declare",
                    _ => "a note",
                },
                match &line.event {
                    Event::Marked { at, .. } => Some(*at),
                    _ => None,
                },
            ),
            ("a request", line.event.request().map(|r| r.at)),
            (
                "an approval",
                match &line.event {
                    Event::Approved { approval } => Some(approval.at),
                    _ => None,
                },
            ),
            (
                "an answer of a probe",
                match &line.event {
                    Event::Observed { answered, .. } => Some(answered.at),
                    Event::Unchanged { last_answered, .. } => Some(last_answered.at),
                    _ => None,
                },
            ),
        ];
        for (what, at) in said {
            let Some(ahead) = at.map(|at| apart(at, line.stamp.at)).filter(|ms| *ms > SLACK_MS) else {
                continue;
            };
            let number = line.seq.saturating_add(1);
            note(&mut self.future, || {
                format!("line {number}: {what} is from {} after it was recorded", in_words(ahead))
            });
        }
    }

    fn told(self) -> Vec<String> {
        let all = [self.set, self.backwards, self.monotonic, self.future, self.skews, self.unsaid];
        all.into_iter()
            .flatten()
            .map(|(text, more)| match more {
                0 => text,
                n => format!("{text} (and {n} more of the kind)"),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Asked, Mode};
    use crate::model::{RunId, Stamp};

    const START: i64 = 1_790_000_000_000;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(START + ms).unwrap()
    }

    /// Lines with wall and monotonic times that may drift apart.
    fn lines(events: Vec<(i64, u64, Event)>) -> Vec<Line> {
        let numbered = events.into_iter().enumerate();
        let line = |(n, (wall, mono_ms, event))| Line {
            seq: n as u64,
            prev: String::new(),
            stamp: Stamp { at: at(wall), mono_ms },
            event,
        };
        numbered.map(line).collect()
    }

    fn header(world: World) -> Event {
        Event::Header {
            format: 2,
            redrill: String::new(),
            run: RunId::new(at(0), "r", 0),
            drill: String::new(),
            title: String::new(),
            plan_sha256: String::new(),
            world,
            account: String::new(),
            caller: String::new(),
            region: String::new(),
            rto_ms: 0,
            give_up_ms: 0,
            chain: None,
        }
    }

    fn attached(boot: Option<&str>) -> Event {
        let boot = boot.map(str::to_owned);
        let (host, user, redrill) = (String::new(), String::new(), String::new());
        Event::Attached { mode: Mode::Run, pid: 1, host, user, redrill, boot }
    }

    fn found(more: Vec<(i64, u64, Event)>) -> Vec<String> {
        let begin = vec![(0, 500, header(World::Aws)), (0, 500, attached(Some("a")))];
        odd(&lines(begin.into_iter().chain(more).collect()))
    }

    fn marked(said: i64) -> Event {
        let (by, note) = (String::new(), String::new());
        Event::Marked { mark: Mark::Declare, at: at(said), by, note, request: None }
    }

    #[test]
    fn clocks_that_agree_are_nothing_to_tell() {
        let more = vec![(900, 1_399, Event::Cleaned { until: None }), (60_000, 60_500, marked(30_000))];
        assert_eq!(found(more), [""; 0]);
        // killed and taken up on the same boot, and the simulator, which has none
        let again = vec![(90_000, 90_500, attached(Some("a"))), (91_000, 91_500, Event::Skew { ms: 700 })];
        assert_eq!(found(again), [""; 0]);
        assert_eq!(odd(&lines(vec![(0, 0, header(World::Sim)), (0, 0, attached(None))])), [""; 0]);
    }

    #[test]
    fn every_jump_and_every_time_from_the_future_is_told() {
        let told = |more: Vec<(i64, u64, Event)>, wanted: &str| {
            let found = found(more);
            assert!(found.iter().any(|f| f.contains(wanted)), "{wanted}: {found:?}");
        };
        told(vec![(-34_000, 1_500, Event::Cleaned { until: None })], "set back by 35 s before line 3");
        told(vec![(36_000, 1_500, Event::Cleaned { until: None })], "set forward by 35 s before line 3");
        // also between two processes of one boot
        told(vec![(-30_000, 5_500, attached(Some("a")))], "set back by 35 s before line 3");
        told(vec![(-30_000, 100, attached(Some("b")))], "line 3 was recorded 30 s before");
        told(vec![(1_000, 400, Event::Cleaned { until: None })], "the monotonic clock ran backwards");
        told(vec![(1_000, 1_500, marked(12_000))], "line 3: the mark declare is from 11 s after");
        told(vec![(1_000, 100, attached(None))], "process 2 does not say on which boot");
        let skews = vec![(0, 500, Event::Skew { ms: 100 }), (9_000, 9_500, Event::Skew { ms: -34_900 })];
        told(skews, "was 0.100 s first and -34.900 s later");
        let request = Some(Asked { id: "1".into(), at: at(60_000) });
        let (what, by, note, why) = ("w".into(), "b".into(), String::new(), "y".into());
        let event = Event::RequestUnused { what, by, note, why, request };
        told(vec![(0, 500, event)], "a request is from 1 min after");
        let twice = vec![
            (36_000, 1_500, Event::Cleaned { until: None }),
            (1_000, 2_500, Event::Cleaned { until: None }),
        ];
        told(twice, "(and 1 more of the kind)");
        let run = lines(vec![(-60_000, 0, header(World::Aws))]);
        assert_eq!(
            odd(&run),
            ["the run is named for 2026-09-21 14:13:20 UTC, which is after its first line"]
        );
    }
}
