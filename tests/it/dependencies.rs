//! Licences, duplicates and sources of every crate, against the lists of `.config/deny.toml`: what
//! cargo-deny checks, for machines that do not have it. Advisories are cargo-deny's alone.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Whether an SPDX expression is met by these licences. Some crates still write `/` for `OR`.
fn met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = either(&words, &mut at, allowed);
    met && at == words.len()
}

fn either(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = both(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= both(words, at, allowed);
    }
    met
}

fn both(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let word = words.get(*at).copied().unwrap_or_default();
    *at += 1;
    if word == "(" {
        let met = either(words, at, allowed);
        *at += 1;
        return met;
    }
    if words.get(*at) == Some(&"WITH") {
        *at += 2;
        return allowed.contains(&words[*at - 3..*at].join(" "));
    }
    allowed.contains(word)
}

#[test]
fn an_expression_is_read_as_spdx_says() {
    let allowed = ["MIT", "Apache-2.0 WITH LLVM-exception", "ISC"].map(str::to_owned).into();
    for (expression, want) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 OR MIT AND ISC", true),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR ISC) AND (GPL-3.0)", false),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
        ("Apache-2.0", false),
        ("MIT MIT", false),
        ("", false),
    ] {
        assert_eq!(met(expression, &allowed), want, "{expression}");
    }
}

#[test]
fn every_crate_may_be_in_redrill() {
    let root = env!("CARGO_MANIFEST_DIR");
    let text = std::fs::read_to_string(format!("{root}/.config/deny.toml")).expect("the lists");
    let lists: toml::Table = text.parse().expect("TOML");
    let texts = |value: &toml::Value| {
        value.as_array().expect("a list").iter().map(|v| v.as_str().expect("text").to_owned()).collect()
    };
    let allowed: BTreeSet<String> = texts(&lists["licenses"]["allow"]);
    let mut skipped: BTreeSet<String> = BTreeSet::new();
    for skip in lists["bans"]["skip"].as_array().expect("a list") {
        assert!(skip["reason"].as_str().is_some_and(|r| r.len() > 8), "{skip} has no reason");
        skipped.insert(skip["crate"].as_str().expect("text").to_owned());
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let target = lists["graph"]["targets"][0].as_str().expect("a target").to_owned();
    let args = [
        "metadata",
        "--offline",
        "--locked",
        "--all-features",
        "--format-version",
        "1",
        "--filter-platform",
        &target,
    ];
    let out = Command::new(cargo).args(args).current_dir(root).output().expect("cargo starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let crates = metadata["packages"].as_array().expect("packages");
    let mut wrong = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in crates {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        // redrill itself is the one without a source
        if text("source").is_empty() {
            assert_eq!(text("name"), "redrill");
            continue;
        }
        let version = text("version").split('+').next().unwrap_or_default();
        versions.entry(text("name")).or_default().push(version);
        if !met(text("license"), &allowed) {
            wrong.push(format!("{} {version} has the licence `{}`", text("name"), text("license")));
        }
        if text("source") != "registry+https://github.com/rust-lang/crates.io-index" {
            wrong.push(format!("{} comes from {}", text("name"), text("source")));
        }
    }
    let mut twice = BTreeSet::new();
    for (name, versions) in versions.iter().filter(|(_, v)| v.len() > 1) {
        let named: Vec<String> = versions.iter().map(|v| format!("{name}@{v}")).collect();
        if named.iter().filter(|n| !skipped.contains(*n)).count() > 1 {
            wrong.push(format!("{name} is there in versions {}", versions.join(", ")));
        }
        twice.extend(named);
    }
    wrong.extend(
        skipped.difference(&twice).map(|gone| format!("{gone} is no duplicate any more: take it out")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let n = crates.len() - 1;
    crate::bench::count(&format!(
        "{n} crates have a licence that is allowed; {} duplicates, each with a reason",
        skipped.len()
    ));
}
