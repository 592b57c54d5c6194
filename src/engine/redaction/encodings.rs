//! How programs write a secret that they encode as a whole. Pure.
//!
//! Left to others: escapes within a text ([`super::views`]). Invariant: the forms of one secret keep their order for ever, since
//! marks in journals count them: a new one is added at the end.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::SHORTEST_CUT;

/// The other ways in which the secret may be written. Their order is part of the format: marks count them.
pub(super) fn encoded(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let mut out = BTreeSet::new();
    let json = in_json(secret);
    // once more, as JSON within JSON
    out.insert(in_json(&json));
    out.insert(json);
    out.insert(secret.split_whitespace().collect::<Vec<_>>().join(" "));
    for unreserved in ["-_.~", "", "-_.~!$&'()*+,;=:@/?"] {
        for space in ["%20", "+"] {
            let url: String = bytes
                .iter()
                .map(|b| match char::from(*b) {
                    ' ' => space.to_owned(),
                    c if c.is_ascii_alphanumeric() || unreserved.contains(c) => c.to_string(),
                    _ => format!("%{b:02X}"),
                })
                .collect();
            out.insert(lower_escapes(&url));
            out.insert(url);
        }
    }
    out.extend(in_base64(bytes));
    let hex = in_hex(bytes);
    out.insert(hex.to_uppercase());
    out.insert(hex);
    let cases = [secret.to_lowercase(), secret.to_uppercase()].into_iter().filter(|form| !out.contains(form));
    let mut out: Vec<String> = out.iter().cloned().chain(cases).collect();
    out.retain(|form| form != secret && form.len() >= SHORTEST_CUT);
    out
}

pub(super) fn in_json(text: &str) -> String {
    let json = Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

pub(super) fn in_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, b| {
        let _ = write!(hex, "{b:02x}");
        hex
    })
}

/// At each alignment, in both alphabets.
pub(super) fn in_base64(bytes: &[u8]) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for shift in 0..3 {
        // of the characters that depend on the neighbours too, none is looked for
        let mut padded = vec![0; shift];
        padded.extend_from_slice(bytes);
        let (from, to) = ((shift * 8).div_ceil(6), padded.len() * 8 / 6);
        for text in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            // of very little, nothing stands for itself
            out.extend(text.get(from..to).map(str::to_owned));
        }
    }
    out
}

pub(super) fn lower_escapes(url: &str) -> String {
    let mut parts = url.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(part.len().min(2));
        let _ = write!(out, "%{}{rest}", digits.to_lowercase());
    }
    out
}
