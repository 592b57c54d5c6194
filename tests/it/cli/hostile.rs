//! Hostile files and names, fed to the real binary: each is refused in bounded memory, says so calmly, and
//! reaches nothing outside of its place.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use redrill::journal::{Event, Line, NO_PREVIOUS, line_hash, reader};
use serde_json::{Value, json};

use super::{Place, Ran, finish, fixture, text_of};
use crate::play;

/// What the process may have, in kilobytes of address space: far less than a bomb would take.
const MEMORY: u32 = 1_500_000;

/// What steers a terminal, turns the direction of reading, or is there without being seen.
const ACTS: &str = "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}\u{2066}\u{200b}\u{200f}\u{feff}\u{e0041}\u{ad}\u{7f}\u{0}\u{8}\r";

const GOOD: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
recovery: [{ manual: Call the team, id: a }, { action: vpc.attach-route-table, target: it }]";

/// What is said of a pipe or a device.
const IRREGULAR: [&str; 1] = ["it is no regular file"];

/// With the memory bounded.
fn bounded(place: &Place, args: &[&str]) -> Ran {
    let redrill = place.command(args);
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", &format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"")])
        .arg(redrill.get_program())
        .args(redrill.get_args());
    shell.env_clear().envs(redrill.get_envs().filter_map(|(k, v)| Some((k, v?)))).current_dir(place.path());
    shell.stdin(std::process::Stdio::null());
    shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    finish(shell)
}

/// Nothing in the text acts on a terminal.
fn calm(what: &str, text: &str) {
    let acts = text.chars().find(|c| *c != '\n' && (redrill::model::text::is_unseen(*c)));
    assert_eq!(acts, None, "{what}: {text:?}");
}

fn narrow(what: &str, text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{what}: {} columns: {line}", line.chars().count());
    }
}

fn refused(place: &Place, what: &str, args: &[&str]) -> String {
    let ran = bounded(place, args);
    assert_eq!(ran.code, 2, "{what}: {}{}", ran.stdout, ran.stderr);
    let said = if ran.stderr.is_empty() { ran.stdout } else { ran.stderr };
    assert!(!said.contains("panicked") && !said.trim().is_empty(), "{what}: {said}");
    assert!(said.len() < 64 * 1024, "{what}: {} bytes are said", said.len());
    calm(what, &said);
    said
}

