//! `redrill.toml`: what a folder of drills has in common. Reads one file.
//!
//! `--config FILE`, else `./redrill.toml` where there is one. What the environment and flags say wins.
//! A key that redrill does not know is refused: a setting that is misspelt must not be lost in silence.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

use super::{CliError, Kind};
use crate::drill::{Known, Limits, suggest};
use crate::evidence::Settings;
use crate::evidence::controls::{self, Framework};
use crate::evidence::findings::Defaults;
use crate::plan::House;
use crate::plan::house::{Approver, KillSwitch};

/// The file that is read where none is named.
const NAME: &str = "redrill.toml";

/// The settings.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Limits for every drill, beside its own.
    pub limits: Limits,
    /// Which accounts belong to which environment.
    pub environments: BTreeMap<String, BTreeSet<String>>,
    /// Whose approvals count.
    pub approvers: Vec<Approver>,
    /// What stops every run that sees it.
    pub kill_switch: KillSwitch,
    /// Controls in addition to the built-in ones.
    pub frameworks: Vec<Framework>,
    /// How evidence is signed.
    pub evidence: Evidence,
    /// Who follows findings up, and by when.
    pub exercise: Defaults,
}

impl Config {
    /// What records depend on.
    pub fn settings(&self) -> Settings {
        Settings { frameworks: self.frameworks.clone(), exercise: self.exercise.clone() }
    }

    /// The rules that every drill is held against.
    pub fn house(&self) -> House {
        House {
            limits: self.limits.clone(),
            environments: self.environments.clone(),
            approvers: self.approvers.clone(),
            kill_switch: self.kill_switch.clone(),
        }
    }
}

/// How evidence is signed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evidence {
    /// The key that signs bundles: a file, or an ARN of AWS KMS.
    pub key: Option<String>,
    /// The key that signs checkpoints while a run goes on.
    pub checkpoint_key: Option<String>,
    /// How long published bundles are locked: `7y`, `90d`.
    pub retain: Option<String>,
    /// The URL of a time stamp authority (RFC 3161).
    pub timestamp_authority: Option<String>,
}

impl Config {
    /// With the timestamp authority of the command line: another one, or none.
    #[must_use]
    pub fn stamped(&self, by: Option<&String>, none: bool) -> Self {
        let mut config = self.clone();
        if none || by.is_some() {
            config.evidence.timestamp_authority = by.cloned();
        }
        config
    }
}

impl Config {
    /// Files are named as seen from the configuration's folder, wherever redrill is called.
    fn files_beside(&mut self, config: &Path) {
        let folder = config.parent().unwrap_or_else(|| Path::new(""));
        for file in self.evidence.files().chain(&mut self.kill_switch.file) {
            *file = folder.join(&*file).to_string_lossy().into_owned();
        }
    }
}

impl Evidence {
    /// The keys that are files.
    fn files(&mut self) -> impl Iterator<Item = &mut String> {
        [&mut self.key, &mut self.checkpoint_key].into_iter().flatten().filter(|k| !k.starts_with("arn:"))
    }
}

/// Reads the named file, else `./redrill.toml`, else nothing.
///
/// # Errors
/// Where a named file is not there, or the file says something that redrill does not know.
pub fn load(named: Option<&Path>) -> Result<Config, CliError> {
    load_from(named.unwrap_or(Path::new(NAME)), named.is_some())
}

fn load_from(path: &Path, named: bool) -> Result<Config, CliError> {
    match super::files::read(path) {
        Ok(text) => {
            let mut config = read(&path.display().to_string(), &text)?;
            config.files_beside(path);
            Ok(config)
        }
        Err(e) if e.kind() == ErrorKind::NotFound && !named && !super::files::is_listed(path) => {
            Ok(Config::default())
        }
        Err(e) => Err(CliError::usage(format!("the configuration {} cannot be read", path.display()))
            .because(e)
            .hint("name another file with --config")),
    }
}

