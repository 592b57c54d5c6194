//! `redrill report` on runs that lie on disk: forms, pages and exports, and what is refused.

use std::fs;

use serde_json::Value;

use super::runs::a_place_with_runs;
use super::{Place, fixture, text_of};

const FORMS: [&str; 4] = ["fedramp", "nist-800-84", "iso-22301", "summary"];
const EXPORTS: [&str; 8] = ["oscal-ap", "oscal-ar", "oscal-poam", "junit", "ocsf", "asff", "vanta", "drata"];

/// The run, cut off in the middle.
fn unfinished(place: &Place, run: &str) {
    let journal = place.state().join("runs").join(run).join("journal.jsonl");
    let bytes = fs::read(&journal).expect("a journal");
    fs::write(&journal, &bytes[..bytes.len() / 2]).expect("cut");
}

#[test]
fn the_fedramp_form_has_its_14_rows_and_none_is_empty() {
    let (place, ids) = a_place_with_runs();
    let form = place.run(&["report", &ids[1], "--form", "fedramp"]).exits(0);
    assert_eq!(form.stderr, "");
    let rows: Vec<(&str, &str)> = form
        .stdout
        .lines()
        .filter_map(|l| l.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
        .filter(|(name, _)| !["Row", "---"].contains(name))
        .collect();
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "Name of Test",
            "System Name",
            "Date of Test",
            "Team Test Lead and Point of Contact",
            "Location Where Conducted",
            "Participants",
            "Components",
            "Assumptions",
            "Objectives",
            "Methodology",
            "Activities and Results (Action, Expected, Actual)",
            "Post Test Action Items",
            "Lessons Learned and Analysis of Test",
            "Recommended Changes to Contingency Plan",
        ]
    );
    for (name, entry) in &rows {
        assert!(!entry.trim().is_empty(), "{name} is empty:\n{}", form.stdout);
    }
    let entry = |name: &str| rows.iter().find(|(n, _)| *n == name).map_or("", |(_, e)| *e);
    assert_eq!(entry("Name of Test"), "A recovery that takes longer than its objective");
    assert_eq!(entry("System Name"), "shop");
    assert!(entry("Components").contains("vpc.subnet subnet-"), "{}", entry("Components"));
    assert!(entry("Objectives").contains("☒ recovery procedures"), "{}", entry("Objectives"));
    assert!(
        entry("Objectives").contains("Recovery time objective: within 1 min;"),
        "{}",
        entry("Objectives")
    );
    assert!(entry("Post Test Action Items").contains("Recovery time objective not satisfied"));
    // what the drill does not say is a gap, and nothing is made up
    assert_eq!(entry("Assumptions"), "not recorded (gap)");
    assert_eq!(entry("Team Test Lead and Point of Contact"), "not recorded (gap)");
}

#[test]
fn every_form_names_world_run_and_verdict_and_is_the_same_each_time() {
    let (place, ids) = a_place_with_runs();
    for form in FORMS {
        let ran = place.run(&["report", &ids[1], "--form", form]).exits(0);
        for part in
            ["world: sim — leaves every control not tested", &ids[1], "Objective missed: recovered in "]
        {
            assert!(ran.stdout.contains(part), "{form}: {part}:\n{}", ran.stdout);
        }
        assert_eq!(place.run(&["report", &ids[1], "--form", form]).stdout, ran.stdout, "{form}");
    }
    let folder = place.state().join("runs").join(&ids[1]);
    assert!(!folder.join("report.md").exists(), "a form on stdout writes nothing");
}

#[test]
fn the_page_on_stdout_is_the_one_of_the_bundle() {
    let (place, ids) = a_place_with_runs();
    let _key = place.run(&["init"]).exits(0);
    let _bundle = place.run(&["report", &ids[1], "--out", "bundle"]).exits(0);
    for (args, name) in [
        (["--format", "html"], "report.html"),
        (["--format", "markdown"], "report.md"),
        (["--format", "json"], "report.json"),
        (["--form", "fedramp"], "form-fedramp.md"),
        (["--form", "summary"], "form-summary.md"),
        (["--export", "junit"], "junit.xml"),
        (["--export", "ocsf"], "ocsf.json"),
        (["--export", "vanta"], "vanta.csv"),
    ] {
        let ran = place.run(&["report", &ids[1], args[0], args[1]]).exits(0);
        assert_eq!(ran.stdout, place.read(&format!("bundle/{name}")), "{name}");
    }
    let page = place.read("bundle/report.html");
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{page}");
    assert!(page.contains("Objective missed: recovered in "), "{page}");
    assert!(!page.contains("<script") && !page.contains("http-equiv=\"refresh\""), "{page}");
}

