//! What a leftover needs. Pure.
//!
//! Two questions, in this order. A run holds it (`redrill:held`): how is it put back? A run made it
//! (`redrill:run`): may it be removed? Invariant: what stands in for something that is gone is never
//! removed, and neither is what a drill keeps; where the tags do not say enough, a person has to look.
//!
//! Tags can be set by whoever may tag, so they alone remove nothing. What is removed was made when the run was
//! there, and bears what only its maker could give it: an instance the client token of the run's own launch, a
//! database the identifier that the run's step gives to a copy of that source. A route table has nothing of the
//! kind; one counts as the run's only if it is as a run makes it, by name, tags and without routes, so that a table of
//! somebody's that only got the tags is left alone. Whoever forges all of that may tag, and is no accident.
//!
//! What is found after a crash, by action, wherever in the run the crash was:
//!
//! | action | what is found | need |
//! |---|---|---|
//! | `ec2.terminate-instances` | the instance is there still | release |
//! | | it is gone, and a replacement stands in for it | nothing |
//! | | it is gone, and nothing stands in for it | a person |
//! | `ec2.stop-instances` | it ran and was stopped since the run began, kept by an earlier run or not | start |
//! | | it is stopped, and the run can not have stopped it | a person |
//! | `ec2.launch-replacement` | the original is gone | keep, whatever `after` says |
//! | | the original is there | remove |
//! | `rds.restore-to-point-in-time` | the original is gone, or renamed, or `after: keep` | keep |
//! | | the original is there | remove |
//! | | another database has its name, created after the copy | a person |
//! | `vpc.detach-route-table` | off its table, onto the run's or the main one | put back |
//! | | the run's table | remove, once nothing is on it |
//! | `vpc.attach-route-table` | on its table of before the fault | release |
//! | | on another one that the drill named | a person, who is told which it was |
//! | `s3.delete-objects`, also after `s3.restore-objects` | a held bucket | a person |
//! | `rds.reboot`, `cloudfront.invalidate` | it passes by itself | release |

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::began;
use crate::catalog::kind::CREATED;
use crate::catalog::kinds;
use crate::cloud::database_serves;
use crate::model::target::{TAG_HELD, TAG_KEPT, TAG_REPLACES, TAG_RUN, TAG_STEP};
use crate::model::{ResourceKind, RunId, StepId, Target, naming};

/// A run's id has the time of redrill's clock, a resource that of AWS's; a run starts only where they are no
/// further apart than this.
const CLOCKS: TimeDelta = TimeDelta::minutes(5);

/// What tells who made or stopped something, other than its tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Birth {
    /// When it was made (UTC), an instance also when it was last started, where that is told.
    pub at: Option<DateTime<Utc>>,
    /// When an instance was stopped (UTC), while it is, where that is told.
    pub stopped: Option<DateTime<Utc>>,
    /// The client token of an instance's launch.
    pub token: Option<String>,
    /// Whether a route table has no route but those within its VPC.
    pub empty: bool,
}

/// Births by kind and id.
pub type Births = BTreeMap<(ResourceKind, String), Birth>;

/// What a leftover needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "need", rename_all = "kebab-case")]
pub enum Need {
    /// A subnet is not on its route table: back onto its own, then released.
    Reroute {
        /// The run's table that it stands on.
        from: String,
        /// The table that it had; `None`: the VPC's main one.
        to: Option<String>,
    },
    /// A stopped instance that was running: started, then released.
    Start,
    /// Nothing but the tag is left to remove, as far as can be seen.
    Release,
    /// A run made it and it stays: tagged `redrill:kept`, as at the end of a run.
    Keep {
        /// What it stands in for, where that is gone; `None`: its drill says so.
        instead_of: Option<String>,
    },
    /// A run made it: removed.
    Remove,
    /// redrill cannot tell how to put it back: a person has to.
    Person {
        /// Why, and what is known.
        why: String,
    },
}

impl Need {
    /// What is put back comes before what is removed.
    pub fn order(&self) -> u8 {
        match self {
            Self::Reroute { .. } => 0,
            Self::Start => 1,
            Self::Release => 2,
            Self::Keep { .. } => 3,
            Self::Remove => 4,
            Self::Person { .. } => 5,
        }
    }

