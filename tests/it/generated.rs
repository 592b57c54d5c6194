//! What is generated and checked in is what the code says now.
//!
//! `REDRILL_UPDATE=1 cargo test --no-default-features --test it generated` writes the files again.

use std::path::Path;

use crate::cli::redrill;

fn same(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("REDRILL_UPDATE").is_some() {
        std::fs::write(&path, text).expect("the file can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = there.lines().zip(text.lines()).position(|(a, b)| a != b);
    assert!(
        there == text,
        "{file} is not what the code says (first in line {:?}); write it again with\n  \
         REDRILL_UPDATE=1 cargo test --no-default-features --test it generated",
        differs.map(|n| n + 1)
    );
}

#[test]
fn the_schema_for_editors() {
    let schema = redrill(&["schema"]);
    same("drills/drill.schema.json", &schema.stdout);
    let value: serde_json::Value = serde_json::from_str(&schema.stdout).expect("JSON");
    let compact = redrill(&["schema", "--output", "json"]);
    assert_eq!(compact.stdout, format!("{value}\n"), "the same on one line");
}

#[test]
fn the_catalogue() {
    let page = redrill(&["catalog", "--markdown"]).stdout;
    same("drills/CATALOGUE.md", &page);
    for a in redrill::catalog::actions::ACTIONS {
        assert!(page.contains(&format!("\n### `{}`\n", a.spec().name)), "{}", a.spec().name);
    }
}

#[test]
fn the_command_line() {
    let page = redrill::cli::reference();
    same("src/cli/REFERENCE.md", &page);
    for line in redrill(&["--help"]).stdout.lines().skip_while(|l| *l != "Commands:").skip(1) {
        if line.starts_with("   ") {
            continue; // the rest of a description
        }
        let Some(name) = line.split_whitespace().next() else { break };
        assert!(name == "help" || page.contains(&format!("\n## `redrill {name}`\n")), "{name}");
    }
}

#[test]
fn the_policies_of_the_shipped_drills() {
    let drills = Path::new(env!("CARGO_MANIFEST_DIR")).join("drills");
    let mut names = Vec::new();
    for file in std::fs::read_dir(&drills).expect("drills") {
        let name = file.expect("readable").file_name().into_string().expect("a name");
        names.extend(name.strip_suffix(".yaml").map(str::to_owned));
    }
    assert!(names.len() >= 6);
    for name in &names {
        let file = drills.join(format!("{name}.yaml"));
        let policy = redrill(&["iam", &file.to_string_lossy()]);
        let too_long = policy.stderr.contains("a managed policy takes 6144");
        // a shipped drill cannot know the roles of whoever copies it
        let any_role = policy.stdout.contains("iam:PassRole");
        assert_eq!(policy.stderr.contains("name the roles"), any_role, "{name}: {}", policy.stderr);
        assert!(too_long || any_role || policy.stderr.is_empty(), "{name}: {}", policy.stderr);
        // in both accounts, which nobody has: for one alone each is shorter
        let long = matches!(name.as_str(), "critical-service-loss" | "ec2-instance-loss");
        assert_eq!(too_long, long, "{name}: {}", policy.stderr);
        same(&format!("drills/iam/{name}.json"), &policy.stdout);
    }
    for file in std::fs::read_dir(drills.join("iam")).expect("policies") {
        let name = file.expect("readable").file_name().into_string().expect("a name");
        assert!(names.iter().any(|n| name == format!("{n}.json")), "{name} belongs to no drill");
    }
}
