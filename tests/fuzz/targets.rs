//! What is fed with hostile bytes, and what must hold for every one of them: no panic, an end in bounded
//! steps, and whatever is accepted says the same when it is written and read again.
//!
//! Shared by the coverage-guided fuzzer (`tests/fuzz/run`) and by the short, always equal run of
//! `tests/it/fuzz.rs`. A failure is a panic.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use redrill::bundle::verify::{Trust, verify};
use redrill::bundle::{self, Files};
use redrill::cli::config;
use redrill::drill::window::Window;
use redrill::drill::{self, LoadOptions};
use redrill::engine::state::RunState;
use redrill::evidence::keys::{Algorithm, PrivateKey, PublicKey};
use redrill::evidence::{Material, approval, dsse, exports, oscal, receipt, record, review, timestamp};
use redrill::journal::reader;
use redrill::journal::{Line, NO_PREVIOUS, line_hash};
use redrill::model::target::{TAG_HELD, TAG_KEPT, TAG_REPLACES, TAG_RUN, TAG_STEP};
use redrill::model::{Dur, RunId, StepId, Target as Resource, naming};
use redrill::plan::{House, Plan, file};
use redrill::report;
use redrill::sweep::{self, Birth, Births, Need};
use redrill::view::RunView;
use serde_json::Value;

/// What is done with the bytes; true where they were accepted.
pub type Target = fn(&[u8]) -> bool;

/// Every target, by name.
pub const TARGETS: [(&str, Target); 10] = [
    ("drill", drill_file),
    ("journal", journal),
    ("journal-chained", journal_chained),
    ("plan", plan_file),
    ("plan-hashed", plan_hashed),
    ("bundle", bundle_files),
    ("small", small),
    ("config", config),
    ("approval", approvals),
    ("sweep", sweep_tags),
];

const PLAN: &str = include_str!("../fixtures/bundles/passed/plan.json");
const JOURNAL: &str = include_str!("../fixtures/bundles/passed/journal.jsonl");
const DRILL: &str = include_str!("../fixtures/bundles/passed/drill.yaml");
const REPORT: &str = include_str!("../fixtures/bundles/passed/report.json");

fn load(text: &str) -> Result<drill::Loaded, drill::Problems> {
    drill::load("fuzz.yaml", text, &LoadOptions::default())
}

/// A drill file. What is accepted is, written as a plan holds it and read again, the same drill.
fn drill_file(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let partial = drill::check("fuzz.yaml", text, &LoadOptions::default()).is_ok();
    let loaded = match load(text) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let said = problems.to_string();
            assert!(!problems.problems.is_empty(), "refused without a reason");
            assert!(
                !said.contains('\u{1b}') || problems.file.contains('\u{1b}'),
                "the message steers a terminal"
            );
            return false;
        }
    };
    assert!(partial, "what runs is also what is checked");
    let written = serde_json::to_string(&loaded.drill).expect("a drill serialises");
    let again: drill::Drill = serde_json::from_str(&written).expect("a drill is read again");
    assert!(again == loaded.drill, "read again, it is another drill: {written}");
    true
}

/// A journal as it lies on the disk.
fn journal(bytes: &[u8]) -> bool {
    let Ok(read) = reader::read(bytes) else { return false };
    replay(&read.lines, bytes);
    !read.lines.is_empty()
}

/// Lines of JSON that are made into a journal: numbers, clock and chain are put right, so that what is
/// looked at is what they say.
fn journal_chained(bytes: &[u8]) -> bool {
    let mut out: Vec<u8> = Vec::new();
    let (mut prev, mut seq) = (NO_PREVIOUS.to_owned(), 0_u64);
    for raw in bytes.split(|b| *b == b'\n').take(400) {
        let Ok(Value::Object(mut line)) = serde_json::from_slice(raw) else { continue };
        line.insert("prev".to_owned(), prev.clone().into());
        line.insert("seq".to_owned(), seq.into());
        let Ok(text) = serde_json::to_vec(&line) else { continue };
        if serde_json::from_slice::<Line>(&text).is_err() {
            continue;
        }
        prev = line_hash(&text);
        seq += 1;
        out.extend(text);
        out.push(b'\n');
    }
    let read = reader::read(&out).expect("it was put right");
    assert_eq!(read.lines.len() as u64, seq);
    replay(&read.lines, &out);
    seq > 0
}

