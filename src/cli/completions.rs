//! `redrill completions`.

use clap::{Args, CommandFactory as _};

use super::{Cli, CliError, out};

/// Print shell completions.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    shell: clap_complete::Shell,
}

pub fn run(args: &CompletionsArgs) -> Result<u8, CliError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "redrill", &mut text);
    out::document(&String::from_utf8_lossy(&text));
    Ok(0)
}
