//! Tests of the rollup.

use chrono::TimeDelta;

use super::*;
use crate::drill::Role;
use crate::engine::steady_state::ProbeUsage;

fn stamp(ms: u64) -> Stamp {
    let base = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    Stamp { at: base + TimeDelta::milliseconds(ms as i64), mono_ms: ms }
}

fn seen(probe: &str, health: Health, sent: u64) -> Observation {
    Observation {
        probe: probe.into(),
        health,
        seen: "200 in 12 ms".into(),
        sent: stamp(sent),
        answered: stamp(sent + 12),
        source_at: None,
    }
}

fn rollup() -> Rollup {
    Rollup::new(&[ProbeInfo {
        name: "p".into(),
        role: Role::Client,
        every_ms: 1_000,
        timeout_ms: 500,
        hold_ms: 0,
        stage_of_use: ProbeUsage::SteadyState,
    }])
}

fn shape(events: &[Event]) -> Vec<(Health, u64, u64)> {
    events
        .iter()
        .map(|e| match e {
            Event::Observed { health, sent, .. } => (*health, 0, sent.mono_ms),
            Event::Unchanged { health, count, last_sent, .. } => (*health, *count, last_sent.mono_ms),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn the_last_observation_before_a_change_is_exact() {
    let mut r = rollup();
    assert_eq!(shape(&r.push(seen("p", Health::Unhealthy, 0))), [(Health::Unhealthy, 0, 0)]);
    for t in 1..=5 {
        assert_eq!(r.push(seen("p", Health::Unhealthy, t * 1_000)), []);
    }
    assert_eq!(
        shape(&r.push(seen("p", Health::Healthy, 6_000))),
        [(Health::Unhealthy, 5, 5_000), (Health::Healthy, 0, 6_000)]
    );
    assert_eq!(r.flush(), [], "everything is on record");
}

#[test]
fn the_unchanged_are_one_line_a_minute_and_none_is_lost() {
    let mut r = rollup();
    let mut events = Vec::new();
    for t in 0..=150 {
        events.extend(r.push(seen("p", Health::Healthy, t * 1_000)));
    }
    events.extend(r.flush());
    assert_eq!(
        shape(&events),
        [
            (Health::Healthy, 0, 0),
            (Health::Healthy, 60, 60_000),
            (Health::Healthy, 60, 120_000),
            (Health::Healthy, 30, 150_000)
        ]
    );
}

#[test]
fn a_gap_and_a_new_alarm_are_recorded_even_if_the_health_is_the_same() {
    let mut r = rollup();
    r.push(seen("p", Health::Healthy, 0));
    r.push(seen("p", Health::Healthy, 1_000));
    assert_eq!(rollup_at_the_limit(), [], "as late as its rhythm explains");
    let events = r.push(seen("p", Health::Healthy, 5_013));
    assert_eq!(shape(&events), [(Health::Healthy, 1, 1_000), (Health::Healthy, 0, 5_013)]);
    let fired = Observation { source_at: Some(stamp(5_500).at), ..seen("p", Health::Healthy, 6_000) };
    assert_eq!(r.push(fired.clone()).len(), 1);
    assert_eq!(r.push(Observation { sent: stamp(7_000), answered: stamp(7_001), ..fired }), []);
}

/// What is recorded of a question that comes 4 s after the answer before: two looks, and two seconds.
fn rollup_at_the_limit() -> Vec<Event> {
    let mut r = rollup();
    r.push(seen("p", Health::Healthy, 0));
    r.push(seen("p", Health::Healthy, 4_012))
}
