//! `redrill reconcile`: a run's journal against CloudTrail's records, both ways.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::material::Folder;
use super::{CliError, Global, Output, out, runs, runtime, world};
use crate::cloud::{Cloud, all_pages};
use crate::evidence::trail::{self, Gathering, Reconciliation, Session, Source, matching, read};
use crate::journal::runs as store;
use crate::model::time::SystemClock;
use crate::model::{Clock as _, World};
use crate::report;

/// LookupEvents takes two requests a second.
const PACE: Duration = Duration::from_millis(550);
/// How many differences are shown on the terminal; all are in `reconciliation.json`.
const SHOWN: usize = 20;

/// Compare a run's journal with CloudTrail's records, both ways.
#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// Id, unique prefix, path, or `last`.
    #[arg(default_value = "last")]
    run: String,
    /// A folder or file of a trail (`.json`, `.json.gz`), `s3://BUCKET/PREFIX`, or `lookup`.
    #[arg(long, value_name = "SOURCE")]
    from: String,
}

pub fn run(global: &Global, args: &ReconcileArgs) -> Result<u8, CliError> {
    let dir = store::find(&global.state, &args.run).map_err(runs::not_found)?;
    let lines = Folder::read(&dir)?.lines;
    let Some(session) = Session::of(&lines) else {
        return runs::nothing_happened(global, &dir);
    };
    let gathering = Gathering::new(&session, matching::request_ids(&lines));
    let (gathering, source) = gather(global, args, &session, gathering)?;
    let result = trail::reconcile(&lines, &session, gathering, source, SystemClock.now());
    let mut json = serde_json::to_string_pretty(&result)
        .map_err(|e| CliError::internal("the comparison cannot be written").because(e))?;
    json.push('\n');
    dir.write(trail::FILE, json.as_bytes())
        .map_err(|e| CliError::usage("the comparison cannot be written").because(e))?;
    match global.output {
        Output::Text => out::print(&text(&result, &dir.path().join(trail::FILE))),
        Output::Json => out::json(&result),
    }
    Ok(u8::from(!result.holds))
}

fn gather(
    global: &Global,
    args: &ReconcileArgs,
    session: &Session,
    mut gathering: Gathering,
) -> Result<(Gathering, Source), CliError> {
    if args.from == "lookup" {
        return runtime()?.block_on(look_up(global, session, gathering));
    }
    if let Some(place) = args.from.strip_prefix("s3://") {
        return runtime()?.block_on(fetch(global, &args.from, place, session, gathering));
    }
    let root = Path::new(&args.from);
    let unreadable = |e: std::io::Error| {
        CliError::usage(format!("`{}` cannot be read", args.from))
            .because(e)
            .hint("name a folder or file of a trail, s3://BUCKET/PREFIX, or lookup")
    };
    let mut found = Vec::new();
    if root.metadata().map_err(unreadable)?.is_dir() {
        below(root, &mut found).map_err(unreadable)?;
        found.sort();
        if found.is_empty() {
            return Err(CliError::usage(format!("`{}` holds no trail file", args.from))
                .hint("trail files end in .json or .json.gz"));
        }
    } else {
        found.push(root.to_owned());
    }
    for path in &found {
        let name = path.strip_prefix(root).ok().filter(|p| !p.as_os_str().is_empty());
        let name = name.unwrap_or(path.file_name().map_or(path, Path::new)).to_string_lossy().into_owned();
        match bounded(path) {
            Ok(Some(bytes)) => gathering.file(&name, &bytes),
            Ok(None) => gathering.unreadable(&name, &read::ReadError::TooLarge.to_string()),
            Err(e) => gathering.unreadable(&name, &e.to_string()),
        }
    }
    let source = Source::Files { from: args.from.clone(), files: gathering.files().to_vec() };
    Ok((gathering, source))
}

/// A connection to the run's own account.
async fn connect(global: &Global) -> Result<Cloud, CliError> {
    world::connect(global, Arc::new(SystemClock), None).await
}

