//! Talks to the emulator's control pages. Loopback only, no proxy, short waits.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::SandboxError;

/// Longest wait for an answer; seeding is the slowest.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the endpoint is on this machine.
pub(super) fn require_loopback(endpoint: &str) -> Result<(), SandboxError> {
    let host = reqwest::Url::parse(endpoint).ok().and_then(|url| url.host_str().map(str::to_owned));
    match host.as_deref() {
        Some("127.0.0.1" | "localhost" | "[::1]") => Ok(()),
        _ => Err(SandboxError::NotLoopback { endpoint: endpoint.to_owned() }),
    }
}

async fn read<T: DeserializeOwned>(
    endpoint: &str,
    request: reqwest::RequestBuilder,
) -> Result<T, SandboxError> {
    let unreachable = |source| SandboxError::Unreachable { endpoint: endpoint.to_owned(), source };
    let answer = request.send().await.map_err(unreachable)?;
    let status = answer.status().as_u16();
    let body = answer.bytes().await.map_err(unreachable)?;
    let unexpected = || SandboxError::Answer {
        endpoint: endpoint.to_owned(),
        status,
        body: String::from_utf8_lossy(&body).chars().take(300).collect(),
    };
    if status != 200 {
        return Err(unexpected());
    }
    serde_json::from_slice(&body).map_err(|_| unexpected())
}

fn client(endpoint: &str, patience: Duration) -> Result<reqwest::Client, SandboxError> {
    require_loopback(endpoint)?;
    reqwest::Client::builder()
        .no_proxy()
        .timeout(patience)
        .build()
        .map_err(|source| SandboxError::Unreachable { endpoint: endpoint.to_owned(), source })
}

/// The header by which a control page knows who started the emulator.
const TOKEN: &str = "x-redrill-token";

/// GET of a control page.
pub(super) async fn get<T: DeserializeOwned>(
    endpoint: &str,
    token: &str,
    path: &str,
    patience: Duration,
) -> Result<T, SandboxError> {
    read(endpoint, client(endpoint, patience)?.get(format!("{endpoint}{path}")).header(TOKEN, token)).await
}

/// POST to a control page.
pub(super) async fn post<T: DeserializeOwned>(
    endpoint: &str,
    token: &str,
    path: &str,
    body: String,
) -> Result<T, SandboxError> {
    let request = client(endpoint, PATIENCE)?.post(format!("{endpoint}{path}"));
    read(endpoint, request.header(TOKEN, token).body(body)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine() {
        for good in ["http://127.0.0.1:4566", "http://localhost:1", "http://[::1]:1"] {
            assert!(require_loopback(good).is_ok(), "{good}");
        }
        for bad in [
            "http://10.0.0.1:4566",
            "https://ec2.us-east-1.amazonaws.com",
            "nonsense",
            "http://127.0.0.1.evil.example",
        ] {
            assert!(require_loopback(bad).is_err(), "{bad}");
        }
    }
}
