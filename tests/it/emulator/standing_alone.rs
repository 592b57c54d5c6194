//! `demo` and `sandbox`: the binary with an emulator of its own.

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::world::{Ended, Running, World, alive, children, command, eventually};

/// `redrill demo` where the environment points everywhere but to this machine.
fn hostile_demo(home: &TempDir) -> Command {
    let mut c = command(home.path());
    for (name, value) in [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:1"),
        ("AWS_PROFILE", "no-such-profile"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "hostile"),
        ("AWS_SECRET_ACCESS_KEY", "hostile"),
        ("AWS_CONFIG_FILE", "/nonexistent/config"),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("http_proxy", "http://127.0.0.1:1"),
        ("HTTPS_PROXY", "http://127.0.0.1:1"),
        ("ALL_PROXY", "http://127.0.0.1:1"),
        ("PYTHONPATH", "/nonexistent"),
    ] {
        c.env(name, value);
    }
    c.args(["demo", "--output", "json"]);
    c
}

/// Whether this machine can run an emulator at all; says so where not.
async fn possible() -> bool {
    World::start().await.is_some()
}

#[tokio::test]
async fn a_demo_passes_in_a_hostile_environment_and_leaves_nothing_running() {
    if !possible().await {
        return;
    }
    let home = TempDir::new().expect("a temporary folder");
    let mut demo = Running::start(hostile_demo(&home));
    demo.event("header").await;
    let emulators = children(demo.pid());
    assert!(!emulators.is_empty(), "the emulator is its child");
    let ended = demo.end().await;
    ended.expect(0, "passed");
    for pid in emulators {
        eventually("the emulator is gone", || !alive(pid)).await;
    }
    let found: Vec<_> = std::fs::read_dir(home.path())
        .expect("readable")
        .map(|e| e.expect("readable").file_name().into_string().expect("a name"))
        .collect();
    assert_eq!(found, [".redrill"], "the run, and nothing else, is left in the folder");
}

#[tokio::test]
async fn a_killed_demo_leaves_no_emulator_behind() {
    if !possible().await {
        return;
    }
    let home = TempDir::new().expect("a temporary folder");
    let mut demo = Running::start(hostile_demo(&home));
    demo.stage("baseline").await;
    let emulators = children(demo.pid());
    assert!(!emulators.is_empty(), "the emulator is its child");
    demo.kill().await;
    for pid in emulators {
        eventually("the emulator is gone", || !alive(pid)).await;
    }
}

async fn sandbox(home: &TempDir, args: &[&str]) -> Ended {
    let mut c = command(home.path());
    c.arg("sandbox").args(args).args(["--output", "json"]);
    Running::start(c).end().await
}

fn told(ended: &Ended) -> &Value {
    ended.lines.last().unwrap_or_else(|| panic!("nothing was printed: {ended}"))
}

#[tokio::test]
async fn up_status_seed_down() {
    if !possible().await {
        return;
    }
    let home = TempDir::new().expect("a temporary folder");
    let nothing = sandbox(&home, &["down"]).await;
    assert_eq!((nothing.code, &told(&nothing)["stopped"]), (Some(0), &Value::Bool(false)), "{nothing}");
    let none = sandbox(&home, &["status"]).await;
    assert_eq!((none.code, &told(&none)["running"]), (Some(1), &Value::Bool(false)), "{none}");
    sandbox(&home, &["seed"]).await.refused(2, "not running");

    let up = sandbox(&home, &["up", "--pace", "none"]).await;
    assert_eq!(up.code, Some(0), "{up}");
    let first = told(&up).clone();
    let endpoint = first["endpoint"].as_str().expect("an endpoint").to_owned();
    let pid = u32::try_from(first["pid"].as_u64().expect("a pid")).expect("a pid");
    let again = sandbox(&home, &["up"]).await;
    assert_eq!(again.code, Some(0), "{again}");
    assert_eq!(told(&again), &first, "the first one is left as it is");
    assert_eq!(told(&sandbox(&home, &["status"]).await), &first);

    // something is changed, and seeding puts it back
    let record =
        std::fs::read_to_string(home.path().join(".redrill/sandbox.json")).expect("its owner's record");
    let record: Value = serde_json::from_str(&record).expect("JSON");
    let token = record["token"].as_str().expect("a token");
    assert!(!up.out.contains(token), "it is shown to nobody");
    let before = redrill::sandbox::state(&endpoint, token).await.expect("told");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let id = before["instances"][0]["id"].as_str().expect("an id");
    let sent = client
        .post(&endpoint)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0")
        .body(format!("Action=TerminateInstances&Version=2016-11-15&InstanceId.1={id}"))
        .send()
        .await
        .expect("answered");
    assert_eq!(sent.status(), 200);
    let count = |v: &Value| v["instances"].as_array().map(Vec::len);
    let during = redrill::sandbox::state(&endpoint, token).await.expect("told");
    assert_eq!(count(&during), count(&before).map(|n| n - 1));
    assert_eq!(sandbox(&home, &["seed"]).await.code, Some(0));
    assert_eq!(count(&redrill::sandbox::state(&endpoint, token).await.expect("told")), count(&before));

    let down = sandbox(&home, &["down"]).await;
    assert_eq!((down.code, &told(&down)["stopped"]), (Some(0), &Value::Bool(true)), "{down}");
    eventually("the emulator is gone", || !alive(pid)).await;
    let twice = sandbox(&home, &["down"]).await;
    assert_eq!((twice.code, &told(&twice)["stopped"]), (Some(0), &Value::Bool(false)), "{twice}");
}
