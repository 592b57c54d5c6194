//! How long the credentials last: noted whenever the SDK fetches some.
//!
//! For: [`Life`], which goes into the caller's identity; [`Held`], so that they are kept out of what is written. Not for: getting credentials; that is the
//! SDK's own chain. Invariant: credentials pass through unchanged, and nothing else of them is kept:
//! when they end, whether their source makes new ones, and their secrets in memory, for the journal to leave them out. I/O.

use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::Credentials;
use aws_credential_types::credential_feature::AwsCredentialFeature as Source;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use chrono::{DateTime, Utc};

use crate::cloud::Held;

/// What tools that export session tokens set beside them; the SDK does not read it.
const EXPIRATION: &str = "AWS_CREDENTIAL_EXPIRATION";

/// How long credentials last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Life {
    /// When they expire (UTC), where that is known.
    pub(super) expires_at: Option<DateTime<Utc>>,
    /// Whether they last as long as they are needed, being renewed or without an end; `None` where
    /// that is not known.
    pub(super) renewable: Option<bool>,
}

impl Life {
    /// `exported` is the time that stands beside a session token in the environment.
    fn of(credentials: &Credentials, exported: impl FnOnce() -> Option<String>) -> Self {
        let none = Vec::new();
        let sources = credentials.get_property::<Vec<Source>>().unwrap_or(&none);
        let mut expires_at = credentials.expiry().map(DateTime::from);
        let only = |source| sources.iter().all(|s| *s == source) && !sources.is_empty();
        let renewable = if expires_at.is_none() && credentials.session_token().is_none() {
            Some(true) // a key pair has no end
        } else if only(Source::CredentialsEnvVars) {
            let at = exported().and_then(|text| DateTime::parse_from_rfc3339(text.trim()).ok());
            expires_at = expires_at.or(at.map(|at| at.to_utc()));
            Some(false)
        } else if only(Source::CredentialsProfile) {
            // no time is read with a token in a profile; with one, the profile names a role
            Some(expires_at.is_some())
        } else if sources.iter().any(renews) {
            Some(true)
        } else {
            None
        };
        Self { expires_at, renewable }
    }
}

/// Whether the SDK asks this source again before its credentials expire.
fn renews(source: &Source) -> bool {
    matches!(
        source,
        Source::CredentialsEnvVarsStsWebIdToken
            | Source::CredentialsStsAssumeRole
            | Source::CredentialsStsAssumeRoleSaml
            | Source::CredentialsStsAssumeRoleWebId
            | Source::CredentialsProfileStsWebIdToken
            | Source::CredentialsProfileSso
            | Source::CredentialsSso
            | Source::CredentialsProfileProcess
            | Source::CredentialsProcess
            | Source::CredentialsHttp
            | Source::CredentialsImds
            | Source::CredentialsProfileLogin
            | Source::CredentialsLogin
    )
}

/// The life of the newest credentials.
#[derive(Clone, Debug, Default)]
pub(super) struct Lives {
    newest: Arc<Mutex<Life>>,
    held: Held,
}

impl Lives {
    /// Of the newest credentials; nothing is known before the first call.
    pub(super) fn newest(&self) -> Life {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every secret of them so far, also of those to come.
    pub(super) fn held(&self) -> Held {
        self.held.clone()
    }

    /// Passes credentials on and notes their life. Asking the chain a second time could run a
    /// credential process, or ask for a token, twice.
    pub(super) fn watching(&self, inner: SharedCredentialsProvider) -> SharedCredentialsProvider {
        SharedCredentialsProvider::new(Watched { inner, lives: self.clone() })
    }
}

#[derive(Debug)]
struct Watched {
    inner: SharedCredentialsProvider,
    lives: Lives,
}

impl ProvideCredentials for Watched {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let credentials = self.inner.provide_credentials().await?;
            let life = Life::of(&credentials, || std::env::var(EXPIRATION).ok());
            self.lives.held.credentials(credentials.secret_access_key(), credentials.session_token());
            *self.lives.newest.lock().unwrap_or_else(PoisonError::into_inner) = life;
            Ok(credentials)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    const AT: &str = "2027-01-15T08:00:00Z";

    fn at() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn credentials(token: bool, expires: bool, sources: &[Source]) -> Credentials {
        let mut found = Credentials::new(
            "key",
            "secret-of-the-tests",
            token.then(|| "token-of-the-tests".to_owned()),
            expires.then(at),
            "somewhere",
        );
        if !sources.is_empty() {
            found.set_property(sources.to_vec());
        }
        found
    }

    fn life(token: bool, expires: bool, sources: &[Source]) -> (bool, Option<bool>) {
        let life = Life::of(&credentials(token, expires, sources), || Some(AT.to_owned()));
        assert!(life.expires_at.is_none_or(|found| found == DateTime::<Utc>::from(at())));
        (life.expires_at.is_some(), life.renewable)
    }

    #[test]
    fn a_session_token_given_as_it_is_cannot_be_renewed() {
        use Source::{CredentialsEnvVars, CredentialsProfile};
        assert_eq!(life(true, false, &[CredentialsEnvVars]), (true, Some(false)));
        // what stands in the environment says nothing about a profile
        assert_eq!(life(true, false, &[CredentialsProfile]), (false, Some(false)));
        for unreadable in ["", "soon", "1800000000"] {
            let found =
                Life::of(&credentials(true, false, &[CredentialsEnvVars]), || Some(unreadable.into()));
            assert_eq!(found, Life { expires_at: None, renewable: Some(false) }, "{unreadable}");
        }
        let nothing = Life::of(&credentials(true, false, &[CredentialsEnvVars]), || None);
        assert_eq!(nothing, Life { expires_at: None, renewable: Some(false) });
    }

    #[test]
    fn a_source_that_is_asked_again_renews() {
        use Source::CredentialsProfile;
        for source in [
            Source::CredentialsStsAssumeRole,
            Source::CredentialsProfileStsWebIdToken,
            Source::CredentialsHttp,
            Source::CredentialsImds,
        ] {
            assert_eq!(life(true, true, std::slice::from_ref(&source)), (true, Some(true)), "{source:?}");
        }
        for source in [Source::CredentialsSso, Source::CredentialsProcess] {
            assert_eq!(life(true, true, &[source, CredentialsProfile]), (true, Some(true)));
        }
        // a role named in a profile
        assert_eq!(life(true, true, &[CredentialsProfile]), (true, Some(true)));
    }

    #[test]
    fn a_key_pair_has_no_end_and_of_the_rest_nothing_is_known() {
        for sources in [&[][..], &[Source::CredentialsEnvVars], &[Source::CredentialsProfile]] {
            assert_eq!(life(false, false, sources), (false, Some(true)));
        }
        assert_eq!(life(true, true, &[]), (true, None));
        assert_eq!(life(true, false, &[]), (false, None));
    }

    #[tokio::test]
    async fn the_life_of_credentials_is_noted_and_they_pass_unchanged() {
        let lives = Lives::default();
        assert_eq!(lives.newest(), Life::default());
        let inner = credentials(true, true, &[Source::CredentialsImds]);
        let watched = lives.watching(SharedCredentialsProvider::new(inner.clone()));
        assert_eq!(watched.provide_credentials().await.unwrap(), inner);
        assert_eq!(lives.newest(), Life { expires_at: Some(DateTime::from(at())), renewable: Some(true) });
        let held = lives.held().all();
        let held: Vec<_> = held.iter().map(|(_, secret)| secret.expose()).collect();
        assert_eq!(held, ["secret-of-the-tests", "token-of-the-tests"]);
    }
}
