//! What is known of the way to AWS: proxy, settings, and the roots that certificates lead to. Pure data.
//!
//! Whether the endpoint is proven to be AWS's is told from what was seen, never stored beside it. No field
//! holds a secret: user and password of a proxy are left out where this is made.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The way to AWS, as it was when a process connected.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointProof {
    /// The proxy that requests to AWS go through, without user and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Settings that bear on the way and are set: variables of the environment, endpoints.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// The root of each endpoint that was looked at; the first is the one that says who the caller is.
    pub roots: Vec<EndpointRoot>,
}

/// Where an endpoint's certificate leads.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointRoot {
    /// The endpoint's name.
    pub host: String,
    /// Its root.
    pub root: Root,
}

/// The root of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Root {
    /// One of the public web's.
    Public {
        /// Its subject.
        subject: String,
    },
    /// One that only this machine trusts.
    Private {
        /// Its subject.
        subject: String,
        /// SHA-256 (hex) of the certificate.
        sha256: String,
    },
    /// None that anybody here trusts, or none was seen.
    Unknown {
        /// Why.
        why: String,
    },
}

/// Said of AWS where nothing was recorded.
pub const NOT_RECORDED: &str = "how AWS was reached was not recorded";

impl EndpointProof {
    /// Why it is not proven that AWS answered; `None` where it is.
    pub fn doubt(&self) -> Option<String> {
        if let Some(proxy) = &self.proxy {
            return Some(format!("requests went through the proxy {proxy}"));
        }
        let private = self.roots.iter().find_map(|r| match &r.root {
            Root::Private { subject, sha256 } => Some(format!(
                "the certificate of {} leads to a private root: {subject} (SHA-256 {sha256})",
                r.host
            )),
            _ => None,
        });
        if private.is_some() {
            return private;
        }
        match self.roots.first() {
            Some(EndpointRoot { root: Root::Public { .. }, .. }) => None,
            Some(EndpointRoot { host, root: Root::Unknown { why } }) => {
                Some(format!("the root of {host} could not be determined: {why}"))
            }
            _ => Some("no certificate was looked at".to_owned()),
        }
    }

    /// In words: where the certificates lead, each root once.
    pub fn in_words(&self) -> String {
        match self.doubt() {
            Some(doubt) => format!("endpoint not proven: {doubt}"),
            None => {
                let mut names: Vec<&str> = Vec::new();
                for root in &self.roots {
                    if let Root::Public { subject } = &root.root
                        && !names.contains(&subject.as_str())
                    {
                        names.push(subject);
                    }
                }
                format!("certificates under {}", names.join("; "))
            }
        }
    }

    /// One that leads to a public root, for tests of everything that depends on it.
    #[doc(hidden)]
    pub fn public() -> Self {
        let root = Root::Public { subject: "Amazon Root CA 1, Amazon".to_owned() };
        Self {
            roots: vec![EndpointRoot { host: "sts.us-east-1.amazonaws.com".to_owned(), root }],
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_public_root_without_a_proxy_is_proof() {
        let proof = EndpointProof::public();
        assert_eq!(proof.doubt(), None);
        assert_eq!(proof.in_words(), "certificates under Amazon Root CA 1, Amazon");
        let proxied = EndpointProof { proxy: Some("http://proxy:3128".into()), ..proof.clone() };
        assert_eq!(proxied.doubt().as_deref(), Some("requests went through the proxy http://proxy:3128"));
        let with = |root: Root, first: bool| {
            let mut p = proof.clone();
            p.roots.insert(usize::from(!first), EndpointRoot { host: "ec2".into(), root });
            p.doubt().unwrap_or_default()
        };
        for first in [true, false] {
            let private = Root::Private { subject: "Corp".into(), sha256: "ab".into() };
            assert_eq!(
                with(private, first),
                "the certificate of ec2 leads to a private root: Corp (SHA-256 ab)"
            );
        }
        // what was not reached says nothing; but who the caller is has to be known
        let unknown = || Root::Unknown { why: "timed out".into() };
        assert_eq!(with(unknown(), true), "the root of ec2 could not be determined: timed out");
        assert_eq!(with(unknown(), false), "");
        assert!(EndpointProof::default().doubt().is_some());
    }
}
