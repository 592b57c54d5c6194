//! Help, version, catalogue, schema, completions; what goes wrong before any command begins.

use std::io::{BufRead as _, BufReader, Read as _};

use super::{Place, finish, redrill};

#[test]
fn the_version_needs_nothing_at_all() {
    let place = Place::new();
    let plain = place.run(&["--version"]);
    assert_eq!(plain.all(), (0, concat!("redrill ", env!("CARGO_PKG_VERSION"), "\n"), ""));
    let mut command = place.command(&["--version"]);
    // nothing is asked, whatever the environment says and wherever it is started
    command
        .env("HOME", "/nonexistent/home")
        .env("AWS_PROFILE", "no-such-profile")
        .env("AWS_REGION", "nowhere")
        .env("AWS_CONFIG_FILE", "/nonexistent/config")
        .env("AWS_ENDPOINT_URL", "not a URL")
        .env("AWS_ACCESS_KEY_ID", "\u{1}")
        .env("REDRILL_STATE", "/nonexistent/state")
        .env_remove("PATH");
    assert_eq!(finish(command).all(), plain.all());
    assert!(!place.state().exists(), "nothing is written");
}

#[test]
fn help_lists_every_command_once() {
    let help = redrill(&["--help"]);
    let commands: Vec<&str> = help
        .stdout
        .lines()
        .skip_while(|l| *l != "Commands:")
        .skip(1)
        .take_while(|l| !l.is_empty())
        .filter(|l| l.starts_with("  ") && !l.starts_with("   "))
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    assert_eq!(
        commands,
        [
            "demo",
            "check",
            "plan",
            "approve",
            "run",
            "rehearse",
            "resume",
            "rollback",
            "sweep",
            "runs",
            "show",
            "report",
            "verify",
            "publish",
            "sign-off",
            "init",
            "findings",
            "reconcile",
            "mark",
            "confirm",
            "abort",
            "catalog",
            "iam",
            "doctor",
            "schema",
            "sandbox",
            "completions",
            "help"
        ]
    );
    for command in commands.iter().filter(|c| **c != "help") {
        let one = redrill(&[command, "--help"]);
        assert!(one.stdout.contains("Usage: redrill"), "{command}: {}", one.stdout);
        let wide = one.stdout.lines().find(|l| l.chars().count() > 80);
        assert_eq!(wide, None, "{command} --help fits 80 columns");
    }
}

#[test]
fn no_command_and_an_unknown_one_are_wrong_usage() {
    let place = Place::new();
    let none = place.run(&[]).exits(2);
    assert!(none.stderr.contains("Usage: redrill [OPTIONS] <COMMAND>") && none.stdout.is_empty());
    let unknown = place.run(&["frobnicate"]);
    assert_eq!(
        unknown.all(),
        (
            2,
            "",
            "error: unrecognized subcommand 'frobnicate'\n\nUsage: redrill [OPTIONS] <COMMAND>\n\n\
             For more information, try '--help'.\n"
        )
    );
    let near = place.run(&["rehears"]).exits(2);
    assert!(near.stderr.contains("a similar subcommand exists: 'rehearse'"), "{}", near.stderr);
    let _ = place.run(&["runs", "--output", "yaml"]).exits(2);
    let set = place.run(&["check", "x.yaml", "--set", "size"]).exits(2);
    assert!(set.stderr.contains("write NAME=VALUE"), "{}", set.stderr);
}

#[test]
fn commands_that_users_are_told_to_type_exist() {
    // every `redrill WORD` in the sources is a command, so that no hint leads nowhere
    let help = redrill(&["--help"]).stdout;
    let known = |word: &str| help.lines().any(|l| l.split_whitespace().next() == Some(word));
    let mut open = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    let mut looked_at = 0;
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            for line in text.lines().filter(|l| !l.trim_start().starts_with("//") && l.contains('"')) {
                for (at, _) in line.match_indices("redrill ") {
                    if line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '-' | '_')) {
                        continue;
                    }
                    let typed = line[..at].ends_with('`') || line[..at].ends_with(": ");
                    let word: String =
                        line[at + 8..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
                    if typed && !word.is_empty() {
                        looked_at += 1;
                        assert!(known(&word), "{}: `redrill {word}` is no command: {line}", path.display());
                    }
                }
            }
        }
    }
    assert!(looked_at > 10, "only {looked_at} found: the test looks in the wrong place");
}

