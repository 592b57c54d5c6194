//! The calm view of a run in progress, on stderr.
//!
//! On a terminal: what happened scrolls by above a few lines that stay: the stage, the countdown to
//! the RTO, the probes, the steps under way. Elsewhere: only what happened, one line each.
//!
//! While nobody reads, nothing is drawn; what happened meanwhile is told afterwards, or, where that is too
//! much, how much of it was left out.

use std::fmt::Write as _;
use std::io;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::out;
use crate::journal::{Event, Line, Phase};
use crate::model::{Health, Stage};
use crate::report::{clean, timeline};
use crate::view::{RunView, Status};

/// How many lines are told at once; of more, only the newest …
const MOST: usize = 200;
/// … this many.
const NEWEST: usize = 50;

/// A progress view.
pub struct Progress {
    bar: Option<ProgressBar>,
    shown: usize,
    t0: Option<DateTime<Utc>>,
    start: Option<DateTime<Utc>>,
    /// What a signal has changed, as long as the run goes on.
    stopping: Option<String>,
    colour: bool,
}

impl Progress {
    /// On a terminal with lines that stay, elsewhere without.
    pub fn new(on_terminal: bool) -> Self {
        let bar = on_terminal.then(|| {
            let frames = ProgressDrawTarget::term_like_with_hz(Box::new(Frames::default()), 4);
            let bar = ProgressBar::with_draw_target(None, frames);
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            bar
        });
        let colour = on_terminal && std::env::var_os("NO_COLOR").is_none();
        Self { bar, shown: 0, t0: None, start: None, stopping: None, colour }
    }

    /// Takes a line that the view has taken already.
    pub fn update(&mut self, view: &RunView, line: &Line, now: DateTime<Utc>) {
        self.start = self.start.or(view.started_at);
        match &line.event {
            Event::CallSent { phase: Phase::Apply, .. } if view.stage() == Some(Stage::Fault) => {
                self.t0 = self.t0.or(Some(line.stamp.at));
            }
            Event::Signal { now, .. } => self.stopping.clone_from(now),
            Event::StopRequested { .. } => {
                self.stopping.get_or_insert_with(|| "stopping".to_owned());
            }
            Event::Stage { stage: Stage::Recovery } => self.t0 = self.t0.or(Some(line.stamp.at)),
            _ => {}
        }
        self.draw(view, now);
    }

    /// A line from elsewhere.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => out::note(text),
        }
    }

    /// Tells what happened since.
    fn catch_up(&mut self, view: &RunView) {
        let untold = view.moments.len().saturating_sub(self.shown);
        if untold > MOST {
            let left_out = untold - NEWEST;
            self.say(&format!("… {left_out} earlier lines are left out"));
            self.shown += left_out;
        }
        while let Some(moment) = view.moments.get(self.shown) {
            self.shown += 1;
            // counted from the start of the run: T0 is not known yet when the first lines scroll by
            let from = self.start.unwrap_or(moment.at);
            self.say(&format!("{}  {}", timeline::offset(from, moment.at), clean(&moment.what)));
        }
    }

    /// Draws the lines that stay.
    pub fn draw(&mut self, view: &RunView, now: DateTime<Utc>) {
        if !out::takes(self.bar.is_some()) {
            return;
        }
        self.catch_up(view);
        let Some(bar) = &self.bar else { return };
        let mut text = String::new();
        let stage = view.stage().map_or("starting", stage_name);
        match &self.stopping {
            // what is being put back no longer runs against the RTO; all of it is shown, over several lines
            Some(what) => {
                for (n, part) in lines(what, out::width().saturating_sub(11)).iter().enumerate() {
                    let stage = if n == 0 { stage } else { "" };
                    let _ = write!(text, "\n{stage:10}{part}");
                }
            }
            None => _ = write!(text, "\n{stage:10}{}", self.countdown(view, now)),
        }
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

    /// Tells the rest, and removes the lines that stay.
    pub fn end(&mut self, view: &RunView) {
        self.catch_up(view);
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What is drawn, handed on a frame at a time: the library would write, and wait, by itself.
#[derive(Debug, Default)]
struct Frames(Mutex<String>);

impl Frames {
    fn add(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }

    /// ECMA-48: moves the cursor.
    fn go(&self, n: usize, way: char) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.add(&format!("\u{1b}[{n}{way}")) }
    }
}

impl TermLike for Frames {
    fn width(&self) -> u16 {
        out::screen().map_or(80, |(columns, _)| columns)
    }

    fn height(&self) -> u16 {
        out::screen().map_or(24, |(_, rows)| rows)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.go(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.go(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.go(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.go(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\u{1b}[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let frame = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if !frame.is_empty() {
            out::raw(frame);
        }
        Ok(())
    }
}

/// A text over as many lines as it takes, broken at blanks.
fn lines(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in clean(text).split(' ') {
        let line =
            lines.last_mut().filter(|l| l.is_empty() || l.chars().count() + word.chars().count() < width);
        match line {
            Some(line) if line.is_empty() => word.clone_into(line),
            Some(line) => _ = write!(line, " {word}"),
            None => lines.push(word.to_owned()),
        }
    }
    lines
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_shown_whole() {
        let text =
            "rolling back: `cut` is put back; once more: only undo, which leaves i-0123456789abcdef0 lost";
        let shown = lines(text, 30);
        assert_eq!(shown.join(" "), text);
        assert!(shown.len() > 3 && shown.iter().all(|l| l.chars().count() <= 30), "{shown:?}");
        assert_eq!(lines("i-0123456789abcdef0 is longer", 10), ["i-0123456789abcdef0", "is longer"]);
    }
}
