//! What an answer, or the lack of one, says about a service; and values that drills write in
//! several ways. Pure.
//!
//! Invariant: what stands for "the client got no answer" is unhealthy, since that is what an outage
//! is; what stands for "we could not ask" is unknown.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::hmac;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::action::ReadCx;
use crate::catalog::probe::Reading;
use crate::cloud::{CloudError, ErrorKind, is_link_local, link_local};

/// The reading for a failed request to the probed service. A refused, broken or silent connection,
/// and a service that says that it cannot serve, are what its clients feel. A name that does not
/// resolve, a certificate that does not check out, a wrong URL or password are not.
pub(super) fn failed(e: &CloudError) -> Reading {
    match e.kind {
        // `Limit` is a server out of connections
        ErrorKind::Unreachable | ErrorKind::Timeout | ErrorKind::Server | ErrorKind::Limit => {
            Reading::judged(false, &e.message)
        }
        _ => Reading::unknown(e.to_string()),
    }
}

/// The reading for a service that does not answer at all.
pub(super) fn silent(after: std::time::Duration) -> Reading {
    Reading::judged(false, format!("no answer within {} ms", after.as_millis()))
}

/// A value as drills write it: text, a number or a boolean, compared as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// Text.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(s) => f.write_str(s),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Number(n) => write!(f, "{n}"),
        }
    }
}

/// A TCP port: a number, or a reference to one, since a step's outputs are text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Port(Scalar);

impl From<u16> for Port {
    fn from(port: u16) -> Self {
        Self(Scalar::Number(port.into()))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Port {
    /// The number.
    ///
    /// # Errors
    /// A sentence, where it is none.
    pub fn number(&self) -> Result<u16, String> {
        let text = self.0.to_string();
        match text.trim().parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(format!("`port: {text}` is no port; write a number from 1 to 65535")),
        }
    }

    /// What is wrong with it, unless it is a reference that is resolved later.
    pub(super) fn check(&self) -> Option<String> {
        if is_reference(&self.0.to_string()) { None } else { self.number().err() }
    }
}

impl JsonSchema for Port {
    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A TCP port, or a reference such as `${steps.restore.port}`.",
            "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": 65535 },
                { "type": "string" }
            ]
        })
    }
}

/// What is wrong with a host that is a link-local address, as far as its text tells.
pub(super) fn forbidden(host: &str, allowed: bool) -> Option<String> {
    let ip = host.trim_matches(['[', ']']).parse().ok()?;
    (!allowed && is_link_local(ip)).then(|| link_local(host))
}

/// Whether the text holds a reference, so that it cannot be judged before the run.
pub(super) fn is_reference(text: &str) -> bool {
    text.contains("${")
}

/// How what was read is told: as it is where the drill asks for that, else as a hash. A probe may read what
/// nobody wants in evidence, and evidence is handed on.
///
/// The hash is an HMAC under a key that lives as long as the process ([`Net::hash_key`](crate::cloud::Net)): it
/// says whether two looks of one process read the same, and nothing else, however short the value.
#[derive(Clone, Copy)]
pub(super) struct Telling {
    key: [u8; 32],
    show: bool,
}

impl Telling {
    /// Of a probe whose drill says `show_value: show`.
    pub(super) fn new(cx: ReadCx<'_>, show: bool) -> Self {
        Self { key: cx.reads.net.hash_key(), show }
    }

    #[cfg(test)]
    pub(super) fn of(key: u8, show: bool) -> Self {
        Self { key: [key; 32], show }
    }

    /// A value.
    pub(super) fn value(&self, value: &str) -> String {
        if self.show {
            return format!("`{}`", shown(value));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key);
        let tag = hmac::sign(&key, value.as_bytes());
        let hex: String = tag.as_ref().iter().take(6).map(|b| format!("{b:02x}")).collect();
        format!("hash {hex}")
    }
}

/// At most this many characters of what a service said are shown.
pub(super) fn shown(text: &str) -> String {
    const LIMIT: usize = 60;
    let mut out: String = text.chars().take(LIMIT).collect();
    if text.chars().count() > LIMIT {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Health;

    #[test]
    fn no_answer_is_unhealthy_and_no_question_is_unknown() {
        let health = |kind| failed(&CloudError::new("net:Http", kind, "why")).health;
        for kind in [ErrorKind::Unreachable, ErrorKind::Timeout, ErrorKind::Server, ErrorKind::Limit] {
            assert_eq!(health(kind), Health::Unhealthy, "{kind:?}");
        }
        for kind in [ErrorKind::Invalid, ErrorKind::Denied, ErrorKind::Other, ErrorKind::NotFound] {
            assert_eq!(health(kind), Health::Unknown, "{kind:?}");
        }
        assert_eq!(silent(std::time::Duration::from_secs(5)).health, Health::Unhealthy);
    }

    #[test]
    fn a_value_is_told_by_its_hash_unless_it_is_asked_for() {
        let (one, other) = (Telling::of(1, false), Telling::of(2, false));
        assert_eq!(one.value("42"), one.value("42"));
        assert_ne!(one.value("42"), one.value("43"));
        assert_ne!(one.value("42"), other.value("42"), "the key of another process");
        assert!(!one.value("42424242").contains("42424242"));
        assert_eq!(one.value("42").len(), "hash 0123456789ab".len());
        assert_eq!(Telling::of(1, true).value("42"), "`42`");
        assert_eq!(Telling::of(1, true).value(&"x".repeat(100)), format!("`{}…`", "x".repeat(60)));
    }

    #[test]
    fn a_port_is_a_number_or_will_be_one() {
        let port = |json: &str| serde_json::from_str::<Port>(json).unwrap();
        assert_eq!(port("5432").number(), Ok(5432));
        assert_eq!(port("\"5432\"").number(), Ok(5432));
        assert_eq!(port("\"${steps.restore.port}\"").check(), None);
        assert!(port("\"${steps.restore.port}\"").number().is_err());
        for wrong in ["0", "70000", "\"https\"", "true"] {
            assert!(port(wrong).check().is_some(), "{wrong}");
        }
    }
}
