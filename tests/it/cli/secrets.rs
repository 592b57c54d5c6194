//! Secrets: seeded wherever they can come in, and looked for in every byte that a run leaves.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use redrill::cloud::{CloudResult, CommandOutput, CommandRequest, Local, Secret, Starting};
use redrill::drill::{self, LoadOptions};
use redrill::journal::runs::RunDir;
use redrill::journal::{Event, reader};

use super::{Place, Ran, finish};
use crate::play;

/// With characters that JSON, URLs and base64 each write in another way.
const TOKEN: &str = "cAnArY/\"one\"+two&7";
const PASSWORD: &str = "CANARYPASSWORDX9";
/// What redrill's own calls are signed with, and what a probe fetched.
const OWN: [&str; 3] = ["CANARYOWN/KEY+E5xx", "CANARYOWNTOKENF6xx", "CANARYFETCHEDG7"];
/// In the environment, and of no use to any command here.
const AMBIENT: [(&str, &str); 4] = [
    ("AWS_SECRET_ACCESS_KEY", "CANARYAMBIENTKEYA1"),
    ("AWS_SESSION_TOKEN", "CANARYAMBIENTTOKENB2"),
    ("PGPASSWORD", "CANARYPGPASSWORDC3"),
    ("REDRILL_KEY_PASSPHRASE", "CANARYPASSPHRASED4"),
];

/// `command` echoes its secrets in several ways, probes have them in their URLs, a person's note holds one.
const WITH_SECRETS: &str = r#"params: { token: { secret: true }, password: { secret: true } }
objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault:
  - { action: vpc.detach-route-table, target: it }
  - action: command
    with:
      argv: [tool, "${params.token}", "--password=${params.password}"]
      env: { TOKEN: "${params.token}", URL: "https://shop:${params.password}@127.0.0.1/?k=${params.token}" }
      undo: { argv: [untool, "${params.token}"], env: { P: "${params.password}" } }
recovery: [{ manual: Call the team, id: call }, { action: vpc.attach-route-table, target: it }]"#;

/// Programs that say all they know, in every way, and once so much that the end of it is cut off.
struct Talkative;

#[async_trait]
impl Local for Talkative {
    async fn run(&self, request: &CommandRequest, _: &dyn Starting) -> CloudResult<CommandOutput> {
        let mut said = Vec::new();
        for text in request.argv.iter().skip(1).chain(request.env.values()) {
            said.extend([text.clone(), serde_json::json!({ "said": text }).to_string()]);
            for encoded in [text, &format!("user:{text}"), &format!("u:{text}\n")] {
                said.extend([STANDARD.encode(encoded), URL_SAFE_NO_PAD.encode(encoded)]);
            }
            let escaped =
                |b: u8| if b.is_ascii_alphanumeric() { char::from(b).into() } else { format!("%{b:02X}") };
            said.push(text.bytes().map(escaped).collect());
        }
        said.extend(OWN.map(str::to_owned));
        said.push("tried https://shop:CANARYPASSWORDX9@h/, postgres://shop:hunter2@h/".to_owned());
        // notes end after 4096 bytes, here within the secret
        let long = "x".repeat(4096 - 10);
        Ok(CommandOutput { code: Some(0), stdout: said.join("\n"), stderr: long + TOKEN, timed_out: false })
    }
}

/// Every way of writing a secret that must not be found anywhere.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let url = |keep: &str| -> String {
        let byte = |b: &u8| match char::from(*b) {
            c if c.is_ascii_alphanumeric() || keep.contains(c) => c.to_string(),
            _ => format!("%{b:02X}"),
        };
        secret.bytes().map(|b| byte(&b)).collect()
    };
    let json = serde_json::Value::from(secret).to_string();
    let mut all = vec![
        secret.to_owned(),
        json.trim_matches('"').to_owned(),
        url(""),
        url("").to_lowercase(),
        url("-_.~"),
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        secret.bytes().map(|b| format!("{b:02x}")).collect(),
        // a beginning of it is as bad
        secret[..9].to_owned(),
    ];
    // HTML's way
    all.push(secret.replace('&', "&amp;").replace('"', "&quot;"));
    all.push(secret.replace('&', "&#38;").replace('"', "&#34;"));
    all.into_iter().map(String::into_bytes).collect()
}