#[test]
fn the_catalogue_is_listed_and_shown() {
    let list = redrill(&["catalog"]);
    assert!(list.stdout.starts_with("Actions\n  ec2.terminate-instances"), "{}", list.stdout);
    assert!(list.stdout.contains("\nProbes\n  http"), "{}", list.stdout);
    let json = redrill(&["catalog", "--output", "json"]).json();
    assert_eq!(json.len(), 1, "one value, one line");
    assert_eq!(json[0]["actions"][0]["name"], "ec2.terminate-instances");
    assert!(json[0]["probes"][0]["params"]["properties"]["url"]["description"].is_string());
    let wait = redrill(&["catalog", "wait"]);
    for part in ["wait\n  ", "Undo: ", "Stands under: fault or recovery", "  for (duration, required): "] {
        assert!(wait.stdout.contains(part), "{part} is not in\n{}", wait.stdout);
    }
    assert_eq!(redrill(&["catalog", "tcp", "--output", "json"]).json()[0]["name"], "tcp");
}

#[test]
fn a_misspelt_name_is_guessed() {
    let place = Place::new();
    assert_eq!(
        place.run(&["catalog", "ec2.terminate-instance"]).all(),
        (
            2,
            "",
            "redrill: there is no action or probe `ec2.terminate-instance`\n  \
             hint: did you mean `ec2.terminate-instances`? `redrill catalog` lists them all\n"
        )
    );
    assert_eq!(
        place.run(&["catalog", "zzz"]).all(),
        (2, "", "redrill: there is no action or probe `zzz`\n  hint: `redrill catalog` lists them all\n")
    );
}

#[test]
fn completions_are_for_each_shell() {
    for (shell, part) in
        [("bash", "_redrill()"), ("zsh", "#compdef redrill"), ("fish", "complete -c redrill")]
    {
        let text = redrill(&["completions", shell]).stdout;
        assert!(text.contains(part) && text.contains("rehearse"), "{shell}");
    }
    let _ = Place::new().run(&["completions", "tcsh"]).exits(2);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    for args in [&["catalog", "--markdown"][..], &["catalog"], &["schema"]] {
        let mut child = place.command(args).spawn().expect("starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut first = String::new();
        stdout.read_line(&mut first).expect("a line");
        assert!(!first.is_empty());
        drop(stdout);
        let mut said = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        let status = child.wait().expect("ends");
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn nothing_is_coloured_off_the_terminal() {
    let place = Place::new();
    for env in [None, Some("NO_COLOR"), Some("CLICOLOR_FORCE")] {
        let mut command = place.command(&["rehearse", &super::shipped("s3-object-loss")]);
        if let Some(name) = env {
            command.env(name, "1");
        }
        let ran = finish(command).exits(0);
        assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "{env:?}");
    }
}

#[test]
fn options_come_from_the_environment_and_flags_win() {
    let place = Place::new();
    let mut command = place.command(&["runs"]);
    command.env("REDRILL_OUTPUT", "json").env("REDRILL_STATE", "elsewhere");
    assert_eq!(finish(command).all(), (0, "[]\n", ""));
    let mut command = place.command(&["runs", "--output", "text", "--state", "here"]);
    command.env("REDRILL_OUTPUT", "json").env("REDRILL_STATE", "elsewhere");
    assert_eq!(finish(command).all(), (0, "no runs in here; start with: redrill demo\n", ""));
}

#[test]
fn without_python_the_demo_fails_as_ours_to_mend_and_says_what_to_install() {
    let place = Place::new();
    let mut command = place.command(&["demo"]);
    command.env("PATH", place.path().join("empty")).env("REDRILL_PYTHON", "/nowhere/python3");
    let ran = finish(command).exits(1);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("hint: install Python 3.11 or later"), "{}", ran.stderr);
    assert!(!place.state().join("runs").exists(), "no run was begun");
}
