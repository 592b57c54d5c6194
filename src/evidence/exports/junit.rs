//! JUnit XML: one test suite a run; the verdict, objectives, checks and controls are its test cases. Pure.

use std::fmt::Write as _;

use super::{ControlOutcome, Record, Status, last, summary};
use crate::evidence::text::line;
use crate::journal::Verdict;

enum Ending {
    Passed,
    Failed(String),
    Error(String),
    Skipped(String),
}

struct Case {
    class: String,
    name: String,
    ending: Ending,
}

/// `junit.xml`.
pub fn junit(r: &Record) -> String {
    let cases = cases(r);
    let count = |is: fn(&Ending) -> bool| cases.iter().filter(|c| is(&c.ending)).count();
    let failures = count(|e| matches!(e, Ending::Failed(_)));
    let errors = count(|e| matches!(e, Ending::Error(_)));
    let skipped = count(|e| matches!(e, Ending::Skipped(_)));
    let numbers =
        format!(r#"tests="{}" failures="{failures}" errors="{errors}" skipped="{skipped}""#, cases.len());
    let started = r.identity.started_at.unwrap_or_else(|| last(r));
    let took = last(r).signed_duration_since(started).num_milliseconds();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites {numbers}>");
    let _ = writeln!(
        out,
        r#"  <testsuite name="{}" {numbers} time="{}.{:03}" timestamp="{}">"#,
        escape(&format!("redrill {}", r.identity.drill)),
        took / 1_000,
        took % 1_000,
        started.format("%Y-%m-%dT%H:%M:%S")
    );
    out.push_str("    <properties>\n");
    let properties = [
        ("run", r.identity.run.as_str()),
        ("world", &r.scope.world.to_string()),
        ("plan-sha256", &r.identity.plan_sha256),
        ("journal-root", &r.integrity.journal_root),
        ("redrill", &r.identity.tool_version),
    ];
    for (name, value) in properties {
        let _ = writeln!(out, r#"      <property name="{name}" value="{}"/>"#, escape(value));
    }
    out.push_str("    </properties>\n");
    for case in &cases {
        let _ =
            write!(out, r#"    <testcase classname="{}" name="{}""#, escape(&case.class), escape(&case.name));
        let _ = match &case.ending {
            Ending::Passed => writeln!(out, "/>"),
            Ending::Failed(why) => {
                writeln!(out, r#"><failure type="not-satisfied" message="{}"/></testcase>"#, escape(why))
            }
            Ending::Error(why) => {
                writeln!(out, r#"><error type="unfinished" message="{}"/></testcase>"#, escape(why))
            }
            Ending::Skipped(why) => writeln!(out, r#"><skipped message="{}"/></testcase>"#, escape(why)),
        };
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn cases(r: &Record) -> Vec<Case> {
    let of = |status: Status, why: String| match status {
        Status::Satisfied => Ending::Passed,
        Status::NotSatisfied => Ending::Failed(why),
        Status::NotTested => Ending::Skipped(format!("not tested: {why}")),
    };
    let mut out = vec![Case {
        class: "redrill.run".to_owned(),
        name: "verdict".to_owned(),
        ending: match r.result.verdict {
            Some(Verdict::Passed) => Ending::Passed,
            Some(_) => Ending::Failed(summary(r)),
            None => Ending::Error("the run is not finished".to_owned()),
        },
    }];
    for o in &r.result.objectives {
        let why = format!("expected: {}; seen: {}", o.expected, o.actual);
        out.push(Case {
            class: "redrill.objective".to_owned(),
            name: o.name.clone(),
            ending: of(o.status, why),
        });
    }
    for c in &r.checks {
        out.push(Case {
            class: "redrill.check".to_owned(),
            name: c.name.clone(),
            ending: of(c.status, c.seen.clone()),
        });
    }
    for c in &r.controls {
        out.push(Case {
            class: format!("redrill.control.{}", c.framework),
            name: c.id.clone(),
            ending: match c.outcome {
                ControlOutcome::Supports => of(Status::Satisfied, String::new()),
                ControlOutcome::DoesNotSupport => of(Status::NotSatisfied, c.why.clone()),
                ControlOutcome::NotTested => of(Status::NotTested, c.why.clone()),
            },
        });
    }
    out
}

/// Fit for an attribute in double quotes; what XML cannot hold is gone.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}
