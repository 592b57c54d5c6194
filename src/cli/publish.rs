//! `redrill publish`: a bundle into S3 under Object Lock, read back, and a signed receipt of it.

mod retention;

use std::path::PathBuf;

use clap::Args;

use super::material::{Folder, numbered};
use super::session::operator;
use super::signer::{KeyName, Signer};
use super::{CliError, Global, Kind, Output, checkpoints, hand_over, keys, out, runs, runtime, world};
use crate::bundle::{self, Files, published};
use crate::cloud::custody::{Custody, OwnedBucket};
use crate::cloud::{CloudError, ErrorKind};
use crate::evidence::dsse::Envelope;
use crate::evidence::keys::PublicKey;
use crate::evidence::receipt::{self, COMPLIANCE, Object, Publication, Retention};
use crate::evidence::statement::digest;
use crate::journal::runs::{self as store, RunDir};
use crate::model::{Clock as _, World, time::SystemClock};
use crate::publish::{Order, PublishError, publish, ready, still_there};
use crate::report;
use retention::Retain;

/// Put a run's evidence bundle into S3, locked so that nobody can delete or change it.
///
/// Every object is locked in compliance mode until the date that is given: nobody can delete it or
/// shorten the lock before, not even the account's root user. All of it is read back before a signed
/// receipt is written to the run's folder. Repeating the command uploads nothing twice.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// Id, unique prefix, path, or `last`.
    #[arg(default_value = "last")]
    run: String,
    /// Where to: a bucket with Object Lock, and what every key begins with.
    #[arg(long, value_name = "s3://BUCKET/PREFIX")]
    to: String,
    /// For how long: `7y`, `90d`; up to the next midnight, UTC.
    #[arg(long, value_name = "TIME", conflicts_with = "retain_until")]
    retain: Option<String>,
    /// Until when: `2033-12-31` (its first moment, UTC), or a time with its zone.
    #[arg(long, value_name = "DATE")]
    retain_until: Option<String>,
    /// Publish without a lock: whoever may delete or replace the objects can, and the receipt says so.
    #[arg(long, conflicts_with_all = ["retain", "retain_until"])]
    without_lock: bool,
    /// The account that owns the bucket, if not the caller's.
    #[arg(long, value_name = "ID")]
    bucket_owner: Option<String>,
    /// The key that signs the bundle and the receipt, if not the configured one or the state folder's own:
    /// a file, or the ARN of a key in AWS KMS.
    #[arg(long, value_name = "FILE|ARN")]
    key: Option<String>,
    /// Ask this authority (RFC 3161) for a timestamp of the bundle's signature; without it, the one that
    /// the configuration names.
    #[arg(long, value_name = "URL")]
    timestamp: Option<String>,
    /// Publish without a timestamp, also where the configuration names an authority.
    #[arg(long, conflicts_with = "timestamp")]
    no_timestamp: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub fn run(global: &Global, args: &PublishArgs) -> Result<u8, CliError> {
    let dir = store::find(&global.state, &args.run).map_err(runs::not_found)?;
    let (bucket, prefix) = place(&args.to, &dir)?;
    let retain = retain(global, args)?;
    checkpoints::completed(global, &dir, &SystemClock)?;
    let _lock = store::lock(&dir).map_err(|e| super::session::locked(global, e))?;
    let folder = Folder::read(&dir)?;
    if folder.lines.is_empty() {
        return runs::nothing_happened(global, &dir);
    }
    let record = folder.bundled(&global.settings.stamped(args.timestamp.as_ref(), args.no_timestamp));
    let files = hand_over::bundle(global, &dir, &folder, &record, args.key.as_deref())?;
    let runtime = runtime()?;
    let custody = runtime.block_on(world::custody(global, None))?;
    let receipts = numbered(&dir, receipt::NAME)?;
    if let Some((name, receipt)) = receipts.iter().find_map(|(name, bytes)| {
        let receipt = published::receipt_of(&files, bytes).ok()?;
        let same = receipt.bucket == bucket
            && receipt.prefix == prefix
            && receipt.world == custody.world
            && args.bucket_owner.as_ref().is_none_or(|owner| *owner == receipt.account)
            && enough(&receipt, retain.as_ref());
        same.then_some((name, receipt))
    }) {
        let checked = runtime.block_on(still_there(&*custody.archive, &receipt));
        checked.map_err(|e| gone(e, name))?;
        show(global, &dir, name, &receipt, None);
        return Ok(0);
    }
    if !args.yes && !out::can_ask() {
        return Err(CliError::refused("there is no terminal to ask on, and --yes was not given")
            .hint("what is locked cannot be deleted before its date; add --yes if that is what you want"));
    }
    let lock = match &retain {
        None => None,
        Some(retain) => {
            let until = retain.until(SystemClock.now())?;
            Some(Retention { mode: COMPLIANCE.to_owned(), until })
        }
    };
    let signer = signer(global, args, &files)?;
    let identity = runtime.block_on(custody.sts.identity())?;
    let owner = args.bucket_owner.clone().unwrap_or_else(|| identity.account.clone());
    let owned = OwnedBucket { name: bucket, owner };
    let order = Order { files: &files, bucket: owned, prefix, lock };
    let keeping =
        runtime.block_on(ready(&*custody.archive, &order)).map_err(|e| failed(e, &order, &custody))?;
    let region = keeping.region.unwrap_or_else(|| custody.region.clone());
    out::note(&announcement(&order, &dir, &region, custody.world));
    if !args.yes && !out::ask("Type yes to go on:") {
        return Err(CliError::refused("not confirmed; nothing was uploaded"));
    }
    let mut there = 0;
    let sent = publish(&*custody.archive, &order, |_, earlier| there += usize::from(earlier));
    let objects = runtime.block_on(sent).map_err(|e| failed(e, &order, &custody))?;
    let publication = made(&dir, order, objects, identity.arn, region, custody.world);
    publication.consistent().map_err(|e| CliError::internal("BUG: the receipt").because(e))?;
    let name = keep(&dir, &signer, &publication)?;
    show(global, &dir, &name, &publication, Some(there));
    Ok(0)
}

