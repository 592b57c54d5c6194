//! The recovery against its objective, then each phase enlarged.

use super::super::{in_words, mark_name};
use super::Picture;
use super::scale::Scale;
use super::svg::{Anchor, BAD, BAR, Canvas, GOOD, INK, LINE, MUTED, SIDE, WIDTH, fit, width};
use crate::evidence::Record;
use crate::evidence::record::Status;
use crate::journal::Measured;

const LEFT: f64 = 8.0;
/// Where the names of the phases end and their bars begin.
const BARS: f64 = 268.0;
const RIGHT: f64 = WIDTH - 16.0;
const ROW: f64 = 24.0;

pub(super) fn draw(record: &Record) -> Option<Picture> {
    let m = record.run.measured.as_ref()?;
    let t0 = *m.marks.get("t0")?;
    let since = |at: chrono::DateTime<chrono::Utc>| at.signed_duration_since(t0).num_milliseconds();
    let end = record.run.finished_at.or(record.run.last_at).map_or(0, since);
    let mut canvas = Canvas::new("clock");
    // where the clock starts at the declaration, so does the objective
    let start = if record.objectives.clock == "declaration" { record.measures.declare_ms } else { None };
    let goal = start.unwrap_or(0) + m.rto_ms;
    let whole = m.rta_ms.unwrap_or(end).max(goal);
    let mut y = objective(&mut canvas, record, m, &Scale::new(0, whole + whole / 12, LEFT, RIGHT), goal, end);
    if m.rta_ms.is_some() && !m.phases.is_empty() {
        y = phases(&mut canvas, record, m, y + 26.0);
    }
    let title = match m.rta_ms {
        Some(rta) => format!("Recovery in {} against an objective of {}", in_words(rta), in_words(m.rto_ms)),
        None => format!("No recovery measured against an objective of {}", in_words(m.rto_ms)),
    };
    Some(canvas.finish(y + 8.0, title, description(record, m)))
}

/// The upper part: one bar on a scale that holds both; gives where it ends.
fn objective(canvas: &mut Canvas, record: &Record, m: &Measured, scale: &Scale, goal: i64, end: i64) -> f64 {
    let (top, height) = (34.0, 22.0);
    let bottom = top + height + 12.0;
    scale.grid(canvas, top - 6.0, bottom, |ms| if ms == 0 { "T0".to_owned() } else { in_words(ms) });
    match m.rta_ms {
        Some(rta) => {
            let missed =
                record.result.objectives.iter().any(|o| o.key == "rto" && o.status == Status::NotSatisfied);
            let (to, label) = (scale.x(rta), format!("RTA {}", in_words(rta)));
            if missed {
                canvas.hatched(BAD, LEFT, top, to - LEFT, height);
            } else {
                canvas.bar(BAR, LEFT, top, to - LEFT, height);
            }
            if let (Some(low), Some(high)) = (m.rta_low_ms, m.rta_high_ms) {
                whisker(canvas, scale.x(low), scale.x(high), top + height / 2.0);
            }
            // above the bar, where nothing is in its way
            let room = width(&label, 12.0);
            let x = (to - room / 2.0).clamp(LEFT, RIGHT - room);
            canvas.bold(INK, 12.0, Anchor::Start, (x, top - 12.0), &label);
        }
        None => {
            canvas.hatched(SIDE, LEFT, top, scale.x(end) - LEFT, height);
            canvas.bold(INK, 12.0, Anchor::Start, (LEFT, top - 12.0), "recovery not measured");
        }
    }
    let x = scale.x(goal);
    canvas.dashed(BAD, 2.0, (x, top - 8.0), (x, bottom));
    let label = format!("RTO {}", in_words(m.rto_ms));
    let room = width(&label, 12.0);
    let taken =
        m.rta_ms.map_or(150.0, |rta| scale.x(rta) + width(&format!("RTA {}", in_words(rta)), 12.0) / 2.0);
    // on the other line where the two labels would touch
    let at = (x + 6.0).min(RIGHT - room);
    let y = if at < taken + 8.0 && at + room > taken - 160.0 { 10.0 } else { top - 12.0 };
    canvas.bold(BAD, 12.0, Anchor::Start, (at, y), &label);
    bottom + 14.0
}

/// The error interval, as a bracket over a bar.
fn whisker(canvas: &mut Canvas, from: f64, to: f64, y: f64) {
    canvas.line(INK, 2.0, (from, y), (to, y));
    for x in [from, to] {
        canvas.line(INK, 2.0, (x, y - 7.0), (x, y + 7.0));
    }
}

