//! Asking a timestamp authority (RFC 3161) over the network: one request, one answer, one deadline.
//!
//! What comes back is checked before anything is made of it. A timestamp that was asked for and cannot
//! be had is a refusal: evidence must not lack in silence what its configuration promises.

use std::time::Duration;

use aws_lc_rs::rand;
use chrono::{DateTime, Utc};

use super::{CliError, runtime};
use crate::evidence::timestamp::{Request, Timestamp};
use crate::model::{Clock as _, time::SystemClock};
use crate::net::RealNet;

/// How long an authority may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// The largest answer that is read, in bytes.
const LARGEST: usize = 1 << 20;
/// How far the authority's clock may be from this one before that is said.
const SKEW: chrono::TimeDelta = chrono::TimeDelta::minutes(5);

/// Refuses a URL that no authority can be asked by, before anything is signed.
///
/// # Errors
/// Where it is no HTTP URL, or holds a password: it is written into the evidence.
pub fn check(authority: &str) -> Result<(), CliError> {
    let url = reqwest::Url::parse(authority).map_err(|e| {
        CliError::usage("the timestamp authority is no URL")
            .because(e)
            .hint("write it like this: https://timestamp.example.com")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(CliError::usage(format!("timestamps are asked for over HTTP, not {}", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(CliError::usage("the timestamp authority's URL holds a user or password")
            .hint("the URL is written into the evidence; name one that needs none"));
    }
    Ok(())
}

/// The authority's answer about these bytes, and what is to be said about its clock.
///
/// # Errors
/// Where it does not answer in time, refuses, or answers anything that does not hold.
pub fn ask(authority: &str, stamped: &[u8]) -> Result<(Vec<u8>, Option<String>), CliError> {
    let refused = |why: String| {
        CliError::refused(format!("no timestamp of {authority}: {why}; no bundle was written"))
            .hint("try again, or name another authority: --timestamp URL")
            .hint("hand over without one, which the report says: --no-timestamp")
    };
    let mut nonce = [0; 8];
    rand::fill(&mut nonce).map_err(|_| CliError::internal("there is no randomness for a nonce"))?;
    let request = Request::new(stamped, nonce);
    let (status, response) = runtime()?.block_on(exchange(authority, request.to_der())).map_err(refused)?;
    if status != 200 {
        return Err(refused(format!("it answered with HTTP status {status}")));
    }
    let timestamp = Timestamp::read(&response, stamped).map_err(|e| refused(e.to_string()))?;
    request.answered_by(&timestamp).map_err(|e| refused(e.to_string()))?;
    let clocks = clocks(timestamp.at, SystemClock.now());
    Ok((response, clocks))
}

async fn exchange(authority: &str, request: Vec<u8>) -> Result<(u16, Vec<u8>), String> {
    let net = RealNet::new().map_err(|e| e.message)?;
    let answer = net.post(authority, "application/timestamp-query", request, LARGEST);
    match tokio::time::timeout(DEADLINE, answer).await {
        Ok(answer) => answer.map_err(|e| e.message),
        Err(_) => Err(format!("it did not answer within {} seconds", DEADLINE.as_secs())),
    }
}

/// A warning where the two clocks are far apart: one of them is wrong.
fn clocks(theirs: DateTime<Utc>, ours: DateTime<Utc>) -> Option<String> {
    let apart = theirs.signed_duration_since(ours).abs() > SKEW;
    apart.then(|| {
        let words = |t: DateTime<Utc>| t.format("%Y-%m-%d %H:%M:%S UTC").to_string();
        format!(
            "the timestamp authority says it is {}, this machine's clock says {}: one of them is wrong",
            words(theirs),
            words(ours)
        )
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn only_a_url_that_may_be_written_down_is_accepted() {
        assert!(check("http://127.0.0.1:3180/tsr").is_ok());
        let why = |url: &str| check(url).unwrap_err().text();
        assert!(why("timestamp.example.com").contains("is no URL"), "{}", why("timestamp.example.com"));
        assert!(why("ftp://a.example").contains("over HTTP, not ftp"));
        let secret = why("https://user:hunter2@a.example/");
        assert!(secret.contains("holds a user or password") && !secret.contains("hunter2"), "{secret}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_has_an_end() {
        // it takes the connection and never says a word; the paused clock runs ahead to the deadline
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let why = exchange(&url, vec![1]).await.unwrap_err();
        assert_eq!(why, "it did not answer within 30 seconds");
    }

    #[test]
    fn clocks_that_differ_are_said_with_both_times() {
        let at = |s: i64| DateTime::from_timestamp(1_790_000_000 + s, 0).unwrap();
        assert_eq!(clocks(at(0), at(300)), None);
        let said = clocks(at(0), at(301)).unwrap();
        assert!(said.contains("14:13:20 UTC") && said.contains("14:18:21 UTC"), "{said}");
        assert!(clocks(at(301), at(0)).is_some());
    }
}