#[test]
fn hostile_drill_files_are_refused_in_bounded_memory() {
    let good = play::drill("/health", GOOD);
    let bomb = (1..30).fold("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, n| {
        let before = format!("*a{},", n - 1).repeat(9);
        format!("{text}a{n}: &a{n} [{}]\n", before.trim_end_matches(','))
    });
    let after = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("an alias bomb", bomb.into()),
        ("lists in lists", "[".repeat(500_000).into()),
        ("mappings in mappings", "{a: ".repeat(200_000).into()),
        (
            "blocks in blocks",
            (0..2_000).map(|n| format!("{}a:\n", " ".repeat(n / 5))).collect::<String>().into(),
        ),
        ("dashes", "- ".repeat(400_000).into()),
        ("question marks", "? ".repeat(400_000).into()),
        ("a huge scalar", format!("name: {}\n", "x".repeat(2_000_000)).into()),
        ("a huge key", format!("{}: 1\n", "k".repeat(900_000)).into()),
        ("many keys", (0..120_000).map(|n| format!("k{n}: 1\n")).collect::<String>().into()),
        ("a huge number", format!("version: {}\n", "9".repeat(500_000)).into()),
        ("a huge exponent", after("version: 1", "version: 1e999999999").into()),
        ("a huge duration", after("rto: 10m", "rto: 99999999999999999999y").into()),
        ("a duration that no date can hold", after("rto: 10m", "rto: 10m, give_up: 200000000d").into()),
        ("a wait without an end", format!("settle: 106751991168d\n{good}").into()),
        ("duplicate keys", after("version: 1", "version: 1\nversion: 1").into()),
        ("a merge key", after("version: 1", "<<: {version: 1}").into()),
        ("a tag of Python", after("version: 1", "version: !!python/object/apply:os.system [id]").into()),
        ("a tag of its own", after("title: Play", "title: !include /etc/passwd").into()),
        ("a second document", format!("{good}\n---\n{good}").into()),
        ("a NUL", after("title: Play", "title: \"P\0lay\"").into()),
        ("a NUL outside", format!("{good}\0").into()),
        ("not UTF-8", [good.as_bytes(), b"\xff\xfe"].concat()),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("an ELF", [&b"\x7fELF"[..], &[0; 4096]].concat()),
        ("nothing", vec![]),
        ("a BOM alone", "\u{feff}".into()),
        ("escapes in a key", format!("\"{}\": 1\n", "\\e[2J\\u202e").into()),
        ("escapes as they are", format!("{ACTS}: {ACTS}\n").into()),
        ("a path for a name", after("name: play", "name: ../../etc/cron.d/x").into()),
        ("an absolute name", after("name: play", "name: /etc/passwd").into()),
        ("a dotted name", after("name: play", "name: ..").into()),
        ("a hidden name", after("name: play", "name: .ssh").into()),
        ("a name with a newline", after("name: play", "name: \"a\\nb\"").into()),
        ("a very long name", after("name: play", &format!("name: {}", "n".repeat(10_000))).into()),
        ("a path for a step", after("id: a", "id: ../../a").into()),
        ("a very long step", after("id: a", &format!("id: {}", "s".repeat(10_000))).into()),
    ];
    let place = Place::new();
    place.write("drill.yaml", &good);
    let ran = bounded(&place, &["check", "drill.yaml"]);
    assert_eq!(ran.code, 0, "the one that all of them are made from: {}", ran.stderr);
    for (what, bytes) in &files {
        place.write("drill.yaml", bytes);
        for command in [
            &["check", "drill.yaml"][..],
            &["check", "drill.yaml", "--output", "json"],
            &["rehearse", "drill.yaml"],
        ] {
            refused(&place, what, command);
        }
    }
    // not hostile, only unusual
    for (what, bytes) in [
        ("a BOM", format!("\u{feff}{good}")),
        ("a directive that nothing uses", format!("%TAG ! tag:evil,2000:\n---\n{good}")),
        ("CRLF", good.replace('\n', "\r\n")),
        ("a comment that acts", format!("{good}# \u{202e}\n")),
    ] {
        place.write("drill.yaml", bytes);
        let ran = bounded(&place, &["check", "drill.yaml"]);
        assert_eq!(ran.code, 0, "{what}: {}", ran.stderr);
    }
    // larger than any memory, without a byte on the disk
    let endless = fs::File::create(place.path().join("endless")).expect("a file");
    endless.set_len(1 << 40).expect("a file with a hole");
    let pipe = Command::new("mkfifo").arg(place.path().join("pipe")).status().expect("mkfifo");
    assert!(pipe.success());
    let refuses = ["it is larger than", "a drill may have", "is larger"];
    for (file, says) in [("endless", &refuses[..]), ("/dev/zero", &IRREGULAR), ("pipe", &IRREGULAR)] {
        for args in [
            &["check", file][..],
            &["iam", file],
            &["rehearse", file],
            &["rehearse", "--from", file],
            &["rehearse", "drill.yaml", "--world", file],
            &["runs", "--config", file],
            &["verify", ".", "--receipt", file],
            &["verify", ".", "--timestamp-ca", file],
            &["verify", ".", "--key", file],
            &["verify", ".", "--cloudtrail-keys", file],
            &["approve", file, "--by", "Ann", "--key", "none"],
        ] {
            let said = refused(&place, file, args);
            let one_line = said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(says.iter().any(|s| one_line.contains(s)), "{args:?}: {said}");
        }
    }
    // a shell's own pipe is meant
    let redrill = place.command(&["check", "/dev/stdin"]);
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "cat drill.yaml | \"$0\" \"$@\""]).arg(redrill.get_program()).args(redrill.get_args());
    shell.env_clear().envs(redrill.get_envs().filter_map(|(k, v)| Some((k, v?)))).current_dir(place.path());
    shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    assert_eq!(finish(shell).code, 0);
    assert!(!place.state().exists(), "nothing is left");
    crate::bench::count(&format!(
        "{} hostile drill files refused with exit code 2 in {} MB of address space",
        files.len(),
        MEMORY / 1000
    ));
}

