//! `redrill approve`: somebody else than the runner allows exactly this plan.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;

use super::masked::nothing_secret;
use super::session::operator;
use super::{CliError, Global, Output, keys, out, plan};
use crate::evidence::approval::{self, Runner, Said};
use crate::journal::event::Approved;
use crate::model::time::SystemClock;
use crate::model::{Clock as _, Dur};
use crate::plan::{Plan, will};
use crate::report::plan_text::plan_text;

/// Approve a plan, with a key of your own.
///
/// The approval is a file beside the plan, and `redrill run` finds it there. It is for exactly this plan:
/// a plan that is changed or made anew is another one. The runner's own approval does not count.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// A plan written by `redrill plan -o`.
    plan: PathBuf,
    /// Who you are.
    #[arg(long, value_name = "NAME", value_parser = nothing_secret)]
    by: String,
    /// Your own key; make one with `redrill init --key FILE`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// How long a run may be started with it; at most 35d.
    #[arg(long, value_name = "DURATION", default_value = "7d")]
    valid: Dur,
    /// What you looked at, and what you say to it.
    #[arg(long, default_value = "", value_parser = nothing_secret)]
    note: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub fn run(global: &Global, args: &ApproveArgs) -> Result<u8, CliError> {
    let planned = plan::read(&args.plan)?;
    let by = args.by.trim();
    if by.is_empty() || by.chars().any(char::is_control) {
        return Err(CliError::usage("an approval needs a name").hint("give it with --by NAME"));
    }
    let Some(key) = keys::read(&args.key)? else {
        return Err(CliError::usage(format!("there is no key {}", args.key.display()))
            .hint(format!("make one: redrill init --key {}", args.key.display())));
    };
    plan::refuse(&planned)?;
    plan::hold_against(global, &planned)?;
    if !args.yes && !out::can_ask() {
        return Err(CliError::refused("there is no terminal to ask on, and --yes was not given")
            .hint("look at the plan, then approve it with --yes"));
    }
    // whoever is asked has seen what for
    if global.output == Output::Text || !args.yes {
        out::note(&plan_text(&planned, out::width()));
    }
    if let Some(text) = not_covered(&planned) {
        out::note(&text);
    }
    if !args.yes && !out::ask("Approve exactly this plan? Type yes to go on:") {
        return Err(CliError::refused("not confirmed; nothing was approved"));
    }
    let who = operator();
    let at = SystemClock.now();
    let expires = TimeDelta::from_std(args.valid.0).ok().and_then(|d| at.checked_add_signed(d));
    let expires = expires.filter(|e| *e > at).ok_or_else(|| CliError::usage("--valid is no usable time"))?;
    let said = Said {
        by: by.to_owned(),
        operator: format!("{}@{}", who.user, who.host),
        at,
        expires,
        drill: planned.drill.name.clone(),
        note: args.note.clone(),
    };
    let sha256 = planned.sha256();
    let bytes = approval::seal(&key, &sha256, &said)
        .map_err(|e| CliError::internal("the key does not sign").because(e))?;
    let path = keep(&args.plan, &bytes)?;
    let fingerprint = key.public().fingerprint();
    match global.output {
        Output::Json => out::json(&serde_json::json!({
            "plan": sha256, "by": by, "key": fingerprint, "expires": expires, "file": path,
            "will": will::of(&planned),
        })),
        Output::Text => {
            out::line(&format!("approved by {by}, key {fingerprint}"));
            out::line(&format!("plan      {sha256}"));
            out::line(&format!("until     {}", expires.format("%Y-%m-%d %H:%M UTC")));
            out::line(&format!("written   {}", path.display()));
        }
    }
    let own = keys::own(global)?;
    let runner = Runner { user: &who.user, host: &who.host, keys: &own };
    // as they would count for whoever starts the run elsewhere
    let nobody = Runner { user: "", host: "", keys: &[] };
    let files = read_all(&lying_beside(&args.plan))?;
    let read = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let (count, _) = approval::judge(read, &sha256, &nobody, &planned.house.approvers, SystemClock.now());
    if let Some(text) = given(&planned, count.len()) {
        out::note(&text);
    }
    for doubt in approval::doubts(&said, &fingerprint, &runner, &planned.house.approvers) {
        out::note(&format!("warning: {doubt}"));
    }
    Ok(0)
}

/// What whoever approves a plan does not see: secrets are given to the run.
fn not_covered(planned: &Plan) -> Option<String> {
    let names: Vec<String> = planned.secret_params.iter().map(|name| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| {
        format!(
            "the plan does not hold the values of its secret parameters ({}), so the approval does not cover them: whoever \
             runs the plan gives them",
            names.join(", ")
        )
    })
}

