//! The SDK's own HTTP client, but with names looked up where nothing else waits for them. I/O.
//!
//! By default the SDK looks names up in the runtime's shared threads, where a dark network lets them pile up
//! until nobody else finds one. Everything else is as in `aws_smithy_runtime::client::http::default_https_client`:
//! rustls over aws-lc, the system's roots, the proxy that the environment names.

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::net::look_up;

#[derive(Clone, Copy, Debug)]
struct Names;

impl ResolveDns for Names {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move { Ok(look_up(name).await.map_err(ResolveDnsError::new)?.to_vec()) })
    }
}

/// The client.
pub(super) fn client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let provider = Provider::Rustls(CryptoMode::AwsLc);
        let mut connector = ConnectorBuilder::default().tls_provider(provider);
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build_with_resolver(Names)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_are_looked_up_and_one_without_an_address_is_an_error() {
        let found = Names.resolve_dns("localhost").await.unwrap();
        assert!(!found.is_empty() && found.iter().all(std::net::IpAddr::is_loopback), "{found:?}");
        assert!(Names.resolve_dns("no-such-host.invalid").await.is_err());
    }
}