#[test]
fn names_given_to_commands_reach_nothing_outside() {
    let place = Place::new();
    let dir = place.run_of(&text_of(&fixture("stop")), 1);
    fs::create_dir(place.path().join("outside")).expect("a folder");
    place.write("outside/journal.txt", "precious");
    let journal = fs::read(dir.journal()).expect("a journal");
    let mut tried = 0;
    for command in [
        &["show"][..],
        &["report"],
        &["resume"],
        &["rollback"],
        &["mark"],
        &["abort"],
        &["confirm"],
        &["sign-off"],
    ] {
        for hostile in [
            "../../etc",
            "../outside",
            "/etc",
            "/etc/passwd",
            "..",
            ".",
            "outside/journal.txt",
            "runs/../..",
            "%2e%2e",
            "a\0b",
            "\u{202e}",
            "-",
        ] {
            if hostile.contains('\0') {
                continue; // no argument can hold one
            }
            let rest: &[&str] = match command[0] {
                "mark" => &["note"],
                "confirm" => &["call"],
                "sign-off" => &["--accept", "--by", "x", "--key", "none.pem"],
                _ => &[],
            };
            let args: Vec<&str> =
                command.iter().copied().chain([hostile]).chain(rest.iter().copied()).collect();
            refused(&place, &format!("{args:?}"), &args);
            tried += 1;
        }
    }
    assert_eq!(place.read("outside/journal.txt"), "precious");
    assert_eq!(fs::read(dir.journal()).expect("a journal"), journal);
    crate::bench::count(&format!("{tried} commands with hostile run ids refused"));
}

/// The plan of a drill with one value changed, and its hash put right.
fn edited(plan: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut whole: Value = serde_json::from_str(plan).expect("a plan");
    change(&mut whole["plan"]);
    let hash = line_hash(&serde_json_canonicalizer::to_vec(&whole["plan"]).expect("canonical"));
    whole["sha256"] = hash.into();
    whole.to_string()
}

#[test]
fn hostile_plans_are_refused_or_stay_inside() {
    let place = Place::new();
    let plan = place.plan_of(&text_of(&fixture("stop")));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (what, text) in [
        ("deep nesting", format!("{{\"plan\": {deep}, \"sha256\": \"\"}}")),
        ("an edit", plan.replacen("us-east-1", "eu-west-1", 1)),
        ("a field more", edited(&plan, |p| p["evil"] = json!(1))),
        ("another format", edited(&plan, |p| p["format"] = json!(1e300))),
        ("no plan", "[]".to_owned()),
        ("a duplicate key", plan.replacen("{", "{\"sha256\": \"x\",", 1)),
        ("escapes", edited(&plan, |p| p[ACTS] = json!(ACTS))),
    ] {
        place.write("plan.json", text);
        refused(&place, what, &["rehearse", "--from", "plan.json"]);
    }
    // accepted or not: nothing is written outside, and nothing acts on the terminal
    for name in ["../../../escape", "/tmp/escape", "..", ".", "", "a/b", "a\nb", ACTS] {
        place.write("plan.json", edited(&plan, |p| p["drill"]["name"] = json!(name)));
        let ran = bounded(&place, &["rehearse", "--from", "plan.json"]);
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        calm(name, &(ran.stdout + &ran.stderr));
        let ran = bounded(&place, &["run", "plan.json", "--yes"]);
        assert_ne!(ran.code, 0);
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    }
    let mut left: Vec<_> =
        fs::read_dir(place.path()).expect("a folder").map(|e| e.expect("an entry").file_name()).collect();
    left.sort();
    assert_eq!(left, ["home", "plan.json"]);
    assert!(!Path::new("/tmp/escape").exists());
}