/// Asks LookupEvents, region by region and page by page, no faster than it allows.
async fn look_up(
    global: &Global,
    session: &Session,
    mut gathering: Gathering,
) -> Result<(Gathering, Source), CliError> {
    if session.world != World::Aws {
        return Err(CliError::usage(format!(
            "run {} did not touch AWS itself; CloudTrail has nothing of it",
            session.run
        ))
        .hint("a folder of records can be compared with: --from FOLDER"));
    }
    let cloud = connect(global).await?;
    let account = cloud.reads.sts.identity().await?.account;
    if account != session.account {
        return Err(CliError::refused(format!(
            "run {} was in account {}, these credentials are of {account}",
            session.run, session.account
        ))
        .hint("choose others with --profile"));
    }
    let (regions, user) = (session.regions(), session.user().to_owned());
    let window = (session.from, session.to);
    for region in &regions {
        let page = |token| {
            let trail = &cloud.reads.trail;
            let user = &user;
            async move {
                tokio::time::sleep(PACE).await;
                trail.events(region, user, window, token).await
            }
        };
        for event in all_pages(page).await? {
            gathering.event(&event);
        }
    }
    let source = Source::Lookup { regions, user, from: window.0, to: window.1 };
    Ok((gathering, source))
}

/// Reads a trail's files out of its bucket, which may be in another account.
async fn fetch(
    global: &Global,
    from: &str,
    place: &str,
    session: &Session,
    mut gathering: Gathering,
) -> Result<(Gathering, Source), CliError> {
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    if bucket.is_empty() {
        return Err(CliError::usage(format!("`{from}` names no bucket")).hint("write s3://BUCKET/PREFIX"));
    }
    let trail = connect(global).await?.reads.trail;
    let mut found = Vec::new();
    for prefix in session.prefixes(prefix) {
        found.extend(all_pages(|token| trail.files(bucket, &prefix, token)).await?);
    }
    found.retain(|f| f.key.ends_with(".json.gz") || f.key.ends_with(".json"));
    found.sort_by(|a, b| a.key.cmp(&b.key));
    if found.is_empty() {
        return Err(CliError::usage(format!("`{from}` holds no trail file of the run's days and regions"))
            .hint("name the trail's folder, for example s3://BUCKET/AWSLogs/ORGANISATION/ACCOUNT/CloudTrail")
            .hint("the bucket's region goes into --region"));
    }
    for file in &found {
        match trail.file(bucket, &file.key, read::LARGEST_FILE).await {
            Ok(bytes) => gathering.file(&file.key, &bytes),
            Err(e) => gathering.unreadable(&file.key, &e.to_string()),
        }
    }
    let source = Source::Files { from: from.to_owned(), files: gathering.files().to_vec() };
    Ok((gathering, source))
}

/// A file's bytes, unless it is larger than any trail file.
fn bounded(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(read::LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= read::LARGEST_FILE).then_some(bytes))
}

/// The trail files below a folder. Links are not followed: they could lead round in circles.
fn below(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
        if kind.is_dir() {
            below(&path, found)?;
        } else if kind.is_file() && (name.ends_with(".json") || name.ends_with(".json.gz")) {
            found.push(path);
        }
    }
    Ok(())
}

/// The comparison for people.
fn text(r: &Reconciliation, file: &Path) -> String {
    let clean = |s: &str| report::clean(s);
    let mut out = format!("run {}: {}\n", r.run, clean(&r.verdict));
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    let c = &r.counts;
    line(format!(
        "journal   {} calls: {} matched, {} probable, {} no record, {} contradicted, {} not coverable",
        c.calls, c.matched, c.probable, c.missing, c.contradicted, c.not_coverable
    ));
    line(format!(
        "trail     {} records, {} of the session: {} reads, {} by AWS services, {} changes not in the journal",
        c.records, c.of_session, c.reads, c.by_services, c.unexplained
    ));
    for call in r.calls.iter().filter(|c| c.class != trail::Class::Matched).take(SHOWN) {
        let why = call.why.as_deref().unwrap_or_default();
        line(format!(
            "{:<13} line {}, {}: {}",
            call.class.name(),
            call.seq,
            clean(&call.operation),
            clean(why)
        ));
    }
    for seen in r.unexplained.iter().take(SHOWN) {
        line(format!(
            "not in journal {} {} in {} (event {}, by {}){}",
            report::time(seen.at),
            clean(&seen.operation),
            clean(&seen.region),
            clean(&seen.event_id),
            seen.tie,
            seen.error.as_deref().map(|e| format!(", failed: {}", clean(e))).unwrap_or_default()
        ));
    }
    if let Source::Files { files, .. } = &r.source {
        for f in files.iter().filter_map(|f| Some((f, f.problem.as_deref()?))).take(SHOWN) {
            line(format!("file      {}: {}", clean(&f.0.name), clean(f.1)));
        }
    }
    for warning in &r.warnings {
        line(format!("note      {}", clean(warning)));
    }
    line(format!("written   {}", file.display()));
    out
}
