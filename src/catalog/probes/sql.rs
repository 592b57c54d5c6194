//! `sql`: whether a PostgreSQL database answers a query, and with what.
//!
//! The one place that asks for an environment variable for a drill: the password that it names.
//! Invariant: the password is never part of a reading, and no variable is read that is not called a
//! password's, or that is AWS's or redrill's own: a drill says where it is sent.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Port, Scalar, Telling, failed, forbidden, is_reference, shown, silent};
use crate::catalog::action::ReadCx;
use crate::catalog::probe::{Need, Probe, ProbeSpec, Reading};
use crate::cloud::{Secret, SqlAnswer, SqlRequest};
use crate::model::Dur;

/// `sql`.
pub struct Sql;

/// How the connection is encrypted, as PostgreSQL's own clients name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// Not at all.
    Disable,
    /// If the server can.
    Prefer,
    /// Always, any certificate.
    Require,
    /// Always, with a certificate of a known authority.
    VerifyCa,
    /// Always, with a certificate of a known authority for this host.
    VerifyFull,
}

impl Tls {
    fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// Parameters of `sql`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Host name or address, for example `${steps.restore.endpoint}`.
    pub host: String,
    /// Port.
    #[serde(default = "postgres")]
    pub port: Port,
    /// Database name.
    pub database: String,
    /// User; with `secret`, the one in the secret if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Name of the environment variable that holds the password: it ends in `PASSWORD`, and begins with
    /// neither `AWS_` nor `REDRILL_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
    /// Name or ARN of a Secrets Manager secret with the JSON fields `username` and `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// How the connection is encrypted; `prefer` for this machine and `verify-full` for any other, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// File with the CA certificates, for example the RDS bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The query: one `SELECT`, `VALUES`, `TABLE`, or `WITH` without changes.
    pub query: String,
    /// What the first column of the first row must hold, compared as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Scalar>,
    /// How many rows must come back at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_rows: Option<usize>,
    /// Whether what comes back, and what the server says of a query that fails, goes into the evidence as it
    /// is, and not as a hash.
    #[serde(default)]
    pub show_value: bool,
    /// Whether a link-local address may be asked: `169.254.0.0/16`, `fe80::/10`, `fd00:ec2::/32`.
    #[serde(default)]
    pub allow_link_local: bool,
}

fn postgres() -> Port {
    Port::from(5432)
}

static SPEC: ProbeSpec = ProbeSpec {
    name: "sql",
    summary: "Sends one query to a PostgreSQL database and judges the answer.",
    permissions: &["secretsmanager:GetSecretValue"],
    timeout: Dur::secs(10),
    docs: "Opens a fresh connection each time, reads `query` in a transaction that only reads and is never committed, \
and closes it. The query is one `SELECT` (or `VALUES`, `TABLE`, `WITH` without changes): the server refuses anything \
else. A function that acts outside of its transaction (`pg_terminate_backend`, `dblink`) is not held back by that, so \
let `user` be one who may only read. Healthy when the query succeeds and \
`expect` and `min_rows` hold, where given. `expect` is compared with the first column of the first row as \
PostgreSQL prints it, so `true` is `t`.

A connection that is refused, breaks, or is not answered in time, and a server that is starting, shutting down or \
out of connections are unhealthy. Everything else that goes wrong is unknown: a wrong password, a missing table, \
an error in the query. Where a missing table is what the drill looks for, ask so that the query succeeds: \
`select to_regclass('orders') is not null`. At most 1 MiB of a row and 64 MiB of the whole answer are read; \
what is longer is unknown, so count in the query and not in the answer.

On another machine the server must show a certificate of a known authority for `host`; `ca_file` names the \
authority (for RDS, the bundle that AWS publishes). `tls` says otherwise. Without TLS the password is never given \
to another machine in clear text, whatever the server asks for.

What comes back goes into the evidence as a verdict and a hash, which only tells whether two looks of one run read \
the same; of a query that fails, the SQLSTATE. With `show_value: true` both go there as they are.

The password comes from an environment variable (`password_env`) or from Secrets Manager (`secret`, which the \
managed master password of RDS is made for); it is never written anywhere. `secretsmanager:GetSecretValue` is \
needed only with `secret`; a key of one's own also takes `kms:Decrypt`.

In a restore drill this is the probe to verify with: let `host` be `${steps.ID.endpoint}`, so that it reads from \
the restored database.",
};

/// What a variable must be called for a drill to send what it holds.
const VARIABLE: &str = "`password_env` must name a variable that ends in `PASSWORD` and begins with neither \
                        `AWS_` nor `REDRILL_`";

fn is_passwords(variable: &str) -> bool {
    variable.ends_with("PASSWORD") && !["AWS_", "REDRILL_"].iter().any(|own| variable.starts_with(own))
}

#[derive(Deserialize)]
struct Login {
    username: Option<String>,
    password: Option<String>,
}

