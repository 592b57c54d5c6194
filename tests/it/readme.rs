//! What the page beside the tests claims to be shown by a test has that test.

use std::fs;
use std::path::{Path, PathBuf};

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The cells of the table rows under a heading.
fn rows(readme: &str, heading: &str) -> Vec<Vec<String>> {
    let section = readme.split_once(heading).unwrap_or_else(|| panic!("the README has no `{heading}`")).1;
    let section = section.split("\n## ").next().unwrap_or_default();
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|c| c.trim().to_owned()).collect();
    let whole = |l: &&str| l.starts_with("| ") && !l.contains("| |");
    section.lines().filter(whole).skip(1).map(cells).collect()
}

/// What stands in backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Whether the sources have a test of this path, as cargo prints it: `module::test`, in `tests/it` or `src`.
fn is_a_test(path: &str) -> bool {
    let Some((module, name)) = path.rsplit_once("::") else { return false };
    let module = module.strip_suffix("::tests").unwrap_or(module).replace("::", "/");
    ["tests/it", "src"].iter().any(|top| {
        let at = |file: &str| read(&root().join(top).join(file));
        let text = [format!("{module}.rs"), format!("{module}/mod.rs"), format!("{module}/tests.rs")]
            .map(|f| at(&f));
        // a test of its own, or a line of a macro that makes some
        text.iter().any(|t| t.contains(&format!("fn {name}()")) || t.contains(&format!("\n    {name} => ")))
    })
}

#[test]
fn every_row_of_the_safety_table_names_tests_that_exist() {
    let readme = read(&root().join("tests/README.md"));
    let rows = rows(&readme, "\n## Safety");
    assert!(rows.len() > 30, "only {} rows are found", rows.len());
    for row in &rows {
        let [fault, does, shown] = row.as_slice() else { panic!("a row has three cells: {row:?}") };
        assert!(!fault.is_empty() && !does.is_empty(), "{row:?}");
        let tests = quoted(shown);
        assert!(!tests.is_empty(), "no test shows this: {row:?}");
        for test in tests {
            assert!(is_a_test(test), "there is no test `{test}`: {row:?}");
        }
    }
}

#[test]
fn what_is_no_test_is_not_taken_for_one() {
    assert!(is_a_test("readme::what_is_no_test_is_not_taken_for_one"));
    assert!(is_a_test("crash::no_crash_loses_anything_0"));
    assert!(is_a_test("engine::pace::tests::services_do_not_slow_each_other"));
    for none in ["readme::quoted", "readme::what_is", "crash::no_crash", "nowhere::a_test", "a_test", ""] {
        assert!(!is_a_test(none), "{none}");
    }
}

#[test]
fn every_file_of_the_table_of_hostile_input_exists() {
    let readme = read(&root().join("tests/README.md"));
    let rows = rows(&readme, "\n## Secrets and hostile input");
    assert!(rows.len() > 5, "only {} rows are found", rows.len());
    for row in &rows {
        for file in quoted(row.last().map(String::as_str).unwrap_or_default()) {
            assert!(root().join("tests/it").join(file).is_file(), "{file}");
        }
    }
}
