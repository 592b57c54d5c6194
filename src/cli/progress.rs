//! The calm view of a run in progress, on stderr.
//!
//! On a terminal: what happened scrolls by above a few lines that stay: the stage, the countdown to
//! the RTO, the probes, the steps under way. Elsewhere: only what happened, one line each.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::out;
use crate::journal::{Event, Line, Phase};
use crate::model::{Health, Stage};
use crate::report::{clean, timeline};
use crate::view::{RunView, Status};

/// A progress view.
pub struct Progress {
    bar: Option<ProgressBar>,
    shown: usize,
    t0: Option<DateTime<Utc>>,
    start: Option<DateTime<Utc>>,
    colour: bool,
}

impl Progress {
    /// On a terminal with lines that stay, elsewhere without.
    pub fn new(on_terminal: bool) -> Self {
        let bar = on_terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            bar
        });
        let colour = on_terminal && std::env::var_os("NO_COLOR").is_none();
        Self { bar, shown: 0, t0: None, start: None, colour }
    }

    /// Takes a line that the view has taken already.
    pub fn update(&mut self, view: &RunView, line: &Line, now: DateTime<Utc>) {
        self.start = self.start.or(view.started_at);
        match &line.event {
            Event::CallSent { phase: Phase::Apply, .. } if view.stage() == Some(Stage::Fault) => {
                self.t0 = self.t0.or(Some(line.stamp.at));
            }
            Event::Stage { stage: Stage::Recovery } => self.t0 = self.t0.or(Some(line.stamp.at)),
            _ => {}
        }
        while let Some(moment) = view.moments.get(self.shown) {
            self.shown += 1;
            // counted from the start of the run: T0 is not known yet when the first lines scroll by
            let from = self.start.unwrap_or(moment.at);
            let text = format!("{}  {}", timeline::offset(from, moment.at), clean(&moment.what));
            match &self.bar {
                Some(bar) => bar.println(text),
                None => out::note(&text),
            }
        }
        self.draw(view, now);
    }

    /// Draws the lines that stay.
    pub fn draw(&self, view: &RunView, now: DateTime<Utc>) {
        let Some(bar) = &self.bar else { return };
        let mut text = String::new();
        let stage = view.stage().map_or("starting", stage_name);
        let _ = write!(text, "\n{stage:10}{}", self.countdown(view, now));
        for p in &view.probes {
            let seen = p.segments.last().map(|s| s.seen.as_str()).unwrap_or_default();
            let (dot, word) = match p.health() {
                Health::Healthy => (self.paint("32", "●"), "healthy"),
                Health::Unhealthy => (self.paint("31", "●"), "unhealthy"),
                Health::Unknown => (self.paint("33", "○"), "unknown"),
            };
            let line = format!("{:24.24} {word:10} {}", clean(&p.name), clean(seen));
            let _ = write!(text, "\n  {dot} {}", cut(&line));
        }
        for s in &view.steps {
            let busy: Vec<_> =
                s.cells.iter().filter(|c| matches!(c.status, Status::Started | Status::Applied)).collect();
            if busy.is_empty() && s.waiting.is_none() {
                continue;
            }
            let what = match &s.waiting {
                Some(text) => format!("waits for you: {text} (press Enter when it is done)"),
                None => {
                    busy.iter().find_map(|c| c.progress.clone()).unwrap_or_else(|| "under way".to_owned())
                }
            };
            let line = format!("{:24.24} {}", s.id.as_str(), clean(&what));
            let _ = write!(text, "\n  {} {}", self.paint("36", "▸"), cut(&line));
        }
        bar.set_message(text);
        bar.tick();
    }

    fn countdown(&self, view: &RunView, now: DateTime<Utc>) -> String {
        let (Some(header), Some(t0)) = (&view.header, self.t0) else { return String::new() };
        if let Some(since) = view.steady_since {
            return format!("recovered {} after T0", clock(since - t0));
        }
        let left = chrono::TimeDelta::milliseconds(header.rto_ms) - (now - t0);
        if left < chrono::TimeDelta::zero() {
            self.paint("31", &format!("RTO missed by {}", clock(-left)))
        } else {
            format!("{} left of the RTO", clock(left))
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Removes the lines that stay.
    pub fn end(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn cut(line: &str) -> String {
    line.chars().take(out::width().saturating_sub(5)).collect()
}

fn clock(d: chrono::TimeDelta) -> String {
    let s = d.num_seconds();
    format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Preflight => "preflight",
        Stage::Baseline => "baseline",
        Stage::Fault => "fault",
        Stage::Impact => "impact",
        Stage::Recovery => "recovery",
        Stage::Verify => "verify",
        Stage::Hold => "hold",
        Stage::Undo => "clean-up",
    }
}
