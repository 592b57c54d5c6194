//! What stands in a run's way, and the commands that take it out of it.
//!
//! Locks of targets, service and run keep two processes apart, in one state folder and in all of this machine
//! and user. A run that is not finished refuses a new one on the same targets, of the same drill or of the same
//! service. Each refusal says who, since when, where, and what to type. Reads runs on disk and takes locks.

use std::path::{Path, PathBuf};

use super::at_work::AtWork;
use super::runs::is_open;
use super::session::{io, plan_of, read_journal, read_plan};
use super::{CliError, Global, Kind, checkpoints};
use crate::catalog::kinds;
use crate::journal::Verdict;
use crate::journal::runs::{self, RunDir, RunsError, TargetLocks};
use crate::model::RunId;
use crate::plan::Plan;

/// The keys that a plan's targets are locked under.
pub fn target_keys(plan: &Plan) -> Vec<String> {
    let place = plan.place();
    plan.targets
        .values()
        .flat_map(|t| &t.drawn)
        .map(|t| {
            let region = if kinds::is_global(t.kind) { "global" } else { &plan.region };
            format!("{place}/{region}/{}/{}", t.kind, t.id)
        })
        .collect()
}

/// The key that a plan's service is locked under: a second drill would measure what the first one broke.
pub fn service_key(plan: &Plan) -> String {
    format!("service {} of {}", plan.drill.service, plan.place())
}

/// Where the locks for all state folders of this machine and user lie. Not below `TMPDIR`, which is another
/// one in each session.
pub fn machine_locks() -> PathBuf {
    PathBuf::from(format!("/tmp/redrill-{}", rustix::process::getuid().as_raw()))
}

/// Locks a run and its targets for all state folders of this machine and user.
///
/// # Errors
/// As [`TargetLocks::on_machine`].
pub fn on_machine(state: &Path, run: &RunId, targets: &[String]) -> Result<TargetLocks, RunsError> {
    let keys = [&[format!("run {run}")], targets].concat();
    TargetLocks::on_machine(&machine_locks(), state, run, &keys)
}

/// A lock that is taken is a refusal; anything else is a failure of the state folder.
pub fn locked(global: &Global, e: RunsError) -> CliError {
    match e {
        RunsError::Locked { ref holder, .. } => {
            let (run, state) = (holder.run.clone(), holder.state.clone());
            let Some(run) = run else {
                let refused = CliError::refused("another redrill is at work there").because(e);
                return refused.hint("wait for it to end");
            };
            let at_work = AtWork::of(global, &run, state.as_deref(), holder);
            let refused = match &e {
                RunsError::Locked { what, .. } if *what == format!("run {run}") => {
                    CliError::refused(format!("{what} is in use by {}", at_work.text))
                }
                RunsError::Locked { what, .. } => {
                    CliError::refused(format!("{what} is in use by run {run}: {}", at_work.text))
                }
                _ => CliError::refused("another redrill is at work there").because(&e),
            };
            at_work.hinted(refused)
        }
        RunsError::NotOurs { ref path, .. } => {
            let remove = format!("rm -r {}", quoted(&path.display().to_string()));
            CliError::refused("the locks of this machine cannot be taken")
                .because(e)
                .hint(format!("nothing was changed; as that user or as root: {remove}"))
        }
        e => CliError::new(Kind::Journal, "the state folder cannot be used").because(e),
    }
}

/// What makes an unfinished run stand in the way of a plan.
fn in_the_way(other: &Plan, plan: &Plan) -> Option<String> {
    if other.place() != plan.place() {
        return None;
    }
    let keys = target_keys(plan);
    if let Some(shared) = target_keys(other).iter().find(|k| keys.contains(k)) {
        return Some(format!("has the same target {}", shared.rsplit('/').next().unwrap_or(shared)));
    }
    if other.drill.name == plan.drill.name {
        return Some("is one of the same drill".to_owned());
    }
    let service = &plan.drill.service;
    (other.drill.service == *service).then(|| format!("drills the same service `{service}`"))
}

/// Refuses where a run that is under way or not finished has any of the same targets, or is of the same drill
/// or service: what it broke would be measured, and what is broken now would hide it.
pub fn refuse_unfinished(global: &Global, plan: &Plan) -> Result<(), CliError> {
    for entry in runs::list(&global.state).map_err(io("the runs cannot be listed"))? {
        let Ok(dir) = runs::find(&global.state, entry.run.as_str()) else { continue };
        let other = match read_plan(&dir) {
            Ok(other) => other,
            // what it touches is not known, so it may be the same
            Err(_) if is_open(&global.state, &entry) && has_begun(&dir) => {
                let rollback = command(global, "rollback", &dir);
                return Err(unfinished(&dir, "may have the same targets", &rollback));
            }
            Err(_) => continue,
        };
        let Some(why) = in_the_way(&other, plan).filter(|_| is_open(&global.state, &entry)) else { continue };
        if let Some(holder) = runs::holder(&dir) {
            let at_work = AtWork::of(global, entry.run.as_str(), None, &holder);
            let refused = format!("run {} is under way ({}) and {why}", entry.run, at_work.text);
            return Err(at_work.hinted(CliError::refused(refused)));
        }
        if read_journal(&dir).is_ok_and(|lines| lines.is_empty()) {
            // it ended before its first line: nothing was sent, so there is nothing to put back
            continue;
        }
        return Err(unfinished(&dir, &why, &command(global, "rollback", &dir)));
    }
    Ok(())
}