/// The journal of a run with every text of every event changed, and its chain put right.
fn rewritten(journal: &[u8], change: impl Fn(&mut Event)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut prev = NO_PREVIOUS.to_owned();
    for mut line in reader::read(journal).expect("a journal").lines {
        change(&mut line.event);
        let line = Line { prev: prev.clone(), ..line };
        let raw = serde_json::to_vec(&line).expect("JSON");
        prev = line_hash(&raw);
        out.extend(raw);
        out.push(b'\n');
    }
    out
}

fn hostile_texts(text: &'static str) -> impl Fn(&mut Event) {
    move |event| match event {
        Event::Header { title, caller, drill, .. } => {
            *title = format!("T{text}");
            *caller = format!("C{text}");
            *drill = format!("D{text}");
        }
        Event::Observed { seen, .. } => *seen = format!("S{text}"),
        Event::Found { finding } => {
            *finding = json!({ "severity": text, "subject": text, "text": text, "hint": text });
        }
        Event::Marked { note, by, .. } => (*note, *by) = (text.to_owned(), text.to_owned()),
        Event::Waiting { text: what, .. } => *what = text.to_owned(),
        Event::StopRequested { detail, .. } => *detail = text.to_owned(),
        Event::CallAnswered { request_id, .. } => *request_id = Some(text.to_owned()),
        _ => {}
    }
}

/// What tells of a run in a terminal, and the documents that are made of it.
const TOLD: [&[&str]; 6] = [
    &["show"],
    &["show", "last", "--timeline"],
    &["report"],
    &["runs"],
    &["findings", "--all"],
    &["report", "last", "--format", "text"],
];
const DOCUMENTS: [&[&str]; 10] = [
    &["report", "last", "--format", "markdown"],
    &["report", "last", "--format", "html"],
    &["report", "last", "--form", "fedramp"],
    &["report", "last", "--form", "nist-800-84"],
    &["report", "last", "--form", "iso-22301"],
    &["report", "last", "--form", "summary"],
    &["report", "last", "--export", "vanta"],
    &["report", "last", "--export", "junit"],
    &["show", "last", "--output", "json"],
    &["findings", "--all", "--output", "json"],
];

#[test]
fn nothing_that_a_journal_holds_acts_on_a_terminal_or_in_a_document() {
    let mut looked = 0;
    for drill in ["missed", "stop", "failed"] {
        let place = Place::new();
        let dir = place.run_of(&text_of(&fixture(drill)), 1);
        let journal = rewritten(&fs::read(dir.journal()).expect("a journal"), hostile_texts(ACTS));
        fs::write(dir.journal(), &journal).expect("written");
        for args in TOLD.iter().chain(&DOCUMENTS) {
            let ran = bounded(&place, args);
            assert!(!ran.stdout.is_empty() && ran.code <= 1, "{args:?}: {}", ran.stderr);
            // CSV ends its lines with CR and LF
            calm(&format!("{drill} {args:?}"), &ran.stdout.replace("\r\n", "\n"));
            calm(&format!("{drill} {args:?}"), &ran.stderr);
            looked += 1;
        }
        for name in ["report.md", "report.json"] {
            let text = fs::read_to_string(dir.path().join(name)).expect("a report");
            // JSON says what was there, as escapes
            calm(name, &text);
        }
    }
    crate::bench::count(&format!("{looked} outputs of journals full of escape sequences hold none"));
}