/// The bucket, and what the keys of this run begin with.
fn place(to: &str, dir: &RunDir) -> Result<(String, String), CliError> {
    let wrong = || CliError::usage(format!("`{to}` names no place in S3")).hint("write s3://BUCKET/PREFIX");
    let (bucket, prefix) =
        to.strip_prefix("s3://").map(|p| p.split_once('/').unwrap_or((p, ""))).ok_or_else(wrong)?;
    let prefix = prefix.trim_end_matches('/');
    if bucket.is_empty() || prefix.starts_with('/') {
        return Err(wrong());
    }
    let slash = if prefix.is_empty() { "" } else { "/" };
    Ok((bucket.to_owned(), format!("{prefix}{slash}{}/", dir.id())))
}

/// For how long; `None` only where that was asked for.
fn retain(global: &Global, args: &PublishArgs) -> Result<Option<Retain>, CliError> {
    if args.without_lock {
        return Ok(None);
    }
    let retain = match (&args.retain_until, args.retain.as_ref().or(global.settings.evidence.retain.as_ref()))
    {
        (Some(date), _) => Retain::until_date(date)?,
        (None, Some(text)) => Retain::read(text)?,
        (None, None) => {
            return Err(CliError::usage("for how long must nobody be able to delete it? nothing says so")
                .hint("give --retain 7y or --retain-until 2033-12-31, or set `retain` under [evidence]"));
        }
    };
    // said before anything else is done
    retain.until(SystemClock.now()).map(|_| Some(retain))
}

/// Whether what a receipt says is what is asked for now.
fn enough(receipt: &Publication, retain: Option<&Retain>) -> bool {
    match (retain, &receipt.lock) {
        (None, _) => true,
        (Some(_), None) => false,
        // a duration counts from when it was published
        (Some(retain), Some(lock)) => retain.until(receipt.at).is_ok_and(|until| lock.until >= until),
    }
}

