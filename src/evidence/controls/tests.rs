//! Tests of the controls: the table is whole, and an outcome is what the record shows.

mod shown;

use std::collections::BTreeSet;

use super::*;
use crate::catalog::action::StageRule;
use crate::catalog::{actions::ACTIONS, probes::PROBES};
use crate::evidence::record::{Check, ObjectiveResult};
use crate::evidence::tests::record_of;
use crate::model::exercise::Participant;
use crate::model::{Health, Stage};
use crate::view::tests::example;

/// A restore on AWS that passed, its data checked.
fn restored() -> Record {
    let mut r = record_of(&example(World::Aws));
    r.recoveries = vec![crate::evidence::record::Recovery {
        step: "restore".to_owned(),
        action: Some("rds.restore-to-point-in-time".to_owned()),
        target: None,
        started_at: r.identity.started_at,
        ready_at: r.identity.finished_at,
        outputs: BTreeMap::new(),
        notes: vec![],
    }];
    r.checks = vec![check("sql", Status::Satisfied)];
    for key in ["clean", "steady-after"] {
        set(&mut r, key, Status::Satisfied);
    }
    r
}

fn check(probe: &str, status: Status) -> Check {
    // of the copy
    let with = match probe {
        "sql" => serde_json::json!({ "host": "${steps.restore.endpoint}", "port": "${steps.restore.port}" }),
        "rds.instance" => serde_json::json!({ "identifier": "${steps.restore.identifier}" }),
        _ => serde_json::Value::Null,
    };
    Check {
        name: probe.to_owned(),
        probe: probe.to_owned(),
        with,
        with_sha256: String::new(),
        status,
        seen: String::new(),
        at: None,
        observations: 1,
    }
}

fn set(r: &mut Record, key: &str, status: Status) {
    r.result.objectives.retain(|o| o.key != key);
    r.result.objectives.push(ObjectiveResult {
        key: key.to_owned(),
        name: key.to_owned(),
        expected: "this".to_owned(),
        actual: "that".to_owned(),
        status,
    });
}

fn outcome(r: &Record, name: &str) -> (ControlOutcome, String) {
    let all = assess(r, None, None, &[]);
    let found = all.into_iter().find(|c| format!("{}/{}", c.framework, c.id) == name);
    found.map(|c| (c.outcome, c.why)).unwrap_or_else(|| panic!("there is no control {name}"))
}

#[test]
fn every_action_and_every_probe_is_in_the_table_and_nothing_else() {
    let names = |stage: StageRule| -> BTreeSet<&str> {
        let of = ACTIONS.iter().map(|a| a.spec());
        of.filter(|s| s.stage == stage || s.stage == StageRule::Any).map(|s| s.name).collect()
    };
    let keys = |m: &'static BTreeMap<String, Vec<Capability>>| m.keys().map(String::as_str).collect();
    assert_eq!(names(StageRule::Fault), keys(&TABLE.fault));
    assert_eq!(names(StageRule::Recovery), keys(&TABLE.recovery));
    assert_eq!(PROBES.iter().map(|p| p.spec().name).collect::<BTreeSet<_>>(), keys(&TABLE.verify));
    let objectives: BTreeSet<&str> = ["rto", "rpo", "detect", "data", "clean", "steady-after"].into();
    assert_eq!(objectives, keys(&TABLE.objectives));
    assert_eq!(of_action("rds.reboot", Stage::Fault), Some(&TABLE.fault["rds.reboot"][..]));
}