#[test]
fn long_names_and_many_tags_keep_to_eighty_columns() {
    let long: &'static str = Box::leak("n".repeat(10_000).into_boxed_str());
    let place = Place::new();
    let dir = place.run_of(&text_of(&fixture("missed")), 1);
    fs::write(dir.journal(), rewritten(&fs::read(dir.journal()).expect("a journal"), hostile_texts(long)))
        .expect("written");
    for args in [&["show"][..], &["report", "last", "--format", "text"]] {
        let ran = place.run(args).exits(0);
        narrow(&format!("{args:?}"), &ran.stdout);
        assert!(ran.stdout.contains('…') && ran.stdout.lines().count() < 1_000);
    }
    for args in TOLD {
        assert!(bounded(&place, args).stdout.len() < 200_000, "{args:?}");
    }
    let mut plan = redrill::plan::file::read(&place.plan_of(&text_of(&fixture("missed")))).expect("a plan");
    plan.drill.title = long.to_owned();
    for target in plan.targets.values_mut().flat_map(|t| &mut t.drawn) {
        target.name = Some(format!("{ACTS}{long}"));
        target.tags.extend((0..5_000).map(|n| (format!("k{n}{ACTS}"), long.to_owned())));
    }
    let told = redrill::report::plan_text::plan_text(&plan, 80);
    narrow("the plan", &told);
    calm("the plan", &told);
    assert!(
        told.contains("more") && told.contains('…') && told.lines().count() < 500,
        "{}",
        told.lines().count()
    );
}

#[test]
fn a_spreadsheet_finds_no_formula() {
    let place = Place::new();
    let dir = place.run_of(&text_of(&fixture("missed")), 1);
    let original = fs::read(dir.journal()).expect("a journal");
    for formula in
        ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "\u{200b}=1", "\"=1", "=1,\"=2\n=3"]
    {
        let text: &'static str = Box::leak(formula.to_owned().into_boxed_str());
        let change = |event: &mut Event| match event {
            Event::Header { title, .. } => *title = text.to_owned(),
            Event::Observed { seen, .. } => *seen = text.to_owned(),
            Event::Found { finding } => {
                *finding = json!({ "severity": "warning", "subject": text, "text": text });
            }
            _ => {}
        };
        fs::write(dir.journal(), rewritten(&original, change)).expect("written");
        let csv = place.run(&["report", "last", "--export", "vanta"]).exits(0).stdout;
        for row in csv.split("\r\n").filter(|r| !r.is_empty()) {
            let inner = row.strip_prefix('"').and_then(|r| r.strip_suffix('"')).expect("quoted");
            for cell in inner.split("\",\"") {
                assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', ' ', '＝']), "{formula:?}: {row}");
                assert!(!cell.replace("\"\"", "").contains('"'), "{formula:?}: {row}");
            }
        }
    }
}

#[test]
fn a_journal_that_is_no_journal_is_refused() {
    let place = Place::new();
    let dir = place.run_of(&text_of(&fixture("stop")), 1);
    let good = fs::read(dir.journal()).expect("a journal");
    let deep = [&b"{\"a\":"[..], "[".repeat(200_000).as_bytes(), b"\n", &good].concat();
    for (what, bytes) in [
        ("deep nesting", deep),
        ("zeros", [vec![0; 1 << 20], vec![b'\n'], good.clone()].concat()),
        ("not UTF-8", [&b"\xff\n"[..], &good].concat()),
        ("a line twice", [&good[..], good.split_inclusive(|b| *b == b'\n').next().expect("a line")].concat()),
    ] {
        fs::write(dir.journal(), bytes).expect("written");
        for command in ["show", "report", "rollback"] {
            let ran = bounded(&place, &[command]);
            assert!(ran.code == 21 || ran.code == 2, "{what}, {command}: {} {}", ran.code, ran.stderr);
            assert!(!ran.stderr.contains("panicked"));
            calm(what, &(ran.stdout + &ran.stderr));
        }
    }
}

