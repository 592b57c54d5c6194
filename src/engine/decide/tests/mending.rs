//! What a fault broke for good: who mends it, when, and when that is no longer done.

use super::*;
use crate::engine::testing::LOSS;
use crate::model::EffectCertainty::{None as Nothing, Partial, Unknown};

/// The run of this drill, in this stage, with the targets of its `web`.
async fn run_of(drill: &str, stage: Stage) -> (RunState, Vec<String>) {
    let mut state = RunState::new(plan_of(drill).await);
    state.sessions = 1;
    (state.preflighted, state.armed) = (true, true);
    (state.stage, state.attached_ms) = (Some((stage, 0)), 0);
    let web = state.plan.targets["web"].drawn.iter().map(|t| t.id.clone()).collect();
    (state, web)
}

fn set(state: &mut RunState, step: &str, target: &str, status: Status) {
    let cell = state.cells.get_mut(&(StepId::new(step), Some(target.to_owned())));
    cell.unwrap_or_else(|| panic!("no {step} on {target}")).status = status;
}

fn set_all(state: &mut RunState, step: &str, status: Status) {
    for (_, cell) in state.cells.iter_mut().filter(|((id, _), _)| id.as_str() == step) {
        cell.status = status;
    }
}

fn step(step: &str, targets: &[&String]) -> Task {
    Task::Step { step: StepId::new(step), targets: targets.iter().map(|t| Some((*t).clone())).collect() }
}

fn look(targets: &[&String]) -> Task {
    let targets = targets.iter().map(|t| Some((*t).clone())).collect();
    Task::Look { step: StepId::new("terminate"), targets }
}

fn names(steps: &[&PlannedStep]) -> Vec<String> {
    steps.iter().map(|s| s.id.to_string()).collect()
}

const NO_MEND: &str = "  - { action: ec2.launch-replacement, target: web, id: replace }\n";

