//! `http`: what a client of a web service gets.
//!
//! Invariant: no redirect is followed and nothing is retried, so that what is seen is one answer.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::{Telling, failed, forbidden, is_reference, shown, silent};
use crate::catalog::action::ReadCx;
use crate::catalog::probe::{Probe, ProbeSpec, Reading};
use crate::cloud::{HttpRequest, HttpResponse};
use crate::model::text::without_user;
use crate::model::{Dur, OneOrMany};

/// `http`.
pub struct Http;

/// Request method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    #[default]
    Get,
    /// Reads the headers only.
    Head,
    /// Sends the body.
    Post,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
        }
    }
}

/// A value inside a JSON body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonCheck {
    /// Where: `checks.database.ok`, `items[0].sku`, or a JSON Pointer such as `/items/0/sku`.
    pub path: String,
    /// What must stand there. Text, numbers and booleans are compared as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<Value>,
    /// The least number that may stand there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The greatest number that may stand there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
}

impl JsonCheck {
    /// What is wrong with the value that stands there, if anything.
    fn wrong(&self, found: &Value, telling: Telling) -> Option<String> {
        let (path, is) = (&self.path, || telling.value(&found.to_string()));
        if let Some(wanted) = self.equals.as_ref().filter(|wanted| !same(found, wanted)) {
            return Some(format!("{path} is not {} ({})", shown(&wanted.to_string()), is()));
        }
        if self.at_least.is_none() && self.at_most.is_none() {
            return None;
        }
        // a number in quotes is one, too
        let number = found.as_f64().or_else(|| found.as_str()?.trim().parse().ok()).filter(|n| n.is_finite());
        let Some(number) = number else { return Some(format!("{path} is no number ({})", is())) };
        let low = self.at_least.filter(|low| number < *low);
        let low = low.map(|low| format!("{path} is less than {low} ({})", is()));
        low.or_else(|| {
            let high = self.at_most.filter(|high| number > *high)?;
            Some(format!("{path} is more than {high} ({})", is()))
        })
    }

    /// What is expected, in words.
    fn in_words(&self) -> String {
        let equals = self.equals.as_ref().map(|v| format!("is {v}"));
        let low = self.at_least.map(|n| format!("is at least {n}"));
        let high = self.at_most.map(|n| format!("is at most {n}"));
        let all: Vec<String> = [equals, low, high].into_iter().flatten().collect();
        format!("{} {}", self.path, all.join(" and "))
    }
}

/// Parameters of `http`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Absolute URL, `http://` or `https://`. A password in it must be a secret parameter.
    pub url: String,
    /// Method.
    #[serde(default)]
    pub method: Method,
    /// Accepted status codes; `2??` stands for any of the two hundreds.
    #[serde(default = "ok")]
    pub status: OneOrMany,
    /// Text that the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
    /// A value that the body, read as JSON, must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<JsonCheck>,
    /// Headers that the answer must have, with accepted values (`*` and `?` allowed).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, OneOrMany>,
    /// An answer that takes longer is unhealthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_latency: Option<Dur>,
    /// Headers to send.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Body to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Whether to accept any certificate.
    #[serde(default)]
    pub insecure: bool,
    /// Whether a header or a value that is not as wanted goes into the evidence as it is, and not as a hash.
    #[serde(default)]
    pub show_value: bool,
    /// Whether a link-local address may be asked: `169.254.0.0/16`, `fe80::/10`, `fd00:ec2::/32`.
    #[serde(default)]
    pub allow_link_local: bool,
}

fn ok() -> OneOrMany {
    OneOrMany::from("200")
}

/// What services answer when they serve, when they do not, and when another one answers in their place. Whoever takes
/// all of these takes any answer.
const FAR_APART: [&str; 14] =
    ["200", "204", "301", "302", "304", "400", "401", "403", "404", "429", "500", "502", "503", "504"];

/// Headers that servers send with every answer.
const ALWAYS: [&str; 5] = ["connection", "content-length", "content-type", "date", "server"];

/// How much of a body is read.
const BODY_LIMIT: usize = 256 * 1024;

static SPEC: ProbeSpec = ProbeSpec {
    name: "http",
    summary: "Sends one HTTP request and judges status, headers, body and latency.",
    permissions: &[],
    timeout: Dur::secs(5),
    docs: "Healthy when everything asked for holds: the status, each `header`, `body_contains`, the value at \
`json.path` (equal to `equals`, a number from `at_least` to `at_most`), and an answer within `max_latency`. Redirects are not followed: name `status: 301` where one is \
wanted. The first 256 KiB of a body are looked at.

A header or a value that is not as wanted goes into the evidence as a hash, which only tells whether two looks of \
one run read the same; with `show_value: true` it goes there as it is. Link-local addresses, where a machine in the \
cloud keeps its credentials, are asked only with `allow_link_local: true`.

A connection that is refused, breaks, or is not answered in time is unhealthy: that is what the service's \
clients get. A name that does not resolve, a certificate that does not check out and a URL that is no URL are \
unknown: the service was never asked.

For a CDN, `header: { x-cache: \"Miss*\" }` or `age` tell whether an answer came from the cache.",
};

