//! Values of a drill's parameters, from the command line and from the environment. I/O: reads the environment.
//!
//! Invariant: no message shows a value, or what was taken for the name of a variable: it may be a secret.

use clap::Args;

/// What parameters are set to.
#[derive(Clone, Debug, Default, Args)]
pub struct Set {
    /// Give a parameter of the drill its value; others on this machine can read it while the command runs.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Give a parameter of the drill, such as a secret one, what an environment variable holds.
    #[arg(long, value_name = "NAME=VARIABLE", value_parser = from_environment)]
    set_env: Vec<(String, String)>,
}

impl Set {
    /// Each parameter with its value; of one that is set twice the last counts.
    pub fn all(&self) -> Vec<(String, String)> {
        self.set.iter().chain(&self.set_env).cloned().collect()
    }
}

fn pair(s: &str) -> Result<(String, String), String> {
    s.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).ok_or_else(|| "write NAME=VALUE".to_owned())
}

fn from_environment(s: &str) -> Result<(String, String), String> {
    let (name, variable) = s.split_once('=').ok_or("write NAME=VARIABLE")?;
    let value = std::env::var(variable).map_err(|e| match e {
        std::env::VarError::NotPresent => format!("the environment variable for `{name}` is not set"),
        std::env::VarError::NotUnicode(_) => format!("the environment variable for `{name}` is not text"),
    })?;
    Ok((name.to_owned(), value))
}
