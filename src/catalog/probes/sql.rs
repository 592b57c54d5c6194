//! `sql`: whether a PostgreSQL database answers a query, and with what.
//!
//! The one place that reads an environment variable for a drill: the password that it names.
//! Invariant: the password is never part of a reading, and no variable is read that is not called a
//! password's, or that is AWS's or redrill's own: a drill says where it is sent.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Port, Scalar, failed, is_reference, shown, silent};
use crate::catalog::action::ReadCx;
use crate::catalog::probe::{Probe, ProbeSpec, Reading};
use crate::cloud::{Secret, SqlAnswer, SqlRequest};
use crate::model::Dur;

/// `sql`.
pub struct Sql;

/// How the connection is encrypted, as PostgreSQL's own clients name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// Not at all.
    Disable,
    /// If the server can.
    #[default]
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
    /// How the connection is encrypted.
    #[serde(default)]
    pub tls: Tls,
    /// File with the CA certificates, for example the RDS bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The query, sent as it stands. It should only read.
    pub query: String,
    /// What the first column of the first row must hold, compared as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Scalar>,
    /// How many rows must come back at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_rows: Option<usize>,
}

fn postgres() -> Port {
    Port::from(5432)
}

static SPEC: ProbeSpec = ProbeSpec {
    name: "sql",
    summary: "Sends one query to a PostgreSQL database and judges the answer.",
    permissions: &["secretsmanager:GetSecretValue"],
    timeout: Dur::secs(10),
    docs: "Opens a fresh connection each time, sends `query` and closes it. Healthy when the query succeeds and \
`expect` and `min_rows` hold, where given. `expect` is compared with the first column of the first row as \
PostgreSQL prints it, so `true` is `t`.

A connection that is refused, breaks, or is not answered in time, and a server that is starting, shutting down or \
out of connections are unhealthy. Everything else that goes wrong is unknown: a wrong password, a missing table, \
an error in the query. Where a missing table is what the drill looks for, ask so that the query succeeds: \
`select to_regclass('orders') is not null`.

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
        let value = std::env::var(name)
            .map_err(|_| format!("the environment variable {name} is not set (or not text)"))?;
        password = Some(Secret::new(value));
    }
    let user = user.ok_or("no user is given, neither in `user` nor in the secret")?;
    Ok((user, password))
}

fn judge(answer: &SqlAnswer, params: &Params, ms: u64) -> Reading {
    let first = answer.first.as_deref();
    if let Some(min) = params.min_rows
        && answer.rows < min
    {
        return Reading::judged(false, format!("{} rows, at least {min} wanted", answer.rows));
    }
    if let Some(expect) = &params.expect {
        let wanted = expect.to_string();
        if first != Some(wanted.as_str()) {
            let seen = first.map_or_else(|| "NULL or no row".to_owned(), |v| format!("`{}`", shown(v)));
            return Reading::judged(false, format!("{seen}, not `{}`", shown(&wanted)));
        }
    }
    let seen = first.map_or_else(|| format!("{} rows", answer.rows), |v| format!("`{}`", shown(v)));
    Reading::judged(true, format!("{seen} in {ms} ms"))
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
        let verifies = matches!(params.tls, Tls::VerifyCa | Tls::VerifyFull);
        if params.ca_file.is_some() && !verifies {
            out.push("`ca_file` is used only with `tls: verify-ca` or `verify-full`".to_owned());
        }
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
            tls: params.tls.name().to_owned(),
            ca_file: params.ca_file.clone(),
            query: params.query.clone(),
        };
        let begin = cx.clock.stamp().mono_ms;
        match cx.reads.net.sql(&request).await {
            Ok(answer) => judge(&answer, params, cx.clock.stamp().mono_ms.saturating_sub(begin)),
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
            assert_eq!(judge(&answer, &params(with.clone()), 1).health, want, "{with}");
        }
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
        assert_eq!(check(json!({ "ca_file": "bundle.pem" })), 1);
        assert_eq!(check(json!({ "ca_file": "bundle.pem", "tls": "verify-full" })), 0);
        assert!(serde_json::from_value::<Params>(json!({ "password": "hunter2" })).is_err());
    }
}