fn at<'a>(body: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() || path.starts_with('/') {
        return body.pointer(path);
    }
    let path = path.strip_prefix("$.").unwrap_or(path);
    path.split(['.', '[']).try_fold(body, |here, part| match part.strip_suffix(']') {
        Some(index) => here.get(index.parse::<usize>().ok()?),
        None => here.get(part).or_else(|| here.get(part.parse::<usize>().ok()?)),
    })
}

fn same(found: &Value, wanted: &Value) -> bool {
    let text = |v: &Value| match v {
        Value::String(s) => Some(s.clone()),
        Value::Bool(_) | Value::Number(_) => Some(v.to_string()),
        _ => None,
    };
    match (text(found), text(wanted)) {
        (Some(a), Some(b)) => a == b,
        _ => found == wanted,
    }
}

/// What is wrong with the answer, if anything.
fn wrong(answer: &HttpResponse, params: &Params, telling: Telling) -> Option<String> {
    let status = answer.status.to_string();
    if !params.status.matches(&status) {
        return Some(format!("status {status}, not {}", params.status));
    }
    for (name, values) in &params.header {
        match answer.headers.get(&name.to_ascii_lowercase()) {
            None => return Some(format!("no header {name}")),
            Some(value) if !values.matches(value) => {
                return Some(format!("{name} is not {values} ({})", telling.value(value)));
            }
            Some(_) => {}
        }
    }
    if let Some(text) = &params.body_contains
        && !answer.body.contains(text.as_str())
    {
        return Some(format!("the body does not contain `{}`", shown(text)));
    }
    if let Some(check) = &params.json {
        let Ok(body) = serde_json::from_str::<Value>(&answer.body) else {
            return Some("the body is not JSON".to_owned());
        };
        return match at(&body, &check.path) {
            None => Some(format!("nothing at {}", check.path)),
            Some(found) => check.wrong(found, telling),
        };
    }
    None
}

fn authority(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, rest)| rest);
    after.split(['/', '?', '#']).next().unwrap_or_default()
}

/// The host of a URL, without the port.
fn host(url: &str) -> &str {
    let place = authority(url).rsplit('@').next().unwrap_or_default();
    match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, _)) => inside,
        None => place.split(':').next().unwrap_or_default(),
    }
}

/// Whether a URL holds a user's password, or a name that may be a token, as it stands.
fn names_somebody(url: &str) -> bool {
    let Some((user, _)) = authority(url).rsplit_once('@') else { return false };
    !is_reference(user.split_once(':').map_or(user, |(_, password)| password))
}

/// Whether headers of this name carry what lets somebody in.
fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = ["authorization", "cookie", "token", "secret", "password", "api-key", "apikey", "api_key"];
    words.iter().any(|word| name.contains(word))
}

#[async_trait]
impl Probe for Http {
    type Params = Params;