#[test]
fn an_export_without_findings_has_no_plan_of_action() {
    let (place, ids) = a_place_with_runs();
    let poam = |run: &str| place.run(&["report", run, "--export", "oscal-poam"]);
    let missed: Value = serde_json::from_str(&poam(&ids[1]).exits(0).stdout).expect("JSON");
    let items = missed["plan-of-action-and-milestones"]["poam-items"].as_array().map_or(0, Vec::len);
    assert!(items >= 1, "{missed}");
    let passed = poam(&ids[0]).exits(2);
    assert_eq!(passed.stdout, "");
    assert!(passed.stderr.contains("there are no findings"), "{}", passed.stderr);
}

#[test]
fn a_wrong_name_is_wrong_usage_and_told_the_nearest() {
    let (place, ids) = a_place_with_runs();
    for (flag, name, nearest) in [
        ("--form", "fedrampp", "fedramp"),
        ("--form", "iso22301", "iso-22301"),
        ("--format", "htlm", "html"),
        ("--export", "oskal-ar", "oscal-ar"),
    ] {
        let ran = place.run(&["report", &ids[0], flag, name]).exits(2);
        assert_eq!(ran.stdout, "");
        assert!(ran.stderr.contains(&format!("'{name}'")), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("'{nearest}'")), "{flag} {name}: {}", ran.stderr);
    }
    let ran = place.run(&["report", &ids[0], "--form", "zzz"]).exits(2);
    for form in FORMS {
        assert!(ran.stderr.contains(form), "all there are: {}", ran.stderr);
    }
    // one thing at a time goes to stdout
    for pair in [["--form", "summary", "--format", "html"], ["--form", "summary", "--out", "b"]] {
        let args = [&["report", ids[0].as_str()][..], &pair[..]].concat();
        assert_eq!(place.run(&args).exits(2).stdout, "");
    }
    assert!(!place.path().join("b").exists());
}

#[test]
fn an_unfinished_run_is_reported_as_such_everywhere() {
    let place = Place::new();
    let run = place.run_of(&text_of(&fixture("missed")), 3).id().to_string();
    unfinished(&place, &run);
    for form in FORMS {
        let text = place.run(&["report", &run, "--form", form]).exits(0).stdout;
        assert!(text.contains("not finished"), "{form}:\n{text}");
        for claim in ["Passed", "Objective missed", "satisfied;"] {
            assert!(!text.contains(claim), "{form} claims {claim}:\n{text}");
        }
    }
    for format in ["html", "markdown"] {
        let text = place.run(&["report", &run, "--format", format]).exits(0).stdout;
        assert!(text.contains("The run is not finished."), "{format}:\n{text}");
    }
    for export in EXPORTS.into_iter().filter(|e| *e != "oscal-poam") {
        let text = place.run(&["report", &run, "--export", export]).exits(0).stdout;
        assert!(!text.to_lowercase().contains("\"passed\""), "{export}:\n{text}");
    }
    let ran = place.run(&["report", &run, "--out", "bundle"]).exits(2);
    assert!(ran.stderr.contains("is not finished"), "{}", ran.stderr);
}

#[test]
fn a_run_that_is_not_there_is_told() {
    let (place, _) = a_place_with_runs();
    for args in [["--form", "summary"], ["--format", "html"], ["--export", "junit"]] {
        let ran = place.run(&["report", "20200101T000000Z-nothing-aaaaaa", args[0], args[1]]).exits(2);
        assert!(
            ran.stdout.is_empty() && ran.stderr.contains("20200101T000000Z-nothing-aaaaaa"),
            "{}",
            ran.stderr
        );
    }
}
