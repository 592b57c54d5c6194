//! Approvals: somebody other than the runner allows exactly this plan, with a key of their own. Pure.
//!
//! An approval is a signed statement about a plan's hash, so it is void for a plan that was changed,
//! and it expires. The file holds the key beside the envelope, in one byte form: whose key it is must be
//! known another way, for example from the `[[approvers]]` of `redrill.toml`.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::dsse::{DsseError, Envelope, pae};
use super::keys::{KeyError, PrivateKey, PublicKey};
use super::statement::{APPROVAL, STATEMENT, Statement, Subject};
use crate::journal::event::Approved;
use crate::plan::house::Approver;

/// The beginning of the names of approvals in a run's folder: then a number from 1, then `.json`.
pub const NAME: &str = "approval-";

/// What an approver says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// Who.
    pub by: String,
    /// Who sat at the machine: `user@host`.
    pub operator: String,
    /// When (UTC).
    #[serde(deserialize_with = "crate::model::bounded::time")]
    pub at: DateTime<Utc>,
    /// Until when a run may start (UTC).
    #[serde(deserialize_with = "crate::model::bounded::time")]
    pub expires: DateTime<Utc>,
    /// The drill's name.
    pub drill: String,
    /// What they say.
    pub note: String,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    key: String,
    envelope: Envelope,
}

/// Why an approval does not count.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// It is no approval, or not in the form that redrill writes.
    #[error("it is no approval as redrill writes them")]
    Form,
    /// Its key.
    #[error("its key cannot be used: {0}")]
    Key(KeyError),
    /// Its signature.
    #[error("its signature does not hold: {0}")]
    Envelope(DsseError),
    /// It is about another plan.
    #[error("it is for another plan")]
    OtherPlan,
}

/// Signs an approval of the plan with this hash.
///
/// # Errors
/// The key does not sign.
pub fn seal(key: &PrivateKey, plan_sha256: &str, said: &Said) -> Result<Vec<u8>, KeyError> {
    let subject =
        Subject { name: "plan".to_owned(), digest: [("sha256".to_owned(), plan_sha256.to_owned())].into() };
    let predicate = serde_json::to_value(said).unwrap_or_default();
    let payload = Statement::new(vec![subject], APPROVAL, predicate).to_bytes();
    let envelope = Envelope::new(&payload, &key.public(), &key.sign(&pae(&payload))?);
    Ok(document(&key.public(), envelope))
}

fn document(key: &PublicKey, envelope: Envelope) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(&Document { key: key.to_pem(), envelope }).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Reads an approval of the plan with this hash.
///
/// # Errors
/// It is none, its signature does not hold, or it is about another plan.
pub fn open(bytes: &[u8], plan_sha256: &str) -> Result<(Said, String), ApprovalError> {
    let read: Document = serde_json::from_slice(bytes).map_err(|_| ApprovalError::Form)?;
    let key = PublicKey::from_pem(&read.key).map_err(ApprovalError::Key)?;
    let envelope = Envelope::from_bytes(&read.envelope.to_bytes()).map_err(ApprovalError::Envelope)?;
    if document(&key, envelope.clone()) != bytes {
        return Err(ApprovalError::Form);
    }
    let payload = envelope.verify(&key).map_err(ApprovalError::Envelope)?;
    let statement: Statement = serde_json::from_slice(&payload).map_err(|_| ApprovalError::Form)?;
    if statement.kind != STATEMENT || statement.predicate_type != APPROVAL {
        return Err(ApprovalError::Form);
    }
    let about = statement.subject.iter().map(|s| s.digest.get("sha256").map(String::as_str));
    if !about.eq([Some(plan_sha256)]) {
        return Err(ApprovalError::OtherPlan);
    }
    let said = serde_json::from_value(statement.predicate).map_err(|_| ApprovalError::Form)?;
    Ok((said, key.fingerprint()))
}

/// Whoever starts the run.
pub struct Runner<'a> {
    /// The user's name.
    pub user: &'a str,
    /// The machine's.
    pub host: &'a str,
    /// The fingerprints of the keys in the state folder.
    pub keys: &'a [String],
}

