//! From milliseconds to a place on an axis.

use super::svg::{Anchor, Canvas, GRID, MUTED};

/// Steps that an axis may have, in milliseconds.
const STEPS: &[i64] = &[
    1,
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    900_000,
    1_800_000,
    3_600_000,
    7_200_000,
    10_800_000,
    21_600_000,
    43_200_000,
    86_400_000,
    172_800_000,
    604_800_000,
];

/// An axis: a stretch of time and the place that it is drawn in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    from: i64,
    to: i64,
    left: f64,
    right: f64,
}

impl Scale {
    /// From `from` to `to` (milliseconds), drawn between `left` and `right`.
    pub(super) fn new(from: i64, to: i64, left: f64, right: f64) -> Self {
        Self { from, to: to.max(from.saturating_add(1)), left, right }
    }

    /// The place of a moment; what lies outside is drawn at the edge.
    #[expect(clippy::cast_precision_loss, reason = "a picture has far fewer places than a float")]
    pub(super) fn x(&self, ms: i64) -> f64 {
        let ms = ms.clamp(self.from, self.to);
        let share = (ms - self.from) as f64 / (self.to - self.from) as f64;
        self.left + share * (self.right - self.left)
    }

    /// Round moments, about `n` of them.
    fn ticks(&self, n: i64) -> Vec<i64> {
        let span = self.to - self.from;
        let step = STEPS.iter().copied().find(|s| span / s <= n).unwrap_or(span / n.max(1)).max(1);
        let first = self.from.div_euclid(step) * step;
        (0..=n + 1).map(|i| first + i * step).filter(|ms| (self.from..=self.to).contains(ms)).collect()
    }

    /// Draws a grid from `top` to `bottom`, with `label` under each line.
    pub(super) fn grid(&self, canvas: &mut Canvas, top: f64, bottom: f64, label: impl Fn(i64) -> String) {
        for ms in self.ticks(7) {
            let x = self.x(ms);
            canvas.line(GRID, 1.0, (x, top), (x, bottom));
            canvas.text(MUTED, 10.0, Anchor::Middle, (x, bottom + 13.0), &label(ms));
        }
    }
}

/// Labels along a line that must not touch: the first that comes has the place.
#[derive(Debug, Default)]
pub(super) struct Row {
    taken: f64,
}

impl Row {
    /// Whether there is room from `from` to `to`; then it is taken.
    pub(super) fn take(&mut self, from: f64, to: f64) -> bool {
        let free = from >= self.taken;
        if free {
            self.taken = to + 4.0;
        }
        free
    }
}
