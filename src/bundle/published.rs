//! Checking a receipt against a bundle, offline, and saying in plain words what that proves. Pure.

use super::verify::Findings;
use super::{ENVELOPE, Files, KEY};
use crate::evidence::dsse::Envelope;
use crate::evidence::keys::PublicKey;
use crate::evidence::receipt::Publication;
use crate::model::World;

/// The receipt, if the bundle's own key signed it and it names exactly the bundle's files.
///
/// # Errors
/// Where it is not this bundle's.
pub fn receipt_of(files: &Files, receipt: &[u8]) -> Result<Publication, String> {
    let pem = files.get(KEY).and_then(|b| std::str::from_utf8(b).ok());
    let key = pem.and_then(|pem| PublicKey::from_pem(pem).ok()).ok_or_else(|| format!("{KEY} is no key"))?;
    let publication = Publication::open(receipt, &key).map_err(|e| format!("the receipt: {e}"))?;
    let statement = files.get(ENVELOPE).and_then(|b| Envelope::from_bytes(b).ok());
    let statement = statement.ok_or_else(|| format!("{ENVELOPE} is no envelope"))?.payload();
    publication.covers(files, &statement).map_err(|e| format!("the receipt: {e}"))?;
    Ok(publication)
}

/// What a receipt proves of a bundle, and what it does not.
pub fn check(files: &Files, receipt: &[u8]) -> Findings {
    let mut found = Findings::default();
    let p = match receipt_of(files, receipt) {
        Ok(p) => p,
        Err(why) => {
            found.broken.push(why);
            return found;
        }
    };
    let how = p.lock.as_ref().map_or("without a lock".to_owned(), |l| {
        format!("locked in {} mode until {}", l.mode, crate::report::time(l.until))
    });
    found.holds.push(format!(
        "the receipt, signed by the same key, names these {} files: s3://{}/{} in {}, account {}, {how}",
        p.objects.len(),
        p.bucket,
        p.prefix,
        p.region,
        p.account
    ));
    found.unproven.push(format!(
        "that the objects are there: ask S3, for example: aws s3api head-object --region {} --bucket {} --key {ENVELOPE_KEY}{ENVELOPE} \
         --version-id {} --checksum-mode ENABLED",
        p.region,
        p.bucket,
        p.objects.iter().find(|o| o.name == ENVELOPE).and_then(|o| o.version.as_deref()).unwrap_or("null"),
        ENVELOPE_KEY = p.prefix,
    ));
    if let Some(warning) = &p.warning {
        found.unproven.push(format!("that the objects stay as they are: {warning}"));
    }
    if p.world != World::Aws {
        found.unproven.push(format!("anything about AWS: the bucket is on {}", p.world));
    }
    found
}
