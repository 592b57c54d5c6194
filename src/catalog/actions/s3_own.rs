//! Which delete markers are the run's own: by the ids that S3 answered, as the journal has them.
//!
//! A marker is known by its version id alone. Only where the answer of a call was lost does time stand in: the one
//! marker that is new on its key, written while that call may have had its effect. Pure. Invariant: a marker that
//! somebody else laid is never the run's own for being the only one.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use crate::catalog::action::SentCall;
use crate::cloud::{ObjectRef, ObjectVersion, Outcome};

/// How long a call without an answer may still have its effect: as long as an answer is waited for.
const UNANSWERED: TimeDelta = TimeDelta::seconds(60);
/// S3 keeps times to the second, and so does the header that clocks are compared by.
const GRACE: TimeDelta = TimeDelta::seconds(2);

/// The delete markers of a run in one bucket.
#[derive(Debug, Default)]
pub(super) struct Own {
    ids: BTreeSet<String>,
    lost: Vec<Lost>,
    /// Whether the run has laid markers, as far as is known.
    pub any: bool,
}

/// A call of which nobody knows whether it laid these markers.
#[derive(Debug)]
struct Lost {
    keys: BTreeSet<String>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

/// The new delete markers on one key, told apart. Version ids.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// The run's.
    pub own: Vec<String>,
    /// Somebody else's.
    pub others: Vec<String>,
    /// Nobody can tell.
    pub unclear: Vec<String>,
}

#[derive(Deserialize)]
struct Asked {
    bucket: String,
    objects: Vec<ObjectRef>,
}

impl Own {
    /// From what the run has sent.
    pub(super) fn of(calls: &[SentCall], bucket: &str) -> Self {
        let mut own = Self::default();
        for call in calls.iter().filter(|c| c.operation == "s3:DeleteObjects" && !c.refused) {
            match Asked::deserialize(&call.params) {
                Ok(asked) if asked.bucket == bucket => own.call(call, asked.objects),
                _ => {}
            }
        }
        own
    }

    fn call(&mut self, call: &SentCall, objects: Vec<ObjectRef>) {
        let mut open = BTreeSet::new();
        for object in objects {
            match object.version {
                // removed by the run, so its own; a copy in a replica has the same id
                Some(id) => _ = self.ids.insert(id),
                None => _ = open.insert(object.key),
            }
        }
        self.any |= !open.is_empty();
        if let Some(Outcome::Objects { deleted, errors }) = &call.outcome {
            for one in deleted {
                // the marker of a bucket whose versioning was suspended meanwhile has no id of its own
                let Some(id) = one.marker.as_ref().filter(|id| *id != "null") else { continue };
                self.ids.insert(id.clone());
                open.remove(&one.key);
            }
            for error in errors.iter().filter(|e| e.code == "AccessDenied") {
                open.remove(&error.key);
            }
        }
        if !open.is_empty() {
            let to = call.answered.unwrap_or(call.sent + UNANSWERED) + GRACE;
            self.lost.push(Lost { keys: open, from: call.sent - GRACE, to });
        }
    }

    /// The same for a replica, which the run itself sends no deletion to: S3 replicates a marker with its id.
    pub(super) fn replicated(self) -> Self {
        Self { lost: Vec::new(), ..self }
    }