pub fn unfinished(dir: &RunDir, why: &str, rollback: &str) -> CliError {
    let how = match runs::entry_of(dir).verdict {
        Some(Verdict::Stuck) => "is stuck",
        _ => "is not finished",
    };
    let refused = CliError::refused(format!("run {} {how} and {why}", dir.id()));
    match trusted(dir) {
        // nothing can roll that back
        Err(e) => {
            let told = CliError::refused(format!("{}, and {}", refused.message(), e.message()));
            by_hand(dir).into_iter().fold(told, CliError::hint)
        }
        Ok(_) => refused.hint(format!("roll it back first: {rollback}")),
    }
}

/// Whether a rollback would take the run up.
fn trusted(dir: &RunDir) -> Result<(), CliError> {
    plan_of(dir, &read_journal(dir)?)?;
    let cut = |e| CliError::refused(format!("the journal of run {} is not whole", dir.id())).because(e);
    checkpoints::fit(dir).map_err(cut)
}

/// Whether anything can have been sent.
fn has_begun(dir: &RunDir) -> bool {
    std::fs::metadata(dir.journal()).is_ok_and(|journal| journal.len() > 0)
}

/// What to do about a run whose journal or plan cannot be trusted, in order.
pub fn by_hand(dir: &RunDir) -> [String; 2] {
    let (run, from) = (dir.id(), dir.path());
    let beside = from.parent().and_then(Path::parent).unwrap_or(from).join(format!("{run}.damaged"));
    let [from, to] = [from, &beside].map(|path| quoted(&path.display().to_string()));
    [
        format!(
            "restore the run's folder from a copy, or put back by hand what the run changed; see what carries its \
             tags: redrill sweep --run {run} --list"
        ),
        format!("once nothing of it is left, take it out of the way and keep it as evidence: mv {from} {to}"),
    ]
}

