//! The runs: each drill on the simulator, with what makes it end as its folder says. The clock is
//! virtual and starts at a fixed time, the seed is fixed, so each comes out the same.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use redrill::bundle;
use redrill::cloud::faulty::{Fault, Faulty};
use redrill::cloud::{
    CloudError, CloudResult, ErrorKind, HttpRequest, HttpResponse, Mutation, Net, SqlAnswer, SqlRequest,
};
use redrill::engine::{Control, Operator, People};
use redrill::journal::{Event, Mark, Request};
use redrill::model::{Stage, StepId};
use redrill::plan::file;

use super::{Run, folder};
use crate::bench::Bench;
use crate::engine_undo::association;
use crate::play::{Play, meddle, target};

const ALARM: &str = "shop-availability";
const WHO: &str = "engineer@desk";

/// A database that lets nobody in.
struct LockedOut(Arc<dyn Net>);

#[async_trait]
impl Net for LockedOut {
    async fn http(&self, request: &HttpRequest) -> CloudResult<HttpResponse> {
        self.0.http(request).await
    }
    async fn tcp(&self, host: &str, port: u16, link_local: bool) -> CloudResult<()> {
        self.0.tcp(host, port, link_local).await
    }
    async fn sql(&self, _: &SqlRequest) -> CloudResult<SqlAnswer> {
        Err(CloudError::new("net:sql", ErrorKind::Denied, "password authentication failed"))
    }
}

/// Runs the drill of this verdict's folder.
pub(super) fn run(verdict: &str) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(play(verdict))
}

async fn play(verdict: &str) -> Run {
    let drill = fs::read_to_string(folder(verdict).join(bundle::DRILL)).expect("a drill");
    let bench = Bench::new(&drill).await;
    match verdict {
        "not-steady" => bench.sim.answer_http("http://127.0.0.1:8080/health", 503, "maintenance"),
        "refused" => meddle(&bench, tag(&target(&bench), "redrill", "never")).await,
        _ => {}
    }
    // the recovery may not do what the fault and the undo may
    let sent = AtomicUsize::new(0);
    let deny = move |_: usize, m: &Mutation| {
        let replaces = matches!(m, Mutation::ReplaceRouteTableAssociation { .. });
        (replaces && [2, 3].contains(&sent.fetch_add(1, Ordering::SeqCst))).then_some(Fault::Deny)
    };
    let cloud = match verdict {
        "failed" => bench.cloud(|inner| Arc::new(Faulty::new(inner, deny))),
        "inconclusive" => {
            let mut cloud = bench.sim.cloud();
            cloud.reads.net = Arc::new(LockedOut(Arc::clone(&cloud.reads.net)));
            cloud
        }
        _ => bench.sim.cloud(),
    };
    let mut play = Play::set(&bench, cloud, |setup| {
        setup.people = People::Ask;
        setup.operator = Operator { pid: 4711, host: "desk".into(), user: "engineer".into() };
    });
    match verdict {
        "passed" => well_done(&bench, &mut play).await,
        "stopped" => {
            play.stage(Stage::Recovery).await;
            bench.sim.set_alarm("shop-error-budget", "ALARM");
        }
        "stuck" => {
            play.stage(Stage::Recovery).await;
            let (id, _) = association(&bench, &target(&bench)).await;
            let table = other_table(&bench).await;
            meddle(&bench, Mutation::ReplaceRouteTableAssociation { association: id, table }).await;
        }
        _ => {}
    }
    let (ended, journal) = play.end().await;
    ended.unwrap_or_else(|e| panic!("{verdict}: {e}"));
    let plan = file::write(&bench.plan).into_bytes();
    Run::from([(bundle::DRILL, drill.into_bytes()), (bundle::PLAN, plan), (bundle::JOURNAL, journal.bytes())])
}

/// A team at work: the alarm goes off, somebody sees it, declares, decides, and notes what was learned.
async fn well_done(bench: &Bench, play: &mut Play) {
    play.until(|e| matches!(e, Event::Waiting { .. })).await;
    let seconds = |n| tokio::time::sleep(Duration::from_secs(n));
    let mark = async |mark, note: &str| {
        let request = Request::Mark { mark, marked_at: bench.clock.now(), note: note.to_owned() };
        play.control.send(Control::Asked { by: WHO.into(), request }).await.expect("the run listens");
    };
    seconds(40).await;
    bench.sim.set_alarm(ALARM, "ALARM");
    seconds(30).await;
    mark(Mark::Ack, "the page came to the phone").await;
    seconds(60).await;
    mark(Mark::Declare, "the incident channel is open").await;
    seconds(50).await;
    mark(Mark::Note, "the runbook names a table that is no longer there").await;
    let request = Request::Confirm { step: StepId::new("decide"), note: "the table was taken off".into() };
    play.control.send(Control::Asked { by: WHO.into(), request }).await.expect("the run listens");
    play.stage(Stage::Hold).await;
    bench.sim.set_alarm(ALARM, "OK");
}

fn tag(id: &str, key: &str, value: &str) -> Mutation {
    Mutation::CreateTags { ids: vec![id.to_owned()], tags: [(key.to_owned(), value.to_owned())].into() }
}

async fn other_table(bench: &Bench) -> String {
    let filter = redrill::cloud::Filter::default();
    let tables = bench.sim.cloud().reads.ec2.route_tables(&filter, None).await.expect("listed").items;
    let public = |name: &String| name == "shop-public";
    tables.into_iter().find(|t| t.tags.get("Name").is_some_and(public)).expect("a table").id
}
