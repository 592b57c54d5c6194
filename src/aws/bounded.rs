//! No answer of a service is read without an end. I/O.
//!
//! The SDK collects an answer whole before it looks at it, however long it is. Here the HTTP client that it is
//! given hands bodies on only up to a limit; then reading fails, and so the call, as one whose answer could not
//! be read. Invariant: nothing else about a request or an answer changes.

use std::pin::Pin;
use std::task::{Context, Poll};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// More than any page of a listing. A file of CloudTrail may be as large as 64 MiB, which is looked at where it
/// is read.
const LARGEST: u64 = 72 << 20;

/// Wraps a client.
pub(super) fn bounded(inner: SharedHttpClient) -> SharedHttpClient {
    SharedHttpClient::new(Bounded { inner, most: LARGEST })
}

#[derive(Debug)]
struct Bounded<T> {
    inner: T,
    most: u64,
}

impl HttpClient for Bounded<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Bounded { inner, most: self.most })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

impl HttpConnector for Bounded<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (answer, most) = (self.inner.call(request), self.most);
        HttpConnectorFuture::new(async move {
            let whole = |inner| SdkBody::from_body_1_x(UpTo { inner, most, read: 0 });
            Ok(answer.await?.map(whole))
        })
    }
}

/// A body that fails where it is longer than that.
struct UpTo {
    inner: SdkBody,
    most: u64,
    read: u64,
}

impl Body for UpTo {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            this.read += frame.data_ref().map_or(0, |data| data.len() as u64);
            if this.read > this.most {
                let why = format!("the answer is longer than {} MiB", this.most >> 20);
                return Poll::Ready(Some(Err(why.into())));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::byte_stream::ByteStream;

    use super::*;

    /// Answers everything with so many bytes.
    #[derive(Debug)]
    struct Long(usize);

    impl HttpConnector for Long {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let mut answer =
                HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::from(vec![b'x'; self.0]));
            answer.headers_mut().insert("x-amzn-requestid", "one");
            HttpConnectorFuture::ready(Ok(answer))
        }
    }

    #[tokio::test]
    async fn an_answer_is_handed_on_whole_or_not_at_all() {
        for (length, whole) in [(0, true), (10, true), (11, false), (1000, false)] {
            let inner = SharedHttpConnector::new(Long(length));
            let connector = Bounded { inner, most: 10 };
            let request = HttpRequest::get("http://127.0.0.1/").unwrap();
            let mut answer = connector.call(request).await.unwrap();
            assert_eq!(answer.headers().get("x-amzn-requestid"), Some("one"));
            let body = ByteStream::new(answer.take_body()).collect().await;
            assert_eq!(body.map(|b| b.into_bytes().len()).ok(), whole.then_some(length));
        }
    }
}
