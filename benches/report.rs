//! How long it takes to report a long run: from the journal's bytes to every file of its bundle.
//!
//! The run is the reviewed one of `tests/fixtures/bundles/passed`, drawn out with more of the events
//! that runs have (answers of probes, calls and their outcomes, notes), in a chain that holds. Fails
//! where 10,000 events take longer than 2 s, or 5 s with the PDF; figures in a debug build mean
//! nothing, so nothing is held against them there.
//!
//! `cargo bench --no-default-features --features pdf`

use std::time::Duration;

use redrill::bundle::{self, Sources};
use redrill::evidence::keys::{Algorithm, PrivateKey};
use redrill::evidence::{Material, Record, record};
use redrill::journal::writer::{Journal as _, MemoryJournal};
use redrill::journal::{Event, Mark, Phase, reader};
use redrill::model::time::SystemClock;
use redrill::model::{Clock as _, Health, Stage, Stamp, StepId};
use redrill::plan::{Plan, file};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bundles/passed");
/// Longer is no report that somebody waits for.
const LIMIT: Duration = Duration::from_secs(2);
/// The same with the PDF in it.
const LIMIT_PDF: Duration = Duration::from_secs(5);

fn main() {
    // `cargo test --benches` comes without the flag: a small run shows that it works
    let measuring = std::env::args().any(|a| a == "--bench");
    let sizes: &[usize] = if measuring { &[1_000, 10_000, 100_000] } else { &[200] };
    let mut slow = false;
    for &events in sizes {
        let journal = drawn_out(events);
        let (files, pdf) = report(&journal);
        say(&format!(
            "{events} events, {} kB: {} ms for all files but the PDF{}",
            journal.len() / 1_000,
            files.as_millis(),
            pdf.map_or_else(String::new, |pdf| format!(", {} ms for the PDF", pdf.as_millis())),
        ));
        slow |= events == 10_000 && (files > LIMIT || files + pdf.unwrap_or_default() > LIMIT_PDF);
    }
    if measuring && !cfg!(debug_assertions) {
        assert!(!slow, "a run of 10,000 events takes longer than it may");
    }
}

/// From bytes to files: how long all but the PDF takes, and the PDF.
fn report(journal: &[u8]) -> (Duration, Option<Duration>) {
    let read = |name: &str| std::fs::read(format!("{FOLDER}/{name}")).expect("a fixture");
    let (plan, drill) = (read(bundle::PLAN), read(bundle::DRILL));
    let key = PrivateKey::generate(Algorithm::Ed25519).expect("a key").public();
    let began = now();
    let plan_read = file::read(&String::from_utf8_lossy(&plan)).expect("a plan");
    let record = recorded(journal, &plan_read);
    let files = [(bundle::JOURNAL, journal.to_vec()), (bundle::PLAN, plan), (bundle::DRILL, drill)];
    let files = files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
    let texts = bundle::texts(&record, &Sources { files }, &key);
    let took = now() - began;
    assert!(texts.len() > 15, "{} files", texts.len());
    (took, pdf(&record, &texts))
}

#[cfg(feature = "pdf")]
fn pdf(record: &Record, texts: &bundle::Files) -> Option<Duration> {
    let began = now();
    let files = bundle::with_pdf(record, texts.clone()).expect("a PDF");
    assert!(files.contains_key("report.pdf"));
    Some(now() - began)
}

#[cfg(not(feature = "pdf"))]
fn pdf(_record: &Record, _texts: &bundle::Files) -> Option<Duration> {
    None
}

fn recorded(journal: &[u8], plan: &Plan) -> Record {
    let lines = reader::read(journal).expect("a chain").lines;
    record(&Material {
        lines: &lines,
        journal,
        plan: Some(plan),
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

/// The reviewed run with so many events.
fn drawn_out(events: usize) -> Vec<u8> {
    let bytes = std::fs::read(format!("{FOLDER}/{}", bundle::JOURNAL)).expect("a fixture");
    let lines = reader::read(&bytes).expect("a chain").lines;
    let recovery = |e: &Event| matches!(e, Event::Stage { stage: Stage::Recovery });
    let at = lines.iter().position(|l| recovery(&l.event)).expect("a recovery") + 1;
    let journal = MemoryJournal::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        for (n, line) in lines.iter().enumerate() {
            if n == at {
                for extra in 0..events.saturating_sub(lines.len()) {
                    let event = another(extra, line.stamp);
                    journal.append(line.stamp, &[event], false).await.expect("appended");
                }
            }
            let event = std::slice::from_ref(&line.event);
            journal.append(line.stamp, event, false).await.expect("appended");
        }
    });
    journal.bytes()
}

/// One of the events that make up most of a long run.
fn another(n: usize, stamp: Stamp) -> Event {
    let call = 1_000 + (n / 10) as u64;
    match n % 10 {
        7 => Event::CallSent {
            call,
            step: Some(StepId::new("attach")),
            phase: Phase::Apply,
            operation: "ec2:ReplaceRouteTableAssociation".into(),
            params: serde_json::json!({ "association": format!("rtbassoc-{n:017x}") }),
            attempt: 1,
        },
        8 => Event::CallAnswered {
            call,
            request_id: Some(format!("00000000-0000-4000-8000-{n:012x}")),
            outcome: None,
            error: None,
        },
        9 => Event::Marked {
            mark: Mark::Note,
            at: stamp.at,
            by: "engineer@desk".into(),
            note: format!("looked at it for the {n}th time"),
            request: None,
        },
        _ => Event::Observed {
            probe: format!("the shop answers at place {}", n % 7),
            // it turns now and then, so that stretches add up
            health: if n % 50 < 40 { Health::Unhealthy } else { Health::Healthy },
            seen: "status 503, not 200 (12 ms)".into(),
            sent: stamp,
            answered: stamp,
            source_at: None,
        },
    }
}

fn now() -> Duration {
    Duration::from_millis(SystemClock.stamp().mono_ms)
}

#[expect(clippy::print_stdout, reason = "a benchmark's figures")]
fn say(text: &str) {
    println!("{text}");
}
