//! The `sql` probe against a real PostgreSQL, made and thrown away by the test.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use redrill::catalog::action::{After, ReadCx};
use redrill::catalog::{Reading, probe};
use redrill::cloud::Reads;
use redrill::model::time::SystemClock;
use redrill::model::{Dur, Health, RunId, StepId};
use redrill::net::RealNet;
use redrill::sim::Sim;
use serde_json::{Value, json};

const ADMIN: &str = "admin-pw-1f9";
const SHOP: &str = "shop-pw-7c2";
const BY_ENV: &str = "env-pw-3d8";

/// A server that ends with this value.
struct Server {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Server {
    /// Stops it by its own id: at once, so that clients are cut off, and for good.
    fn stop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let pid = rustix::process::Pid::from_child(&self.child);
            // SIGQUIT: immediate shutdown, the workers included
            if rustix::process::kill_process(pid, rustix::process::Signal::QUIT).is_err() {
                let _ = self.child.kill();
            }
        }
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The folder with `initdb` and `postgres`, the newest first.
fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|v| v.path().join("bin")).collect();
    let version =
        |p: &PathBuf| p.parent().and_then(Path::file_name).and_then(|n| n.to_str()?.parse::<u32>().ok());
    folders.sort_by_key(|p| std::cmp::Reverse(version(p)));
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    folders.into_iter().find(|f| f.join("initdb").is_file() && f.join("postgres").is_file())
}

/// User and group that PostgreSQL may run as: it refuses root.
fn user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("there are users");
    let of = |name: &str| {
        let line = users.lines().find(|l| l.split(':').next() == Some(name))?;
        let mut parts = line.split(':').skip(2).map(|p| p.parse::<u32>().ok());
        Some((parts.next()??, parts.next()??))
    };
    Some(of("postgres").or_else(|| of("nobody")).expect("a user that is not root"))
}

/// Starts a server on a free port.
fn start(bin: &Path) -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let password = folder.path().join("password");
    std::fs::write(&password, ADMIN).expect("a password file");
    let user = user();
    authorities(folder.path());
    let key = folder.path().join("server.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("its mode is set");
    if let Some((uid, gid)) = user {
        for path in [folder.path(), password.as_path(), key.as_path()] {
            chown(path, Some(uid), Some(gid)).expect("root may give files away");
        }
    }
    let command = |program: &str| {
        let mut command = Command::new(bin.join(program));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir(folder.path());
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        command.stdin(Stdio::null());
        command
    };
    let made = command("initdb")
        .args(["--username=admin", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"])
        .arg(format!("--pwfile={}", password.display()))
        .arg(format!("--pgdata={}", data.display()))
        .output()
        .expect("initdb starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // who logs in in another way than all the others
    let rules = data.join("pg_hba.conf");
    let others = std::fs::read_to_string(&rules).expect("the rules");
    let own = "hostssl all certified 127.0.0.1/32 cert\n\
               host all by_md5 127.0.0.1/32 md5\n\
               host all by_clear_text 127.0.0.1/32 password\n";
    std::fs::write(&rules, format!("{own}{others}")).expect("written");
    // before anybody listens, and so without a client
    let mut alone = command("postgres");
    alone.args(["--single", "-D"]).arg(&data).arg("postgres");
    let mut alone =
        alone.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    alone.stdin.take().expect("its input").write_all(tables().as_bytes()).expect("the tables are told");
    let made = alone.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success() && !said.contains("ERROR"), "{said}");
    // free now; nobody else takes ports here in the moment until the server does
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let log = std::fs::File::create(folder.path().join("log")).expect("a log");
    let child = command("postgres")
        .arg("-D")
        .arg(&data)
        .args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "fsync=off",
            "-c",
            "ssl=on",
            "-c",
            "ssl_cert_file=../server.crt",
            "-c",
            "ssl_key_file=../server.key",
            "-c",
            "ssl_ca_file=../ca.crt",
            "-c",
            "max_connections=20",
        ])
        .arg("-c")
        .arg(format!("port={port}"))
        .arg("-k")
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("postgres starts");
    Server { child, port, folder }
}

