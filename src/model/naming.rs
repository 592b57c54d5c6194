//! Names that redrill gives to what a run makes. Pure.
//!
//! They follow from the run, the step and what is replaced, so that a step that asks twice asks for the same
//! thing, and `sweep` can tell what a run made from what somebody only put its tags on: a tag can be set
//! by whoever may tag, a client token and the identifier of a database cannot.

use sha2::{Digest as _, Sha256};

use super::{RunId, StepId};

/// Longest DBInstanceIdentifier.
const LONGEST_IDENTIFIER: usize = 63;
/// Between the source's identifier and the token.
const OF_REDRILL: &str = "-redrill-";
/// Characters of the token in an identifier.
const SHORT: usize = 8;

/// A token that is the same each time this step asks for the same thing: 32 characters of `[0-9a-f]`, for
/// ClientToken, CallerReference and new identifiers.
pub fn token(run: &RunId, step: &StepId, what: &str) -> String {
    let digest = Sha256::digest(format!("{run}\n{step}\n{what}"));
    digest.iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// The client token of the launch that replaces an instance.
pub fn launch_token(run: &RunId, step: &StepId, original: &str) -> String {
    token(run, step, &format!("replace {original}"))
}

/// The most launches for one original: AWS may accept a launch and end what it made before it runs, and its token can
/// never be used again then.
pub const LAUNCHES: u32 = 20;

/// The client token of the n-th launch (from 0), by that of the first.
pub fn launch_again(first: &str, n: u32) -> String {
    if n == 0 {
        return first.to_owned();
    }
    let digest = Sha256::digest(format!("{first}\n{n}"));
    digest.iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// Whether this is the client token of one of the launches whose first has that token.
pub fn is_launch(token: &str, first: &str) -> bool {
    (0..LAUNCHES).any(|n| launch_again(first, n) == token)
}

/// The identifier of a database's copy, where the drill gives none: valid for RDS.
pub fn copy_identifier(run: &RunId, step: &StepId, source: &str) -> String {
    let token = token(run, step, source);
    let cut: String = source.chars().take(LONGEST_IDENTIFIER - OF_REDRILL.len() - SHORT).collect();
    format!("{}{OF_REDRILL}{}", cut.trim_end_matches('-'), &token[..SHORT]).to_ascii_lowercase()
}

/// The name of the route table without routes that a step puts subnets on.
pub fn empty_table(step: &StepId) -> String {
    format!("redrill {step} empty")
}

/// The snapshot that is taken of a database before it is removed: named after it, so that it is found.
pub fn final_snapshot(identifier: &str) -> String {
    format!("{identifier}-final")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_launch_has_a_token_of_its_own_and_all_are_known_by_the_first() {
        let tokens: std::collections::BTreeSet<String> =
            (0..LAUNCHES).map(|n| launch_again("f0", n)).collect();
        assert_eq!(tokens.len(), LAUNCHES as usize);
        assert!(tokens.contains("f0") && tokens.iter().all(|t| t.len() <= 32 && is_launch(t, "f0")));
        assert!(!is_launch(&launch_again("f0", LAUNCHES), "f0") && !is_launch("f0", "f1"));
    }
}
