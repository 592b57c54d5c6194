//! A drill: the YAML a person writes, read strictly and checked whole.
//!
//! [`schema`] holds the shape; `parse` keeps line and column of every node; `walk` holds the tree
//! against the schema, `check` against everything a schema cannot say. [`load`] reports every problem
//! of a file at once. Synchronous, no I/O: the caller reads the file.

mod check;
mod check_steps;
pub mod freeze;
mod json_schema;
pub mod limits;
mod nodes;
mod params;
mod parse;
mod patch;
mod problem;
pub mod refs;
pub mod schema;
pub mod selector;
mod walk;
pub mod window;

use std::collections::BTreeMap;

use serde_json::Value;

pub use json_schema::json_schema;
pub use limits::{Gate, KindLimits, Limits};
use nodes::{Data, Node};
pub use parse::MAX_BYTES;
use problem::Report;
pub use problem::{Problem, Problems, nearest, suggest};
pub use schema::{
    Drill, Impact, Objectives, ParamSpec, ParamType, ProbeUse, Role, RtoClock, Select, Stage, Step, StopUse,
    TargetSpec, Unreadable,
};

use crate::catalog::{DynAction, DynProbe, actions, probes};

/// How many environments a drill may have: each is checked whole.
const MAX_ENVIRONMENTS: usize = 32;

/// What to apply to a drill while it is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The environment whose patch is merged over the drill (`--env`).
    pub env: Option<String>,
    /// Values of parameters (`--set NAME=VALUE`); the last of a name wins.
    pub set: Vec<(String, String)>,
}

/// A drill that passed every check.
#[derive(Clone, PartialEq)]
pub struct Loaded {
    /// The drill: environment merged, defaults filled in, parameters that are no secret put in.
    pub drill: Drill,
    /// The values of the parameters that are no secret.
    pub params: BTreeMap<String, Value>,
    /// The values of those that are; never to be written anywhere.
    pub secrets: BTreeMap<String, String>,
    /// The file as it was read.
    pub source: String,
    /// The environment that was merged.
    pub environment: Option<String>,
    /// What was given for the parameters that are no secret, as it was written.
    pub set: BTreeMap<String, String>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secrets: Vec<&String> = self.secrets.keys().collect();
        f.debug_struct("Loaded")
            .field("drill", &self.drill)
            .field("params", &self.params)
            .field("secrets", &secrets)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// The actions and probes that a drill may use.
#[derive(Clone, Copy)]
pub struct Known {
    /// Actions.
    pub actions: &'static [&'static dyn DynAction],
    /// Probes.
    pub probes: &'static [&'static dyn DynProbe],
    /// Whether what a fault ends for good has to be replaced for good, and only that: version 0.1.0 did not ask.
    pub matched: bool,
}

impl Known {
    /// Everything in the catalogue.
    pub fn shipped() -> Self {
        Self { actions: actions::ACTIONS, probes: probes::PROBES, matched: true }
    }

    /// The same, with no more asked of a drill than that version did.
    pub fn of(version: &str) -> Self {
        Self { matched: version != "0.1.0", ..Self::shipped() }
    }

    /// The action of that name.
    pub fn action(&self, name: &str) -> Option<&'static dyn DynAction> {
        self.actions.iter().copied().find(|a| a.spec().name == name)
    }

    /// The probe of that name.
    pub fn probe(&self, name: &str) -> Option<&'static dyn DynProbe> {
        self.probes.iter().copied().find(|p| p.spec().name == name)
    }
}

/// Reads a drill, merges its environment, puts its parameters in, and checks all of it.
///
/// # Errors
/// Every problem of the file, the other environments' included.
pub fn load(file_name: &str, text: &str, options: &LoadOptions) -> Result<Loaded, Problems> {
    load_with(&Known::shipped(), file_name, text, options)
}

/// [`load`], with other actions and probes.
///
/// # Errors
/// As for [`load`].
pub fn load_with(
    known: &Known,
    file_name: &str,
    text: &str,
    options: &LoadOptions,
) -> Result<Loaded, Problems> {
    read(known, file_name, text, options, false)
}

/// Checks a drill without the values that only a run needs: parameters may be missing.
///
/// # Errors
/// As for [`load`].
pub fn check(file_name: &str, text: &str, options: &LoadOptions) -> Result<Loaded, Problems> {
    check_with(&Known::shipped(), file_name, text, options)
}

/// [`check`], with what is known otherwise.
///
/// # Errors
/// As for [`load`].
pub fn check_with(
    known: &Known,
    file_name: &str,
    text: &str,
    options: &LoadOptions,
) -> Result<Loaded, Problems> {
    read(known, file_name, text, options, true)
}

