//! `redrill iam`: the policy that a drill or a plan needs, and who may take its role on. Makes no call.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::check::load;
use super::{CliError, DrillArgs, Global, Output, files, out, plan};
use crate::catalog::iam::partition;
use crate::drill::Loaded;
use crate::plan::Plan;
use crate::plan::policy::trust::{self, Trust};
use crate::plan::policy::{self, LONGEST, Phase, Source};

/// Print the smallest IAM policy that runs a drill.
#[derive(Debug, Args)]
pub struct IamArgs {
    /// A drill file, or a plan.
    drill: PathBuf,
    /// What the policy is for.
    #[arg(long, value_enum, default_value_t = For::Run)]
    phase: For,
    /// Print the trust policy of the role instead: who may take it on.
    #[arg(long)]
    trust: bool,
    /// Who may take the role on; the drill's own accounts if left out.
    #[arg(long, value_name = "ARN", requires = "trust")]
    principal: Vec<String>,
    /// The external id that whoever takes it on must give.
    #[arg(long, value_name = "TEXT", requires = "trust")]
    external_id: Option<String>,
    /// A second factor must have been used.
    #[arg(long, requires = "trust")]
    mfa: bool,
    #[command(flatten)]
    args: DrillArgs,
}

/// What a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum For {
    /// Planning: reads only.
    Plan,
    /// Running, and putting everything back.
    #[value(alias = "all")]
    Run,
    /// Putting back alone, from another machine.
    Undo,
}

/// A drill file, or a plan.
pub enum Given {
    Drill(Box<Loaded>),
    Plan(Box<Plan>),
}

/// Reads either: a plan is JSON.
pub fn read(path: &std::path::Path, args: &DrillArgs) -> Result<Given, CliError> {
    let is_plan = files::read(path).is_ok_and(|text| text.trim_start().starts_with('{'));
    if is_plan {
        plan::read(path).map(|p| Given::Plan(Box::new(p)))
    } else {
        load(path, args).map(|l| Given::Drill(Box::new(l)))
    }
}

pub fn run(global: &Global, args: &IamArgs) -> Result<u8, CliError> {
    let given = read(&args.drill, &args.args)?;
    let house = global.settings.house();
    let source = match &given {
        Given::Drill(loaded) => Source::drill(&loaded.drill, &house),
        Given::Plan(plan) => Source::plan(plan),
    };
    if args.trust {
        let region = source.regions().into_iter().next().unwrap_or_default();
        let roots = source.accounts().into_iter().map(|a| format!("arn:{}:iam::{a}:root", partition(region)));
        let principals = if args.principal.is_empty() { roots.collect() } else { args.principal.clone() };
        let trust = Trust { principals, external_id: args.external_id.clone(), mfa: args.mfa };
        print(global, &trust::document(&trust));
        return Ok(0);
    }
    let phase = match args.phase {
        For::Plan => Phase::Plan,
        For::Run => Phase::Run,
        For::Undo => Phase::Undo,
    };
    let document = policy::policy(&source, phase);
    print(global, &document);
    let size = document.size();
    if size > LONGEST {
        out::note(&format!(
            "the policy has {size} characters and a managed policy at most {LONGEST}: name fewer accounts and \
             regions in `limits`, make it from a plan, or split it between two policies"
        ));
    }
    if matches!(given, Given::Drill(_)) && source.steps.iter().any(|s| s.action.as_deref() == Some("command"))
    {
        out::note("what the programs under `command` need is not in it");
    }
    Ok(0)
}

fn print(global: &Global, document: &impl serde::Serialize) {
    match global.output {
        Output::Text => out::line(&serde_json::to_string_pretty(document).unwrap_or_default()),
        Output::Json => out::json(document),
    }
}
