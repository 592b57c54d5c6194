//! Looking up names without holding anything else up. I/O.
//!
//! The system's resolver can be neither interrupted nor told how long to take: with a network that is dark, one
//! look-up takes half a minute, or never ends. So each runs in a thread of its own, of which there are few, and
//! never in the runtime's shared ones. Whoever asks for a name that is being looked up waits for the same answer.
//! Dropping the wait ends it; the thread goes on until the system answers.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Look-ups under way at once, at most.
const IN_ALL: usize = 64;
/// Look-ups of one name, at most; more than one only where an earlier one does not end.
const OF_ONE: usize = 4;
/// A look-up that takes longer is not waited for by those who come later.
const OLD: Duration = Duration::from_secs(15);

/// What the system says: addresses, or why there are none.
type Answer = Result<Arc<[IpAddr]>, (io::ErrorKind, String)>;
type System = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// The look-ups of this process.
static LOOKUPS: LazyLock<Lookups> = LazyLock::new(|| Lookups::new(system));

/// The addresses of a host, from the system's own resolver.
///
/// # Errors
/// As the system says.
pub async fn addresses(host: &str) -> io::Result<Arc<[IpAddr]>> {
    LOOKUPS.addresses(host).await
}

fn system(host: &str) -> io::Result<Vec<IpAddr>> {
    use std::net::ToSocketAddrs as _;
    Ok((host, 0).to_socket_addrs()?.map(|a| a.ip()).collect())
}

struct Lookups {
    system: Arc<System>,
    threads: Arc<Semaphore>,
    under_way: Arc<Mutex<HashMap<String, Vec<UnderWay>>>>,
}

/// One look-up that has not ended.
#[derive(Clone)]
struct UnderWay {
    answer: Receiver,
    old: Arc<AtomicBool>,
}

/// Where an answer will come.
type Receiver = watch::Receiver<Option<Answer>>;
type All = HashMap<String, Vec<UnderWay>>;

fn lock(all: &Mutex<All>) -> MutexGuard<'_, All> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In the thread that looks up: however it ends, it is no longer under way.
struct Work {
    host: String,
    old: Arc<AtomicBool>,
    under_way: Arc<Mutex<All>>,
    answer: watch::Sender<Option<Answer>>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Work {
    fn drop(&mut self) {
        let mut all = lock(&self.under_way);
        if let Some(of_host) = all.get_mut(&self.host) {
            of_host.retain(|one| !Arc::ptr_eq(&one.old, &self.old));
            if of_host.is_empty() {
                all.remove(&self.host);
            }
        }
    }
}

impl Lookups {
    fn new(system: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self {
            system: Arc::new(system),
            threads: Arc::new(Semaphore::new(IN_ALL)),
            under_way: Arc::default(),
        }
    }

