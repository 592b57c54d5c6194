//! Tests of the pictures: what they show, and that no name breaks out of them.

use super::*;
use crate::evidence::tests::record_of;
use crate::journal::Gap;
use crate::model::World;
use crate::view::tests::example;

fn record() -> Record {
    record_of(&example(World::Sim))
}

/// Well-formed as far as these pictures go: every tag is closed, in order, and no text holds markup.
fn well_formed(svg: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = svg;
    while let Some(at) = rest.find('<') {
        assert!(!rest[..at].contains('>'), "stray > in {}", &rest[..at]);
        let end = at + rest[at..].find('>').expect("a tag ends");
        let tag = &rest[at + 1..end];
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().expect("a name");
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name), "closed in order"),
            (_, true) => {}
            _ => open.push(name),
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        rest = &rest[end + 1..];
    }
    assert_eq!((open.len(), rest.trim()), (0, ""));
}

#[test]
fn a_run_has_three_pictures_with_words_for_those_who_do_not_see_them() {
    let pictures = all(&record());
    assert_eq!(pictures.iter().map(|p| p.name).collect::<Vec<_>>(), ["clock", "probes", "steps"]);
    for p in &pictures {
        well_formed(&p.svg);
        assert!(p.svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""), "{}", p.svg);
        for part in ["role=\"img\"", "<title id=", "<desc id=", "font-family=\"sans-serif\""] {
            assert!(p.svg.contains(part), "{part}");
        }
        assert!(!p.svg.contains("NaN") && !p.svg.contains("inf"), "{}", p.svg);
    }
    assert_eq!(pictures, all(&record()), "the same bytes each time");
    assert_eq!(pictures[0].title, "Recovery in 21 min 46 s against an objective of 4 h");
    assert!(pictures[0].description.contains("3 h 38 min to spare. It lies between 21 min 44 s"));
    assert!(pictures[0].svg.contains("RTO 4 h") && pictures[0].svg.contains("T4 restore requested"));
}

#[test]
fn names_from_elsewhere_stay_text() {
    let mut r = record();
    let evil = "</text><script>alert(1)</script>\"'&\u{202e}\u{ffff}\u{1b}";
    evil.clone_into(&mut r.run.probes[0].name);
    r.run.steps[0].cells[0].target = Some(evil.to_owned());
    for p in all(&r) {
        well_formed(&p.svg);
        assert!(!p.svg.contains("<script") && !p.svg.contains('\u{202e}'), "{}", p.svg);
        assert!(!p.svg.contains('\u{ffff}') && !p.svg.contains('\u{1b}'));
    }
    assert_eq!(xml("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
}

#[test]
fn health_is_told_without_colour() {
    let svg = probe_health(&record()).expect("drawn").svg;
    assert!(
        svg.contains("url(#picture-probes-hatch-bad)") && svg.contains("unhealthy (high, hatched)"),
        "{svg}"
    );
    assert!(!svg.contains("not observed"), "{svg}");
    let mut r = record();
    let m = r.run.measured.as_mut().expect("measured");
    m.gaps.push(Gap { from: m.marks["t0"], to: m.marks["t4"], why: "asleep".into() });
    let svg = probe_health(&r).expect("drawn").svg;
    assert!(svg.contains("not observed") && svg.contains("url(#picture-probes-hatch-side)"), "{svg}");
}

#[test]
fn a_missed_objective_and_no_recovery_are_drawn_too() {
    let mut r = record();
    let m = r.run.measured.as_mut().expect("measured");
    m.rto_ms = 600_000;
    let svg = recovery_clock(&r).expect("drawn");
    assert!(svg.title.ends_with("against an objective of 10 min"), "{}", svg.title);
    let m = r.run.measured.as_mut().expect("measured");
    (m.rta_ms, m.judged_ms, m.phases) = (None, None, Vec::new());
    let p = recovery_clock(&r).expect("drawn");
    well_formed(&p.svg);
    assert!(p.svg.contains("recovery not measured") && p.description.contains("not seen to recover"));
}

#[test]
fn seconds_against_hours_still_show() {
    let mut r = record();
    let m = r.run.measured.as_mut().expect("measured");
    (m.rta_ms, m.judged_ms, m.rta_low_ms, m.rta_high_ms) = (Some(1_500), Some(1_500), Some(900), Some(1_600));
    m.phases = vec![
        crate::journal::PhaseTime { from: "t0".into(), to: "t4".into(), ms: 500 },
        crate::journal::PhaseTime { from: "t4".into(), to: "t7".into(), ms: 1_000 },
    ];
    let p = recovery_clock(&r).expect("drawn");
    well_formed(&p.svg);
    let widths: Vec<f64> = p
        .svg
        .lines()
        .filter(|l| l.contains("fill-bar"))
        .filter_map(|l| l.split("width=\"").nth(1)?.split('"').next()?.parse().ok())
        .collect();
    assert!(widths[0] < 5.0, "against four hours it is next to nothing: {widths:?}");
    assert!(widths[1] > 100.0 && widths[2] > 200.0, "enlarged it shows: {widths:?}");
}

#[test]
fn a_run_at_any_moment_can_be_drawn() {
    let lines = example(World::Aws);
    for n in 0..=lines.len() {
        for p in all(&record_of(&lines[..n])) {
            well_formed(&p.svg);
        }
    }
    assert!(all(&record_of(&lines[..1])).is_empty(), "nothing to draw yet");
}
