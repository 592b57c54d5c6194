//! Records of made-up runs, shared by the tests of everything that is made from a record.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde_json::json;

use super::record::{Check, ControlOutcome, ControlResult, Drawn, Selection, SignOff, Status};
use super::{Material, Record, record};
use crate::catalog::kinds;
use crate::journal::{Event, Line, Measured, Mode, Verdict};
use crate::model::World;
use crate::model::exercise::{Approval, Document, Participant};
use crate::view::tests::example;

/// The record of these lines, without a plan.
pub(crate) fn record_of(lines: &[Line]) -> Record {
    let mut journal = Vec::new();
    for line in lines {
        journal.extend(serde_json::to_vec(line).expect("a line serialises"));
        journal.push(b'\n');
    }
    record(&Material {
        lines,
        journal: &journal,
        plan: None,
        sign_offs: &[],
        annotations: &[],
        checkpoints: 0,
        frameworks: &[],
        follow_up: &Default::default(),
        reconciliation: None,
        publication: None,
        timestamp_authority: None,
    })
}

/// Records of runs that ended in every way that an export tells apart.
pub(crate) fn made_up() -> Vec<(&'static str, Record)> {
    let passed = example(World::Aws);
    let mut missed = record_of(&ending(Verdict::ObjectiveMissed, |m| m.judged_ms = Some(m.rto_ms + 1_000)));
    for f in &mut missed.findings {
        f.due = NaiveDate::from_ymd_opt(2023, 12, 24);
        f.owner = Some("database team".to_owned());
        f.ticket = Some("DR-7 <b>".to_owned());
    }
    let mut stuck = ending(Verdict::Stuck, |_| {});
    let at = stuck.len() - 1;
    let last = stuck[at].clone();
    stuck[at].event = Event::Stuck {
        step: None,
        target: None,
        error: "denied]]> \u{1}\u{ffff}".to_owned(),
        hint: "take it away, \"by hand\"".to_owned(),
    };
    stuck.push(Line { seq: last.seq + 1, ..last });
    let unfinished = &passed[..passed.len() - 4];
    vec![
        ("passed", record_of(&passed)),
        ("emulator", record_of(&example(World::Emulator))),
        ("sim", record_of(&example(World::Sim))),
        ("missed", missed),
        ("stuck", record_of(&stuck)),
        ("unfinished", record_of(unfinished)),
        ("header-only", record_of(&passed[..1])),
        ("full", full(record_of(&passed))),
    ]
}

/// The made-up run with another end.
fn ending(verdict: Verdict, change: impl FnOnce(&mut Measured)) -> Vec<Line> {
    let mut lines = example(World::Aws);
    if let Some(Line { event: Event::Finished { verdict: v, exit_code, measured, .. }, .. }) =
        lines.last_mut()
    {
        *v = verdict;
        *exit_code = verdict.exit_code();
        change(measured);
    }
    lines
}

/// With everything that a drill and people can add, in texts that try to break out.
fn full(mut r: Record) -> Record {
    let hostile = " two\nlines, \"quoted\" <b>&amp; *bold* ]]> \u{202e}\u{1b}[31m ";
    let at = r.identity.started_at;
    r.authority.rules = Some(hostile.to_owned());
    r.authority.plan = Some(Document {
        title: hostile.to_owned(),
        version: Some("3".to_owned()),
        reference: Some("https://wiki.example/plan?a=b c".to_owned()),
        sha256: Some("not a hash".to_owned()),
    });
    r.identity.impact_analysis = Some(Document {
        title: "Impact".to_owned(),
        version: None,
        reference: Some("https://wiki.example/bia".to_owned()),
        sha256: Some("AB".repeat(32)),
    });
    r.authority.approvals =
        vec![Approval { name: "head of operations".to_owned(), at, reference: Some(String::new()) }];
    r.people.participants = vec![
        Participant {
            role: "incident commander".to_owned(),
            name: hostile.to_owned(),
            identity: at.map(|a| a.to_string()),
        },
        Participant { role: "1st observer".to_owned(), name: "auditor".to_owned(), identity: None },
    ];
    r.conditions.assumptions = vec![hostile.to_owned(), String::new()];
    r.scope.selections = vec![Selection {
        name: "orders".to_owned(),
        resource: kinds::EC2_INSTANCE,
        tags: BTreeMap::new(),
        attributes: BTreeMap::new(),
        select: "all".to_owned(),
        population: 9,
        matched: 1,
        drawn: vec![Drawn {
            id: "i-1".to_owned(),
            arn: Some("arn:aws:ec2:eu-west-1:123456789012:instance/i-1".to_owned()),
            name: Some(hostile.to_owned()),
            zone: Some("eu-west-1a".to_owned()),
            tags: BTreeMap::new(),
        }],
    }];
    r.checks = [("rows", Status::Satisfied), ("sums", Status::NotSatisfied), (hostile, Status::NotTested)]
        .map(|(name, status)| Check {
            name: name.to_owned(),
            probe: "sql".to_owned(),
            with: json!({"query": hostile}),
            with_sha256: "cd".repeat(32),
            status,
            seen: hostile.to_owned(),
            at,
            observations: 1,
        })
        .to_vec();
    r.review.sign_offs = vec![SignOff {
        by: "auditor".to_owned(),
        listed_as: None,
        at: r.identity.finished_at.unwrap_or_default(),
        decision: "accepted".to_owned(),
        note: hostile.to_owned(),
        key: "SHA256:abc".to_owned(),
        independent: true,
        made_as: "auditor@desk".to_owned(),
    }];
    let control = |framework: &str, id: &str, outcome| ControlResult {
        framework: framework.to_owned(),
        framework_name: framework.to_owned(),
        id: id.to_owned(),
        paraphrase: "Plans are tested.".to_owned(),
        cadence: "yearly".to_owned(),
        outcome,
        why: hostile.to_owned(),
        shows: Vec::new(),
    };
    r.controls = vec![
        control("nist-800-53", "CP-4", ControlOutcome::Supports),
        control("nist-800-53", "CP-4(1)", ControlOutcome::NotTested),
        control("nist-800-53", "CP-10", ControlOutcome::DoesNotSupport),
        control("soc2", "A1.3", ControlOutcome::Supports),
    ];
    r
}

#[test]
fn who_only_told_a_run_something_is_no_operator_of_it() {
    let mut lines = example(World::Aws);
    let was = record_of(&lines).people.operators;
    assert!(!was.is_empty());
    let mut last = lines.last().expect("a line").clone();
    for (mode, operators) in [(Mode::Tell, was.len()), (Mode::Rollback, was.len() + 1)] {
        last.event = Event::Attached {
            mode,
            pid: 7,
            host: "desk".into(),
            user: "ann".into(),
            redrill: "0.1.0".into(),
            boot: None,
        };
        lines.push(last.clone());
        assert_eq!(record_of(&lines).people.operators.len(), operators, "{mode:?}");
    }
}
