//! `redrill sweep`: finds by tag what runs left behind, shows it, asks, and mends it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde_json::{Value, json};

use super::runs::is_open;
use super::session::{self, io};
use super::{CliError, Global, Kind, Output, out, runtime, world};
use crate::cloud::{Cloud, CloudError, CloudResult, ErrorKind, Mutation, Reply};
use crate::engine::state::Cell;
use crate::journal::Event;
use crate::journal::runs;
use crate::journal::runs::{RunsError, TargetLocks};
use crate::model::target::{TAG_HELD, TAG_REPLACES, TAG_STEP};
use crate::model::time::SystemClock;
use crate::model::{Clock, Dur, ResourceKind, RunId, StepId};
use crate::plan::limits;
use crate::sweep::{self, Ledger, Leftover, Need, Outcome};

/// Find and remove what runs left behind, by tag: no journal is needed.
///
/// Looks in every given region, and with every given profile, for what carries `redrill:run` (a run made
/// it) or `redrill:held` (a run changed it). What carries neither is never touched. What a drill keeps
/// (`redrill:kept`) and what stands in for something that is gone (`redrill:replaces`) is never removed: it
/// is marked as kept, as the end of the run would. What somebody has accepted as it is (`rollback --accept`) stays so
/// where that run's journal is on this machine; elsewhere, tag it `redrill:kept`. Tags alone remove nothing: what is
/// removed was made while its run was there, and has the client token or the name that only that run gives. Each thing is asked about,
/// unless `--run` and `--yes` are given. Runs that may still be under way are left alone. Where a
/// run's journal is on this machine, `redrill rollback RUN` knows more and is the better way.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// Regions, with commas; those of `limits.regions` in redrill.toml, else --region.
    #[arg(long, value_name = "REGIONS", value_delimiter = ',')]
    regions: Vec<String>,
    /// Profiles, one an account, with commas; else --profile.
    #[arg(long, value_name = "PROFILES", value_delimiter = ',')]
    profiles: Vec<String>,
    /// Only what this run left behind, however young it is.
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Leave younger runs alone: they may be under way on another machine; at most 35d.
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    older_than: Dur,
    /// Only show what there is.
    #[arg(long)]
    list: bool,
    /// Do not ask; only for one run, named with --run.
    #[arg(long, conflicts_with = "list")]
    yes: bool,
    /// Take no final snapshot of a database that is removed.
    #[arg(long)]
    skip_final_snapshot: bool,
}

/// One account and region.
struct Place {
    cloud: Cloud,
    account: String,
    found: Vec<Leftover>,
    denied: Vec<(ResourceKind, String)>,
}

pub fn run(global: &Global, args: &SweepArgs) -> Result<u8, CliError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    runtime()?.block_on(async {
        let (mut places, unreadable) = look(global, args, &clock).await?;
        let now = clock.now();
        let (_locks, busy) = at_work(&global.state, &places);
        let here = Here { busy, accepted: accepted(&global.state, &places) };
        for l in places.iter_mut().flat_map(|p| &mut p.found).filter(|l| here.is_left_as_it_is(l)) {
            // nobody wants it put back, and nobody wants it locked
            l.need = Need::Release;
        }
        let all: Vec<(&Place, &Leftover, Option<String>)> = places
            .iter()
            .flat_map(|p| p.found.iter().map(move |l| (p, l)))
            .map(|(p, l)| (p, l, spared(global, args, &here, l, now)))
            .collect();
        if global.output == Output::Text {
            show(args, &places, &all, &unreadable);
        }
        let work: Vec<(&Place, &Leftover)> =
            all.iter().filter(|(.., spared)| spared.is_none()).map(|(p, l, _)| (*p, *l)).collect();
        let mut said: Vec<Value> = Vec::new();
        for (p, l, spared) in &all {
            if let Some(why) = spared {
                said.push(report(p, l, "spared", Some(why)));
            }
        }
        if args.list || work.is_empty() {
            said.extend(work.iter().map(|(p, l)| report(p, l, "found", None)));
            if global.output == Output::Json {
                said.extend(unseen(&places));
                out::json(&said);
            }
            return Ok(seen(&places));
        }
        if !args.yes && !out::can_ask() {
            return Err(CliError::refused("there is no terminal to ask on, and --yes was not given")
                .hint("look with --list, then sweep one run: redrill sweep --run RUN --yes"));
        }
        if args.yes && args.run.is_none() {
            return Err(CliError::refused("--yes is for one run, and none is named")
                .hint("look with --list, then sweep one run: redrill sweep --run RUN --yes"));
        }
        let ledger = Book::open(&global.state, clock.now())?;
        let mut left = 0;
        for (place, leftover) in work {
            if !args.yes && needs_consent(leftover) && !out::ask(&question(args, leftover)) {
                left += 1;
                said.push(report(place, leftover, "spared", Some(&"not confirmed".to_owned())));
                continue;
            }
            let (how, why) =
                match sweep::mend(&place.cloud, &ledger, leftover, !args.skip_final_snapshot).await {
                    Ok(Outcome::Mended) => ("mended", None),
                    Ok(Outcome::NotYet(why)) => {
                        ("left", Some(format!("{why}; sweep again later, or with --skip-final-snapshot")))
                    }
                    Ok(Outcome::Changed) => ("changed", Some("it is no longer as it was found".to_owned())),
                    Ok(Outcome::Left) => ("left", None),
                    Err(e) if e.kind == ErrorKind::Journal => {
                        return Err(CliError::new(Kind::Journal, "nothing more was changed").because(e));
                    }
                    Err(e) => ("failed", Some(e.to_string())),
                };
            left += usize::from(how != "mended");
            said.push(report(place, leftover, how, why.as_ref()));
            if global.output == Output::Text {
                let why = why.map(|w| format!(": {w}")).unwrap_or_default();
                out::line(&format!("{how:<8}{} {}{why}", leftover.target.kind, leftover.target.id));
            }
        }
        match global.output {
            Output::Json => {
                said.extend(unseen(&places));
                out::json(&said);
            }
            Output::Text => {
                out::note(&format!("what was sent is written down in {}", ledger.path.display()));
                if left > 0 {
                    out::note(&format!("{left} left: look at them, then sweep again"));
                }
            }
        }
        Ok(if left == 0 { seen(&places) } else { 20 })
    })
}

