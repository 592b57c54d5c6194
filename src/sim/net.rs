//! The network and the local programs of a rehearsal: answers without a socket or a process.
//!
//! A path under `/health` is answered from the account; a database's own name answers only while
//! the database does; everything else is well unless a test says otherwise.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::Sim;
use super::health::{Check, Verdict, judge};
use super::world::World;
use crate::cloud::{
    CloudError, CloudResult, CommandOutput, CommandRequest, ErrorKind, HttpRequest, HttpResponse, Local, Net,
    SqlAnswer, SqlRequest, Starting,
};

/// What the network answers.
#[derive(Default)]
pub(super) struct NetState {
    /// URL prefix → status and body; the longest prefix wins.
    pub(super) pages: BTreeMap<String, (u16, String)>,
    /// Host → first value of any query.
    pub(super) sql: BTreeMap<String, String>,
    /// Hosts, or `host:port`, that nothing listens on.
    pub(super) closed: BTreeSet<String>,
    /// Where whoever runs redrill stands.
    folder: Option<String>,
}

impl Sim {
    /// Answers every URL with this prefix so.
    pub fn answer_http(&self, prefix: &str, status: u16, body: &str) {
        self.net_state().pages.insert(prefix.to_owned(), (status, body.to_owned()));
    }

    /// Answers every query on this host with this value.
    pub fn answer_sql(&self, host: &str, first: &str) {
        self.net_state().sql.insert(host.to_owned(), first.to_owned());
    }

    /// Nothing listens any more on this `host` or `host:port`.
    pub fn close_port(&self, host: &str) {
        self.net_state().closed.insert(host.to_owned());
    }

    /// Whoever runs redrill stands there.
    pub fn stand_in(&self, folder: &str) {
        self.net_state().folder = Some(folder.to_owned());
    }

    /// Something listens again.
    pub fn open_port(&self, host: &str) {
        self.net_state().closed.remove(host);
    }

    fn reach(&self, operation: &str, host: &str, port: u16) -> CloudResult<()> {
        let refused = |why: &str| Err(CloudError::new(operation, ErrorKind::Unreachable, why.to_owned()));
        let w = self.lock();
        if w.link_down {
            return refused("the link is down (simulated)");
        }
        let net = self.net_state();
        if net.closed.contains(host) || net.closed.contains(&format!("{host}:{port}")) {
            return refused("connection refused (simulated)");
        }
        if !database_answers(&w, host) {
            return refused("the database does not answer (simulated)");
        }
        Ok(())
    }
}

/// A name of the simulated database service answers while its database does; other names always.
fn database_answers(w: &World, host: &str) -> bool {
    if !host.ends_with(&w.db_domain()) {
        return true;
    }
    let found = w.dbs.values().find(|d| d.inst.endpoint.as_deref() == Some(host));
    found.is_some_and(|d| !["creating", "rebooting", "deleting"].contains(&d.inst.status.as_str()))
}

/// Host, port and path of a URL.
fn split(url: &str) -> (String, u16, String) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (authority, path) = match rest.find(['/', '?', '#']) {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let authority = authority.rsplit_once('@').map_or(authority, |(_, a)| a);
    let default = if scheme == "https" { 443 } else { 80 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((h, p)) if !p.ends_with(']') => (h, p.parse().unwrap_or(default)),
        _ => (authority, default),
    };
    let path = path.split(['?', '#']).next().unwrap_or("/");
    (host.to_owned(), port, path.to_owned())
}

#[async_trait]
impl Net for Sim {
    async fn http(&self, request: &HttpRequest) -> CloudResult<HttpResponse> {
        let latency = self.lock().pace.read_latency;
        super::wait(latency.0).await;
        let (host, port, path) = split(&request.url);
        self.reach("net:Http", &host, port)?;
        let w = self.lock();
        let net = self.net_state();
        let page = net.pages.iter().rfind(|(prefix, _)| request.url.starts_with(*prefix));
        let (status, kind, body) = match page {
            Some((_, (status, body))) => (*status, "text/plain", body.clone()),
            None if path == "/health" || path.starts_with("/health/") => {
                let (status, body) = health_page(&w, &w.checks, path.strip_prefix("/health/"));
                (status, "application/json", body)
            }
            None => (200, "text/plain", "ok".to_owned()),
        };
        let limit = if request.body_limit == 0 { usize::MAX } else { request.body_limit };
        let body: String = if request.method == "HEAD" {
            String::new()
        } else {
            body.char_indices().take_while(|(i, c)| i + c.len_utf8() <= limit).map(|(_, c)| c).collect()
        };
        let headers = BTreeMap::from([("content-type".to_owned(), kind.to_owned())]);
        Ok(HttpResponse { status, headers, body })
    }

    async fn tcp(&self, host: &str, port: u16, _link_local: bool) -> CloudResult<()> {
        let latency = self.lock().pace.read_latency;
        super::wait(latency.0).await;
        self.reach("net:Tcp", host, port)
    }

    async fn sql(&self, request: &SqlRequest) -> CloudResult<SqlAnswer> {
        let latency = self.lock().pace.read_latency;
        super::wait(latency.0).await;
        self.reach("net:Sql", &request.host, request.port)?;
        let first = self.net_state().sql.get(&request.host).cloned().unwrap_or_else(|| "1".to_owned());
        Ok(SqlAnswer { rows: 1, first: Some(first) })
    }
}

fn health_page(w: &World, checks: &[Check], only: Option<&str>) -> (u16, String) {
    let only = only.filter(|name| !name.is_empty());
    let picked: Vec<&Check> = checks.iter().filter(|c| only.is_none_or(|n| c.name == n)).collect();
    if only.is_some() && picked.is_empty() {
        return (404, serde_json::json!({"error": "no such check"}).to_string());
    }
    let verdicts: Vec<(&str, Verdict)> = picked.iter().map(|c| (c.name.as_str(), judge(w, c))).collect();
    let ok = verdicts.iter().all(|(_, v)| v.ok);
    let checks: serde_json::Map<String, serde_json::Value> = verdicts
        .into_iter()
        .map(|(name, v)| (name.to_owned(), serde_json::json!({"ok": v.ok, "detail": v.detail})))
        .collect();
    let status = if ok { "ok" } else { "failing" };
    let body = serde_json::json!({"status": status, "checks": checks}).to_string();
    (if ok { 200 } else { 503 }, body)
}

#[async_trait]
impl Local for Sim {
    async fn exists(&self, path: &str) -> CloudResult<bool> {
        self.read("local:exists", |w| Ok(w.files.contains(path))).await
    }

    fn folder(&self) -> Option<String> {
        self.net_state().folder.clone()
    }

    async fn run(&self, _request: &CommandRequest, _: &dyn Starting) -> CloudResult<CommandOutput> {
        Ok(CommandOutput {
            code: Some(0),
            timed_out: false,
            stdout: "(rehearsal: not run)".to_owned(),
            stderr: String::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split() {
        assert_eq!(
            split("http://127.0.0.1:8080/health/web?x=1"),
            ("127.0.0.1".into(), 8080, "/health/web".into())
        );
        assert_eq!(split("https://u:p@shop.example.com"), ("shop.example.com".into(), 443, "/".into()));
    }
}
