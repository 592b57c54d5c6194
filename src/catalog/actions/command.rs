//! `command`: runs a local program as a step, and another one to undo it.
//!
//! Left to others: what the program does. Invariant: no shell, and a resumed run never starts the
//! program a second time. That a program has ended well is remembered in this process alone, since
//! nothing else could tell a later look; another process knows nothing and says so.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::action::{
    Action, ActionError, ActionSpec, After, Applied, Batch, Finding, Of, Permissions, Prepared, Progress,
    ReadCx, Reversibility, Severity, StageRule, Undone, WriteCx,
};
use crate::cloud::{CloudResult, CommandOutput, CommandRequest, EffectCertainty, Named};
use crate::model::text::without_user;
use crate::model::{Dur, Target};

/// `command`.
pub struct Command;

/// A program with its surroundings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The program and its arguments, one item each. There is no shell: no `|`, `>`, `*` or `$HOME`.
    #[schemars(length(min = 1))]
    pub argv: Vec<String>,
    /// Killed after this long.
    #[serde(default = "minute")]
    pub timeout: Dur,
    /// Environment variables, added to a minimal environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Working folder. A relative one, and none, count from the folder in which the run began, also for whoever
    /// takes it up from somewhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The exit code that means success.
    #[serde(default)]
    pub expect_exit: i32,
}

/// Parameters of `command`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The program and its arguments, one item each. There is no shell: no `|`, `>`, `*` or `$HOME`.
    #[schemars(length(min = 1))]
    pub argv: Vec<String>,
    /// Killed after this long.
    #[serde(default = "minute")]
    pub timeout: Dur,
    /// Environment variables, added to a minimal environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Working folder. A relative one, and none, count from the folder in which the run began, also for whoever
    /// takes it up from somewhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The exit code that means success.
    #[serde(default)]
    pub expect_exit: i32,
    /// The program that undoes it. It must do no harm when the first one never ran, or ran only half,
    /// or when it is started twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Program>,
}

fn minute() -> Dur {
    Dur::mins(1)
}

/// What undo needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// The program to run, if there is one.
    pub undo: Option<Program>,
}

/// The name in a drill.
pub const NAME: &str = "command";

static SPEC: ActionSpec = ActionSpec {
    name: NAME,
    summary: "Runs a local program, without a shell.",
    kind: None,
    stage: StageRule::Any,
    reversibility: Reversibility::Momentary,
    after: After::None,
    batch: Batch { size: 1, by_zone: false },
    mends: &[],
    outputs: &[],
    timeout: Dur::hours(1),
    undo_timeout: Dur::hours(1),
    poll_every: Dur::secs(1),
    permissions: Permissions { prepare: &[], apply: &[], poll: &[], undo: &[] },
    undo_story: "Runs the program under `undo`; without one there is nothing to run, and the step counts as one \
                 that passes by itself.",
    docs: "Starts a program on the machine that runs redrill and waits for its end. `argv` is the program and its \
arguments; there is no shell, so nothing is expanded. Any exit code other than `expect_exit` fails the step, and \
so does running into `timeout`; either way the program may have done something, so undo runs. What it wrote to \
its output is kept as notes of the step, at most 4 KiB of each stream. A program that changes AWS does so outside \
of the limits and the journal of the drill.

With `undo` the step is reversible. That program has to be written with care: it runs at the end of the run \
whether the first one finished, was cut off, or never started, and may run more than once. Without `undo` the \
step counts as momentary: what it does must pass by itself.

A program does not outlive redrill. It runs in a session of its own, without a terminal, under a guard that ends it \
when redrill is gone, also after `kill -9`. What it is known by is in the journal before it does anything: the guard's \
process id and start time, and a mark that stands in the environment of the program and of whatever it starts \
(`REDRILL_PROGRAM`). `rollback` and `resume` first look for a program whose end is not on record and end it (SIGTERM, \
5 s later SIGKILL), then undo. Where it cannot be ended, or was started on another machine, nothing is undone and the \
run is stuck, with what to do. What a program left in the background when it ended by itself is its effect: `undo` \
has to end it.

A run that was cut off while the program ran cannot tell whether it did its work. Such a step is never started \
again; it counts as failed with an unknown effect, and is undone.",
};

