//! Against an archive in memory that loses, lies and refuses: whatever it does, nothing is said to be
//! kept that is not.

use std::sync::Mutex;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::*;
use crate::cloud::CloudResult;
use crate::model::Clock as _;
use crate::model::time::VirtualClock;

/// How the archive misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    Nothing,
    /// Keeps other bytes than it was sent, and says so when it is asked.
    Corrupts,
    /// Cannot tell a checksum.
    ForgetsChecksum,
    /// Says nothing of the version that it wrote.
    NoVersion,
    /// Answers with another version than the one asked for.
    OtherVersion,
    /// Locks until a day earlier.
    ShorterLock,
    /// Locks so that an administrator can unlock.
    Governance,
    /// Does not lock.
    NoLock,
    /// Has lost the object when it is asked for.
    Loses,
    /// Has a byte less than it was sent, under the same checksum.
    Truncates,
    /// Stores, and lets nobody read.
    Denies,
    /// Keeps no fractions of a second.
    WholeSeconds,
}

const LIES: [Lie; 10] = [
    Lie::Corrupts,
    Lie::ForgetsChecksum,
    Lie::NoVersion,
    Lie::OtherVersion,
    Lie::ShorterLock,
    Lie::Governance,
    Lie::NoLock,
    Lie::Loses,
    Lie::Truncates,
    Lie::Denies,
];

struct Memory {
    keeping: Keeping,
    lie: Lie,
    /// Writes, then fails: the answers that are lost, by the number of the upload from 1.
    lost: Vec<usize>,
    /// Asks to slow down, so many times.
    slows: usize,
    /// Refuses from this upload on.
    refuses_from: Option<usize>,
    puts: Mutex<usize>,
    held: Mutex<Vec<(String, Stored)>>,
}

impl Memory {
    fn new(lie: Lie) -> Self {
        let keeping = Keeping { region: None, versioning: true, object_lock: true };
        Self {
            keeping,
            lie,
            lost: vec![],
            slows: 0,
            refuses_from: None,
            puts: Mutex::new(0),
            held: Mutex::default(),
        }
    }

    fn puts(&self) -> usize {
        *self.puts.lock().unwrap()
    }
}

#[async_trait]
impl Archive for Memory {
    async fn keeping(&self, _: &OwnedBucket) -> CloudResult<Keeping> {
        Ok(self.keeping.clone())
    }

    async fn versions(&self, _: &OwnedBucket, prefix: &str) -> CloudResult<Vec<(String, String)>> {
        let held = self.held.lock().unwrap();
        let of = held.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(of.map(|(key, s)| (key.clone(), s.version.clone().unwrap_or("null".to_owned()))).collect())
    }

    async fn stored(&self, _: &OwnedBucket, key: &str, version: Option<&str>) -> CloudResult<Option<Stored>> {
        let held = self.held.lock().unwrap();
        let found = held
            .iter()
            .rev()
            .find(|(k, s)| k == key && (version.is_none() || s.version.as_deref() == version));
        let mut found = found.map(|(_, s)| s.clone());
        match (&mut found, self.lie) {
            (_, Lie::Loses) => return Ok(None),
            (Some(_), Lie::Denies) => {
                return Err(CloudError::new("s3:HeadObject", ErrorKind::Denied, "no"));
            }
            (Some(s), Lie::ForgetsChecksum) => s.sha256 = None,
            (Some(s), Lie::OtherVersion) => s.version = Some("other".to_owned()),
            _ => {}
        }
        Ok(found)
    }

    async fn put(&self, _: &OwnedBucket, upload: &Upload) -> CloudResult<Placed> {
        let mut puts = self.puts.lock().unwrap();
        *puts += 1;
        if self.refuses_from.is_some_and(|from| *puts >= from) {
            return Err(CloudError::new("s3:PutObject", ErrorKind::Denied, "no"));
        }
        if *puts <= self.slows {
            return Err(CloudError::new("s3:PutObject", ErrorKind::Throttled, "slow down"));
        }
        let version = format!("v{puts}");
        let mut lock = upload.lock.clone();
        match (&mut lock, self.lie) {
            (lock, Lie::NoLock) => *lock = None,
            (Some(l), Lie::Governance) => l.mode = "GOVERNANCE".to_owned(),
            (Some(l), Lie::WholeSeconds) => {
                l.until -= chrono::TimeDelta::nanoseconds(l.until.timestamp_subsec_nanos().into());
            }
            (Some(l), Lie::ShorterLock) => l.until -= chrono::TimeDelta::days(1),
            _ => {}
        }
        let sha256 = if self.lie == Lie::Corrupts { digest(b"rot") } else { upload.sha256.clone() };
        let size = upload.body.len() as u64 - u64::from(self.lie == Lie::Truncates);
        let kept = Some(version.clone()).filter(|_| self.keeping.versioning);
        let stored = Stored { version: kept.clone(), sha256: Some(sha256), size, lock };
        self.held.lock().unwrap().push((upload.key.clone(), stored));
        if self.lost.contains(&puts) {
            return Err(
                CloudError::new("s3:PutObject", ErrorKind::Timeout, "lost").effect(EffectCertainty::Unknown)
            );
        }
        let encrypts = matches!(self.lie, Lie::ForgetsChecksum | Lie::Denies);
        let kms_key = encrypts.then(|| "arn:aws:kms:::key/k".to_owned());
        Ok(Placed { version: kept.filter(|_| self.lie != Lie::NoVersion), kms_key })
    }
}