    async fn addresses(&self, host: &str) -> io::Result<Arc<[IpAddr]>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Arc::from([ip]));
        }
        let mut answer = self.asked(host).await?;
        let answer = answer.wait_for(Option::is_some).await.map(|answer| answer.clone());
        match answer.ok().flatten() {
            Some(Ok(found)) => Ok(found),
            Some(Err((kind, why))) => Err(io::Error::new(kind, why)),
            None => Err(io::Error::other("the look-up has ended without an answer")),
        }
    }

    /// Joins a look-up of this name, or begins one.
    async fn asked(&self, host: &str) -> io::Result<Receiver> {
        let mut permit = Arc::clone(&self.threads).try_acquire_owned().ok();
        loop {
            let begun = {
                let mut all = lock(&self.under_way);
                let of_host = all.get(host).map_or(&[][..], Vec::as_slice);
                let fresh = of_host.iter().rev().find(|one| !one.old.load(Ordering::SeqCst));
                let newest = of_host.last().filter(|_| permit.is_none() || of_host.len() >= OF_ONE);
                if let Some(one) = fresh.or(newest) {
                    return Ok(one.answer.clone());
                }
                permit.take().map(|permit| self.enter(&mut all, host, permit))
            };
            if let Some((work, answer)) = begun {
                self.start(work)?;
                return Ok(answer);
            }
            // none of this name is under way, and there are too many others: one of them has to end first
            permit = Some(Arc::clone(&self.threads).acquire_owned().await.map_err(io::Error::other)?);
        }
    }

    fn enter(&self, all: &mut All, host: &str, permit: OwnedSemaphorePermit) -> (Work, Receiver) {
        let (sender, answer) = watch::channel(None);
        let old = Arc::new(AtomicBool::new(false));
        let one = UnderWay { answer: answer.clone(), old: Arc::clone(&old) };
        all.entry(host.to_owned()).or_default().push(one);
        let under_way = Arc::clone(&self.under_way);
        (Work { host: host.to_owned(), old, under_way, answer: sender, _permit: permit }, answer)
    }

    fn start(&self, work: Work) -> io::Result<()> {
        let (system, old) = (Arc::clone(&self.system), Arc::clone(&work.old));
        let look = move || {
            let found = system(&work.host).map(Arc::from).map_err(|e| (e.kind(), e.to_string()));
            work.answer.send_replace(Some(found));
        };
        std::thread::Builder::new().name("look-up".to_owned()).spawn(look)?;
        tokio::spawn(async move {
            tokio::time::sleep(OLD).await;
            old.store(true, Ordering::SeqCst);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;

    use futures::future::join_all;

    use super::*;

    /// A system that is dark for names that begin with `dark`, until it is lit; counts what it is asked.
    fn dark() -> (Arc<Lookups>, Arc<AtomicUsize>, mpsc::Sender<()>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let (light, darkness) = mpsc::channel::<()>();
        let darkness = Mutex::new(darkness);
        let lookups = Lookups::new(move |host| {
            count.fetch_add(1, Ordering::SeqCst);
            if host.starts_with("dark") {
                // until the sender is dropped: then all of them end
                let _lit = darkness.lock().unwrap().recv();
            }
            Ok(vec![IpAddr::from([127, 0, 0, 1])])
        });
        (Arc::new(lookups), asked, light)
    }

    fn waits(lookups: &Arc<Lookups>, host: String) -> tokio::task::JoinHandle<io::Result<Arc<[IpAddr]>>> {
        let lookups = Arc::clone(lookups);
        tokio::spawn(async move { lookups.addresses(&host).await })
    }

    async fn until(met: impl Fn() -> bool) {
        while !met() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn many_who_ask_for_one_name_share_one_look_up() {
        let (lookups, asked, light) = dark();
        let all: Vec<_> = (0..200).map(|_| waits(&lookups, "dark".to_owned())).collect();
        until(|| asked.load(Ordering::SeqCst) == 1).await;
        // another name is not held up by it, nor is an address
        assert_eq!(lookups.addresses("light").await.unwrap().len(), 1);
        assert_eq!(
            lookups.addresses("::1").await.unwrap()[..],
            [IpAddr::from(std::net::Ipv6Addr::LOCALHOST)]
        );
        // who gave up waiting is gone, and the others get the answer
        all[0].abort();
        drop(light);
        let answers = join_all(all).await;
        assert_eq!(answers.iter().filter(|a| a.as_ref().is_ok_and(Result::is_ok)).count(), 199);
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        until(|| lock(&lookups.under_way).is_empty()).await;
        assert_eq!(lookups.threads.available_permits(), IN_ALL);
    }

    #[tokio::test]
    async fn there_are_never_more_than_so_many_threads() {
        let (lookups, asked, light) = dark();
        let all: Vec<_> = (0..3 * IN_ALL).map(|n| waits(&lookups, format!("dark{n}"))).collect();
        until(|| asked.load(Ordering::SeqCst) == IN_ALL).await;
        let late = tokio::time::timeout(Duration::from_millis(50), lookups.addresses("dark-again")).await;
        assert!(late.is_err() && asked.load(Ordering::SeqCst) == IN_ALL);
        drop(light);
        assert!(join_all(all).await.into_iter().all(|a| a.unwrap().is_ok()));
        assert_eq!(asked.load(Ordering::SeqCst), 3 * IN_ALL, "one for each name");
    }

    #[tokio::test]
    async fn one_that_never_ends_is_not_waited_for_for_ever() {
        let (lookups, asked, _light) = dark();
        for n in 1..=OF_ONE {
            let waiting = waits(&lookups, "dark".to_owned());
            until(|| asked.load(Ordering::SeqCst) == n).await;
            waiting.abort();
            for one in lock(&lookups.under_way).values().flatten() {
                one.old.store(true, Ordering::SeqCst);
            }
        }
        let another = tokio::time::timeout(Duration::from_millis(50), lookups.addresses("dark")).await;
        assert!(another.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), OF_ONE, "and there are not ever more of them");
    }

    #[tokio::test]
    async fn a_look_up_that_panics_ends_like_any_other() {
        let lookups = Lookups::new(|_| panic!("the system panics"));
        assert!(lookups.addresses("any").await.is_err());
        assert!(lock(&lookups.under_way).is_empty());
    }
}