/// The beginning of the names of a plan's approvals: `plan.json` has `plan.approval-1.json`.
fn stem(plan: &Path) -> String {
    format!("{}.approval-", plan.file_stem().unwrap_or_default().to_string_lossy())
}

/// Writes an approval beside its plan, under the next free number.
fn keep(plan: &Path, bytes: &[u8]) -> Result<PathBuf, CliError> {
    for number in 1..10_000 {
        let path = plan.with_file_name(format!("{}{number}.json", stem(plan)));
        let failed = |e| CliError::usage(format!("cannot write {}", path.display())).because(e);
        match OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path) {
            Ok(mut file) => {
                file.write_all(bytes).map_err(failed)?;
                return Ok(path);
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(failed(e)),
        }
    }
    Err(CliError::usage(format!("there are too many approvals beside {}", plan.display())))
}

/// A drill that needs approvals is not run from its file: what is approved is a plan.
pub fn refuse_unapproved(planned: &Plan) -> Result<(), CliError> {
    match planned.house.approvals(&planned.drill.limits) {
        0 => Ok(()),
        needed => Err(too_few(0, needed)
            .hint("a plan is approved, not a drill: redrill plan DRILL -o plan.json")
            .hint("then: redrill approve plan.json --by NAME --key FILE, and: redrill run plan.json")),
    }
}

/// How many approvals the plan needs, how many it has, and whose count; `None` where it needs none.
pub fn given(planned: &Plan, has: usize) -> Option<String> {
    let needed = planned.house.approvals(&planned.drill.limits);
    let names: Vec<&str> = planned.house.approvers.iter().map(|a| a.name.trim()).collect();
    let who = match names.is_empty() {
        true => "those of anybody but whoever runs it count: redrill.toml lists no [[approvers]]".to_owned(),
        false => format!("those of {} count (redrill.toml)", names.join(", ")),
    };
    (needed > 0).then(|| format!("approvals: {has} of {needed} given; {who}"))
}

fn too_few(has: usize, needed: usize) -> CliError {
    let plural = if needed == 1 { "" } else { "s" };
    CliError::refused(format!("refused: limits.approvals: the plan has {has} of {needed} approval{plural}"))
}

/// The approvals of a plan: those beside it and those named. Refuses where the limits ask for more.
pub fn gather(
    global: &Global,
    planned: &Plan,
    file: &Path,
    named: &[PathBuf],
    now: DateTime<Utc>,
) -> Result<Vec<(Approved, Vec<u8>)>, CliError> {
    let needed = planned.house.approvals(&planned.drill.limits);
    let files = read_all(&[named, &lying_beside(file)].concat())?;
    let own = if files.is_empty() { Vec::new() } else { keys::own(global)? };
    let who = operator();
    let runner = Runner { user: &who.user, host: &who.host, keys: &own };
    let read = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let (count, not) = approval::judge(read, &planned.sha256(), &runner, &planned.house.approvers, now);
    if count.len() < needed {
        let next =
            format!("somebody else approves it: redrill approve {} --by NAME --key FILE", file.display());
        let e = too_few(count.len(), needed);
        return Err(not.into_iter().fold(e, |e, why| e.hint(format!("does not count: {why}"))).hint(next));
    }
    if let Some(text) = given(planned, count.len()) {
        out::note(&text);
    }
    for (_, a) in count.iter().filter(|_| planned.house.approvers.is_empty()) {
        if let Some(how) = a.not_independent() {
            out::note(&format!("the approval of `{}` was {how}; the evidence says so", a.by));
        }
    }
    let bytes =
        |name: &str| files.iter().find(|(n, _)| n == name).map(|(_, b)| b.clone()).unwrap_or_default();
    Ok(count.into_iter().map(|(name, approved)| (approved, bytes(name))).collect())
}

/// The files with their names.
fn read_all(paths: &[PathBuf]) -> Result<Vec<(String, Vec<u8>)>, CliError> {
    let read = |path: &PathBuf| {
        let bytes = super::files::bytes(path).map_err(|e| {
            CliError::usage(format!("the approval {} cannot be read", path.display())).because(e)
        })?;
        Ok((path.display().to_string(), bytes))
    };
    paths.iter().map(read).collect()
}

fn lying_beside(plan: &Path) -> Vec<PathBuf> {
    let folder = plan.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let begin = stem(plan);
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| {
            let name = e.file_name().to_string_lossy().into_owned();
            name.starts_with(&begin) && name.ends_with(".json")
        })
        .map(|e| e.path())
        .collect();
    found.sort();
    found
}