/// The steps of this process whose program ended well: by run and step.
static ENDED_WELL: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn remembered<T>(look: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
    look(&mut ENDED_WELL.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Where it is cut, it says so: what is taken out of texts later is looked for there, too.
fn cut(text: &str) -> Cow<'_, str> {
    const LIMIT: usize = 4096;
    if text.len() <= LIMIT {
        return Cow::Borrowed(text);
    }
    let end = (0..=LIMIT).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    Cow::Owned(format!("{}…", &text[..end]))
}

fn notes(output: &CommandOutput) -> Vec<String> {
    [("stdout", &output.stdout), ("stderr", &output.stderr)]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| format!("{name}: {}", cut(text)))
        .collect()
}

async fn run(cx: WriteCx<'_>, program: &Program) -> Result<CommandOutput, ActionError> {
    let name = program.argv.first().map_or("", String::as_str);
    let request = CommandRequest {
        argv: program.argv.clone(),
        env: program.env.clone(),
        cwd: program.cwd.clone(),
        timeout: program.timeout.0,
    };
    // an error here means that it could not be started, or says that something may have happened
    let output = cx.programs.run(&request).await?;
    let failed = |why: String| {
        let stderr = cut(output.stderr.trim());
        let told = if stderr.is_empty() { String::new() } else { format!("; it said: {stderr}") };
        Err(ActionError::refused(format!("`{name}` {why}{told}")).effect(EffectCertainty::Unknown))
    };
    match output.code {
        _ if output.timed_out => {
            failed(format!("was still running after {} and was killed", program.timeout))
        }
        Some(code) if code == program.expect_exit => Ok(output),
        Some(code) => failed(format!("ended with exit code {code}, not {}", program.expect_exit)),
        None => failed("was ended by a signal".to_owned()),
    }
}

impl Params {
    fn program(&self) -> Program {
        Program {
            argv: self.argv.clone(),
            timeout: self.timeout,
            env: self.env.clone(),
            cwd: self.cwd.clone(),
            expect_exit: self.expect_exit,
        }
    }
}

/// Whether the program, or the whole script that a shell is given, is a secret: of all parameters only those are still
/// references when a drill is checked.
fn hidden(argv: &[String]) -> bool {
    let is_secret =
        |text: &String| text.starts_with("${params.") && text.ends_with('}') && !text[2..].contains('$');
    let scripts =
        argv.windows(2).filter(|pair| matches!(pair[0].as_str(), "-c" | "-e" | "/c")).map(|pair| &pair[1]);
    argv.first().is_some_and(|program| program.contains("${params.")) || scripts.into_iter().any(is_secret)
}

#[async_trait]
impl Action for Command {
    type Params = Params;
    type Undo = Undo;

