//! `cloudwatch.alarm`: what an alarm says, and since when.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::action::ReadCx;
use crate::catalog::probe::{Probe, ProbeSpec, Reading};
use crate::cloud::Alarm;
use crate::model::{Dur, Health};

/// `cloudwatch.alarm`.
pub struct CloudwatchAlarm;

/// Parameters of `cloudwatch.alarm`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Name of the alarm, metric or composite.
    pub name: String,
}

static SPEC: ProbeSpec = ProbeSpec {
    name: "cloudwatch.alarm",
    summary: "Reads the state of a CloudWatch alarm.",
    permissions: &["cloudwatch:DescribeAlarms"],
    timeout: Dur::secs(5),
    docs: "OK is healthy, ALARM is unhealthy. INSUFFICIENT_DATA is unknown, and so is an alarm that does not exist: \
neither says anything about the service. As a stop condition only ALARM is a breach: an alarm on a sparse metric has \
INSUFFICIENT_DATA most of the day, and goes there when a drill takes the traffic away; preflight warns of it. The reading carries the time at which CloudWatch changed the state, which \
is the moment of detection for a probe with `role: monitoring`.

An alarm looks back over its periods: it goes to ALARM late and returns to OK later still. As `role: client` it \
would make every recovery look slower than it was.",
};

const INSUFFICIENT: &str = "INSUFFICIENT_DATA";
/// What a stop condition sees of an alarm without data.
pub const NO_DATA: &str = "INSUFFICIENT_DATA, which is no ALARM";

fn judge(alarm: Option<&Alarm>) -> Reading {
    let Some(alarm) = alarm else { return Reading::unknown("there is no such alarm") };
    let mut reading = match alarm.state.as_str() {
        "OK" => Reading::judged(true, "OK"),
        "ALARM" => Reading::judged(false, "ALARM"),
        other => Reading::unknown(other),
    };
    reading.at = alarm.changed_at;
    reading
}

#[async_trait]
impl Probe for CloudwatchAlarm {
    type Params = Params;

    fn spec(&self) -> &'static ProbeSpec {
        &SPEC
    }

    fn check(&self, params: &Params) -> Vec<String> {
        params.name.is_empty().then(|| "`name` is empty".to_owned()).into_iter().collect()
    }

    async fn observe(&self, cx: ReadCx<'_>, params: &Params) -> Reading {
        match cx.reads.cloudwatch.alarm(&params.name).await {
            Ok(alarm) => judge(alarm.as_ref()),
            Err(e) => Reading::unknown(e.to_string()),
        }
    }

    fn as_stop(&self, reading: Reading) -> Reading {
        match reading.seen == INSUFFICIENT && reading.health == Health::Unknown {
            true => Reading { at: reading.at, ..Reading::judged(true, NO_DATA) },
            false => reading,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ok_is_healthy_and_the_change_is_dated() {
        let at = chrono::DateTime::from_timestamp(1_700_000_000, 0);
        let reading = |state: &str| {
            judge(Some(&Alarm {
                name: "a".to_owned(),
                state: state.to_owned(),
                changed_at: at,
                reason: String::new(),
            }))
        };
        assert_eq!(reading("OK").health, Health::Healthy);
        assert_eq!((reading("ALARM").health, reading("ALARM").at), (Health::Unhealthy, at));
        assert_eq!(reading("INSUFFICIENT_DATA").health, Health::Unknown);
        assert_eq!(judge(None).health, Health::Unknown);
        let stop = |reading: Reading| CloudwatchAlarm.as_stop(reading).health;
        assert_eq!(stop(reading("INSUFFICIENT_DATA")), Health::Healthy);
        assert_eq!(stop(reading("ALARM")), Health::Unhealthy);
        assert_eq!(
            stop(judge(None)),
            Health::Unknown,
            "a condition on an alarm that is not there watches nothing"
        );
        assert_eq!(stop(Reading::unknown("AccessDenied")), Health::Unknown);
    }
}
