//! Least privilege over the wire: every shipped drill under exactly its own policy, and without any one
//! action of it.
//!
//! The emulator holds every call against the policy: actions, resources and conditions. What it does not
//! decide (what AWS checks behind a call: passing roles, keys, secrets) no test here proves.
//! `REDRILL_TEST_IAM=all` leaves out each action of each drill in turn (`tests/iam/run` does); else a sample
//! of that size is drawn by `REDRILL_TEST_SEED`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::world::{World, but_replaced};

/// How many of the cases are tried where nothing else is said.
const SAMPLE: usize = 8;

const DRILLS: [&str; 6] = [
    "cdn-invalidation",
    "critical-service-loss",
    "ec2-instance-loss",
    "rds-point-in-time",
    "route-table-detach",
    "s3-object-loss",
];

/// The drill, looking more often and holding for a shorter time.
fn quick(name: &str) -> String {
    let path = format!("{}/drills/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a shipped drill");
    text.replace("hold: 10s", "hold: 1s")
        .replace("every: 1s", "every: 300ms")
        .replace("every: 2s", "every: 300ms")
        // what cannot be verified is looked at until the drill gives up
        .replace("rto: 30m,", "rto: 50s, give_up: 60s,")
}

async fn policy(w: &World, of: &str) -> Value {
    let printed = w.go(["iam", of, "--output", "json"]).await;
    assert_eq!(printed.code, Some(0), "{printed}");
    assert_eq!(printed.lines.len(), 1, "one document and nothing else: {printed}");
    printed.lines[0].clone()
}

fn actions(policy: &Value) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for statement in policy["Statement"].as_array().expect("statements") {
        match &statement["Action"] {
            Value::String(one) => all.push(one.clone()),
            several => all.extend(
                several.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned),
            ),
        }
    }
    all.sort();
    all.dedup();
    all
}

fn without(policy: &Value, action: &str) -> Value {
    let mut policy = policy.clone();
    let statements = policy["Statement"].as_array_mut().expect("statements");
    for s in statements.iter_mut() {
        let left: Vec<Value> = match &s["Action"] {
            Value::Array(all) => all.clone(),
            one => vec![one.clone()],
        };
        s["Action"] = left.into_iter().filter(|a| a != action).collect();
    }
    statements.retain(|s| s["Action"].as_array().is_some_and(|a| !a.is_empty()));
    policy
}

async fn run(w: &World, of: &str) -> super::world::Ended {
    let health = format!("health_url={}/health", w.sandbox.health);
    let plan = of == "plan.json";
    let args = ["run", of, "--yes", "--output", "json", "--set", &health];
    w.go(&args[..if plan { 5 } else { 7 }]).await
}

async fn passes(name: &str) {
    let Some(w) = World::start().await else { return };
    w.file("drill.yaml", &quick(name));
    let before = w.state().await;
    let policy = policy(&w, "drill.yaml").await;
    w.allow_only(&policy).await;
    let ended = run(&w, "drill.yaml").await;
    assert_eq!(ended.code, Some(0), "{name} under its own policy: {ended}\n{:?}", denied(&w).await);
    assert_eq!(but_replaced(before), but_replaced(w.state().await), "{name}");
    assert_eq!(denied(&w).await, Vec::<String>::new(), "nothing that redrill asks for is refused");
}

/// The calls that the policy refused.
async fn denied(w: &World) -> Vec<String> {
    let calls = w.calls().await;
    let refused = calls.iter().filter(|c| c["status"] == 403 || c["error"] == "AccessDeniedException");
    let name = |c: &Value, part: &str| c[part].as_str().unwrap_or_default().to_owned();
    // asking whether something is allowed is not part of the policy, and may itself be refused
    let refused = refused.filter(|c| c["service"] != "iam");
    refused.map(|c| format!("{}:{}", name(c, "service"), name(c, "action"))).collect()
}

#[tokio::test]
async fn a_small_drill_passes_under_exactly_its_own_policy() {
    for name in ["cdn-invalidation", "route-table-detach", "s3-object-loss"] {
        passes(name).await;
    }
}