/// How a run is got rid of whose world has ended.
pub fn remove(dir: &RunDir) -> String {
    format!("remove the run's folder: rm -r {}", quoted(&dir.path().display().to_string()))
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:@%+,".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// The exact command: from any folder and shell, it must find the same run and the same account.
pub fn command(global: &Global, verb: &str, dir: &RunDir) -> String {
    typed(global, verb, dir.id().as_str(), None, Some(dir))
}

/// The same for a run of another state folder.
pub fn command_in(global: &Global, verb: &str, run: &str, state: Option<&Path>) -> String {
    let dir = RunDir::at(state.unwrap_or(&global.state).join("runs").join(run));
    typed(global, verb, run, state, dir.as_ref())
}

fn typed(global: &Global, verb: &str, run: &str, state: Option<&Path>, dir: Option<&RunDir>) -> String {
    let mut command = format!("redrill {verb} {run}");
    let own = || std::fs::canonicalize(&global.state).ok();
    let state = state.filter(|state| Some(*state) != own().as_deref()).unwrap_or(&global.state);
    if state != Path::new(".redrill") {
        command = format!("{command} --state {}", quoted(&state.display().to_string()));
    }
    if let Some(profile) = &global.profile {
        command = format!("{command} --profile {profile}");
    }
    // whoever takes the run up needs its secrets again
    if matches!(verb, "resume" | "rollback")
        && let Some(plan) = dir.and_then(|dir| read_plan(dir).ok())
    {
        command.push_str(&plan.set_again());
    }
    command
}

/// How what a run left is put back where its journal is lost.
pub fn by_tag(global: &Global, run: &str) -> String {
    let profile = global.profile.as_ref().map(|profile| format!(" --profile {profile}")).unwrap_or_default();
    format!("redrill sweep --run {run}{profile}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;

    use super::*;
    use crate::cli::session::new_id;
    use crate::drill::{self, LoadOptions};
    use crate::journal::Event;
    use crate::journal::writer::{FileJournal, Journal as _};
    use crate::model::time::VirtualClock;
    use crate::model::{Clock, World};
    use crate::plan::{self, BuildOptions, file};
    use crate::sandbox::ESTATE_JSON;
    use crate::sim::Sim;

    const CUT: &str = "version: 1
name: cut
title: Cut
service: shop
objectives: { rto: 1h }
limits: { accounts: [\"123456789012\"], regions: [us-east-1], max_targets: 2 }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
steady_state: [{ probe: tcp, with: { host: shop.example.com, port: 443 } }]
fault: [{ action: vpc.detach-route-table, target: it }]";

    async fn planned(text: &str, clock: &Arc<dyn Clock>) -> Plan {
        let cloud = Sim::from_estate(ESTATE_JSON, Arc::clone(clock)).unwrap().cloud();
        let loaded = drill::load("drill.yaml", text, &LoadOptions::default()).unwrap();
        let options = BuildOptions::new(World::Sim, cloud.region.clone());
        plan::build(&loaded, &cloud.reads, clock.as_ref(), &options).await.unwrap()
    }

    /// A run of that plan with one line in its journal, and everything at hand.
    async fn begun(plan: &Plan, clock: &Arc<dyn Clock>) -> (tempfile::TempDir, Global, RunDir) {
        let state = tempfile::tempdir().unwrap();
        let global = Global { state: state.path().to_owned(), ..Global::default() };
        let run = new_id(clock.as_ref(), &plan.drill.name);
        let dir = runs::create(state.path(), &run, file::write(plan).as_bytes(), b"x: 1\n").unwrap();
        let journal = FileJournal::create(dir.journal()).unwrap();
        journal.append(clock.stamp(), &[Event::Skew { ms: 1 }], true).await.unwrap();
        (state, global, dir)
    }

    fn clock() -> Arc<dyn Clock> {
        Arc::new(VirtualClock::starting_at(DateTime::from_timestamp(1_790_000_000, 0).unwrap()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_ended_before_its_first_line_is_in_nobodys_way() {
        let clock = clock();
        let plan = planned(CUT, &clock).await;
        assert_eq!(target_keys(&plan).len(), 2);
        let (_state, global, dir) = begun(&plan, &clock).await;
        let refused = refuse_unfinished(&global, &plan).unwrap_err();
        assert!(refused.hints()[0].contains(&format!("redrill rollback {}", dir.id())), "{}", refused.text());
        // one that nothing can roll back is not told to be rolled back
        let damaged = format!("damaged\n{}", std::fs::read_to_string(dir.journal()).unwrap());
        std::fs::write(dir.journal(), &damaged).unwrap();
        let refused = refuse_unfinished(&global, &plan).unwrap_err();
        assert!(
            refused.hints()[0].contains(&format!("redrill sweep --run {}", dir.id())),
            "{}",
            refused.text()
        );
        assert!(!refused.text().contains("redrill rollback"), "{}", refused.text());
        let aside = refused.hints()[1].rsplit_once("mv ").unwrap().1.to_owned();
        std::fs::write(dir.journal(), "").unwrap();
        refuse_unfinished(&global, &plan).unwrap();
        std::fs::write(dir.journal(), &damaged).unwrap();
        assert!(refuse_unfinished(&global, &plan).is_err());
        let (from, to) = aside.split_once(' ').unwrap();
        std::fs::rename(from, to).unwrap();
        refuse_unfinished(&global, &plan).unwrap();
        std::fs::rename(to, from).unwrap();
        // nor one whose plan is gone: what it touches is not known
        std::fs::write(dir.journal(), damaged.split_once('\n').unwrap().1).unwrap();
        let plan_of_it = std::fs::read(dir.plan()).unwrap();
        std::fs::remove_file(dir.plan()).unwrap();
        let refused = refuse_unfinished(&global, &plan).unwrap_err();
        assert!(refused.text().contains("plan cannot be read"), "{}", refused.text());
        assert!(refused.hints()[0].contains("redrill sweep --run"), "{}", refused.text());
        std::fs::write(dir.plan(), plan_of_it).unwrap();
        std::fs::remove_file(dir.journal()).unwrap();
        refuse_unfinished(&global, &plan).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_broke_the_service_before_refuses_another_run_whatever_its_targets() {
        let clock = clock();
        let first = planned(CUT, &clock).await;
        let (_state, global, dir) = begun(&first, &clock).await;
        let own = CUT.replace("private", "public");
        for (other, why) in [
            (CUT.to_owned(), Some("has the same target subnet-")),
            // the same drill draws other targets
            (own.clone(), Some("is one of the same drill")),
            (own.replace("name: cut", "name: other"), Some("drills the same service `shop`")),
            (own.replace("name: cut", "name: other").replacen("service: shop", "service: mail", 1), None),
        ] {
            let plan = planned(&other, &clock).await;
            let refused = refuse_unfinished(&global, &plan).err().map(|e| e.message().to_owned());
            match why {
                Some(why) => assert!(refused.as_ref().is_some_and(|r| r.contains(why)), "{why}: {refused:?}"),
                None => assert_eq!(refused, None),
            }
        }
        // an estate of the same account behind another endpoint is another one
        let elsewhere = Plan { endpoint: Some("http://127.0.0.1:1".to_owned()), ..first.clone() };
        refuse_unfinished(&global, &elsewhere).unwrap();
        assert_ne!(service_key(&elsewhere), service_key(&first));

        let at_work = runs::lock(&dir).unwrap();
        let refused = refuse_unfinished(&global, &planned(&own, &clock).await).unwrap_err();
        let want = format!("run {} is under way (process {}, since 2", dir.id(), std::process::id());
        assert!(refused.message().starts_with(&want), "{}", refused.text());
        assert!(refused.hints().iter().any(|h| h.contains(&format!("redrill abort {}", dir.id()))));
        drop(at_work);
    }

    /// The same question decides what `run` refuses, what `sweep` leaves to a rollback and what `doctor` tells.
    #[tokio::test(start_paused = true)]
    async fn what_version_0_1_0_called_stopped_and_owes_a_replacement_is_open() {
        use crate::journal::{Measured, Verdict};
        use crate::model::{EffectCertainty, StepId};
        let clock = clock();
        let lost = CUT
            .replace("max_targets: 2 }", "max_targets: 2 }\nallow_irreversible: true")
            .replace("vpc.subnet, tags: { service: shop, tier: private }", "ec2.instance, tags: { role: web }, select: { count: 1 }")
            .replace("[{ action: vpc.detach-route-table, target: it }]", "[{ action: ec2.terminate-instances, target: it, id: lose }]\nrecovery: [{ action: ec2.launch-replacement, target: it, id: replace }]");
        let plan = planned(&lost, &clock).await;
        let target = Some(plan.targets["it"].drawn[0].id.clone());
        for (effect, open) in [(EffectCertainty::Unknown, true), (EffectCertainty::None, false)] {
            let (_state, global, dir) = begun(&plan, &clock).await;
            let (journal, _) = FileJournal::open_for_append(dir.journal()).unwrap();
            let step = StepId::new("lose");
            let failed =
                Event::StepFailed { step, target: target.clone(), error: String::new(), effect, hint: None };
            let measured = Box::new(Measured::default());
            let reasons = vec!["stopped and rolled back".to_owned()];
            let end = Event::Finished { verdict: Verdict::Stopped, exit_code: 13, reasons, measured };
            journal.append(clock.stamp(), &[failed, end], true).await.unwrap();
            let entry = runs::entry_of(&dir);
            assert_eq!((entry.verdict, entry.is_open()), (Some(Verdict::Stopped), false), "by its last line");
            assert_eq!(is_open(&global.state, &entry), open, "{effect:?}");
            assert_eq!(refuse_unfinished(&global, &plan).is_err(), open);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_at_work_in_another_state_folder_is_found_there() {
        let clock = clock();
        let plan = planned(CUT, &clock).await;
        let (state, _, dir) = begun(&plan, &clock).await;
        let elsewhere = tempfile::tempdir().unwrap();
        let machine = elsewhere.path().join("locks");
        let take = |state: &Path| TargetLocks::on_machine(&machine, state, dir.id(), &[service_key(&plan)]);
        let _held = take(state.path()).unwrap();
        let e = locked(
            &Global { state: elsewhere.path().into(), ..Global::default() },
            take(elsewhere.path()).unwrap_err(),
        );
        assert_eq!(e.exit_code(), 3);
        let there = std::fs::canonicalize(state.path()).unwrap();
        for verb in ["show", "abort"] {
            let want = format!("redrill {verb} {} --state {}", dir.id(), there.display());
            assert!(e.hints().iter().any(|h| h.ends_with(&want)), "{}", e.text());
        }
        let own = Global { state: state.path().into(), ..Global::default() };
        let e = locked(&own, take(state.path()).unwrap_err());
        assert!(e.hints().iter().all(|h| h.contains(&state.path().display().to_string())), "{}", e.text());
    }

    #[test]
    fn a_folder_of_locks_that_is_somebody_elses_is_said_with_what_to_do() {
        let e = RunsError::NotOurs { path: "/tmp/redrill-1000".into(), owner: 1001 };
        let e = locked(&Global::default(), e);
        assert_eq!(e.exit_code(), 3);
        assert!(e.message().contains("belongs to user 1001") && e.text().contains("rm -r /tmp/redrill-1000"));
    }

    #[test]
    fn a_path_is_printed_as_a_shell_takes_it() {
        assert_eq!(quoted("/a/b-c.d"), "/a/b-c.d");
        assert_eq!(quoted("/my runs/it's"), "'/my runs/it'\\''s'");
    }
}