/// The probe with everything that it reads from.
pub(crate) struct Bench {
    reads: Reads,
    port: u16,
}

impl Bench {
    pub(crate) fn new(port: u16) -> Self {
        let sim = Sim::new(Arc::new(SystemClock));
        sim.put_secret("shop/db", &json!({"username": "shop", "password": SHOP}).to_string());
        sim.put_secret("shop/stale", &json!({"username": "shop", "password": "an-old-one"}).to_string());
        sim.put_secret("shop/text", SHOP);
        sim.put_secret("shop/half", &json!({"username": "shop"}).to_string());
        let mut reads = sim.cloud().reads;
        reads.net = Arc::new(RealNet::new().expect("a network"));
        Self { reads, port }
    }

    /// One look with these parameters, beside host, port and database.
    pub(crate) async fn look(&self, with: Value) -> Reading {
        let mut params =
            json!({"host": "127.0.0.1", "port": self.port, "database": "postgres", "query": "select 1"});
        params.as_object_mut().expect("a mapping").extend(with.as_object().expect("a mapping").clone());
        let sql = probe("sql").expect("the probe");
        assert_eq!(sql.check(&params), [""; 0], "{params}");
        let cx = ReadCx {
            reads: &self.reads,
            clock: &SystemClock,
            region: "us-east-1",
            account: "123456789012",
            run: &RunId::from_existing("run"),
            step: &StepId::new("look"),
            after: After::None,
            t0: None,
            settle: Dur::secs(1),
            give_up: Dur::secs(1),
            calls: &(),
            forbid_tags: [None; 2],
            planning: true,
            irreversible: false,
            no_impact: false,
            dry_run: None,
        };
        let look = sql.observe(cx, &params);
        let reading = tokio::time::timeout(Duration::from_secs(20), look).await.expect("an answer in time");
        for secret in [ADMIN, SHOP, "an-old-one"] {
            assert!(!reading.seen.contains(secret), "{reading:?}");
        }
        reading
    }

    async fn shop(&self, query: &str, with: Value) -> Reading {
        let mut all = json!({"secret": "shop/db", "query": query});
        all.as_object_mut().expect("a mapping").extend(with.as_object().expect("a mapping").clone());
        self.look(all).await
    }
}

/// What the tests look at; a statement a line.
fn tables() -> String {
    let lines = [
        &format!("create role shop login password '{SHOP}'"),
        &format!("create role by_env login password '{BY_ENV}'"),
        &format!("create role crowded login connection limit 0 password '{SHOP}'"),
        &format!("create role by_clear_text login password '{SHOP}'"),
        "create role certified login",
        "set password_encryption = 'md5'",
        &format!("create role by_md5 login password '{SHOP}'"),
        "create table orders (id int primary key, note text)",
        "insert into orders values (1, null), (2, 'täg'), (3, 'three')",
        "grant select on orders to shop",
        "create table hidden (id int)",
        "create sequence counted",
        "grant all on counted to shop",
        "grant insert, delete on orders to shop",
        "create function wipe() returns int language sql as 'delete from orders returning 1'",
        "create procedure wipe_too() language sql as 'delete from orders'",
    ];
    lines.iter().map(|line| format!("{line};\n")).collect()
}

