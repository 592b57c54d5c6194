//! What the tests share: an emulator of their own, and the real binary next to it.
//!
//! The world is only ever looked at through the emulator's own control pages, never through redrill.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use redrill::sandbox::{self, Pace, Sandbox, SandboxError, SandboxOptions};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

/// The binary under test.
pub const REDRILL: &str = env!("CARGO_BIN_EXE_redrill");
/// Longest wait for anything that a test awaits.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Prints a line that the test command counts as a skip; past the capture of the test harness.
pub fn skipped(why: &str) {
    let _closed = writeln!(std::io::stderr(), "\nSKIPPED: {why}");
}

/// Where the emulator is installed, once for all tests and runs.
pub fn cache() -> PathBuf {
    sandbox::cache_folder().unwrap_or_else(|_| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache"))
}

/// A binary in an environment of its own: nothing of ours but the way to Python.
pub fn command(home: &Path) -> Command {
    let mut c = Command::new(REDRILL);
    c.env_clear().current_dir(home).env("HOME", home).env("REDRILL_CACHE", cache());
    for name in ["PATH", "LD_LIBRARY_PATH", "REDRILL_PYTHON"] {
        if let Some(value) = std::env::var_os(name) {
            c.env(name, value);
        }
    }
    c.env("AWS_EC2_METADATA_DISABLED", "true").stdin(Stdio::null()).kill_on_drop(true);
    c
}

/// An emulator with the sample shop, and a home with a state folder for the binary.
pub struct World {
    pub home: TempDir,
    pub sandbox: Sandbox,
    pub gate: Gate,
}

impl World {
    /// An emulator without delays; `None`, and said so, where this machine has no Python for it.
    pub async fn start() -> Option<Self> {
        Self::with(&[]).await
    }

    /// An emulator without delays but these.
    pub async fn with(delays: &[(&str, f64)]) -> Option<Self> {
        let delays = delays.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect();
        Self::of(SandboxOptions { pace: Pace::None, delays, ..SandboxOptions::default() }).await
    }

    /// Any emulator.
    pub async fn of(options: SandboxOptions) -> Option<Self> {
        // who runs the tests under nohup ignores hang-ups, and so would what they start: a handler is not handed down
        let _heard = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
        let options = SandboxOptions { cache: Some(cache()), ..options };
        let sandbox = match sandbox::start(&options, &|_| {}).await {
            Ok(sandbox) => sandbox,
            Err(e @ (SandboxError::PythonMissing | SandboxError::PythonTooOld { .. })) => {
                skipped(&format!("the emulator cannot run here: {e}"));
                return None;
            }
            Err(e) => panic!("the emulator should start: {e}"),
        };
        forget_earlier_runs(&sandbox.endpoint);
        Some(Self { home: TempDir::new().expect("a temporary folder"), sandbox, gate: Gate::open().await })
    }

    /// The estate, as the emulator itself tells it.
    pub async fn state(&self) -> Value {
        sandbox::state(&self.sandbox.endpoint, &self.sandbox.token).await.expect("the state is told")
    }

    /// Every call so far.
    pub async fn calls(&self) -> Vec<Value> {
        sandbox::calls(&self.sandbox.endpoint, &self.sandbox.token).await.expect("the calls are told")
    }

    /// The names of the changing calls so far.
    pub async fn changes(&self) -> Vec<String> {
        self.calls()
            .await
            .iter()
            .filter(|c| c["mutating"] == true)
            .map(|c| c["action"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// The changing calls so far that were not refused.
    pub async fn changes_accepted(&self) -> Vec<String> {
        let calls = self.calls().await;
        let accepted = calls.iter().filter(|c| c["mutating"] == true && c["error"].is_null());
        accepted.map(|c| c["action"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// How often this was called.
    pub async fn count(&self, action: &str) -> usize {
        self.calls().await.iter().filter(|c| c["action"] == action).count()
    }

    /// How often this was called and accepted, whether or not the answer arrived.
    pub async fn accepted(&self, action: &str) -> usize {
        self.calls().await.iter().filter(|c| c["action"] == action && c["status"] == 200).count()
    }

    /// Empties the log of calls.
    pub async fn forget_calls(&self) {
        self.control(reqwest::Method::DELETE, "calls").await;
    }

    /// Adds fault rules.
    pub async fn faults(&self, rules: Value) {
        sandbox::faults(&self.sandbox.endpoint, &self.sandbox.token, &rules)
            .await
            .expect("the rules are accepted");
    }

    /// Removes all fault rules.
    pub async fn no_faults(&self) {
        self.control(reqwest::Method::DELETE, "faults").await;
    }

    /// Puts an IAM policy in force for every call from now on; `null` lifts it.
    pub async fn allow_only(&self, policy: &Value) {
        let url = format!("{}/_redrill/policy", self.sandbox.endpoint);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = client
            .post(url)
            .header("x-redrill-token", &self.sandbox.token)
            .body(policy.to_string())
            .send()
            .await
            .expect("the emulator answers");
        assert_eq!(answer.status(), 200);
    }

    /// Waits until a fault rule has struck.
    pub async fn struck(&self) {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let url = format!("{}/_redrill/faults", self.sandbox.endpoint);
        let asked = async {
            loop {
                let asked = client.get(&url).header("x-redrill-token", &self.sandbox.token);
                let answer = asked.send().await.expect("answered").bytes().await.expect("a body");
                let rules: Value = serde_json::from_slice(&answer).expect("JSON");
                if rules.as_array().is_some_and(|all| all.iter().any(|r| r["hits"].as_u64() > Some(0))) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, asked).await.is_ok(), "no rule has struck");
    }

    async fn control(&self, method: reqwest::Method, page: &str) {
        let url = format!("{}/_redrill/{page}", self.sandbox.endpoint);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = client
            .request(method, url)
            .header("x-redrill-token", &self.sandbox.token)
            .send()
            .await
            .expect("the emulator answers");
        assert_eq!(answer.status(), 200);
    }

    /// Everything anew: the shop, the log, the rules; runs on record stay.
    pub async fn reseed(&self) {
        sandbox::seed(&self.sandbox.endpoint, &self.sandbox.token).await.expect("the shop is seeded");
        self.gate.set(true);
    }

    /// A call by hand in the old query protocol; panics unless it is accepted.
    pub async fn query(&self, service: &str, version: &str, pairs: &[(&str, &str)]) -> String {
        self.query_in("us-east-1", service, version, pairs).await
    }

    /// The same in any region.
    pub async fn query_in(&self, region: &str, service: &str, version: &str, of: &[(&str, &str)]) -> String {
        let form: Vec<String> = of.iter().map(|(k, v)| format!("{k}={}", encoded(v))).collect();
        let body = format!("{}&Version={version}", form.join("&"));
        let scope = format!("test/20260101/{region}/{service}/aws4_request");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = client
            .post(&self.sandbox.endpoint)
            .header("content-type", "application/x-www-form-urlencoded")
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
            )
            .body(body)
            .send()
            .await
            .expect("the emulator answers");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(status.is_success(), "{of:?}: {status} {text}");
        text
    }

    /// A call by hand in the JSON protocol; panics unless it is accepted.
    pub async fn json(&self, service: &str, target: &str, body: &Value) {
        let scope = format!("test/20260101/us-east-1/{service}/aws4_request");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = client
            .post(&self.sandbox.endpoint)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", target)
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
            )
            .body(body.to_string())
            .send()
            .await
            .expect("the emulator answers");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(status.is_success(), "{target}: {status} {text}");
    }

    /// An object by hand; panics unless it is accepted.
    pub async fn put(&self, bucket: &str, key: &str, body: String) {
        let scope = "test/20260101/us-east-1/s3/aws4_request";
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = client
            .put(format!("{}/{bucket}/{key}", self.sandbox.endpoint))
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
            )
            .body(body)
            .send()
            .await
            .expect("the emulator answers");
        assert!(answer.status().is_success(), "{key}: {}", answer.status());
    }

    /// S3 by hand, whatever it answers.
    pub async fn s3(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let scope = "test/20260101/us-east-1/s3/aws4_request";
        let mut call = client.request(method, format!("{}/{path}", self.sandbox.endpoint)).header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
        );
        for (name, value) in headers {
            call = call.header(*name, *value);
        }
        call.send().await.expect("the emulator answers")
    }

    /// KMS by hand; panics unless it is accepted.
    pub async fn kms(&self, action: &str, body: Value) -> Value {
        let scope = "test/20260101/us-east-1/kms/aws4_request";
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = client
            .post(&self.sandbox.endpoint)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("TrentService.{action}"))
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
            )
            .body(body.to_string())
            .send()
            .await
            .expect("the emulator answers");
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        assert!(status.is_success(), "{action}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// EC2 by hand.
    pub async fn ec2(&self, pairs: &[(&str, &str)]) -> String {
        self.query("ec2", "2016-11-15", pairs).await
    }

    /// The id of the shop's instance, subnet … of that name.
    pub async fn named(&self, kind: &str, name: &str) -> String {
        let state = self.state().await;
        let of = |v: &Value, id: &str| (v["tags"]["Name"] == name).then(|| id.to_owned());
        match &state[kind] {
            Value::Array(all) => all.iter().find_map(|v| of(v, v["id"].as_str()?)),
            Value::Object(all) => all.iter().find_map(|(id, v)| of(v, id)),
            _ => None,
        }
        .unwrap_or_else(|| panic!("no {name} among {kind}"))
    }

    /// Writes a file into the binary's home.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    /// The binary, pointed at this emulator.
    pub fn redrill<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Command {
        let mut c = command(self.home.path());
        c.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        c.env("REDRILL_ENDPOINT_URL", &self.sandbox.endpoint).env("REDRILL_REGION", "us-east-1");
        c.args(args);
        c
    }

    /// Runs a command of the binary to its end.
    pub async fn go<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Ended {
        Running::start(self.redrill(args)).end().await
    }

    /// Writes the drill and runs it to its end.
    pub async fn run(&self, drill: &str) -> Ended {
        self.start_run(drill).end().await
    }

    /// Writes the drill and starts it.
    pub fn start_run(&self, drill: &str) -> Running {
        self.file("drill.yaml", drill);
        Running::start(self.redrill(["run", "drill.yaml", "--yes", "--output", "json"]))
    }

    /// `redrill VERB last`, machine-readable.
    pub fn take_up(&self, verb: &str) -> Running {
        Running::start(self.redrill([verb, "last", "--output", "json"]))
    }
}

/// Takes away what tells this machine of unfinished runs against an earlier emulator that had the same port: one that
/// was killed in the middle of a test cannot be finished any more, and would stand in the way.
fn forget_earlier_runs(endpoint: &str) {
    let folder = format!("/tmp/redrill-{}", rustix::process::getuid().as_raw());
    let Ok(locks) = std::fs::read_dir(folder) else { return };
    for path in locks.flatten().map(|lock| lock.path()) {
        let Ok(note) = std::fs::read_to_string(&path) else { continue };
        let note: Value = serde_json::from_str(note.trim()).unwrap_or_default();
        let (Some(state), Some(run)) = (note["state"].as_str(), note["run"].as_str()) else { continue };
        let plan = std::fs::read_to_string(Path::new(state).join("runs").join(run).join("plan.json"));
        if plan.is_ok_and(|plan| plan.contains(endpoint)) {
            let _gone = std::fs::remove_file(path);
        }
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, b| {
        use std::fmt::Write as _;
        if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}

/// The binary at work.
pub struct Running {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: JoinHandle<String>,
    pub lines: Vec<Value>,
    text: String,
}

/// The binary at its end.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it printed, each line that is JSON.
    pub lines: Vec<Value>,
    /// What it printed.
    pub out: String,
    /// What it said.
    pub err: String,
}

impl Running {
    /// Starts a command.
    pub fn start(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let out = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let mut stderr = child.stderr.take().expect("stderr");
        let err = tokio::spawn(async move {
            let mut bytes = Vec::new();
            let _closed = stderr.read_to_end(&mut bytes).await;
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Self { child, out, err, lines: Vec::new(), text: String::new() }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it is still running")
    }

    async fn next(&mut self) -> Option<Value> {
        let line = self.out.next_line().await.expect("readable")?;
        self.text.push_str(&line);
        self.text.push('\n');
        let value = serde_json::from_str(&line).unwrap_or(Value::Null);
        self.lines.push(value.clone());
        Some(value)
    }

    /// Waits for a line like this.
    pub async fn until(&mut self, what: &str, like: impl Fn(&Value) -> bool) -> Value {
        let wait = async {
            while let Some(line) = self.next().await {
                if like(&line) {
                    return Some(line);
                }
            }
            None
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(Some(line)) => line,
            Ok(None) => {
                let err = (&mut self.err).await.unwrap_or_default();
                panic!("it ended before {what}:\n{}\n{err}", self.text)
            }
            Err(_) => panic!("waited in vain for {what}:\n{}", self.text),
        }
    }

    /// Waits for a stage to begin.
    pub async fn stage(&mut self, stage: &str) {
        self.until(&format!("stage {stage}"), |l| l["type"] == "stage" && l["stage"] == stage).await;
    }

    /// Waits for an event of this type.
    pub async fn event(&mut self, kind: &str) -> Value {
        self.until(kind, |l| l["type"] == kind).await
    }

    /// Waits for a call to be sent.
    pub async fn sent(&mut self, operation: &str) -> Value {
        self.until(operation, |l| l["type"] == "call-sent" && l["operation"] == operation).await
    }

    /// Sends a signal to exactly this process.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("signalled");
    }

    /// As `kill -9`, and waits until it is gone.
    pub async fn kill(mut self) -> Ended {
        self.signal(rustix::process::Signal::KILL);
        self.child.wait().await.expect("waited for");
        self.end().await
    }

    /// Reads to the end.
    pub async fn end(mut self) -> Ended {
        let done = async {
            while self.next().await.is_some() {}
            self.child.wait().await.expect("waited for")
        };
        let Ok(status) = tokio::time::timeout(PATIENCE, done).await else {
            panic!("it did not end:\n{}", self.text)
        };
        let err = self.err.await.unwrap_or_default();
        Ended { code: status.code(), lines: self.lines, out: self.text, err }
    }
}

impl Ended {
    /// The last line of a run.
    pub fn result(&self) -> &Value {
        let last = self.lines.last().unwrap_or(&Value::Null);
        assert_eq!(last["type"], "result", "{self}");
        last
    }

    /// Ended with this code and this verdict, and its last line says so.
    pub fn expect(&self, code: i32, verdict: &str) -> &Self {
        assert_eq!(self.code, Some(code), "{self}");
        let last = self.result();
        assert_eq!(last["exit_code"], code, "{self}");
        assert_eq!(last["verdict"], verdict, "{self}");
        self
    }

    /// Ended with this code before there was a run.
    pub fn refused(&self, code: i32, with: &str) -> &Self {
        assert_eq!(self.code, Some(code), "{self}");
        assert!(self.err.contains(with), "expected `{with}`: {self}");
        self
    }

    /// Events of a type.
    pub fn events(&self, kind: &str) -> Vec<&Value> {
        self.lines.iter().filter(|l| l["type"] == kind).collect()
    }

    /// The stage in which the line with this type came.
    pub fn stage_of(&self, kind: &str) -> String {
        let mut stage = String::new();
        for line in &self.lines {
            if line["type"] == "stage" {
                line["stage"].as_str().unwrap_or_default().clone_into(&mut stage);
            }
            if line["type"] == kind {
                return stage;
            }
        }
        panic!("no {kind}: {self}")
    }

    /// The run's id.
    pub fn run(&self) -> String {
        let header = self.events("header").first().map(|l| l["run"].clone());
        header.as_ref().and_then(Value::as_str).unwrap_or_else(|| panic!("no header: {self}")).to_owned()
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "code {:?}\n{}\n{}", self.code, self.out, self.err)
    }
}

/// The estate with replacements told from originals by nothing but their number: ids, and the tags
/// of the run that made them, are left out of instances.
pub fn but_replaced(mut state: Value) -> Value {
    if let Some(instances) = state["instances"].as_array_mut() {
        for i in instances.iter_mut() {
            i["id"] = Value::Null;
            if let Some(tags) = i["tags"].as_object_mut() {
                let made = tags.contains_key("redrill:kept");
                // a replacement carries who made it; nothing else may carry anything of ours
                tags.retain(|k, _| !(made && k.starts_with("redrill:") && k != "redrill:held"));
                tags.sort_keys();
            }
        }
        instances.sort_by_key(ToString::to_string);
    }
    if let Some(groups) = state["target_groups"].as_object_mut() {
        for targets in groups.values_mut() {
            *targets = json!(targets.as_array().map_or(0, Vec::len));
        }
    }
    state
}

/// How many instances were kept as replacements.
pub fn kept(state: &Value) -> usize {
    let kept =
        |i: &&Value| i["tags"]["redrill:kept"].is_string() && i["tags"]["redrill:replaces"].is_string();
    state["instances"].as_array().map_or(0, |all| all.iter().filter(kept).count())
}

/// A web page that a test opens and closes: 200 or 503.
pub struct Gate {
    /// Its address.
    pub url: String,
    open: Arc<std::sync::atomic::AtomicBool>,
    server: JoinHandle<()>,
}

impl Gate {
    async fn open() -> Self {
        use tokio::io::AsyncWriteExt as _;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        let open = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let shared = Arc::clone(&open);
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let status = match shared.load(std::sync::atomic::Ordering::SeqCst) {
                    true => "200 OK",
                    false => "503 Service Unavailable",
                };
                tokio::spawn(async move {
                    let mut asked = [0; 4096];
                    let _read = stream.read(&mut asked).await;
                    let answer =
                        format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    let _closed = stream.write_all(answer.as_bytes()).await;
                    let _closed = stream.shutdown().await;
                });
            }
        });
        Self { url, open, server }
    }

    /// Opens or closes it.
    pub fn set(&self, open: bool) {
        self.open.store(open, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Whether there is such a process (one that has ended and was not waited for is none).
pub fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|s| s.rsplit_once(')').map(|(_, rest)| !rest.trim_start().starts_with('Z')))
        .unwrap_or(false)
}

/// The processes that this one has started.
pub fn children(of: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("a Linux").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        if parent == Some(of) {
            found.push(pid);
        }
    }
    found
}

/// Asks until it is so.
pub async fn eventually(what: &str, so: impl Fn() -> bool) {
    let asked = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), asked).await.is_ok(), "never came to be: {what}");
}
