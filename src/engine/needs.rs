//! What a run would lack on this machine: a variable that is not set, a file or a program that is not there. Reads.
//!
//! Found before the fault, since nobody can give a running process a variable. Invariant: no value of a variable goes
//! further than here and what is kept out of the journal, and a secret is asked for only by a run.

use crate::catalog::actions::command;
use crate::catalog::{Finding, Need, Severity};
use crate::cloud::{Cloud, CommandRequest, Local, Net};
use crate::drill::refs;
use crate::plan::Plan;
use crate::plan::policy::Source;
use crate::plan::will;

/// Notes the passwords that probes take from the environment, for the journal to leave them out.
pub fn hold_passwords(plan: &Plan, cloud: &Cloud) {
    for (_, need) in will::needs(&plan.drill, &plan.house) {
        if let Need::Variable(name) = need
            && let Some(password) = cloud.reads.net.variable(&name)
        {
            cloud.held.password(&password);
        }
    }
}

/// What is missing, one refusal each. Secrets of Secrets Manager are not looked at.
pub fn missing(source: &Source<'_>, net: &dyn Net, local: &dyn Local) -> Vec<Finding> {
    let mut out = Vec::new();
    for (probe, need) in will::needs(source.drill, source.house) {
        let (text, hint) = match &need {
            Need::Variable(name) if net.variable(name).is_none() => (
                format!("the environment variable {name} is not set"),
                format!("export {name}, then run again: a process that runs gets none"),
            ),
            Need::File(path) if !net.is_file(path) => (
                format!("there is no file `{path}`"),
                "paths are counted from where redrill is started".to_owned(),
            ),
            _ => continue,
        };
        out.push(Finding::new(Severity::Refusal, probe, text).hint(hint));
    }
    for step in source.steps.iter().filter(|s| s.action.as_deref() == Some(command::NAME)) {
        for (undo, p) in will::programs(&step.params) {
            let path = p.env.get("PATH");
            let decides = p.argv.iter().take(1).chain(&p.cwd).chain(path);
            if decides.clone().any(|text| refs::has_reference(text)) {
                continue; // nobody knows yet
            }
            let plain = |text: &String| refs::resolve(text, &|_| None).unwrap_or_default();
            let request = CommandRequest {
                argv: p.argv.iter().take(1).map(plain).collect(),
                env: path.map(|p| ("PATH".to_owned(), plain(p))).into_iter().collect(),
                cwd: p.cwd.as_ref().map(plain),
                timeout: std::time::Duration::ZERO,
            };
            if let Some(why) = local.lacks(&request) {
                let text = if undo { format!("its undo cannot be started: {why}") } else { why };
                let hint = "a relative path is counted from `cwd`, or from where redrill is started";
                out.push(Finding::new(Severity::Refusal, step.id.as_str(), text).hint(hint));
            }
        }
    }
    out
}