/// Whether an approval was given by the user who runs the drill on the same machine, and whether on that
/// machine, by whatever user.
pub fn sat_at(said: &Said, runner: &Runner<'_>) -> (bool, bool) {
    let operator = said.operator.trim().to_lowercase();
    let machine = operator.rsplit_once('@').map_or("", |(_, host)| host);
    let same_user = operator == format!("{}@{}", runner.user, runner.host).to_lowercase();
    (same_user, machine.trim().eq_ignore_ascii_case(runner.host))
}

/// Why an approval that was just given may not count, or counts under another name. `runner` is whoever gave it, as
/// if they started the run themselves.
pub fn doubts(said: &Said, key: &str, runner: &Runner<'_>, listed: &[Approver]) -> Vec<String> {
    let mut out = Vec::new();
    let names: Vec<&str> = listed.iter().map(|a| a.name.trim()).collect();
    match listed.iter().find(|a| a.key == key) {
        None if !listed.is_empty() => {
            let text = "it does not count: its key is none of the approvers of redrill.toml";
            out.push(format!("{text} ({})", names.join(", ")));
        }
        Some(a) if !a.name.trim().eq_ignore_ascii_case(said.by.trim()) => {
            let (name, by) = (a.name.trim(), said.by.trim());
            out.push(format!(
                "redrill.toml lists its key as that of `{name}`, not `{by}`: it counts as theirs"
            ));
        }
        _ => {}
    }
    let here = format!("it does not count where {} starts the run", said.operator);
    out.push(if listed.is_empty() { format!("redrill.toml lists no [[approvers]]: {here}") } else { here });
    if runner.keys.iter().any(|own| own == key) {
        out.push(
            "its key is one of this state folder: it does not count for runs that are started with it"
                .to_owned(),
        );
    }
    out
}

