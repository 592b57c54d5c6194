//! Tests of how clients are built.

use std::sync::Mutex;

use aws_credential_types::provider::ProvideCredentials as _;
use aws_types::service_config::LoadServiceConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::cloud::{EffectCertainty, Filter, Mutation};
use crate::model::time::SystemClock;
use crate::net::{RealLocal, RealNet};

fn isolated_at(endpoint: &str) -> ConnectOptions {
    ConnectOptions { endpoint_url: Some(endpoint.to_owned()), isolated: true, ..ConnectOptions::default() }
}

async fn cloud(port: u16) -> Cloud {
    let options = isolated_at(&format!("http://127.0.0.1:{port}"));
    connect(options, Arc::new(SystemClock), Arc::new(RealNet::new().unwrap()), Arc::new(RealLocal::default()))
        .await
        .unwrap()
}

#[test]
fn an_isolated_connection_stays_on_this_machine() {
    for elsewhere in [
        "http://192.0.2.1:5000",
        "http://ec2.us-east-1.amazonaws.com",
        "http://127.0.0.1@192.0.2.1:5000",
        "http://127.0.0.1.example.com:5000",
        "http://localhost.example.com:5000",
        "http://[2001:db8::1]:5000",
        "https://127.0.0.1:5000",
        "127.0.0.1:5000",
        "ftp://127.0.0.1",
        "",
    ] {
        let error = isolated(&isolated_at(elsewhere)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{elsewhere}");
    }
    assert!(isolated(&ConnectOptions { isolated: true, ..ConnectOptions::default() }).is_err());
    let profile = ConnectOptions { profile: Some("prod".into()), ..isolated_at("http://127.0.0.1:1") };
    assert!(isolated(&profile).is_err());
    for here in ["http://127.0.0.1:5000", "http://[::1]:5000", "http://localhost:5000/"] {
        assert!(isolated(&isolated_at(here)).is_ok(), "{here}");
    }
}

#[tokio::test]
async fn an_isolated_connection_has_nothing_left_to_look_up() {
    let config = isolated(&isolated_at("http://127.0.0.1:5000/")).unwrap();
    assert_eq!(config.endpoint_url(), Some("http://127.0.0.1:5000"));
    assert!(config.get_origin("endpoint_url").is_client_config());
    // this is where AWS_ENDPOINT_URL_<SERVICE> and profiles would come from
    assert!(config.service_config().is_none());
    assert_eq!(config.region().map(AsRef::as_ref), Some("us-east-1"));
    assert!(config.http_client().is_some());
    assert!(config.token_provider().is_none());
    let keys = config.credentials_provider().unwrap().provide_credentials().await.unwrap();
    assert_eq!((keys.access_key_id(), keys.session_token()), ("testing", None));
    let clients = clients(&config);
    assert!(clients.overridden && clients.elsewhere);
}

fn clients(config: &SdkConfig) -> Clients {
    Clients {
        read: reading(config),
        change: changing(config),
        overridden: overridden(config),
        elsewhere: elsewhere(config),
        endpoints: in_force(config),
        proof: None,
    }
}

#[test]
fn answers_of_aws_go_straight_to_the_sdk() {
    let between = |endpoint: Option<&str>| {
        let mut config = SdkConfig::builder().behavior_version(BehaviorVersion::latest());
        config.set_endpoint_url(endpoint.map(str::to_owned));
        let clients = clients(&config.build());
        [&clients.read, &clients.change].map(|c| clients.s3(c).config().http_client().is_some())
    };
    assert_eq!(between(None), [false, false]);
    assert_eq!(between(Some("https://s3.us-east-1.amazonaws.com")), [false, false]);
    assert_eq!(between(Some("https://vpce-0a1b.s3.us-east-1.vpce.amazonaws.com")), [false, false]);
    assert_eq!(between(Some("http://127.0.0.1:5000")), [true, true]);
}

#[derive(Debug)]
struct Only(&'static str);

impl LoadServiceConfig for Only {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        (key.service_id() == self.0 && key.env() == "AWS_ENDPOINT_URL" && key.profile() == "endpoint_url")
            .then(|| "http://127.0.0.1:5000".to_owned())
    }
}

#[test]
fn one_overridden_service_makes_it_an_emulator() {
    let plain = SdkConfig::builder;
    assert!(!overridden(&plain().build()));
    assert!(overridden(&plain().endpoint_url("http://127.0.0.1:1").build()));
    for service in SERVICES {
        assert!(overridden(&plain().service_config(Only(service)).build()), "{service}");
    }
    assert!(!overridden(&plain().service_config(Only("DynamoDB")).build()));
}

#[test]
fn the_endpoints_in_force_are_those_that_the_clients_take() {
    let at = |url: &str| BTreeMap::from([(ALL_SERVICES.to_owned(), url.to_owned())]);
    let plain = SdkConfig::builder;
    assert_eq!(in_force(&plain().build()), BTreeMap::new());
    assert_eq!(in_force(&plain().endpoint_url("http://127.0.0.1:1").build()), at("http://127.0.0.1:1"));
    assert_eq!(in_force(&plain().endpoint_url("https://sts.amazonaws.com").build()), BTreeMap::new(), "AWS");
    let one = BTreeMap::from([("EC2".to_owned(), "http://127.0.0.1:5000".to_owned())]);
    assert_eq!(in_force(&plain().service_config(Only("EC2")).build()), one);
    // one that is given in code wins, for the clients, too
    let given = isolated(&isolated_at("http://127.0.0.1:1")).unwrap();
    let given = given.into_builder().service_config(Only("EC2")).build();
    assert_eq!(in_force(&given), at("http://127.0.0.1:1"));
}

#[test]
fn an_endpoint_holds_no_password() {
    let error = endpoint_url("http://user:hunter2@127.0.0.1:5000").unwrap_err();
    assert!(!error.to_string().contains("hunter2"));
    for odd in ["http://127.0.0.1:5000/?key=hunter2", "http://127.0.0.1:5000/#hunter2"] {
        let error = endpoint_url(odd).unwrap_err();
        assert!(
            error.message.contains("query or a fragment") && !error.message.contains("hunter2"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_closed_port_is_unreachable_and_nothing_happened() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let cloud = cloud(port).await;
    assert_eq!(cloud.world, World::Emulator);
    let change = Mutation::TerminateInstances { ids: vec!["i-1".into(), "i-2".into()] };
    let error = cloud.mutate.send(&change).await.unwrap_err();
    assert_eq!((error.kind, error.effect), (ErrorKind::Unreachable, EffectCertainty::None), "{error}");
    let error = cloud.reads.sts.identity().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
}

/// Counts requests and answers each with the same bytes; none closes the connection.
async fn answering(answer: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut buffer = vec![0; 16384];
            let n = socket.read(&mut buffer).await.unwrap();
            log.lock().unwrap().push(String::from_utf8_lossy(&buffer[..n]).into_owned());
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (port, seen)
}

const THROTTLED: &str = "HTTP/1.1 503 Slow\r\nContent-Type: text/xml\r\nx-amzn-RequestId: r-1\r\nConnection: close\r\n\r\n\
    <Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>slow</Message></Error></Errors></Response>";

#[tokio::test]
async fn a_change_is_sent_once_and_a_read_three_times() {
    let stop = Mutation::StopInstances { ids: vec!["i-1".into()] };
    let (port, seen) = answering(THROTTLED).await;
    let cloud_ = cloud(port).await;
    let error = cloud_.mutate.send(&stop).await.unwrap_err();
    assert_eq!((error.kind, error.effect), (ErrorKind::Throttled, EffectCertainty::None), "{error}");
    assert_eq!(error.request_id.as_deref(), Some("r-1"));
    assert_eq!(seen.lock().unwrap().len(), 1);
    let error = cloud_.reads.ec2.instances(&Filter::default(), None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Throttled);
    assert_eq!(seen.lock().unwrap().len(), 1 + 3);

    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html>welcome";
    let (port, _) = answering(page).await;
    let error = cloud(port).await.mutate.send(&stop).await.unwrap_err();
    assert_eq!((error.kind, error.effect), (ErrorKind::Unreadable, EffectCertainty::Unknown), "{error}");

    let (port, seen) = answering("").await;
    let error = cloud(port).await.mutate.send(&stop).await.unwrap_err();
    assert_eq!((error.kind, error.effect), (ErrorKind::Timeout, EffectCertainty::Unknown), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn identity_knows_the_servers_time_and_the_user_agent_the_run() {
    let (port, seen) = answering(
        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\n\
         Connection: close\r\n\r\n<GetCallerIdentityResponse><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::123456789012:user/a</Arn><Account>123456789012</Account>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>",
    )
    .await;
    let run = "20261120T100000Z-drill-abcdef";
    let options =
        ConnectOptions { app_name: Some(run.to_owned()), ..isolated_at(&format!("http://127.0.0.1:{port}")) };
    let cloud = connect(
        options,
        Arc::new(SystemClock),
        Arc::new(RealNet::new().unwrap()),
        Arc::new(RealLocal::default()),
    )
    .await
    .unwrap();
    let identity = cloud.reads.sts.identity().await.unwrap();
    assert_eq!(identity.account, "123456789012");
    assert_eq!(identity.server_date.unwrap().to_rfc3339(), "2026-11-20T10:00:00+00:00");
    assert_eq!((identity.expires_at, identity.renewable), (None, Some(true)), "a key pair");
    let request = seen.lock().unwrap().remove(0);
    assert!(request.contains(&format!("app/{run}")) && request.contains("Credential=testing/"), "{request}");
}

#[test]
fn the_hosts_that_are_looked_at_are_those_that_are_called() {
    let of = |endpoint: Option<&str>, region: &str| {
        let mut config = SdkConfig::builder().behavior_version(BehaviorVersion::latest());
        config.set_endpoint_url(endpoint.map(str::to_owned));
        let config = config.build();
        hosts(&config, region, &endpoints(&config))
    };
    let all = of(None, "eu-west-1");
    assert_eq!(all[0], "sts.eu-west-1.amazonaws.com");
    for host in ["ec2", "rds", "s3", "monitoring", "cloudtrail"] {
        assert!(all.contains(&format!("{host}.eu-west-1.amazonaws.com")), "{host}: {all:?}");
    }
    assert_eq!(of(None, "cn-north-1")[0], "sts.cn-north-1.amazonaws.com.cn");
    let private = "vpce-0a1b.sts.eu-west-1.vpce.amazonaws.com";
    assert_eq!(of(Some(&format!("https://{private}")), "eu-west-1"), [private]);
}

/// Answers each request with this head and a body that does not end.
async fn endless(head: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _asked = socket.read(&mut vec![0; 16384]).await;
                let _told = socket.write_all(head.as_bytes()).await;
                while socket.write_all(&[b' '; 65536]).await.is_ok() {}
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_an_end_is_one_that_cannot_be_read() {
    let stop = Mutation::StopInstances { ids: vec!["i-1".into()] };
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 1900000000\r\n\r\n",
        "HTTP/1.1 503 Slow\r\nContent-Type: text/xml\r\nConnection: close\r\n\r\n",
    ] {
        let cloud = cloud(endless(head).await).await;
        let error = cloud.mutate.send(&stop).await.unwrap_err();
        assert!(error.message.contains("longer than 72 MiB"), "{error}");
        // accepted or not: nobody can tell
        assert_eq!(error.effect, EffectCertainty::Unknown, "{error}");
        let error = cloud.reads.trail.file("bucket", "key", 1 << 20).await.unwrap_err();
        assert_ne!(error.kind, ErrorKind::NotFound, "{error}");
        let error = cloud.reads.ec2.instances(&Filter::default(), None).await.unwrap_err();
        assert!(error.message.contains("longer than 72 MiB"), "{error}");
    }
}
