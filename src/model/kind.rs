//! The name of a kind of resource, as drill files, plans and journals have it. Pure.
//!
//! Not what kinds there are, nor what each is like: that is `catalog::kinds`, one file each. A name is held by value, so
//! that whoever only passes one on needs to know none.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest name, in bytes.
const LONGEST: usize = 39;

/// A kind of resource, by its name (`ec2.instance`). Kinds are in order by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKind {
    /// Filled up with zeros, which no name has.
    text: [u8; LONGEST],
    length: u8,
}

impl ResourceKind {
    /// The kind of that name.
    ///
    /// # Panics
    /// Where it cannot be one: longer than 39 bytes, or anything but `a-z`, `0-9`, `.` and `-`.
    pub const fn new(name: &str) -> Self {
        match Self::of(name) {
            Some(kind) => kind,
            None => panic!("BUG: this names no kind of resource"),
        }
    }

    /// The kind of that name, whether there is one or not; `None` for what cannot be a name.
    pub const fn of(name: &str) -> Option<Self> {
        let bytes = name.as_bytes();
        if bytes.is_empty() || bytes.len() > LONGEST {
            return None;
        }
        let mut text = [0; LONGEST];
        let mut n = 0;
        while n < bytes.len() {
            if !matches!(bytes[n], b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-') {
                return None;
            }
            text[n] = bytes[n];
            n += 1;
        }
        // at most LONGEST
        #[expect(clippy::cast_possible_truncation, reason = "at most 39")]
        let length = n as u8;
        Some(Self { text, length })
    }

    /// The name, for example `ec2.instance`.
    pub fn name(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ResourceKind {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for ResourceKind {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(input)?;
        Self::of(&name).ok_or_else(|| D::Error::custom(format!("`{name}` is no name of a kind of resource")))
    }
}

impl JsonSchema for ResourceKind {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ResourceKind".into()
    }

    /// Any name: what names there are is put in by whoever knows the kinds.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "The kinds of resources that selectors can pick.", "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_and_what_is_none_is_refused() {
        let kind: ResourceKind = serde_json::from_str("\"vpc.route-table\"").unwrap();
        assert_eq!((kind.name(), kind), ("vpc.route-table", ResourceKind::new("vpc.route-table")));
        assert_eq!(serde_json::to_string(&kind).unwrap(), "\"vpc.route-table\"");
        assert!(ResourceKind::new("ec2") < ResourceKind::new("ec2.instance"));
        let longest = "a".repeat(LONGEST);
        assert_eq!(ResourceKind::of(&longest).map(|k| k.name().len()), Some(LONGEST));
        for no in ["", "Ec2", "ec2 instance", "ä", &format!("{longest}a")] {
            assert_eq!(ResourceKind::of(no), None, "{no}");
            assert!(serde_json::from_value::<ResourceKind>(no.into()).is_err());
        }
    }
}