/// Each place of the state folder where a link, or a pipe, could stand for a file or folder.
#[test]
fn links_and_pipes_in_the_state_folder_are_not_followed() {
    let mut tried = 0;
    let names = [
        "journal.jsonl",
        "plan.json",
        "drill.yaml",
        "lock",
        "inbox",
        "report.json",
        "annotations.jsonl",
        "signing.pub",
    ];
    for pipe in [false, true] {
        for name in names {
            let place = Place::new();
            let dir = place.run_of(&text_of(&fixture("missed")), 1);
            let path = dir.path().join(name);
            let kept = place.path().join("kept");
            fs::create_dir(&kept).expect("a folder");
            let outside = if name == "inbox" { kept.clone() } else { kept.join("file") };
            if path.is_dir() {
                fs::remove_dir_all(&path).expect("removed");
            } else if path.exists() {
                fs::rename(&path, &outside).expect("moved");
            } else {
                fs::write(&outside, "precious").expect("written");
            }
            if pipe {
                let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo");
                assert!(made.success());
            } else {
                symlink(&outside, &path).expect("a link");
            }
            let before = tree(&kept);
            for args in [
                &["show"][..],
                &["report"],
                &["findings"],
                &["mark", "last", "note"],
                &["rollback"],
                &["runs"],
            ] {
                let ran = place.run(args); // it comes to an end: nobody waits for a pipe
                assert!(!ran.stderr.contains("panicked"), "{name} {args:?}: {}", ran.stderr);
                tried += 1;
            }
            assert_eq!(tree(&kept), before, "{name}: nothing is written through it");
        }
    }
    // whole folders
    for (folder, args) in [("runs", &["runs"][..]), ("runs", &["show"]), ("keys", &["init"])] {
        let place = Place::new();
        let dir = place.run_of(&text_of(&fixture("missed")), 1);
        let kept = place.path().join("kept");
        fs::create_dir(&kept).expect("a folder");
        let path = place.state().join(folder);
        if path.exists() {
            fs::rename(&path, kept.join("inner")).expect("moved");
        }
        symlink(kept.join("inner"), &path).expect("a link");
        let before = tree(&kept);
        let ran = place.run(args);
        assert!(!ran.stdout.contains(dir.id().as_str()), "{folder}: {}", ran.stdout);
        assert_eq!(tree(&kept), before, "{folder}: nothing is written through it");
        tried += 1;
    }
    // the folder of the keys: no key is made or read in another one
    for made in [false, true] {
        let place = Place::new();
        let _dir = place.run_of(&text_of(&fixture("missed")), 1);
        if made {
            let _made = place.run(&["init"]).exits(0);
        }
        let kept = place.path().join("kept");
        let keys = place.state().join("keys");
        match made {
            true => fs::rename(&keys, &kept).expect("moved"),
            false => fs::create_dir(&kept).expect("a folder"),
        }
        symlink(&kept, &keys).expect("a link");
        let before = tree(&kept);
        let _key = place.run(&["init", "--key", "reviewer.pem"]).exits(0);
        let sign = ["sign-off", "last", "--by", "x", "--key", "reviewer.pem"];
        for args in [&["init"][..], &["report", "last", "--out", "b"], &sign] {
            let ran = place.run(args);
            assert_ne!(ran.code, 0, "{args:?}");
            assert!(
                ran.stderr.contains("links in the state folder are not followed"),
                "{args:?}: {}",
                ran.stderr
            );
            tried += 1;
        }
        assert_eq!(tree(&kept), before, "no key is made there");
    }
    // a bundle's file
    let place = Place::new();
    let _dir = place.run_of(&text_of(&fixture("missed")), 1);
    place.write("precious", "precious");
    fs::create_dir(place.path().join("bundle")).expect("a folder");
    symlink(place.path().join("precious"), place.path().join("bundle/report.json")).expect("a link");
    let _key = place.run(&["init", "--key", "signing.pem"]).exits(0);
    let _refused = place.run(&["report", "last", "--out", "bundle", "--key", "signing.pem"]).exits(2);
    assert_eq!(place.read("precious"), "precious");
    crate::bench::count(&format!(
        "{tried} commands met a link or a pipe in the state folder, and none followed it"
    ));
}

/// Every file below, with what is in it.
fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            out.extend(tree(&path));
        } else {
            out.push((path.display().to_string(), fs::read(&path).expect("a file")));
        }
    }
    out.sort();
    out
}