/// Waits for the server.
async fn up(bench: &Bench) {
    let mut last = None;
    for _ in 0..200 {
        let reading = bench.shop("select 1", json!({"tls": "disable"})).await;
        if reading.health == Health::Healthy {
            return;
        }
        last = Some(reading);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the server does not come up: {last:?}");
}

#[track_caller]
pub(crate) fn sees(reading: &Reading, health: Health, seen: &str) {
    assert_eq!(reading.health, health, "{reading:?}");
    assert!(reading.seen.contains(seen), "`{seen}` is not in {reading:?}");
}

async fn answers(bench: &Bench) {
    use Health::{Healthy, Unhealthy};
    sees(&bench.shop("select count(*) from orders", json!({"expect": 3})).await, Healthy, "3");
    sees(&bench.shop("select count(*) from orders", json!({"expect": 4})).await, Unhealthy, "not `4` (hash ");
    sees(&bench.shop("select note from orders where id = 2", json!({"expect": "täg"})).await, Healthy, "täg");
    sees(&bench.shop("select id from orders", json!({"min_rows": 3})).await, Healthy, "3 rows (hash ");
    sees(&bench.shop("select id from orders", json!({"min_rows": 4})).await, Unhealthy, "3 rows, at least 4");
    let null = "select note from orders where id = 1";
    sees(&bench.shop(null, json!({"expect": ""})).await, Unhealthy, "NULL or no row");
    sees(&bench.shop(null, json!({"min_rows": 1})).await, Healthy, "");
    sees(
        &bench.shop("select id from orders where false", json!({"expect": 1})).await,
        Unhealthy,
        "NULL or no row",
    );
    sees(&bench.shop("select id from orders where false", json!({})).await, Healthy, "");
    // as PostgreSQL prints it
    sees(&bench.shop("select true", json!({"expect": "t"})).await, Healthy, "t");
    sees(&bench.shop("select true", json!({"expect": true})).await, Unhealthy, "not `true` (hash ");
    sees(&bench.shop("select to_regclass('orders') is not null", json!({"expect": "t"})).await, Healthy, "t");
    sees(
        &bench.shop("select to_regclass('gone') is not null", json!({"expect": "t"})).await,
        Unhealthy,
        "not `t` (hash ",
    );
    let shown = json!({"expect": 4, "show_value": true});
    sees(&bench.shop("select count(*) from orders", shown).await, Unhealthy, "not `4` (`3`)");
    for tls in [json!({}), json!({"tls": "prefer"}), json!({"tls": "require"}), json!({"tls": "disable"})] {
        let mut with = json!({"expect": 1});
        with.as_object_mut().expect("a mapping").extend(tls.as_object().expect("a mapping").clone());
        sees(&bench.shop("select 1", with).await, Healthy, "1");
    }
    for query in ["values (1)", "table orders", "with o as (select * from orders) select * from o;"] {
        sees(&bench.shop(query, json!({})).await, Healthy, "row");
    }
}

/// Nothing that a drill can write changes what is in the database.
async fn nothing_is_changed(bench: &Bench) {
    use Health::{Healthy, Unknown};
    for query in [
        "delete from orders",
        "delete from orders; select 1",
        "select 1; delete from orders",
        "select 1; commit; delete from orders",
        "select 1; rollback; begin; delete from orders; commit; select 1",
        "with gone as (delete from orders returning 1) select * from gone",
        "select 1 into taken",
        "select * from orders for update",
        "select wipe()",
        "select wipe() from set_config('transaction_read_only', 'off', false)",
        "select set_config('transaction_read_only', 'off', false)",
        "select nextval('counted')",
        "call wipe_too()",
        "do 'begin delete from orders; end'",
        "set transaction read write",
        "commit",
        "copy orders to stdout",
        "notify orders",
        "truncate orders",
    ] {
        sees(&bench.shop(query, json!({})).await, Unknown, "");
    }
    sees(&bench.shop("select count(*) from orders", json!({"expect": 3})).await, Healthy, "3");
}

/// What stands in the database comes into no reading by way of an error.
async fn an_error_quotes_nothing(bench: &Bench) {
    use Health::Unknown;
    let reads = "select note::int from orders where id = 3";
    let reading = bench.shop(reads, json!({})).await;
    sees(&reading, Unknown, "SQLSTATE 22P02");
    assert!(!reading.seen.contains("three"), "{reading:?}");
    sees(&bench.shop(reads, json!({"show_value": true})).await, Unknown, "\"three\"");
}

/// Over TLS: who is believed, and for which name.
async fn certificates(bench: &Bench, folder: &Path) {
    use Health::{Healthy, Unknown};
    let with = |host: &str, tls: &str, file: Option<&str>| {
        let file = file.map(|f| folder.join(f).display().to_string());
        json!({"host": host, "tls": tls, "ca_file": file, "expect": 1})
    };
    let query = "select 1 from pg_stat_ssl where pid = pg_backend_pid() and ssl";
    sees(&bench.shop(query, with("localhost", "require", None)).await, Healthy, "1");
    for mode in ["verify-full", "verify-ca"] {
        sees(&bench.shop(query, with("localhost", mode, Some("ca.crt"))).await, Healthy, "1");
        sees(&bench.shop(query, with("localhost", mode, Some("other.crt"))).await, Unknown, "certificate");
        // nobody known has signed it
        sees(&bench.shop(query, with("localhost", mode, None)).await, Unknown, "certificate");
    }
    // the certificate is for localhost alone
    sees(&bench.shop(query, with("127.0.0.1", "verify-ca", Some("ca.crt"))).await, Healthy, "1");
    sees(&bench.shop(query, with("127.0.0.1", "verify-full", Some("ca.crt"))).await, Unknown, "certificate");
}

/// An authority, another one, and a certificate for localhost by the first, made with openssl.
fn authorities(folder: &Path) {
    let openssl = |args: &[&str]| {
        let ran = Command::new("openssl").args(args).current_dir(folder).output().expect("openssl starts");
        assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    };
    for name in ["ca", "other"] {
        let (key, certificate, subject) =
            (format!("{name}.key"), format!("{name}.crt"), format!("/CN=test {name}"));
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            &key,
            "-out",
            &certificate,
            "-subj",
            &subject,
        ]);
    }
    let names = "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n";
    std::fs::write(folder.join("names"), names).expect("written");
    for (name, subject) in [("server", "/CN=localhost"), ("client", "/CN=certified")] {
        let (key, request, certificate) =
            (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        openssl(&[
            "req", "-newkey", "rsa:2048", "-nodes", "-keyout", &key, "-out", &request, "-subj", subject,
        ]);
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            &certificate,
        ]);
    }
}

