//! S3 answers of an unmodified moto: their root elements get the names that AWS gives them. I/O.
//!
//! For: emulators. moto calls the root of two answers after the operation; the SDK refuses to read
//! them. Not for: AWS itself, whose answers are never looked at. Invariant: nothing but the name of
//! the root changes, and only in an answer to one of the two questions.

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::{Builder, Connector, tls};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::config_bag::ConfigBag;

use crate::cloud::is_aws;

/// moto's name of a root, and AWS's.
const ROOTS: [(&str, &str); 3] = [
    ("GetBucketVersioningResponse", "VersioningConfiguration"),
    ("GetBucketNotificationResponse", "NotificationConfiguration"),
    ("GetBucketNotificationConfigurationResponse", "NotificationConfiguration"),
];
/// The sub-resources of a bucket that are answered so.
const ASKED: [&str; 2] = ["versioning", "notification"];

/// Wraps a client; the SDK's own where none is given.
pub(super) fn mending(inner: Option<SharedHttpClient>) -> SharedHttpClient {
    SharedHttpClient::new(Mending(inner.unwrap_or_else(sdks_own)))
}

/// What the SDK makes where no client is given; it offers no way to ask for that one.
fn sdks_own() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = Connector::builder()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
            .proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.build()
    })
}

#[derive(Debug)]
struct Mending<T>(T);

impl HttpClient for Mending<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Mending(self.0.http_connector(settings, components)))
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}

impl HttpConnector for Mending<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let ours = !is_aws(request.uri()) && asks(request.uri());
        let answer = self.0.call(request);
        if !ours {
            return answer;
        }
        HttpConnectorFuture::new(async move { mend(answer.await?).await })
    }
}

/// Whether a request is one of those that are answered so.
fn asks(uri: &str) -> bool {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| ASKED.contains(&pair.split('=').next().unwrap_or_default()))
}

async fn mend(mut answer: HttpResponse) -> Result<HttpResponse, ConnectorError> {
    if !answer.status().is_success() {
        return Ok(answer);
    }
    let body = ByteStream::new(answer.take_body()).collect().await;
    let body = body.map_err(|error| ConnectorError::io(error.into()))?.to_vec();
    let body = match renamed(&body) {
        Some(text) => {
            // of the answer before
            answer.headers_mut().remove("content-length");
            text.into_bytes()
        }
        None => body,
    };
    *answer.body_mut() = SdkBody::from(body);
    Ok(answer)
}

/// The document with AWS's name for its root; `None` where there is nothing to rename.
fn renamed(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let mut start = text.len() - text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).len();
    if text[start..].starts_with("<?xml") {
        let declared = start + text[start..].find("?>")? + "?>".len();
        start = text.len() - text[declared..].trim_start().len();
    }
    let (head, inner) = (&text[..start], text[start..].strip_prefix('<')?);
    let (name, root) = ROOTS.iter().find(|(name, _)| {
        inner.strip_prefix(name).is_some_and(|rest| rest.starts_with(['>', '/', ' ', '\t', '\r', '\n']))
    })?;
    let rest = &inner[name.len()..];
    let end = format!("</{name}");
    // an empty root has no end tag
    let rest = match rest.rfind(&end) {
        Some(at) => format!("{}</{root}{}", &rest[..at], &rest[at + end.len()..]),
        None => rest.to_owned(),
    };
    Some(format!("{head}<{root}{rest}"))
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;

    use super::*;

    const VERSIONING: &str = "<GetBucketVersioningResponse xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
        <Status>Enabled</Status></GetBucketVersioningResponse>";
    const NAMED: &str = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
        <Status>Enabled</Status></VersioningConfiguration>";

    #[test]
    fn the_root_alone_is_renamed() {
        let declared = |xml: &str| format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n{xml}");
        for (from, to) in [
            (VERSIONING.to_owned(), NAMED.to_owned()),
            (declared(VERSIONING), declared(NAMED)),
            (declared("<GetBucketVersioningResponse/>"), declared("<VersioningConfiguration/>")),
            (
                declared("<GetBucketNotificationResponse xmlns=\"x\"/>\n"),
                declared("<NotificationConfiguration xmlns=\"x\"/>\n"),
            ),
            (
                "<GetBucketNotificationConfigurationResponse><Id></Id></GetBucketNotificationConfigurationResponse>"
                    .to_owned(),
                "<NotificationConfiguration><Id></Id></NotificationConfiguration>".to_owned(),
            ),
        ] {
            assert_eq!(renamed(from.as_bytes()).as_deref(), Some(to.as_str()));
            assert_eq!(renamed(to.as_bytes()), None, "AWS's own stays");
        }
    }

    #[test]
    fn anything_else_stays_as_it_is() {
        for other in [
            "",
            "<Error><Code>NoSuchBucket</Code></Error>",
            "<Tagging><Value>GetBucketVersioningResponse</Value></Tagging>",
            "<Tagging><GetBucketVersioningResponse/></Tagging>",
            "<GetBucketVersioningResponses/>",
            "GetBucketVersioningResponse",
            "<?xml",
        ] {
            assert_eq!(renamed(other.as_bytes()), None, "{other}");
        }
        assert_eq!(renamed(b"<GetBucketVersioningResponse>\xff"), None);
    }

    /// Answers everything with moto's versioning.
    #[derive(Debug)]
    struct Moto(u16);

    impl HttpConnector for Moto {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let mut answer =
                HttpResponse::new(StatusCode::try_from(self.0).unwrap(), SdkBody::from(VERSIONING));
            answer.headers_mut().insert("content-length", VERSIONING.len().to_string());
            HttpConnectorFuture::ready(Ok(answer))
        }
    }

    async fn answered(uri: &str, status: u16) -> String {
        let connector = Mending(SharedHttpConnector::new(Moto(status)));
        let answer = connector.call(HttpRequest::get(uri).unwrap()).await.unwrap();
        let length = answer.headers().get("content-length").map(str::to_owned);
        let body = String::from_utf8(answer.body().bytes().unwrap().to_vec()).unwrap();
        assert!(length.is_none_or(|n| n == body.len().to_string()), "{uri}");
        body
    }

    #[tokio::test]
    async fn only_these_answers_of_an_emulator_are_touched() {
        let emulator = "http://127.0.0.1:5000/shop-assets";
        assert_eq!(answered(&format!("{emulator}?versioning"), 200).await, NAMED);
        assert_eq!(answered(&format!("{emulator}/?x-id=a&notification="), 200).await, NAMED);
        for uri in ["", "?tagging", "/versioning", "?prefix=versioning", "?versions"] {
            assert_eq!(answered(&format!("{emulator}{uri}"), 200).await, VERSIONING, "{uri}");
        }
        assert_eq!(answered(&format!("{emulator}?versioning"), 404).await, VERSIONING);
    }

    #[tokio::test]
    async fn an_answer_of_aws_is_never_touched() {
        for aws in [
            "https://shop-assets.s3.eu-west-1.amazonaws.com/?versioning",
            "https://bucket.vpce-0a1b.s3.us-east-1.vpce.amazonaws.com/shop-assets?versioning",
            "https://s3.cn-north-1.amazonaws.com.cn/shop-assets?notification",
        ] {
            assert_eq!(answered(aws, 200).await, VERSIONING, "{aws}");
        }
    }
}
