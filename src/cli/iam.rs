//! `redrill iam`: the policy that a drill or a plan needs, and who may take its role on. Makes no call.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::check::load;
use super::{CliError, DrillArgs, Global, Output, files, out, plan};
use crate::catalog::iam::partition;
use crate::drill::Loaded;
use crate::plan::Plan;
use crate::plan::policy::trust::{self, Trust};
use crate::plan::policy::{self, Document, LONGEST, LONGEST_INLINE, Phase, Source};

/// Print the smallest IAM policy that runs a drill.
#[derive(Debug, Args)]
pub struct IamArgs {
    /// A drill file, or a plan.
    drill: PathBuf,
    /// What the policy is for.
    #[arg(long, value_enum, default_value_t = For::Run)]
    phase: For,
    /// For one of the accounts that `limits` names: a role stands in one.
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Print this part alone, counted from 1, where the policy is too long for one managed policy.
    #[arg(long, value_name = "N", conflicts_with = "trust")]
    part: Option<usize>,
    /// Print the trust policy of the role instead: who may take it on.
    #[arg(long)]
    trust: bool,
    /// Who may take the role on: an account, or the ARN of a role, a user, a root or a session, named
    /// whole; the drill's own accounts if left out.
    #[arg(long, value_name = "ARN", requires = "trust", value_parser = principal)]
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

fn principal(text: &str) -> Result<String, String> {
    match trust::is_principal(text) {
        true => Ok(text.to_owned()),
        false => {
            Err("name one account by its twelve digits, or one role, user, root or session by its whole \
                      ARN, such as arn:aws:iam::123456789012:role/ci; patterns would let in others"
                .to_owned())
        }
    }
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
    let mut source = match &given {
        Given::Drill(loaded) => Source::drill(&loaded.drill, &house),
        Given::Plan(plan) => Source::plan(plan),
    };
    if let Some(account) = &args.account {
        let known = source.accounts();
        if !known.contains(account.as_str()) {
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(CliError::usage(format!("the drill does not run in account {account}"))
                .hint(format!("`limits.accounts` names {known}")));
        }
        source.only = Some((account, None));
    }
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
    match args.part {
        None => {
            print(global, &document);
            if document.size() > LONGEST {
                out::note(&too_long(&document, source.accounts().len()));
            }
            if policy::passes_any_role(&document) {
                out::note(ANY_ROLE);
            }
        }
        Some(n) => {
            let parts = document.parts();
            let Some(part) = n.checked_sub(1).and_then(|n| parts.get(n)) else {
                return Err(CliError::usage(format!("there is no part {n}: the policy has {}", parts.len()))
                    .hint("parts are counted from 1"));
            };
            print(global, part);
        }
    }
    if matches!(given, Given::Drill(_)) && source.steps.iter().any(|s| s.action.as_deref() == Some("command"))
    {
        out::note("what the programs under `command` need is not in it");
    }
    Ok(0)
}

const ANY_ROLE: &str = "the policy allows iam:PassRole on every role of the account, and so whatever any of them that \
                        EC2 or RDS may take on allows\n  hint: name the roles of the targets under `limits.roles`, or make the policy of a plan, which knows them";

/// What to do with a policy that is longer than AWS takes.
fn too_long(document: &Document, accounts: usize) -> String {
    let parts = document.parts();
    let all: Vec<String> = (1..=parts.len()).map(|n| format!("--part {n}")).collect();
    let one = if accounts > 1 { "; for one account alone it is shorter: --account ID" } else { "" };
    let large = if parts.iter().any(|p| p.size() > LONGEST) {
        "; a part is too long, too: name fewer accounts, regions or targets"
    } else {
        ""
    };
    format!(
        "the policy has {} characters; a managed policy takes {LONGEST}, and the inline policies of a role \
         {LONGEST_INLINE} together\n  hint: attach it as {} managed policies: {}{one}{large}",
        document.size(),
        parts.len(),
        all.join(", ")
    )
}

fn print(global: &Global, document: &impl serde::Serialize) {
    match global.output {
        Output::Text => out::line(&serde_json::to_string_pretty(document).unwrap_or_default()),
        Output::Json => out::json(document),
    }
}
