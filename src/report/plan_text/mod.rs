//! A plan as people read it: what will happen, to what, who is asked what, and what was found. Pure.
//!
//! Invariant: what a drill says of programs, parameters, selectors and addresses is shown whole, with whatever is
//! not seen written out, so that nothing can be allowed unseen. Names of resources and titles are cut.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use self::page::Page;
use super::short;
use crate::catalog::action::Severity;
use crate::drill::TargetSpec;
use crate::model::endpoint::NOT_RECORDED;
use crate::model::pattern::{OneOrMany, is_pattern};
use crate::model::text::written_out;
use crate::model::{EndpointProof, Target, World};
use crate::plan::Plan;

mod page;
mod steps;

/// How many targets of a selector are listed one by one.
const LISTED: usize = 12;
/// How many tags of a target are listed.
const TAGS: usize = 12;
/// How much of a tag is shown.
const LONGEST_TAG: usize = 100;

/// The plan in plain text, wrapped to `width` columns.
pub fn plan_text(plan: &Plan, width: usize) -> String {
    let mut page = Page::new(width);
    head(plan, &mut page);
    exercise(plan, &mut page);
    targets(plan, &mut page);
    steps::steps(plan, &mut page);
    steps::asked(plan, &mut page);
    limits(plan, &mut page);
    findings(plan, &mut page);
    page.blank();
    let n = plan.permissions.len();
    page.hanging("", &format!("{n} permissions are needed; `redrill plan DRILL --output json` lists them."));
    page.hanging("", &format!("Plan sha256 {}", plan.sha256()));
    page.text()
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
    if plan.world == World::Aws {
        let way = plan
            .endpoint_proof
            .as_ref()
            .map_or_else(|| format!("endpoint not proven: {NOT_RECORDED}"), EndpointProof::in_words);
        let _ = write!(world, "; {way}");
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
        let with = plan.drill.targets.get(name).map(selector).unwrap_or_default();
        let exist = planned.population;
        page.exact("  ", &format!("{name}: {drawn} {}{with} ({matched}{exist} exist)", planned.resource));
        let rows: Vec<Vec<String>> = planned.drawn.iter().take(LISTED).map(|t| target(t, shared)).collect();
        page.table(4, &rows);
        if drawn > LISTED {
            page.hanging("    ", &format!("and {} more, in plan.json", drawn - LISTED));
        }
    }
    if let Some(affected) = &plan.affected {
        let (hit, exist) = (affected.count(), affected.population);
        let others = affected.others.iter().filter(|n| n.instance.is_none()).count();
        let others = match others {
            0 => String::new(),
            1 => " and 1 other".to_owned(),
            n => format!(" and {n} others"),
        };
        page.hanging(
            "  ",
            &format!(
                "affected: {hit} ec2.instance{others} in the subnets that faults change ({exist} exist)"
            ),
        );
    }
}

/// What a selector asks for, whole.
fn selector(spec: &TargetSpec) -> String {
    let all = |what: &BTreeMap<String, OneOrMany>| {
        let pairs: Vec<String> = what.iter().map(|(k, v)| written_out(&format!("{k}={v}"))).collect();
        pairs.join(" ")
    };
    let mut out = String::new();
    if !spec.tags.is_empty() {
        let _ = write!(out, " with {}", all(&spec.tags));
    }
    if !spec.attrs.is_empty() {
        let _ = write!(out, " where {}", all(&spec.attrs));
    }
    if spec.include_run_made {
        out.push_str(", also of what runs made");
    }
    out
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