/// 0 where all was looked at; else 5, for want of a permission.
fn seen(places: &[Place]) -> u8 {
    if places.iter().all(|p| p.denied.is_empty()) { 0 } else { 5 }
}

/// What only a person does anything about is not asked about.
fn needs_consent(l: &Leftover) -> bool {
    !matches!(l.need, Need::Person { .. })
}

fn question(args: &SweepArgs, l: &Leftover) -> String {
    let name = l.target.name.as_ref().map(|n| format!(" ({n})")).unwrap_or_default();
    let (kind, id) = (l.target.kind, &l.target.id);
    format!("{kind} {id}{name}, run {}: {}? Type yes; anything else leaves it:", l.run, next(args, l))
}

/// What is done about it, in words.
fn next(args: &SweepArgs, l: &Leftover) -> String {
    match sweep::final_snapshot(l) {
        Some(snapshot) if !args.skip_final_snapshot => format!("remove, with the final snapshot {snapshot}"),
        Some(_) => "remove, without a final snapshot".to_owned(),
        None => l.need.in_words(),
    }
}

/// Looks in every region with every profile, before anything is changed.
async fn look(
    global: &Global,
    args: &SweepArgs,
    clock: &Arc<dyn Clock>,
) -> Result<(Vec<Place>, BTreeSet<String>), CliError> {
    let limits = &global.settings.limits;
    let mut regions: Vec<Option<String>> = args.regions.iter().cloned().map(Some).collect();
    if regions.is_empty() && global.region.is_none() {
        regions.extend(limits.regions.iter().filter(|r| *r != "global").cloned().map(Some));
    }
    if regions.is_empty() {
        regions.push(global.region.clone());
    }
    let mut profiles: Vec<Option<String>> = args.profiles.iter().cloned().map(Some).collect();
    if profiles.is_empty() {
        profiles.push(global.profile.clone());
    }
    let (mut places, mut unreadable) = (Vec::new(), BTreeSet::new());
    for profile in profiles {
        for (n, region) in regions.iter().enumerate() {
            let mut there = global.clone();
            there.region.clone_from(region);
            there.profile.clone_from(&profile);
            let cloud = world::connect(&there, Arc::clone(clock), None).await?;
            let account = cloud.reads.sts.identity().await?.account;
            if !limits.regions.is_empty() && !limits.regions.contains(&cloud.region) {
                return Err(CliError::refused(format!(
                    "refused: redrill.toml: limits.regions: this is {}; redrill may run in {}",
                    cloud.region,
                    limits.regions.join(", ")
                ))
                .hint("check --regions and --region"));
            }
            if !limits.accounts.is_empty() && !limits.accounts.contains(&account) {
                return Err(CliError::refused(format!(
                    "refused: redrill.toml: limits.accounts: this is account {account}; redrill may run in {}",
                    limits.accounts.join(", ")
                ))
                .hint("check --profiles"));
            }
            let seen = |p: &Place| p.account == account && p.cloud.region == cloud.region;
            if places.iter().any(seen) {
                continue; // named twice, or two profiles of one account
            }
            // buckets are listed once for all regions, and CloudFront is global
            let found = sweep::find(&cloud.reads, &cloud.region, n == 0).await?;
            unreadable.extend(found.unreadable);
            places.push(Place { found: found.leftovers, denied: found.denied, account, cloud });
        }
    }
    Ok((places, unreadable))
}