async fn login(cx: ReadCx<'_>, params: &Params) -> Result<(String, Option<Secret>), String> {
    let (mut user, mut password) = (params.user.clone(), None);
    if let Some(id) = &params.secret {
        let secret = cx.reads.secrets.secret(id).await.map_err(|e| e.to_string())?;
        // serde's message could quote the value
        let found: Login = serde_json::from_str(secret.expose())
            .map_err(|_| format!("the secret {id} is not JSON with `username` and `password`"))?;
        user = user.or(found.username);
        password = found.password.map(Secret::new);
        if password.is_none() {
            return Err(format!("the secret {id} has no field `password`"));
        }
    } else if let Some(name) = &params.password_env {
        // the check cannot see through a reference, and a plan may come from elsewhere
        if !is_passwords(name) {
            return Err(VARIABLE.to_owned());
        }
        let value = cx.reads.net.variable(name);
        password =
            Some(value.ok_or_else(|| format!("the environment variable {name} is not set (or not text)"))?);
    }
    let user = user.ok_or("no user is given, neither in `user` nor in the secret")?;
    Ok((user, password))
}

fn judge(answer: &SqlAnswer, params: &Params, telling: Telling, ms: u64) -> Reading {
    let first = answer.first.as_deref();
    if let Some(min) = params.min_rows
        && answer.rows < min
    {
        return Reading::judged(false, format!("{} rows, at least {min} wanted", answer.rows));
    }
    if let Some(expect) = &params.expect {
        let wanted = expect.to_string();
        if first != Some(wanted.as_str()) {
            let seen = first.map_or_else(|| "NULL or no row".to_owned(), |v| telling.value(v));
            return Reading::judged(false, format!("not `{}` ({seen})", shown(&wanted)));
        }
        return Reading::judged(true, format!("`{}` in {ms} ms", shown(&wanted)));
    }
    let rows = if answer.rows == 1 { "1 row".to_owned() } else { format!("{} rows", answer.rows) };
    let value = first.map(|v| format!(" ({})", telling.value(v))).unwrap_or_default();
    Reading::judged(true, format!("{rows}{value} in {ms} ms"))
}

#[async_trait]
impl Probe for Sql {
    type Params = Params;

