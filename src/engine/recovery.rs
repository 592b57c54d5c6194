//! The recovery clock: what a run's journal says about how long recovery took. Pure.
//!
//! [`measure`] reads journal lines alone, so a report can be checked without redrill's word for it,
//! and a run that is still going on is measured as far as it is known. Times are on one
//! [`Timeline`](super::steady_state::Timeline). Where a moment is only known to lie between two others, the RTA counts the longer
//! way and the interval says both.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::history::{self, History, Stretch};
pub use super::steady_state::{ProbeInfo, ProbeUsage};
use crate::drill::{Role, RtoClock};
use crate::journal::{Gap, Line, Measured, PhaseTime};
use crate::model::time::in_words;
use crate::model::{Health, StepId};

mod facts;

use facts::Facts;

/// What the clock needs to know beside the journal; all of it stands in the plan.
#[derive(Clone, Debug)]
pub struct ClockParams {
    /// The objective.
    pub rto_ms: i64,
    /// When the run stops waiting.
    pub give_up_ms: i64,
    /// Which mark the verdict counts from.
    pub rto_clock: RtoClock,
    /// How soon the fault should be detected.
    pub detect_ms: Option<i64>,
    /// The service should survive the fault.
    pub impact_none_expected: bool,
    /// Every probe of the steady state and of `verify`.
    pub probes: Vec<ProbeInfo>,
    /// The steps that break something.
    pub fault_steps: Vec<StepId>,
    /// Those of them that break it without a call to AWS: a person's, and programs.
    pub by_hand: Vec<StepId>,
    /// The steps of the procedure being drilled.
    pub recovery_steps: Vec<StepId>,
}

/// So many gaps are listed; a journal's last line is read whole by whoever looks for the end.
const GAPS: usize = 100;

impl ClockParams {
    fn uses(&self, usage: ProbeUsage) -> bool {
        self.probes.iter().any(|p| p.stage_of_use == usage)
    }
}

/// Measures a run from its journal, whole or unfinished.
pub fn measure(lines: &[Line], params: &ClockParams) -> Measured {
    let facts = Facts::read(lines, params);
    let mut out = Measured {
        rto_ms: params.rto_ms,
        resolution_ms: params.probes.iter().filter(|p| p.decides()).map(|p| p.every_ms).max().unwrap_or(0),
        notes: history::lost(lines).into_iter().collect(),
        ..Measured::default()
    };
    let t0 = facts.t0(params);
    facts.gaps(t0.map(|t| t.low), &mut out);
    let Some(t0) = t0 else {
        out.notes.push("T0: nothing was injected and no recovery began, so nothing is measured".to_owned());
        return out;
    };
    out.notes.extend(t0.note.map(str::to_owned));
    if t0.high - t0.low >= 1_000 {
        out.notes.push(format!(
            "the fault took effect within {} after T0; the RTA counts from T0",
            in_words(t0.high - t0.low)
        ));
    }
    let times = facts.times(params, t0);
    out.outage = times.outage;
    out.outage_in_clean_up = facts.outage_in_clean_up;
    let survived = params.impact_none_expected && !times.outage;
    for (name, at) in &times.marks {
        out.marks.insert((*name).to_owned(), utc(*at));
    }
    if let Some(t7) = times.t7.filter(|_| !survived) {
        let rta = t7.at - t0.low;
        out.rta_ms = Some(rta);
        let unsure = facts.unsure(t0.low, t7.at, &mut out.notes);
        out.rta_low_ms = Some((t7.low - t0.high).saturating_sub(unsure).clamp(0, rta));
        out.rta_high_ms = Some((t7.high - t0.low).saturating_add(unsure).max(rta));
        out.phases = phases(&times.marks, t0.low, t7.at);
        // what was declared once the service was seen to be back decides nothing
        let declared = times.mark("t3").filter(|t3| facts.noted("t3", Some(t7.at)) == Some(*t3));
        out.from_declaration_ms = declared.map(|t3| t7.at - t3).filter(|ms| *ms >= 0);
        out.judged_ms = match params.rto_clock {
            RtoClock::Impact => out.rta_ms,
            RtoClock::Declaration => out.from_declaration_ms,
        };
        out.flaps = facts.flaps(t0.low, t7.at);
    } else {
        out.flaps = facts.flaps(t0.low, facts.last);
    }
    if out.outage_in_clean_up {
        out.notes.push("clients saw an outage in the clean-up, which is no part of the RTA".to_owned());
    } else if survived && facts.uses_deciding() {
        out.notes.push(format!("no client outage (resolution {})", in_words(out.resolution_ms)));
    }
    facts.capacity(t0.low, &mut out);
    out.restore_point_age_ms = facts.restored_to.map(|at| t0.low - at);
    facts.say(params, t0.low, &times, &mut out.notes);
    out
}

