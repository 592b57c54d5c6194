//! `redrill reconcile`: a run's journal against CloudTrail's records, both ways.

use std::path::{Path, PathBuf};

use clap::Args;

use super::material::Folder;
use super::{CliError, Global, Kind, Output, out, runs};
use crate::evidence::trail::{self, Gathering, Reconciliation, Session, Source, matching, read};
use crate::journal::runs as store;
use crate::model::Clock as _;
use crate::model::time::SystemClock;
use crate::report;

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
    if args.from == "lookup" || args.from.starts_with("s3://") {
        let _ = (global, session);
        return Err(CliError::new(Kind::Aws, "this redrill was built without the AWS SDK"));
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
