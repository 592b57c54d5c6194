//! Absence is proven, not believed: how often something has to be looked for before it counts as not there.
//!
//! AWS is eventually consistent, and now and then a service answers "not found", or with an empty page, what is
//! there. So what is there is believed at once, and what is not only once all looks of the settling time agree; what goes
//! on record is what two looks say that lie far enough apart for the service to have caught up. It leaves to the caller what a look is, and what is concluded. Reads only; it waits on the runtime's clock and
//! may be dropped at any moment, so that whoever calls it can limit or cancel it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::{CloudError, ErrorKind};

/// The first wait between two looks.
const FIRST: Duration = Duration::from_millis(250);
/// The longest one.
const LONGEST: Duration = Duration::from_secs(2);
/// Between two looks of [`twice`]: looks in one breath are answered alike by a replica that lags behind.
const APART: Duration = Duration::from_secs(2);
/// How often [`twice`] looks at what never stands still.
const RESTLESS: usize = 5;
/// How long in all a look of [`twice`] that is throttled is put off.
const PUT_OFF: Duration = Duration::from_secs(60);
/// The longest text of one value in what is told of a difference, in characters.
const SHORT: usize = 60;

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

/// An error that a look may end with.
pub trait Failure: From<CloudError> {
    /// Whether AWS refused to look because it was asked too much.
    fn is_throttled(&self) -> bool;
}

impl Failure for CloudError {
    fn is_throttled(&self) -> bool {
        self.kind == ErrorKind::Throttled
    }
}

/// What two looks in a row say, a while apart: an answer that left something out would otherwise leave it out for
/// good, and nobody could tell later. Only `part` of what is said has to be the same, and lists in it may come in any
/// order, since AWS promises none.
///
/// # Errors
/// The first look that fails other than by throttling; or, of kind `State` and in the name of `operation`, what
/// differed in the last of several looks.
pub async fn twice<T, P, E, F>(
    operation: &str,
    part: impl Fn(&T) -> &P,
    mut look: impl FnMut() -> F,
) -> Result<T, E>
where
    P: Serialize + ?Sized,
    E: Failure,
    F: Future<Output = Result<T, E>>,
{
    let one = |(): &()| operation.to_owned();
    let all = each_twice(operation, vec![()], one, part, |_| {
        let said = look();
        async move { Ok::<_, E>(BTreeMap::from([((), said.await?)])) }
    })
    .await?;
    match all.into_values().next() {
        Some(said) => said.map_err(E::from),
        None => Err(never_alike(operation, "it is not there any more").into()),
    }
}

/// As [`twice`], of many at once: all are waited for together, and only those that changed are looked at again. `look`
/// gets the keys that are in question; what it leaves out of its answer is left out of the result.
///
/// # Errors
/// The first look that fails other than by throttling. That one of them never stood still is its own result.
pub async fn each_twice<K, T, P, E, F>(
    operation: &str,
    keys: Vec<K>,
    name: impl Fn(&K) -> String,
    part: impl Fn(&T) -> &P,
    mut look: impl FnMut(Vec<K>) -> F,
) -> Result<BTreeMap<K, Result<T, CloudError>>, E>
where
    K: Ord + Clone,
    P: Serialize + ?Sized,
    E: Failure,
    F: Future<Output = Result<BTreeMap<K, T>, E>>,
{
    let mut out = BTreeMap::new();
    let mut said = unthrottled(|| look(keys.clone())).await?;
    for looks in 2..=RESTLESS {
        if said.is_empty() {
            break;
        }
        tokio::time::sleep(APART).await;
        let open: Vec<K> = said.keys().cloned().collect();
        let again = unthrottled(|| look(open.clone())).await?;
        let mut restless = BTreeMap::new();
        for (key, now) in again {
            match said.get(&key).and_then(|before| differs(part(before), part(&now))) {
                None => _ = out.insert(key, Ok(now)),
                Some(what) if looks == RESTLESS => {
                    let what =
                        format!("{RESTLESS} looks at {} never said the same twice: {what}", name(&key));
                    out.insert(key, Err(never_alike(operation, &what)));
                }
                Some(_) => _ = restless.insert(key, now),
            }
        }
        said = restless;
    }
    Ok(out)
}

/// A look that AWS did not refuse for being asked too much: one that it refused is no look, and is made again later.
async fn unthrottled<T, E, F>(mut look: impl FnMut() -> F) -> Result<T, E>
where
    E: Failure,
    F: Future<Output = Result<T, E>>,
{
    let mut patience = Patience::of(PUT_OFF, APART, LONGEST * 8);
    loop {
        match look().await {
            Err(e) if e.is_throttled() && patience.wait().await => {}
            said => return said,
        }
    }
}

fn never_alike(operation: &str, what: &str) -> CloudError {
    CloudError::new(operation, ErrorKind::State, what)
}

/// What differs between two looks, in words; lists in any order.
fn differs<T: Serialize + ?Sized>(before: &T, now: &T) -> Option<String> {
    match (serde_json::to_value(before), serde_json::to_value(now)) {
        (Ok(before), Ok(now)) => difference(&in_order(before), &in_order(now), ""),
        (Err(e), _) | (_, Err(e)) => Some(format!("they cannot be compared: {e}")),
    }
}

/// With what lists hold in one order.
fn in_order(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(in_order).collect();
            items.sort_by_cached_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(k, v)| (k, in_order(v))).collect()),
        plain => plain,
    }
}