    fn spec(&self) -> &'static ActionSpec {
        &SPEC
    }

    fn about<'u>(&self, _: &'u Undo) -> Vec<Named<'u>> {
        Vec::new()
    }

    fn astray(&self, undo: &Undo, _: &Of<'_>, params: &Params) -> Option<&'static str> {
        (undo.undo != params.undo).then_some("undo")
    }

    fn reversibility(&self, params: &Params) -> Reversibility {
        if params.undo.is_some() { Reversibility::Reversible } else { Reversibility::Momentary }
    }

    fn check(&self, params: &Params) -> Vec<String> {
        let programs = [("argv", Some(params.program())), ("undo.argv", params.undo.clone())];
        let mut wrong = Vec::new();
        for (field, program) in programs.into_iter().filter_map(|(f, p)| p.map(|p| (f, p))) {
            if program.argv.first().is_none_or(String::is_empty) {
                wrong.push(format!("`{field}` must name a program"));
            }
            if program.argv.iter().chain(program.env.values()).any(|text| without_user(text) != *text) {
                wrong.push(format!(
                    "`{field}` or its `env` has a URL with a user name or password, which would be on disk; let a secret \
                     parameter hold the password: `https://user:${{params.password}}@…`"
                ));
            }
            if hidden(&program.argv) {
                wrong.push(format!(
                    "`{field}`: what runs is not to come from a secret parameter, since nobody who reads or approves the \
                     plan sees it; hand a secret over in `env`"
                ));
            }
            if program.timeout.0 == Duration::ZERO {
                wrong.push(format!("the `timeout` of `{field}` must be longer than nothing"));
            }
        }
        wrong
    }

    async fn inspect(&self, cx: ReadCx<'_>, _: &[Target], params: &Params) -> CloudResult<Vec<Finding>> {
        let mut out = vec![Finding::new(
            Severity::Info,
            cx.step.as_str(),
            "what a local program changes is outside of the drill's limits and journal",
        )];
        if params.undo.is_none() {
            out.push(
                Finding::new(Severity::Info, cx.step.as_str(), "nothing undoes this program")
                    .hint("name a program under `undo` unless its effect passes by itself"),
            );
        }
        Ok(out)
    }

    async fn prepare(
        &self,
        cx: ReadCx<'_>,
        batch: &[(Option<Target>, Value)],
        params: &Params,
    ) -> Vec<Result<Undo, ActionError>> {
        remembered(|ended| ended.remove(&cx.token("command")));
        batch.iter().map(|_| Ok(Undo { undo: params.undo.clone() })).collect()
    }

    async fn apply(
        &self,
        cx: WriteCx<'_>,
        batch: &[Prepared<Undo>],
        params: &Params,
    ) -> Vec<Result<Applied, ActionError>> {
        let mut out = Vec::with_capacity(batch.len());
        for _ in batch {
            out.push(match run(cx, &params.program()).await {
                Ok(output) => {
                    remembered(|ended| ended.insert(cx.read.token("command")));
                    Ok(Applied { outputs: BTreeMap::new(), notes: notes(&output) })
                }
                // its end is the answer: looking again would not find another
                Err(e) => Err(ActionError { hopeless: true, ..e }),
            });
        }
        out
    }

    async fn poll(
        &self,
        cx: ReadCx<'_>,
        _: Option<&Target>,
        _: &Undo,
        params: &Params,
    ) -> Result<Progress, ActionError> {
        if remembered(|ended| ended.contains(&cx.token("command"))) {
            return Ok(Progress::Ready(Applied::default()));
        }
        let name = params.argv.first().map_or("the program", String::as_str);
        Err(ActionError::hopeless(format!(
            "cannot tell whether `{name}` did its work; it is not started again"
        ))
        .effect(EffectCertainty::Unknown))
    }

    async fn undo(&self, cx: WriteCx<'_>, _: Option<&Target>, undo: &Undo) -> Result<Undone, ActionError> {
        let Some(program) = &undo.undo else {
            return Ok(Undone::Nothing("the drill names no program that undoes it".to_owned()));
        };
        let name = program.argv.first().map_or("", String::as_str);
        run(cx, program).await?;
        Ok(Undone::PutBack(format!("`{name}` ended with exit code {}", program.expect_exit)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::catalog::actions::trial::{Trial, params};
    use crate::cloud::{CloudError, ErrorKind, Local, Starting};

    /// Answers by the program's name and remembers what was started.
    #[derive(Default)]
    struct Programs(Mutex<Vec<Vec<String>>>);

    #[async_trait]
    impl Local for Programs {
        async fn run(&self, request: &CommandRequest, _: &dyn Starting) -> CloudResult<CommandOutput> {
            self.0.lock().unwrap().push(request.argv.clone());
            let output = CommandOutput { code: Some(0), ..CommandOutput::default() };
            match request.argv[0].as_str() {
                "missing" => Err(CloudError::new("local:Run", ErrorKind::NotFound, "no such program")),
                "bad" => Ok(CommandOutput { code: Some(3), stderr: "it broke\n".to_owned(), ..output }),
                "slow" => Ok(CommandOutput { code: None, timed_out: true, ..output }),
                "loud" => Ok(CommandOutput { stdout: "é".repeat(10_000), ..output }),
                _ => Ok(output),
            }
        }
    }

    fn trial() -> (Trial, Arc<Programs>) {
        let programs = Arc::new(Programs::default());
        let mut t = Trial::new();
        t.cloud.local = programs.clone();
        (t, programs)
    }

    #[tokio::test(start_paused = true)]
    async fn it_runs_once_and_its_undo_as_often_as_asked() {
        let (t, programs) = trial();
        let p = params(&Command, json!({ "argv": ["break", "it"], "undo": { "argv": ["mend", "it"] } }));
        let undo = t.prepare(&Command, None, &p).await.unwrap();
        let unknown = Command.poll(t.read(), None, &undo, &p).await.unwrap_err();
        assert!(unknown.hopeless && unknown.effect == EffectCertainty::Unknown, "it was not started here");
        t.apply(&Command, None, &undo, &p).await.unwrap();
        assert!(matches!(Command.poll(t.read(), None, &undo, &p).await.unwrap(), Progress::Ready(_)));
        for _ in 0..2 {
            let done = Command.undo(t.write(), None, &undo).await.unwrap();
            assert_eq!(done, Undone::PutBack("`mend` ended with exit code 0".to_owned()));
        }
        assert_eq!(*programs.0.lock().unwrap(), [["break", "it"], ["mend", "it"], ["mend", "it"]]);
        // prepared anew, nothing has ended yet
        t.prepare(&Command, None, &p).await.unwrap();
        assert!(Command.poll(t.read(), None, &undo, &p).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn every_way_to_fail_says_what_may_have_happened() {
        let (t, _) = trial();
        let t = t.another_run();
        for (program, effect, text) in [
            ("missing", EffectCertainty::None, "no such program"),
            ("bad", EffectCertainty::Unknown, "ended with exit code 3, not 0; it said: it broke"),
            ("slow", EffectCertainty::Unknown, "was still running after 1m and was killed"),
        ] {
            let p = params(&Command, json!({ "argv": [program] }));
            let undo = t.prepare(&Command, None, &p).await.unwrap();
            let e = t.apply(&Command, None, &undo, &p).await.unwrap_err();
            assert!(e.hopeless && e.effect == effect && e.message.contains(text), "{e}");
            assert!(Command.poll(t.read(), None, &undo, &p).await.is_err());
            assert!(matches!(Command.undo(t.write(), None, &undo).await.unwrap(), Undone::Nothing(_)));
        }
        let p = params(&Command, json!({ "argv": ["bad"], "expect_exit": 3 }));
        let undo = t.prepare(&Command, None, &p).await.unwrap();
        assert_eq!(t.apply(&Command, None, &undo, &p).await.unwrap().notes, ["stderr: it broke\n"]);
        let p = params(&Command, json!({ "argv": ["loud"] }));
        let notes = t.apply(&Command, None, &undo, &p).await.unwrap().notes;
        assert_eq!(notes[0].len(), "stdout: ".len() + 4096 + "…".len());
    }

    #[test]
    fn only_an_undo_makes_it_reversible() {
        let of = |with: Value| Action::reversibility(&Command, &params(&Command, with));
        assert_eq!(of(json!({ "argv": ["a"] })), Reversibility::Momentary);
        assert_eq!(of(json!({ "argv": ["a"], "undo": { "argv": ["b"] } })), Reversibility::Reversible);
        let check = |with: Value| Action::check(&Command, &params(&Command, with)).len();
        assert_eq!(check(json!({ "argv": ["a"] })), 0);
        assert_eq!(check(json!({ "argv": [] })), 1);
        assert_eq!(check(json!({ "argv": ["a"], "undo": { "argv": [] } })), 1);
        assert_eq!(check(json!({ "argv": ["a"], "timeout": "0s" })), 1);
        // who approves the plan would not see it
        for hidden in [
            json!({ "argv": ["${params.program}", "a"] }),
            json!({ "argv": ["/opt/${params.program}"] }),
            json!({ "argv": ["sh", "-c", "${params.script}"] }),
            json!({ "argv": ["a"], "undo": { "argv": ["python3", "-c", "${params.script}"] } }),
        ] {
            assert_eq!(check(hidden.clone()), 1, "{hidden}");
        }
        assert_eq!(check(json!({ "argv": ["sh", "-c", "psql -h ${params.a} -p ${params.b}"] })), 0);
        assert_eq!(check(json!({ "argv": ["login", "${params.pw}"], "env": { "PW": "${params.pw}" } })), 0);
        // it would be on disk
        assert_eq!(check(json!({ "argv": ["curl", "https://me:hunter2@h/"] })), 1);
        assert_eq!(
            check(json!({ "argv": ["a"], "undo": { "argv": ["b"], "env": { "U": "https://token@h" } } })),
            1
        );
        assert_eq!(
            check(json!({ "argv": ["git", "clone", "ssh://git@h/x", "https://me:${params.pw}@h/"] })),
            0
        );
    }
}
