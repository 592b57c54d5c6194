//! A plan as people read it: what will happen, to what, and what was found. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::{clean, short, words};
use crate::catalog;
use crate::catalog::action::{After, Reversibility, Severity};
use crate::drill::{Role, Unreadable, refs};
use crate::model::pattern::{OneOrMany, is_pattern};
use crate::model::{Stage, Target};
use crate::plan::{Plan, PlannedStep};

/// How many targets of a selector are listed one by one.
const LISTED: usize = 12;
/// How many tags of a target are listed.
const TAGS: usize = 12;
/// How much of a tag is shown.
const LONGEST_TAG: usize = 100;
/// Widest column but the last.
const WIDEST: usize = 40;
/// The least room beside a label.
const LEAST: usize = 12;
/// Narrowest page that is still laid out.
const NARROWEST: usize = 40;

/// The plan in plain text, wrapped to `width` columns.
pub fn plan_text(plan: &Plan, width: usize) -> String {
    let mut page = Page { out: String::new(), width: width.max(NARROWEST) };
    head(plan, &mut page);
    exercise(plan, &mut page);
    targets(plan, &mut page);
    steps(plan, &mut page);
    watched(plan, &mut page);
    limits(plan, &mut page);
    findings(plan, &mut page);
    page.blank();
    let n = plan.permissions.len();
    page.hanging("", &format!("{n} permissions are needed; `redrill plan --output json` lists them."));
    page.hanging("", &format!("Plan sha256 {}", plan.sha256()));
    page.out
}

struct Page {
    out: String,
    width: usize,
}

impl Page {
    fn blank(&mut self) {
        self.out.push('\n');
    }

    fn title(&mut self, text: &str) {
        self.blank();
        self.hanging("", text);
    }

    /// A text after a label; further lines start below the text.
    fn hanging(&mut self, label: &str, text: &str) {
        let indent = label.chars().count();
        if indent + LEAST > self.width {
            // no room beside the label: it is text like the rest
            let margin = " ".repeat(indent - label.trim_start().chars().count() + 2);
            return self.hanging(&margin[2..], &format!("{label} {text}"));
        }
        let room = self.width.saturating_sub(indent).max(LEAST);
        for (n, line) in wrap(&clean(text), room).into_iter().enumerate() {
            if n == 0 {
                self.out.push_str(label);
            } else {
                self.out.push_str(&" ".repeat(indent));
            }
            self.out.push_str(&line);
            let end = self.out.trim_end_matches(' ').len();
            self.out.truncate(end);
            self.blank();
        }
    }

    /// Rows whose columns line up; the last one wraps.
    fn table(&mut self, indent: usize, rows: &[Vec<String>]) {
        let narrow = |row: &Vec<String>| {
            let last = row.len().saturating_sub(1);
            row.iter()
                .enumerate()
                .map(|(n, c)| if n < last { short(&clean(c), WIDEST) } else { c.clone() })
                .collect()
        };
        let rows: Vec<Vec<String>> = rows.iter().map(narrow).collect();
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|c| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0))
            .collect();
        for row in &rows {
            let mut label = " ".repeat(indent);
            let Some((last, first)) = row.split_last() else { continue };
            for (cell, width) in first.iter().zip(&widths).filter(|(_, width)| **width > 0) {
                let _ = write!(label, "{cell:<width$}  ");
            }
            self.hanging(&label, last);
        }
    }
}

