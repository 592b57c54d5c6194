//! What the steps of a run have sent and what was answered: a pass over its journal. Pure.
//!
//! An undo tells by it what the run itself made from what somebody else made alike. Times are put right by
//! the skew that was measured last, since AWS's own times are what they are compared with.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::catalog::SentCall;
use crate::journal::{Event, Line};
use crate::model::EffectCertainty;

/// The calls of steps, in the order in which they were sent. `reveal` puts back what the journal keeps secret: what
/// is told by a call must not hang on what a secret is.
pub fn sent(lines: &[Line], reveal: impl Fn(&mut Value)) -> Vec<SentCall> {
    let revealed = |value: &Value| {
        let mut value = value.clone();
        reveal(&mut value);
        value
    };
    let mut all = BTreeMap::new();
    let mut skew_ms = 0;
    for line in lines {
        let at = at_aws(line.stamp.at, skew_ms);
        match &line.event {
            Event::Skew { ms } => skew_ms = *ms,
            Event::CallSent { call, step: Some(step), operation, params, .. } => {
                let (step, operation, params) = (step.clone(), operation.clone(), revealed(params));
                let (answered, outcome, refused) = (None, None, false);
                let sent = SentCall { step, operation, params, sent: at, answered, outcome, refused };
                all.insert(*call, sent);
            }
            Event::CallAnswered { call, outcome, error, .. } => {
                let Some(call) = all.get_mut(call) else { continue };
                call.answered = Some(at);
                call.outcome = outcome.as_ref().and_then(|o| serde_json::from_value(revealed(o)).ok());
                call.refused = error.as_ref().is_some_and(|e| e.effect == EffectCertainty::None);
            }
            _ => {}
        }
    }
    all.into_values().collect()
}

fn at_aws(local: DateTime<Utc>, skew_ms: i64) -> DateTime<Utc> {
    let skew = TimeDelta::try_milliseconds(skew_ms);
    skew.and_then(|skew| local.checked_sub_signed(skew)).unwrap_or(local)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cloud::Outcome;
    use crate::engine::testing::{line, sent};
    use crate::journal::Phase;
    use crate::model::CallError;

    #[test]
    fn a_call_has_its_answer_and_aws_times() {
        let error = CallError {
            kind: "denied".to_owned(),
            code: None,
            message: String::new(),
            effect: EffectCertainty::None,
        };
        let answered = |call, outcome, error| Event::CallAnswered { call, request_id: None, outcome, error };
        let lines = [
            line(1_000, Event::Skew { ms: 400 }),
            line(2_000, sent(1, Some("a"), Phase::Apply)),
            line(2_000, sent(2, Some("a"), Phase::Undo)),
            line(2_000, sent(3, None, Phase::Hold)),
            line(3_000, answered(1, Some(json!({ "kind": "created", "id": "rtb-1" })), None)),
            line(3_000, answered(2, None, Some(error))),
        ];
        let all = super::sent(&lines, |_| {});
        assert_eq!(all.len(), 2, "what belongs to no step is left out");
        assert_eq!(all[0].sent.timestamp_millis(), 1_600);
        assert_eq!(all[0].answered.map(|at| at.timestamp_millis()), Some(2_600));
        assert_eq!(all[0].outcome, Some(Outcome::Created { id: "rtb-1".to_owned() }));
        assert!(!all[0].refused && all[1].refused);
        // a secret that is part of an id is put back before anything is told by it
        let secret = |value: &mut Value| value["id"] = json!("rtb-2");
        let all = super::sent(&lines, secret);
        assert_eq!(all[0].outcome, Some(Outcome::Created { id: "rtb-2".to_owned() }));
    }
}
