//! `redrill check`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{CliError, DrillArgs, Global, Kind, Output, masked, out};
use crate::drill::{self, LoadOptions, Loaded, Problem, Problems};
use crate::evidence::controls::{self, Framework};

/// Check drill files; report every problem with line and column.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Drill files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    drill: DrillArgs,
}

/// Reads a drill file and checks it whole: what `plan`, `run` and `rehearse` need.
pub fn load(path: &Path, args: &DrillArgs) -> Result<Loaded, CliError> {
    let loaded =
        read(path, args, drill::load)?.map_err(|p| CliError::rendered(Kind::Usage, p.to_string()))?;
    masked::given(&loaded.secrets);
    Ok(loaded)
}

/// Whether the file is what `redrill plan -o` wrote: no drill begins so.
fn is_plan(text: &str) -> bool {
    let begin: String = text.chars().filter(|c| !c.is_whitespace()).take(8).collect();
    begin == "{\"plan\":"
}

type Checker = fn(&str, &str, &LoadOptions) -> Result<Loaded, Problems>;

/// The file's own problems, inside what kept it from being read.
fn read(path: &Path, args: &DrillArgs, checker: Checker) -> Result<Result<Loaded, Problems>, CliError> {
    let name = path.display().to_string();
    let unreadable = |e: std::io::Error| {
        let hint = match e.kind() {
            std::io::ErrorKind::IsADirectory => {
                "name the drill files in it, for example with a shell's *.yaml"
            }
            _ => "name a drill file, for example drills/ec2-instance-loss.yaml",
        };
        CliError::usage(format!("cannot read {name}")).because(e).hint(hint)
    };
    let mut bytes = Vec::new();
    // one byte more than a drill may have: enough to refuse an endless file without reading it
    super::files::open(path)
        .and_then(|f| f.take(drill::MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        // cut in the middle of a character, far beyond what a drill may have
        Err(e) if e.as_bytes().len() > drill::MAX_BYTES => String::from_utf8_lossy(e.as_bytes()).into_owned(),
        Err(e) => {
            let at = e.utf8_error().valid_up_to();
            return Err(CliError::usage(format!("{name} is not UTF-8 text, from byte {at}"))
                .hint("a drill is a YAML file; is this the right one?"));
        }
    };
    if is_plan(&text) {
        return Err(CliError::usage(format!("{name} is a plan, and this command takes the drill"))
            .hint(format!("run the plan: redrill run {name}")));
    }
    let options = LoadOptions { env: args.env.clone(), set: args.set.all() };
    Ok(checker(&name, &text, &options))
}

/// The controls that a drill names are built in or in `redrill.toml`. Only `check` refuses others: they
/// change nothing about a run, whose report lists them as not known.
fn controls_known(path: &Path, loaded: Loaded, added: &[Framework]) -> Result<Loaded, Problems> {
    let known: Vec<String> =
        controls::with(added).iter().map(|(f, c)| format!("{}/{}", f.key, c.id)).collect();
    let unknown = loaded.drill.controls.iter().filter(|name| !known.contains(name));
    let problems: Vec<Problem> = unknown
        .map(|name| {
            let names = known.iter().map(String::as_str);
            let hint = drill::suggest(name, names)
                .unwrap_or_else(|| "define it under [[frameworks]] in redrill.toml".to_owned());
            Problem::of_words(&loaded.source, name, format!("no control `{name}` is known"), Some(hint))
        })
        .collect();
    if problems.is_empty() {
        Ok(loaded)
    } else {
        Err(Problems { file: path.display().to_string(), problems })
    }
}

pub fn run(global: &Global, args: &CheckArgs) -> Result<u8, CliError> {
    let mut bad = 0;
    for path in &args.files {
        // values that only a run needs may be missing
        let checked = read(path, &args.drill, drill::check)
            .map(|checked| checked.and_then(|l| controls_known(path, l, &global.settings.frameworks)));
        let ok = matches!(checked, Ok(Ok(_)));
        bad += usize::from(!ok);
        match (checked, global.output) {
            (Ok(Ok(l)), Output::Text) => {
                let steps = l.drill.fault.iter().chain(&l.drill.recovery);
                let n: usize = steps.map(|s| s.parallel.as_ref().map_or(1, Vec::len)).sum();
                let noun = if n == 1 { "step" } else { "steps" };
                out::line(&format!("ok    {}  {} ({n} {noun})", path.display(), l.drill.title));
            }
            (Ok(Err(problems)), Output::Text) => out::note(&problems.to_string()),
            (Err(e), Output::Text) => out::error(&e),
            (Ok(Ok(l)), Output::Json) => {
                out::json(&json!({"file": path, "ok": true, "drill": l.drill.name, "problems": []}));
            }
            (Ok(Err(p)), Output::Json) => {
                out::json(&json!({"file": path, "ok": false, "drill": null, "problems": p.problems}));
            }
            (Err(e), Output::Json) => {
                let problem =
                    json!({"line": null, "column": null, "message": e.message(), "hint": e.hints().first()});
                out::json(&json!({"file": path, "ok": false, "drill": null, "problems": [problem]}));
            }
        }
    }
    Ok(if bad > 0 { 2 } else { 0 })
}