/// Judges approvals, each with the name of its file: which count, one for each approver, and why the
/// others do not.
pub fn judge<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    plan_sha256: &str,
    runner: &Runner<'_>,
    listed: &[Approver],
    now: DateTime<Utc>,
) -> (Vec<(&'a str, Approved)>, Vec<String>) {
    let (mut count, mut not) = (Vec::new(), Vec::new());
    let (mut keys, mut names, mut operators) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let runs = format!("{}@{}", runner.user, runner.host).to_lowercase();
    for (file, bytes) in files {
        let (said, key) = match open(bytes, plan_sha256) {
            Ok(opened) => opened,
            Err(e) => {
                not.push(format!("{file}: {e}"));
                continue;
            }
        };
        // a listed approver is called as the list says, whichever of their keys it is
        let listed_as = listed.iter().find(|a| a.key == key).map(|a| a.name.trim());
        let by = listed_as.unwrap_or(said.by.trim());
        let operator = said.operator.trim().to_lowercase();
        let at = |t: DateTime<Utc>| t.format("%Y-%m-%d %H:%M UTC");
        let why = if said.expires <= now {
            Some(format!("it expired at {}", at(said.expires)))
        } else if said.at > now {
            Some(format!("it is from the future: {}", at(said.at)))
        } else if runner.keys.contains(&key) {
            Some("it is signed with a key of whoever runs the drill".to_owned())
        } else if [by, said.by.trim()].into_iter().any(|name| name.eq_ignore_ascii_case(runner.user)) {
            Some(format!("`{by}` runs the drill and cannot approve it"))
        } else if !listed.is_empty() && listed_as.is_none() {
            Some(format!("key {key} is none of the approvers of redrill.toml"))
        } else if operator == runs {
            // a key is a file, and whose it is the list only says: who sat at the machine must differ, too
            Some(
                "it was given by the user who runs the drill, on the same machine: approve as another user"
                    .to_owned(),
            )
        } else if listed.is_empty() && !operators.insert(operator.clone()) {
            Some(format!("`{}` has given another approval: one person counts once", said.operator.trim()))
        } else if !keys.insert(key.clone()) | !names.insert(by.to_lowercase()) {
            Some(format!("`{by}`, or the key, has approved already: one person counts once"))
        } else {
            None
        };
        match why {
            Some(why) => not.push(format!("{file}: {why}")),
            None => {
                let (same_user, same_machine) = sat_at(&said, runner);
                count.push((
                    file,
                    Approved {
                        by: by.to_owned(),
                        key,
                        at: said.at,
                        expires: said.expires,
                        same_user,
                        same_machine,
                        note: said.note,
                        listed: listed_as.is_some(),
                        made_as: said.operator,
                    },
                ));
            }
        }
    }
    (count, not)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::keys::Algorithm;

    const PLAN: &str = "aa11";

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn said(by: &str) -> Said {
        Said {
            by: by.to_owned(),
            operator: format!("{by}@desk"),
            at: at("2026-11-20T10:00:00Z"),
            expires: at("2026-11-27T10:00:00Z"),
            drill: "sample".to_owned(),
            note: String::new(),
        }
    }

    fn key() -> PrivateKey {
        PrivateKey::generate(Algorithm::Ed25519).unwrap()
    }

    fn judged(
        files: &[Vec<u8>],
        own: &[String],
        listed: &[Approver],
        now: &str,
    ) -> (Vec<String>, Vec<String>) {
        let runner = Runner { user: "runner", host: "desk", keys: own };
        let files = files.iter().map(|f| ("a.json", f.as_slice()));
        let (count, not) = judge(files, PLAN, &runner, listed, at(now));
        (count.into_iter().map(|(_, a)| a.by).collect(), not)
    }

    #[test]
    fn an_approval_is_for_one_plan_and_for_a_time() {
        let file = seal(&key(), PLAN, &said("ann")).unwrap();
        assert_eq!(open(&file, PLAN).unwrap().0, said("ann"));
        assert_eq!(open(&file, "aa12").unwrap_err(), ApprovalError::OtherPlan);
        let files = [file];
        assert_eq!(judged(&files, &[], &[], "2026-11-21T00:00:00Z").0, ["ann"]);
        let (count, not) = judged(&files, &[], &[], "2026-11-27T10:00:00Z");
        assert_eq!((count, not), (vec![], vec!["a.json: it expired at 2026-11-27 10:00 UTC".to_owned()]));
        assert_eq!(judged(&files, &[], &[], "2026-11-20T09:59:59Z").0, [""; 0], "not yet given");
    }

    #[test]
    fn every_changed_byte_voids_it() {
        let file = seal(&key(), PLAN, &said("ann")).unwrap();
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(open(&changed, PLAN).is_err(), "byte {at}");
        }
        for changed in [[file.as_slice(), b"\n"].concat(), file[..file.len() - 1].to_vec(), Vec::new()] {
            assert!(open(&changed, PLAN).is_err());
        }
    }

    #[test]
    fn the_runner_cannot_approve_and_nobody_counts_twice() {
        let (ann, ben, own) = (key(), key(), key());
        let now = "2026-11-21T00:00:00Z";
        let keys = [own.public().fingerprint()];
        let by = |key: &PrivateKey, name: &str| seal(key, PLAN, &said(name)).unwrap();
        assert_eq!(judged(&[by(&ann, "ann"), by(&ben, "ben")], &keys, &[], now).0, ["ann", "ben"]);
        // the same key under two names, two keys under one name
        assert_eq!(judged(&[by(&ann, "ann"), by(&ann, "ben")], &keys, &[], now).0, ["ann"]);
        assert_eq!(judged(&[by(&ann, "ann"), by(&ben, " Ann")], &keys, &[], now).0, ["ann"]);
        for file in [by(&own, "ann"), by(&ann, "runner")] {
            let (count, not) = judged(&[file], &keys, &[], now);
            assert!(count.is_empty() && not.len() == 1, "{count:?} {not:?}");
        }
    }

    #[test]
    fn what_the_runner_typed_for_somebody_else_does_not_count_and_who_sat_there_is_said() {
        let given = |operator: &str, list: bool| {
            let (key, said) = (key(), Said { operator: operator.to_owned(), ..said("ann") });
            let file = seal(&key, PLAN, &said).unwrap();
            let runner = Runner { user: "runner", host: "desk", keys: &[] };
            let listed = Approver { name: "Ann A.".to_owned(), key: key.public().fingerprint() };
            let listed = if list { vec![listed] } else { Vec::new() };
            let (count, not) =
                judge([("a.json", file.as_slice())], PLAN, &runner, &listed, at("2026-11-21T00:00:00Z"));
            count.first().map(|(_, a)| a.not_independent()).ok_or(not)
        };
        for operator in ["runner@desk", " Runner@Desk"] {
            for listed in [false, true] {
                let not = given(operator, listed).unwrap_err();
                assert!(not[0].contains("by the user who runs the drill, on the same machine"), "{not:?}");
            }
        }
        assert_eq!(given("ann@Desk", false), Ok(Some("given on the machine that ran it")));
        let unlisted = Ok(Some("with a key that no [[approvers]] list"));
        assert_eq!(given("ann@elsewhere", false), unlisted, "whatever name and machine it is signed for");
        assert_eq!(given("ann@elsewhere", true), Ok(None));
    }

    #[test]
    fn without_a_list_one_user_approves_once() {
        let file = |by: &str| {
            let said = Said { operator: "ann@elsewhere".to_owned(), ..said(by) };
            seal(&key(), PLAN, &said).unwrap()
        };
        let (count, not) = judged(&[file("ann"), file("ben")], &[], &[], "2026-11-21T00:00:00Z");
        assert_eq!(count, ["ann"]);
        assert!(not[0].contains("`ann@elsewhere` has given another approval"), "{not:?}");
    }

    #[test]
    fn where_approvers_are_listed_only_they_count() {
        let (ann, eve) = (key(), key());
        let listed = [Approver { name: "Ann A.".to_owned(), key: ann.public().fingerprint() }];
        let files = [seal(&eve, PLAN, &said("ann")).unwrap(), seal(&ann, PLAN, &said("ann")).unwrap()];
        let (count, not) = judged(&files, &[], &listed, "2026-11-21T00:00:00Z");
        assert_eq!(count, ["Ann A."]);
        assert!(not[0].contains("none of the approvers of redrill.toml"), "{not:?}");
    }

    #[test]
    fn whoever_approves_is_told_why_it_may_not_count() {
        let key = key();
        let print = key.public().fingerprint();
        let listed = |name: &str, key: &str| vec![Approver { name: name.to_owned(), key: key.to_owned() }];
        let told = |list: &[Approver], keys: &[String]| {
            doubts(&said("ann"), &print, &Runner { user: "ann", host: "desk", keys }, list).join("\n")
        };
        let here = "it does not count where ann@desk starts the run";
        assert_eq!(told(&listed("Ann", &print), &[]), here);
        assert_eq!(
            told(&listed("Ben", "SHA256:other"), &[]),
            format!("it does not count: its key is none of the approvers of redrill.toml (Ben)\n{here}")
        );
        assert_eq!(
            told(&listed("Ben", &print), &[]),
            format!("redrill.toml lists its key as that of `Ben`, not `ann`: it counts as theirs\n{here}")
        );
        assert_eq!(told(&[], &[]), format!("redrill.toml lists no [[approvers]]: {here}"));
        let own = told(&listed("Ann", &print), std::slice::from_ref(&print));
        assert!(own.contains("its key is one of this state folder"), "{own}");
    }

    #[test]
    fn a_listed_approver_with_two_keys_is_one_person_and_no_runner() {
        let (old, new, ben) = (key(), key(), key());
        let listed = |name: &str, key: &PrivateKey| Approver {
            name: name.to_owned(),
            key: key.public().fingerprint(),
        };
        let list = [listed("Ann", &old), listed("ann ", &new), listed("Ben", &ben)];
        let by = |key: &PrivateKey, name: &str| seal(key, PLAN, &said(name)).unwrap();
        let now = "2026-11-21T00:00:00Z";
        let (count, not) = judged(&[by(&old, "Ann"), by(&new, "A. Nn"), by(&ben, "ben")], &[], &list, now);
        assert_eq!(count, ["Ann", "Ben"]);
        assert!(not[0].contains("one person counts once"), "{not:?}");
        // whatever they call themselves
        let list = [listed("Runner", &old)];
        let (count, not) = judged(&[by(&old, "ann")], &[], &list, now);
        assert_eq!(count, [""; 0]);
        assert!(not[0].ends_with("`Runner` runs the drill and cannot approve it"), "{not:?}");
    }
}
