//! AWS itself (or an emulator that speaks its protocols): the `cloud` traits over the AWS SDK.
//!
//! For: translating between the SDK's types and redrill's own, and saying of every failure whether
//! it may have changed something. Not for: decisions, retries of changes, caching. Invariant: no
//! SDK type leaves this module, and a change is sent at most once. I/O.

mod bounded;
mod cloudfront;
mod cloudtrail;
mod connect;
mod credentials;
mod custody;
mod ec2;
mod ec2_launch;
mod endpoint;
mod error;
mod iam;
mod launch;
mod mutate;
mod names;
mod others;
mod rds;
mod rds_change;
mod regions;
mod s3;
mod s3_roots;
mod whole;

pub use connect::{ConnectOptions, StaticCredentials, connect};
pub use custody::custody;

use chrono::{DateTime, Utc};

use crate::model::Tags;

/// AWS's time as ours (UTC).
fn time(t: &aws_smithy_types::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(t.secs(), t.subsec_nanos())
}

/// Our time as AWS's, whole milliseconds.
fn sdk_time(t: DateTime<Utc>) -> aws_smithy_types::DateTime {
    aws_smithy_types::DateTime::from_millis(t.timestamp_millis())
}

/// Tags whose SDK type has optional keys and values.
fn tags<T>(list: &[T], key: impl Fn(&T) -> Option<&str>, value: impl Fn(&T) -> Option<&str>) -> Tags {
    list.iter()
        .filter_map(|tag| Some((key(tag)?.to_owned(), value(tag).unwrap_or_default().to_owned())))
        .collect()
}

/// The tags that may be set: `aws:*` belongs to AWS, which refuses the whole call for one of them.
fn settable(tags: &Tags) -> impl Iterator<Item = (&String, &String)> {
    tags.iter().filter(|(key, _)| !key.starts_with("aws:"))
}

/// An empty string is how some answers write "none".
fn non_empty(text: Option<&str>) -> Option<String> {
    text.filter(|t| !t.is_empty()).map(str::to_owned)
}