#[test]
fn what_shows_a_control_is_a_place_in_the_record() {
    fn there(value: &serde_json::Value, path: &[&str]) -> bool {
        match (path, value) {
            ([], _) => true,
            // an empty list has no member to look into
            (_, serde_json::Value::Array(items)) => items.first().is_none_or(|v| there(v, path)),
            ([name, rest @ ..], value) => value.get(name).is_some_and(|v| there(v, rest)),
        }
    }
    let record = serde_json::to_value(restored()).expect("a record serialises");
    let mut seen = 0;
    for control in built_in().iter().flat_map(|f| &f.controls) {
        for path in control.shows.iter().flat_map(|s| s.split('`').skip(1).step_by(2)) {
            let parts: Vec<&str> = path.split('.').collect();
            assert!(there(&record, &parts), "{}: {path}", control.id);
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn every_framework_is_there_and_every_control_can_be_told_from_the_others() {
    let keys: Vec<&str> = built_in().iter().map(|f| f.key.as_str()).collect();
    assert_eq!(
        keys,
        ["soc2", "iso27001", "iso22301", "nist-800-53", "csf", "pci-dss", "hipaa", "dora", "cis"]
    );
    let mut ids = BTreeSet::new();
    for (f, c) in with(&[]) {
        let name = format!("{}/{}", f.key, c.id);
        assert!(!c.needs.is_empty() && !c.exercised_by.is_empty() && !c.shows.is_empty(), "{name}");
        assert!(!c.id.contains('/') && !f.key.contains('/'), "{name} could not be named in a drill");
        assert!(c.paraphrase.ends_with('.') && c.paraphrase.len() < 160, "{name}: {}", c.paraphrase);
        assert!(ids.insert(name.clone()), "{name} is there twice");
    }
    for name in ["soc2/A1.3", "iso27001/A.5.30", "nist-800-53/CP-4(5)", "cis/11.5", "dora/RTS.26"] {
        assert!(ids.contains(name), "{name}");
    }
    let used: BTreeSet<Capability> =
        with(&[]).iter().flat_map(|(_, c)| c.needs.iter().chain(&c.exercised_by)).copied().collect();
    assert_eq!(used, Capability::ALL.into_iter().collect(), "a word that no control uses is no word");
}

#[test]
fn a_restore_whose_data_was_checked_supports_the_controls_of_backups() {
    let r = restored();
    let (outcome_, why) = outcome(&r, "iso27001/A.8.13");
    assert_eq!(outcome_, ControlOutcome::Supports, "{why}");
    assert_eq!(why, "restore: `restore` done; check of the data: `sql` satisfied");
    assert_eq!(outcome(&r, "soc2/A1.3").0, ControlOutcome::Supports);
    assert_eq!(outcome(&r, "nist-800-53/CP-9(1)").0, ControlOutcome::Supports);
    // nothing was broken on purpose, nobody took part
    let (none, why) = outcome(&r, "nist-800-53/CP-4(5)");
    assert_eq!(none, ControlOutcome::NotTested);
    assert_eq!(why, "this run did not exercise it; that takes: fault on purpose");
    assert_eq!(outcome(&r, "cis/17.7").0, ControlOutcome::NotTested);
}

#[test]
fn off_aws_nothing_is_tested_however_well_it_went() {
    for (world, place) in [(World::Sim, "the simulator"), (World::Emulator, "an emulator")] {
        let mut r = restored();
        r.scope.world = world;
        let all = assess(&r, None, None, &[]);
        assert!(all.len() > 60, "{}", all.len());
        for c in all {
            assert_eq!(c.outcome, ControlOutcome::NotTested, "{}/{}", c.framework, c.id);
            assert_eq!(c.why, format!("ran on {place}; only a run on AWS counts"));
        }
    }
}

#[test]
fn a_run_that_shows_nothing_supports_nothing() {
    use Verdict::{Inconclusive, NoImpact, NotSteady, Refused, Stopped};
    for verdict in [None, Some(Refused), Some(NotSteady), Some(NoImpact), Some(Inconclusive), Some(Stopped)] {
        let mut r = restored();
        r.result.verdict = verdict;
        let all = assess(&r, None, None, &[]);
        assert!(all.iter().all(|c| c.outcome == ControlOutcome::NotTested), "{verdict:?}");
    }
    for verdict in [Verdict::Failed, Verdict::NotRecovered, Verdict::Stuck] {
        let mut r = restored();
        r.result.verdict = Some(verdict);
        let all = assess(&r, None, None, &[]);
        assert!(all.iter().all(|c| c.outcome != ControlOutcome::Supports), "{verdict:?}");
    }
}

#[test]
fn what_was_tried_and_did_not_hold_is_not_supported() {
    let mut late = restored();
    late.result.verdict = Some(Verdict::ObjectiveMissed);
    set(&mut late, "rto", Status::NotSatisfied);
    let (missed, why) = outcome(&late, "soc2/A1.3");
    assert_eq!(
        (missed, why.as_str()),
        (ControlOutcome::DoesNotSupport, "recovery time: that, asked for: this")
    );
    // late, but the backup was restored and whole
    assert_eq!(outcome(&late, "nist-800-53/CP-9(1)").0, ControlOutcome::Supports);

    let mut wrong = restored();
    let mut object = check("s3.object", Status::NotSatisfied);
    object.with = serde_json::json!({ "bucket": "b", "key": "k", "etag": "\"0\"" });
    wrong.checks = vec![check("sql", Status::Satisfied), object];
    let (bad, why) = outcome(&wrong, "nist-800-53/CP-9(1)");
    assert_eq!(bad, ControlOutcome::DoesNotSupport);
    assert_eq!(why, "check of the data: `s3.object` not satisfied");

    let mut broken = restored();
    broken.result.verdict = Some(Verdict::Failed);
    broken.recoveries[0].ready_at = None;
    assert_eq!(outcome(&broken, "nist-800-53/CP-9(1)").0, ControlOutcome::DoesNotSupport);

    let mut dirty = restored();
    dirty.result.verdict = Some(Verdict::Stuck);
    set(&mut dirty, "clean", Status::NotSatisfied);
    assert_eq!(outcome(&dirty, "iso27001/A.5.30").0, ControlOutcome::DoesNotSupport);
}

#[test]
fn what_was_needed_and_not_shown_leaves_a_control_not_tested() {
    let mut unread = restored();
    // `available` is what AWS says; nobody read the data
    unread.checks = vec![check("rds.instance", Status::Satisfied)];
    let (open, why) = outcome(&unread, "iso27001/A.8.13");
    assert_eq!(open, ControlOutcome::NotTested);
    assert_eq!(why, "check of the data: `verify` of the drill has no such probe");
    assert_eq!(outcome(&unread, "soc2/A1.2").0, ControlOutcome::Supports, "which asks for the state only");

    let mut simulated = restored();
    let somebody = Participant { role: "responder".into(), name: "somebody".into(), identity: None };
    simulated.people.participants = vec![somebody];
    assert_eq!(outcome(&simulated, "nist-800-53/CP-3").0, ControlOutcome::Supports);
    simulated.people.simulated = true;
    assert_eq!(outcome(&simulated, "nist-800-53/CP-3").0, ControlOutcome::NotTested);
}

fn drill(controls: &str) -> Drill {
    let text = include_str!("../../../drills/rds-point-in-time.yaml");
    let text = text.replace("controls: [soc2/A1.3, iso27001/A.8.13]", &format!("controls: [{controls}]"));
    crate::drill::load("drill.yaml", &text, &Default::default()).expect("the drill is fine").drill
}

#[test]
fn a_control_that_the_drill_names_still_needs_what_it_needs() {
    let own = Framework {
        key: "house".to_owned(),
        name: "House rules".to_owned(),
        version: "3".to_owned(),
        controls: vec![Control {
            id: "H-1".to_owned(),
            paraphrase: "Restores are rehearsed.".to_owned(),
            cadence: "monthly".to_owned(),
            exercised_by: vec![],
            needs: vec![Capability::DataCheck],
            shows: vec![],
        }],
    };
    let own = [own];
    let of = |r: &Record, drill: Option<&Drill>| {
        let all = assess(r, drill, None, &own);
        let mut found: Vec<_> = all.into_iter().filter(|c| c.framework == "house").collect();
        assert_eq!(found.len(), 1, "one entry, named or not");
        found.remove(0)
    };
    let r = restored();
    assert_eq!(of(&r, None).outcome, ControlOutcome::NotTested, "nothing exercises it by itself");
    let named = drill("house/H-1");
    let result = of(&r, Some(&named));
    assert_eq!(
        (result.outcome, result.framework_name.as_str()),
        (ControlOutcome::Supports, "House rules (3), defined in redrill.toml")
    );
    let mut unread = r;
    unread.checks.clear();
    assert_eq!(of(&unread, Some(&named)).outcome, ControlOutcome::NotTested);
}

#[test]
fn a_control_that_nobody_knows_is_listed_and_never_supported() {
    let all = assess(&restored(), Some(&drill("soc2/A1.3, house/H-1")), None, &[]);
    let unknown: Vec<_> = all.iter().filter(|c| c.framework == "house").collect();
    assert_eq!(unknown.len(), 1);
    assert_eq!(unknown[0].outcome, ControlOutcome::NotTested);
    assert_eq!(unknown[0].why, "not known to redrill; add it in redrill.toml");
    // how often is for whoever adds it to say
    assert_eq!(unknown[0].cadence, "not set");
    let added = "id = \"H-1\"\nparaphrase = \"Restores are rehearsed.\"\nneeds = [\"restore\"]";
    assert_eq!(toml::from_str::<Control>(added).expect("a control").cadence, "not set");
}

#[test]
fn a_drill_names_one_control_of_one_framework() {
    let framework = |key: &str, id: &str| Framework {
        key: key.to_owned(),
        name: "Rules".to_owned(),
        version: "1".to_owned(),
        controls: vec![Control {
            id: id.to_owned(),
            exercised_by: vec![],
            needs: vec![Capability::DataCheck],
            ..built_in()[0].controls[0].clone()
        }],
    };
    // beside it stand another framework with that id, and another control of that framework
    let added = [framework("house", "H-1"), framework("other", "H-1"), framework("house", "H-2")];
    let supported = |drill: Option<&Drill>| -> Vec<String> {
        let all = assess(&restored(), drill, None, &added).into_iter();
        let of = all.filter(|c| added.iter().any(|f| f.key == c.framework));
        of.filter(|c| c.outcome == ControlOutcome::Supports)
            .map(|c| format!("{}/{}", c.framework, c.id))
            .collect()
    };
    assert_eq!(supported(None), [""; 0]);
    assert_eq!(supported(Some(&drill("house/H-1"))), ["house/H-1"]);
}

#[test]
fn an_added_framework_comes_after_the_built_in_ones() {
    let added = [Framework {
        key: "house".to_owned(),
        name: "House rules".to_owned(),
        version: "1".to_owned(),
        controls: vec![Control {
            id: "H-1".to_owned(),
            paraphrase: "Restores are rehearsed.".to_owned(),
            cadence: not_set(),
            exercised_by: vec![],
            needs: vec![Capability::Restore],
            shows: vec![],
        }],
    }];
    let (all, built_in) = (with(&added), with(&[]));
    assert_eq!(all[..built_in.len()], built_in);
    assert_eq!(all.last().map(|(f, c)| (f.key.as_str(), c.id.as_str())), Some(("house", "H-1")));
}

/// A fault, a person's step and a recovery that passed, as recorded, but on AWS and with real people.
fn exercised() -> (Record, Plan) {
    let plan = include_str!("../../../tests/fixtures/bundles/passed/plan.json");
    let plan = crate::plan::file::read(plan).expect("a plan");
    let journal = include_bytes!("../../../tests/fixtures/bundles/passed/journal.jsonl");
    let mut lines = crate::journal::reader::read(journal).expect("a journal").lines;
    for line in &mut lines {
        if let crate::journal::Event::Header { world, .. } = &mut line.event {
            *world = World::Aws;
        }
    }
    let mut r = crate::evidence::record(&crate::evidence::Material {
        lines: &lines,
        journal,
        plan: Some(&plan),
        sign_offs: &[],
        annotations: &[],
        checkpoints: 0,
        frameworks: &[],
        follow_up: &Default::default(),
        reconciliation: None,
        publication: None,
        timestamp_authority: None,
    });
    for step in r.run.steps.iter_mut().filter(|s| s.confirmed.is_some()) {
        step.confirmed = Some("somebody@a-terminal".to_owned());
    }
    // and as one that was seen to be AWS
    assert!(r.scope.endpoint_doubt.take().is_some());
    (r, plan)
}

fn with_plan(r: &Record, plan: &Plan, name: &str) -> (ControlOutcome, String) {
    let named = drill(name);
    let found = assess(r, Some(&named), Some(plan), &[]);
    let found = found.into_iter().find(|c| format!("{}/{}", c.framework, c.id) == name);
    found.map(|c| (c.outcome, c.why)).unwrap_or_else(|| panic!("there is no control {name}"))
}

#[test]
fn a_fault_and_its_recovery_support_what_they_exercise() {
    let (r, plan) = exercised();
    for name in ["soc2/A1.3", "nist-800-53/CP-4(3)", "nist-800-53/CP-4(4)", "nist-800-53/CP-4(5)"] {
        let (outcome, why) = with_plan(&r, &plan, name);
        assert_eq!(outcome, ControlOutcome::Supports, "{name}: {why}");
    }
}

#[test]
fn a_persons_word_alone_supports_nothing() {
    let (mut r, mut plan) = exercised();
    plan.steps.retain(|s| s.manual.is_some());
    r.recoveries.clear();
    r.measures.outage = false;
    let checks = std::mem::take(&mut r.checks);
    for name in ["soc2/A1.3", "iso27001/A.5.30", "nist-800-53/CP-10", "csf/RC.RP-02", "nist-800-53/CP-4(3)"] {
        let (outcome, why) = with_plan(&r, &plan, name);
        assert_eq!(outcome, ControlOutcome::NotTested, "{name}: {why}");
    }
    let (_, why) = with_plan(&r, &plan, "soc2/A1.3");
    assert!(why.contains("`decide` confirmed, and nothing was seen to change by it"), "{why}");
    // nor does a check that had passed all along; one that had not bears the person out
    r.checks = checks;
    let probe = r.run.probes.iter().position(|p| p.name == r.checks[0].name).expect("it was asked");
    for s in &mut r.run.probes[probe].segments {
        s.health = Health::Healthy;
    }
    assert_eq!(with_plan(&r, &plan, "soc2/A1.3").0, ControlOutcome::NotTested);
    r.run.probes[probe].segments[0].health = Health::Unhealthy;
    // what people did is not automated for that
    assert_eq!(with_plan(&r, &plan, "soc2/A1.3").0, ControlOutcome::Supports);
    let (outcome, why) = with_plan(&r, &plan, "nist-800-53/CP-4(3)");
    assert_eq!(outcome, ControlOutcome::NotTested);
    assert_eq!(why, "automated steps: no automated step broke or recovered anything");
}

#[test]
fn a_recovery_that_had_nothing_to_do_supports_nothing() {
    let mut r = restored();
    r.run.calls.clear();
    r.measures.outage = false;
    for name in ["soc2/A1.3", "iso27001/A.8.13", "nist-800-53/CP-9(1)", "nist-800-53/CP-4(3)"] {
        assert_eq!(outcome(&r, name).0, ControlOutcome::NotTested, "{name}");
    }
    let (_, why) = outcome(&r, "nist-800-53/CP-9(1)");
    assert_eq!(why, "restore: `restore` found nothing to do");
    // a call that AWS refused is none
    let mut refused = restored();
    for call in &mut refused.run.calls {
        call.error = Some("denied".to_owned());
    }
    assert_eq!(outcome(&refused, "nist-800-53/CP-9(1)").0, ControlOutcome::NotTested);
}

#[test]
fn an_object_that_is_there_is_no_data_that_was_read() {
    let mut r = restored();
    let step = &mut r.recoveries[0];
    (step.action, step.target) = (Some("s3.restore-objects".to_owned()), Some("b".to_owned()));
    r.checks = vec![check("s3.object", Status::Satisfied)];
    r.checks[0].with = serde_json::json!({ "bucket": "b", "key": "k" });
    assert_eq!(outcome(&r, "nist-800-53/CP-9(1)").0, ControlOutcome::NotTested);
    r.checks[0].with["etag"] = "\"0\"".into();
    assert_eq!(outcome(&r, "nist-800-53/CP-9(1)").0, ControlOutcome::Supports);
    // another bucket was never lost
    r.checks[0].with["bucket"] = "c".into();
    let (open, why) = outcome(&r, "nist-800-53/CP-9(1)");
    assert_eq!(
        (open, why.as_str()),
        (ControlOutcome::NotTested, "check of the data: none reads what `restore` restored")
    );
}

#[test]
fn a_check_of_something_else_says_nothing_of_what_was_restored() {
    const NAME: &str = "iso27001/A.8.13";
    let unread = "check of the data: none reads what `restore` restored";
    let object = serde_json::json!({ "bucket": "b", "key": "k", "etag": "\"0\"" });
    for (probe, with) in [
        ("s3.object", object.clone()),
        ("sql", serde_json::json!({ "host": "production", "port": "${steps.restore.port}" })),
        ("sql", serde_json::json!({ "host": "production", "secret": "${steps.restore.secret}" })),
    ] {
        let mut r = restored();
        r.checks =
            vec![Check { with, ..check(probe, Status::Satisfied) }, check("rds.instance", Status::Satisfied)];
        let (open, why) = outcome(&r, NAME);
        assert_eq!((open, why.as_str()), (ControlOutcome::NotTested, unread), "{probe}");
        // which asks for the state of the copy, and that was read
        assert_eq!(outcome(&r, "soc2/A1.2").0, ControlOutcome::Supports, "{probe}");
        // beside one that reads the copy it does no harm, unless it fails
        r.checks.push(check("sql", Status::Satisfied));
        assert_eq!(outcome(&r, NAME).0, ControlOutcome::Supports, "{probe}");
        r.checks[0].status = Status::NotSatisfied;
        assert_eq!(outcome(&r, NAME).0, ControlOutcome::DoesNotSupport, "{probe}");
    }
    let mut r = restored();
    for (identifier, status) in
        [("${steps.restore.source}", "available"), ("${steps.restore.identifier}", "*")]
    {
        let with = serde_json::json!({ "identifier": identifier, "status": status });
        r.checks = vec![Check { with, ..check("rds.instance", Status::Satisfied) }];
        let (open, why) = outcome(&r, "soc2/A1.2");
        let unread = "check of the resources: none reads what `restore` restored";
        assert_eq!((open, why.as_str()), (ControlOutcome::NotTested, unread), "{identifier} {status}");
    }
    // of two that were restored one was read
    let mut two = restored();
    let more = two.recoveries[0].clone();
    two.recoveries.push(crate::evidence::record::Recovery { step: "other".to_owned(), ..more });
    let (open, why) = outcome(&two, NAME);
    assert_eq!(open, ControlOutcome::NotTested);
    assert!(why.ends_with("check of the data: none reads what `other` restored"), "{why}");
}

#[test]
fn a_rejection_stands_until_its_reviewer_takes_it_back() {
    use crate::evidence::record::{Review, SignOff};
    let said = |key: &str, decision: &str, independent: bool| SignOff {
        by: key.to_owned(),
        listed_as: None,
        at: Default::default(),
        decision: decision.to_owned(),
        note: String::new(),
        key: key.to_owned(),
        independent,
        made_as: String::new(),
    };
    let review = |all: &[SignOff]| {
        let mut r = restored();
        r.review = Review::of(all);
        outcome(&r, "iso22301/9.3").0
    };
    let (anna, bert) = (said("anna", "accepted", true), said("bert", "rejected", true));
    let runner = said("runner", "accepted", false);
    assert_eq!(review(std::slice::from_ref(&anna)), ControlOutcome::Supports);
    assert_eq!(review(std::slice::from_ref(&runner)), ControlOutcome::NotTested);
    assert_eq!(review(&[anna.clone(), bert.clone(), runner.clone()]), ControlOutcome::DoesNotSupport);
    assert_eq!(review(&[bert.clone(), runner]), ControlOutcome::DoesNotSupport);
    assert_eq!(review(&[bert.clone(), anna.clone()]), ControlOutcome::DoesNotSupport);
    assert_eq!(review(&[bert, anna, said("bert", "accepted", true)]), ControlOutcome::Supports);
}

#[test]
fn time_that_passed_is_no_recovery_time() {
    let mut r = restored();
    r.recoveries[0].action = Some("command".to_owned());
    r.measures.outage = false;
    let (_, plan) = exercised();
    let plan = Plan { steps: Vec::new(), ..plan };
    let (outcome, why) = with_plan(&r, &plan, "soc2/A1.3");
    assert_eq!(outcome, ControlOutcome::NotTested);
    assert!(why.contains("nothing was seen to break, and no step is known to recover it"), "{why}");
    // an outage that clients saw, and that ended, was a recovery, whoever brought it about
    r.measures.outage = true;
    assert_eq!(with_plan(&r, &plan, "soc2/A1.3").0, ControlOutcome::Supports);
}

#[test]
fn what_aws_says_of_its_resources_is_not_what_clients_felt() {
    let (mut r, mut plan) = exercised();
    plan.drill.impact = crate::drill::Impact::NoneExpected;
    r.measures.outage = false;
    assert_eq!(with_plan(&r, &plan, "iso27001/A.8.14").0, ControlOutcome::Supports);
    for c in &mut r.objectives.criteria {
        c.probe = "ec2.instances".to_owned();
        c.role = "client".to_owned();
    }
    let (outcome, why) = with_plan(&r, &plan, "iso27001/A.8.14");
    assert_eq!(outcome, ControlOutcome::NotTested);
    assert!(why.contains("but only AWS was asked, not the service"), "{why}");
    assert_eq!(with_plan(&r, &plan, "nist-800-53/CP-4(4)").0, ControlOutcome::NotTested);
}

#[test]
fn a_trail_counts_only_under_cloudtrails_signed_digests() {
    use ControlOutcome::{DoesNotSupport, NotTested, Supports};
    let (mut r, plan) = exercised();
    for (told, wanted) in [
        (serde_json::json!({ "holds": true, "standing": "proven" }), Supports),
        (serde_json::json!({ "holds": false, "standing": "proven" }), NotTested),
        (
            serde_json::json!({ "holds": true, "standing": "proven", "provisional_until": "2026-09-21T15:00:00Z" }),
            NotTested,
        ),
        (serde_json::json!({ "holds": true, "standing": "unclear" }), NotTested),
        (serde_json::json!({ "holds": false, "standing": "unclear" }), NotTested),
        (serde_json::json!({ "holds": false, "standing": "differs" }), DoesNotSupport),
        // as redrill wrote it before it read digests
        (serde_json::json!({ "holds": true }), NotTested),
        (serde_json::json!({ "holds": false }), DoesNotSupport),
    ] {
        r.integrity.reconciliation = Some(told.clone());
        let (outcome, why) = with_plan(&r, &plan, "nist-800-53/AU-12");
        assert_eq!(outcome, wanted, "{told}: {why}");
    }
}

#[test]
fn without_proof_of_the_endpoint_only_a_proven_trail_lets_controls_count() {
    let (mut r, plan) = exercised();
    assert_eq!(with_plan(&r, &plan, "soc2/A1.3").0, ControlOutcome::Supports);
    r.scope.endpoint_doubt = Some("requests went through the proxy http://p:1".to_owned());
    let told = |standing: &str| Some(serde_json::json!({ "holds": true, "standing": standing }));
    for (reconciliation, counts) in [(None, false), (told("unclear"), false), (told("proven"), true)] {
        r.integrity.reconciliation = reconciliation;
        let all = assess(&r, None, Some(&plan), &[]);
        let (outcome, why) = with_plan(&r, &plan, "soc2/A1.3");
        assert_eq!((r.counts(), outcome == ControlOutcome::Supports), (counts, counts), "{why}");
        assert!(counts || why.contains("endpoint not proven (requests went through the proxy"), "{why}");
        assert!(counts || all.iter().all(|c| c.outcome == ControlOutcome::NotTested));
    }
}

#[test]
fn a_typed_approval_fills_no_control_and_a_signed_one_of_a_listed_key_does() {
    let name = "nist-800-53/CP-4";
    let (mut r, plan) = exercised();
    assert!(!r.authority.approvals.is_empty(), "one is stated");
    let (outcome, why) = with_plan(&r, &plan, name);
    assert_ne!(outcome, ControlOutcome::Supports);
    assert!(why.contains("stated for head of operations, and signed by nobody"), "{why}");
    let at = r.identity.started_at.expect("a start");
    let mut signed = crate::journal::event::Approved {
        by: "head of operations".to_owned(),
        key: "SHA256:abc".to_owned(),
        at,
        expires: at,
        same_user: false,
        same_machine: false,
        note: String::new(),
        listed: false,
        made_as: "head@elsewhere".to_owned(),
    };
    r.run.approvals = vec![signed.clone()];
    let (_, why) = with_plan(&r, &plan, name);
    assert!(why.contains("with a key that no [[approvers]] list"), "{why}");
    signed.listed = true;
    r.run.approvals = vec![signed];
    let (_, why) = with_plan(&r, &plan, name);
    assert!(!why.contains("approv"), "{why}");
}