/// The key that signed the bundle, ready to sign the receipt, too.
fn signer(global: &Global, args: &PublishArgs, files: &Files) -> Result<Signer, CliError> {
    let name = match KeyName::chosen(global, args.key.as_deref())? {
        // the bundle is signed, so the key was there; no other one is made here
        KeyName::Own => KeyName::File(keys::signing_path(&global.state)?),
        name => name,
    };
    let signer = Signer::open(global, &name)?;
    let signed = files.get(bundle::KEY).map(|pem| PublicKey::from_pem(&String::from_utf8_lossy(pem)));
    if signed.is_some_and(|key| key.as_ref() == Ok(signer.public())) {
        return Ok(signer);
    }
    Err(CliError::refused("the bundle is signed by another key than the one that would sign the receipt")
        .hint("name the key that signed it with --key"))
}

/// What is about to happen.
fn announcement(order: &Order<'_>, dir: &RunDir, region: &str, world: World) -> String {
    let place = format!(
        "{} files ({}) of run {} to s3://{}/{} in {region}, account {}{}",
        order.files.len(),
        size(order.files.values().map(|b| b.len() as u64).sum()),
        dir.id(),
        order.bucket.name,
        order.prefix,
        order.bucket.owner,
        if world == World::Aws { String::new() } else { format!(" ({world}, not AWS)") },
    );
    match &order.lock {
        Some(lock) => format!(
            "{place},\nlocked in compliance mode until {}: nobody can delete them or shorten that before, not \
             even the root user.",
            report::time(lock.until)
        ),
        None => format!("{place}.\nWARNING: {}.", receipt::UNLOCKED),
    }
}

fn made(
    dir: &RunDir,
    order: Order<'_>,
    objects: Vec<Object>,
    by: String,
    region: String,
    world: World,
) -> Publication {
    let who = operator();
    let statement = order.files.get(bundle::ENVELOPE).and_then(|b| Envelope::from_bytes(b).ok());
    let warning = order.lock.is_none().then(|| receipt::UNLOCKED.to_owned());
    Publication {
        run: dir.id().to_string(),
        statement_sha256: digest(&statement.map(|e| e.payload()).unwrap_or_default()),
        redrill: env!("CARGO_PKG_VERSION").to_owned(),
        world,
        bucket: order.bucket.name,
        prefix: order.prefix,
        region,
        account: order.bucket.owner,
        by,
        operator: format!("{}@{}", who.user, who.host),
        at: SystemClock.now(),
        lock: order.lock,
        warning,
        objects,
    }
}

/// Signs the receipt and keeps it in the run's folder; its name there.
fn keep(dir: &RunDir, signer: &Signer, publication: &Publication) -> Result<String, CliError> {
    let again = |e: CliError| e.hint("all objects are there; repeat the command to have the receipt");
    let envelope = signer.envelope(&publication.to_bytes()).map_err(again)?;
    let count = numbered(dir, receipt::NAME)?.keys().filter(|n| n.ends_with(".dsse.json")).count();
    let name = format!("{}{}", receipt::NAME, count + 1);
    let failed = |e| again(CliError::internal("the receipt could not be kept").because(e));
    // the key first: a receipt without one could not be read
    dir.write(&format!("{name}.pub"), signer.public().to_pem().as_bytes()).map_err(failed)?;
    let name = format!("{name}.dsse.json");
    dir.write(&name, &envelope.to_bytes()).map_err(failed)?;
    Ok(name)
}