    /// Whether an answer told that the run laid this marker.
    pub(super) fn has_answered(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Tells the markers apart that are new on this key.
    pub(super) fn split(&self, key: &str, markers: &[ObjectVersion]) -> Split {
        let mut out = Split::default();
        for marker in markers {
            let id = marker.version.clone();
            match () {
                () if self.ids.contains(&id) => out.own.push(id),
                () if self.may_have_laid(key, marker) => out.unclear.push(id),
                () => out.others.push(id),
            }
        }
        if markers.len() == 1 {
            out.own.append(&mut out.unclear);
        }
        out
    }

    fn may_have_laid(&self, key: &str, marker: &ObjectVersion) -> bool {
        let Some(at) = marker.modified else { return false };
        self.lost.iter().any(|l| l.keys.contains(key) && l.from <= at && at <= l.to)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cloud::{DeletedObject, ObjectError};
    use crate::model::StepId;

    fn at(s: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + s, 0).unwrap()
    }

    fn call(keys: &[&str], outcome: Option<Outcome>, answered: Option<i64>) -> SentCall {
        let objects: Vec<_> = keys.iter().map(|key| json!({ "key": key })).collect();
        SentCall {
            step: StepId::new("delete"),
            operation: "s3:DeleteObjects".to_owned(),
            params: json!({ "operation": "s3:DeleteObjects", "bucket": "b", "objects": objects }),
            sent: at(0),
            answered: answered.map(at),
            outcome,
            refused: false,
        }
    }

    fn marker(id: &str, s: i64) -> ObjectVersion {
        let (key, version) = ("k".to_owned(), id.to_owned());
        ObjectVersion { key, version, latest: true, marker: true, modified: Some(at(s)) }
    }

    fn split(calls: &[SentCall], markers: &[ObjectVersion]) -> (Vec<String>, Vec<String>, Vec<String>) {
        let Split { own, others, unclear } = Own::of(calls, "b").split("k", markers);
        (own, others, unclear)
    }

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn what_was_answered_is_the_run_s_and_nothing_else() {
        let one = DeletedObject { key: "k".to_owned(), version: None, marker: Some("m1".to_owned()) };
        let answered = call(&["k"], Some(Outcome::Objects { deleted: vec![one], errors: vec![] }), Some(1));
        let calls = [answered];
        assert_eq!(split(&calls, &[marker("m1", 0)]), (ids(&["m1"]), vec![], vec![]));
        assert_eq!(split(&calls, &[marker("m2", 0)]), (vec![], ids(&["m2"]), vec![]));
        assert_eq!(split(&calls, &[marker("m2", 0), marker("m1", 0)]), (ids(&["m1"]), ids(&["m2"]), vec![]));
        assert_eq!(split(&[], &[marker("m1", 0)]), (vec![], ids(&["m1"]), vec![]));
        assert!(!Own::of(&calls, "another").any && Own::of(&calls, "b").any);
    }

    #[test]
    fn of_a_lost_answer_only_the_one_marker_of_that_time() {
        for (answered, last) in [(None, 62), (Some(5), 7)] {
            let calls = [call(&["k"], None, answered)];
            let own = |s| split(&calls, &[marker("m", s)]).0.len() == 1;
            assert_eq!([-3, -2, last, last + 1].map(own), [false, true, true, false], "{answered:?}");
            assert_eq!(
                split(&calls, &[marker("m", 0), marker("n", 1)]).2,
                ids(&["m", "n"]),
                "which of the two?"
            );
            let both = [marker("m", 0), marker("n", 900)];
            assert_eq!(split(&calls, &both), (vec![], ids(&["n"]), ids(&["m"])), "not the only one");
            assert_eq!(Own::of(&calls, "b").split("other", &[marker("m", 0)]).others, ids(&["m"]));
            assert_eq!(Own::of(&calls, "b").replicated().split("k", &[marker("m", 0)]).others, ids(&["m"]));
        }
        let refused = [SentCall { refused: true, ..call(&["k"], None, Some(1)) }];
        assert_eq!(split(&refused, &[marker("m", 0)]).1, ids(&["m"]));
        let error =
            |code: &str| ObjectError { key: "k".to_owned(), code: code.to_owned(), message: String::new() };
        for (code, own) in [("AccessDenied", 0), ("InternalError", 1)] {
            let outcome = Outcome::Objects { deleted: vec![], errors: vec![error(code)] };
            assert_eq!(
                split(&[call(&["k"], Some(outcome), Some(1))], &[marker("m", 0)]).0.len(),
                own,
                "{code}"
            );
        }
    }

    #[test]
    fn what_the_run_removed_is_its_own_in_a_replica_too() {
        let mut removed = call(&[], None, Some(1));
        removed.params = json!({ "bucket": "b", "objects": [{ "key": "k", "version": "m1" }] });
        let own = Own::of(&[removed], "b").replicated();
        assert!(!own.any);
        assert_eq!(own.split("k", &[marker("m1", 0), marker("m2", 0)]).own, ids(&["m1"]));
    }
}