/// Locks the runs that left something, so that nobody takes one up meanwhile; and those that somebody is at
/// work on.
fn at_work(state: &Path, places: &[Place]) -> (Vec<TargetLocks>, BTreeSet<String>) {
    let runs: BTreeSet<&str> = places.iter().flat_map(|p| &p.found).map(|l| l.run.as_str()).collect();
    let (mut locks, mut busy) = (Vec::new(), BTreeSet::new());
    for run in runs {
        match session::on_machine(state, &RunId::from_existing(run), &[]) {
            Ok(lock) => locks.push(lock),
            Err(RunsError::Locked { .. }) => _ = busy.insert(run.to_owned()),
            // what was left behind does not wait for a folder that cannot be used
            Err(_) => {}
        }
    }
    (locks, busy)
}

/// What this machine knows of the runs that left something.
struct Here {
    /// Runs that somebody is at work on.
    busy: BTreeSet<String>,
    /// What a person has accepted as it is, by run.
    accepted: BTreeMap<String, BTreeSet<Cell>>,
}

impl Here {
    fn accepts(&self, l: &Leftover, is_it: impl Fn(&Cell) -> bool) -> bool {
        self.accepted.get(&l.run).is_some_and(|cells| cells.iter().any(is_it))
    }

    /// Whether a person has accepted how a step left this target.
    fn is_left_as_it_is(&self, l: &Leftover) -> bool {
        l.target.tags.contains_key(TAG_HELD) && self.accepts(l, |(_, on)| on.as_ref() == Some(&l.target.id))
    }

    /// Whether a person has accepted that this, which a step made, stays.
    fn stays(&self, l: &Leftover) -> bool {
        let tag = |key: &str| l.target.tags.get(key);
        let (step, original) = (tag(TAG_STEP), tag(TAG_REPLACES));
        let its = |by: &StepId| step.is_some_and(|step| step == by.as_str());
        self.accepts(l, |(by, on)| its(by) && original.is_none_or(|it| on.as_ref() == Some(it)))
    }
}

/// What people have accepted as it is, of the runs whose journals are here.
fn accepted(state: &Path, places: &[Place]) -> BTreeMap<String, BTreeSet<Cell>> {
    // by the list, never by the tag's text: it may be anything, also a path
    let here = runs::list(state).unwrap_or_default();
    let tagged: BTreeSet<&str> = places.iter().flat_map(|p| &p.found).map(|l| l.run.as_str()).collect();
    let mut accepted = BTreeMap::new();
    for entry in here.iter().filter(|r| tagged.contains(r.run.as_str())) {
        let lines =
            runs::find(state, entry.run.as_str()).ok().and_then(|dir| session::read_journal(&dir).ok());
        let mut cells = BTreeSet::new();
        for line in lines.unwrap_or_default() {
            match line.event {
                Event::LeftInPlace { step, target, by: Some(_), .. } => _ = cells.insert((step, target)),
                Event::UndoDone { step, target, .. } => _ = cells.remove(&(step, target)),
                _ => {}
            }
        }
        accepted.insert(entry.run.to_string(), cells);
    }
    accepted
}

/// Why a leftover is left alone, if it is.
fn spared(
    global: &Global,
    args: &SweepArgs,
    here: &Here,
    l: &Leftover,
    now: DateTime<Utc>,
) -> Option<String> {
    if l.run.is_empty() {
        return Some("its tag names no run: look at it, then remove the tag by hand".to_owned());
    }
    if let Some(tag) = limits::forbidden_tag(&global.settings.limits, &l.target) {
        return Some(format!(
            "it carries the tag {tag}, which limits.forbid_tags of redrill.toml forbids: a person has to look"
        ));
    }
    if here.busy.contains(&l.run) {
        return Some("its run is under way on this machine".to_owned());
    }
    if here.stays(l) {
        return Some("somebody has accepted that it stays, as the journal of its run says".to_owned());
    }
    if let Some(wanted) = &args.run {
        return (l.run != *wanted).then(|| "of another run".to_owned());
    }
    // by the list, never by the tag's text: it may be anything, also a path
    if let Some(here) = runs::list(&global.state).unwrap_or_default().iter().find(|r| r.run.as_str() == l.run)
        && is_open(&global.state, here)
    {
        let rollback = super::session::command_in(global, "rollback", &l.run, None);
        return Some(format!("its journal is here: {rollback}"));
    }
    let limit = TimeDelta::from_std(args.older_than.0).unwrap_or(TimeDelta::MAX);
    match l.began {
        None => Some(format!("`{}` is no id of a run; name it with --run", l.run)),
        Some(began) if now - began < limit => Some(format!(
            "younger than {}, it may be under way: name it with --run {}",
            args.older_than, l.run
        )),
        Some(_) => None,
    }
}

