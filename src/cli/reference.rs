//! The reference of the command line as Markdown, from the same definition that reads it. Pure.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use super::Cli;

/// The page that is checked in as `src/cli/REFERENCE.md`.
pub fn reference() -> String {
    let root = Cli::command().disable_help_subcommand(true);
    let mut text = String::from(
        "<!-- Generated from the command line itself; do not edit. -->\n\n# The command line\n\n\
         Options in the first table go with every command. Exit codes are in the last.\n\n",
    );
    options(&mut text, root.get_arguments().filter(|a| a.is_global_set()));
    for sub in root.get_subcommands() {
        command(&mut text, sub, "redrill");
    }
    text.push_str("\n## Exit codes\n\n| code | |\n|---|---|\n");
    for (code, what) in EXIT_CODES {
        let _ = writeln!(text, "| {code} | {what} |");
    }
    text
}

/// What each exit code means.
const EXIT_CODES: [(u8, &str); 14] = [
    (0, "passed, or the command did what it should"),
    (1, "internal error; of `verify`: a bundle that does not hold"),
    (2, "wrong usage, or an invalid drill, plan or configuration"),
    (3, "refused: limits, no targets, drift, lock, window; nothing was changed"),
    (4, "not-steady: the steady state did not hold before the fault; nothing was changed"),
    (5, "AWS unreachable, no credentials or no permission, before anything was changed"),
    (10, "objective-missed: recovered later than the RTO, or detected later than `objectives.detect`"),
    (11, "not-recovered: not recovered by `give_up`"),
    (12, "no-impact: no probe saw the fault, or no step did what anybody can observe"),
    (13, "stopped: a stop condition, a signal or `redrill abort`; rolled back"),
    (14, "failed: a step failed; rolled back. Or a person accepted that something is not put back"),
    (
        15,
        "inconclusive: a probe that decides could not be read, nothing read what was restored, or the clocks differ too much",
    ),
    (20, "stuck: an undo failed for good, and a person is needed"),
    (21, "the journal could not be written"),
];

fn command(text: &mut String, c: &Command, parent: &str) {
    let name = format!("{parent} {}", c.get_name());
    let _ = write!(text, "\n## `{name}`\n\n");
    let about = c.get_long_about().or_else(|| c.get_about());
    if let Some(about) = about {
        let _ = writeln!(text, "{}\n", about.to_string().trim());
    }
    let _ = writeln!(text, "```text\n{name}{}\n```", usage(c));
    let own: Vec<&Arg> = c
        .get_arguments()
        .filter(|a| !a.is_global_set() && a.get_id() != "help" && a.get_id() != "version")
        .collect();
    if !own.is_empty() {
        text.push('\n');
        options(text, own.into_iter());
    }
    for sub in c.get_subcommands().filter(|s| s.get_name() != "help") {
        command(text, sub, &name);
    }
}

fn usage(c: &Command) -> String {
    let mut text = String::new();
    if c.get_arguments().any(|a| !a.is_positional() && !a.is_global_set() && a.get_id() != "help") {
        text.push_str(" [OPTIONS]");
    }
    if c.has_subcommands() {
        text.push_str(" COMMAND");
    }
    for a in c.get_positionals() {
        let many = if a.get_num_args().is_some_and(|n| n.max_values() > 1) { "…" } else { "" };
        let _ = match a.is_required_set() {
            true => write!(text, " {}{many}", value(a)),
            false => write!(text, " [{}{many}]", value(a)),
        };
    }
    text
}

fn value(a: &Arg) -> String {
    let names = a.get_value_names().map(|n| n.iter().map(ToString::to_string).collect::<Vec<_>>());
    names.map_or_else(|| a.get_id().as_str().to_uppercase(), |n| n.join(" "))
}

fn options<'a>(text: &mut String, args: impl Iterator<Item = &'a Arg>) {
    text.push_str("| option | |\n|---|---|\n");
    for a in args.filter(|a| !a.is_hide_set()) {
        let takes = a.get_action().takes_values();
        let mut shown = match (a.get_short(), a.get_long()) {
            (Some(s), Some(l)) => format!("-{s}, --{l}"),
            (None, Some(l)) => format!("--{l}"),
            (Some(s), None) => format!("-{s}"),
            (None, None) => String::new(),
        };
        if takes {
            let _ = write!(shown, "{}{}", if shown.is_empty() { "" } else { " " }, value(a));
        }
        let mut about =
            a.get_long_help().or_else(|| a.get_help()).map(ToString::to_string).unwrap_or_default();
        about = about.replace('\n', " ");
        let values: Vec<String> =
            a.get_possible_values().iter().filter(|_| takes).map(|v| format!("`{}`", v.get_name())).collect();
        if !values.is_empty() {
            let _ = write!(about, " One of {}.", values.join(", "));
        }
        let defaults: Vec<String> = a
            .get_default_values()
            .iter()
            .filter(|_| takes)
            .map(|v| format!("`{}`", v.to_string_lossy()))
            .collect();
        if !defaults.is_empty() {
            let _ = write!(about, " Default: {}.", defaults.join(", "));
        }
        if let Some(env) = a.get_env() {
            let _ = write!(about, " Environment: `{}`.", env.to_string_lossy());
        }
        let _ = writeln!(text, "| `{}` | {} |", shown.replace('|', "\\|"), about.trim().replace('|', "\\|"));
    }
}