    fn spec(&self) -> &'static ProbeSpec {
        &SPEC
    }

    fn check(&self, params: &Params) -> Vec<String> {
        let mut out: Vec<String> = params.port.check().into_iter().collect();
        if params.secret.is_some() && params.password_env.is_some() {
            out.push("give `secret` or `password_env`, not both".to_owned());
        }
        if params.password_env.as_deref().is_some_and(|v| !is_reference(v) && !is_passwords(v)) {
            out.push(VARIABLE.to_owned());
        }
        if params.secret.is_none() && params.user.is_none() {
            out.push("`user` is missing; only a `secret` can name it".to_owned());
        }
        if params.query.trim().is_empty() {
            out.push("`query` is empty".to_owned());
        }
        let verifies = matches!(params.tls, None | Some(Tls::VerifyCa | Tls::VerifyFull));
        if params.ca_file.is_some() && !verifies {
            out.push("`ca_file` is used only with `tls: verify-ca` or `verify-full`".to_owned());
        }
        out.extend(forbidden(&params.host, params.allow_link_local));
        out
    }

    fn asks(&self, params: &Params) -> String {
        let place = format!("{}:{}/{}", params.host, params.port, params.database);
        match (&params.secret, &params.password_env) {
            (Some(secret), _) => format!("{place}, password from secret {secret}"),
            (None, Some(variable)) => format!("{place}, password from ${variable}"),
            (None, None) => place,
        }
    }

    fn details(&self, params: &Params) -> Vec<String> {
        let mut out = vec![format!("sends {}", params.query)];
        let value = params.expect.as_ref().map(|v| format!("`{v}`"));
        let rows = params.min_rows.map(|n| format!("at least {n} rows"));
        let wants: Vec<String> = value.into_iter().chain(rows).collect();
        if !wants.is_empty() {
            out.push(format!("expects {}", wants.join(", ")));
        }
        let authority = params.ca_file.as_ref().map(|f| format!(", authority in {f}")).unwrap_or_default();
        out.push(match params.tls {
            Some(tls) => format!("tls {}{authority}", tls.name()),
            None => format!("tls verify-full, but prefer where it is this machine{authority}"),
        });
        for (is, text) in [
            (params.show_value, "what it reads goes into the evidence"),
            (params.allow_link_local, "may ask link-local addresses"),
        ] {
            out.extend(is.then(|| text.to_owned()));
        }
        out
    }

    fn needs(&self, params: &Params) -> Vec<Need> {
        let secret = params.secret.clone().map(Need::Secret);
        let variable = params.password_env.clone().map(Need::Variable);
        let file = params.ca_file.clone().map(Need::File);
        [secret, variable, file].into_iter().flatten().collect()
    }

    fn only_in_a_run(&self, params: &Params) -> Option<&'static str> {
        let login = params.secret.is_some() || params.password_env.is_some();
        login.then_some("it gives a password away")
    }

    async fn observe(&self, cx: ReadCx<'_>, params: &Params) -> Reading {
        let (user, password) = match login(cx, params).await {
            Ok(login) => login,
            Err(why) => return Reading::unknown(why),
        };
        let port = match params.port.number() {
            Ok(port) => port,
            Err(why) => return Reading::unknown(why),
        };
        let request = SqlRequest {
            host: params.host.clone(),
            port,
            database: params.database.clone(),
            user,
            password,
            tls: params.tls.map_or("", Tls::name).to_owned(),
            ca_file: params.ca_file.clone(),
            query: params.query.clone(),
            link_local: params.allow_link_local,
            quote_errors: params.show_value,
        };
        let begin = cx.clock.stamp().mono_ms;
        match cx.reads.net.sql(&request).await {
            Ok(answer) => {
                let ms = cx.clock.stamp().mono_ms.saturating_sub(begin);
                judge(&answer, params, Telling::new(cx, params.show_value), ms)
            }
            Err(e) => failed(&e),
        }
    }

    fn timed_out(&self, after: Duration) -> Reading {
        silent(after)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::Health;

    fn params(with: Value) -> Params {
        let mut all = json!({ "host": "db", "database": "orders", "user": "probe", "query": "select 1" });
        all.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn the_answer_is_compared_as_text() {
        let answer = |rows, first: Option<&str>| SqlAnswer { rows, first: first.map(str::to_owned) };
        for (with, answer, want) in [
            (json!({}), answer(0, None), Health::Healthy),
            (json!({ "expect": 42 }), answer(1, Some("42")), Health::Healthy),
            (json!({ "expect": "42" }), answer(1, Some("42")), Health::Healthy),
            (json!({ "expect": 42 }), answer(1, Some("43")), Health::Unhealthy),
            (json!({ "expect": "" }), answer(1, None), Health::Unhealthy),
            (json!({ "min_rows": 2 }), answer(1, Some("x")), Health::Unhealthy),
            (json!({ "min_rows": 1 }), answer(1, None), Health::Healthy),
        ] {
            let reading = judge(&answer, &params(with.clone()), Telling::of(0, false), 1);
            assert_eq!(reading.health, want, "{with}");
        }
    }

    #[test]
    fn what_comes_back_is_told_only_where_it_is_asked_for() {
        let answer = SqlAnswer { rows: 1, first: Some("hunter2".to_owned()) };
        let told = |with: Value| {
            let params = params(with);
            judge(&answer, &params, Telling::of(0, params.show_value), 1).seen
        };
        for with in [json!({}), json!({ "expect": 42 }), json!({ "expect": 42, "min_rows": 1 })] {
            let seen = told(with.clone());
            assert!(seen.contains("(hash ") && !seen.contains("hunter2"), "{with}: {seen}");
        }
        assert_eq!(told(json!({ "min_rows": 2 })), "1 rows, at least 2 wanted");
        assert_eq!(told(json!({ "expect": "hunter2" })), "`hunter2` in 1 ms", "the drill says it itself");
        assert_eq!(told(json!({ "show_value": true })), "1 row (`hunter2`) in 1 ms");
        assert_eq!(told(json!({ "expect": 42, "show_value": true })), "not `42` (`hunter2`)");
    }

    #[test]
    fn only_a_variable_that_is_a_passwords_is_read() {
        for (name, problems) in [
            ("PGPASSWORD", 0),
            ("ORDERS_DB_PASSWORD", 0),
            ("PASSWORD", 0),
            ("${params.variable}", 0),
            ("PGPASS", 1),
            ("pgpassword", 1),
            ("PASSWORD_FILE", 1),
            ("HOME", 1),
            ("AWS_SECRET_ACCESS_KEY", 1),
            ("AWS_PASSWORD", 1),
            ("REDRILL_KEY_PASSPHRASE", 1),
            ("REDRILL_PASSWORD", 1),
            ("", 1),
        ] {
            let found = Probe::check(&Sql, &params(json!({ "password_env": name })));
            assert_eq!(found, vec![VARIABLE; problems], "{name}");
        }
    }

    #[test]
    fn where_the_password_comes_from_is_said_once() {
        let check = |with: Value| Probe::check(&Sql, &params(with)).len();
        assert_eq!(check(json!({})), 0);
        assert_eq!(check(json!({ "secret": "db", "password_env": "PGPASSWORD" })), 1);
        assert_eq!(check(json!({ "user": null })), 1);
        assert_eq!(check(json!({ "user": null, "secret": "db" })), 0);
        assert_eq!(check(json!({ "ca_file": "bundle.pem" })), 0, "another machine is verified anyway");
        assert_eq!(check(json!({ "ca_file": "bundle.pem", "tls": "require" })), 1);
        assert_eq!(check(json!({ "host": "fe80::1" })), 1);
        assert_eq!(check(json!({ "host": "fe80::1", "allow_link_local": true })), 0);
        assert_eq!(check(json!({ "ca_file": "bundle.pem", "tls": "verify-full" })), 0);
        assert!(serde_json::from_value::<Params>(json!({ "password": "hunter2" })).is_err());
    }
}