fn show(
    args: &SweepArgs,
    places: &[Place],
    all: &[(&Place, &Leftover, Option<String>)],
    unreadable: &BTreeSet<String>,
) {
    for p in places {
        let count = p.found.len();
        let text = if count == 0 { "nothing left behind".to_owned() } else { format!("{count} left behind") };
        let some = if p.denied.is_empty() { "" } else { " of what could be looked at" };
        let text = format!("{text}{some}");
        out::line(&format!("account {} ({}), {}: {text}", p.account, p.cloud.world, p.cloud.region));
        for (_, l, spared) in all.iter().filter(|(place, ..)| std::ptr::eq(*place, p)) {
            let name = l.target.name.as_ref().map(|n| format!(" ({n})")).unwrap_or_default();
            out::line(&format!("  {} {}{name}, run {}", l.target.kind, l.target.id, l.run));
            let next = spared.as_ref().map_or_else(|| next(args, l), |why| format!("left alone: {why}"));
            out::line(&format!("    {next}"));
        }
        for (kind, permission) in &p.denied {
            out::line(&format!("  {kind} was not looked at: AWS denied {permission} (exit code 5)"));
        }
    }
    if !unreadable.is_empty() {
        let names: Vec<&str> = unreadable.iter().map(String::as_str).collect();
        out::line(&format!("the tags of {} cannot be read: nobody knows", names.join(", ")));
    }
}

/// What nobody looked at, as `--output json` tells it.
fn unseen(places: &[Place]) -> impl Iterator<Item = Value> + '_ {
    let one = |p: &Place, (kind, permission): &(ResourceKind, String)| {
        json!({
            "account": p.account, "region": p.cloud.region, "world": p.cloud.world, "kind": kind,
            "outcome": "not-looked-at", "why": format!("AWS denied {permission}"),
        })
    };
    places.iter().flat_map(move |p| p.denied.iter().map(move |d| one(p, d)))
}

fn report(place: &Place, l: &Leftover, outcome: &str, why: Option<&String>) -> Value {
    let need = match &l.need {
        Need::Person { .. } => "person",
        Need::Reroute { .. } => "reroute",
        Need::Start => "start",
        Need::Release => "release",
        Need::Keep { .. } => "keep",
        Need::Remove => "remove",
    };
    json!({
        "account": place.account, "region": place.cloud.region, "world": place.cloud.world,
        "run": l.run, "kind": l.target.kind, "id": l.target.id, "name": l.target.name,
        "need": need, "says": l.need.in_words(), "outcome": outcome, "why": why,
    })
}

/// `<state>/sweeps/<time>.jsonl`: every call, on disk before it is sent.
struct Book {
    path: PathBuf,
    file: Mutex<File>,
}

impl Book {
    fn open(state: &Path, now: DateTime<Utc>) -> Result<Self, CliError> {
        let (path, file) =
            runs::new_file(state, "sweeps", &format!("{}.jsonl", now.format("%Y%m%dT%H%M%S%3fZ")))
                .map_err(io("what is sent cannot be written down; nothing was changed"))?;
        Ok(Self { path, file: Mutex::new(file) })
    }

    fn write(&self, line: &Value) -> std::io::Result<()> {
        let mut file = self.file.lock().map_err(|_| std::io::Error::other("BUG: poisoned"))?;
        writeln!(file, "{line}")?;
        file.sync_data()
    }
}

#[async_trait]
impl Ledger for Book {
    async fn sending(&self, l: &Leftover, call: &Mutation) -> Result<(), CloudError> {
        let line = json!({
            "at": SystemClock.now(), "run": l.run, "id": l.target.id,
            "operation": call.operation(), "params": call.redacted(),
        });
        self.write(&line)
            .map_err(|e| CloudError::new(call.operation(), ErrorKind::Journal, format!("not sent: {e}")))
    }

    async fn answered(&self, l: &Leftover, call: &Mutation, answer: &CloudResult<Reply>) {
        let (request, error) = match answer {
            Ok(reply) => (reply.request_id.clone(), None),
            Err(e) => (e.request_id.clone(), Some(e.to_string())),
        };
        let line = json!({
            "at": SystemClock.now(), "run": l.run, "id": l.target.id, "operation": call.operation(),
            "request_id": request, "error": error,
        });
        // the call has happened, whether this line is written or not
        let _written = self.write(&line);
    }
}