#[tokio::test]
async fn a_lost_server_is_replaced_under_exactly_its_own_policy() {
    passes("ec2-instance-loss").await;
}

#[tokio::test]
async fn a_database_is_restored_under_exactly_its_own_policy() {
    passes("rds-point-in-time").await;
}

#[tokio::test]
async fn everything_at_once_passes_under_exactly_its_own_policy() {
    passes("critical-service-loss").await;
}

#[tokio::test]
async fn a_plan_passes_under_a_policy_that_names_its_targets_alone() {
    let Some(w) = World::start().await else { return };
    w.file("drill.yaml", &quick("route-table-detach"));
    let health = format!("health_url={}/health", w.sandbox.health);
    w.go(["plan", "drill.yaml", "-o", "plan.json", "--set", &health]).await.refused(0, "plan written");
    let policy = policy(&w, "plan.json").await;
    let subnet = w.named("subnets", "shop-private-a").await;
    let text = policy.to_string();
    assert!(text.contains(&format!("subnet/{subnet}")) && !text.contains("subnet/*"), "{text}");
    w.allow_only(&policy).await;
    let ended = run(&w, "plan.json").await;
    assert_eq!(ended.code, Some(0), "{ended}\n{:?}", denied(&w).await);
}

/// One drill without one action of its policy.
#[derive(Clone, Debug)]
struct Case {
    drill: &'static str,
    action: String,
}

/// Calls that set and remove tags.
const TAGGING: [&str; 8] = [
    "AddTagsToResource",
    "CreateTags",
    "DeleteBucketTagging",
    "DeleteTags",
    "PutBucketTagging",
    "RemoveTagsFromResource",
    "TagResource",
    "UntagResource",
];

/// What a drill without one action came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    /// It passed: the emulator does not decide on this action.
    Undecided,
    /// It passed, and said what it could not look at.
    Told,
    /// Refused, or not begun: nothing was changed but tags of its own, and those are gone.
    Refused,
    /// It ended without passing, and everything was put back.
    RolledBack,
    /// It ended stuck and said so; with the permission given, one `rollback` put everything back.
    Stuck,
}

/// Removes one action and runs; what it came to, or what is wrong with that.
async fn fails_cleanly(w: &World, case: &Case) -> Result<Came, String> {
    let Case { drill, action } = case;
    w.allow_only(&Value::Null).await;
    w.reseed().await;
    // a run of another case is of another estate
    let _none = std::fs::remove_dir_all(w.home.path().join(".redrill"));
    w.file("drill.yaml", &quick(drill));
    let policy = policy(w, "drill.yaml").await;
    let before = w.state().await;
    w.allow_only(&without(&policy, action)).await;
    let ended = run(w, "drill.yaml").await;
    let refused = denied(w).await;
    let changes = w.changes_accepted().await;
    w.allow_only(&Value::Null).await;
    let wrong = |what: &str| Err(format!("{what}; refused: {refused:?}\n{ended}"));
    let came = match ended.code {
        Some(0) if refused.is_empty() => Came::Undecided,
        Some(0) => Came::Told,
        _ if refused.is_empty() => return wrong("it did not pass, and nothing was refused"),
        Some(3..=5) if changes.iter().all(|c| TAGGING.contains(&c.as_str())) => Came::Refused,
        Some(3..=5) => return wrong(&format!("it says that nothing changed, but {changes:?} did")),
        Some(10 | 11 | 13 | 14 | 15) => Came::RolledBack,
        Some(20) => {
            let again = w.take_up("rollback").end().await;
            if again.code != Some(0) {
                return wrong(&format!("with the permission given, rollback says:\n{again}"));
            }
            Came::Stuck
        }
        code => return wrong(&format!("the exit code is {code:?}")),
    };
    if came != Came::Undecided && !ended.out.contains(action) && !ended.err.contains(action) {
        return wrong("nothing that it says names the action");
    }
    let (before, after) = (but_replaced(before), but_replaced(w.state().await));
    if before != after {
        return wrong(&format!("the world is not as it was ({came:?}):\n{before}\n{after}"));
    }
    Ok(came)
}

