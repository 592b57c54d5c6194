//! Buckets in another region than the connection's. S3 answers where a bucket is; the SDK does not follow.
//!
//! For reads: probes, the kill switch, the files of a trail. What changes something goes to the run's own region alone.
//! Invariant: a call is sent a second time only where S3 answered that it belongs elsewhere. I/O.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Region;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

/// The most buckets that are remembered.
const MOST: usize = 1_000;

/// A client for each region that buckets turned out to be in.
pub(super) struct Regional {
    home: Client,
    elsewhere: Mutex<BTreeMap<String, Client>>,
}

impl Regional {
    pub(super) fn new(home: Client) -> Self {
        Self { home, elsewhere: Mutex::default() }
    }

    /// The client of the connection's own region.
    pub(super) fn home(&self) -> &Client {
        &self.home
    }

    /// Sends a call on a bucket to where the bucket is.
    pub(super) async fn send<T, E, F>(
        &self,
        bucket: &str,
        call: impl Fn(Client) -> F,
    ) -> Result<T, SdkError<E, HttpResponse>>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let known = self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner).get(bucket).cloned();
        let client = known.unwrap_or_else(|| self.home.clone());
        let answer = call(client.clone()).await;
        let Some(region) = answer.as_ref().err().and_then(named) else { return answer };
        if client.config().region().is_some_and(|r| r.to_string() == region) {
            return answer;
        }
        call(self.there(bucket, region)).await
    }

    /// A client of that region, remembered for the bucket.
    fn there(&self, bucket: &str, region: String) -> Client {
        let config = self.home.config().to_builder().region(Region::new(region)).build();
        let client = Client::from_conf(config);
        let mut all = self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MOST {
            all.insert(bucket.to_owned(), client.clone());
        }
        client
    }
}

/// The region that an answer points to. 400 is what another region's signature is answered with.
fn named<E>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    let answer = error.raw_response()?;
    let region = answer.headers().get("x-amz-bucket-region")?;
    let is_name = !region.is_empty() && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (matches!(answer.status().as_u16(), 301 | 307 | 400) && is_name).then(|| region.to_owned())
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::config::BehaviorVersion;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    type Answer = Result<String, SdkError<&'static str, HttpResponse>>;

    fn regional() -> Regional {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"));
        Regional::new(Client::from_conf(config.build()))
    }

    fn refused(status: u16, region: &'static str) -> SdkError<&'static str, HttpResponse> {
        let mut answer = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
        if !region.is_empty() {
            answer.headers_mut().insert("x-amz-bucket-region", region);
        }
        SdkError::service_error("refused", answer)
    }

    /// Calls as the buckets `far` (in eu-west-1) and `near` would answer; the regions that were asked.
    async fn asked(
        regional: &Regional,
        bucket: &str,
        status: u16,
        says: &'static str,
    ) -> (Vec<String>, bool) {
        let regions = Mutex::new(Vec::new());
        let answer: Answer = regional
            .send(bucket, |client| {
                let region = client.config().region().map(ToString::to_string).unwrap_or_default();
                regions.lock().unwrap().push(region.clone());
                async move { if region == "eu-west-1" { Ok(region) } else { Err(refused(status, says)) } }
            })
            .await;
        (regions.into_inner().unwrap(), answer.is_ok())
    }

    #[tokio::test]
    async fn a_bucket_elsewhere_is_asked_there_and_found_at_once_the_next_time() {
        for status in [301, 307, 400] {
            let regional = regional();
            let both = ["us-east-1", "eu-west-1"].map(str::to_owned).to_vec();
            assert_eq!(asked(&regional, "far", status, "eu-west-1").await, (both, true), "{status}");
            assert_eq!(
                asked(&regional, "far", status, "eu-west-1").await,
                (vec!["eu-west-1".to_owned()], true)
            );
        }
    }

    #[tokio::test]
    async fn any_other_answer_stands_and_nothing_is_sent_twice() {
        let once = (vec!["us-east-1".to_owned()], false);
        for (status, says) in [
            (301, ""),
            (400, ""),
            (403, "eu-west-1"),
            (404, "eu-west-1"),
            (301, "us-east-1"),
            (301, "evil.example.com/"),
        ] {
            assert_eq!(asked(&regional(), "near", status, says).await, once, "{status} {says}");
        }
        // pointed on and on, it is followed once
        let (regions, ok) = asked(&regional(), "near", 301, "eu-central-1").await;
        assert_eq!((regions.len(), ok), (2, false));
    }
}