fn until() -> DateTime<Utc> {
    "2033-01-01T00:00:00Z".parse().unwrap()
}

fn files() -> Files {
    ["a.json", "b.md", "c.pdf"].map(|n| (n.to_owned(), n.as_bytes().to_vec())).into()
}

fn order(files: &Files, locked: bool) -> Order<'_> {
    Order {
        files,
        bucket: OwnedBucket { name: "evidence".to_owned(), owner: "123456789012".to_owned() },
        prefix: "dr/run/".to_owned(),
        lock: locked.then(|| Retention { mode: COMPLIANCE.to_owned(), until: until() }),
    }
}

async fn published(archive: &Memory, locked: bool) -> Result<Vec<Object>, PublishError> {
    let files = files();
    let order = order(&files, locked);
    let _ready = ready(archive, &order).await?;
    publish(archive, &order, |_, _| {}).await
}

#[tokio::test]
async fn what_is_published_has_been_read_back_with_its_lock() {
    let objects = published(&Memory::new(Lie::Nothing), true).await.unwrap();
    assert_eq!(objects.len(), 3);
    for (object, (name, bytes)) in objects.iter().zip(files()) {
        assert_eq!((object.key.clone(), &object.sha256), (format!("dr/run/{name}"), &digest(&bytes)));
        assert!(object.version.is_some());
        assert_eq!(object.lock, Some(Retention { mode: COMPLIANCE.to_owned(), until: until() }));
    }
}

#[tokio::test]
async fn an_archive_that_lies_never_gives_objects_for_a_receipt() {
    let mut believed = Vec::new();
    for lie in LIES {
        match published(&Memory::new(lie), true).await {
            Err(
                PublishError::NotAsAsked { .. }
                | PublishError::NoVersion(_)
                | PublishError::Unreadable { .. },
            ) => {}
            other => believed.push((lie, other)),
        }
    }
    assert!(believed.is_empty(), "{believed:?}");
}

#[tokio::test]
async fn without_a_lock_the_bytes_still_have_to_be_right() {
    for lie in [Lie::Corrupts, Lie::ForgetsChecksum, Lie::OtherVersion, Lie::Loses, Lie::Truncates] {
        assert!(published(&Memory::new(lie), false).await.is_err(), "{lie:?}");
    }
    let mut plain = Memory::new(Lie::Nothing);
    plain.keeping = Keeping::default();
    let objects = published(&plain, false).await.unwrap();
    assert!(objects.iter().all(|o| o.version.is_none() && o.lock.is_none()));
    assert!(published(&plain, false).await.is_ok());
    assert_eq!(plain.puts(), 3, "the same bytes are there already");
}

