//! Tests of the reports: exact text of made-up runs.

use super::*;
use crate::evidence::Record;
use crate::evidence::tests::{made_up, record_of};
use crate::journal::Event;
use crate::view::tests::example;

fn view(world: World) -> RunView {
    RunView::of(&example(world))
}

#[test]
fn the_summary_is_80_columns_wide_and_says_what_counts() {
    let text = text::summary(&view(World::Sim), Some("report.md"));
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
        assert!(line == line.trim_end(), "{line:?}");
    }
    for part in [
        "rds-restore — Restore *orders* to a point in time\nworld: sim — leaves every control not tested\n",
        "verdict   PASSED (exit code 0)\n",
        "RTA       21 min 46 s (between 21 min 44 s and 21 min 46 s)\n",
        "RTO       4 h, met with 3 h 38 min to spare\n",
        "  T4 restore requested to T5 restored                          21 min 40 s\n",
        "  restore on orders|db[31m: ready after 21 min 40 s; taken back (not found)\n",
        "  warning: orders: no backup <b>window</b> (set one)\n",
        "  T1 (detected): not measured\n",
        "report    report.md\n",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    assert!(!text.contains("left behind"), "{text}");
}

#[test]
fn only_aws_itself_goes_without_a_warning() {
    for (world, says) in [(World::Aws, false), (World::Emulator, true), (World::Sim, true)] {
        let page = markdown::report(&record_of(&example(world)));
        for report in [text::summary(&view(world), None), page] {
            assert_eq!(report.contains("leaves every control not tested"), says, "{report}");
        }
    }
}

#[test]
fn nothing_from_elsewhere_steers_a_terminal_or_a_page() {
    let v = view(World::Emulator);
    let page = markdown::report(&record_of(&example(World::Emulator)));
    for report in [
        text::summary(&v, None),
        page.clone(),
        timeline::timeline(&v),
        serde_json::to_string_pretty(&v).unwrap(),
    ] {
        assert!(!report.chars().any(|c| c.is_control() && c != '\n'), "{report:?}");
    }
    assert!(page.starts_with("# Restore \\*orders\\* to a point in time\n"), "{page}");
    assert!(page.contains(r"orders\|db\[31m") && !page.contains("<b>"), "{page}");
    let columns = |l: &str| l.replace(r"\|", "").matches('|').count();
    let rows: Vec<&str> = page.lines().filter(|l| l.starts_with('|')).collect();
    for pair in rows.windows(2).filter(|w| w[1].contains("---")) {
        assert_eq!(columns(pair[0]), columns(pair[1]), "{pair:?}");
    }
    assert_eq!(clean("a\u{202e}b\u{1b}]0;x\u{7}\nc\u{9b}"), "ab]0;x c");
    assert_eq!(escape("a_b <i> [x](y) & \\"), r"a\_b &lt;i&gt; \[x\](y) &amp; \\");
}

#[test]
fn the_page_begins_with_what_everybody_asks() {
    let page = markdown::report(&record_of(&example(World::Aws)));
    let (first, rest) = page.split_once("\n## ").expect("sections");
    for part in [
        "# Restore \\*orders\\* to a point in time\n\n**Passed: recovered in 21 min 46 s; the objective is 4 h.**",
        "| Verdict | **passed** (exit code 0) |",
        "| Recovery time (RTO) | **satisfied** (actual: 21 min 46 s; objective: within 4 h; 3 h 38 min to spare) |",
        "| Data loss (RPO) | **not tested** (the drill names no objective) |",
        "| When | 2023-11-14 22:13:20 UTC to 2023-11-14 22:36:40 UTC (23 min 20 s) |",
        "| By | ann@box |",
        "### Left behind\n\nNothing is on record as left behind.\n",
        "### Found\n\n- F-",
    ] {
        assert!(first.contains(part), "{part} in\n{first}");
    }
    for title in ["Objectives", "Controls", "Findings", "People and authority", "Gaps", "Integrity"] {
        assert!(format!("\n## {rest}").contains(&format!("\n## {title}\n")), "{title} in\n{rest}");
    }
    assert!(rest.contains("| T5 restored | 2023-11-14 22:35:10.000 UTC | +00:21:46 |"), "{rest}");
}

/// What no report may leave out or say otherwise: objectives, controls, findings and gaps, a row each.
pub(super) fn rows(r: &Record) -> Vec<Vec<String>> {
    let row = |cells: &[&str]| cells.iter().map(|c| clean(c)).collect::<Vec<_>>();
    let objectives = r.result.objectives.iter();
    let objectives = objectives.map(|o| row(&[&o.name, &o.expected, &o.actual, o.status.name()]));
    let controls = r.controls.iter().map(|c| row(&[&c.id, &c.paraphrase, c.outcome.name(), &c.why]));
    let findings = r.findings.iter().map(|f| row(&[&f.id, f.severity.name(), &f.title, &f.detail, &f.kind]));
    let gaps = r.gaps.iter().map(|g| row(&[&g.part, &g.what, &g.fill]));
    objectives.chain(controls).chain(findings).chain(gaps).collect()
}

