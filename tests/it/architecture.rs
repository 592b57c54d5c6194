//! The architecture page of `src/lib.rs` is kept by this test: the table of imports is read from
//! there. Each check is a function over source text, and is shown made-up text that breaks its rule.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The longest a source file may be; about 600 lines is the aim.
const MAX_LINES: usize = 650;

/// Modules that decide: synchronous, no I/O.
const PURE: &[&str] = &[
    "drill",
    "plan/again",
    "plan/limits",
    "plan/lint",
    "plan/drift",
    "plan/file",
    "engine/calls",
    "engine/state",
    "engine/place",
    "engine/redaction",
    "engine/secrets",
    "engine/standstill",
    "engine/unended",
    "engine/decide",
    "engine/recovery",
    "engine/steady_state",
    "engine/stop",
    "engine/verdict",
    "engine/rollup",
    "engine/setup",
    "view",
];

/// One source file: its path below `src` with forward slashes, and its text.
struct Source {
    path: String,
    text: String,
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let below = path.strip_prefix(&root).expect("below the root");
                let text = std::fs::read_to_string(&path).expect("source is text");
                found.push(Source { path: below.to_string_lossy().replace('\\', "/"), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 5, "no sources under {folder}: the test looks in the wrong place");
    found
}

/// Whether a file holds nothing but tests and what they share.
fn is_test(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "testing.rs" | "trial.rs"))
}

/// The code without comments, text in quotes, and what stands under `#[cfg(test)]`.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let here = &text[at..];
        if here.starts_with("//") {
            while rest.peek().is_some_and(|(_, c)| *c != '\n') {
                rest.next();
            }
        } else if let Some(hashes) = raw(here) {
            let end = format!("\"{}", "#".repeat(hashes));
            let from = at + 2 + hashes;
            let to = text[from..].find(&end).map_or(text.len(), |n| from + n + end.len());
            while rest.peek().is_some_and(|(i, _)| *i < to) {
                rest.next();
            }
            out.push_str("\"\"");
        } else if c == '"' {
            while let Some((_, c)) = rest.next() {
                match c {
                    '\\' => drop(rest.next()),
                    '"' => break,
                    _ => {}
                }
            }
            out.push_str("\"\"");
        } else if here.starts_with("'\"'") || here.starts_with("'\\\"'") {
            out.push_str("' '");
            let n = if here.starts_with("'\"'") { 2 } else { 3 };
            for _ in 0..n {
                rest.next();
            }
        } else {
            out.push(c);
        }
    }
    without_tests(&out)
}

/// How many `#` a raw string has, if one begins here.
fn raw(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('r')?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    rest[hashes..].starts_with('"').then_some(hashes)
}

/// Cuts every item that stands under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let mut depth = 0_usize;
        let mut end = item.len();
        for (i, c) in item.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        end = i + 1;
                        break;
                    }
                }
                ';' if depth == 0 => {
                    end = i + 1;
                    break;
                }
                _ => {}
            }
        }
        rest = &item[end..];
    }
    out.push_str(rest);
    out
}

/// The module a file belongs to: the first part of its path.
fn module(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// Every module named as `crate::x`, `crate::{x, …}` or, in the binary, `redrill::x`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for root in ["crate::", "redrill::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '$')) {
                continue;
            }
            let rest = code[at + root.len()..].trim_start();
            match rest.strip_prefix('{') {
                None => found.extend(word(rest)),
                Some(group) => {
                    let mut depth = 1_usize;
                    let mut first = true;
                    for (i, c) in group.char_indices() {
                        match c {
                            '{' => depth += 1,
                            '}' => depth -= 1,
                            ',' if depth == 1 => first = true,
                            c if depth == 1 && first && !c.is_whitespace() => {
                                found.extend(word(&group[i..]));
                                first = false;
                            }
                            _ => {}
                        }
                        if depth == 0 {
                            break;
                        }
                    }
                }
            }
        }
    }
    found
}

