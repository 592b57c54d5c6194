//! `redrill reconcile`: a run's journal against CloudTrail's records, both ways.
//!
//! Fetches what is compared, and keeps what shows it: digests and log files go into the run's folder, and
//! from there into the bundle. What they prove is decided by `evidence::trail`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::material::Folder;
use super::{CliError, Global, Output, out, runs, runtime, world};
use crate::cloud::{Cloud, all_pages};
use crate::evidence::merkle::{hex, sha256};
use crate::evidence::trail::{
    self, Gathering, Include, Included, PublicKeys, Reconciliation, Session, Source, Standing, digest,
    matching, proof, read,
};
use crate::journal::Verdict;
use crate::journal::runs::{self as store, RunDir};
use crate::model::text::escaped;
use crate::model::time::SystemClock;
use crate::model::{Clock as _, World};
use crate::report;

/// LookupEvents takes two requests a second.
const PACE: Duration = Duration::from_millis(550);
/// How many differences are shown on the terminal; all are in `reconciliation.json`.
const SHOWN: usize = 20;

/// Compare a run's journal with CloudTrail's records, both ways.
///
/// Records count as proof only under CloudTrail's own digest files (log file validation): AWS signs them, and
/// they name each log file with its hash. Digests are looked for beside the log files. Of a folder, each digest
/// has its signature in the digest that follows it; the newest one's is what `aws s3api head-object` prints of
/// it, in a file beside it. Without digests the result is unclear, whatever the records say.
///
/// The digests and the log files that hold the run's calls go into the run's folder and so into its bundle,
/// where `redrill verify` checks them again. A log file holds other people's calls, too.
///
/// Exit code 0: journal and trail agree, and digests without a gap prove it; 1: they differ; 15: unclear.
#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// Id, unique prefix, path, or `last`.
    #[arg(default_value = "last")]
    run: String,
    /// A folder or file of a trail (`.json`, `.json.gz`), `s3://BUCKET/PREFIX`, or `lookup`.
    #[arg(long, value_name = "SOURCE")]
    from: String,
    /// CloudTrail's public keys: what `aws cloudtrail list-public-keys` prints. From `s3://…` they are asked
    /// for; whoever checks the bundle gives their own.
    #[arg(long, value_name = "FILE")]
    cloudtrail_keys: Option<PathBuf>,
    /// The log files that go into the bundle: those that hold records of the run, or all of its time.
    #[arg(long, value_name = "WHICH", value_enum, default_value_t)]
    include: Included,
}

pub fn run(global: &Global, args: &ReconcileArgs) -> Result<u8, CliError> {
    let dir = store::find(&global.state, &args.run).map_err(runs::not_found)?;
    let lines = Folder::read(&dir)?.lines;
    let Some(session) = Session::of(&lines) else {
        return runs::nothing_happened(global, &dir);
    };
    let mut gathering = Gathering::new(&session, matching::request_ids(&lines));
    if let Some(path) = &args.cloudtrail_keys {
        gathering.trust_only(keys(path)?);
    }
    let (gathering, source, found) = gather(global, args, &session, gathering)?;
    let hashes: Vec<String> = gathering.files().iter().map(|f| f.sha256.clone()).collect();
    let compared = trail::compare(&lines, &session, gathering, source, (SystemClock.now(), args.include));
    let kept = keep(global, &dir, &found, &hashes, compared.files)?;
    let result = compared.result;
    let json = serde_json::to_string_pretty(&result)
        .map_err(|e| CliError::internal("the comparison cannot be written").because(e))?;
    let mut json = escaped(&json);
    json.push('\n');
    dir.write(trail::FILE, json.as_bytes())
        .map_err(|e| CliError::usage("the comparison cannot be written").because(e))?;
    match global.output {
        Output::Text => out::print(&text(&result, &dir.path().join(trail::FILE), &kept)),
        Output::Json => out::json(&result),
    }
    Ok(match result.standing {
        Some(Standing::Proven) => 0,
        Some(Standing::Unclear) => Verdict::Inconclusive.exit_code(),
        _ => 1,
    })
}

/// CloudTrail's public keys out of a file.
pub fn keys(path: &Path) -> Result<PublicKeys, CliError> {
    let failed = || CliError::usage(format!("the keys {} cannot be used", path.display()));
    let text = super::files::read(path).map_err(|e| failed().because(e))?;
    let keys = PublicKeys::read(text.as_bytes()).map_err(|e| {
        failed()
            .because(e)
            .hint("give what this prints: aws cloudtrail list-public-keys --start-time … --end-time …")
    })?;
    if keys.keys.is_empty() {
        return Err(failed().hint("it holds no key: name a time that covers the run's digests"));
    }
    Ok(keys)
}

/// Where each file that was read can be read again, in the order of reading.
enum Found {
    /// In files.
    Paths(Vec<PathBuf>),
    /// In a bucket, under these keys.
    Objects { bucket: String, keys: Vec<String> },
    /// Nowhere.
    Nowhere,
}

/// Keeps the files that show the comparison in the run's folder, in place of those of an earlier one.
fn keep(
    global: &Global,
    dir: &RunDir,
    found: &Found,
    hashes: &[String],
    files: Vec<Include>,
) -> Result<Vec<String>, CliError> {
    let failed = || CliError::usage("the trail's files cannot be kept in the run's folder");
    let mut read = Vec::new();
    for file in files {
        let (name, bytes) = match file {
            Include::Made { name, bytes } => (name, bytes),
            Include::Given { file, name } => {
                let bytes = again(global, found, file)?;
                let same = bytes.as_ref().is_some_and(|b| hashes.get(file) == Some(&hex(&sha256(b))));
                let Some(bytes) = bytes.filter(|_| same) else {
                    return Err(failed().hint("a file changed while it was read; compare again"));
                };
                (name, bytes)
            }
        };
        read.push((name, bytes));
    }
    // those of before go only once all of the new ones are at hand
    for name in trail_files(dir) {
        std::fs::remove_file(dir.path().join(name)).map_err(|e| failed().because(e))?;
    }
    let mut kept = Vec::new();
    for (name, bytes) in read {
        dir.write(&name, &bytes).map_err(|e| failed().because(e))?;
        kept.push(name);
    }
    Ok(kept)
}

