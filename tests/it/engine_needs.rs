//! What a run would lack is found in preflight: nothing was changed, and nobody waited for a recovery that cannot come.

use std::sync::Arc;

use async_trait::async_trait;
use redrill::cloud::{
    CloudResult, CommandOutput, CommandRequest, HttpRequest, HttpResponse, Local, Net, Secret, SqlAnswer,
    SqlRequest, Starting,
};
use redrill::journal::Event;
use redrill::net::RealLocal;

use crate::bench::{Bench, dump};
use crate::play::{Play, drill};

const CUT: &str = "objectives: { rto: 10m }
targets: { it: { resource: vpc.subnet, tags: { service: shop, tier: private } } }
fault: [{ action: vpc.detach-route-table, target: it }]
";

/// A machine that has one variable, one file, and the programs that this one has.
struct Bare(Arc<dyn Net>);

#[async_trait]
impl Net for Bare {
    async fn http(&self, request: &HttpRequest) -> CloudResult<HttpResponse> {
        self.0.http(request).await
    }
    async fn tcp(&self, host: &str, port: u16, link_local: bool) -> CloudResult<()> {
        self.0.tcp(host, port, link_local).await
    }
    async fn sql(&self, request: &SqlRequest) -> CloudResult<SqlAnswer> {
        self.0.sql(request).await
    }
    fn variable(&self, name: &str) -> Option<Secret> {
        (name == "SET_PASSWORD").then(|| Secret::new("hunter22"))
    }
    fn is_file(&self, path: &str) -> bool {
        path == "there.pem"
    }
}

/// Looks as this machine does, and starts nothing.
struct Looking;

#[async_trait]
impl Local for Looking {
    async fn run(&self, _: &CommandRequest, _: &dyn Starting) -> CloudResult<CommandOutput> {
        Ok(CommandOutput { code: Some(0), ..CommandOutput::default() })
    }
    async fn exists(&self, path: &str) -> CloudResult<bool> {
        RealLocal::default().exists(path).await
    }
    fn lacks(&self, request: &CommandRequest) -> Option<String> {
        RealLocal::default().lacks(request)
    }
}

/// How it ends on such a machine: the reasons where it was refused before anything was changed.
async fn ends(house: &str, rest: &str) -> Option<Vec<String>> {
    let bench = Bench::under(house, &drill("/health", &format!("{CUT}{rest}"))).await;
    let mut cloud = bench.sim.cloud();
    cloud.reads.net = Arc::new(Bare(Arc::clone(&cloud.reads.net)));
    cloud.local = Arc::new(Looking);
    let (ended, journal) = Play::set(&bench, cloud, |_| {}).end().await;
    let ended = ended.unwrap_or_else(|e| panic!("{e}\n{}", dump(&journal)));
    if ended.exit_code == 0 {
        return None;
    }
    assert_eq!(ended.exit_code, 3, "{:?}", ended.reasons);
    assert!(bench.sim.changes().is_empty(), "{}", dump(&journal));
    let found = journal.lines().into_iter().filter_map(|l| match l.event {
        Event::Found { finding } if finding["severity"] == "refusal" => {
            Some(format!("{}: {}", finding["subject"].as_str()?, finding["text"].as_str()?))
        }
        _ => None,
    });
    Some(found.collect())
}

fn sql(with: &str) -> String {
    format!(
        "recovery: [{{ action: vpc.attach-route-table, target: it }}]
verify: [{{ name: orders, probe: sql, with: {{ host: db.example.com, database: o, user: u, query: select 1, {with} }} }}]"
    )
}

fn command(with: &str) -> String {
    format!(
        "recovery: [{{ action: vpc.attach-route-table, target: it }}, {{ action: command, with: {{ {with} }} }}]"
    )
}

#[tokio::test(start_paused = true)]
async fn a_variable_a_file_or_a_program_that_is_missing_refuses_before_the_fault() {
    for (rest, want) in [
        (sql("password_env: SET_PASSWORD, ca_file: there.pem"), None),
        (sql("password_env: PGPASSWORD"), Some("orders: the environment variable PGPASSWORD is not set")),
        (sql("password_env: SET_PASSWORD, ca_file: gone.pem"), Some("orders: there is no file `gone.pem`")),
        (command("argv: [sh, -c, exit]"), None),
        (command("argv: [./strat.sh]"), Some("command: there is no program `./strat.sh`")),
        (
            command("argv: [no-such-program]"),
            Some("command: there is no program `no-such-program` in any folder of PATH"),
        ),
        (command("argv: [sh], cwd: /no/such"), Some("command: there is no folder `/no/such`")),
        (
            command("argv: [sh], undo: { argv: [/no/such] }"),
            Some("command: its undo cannot be started: there is no program `/no/such`"),
        ),
    ] {
        let want = want.map(|text| vec![text.to_owned()]);
        assert_eq!(ends("", &rest).await, want, "{rest}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_switch_on_a_share_that_is_not_mounted_refuses() {
    let rest = "recovery: [{ action: vpc.attach-route-table, target: it }]";
    let folder = tempfile::tempdir().expect("a folder");
    let switch = |name: &str| format!("[kill_switch]\nfile = \"{}/{name}\"", folder.path().display());
    assert_eq!(ends(&switch("stop"), rest).await, None);
    let refused = ends(&switch("share/stop"), rest).await.expect("refused");
    assert!(refused.len() == 1 && refused[0].starts_with("kill switch: it cannot be read: "), "{refused:?}");
    assert!(refused[0].ends_with("share is not there"), "{refused:?}");
}