/// Whatever the reader accepts can be shown, judged and reported.
fn replay(lines: &[Line], bytes: &[u8]) {
    static FIXED: LazyLock<Plan> = LazyLock::new(|| file::read(PLAN).expect("the plan is valid"));
    for line in lines {
        let written = serde_json::to_vec(line).expect("a line serialises");
        let again: Line = serde_json::from_slice(&written).expect("a line is read again");
        assert!(again == *line, "read again, it is another line: {}", String::from_utf8_lossy(&written));
    }
    let _state = RunState::replay(Arc::new(FIXED.clone()), lines);
    let view = RunView::of(lines);
    let told = report::text::summary(&view, Some("x")) + &report::timeline::timeline(&view);
    assert!(!told.contains(['\u{1b}', '\u{202e}']), "what is told steers a terminal");
    // with the plan or, every other time, without
    for plan in [lines.len().is_multiple_of(2).then_some(&*FIXED)] {
        let record = record(&Material {
            lines,
            journal: bytes,
            plan,
            sign_offs: &[],
            annotations: &[],
            checkpoints: 0,
            frameworks: &[],
            follow_up: &Default::default(),
            reconciliation: None,
            publication: None,
            timestamp_authority: None,
        });
        let written = report::json::report(&record);
        assert_eq!(report::json::report(&record), written, "the same record is written in the same bytes");
        let page = report::markdown::report(&record) + &report::html::report(&record);
        assert!(!page.contains(['\u{1b}', '\u{202e}']), "a page holds what steers a terminal");
        for form in report::forms::Form::ALL {
            let _text = report::forms::fill(form, &record);
        }
        for export in [exports::vanta, exports::drata, exports::junit, exports::ocsf, exports::asff] {
            let _text = export(&record);
        }
        let none = BTreeMap::new();
        let _texts = (oscal::assessment_plan(&record, &none), oscal::assessment_results(&record, &none));
        let _maybe = oscal::action_plan(&record, &none);
    }
}

/// A plan file as it lies on the disk.
fn plan_file(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(plan) = file::read(text) else { return false };
    let written = file::write(&plan);
    assert!(file::read(&written).expect("a plan is read again") == plan, "read again, it is another plan");
    let _told = report::plan_text::plan_text(&plan, 80);
    true
}

/// A plan whose hash is put right, so that what is looked at is what it says.
fn plan_hashed(bytes: &[u8]) -> bool {
    let Ok(mut whole) = serde_json::from_slice::<Value>(bytes) else { return false };
    let hash =
        whole.get("plan").and_then(|p| serde_json_canonicalizer::to_vec(p).ok()).map(|b| line_hash(&b));
    let (Some(hash), Some(map)) = (hash, whole.as_object_mut()) else { return false };
    map.insert("sha256".to_owned(), hash.into());
    plan_file(whole.to_string().as_bytes())
}

/// A bundle of which one file, named by the first byte, is these bytes.
fn bundle_files(bytes: &[u8]) -> bool {
    let Some((which, rest)) = bytes.split_first() else { return false };
    let mut files: Files =
        [(bundle::DRILL, DRILL), (bundle::PLAN, PLAN), (bundle::JOURNAL, JOURNAL), ("report.json", REPORT)]
            .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
            .into();
    const NAMES: [&str; 12] = [
        bundle::DRILL,
        bundle::PLAN,
        bundle::JOURNAL,
        "report.json",
        bundle::KEY,
        bundle::CHECKPOINTS,
        bundle::CHECKPOINT,
        bundle::CHECKPOINT_KEY,
        bundle::ANNOTATIONS,
        "attestation.dsse.json",
        "attestation.sigstore.json",
        "signoff1.dsse.json",
    ];
    files.insert(NAMES[usize::from(*which) % NAMES.len()].to_owned(), rest.to_vec());
    let found = verify(&files, &Trust::default());
    assert!(!found.all_hold(), "no bundle without a signature holds");
    true
}

/// The small readers, each with all of the bytes.
fn small(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let mut accepted = false;
    if let Ok(duration) = text.parse::<Dur>() {
        assert_eq!(duration.to_string().parse::<Dur>(), Ok(duration), "{text}");
        accepted = true;
    }
    if let Ok(window) = text.parse::<Window>() {
        assert_eq!(window.to_string().parse::<Window>().as_ref(), Ok(&window), "{text}");
        accepted = true;
    }
    if let Ok(envelope) = dsse::Envelope::from_bytes(bytes) {
        let again = dsse::Envelope::from_bytes(&envelope.to_bytes()).expect("an envelope is read again");
        assert_eq!((again.payload(), again.signature()), (envelope.payload(), envelope.signature()));
        accepted = true;
    }
    if let Ok(key) = PublicKey::from_pem(&text) {
        assert_eq!(PublicKey::from_pem(&key.to_pem()).map(|k| k.to_der()).ok(), Some(key.to_der()));
        accepted = true;
    }
    accepted |= PublicKey::from_der(bytes).is_ok();
    // an encrypted key may ask for any number of rounds: that is its own bound, tested beside it
    if !text.contains("ENCRYPTED") {
        accepted |= PrivateKey::from_pem(&text, None).is_ok();
    }
    let _notes = redrill::evidence::checkpoint::notes(&text);
    accepted |= review::annotations(bytes).is_ok();
    accepted |= timestamp::Timestamp::read(bytes, b"stamped").is_ok();
    static FILES: LazyLock<Files> = LazyLock::new(Files::new);
    let _receipt = bundle::published::check(&FILES, bytes);
    let _newest = receipt::newest(&[("receipt1.dsse.json".to_owned(), bytes.to_vec())].into(), "r", None);
    accepted
}

