//! What comes after the signature: the timestamp of it, and the seal over that. Pure.
//!
//! The signed record says that a timestamp belongs to the bundle, so one cannot be taken away; the seal,
//! a second statement by the same key, names the very bytes of it, so one cannot be exchanged. The
//! seal's statement is wholly decided by what it is about, and is compared byte for byte.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::verify::{Findings, Trust};
use super::{ENVELOPE, Files, REPORT, SEAL, TIMESTAMP};
use crate::evidence::dsse::Envelope;
use crate::evidence::keys::PublicKey;
use crate::evidence::statement::{self, Statement};
use crate::evidence::timestamp::Timestamp;

/// How far two clocks may be apart that both count as right: AWS lets no more pass either.
const CLOCKS: TimeDelta = TimeDelta::minutes(5);

/// What is signed about an authority's answer to a signature.
pub fn statement(authority: &str, envelope: &Envelope, response: &[u8]) -> Statement {
    let files: Files =
        [(ENVELOPE.to_owned(), envelope.to_bytes()), (TIMESTAMP.to_owned(), response.to_vec())].into();
    let predicate = json!({ "timestamp_authority": authority });
    Statement::new(statement::subjects(&files), statement::SEAL, predicate)
}

/// Checks timestamp and seal, if what was signed says that there are any.
pub(super) fn check(
    files: &Files,
    signed: (&PublicKey, &Envelope),
    ended: Option<DateTime<Utc>>,
    trust: &Trust,
    found: &mut Findings,
) {
    let (key, envelope) = signed;
    let report: Option<Value> = files.get(REPORT).and_then(|b| serde_json::from_slice(b).ok());
    let authority = report.as_ref().and_then(|r| r["integrity"]["timestamp_authority"].as_str());
    let Some(authority) = authority else {
        for name in [TIMESTAMP, SEAL] {
            if files.contains_key(name) {
                found.broken.push(format!("{name} is not part of what was signed"));
            }
        }
        if trust.timestamp_roots.is_some() {
            found.broken.push("there is no timestamp of an authority that you could trust".to_owned());
        }
        found.unproven.push("when it was signed: there is no timestamp of an authority".to_owned());
        return;
    };
    let checked = sealed(files, key, envelope, authority);
    let Some(response) = found.check(checked) else { return };
    let stamped = Timestamp::read(response, &envelope.signature()).map_err(|e| format!("{TIMESTAMP}: {e}"));
    let stamped = stamped.map(|t| {
        let at = t.at.format("%Y-%m-%d %H:%M:%S UTC");
        let sentence = format!("it was signed before {at}, says the timestamp authority “{}”", t.authority);
        (t, sentence)
    });
    if let Some(timestamp) = found.check(stamped) {
        trusted(&timestamp, ended, trust, found);
    }
}

/// The authority's answer, if the seal is what this key says of it.
fn sealed<'a>(
    files: &'a Files,
    key: &PublicKey,
    envelope: &Envelope,
    authority: &str,
) -> Result<(&'a [u8], String), String> {
    let missing =
        |name: &str| format!("{name} is missing: a timestamp of {authority} belongs to this bundle");
    let response = files.get(TIMESTAMP).ok_or_else(|| missing(TIMESTAMP))?;
    let seal = files.get(SEAL).ok_or_else(|| missing(SEAL))?;
    let seal = Envelope::from_bytes(seal).map_err(|e| format!("{SEAL}: {e}"))?;
    let payload = seal.verify(key).map_err(|e| format!("{SEAL}: {e}"))?;
    if payload != statement(authority, envelope, response).to_bytes() {
        return Err(format!("{TIMESTAMP} or {ENVELOPE} is not what {SEAL} was signed for"));
    }
    Ok((response, format!("{TIMESTAMP} is as it was sealed by the same key")))
}

/// What the timestamp proves, and what not.
fn trusted(timestamp: &Timestamp, ended: Option<DateTime<Utc>>, trust: &Trust, found: &mut Findings) {
    let mut is_trusted = false;
    match &trust.timestamp_roots {
        None => found.unproven.push(
            "when it was signed, unless you trust the timestamp authority: its certificate comes with the \
             bundle. Get the one it is issued under another way and give it: --timestamp-ca FILE"
                .to_owned(),
        ),
        Some(roots) => {
            let leads = timestamp.leads_to(roots).map_err(|e| format!("{TIMESTAMP}: {e}"));
            let leads =
                leads.map(|()| ((), "the authority's certificate leads to one that you trust".to_owned()));
            is_trusted = found.check(leads).is_some();
            if is_trusted {
                found
                    .unproven
                    .push("that the authority's certificate was not revoked: nobody was asked".to_owned());
            }
        }
    }
    if let Some(ended) = ended {
        order(timestamp.at, ended, is_trusted, found);
    }
}

/// Holds the authority's time against the end of the run by the machine's clock.
fn order(stamped: DateTime<Utc>, ended: DateTime<Utc>, is_trusted: bool, found: &mut Findings) {
    if stamped >= ended {
        return;
    }
    let at = |time: DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%S UTC");
    // what is signed cannot end after it was signed: with a clock that you trust, it is the run's that was wrong
    if is_trusted && ended - stamped > CLOCKS {
        found.broken.push(format!(
            "the run's times are not true: by the machine's clock it ended at {}, and it was signed before {} by the \
             clock of the authority that you trust",
            at(ended),
            at(stamped)
        ));
    } else {
        found.unproven.push(format!(
            "which clock was wrong: the authority's time, {}, is before the end of the run by the \
             clock of the machine that ran it",
            at(stamped)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_ends_after_it_was_signed_is_not_true_by_a_clock_that_one_trusts() {
        let ended: DateTime<Utc> = "2026-03-02T10:00:00Z".parse().unwrap();
        let found = |seconds: i64, is_trusted: bool| {
            let mut found = Findings::default();
            order(ended - TimeDelta::seconds(seconds), ended, is_trusted, &mut found);
            (found.broken.join("; "), found.unproven.join("; "))
        };
        assert_eq!(
            found(301, true).0,
            "the run's times are not true: by the machine's clock it ended at \
            2026-03-02 10:00:00 UTC, and it was signed before 2026-03-02 09:54:59 UTC by the clock of the authority \
            that you trust"
        );
        assert_eq!(found(301, true).1, "");
        for (seconds, is_trusted) in [(301, false), (300, true), (1, true)] {
            let (broken, unproven) = found(seconds, is_trusted);
            assert_eq!(broken, "", "{seconds}");
            assert!(
                unproven.starts_with("which clock was wrong: the authority's time, 2026-03-02 "),
                "{unproven}"
            );
        }
        assert_eq!(found(0, true), (String::new(), String::new()));
    }
}
