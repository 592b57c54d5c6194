//! Absence is proven, not believed: how often something has to be looked for before it counts as not there.
//!
//! AWS is eventually consistent, and now and then a service answers "not found", or with an empty page, what is
//! there. So what is there is believed at once, and what is not only once all looks of the settling time agree.
//! It leaves to the caller what a look is, and what is concluded. Reads only; it waits on the runtime's clock and
//! may be dropped at any moment, so that whoever calls it can limit or cancel it.

use std::time::Duration;

/// The first wait between two looks.
const FIRST: Duration = Duration::from_millis(250);
/// The longest one.
const LONGEST: Duration = Duration::from_secs(2);
/// How often [`twice`] looks at what never stands still.
const RESTLESS: usize = 5;

/// Waits that grow up to a limit, until their sum is used up. It adds up its own waits rather than
/// reading a clock, so that it ends even where time stands still.
pub struct Patience {
    left: Duration,
    next: Duration,
    longest: Duration,
}

impl Patience {
    /// For eventual consistency: `settle` is how long the run looks again after a change.
    pub fn settle(settle: Duration) -> Self {
        Self::of(settle, FIRST, LONGEST)
    }

    /// `total` in all, the first wait `first`, none longer than `longest`.
    pub fn of(total: Duration, first: Duration, longest: Duration) -> Self {
        Self { left: total, next: first, longest }
    }

    /// Waits once; `false`, at once, when nothing is left.
    pub async fn wait(&mut self) -> bool {
        if self.left.is_zero() {
            return false;
        }
        let now = self.next.min(self.left);
        tokio::time::sleep(now).await;
        self.left -= now;
        self.next = (self.next * 2).min(self.longest);
        true
    }
}

/// What a look says: at once where `is_sure` takes it as it is, otherwise what the last look says once none in all of
/// `settle` said anything surer.
///
/// # Errors
/// The first look that fails: nothing is concluded from it.
pub async fn agreed<T, E, F>(
    settle: Duration,
    is_sure: impl Fn(&T) -> bool,
    mut look: impl FnMut() -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut patience = Patience::settle(settle);
    loop {
        let said = look().await?;
        if is_sure(&said) || !patience.wait().await {
            return Ok(said);
        }
    }
}

/// What is looked for: `None` only where all looks of `settle` agree that it is not there.
///
/// # Errors
/// The first look that fails.
pub async fn present<T, E, F>(settle: Duration, look: impl FnMut() -> F) -> Result<Option<T>, E>
where
    F: Future<Output = Result<Option<T>, E>>,
{
    agreed(settle, Option::is_some, look).await
}

/// What two looks in a row say. For what goes on record: an answer that left something out would leave it out for
/// good, and nobody could tell later.
///
/// # Errors
/// The first look that fails.
pub async fn twice<T, E, F>(mut look: impl FnMut() -> F) -> Result<T, E>
where
    T: PartialEq,
    F: Future<Output = Result<T, E>>,
{
    let mut said = look().await?;
    for _ in 1..RESTLESS {
        let again = look().await?;
        if again == said {
            break;
        }
        said = again;
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::model::Clock as _;
    use crate::model::time::VirtualClock;

    const SETTLE: Duration = Duration::from_secs(10);

    /// How many looks it took, what came of them, and after how many milliseconds.
    async fn looked<T>(answers: &[Option<T>], settle: Duration) -> (usize, Option<T>, u64)
    where
        T: Clone,
    {
        let clock = VirtualClock::starting_at(chrono::DateTime::UNIX_EPOCH);
        let looks = Cell::new(0);
        let said: Result<_, ()> = present(settle, || {
            let n = looks.replace(looks.get() + 1);
            let answer = answers[n.min(answers.len() - 1)].clone();
            async move { Ok(answer) }
        })
        .await;
        (looks.get(), said.expect("no look fails"), clock.stamp().mono_ms)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_takes_one_look_and_what_is_not_all_of_the_settling_time() {
        assert_eq!(looked(&[Some(1)], SETTLE).await, (1, Some(1), 0));
        assert_eq!(looked(&[None, Some(1)], SETTLE).await, (2, Some(1), 250));
        assert_eq!(looked::<u8>(&[None], SETTLE).await, (9, None, 10_000));
        assert_eq!(looked::<u8>(&[None], Duration::ZERO).await, (1, None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_fails_says_nothing() {
        let looks = Cell::new(0);
        let said: Result<Option<u8>, &str> = present(SETTLE, || {
            let n = looks.replace(looks.get() + 1);
            async move { if n == 0 { Ok(None) } else { Err("throttled") } }
        })
        .await;
        assert_eq!(said, Err("throttled"));
    }

    #[tokio::test]
    async fn what_goes_on_record_was_said_twice_in_a_row() {
        let answers = [vec![1, 2], vec![1], vec![1, 2], vec![1, 2], vec![]];
        let looks = Cell::new(0);
        let said: Result<_, ()> = twice(|| {
            let n = looks.replace(looks.get() + 1);
            let answer = answers[n].clone();
            async move { Ok(answer) }
        })
        .await;
        assert_eq!((said, looks.get()), (Ok(vec![1, 2]), 4));
        let looks = Cell::new(0);
        let restless: Result<_, ()> = twice(|| {
            let n = looks.replace(looks.get() + 1);
            async move { Ok(n) }
        })
        .await;
        assert_eq!((restless, looks.get()), (Ok(4), 5), "it ends all the same");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_when_its_sum_is_used_up() {
        let start = VirtualClock::starting_at(chrono::DateTime::UNIX_EPOCH);
        let mut patience =
            Patience::of(Duration::from_secs(10), Duration::from_millis(250), Duration::from_secs(2));
        while patience.wait().await {}
        assert_eq!(start.stamp().mono_ms, 10_000);
    }
}