/// The other ways to log in.
async fn the_server_says_how_to_log_in(bench: &Bench, folder: &Path) {
    use Health::{Healthy, Unknown};
    for user in ["by_md5", "by_clear_text"] {
        for tls in ["disable", "require"] {
            let with = json!({"user": user, "tls": tls, "expect": 1});
            sees(&bench.shop("select 1", with).await, Healthy, "1");
        }
        let with = json!({"user": user, "secret": "shop/stale"});
        sees(&bench.shop("select 1", with).await, Unknown, "authentication failed");
    }
    let socket = json!({"host": folder.display().to_string(), "expect": "t"});
    sees(&bench.shop("select inet_server_addr() is null", socket).await, Healthy, "t");
    let client = |tls: &str| json!({"user": "certified", "tls": tls, "host": "127.0.0.1"});
    sees(&bench.look(client("require")).await, Healthy, "1");
    sees(&bench.look(client("disable")).await, Unknown, "certified");
}

async fn what_cannot_be_asked_is_unknown(bench: &Bench) {
    use Health::{Unhealthy, Unknown};
    sees(&bench.shop("select 1/0", json!({})).await, Unknown, "division by zero");
    sees(&bench.shop("select 1; select 2", json!({})).await, Unknown, "multiple commands");
    sees(&bench.shop("selec 1", json!({})).await, Unknown, "syntax error");
    sees(&bench.shop("select * from no_such_table", json!({})).await, Unknown, "does not exist");
    sees(&bench.shop("select * from hidden", json!({})).await, Unknown, "permission denied");
    sees(&bench.shop("select 1", json!({"database": "no_such_db"})).await, Unknown, "does not exist");
    sees(&bench.shop("select 1", json!({"host": "no-such-host.invalid"})).await, Unknown, "no address");
    // a server that is out of connections is what its clients feel
    sees(&bench.shop("select 1", json!({"user": "crowded"})).await, Unhealthy, "too many connections");
}