    /// In words.
    pub fn in_words(&self) -> String {
        match self {
            Self::Reroute { to: Some(to), .. } => {
                format!("put back on {to}, with that table's routes, then release")
            }
            Self::Reroute { to: None, .. } => {
                "put back on the main table, with that table's routes, then release".to_owned()
            }
            Self::Start => "start, then release".to_owned(),
            Self::Release => "remove the tag redrill:held".to_owned(),
            Self::Keep { instead_of: Some(original) } => format!(
                "keep: it stands in for {original}, which is gone; tag redrill:kept, then look whether it serves \
                 in all places of {original} (target groups, addresses, names)"
            ),
            Self::Keep { instead_of: None } => "keep, as its drill says: remove the run's tags".to_owned(),
            Self::Remove => "remove".to_owned(),
            Self::Person { why } => format!("a person has to look: {why}"),
        }
    }
}

/// Whether it exists no more: EC2 lists what is terminated for an hour or so.
pub(super) fn is_gone(t: &Target) -> bool {
    kinds::spec(t.kind).is_some_and(|k| k.end_of(t).is_some())
}

/// Whether it can be what serves.
pub(super) fn serves(t: &Target) -> bool {
    match t.kind {
        kinds::EC2_INSTANCE => matches!(state(t), "pending" | "running"),
        kinds::RDS_INSTANCE => database_serves(t.attrs.get("status").map_or("", String::as_str)),
        _ => true,
    }
}

/// What `t` needs, given everything that there is, and how what carries a run's tag was made.
pub fn decide(t: &Target, all: &[Target], births: &Births) -> Need {
    if let Some(held) = t.tags.get(TAG_HELD) {
        let (run, hint) = held.split_once(' ').unwrap_or((held, ""));
        return self::held(t, run, hint, all, births);
    }
    if t.tags.contains_key(TAG_RUN) { made(t, all, births) } else { Need::Release }
}

/// Whether the run that its tags name made it.
///
/// # Errors
/// Why that cannot be, or cannot be seen.
pub(super) fn is_its_work(t: &Target, births: &Births) -> Result<(), String> {
    let tag = |key: &str| t.tags.get(key).map(String::as_str).unwrap_or_default();
    let Some(began) = began(tag(TAG_RUN)) else { return Err("its tag names no run".to_owned()) };
    let Some(birth) = births.get(&(t.kind, t.id.clone())) else {
        return Err("nothing is known of how it was made".to_owned());
    };
    if let Some(at) = birth.at.filter(|at| *at < began - CLOCKS) {
        return Err(format!("it is from {}, before that run began", at.format("%Y-%m-%d %H:%M UTC")));
    }
    let (run, step) = (RunId::from_existing(tag(TAG_RUN)), StepId::new(tag(TAG_STEP)));
    match t.kind {
        kinds::EC2_INSTANCE => {
            let token = naming::launch_token(&run, &step, tag(TAG_REPLACES));
            let is_its = birth.token.as_deref().is_some_and(|t| naming::is_launch(t, &token));
            is_its.then_some(()).ok_or_else(|| {
                "it was not launched by that run: the client token of its launch is another".to_owned()
            })
        }
        kinds::RDS_INSTANCE => {
            let name = naming::copy_identifier(&run, &step, tag(TAG_REPLACES));
            (t.id == name).then_some(()).ok_or_else(|| {
                format!("that run would have called it {name}, unless its drill says otherwise")
            })
        }
        kinds::VPC_ROUTE_TABLE => {
            let name = naming::empty_table(&step);
            match t.tags.get("Name") {
                Some(is) if *is == name => {}
                _ => return Err(format!("that run would have called it `{name}`")),
            }
            birth
                .empty
                .then_some(())
                .ok_or_else(|| "it has routes out of its VPC, which no run's table has".to_owned())
        }
        _ => Err("no run makes such a thing".to_owned()),
    }
}

