//! Tests of the exports. `tests/evidence/check_exports.py` has other people's tools look at the same
//! records.

use serde_json::Value;

use super::*;
use crate::evidence::tests::made_up;

fn array(text: &str) -> Vec<Value> {
    serde_json::from_str(text).expect("a JSON array")
}

/// Writes every file of every made-up record for the check with other tools, where a folder is given.
#[test]
fn the_files_for_other_tools() {
    let Ok(folder) = std::env::var("REDRILL_TEST_EXPORTS") else { return };
    for (name, record) in made_up() {
        let folder = std::path::Path::new(&folder).join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let files = [
            ("junit.xml", junit(&record)),
            ("ocsf.json", ocsf(&record)),
            ("asff.json", asff(&record)),
            ("vanta.csv", vanta(&record)),
            ("drata.json", drata(&record)),
        ];
        for (file, text) in files {
            std::fs::write(folder.join(file), text).expect("a file");
        }
    }
}

#[test]
fn the_run_counts_only_on_aws_and_only_when_it_passed() {
    let expected = [
        ("passed", "PASSED"),
        ("emulator", "NOT_AVAILABLE"),
        ("sim", "NOT_AVAILABLE"),
        ("missed", "FAILED"),
        ("stuck", "FAILED"),
        ("unfinished", "NOT_AVAILABLE"),
        ("header-only", "NOT_AVAILABLE"),
        ("full", "PASSED"),
    ];
    for ((name, record), (same, status)) in made_up().into_iter().zip(expected) {
        assert_eq!(name, same);
        let asff = array(&asff(&record));
        assert_eq!(asff[0]["Compliance"]["Status"], status, "{name}");
        let ocsf = array(&ocsf(&record));
        let id = match status {
            "PASSED" => 1,
            "FAILED" => 3,
            _ => 0,
        };
        assert_eq!(ocsf[0]["compliance"]["status_id"], id, "{name}");
        assert_eq!(
            (asff.len(), ocsf.len()),
            (1 + record.controls.len(), 1 + record.controls.len()),
            "{name}"
        );
    }
}

#[test]
fn texts_keep_the_limits_of_asff() {
    for (name, mut record) in made_up() {
        record.identity.title = "long ".repeat(400);
        record.result.reasons = vec!["long ".repeat(400)];
        for f in array(&asff(&record)) {
            let length = |key: &str| f[key].as_str().expect("a text").chars().count();
            assert!(length("Title") <= 256 && length("Description") <= 1024, "{name}");
            assert!(length("Title") > 0 && length("Description") > 0, "{name}");
        }
    }
}

#[test]
fn junit_skips_what_was_not_tested_and_is_never_green_for_an_unfinished_run() {
    let text = |name: &str| {
        let (_, record) = made_up().into_iter().find(|(n, _)| *n == name).expect("there");
        junit(&record)
    };
    assert!(text("passed").contains(r#"classname="redrill.run" name="verdict"/>"#));
    assert!(text("unfinished").contains(r#"<error type="unfinished""#));
    assert!(text("missed").contains(r#"name="Recovery time objective"><failure"#));
    let full = text("full");
    assert!(
        full.contains(r#"name="CP-4(1)"><skipped"#) && full.contains(r#"name="CP-10"><failure"#),
        "{full}"
    );
    assert!(full.contains("&lt;b&gt;") && !full.contains('\u{1b}'), "{full}");
}

#[test]
fn a_cell_is_no_formula() {
    let (_, mut record) = made_up().remove(0);
    record.result.reasons.clear();
    record.result.objectives[0].actual = "=HYPERLINK(\"x\")".to_owned();
    assert!(vanta(&record).contains("\"'=HYPERLINK(\"\"x\"\")\""));
}
