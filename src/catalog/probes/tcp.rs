//! `tcp`: whether something listens.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Port, failed, forbidden, silent};
use crate::catalog::action::ReadCx;
use crate::catalog::probe::{Probe, ProbeSpec, Reading};
use crate::model::Dur;

/// `tcp`.
pub struct Tcp;

/// Parameters of `tcp`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: Port,
    /// Whether a link-local address may be asked: `169.254.0.0/16`, `fe80::/10`, `fd00:ec2::/32`.
    #[serde(default)]
    pub allow_link_local: bool,
}

static SPEC: ProbeSpec = ProbeSpec {
    name: "tcp",
    summary: "Opens a TCP connection and closes it again.",
    permissions: &[],
    timeout: Dur::secs(5),
    docs: "Healthy when the connection is accepted. Refused, broken and unanswered connections are unhealthy: that \
is what clients get. A host name that does not resolve is unknown.

An open port says little about the service behind it; `http` and `sql` say more.",
};

#[async_trait]
impl Probe for Tcp {
    type Params = Params;

    fn spec(&self) -> &'static ProbeSpec {
        &SPEC
    }

    fn check(&self, params: &Params) -> Vec<String> {
        let host = params.host.is_empty().then(|| "`host` is empty".to_owned());
        let link_local = forbidden(&params.host, params.allow_link_local);
        host.into_iter().chain(params.port.check()).chain(link_local).collect()
    }

    fn asks(&self, params: &Params) -> String {
        format!("{}:{}", params.host, params.port)
    }

    fn details(&self, params: &Params) -> Vec<String> {
        let near = params.allow_link_local.then(|| "may ask link-local addresses".to_owned());
        near.into_iter().collect()
    }

    async fn observe(&self, cx: ReadCx<'_>, params: &Params) -> Reading {
        let port = match params.port.number() {
            Ok(port) => port,
            Err(why) => return Reading::unknown(why),
        };
        let begin = cx.clock.stamp().mono_ms;
        match cx.reads.net.tcp(&params.host, port, params.allow_link_local).await {
            Ok(()) => {
                let ms = cx.clock.stamp().mono_ms.saturating_sub(begin);
                Reading::judged(true, format!("connected in {ms} ms"))
            }
            Err(e) => failed(&e),
        }
    }

    fn timed_out(&self, after: Duration) -> Reading {
        silent(after)
    }
}
