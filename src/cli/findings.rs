//! `redrill findings`: what has to be followed up, over all runs of the state folder.
//!
//! What people say goes into `annotations.jsonl` of the run that showed the finding, and is only ever
//! added to. Nothing here closes what redrill saw itself: only a later run does.

use chrono::NaiveDate;
use clap::{Args, Subcommand, ValueEnum};

use super::masked::nothing_secret;
use super::material::Folder;
use super::session::{locked, operator};
use super::{CliError, Global, Output, out, runs};
use crate::bundle::ANNOTATIONS;
use crate::drill::suggest;
use crate::evidence::findings::history::{Entry, Past, history, may_close};
use crate::evidence::record::FindingSeverity;
use crate::evidence::review::Annotation;
use crate::journal::runs as store;
use crate::journal::runs::RunDir;
use crate::model::Clock as _;
use crate::model::time::SystemClock;

/// What has to be followed up: list it, say who sees to it, add remarks.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct FindingsArgs {
    /// Only those that this run shows: id, unique prefix, path, or `last`.
    run: Option<String>,
    /// Closed ones, too.
    #[arg(long)]
    all: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say who sees to a finding, by when, and where that is followed.
    Set(SetArgs),
    /// Add a remark to a finished run, as a finding.
    Add(AddArgs),
    /// Close a remark, naming the later run that shows it is dealt with.
    Close(CloseArgs),
}

/// Say who sees to a finding.
#[derive(Debug, Args)]
struct SetArgs {
    /// The finding, for example `F-1a2b3c4d5e`.
    id: String,
    /// Who sees to it.
    #[arg(long, value_name = "NAME", value_parser = nothing_secret, required_unless_present_any = ["due", "ticket"])]
    owner: Option<String>,
    /// By when.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
    due: Option<NaiveDate>,
    /// Where it is followed up: an id or a URL.
    #[arg(long, value_name = "TICKET", value_parser = nothing_secret)]
    ticket: Option<String>,
}

/// Add a remark.
#[derive(Debug, Args)]
struct AddArgs {
    /// Id, unique prefix, path, or `last`.
    run: String,
    /// What was noticed.
    #[arg(value_parser = nothing_secret)]
    text: String,
    /// How bad it is.
    #[arg(long, value_enum)]
    severity: Severity,
}

/// Close a remark.
#[derive(Debug, Args)]
struct CloseArgs {
    /// The finding.
    id: String,
    /// The later run of the same drill, which has to have passed.
    #[arg(long, value_name = "RUN")]
    run: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Severity {
    Low,
    Medium,
    High,
}

impl From<Severity> for FindingSeverity {
    fn from(s: Severity) -> Self {
        match s {
            Severity::Low => Self::Low,
            Severity::Medium => Self::Medium,
            Severity::High => Self::High,
        }
    }
}

fn date(s: &str) -> Result<NaiveDate, String> {
    s.parse().map_err(|_| "write a date, for example 2026-01-31".to_owned())
}

pub fn run(global: &Global, args: &FindingsArgs) -> Result<u8, CliError> {
    match &args.what {
        None => list(global, args),
        Some(What::Set(a)) => set(global, a),
        Some(What::Add(a)) => add(global, a),
        Some(What::Close(a)) => close(global, a),
    }
}

/// Every run of the state folder that has a first line.
fn past(global: &Global) -> Result<Vec<Past>, CliError> {
    let mut all = Vec::new();
    for entry in store::list(&global.state).map_err(runs::not_found)? {
        let dir = store::find(&global.state, entry.run.as_str()).map_err(runs::not_found)?;
        let folder = Folder::read(&dir)?;
        if !folder.lines.is_empty() {
            let annotations = folder.annotations().to_vec();
            all.push(Past { record: folder.record(&global.settings), annotations });
        }
    }
    Ok(all)
}

fn list(global: &Global, args: &FindingsArgs) -> Result<u8, CliError> {
    let of = match &args.run {
        Some(run) => Some(store::find(&global.state, run).map_err(runs::not_found)?),
        None => None,
    };
    let mut entries = history(&past(global)?);
    if let Some(of) = &of {
        entries.retain(|e| e.seen_in.contains(of.id()));
    }
    let closed = entries.iter().filter(|e| !e.is_open()).count();
    entries.retain(|e| args.all || e.is_open());
    match global.output {
        Output::Json => out::json(&entries),
        Output::Text => {
            for e in &entries {
                text(e);
            }
            let hidden = if args.all { 0 } else { closed };
            match (entries.len(), hidden) {
                (0, 0) => out::line("no findings"),
                (0, n) => out::line(&format!("nothing is open; {n} closed: redrill findings --all")),
                (_, 0) => {}
                (_, n) => out::line(&format!("\n{n} more are closed: redrill findings --all")),
            }
        }
    }
    Ok(0)
}

fn text(e: &Entry) {
    let f = &e.finding;
    out::line(&format!("{}  {:6}  {}", f.id, f.severity.name(), one_line(&f.title)));
    if f.detail != f.title {
        out::line(&format!("    {}", one_line(&f.detail)));
    }
    let p = &e.place;
    out::line(&format!("    {} of {}, in {} {} {}", p.drill, p.service, p.world, p.account, p.region));
    let owner = f.owner.as_deref().map_or_else(|| "nobody yet".to_owned(), one_line);
    let due = f.due.map_or_else(|| "not set".to_owned(), |d| d.to_string());
    let ticket = f.ticket.as_deref().map(|t| format!("   ticket: {}", one_line(t))).unwrap_or_default();
    out::line(&format!("    owner: {owner}   due: {due}{ticket}"));
    let times = match e.seen_in.len() {
        1 => String::new(),
        n => format!(", and in {} more", n - 1),
    };
    out::line(&format!("    since {}{times}", f.run));
    if let Some(run) = &e.closed_by {
        out::line(&format!("    closed: run {run} shows it no longer"));
    }
}

/// Texts come from drills, probes and people: one line, and nothing that moves a terminal's cursor.
fn one_line(s: &str) -> String {
    let plain = s.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.collect::<String>().trim().to_owned()
}

/// The entry that this id stands for: the open one, else the newest.
fn entry<'a>(entries: &'a [Entry], id: &str) -> Result<&'a Entry, CliError> {
    let of: Vec<&Entry> = entries.iter().filter(|e| e.finding.id == id).collect();
    let mut open = of.iter().filter(|e| e.is_open());
    match (open.next(), open.next()) {
        (Some(_), Some(_)) => Err(CliError::usage(format!("finding `{id}` is open in more than one place"))
            .hint("name one state folder with --state")),
        (Some(one), None) => Ok(one),
        (None, _) => of.last().copied().ok_or_else(|| {
            let known = entries.iter().map(|e| e.finding.id.as_str());
            CliError::usage(format!("no finding `{id}`"))
                .hint(suggest(id, known).unwrap_or_else(|| "`redrill findings --all` lists them".to_owned()))
        }),
    }
}