#[tokio::test]
async fn a_bucket_without_lock_or_versions_is_refused_before_anything_is_sent() {
    let mut archive = Memory::new(Lie::Nothing);
    archive.keeping.object_lock = false;
    assert!(matches!(published(&archive, true).await, Err(PublishError::NoLock(b)) if b == "evidence"));
    archive.keeping = Keeping { region: None, versioning: false, object_lock: true };
    assert!(matches!(published(&archive, true).await, Err(PublishError::NoVersioning(_))));
    assert_eq!(archive.puts(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_to_slow_down_waits_before_the_next_attempt_and_not_for_ever() {
    let mut archive = Memory::new(Lie::Nothing);
    archive.slows = 5;
    let clock = VirtualClock::starting_at(DateTime::UNIX_EPOCH);
    assert_eq!(published(&archive, true).await.unwrap().len(), 3);
    assert_eq!(archive.puts(), 8);
    // 0.5 + 1 + 2 + 4 + 8 s
    assert_eq!(clock.stamp().mono_ms, 15_500);
    let mut archive = Memory::new(Lie::Nothing);
    archive.slows = usize::MAX;
    let ended = published(&archive, true).await;
    assert!(matches!(ended, Err(PublishError::Cloud(e)) if e.kind == ErrorKind::Throttled));
    assert!(archive.puts() < 20, "{}", archive.puts());
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_looked_up_before_anything_is_sent_again() {
    let mut archive = Memory::new(Lie::Nothing);
    archive.lost = vec![1, 3];
    assert_eq!(published(&archive, true).await.unwrap().len(), 3);
    assert_eq!(archive.puts(), 3, "nothing was uploaded twice");
}

#[tokio::test]
async fn an_interrupted_publication_is_taken_up_where_it_ended() {
    let mut archive = Memory::new(Lie::Nothing);
    archive.refuses_from = Some(3);
    assert!(
        matches!(published(&archive, true).await, Err(PublishError::Cloud(e)) if e.kind == ErrorKind::Denied)
    );
    archive.refuses_from = None;
    *archive.puts.lock().unwrap() = 2;
    let objects = published(&archive, true).await.unwrap();
    assert_eq!(archive.puts(), 3, "only what was missing");
    let versions: Vec<_> = objects.iter().map(|o| o.version.clone().unwrap()).collect();
    assert_eq!(versions, ["v1", "v2", "v3"]);
}

#[tokio::test]
async fn what_is_there_under_a_shorter_lock_or_with_other_bytes_is_written_again() {
    let archive = Memory::new(Lie::ShorterLock);
    assert!(published(&archive, true).await.is_err());
    let honest = Memory { lie: Lie::Nothing, ..archive };
    assert!(published(&honest, true).await.is_ok());
    assert_eq!(honest.puts(), 4, "a new version of the one that was there");
}

#[tokio::test]
async fn what_cannot_be_read_back_as_asked_ends_it_after_the_first_upload() {
    for lie in LIES {
        let archive = Memory::new(lie);
        let error = published(&archive, true).await.expect_err("it is not as asked");
        assert_eq!(archive.puts(), 1, "{lie:?}: locked for years, and not as it should be");
        if matches!(lie, Lie::Denies | Lie::ForgetsChecksum) {
            let named = |e: &PublishError| matches!(e, PublishError::Unreadable { kms_key: Some(key), .. } if key == "arn:aws:kms:::key/k");
            assert!(named(&error), "{lie:?}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_lock_is_compared_in_whole_seconds() {
    let files = files();
    let mut order = order(&files, true);
    order.lock.as_mut().expect("locked").until += chrono::TimeDelta::milliseconds(400);
    let archive = Memory::new(Lie::WholeSeconds);
    assert!(publish(&archive, &order, |_, _| {}).await.is_ok());
    assert!(publish(&archive, &order, |_, _| {}).await.is_ok());
    assert_eq!(archive.puts(), 3, "and what is there is found again");
}

#[tokio::test]
async fn a_receipts_objects_are_looked_for_one_by_one() {
    let archive = Memory::new(Lie::Nothing);
    let objects = published(&archive, true).await.unwrap();
    let receipt = Publication {
        run: "run".to_owned(),
        statement_sha256: String::new(),
        redrill: String::new(),
        world: crate::model::World::Emulator,
        bucket: "evidence".to_owned(),
        prefix: "dr/run/".to_owned(),
        region: String::new(),
        account: "123456789012".to_owned(),
        by: String::new(),
        operator: String::new(),
        at: until(),
        lock: None,
        warning: None,
        objects,
    };
    assert!(still_there(&archive, &receipt).await.is_ok());
    let spoiled: [fn(&mut (String, Stored)); 4] = [
        |(key, _)| key.push('x'),
        |(_, s)| s.lock = None,
        |(_, s)| s.lock.as_mut().unwrap().until -= chrono::TimeDelta::seconds(1),
        |(_, s)| s.sha256 = Some(digest(b"x")),
    ];
    for (n, spoil) in spoiled.iter().enumerate() {
        let before = archive.held.lock().unwrap().clone();
        spoil(&mut archive.held.lock().unwrap()[1]);
        let result = still_there(&archive, &receipt).await;
        assert!(
            matches!(&result, Err(PublishError::NotAsAsked { key, .. }) if key == "dr/run/b.md"),
            "{n}: {result:?}"
        );
        *archive.held.lock().unwrap() = before;
    }
}
