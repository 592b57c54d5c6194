//! Tests of the forms: every row is there, filled or a gap, and no name breaks out of a table.

use super::*;
use crate::evidence::tests::record_of;
use crate::model::World;
use crate::model::exercise::{ExerciseKind, Participant};
use crate::view::tests::example;

fn record(world: World) -> Record {
    record_of(&example(world))
}

/// The first cells of a table's rows, without its head.
fn names(table: &str) -> Vec<&str> {
    let rows = table.lines().filter(|l| l.starts_with("| "));
    rows.filter_map(|l| l.split(" | ").next()?.strip_prefix("| ")).skip(2).collect()
}

#[test]
fn forms_are_named_on_the_command_line() {
    for form in Form::ALL {
        assert_eq!(form.name().parse(), Ok(form));
    }
    let error = "fedrammp".parse::<Form>().expect_err("no such form");
    assert_eq!(error, "`fedrammp` is not a form; there are fedramp, nist-800-84, iso-22301, summary");
}

#[test]
fn the_fedramp_form_has_its_14_rows_in_order() {
    let text = fill(Form::Fedramp, &record(World::Aws));
    let want = [
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
    ];
    assert_eq!(names(&text), want);
    assert!(text.contains("| Name of Test | Restore \\*orders\\* to a point in time |"), "{text}");
    assert!(text.contains("| Team Test Lead and Point of Contact | not recorded (gap) |"), "{text}");
    assert!(text.contains("☒ recovery procedures") && text.contains("☐ notification procedures"), "{text}");
    let mut r = record(World::Aws);
    r.people.participants =
        vec![Participant { role: "Test lead".into(), name: "the lead".into(), identity: Some("a|b".into()) }];
    r.authority.exercise_type = Some(ExerciseKind::Switchover);
    let text = fill(Form::Fedramp, &r);
    assert!(text.contains("| Team Test Lead and Point of Contact | the lead, a\\|b |"), "{text}");
    assert!(text.contains("☒ recovery at an alternate site"), "{text}");
}

#[test]
fn every_form_says_what_counts_and_what_is_missing() {
    for form in Form::ALL {
        let text = fill(form, &record(World::Aws));
        assert_eq!(text, fill(form, &record(World::Aws)), "the same bytes each time");
        for part in ["not recorded (gap)", "Passed: recovered in 21 min 46 s", "2023-11-14 22:13:20 UTC"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        let mut bad = record(World::Aws);
        bad.safety.left_behind = vec!["i-1 is left".to_owned()];
        if form == Form::Summary {
            assert!(fill(form, &bad).contains("| Left behind | 1, see below |"));
            assert!(fill(form, &bad).contains("- i-1 is left"));
            assert!(text.lines().count() < 60, "one page: {}", text.lines().count());
        }
    }
}

#[test]
fn only_aws_itself_goes_without_a_warning() {
    for form in Form::ALL {
        for (world, times) in [(World::Aws, 0), (World::Emulator, 2), (World::Sim, 2)] {
            let text = fill(form, &record(world));
            // at the top and at the end
            assert_eq!(text.matches("leaves every control not tested").count(), times, "{text}");
        }
    }
}

#[test]
fn nothing_from_elsewhere_breaks_out_of_a_form() {
    let evil = "x|y\n# z <b>`$(rm)`\u{202e}\u{1b}[31m";
    let mut r = record(World::Aws);
    for text in [
        &mut r.identity.title,
        &mut r.identity.service,
        &mut r.identity.description,
        &mut r.scope.region,
        &mut r.result.objectives[0].actual,
        &mut r.gaps[0].what,
        &mut r.limits[0],
        &mut r.recoveries[0].step,
        &mut r.run.probes[0].name,
    ] {
        *text = evil.to_owned();
    }
    r.conditions.assumptions = vec![evil.to_owned()];
    r.safety.left_behind = vec![evil.to_owned()];
    for form in Form::ALL {
        let text = fill(form, &r);
        assert!(!text.contains("<b>") && !text.contains('\u{202e}') && !text.contains('\u{1b}'), "{text}");
        assert!(!text.contains("\n# z") && !text.contains("`$"), "{text}");
        let columns = |l: &str| l.replace(r"\|", "").matches('|').count();
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2).filter(|w| w[0].starts_with('|') && w[1].starts_with('|')) {
            assert_eq!(columns(pair[0]), columns(pair[1]), "{pair:?}");
        }
    }
}

#[test]
fn a_run_at_any_moment_fills_every_form() {
    let lines = example(World::Aws);
    for n in 0..lines.len() {
        for form in Form::ALL {
            assert!(fill(form, &record_of(&lines[..n])).contains("not finished"), "{n} {form:?}");
        }
    }
}
