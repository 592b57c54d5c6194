//! The emulator's files, carried in the binary. Pure.
//!
//! Listed one by one with `include_str!`, so that cargo rebuilds when one changes; a test compares
//! the list with the folder.

use std::path::Path;

use sha2::{Digest as _, Sha256};

macro_rules! carried {
    ($($name:literal),* $(,)?) => {
        /// Name inside `localstack/`, and content.
        pub(super) const FILES: &[(&str, &str)] = &[
            $(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/localstack/", $name)))),*
        ];
    };
}

carried!(
    "README.md",
    "compose.yaml",
    "emulator/__init__.py",
    "emulator/cbor.py",
    "emulator/control.py",
    "emulator/custody.py",
    "emulator/ec2.py",
    "emulator/faults.py",
    "emulator/health.py",
    "emulator/interfaces.py",
    "emulator/others.py",
    "emulator/pace.py",
    "emulator/policy.py",
    "emulator/protocol.py",
    "emulator/rds.py",
    "emulator/seed.py",
    "emulator/snapshot.py",
    "emulator/strict.py",
    "emulator/wire.py",
    "estate.json",
    "redrill_emulator.py",
    "requirements.txt",
);

/// The launcher.
pub(super) const LAUNCHER: &str = "redrill_emulator.py";
/// The sample estate.
pub(super) const ESTATE: &str = "estate.json";
/// What pip installs.
pub(super) const REQUIREMENTS: &str = "requirements.txt";

/// The sample estate, for the simulator and the documentation.
pub const ESTATE_JSON: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/localstack/estate.json"));

/// A short name for exactly these texts.
pub(super) fn digest<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A short name for the emulator as a whole.
pub(super) fn version() -> String {
    digest(FILES.iter().flat_map(|(name, text)| [*name, *text]))
}

/// Whether the folder holds exactly our files.
pub(super) fn intact(folder: &Path) -> bool {
    FILES
        .iter()
        .all(|(name, text)| std::fs::read(folder.join(name)).is_ok_and(|found| found == text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with('.') || name == "__pycache__" || name.starts_with("test_") {
                continue;
            }
            if entry.path().is_dir() {
                names(&entry.path(), &format!("{prefix}{name}/"), found);
            } else {
                found.push(format!("{prefix}{name}"));
            }
        }
    }

    #[test]
    fn no_file_of_the_folder_is_forgotten() {
        let mut found = Vec::new();
        names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("localstack"), "", &mut found);
        found.sort();
        let listed: Vec<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(listed, found);
        for name in [LAUNCHER, ESTATE, REQUIREMENTS] {
            assert!(listed.iter().any(|n| n == name), "{name}");
        }
    }

    #[test]
    fn the_name_depends_on_content_and_on_where_it_stands() {
        assert_ne!(digest(["ab", "c"]), digest(["a", "bc"]));
        assert_eq!(digest(["a", "b"]), digest(["a", "b"]));
        assert_eq!(version().len(), 16);
    }

    #[test]
    fn every_requirement_is_pinned_with_the_hashes_of_its_files() {
        let (_, text) = FILES.iter().find(|(name, _)| *name == REQUIREMENTS).unwrap();
        let lines = text.lines().map(|l| l.trim_end_matches(['\\', ' '])).filter(|l| !l.starts_with('#'));
        let mut hashes = std::collections::BTreeMap::new();
        let mut package = "";
        for line in lines.filter(|l| !l.is_empty()) {
            if let Some(hash) = line.trim_start().strip_prefix("--hash=sha256:") {
                assert!(hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{line}");
                *hashes.get_mut(package).unwrap() += 1;
            } else {
                // no index, no link, no option: those are the environment's
                assert!(line.contains("==") && !line.starts_with('-'), "{line}");
                package = line;
                hashes.insert(package, 0);
            }
        }
        assert!(hashes.contains_key("moto==5.2.5") && hashes.len() == 27, "{}", hashes.len());
        assert!(hashes.values().all(|n| *n > 0), "{hashes:?}");
    }
}