/// The first difference, in words; `None` where there is none. Both in one order.
fn difference(before: &Value, now: &Value, at: &str) -> Option<String> {
    if before == now {
        return None;
    }
    let within = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    match (before, now) {
        (Value::Object(a), Value::Object(b)) => {
            let of = |all: &serde_json::Map<_, _>, key: &String| all.get(key).cloned().unwrap_or_default();
            a.keys().chain(b.keys()).find_map(|key| difference(&of(a, key), &of(b, key), &within(key)))
        }
        (Value::Array(a), Value::Array(b)) => {
            let only = |one: &[Value], other: &[Value]| -> Vec<Value> {
                one.iter().filter(|v| !other.contains(v)).cloned().collect()
            };
            match (only(a, b).as_slice(), only(b, a).as_slice()) {
                ([one], [other]) if named(one) == named(other) => {
                    difference(one, other, &within(&named(one)))
                }
                (gone, new) => Some(format!("{} had {}, then {}", subject(at), several(gone), several(new))),
            }
        }
        _ => Some(format!("{} was {}, then {}", subject(at), short(before), short(now))),
    }
}

fn subject(at: &str) -> &str {
    if at.is_empty() { "it" } else { at }
}

/// What tells a thing in a list.
fn named(value: &Value) -> String {
    let name = ["id", "name", "group", "key"].iter().find_map(|key| value.get(key)?.as_str());
    name.map_or_else(|| short(value), str::to_owned)
}

fn several(values: &[Value]) -> String {
    match values {
        [] => "nothing else".to_owned(),
        [one] => named(one),
        [first, rest @ ..] => format!("{} and {} more", named(first), rest.len()),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHORT {
        return text;
    }
    text.chars().take(SHORT).chain(['…']).collect()
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

    /// What came of looking twice, after how many looks and milliseconds.
    async fn looked_twice<T: Serialize + Clone>(
        answers: &[Result<T, ErrorKind>],
    ) -> (Result<T, CloudError>, usize, u64) {
        let clock = VirtualClock::starting_at(chrono::DateTime::UNIX_EPOCH);
        let looks = Cell::new(0);
        let said = twice(
            "ec2:DescribeThings",
            |said| said,
            || {
                let n = looks.replace(looks.get() + 1);
                let answer = answers[n].clone();
                async move { answer.map_err(|kind| CloudError::new("ec2:DescribeThings", kind, "no")) }
            },
        )
        .await;
        (said, looks.get(), clock.stamp().mono_ms)
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_record_was_said_twice_in_a_row_seconds_apart() {
        let answers = [vec![1, 2], vec![1], vec![1, 2], vec![1, 2], vec![]].map(Ok);
        assert_eq!(looked_twice(&answers).await, (Ok(vec![1, 2]), 4, 6_000));
        // no order of a list is promised
        let answers = [Ok(vec![2, 1]), Ok(vec![1, 2])];
        assert_eq!(looked_twice(&answers).await, (Ok(vec![1, 2]), 2, 2_000));
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_stands_still_is_an_error_that_says_what_differed() {
        let thing = |id: &str, state: usize| serde_json::json!({ "id": id, "tags": [state] });
        let answers: Vec<_> = (0..9).map(|n| Ok(vec![thing("i-1", 7), thing("i-2", n)])).collect();
        let (said, looks, ms) = looked_twice(&answers).await;
        let error = said.expect_err("no two looks agree");
        assert_eq!((looks, ms, error.kind), (5, 8_000, ErrorKind::State));
        assert_eq!(
            error.to_string(),
            "ec2:DescribeThings: 5 looks at ec2:DescribeThings never said the same twice: i-2.tags had 3, then 4"
        );
        let answers: Vec<_> = (0..9).map(|n| Ok(if n % 2 == 0 { vec![1] } else { vec![1, 2, 3] })).collect();
        let (said, ..) = looked_twice(&answers).await;
        assert!(said.expect_err("restless").message.ends_with(" had 2 and 1 more, then nothing else"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_is_throttled_is_no_look_and_any_other_failure_ends_it() {
        use ErrorKind::{Denied, Throttled};
        let answers = [Ok(1), Err(Throttled), Err(Throttled), Ok(1)];
        assert_eq!(looked_twice(&answers).await, (Ok(1), 4, 8_000));
        let answers = [Ok(1), Err(Denied)];
        assert_eq!(looked_twice(&answers).await.0.expect_err("denied").kind, Denied);
        let (said, _, ms) = looked_twice::<u8>(&[(); 99].map(|()| Err(Throttled))).await;
        assert_eq!((said.expect_err("for good").kind, ms), (Throttled, 60_000), "it ends all the same");
    }

    #[tokio::test(start_paused = true)]
    async fn many_are_waited_for_together_and_only_what_changed_is_looked_at_again() {
        let clock = VirtualClock::starting_at(chrono::DateTime::UNIX_EPOCH);
        let asked = std::cell::RefCell::new(Vec::new());
        let name = |key: &u8| format!("thing {key}");
        let said: Result<_, CloudError> = each_twice(
            "x:Y",
            (1..=100).collect(),
            name,
            |t| t,
            |keys: Vec<u8>| {
                asked.borrow_mut().push(keys.len());
                let looks = asked.borrow().len();
                let say = move |key| match key {
                    1 if looks == 1 => (key, 0),
                    2 => (key, looks),
                    _ => (key, 7),
                };
                async move { Ok(keys.into_iter().map(say).collect::<BTreeMap<u8, usize>>()) }
            },
        )
        .await;
        let said = said.expect("no look fails");
        assert_eq!((asked.into_inner(), clock.stamp().mono_ms), (vec![100, 100, 2, 1, 1], 8_000));
        assert_eq!((said.len(), &said[&1], &said[&3]), (100, &Ok(7), &Ok(7)));
        let restless = said[&2].clone().expect_err("it never stood still");
        assert_eq!(restless.message, "5 looks at thing 2 never said the same twice: it was 4, then 5");
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
