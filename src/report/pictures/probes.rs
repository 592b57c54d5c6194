//! What each probe saw: a strip for each, healthy low and full, unhealthy high and hatched, unknown dotted.

use super::super::{in_words, timeline};
use super::Picture;
use super::scale::Scale;
use super::svg::{Anchor, BAD, Canvas, GOOD, INK, LINE, MUTED, ON, SIDE, WIDTH, fit, width};
use crate::evidence::Record;
use crate::model::Health;
use crate::view::ProbeView;

const LEFT: f64 = 8.0;
const BARS: f64 = 190.0;
const RIGHT: f64 = WIDTH - 16.0;
const ROW: f64 = 30.0;

pub(super) fn draw(record: &Record) -> Option<Picture> {
    let run = &record.run;
    if run.probes.is_empty() {
        return None;
    }
    let (origin, what) = timeline::origin(run)?;
    let ms = |at: chrono::DateTime<chrono::Utc>| at.signed_duration_since(origin).num_milliseconds();
    let from = run.started_at.map_or(0, ms).min(0);
    let to = run.finished_at.or(run.last_at).map_or(0, ms);
    let scale = Scale::new(from, to, BARS, RIGHT);
    let mut canvas = Canvas::new("probes");
    let top = 24.0;
    #[expect(clippy::cast_precision_loss, reason = "a few rows")]
    let bottom = top + ROW * run.probes.len() as f64;
    scale.grid(&mut canvas, top, bottom, |ms| label(ms, what));
    for (probe, y) in run.probes.iter().zip((0..).map(|n| top + ROW * f64::from(n))) {
        let text = fit(&probe.name, 11.0, BARS - LEFT - 8.0);
        canvas.text(INK, 11.0, Anchor::Start, (LEFT, y + 19.0), &text);
        canvas.line(LINE, 1.0, (BARS, y + 26.0), (RIGHT, y + 26.0));
        for s in &probe.segments {
            let (x, end) = (scale.x(ms(s.from)), scale.x(ms(s.to)));
            let w = end - x;
            let word = match s.health {
                Health::Healthy => {
                    canvas.bar(GOOD, x, y + 12.0, w, 14.0);
                    "healthy"
                }
                Health::Unhealthy => {
                    canvas.hatched(BAD, x, y + 4.0, w, 22.0);
                    "unhealthy"
                }
                Health::Unknown => {
                    canvas.dotted(MUTED, x, y + 8.0, w, 18.0);
                    "unknown"
                }
            };
            if s.health == Health::Healthy && w > width(word, 10.0) + 8.0 {
                canvas.text(ON, 10.0, Anchor::Middle, (x + w / 2.0, y + 22.5), word);
            }
        }
    }
    let gaps = run.measured.iter().flat_map(|m| &m.gaps);
    for gap in gaps {
        let (x, end) = (scale.x(ms(gap.from)), scale.x(ms(gap.to)));
        canvas.hatched(SIDE, x, top, end - x, bottom - top);
    }
    marks(&mut canvas, record, &scale, ms, bottom);
    let y = legend(&mut canvas, bottom + 32.0, record);
    let description = run.probes.iter().map(in_a_sentence).collect::<Vec<_>>().join(" ");
    Some(canvas.finish(y, "What the probes saw".to_owned(), description))
}

/// The clock's marks as lines over everything, named where there is room.
pub(super) fn marks(
    canvas: &mut Canvas,
    record: &Record,
    scale: &Scale,
    ms: impl Fn(chrono::DateTime<chrono::Utc>) -> i64,
    bottom: f64,
) {
    let mut marks: Vec<_> = record.run.measured.iter().flat_map(|m| &m.marks).collect();
    marks.sort_by_key(|(name, at)| (**at, name.as_str()));
    // marks at one place share a label: `T0 T4`, `T5–T7`
    let mut places: Vec<(f64, Vec<String>)> = Vec::new();
    for (name, at) in marks {
        let (x, name) = (scale.x(ms(*at)), name.to_uppercase());
        canvas.dashed(INK, 1.0, (x, 18.0), (x, bottom));
        match places.last_mut() {
            Some((first, names)) if x - *first < 34.0 => names.push(name),
            _ => places.push((x, vec![name])),
        }
    }
    for (x, names) in places {
        let label = match names.as_slice() {
            [first, _, .., last] => format!("{first}–{last}"),
            few => few.join(" "),
        };
        canvas.bold(INK, 10.0, Anchor::Middle, (x, 13.0), &label);
    }
}

/// The label of a moment on an axis that counts from the origin.
pub(super) fn label(ms: i64, origin: &str) -> String {
    match ms {
        0 if origin == "T0" => "T0".to_owned(),
        0 => "start".to_owned(),
        ms if ms > 0 => format!("+{}", in_words(ms)),
        ms => in_words(ms).replacen('-', "−", 1),
    }
}

fn legend(canvas: &mut Canvas, y: f64, record: &Record) -> f64 {
    let mut x = BARS;
    let mut word = |canvas: &mut Canvas, text: &str| {
        canvas.text(INK, 10.0, Anchor::Start, (x + 24.0, y), text);
        let at = x;
        x += 24.0 + width(text, 10.0) + 18.0;
        at
    };
    let at = word(canvas, "healthy (low)");
    canvas.bar(GOOD, at, y - 9.0, 18.0, 10.0);
    let at = word(canvas, "unhealthy (high, hatched)");
    canvas.hatched(BAD, at, y - 9.0, 18.0, 10.0);
    let at = word(canvas, "unknown (dotted)");
    canvas.dotted(MUTED, at, y - 9.0, 18.0, 10.0);
    if record.run.measured.as_ref().is_some_and(|m| !m.gaps.is_empty()) {
        let at = word(canvas, "not observed");
        canvas.hatched(SIDE, at, y - 9.0, 18.0, 10.0);
    }
    y + 10.0
}

fn in_a_sentence(probe: &ProbeView) -> String {
    let stretches: Vec<String> = probe
        .segments
        .iter()
        .take(12)
        .map(|s| {
            let ms = s.to.signed_duration_since(s.from).num_milliseconds();
            format!("{} for {}", super::super::health_name(s.health), in_words(ms))
        })
        .collect();
    let more = probe.segments.len().saturating_sub(12);
    let more = if more > 0 { format!(", and {more} more stretches") } else { String::new() };
    format!("{}: {}{more}.", probe.name, stretches.join(", then "))
}