/// Breaks a text at blanks; a word that is longer than the line is broken, too.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words(text, width) {
        let used = lines.last().map_or(0, |l| l.chars().count());
        let fits = used + usize::from(used > 0) + word.chars().count() <= width;
        match lines.last_mut() {
            Some(line) if used == 0 || fits => {
                if used > 0 {
                    line.push(' ');
                }
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.iter().map(|c| (*c).to_owned()).collect()
}

fn head(plan: &Plan, page: &mut Page) {
    let drill = &plan.drill;
    page.hanging("", &drill.title);
    page.blank();
    let mut world = format!("{} account {}, {}", plan.world, plan.account, plan.region);
    if let Some(endpoint) = &plan.endpoint {
        let _ = write!(world, ", endpoint {endpoint}");
    }
    for (service, endpoint) in &plan.endpoints {
        let _ = write!(world, ", {service} at {endpoint}");
    }
    let o = &drill.objectives;
    let mut objectives = format!("RTO {}", o.rto);
    if let Some(rpo) = o.rpo {
        let _ = write!(objectives, ", RPO {rpo}");
    }
    if let Some(detect) = o.detect {
        let _ = write!(objectives, ", detect within {detect}");
    }
    let _ = write!(objectives, "; gives up after {}", o.give_up());
    let mut name = format!("{}, service {}", drill.name, drill.service);
    if let Some(environment) = &plan.environment {
        let _ = write!(name, ", environment {environment}");
    }
    let seed = plan.seed.to_string();
    page.table(
        2,
        &[
            row(["drill", &name]),
            row(["world", &world]),
            row(["caller", &plan.caller]),
            row(["objectives", &objectives]),
            row(["seed", &seed]),
        ],
    );
}

/// Who takes part and on whose authority, where anything is said.
fn exercise(plan: &Plan, page: &mut Page) {
    let e = &plan.drill.exercise;
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut say = |what: &str, text: String| {
        if !text.is_empty() {
            rows.push(row([what, &text]));
        }
    };
    let announced = e.announced.map(|a| if a { "announced" } else { "not announced" });
    let kind = [e.kind.map(|k| k.name()), announced];
    say("type", kind.into_iter().flatten().collect::<Vec<_>>().join(", "));
    say("ticket", e.ticket.clone().unwrap_or_default());
    for a in &e.approved_by {
        let at = a.at.map(|at| format!(", {}", at.format("%Y-%m-%d %H:%M UTC"))).unwrap_or_default();
        say("approved by", format!("{}{at}", a.name));
    }
    for p in &e.participants {
        say("takes part", format!("{} ({})", p.name, p.role));
    }
    if let Some(d) = &e.plan {
        let version = d.version.as_ref().map(|v| format!(", version {v}")).unwrap_or_default();
        say("tests", format!("{}{version}", d.title));
    }
    if !rows.is_empty() {
        page.title("Exercise");
        page.table(2, &rows);
    }
}

fn targets(plan: &Plan, page: &mut Page) {
    if plan.targets.is_empty() {
        return;
    }
    page.title("Targets");
    for (name, planned) in &plan.targets {
        let drawn = planned.drawn.len();
        let matched = match planned.matched == drawn {
            true => String::new(),
            false => format!("{} match, ", planned.matched),
        };
        // what all of them share is said once
        let none = BTreeMap::new();
        let shared = plan.drill.targets.get(name).map_or(&none, |s| &s.tags);
        let with: Vec<String> = shared.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let with = if with.is_empty() { String::new() } else { format!(" with {}", with.join(" ")) };
        let exist = planned.population;
        page.hanging("  ", &format!("{name}: {drawn} {}{with} ({matched}{exist} exist)", planned.resource));
        let rows: Vec<Vec<String>> = planned.drawn.iter().take(LISTED).map(|t| target(t, shared)).collect();
        page.table(4, &rows);
        if drawn > LISTED {
            page.hanging("    ", &format!("and {} more, in plan.json", drawn - LISTED));
        }
    }
    if let Some(affected) = &plan.affected {
        let (hit, exist) = (affected.count(), affected.population);
        page.hanging(
            "  ",
            &format!("affected: {hit} ec2.instance in the subnets that faults change ({exist} exist)"),
        );
    }
}

fn target(target: &Target, shared: &BTreeMap<String, OneOrMany>) -> Vec<String> {
    let name = target.name.as_deref().filter(|n| *n != target.id).unwrap_or_default();
    let plain = |k: &str| shared.get(k).is_some_and(|want| !want.values().iter().any(|v| is_pattern(v)));
    let own = |k: &str| k != "Name" && !k.starts_with("aws:") && !plain(k);
    let mut tags: Vec<String> = target
        .tags
        .iter()
        .filter(|(k, _)| own(k))
        .map(|(k, v)| short(&format!("{k}={v}"), LONGEST_TAG))
        .collect();
    if let Some(more) = tags.len().checked_sub(TAGS).filter(|n| *n > 0) {
        tags.truncate(TAGS);
        tags.push(format!("and {more} more"));
    }
    let zone = target.zone().unwrap_or_default();
    row([&target.id, name, zone, &tags.join(" ")])
}

fn steps(plan: &Plan, page: &mut Page) {
    for (stage, title) in [(Stage::Fault, "Fault"), (Stage::Recovery, "Recovery")] {
        let of: Vec<(usize, &PlannedStep)> =
            plan.steps.iter().enumerate().filter(|(_, s)| s.stage == stage).collect();
        page.title(title);
        if of.is_empty() {
            page.hanging("  ", "nothing");
        }
        for (n, step) in &of {
            let together = of.iter().filter(|(_, s)| s.group == step.group).count() > 1;
            step_text(plan, n + 1, step, together, page);
        }
    }
}

fn step_text(plan: &Plan, number: usize, step: &PlannedStep, together: bool, page: &mut Page) {
    let label = format!(" {number:>2}  ");
    let mut what = match (&step.action, &step.manual) {
        (Some(action), _) if action == step.id.as_str() => action.clone(),
        (Some(action), _) => format!("{}: {action}", step.id),
        (None, manual) => format!("{}: a person: {}", step.id, manual.as_deref().unwrap_or_default()),
    };
    if let Some(target) = &step.target {
        let n = plan.targets_of(step).len();
        let noun = if n == 1 { "target" } else { "targets" };
        let _ = write!(what, " on {n} {noun} ({target})");
    }
    if together {
        what.push_str(", in parallel");
    }
    page.hanging(&label, &what);
    if step.action.is_none() {
        return;
    }
    let story = &step.undo_story;
    let end = match (step.reversibility, step.after, step.stage) {
        (Reversibility::Irreversible, ..) => format!("cannot be put back. {story}"),
        (Reversibility::Momentary, ..) => "passes by itself".to_owned(),
        (_, After::Remove, Stage::Recovery) => format!("removed at the end. {story}"),
        (_, After::Keep, Stage::Recovery) => "kept".to_owned(),
        (_, After::None, Stage::Recovery) => "leads back to the state from before".to_owned(),
        _ => format!("put back at the end. {story}"),
    };
    page.hanging("     ", &end);
}

fn watched(plan: &Plan, page: &mut Page) {
    let drill = &plan.drill;
    page.title("Probes");
    let mut rows = Vec::new();
    for p in &drill.steady_state {
        let role = match p.role {
            Role::Client => "",
            Role::Monitoring => ", monitoring",
            Role::Capacity => ", capacity",
        };
        rows.push(row([
            "steady",
            &p.probe,
            &format!("{}; every {}, hold {}{role}", asked(&p.name, &p.probe, &p.with), p.every, p.hold),
        ]));
    }
    for p in &drill.verify {
        rows.push(row([
            "verify",
            &p.probe,
            &format!("{}; every {}", asked(&p.name, &p.probe, &p.with), p.every),
        ]));
    }
    for s in &drill.stop {
        let after = s.for_.map(|d| format!(" for {d}")).unwrap_or_default();
        let asked = asked(&s.name, &s.probe, &s.with);
        let unread = if s.unreadable == Unreadable::Ignore { ", ignored while unreadable" } else { "" };
        rows.push(row([
            "stop",
            &s.probe,
            &format!("{asked}; every {}, when breached{after}{unread}", s.every),
        ]));
    }
    for (gates, whose) in [(&drill.limits.gates, ""), (&plan.house.limits.gates, " (redrill.toml)")] {
        for g in gates {
            rows.push(row([
                "gate",
                &g.probe,
                &format!("{}; once, before the fault{whose}", asked(&g.name, &g.probe, &g.with)),
            ]));
        }
    }
    page.table(2, &rows);
}

/// A probe's own name, where it has one, what it asks, and which secrets of the drill it is given.
fn asked(name: &str, probe: &str, with: &Value) -> String {
    let own = if [probe, ""].contains(&name) { String::new() } else { format!("{name}: ") };
    let asks = catalog::probe(probe).map(|p| p.asks(with)).unwrap_or_default();
    // every other parameter is put in before there is a plan
    let mut secrets: Vec<&str> =
        refs::references(with).into_iter().filter_map(|r| r.strip_prefix("params.")).collect();
    secrets.dedup();
    match secrets[..] {
        [] => format!("{own}{asks}"),
        _ => format!("{own}{asks}, given the secret {}", secrets.join(", ")),
    }
}

fn limits(plan: &Plan, page: &mut Page) {
    page.title("Limits");
    let own = plan.drill.limits.in_words();
    let mut rows: Vec<_> = own.iter().map(|(what, text)| row([what, text])).collect();
    for (what, text) in plan.house.limits.in_words() {
        rows.push(row([what, &format!("{text} (redrill.toml)")]));
    }
    page.table(2, &rows);
}

fn findings(plan: &Plan, page: &mut Page) {
    if plan.findings.is_empty() {
        return;
    }
    page.title("Findings");
    for f in &plan.findings {
        let severity = match f.severity {
            Severity::Refusal => "refused",
            Severity::Warning => "warning",
            Severity::Info => "note",
        };
        page.hanging(&format!("  {severity:<7}  "), &format!("{}: {}", f.subject, f.text));
        if let Some(hint) = &f.hint {
            page.hanging("           ", &format!("→ {hint}"));
        }
    }
    let refusals = plan.refusals().count();
    if refusals > 0 {
        page.blank();
        let noun = if refusals == 1 { "refusal" } else { "refusals" };
        page.hanging("", &format!("{refusals} {noun}: this plan cannot be run."));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_wraps_below_its_label_and_long_words_are_broken() {
        let mut page = Page { out: String::new(), width: 40 };
        page.hanging("  seed  ", &format!("{} then some more words that wrap", "x".repeat(50)));
        let lines: Vec<&str> = page.out.lines().collect();
        assert_eq!(lines[0], format!("  seed  {}", "x".repeat(32)));
        assert!(lines[1].starts_with(&format!("        {} then", "x".repeat(18))), "{lines:?}");
        assert!(lines.iter().all(|l| l.chars().count() <= 40), "{lines:?}");
    }
}