fn word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// The table of the architecture page: module → what it may import; `None` for everything.
fn table(page: &str) -> BTreeMap<String, Option<BTreeSet<String>>> {
    let block = page.split("```text").nth(1).and_then(|b| b.split("```").next()).unwrap_or_default();
    let mut table = BTreeMap::new();
    for line in block.lines() {
        let mut words = line.trim_start_matches("//!").split_whitespace();
        let Some(module) = words.next() else { continue };
        let allowed: BTreeSet<String> = words.map(str::to_owned).collect();
        let allowed = match allowed.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["everything"] => None,
            ["nothing"] => Some(BTreeSet::new()),
            _ => Some(allowed),
        };
        table.insert(module.to_owned(), allowed);
    }
    table
}

/// Imports against the direction of the table.
fn wrong_imports(sources: &[Source], table: &BTreeMap<String, Option<BTreeSet<String>>>) -> Vec<String> {
    let mut wrong = Vec::new();
    for s in sources.iter().filter(|s| !is_test(&s.path) && s.path != "lib.rs") {
        let module = module(&s.path);
        let Some(allowed) = table.get(module) else {
            wrong.push(format!("{}: module `{module}` is not in the table", s.path));
            continue;
        };
        let Some(allowed) = allowed else { continue };
        for import in imports(&code(&s.text)) {
            if import != module && !allowed.contains(&import) {
                wrong.push(format!("{}: `{module}` must not import `{import}`", s.path));
            }
        }
    }
    wrong
}

/// Files outside of `home` that hold one of the words.
fn outside(sources: &[Source], home: impl Fn(&str) -> bool, words: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for s in sources.iter().filter(|s| !home(&s.path) && !is_test(&s.path)) {
        let code = code(&s.text);
        for w in words {
            if code.match_indices(w).any(|(at, _)| {
                !code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
            }) {
                wrong.push(format!("{}: {w}", s.path));
            }
        }
    }
    wrong
}

fn is_pure(path: &str) -> bool {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    PURE.iter().any(|p| stem == *p || stem.strip_prefix(p).is_some_and(|rest| rest.starts_with('/')))
}

fn without_page(sources: &[Source]) -> Vec<String> {
    let missing = |s: &&Source| !s.text.starts_with("//!");
    sources.iter().filter(missing).map(|s| format!("{}: does not begin with `//!`", s.path)).collect()
}

fn too_long(sources: &[Source]) -> Vec<String> {
    let lines = |s: &Source| s.text.lines().count();
    let long = sources.iter().filter(|s| lines(s) > MAX_LINES);
    long.map(|s| format!("{}: {} lines, at most {MAX_LINES}", s.path, lines(s))).collect()
}

/// Tests that are left out without a word about why.
fn ignored_in_silence(sources: &[Source]) -> Vec<String> {
    let mark = concat!("#[", "ignore]");
    let silent = sources.iter().filter(|s| code(&s.text).contains(mark) || tests_of(&s.text).contains(mark));
    silent.map(|s| format!("{}: {mark} without a reason", s.path)).collect()
}