#[test]
fn the_reports_agree_on_objectives_controls_findings_and_gaps() {
    let mut seen = 0;
    for (name, record) in made_up() {
        let (page, web) = (markdown::report(&record), html::report(&record));
        for row in rows(&record) {
            let cells: Vec<String> = row.iter().map(|c| escape(c)).collect();
            // code needs no escapes, words do
            let bare = |text: &str| text.replace(['\\', '`'], "");
            let want = bare(&format!("| {} |", cells.join(" | ")));
            let in_page = page.lines().any(|l| bare(l).contains(&want));
            assert!(in_page, "{name}: {row:?} is not in report.md:\n{page}");
            let cells: Vec<String> = row.iter().map(|c| format!(">{}</span>", html_text(c))).collect();
            let in_web = web.lines().any(|l| l.starts_with("<tr>") && cells.iter().all(|c| l.contains(c)));
            assert!(in_web, "{name}: {row:?} is not in report.html");
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}

fn html_text(text: &str) -> String {
    askama::filters::escape(text, askama::filters::Html).expect("escapes").to_string()
}

#[test]
fn an_unfinished_run_and_an_empty_one_are_reported_too() {
    let lines = example(World::Aws);
    for n in 0..lines.len() {
        let v = RunView::of(&lines[..n]);
        assert!(text::summary(&v, None).contains("not finished"));
        assert!(markdown::report(&record_of(&lines[..n])).contains("not finished"));
        let parsed: serde_json::Value =
            serde_json::from_str(&serde_json::to_string_pretty(&v).unwrap()).unwrap();
        assert!(parsed["verdict"].is_null());
    }
}

#[test]
fn what_is_left_behind_is_said() {
    let mut lines = example(World::Aws);
    let step = crate::model::StepId::new("restore");
    let mut push = |event| {
        let line = crate::journal::Line { event, ..lines[0].clone() };
        lines.push(line);
    };
    push(Event::Stuck {
        step: Some(step.clone()),
        target: None,
        error: "denied".into(),
        hint: "Delete it".into(),
    });
    push(Event::Kept { step: step.clone(), target: Some("i-1".into()), proof: String::new() });
    push(Event::LeftInPlace { step, target: Some("i-2".into()), why: "--keep-going".into(), by: None });
    push(Event::UndoStarted { step: crate::model::StepId::new("cut"), target: Some("i-3".into()) });
    push(Event::Held { targets: vec!["orders".into()] });
    let v = RunView::of(&lines);
    for part in [
        "STUCK: restore: denied. What to do: Delete it",
        "kept: the result of restore on i-1",
        "undo not finished: cut on i-3",
        "restore on i-2: --keep-going, if it took effect",
        "still tagged redrill:held: orders",
    ] {
        assert!(text::summary(&v, None).contains(part), "{part}");
    }
    assert!(!markdown::report(&record_of(&lines)).contains("Nothing is on record"));
}

#[test]
fn a_missed_objective_says_by_how_much() {
    let mut lines = example(World::Aws);
    let Some(Event::Finished { verdict, measured, .. }) = lines.last_mut().map(|l| &mut l.event) else {
        panic!()
    };
    *verdict = crate::journal::Verdict::ObjectiveMissed;
    measured.rto_ms = 600_000;
    measured.judged_ms = Some(700_000);
    let v = RunView::of(&lines);
    let text = text::summary(&v, None);
    assert!(
        text.contains("RTO       10 min, missed by 1 min 40 s, counted from the declaration\n"),
        "{text}"
    );
    assert!(
        markdown::report(&record_of(&lines))
            .contains("**Objective missed: recovered in 11 min 40 s; the objective is 10 min.**")
    );
}

#[test]
fn the_json_report_is_versioned_complete_and_the_same_each_time() {
    let lines = example(World::Aws);
    let text = json::report(&record_of(&lines));
    assert_eq!(text, json::report(&record_of(&lines)));
    assert!(text.starts_with("{\n  \"schema\": \"redrill/report\",\n  \"v\": 1,\n"), "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["run"]["header"]["run"], "20231114T221320Z-rds-restore-aaaaaa");
    assert_eq!(report["run"]["measured"]["rta_ms"], 1_306_100);
    assert_eq!(report["result"]["verdict"], "passed");
    assert_eq!(report["run"]["unknown"][0]["type"], "from-the-future");
    assert_eq!(report["run"]["steps"][0]["cells"][0]["ending"]["state"], "undone");
}

#[test]
fn the_timeline_counts_from_t0() {
    let text = timeline::timeline(&view(World::Sim));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "-00:00:03  stage: preflight");
    assert!(lines.contains(&"+00:00:00  stage: recovery"), "{text}");
    assert!(lines.contains(&"+00:21:46  restore ready on orders|db[31m"), "{text}");
    assert!(lines.contains(&"+00:21:46  checkout: healthy (200)"), "{text}");
    assert_eq!(*lines.last().unwrap(), "+00:23:16  verdict: passed (RTA 21 min 46 s)");
}
