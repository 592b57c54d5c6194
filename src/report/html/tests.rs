//! Tests of the page: what the first screen says, that nothing breaks out, that it needs nothing else.

use super::*;
use crate::evidence::record::{ControlOutcome, ControlResult, Finding, FindingSeverity, Status};
use crate::evidence::tests::record_of;
use crate::model::World;
use crate::view::tests::example;

fn record(world: World) -> Record {
    record_of(&example(world))
}

/// The page up to its contents.
fn first(page: &str) -> &str {
    page.split("<nav").next().expect("a first part")
}

#[test]
fn the_first_screen_answers_what_everybody_asks() {
    let page = report(&record(World::Aws));
    for part in [
        "<h1>Restore *orders* to a point in time</h1>",
        "Passed: recovered in 21 min 46 s; the objective is 4 h.",
        "actual: 21 min 46 s; objective: within 4 h; 3 h 38 min to spare",
        "<p class=\"sentence tag good\">",
        "the drill names no objective",
        "2023-11-14 22:13:20 UTC to 2023-11-14 22:36:40 UTC",
        "ann@box",
        "Nothing is on record as left behind.",
        "<h3>Found</h3>",
    ] {
        assert!(first(&page).contains(part), "{part} in\n{}", first(&page));
    }
    assert_eq!(page, report(&record(World::Aws)), "the same bytes each time");
}

#[test]
fn everything_in_the_record_is_in_the_page() {
    let mut r = record(World::Aws);
    r.controls = vec![ControlResult {
        framework: "soc2".into(),
        framework_name: "SOC 2 (TSC 2017)".into(),
        id: "A1.3".into(),
        paraphrase: "recovery is tested".into(),
        cadence: "periodic".into(),
        outcome: ControlOutcome::DoesNotSupport,
        why: "the objective was missed".into(),
        shows: vec!["the clock".into()],
    }];
    r.findings = vec![Finding {
        id: "F-0123456789".into(),
        kind: "flap".into(),
        severity: FindingSeverity::Medium,
        title: "it flapped".into(),
        detail: "twice".into(),
        subject: "checkout".into(),
        run: r.identity.run.clone(),
        owner: None,
        due: None,
        ticket: None,
    }];
    r.result.objectives[0].status = Status::NotTested;
    let page = report(&r);
    for part in [
        "SOC 2 (TSC 2017)",
        "<span class=\"tag bad\">does not support</span>",
        "F-0123456789",
        "<span class=\"tag open\">not tested</span>",
        "not recorded (gap)",
        "rds:RestoreDBInstanceToPointInTime",
        ">r-2<",
        "from-the-future",
        "T4 restore requested",
        &r.integrity.journal_root,
        &r.integrity.journal_sha256,
        &r.identity.plan_sha256,
    ] {
        assert!(page.contains(part), "{part} in\n{page}");
    }
    for gap in &r.gaps {
        assert!(
            page.contains(
                &*askama::filters::escape(&gap.what, askama::filters::Html).expect("escapes").to_string()
            ),
            "{}",
            gap.what
        );
    }
    for m in &r.run.moments {
        assert!(page.contains(&format!("<th scope=\"row\"><span class=\"plain\">{}</span></th>", m.seq)));
    }
}

#[test]
fn only_aws_itself_goes_without_a_warning() {
    for (world, says) in [(World::Aws, false), (World::Emulator, true), (World::Sim, true)] {
        let page = report(&record(world));
        let warning = "leaves every control not tested";
        assert_eq!(page.contains(warning), says);
        // on the screen, on the edge of every printed page, and at the end
        assert_eq!(page.matches(warning).count(), if says { 3 } else { 0 });
    }
}

#[test]
fn nothing_from_elsewhere_becomes_markup() {
    let evil = "</style></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u{202e}\u{1b}[31m";
    let mut r = record(World::Aws);
    let plain = report(&r);
    for text in [
        &mut r.identity.title,
        &mut r.identity.service,
        &mut r.identity.drill,
        &mut r.identity.tool_version,
        &mut r.people.caller,
        &mut r.run.probes[0].name,
        &mut r.run.moments[0].what,
        &mut r.run.calls[0].operation,
        &mut r.gaps[0].what,
        &mut r.limits[0],
    ] {
        *text = evil.to_owned();
    }
    r.result.reasons = vec![evil.to_owned()];
    evil.clone_into(&mut r.run.probes[0].segments[0].seen);
    r.run.steps[0].cells[0].target = Some(evil.to_owned());
    r.integrity.publication = Some(serde_json::json!({ evil: [evil] }));
    r.safety.left_behind = vec![evil.to_owned()];
    let page = report(&r);
    for part in ["<script", "<img", "\u{202e}", "\u{1b}"] {
        assert!(!page.contains(part), "{part:?}");
    }
    for tag in ["</style>", "</title>", "<svg", "<style"] {
        assert_eq!(page.matches(tag).count(), plain.matches(tag).count(), "{tag}");
    }
}

#[test]
fn the_page_needs_no_network_and_no_script() {
    let page = report(&record(World::Sim));
    assert!(page.contains("default-src &#39;none&#39;") || page.contains("default-src 'none'"));
    for part in ["src=", "url(http", "@import", "<link", "<script", "href=\"http"] {
        assert!(!page.contains(part), "{part}");
    }
    // a link leads to a place in the page that is there
    for link in page.split("href=\"#").skip(1).filter_map(|l| l.split('"').next()) {
        assert!(page.contains(&format!("id=\"{link}\"")), "{link}");
    }
    let mut ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|l| l.split('"').next()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "every id is there once");
}

#[test]
fn a_run_at_any_moment_has_a_page() {
    let lines = example(World::Aws);
    for n in 0..lines.len() {
        let page = report(&record_of(&lines[..n]));
        assert!(page.contains("not finished"), "{n}");
        assert!(page.ends_with("</html>\n"), "{n}");
    }
}
