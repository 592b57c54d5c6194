//! `s3.object`: whether an object is there, and is the one it should be.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Telling;
use crate::catalog::action::ReadCx;
use crate::catalog::probe::{Probe, ProbeSpec, Reading};
use crate::cloud::ObjectMeta;
use crate::model::Dur;

/// `s3.object`.
pub struct S3Object;

/// Parameters of `s3.object`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Bucket.
    pub bucket: String,
    /// Key.
    pub key: String,
    /// Whether it must exist, or must not.
    #[serde(default = "yes")]
    pub exists: bool,
    /// Smallest size, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_size: Option<i64>,
    /// The ETag that it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Whether an ETag that is another one goes into the evidence as it is, and not as a hash.
    #[serde(default)]
    pub show_value: bool,
}

fn yes() -> bool {
    true
}

static SPEC: ProbeSpec = ProbeSpec {
    name: "s3.object",
    summary: "Looks whether an object exists, with its size and ETag.",
    permissions: &["s3:GetObject", "s3:ListBucket"],
    timeout: Dur::secs(5),
    docs: "Sends HeadObject. Healthy when the object exists (or, with `exists: false`, does not) and has at least \
`min_size` bytes and the `etag`, where given. An object under a delete marker does not exist. `s3:ListBucket` is \
needed for S3 to answer \"not found\" rather than \"access denied\", which would be unknown.

An ETag is the MD5 of the content only for objects that were uploaded in one part and are not encrypted with KMS.",
};

fn judge(found: Option<&ObjectMeta>, params: &Params, telling: Telling) -> Reading {
    let Some(meta) = found else { return Reading::judged(!params.exists, "does not exist") };
    if !params.exists {
        return Reading::judged(false, "exists");
    }
    if let Some(min) = params.min_size.filter(|min| meta.size < *min) {
        return Reading::judged(false, format!("{} bytes, at least {min} wanted", meta.size));
    }
    let etag = meta.etag.as_deref().unwrap_or("none");
    if let Some(wanted) = params.etag.as_deref().filter(|w| w.trim_matches('"') != etag) {
        let wanted = wanted.trim_matches('"');
        return Reading::judged(false, format!("the ETag is not {wanted} ({})", telling.value(etag)));
    }
    Reading::judged(true, format!("{} bytes", meta.size))
}

#[async_trait]
impl Probe for S3Object {
    type Params = Params;

    fn spec(&self) -> &'static ProbeSpec {
        &SPEC
    }

    fn check(&self, params: &Params) -> Vec<String> {
        let mut out = Vec::new();
        if !params.exists && (params.min_size.is_some() || params.etag.is_some()) {
            out.push("what must not exist has neither `min_size` nor `etag`".to_owned());
        }
        if params.key.is_empty() {
            out.push("`key` is empty".to_owned());
        }
        out
    }

    async fn observe(&self, cx: ReadCx<'_>, params: &Params) -> Reading {
        match cx.reads.s3.head(&params.bucket, &params.key).await {
            Ok(found) => judge(found.as_ref(), params, Telling::new(cx, params.show_value)),
            Err(e) => Reading::unknown(e.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::Health;

    #[test]
    fn existence_size_and_etag() {
        let meta = ObjectMeta { size: 10, etag: Some("abc".to_owned()), version: None, modified: None };
        let health = |with: Value, found| {
            let mut all = json!({ "bucket": "b", "key": "k" });
            all.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
            judge(found, &serde_json::from_value(all).unwrap(), Telling::of(0, false)).health
        };
        assert_eq!(health(json!({}), Some(&meta)), Health::Healthy);
        assert_eq!(health(json!({}), None), Health::Unhealthy);
        assert_eq!(health(json!({ "exists": false }), None), Health::Healthy);
        assert_eq!(health(json!({ "exists": false }), Some(&meta)), Health::Unhealthy);
        assert_eq!(health(json!({ "min_size": 10, "etag": "\"abc\"" }), Some(&meta)), Health::Healthy);
        assert_eq!(health(json!({ "min_size": 11 }), Some(&meta)), Health::Unhealthy);
        assert_eq!(health(json!({ "etag": "abd" }), Some(&meta)), Health::Unhealthy);
    }
}