/// The fault can be put back, and the recovery does it.
const NET: &str = "version: 1
name: net
title: Net
service: shop
objectives: { rto: 15m }
limits: { accounts: [\"123456789012\"], regions: [us-east-1], max_targets: 9 }
targets: { web: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
steady_state: [{ name: page, probe: http, with: { url: \"http://127.0.0.1:8080/health\", status: 200 } }]
fault: [{ action: vpc.detach-route-table, target: web, id: terminate }]
recovery: [{ action: vpc.attach-route-table, target: web, id: replace }]";

/// What is launched takes the place of other servers than those that are lost.
fn elsewhere() -> String {
    LOSS.replace("  orders:", "  other: { resource: ec2.instance, tags: { role: worker } }\n  orders:")
        .replace("launch-replacement, target: web", "launch-replacement, after: remove, target: other")
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_the_same_on_every_call_until_all_of_it_is_done() {
    let (mut state, web) = run_of(&LOSS.replace("count: 2", "count: 3"), Stage::Fault).await;
    state.t0 = Some(0);
    let zone = |z: &str| -> Vec<&String> {
        let drawn = state.plan.targets["web"].drawn.iter().filter(|t| t.zone() == Some(z));
        drawn.map(|t| web.iter().find(|id| **id == t.id).unwrap()).collect()
    };
    let (first, second) = (zone("us-east-1a"), zone("us-east-1b"));
    assert_eq!((first.len(), second.len()), (2, 1));
    let whole = [step("terminate", &first), step("terminate", &second)];
    assert_eq!(decide(&state, 0, &[]).tasks, whole, "by zone, as AWS takes them");
    set(&mut state, "terminate", first[0], Status::Ready);
    assert_eq!(decide(&state, 0, &[]).tasks, whole, "one of the batch is not done");
    set(&mut state, "terminate", first[1], Status::Ready);
    assert_eq!(decide(&state, 0, &[]).tasks, whole[1..]);
    set(&mut state, "terminate", second[0], Status::Ready);
    assert_eq!(enters(&state, 0), Some(Stage::Impact));
}

#[tokio::test(start_paused = true)]
async fn recoveries_run_group_by_group() {
    let (mut state, web) = run_of(LOSS, Stage::Recovery).await;
    state.t0 = Some(0);
    let (a, b) = (&web[0], &web[1]);
    set_all(&mut state, "terminate", Status::Ready);
    assert_eq!(decide(&state, 0, &[]).tasks, [step("replace", &[a]), step("replace", &[b])], "one a call");
    set(&mut state, "replace", a, Status::Ready);
    assert_eq!(decide(&state, 0, &[]).tasks, [step("replace", &[b])]);
    set(&mut state, "replace", b, Status::Ready);
    let orders = state.plan.targets["orders"].drawn[0].id.clone();
    assert_eq!(decide(&state, 0, &[]).tasks, [step("restore", &[&orders])]);
    set_all(&mut state, "restore", Status::Ready);
    assert_eq!(enters(&state, 0), Some(Stage::Verify));
    state.armed = false;
    assert_eq!(decide(&state, 0, &[]).tasks, [Task::Arm], "no step runs on targets that are not tagged");
}

#[tokio::test(start_paused = true)]
async fn what_the_fault_surely_left_alone_is_not_replaced() {
    for (stopped, other, both) in [
        (false, Status::Failed(Nothing), false),
        (false, Status::Failed(Unknown), true),
        (false, Status::Failed(Partial), true),
        (false, Status::Skipped, false),
        (false, Status::Ready, true),
        (false, Status::Started, true),
        // it may still run, unless the run is stopped
        (false, Status::Idle, true),
        (false, Status::Prepared, true),
        (true, Status::Idle, false),
        (true, Status::Prepared, false),
        (true, Status::Ready, true),
        (true, Status::Failed(Nothing), false),
    ] {
        let (mut state, web) = run_of(LOSS, Stage::Recovery).await;
        set(&mut state, "terminate", &web[0], Status::Ready);
        set(&mut state, "terminate", &web[1], other);
        state.stop = stopped.then(|| (StopCause::Signal, String::new()));
        let found = steps(&state, Stage::Recovery).unwrap().tasks;
        let wanted = if both { vec![&web[0], &web[1]] } else { vec![&web[0]] };
        let wanted: Vec<Task> = wanted.into_iter().map(|t| step("replace", &[t])).collect();
        assert_eq!(found, wanted, "stopped: {stopped}, {other:?}");
        let spared = |t: Option<&String>| spared(&state, &state.plan.steps[1], t);
        assert_eq!([spared(Some(&web[0])), spared(Some(&web[1])), spared(None)], [false, !both, false]);
        // a fault is never spared, nor a recovery that mends nothing
        let step = |n: usize| &state.plan.steps[n];
        assert!(!super::super::spared(&state, step(0), Some(&web[1])));
        assert!(!super::super::spared(&state, step(2), Some(&web[1])));
    }
}

#[tokio::test(start_paused = true)]
async fn a_recovery_mends_the_fault_that_it_is_made_for_on_the_same_targets() {
    let pairs = async |drill: &str| {
        let plan = plan_of(drill).await;
        let mut found = Vec::new();
        for fault in &plan.steps {
            found.extend(
                plan.steps.iter().filter(|r| mended_by(fault, r)).map(|r| format!("{} {}", fault.id, r.id)),
            );
        }
        found
    };
    assert_eq!(pairs(LOSS).await, ["terminate replace"]);
    assert_eq!(pairs(NET).await, ["terminate replace"]);
    assert_eq!(pairs(&elsewhere()).await, [""; 0]);
    // the same action among the recoveries is no fault, and among the faults no recovery
    let plan = plan_of(LOSS).await;
    let with = |n: usize, stage| PlannedStep { stage, ..plan.steps[n].clone() };
    assert!(!mended_by(&with(0, Stage::Recovery), &plan.steps[1]));
    assert!(!mended_by(&plan.steps[0], &with(1, Stage::Fault)));
}

#[tokio::test(start_paused = true)]
async fn only_what_is_lost_for_good_and_not_yet_mended_is_mended_after_a_stop() {
    for (status, open) in [
        (Status::Idle, true),
        (Status::Prepared, true),
        (Status::Started, true),
        (Status::Applied, true),
        (Status::Ready, false),
        (Status::Failed(Unknown), false),
        (Status::Skipped, false),
    ] {
        let (mut state, web) = run_of(LOSS, Stage::Recovery).await;
        set_all(&mut state, "terminate", Status::Ready);
        set_all(&mut state, "replace", Status::Ready);
        set(&mut state, "replace", &web[1], status);
        let wanted: &[&str] = if open { &["replace"] } else { &[] };
        assert_eq!(names(&mends(&state)), wanted, "{status:?}");
        for (signals, mending) in [(0, open), (1, open), (2, false), (3, false)] {
            state.signals = signals;
            assert_eq!(is_mending(&state, &StepId::new("replace")), mending, "{status:?}, {signals} signals");
            assert!(!is_mending(&state, &StepId::new("restore")));
            assert!(!is_mending(&state, &StepId::new("terminate")));
        }
        state.cells.values_mut().for_each(|c| c.kept = true);
        assert_eq!(names(&mends(&state)), [""; 0], "what is kept stands in its place");
    }
    let (mut state, web) = run_of(LOSS, Stage::Recovery).await;
    assert_eq!(names(&mends(&state)), [""; 0], "nothing was lost");
    set(&mut state, "terminate", &web[0], Status::Failed(Nothing));
    assert_eq!(names(&mends(&state)), [""; 0]);
    set(&mut state, "terminate", &web[0], Status::Failed(Unknown));
    assert_eq!(names(&mends(&state)), ["replace"]);
    for drill in [NET, &elsewhere()] {
        let (mut state, _) = run_of(drill, Stage::Recovery).await;
        set_all(&mut state, "terminate", Status::Ready);
        assert_eq!(names(&mends(&state)), [""; 0], "{drill}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_looks_where_it_is_not_known_what_is_lost() {
    let (mut state, web) = run_of(LOSS, Stage::Fault).await;
    state.stop = Some((StopCause::Signal, String::new()));
    set(&mut state, "terminate", &web[0], Status::Started);
    assert_eq!(decide(&state, 0, &[]).tasks, [look(&[&web[0]])]);
    set(&mut state, "terminate", &web[1], Status::Applied);
    assert_eq!(decide(&state, 0, &[]).tasks, [look(&[&web[0], &web[1]])]);
    // not while its call is under way, and not while something else is
    for running in [step("terminate", &[&web[0]]), Task::Arm, Task::Preflight] {
        let waits = decide(&state, 500, std::slice::from_ref(&running));
        assert_eq!((waits.tasks, waits.wake), (vec![], Some(1_500)), "{running:?}");
    }
    let goes_on = decide(&state, 500, &[Task::Release]);
    assert_eq!(goes_on.tasks, [look(&[&web[0], &web[1]])]);
    for signals in [2, 3] {
        state.signals = signals;
        assert_eq!(enters(&state, 0), Some(Stage::Undo), "whoever asks twice wants no more than undo");
    }
    state.signals = 1;
    assert_eq!(decide(&state, 0, &[]).tasks, [look(&[&web[0], &web[1]])]);
    // what is known needs no look
    set_all(&mut state, "terminate", Status::Failed(Nothing));
    let waits = decide(&state, 500, &[look(&[&web[0]])]);
    assert_eq!((waits.events, waits.tasks, waits.wake), (vec![], vec![], Some(1_500)), "looking");
    assert_eq!(enters(&state, 0), Some(Stage::Undo));
    for drill in [NET, &LOSS.replace(NO_MEND, ""), &elsewhere()] {
        let (mut state, _) = run_of(drill, Stage::Fault).await;
        state.stop = Some((StopCause::Signal, String::new()));
        set_all(&mut state, "terminate", Status::Started);
        assert_eq!(enters(&state, 0), Some(Stage::Undo), "it decides nothing: {drill}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_stop_the_loss_is_mended_first_unless_somebody_asks_twice() {
    for stage in [Stage::Fault, Stage::Undo] {
        let (mut state, web) = run_of(LOSS, stage).await;
        state.stop = Some((StopCause::Signal, String::new()));
        set(&mut state, "terminate", &web[0], Status::Ready);
        for signals in [0, 1] {
            state.signals = signals;
            assert_eq!(decide(&state, 0, &[]).tasks, [step("replace", &[&web[0]])], "{stage:?}");
            let running = [step("replace", &[&web[0]])];
            assert_eq!(decide(&state, 0, &running).tasks, running, "{stage:?}: it goes on");
        }
        state.signals = 2;
        let undo = Task::Undo { step: StepId::new("terminate"), target: Some(web[0].clone()) };
        match stage {
            Stage::Undo => assert_eq!(decide(&state, 0, &[]).tasks, [undo]),
            _ => {
                let waits = decide(&state, 500, &[step("replace", &[&web[0]])]);
                assert_eq!((waits.events, waits.wake), (vec![], Some(1_500)), "what runs comes to its end");
                assert_eq!(enters(&state, 500), Some(Stage::Undo));
            }
        }
    }
    // one group after the other
    let second = LOSS.replace(
        NO_MEND,
        &format!("{NO_MEND}  - {{ action: ec2.launch-replacement, target: web, id: again }}\n"),
    );
    let (mut state, web) = run_of(&second, Stage::Fault).await;
    state.stop = Some((StopCause::Signal, String::new()));
    set(&mut state, "terminate", &web[0], Status::Ready);
    assert_eq!(decide(&state, 0, &[]).tasks, [step("replace", &[&web[0]])]);
    // in the clean-up it is looked, too
    let (mut state, web) = run_of(LOSS, Stage::Undo).await;
    set(&mut state, "terminate", &web[0], Status::Started);
    assert_eq!(decide(&state, 0, &[]).tasks, [look(&[&web[0]])]);
    state.signals = 2;
    let undo = Task::Undo { step: StepId::new("terminate"), target: Some(web[0].clone()) };
    assert_eq!(decide(&state, 0, &[]).tasks, [undo]);
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_is_named_until_it_is_mended() {
    let owed_for = |state: &RunState| -> Vec<(String, usize, bool)> {
        owed(state)
            .into_iter()
            .map(|o| (format!("{} {}", o.fault, o.mend), o.targets.len(), o.failed))
            .collect()
    };
    let pair = "terminate replace".to_owned();
    for (status, wanted) in [
        (Status::Idle, Some((1, false))),
        (Status::Started, Some((1, false))),
        (Status::Skipped, Some((1, false))),
        (Status::Failed(Nothing), Some((1, true))),
        (Status::Failed(Unknown), Some((1, true))),
        (Status::Ready, None),
    ] {
        let (mut state, web) = run_of(LOSS, Stage::Undo).await;
        set_all(&mut state, "terminate", Status::Ready);
        set_all(&mut state, "replace", Status::Ready);
        set(&mut state, "replace", &web[1], status);
        let wanted: Vec<_> = wanted.map(|(n, failed)| (pair.clone(), n, failed)).into_iter().collect();
        assert_eq!(owed_for(&state), wanted, "{status:?}");
        assert_eq!(unmended(&state).len(), wanted.len(), "{status:?}");
        // kept, or spared by the fault
        for spared in [false, true] {
            let (mut state, web) = run_of(LOSS, Stage::Undo).await;
            set_all(&mut state, "terminate", Status::Ready);
            set_all(&mut state, "replace", Status::Ready);
            set(&mut state, "replace", &web[1], status);
            if spared {
                set(&mut state, "terminate", &web[1], Status::Failed(Nothing));
            } else {
                state.cells.values_mut().for_each(|c| c.kept = true);
            }
            assert_eq!(
                (owed_for(&state), unmended(&state)),
                (vec![], vec![]),
                "{status:?}, spared: {spared}"
            );
        }
    }
    let (mut state, _) = run_of(LOSS, Stage::Undo).await;
    assert_eq!((owed_for(&state), unmended(&state)), (vec![], vec![]), "nothing was lost");
    set_all(&mut state, "terminate", Status::Failed(Unknown));
    assert_eq!(owed_for(&state), [(pair, 2, false)], "it may have been");
    // where the drill has nothing for it, it is lost all the same
    let (mut state, _) = run_of(&LOSS.replace(NO_MEND, ""), Stage::Undo).await;
    set_all(&mut state, "terminate", Status::Ready);
    assert_eq!((owed(&state), unmended(&state)), (vec![], vec![StepId::new("terminate")]));
    // what can be put back is undone, not owed
    let (mut state, _) = run_of(NET, Stage::Undo).await;
    set_all(&mut state, "terminate", Status::Ready);
    assert_eq!((owed(&state), unmended(&state)), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_fault_without_an_answer_is_looked_for_once_more_before_the_run_ends() {
    let (mut state, web) = run_of(LOSS, Stage::Undo).await;
    state.holding.insert(web[0].clone());
    set_all(&mut state, "terminate", Status::Failed(Nothing));
    assert_eq!(decide(&state, 0, &[]).tasks, [Task::Release], "every call was answered");
    state.unanswered.insert(1, StepId::new("terminate"));
    for signals in [0, 1] {
        state.signals = signals;
        assert_eq!(decide(&state, 0, &[]).tasks, [look(&[&web[0], &web[1]])], "{signals} signals");
    }
    for signals in [2, 3] {
        state.signals = signals;
        assert_eq!(decide(&state, 0, &[]).tasks, [Task::Release], "{signals} signals");
    }
    state.signals = 0;
    // what it reached is known, and mended; what never began has nothing to show
    for known in [Status::Skipped, Status::Idle, Status::Prepared] {
        set(&mut state, "terminate", &web[0], known);
        assert_eq!(decide(&state, 0, &[]).tasks, [look(&[&web[1]])], "{known:?}");
    }
    set(&mut state, "terminate", &web[0], Status::Ready);
    assert_eq!(decide(&state, 0, &[]).tasks, [step("replace", &[&web[0]])]);
    // once it was looked for, that is the last word
    set(&mut state, "terminate", &web[0], Status::Failed(Nothing));
    for (_, cell) in state.cells.iter_mut().filter(|((_, t), _)| t.as_ref() == Some(&web[0])) {
        cell.settled = true;
    }
    assert_eq!(decide(&state, 0, &[]).tasks, [look(&[&web[1]])]);
    state.cells.values_mut().for_each(|c| c.settled = true);
    assert_eq!(decide(&state, 0, &[]).tasks, [Task::Release]);
}