/// Panics where any of the secrets stands in the bytes.
fn clean(what: &str, bytes: &[u8]) -> usize {
    let ambient = AMBIENT.map(|(_, value)| value);
    for secret in [TOKEN, PASSWORD].into_iter().chain(ambient).chain(OWN) {
        for form in forms(secret) {
            let found = bytes.windows(form.len()).position(|w| w == form);
            if let Some(at) = found {
                let from = at.saturating_sub(80);
                let to = (at + 80).min(bytes.len());
                panic!(
                    "{what} holds {}: …{}…",
                    String::from_utf8_lossy(&form),
                    String::from_utf8_lossy(&bytes[from..to])
                );
            }
        }
    }
    bytes.len()
}

/// Every file below, by its bytes and its name.
fn clean_folder(folder: &Path) -> usize {
    let mut seen = 0;
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        clean("a file's name", path.as_os_str().as_encoded_bytes());
        if path.is_dir() {
            seen += clean_folder(&path);
        } else {
            seen += clean(&path.display().to_string(), &fs::read(&path).expect("a file"));
        }
    }
    seen
}

fn run(place: &Place, args: &[&str]) -> Ran {
    let mut command = place.command(args);
    command.envs(AMBIENT);
    let ran = finish(command);
    clean(&format!("stdout of {args:?}"), ran.stdout.as_bytes());
    clean(&format!("stderr of {args:?}"), ran.stderr.as_bytes());
    ran
}

fn given() -> Vec<(String, String)> {
    vec![("token".to_owned(), TOKEN.to_owned()), ("password".to_owned(), PASSWORD.to_owned())]
}