    fn spec(&self) -> &'static ProbeSpec {
        &SPEC
    }

    fn check(&self, params: &Params) -> Vec<String> {
        let mut out = Vec::new();
        let scheme = ["http://", "https://"].iter().any(|s| params.url.starts_with(s));
        if !scheme && !is_reference(&params.url) {
            out.push(format!("`url: {}` must begin with http:// or https://", params.url));
        }
        if names_somebody(&params.url) {
            out.push(
                "`url` holds a user name or password, which would be on disk; let a secret parameter hold \
                 the password: `https://user:${params.password}@…`"
                    .to_owned(),
            );
        }
        let written = |(name, value): &(&String, &String)| is_credential(name) && !value.contains("${");
        out.extend(params.headers.iter().filter(written).map(|(name, _)| {
            format!(
                "the header `{name}` holds a credential, which would be on disk; let a secret parameter hold it: \
                 `{name}: ${{params.token}}`"
            )
        }));
        if params.status.is_empty() {
            out.push("`status` is empty; leave it out for 200".to_owned());
        }
        if params
            .json
            .as_ref()
            .is_some_and(|j| j.equals.is_none() && j.at_least.is_none() && j.at_most.is_none())
        {
            out.push("`json` needs `equals`, `at_least` or `at_most`".to_owned());
        }
        if params.method == Method::Head && (params.body_contains.is_some() || params.json.is_some()) {
            out.push("an answer to HEAD has no body to look at".to_owned());
        }
        if params.body.is_some() && params.method != Method::Post {
            out.push("only POST sends a `body`".to_owned());
        }
        out.extend(forbidden(host(&params.url), params.allow_link_local));
        out
    }

    fn asks(&self, params: &Params) -> String {
        // what is given in a query, or for a user, may be known to nobody else
        let url = without_user(&params.url);
        let url = url.split('#').next().unwrap_or_default();
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let names = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) => format!("{name}=…"),
            None => pair.to_owned(),
        });
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{} {place}{mark}{}", params.method.name(), names.collect::<Vec<_>>().join("&"))
    }

    fn details(&self, params: &Params) -> Vec<String> {
        let mut out = Vec::new();
        if !params.headers.is_empty() {
            // the values may be secrets
            let names: Vec<&str> = params.headers.keys().map(String::as_str).collect();
            out.push(format!("sends the headers {}", names.join(", ")));
        }
        out.extend(params.body.as_ref().map(|body| format!("sends the body {body}")));
        let mut wants = vec![format!("status {}", params.status)];
        wants.extend(params.header.iter().map(|(name, values)| format!("{name}: {values}")));
        wants.extend(params.body_contains.as_ref().map(|text| format!("`{text}` in the body")));
        wants.extend(params.json.as_ref().map(JsonCheck::in_words));
        wants.extend(params.max_latency.map(|max| format!("an answer within {max}")));
        out.push(format!("expects {}", wants.join("; ")));
        for (is, text) in [
            (params.insecure, "accepts any certificate"),
            (params.show_value, "what it reads goes into the evidence"),
            (params.allow_link_local, "may ask link-local addresses"),
        ] {
            out.extend(is.then(|| text.to_owned()));
        }
        out
    }

    fn only_in_a_run(&self, params: &Params) -> Option<&'static str> {
        if params.method == Method::Post {
            return Some("POST may change something");
        }
        let given =
            !params.headers.is_empty() || params.url.contains("://") && authority(&params.url).contains('@');
        given.then_some("its headers or its user may be secret")
    }

    fn any_answer(&self, params: &Params) -> bool {
        let Params { status, body_contains, json, header, .. } = params;
        let words = body_contains.as_ref().is_some_and(|text| !text.is_empty());
        // an error page that comes quickly is no healthy answer
        let always = |name: &str| ALWAYS.iter().any(|known| known.eq_ignore_ascii_case(name));
        let asked = |(name, value): (&String, &OneOrMany)| !(always(name) && value.matches_anything());
        let asks_more = words || json.is_some() || header.iter().any(asked);
        !asks_more && FAR_APART.iter().all(|code| status.matches(code))
    }

    async fn observe(&self, cx: ReadCx<'_>, params: &Params) -> Reading {
        let request = HttpRequest {
            method: params.method.name().to_owned(),
            url: params.url.clone(),
            headers: params.headers.clone(),
            body: params.body.clone(),
            insecure: params.insecure,
            body_limit: BODY_LIMIT,
            link_local: params.allow_link_local,
        };
        let begin = cx.clock.stamp().mono_ms;
        match cx.reads.net.http(&request).await {
            Err(e) => failed(&e),
            Ok(answer) => {
                let ms = cx.clock.stamp().mono_ms.saturating_sub(begin);
                let slow = params.max_latency.filter(|max| Duration::from_millis(ms) > max.0);
                let telling = Telling::new(cx, params.show_value);
                match (wrong(&answer, params, telling), slow) {
                    (Some(why), _) => Reading::judged(false, format!("{why} ({ms} ms)")),
                    (None, Some(max)) => {
                        Reading::judged(false, format!("{} in {ms} ms, more than {max}", answer.status))
                    }
                    (None, None) => Reading::judged(true, format!("{} in {ms} ms", answer.status)),
                }
            }
        }
    }

    fn timed_out(&self, after: Duration) -> Reading {
        silent(after)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params(with: Value) -> Params {
        let mut all = json!({ "url": "http://localhost/" });
        all.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn answer(status: u16, body: &str) -> HttpResponse {
        let headers = BTreeMap::from([("x-cache".to_owned(), "Hit from cloudfront".to_owned())]);
        HttpResponse { status, headers, body: body.to_owned() }
    }

    #[test]
    fn each_expectation_can_fail() {
        let body = r#"{"status":"ok","checks":{"web":{"ok":true,"n":3}},"items":[{"sku":"tea-1"}]}"#;
        for (with, want) in [
            (json!({}), None),
            (json!({ "status": 503 }), Some("status 200, not 503")),
            (json!({ "status": [503, "2??"] }), None),
            (json!({ "json": { "path": "checks.web.n", "at_least": 3, "at_most": 3 } }), None),
            (
                json!({ "json": { "path": "checks.web.n", "at_least": 3.5 } }),
                Some("checks.web.n is less than 3.5 (`3`)"),
            ),
            (
                json!({ "json": { "path": "checks.web.n", "at_most": 2 } }),
                Some("checks.web.n is more than 2 (`3`)"),
            ),
            (json!({ "json": { "path": "status", "at_most": 2 } }), Some("status is no number (`\"ok\"`)")),
            (json!({ "body_contains": "tea-1" }), None),
            (json!({ "body_contains": "tea-2" }), Some("the body does not contain `tea-2`")),
            (json!({ "header": { "X-Cache": "Hit*" } }), None),
            (
                json!({ "header": { "X-Cache": "Miss*" } }),
                Some("X-Cache is not Miss* (`Hit from cloudfront`)"),
            ),
            (json!({ "header": { "age": "*" } }), Some("no header age")),
            (json!({ "json": { "path": "checks.web.ok", "equals": true } }), None),
            (json!({ "json": { "path": "checks.web.ok", "equals": "true" } }), None),
            (json!({ "json": { "path": "$.checks.web.n", "equals": 3 } }), None),
            (json!({ "json": { "path": "checks.web.n", "equals": 2 } }), Some("checks.web.n is not 2 (`3`)")),
            (json!({ "json": { "path": "items[0].sku", "equals": "tea-1" } }), None),
            (json!({ "json": { "path": "/items/0/sku", "equals": "tea-1" } }), None),
            (
                json!({ "json": { "path": "items[1].sku", "equals": "tea-1" } }),
                Some("nothing at items[1].sku"),
            ),
            (json!({ "json": { "path": "checks.web", "equals": { "ok": true, "n": 3 } } }), None),
        ] {
            let (params, showing) = (params(with.clone()), Telling::of(0, true));
            assert_eq!(wrong(&answer(200, body), &params, showing).as_deref(), want, "{with}");
            // nothing of the answer but what the drill says itself
            let told = wrong(&answer(200, body), &params, Telling::of(0, false)).unwrap_or_default();
            assert!(!told.contains("Hit") && !told.contains("(`"), "{told}");
            assert_eq!(told.contains("(hash "), want.is_some_and(|w| w.contains("(`")), "{told}");
        }
        let json = params(json!({ "json": { "path": "a", "equals": 1 } }));
        assert_eq!(
            wrong(&answer(200, "<html>"), &json, Telling::of(0, false)).as_deref(),
            Some("the body is not JSON")
        );
    }

    #[test]
    fn combinations_that_make_no_sense_are_told() {
        let check = |with: Value| Probe::check(&Http, &params(with)).len();
        assert_eq!(check(json!({})), 0);
        assert_eq!(check(json!({ "url": "localhost:80" })), 1);
        assert_eq!(check(json!({ "url": "${steps.restore.endpoint}" })), 0);
        for (url, told) in [
            ("https://user:hunter2@shop.example.com/health", 1),
            ("https://token@shop.example.com", 1),
            ("https://:hunter2@shop.example.com?a=b", 1),
            ("https://a@b:hunter2@shop.example.com", 1),
            ("https://user:${params.password}@shop.example.com", 0),
            ("https://${params.login}@shop.example.com", 0),
            ("https://shop.example.com/@user:x", 0),
            ("https://shop.example.com?mail=user@example.com", 0),
        ] {
            let told_of = Probe::check(&Http, &params(json!({ "url": url })));
            assert_eq!(told_of.len(), told, "{url}: {told_of:?}");
            assert!(!told_of.join("").contains("hunter2"));
        }
        for near in
            ["169.254.169.254", "169.254.169.254:80", "[fe80::1]", "user:${params.p}@[fd00:ec2::254]:80"]
        {
            let url = format!("http://{near}/latest/meta-data");
            assert_eq!(check(json!({ "url": url })), 1, "{url}");
            assert_eq!(check(json!({ "url": url, "allow_link_local": true })), 0, "{url}");
        }
        assert_eq!(check(json!({ "method": "HEAD", "body_contains": "x" })), 1);
        assert_eq!(check(json!({ "body": "x" })), 1);
        assert_eq!(check(json!({ "method": "POST", "body": "x" })), 0);
        assert!(serde_json::from_value::<Params>(json!({ "url": "http://x", "statuss": 200 })).is_err());
    }
}
