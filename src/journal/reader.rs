//! Reads a journal back and checks that it is the one that was written. Pure: bytes in, lines out.
//!
//! What a crash can leave behind (an unfinished last line) is tolerated; anything else that breaks
//! the chain is refused, with the line and what it means. Hashes are taken of the bytes as they
//! stand, never of a line written again.

use super::{Event, Line, NO_PREVIOUS, line_hash};

/// A journal as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// Every whole line.
    pub lines: Vec<Line>,
    /// How many bytes of an unfinished last line were left out.
    pub torn: usize,
    /// The hash of the last whole line: the next line's `prev`.
    pub last_hash: String,
    /// Kinds of events that this version does not know, each once.
    pub unknown: Vec<String>,
}

/// Why a journal is refused. Lines are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A line that is not the last is not whole.
    #[error("line {line} is not a whole line: the journal was cut or changed")]
    Damaged {
        /// Which line.
        line: usize,
    },
    /// The first line is not the first that was written.
    #[error("line 1 is not the start of a journal: its beginning is missing or was changed")]
    NoStart,
    /// A line's `prev` is not the hash of the line before it.
    #[error("line {line} does not follow line {}: the journal was changed", line - 1)]
    Broken {
        /// Which line.
        line: usize,
    },
    /// A line's number is not the next.
    #[error("line {line} is numbered {got}, not {want}: lines are missing, repeated or in another order")]
    Number {
        /// Which line.
        line: usize,
        /// The number that should stand there.
        want: u64,
        /// The number that stands there.
        got: u64,
    },
}

/// Reads a whole journal.
///
/// # Errors
/// When a byte of any line but the last was changed, or a line is missing, repeated or moved.
pub fn read(bytes: &[u8]) -> Result<Read, ReadError> {
    let mut out = Read { lines: Vec::new(), torn: 0, last_hash: NO_PREVIOUS.to_owned(), unknown: Vec::new() };
    let mut rest = bytes;
    while !rest.is_empty() {
        let number = out.lines.len() + 1;
        let Some(end) = rest.iter().position(|b| *b == b'\n') else {
            if runs_on(rest) {
                return Err(ReadError::Damaged { line: number });
            }
            out.torn = rest.len();
            break;
        };
        let (raw, after) = (&rest[..end], &rest[end + 1..]);
        let Ok(line) = serde_json::from_slice::<Line>(raw) else {
            if after.is_empty() && !runs_on(raw) {
                out.torn = rest.len();
                break;
            }
            return Err(ReadError::Damaged { line: number });
        };
        if line.prev != out.last_hash {
            return Err(if number == 1 { ReadError::NoStart } else { ReadError::Broken { line: number } });
        }
        let want = out.lines.len() as u64;
        if line.seq != want {
            return Err(ReadError::Number { line: number, want, got: line.seq });
        }
        if let Event::Unknown(value) = &line.event {
            let kind = value.get("type").and_then(|t| t.as_str()).unwrap_or("?").to_owned();
            if !out.unknown.contains(&kind) {
                out.unknown.push(kind);
            }
        }
        out.last_hash = line_hash(raw);
        out.lines.push(line);
        rest = after;
    }
    Ok(out)
}

