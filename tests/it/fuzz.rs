//! The short, always equal run of the fuzz targets: the corpus, and mutations of it from a fixed seed.
//!
//! It is not guided by coverage; `tests/fuzz/run MINUTES` is, and leaves what it finds in the corpus. What
//! is mutated are bytes, lines and, where the seed is JSON, single values of it.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::bench::count;

#[path = "../fuzz/targets.rs"]
mod targets;

/// Words that readers treat in a way of their own.
const WORDS: [&str; 40] = [
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "18446744073709551616",
    "9223372036854775807",
    "\"\"",
    "[]",
    "{}",
    "~",
    "<<",
    "*a",
    "&a ",
    "!!str ",
    "---\n",
    "...\n",
    "? ",
    ": ",
    "- ",
    "|\n",
    ">-\n",
    "\t",
    "\r\n",
    "\u{feff}",
    "\u{202e}",
    "\u{1b}[2J",
    "\0",
    "${",
    "${params.x}",
    "${steps.a.b}",
    "$${",
    "%",
    "2026-02-30T25:61:61Z",
    "+262143-01-01T00:00:00Z",
    "1y",
    "99999999999999y",
    "Mon-Sun 00:00-24:00 UTC",
    "redrill",
    "\n",
];

/// Always the same numbers (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let n = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(n).expect("31 bits") % below.max(1)
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.roll(WORDS.len())]
    }
}

/// The text with a few things changed.
fn mutated(seed: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = seed.to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(out.len() + 1);
        let to = (at + dice.roll(64)).min(out.len());
        match dice.roll(9) {
            0 if at < out.len() => out[at] ^= 1 << dice.roll(8),
            1 => drop(out.drain(at..to)),
            2 => drop(out.splice(at..at, dice.word().bytes())),
            3 => drop(out.splice(at..to, dice.word().bytes())),
            4 => {
                let piece = out[at..to].to_vec();
                let here = dice.roll(out.len() + 1);
                drop(out.splice(here..here, piece));
            }
            5 => {
                let from = dice.roll(other.len() + 1);
                let piece = other[from..(from + dice.roll(256)).min(other.len())].to_vec();
                drop(out.splice(at..at, piece));
            }
            // whole lines: away, or once more
            6 | 7 => {
                let mut lines: Vec<Vec<u8>> =
                    out.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
                if !lines.is_empty() {
                    let line = lines.remove(dice.roll(lines.len()));
                    if dice.roll(2) == 0 {
                        let here = dice.roll(lines.len() + 1);
                        lines.splice(here..here, [line.clone(), line]);
                    }
                }
                out = lines.concat();
            }
            _ => out = with_another_value(&out, dice),
        }
    }
    out
}

/// One value of one of the lines that are JSON replaced by another.
fn with_another_value(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    if let Ok(mut whole) = serde_json::from_slice::<Value>(bytes) {
        change(&mut whole, dice);
        return whole.to_string().into_bytes();
    }
    let mut lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    let n = dice.roll(lines.len());
    if let Ok(mut value) = serde_json::from_slice::<Value>(&lines[n]) {
        change(&mut value, dice);
        lines[n] = value.to_string().into_bytes();
    }
    lines.join(&b'\n')
}

fn change(value: &mut Value, dice: &mut Dice) {
    let below = match value {
        Value::Array(items) if !items.is_empty() => {
            let n = dice.roll(items.len());
            items.get_mut(n)
        }
        Value::Object(map) if !map.is_empty() => {
            let n = dice.roll(map.len());
            map.values_mut().nth(n)
        }
        _ => None,
    };
    match below {
        Some(below) if dice.roll(8) > 0 => change(below, dice),
        _ => {
            *value = match dice.roll(9) {
                0 => Value::Null,
                1 => json!(i64::MIN),
                2 => json!(u64::MAX),
                3 => json!(i64::MAX / 1_000),
                4 => json!(1e300),
                5 => json!([]),
                6 => json!({}),
                7 => json!(dice.word().repeat(dice.roll(40))),
                _ => json!(dice.word()),
            };
        }
    }
}

fn files(folder: &Path, ends: &str, out: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, ends, out);
        } else if path.to_string_lossy().ends_with(ends) {
            out.insert(path);
        }
    }
}

/// The corpus of a target, and what else of this repository it reads.
fn seeds(target: &str) -> (usize, Vec<Vec<u8>>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut corpus = BTreeSet::new();
    files(&root.join("tests/fuzz/corpus").join(target), "", &mut corpus);
    let mut more = BTreeSet::new();
    let (folders, ends): (&[&str], &str) = match target {
        "drill" => (&["drills", "tests/fixtures/drills"], ".yaml"),
        "journal" | "journal-chained" => (&["tests/fixtures/bundles"], "journal.jsonl"),
        "plan" | "plan-hashed" => (&["tests/fixtures/bundles"], "plan.json"),
        _ => (&[], ""),
    };
    for folder in folders {
        files(&root.join(folder), ends, &mut more);
    }
    let read = |path: &PathBuf| fs::read(path).expect("a seed");
    (corpus.len(), corpus.iter().chain(&more).map(read).collect())
}

fn run(target: &str, mutations: usize) {
    let (_, go) = targets::TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    let (corpus, seeds) = seeds(target);
    assert!(!seeds.is_empty(), "{target} has no seeds");
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut accepted = 0;
    let mut tried = 0;
    let mut try_one = |bytes: &[u8]| {
        tried += 1;
        match catch_unwind(|| go(bytes)) {
            Ok(yes) => accepted += usize::from(yes),
            Err(_) => {
                let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{target}"));
                fs::write(&place, bytes).expect("written");
                panic!("{target} fails on {}; keep it in tests/fuzz/corpus/{target}", place.display());
            }
        }
    };
    for seed in &seeds {
        try_one(seed);
    }
    for _ in 0..mutations {
        let seed = &seeds[dice.roll(seeds.len())];
        let other = &seeds[dice.roll(seeds.len())];
        try_one(&mutated(seed, other, &mut dice));
    }
    assert!(accepted > 0, "{target} accepted nothing: its seeds are out of date");
    count(&format!(
        "fuzz target {target}: {tried} inputs ({corpus} of the corpus), {accepted} accepted, none fails"
    ));
}

#[test]
fn drill_files() {
    run("drill", 600);
}

#[test]
fn journals() {
    run("journal", 200);
}

#[test]
fn journals_with_their_chain_put_right() {
    run("journal-chained", 80);
}

#[test]
fn plans() {
    run("plan", 100);
}

#[test]
fn plans_with_their_hash_put_right() {
    run("plan-hashed", 150);
}

#[test]
fn files_of_a_bundle() {
    run("bundle", 100);
}

#[test]
fn small_readers() {
    run("small", 3_000);
}

#[test]
fn configurations() {
    run("config", 1_500);
}

#[test]
fn approvals() {
    run("approval", 300);
}

#[test]
fn what_a_sweep_finds() {
    run("sweep", 1_500);
}