fn read(
    known: &Known,
    file_name: &str,
    source: &str,
    options: &LoadOptions,
    partial: bool,
) -> Result<Loaded, Problems> {
    let text = source.strip_prefix('\u{feff}').unwrap_or(source);
    let mut report = Report::new(text);
    let Some(root) = parse::parse(text, &mut report) else {
        return Err(report.into_problems(file_name));
    };
    let environments = root.get("environments").map(Node::entries).unwrap_or_default();
    if let Some(name) = &options.env
        && !environments.iter().any(|(k, _)| k.text == *name)
    {
        let known: Vec<&str> = environments.iter().map(|(k, _)| k.text.as_str()).collect();
        let hint = match known.is_empty() {
            true => Some("the drill has no `environments`".to_owned()),
            false => suggest(name, known),
        };
        report.outside(format!("--env {name}: no such environment"), hint);
    }
    let chosen = environments.iter().find(|(k, _)| Some(&k.text) == options.env.as_ref());
    let (tree, values) = one(&root, chosen.map(|(_, p)| p), known, &options.set, partial, &mut report);
    if let Some((extra, _)) = environments.get(MAX_ENVIRONMENTS) {
        report.at(extra.span, format!("a drill has at most {MAX_ENVIRONMENTS} environments"));
    }
    let others = environments.iter().take(MAX_ENVIRONMENTS);
    for (_, patch) in others.filter(|(k, _)| Some(&k.text) != options.env.as_ref()) {
        // what is wrong there too is reported once; parameters are given for the chosen one only
        let mut other = Report::new(text);
        one(&root, Some(patch), known, &[], true, &mut other);
        report.absorb(other);
    }
    let mut typed = None;
    if report.is_empty() {
        let value = tree.to_value();
        match serde_path_to_error::deserialize::<_, Drill>(&value) {
            Ok(drill) => typed = Some(drill),
            Err(e) => {
                let path = e.path().iter().map(ToString::to_string).collect::<Vec<_>>();
                report.at(tree.follow(path.into_iter()).span, e.into_inner().to_string());
            }
        }
    }
    let plain = options.set.iter().filter(|(name, _)| values.known.get(name) == Some(&false));
    let set = plain.cloned().collect();
    match typed {
        Some(drill) => Ok(Loaded {
            drill: filled(drill),
            params: values.plain,
            secrets: values.secret,
            source: source.to_owned(),
            environment: options.env.clone(),
            set,
        }),
        None => Err(report.into_problems(file_name)),
    }
}

/// One reading of the file: with one environment, or with none.
fn one(
    root: &Node,
    patch: Option<&Node>,
    known: &Known,
    set: &[(String, String)],
    partial: bool,
    report: &mut Report<'_>,
) -> (Node, params::Values) {
    let mut tree = root.clone();
    tags_are_text(&mut tree);
    let mut guards = None;
    if let Some(patch) = patch {
        let mut patch = patch.clone();
        tags_are_text(&mut patch);
        patch::merge(&mut tree, &patch, report);
        guards = Some(patch::guards(&patch));
    }
    let values = params::read(&tree, set, partial, report);
    params::substitute(&mut tree, &values, report);
    if let Some(mut guards) = guards {
        params::substitute(&mut guards, &values, report);
        patch::tighten(&mut tree, &guards, report);
    }
    let schema = json_schema::plain();
    walk::walk(&tree, tree.span, "the drill", &schema, report);
    check::check(&tree, known, report);
    (tree, values)
}

fn tags_are_text(tree: &mut Node) {
    if let Some(limits) = tree.get_mut("limits") {
        for key in ["require_tags", "forbid_tags"] {
            if let Some(tags) = limits.get_mut(key) {
                params::tags_are_text(tags);
            }
        }
    }
    if let Some(Node { data: Data::Map(selectors), .. }) = tree.get_mut("targets") {
        for (_, selector) in selectors {
            for key in ["tags", "where"] {
                if let Some(tags) = selector.get_mut(key) {
                    params::tags_are_text(tags);
                }
            }
        }
    }
}

/// Fills in names and ids, and leaves out the environments: their patch is merged.
fn filled(mut drill: Drill) -> Drill {
    drill.environments.clear();
    for probe in drill.steady_state.iter_mut().chain(&mut drill.verify) {
        if probe.name.is_empty() {
            probe.name.clone_from(&probe.probe);
        }
    }
    for stop in &mut drill.stop {
        if stop.name.is_empty() {
            stop.name.clone_from(&stop.probe);
        }
    }
    for step in drill.fault.iter_mut().chain(&mut drill.recovery) {
        let inner = step.parallel.as_mut().map(|p| p.iter_mut().collect::<Vec<_>>());
        for step in inner.unwrap_or_else(Vec::new) {
            name(step);
        }
        if step.parallel.is_none() {
            name(step);
        }
    }
    drill
}

fn name(step: &mut Step) {
    if step.id.is_none() {
        step.id = Some(step.action.clone().unwrap_or_else(|| "manual".to_owned()));
    }
}

#[cfg(test)]
mod tests;
