//! Tests of the emulator's files and processes, without the emulator.

use super::*;

fn quiet(_: &str) {}

async fn get(url: &str) -> (u16, serde_json::Value) {
    let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

/// Whether anybody answers there: a stranger is refused, but not left without an answer.
async fn answers(endpoint: &str) -> bool {
    let ping = http::get::<serde_json::Value>(endpoint, "", "/_redrill/ping", END).await;
    !matches!(ping, Err(SandboxError::Unreachable { .. }))
}

/// Asks until it is so; false when it does not come to be.
async fn eventually<F: Future<Output = bool>>(what: impl Fn() -> F) -> bool {
    for _ in 0..200 {
        if what().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[test]
fn the_carried_estate_is_the_one_the_emulator_seeds() {
    let estate: serde_json::Value = serde_json::from_str(ESTATE_JSON).unwrap();
    assert_eq!(estate["account"], "123456789012");
    let checks = estate["health"]["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 4);
}

#[tokio::test]
async fn only_a_loopback_endpoint_is_seeded() {
    let error = seed("https://ec2.us-east-1.amazonaws.com", "").await.unwrap_err();
    assert!(matches!(error, SandboxError::NotLoopback { .. }), "{error}");
}

#[tokio::test]
async fn a_foreign_process_behind_the_record_is_left_alone() {
    let state = tempfile::tempdir().unwrap();
    assert_eq!(status(state.path()).await.unwrap(), Status::Down);
    assert_eq!(down(state.path()).await.unwrap(), None);
    // a record whose process id is ours, and whose endpoint nobody answers
    let record = Record {
        pid: std::process::id(),
        endpoint: "http://127.0.0.1:1".to_owned(),
        health: "http://127.0.0.1:1".to_owned(),
        started: "2026-01-01T00:00:00Z".parse().unwrap(),
        token: String::new(),
    };
    std::fs::write(state.path().join("sandbox.json"), serde_json::to_string(&record).unwrap()).unwrap();
    assert_eq!(status(state.path()).await.unwrap(), Status::Gone(record));
    // we would not be here to look had it signalled the process
    assert_eq!(down(state.path()).await.unwrap(), None);
    assert_eq!(status(state.path()).await.unwrap(), Status::Down);
}

#[tokio::test]
#[ignore = "installs Python packages into the user's cache the first time"]
async fn a_child_answers_is_seeded_and_ends() {
    let options = SandboxOptions { pace: Pace::None, ..SandboxOptions::default() };
    let mut sandbox = start(&options, &quiet).await.unwrap();
    let (status, body) = get(&format!("{}/health", sandbox.health)).await;
    assert_eq!((status, &body["status"]), (200, &serde_json::json!("ok")));
    let refused = seed(&sandbox.endpoint, "guessed").await.unwrap_err();
    assert!(matches!(refused, SandboxError::Answer { status: 403, .. }), "{refused}");
    let ids = seed(&sandbox.endpoint, &sandbox.token).await.unwrap();
    assert!(ids["shop-web-1"].starts_with("i-"));
    assert_eq!(
        state(&sandbox.endpoint, &sandbox.token).await.unwrap()["instances"].as_array().unwrap().len(),
        4
    );
    assert!(calls(&sandbox.endpoint, &sandbox.token).await.unwrap().is_empty());
    faults(&sandbox.endpoint, &sandbox.token, &serde_json::json!([{"fault": "deny"}])).await.unwrap();
    let error =
        faults(&sandbox.endpoint, &sandbox.token, &serde_json::json!([{"fault": "x"}])).await.unwrap_err();
    assert!(matches!(error, SandboxError::Answer { status: 400, .. }), "{error}");
    assert!(sandbox.is_running());
    let endpoint = sandbox.endpoint.clone();
    sandbox.stop().await;
    assert!(!answers(&endpoint).await);
}

#[tokio::test]
#[ignore = "installs Python packages into the user's cache the first time"]
async fn a_taken_port_is_reported_with_the_reason() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options =
        SandboxOptions { port: taken.local_addr().unwrap().port(), seed: false, ..SandboxOptions::default() };
    let error = start(&options, &quiet).await.unwrap_err();
    assert!(matches!(error, SandboxError::Start { .. }), "{error}");
    assert!(error.to_string().contains("in use"), "{error}");
}

#[tokio::test]
#[ignore = "installs Python packages into the user's cache the first time"]
async fn a_dropped_sandbox_takes_the_emulator_with_it() {
    let options = SandboxOptions { seed: false, ..SandboxOptions::default() };
    let sandbox = start(&options, &quiet).await.unwrap();
    let endpoint = sandbox.endpoint.clone();
    drop(sandbox);
    assert!(eventually(|| async { !answers(&endpoint).await }).await);
}

#[tokio::test]
#[ignore = "installs Python packages into the user's cache the first time"]
async fn up_status_down() {
    let state = tempfile::tempdir().unwrap();
    let options = SandboxOptions { seed: false, ..SandboxOptions::default() };
    let Up::Started(record) = start_detached(state.path(), &options, &quiet).await.unwrap() else {
        panic!("already running")
    };
    assert_eq!(status(state.path()).await.unwrap(), Status::Running(record.clone()));
    let again = start_detached(state.path(), &options, &quiet).await.unwrap();
    assert_eq!(again, Up::AlreadyRunning(record.clone()));
    assert_eq!(down(state.path()).await.unwrap(), Some(record.clone()));
    assert!(!answers(&record.endpoint).await);
    assert_eq!(down(state.path()).await.unwrap(), None);
}

/// As after `redrill sandbox up` and `down` in two processes: the emulator is nobody's child here.
#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "installs Python packages into the user's cache the first time"]
async fn down_ends_an_emulator_that_is_not_our_child() {
    let state = tempfile::tempdir().unwrap();
    let installed = install(None, &quiet).await.unwrap();
    let record = state.path().join("sandbox.json");
    // the shell ends at once, and the emulator is an orphan
    let status_of_shell = Command::new("sh")
        .args([
            "-c",
            "\"$0\" \"$1\" --new-session --idle-exit 60 --record \"$2\" >/dev/null 2>&1 </dev/null &",
        ])
        .args([&installed.python, &installed.launcher(), &record])
        .status()
        .await
        .unwrap();
    assert!(status_of_shell.success());
    assert!(
        eventually(|| async { matches!(status(state.path()).await.unwrap(), Status::Running(_)) }).await,
        "not up"
    );
    let ended = down(state.path()).await.unwrap().unwrap();
    assert!(!answers(&ended.endpoint).await);
    assert_eq!(status(state.path()).await.unwrap(), Status::Down);
}

#[tokio::test]
#[ignore = "installs Python packages into the user's cache the first time"]
async fn a_detached_emulator_goes_with_its_state_folder() {
    let state = tempfile::tempdir().unwrap();
    let options = SandboxOptions { seed: false, ..SandboxOptions::default() };
    let Up::Started(record) = start_detached(state.path(), &options, &quiet).await.unwrap() else {
        panic!("already running")
    };
    state.close().unwrap();
    assert!(eventually(|| async { !answers(&record.endpoint).await }).await);
}