/// The result; `there` is how many objects had been there, `None` where nothing was uploaded.
fn show(global: &Global, dir: &RunDir, name: &str, p: &Publication, there: Option<usize>) {
    let path: PathBuf = dir.path().join(name);
    let count = p.objects.len();
    if global.output == Output::Json {
        let uploaded = there.map_or(0, |there| count - there);
        out::json(&serde_json::json!({ "receipt": path, "uploaded": uploaded, "publication": p }));
        return;
    }
    out::line(&match there {
        Some(there) => format!("published  {count} files: {} uploaded, {there} were there", count - there),
        None => format!("published  before, {}; nothing was uploaded", report::time(p.at)),
    });
    let world = if p.world == World::Aws { String::new() } else { format!(", on {}", p.world) };
    out::line(&format!(
        "place      s3://{}/{} ({}, account {}{world})",
        p.bucket, p.prefix, p.region, p.account
    ));
    out::line(&match &p.lock {
        Some(lock) => format!("lock       {} until {}, every object", lock.mode, report::time(lock.until)),
        None => format!("lock       NONE: {}", receipt::UNLOCKED),
    });
    let lock = if p.lock.is_some() { ", version and lock" } else { "" };
    out::line(&format!("read back  {count} objects: SHA-256{lock} are as they should be"));
    out::line(&format!("receipt    {}", path.display()));
    out::line(&format!("check it: redrill report {} --out DIR, then", dir.id()));
    out::line(&format!("          redrill verify DIR --receipt {}", path.display()));
}

fn size(bytes: u64) -> String {
    if bytes < 1 << 20 {
        format!("{} KiB", bytes.div_ceil(1 << 10))
    } else {
        format!("{} MiB", bytes.div_ceil(1 << 20))
    }
}

/// A receipt that is not borne out.
fn gone(e: PublishError, name: &str) -> CliError {
    match e {
        PublishError::Cloud(e) => denied(e),
        e => CliError::internal(format!("{name} is not borne out: {e}"))
            .hint("nothing was uploaded; find out who did that, and publish under another prefix"),
    }
}

fn failed(e: PublishError, order: &Order<'_>, custody: &Custody) -> CliError {
    let bucket = &order.bucket.name;
    let versioned = format!(
        "switch it on: aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled"
    );
    let quarter = "it may take S3 15 minutes from then until every upload gets a version: wait that long";
    match e {
        PublishError::NoLock(_) => CliError::refused(format!("{e}; nothing was uploaded"))
            .hint("make one that has it: aws s3api create-bucket --object-lock-enabled-for-bucket …")
            .hint(format!(
                "or {versioned}, then aws s3api put-object-lock-configuration --bucket {bucket} \
                 --object-lock-configuration ObjectLockEnabled=Enabled"
            ))
            .hint("--without-lock publishes what can be deleted; the receipt says so"),
        PublishError::NoVersioning(_) => {
            CliError::refused(format!("{e}; nothing was uploaded")).hint(versioned).hint(quarter)
        }
        PublishError::TooLarge(_) => CliError::refused(format!("{e}; nothing was uploaded")),
        PublishError::NoVersion(_) => CliError::internal(e.to_string())
            .hint("no receipt was written")
            .hint(format!("if versioning was switched on a moment ago, {quarter}, then repeat the command")),
        PublishError::Unreadable { .. } => unreadable(e),
        PublishError::NotAsAsked { .. } => {
            CliError::internal(format!("what is in bucket {bucket} is not what was asked for: {e}"))
                .hint("no receipt was written")
                .hint(
                    "S3 shows locks and checksums to those with s3:GetObjectRetention and s3:GetObject only",
                )
        }
        PublishError::Cloud(e) if e.is_not_found() => {
            CliError::usage(format!("there is no bucket {bucket}")).because(e).hint("name another with --to")
        }
        PublishError::Cloud(e) if elsewhere(&e) => {
            CliError::usage(format!("bucket {bucket} is not in {}", custody.region))
                .because(e)
                .hint("name its region with --region")
        }
        PublishError::Cloud(e) => {
            denied(e).hint("no receipt was written; repeat the command: what is there by then is kept")
        }
    }
}

/// An object was stored and cannot be read back: nothing more was uploaded.
fn unreadable(e: PublishError) -> CliError {
    let PublishError::Unreadable { kms_key, .. } = &e else { return CliError::internal(e.to_string()) };
    let hint = match kms_key {
        Some(key) => format!(
            "the bucket encrypts with {key}: uploads take kms:GenerateDataKey on it, and reading checksums back kms:Decrypt"
        ),
        None => "S3 shows checksums and locks to those with s3:GetObject, s3:GetObjectVersion and \
                 s3:GetObjectRetention; where the bucket encrypts with a key of AWS KMS, it takes kms:Decrypt, too"
            .to_owned(),
    };
    CliError::refused(e.to_string())
        .hint(hint)
        .hint("no receipt was written; repeat the command: what is there by then is kept")
}

