//! Errors at the edge: a kind that decides the exit code, the cause, and what to type next.

use std::error::Error;
use std::fmt::Write as _;

/// What kind of failure; each has its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Wrong usage, or an invalid drill, plan or configuration.
    Usage,
    /// Limits, no targets, drift, lock: nothing changed.
    Refused,
    /// AWS unreachable, no credentials, no permission, before anything changed.
    Aws,
    /// A person is needed.
    Stuck,
    /// The journal could not be written or read.
    Journal,
    /// Ours.
    Internal,
}

/// A failed command.
#[derive(Debug)]
pub struct CliError {
    kind: Kind,
    message: String,
    hints: Vec<String>,
    rendered: bool,
    told: bool,
}

impl CliError {
    /// Of any kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hints: Vec::new(), rendered: false, told: false }
    }

    /// Exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Exit code 3.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    /// Exit code 1.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// A message that is complete as it stands, for example a list of problems in a file.
    pub fn rendered(kind: Kind, message: impl Into<String>) -> Self {
        Self { rendered: true, ..Self::new(kind, message) }
    }

    /// With the cause and its causes.
    #[must_use]
    pub fn because(mut self, source: impl Error) -> Self {
        let _ = write!(self.message, ": {source}");
        let mut cause = source.source();
        while let Some(e) = cause {
            let _ = write!(self.message, ": {e}");
            cause = e.source();
        }
        self
    }

    /// With what to type next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Machines have been told already: the result line is printed.
    #[must_use]
    pub fn told(mut self) -> Self {
        self.told = true;
        self
    }

    /// Whether [`Self::told`] was called.
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What went wrong, with its causes.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to type next.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Internal => 1,
            Kind::Usage => 2,
            Kind::Refused => 3,
            Kind::Aws => 5,
            Kind::Stuck => 20,
            Kind::Journal => 21,
        }
    }

    /// As printed on stderr.
    pub fn text(&self) -> String {
        let mut text =
            if self.rendered { self.message.clone() } else { format!("redrill: {}", self.message) };
        for hint in &self.hints {
            let _ = write!(text, "\n  hint: {hint}");
        }
        text
    }
}

/// Whether a code that is about credentials may be about a region that is not enabled ("Enable or disable AWS Regions in
/// your account", Account Management Reference Guide).
fn is_of_the_region(code: &str) -> bool {
    let bare = code.strip_suffix("Exception").unwrap_or(code);
    matches!(
        bare,
        "InvalidClientTokenId" | "AuthFailure" | "UnrecognizedClient" | "InvalidAccessKeyId" | "InvalidToken"
    )
}

/// An AWS failure before anything changed: what it means and what to type next.
impl From<crate::cloud::CloudError> for CliError {
    fn from(e: crate::cloud::CloudError) -> Self {
        use crate::cloud::ErrorKind as K;
        let (what, hint) = match e.kind {
            K::NoCredentials => {
                ("no AWS credentials were found", "log in (aws sso login), or name a profile with --profile")
            }
            K::NoRegion => ("no AWS region was given", "name one with --region, or set AWS_REGION"),
            // how AWS answers keys that it does not know, and any keys in a region that the account has not enabled
            K::Expired if e.code.as_deref().is_some_and(is_of_the_region) => (
                "the AWS credentials are not valid here",
                "log in again, or check that the region is enabled for the account, then repeat the command",
            ),
            K::Expired => {
                ("the AWS credentials are expired or not valid", "log in again, then repeat the command")
            }
            K::Denied => (
                "AWS denied a call",
                "give the caller the permissions that `redrill catalog NAME` names for each action",
            ),
            K::Unreachable => {
                ("AWS could not be reached", "check the network, the region, and --endpoint-url")
            }
            K::Timeout => ("AWS did not answer in time", "check the network, then repeat the command"),
            K::Unreadable => (
                "an answer could not be read",
                "check --endpoint-url, and whether a proxy answers in place of AWS",
            ),
            K::ClockSkew => (
                "the clocks of this machine and AWS differ too much",
                "set the clock, then repeat the command",
            ),
            _ => ("an AWS call failed", "nothing was changed; mend the cause, then repeat the command"),
        };
        let said = match e.kind {
            // it says nothing more
            K::NoRegion => what.to_owned(),
            _ => format!("{what}: {e}"),
        };
        Self::new(Kind::Aws, said).hint(hint)
    }
}