/// A `redrill.toml`. The rules for plans that are accepted are, written as a plan holds them and read again, the same.
fn config(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(read) = config::read("redrill.toml", text) else { return false };
    let house = read.house();
    let written = serde_json::to_string(&house).expect("rules serialise");
    let again: House = serde_json::from_str(&written).expect("rules are read again");
    assert!(again == house, "read again, they are other rules: {written}");
    let _permissions = house.kill_switch.permissions();
    true
}

/// What stands for the plan's hash in approvals.
const APPROVED: &str = "b6a9c8c230722b7c748331a8b450f05566dc7d0f0d2ba0a1e2b0c2a9e1f1a3c5";

/// An approval as it lies beside a plan; and what an approver may say, signed, so that it is looked at.
fn approvals(bytes: &[u8]) -> bool {
    static KEY: LazyLock<PrivateKey> =
        LazyLock::new(|| PrivateKey::generate(Algorithm::Ed25519).expect("a key"));
    let judged = |bytes: &[u8], plan: &str| {
        let runner = approval::Runner { user: "runner", host: "here", keys: &[] };
        let now = serde_json::from_str("\"2026-09-21T14:13:20Z\"").expect("a time");
        approval::judge([("approval-1.json", bytes)], plan, &runner, &[], now).0.len()
    };
    // nobody can sign by chance
    assert_eq!(judged(bytes, APPROVED), 0, "an approval that nobody signed counts");
    let Ok(said) = serde_json::from_slice::<approval::Said>(bytes) else { return false };
    let sealed = approval::seal(&KEY, APPROVED, &said).expect("a key signs");
    let (opened, key) = approval::open(&sealed, APPROVED).expect("what is sealed is opened");
    assert_eq!(
        (&opened, key),
        (&said, KEY.public().fingerprint()),
        "read again, somebody says something else"
    );
    assert_eq!(judged(&sealed, PLAN), 0, "an approval counts for another plan");
    judged(&sealed, APPROVED);
    true
}

/// Resources with whatever tags: what a sweep would do with them.
fn sweep_tags(bytes: &[u8]) -> bool {
    let Ok(all) = serde_json::from_slice::<Vec<Resource>>(bytes) else { return false };
    // every launch as if its run had made it: then the tags alone decide
    let tag = |t: &Resource, key: &str| t.tags.get(key).cloned().unwrap_or_default();
    let birth = |t: &Resource| {
        let (run, step) = (RunId::from_existing(tag(t, TAG_RUN)), StepId::new(tag(t, TAG_STEP)));
        let token = Some(naming::launch_token(&run, &step, &tag(t, TAG_REPLACES)));
        ((t.kind, t.id.clone()), Birth { token, empty: true, ..Birth::default() })
    };
    let births: Births = all.iter().map(birth).collect();
    for t in &all {
        let unknown = sweep::decide(t, &all, &Births::new());
        assert!(unknown != Need::Remove, "it removes what only tags speak of: {t:?}");
        let need = sweep::decide(t, &all, &births);
        let _told = need.in_words();
        match &need {
            Need::Remove => {
                assert!(t.tags.contains_key(TAG_RUN), "it removes what no run made: {t:?}");
                assert!(!t.tags.contains_key(TAG_KEPT), "it removes what is kept: {t:?}");
                let original = t.tags.get(TAG_REPLACES);
                let stands = all.iter().any(|o| original == Some(&o.id) && o.id != t.id);
                assert!(original.is_none() || stands, "it removes what stands in for something: {t:?}");
            }
            Need::Keep { .. } => {
                assert!(t.tags.contains_key(TAG_RUN), "it marks what no run made: {t:?}");
            }
            Need::Start => assert!(t.tags.contains_key(TAG_HELD), "it starts what no run holds: {t:?}"),
            Need::Reroute { from, .. } => {
                let of_a_run =
                    |from: &String| all.iter().any(|o| o.id == *from && o.tags.contains_key(TAG_RUN));
                assert!(t.tags.contains_key(TAG_HELD) && of_a_run(from), "it moves what no run moved: {t:?}");
            }
            Need::Release | Need::Person { .. } => {}
        }
        for value in t.tags.values() {
            let _began = sweep::began(value);
        }
    }
    !all.is_empty()
}