/// Whether the run that its tag names can have stopped it: a tag is copied with a server, and would start it.
fn is_its_stop(t: &Target, run: &str, births: &Births) -> Result<(), String> {
    let Some(began) = began(run) else { return Err("its tag names no run".to_owned()) };
    let birth = births.get(&(t.kind, t.id.clone()));
    let at = |time: DateTime<Utc>| time.format("%Y-%m-%d %H:%M UTC");
    match birth.and_then(|b| b.stopped) {
        None => Err("AWS does not say when it was stopped".to_owned()),
        Some(then) if then < began - CLOCKS => {
            Err(format!("it was stopped at {}, before that run began", at(then)))
        }
        // however the clocks are: what was started about then may have been stopped again by somebody else
        Some(_) => match birth.and_then(|b| b.at).filter(|then| *then > began) {
            Some(then) => Err(format!("it was last started at {}, after that run began", at(then))),
            None => Ok(()),
        },
    }
}

/// What a run changed, or was about to: also something that a run made, and something that is kept.
fn held(t: &Target, run: &str, hint: &str, all: &[Target], births: &Births) -> Need {
    if is_gone(t) {
        return person("it is gone, and nothing that a run made stands in for it", hint);
    }
    let undo = hint.strip_prefix("undo: ").and_then(|text| text.split_whitespace().next());
    match (t.kind, undo) {
        (kinds::VPC_SUBNET, _) => subnet(t, run, hint, all, births),
        (kinds::EC2_INSTANCE, Some("ec2.stop-instances")) => match state(t) {
            "stopped" if hint.ends_with("was running") => match is_its_stop(t, run, births) {
                Ok(()) => Need::Start,
                Err(why) => person(
                    &format!("{why}: start it if it should run, then remove the tag redrill:held"),
                    hint,
                ),
            },
            "stopping" => person("it is still stopping; sweep again once it has stopped", hint),
            // it may stop again: without the key of a volume, say
            "pending" => person("it is still starting; sweep again once it runs", hint),
            _ => Need::Release,
        },
        (kinds::S3_BUCKET, Some("s3.delete-objects")) => {
            person("objects may be under delete markers that only the run's journal knows", hint)
        }
        // there it is still, or it passed by itself
        (_, None | Some("ec2.terminate-instances" | "rds.reboot" | "cloudfront.invalidate")) => Need::Release,
        (_, Some(_)) => person("this redrill does not know how to put it back", hint),
    }
}

/// What a run made.
fn made(t: &Target, all: &[Target], births: &Births) -> Need {
    let removed = || match is_its_work(t, births) {
        Ok(()) => Need::Remove,
        Err(why) => person(&format!("only its tags say that a run made it: {why}"), ""),
    };
    match t.kind {
        // what somebody launched with copied tags stands in for nothing, and its tags are not the run's to change
        kinds::EC2_INSTANCE if t.tags.contains_key(TAG_REPLACES) && is_its_work(t, births).is_err() => {
            removed()
        }
        kinds::EC2_INSTANCE | kinds::RDS_INSTANCE if t.tags.contains_key(TAG_KEPT) => {
            Need::Keep { instead_of: None }
        }
        _ if t.tags.contains_key(TAG_KEPT) => person("somebody else set the tag redrill:kept", ""),
        kinds::EC2_INSTANCE | kinds::RDS_INSTANCE => match t.tags.get(TAG_REPLACES) {
            None => person("what it was made from is not known: remove it by hand if nothing uses it", ""),
            Some(original) => match standing(t.kind, original, t, all) {
                Some(o) if is_younger(o, t) => person(
                    &format!(
                        "{original} was created after it, so it is not what it was made from, which is gone"
                    ),
                    "",
                ),
                // what a run holds is put back first, and looked at again before the removal
                Some(o) if serves(o) || o.tags.contains_key(TAG_HELD) => removed(),
                Some(o) => person(
                    &format!(
                        "{original}, which it was made from, is `{}`, so it may be what serves: remove it by hand once \
                         nothing uses it",
                        o.attrs.get("status").map_or_else(|| state(o), String::as_str)
                    ),
                    "",
                ),
                None => Need::Keep { instead_of: Some(original.clone()) },
            },
        },
        kinds::VPC_ROUTE_TABLE => match t.attrs.get("main").map(String::as_str) {
            Some("true") => person("it has become the main table of its VPC", ""),
            _ => removed(),
        },
        _ => person("no run makes such a thing; somebody else set the tag", ""),
    }
}