/// The trail's files in a run's folder.
pub fn trail_files(dir: &RunDir) -> Vec<String> {
    let there = std::fs::read_dir(dir.path()).into_iter().flatten().flatten();
    let names = there.filter_map(|e| e.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|n| n.starts_with(proof::NAME)).collect();
    names.sort();
    names
}

/// Reads one of the files again.
fn again(global: &Global, found: &Found, file: usize) -> Result<Option<Vec<u8>>, CliError> {
    match found {
        Found::Paths(paths) => Ok(paths.get(file).and_then(|p| bounded(p).ok().flatten())),
        Found::Objects { bucket, keys } => {
            let Some(key) = keys.get(file) else { return Ok(None) };
            let fetched = runtime()?.block_on(async {
                let trail = connect(global).await?.reads.trail;
                Ok::<_, CliError>(trail.file(bucket, key, read::LARGEST_FILE).await?)
            });
            fetched.map(|object| Some(object.bytes))
        }
        Found::Nowhere => Ok(None),
    }
}

fn gather(
    global: &Global,
    args: &ReconcileArgs,
    session: &Session,
    mut gathering: Gathering,
) -> Result<(Gathering, Source, Found), CliError> {
    if args.from == "lookup" {
        return runtime()?.block_on(look_up(global, session, gathering));
    }
    if let Some(place) = args.from.strip_prefix("s3://") {
        return runtime()?.block_on(fetch(global, args, place, session, gathering));
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
    Ok((gathering, source, Found::Paths(found)))
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
) -> Result<(Gathering, Source, Found), CliError> {
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
    Ok((gathering, source, Found::Nowhere))
}

/// Reads a trail's files out of its bucket, which may be in another account, and CloudTrail's public keys
/// where there are digests and no keys were given.
async fn fetch(
    global: &Global,
    args: &ReconcileArgs,
    place: &str,
    session: &Session,
    mut gathering: Gathering,
) -> Result<(Gathering, Source, Found), CliError> {
    let from = &args.from;
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    if bucket.is_empty() {
        return Err(CliError::usage(format!("`{from}` names no bucket")).hint("write s3://BUCKET/PREFIX"));
    }
    let trail = connect(global).await?.reads.trail;
    let mut found = Vec::new();
    let (records, digests) = session.prefixes(prefix);
    for prefix in records.iter().chain(&digests) {
        found.extend(all_pages(|token| trail.files(bucket, prefix, token)).await?);
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
            Ok(object) => {
                gathering.file(&file.key, &object.bytes);
                if let Some(signature) = &object.signature {
                    gathering.signature(&file.key, signature);
                }
                object.backfilled_at.into_iter().for_each(|at| gathering.generated(at));
            }
            Err(e) => gathering.unreadable(&file.key, &e.to_string()),
        }
    }
    if let Some(window) = gathering.times().filter(|_| args.cloudtrail_keys.is_none()) {
        for region in gathering.digest_regions() {
            let keys = all_pages(|token| trail.public_keys(&region, window, token)).await.map_err(|e| {
                CliError::from(e).hint("or give CloudTrail's public keys yourself: --cloudtrail-keys FILE")
            })?;
            let keys = keys.into_iter().map(|k| digest::Key {
                fingerprint: k.fingerprint,
                der: k.der,
                validity_start_time: k.from,
                validity_end_time: k.until,
            });
            gathering.trust(PublicKeys { keys: keys.collect() });
        }
    }
    let source = Source::Files { from: from.to_owned(), files: gathering.files().to_vec() };
    let keys = found.into_iter().map(|f| f.key).collect();
    Ok((gathering, source, Found::Objects { bucket: bucket.to_owned(), keys }))
}

/// A file's bytes, unless it is larger than any trail file.
fn bounded(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    super::files::open(path)?.take(read::LARGEST_FILE + 1).read_to_end(&mut bytes)?;
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
fn text(r: &Reconciliation, file: &Path, kept: &[String]) -> String {
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
    if let Some(p) = &r.proof {
        let keys: Vec<&str> = p.keys.iter().map(|k| k.fingerprint.as_str()).collect();
        line(format!("digests   {} signed, under key {}", p.digests, clean(&keys.join(", "))));
        for region in &p.regions {
            line(format!("region    {}: {}", clean(&region.region), clean(&region.in_words())));
        }
        for (what, list) in [("changed", &p.changed), ("open", &p.open)] {
            for told in list.iter().take(SHOWN) {
                line(format!("{what:<9} {}", clean(told)));
            }
        }
    }
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
    if !kept.is_empty() {
        let which = match r.proof.as_ref().map(|p| p.included) {
            Some(trail::Included::All) => "all log files of the run's time",
            _ => "the log files that hold the run's calls (--include all takes all of its time)",
        };
        line(format!(
            "kept      {} files for the bundle: digests, keys, {which}; they hold other people's calls, too",
            kept.len()
        ));
        line(
            "note      the keys are a claim of this redrill: whoever checks the bundle gets them from AWS, and \
             gives them with redrill verify --cloudtrail-keys"
                .to_owned(),
        );
    }
    line(format!("written   {}", file.display()));
    out
}
