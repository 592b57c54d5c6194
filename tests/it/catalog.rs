//! The catalogue walked: nothing half-described gets in. Each rule is a function that is also shown
//! something that breaks it.

use std::collections::BTreeSet;

use redrill::catalog::actions::ACTIONS;
use redrill::catalog::probes::PROBES;
use redrill::catalog::{ActionSpec, Batch, Permissions, ProbeSpec, Reversibility};
use redrill::journal::Event;
use redrill::model::Dur;
use serde_json::{Value, json};

use crate::bench::{Bench, dump};

/// Actions that no shipped drill uses, and the fixture that does.
const IN_FIXTURES: [(&str, &str); 3] = [
    ("ec2.stop-instances", include_str!("../fixtures/drills/stop.yaml")),
    ("rds.reboot", include_str!("../fixtures/drills/reboot.yaml")),
    ("command", include_str!("../fixtures/drills/command.yaml")),
];

fn shipped() -> Vec<String> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/drills")).expect("drills");
    let files =
        folder.map(|f| f.expect("a file").path()).filter(|p| p.extension().is_some_and(|e| e == "yaml"));
    files.map(|p| std::fs::read_to_string(p).expect("text")).collect()
}

/// `ec2.terminate-instances`, `s3.object`, `wait`.
fn name_problem(name: &str) -> Option<String> {
    let word = |w: &str| {
        w.starts_with(|c: char| c.is_ascii_lowercase())
            && w.split('-')
                .all(|p| !p.is_empty() && p.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()))
    };
    let parts: Vec<&str> = name.split('.').collect();
    (parts.len() > 2 || !parts.iter().all(|p| word(p))).then(|| format!("`{name}` is no name"))
}

fn sentence_problems(what: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if text.trim().is_empty() {
        found.push(format!("{what} is empty"));
        return found;
    }
    if !text.trim_end().ends_with('.') {
        found.push(format!("{what} is no sentence: {text}"));
    }
    if text.contains("  ") && !text.contains("\n  ") {
        found.push(format!("{what} has two blanks in a row: {text}"));
    }
    for word in ["TODO", "FIXME", "XXX", "lorem"] {
        if text.contains(word) {
            found.push(format!("{what} is not finished: {word}"));
        }
    }
    found
}

/// `ec2:DescribeInstances`: a known service, an upper-case verb, no wildcard.
fn permission_problem(permission: &str) -> Option<String> {
    const SERVICES: [&str; 10] = [
        "autoscaling",
        "cloudfront",
        "cloudwatch",
        "ec2",
        "elasticloadbalancing",
        "iam",
        "kms",
        "rds",
        "s3",
        "secretsmanager",
    ];
    let good = permission.split_once(':').is_some_and(|(service, verb)| {
        SERVICES.contains(&service)
            && verb.len() > 3
            && verb.starts_with(|c: char| c.is_ascii_uppercase())
            && verb.chars().all(|c| c.is_ascii_alphanumeric())
    });
    (!good).then(|| format!("`{permission}` is no permission"))
}

fn permission_problems(spec: &ActionSpec) -> Vec<String> {
    let p = &spec.permissions;
    let phases = [("prepare", p.prepare), ("apply", p.apply), ("poll", p.poll), ("undo", p.undo)];
    let mut found: Vec<String> =
        phases.iter().flat_map(|(_, list)| list.iter().filter_map(|p| permission_problem(p))).collect();
    for (phase, list) in phases {
        let once: BTreeSet<_> = list.iter().collect();
        if once.len() != list.len() {
            found.push(format!("a permission to {phase} is named twice"));
        }
    }
    // what takes a target of AWS's asks AWS, and changes it
    if spec.kind.is_some() {
        if p.apply.is_empty() {
            found.push("it takes a target and changes nothing".to_owned());
        }
        let put_back = matches!(spec.reversibility, Reversibility::Reversible | Reversibility::Additive);
        // a recovery may leave the putting back to the fault that it mends, and says so
        let left_to_the_fault = !spec.mends.is_empty() && spec.undo_story.contains("fault's own undo");
        if put_back && p.undo.is_empty() && !left_to_the_fault {
            found.push("it can be put back and needs no permission for that".to_owned());
        }
    }
    let reads = |p: &&&str| {
        ["Describe", "List", "Get", "Head"]
            .iter()
            .any(|v| p.split_once(':').is_some_and(|(_, a)| a.starts_with(v)))
    };
    for p in p.prepare.iter().chain(p.poll).filter(|p| !reads(p)) {
        found.push(format!("`{p}` changes something and stands under prepare or poll"));
    }
    found
}

