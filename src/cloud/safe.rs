//! What a later process of a run needs and no journal may hold: the user data of instances that are to be replaced.
//!
//! AWS need not tell it of an instance that has ended, and it may hold passwords. Not for: secret parameters, which are
//! given again. Invariant: what is kept is in no `Debug`, and is never written where it can be read as it is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::Secret;

/// Where it is kept, by name.
#[async_trait]
pub trait Safe: Send + Sync {
    /// Keeps all of these; returns once a later process would find them.
    ///
    /// # Errors
    /// Why it cannot be kept.
    async fn keep(&self, named: Vec<(String, Secret)>) -> Result<(), String>;

    /// What was kept under the name, by this process or an earlier one of the run.
    fn kept(&self, name: &str) -> Option<Secret>;
}

/// Keeps it as long as the process lives.
#[derive(Debug, Default)]
pub struct InMemory(Mutex<BTreeMap<String, Secret>>);

impl InMemory {
    /// What a process would find that was killed before it kept anything: nothing.
    #[cfg(test)]
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[async_trait]
impl Safe for InMemory {
    async fn keep(&self, named: Vec<(String, Secret)>) -> Result<(), String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(named);
        Ok(())
    }

    fn kept(&self, name: &str) -> Option<Secret> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}
