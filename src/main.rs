//! The `redrill` binary: hands the command line to [`redrill::cli`] and its answer to the shell.

use std::process::ExitCode;

fn main() -> ExitCode {
    redrill::cli::main()
}