/// A run of the drill on the simulator, its programs saying every secret that they know.
fn a_run(place: &Place) -> RunDir {
    let options = LoadOptions { env: None, set: given() };
    let loaded = drill::load("drill.yaml", &play::drill("/health", WITH_SECRETS), &options);
    place.run_in(&loaded.unwrap_or_else(|p| panic!("{p}")), 1, |cloud| {
        cloud.local = Arc::new(Talkative);
        cloud.held.credentials(OWN[0], Some(OWN[1]));
        cloud.held.password(&Secret::new(format!(r#"{{"username":"shop","password":"{}"}}"#, OWN[2])));
    })
}

#[test]
fn no_secret_is_in_anything_that_a_run_leaves() {
    let place = Place::new();
    let dir = a_run(&place);
    let journal = String::from_utf8(fs::read(dir.journal()).expect("a journal")).expect("UTF-8");
    assert!(
        journal.contains("[secret token]") && journal.contains("[secret password]"),
        "it was used: {journal}"
    );
    assert!(journal.contains("[secret token, encoded]"), "the program said it in other ways: {journal}");
    for own in ["AWS secret access key", "AWS session token", "password of a probe"] {
        assert!(journal.contains(&format!("[secret {own}]")), "{own}: {journal}");
    }
    assert!(journal.contains("postgres://************@h/") && !journal.contains("hunter2"), "{journal}");
    let id = dir.id().as_str();
    let mut commands = 0;
    assert_eq!(run(&place, &["init", "--key", "signing.pem"]).code, 0);
    for args in [
        &["show", id][..],
        &["show", id, "--timeline"],
        &["show", id, "--output", "json"],
        &["report", id],
        &["report", id, "--output", "json"],
        &["report", id, "--format", "json"],
        &["report", id, "--format", "markdown"],
        &["report", id, "--format", "html"],
        &["report", id, "--out", "bundle", "--key", "signing.pem"],
        &["verify", "bundle"],
        &["verify", "bundle", "--output", "json"],
        &["findings", "--all"],
        &["findings", "--output", "json"],
        &["runs"],
    ] {
        let ran = run(&place, args);
        assert!(ran.code <= 1 || !ran.stdout.is_empty(), "{args:?}: {}", ran.stderr);
        commands += 1;
    }
    let bytes = clean_folder(place.path());
    assert!(place.path().join("bundle/report.json").exists() && bytes > 50_000);
    crate::bench::count(&format!(
        "no secret in {bytes} bytes that a run left and in the output of {commands} commands"
    ));
}

#[test]
fn no_secret_is_in_a_rehearsal_a_check_or_an_error() {
    let place = Place::new();
    place.write("drill.yaml", play::drill("/health", WITH_SECRETS));
    let set = [format!("token={TOKEN}"), format!("password={PASSWORD}")];
    for output in ["text", "json"] {
        let args = ["rehearse", "drill.yaml", "--set", &set[0], "--set", &set[1], "--output", output];
        let ran = run(&place, &args[..]);
        assert!(ran.stdout.contains("command"), "{}{}", ran.stdout, ran.stderr);
        assert_eq!(run(&place, &["check", "drill.yaml", "--set", &set[0], "--output", output]).code, 0);
        // the secret stands where it should not
        let wrong = [
            &["rehearse", "drill.yaml", "--set", TOKEN, "--set", &set[1], "--output", output][..],
            &["check", "drill.yaml", "--set", TOKEN, "--output", output],
            &["rehearse", "drill.yaml", "--set", &format!("tokn={TOKEN}"), "--output", output],
            &["rehearse", "drill.yaml", "--set", &set[0], "--output", output],
            &["mark", "last", "note", "--set", TOKEN],
            &["plan", "drill.yaml", "--set", &set[0], "--set", &set[1], "--output", output],
            &["run", "drill.yaml", "--yes", "--set", &set[0], "--set", &set[1], "--output", output],
        ];
        for args in wrong {
            assert_ne!(run(&place, args).code, 0, "{args:?}");
        }
    }
    // a default that should not be: every line of the problem but the value
    for default in [
        PASSWORD.to_owned(),
        format!("\"{PASSWORD}\""),
        format!("|\n      {PASSWORD}\n      {PASSWORD}\n    "),
    ] {
        let text = format!("params:\n  password:\n    secret: true\n    default: {default}\n");
        place.write(
            "default.yaml",
            play::drill("/health", &format!("{text}{}", WITH_SECRETS.split_once('\n').expect("lines").1)),
        );
        let ran = run(&place, &["check", "default.yaml"]).exits(2);
        assert!(ran.stderr.contains("a secret has no default"), "{}", ran.stderr);
        assert_eq!(run(&place, &["check", "default.yaml", "--output", "json"]).code, 2);
        fs::remove_file(place.path().join("default.yaml")).expect("removed");
    }
    // a URL that holds one: the problem is shown where it stands, and any other of the line, too
    for url in [
        format!("{{ url: \"https://shop:{PASSWORD}@127.0.0.1/\" }}"),
        format!("{{ url: https://{PASSWORD}@127.0.0.1/, colour: red }}"),
        format!(r#"{{"url":"https:\/\/shop:{PASSWORD}@127.0.0.1\/"}}"#),
        format!("{{ url: \"ftp://shop:{PASSWORD}@127.0.0.1/\" }}"),
        format!("\"https://shop:{PASSWORD}@127.0.0.1/\""),
        format!("{{ url: \"https://shop:{PASSWORD}@127.0.0.1/\" }} }}"),
    ] {
        let drill = play::drill("/health", WITH_SECRETS);
        let (head, tail) = drill.split_once("with: {").expect("a probe");
        let (_, tail) = tail.split_once('\n').expect("lines");
        place.write("url.yaml", format!("{head}with: {url} }}\n{tail}"));
        let ran = run(&place, &["check", "url.yaml"]).exits(2);
        assert!(ran.stderr.contains("@127.0.0.1"), "the line is shown: {}", ran.stderr);
        assert_eq!(run(&place, &["check", "url.yaml", "--output", "json"]).code, 2);
        fs::remove_file(place.path().join("url.yaml")).expect("removed");
    }
    place.write(
        "redrill.toml",
        format!("[evidence]\ntimestamp_authority = \"https://u:{PASSWORD}@127.0.0.1:1\"\n"),
    );
    let dir = a_run(&place);
    assert_eq!(run(&place, &["init", "--key", "signing.pem"]).code, 0);
    assert_ne!(
        run(&place, &["report", dir.id().as_str(), "--out", "bundle", "--key", "signing.pem"]).code,
        0
    );
    place.write("redrill.toml", format!("[evidence]\nkeys = \"{PASSWORD}\"\n"));
    assert_eq!(run(&place, &["runs"]).code, 2);
    fs::remove_file(place.path().join("redrill.toml")).expect("removed");
    clean_folder(place.path());
}

#[test]
fn a_password_in_a_url_is_refused_wherever_people_write() {
    let place = Place::new();
    let url = "https://bob:hidden77@wiki/x";
    let drill =
        play::drill("/health", "recovery: [{ action: wait, with: { for: 1s } }]\nimpact: none-expected");
    place.write("x.yaml", &drill);
    let plan = ["plan", "x.yaml", "-o", "plan.json"];
    for flag in [["--ticket", url], ["--approved-by", url], ["--participant", &format!("lead={url}")]] {
        let told = place.run(&[&plan[..], &flag].concat()).exits(2).stderr;
        assert!(told.contains("user name or password in a URL"), "{told}");
    }
    for args in [
        &["findings", "add", "last", url, "--severity", "low"][..],
        &["findings", "set", "F-1", "--ticket", url],
        &["sign-off", "last", "--by", "ann", "--key", "ann.pem", "--note", url],
        &["approve", "plan.json", "--by", "ann", "--key", "ann.pem", "--note", url],
        &["rollback", "last", "--accept", "a/b", "--reason", url],
    ] {
        let told = place.run(args).exits(2).stderr;
        assert!(told.contains("user name or password in a URL"), "{args:?}: {told}");
    }
    place.write("x.yaml", drill.replacen("title: ", &format!("title: see {url} "), 1));
    let told = place.run(&plan).exits(2).stderr;
    assert!(told.contains("its URL has a user name or password") && !told.contains("hidden77"), "{told}");
}

#[test]
fn a_parameter_is_given_by_the_environment_and_what_is_mistyped_is_not_shown() {
    let place = Place::new();
    let steps = "params: { pause: { type: duration } }\nobjectives: { rto: 10m }\ntargets: {}\n\
                 recovery: [{ action: wait, with: { for: \"${params.pause}\" } }]";
    place.write("x.yaml", play::drill("/health", steps));
    let check = |set: &str, value: Option<&str>| {
        let mut command = place.command(&["check", "x.yaml", "--set-env", set]);
        command.envs(value.map(|value| ("PAUSE", value)));
        finish(command)
    };
    let _good = check("pause=PAUSE", Some("2s")).exits(0);
    let told = check("pause=PAUSE", Some("soon")).exits(2).stderr;
    assert!(told.contains("expected a duration"), "{told}");
    let told = check("pause=hunter2secret", None).exits(2).stderr;
    assert!(told.contains("the environment variable for `pause` is not set"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    let told = check("hunter2secret", None).exits(2).stderr;
    assert!(told.contains("write NAME=VARIABLE") && !told.contains("hunter2"), "{told}");
}

#[test]
fn a_secret_that_is_part_of_a_name_or_a_word_is_refused_and_not_shown() {
    let place = Place::new();
    place.write("drill.yaml", play::drill("/health", WITH_SECRETS));
    let password = format!("password={PASSWORD}");
    for secret in
        ["subnet", "recovery", "step-ready", "123456789012", "us-east-1", "untool", "Shop-Private", "short"]
    {
        let token = format!("token={secret}");
        let ran = run(&place, &["rehearse", "drill.yaml", "--set", &token, "--set", &password]).exits(2);
        assert!(ran.stderr.contains("the secret parameter `token`"), "{secret}: {}", ran.stderr);
        assert!(!ran.stderr.contains(secret) || secret == "short", "{secret}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "nothing was begun");
    }
}

/// A run, and its journal up to where it waits for a person.
fn a_waiting_run(place: &Place) -> (RunDir, String) {
    let dir = a_run(place);
    let text = fs::read_to_string(dir.journal()).expect("a journal");
    let lines = reader::read(text.as_bytes()).expect("whole lines").lines;
    let at = lines.iter().position(|l| matches!(l.event, Event::Waiting { .. })).expect("it waits");
    let cut = text.split_inclusive('\n').take(at + 1).collect();
    (dir, cut)
}

/// A run that waits for a person while no process works on it: nobody but the person knows the secrets.
#[test]
fn a_note_holds_no_secret_when_no_process_works_on_the_run() {
    let place = Place::new();
    let (dir, cut) = a_waiting_run(&place);
    let id = dir.id().as_str();
    // as a person may paste it, and in small letters, as servers answer with it
    let [key, token] = [AMBIENT[0].1, &AMBIENT[1].1.to_lowercase()];
    let note = format!("I typed {TOKEN} and {PASSWORD}, with {key} {token}");
    let set = [format!("token={TOKEN}"), format!("password={PASSWORD}")];
    for command in [&["mark", id, "note"][..], &["confirm", id, "call"], &["abort", id]] {
        fs::write(dir.journal(), &cut).expect("written");
        // not known: refused, and nothing is left
        for known in [&[][..], &["--set", set[0].as_str()]] {
            let args: Vec<&str> =
                command.iter().copied().chain(["--note", &note]).chain(known.iter().copied()).collect();
            let ran = run(&place, &args).exits(2);
            assert!(ran.stderr.contains("the note could hold the secret parameter"), "{}", ran.stderr);
            assert_eq!(fs::read_to_string(dir.journal()).expect("a journal"), cut);
        }
        let args: Vec<&str> =
            command.iter().copied().chain(["--note", &note, "--set", &set[0], "--set", &set[1]]).collect();
        let ran = run(&place, &args);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let journal = fs::read_to_string(dir.journal()).expect("a journal");
        assert!(
            journal.contains("I typed [secret token] and [secret password], with [secret AWS"),
            "{journal}"
        );
        assert!(!journal.to_lowercase().contains("canary"), "{journal}");
        clean_folder(&place.state());
        // without a note nothing needs to be known
        fs::write(dir.journal(), &cut).expect("written");
        assert_eq!(run(&place, command).code, 0);
    }
}

/// A process works on the run: what is left for it in the run's folder is on disk before it is read.
#[test]
fn a_note_that_is_left_for_a_process_holds_no_key_either() {
    let place = Place::new();
    let (dir, cut) = a_waiting_run(&place);
    fs::write(dir.journal(), cut).expect("written");
    let _at_work = redrill::journal::runs::lock(&dir).expect("nobody else works on it");
    let note = format!("with {} and {PASSWORD}, see https://me:hunter2@wiki/", AMBIENT[0].1);
    let set = format!("password={PASSWORD}");
    let ran = run(&place, &["mark", dir.id().as_str(), "note", "--note", &note, "--set", &set]).exits(0);
    let left = fs::read_dir(dir.path().join("inbox")).expect("an inbox");
    let left: String = left.map(|e| fs::read_to_string(e.unwrap().path()).unwrap()).collect();
    assert!(
        left.contains("with [secret AWS secret access key] and [secret password]"),
        "{left}{}",
        ran.stderr
    );
    assert!(!left.contains("hunter2"), "{left}");
    clean_folder(&place.state());
}

/// What `run` keeps beside the journal, of one parameter.
fn given_json(name: &str, value: &str) -> String {
    let mut hash = [0; 32];
    let rounds = std::num::NonZeroU32::MIN;
    let salt = [7; 16];
    let salted = [&salt[..], name.as_bytes()].concat();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salted, value.as_bytes(), &mut hash);
    let hashes = serde_json::json!({ name: STANDARD.encode(hash) });
    serde_json::json!({ "rounds": 1, "salt": STANDARD.encode(salt), "hashes": hashes }).to_string()
}

#[test]
fn another_secret_than_the_runs_own_is_refused_before_anything_is_asked() {
    let place = Place::new();
    let (dir, cut) = a_waiting_run(&place);
    fs::write(dir.journal(), &cut).expect("written");
    fs::write(dir.path().join("given.json"), given_json("password", PASSWORD)).expect("written");
    let id = dir.id().as_str();
    let token = format!("token={TOKEN}");
    for command in ["rollback", "resume"] {
        let with = |password: &str| {
            run(&place, &[command, id, "--set", &token, "--set", &format!("password={password}")])
        };
        let ran = with("Another-Password-71").exits(2);
        let said = "the secret parameter `password` is not the one that the run was started with";
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
        assert!(
            ran.stderr.contains(&format!(
                "nothing was changed; give the value that it was started with: redrill {command} {id}"
            )),
            "{}",
            ran.stderr
        );
        assert!(!ran.stderr.contains("Another"), "{}", ran.stderr);
        // with the right one it goes on, to where there is no account in this test
        let ran = with(PASSWORD);
        assert!(ran.code != 0 && !ran.stderr.contains("is not the one"), "{}", ran.stderr);
        assert_eq!(fs::read_to_string(dir.journal()).expect("a journal"), cut);
    }
}

#[test]
fn an_error_outside_of_a_journal_holds_no_secret() {
    let place = Place::new();
    place.write("drill.yaml", play::drill("/health", WITH_SECRETS));
    let set = [format!("token={TOKEN}"), format!("password={PASSWORD}")];
    let world = format!("{PASSWORD}-{}-{}.json", AMBIENT[0].1, PASSWORD.to_lowercase());
    let ran = run(&place, &["rehearse", "drill.yaml", "--set", &set[0], "--set", &set[1], "--world", &world])
        .exits(2);
    assert!(ran.stderr.contains("[secret password]-[secret AWS secret access key]-"), "{}", ran.stderr);
    assert!(!ran.stderr.to_lowercase().contains("canary"), "{}", ran.stderr);
}

#[test]
fn what_is_written_is_for_its_owner_whatever_the_umask() {
    let place = Place::new();
    let dir = a_run(&place);
    let binary = env!("CARGO_BIN_EXE_redrill");
    let id = dir.id().as_str();
    let script = format!(
        "umask 000; '{binary}' --state s init --key k/signing.pem && '{binary}' report {id} --out out/bundle \
         --key k/signing.pem && '{binary}' report {id}"
    );
    let mut shell = std::process::Command::new("/bin/sh");
    shell
        .args(["-c", &script])
        .env_clear()
        .env("HOME", place.path().join("home"))
        .env("PATH", "/usr/bin:/bin");
    let out = shell.current_dir(place.path()).output().expect("a shell");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut seen = 0;
    for folder in [".redrill", "k", "out"] {
        seen += modes(&place.path().join(folder));
    }
    crate::bench::count(&format!("{seen} files and folders written under umask 000 are their owner's alone"));
}

fn modes(path: &Path) -> usize {
    let meta = fs::symlink_metadata(path).expect("it is there");
    let mode = meta.permissions().mode() & 0o7777;
    // keys for other people may be read by them
    let wanted = if meta.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(mode, wanted, "{}: {mode:o}", path.display());
    if !meta.is_dir() {
        return 1;
    }
    1 + fs::read_dir(path).expect("a folder").map(|e| modes(&e.expect("an entry").path())).sum::<usize>()
}

/// What a program of a `command` step is given: the drill's `env`, and nothing of redrill's own.
#[test]
fn a_program_sees_nothing_of_redrills_own_environment() {
    const CHILD: &str = "REDRILL_TEST_IS_THE_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let mut itself = std::process::Command::new(std::env::current_exe().expect("this test"));
        itself.args([
            "--exact",
            "--nocapture",
            "cli::secrets::a_program_sees_nothing_of_redrills_own_environment",
        ]);
        let out = itself.env(CHILD, "1").envs(AMBIENT).env("AWS_PROFILE", "p").output().expect("it starts");
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(
            out.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&out.stderr)
        );
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let request = CommandRequest {
        // its own view, and the system's view of it and of its arguments
        argv: ["/bin/sh", "-c", "env; tr '\\0' '\\n' </proc/$$/environ; tr '\\0' ' ' </proc/$$/cmdline"]
            .map(str::to_owned)
            .into(),
        env: [("GIVEN".to_owned(), "by the drill".to_owned())].into(),
        cwd: None,
        timeout: Duration::from_secs(30),
    };
    let local = crate::programs::local();
    let told = crate::programs::Told::new("run/step/0");
    let said = runtime.block_on(local.run(&request, &*told)).expect("it runs").stdout;
    clean("a program's environment", said.as_bytes());
    assert!(said.contains("GIVEN=by the drill") && said.contains("PATH="), "{said}");
    assert!(said.contains("\nREDRILL_PROGRAM=run/step/0\n"), "{said}");
    assert!(!said.contains("AWS_") && !said.replace("REDRILL_PROGRAM=", "").contains("REDRILL"), "{said}");
}

#[test]
fn a_drill_gets_no_variable_that_is_no_password() {
    let place = Place::new();
    let of = |name: &str| {
        let probe = format!(
            "{{ probe: sql, with: {{ host: db.example.com, database: o, user: u, query: q, password_env: {name} }} }}"
        );
        play::drill("/health", &format!("{WITH_SECRETS}\nverify:\n  - {probe}"))
    };
    for (name, _) in AMBIENT.into_iter().filter(|(name, _)| *name != "PGPASSWORD").chain([("HOME", "")]) {
        place.write("drill.yaml", of(name));
        for command in ["check", "rehearse"] {
            let ran =
                run(&place, &[command, "drill.yaml", "--set", "token=a", "--set", "password=b"]).exits(2);
            assert!(
                ran.stderr.contains("`password_env` must name a variable that ends in `PASSWORD`"),
                "{}",
                ran.stderr
            );
            assert!(ran.stderr.contains("--> drill.yaml:"), "{}", ran.stderr);
        }
    }
    place.write("drill.yaml", of("PGPASSWORD"));
    assert_eq!(run(&place, &["check", "drill.yaml"]).code, 0);
}
