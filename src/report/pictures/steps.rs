//! When each step ran on each target: a bar from sending to ready, and a sign for how it ended.

use chrono::{DateTime, Utc};

use super::super::{in_words, lower, timeline};
use super::Picture;
use super::probes::{label, marks};
use super::scale::{Row, Scale};
use super::svg::{Anchor, BAD, BAR, Canvas, GOOD, INK, LINE, MUTED, ON, SIDE, WIDTH, fit, width};
use crate::evidence::Record;
use crate::view::{CellView, Ending, Status, StepView};

const LEFT: f64 = 8.0;
const BARS: f64 = 236.0;
const RIGHT: f64 = WIDTH - 16.0;
const ROW: f64 = 22.0;
/// More rows than this nobody reads; the tables have all of them.
const ROWS: usize = 60;

pub(super) fn draw(record: &Record) -> Option<Picture> {
    let run = &record.run;
    let (origin, what) = timeline::origin(run)?;
    let ms = |at: DateTime<Utc>| at.signed_duration_since(origin).num_milliseconds();
    let sent: Vec<(&StepView, &CellView, DateTime<Utc>)> = run
        .steps
        .iter()
        .flat_map(|s| s.cells.iter().filter_map(move |c| Some((s, c, c.started_at?))))
        .collect();
    if sent.is_empty() {
        return None;
    }
    let last = run.finished_at.or(run.last_at).unwrap_or(origin);
    let scale = Scale::new(run.started_at.map_or(0, ms).min(0), ms(last), BARS, RIGHT);
    let mut canvas = Canvas::new("steps");
    let shown = &sent[..sent.len().min(ROWS)];
    let top = 38.0;
    #[expect(clippy::cast_precision_loss, reason = "a few rows")]
    let bottom = top + ROW * shown.len() as f64 + 4.0;
    scale.grid(&mut canvas, top, bottom, |ms| label(ms, what));
    stages(&mut canvas, record, &scale, ms, top);
    let mut y = top + 4.0;
    for (step, cell, from) in shown {
        let name = match &cell.target {
            Some(target) => format!("{} · {target}", step.id),
            None => step.id.to_string(),
        };
        let text = fit(&name, 10.5, BARS - LEFT - 8.0);
        canvas.text(INK, 11.0, Anchor::Start, (LEFT, y + 11.0), &text);
        cell_row(&mut canvas, &scale, cell, ms(*from), ms(last), &ms, y);
        y += ROW;
    }
    marks(&mut canvas, record, &scale, ms, bottom);
    let mut y = legend(&mut canvas, bottom + 32.0);
    if sent.len() > shown.len() {
        let more = format!("and {} more, in the tables", sent.len() - shown.len());
        canvas.text(MUTED, 10.0, Anchor::Start, (LEFT, y + 6.0), &more);
        y += 16.0;
    }
    let description = shown.iter().map(|(s, c, _)| in_a_sentence(s, c)).collect::<Vec<_>>().join(" ");
    Some(canvas.finish(y, "When each step ran".to_owned(), description))
}

/// One step on one target.
fn cell_row(
    canvas: &mut Canvas,
    scale: &Scale,
    cell: &CellView,
    from: i64,
    last: i64,
    ms: &impl Fn(DateTime<Utc>) -> i64,
    y: f64,
) {
    let height = ROW - 8.0;
    let middle = y + height / 2.0;
    let start = scale.x(from);
    let to = cell.ready_at.map(ms);
    let end = scale.x(to.unwrap_or(last));
    match (cell.status, to) {
        (_, Some(to)) => {
            canvas.bar(BAR, start, y, end - start, height);
            let text = in_words(to - from);
            let room = width(&text, 10.0) + 12.0;
            if end + room < RIGHT {
                canvas.text(INK, 10.0, Anchor::Start, (end + 5.0, y + 10.5), &text);
            } else if start - room > BARS {
                canvas.text(INK, 10.0, Anchor::End, (start - 5.0, y + 10.5), &text);
            } else if end - start > room {
                canvas.text(ON, 10.0, Anchor::Middle, (f64::midpoint(start, end), y + 10.5), &text);
            }
        }
        (Status::Failed, None) => canvas.cross(BAD, start + 4.0, middle),
        // accepted or unknown, and never seen to be ready
        (_, None) => canvas.hatched(SIDE, start, y, end - start, height),
    }
    match &cell.ending {
        Some(Ending::Undone { at, .. }) => canvas.diamond(GOOD, scale.x(ms(*at)), middle),
        Some(Ending::Kept { at, .. }) => canvas.bar(GOOD, scale.x(ms(*at)) - 4.0, middle - 4.0, 8.0, 8.0),
        Some(Ending::Stuck { .. } | Ending::Undoing { .. } | Ending::Left { .. }) => {
            canvas.cross(BAD, RIGHT + 6.0, middle);
        }
        None => {}
    }
}

/// The stages, named where there is room.
fn stages(canvas: &mut Canvas, record: &Record, scale: &Scale, ms: impl Fn(DateTime<Utc>) -> i64, top: f64) {
    let mut row = Row::default();
    for s in &record.run.stages {
        let (x, name) = (scale.x(ms(s.from)), lower(s.stage));
        canvas.line(LINE, 1.0, (x, top - 14.0), (x, top));
        let end = s.to.map_or(RIGHT, |to| scale.x(ms(to)));
        if end - x > width(&name, 10.0) && row.take(x, x + width(&name, 10.0)) {
            canvas.text(MUTED, 10.0, Anchor::Start, (x + 3.0, top - 5.0), &name);
        }
    }
}

fn legend(canvas: &mut Canvas, y: f64) -> f64 {
    let mut x = BARS;
    let mut word = |canvas: &mut Canvas, text: &str| {
        canvas.text(INK, 10.0, Anchor::Start, (x + 18.0, y), text);
        let at = x;
        x += 18.0 + width(text, 10.0) + 12.0;
        at
    };
    let at = word(canvas, "sent to ready");
    canvas.bar(BAR, at, y - 9.0, 13.0, 10.0);
    let at = word(canvas, "never seen ready");
    canvas.hatched(SIDE, at, y - 9.0, 13.0, 10.0);
    let at = word(canvas, "put back");
    canvas.diamond(GOOD, at + 8.0, y - 4.0);
    let at = word(canvas, "kept");
    canvas.bar(GOOD, at + 4.0, y - 8.0, 8.0, 8.0);
    let at = word(canvas, "failed, or left behind");
    canvas.cross(BAD, at + 8.0, y - 4.0);
    y + 12.0
}

fn in_a_sentence(step: &StepView, cell: &CellView) -> String {
    let on = cell.target.as_ref().map(|t| format!(" on {t}")).unwrap_or_default();
    format!("{}{on}: {}.", step.id, super::super::cell_status(step, cell))
}
