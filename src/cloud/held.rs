//! Secrets that this process came by and nobody gave it as parameters: its own AWS keys, and passwords that probes
//! fetched. Pure.
//!
//! For: keeping them out of what is written. A program of a drill inherits this process's environment, and may print
//! it. Not for: using them; nothing reads a secret from here to act on it. Invariant: they are in no `Debug`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::Secret;

/// What stands for each kind of secret.
pub const SECRET_KEY: &str = "AWS secret access key";
/// Of temporary credentials.
pub const SESSION_TOKEN: &str = "AWS session token";
/// Of a login of a probe.
pub const PASSWORD: &str = "password of a probe";

/// The fewest characters of a key of AWS's: emulators take `test`, which stands in other words.
const SHORTEST_KEY: usize = 16;

/// The secrets, each with what it is, in the order in which they came. A clone is the same list.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<Mutex<Vec<(&'static str, Secret)>>>);

impl Held {
    fn list(&self) -> MutexGuard<'_, Vec<(&'static str, Secret)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, what: &'static str, secret: &str) {
        let mut list = self.list();
        if !secret.is_empty() && !list.iter().any(|(_, known)| known.expose() == secret) {
            list.push((what, Secret::new(secret)));
        }
    }

    /// Credentials that calls are signed with.
    pub fn credentials(&self, secret_key: &str, session_token: Option<&str>) {
        for (what, key) in [(SECRET_KEY, Some(secret_key)), (SESSION_TOKEN, session_token)] {
            if let Some(key) = key.filter(|key| key.len() >= SHORTEST_KEY) {
                self.hold(what, key);
            }
        }
    }

    /// A password, or what Secrets Manager holds: the password in it where it is JSON, else all of it.
    pub fn password(&self, secret: &Secret) {
        match serde_json::from_str(secret.expose()) {
            Ok(Value::Object(fields)) => {
                if let Some(Value::String(password)) = fields.get("password") {
                    self.hold(PASSWORD, password);
                }
            }
            _ => self.hold(PASSWORD, secret.expose()),
        }
    }

    /// How many there are; it never becomes fewer.
    pub fn count(&self) -> usize {
        self.list().len()
    }

    /// All of them.
    pub fn all(&self) -> Vec<(&'static str, Secret)> {
        self.list().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_held_once_and_what_emulators_take_is_not() {
        let held = Held::default();
        held.credentials("test", Some("test"));
        assert_eq!(held.count(), 0);
        for _ in 0..2 {
            held.clone()
                .credentials("wJalrXUtnFEMI/K7MDENG+bPxRfiCY", Some("IQoJb3JpZ2luX2VjEJr//////token"));
            held.password(&Secret::new(r#"{"username":"app","password":"kQ8vZ2pLr0","port":5432}"#));
            held.password(&Secret::new("only-a-password"));
        }
        let all = held.all();
        let whats: Vec<_> = all.iter().map(|(what, secret)| (*what, secret.expose().len())).collect();
        assert_eq!(whats, [(SECRET_KEY, 30), (SESSION_TOKEN, 30), (PASSWORD, 10), (PASSWORD, 15)]);
        assert!(!format!("{held:?}").contains("Zwp"), "{held:?}");
    }
}
