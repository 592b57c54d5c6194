//! The rules of a house: what `redrill.toml` says of every drill. Pure data, and what is wrong with it.
//!
//! They are held against a plan beside the drill's own limits, so the stricter wins; and they stand in
//! the plan, so that a plan made under other rules is another plan.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::catalog::kinds;
use crate::drill::freeze::Freeze;
use crate::drill::limits::{is_account, is_region};
use crate::drill::window::Window;
use crate::drill::{Known, Limits, nearest};
use crate::model::ResourceKind;

/// The rules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct House {
    /// Limits for every drill; what is left out is not limited here.
    pub limits: Limits,
    /// Which accounts belong to which environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environments: BTreeMap<String, BTreeSet<String>>,
    /// Whose approvals count; anybody's with a key of their own where the list is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<Approver>,
    /// What stops every run that sees it.
    #[serde(skip_serializing_if = "KillSwitch::is_empty")]
    pub kill_switch: KillSwitch,
}

/// Somebody whose approval counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approver {
    /// Who.
    pub name: String,
    /// The fingerprint of their key, `SHA256:…`.
    pub key: String,
}

/// What stops and rolls back every run that sees it. Any of them is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KillSwitch {
    /// A file on this machine: set while it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// An object, `s3://bucket/key`: set while it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<String>,
    /// A parameter of Systems Manager: set while it is there and is not `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssm: Option<String>,
}

impl House {
    /// How many approvals a plan of this drill needs.
    pub fn approvals(&self, drill: &Limits) -> usize {
        self.limits.approvals.max(drill.approvals).unwrap_or(0)
    }
}

impl KillSwitch {
    /// The same switch, with its file as seen from this folder.
    #[must_use]
    pub fn seen_from(mut self, folder: Option<&str>) -> Self {
        if let (Some(file), Some(folder)) = (&mut self.file, folder) {
            *file = Path::new(folder).join(&*file).to_string_lossy().into_owned();
        }
        self
    }

    /// Whether its file is named as seen from the folder that a run begins in.
    pub fn is_relative(&self) -> bool {
        self.file.as_deref().is_some_and(|file| Path::new(file).is_relative())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Bucket and key of the object.
    pub fn object(&self) -> Option<(&str, &str)> {
        let (bucket, key) = self.s3.as_deref()?.strip_prefix("s3://")?.split_once('/')?;
        (!bucket.is_empty() && !key.is_empty()).then_some((bucket, key))
    }

    /// The IAM permissions that looking at it takes.
    pub fn permissions(&self) -> Vec<&'static str> {
        let s3: &[&str] = if self.s3.is_some() { &["s3:ListBucketVersions"] } else { &[] };
        let ssm: &[&str] = if self.ssm.is_some() { &["ssm:GetParameter"] } else { &[] };
        [s3, ssm].concat()
    }
}

impl House {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Everything wrong with it, one sentence each.
    pub fn problems(&self, known: &Known) -> Vec<String> {
        let l = &self.limits;
        let mut out = Vec::new();
        let accounts = self.environments.iter().flat_map(|(name, all)| {
            let place = format!("environments.{name}");
            all.iter().map(move |a| (place.clone(), a))
        });
        for (place, account) in l.accounts.iter().map(|a| ("limits.accounts".to_owned(), a)).chain(accounts) {
            if !is_account(account) {
                out.push(format!("{place}: `{account}` is no account: twelve digits, in quotes"));
            }
        }
        for (name, _) in self.environments.iter().filter(|(_, all)| all.is_empty()) {
            out.push(format!("environments.{name}: it has no account; list its accounts, or leave it out"));
        }
        let switch = &self.kill_switch;
        for (key, name) in [
            ("limits.environment", &l.environment),
            ("kill_switch.file", &switch.file),
            ("kill_switch.s3", &switch.s3),
            ("kill_switch.ssm", &switch.ssm),
        ] {
            if name.as_ref().is_some_and(|n| n.trim().is_empty()) {
                out.push(format!("{key}: it is empty; give it a name, or leave it out"));
            }
        }
        for region in l.regions.iter().filter(|r| !is_region(r)) {
            out.push(format!("limits.regions: `{region}` is no region, for example us-east-1"));
        }
        for percent in l.max_percent.iter().chain(l.kinds.values().filter_map(|k| k.max_percent.as_ref())) {
            if !(1..=100).contains(percent) {
                out.push(format!("limits: max_percent must be from 1 to 100, not {percent}"));
            }
        }
        for kind in l.kinds.keys().filter(|k| kinds::spec(**k).is_none()) {
            let all: Vec<ResourceKind> = kinds::all().collect();
            let names: Vec<&str> = all.iter().map(ResourceKind::name).collect();
            let near = nearest(kind.name(), &names).map(|n| format!("; did you mean `{n}`?"));
            out.push(format!("limits.kinds: no kind of resource `{kind}`{}", near.unwrap_or_default()));
        }
        let windows = l.windows.iter().filter_map(|w| w.parse::<Window>().err());
        out.extend(windows.map(|e| format!("limits.windows: {e}")));
        out.extend(
            l.freeze.iter().filter_map(|f| f.parse::<Freeze>().err()).map(|e| format!("limits.freeze: {e}")),
        );
        if let Some(url) = switch.s3.as_ref().filter(|s| !s.trim().is_empty() && switch.object().is_none()) {
            out.push(format!("kill_switch.s3: `{url}` is no object; write s3://BUCKET/KEY"));
        }
        for approver in self.approvers.iter().filter(|a| !a.key.starts_with("SHA256:")) {
            out.push(format!(
                "approvers: `{}` is no fingerprint; `redrill init --key FILE` prints it: SHA256:…",
                approver.key
            ));
        }
        for gate in &l.gates {
            match known.probe(&gate.probe) {
                None => out.push(format!("limits.gates: no probe `{}`", gate.probe)),
                Some(probe) => {
                    out.extend(
                        probe
                            .check(&gate.with)
                            .into_iter()
                            .map(|e| format!("limits.gates: {}: {e}", gate.label())),
                    );
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_file_is_looked_for_from_where_the_run_began() {
        let switch = |file: Option<&str>| KillSwitch {
            file: file.map(str::to_owned),
            ssm: Some("/redrill/stop".to_owned()),
            ..KillSwitch::default()
        };
        let seen = |file, folder| switch(file).seen_from(folder);
        assert_eq!(seen(Some("stop"), Some("/drills")), switch(Some("/drills/stop")));
        assert_eq!(seen(Some("/etc/stop"), Some("/drills")), switch(Some("/etc/stop")));
        assert_eq!(seen(Some("stop"), None), switch(Some("stop")));
        assert_eq!(seen(None, Some("/drills")), switch(None));
        let relative = [Some("stop"), Some("/etc/stop"), None].map(|file| switch(file).is_relative());
        assert_eq!(relative, [true, false, false]);
    }
}