fn time_problems(timeout: Dur, undo: Dur, poll: Dur) -> Vec<String> {
    let mut found = Vec::new();
    if timeout < Dur::secs(1) || timeout > Dur::hours(24) {
        found.push(format!("timeout {timeout}"));
    }
    if undo < Dur::secs(1) || undo > Dur::hours(24) {
        found.push(format!("undo timeout {undo}"));
    }
    if poll.0.is_zero() || poll > timeout {
        found.push(format!("polled every {poll} within {timeout}"));
    }
    found
}

/// An object that allows nothing unknown, with a word about each property.
fn schema_problems(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if schema["type"] != "object" {
        found.push("not an object".to_owned());
    }
    objects(schema, "with", &mut found);
    for (name, def) in schema["$defs"].as_object().into_iter().flatten() {
        if def["type"] == "object" {
            objects(def, name, &mut found);
        }
    }
    found
}

fn objects(schema: &Value, at: &str, found: &mut Vec<String>) {
    if schema["additionalProperties"] != json!(false) {
        found.push(format!("{at} takes unknown properties"));
    }
    for (key, p) in schema["properties"].as_object().into_iter().flatten() {
        if p["description"].as_str().unwrap_or_default().trim().is_empty() {
            found.push(format!("{at}.{key} has no description"));
        }
    }
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn names_are_names_and_each_there_once() {
    let names: Vec<&str> =
        ACTIONS.iter().map(|a| a.spec().name).chain(PROBES.iter().map(|p| p.spec().name)).collect();
    none("names", &names.iter().filter_map(|n| name_problem(n)).collect::<Vec<_>>());
    for list in [&names[..ACTIONS.len()], &names[ACTIONS.len()..]] {
        assert_eq!(list.iter().collect::<BTreeSet<_>>().len(), list.len(), "{list:?}");
    }
    for good in ["ec2.stop-instances", "wait", "s3.object", "ec2.a2"] {
        assert_eq!(name_problem(good), None);
    }
    for bad in ["", "EC2.stop", "ec2.stop_instances", "a.b.c", "ec2.", "-a", "a--b", "2a"] {
        assert!(name_problem(bad).is_some(), "{bad}");
    }
}

#[test]
fn every_action_is_described() {
    for a in ACTIONS {
        let s: &ActionSpec = a.spec();
        let mut found = sentence_problems("summary", s.summary);
        found.extend(sentence_problems("docs", s.docs));
        found.extend(sentence_problems("undo story", s.undo_story));
        found.extend(permission_problems(s));
        found.extend(time_problems(s.timeout, s.undo_timeout, s.poll_every));
        found.extend(schema_problems(&a.params_schema().to_value()));
        for o in s.outputs {
            found.extend(sentence_problems(o.name, o.summary));
        }
        let Batch { size, .. } = s.batch;
        if size == 0 || size > 1000 {
            found.push(format!("a batch of {size}"));
        }
        for mended in s.mends {
            if !ACTIONS.iter().any(|a| a.spec().name == *mended) {
                found.push(format!("it mends `{mended}`, which is no action"));
            }
        }
        if s.docs.len() < 200 {
            found.push("docs say too little".to_owned());
        }
        none(s.name, &found);
    }
}

#[test]
fn every_probe_is_described() {
    for p in PROBES {
        let s: &ProbeSpec = p.spec();
        let mut found = sentence_problems("summary", s.summary);
        found.extend(sentence_problems("docs", s.docs));
        found.extend(s.permissions.iter().filter_map(|p| permission_problem(p)));
        found.extend(time_problems(s.timeout, Dur::secs(1), Dur::secs(1)));
        found.extend(schema_problems(&p.params_schema().to_value()));
        none(s.name, &found);
    }
}

#[test]
fn each_rule_can_be_broken() {
    assert_eq!(sentence_problems("docs", "").len(), 1);
    assert_eq!(sentence_problems("docs", "No stop").len(), 1);
    assert_eq!(sentence_problems("docs", "TODO: all.").len(), 1);
    for bad in [
        "ec2:*",
        "ec2:Describe*",
        "*",
        "ec2",
        "ec2:describeInstances",
        "foo:DoThing",
        "ec2:Describe Instances",
    ] {
        assert!(permission_problem(bad).is_some(), "{bad}");
    }
    assert_eq!(permission_problem("rds:RestoreDBInstanceToPointInTime"), None);
    let terminate = ACTIONS.iter().find(|a| a.spec().name == "vpc.detach-route-table").expect("there");
    let bare = ActionSpec { permissions: Permissions::default(), ..terminate.spec().clone() };
    assert_eq!(permission_problems(&bare).len(), 2);
    let mixed = Permissions {
        prepare: &["ec2:TerminateInstances"],
        apply: &["a"],
        undo: &["ec2:RunInstances"; 2],
        ..Permissions::default()
    };
    assert_eq!(permission_problems(&ActionSpec { permissions: mixed, ..terminate.spec().clone() }).len(), 3);
    assert_eq!(time_problems(Dur::secs(0), Dur::hours(48), Dur::secs(0)).len(), 3);
    let open = json!({"type": "object", "properties": {"a": {"type": "string"}}, "$defs": {"X": {"type": "object"}}});
    assert_eq!(schema_problems(&open).len(), 3, "open, without a description, and open below");
}

#[test]
fn whatever_stands_under_with_is_answered_and_never_panics() {
    let given = [
        Value::Null,
        json!({}),
        json!({"unknown": 1}),
        json!("text"),
        json!(1),
        json!({"for": {}, "url": [], "argv": "x", "tags": 3}),
    ];
    for value in &given {
        for a in ACTIONS {
            let said = a.check(value);
            let required = a.params_schema().to_value()["required"].as_array().is_some_and(|r| !r.is_empty());
            let empty = value.is_null() || *value == json!({});
            // an empty mapping may be wrong by a rule that the schema cannot express
            if required || !empty {
                assert!(!said.is_empty(), "{} takes {value}", a.spec().name);
            }
            assert!(said.iter().all(|s| !s.is_empty()), "{} with {value}: {said:?}", a.spec().name);
            let _ = a.reversibility(value);
        }
        for p in PROBES {
            let said = p.check(value);
            if !value.is_null() && *value != json!({}) {
                assert!(!said.is_empty(), "{} takes {value}", p.spec().name);
            }
        }
    }
}

#[test]
fn every_action_stands_in_a_drill_that_is_rehearsed() {
    let mut texts = shipped();
    assert!(texts.len() >= 6);
    texts.extend(IN_FIXTURES.iter().map(|(_, text)| (*text).to_owned()));
    for a in ACTIONS {
        let name = a.spec().name;
        let line = format!("action: {name}\n");
        let used = texts.iter().any(|t| t.contains(&line));
        assert!(used, "no drill uses `{name}`: ship one, or add a fixture here");
        let fixture = IN_FIXTURES.iter().find(|(n, _)| *n == name);
        assert!(
            fixture.is_none_or(|(_, text)| text.contains(&line)),
            "the fixture of `{name}` does not use it"
        );
    }
}

/// Rehearses and compares what each step put out with what its action declares.
async fn outputs_are_as_declared(text: &str) {
    let bench = Bench::new(text).await;
    let (ended, journal) = bench.go().await;
    ended.unwrap_or_else(|e| panic!("{e:?}\n{}", dump(&journal)));
    let mut seen = 0;
    for line in journal.lines() {
        let Event::StepReady { step, outputs, .. } = &line.event else { continue };
        let Some(action) = bench.plan.step(step).and_then(|s| s.action.as_deref()) else { continue };
        let spec = redrill::catalog::action(action).expect("a known action").spec();
        let made: BTreeSet<&str> = outputs.keys().map(String::as_str).collect();
        // the shop's databases have passwords of their own, so RDS keeps none in a secret
        let own_password = |name: &&str| *name != "secret" || made.contains(name);
        let declared: BTreeSet<&str> = spec.outputs.iter().map(|o| o.name).filter(own_password).collect();
        assert_eq!(made, declared, "{action} in {}", bench.plan.drill.name);
        assert!(outputs.values().all(|v| !v.is_empty()), "{action}: {outputs:?}");
        seen += 1;
    }
    assert!(seen > 0, "no step came to its end:\n{}", dump(&journal));
}

#[tokio::test(start_paused = true)]
async fn outputs_that_are_declared_are_produced() {
    for text in shipped() {
        outputs_are_as_declared(&text).await;
    }
    for (_, text) in IN_FIXTURES {
        outputs_are_as_declared(text).await;
    }
}