/// The lower part: a row for each phase on a scale of its own; gives where it ends.
fn phases(canvas: &mut Canvas, record: &Record, m: &Measured, top: f64) -> f64 {
    let rta = m.rta_ms.unwrap_or(0);
    let after = match (m.marks.get("t7"), m.marks.get("t8")) {
        (Some(t7), Some(t8)) => t8.signed_duration_since(*t7).num_milliseconds(),
        _ => 0,
    };
    // what follows may take far longer than the recovery; it is cut off, and says how long it took
    let shown = after.min(rta / 5).max(rta / 40);
    let scale = Scale::new(0, rta + shown, BARS, RIGHT - 70.0);
    canvas.bold(INK, 12.0, Anchor::Start, (LEFT, top), "Phases of the recovery, enlarged");
    let first = top + 12.0;
    let rows = m.phases.len() + usize::from(after > 0) + usize::from(bounds(m).is_some());
    #[expect(clippy::cast_precision_loss, reason = "a few rows")]
    let bottom = first + ROW * rows as f64 + 4.0;
    scale.grid(canvas, first, bottom, |ms| if ms == 0 { "T0".to_owned() } else { in_words(ms) });
    for gap in &m.gaps {
        if let Some(t0) = m.marks.get("t0") {
            let ms = |at: chrono::DateTime<chrono::Utc>| at.signed_duration_since(*t0).num_milliseconds();
            if ms(gap.to) > 0 && ms(gap.from) < rta {
                let (from, to) = (scale.x(ms(gap.from)), scale.x(ms(gap.to)));
                canvas.dotted(LINE, from, first, to - from, bottom - first);
            }
        }
    }
    let mut y = first + 4.0;
    let mut at = 0;
    for phase in &m.phases {
        let (from, to) = (scale.x(at), scale.x(at + phase.ms));
        let name = format!(
            "{} {} → {} {}",
            upper(&phase.from),
            mark_name(&record.run, &phase.from),
            upper(&phase.to),
            mark_name(&record.run, &phase.to)
        );
        row(canvas, &name, y);
        canvas.bar(BAR, from, y, to - from, ROW - 8.0);
        value(canvas, to, y, &in_words(phase.ms));
        at += phase.ms;
        y += ROW;
    }
    if let Some((low, high)) = bounds(m) {
        row(canvas, "T7 lies between", y);
        whisker(canvas, scale.x(low), scale.x(high), y + (ROW - 8.0) / 2.0);
        value(canvas, scale.x(high), y, &format!("± {}", in_words((high - low) / 2)));
        y += ROW;
    }
    if after > 0 {
        row(canvas, "T7 recovered → T8 clean (not in the RTA)", y);
        let (from, to) = (scale.x(rta), scale.x(rta + after));
        let cut = after > shown;
        canvas.hatched(SIDE, from, y, to - from - if cut { 8.0 } else { 0.0 }, ROW - 8.0);
        if cut {
            canvas.arrow(SIDE, to - 8.0, y + (ROW - 8.0) / 2.0, ROW - 8.0);
        }
        value(canvas, to, y, &in_words(after));
    }
    let left = scale.x(0);
    canvas.line(LINE, 1.0, (left, first), (left, bottom));
    let met = record.result.objectives.iter().any(|o| o.key == "rto" && o.status == Status::Satisfied);
    let x = scale.x(rta);
    canvas.dashed(if met { GOOD } else { BAD }, 1.5, (x, first), (x, bottom));
    canvas.text(MUTED, 10.0, Anchor::Middle, (x, first - 4.0), "T7");
    bottom + 18.0
}

fn row(canvas: &mut Canvas, name: &str, y: f64) {
    canvas.text(INK, 11.0, Anchor::Start, (LEFT, y + 12.0), &fit(name, 10.0, BARS - LEFT - 8.0));
}

fn value(canvas: &mut Canvas, x: f64, y: f64, text: &str) {
    // right of the bar; the scale leaves room there
    canvas.text(INK, 11.0, Anchor::Start, (x + 5.0, y + 12.0), text);
}

/// The interval of the RTA, where it is one.
fn bounds(m: &Measured) -> Option<(i64, i64)> {
    let (low, high) = (m.rta_low_ms?, m.rta_high_ms?);
    (low < high).then_some((low, high))
}

fn upper(mark: &str) -> String {
    mark.to_uppercase()
}

fn description(record: &Record, m: &Measured) -> String {
    let mut out = match (m.rta_ms, m.judged_ms) {
        (Some(rta), Some(judged)) => {
            let margin = m.rto_ms - judged;
            let word = if margin >= 0 { "to spare" } else { "too late" };
            format!("The recovery took {}; {} {word}.", in_words(rta), in_words(margin.abs()))
        }
        (Some(rta), None) => format!("The recovery took {}.", in_words(rta)),
        (None, _) => "The service was not seen to recover.".to_owned(),
    };
    if let Some((low, high)) = bounds(m) {
        let line = format!(" It lies between {} and {}.", in_words(low), in_words(high));
        out.push_str(&line);
    }
    for p in &m.phases {
        let line = format!(
            " {} to {}: {}.",
            mark_name(&record.run, &p.from),
            mark_name(&record.run, &p.to),
            in_words(p.ms)
        );
        out.push_str(&line);
    }
    if record.objectives.clock == "declaration" {
        out.push_str(" The objective counts from the declaration.");
    }
    out
}
