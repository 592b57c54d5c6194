//! Keeps secrets out of what is printed outside of a journal: errors, and the notes that people leave for a run. I/O: reads
//! the environment.
//!
//! For: the secrets of `--set`, as soon as a drill or a plan says which they are, and the AWS keys that this process came by
//! or that its environment holds. Not for: the journal, which the engine looks after. Invariant: nothing here is shown.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::cloud::Held;
use crate::engine::secrets::SHORTEST;
use crate::engine::told;

#[derive(Default)]
struct Known {
    given: BTreeMap<String, String>,
    held: Vec<Held>,
}

static KNOWN: Mutex<Known> = Mutex::new(Known { given: BTreeMap::new(), held: Vec::new() });

/// These parameters are secret.
pub fn given(secrets: &BTreeMap<String, String>) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    // a shorter one is part of other words, and is refused
    let long = secrets.iter().filter(|(_, secret)| secret.chars().count() >= SHORTEST);
    known.given.extend(long.map(|(name, secret)| (name.clone(), secret.clone())));
}

/// What this list holds is secret, now and later.
#[cfg(feature = "aws")]
pub fn held(held: &Held) {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).held.push(held.clone());
}

/// For what people write into evidence that is signed, where stars would say something else than they wrote.
///
/// # Errors
/// It has the user of a URL, or one of the keys.
pub fn nothing_secret(written: &str) -> Result<String, String> {
    match text(written.to_owned()) == written {
        true => Ok(written.to_owned()),
        false => {
            Err("it has a user name or password in a URL, or a key, and would stand in the evidence: leave \
                      that out"
                .to_owned())
        }
    }
}

/// The text without any of it, and without the users of URLs.
pub fn text(text: String) -> String {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let own = Held::default();
    let variable = |name| std::env::var(name).unwrap_or_default();
    own.credentials(&variable("AWS_SECRET_ACCESS_KEY"), Some(&variable("AWS_SESSION_TOKEN")));
    let all = known.held.iter().chain([&own]).flat_map(Held::all);
    let held: Vec<(String, String)> =
        all.map(|(what, secret)| (what.to_owned(), secret.expose().to_owned())).collect();
    told(&known.given, &held, text)
}