/// A mark that is noted so long after the time it gives was not made at that time.
const LATE_MS: i64 = 10_000;

/// How far ahead of the line that takes it a mark may lie: clocks of two machines are not the same.
const AHEAD_MS: i64 = 1_000;

/// The fault took effect between these two; the clock counts from the first.
#[derive(Clone, Copy)]
struct T0 {
    low: i64,
    high: i64,
    note: Option<&'static str>,
}

/// The recovery, between these two.
#[derive(Clone, Copy)]
struct T7 {
    at: i64,
    low: i64,
    high: i64,
}

struct Times {
    marks: Vec<(&'static str, i64)>,
    t7: Option<T7>,
    outage: bool,
}

impl Times {
    fn mark(&self, name: &str) -> Option<i64> {
        self.marks.iter().find(|(n, _)| *n == name).map(|(_, at)| *at)
    }
}

fn utc(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

impl Facts {
    /// By how much a reboot between these two widens the interval, with what is to be said of it.
    fn unsure(&self, from: i64, to: i64, notes: &mut Vec<String>) -> i64 {
        let mut all = 0_i64;
        for reboot in self.reboots.iter().filter(|r| (from..=to).contains(&r.at_ms)) {
            let across = "from one boot of a machine to another, in the recovery, only wall time counts";
            if let (Some(apart), Some(unsure)) = (reboot.apart_ms, reboot.unsure_ms) {
                all = all.saturating_add(unsure);
                let by = in_words(apart);
                notes.push(match unsure == apart {
                    true => format!(
                        "the clocks of the machine came apart by {by} in the recovery: it stood still, or its wall clock was \
                         set, and nobody compared it with AWS's since; the interval is wider by that"
                    ),
                    false => format!("the machine stood still for {by} in the recovery, by AWS's clock; that counts"),
                });
                continue;
            }
            notes.push(match reboot.unsure_ms {
                Some(ms) => {
                    all = all.saturating_add(ms);
                    format!(
                        "{across}; by AWS's clock it may be {} off, and the interval is wider by that",
                        in_words(ms)
                    )
                }
                None => format!(
                    "{across}, and nobody compared both clocks with AWS's: how far it is off is not known"
                ),
            });
        }
        all
    }

    fn deciding(&self) -> impl Iterator<Item = &History> {
        self.histories.iter().filter(|h| h.info.decides())
    }

    fn uses_deciding(&self) -> bool {
        self.deciding().next().is_some()
    }

    fn longest_hold(&self) -> i64 {
        self.deciding().map(|h| h.info.hold_ms).max().unwrap_or(0)
    }

    fn first_unhealthy(&self, from: i64) -> Option<i64> {
        self.deciding().filter_map(|h| h.first_unhealthy(from)).min()
    }

    fn t0(&self, params: &ClockParams) -> Option<T0> {
        if params.fault_steps.is_empty() {
            let at = self.recovery_stage?;
            let note = Some("T0 is the start of the recovery stage: this drill has no fault");
            return Some(T0 { low: at, high: at, note });
        }
        // a call that AWS refused had no effect
        let call = self.calls.iter().find(|c| !c.refused);
        // version 0.1.0 took the first call, whatever was broken before it
        let by_hand = self.hand_begun.filter(|at| self.format != 1 && call.is_none_or(|c| *at <= c.sent));
        let without_call = Some("T0 is the moment at which the fault step began: no call was sent for it");
        let (low, done, note) = match (by_hand, call) {
            (Some(begun), _) => (begun, self.hand_done, without_call),
            (None, Some(call)) => (call.sent, call.answered, None),
            (None, None) if self.calls.is_empty() => (self.fault_begun?, self.fault_done, without_call),
            (None, None) => return None,
        };
        let high = [done, self.first_unhealthy(low)].into_iter().flatten().min();
        Some(T0 { low, high: high.unwrap_or(self.last).max(low), note })
    }

    /// All recovery steps ready for all their targets.
    fn t5(&self, params: &ClockParams) -> Option<i64> {
        let mut last = None;
        for step in &params.recovery_steps {
            if let Some(at) = self.confirmed.get(step) {
                last = last.max(Some(*at));
                continue;
            }
            let none = BTreeSet::new();
            let mut targets = self.wanted.get(step).unwrap_or(&none).clone();
            if targets.is_empty() {
                targets.insert(None);
            }
            for target in targets {
                last = last.max(Some(*self.ready.get(&(step.clone(), target))?));
            }
        }
        last
    }

    /// The moment from `base` on from which on the newest answer of every verify probe was healthy, as long as
    /// they counted, and the earliest moment at which that may have been so.
    fn t6(&self, base: i64) -> Option<(i64, i64)> {
        let verify = || self.histories.iter().filter(|h| h.info.stage_of_use == ProbeUsage::Verify);
        let mut moments: Vec<i64> = verify()
            .flat_map(|h| h.of(Health::Healthy).map(|s| s.start))
            .map(|at| at.max(base))
            .chain([base])
            .collect();
        moments.sort_unstable();
        // version 0.1.0 took the first moment, whatever came after it
        let failed_later = |at: i64| {
            let failed = |s: &&Stretch| s.health != Health::Healthy && s.start > at;
            self.format != 1 && verify().any(|h| h.stretches.iter().any(|s| failed(&s)))
        };
        let all_healthy =
            |at: i64| verify().all(|h| h.newest_at(at).is_some_and(|s| s.health == Health::Healthy));
        let at = moments.into_iter().find(|at| all_healthy(*at) && !failed_later(*at))?;
        let low = verify().map(|h| h.healthy_not_before(at)).max()?;
        Some((at, low.clamp(base.min(at), at)))
    }

    fn times(&self, params: &ClockParams, t0: T0) -> Times {
        let t1 =
            self.alarms.iter().copied().filter(|at| *at >= t0.low).chain(self.noted_from(t0, "t1")).min();
        let t5 = self.t5(params);
        let restored = params.recovery_steps.is_empty() || t5.is_some();
        let t6 = (restored && params.uses(ProbeUsage::Verify))
            .then(|| self.t6(t5.unwrap_or(t0.low).max(t0.low)))
            .flatten();
        let verified = !params.uses(ProbeUsage::Verify) || t6.is_some();
        let (t7, outage) = if restored && verified {
            self.t7(t0, t5, t6)
        } else {
            (None, self.first_unhealthy(t0.low).is_some())
        };
        let marks = [
            ("t0", Some(t0.low)),
            ("t1", t1),
            ("t2", self.noted_from(t0, "t2")),
            ("t3", t7.and_then(|t7| self.noted("t3", Some(t7.at))).or_else(|| self.noted("t3", None))),
            ("t4", self.requested),
            ("t5", t5),
            ("t6", t6.map(|(at, _)| at)),
            ("t7", t7.map(|t| t.at)),
            ("t8", self.clean.filter(|_| !self.stuck && !self.left)),
        ];
        Times { marks: marks.into_iter().filter_map(|(n, at)| Some((n, at?))).collect(), t7, outage }
    }

    /// When people say that this was, of what the journal had by then.
    fn noted(&self, name: &str, by: Option<i64>) -> Option<i64> {
        let of = self.said.iter().filter(|(n, _, at)| *n == name && by.is_none_or(|by| *at <= by));
        of.map(|(_, said, _)| *said).min()
    }

    /// The same of what cannot have been before the fault: nobody sees it before it is there.
    fn noted_from(&self, t0: T0, name: &str) -> Option<i64> {
        // version 0.1.0 took the first, also one from before
        let counts = |at: &i64| self.format == 1 || *at >= t0.low;
        self.said.iter().filter(|(n, _, _)| *n == name).map(|(_, said, _)| *said).filter(counts).min()
    }

    /// The recovery, and whether there was an outage before it.
    fn t7(&self, t0: T0, t5: Option<i64>, t6: Option<(i64, i64)>) -> (Option<T7>, bool) {
        let done = t5.max(t6.map(|(at, _)| at)).map(|at| at.max(t0.low));
        let unhealthy = self.first_unhealthy(t0.low);
        // with no step to wait for, recovery can only follow an outage
        let Some(from) = done.or(unhealthy) else { return (None, false) };
        let mut moments: Vec<i64> = self
            .deciding()
            .flat_map(|h| h.of(Health::Healthy).map(|s| s.start))
            .map(|at| at.max(from))
            .chain([from])
            .collect();
        moments.sort_unstable();
        let hold = self.longest_hold();
        // version 0.1.0 took a check that had passed once for one that holds
        let checked = |at: i64| {
            let mut checks = self.histories.iter().filter(|h| h.info.stage_of_use == ProbeUsage::Verify);
            self.format == 1
                || !self.uses_deciding()
                || checks.all(|h| h.vouches(at, at.saturating_add(hold)))
        };
        let held = moments.into_iter().find(|at| {
            let through = |h: &History| h.healthy_through(*at, at.saturating_add(h.info.hold_ms));
            self.deciding().all(through) && checked(*at)
        });
        let Some(held) = held else { return (None, unhealthy.is_some()) };
        let outage = unhealthy.is_some_and(|at| at <= held);
        let at = match done {
            Some(done) if !outage => done,
            _ => held,
        };
        let low = self
            .deciding()
            .flat_map(|h| h.of(Health::Unhealthy))
            .filter(|s| s.start <= held && s.end >= t0.low)
            .map(|s| s.last_sent)
            .chain(t5)
            .chain(t6.map(|(_, low)| low))
            .max()
            .unwrap_or(at);
        (Some(T7 { at, low, high: held }), outage)
    }

    /// How often the service got healthy after the outage began and did not stay so for the hold.
    fn flaps(&self, t0: i64, until: i64) -> u32 {
        let Some(began) = self.first_unhealthy(t0) else { return 0 };
        let hold = self.longest_hold();
        let starts: BTreeSet<i64> = self
            .deciding()
            .flat_map(|h| h.of(Health::Healthy).map(|s| s.start))
            .filter(|at| *at > began && *at <= until)
            .collect();
        let mut flaps = 0;
        for at in starts {
            if self.deciding().any(|h| h.newest_at(at).is_none_or(|s| s.health != Health::Healthy)) {
                continue;
            }
            let broken = self.deciding().filter_map(|h| h.after(at)).min_by_key(|s| s.start);
            if broken.is_some_and(|s| s.health == Health::Unhealthy && s.start - at < hold) {
                flaps += 1;
            }
        }
        flaps
    }

    fn gaps(&self, t0: Option<i64>, out: &mut Measured) {
        let mut all: Vec<(i64, i64, bool)> = self
            .histories
            .iter()
            .filter(|h| h.info.stage_of_use == ProbeUsage::SteadyState)
            .flat_map(|h| &h.silences)
            .map(|s| (s.from, s.to, self.changes.iter().any(|(before, at)| s.from <= *at && *before <= s.to)))
            .chain(self.changes.iter().map(|(before, at)| (*before, *at, true)))
            .map(|(from, to, process)| (from.min(to), from.max(to), process))
            .filter(|(_, to, _)| t0.is_none_or(|t0| *to >= t0))
            .collect();
        all.sort_unstable();
        let mut merged: Vec<(i64, i64, bool)> = Vec::new();
        for (from, to, process) in all {
            match merged.last_mut() {
                Some(last) if from <= last.1 => {
                    last.1 = last.1.max(to);
                    last.2 |= process;
                }
                _ => merged.push((from, to, process)),
            }
        }
        // an hour of late probes makes thousands: the widest are listed, of the others it is said how many
        let mut widest = merged.clone();
        widest.sort_unstable_by_key(|(from, to, _)| (from - to, *from));
        let left_out = widest.split_off(widest.len().min(GAPS));
        if let Some((from, to, _)) = left_out.first() {
            out.gaps_left_out = left_out.len() as u64;
            let together: i64 = left_out.iter().map(|(from, to, _)| to - from).sum();
            out.notes.push(format!(
                "observation: {} more gaps, none wider than {} and {} together, are not listed",
                left_out.len(),
                in_words(to - from),
                in_words(together)
            ));
        }
        out.gaps = merged
            .into_iter()
            .filter(|gap| widest.contains(gap))
            .map(|(from, to, process)| Gap {
                from: utc(from),
                to: utc(to),
                why: if process { "no process was running" } else { "probe late" }.to_owned(),
            })
            .collect();
    }

    fn capacity(&self, t0: i64, out: &mut Measured) {
        let capacity = |p: &ProbeInfo| p.role == Role::Capacity && p.stage_of_use == ProbeUsage::SteadyState;
        let probes: Vec<&History> = self.histories.iter().filter(|h| capacity(&h.info)).collect();
        if probes.is_empty() {
            return;
        }
        let mut back = None;
        for history in probes {
            let Some(last) = history.of(Health::Unhealthy).rfind(|s| s.end >= t0) else { continue };
            let Some(healthy) = history.of(Health::Healthy).find(|s| s.start >= last.end) else {
                out.capacity_lost = true;
                out.notes.push(format!("capacity: `{}` was not back", history.info.name));
                return;
            };
            back = back.max(Some(healthy.start));
        }
        match back {
            Some(back) => out.capacity_ms = Some(back - t0),
            None => out.notes.push("capacity: no drop was observed".to_owned()),
        }
    }

    /// What a reader must know about the marks.
    fn say(&self, params: &ClockParams, t0: i64, times: &Times, notes: &mut Vec<String>) {
        const MEANING: [(&str, &str); 3] =
            [("t1", "T1 (detected)"), ("t2", "T2 (acknowledged)"), ("t3", "T3 (declared)")];
        let t4 = times.mark("t4");
        let end = times.t7.map(|t| t.at);
        // only what cannot have been before the fault
        let early = |name: &str| {
            let before = |(n, said, _): &(&str, i64, i64)| *n == name && *said < t0;
            name != "t3" && self.format != 1 && self.said.iter().any(before)
        };
        for (name, text) in MEANING {
            if early(name) {
                notes.push(format!("{text}: a mark from before T0 is not counted"));
            }
            match times.mark(name) {
                None if early(name) => {}
                None => notes.push(format!("{text}: not measured")),
                Some(at) if at < t0 => notes.push(format!("{text}: before T0, so it cuts no phase")),
                Some(at) if end.is_some_and(|end| at > end) => {
                    notes.push(format!("{text}: only after the recovery, so it cuts no phase"));
                }
                Some(at) if t4.is_some_and(|t4| at > t4) => {
                    notes.push(format!("{text}: only after the restore was requested"));
                }
                Some(_) => {}
            }
        }
        for (name, said, at) in &self.said {
            let late = at - said;
            let text = MEANING.iter().find(|(n, _)| n == name).map_or(*name, |(_, text)| text);
            if late >= LATE_MS {
                notes.push(format!("{text}: noted {} after the time it gives", in_words(late)));
            }
            if *name == "t3" && end.is_some_and(|end| *at > end && *said <= end) {
                notes.push(format!("{text}: noted after the recovery, so it does not count for the RTO"));
            }
        }
        for (name, ahead) in &self.ahead {
            let text = MEANING.iter().find(|(n, _)| n == name).map_or(*name, |(_, text)| text);
            let by = in_words(*ahead);
            notes.push(format!("{text}: a mark for {by} after it was recorded is not counted"));
        }
        if let (Some(t1), Some(detect)) = (times.mark("t1"), params.detect_ms)
            && t1 - t0 > detect
        {
            let (took, wanted) = (in_words(t1 - t0), in_words(detect));
            notes.push(format!("detected after {took}, later than the objective of {wanted}"));
        }
        if params.rto_clock == RtoClock::Declaration && times.mark("t3").is_none() {
            notes.push("the RTO counts from the declaration, and nobody declared".to_owned());
        }
        if !self.alarms.is_empty() && self.skew_ms.abs() >= 1_000 {
            let word = if self.skew_ms > 0 { "ahead of" } else { "behind" };
            let by = in_words(self.skew_ms.abs());
            notes.push(format!("the local clock is {by} {word} AWS's; alarm times are put right by that"));
        }
        if times.t7.is_none() && self.last - t0 >= params.give_up_ms {
            notes.push(format!("no recovery was seen within {}", in_words(params.give_up_ms)));
        }
    }
}

/// Cuts `[t0, t7]` at the marks inside it. Sums to `t7 - t0` exactly.
fn phases(marks: &[(&'static str, i64)], t0: i64, t7: i64) -> Vec<PhaseTime> {
    let mut cuts: Vec<(i64, &str)> = marks
        .iter()
        .filter(|(name, at)| !matches!(*name, "t0" | "t7" | "t8") && (t0..=t7).contains(at))
        .map(|(name, at)| (*at, *name))
        .collect();
    cuts.sort_unstable();
    cuts.insert(0, (t0, "t0"));
    cuts.push((t7, "t7"));
    cuts.windows(2)
        .map(|w| PhaseTime { from: w[0].1.to_owned(), to: w[1].1.to_owned(), ms: w[1].0 - w[0].0 })
        .collect()
}

#[cfg(test)]
mod tests;
