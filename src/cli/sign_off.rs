//! `redrill sign-off`: a reviewer accepts or rejects a finished run, with a key of their own.

use clap::Args;

use super::masked::nothing_secret;
use super::material::{Folder, optional};
use super::session::operator;
use super::signer::{KeyName, Signer};
use super::{CliError, Global, Output, keys, out, runs};
use crate::bundle;
use crate::evidence::keys::PublicKey;
use crate::evidence::record::SignOff;
use crate::evidence::review::NAME;
use crate::evidence::statement::{self, SignOffPredicate, Statement};
use crate::journal::runs::{self as store, RunDir};
use crate::model::{Clock as _, time::SystemClock};

/// Accept or reject a finished run, as a reviewer with a key of your own.
///
/// The reviewer should be somebody else than whoever ran the drill, with a key that the `[[approvers]]` of
/// redrill.toml listed when the drill was planned. Without a list, or where name, machine or key are those of
/// the run, the sign-off is kept and counted as not independent.
#[derive(Debug, Args)]
pub struct SignOffArgs {
    /// Id, unique prefix, path, or `last`.
    run: String,
    /// Who you are.
    #[arg(long, value_name = "NAME", value_parser = nothing_secret)]
    by: String,
    /// Your own key: a file (`redrill init --key FILE` makes one), or the ARN of a key in AWS KMS.
    #[arg(long, value_name = "FILE|ARN")]
    key: String,
    /// You do not accept the result.
    #[arg(long)]
    reject: bool,
    /// What you looked at, and what you say to it.
    #[arg(long, default_value = "", value_parser = nothing_secret)]
    note: String,
}

pub fn run(global: &Global, args: &SignOffArgs) -> Result<u8, CliError> {
    let dir = store::find(&global.state, &args.run).map_err(runs::not_found)?;
    let _lock = store::lock(&dir).map_err(|e| super::session::locked(global, e))?;
    let folder = Folder::read(&dir)?;
    if args.by.trim().is_empty() {
        return Err(CliError::usage("a sign-off needs a name").hint("give it with --by NAME"));
    }
    if folder.record(&global.settings).result.verdict.is_none() {
        return Err(CliError::usage(format!(
            "run {} is not finished; there is nothing to sign off",
            dir.id()
        ))
        .hint(format!("go on with: {}", super::session::command(global, "resume", &dir))));
    }
    let name = KeyName::read(&args.key)?;
    let signer = Signer::open(global, &name)?;
    let public = signer.public();
    if own_keys(global, &dir, &name)?.contains(public) {
        return Err(CliError::refused("that is the key of whoever runs the drills here")
            .hint("a reviewer has a key of their own: redrill init --key FILE"));
    }
    let who = operator();
    let predicate = SignOffPredicate {
        run: dir.id().to_string(),
        by: args.by.clone(),
        operator: format!("{}@{}", who.user, who.host),
        at: SystemClock.now(),
        decision: if args.reject { "rejected" } else { "accepted" }.to_owned(),
        note: args.note.clone(),
        previous: folder.last_sign_off(),
    };
    let files = bundle::reviewed(&folder.sources(&dir)?);
    let value =
        serde_json::to_value(&predicate).map_err(|e| CliError::internal("BUG: sign-off").because(e))?;
    let payload = Statement::new(statement::subjects(&files), statement::SIGN_OFF, value).to_bytes();
    let envelope = signer.envelope(&payload)?;
    let number = folder.sign_off_count() + 1;
    let failed = |e: store::RunsError| CliError::internal("the sign-off could not be kept").because(e);
    // the key first: a sign-off without one could not be read
    dir.write(&format!("{NAME}{number}.pub"), public.to_pem().as_bytes()).map_err(failed)?;
    dir.write(&format!("{NAME}{number}.dsse.json"), &envelope.to_bytes()).map_err(failed)?;
    let folder = Folder::read(&dir)?;
    let review = folder.record(&global.settings).review;
    let last = review.sign_offs.last();
    let independent = last.is_some_and(|s| s.independent);
    let listed_as = last.and_then(|s| s.listed_as.as_deref());
    match global.output {
        Output::Json => out::json(&serde_json::json!({
            "run": dir.id(), "by": args.by, "decision": predicate.decision, "key": public.fingerprint(),
            "listed_as": listed_as, "independent": independent,
        })),
        Output::Text => {
            let who = last.map_or_else(|| args.by.clone(), SignOff::who);
            out::line(&format!("{} by {who}, key {}", predicate.decision, public.fingerprint()));
            if !independent {
                out::line(
                    "not independent: the same person, machine or key ran the drill, or the [[approvers]] that \
                     the plan was made under do not list the key; reports say so",
                );
            }
            out::line(&format!("make the bundle anew: redrill report {} --out DIR", dir.id()));
        }
    }
    Ok(0)
}

/// The keys of those who run the drills here, and the one that signed this run's bundle, as far as they
/// are there.
fn own_keys(global: &Global, dir: &RunDir, reviewer: &KeyName) -> Result<Vec<PublicKey>, CliError> {
    let mut own = vec![keys::checkpoint(global)?.public()];
    own.extend(keys::read(&keys::signing_path(&global.state)?)?.map(|key| key.public()));
    match KeyName::chosen(global, None)? {
        KeyName::Own => {}
        KeyName::File(path) => own.extend(keys::read(&path)?.map(|key| key.public())),
        // a key in AWS KMS can only be one that is there, too
        name @ KeyName::Kms(_) => {
            if let KeyName::Kms(_) = reviewer {
                own.push(Signer::open(global, &name)?.public().clone());
            }
        }
    }
    let signed = optional(dir, bundle::KEY)?;
    own.extend(signed.and_then(|pem| PublicKey::from_pem(&String::from_utf8_lossy(&pem)).ok()));
    Ok(own)
}