/// The text without comments and strings, tests included.
fn tests_of(text: &str) -> String {
    let kept = text.lines().filter(|l| !l.trim_start().starts_with("//") && !l.contains('"'));
    kept.collect::<Vec<_>>().join("\n")
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

fn made_up(path: &str, text: &str) -> Vec<Source> {
    vec![Source { path: path.to_owned(), text: text.to_owned() }]
}

#[test]
fn imports_go_in_one_direction() {
    let page = include_str!("../../src/lib.rs");
    let table = table(page);
    let declared: BTreeSet<&str> =
        page.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(declared.len() > 10, "{declared:?}");
    for module in &declared {
        assert!(table.contains_key(*module), "`{module}` is not in the table of src/lib.rs");
    }
    for (module, allowed) in &table {
        for a in allowed.iter().flatten() {
            assert!(
                declared.contains(a.as_str()),
                "the table lets `{module}` import `{a}`, which is no module"
            );
        }
    }
    none("imports against the direction", &wrong_imports(&sources("src"), &table));
}

#[test]
fn the_table_itself_has_no_circle() {
    let mut left = table(include_str!("../../src/lib.rs"));
    loop {
        let ready: Vec<String> = left
            .iter()
            .filter(|(_, allowed)| match allowed {
                None => left.len() <= 2, // everything but main
                Some(a) => a.iter().all(|m| !left.contains_key(m)),
            })
            .map(|(m, _)| m.clone())
            .collect();
        if ready.is_empty() {
            break;
        }
        for m in ready {
            left.remove(&m);
        }
    }
    assert!(left.is_empty(), "modules in a circle: {:?}", left.keys());
}

#[test]
fn only_the_edge_names_the_sdk_writes_and_reads_clocks() {
    let all = sources("src");
    let sdk = ["aws_sdk_", "aws_config", "aws_types", "aws_smithy", "aws_credential_types"];
    none("SDK types outside of aws", &outside(&all, |p| module(p) == "aws", &sdk));
    let terminal =
        ["println!", "print!", "eprintln!", "eprint!", "io::stdout", "io::stderr", "stdout()", "stderr()"];
    none(
        "writes outside of cli::out",
        &outside(&all, |p| p == "cli/out.rs" || p == "cli/progress.rs", &terminal),
    );
    let clocks = ["Utc::now", "Local::now", "SystemTime::now", "Instant::now"];
    none("clocks outside of model::time", &outside(&all, |p| p == "model/time.rs", &clocks));
}

/// Whoever asks something over the network, or reads a variable, stands where it can be found.
#[test]
fn only_few_ask_the_network_and_the_environment() {
    let all = sources("src");
    let at = |places: &'static [&str]| move |p: &str| places.iter().any(|place| p.starts_with(place));
    let network = ["TcpStream", "UdpSocket", "lookup_host", "ToSocketAddrs", "reqwest::Client"];
    none("the network outside of net", &outside(&all, at(&["aws/", "net/", "sandbox/"]), &network));
    let variables = ["env::var"];
    let edge = at(&["cli/", "aws/", "net/", "sandbox/", "engine/sabotage.rs"]);
    none("variables outside of the edge", &outside(&all, edge, &variables));
}

/// A kind of resource is one file: only what acts on it names it, sweep, which tells by it what an
/// action did, and what counts the instances in reach.
#[test]
fn kinds_are_known_by_their_own_files() {
    let all = sources("src");
    let home = |p: &str| {
        let own = ["catalog/kinds/", "catalog/actions/", "sweep/", "inventory/reach.rs", "plan/again.rs"];
        own.iter().any(|place| p.starts_with(place))
    };
    let names: Vec<String> =
        redrill::catalog::kinds::all().map(|k| k.name().to_uppercase().replace(['.', '-'], "_")).collect();
    let words: Vec<String> = names.iter().map(|name| format!("kinds::{name}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    none("kinds outside of their files", &outside(&all, home, &words));
    none("a kind that none of its actions names", &unnamed(&all, &words));
}

/// Words that stand nowhere.
fn unnamed(sources: &[Source], words: &[&str]) -> Vec<String> {
    let stands = |word: &&&str| sources.iter().any(|s| s.text.contains(**word));
    words.iter().filter(|w| !stands(w)).map(|w| (*w).to_owned()).collect()
}

#[test]
fn what_decides_neither_waits_nor_touches_the_disk() {
    let all = sources("src");
    let pure: Vec<Source> = all.into_iter().filter(|s| is_pure(&s.path)).collect();
    for p in PURE {
        assert!(pure.iter().any(|s| s.path.starts_with(p)), "there is no module `{p}`");
    }
    let io = [
        "async fn",
        "tokio::",
        "std::fs",
        "fs::read",
        "File::",
        "std::net",
        "std::process",
        "std::env",
        ".await",
    ];
    none("I/O in a pure module", &outside(&pure, |_| false, &io));
}

#[test]
fn every_file_says_what_it_is_for_and_stays_short() {
    let (src, tests) = (sources("src"), sources("tests/it"));
    let own: Vec<Source> = src.into_iter().collect();
    none("no module page", &without_page(&own));
    none("no module page", &without_page(&tests));
    none("too long", &too_long(&own));
    none("too long", &too_long(&tests));
    none("left out in silence", &ignored_in_silence(&own));
    none("left out in silence", &ignored_in_silence(&tests));
}

// ── negative twins: each rule can be broken ─────────────────────────────────────────────────────

#[test]
fn an_import_against_the_direction_is_found() {
    let page = "//! ```text\n//! model  nothing\n//! view  model\n//! cli  everything\n//! ```";
    let wrong = |path: &str, text: &str| wrong_imports(&made_up(path, text), &table(page));
    assert_eq!(wrong("view/mod.rs", "use crate::model::Dur;"), [""; 0]);
    assert_eq!(wrong("view/mod.rs", "use crate::view::types::X;"), [""; 0]);
    assert_eq!(wrong("cli/run.rs", "use crate::view::X;"), [""; 0]);
    assert_eq!(
        wrong("model/ids.rs", "use crate::view::X;"),
        ["model/ids.rs: `model` must not import `view`"]
    );
    assert_eq!(
        wrong("model.rs", "fn f() -> crate::cli::Kind {}"),
        ["model.rs: `model` must not import `cli`"]
    );
    assert_eq!(
        wrong("view/mod.rs", "use crate::{model::{Dur, StepId}, cli, engine as e};"),
        ["view/mod.rs: `view` must not import `cli`", "view/mod.rs: `view` must not import `engine`"]
    );
    assert_eq!(wrong("new/mod.rs", ""), ["new/mod.rs: module `new` is not in the table"]);
    // what is not code does not count, and what is does
    for harmless in [
        "// crate::cli::x",
        "//! [`crate::cli`]",
        "const A: &str = \"crate::cli\";",
        "const A: &str = r#\"a \" crate::cli\"#;",
        "#[cfg(test)]\nmod tests { use crate::cli::x; fn f() { g() } }",
        "#[cfg(test)]\nuse crate::cli::x;",
        "macro_rules! m { () => { $crate::cli::x } }",
    ] {
        assert_eq!(wrong("view/mod.rs", harmless), [""; 0], "{harmless}");
    }
    for hidden in [
        "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::cli::x;",
        "const Q: char = '\"'; use crate::cli::x; const R: char = '\"';",
        "const A: &str = \"\\\"\"; use crate::cli::x;",
        "const A: &str = r\"\\\"; use crate::cli::x;",
    ] {
        assert_eq!(wrong("view/mod.rs", hidden).len(), 1, "{hidden}");
    }
}

#[test]
fn a_word_in_the_wrong_place_is_found() {
    let found =
        |text: &str, words: &[&str]| outside(&made_up("plan/build.rs", text), |p| module(p) == "aws", words);
    assert_eq!(found("let c = aws_sdk_ec2::Client::new();", &["aws_sdk_"]).len(), 1);
    assert_eq!(found("// aws_sdk_ec2", &["aws_sdk_"]).len(), 0);
    assert_eq!(found("println!(\"x\");", &["println!"]).len(), 1);
    assert_eq!(found("let now = Utc::now();", &["Utc::now"]).len(), 1);
    assert_eq!(found("async fn f() {}", &["async fn"]).len(), 1);
    let home = outside(&made_up("aws/ec2.rs", "aws_sdk_ec2::x"), |p| module(p) == "aws", &["aws_sdk_"]);
    assert_eq!(home, [""; 0]);
    assert!(is_pure("engine/stop.rs") && is_pure("drill/check.rs") && is_pure("engine/recovery/phases.rs"));
    assert!(!is_pure("engine/stopping.rs") && !is_pure("engine/driver.rs"));
}

#[test]
fn a_file_without_a_page_a_long_one_and_a_silent_skip_are_found() {
    assert_eq!(without_page(&made_up("a.rs", "use x;")).len(), 1);
    assert_eq!(without_page(&made_up("a.rs", "//! For this.\n")).len(), 0);
    assert_eq!(too_long(&made_up("a.rs", &"\n".repeat(MAX_LINES + 1))).len(), 1);
    assert_eq!(too_long(&made_up("a.rs", &"\n".repeat(MAX_LINES))).len(), 0);
    let silent = format!("#[cfg(test)]\nmod tests {{\n#[test]\n#[{}]\nfn f() {{}} }}", "ignore");
    assert_eq!(ignored_in_silence(&made_up("a.rs", &silent)).len(), 1);
    let said = "#[test]\n#[ignore = \"needs a real account\"]\nfn f() {}";
    assert_eq!(ignored_in_silence(&made_up("a.rs", said)).len(), 0);
}
