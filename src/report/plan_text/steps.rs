//! The steps of a plan with everything that they do, and whom a run asks what. Pure.

use std::fmt::Write as _;

use serde_json::Value;

use super::page::Page;
use crate::catalog::action::{After, Reversibility};
use crate::catalog::actions::command;
use crate::drill::{Role, Unreadable};
use crate::model::Stage;
use crate::model::text::{quoted, written_out};
use crate::plan::will::{self, Asks, Program};
use crate::plan::{Plan, PlannedStep};

/// Below a step.
const BELOW: &str = "     ";

pub(super) fn steps(plan: &Plan, page: &mut Page) {
    for (stage, title) in [(Stage::Fault, "Fault"), (Stage::Recovery, "Recovery")] {
        let of: Vec<(usize, &PlannedStep)> =
            plan.steps.iter().enumerate().filter(|(_, s)| s.stage == stage).collect();
        page.title(title);
        if of.is_empty() {
            page.hanging("  ", "nothing");
        }
        for (n, step) in &of {
            let together = of.iter().filter(|(_, s)| s.group == step.group).count() > 1;
            one(plan, n + 1, step, together, page);
        }
    }
}

fn one(plan: &Plan, number: usize, step: &PlannedStep, together: bool, page: &mut Page) {
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
    page.exact(&label, &what);
    if step.action.is_none() {
        return;
    }
    match step.action.as_deref() {
        Some(command::NAME) => {
            for (undo, p) in will::programs(&step.params) {
                program(undo, &p, page);
            }
        }
        _ => parameters(&step.params, page),
    }
    let secrets = will::secrets(&step.params);
    if !secrets.is_empty() {
        page.exact(BELOW, &format!("given the secret {}", secrets.join(", ")));
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
    page.hanging(BELOW, &end);
}

/// What stands under `with`, one line each.
fn parameters(params: &Value, page: &mut Page) {
    for (name, value) in params.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        page.exact(&format!("{BELOW}with {}: ", written_out(name)), &text);
    }
}

fn program(undo: bool, p: &Program, page: &mut Page) {
    let argv: Vec<String> = p.argv.iter().map(|a| quoted(a)).collect();
    let (what, also) = if undo { ("undo runs ", "undo ") } else { ("runs ", "") };
    page.exact(&format!("{BELOW}{what}"), &argv.join(" "));
    let also = format!("{BELOW}{also}");
    if let Some(folder) = &p.cwd {
        page.exact(&format!("{also}in the folder "), &quoted(folder));
    }
    if !p.env.is_empty() {
        let all: Vec<String> = p.env.iter().map(|(name, value)| variable(name, value)).collect();
        page.exact(&format!("{also}with the variables "), &all.join(" "));
    }
    let exit = if p.expect_exit == "0" {
        String::new()
    } else {
        format!("; success is exit code {}", p.expect_exit)
    };
    page.exact(&also, &format!("for at most {}{exit}", p.timeout));
}

/// A variable that is given to a program. What it holds is told, since a `PATH` decides what is run, unless its name
/// says that nobody should see it.
fn variable(name: &str, value: &str) -> String {
    let upper = name.to_uppercase();
    let hidden = ["PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL"].iter().any(|w| upper.contains(w));
    let value =
        if hidden && !crate::drill::refs::has_reference(value) { "…".to_owned() } else { quoted(value) };
    format!("{}={value}", written_out(name))
}

/// Whom a run asks: probes, gates, the kill switch.
pub(super) fn asked(plan: &Plan, page: &mut Page) {
    let drill = &plan.drill;
    page.title("Probes");
    // the same order as in `will`
    let mut when: Vec<String> = Vec::new();
    for p in &drill.steady_state {
        let role = match p.role {
            Role::Client => "",
            Role::Monitoring => ", monitoring",
            Role::Capacity => ", capacity",
        };
        when.push(format!("every {}, hold {}{role}", p.every, p.hold));
    }
    when.extend(drill.verify.iter().map(|p| format!("every {}", p.every)));
    for s in &drill.stop {
        let after = s.for_.map(|d| format!(" for {d}")).unwrap_or_default();
        let unread = if s.unreadable == Unreadable::Ignore { ", ignored while unreadable" } else { "" };
        when.push(format!("every {}, when breached{after}{unread}", s.every));
    }
    let asks = will::of(plan).ask;
    let wide = |of: fn(&Asks) -> &str| asks.iter().map(|a| of(a).chars().count()).max().unwrap_or(0);
    let (what, probe) = (wide(|a| &a.what), wide(|a| &a.probe));
    for (n, a) in asks.iter().enumerate() {
        let name = if a.name.is_empty() { String::new() } else { format!("{}: ", a.name) };
        let secrets = match a.secrets.is_empty() {
            true => String::new(),
            false => format!(", given the secret {}", a.secrets.join(", ")),
        };
        let when = when.get(n).cloned().unwrap_or_else(|| {
            let often =
                if a.what == "gate" { "before the fault" } else { "before each step and every second" };
            if a.house { format!("{often} (redrill.toml)") } else { often.to_owned() }
        });
        let label = format!("  {:<what$}  {:<probe$}  ", a.what, written_out(&a.probe));
        page.exact(&label, &format!("{name}{}{secrets}; {when}", a.asks));
        for detail in &a.details {
            page.exact(&" ".repeat(what + probe + 8), detail);
        }
    }
}