/// The original, if it still exists. What was renamed to the original's name is not the original.
fn standing<'a>(kind: ResourceKind, original: &str, copy: &Target, all: &'a [Target]) -> Option<&'a Target> {
    all.iter().find(|t| t.kind == kind && t.id == original && t.id != copy.id && !is_gone(t))
}

/// Whether it was created after the copy that is said to be made from it: another one has its name.
pub(super) fn is_younger(original: &Target, copy: &Target) -> bool {
    let created = |t: &Target| DateTime::parse_from_rfc3339(t.attrs.get(CREATED)?).ok();
    created(original).zip(created(copy)).is_some_and(|(original, copy)| original > copy)
}

/// Whether something that a run made stands in for `t`.
pub(super) fn is_replaced(t: &Target, all: &[Target]) -> bool {
    let stands_in = |o: &Target| o.kind == t.kind && o.tags.get(TAG_REPLACES) == Some(&t.id) && !is_gone(o);
    all.iter().any(stands_in)
}

fn subnet(t: &Target, run: &str, hint: &str, all: &[Target], births: &Births) -> Need {
    let table = |id: &str| all.iter().find(|o| o.kind == kinds::VPC_ROUTE_TABLE && o.id == id);
    let on = t.attrs.get("route_table").map(String::as_str);
    let was = hint.split_once(" was ").map(|(_, table)| table.trim());
    if hint.is_empty() || on == was {
        let of_the_run = on.and_then(table).is_some_and(|o| o.tags.get(TAG_RUN).is_some_and(|r| r == run));
        return if of_the_run {
            person("it stands on a table that the run made, and how it stood before is not known", hint)
        } else {
            Need::Release
        };
    }
    if let Some(was) = was.filter(|was| table(was).is_none()) {
        return person(&format!("{was}, the table that it stood on, does not exist any more"), hint);
    }
    let made = |on: &str| {
        table(on)
            .is_some_and(|o| o.tags.get(TAG_RUN).is_some_and(|r| r == run) && is_its_work(o, births).is_ok())
    };
    // off nothing but a table that the run made: tags alone must not put a private subnet on a public table
    if let Some(from) = on.filter(|on| hint.contains("vpc.detach-route-table") && made(on)) {
        return Need::Reroute { from: from.to_owned(), to: was.map(str::to_owned) };
    }
    let place = |table: Option<&str>| table.unwrap_or("the main table").to_owned();
    let why = format!(
        "it stood on {} and is on {}: put it back unless somebody moved it on purpose, then remove the tag redrill:held",
        place(was),
        place(on)
    );
    person(&why, hint)
}

fn state(t: &Target) -> &str {
    t.attrs.get("state").map_or("", String::as_str)
}

fn person(why: &str, hint: &str) -> Need {
    let why = if hint.is_empty() { why.to_owned() } else { format!("{why} ({hint})") };
    Need::Person { why }
}

#[cfg(test)]
mod tests {
    mod undone;

    use super::*;

    const RUN: &str = "20260301T120000Z-shop-abcdef";