fn elsewhere(e: &CloudError) -> bool {
    let codes = ["PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"];
    e.code.as_deref().is_some_and(|code| codes.contains(&code))
}

/// A failed call; where it was denied, which permission it takes.
fn denied(e: CloudError) -> CliError {
    if e.kind != ErrorKind::Denied {
        return e.into();
    }
    let needs = match e.operation.as_str() {
        "s3:GetObjectLockConfiguration" => "s3:GetBucketObjectLockConfiguration",
        "s3:HeadBucket" => "s3:ListBucket",
        "s3:ListObjectVersions" => "s3:ListBucketVersions",
        "s3:HeadObject" => "s3:GetObject, s3:GetObjectVersion and s3:GetObjectRetention",
        "s3:PutObject" => "s3:PutObject and s3:PutObjectRetention",
        other => other,
    };
    let hint = format!("allow {needs}; if the bucket is another account's, name it: --bucket-owner ID");
    CliError::new(Kind::Aws, "AWS denied a call").because(e).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_bucket_and_a_prefix_of_the_run() {
        let state = tempfile::tempdir().unwrap();
        let id = crate::model::RunId::from_existing("r");
        let dir = store::create(state.path(), &id, b"{}", b"x: 1\n").unwrap();
        let place = |to: &str| place(to, &dir).map_err(|e| e.exit_code());
        let at = |bucket: &str, prefix: &str| Ok((bucket.to_owned(), prefix.to_owned()));
        assert_eq!(place("s3://b"), at("b", "r/"));
        assert_eq!(place("s3://b/"), at("b", "r/"));
        assert_eq!(place("s3://b/dr/2026/"), at("b", "dr/2026/r/"));
        for wrong in ["b/dr", "s3://", "s3:///dr", "s3://b//dr", "https://b/dr"] {
            assert_eq!(place(wrong), Err(2), "{wrong}");
        }
    }

    #[test]
    fn a_receipt_is_enough_where_its_lock_is() {
        let at = |day: &str| format!("{day}T08:00:00Z").parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        let until = |day: &str| Some(Retention { mode: COMPLIANCE.to_owned(), until: at(day) });
        let mut receipt = Publication {
            run: String::new(),
            statement_sha256: String::new(),
            redrill: String::new(),
            world: World::Aws,
            bucket: String::new(),
            prefix: String::new(),
            region: String::new(),
            account: String::new(),
            by: String::new(),
            operator: String::new(),
            at: at("2026-11-21"),
            lock: until("2033-11-22"),
            warning: None,
            objects: Vec::new(),
        };
        let years = |n| Some(Retain::Years(n));
        let date = |day: &str| Some(Retain::Until(at(day)));
        // counted from when it was published, however long ago that is
        assert!(enough(&receipt, years(7).as_ref()) && !enough(&receipt, years(8).as_ref()));
        assert!(
            enough(&receipt, date("2033-11-22").as_ref()) && !enough(&receipt, date("2033-11-23").as_ref())
        );
        assert!(enough(&receipt, None), "more than was asked for");
        receipt.lock = None;
        assert!(enough(&receipt, None) && !enough(&receipt, years(1).as_ref()));
    }

    #[test]
    fn a_denied_call_says_which_permission_it_takes() {
        let text = |op: &str| denied(CloudError::new(op, ErrorKind::Denied, "no")).text();
        assert!(text("s3:HeadObject").contains("s3:GetObjectVersion and s3:GetObjectRetention"));
        assert!(text("s3:GetObjectLockConfiguration").contains("allow s3:GetBucketObjectLockConfiguration;"));
        assert!(text("s3:GetBucketVersioning").contains("allow s3:GetBucketVersioning;"));
    }
}