async fn the_password_comes_from_where_it_is_said(bench: &Bench) {
    use Health::{Healthy, Unknown};
    sees(
        &bench.look(json!({"user": "by_env", "password_env": "SHOP_PASSWORD", "expect": 1})).await,
        Healthy,
        "1",
    );
    let reading = bench.look(json!({"user": "by_env", "password_env": "OTHER_PASSWORD"})).await;
    sees(&reading, Unknown, "authentication failed");
    sees(
        &bench.look(json!({"user": "by_env", "password_env": "NO_SUCH_PASSWORD"})).await,
        Unknown,
        "is not set",
    );
    sees(&bench.look(json!({"user": "shop"})).await, Unknown, "");
    sees(&bench.look(json!({"secret": "shop/stale"})).await, Unknown, "authentication failed");
    sees(&bench.look(json!({"secret": "shop/text"})).await, Unknown, "not JSON");
    sees(&bench.look(json!({"secret": "shop/half"})).await, Unknown, "no field `password`");
    sees(&bench.look(json!({"secret": "shop/gone"})).await, Unknown, "shop/gone");
    // the user of the drill wins over the one in the secret
    sees(&bench.look(json!({"secret": "shop/db", "user": "admin"})).await, Unknown, "authentication failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sql_probe_on_a_real_server() {
    let skip = std::env::var_os("REDRILL_TEST_NO_POSTGRES").is_some();
    let Some(bin) = binaries().filter(|_| !skip) else {
        let ci = std::env::var("CI").is_ok_and(|v| v == "true");
        assert!(!ci || skip, "there is no PostgreSQL, and in CI there has to be one");
        // not through print!, which the test runner keeps to itself
        let line = b"\nSKIPPED: there is no PostgreSQL: the sql probe is not tested against a real one\n";
        std::io::stdout().write_all(line).expect("stdout");
        return;
    };
    // a process cannot set its own variables safely, so the test is once more run in one that has them
    if std::env::var("SHOP_PASSWORD").as_deref() != Ok(BY_ENV) {
        let mut again = Command::new(std::env::current_exe().expect("this test"));
        again.args(["--exact", "postgres::the_sql_probe_on_a_real_server"]);
        again.env("SHOP_PASSWORD", BY_ENV).env("OTHER_PASSWORD", SHOP);
        let client = tempfile::tempdir().expect("a folder");
        again.env("PGSSLCERT", client.path().join("client.crt"));
        again.env("PGSSLKEY", client.path().join("client.key"));
        let ran = again.output().expect("it starts");
        let text = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let mut server = start(&bin);
    let client = std::env::var_os("PGSSLCERT").map(PathBuf::from).expect("where the client's certificate is");
    for name in ["client.crt", "client.key"] {
        std::fs::copy(server.folder.path().join(name), client.with_file_name(name)).expect("copied");
    }
    let bench = Bench::new(server.port);
    up(&bench).await;
    answers(&bench).await;
    nothing_is_changed(&bench).await;
    an_error_quotes_nothing(&bench).await;
    certificates(&bench, server.folder.path()).await;
    the_server_says_how_to_log_in(&bench, server.folder.path()).await;
    what_cannot_be_asked_is_unknown(&bench).await;
    the_password_comes_from_where_it_is_said(&bench).await;
    server.stop();
    let reading = bench.shop("select 1", json!({})).await;
    sees(&reading, Health::Unhealthy, "");
    assert!(reading.seen.to_lowercase().contains("refused"), "{reading:?}");
}
