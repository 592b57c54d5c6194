"""A copy of the tree that holds many planted bugs at once, each asleep until a variable wakes it.

A function with bugs becomes one `match`: an arm of its body for each bug, and the body as it is for
everybody else. So one build tries them all, where a build for each would take most of the time. What
the compiler refuses is taken out again; where in the copy it complains says which bug it was.
"""

import json
import re
import shutil
import subprocess

VARIABLE = "REDRILL_MUTANT"
TRACE = "REDRILL_MUTANT_TRACE"
# the lints that are errors by default are about code that nobody writes on purpose; a bug may
HEAD = "#![allow(warnings, arithmetic_overflow, unconditional_panic, overflowing_literals)] "
TAIL = """
pub mod mutant {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    static ACTIVE: LazyLock<u32> =
        LazyLock::new(|| std::env::var("REDRILL_MUTANT").ok().and_then(|n| n.parse().ok()).unwrap_or(0));
    static TRACE: LazyLock<Option<std::path::PathBuf>> =
        LazyLock::new(|| std::env::var_os("REDRILL_MUTANT_TRACE").map(Into::into));
    static REACHED: [AtomicBool; 65_536] = [const { AtomicBool::new(false) }; 65_536];

    /// The number of the bug that is awake; 0: none. That this function was reached is told once.
    pub fn active(function: usize) -> u32 {
        if !REACHED[function].swap(true, Ordering::Relaxed)
            && let Some(trace) = &*TRACE
        {
            use std::io::Write;
            let file = std::fs::OpenOptions::new().create(true).append(true).open(trace);
            file.unwrap().write_all(format!("{function}\n").as_bytes()).unwrap();
        }
        *ACTIVE
    }
}
"""
BUILD = ["cargo", "test", "--no-run", "--lib", "--no-default-features", "--message-format=json"]
TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(?P<hash>\#*)".*?"(?P=hash)|b?"(?:\\.|[^"\\])*"|b?'(?:\\[^\n']+|\\'|[^\\'\n])'|[{}]""",
    re.DOTALL,
)


class Mutant:
    """One bug: where it is, and what stands there instead."""

    def __init__(self, number, entry, text):
        starts = line_starts(text)
        at = lambda p: starts[p["line"] - 1] + p["column"] - 1
        self.number = number
        # the first bug of the same function stands for the function
        self.reached_by = number
        self.file = entry["file"]
        self.name = entry["name"]
        # without the place, which moves with every edit above it
        self.what = self.name.split(": ", 1)[1]
        self.line = text.split("\n")[entry["span"]["start"]["line"] - 1].strip()
        # the same in the next run, unless somebody edits that very line
        self.key = f"{self.file}: {self.what}: {entry['span']['start']['column']}: {self.line}"
        self.start, self.end = at(entry["span"]["start"]), at(entry["span"]["end"])
        self.replacement = entry["replacement"]
        function = entry.get("function")
        self.function = function and (at(function["span"]["start"]), at(function["span"]["end"]))

    def planted(self, text, start=0, end=None):
        """This piece of the file, with the bug."""
        return text[start : self.start] + self.replacement + text[self.end : end]


def line_starts(text):
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts


def body_of(text, start, end):
    """What stands between the braces of the function of this span."""
    depth, opened = 0, None
    for token in TOKEN.finditer(text, start, end):
        if token.group() == "{":
            if depth == 0:
                opened = token.end()
            depth += 1
        elif token.group() == "}":
            depth -= 1
    assert opened is not None and text[end - 1] == "}", text[start:end]
    return opened, end - 1


def woven(text, mutants):
    """The file with all these bugs asleep, and which lines of it belong to which bug."""
    outermost = []
    for span in sorted({m.function for m in mutants}, key=lambda s: (s[0], -s[1])):
        if not outermost or span[0] >= outermost[-1][1]:
            outermost.append(span)
    out, lines, done, line = [], [], 0, 1

    def put(piece):
        nonlocal line
        out.append(piece)
        line += piece.count("\n")

    for start, end in outermost:
        first, last = body_of(text, start, end)
        head = text[start:first]
        # each arm of its own type: they meet in a trait object
        boxed = re.search(r"->\s*impl\s+(.*?)\s*(?:where\b.*)?\{$", head, re.DOTALL)
        before, after = ("Box::new({", "})") if boxed else ("{", "}")
        put(text[done:first])
        if boxed:
            put(f" let chosen: Box<dyn {boxed.group(1)} + '_> =")
        inside = [m for m in mutants if start <= m.start and m.end <= end]
        put(f" match crate::mutant::active({inside[0].number}) {{\n")
        for m in inside:
            m.reached_by = inside[0].number
            from_line = line
            put(f"{m.number} => {before}{m.planted(text, first, last)}\n{after},\n")
            lines.append((from_line, line - 1, m))
        put(f"_ => {before}{text[first:last]}\n{after},\n}}")
        put("; chosen " if boxed else "")
        done = last
    put(text[done:])
    return "".join(out), lines


def copy_of(root, tree):
    """A copy of the tree in which no lint is in the way."""
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(root, tree, symlinks=True, ignore=shutil.ignore_patterns(".git", "target", ".redrill"))
    manifest = tree / "Cargo.toml"
    manifest.write_text(re.sub(r"(?ms)^\[lints\.[a-z]+\]\n.*?(?=^\[|\Z)", "", manifest.read_text()))
    library = tree / "src" / "lib.rs"
    library.write_text(HEAD + library.read_text() + TAIL)


def build(tree, environment):
    """The test binary, or the compiler's errors."""
    ran = subprocess.run(BUILD, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    binary, errors = None, []
    for line in ran.stdout.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("reason") == "compiler-artifact" and message.get("executable"):
            binary = message["executable"]
        if message.get("reason") == "compiler-message" and message["message"]["level"].startswith("error"):
            errors.append(message["message"])
    if ran.returncode != 0 and not errors:
        raise SystemExit(f"the copy cannot be built:\n{ran.stderr[-4000:]}")
    return (binary, []) if ran.returncode == 0 else (None, errors)


def places(error):
    """Where the compiler complains, the main place first."""
    found = []
    for message in [error, *error.get("children", [])]:
        for span in sorted(message["spans"], key=lambda s: not s["is_primary"]):
            while span:
                found.append((span["file_name"], span["line_start"]))
                span = (span.get("expansion") or {}).get("span")
    return found


def build_all(tree, texts, mutants, environment, say):
    """Builds all bugs into one test binary. Returns it with the bugs that it holds and that do not compile."""
    alive, refused = list(mutants), []
    while True:
        lines = {}
        for file, text in texts.items():
            code, lines[file] = woven(text, [m for m in alive if m.file == file])
            (tree / file).write_text(code)
        binary, errors = build(tree, environment)
        if binary:
            return binary, alive, refused
        bad = set()
        for error in errors:
            for file, line in places(error):
                hit = [m for first, last, m in lines.get(file, []) if first <= line <= last]
                if hit:
                    bad.update(m.number for m in hit)
                    break
        if not bad:
            raise SystemExit(f"errors that belong to no bug:\n{errors[0].get('rendered', errors[0])}")
        say(f"{len(bad)} do not compile, {len(alive) - len(bad)} left")
        refused += [m for m in alive if m.number in bad]
        alive = [m for m in alive if m.number not in bad]