/// Whether a whole line is followed by more text without a newline between them. An unfinished
/// write never looks like that (at most zeros follow it), so taking it for one would hide a line
/// that was on disk.
fn runs_on(raw: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(raw).into_iter::<Line>();
    matches!(values.next(), Some(Ok(_))) && raw[values.byte_offset()..].iter().any(|b| *b != 0)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;
    use crate::journal::writer::encode;
    use crate::journal::{Asked, Mark, Measured, Mode, Verdict};
    use crate::model::{CallError, EffectCertainty, Health, RunId, Stage, Stamp, StepId, World};

    fn stamp(ms: u64) -> Stamp {
        let at = DateTime::from_timestamp_millis(1_700_000_000_000 + ms as i64).unwrap();
        Stamp { at, mono_ms: ms }
    }

    /// One event of every kind.
    fn every_event() -> Vec<Event> {
        let step = StepId::new("restore");
        let target = Some("orders-db".to_owned());
        let at = stamp(5).at;
        vec![
            Event::Header {
                format: 1,
                redrill: "0.1.0".into(),
                run: RunId::from_existing("r"),
                drill: "d".into(),
                title: "T".into(),
                plan_sha256: "ab".into(),
                world: World::Sim,
                account: "123456789012".into(),
                caller: "arn:aws:iam::123456789012:user/a".into(),
                region: "us-east-1".into(),
                rto_ms: 1,
                give_up_ms: 2,
                chain: None,
            },
            Event::Attached {
                mode: Mode::Run,
                pid: 1,
                host: "h".into(),
                user: "u".into(),
                redrill: "0.1.0".into(),
                boot: Some("b".into()),
            },
            Event::Skew { ms: -3 },
            Event::Stage { stage: Stage::Fault },
            Event::Found { finding: json!({"text": "x", "n": 1.5}) },
            Event::Captured { step: step.clone(), target: "t".into(), data: json!({"a": [1, 2]}) },
            Event::Holding { targets: vec!["t".into()] },
            Event::Held { targets: vec![] },
            Event::Renamed { target: "t".into(), arn: "arn:aws:rds:us-east-1:1:db:u".into() },
            Event::Released { targets: vec!["t".into()] },
            Event::StepPrepared { step: step.clone(), target: None, undo: json!(null) },
            Event::StepStarted { step: step.clone(), targets: vec![None, target.clone()] },
            Event::CallSent {
                call: 1,
                step: Some(step.clone()),
                phase: crate::journal::Phase::Apply,
                operation: "rds:RestoreDBInstanceToPointInTime".into(),
                params: json!({"at": "x", "seq": 1}),
                attempt: 1,
            },
            Event::CallAnswered {
                call: 1,
                request_id: None,
                outcome: None,
                error: Some(CallError {
                    kind: "throttled".into(),
                    code: None,
                    message: "slow\ndown \u{1b}[31m".into(),
                    effect: EffectCertainty::None,
                }),
            },
            Event::StepApplied {
                step: step.clone(),
                target: target.clone(),
                outputs: [("endpoint".to_owned(), "x".to_owned())].into(),
                notes: vec![],
            },
            Event::StepFailed {
                step: step.clone(),
                target: None,
                error: "e".into(),
                effect: EffectCertainty::Partial,
                hint: None,
            },
            Event::ObservationsLost { count: 3 },
            Event::ReadRetried {
                operation: "ec2:DescribeInstances".into(),
                attempt: 1,
                error: crate::model::CallError {
                    kind: "throttled".into(),
                    code: Some("RequestLimitExceeded".into()),
                    message: "m".into(),
                    effect: EffectCertainty::None,
                },
            },
            Event::StepProgress { step: step.clone(), target: None, note: "creating".into() },
            Event::StepReady {
                step: step.clone(),
                target: None,
                outputs: Default::default(),
                notes: vec!["n".into()],
            },
            Event::StepSkipped { step: step.clone(), why: "w".into() },
            Event::Waiting { step: step.clone(), text: "t".into() },
            Event::Confirmed {
                step: step.clone(),
                by: "b".into(),
                note: String::new(),
                simulated: true,
                request: None,
            },
            Event::Marked {
                mark: Mark::Ack,
                at,
                by: "b".into(),
                note: "n".into(),
                request: Some(Asked { id: "00000001-ab".into(), at }),
            },
            Event::RequestUnused {
                what: "abort".into(),
                by: "b".into(),
                note: "n".into(),
                why: "w".into(),
                request: Some(Asked { id: "00000002-cd".into(), at }),
            },
            Event::Observed {
                probe: "p".into(),
                health: Health::Unhealthy,
                seen: "503".into(),
                sent: stamp(1),
                answered: stamp(2),
                source_at: Some(at),
            },
            Event::Unchanged {
                probe: "p".into(),
                health: Health::Healthy,
                count: 3,
                last_sent: stamp(1),
                last_answered: stamp(2),
            },
            Event::Steady { since: at },
            Event::stop(crate::journal::StopCause::GaveUp, "d"),
            Event::UndoStarted { step: step.clone(), target: None },
            Event::UndoFailed { step: step.clone(), target: None, error: "e".into(), attempt: 2 },
            Event::UndoDone { step: step.clone(), target: None, how: "h".into(), proof: "p".into() },
            Event::Kept { step: step.clone(), target: None, proof: "p".into() },
            Event::Stuck { step: None, target: None, error: "e".into(), hint: "h".into() },
            Event::LeftInPlace { step, target: None, why: "w".into(), by: None },
            Event::SteadyStateAccepted { why: "w".into(), by: "b".into() },
            Event::Finished {
                verdict: Verdict::Passed,
                exit_code: 0,
                reasons: vec![],
                measured: Box::new(Measured { rta_ms: Some(-1), ..Measured::default() }),
            },
            Event::Unknown(json!({"type": "from-the-future", "big": u64::MAX, "deep": {"a": 1}})),
        ]
    }

    fn short_journal() -> Vec<u8> {
        encode(0, NO_PREVIOUS, stamp(7), &every_event()[1..6]).unwrap().0
    }

    fn journal() -> Vec<u8> {
        encode(0, NO_PREVIOUS, stamp(7), &every_event()).unwrap().0
    }

    #[test]
    fn every_kind_of_event_comes_back_as_it_was() {
        let read = read(&journal()).unwrap();
        assert_eq!(read.lines.len(), every_event().len());
        for (line, event) in read.lines.iter().zip(every_event()) {
            assert_eq!(line.event, event);
            assert_eq!(line.stamp, stamp(7));
        }
        assert_eq!(read.unknown, ["from-the-future"], "only what is unknown is unknown");
        assert_eq!(read.torn, 0);
    }

    #[test]
    fn no_field_of_an_event_hides_a_field_of_the_line() {
        for line in journal().split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            let text = std::str::from_utf8(line).unwrap();
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            for key in ["seq", "prev", "at", "mono_ms", "type"] {
                assert!(value.get(key).is_some(), "{key} in {text}");
            }
            // a key given twice would be lost in the value and make it shorter
            assert_eq!(serde_json::to_string(&value).unwrap().len(), text.len(), "{text}");
        }
    }

    #[test]
    fn a_journal_cut_anywhere_reads_up_to_the_last_whole_line() {
        let bytes = short_journal();
        for n in 0..bytes.len() {
            let got = read(&bytes[..n]).unwrap();
            let whole = bytes[..n].iter().filter(|b| **b == b'\n').count();
            assert_eq!(got.lines.len(), whole);
            let kept = bytes[..n].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
            assert_eq!(got.torn, n - kept);
        }
    }

    #[test]
    fn any_changed_byte_before_the_last_line_is_noticed() {
        let bytes = short_journal();
        let last = bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').unwrap();
        for i in 0..=last {
            let mut changed = bytes.clone();
            changed[i] ^= 1;
            assert!(read(&changed).is_err(), "byte {i} ({:?}) changed unnoticed", bytes[i] as char);
        }
    }

    #[test]
    fn missing_repeated_and_moved_lines_are_refused_by_number() {
        let bytes = journal();
        let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
        let joined = |pick: &[usize]| -> Vec<u8> { pick.iter().flat_map(|i| lines[*i].to_vec()).collect() };
        assert!(read(&joined(&[0, 1, 2])).is_ok());
        assert_eq!(read(&joined(&[0, 2, 3])), Err(ReadError::Broken { line: 2 }));
        assert_eq!(read(&joined(&[0, 1, 1])), Err(ReadError::Broken { line: 3 }));
        assert_eq!(read(&joined(&[0, 2, 1])), Err(ReadError::Broken { line: 2 }));
        assert_eq!(read(&joined(&[1, 2])), Err(ReadError::NoStart));
        assert_eq!(
            read(&joined(&[0, 2, 3])).unwrap_err().to_string(),
            "line 2 does not follow line 1: the journal was changed"
        );
        let mut cut = joined(&[0]);
        cut.truncate(cut.len() / 2);
        cut.push(b'\n');
        cut.extend(joined(&[1]));
        assert_eq!(read(&cut), Err(ReadError::Damaged { line: 1 }));
        // a chain whose hashes hold, with a wrong number
        let odd = encode(4, NO_PREVIOUS, stamp(0), &[Event::Skew { ms: 0 }]).unwrap().0;
        assert_eq!(read(&odd), Err(ReadError::Number { line: 1, want: 0, got: 4 }));
    }
}