/// Every action of every drill's policy, once.
async fn cases() -> Option<Vec<Case>> {
    let w = World::start().await?;
    let mut all = Vec::new();
    for drill in DRILLS {
        w.file("drill.yaml", &quick(drill));
        let policy = policy(&w, "drill.yaml").await;
        all.extend(actions(&policy).into_iter().map(|action| Case { drill, action }));
    }
    Some(all)
}

type Done = Arc<Mutex<Vec<(Case, Result<Came, String>)>>>;

/// Takes cases until none is left. What panics takes its world with it.
async fn work(left: Arc<Mutex<Vec<Case>>>, done: Done) {
    let mut world: Option<Arc<World>> = None;
    loop {
        let Some(case) = left.lock().expect("not poisoned").pop() else { return };
        let w = match world.take() {
            Some(w) => w,
            None => Arc::new(World::start().await.expect("an emulator, as before")),
        };
        let (its, theirs) = (Arc::clone(&w), case.clone());
        let came = match tokio::spawn(async move { fails_cleanly(&its, &theirs).await }).await {
            Ok(came) => {
                world = Some(w);
                came
            }
            Err(panic) => Err(format!("it broke off: {panic}")),
        };
        let mark = if came.is_ok() { "ok  " } else { "FAIL" };
        let came_to = came.as_ref().map_or_else(|why| why.clone(), |c| format!("{c:?}"));
        say(&format!("{mark}  {} without {}: {came_to}", case.drill, case.action));
        done.lock().expect("not poisoned").push((case, came));
    }
}

fn say(text: &str) {
    use std::io::Write as _;
    let _closed = writeln!(std::io::stderr(), "{text}");
}

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_one_action_a_drill_fails_cleanly() {
    let Some(mut cases) = cases().await else { return };
    let total = cases.len();
    let seed = number("REDRILL_TEST_SEED").unwrap_or(1);
    // the same seed gives the same order: of a hash, since the list itself goes drill by drill
    cases.sort_by_cached_key(|c| Sha256::digest(format!("{seed} {} {}", c.drill, c.action)).to_vec());
    if std::env::var("REDRILL_TEST_IAM").as_deref() != Ok("all") {
        cases.truncate(number("REDRILL_TEST_IAM").unwrap_or(SAMPLE));
    }
    if let Ok(only) = std::env::var("REDRILL_TEST_IAM_ONLY") {
        cases.retain(|c| format!("{} {}", c.drill, c.action).contains(&only));
    }
    let (left, done) = (Arc::new(Mutex::new(cases)), Done::default());
    let workers = (0..number("REDRILL_TEST_WORKERS").unwrap_or(4))
        .map(|_| tokio::spawn(work(Arc::clone(&left), Arc::clone(&done))));
    for worker in futures::future::join_all(workers).await {
        worker.expect("a worker that ends");
    }
    let done = done.lock().expect("not poisoned");
    let mut counts: BTreeMap<Came, usize> = BTreeMap::new();
    for came in done.iter().filter_map(|(_, came)| came.as_ref().ok()) {
        *counts.entry(*came).or_default() += 1;
    }
    let of = |came| counts.get(&came).copied().unwrap_or(0);
    let failed: Vec<String> = done
        .iter()
        .filter(|(_, c)| c.is_err())
        .map(|(c, _)| format!("{} without {}", c.drill, c.action))
        .collect();
    say(&format!(
        "\nCOUNT: {} of {total} drills without one action, seed {seed}: {} refused before anything changed, {} \
         rolled back, {} stuck and put back once the permission was there, {} passed and said what was not looked \
         at, {} not decided by the emulator, {} failed",
        done.len(),
        of(Came::Refused),
        of(Came::RolledBack),
        of(Came::Stuck),
        of(Came::Told),
        of(Came::Undecided),
        failed.len()
    ));
    assert!(!done.is_empty(), "nothing was tried");
    assert_eq!(failed, Vec::<String>::new());
}