    fn made(kind: ResourceKind, id: &str) -> Target {
        let tags = [(TAG_RUN, RUN), (TAG_STEP, "restore"), (TAG_REPLACES, "original")];
        Target {
            kind,
            id: id.to_owned(),
            arn: None,
            name: None,
            tags: tags.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            attrs: [("state", "running"), ("status", "available")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
        }
    }

    fn began() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn token() -> Option<String> {
        Some(naming::launch_token(&RunId::from_existing(RUN), &StepId::new("restore"), "original"))
    }

    fn copy() -> String {
        naming::copy_identifier(&RunId::from_existing(RUN), &StepId::new("restore"), "original")
    }

    /// What one thing beside its original needs, made like this.
    fn need(t: &Target, birth: Birth) -> Need {
        let original = Target { id: "original".to_owned(), tags: BTreeMap::new(), ..t.clone() };
        decide(t, &[t.clone(), original], &[((t.kind, t.id.clone()), birth)].into())
    }

    fn why(need: Need) -> String {
        let Need::Person { why } = need else { panic!("{need:?}") };
        why
    }

    #[test]
    fn an_instance_is_removed_by_the_client_token_of_its_launch_and_its_time() {
        let t = made(kinds::EC2_INSTANCE, "i-1");
        for at in [None, Some(began()), Some(began() - CLOCKS), Some(began() + TimeDelta::days(1))] {
            assert_eq!(need(&t, Birth { at, token: token(), ..Birth::default() }), Need::Remove, "{at:?}");
        }
        let early = Some(began() - CLOCKS - TimeDelta::seconds(1));
        let said = why(need(&t, Birth { at: early, token: token(), ..Birth::default() }));
        assert!(said.contains("it is from 2026-03-01 11:54 UTC, before that run began"), "{said}");
        for other in [None, Some(String::new()), Some("ABCDE".to_owned())] {
            let said =
                why(need(&t, Birth { at: Some(began()), token: other, empty: true, ..Birth::default() }));
            assert!(said.contains("the client token of its launch is another"), "{said}");
        }
        // nor does it stand in for what is gone, or is anything done to its tags
        for kept in [false, true] {
            let mut theirs = t.clone();
            theirs.tags.extend(kept.then(|| (TAG_KEPT.to_owned(), RUN.to_owned())));
            let birth = Birth { at: Some(began()), token: Some("ABCDE".to_owned()), ..Birth::default() };
            why(decide(&theirs, std::slice::from_ref(&theirs), &[((t.kind, t.id.clone()), birth)].into()));
        }
        // the token is of this run, step and original, and of no other
        for key in [TAG_RUN, TAG_STEP, TAG_REPLACES] {
            let mut other = t.clone();
            let value = if key == TAG_REPLACES { "i-2" } else { "20260301T120000Z-shop-abcdeg" };
            other.tags.insert(key.to_owned(), value.to_owned());
            let stands = Target { id: other.tags[TAG_REPLACES].clone(), tags: BTreeMap::new(), ..t.clone() };
            let births = [((t.kind, t.id.clone()), Birth { token: token(), ..Birth::default() })].into();
            why(decide(&other, &[other.clone(), stands], &births));
        }
    }

    #[test]
    fn a_database_is_removed_by_the_name_that_its_run_gives_and_its_time() {
        let t = made(kinds::RDS_INSTANCE, &copy());
        assert_eq!(need(&t, Birth::default()), Need::Remove, "one that is being made has no time yet");
        assert_eq!(need(&t, Birth { at: Some(began()), ..Birth::default() }), Need::Remove);
        why(need(&t, Birth { at: Some(began() - TimeDelta::days(1)), ..Birth::default() }));
        for name in ["shop-orders", "original-redrill-0123abcd", "original-redrill-"] {
            let said = why(need(&made(kinds::RDS_INSTANCE, name), Birth::default()));
            assert!(said.contains(&format!("would have called it {}", copy())), "{said}");
        }
    }

    #[test]
    fn a_database_that_was_created_after_the_copy_is_not_what_it_was_made_from() {
        let created = |mut t: Target, at: Option<i64>| {
            let at = at.map(|minutes| (began() + TimeDelta::minutes(minutes)).to_rfc3339());
            t.attrs.extend(at.map(|at| (CREATED.to_owned(), at)));
            t
        };
        let need = |of: Option<i64>, original: Option<i64>| {
            let t = created(made(kinds::RDS_INSTANCE, &copy()), of);
            let bare = made(kinds::RDS_INSTANCE, "original");
            let original = created(Target { tags: BTreeMap::new(), ..bare }, original);
            decide(&t, &[t.clone(), original], &[((t.kind, t.id.clone()), Birth::default())].into())
        };
        for (of, original) in [(Some(9), Some(-900)), (Some(9), Some(9)), (None, Some(90)), (Some(9), None)] {
            assert_eq!(need(of, original), Need::Remove, "{of:?} {original:?}");
        }
        assert!(why(need(Some(9), Some(10))).contains("original was created after it"));
    }

    #[test]
    fn what_may_serve_in_the_place_of_an_original_that_does_not_is_a_persons() {
        let need = |kind, id: &str, key: &str, value: &str, birth: &Birth| {
            let t = made(kind, id);
            let mut original = Target { id: "original".to_owned(), tags: BTreeMap::new(), ..t.clone() };
            original.attrs.insert(key.to_owned(), value.to_owned());
            decide(&t, &[t.clone(), original], &[((t.kind, t.id.clone()), birth.clone())].into())
        };
        let launched = Birth { at: Some(began()), token: token(), ..Birth::default() };
        let (rds, ec2) = (kinds::RDS_INSTANCE, kinds::EC2_INSTANCE);
        for status in
            ["available", "backing-up", "modifying", "configuring-log-exports", "storage-optimization"]
        {
            assert_eq!(need(rds, &copy(), "status", status, &Birth::default()), Need::Remove, "{status}");
        }
        for status in [
            "failed",
            "inaccessible-encryption-credentials",
            "inaccessible-encryption-credentials-recoverable",
            "incompatible-network",
            "incompatible-restore",
            "restore-error",
            "stopped",
            "stopping",
            "insufficient-capacity",
            "something-new",
            "",
        ] {
            let said = why(need(rds, &copy(), "status", status, &Birth::default()));
            assert!(said.contains(&format!("original, which it was made from, is `{status}`")), "{said}");
        }
        for status in ["deleting", "delete-precheck"] {
            let kept = Need::Keep { instead_of: Some("original".to_owned()) };
            assert_eq!(need(rds, &copy(), "status", status, &Birth::default()), kept, "{status}");
        }
        for state in ["running", "pending"] {
            assert_eq!(need(ec2, "i-1", "state", state, &launched), Need::Remove, "{state}");
        }
        for state in ["stopped", "stopping"] {
            why(need(ec2, "i-1", "state", state, &launched));
        }
        // stopped by a run, which is undone first
        let t = made(ec2, "i-1");
        let mut original = Target { id: "original".to_owned(), ..t.clone() };
        original.tags = [(TAG_HELD.to_owned(), format!("{RUN} undo: ec2.stop-instances was running"))].into();
        original.attrs.insert("state".to_owned(), "stopped".to_owned());
        let births = [((t.kind, t.id.clone()), launched.clone())].into();
        assert_eq!(decide(&t, &[t.clone(), original.clone()], &births), Need::Remove);
        for state in ["terminated", "shutting-down"] {
            let kept = Need::Keep { instead_of: Some("original".to_owned()) };
            assert_eq!(need(ec2, "i-1", "state", state, &launched), kept, "{state}");
        }
    }

    #[test]
    fn a_table_is_removed_only_where_nothing_is_lost_with_it() {
        let mut t = made(kinds::VPC_ROUTE_TABLE, "rtb-1");
        for name in [None, Some("db"), Some("redrill other empty")] {
            t.tags.extend(name.map(|name| ("Name".to_owned(), name.to_owned())));
            let said = why(need(&t, Birth { empty: true, ..Birth::default() }));
            assert!(
                said.contains("would have called it") && said.contains("redrill restore empty"),
                "{said}"
            );
        }
        t.tags.insert("Name".to_owned(), "redrill restore empty".to_owned());
        assert_eq!(need(&t, Birth { empty: true, ..Birth::default() }), Need::Remove);
        why(need(&t, Birth::default()));
        let mut main = t.clone();
        main.attrs.insert("main".to_owned(), "true".to_owned());
        why(need(&main, Birth { empty: true, ..Birth::default() }));
    }

    #[test]
    fn what_is_not_known_and_what_no_run_makes_is_a_persons() {
        let t = made(kinds::RDS_INSTANCE, &copy());
        let original = Target { id: "original".to_owned(), tags: BTreeMap::new(), ..t.clone() };
        why(decide(&t, &[t.clone(), original], &Births::new()));
        for kind in [kinds::S3_BUCKET, kinds::VPC_SUBNET, kinds::CLOUDFRONT_DISTRIBUTION] {
            why(need(&made(kind, "x"), Birth { token: token(), empty: true, ..Birth::default() }));
        }
        let mut unnamed = made(kinds::VPC_ROUTE_TABLE, "rtb-1");
        unnamed.tags.insert(TAG_RUN.to_owned(), "x".to_owned());
        assert!(why(need(&unnamed, Birth { empty: true, ..Birth::default() })).contains("names no run"));
    }
}