fn open<'a>(entries: &'a [Entry], id: &str) -> Result<&'a Entry, CliError> {
    let found = entry(entries, id)?;
    match &found.closed_by {
        None => Ok(found),
        Some(run) => Err(CliError::usage(format!("finding `{id}` is closed: run {run} shows it no longer"))),
    }
}

fn set(global: &Global, args: &SetArgs) -> Result<u8, CliError> {
    let entries = history(&past(global)?);
    let found = open(&entries, &args.id)?;
    let dir = store::find(&global.state, found.finding.run.as_str()).map_err(runs::not_found)?;
    annotate(global, &dir, |at, by| Annotation::FollowUp {
        at,
        by,
        finding: args.id.clone(),
        owner: args.owner.clone(),
        due: args.due,
        ticket: args.ticket.clone(),
    })?;
    said(global, &dir, &args.id, "set")
}

fn add(global: &Global, args: &AddArgs) -> Result<u8, CliError> {
    let dir = store::find(&global.state, &args.run).map_err(runs::not_found)?;
    if args.text.trim().is_empty() {
        return Err(CliError::usage("a remark needs words"));
    }
    let before = Folder::read(&dir)?;
    // while it goes on, notes go into the journal itself
    if before.record(&global.settings).result.verdict.is_none() {
        return Err(CliError::usage(format!("run {} is not finished", dir.id()))
            .hint(format!("during a run: redrill mark {} note --note …", dir.id())));
    }
    let severity = args.severity.into();
    annotate(global, &dir, |at, by| Annotation::Remark { at, by, severity, text: args.text.clone() })?;
    let record = Folder::read(&dir)?.record(&global.settings);
    let added = record.findings.iter().find(|f| f.kind == "remark" && f.subject == args.text);
    said(global, &dir, added.map_or("", |f| f.id.as_str()), "added")
}

fn close(global: &Global, args: &CloseArgs) -> Result<u8, CliError> {
    let past = past(global)?;
    let entries = history(&past);
    let found = open(&entries, &args.id)?;
    let later = store::find(&global.state, &args.run).map_err(runs::not_found)?;
    let no = |why: &str| {
        CliError::usage(format!("finding `{}` stays open: {why}", args.id))
            .hint("remarks are closed by a later run of the same drill that passed, in the same place")
    };
    let record = past.iter().map(|p| &p.record).find(|r| r.identity.run == *later.id());
    may_close(found, record.ok_or_else(|| no("the run has not begun"))?).map_err(no)?;
    let dir = store::find(&global.state, found.finding.run.as_str()).map_err(runs::not_found)?;
    annotate(global, &dir, |at, by| Annotation::Close {
        at,
        by,
        finding: args.id.clone(),
        run: later.id().clone(),
    })?;
    said(global, &dir, &args.id, "closed")
}

/// Adds one line to what people said about a run.
fn annotate(
    global: &Global,
    dir: &RunDir,
    note: impl FnOnce(chrono::DateTime<chrono::Utc>, String) -> Annotation,
) -> Result<(), CliError> {
    let _lock = store::lock(dir).map_err(|e| locked(global, e))?;
    let who = operator();
    let note = note(SystemClock.now(), format!("{}@{}", who.user, who.host));
    let mut line = serde_json::to_vec(&note)
        .map_err(|e| CliError::internal("the annotation cannot be written").because(e))?;
    line.push(b'\n');
    dir.append(ANNOTATIONS, &line).map_err(|e| CliError::usage("the annotation cannot be written").because(e))
}

fn said(global: &Global, dir: &RunDir, finding: &str, what: &str) -> Result<u8, CliError> {
    match global.output {
        Output::Text => out::line(&format!("finding {finding} of run {}: {what}", dir.id())),
        Output::Json => out::json(&serde_json::json!({"run": dir.id(), "finding": finding, "did": what})),
    }
    Ok(0)
}