/// Reads a configuration; `file` is what messages call it.
///
/// # Errors
/// It is no TOML, or says something that redrill does not know or cannot hold.
pub fn read(file: &str, text: &str) -> Result<Config, CliError> {
    let config: Config = toml::from_str(text).map_err(|e| {
        let before = text.get(..e.span().map_or(0, |s| s.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let problem = CliError::rendered(Kind::Usage, format!("{file}:{line}:{column}: {}", e.message()));
        match meant(e.message()) {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    })?;
    let unsaid = empty_list(text).into_iter();
    if let Some(problem) = unsaid.chain(config.house().problems(&Known::shipped())).next() {
        return Err(CliError::rendered(Kind::Usage, format!("{file}: {problem}")));
    }
    let mut seen = BTreeSet::new();
    for f in &config.frameworks {
        // whatever looks like a built-in one to a reader passes for it
        let plain = |s: &str| {
            s.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>()
        };
        let passes = |b: &&Framework| plain(&b.key) == plain(&f.key) || plain(&b.name) == plain(&f.name);
        if !f.key.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) {
            let text = format!("{file}: framework {:?}: a key has letters, digits, `-`, `.` and `_`", f.key);
            return Err(CliError::rendered(Kind::Usage, text));
        }
        if let Some(own) = controls::built_in().iter().find(passes) {
            let text =
                format!("{file}: framework {}: {} is built in, and cannot be defined anew", f.key, own.name);
            return Err(CliError::rendered(Kind::Usage, text)
                .hint("give yours a key and a name of its own, so that readers can tell them apart"));
        }
        for c in &f.controls {
            let name = format!("{}/{}", f.key, c.id);
            let wrong = if f.key.is_empty() || c.id.is_empty() || f.key.contains('/') {
                "a control needs an id, and its framework a key without a slash"
            } else if c.needs.is_empty() {
                "a control needs something: with an empty `needs` every run would support it"
            } else if !seen.insert(name.clone()) {
                "it is there twice"
            } else {
                continue;
            };
            return Err(CliError::rendered(Kind::Usage, format!("{file}: control {name}: {wrong}")));
        }
    }
    Ok(config)
}

/// A list of `[limits]` that reads as if it allowed nothing, and limits nothing.
fn empty_list(text: &str) -> Option<String> {
    let table: toml::Table = toml::from_str(text).ok()?;
    let limits = table.get("limits")?;
    let empty = |key: &&str| limits.get(key).and_then(toml::Value::as_array).is_some_and(Vec::is_empty);
    let key = ["accounts", "regions"].into_iter().find(empty)?;
    Some(format!("limits.{key}: it is empty; list what drills may touch, or leave it out"))
}

/// The nearest of the names that a message of the parser lists: "unknown field `x`, expected `a` or `b`".
fn meant(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let typed = quoted.next()?;
    message.starts_with("unknown").then(|| suggest(typed, quoted))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_readme_is_valid_and_says_all_there_is() {
        let readme = include_str!("../../drills/README.md");
        let blocks = readme.split("```toml\n").skip(1).filter_map(|b| b.split("```").next());
        let example = blocks.into_iter().find(|b| b.contains("[kill_switch]")).unwrap();
        let config = read("README.md", example).unwrap();
        assert_eq!(config.house().limits.approvals, Some(1));
        assert_eq!((config.approvers.len(), config.environments.len()), (1, 2));
        assert_eq!(config.kill_switch.object(), Some(("example-operations", "redrill/stop")));
    }

    #[test]
    fn everything_can_be_set_and_nothing_has_to_be() {
        assert_eq!(read("redrill.toml", "").unwrap(), Config::default());
        let text = "
            [evidence]
            key = \"keys/evidence.pem\"
            retain = \"7y\"
            timestamp_authority = \"http://127.0.0.1:3180\"
            [exercise]
            owner = \"service owner\"
            due_days = { high = 3 }
            [[frameworks]]
            key = \"house\"
            name = \"House rules\"
            version = \"3\"
            [[frameworks.controls]]
            id = \"H-1\"
            paraphrase = \"Restores are rehearsed.\"
            needs = [\"restore\", \"data-check\"]
        ";
        let config = read("redrill.toml", text).unwrap();
        assert_eq!(config.evidence.key.as_deref(), Some("keys/evidence.pem"));
        assert_eq!(config.evidence.retain.as_deref(), Some("7y"));
        assert_eq!(config.exercise.owner.as_deref(), Some("service owner"));
        assert_eq!((config.exercise.due_days.high, config.exercise.due_days.low), (3, 90));
        assert_eq!(config.frameworks[0].controls[0].cadence, "not set");
    }

    #[test]
    fn a_link_to_rules_that_are_not_there_is_not_no_rules() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        assert_eq!(load_from(&path, false).unwrap(), Config::default());
        assert!(load_from(&path, true).is_err());
        std::os::unix::fs::symlink(folder.path().join("share").join(NAME), &path).unwrap();
        let error = load_from(&path, false).unwrap_err();
        assert!(error.text().contains("redrill.toml cannot be read"), "{}", error.text());
        std::fs::create_dir(folder.path().join("share")).unwrap();
        std::fs::write(folder.path().join("share").join(NAME), "[limits]\nmax_targets = 1\n").unwrap();
        assert_eq!(load_from(&path, false).unwrap().limits.max_targets, Some(1));
    }

    #[test]
    fn files_are_named_as_seen_from_the_configuration() {
        let key = |config: &str, key: &str| {
            let evidence = Evidence { key: Some(key.to_owned()), ..Evidence::default() };
            let kill_switch = KillSwitch { file: Some("stop".to_owned()), ..KillSwitch::default() };
            let mut read = Config { evidence, kill_switch, ..Config::default() };
            read.files_beside(Path::new(config));
            let beside = Path::new(config).with_file_name("stop");
            assert_eq!(read.kill_switch.file.as_deref(), beside.to_str());
            read.evidence.key.unwrap()
        };
        assert_eq!(key("redrill.toml", "keys/a.pem"), "keys/a.pem");
        assert_eq!(key("/etc/drills/redrill.toml", "keys/a.pem"), "/etc/drills/keys/a.pem");
        assert_eq!(key("/etc/drills/redrill.toml", "/keys/a.pem"), "/keys/a.pem");
        let arn = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd";
        assert_eq!(key("/etc/drills/redrill.toml", arn), arn);
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_place() {
        let wrong = |text: &str| read("redrill.toml", text).unwrap_err().text();
        assert_eq!(
            wrong("[evidence]\nkey = \"a\"\ncheckpoint-key = \"b\"\n"),
            "redrill.toml:3:1: unknown field `checkpoint-key`, expected one of `key`, `checkpoint_key`, \
             `retain`, `timestamp_authority`\n  hint: did you mean `checkpoint_key`?"
        );
        assert!(wrong("[exercise]\ndue_days = { hihg = 3 }").contains("did you mean `high`?"));
        assert!(wrong("[evidence\n").starts_with("redrill.toml:1:10: "), "{}", wrong("[evidence\n"));
        let control = |needs: &str| {
            format!(
                "[[frameworks]]\nkey = \"h\"\nname = \"H\"\nversion = \"1\"\n\
                 [[frameworks.controls]]\nid = \"1\"\nparaphrase = \"P.\"\nneeds = {needs}\n"
            )
        };
        assert!(
            wrong(&control("[\"restores\"]")).starts_with("redrill.toml:8:10: unknown variant `restores`")
        );
        assert!(wrong(&control("[\"restores\"]")).ends_with("hint: did you mean `restore`?"));
        for key in ["accounts", "regions"] {
            assert_eq!(
                wrong(&format!("[limits]\n{key} = []")),
                format!(
                    "redrill.toml: limits.{key}: it is empty; list what drills may touch, or leave it out"
                )
            );
        }
        assert!(wrong(&control("[]")).contains("h/1: a control needs something"));
        let twice = format!("{0}{0}", control("[\"restore\"]"));
        assert!(wrong(&twice).ends_with("h/1: it is there twice"));
    }
}
