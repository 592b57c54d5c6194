//! What a run held, kind by kind, and what stands in for what: the need of each, and the nearest that has another.

use super::*;
use kinds::{EC2_INSTANCE, RDS_INSTANCE, S3_BUCKET, VPC_ROUTE_TABLE, VPC_SUBNET};

fn thing(kind: ResourceKind, id: &str, tags: &[(&str, &str)], attrs: &[(&str, &str)]) -> Target {
    let map =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Target { kind, id: id.to_owned(), arn: None, name: None, tags: map(tags), attrs: map(attrs) }
}

/// What something that the run holds needs, with this hint beside the run's id; all tables are as a run makes them.
fn need_of(kind: ResourceKind, attrs: &[(&str, &str)], hint: &str, others: &[Target]) -> Need {
    let empty = |t: &Target| ((t.kind, t.id.clone()), Birth { empty: true, ..Birth::default() });
    need_among(kind, attrs, hint, others, &others.iter().map(empty).collect())
}

fn need_among(
    kind: ResourceKind,
    attrs: &[(&str, &str)],
    hint: &str,
    others: &[Target],
    births: &Births,
) -> Need {
    let tag = format!("{RUN} {hint}");
    let t = thing(kind, "held", &[(TAG_HELD, tag.trim())], attrs);
    decide(&t, &[std::slice::from_ref(&t), others].concat(), births)
}

/// An instance that the run holds, last started and stopped at these times from the run's beginning, in minutes.
fn stopped(state: &str, hint: &str, started: Option<i64>, stopped: Option<i64>) -> Need {
    let at = |minutes: Option<i64>| minutes.map(|m| began() + TimeDelta::minutes(m));
    let birth = Birth { at: at(started), stopped: at(stopped), ..Birth::default() };
    let births = [((EC2_INSTANCE, "held".to_owned()), birth)].into();
    need_among(EC2_INSTANCE, &[("state", state)], hint, &[], &births)
}

#[test]
fn an_instance_that_was_stopped_is_started_once_it_stands_still() {
    let need = |state: &str, hint: &str| stopped(state, hint, Some(-9_000), Some(2));
    let ran = "undo: ec2.stop-instances was running";
    assert_eq!(need("stopped", ran), Need::Start);
    assert_eq!(need("stopped", "undo: ec2.stop-instances was stopped"), Need::Release);
    assert_eq!(need("running", ran), Need::Release);
    let said = format!("it is still stopping; sweep again once it has stopped ({ran})");
    assert_eq!(why(need("stopping", ran)), said);
    assert!(why(need("pending", ran)).starts_with("it is still starting; sweep again once it runs"));
    for gone in ["terminated", "shutting-down"] {
        assert!(why(need(gone, ran)).starts_with("it is gone, and nothing that a run made stands in for it"));
    }
}

#[test]
fn what_the_run_cannot_have_stopped_is_not_started() {
    let ran = "undo: ec2.stop-instances was running";
    let need = |started, at| stopped("stopped", ran, started, at);
    // clocks are no further apart than five minutes; a start after the run began is not taken for one before it
    for (started, at) in [(None, 0), (Some(-1), -5), (Some(0), 6), (Some(-9_000), 9_000)] {
        assert_eq!(need(started, Some(at)), Need::Start, "{started:?} {at}");
    }
    let said = why(need(Some(-9_000), Some(-6)));
    let expected = "it was stopped at 2026-03-01 11:54 UTC, before that run began: start it if it should run, then \
                    remove the tag redrill:held (undo: ec2.stop-instances was running)";
    assert_eq!(said, expected);
    let said = why(need(Some(1), Some(7)));
    assert!(said.starts_with("it was last started at 2026-03-01 12:01 UTC, after that run began"), "{said}");
    assert!(why(need(Some(-9_000), None)).starts_with("AWS does not say when it was stopped"));
    let unknown = need_of(EC2_INSTANCE, &[("state", "stopped")], ran, &[]);
    assert!(why(unknown).starts_with("AWS does not say when it was stopped"));
    let tags = [(TAG_HELD, "x undo: ec2.stop-instances was running")];
    let t = thing(EC2_INSTANCE, "held", &tags, &[("state", "stopped")]);
    let said = why(decide(&t, std::slice::from_ref(&t), &Births::new()));
    assert!(said.starts_with("its tag names no run"), "{said}");
}

#[test]
fn what_passes_by_itself_is_released_and_what_is_not_known_is_a_persons() {
    for hint in ["", "undo: rds.reboot", "undo: cloudfront.invalidate", "undo: ec2.terminate-instances"] {
        assert_eq!(need_of(RDS_INSTANCE, &[("status", "available")], hint, &[]), Need::Release, "{hint}");
    }
    let said = why(need_of(RDS_INSTANCE, &[("status", "available")], "undo: of-tomorrow", &[]));
    assert!(said.starts_with("this redrill does not know how to put it back"), "{said}");
    for gone in ["deleting", "delete-precheck"] {
        assert!(why(need_of(RDS_INSTANCE, &[("status", gone)], "", &[])).starts_with("it is gone"), "{gone}");
    }
    let said = why(need_of(S3_BUCKET, &[], "undo: s3.delete-objects", &[]));
    assert!(said.starts_with("objects may be under delete markers"), "{said}");
    // whatever its attributes say, only instances and databases are listed when they are gone
    let attrs = [("state", "terminated"), ("status", "deleting")];
    assert_eq!(need_of(S3_BUCKET, &attrs, "", &[]), Need::Release);
}

#[test]
fn a_subnet_goes_back_onto_its_own_table() {
    let own = thing(VPC_ROUTE_TABLE, "rtb-own", &[], &[]);
    let tags = [(TAG_RUN, RUN), (TAG_STEP, "cut"), ("Name", "redrill cut empty")];
    let runs = thing(VPC_ROUTE_TABLE, "rtb-run", &tags, &[]);
    // empty like the run's, and with its tag, but by its name somebody's
    let theirs =
        thing(VPC_ROUTE_TABLE, "rtb-theirs", &[(TAG_RUN, RUN), (TAG_STEP, "cut"), ("Name", "db")], &[]);
    let another = thing(VPC_ROUTE_TABLE, "rtb-other", &[(TAG_RUN, "20260301T120000Z-shop-abcdeg")], &[]);
    // a thing of another kind with a table's id is no table
    let odd = thing(S3_BUCKET, "rtb-lost", &[(TAG_RUN, RUN)], &[]);
    let all = [own, runs, another, odd, theirs];
    let need = |on: Option<&str>, hint: &str| {
        let attrs: Vec<_> = on.map(|on| ("route_table", on)).into_iter().collect();
        need_of(VPC_SUBNET, &attrs, hint, &all)
    };
    let detach = "undo: vpc.detach-route-table was rtb-own";
    let back = |to: Option<&str>| Need::Reroute { from: "rtb-run".to_owned(), to: to.map(str::to_owned) };
    assert_eq!(need(Some("rtb-run"), detach), back(Some("rtb-own")));
    // nothing shows that a run took it off
    assert!(why(need(None, detach)).starts_with("it stood on rtb-own and is on the main table"));
    assert_eq!(need(Some("rtb-own"), detach), Need::Release, "it is back");
    // tags alone make no table the run's: one with routes is somebody's, and one that nothing is known of may be
    for births in [Births::new(), [((VPC_ROUTE_TABLE, "rtb-run".to_owned()), Birth::default())].into()] {
        let need = need_among(VPC_SUBNET, &[("route_table", "rtb-run")], detach, &all, &births);
        assert!(why(need).starts_with("it stood on rtb-own and is on rtb-run: put it back unless somebody"));
    }
    assert_eq!(need(Some("rtb-run"), "undo: vpc.detach-route-table"), back(None));
    // on a table that somebody else made or that another run made, somebody may have wanted it
    for on in ["rtb-other", "rtb-lost", "rtb-theirs"] {
        let moved =
            format!("it stood on rtb-own and is on {on}: put it back unless somebody moved it on purpose");
        assert!(why(need(Some(on), detach)).starts_with(&moved), "{on}");
    }
    let attach = "undo: vpc.attach-route-table was rtb-own";
    assert!(why(need(Some("rtb-run"), attach)).starts_with("it stood on rtb-own and is on rtb-run"));
    assert!(why(need(None, attach)).starts_with("it stood on rtb-own and is on the main table"));
    for lost in ["rtb-gone", "rtb-lost"] {
        let said = why(need(Some("rtb-run"), &format!("undo: vpc.detach-route-table was {lost}")));
        assert!(
            said.starts_with(&format!("{lost}, the table that it stood on, does not exist any more")),
            "{said}"
        );
    }
    // without a hint only the tables tell
    assert_eq!(need(Some("rtb-own"), ""), Need::Release);
    assert_eq!(need(Some("rtb-other"), ""), Need::Release);
    assert_eq!(need(None, ""), Need::Release);
    let said = "it stands on a table that the run made, and how it stood before is not known";
    assert_eq!(why(need(Some("rtb-run"), "")), said);
}

#[test]
fn what_a_drill_keeps_is_kept_where_a_run_makes_such_things() {
    for (kind, kept) in
        [(EC2_INSTANCE, true), (RDS_INSTANCE, true), (VPC_ROUTE_TABLE, false), (S3_BUCKET, false)]
    {
        let t = thing(kind, "x", &[(TAG_RUN, RUN), (TAG_KEPT, RUN)], &[]);
        let need = decide(&t, std::slice::from_ref(&t), &Births::new());
        if kept {
            assert_eq!(need, Need::Keep { instead_of: None }, "{kind:?}");
        } else {
            assert_eq!(why(need), "somebody else set the tag redrill:kept", "{kind:?}");
        }
    }
    let t = thing(EC2_INSTANCE, "x", &[(TAG_RUN, RUN)], &[]);
    let said = why(decide(&t, std::slice::from_ref(&t), &Births::new()));
    assert!(said.starts_with("what it was made from is not known"), "{said}");
    let t = thing(EC2_INSTANCE, "x", &[(TAG_STEP, "replace")], &[]);
    assert_eq!(
        decide(&t, std::slice::from_ref(&t), &Births::new()),
        Need::Release,
        "no run made or holds it"
    );
}

#[test]
fn what_stands_in_for_something_that_is_gone_is_never_removed() {
    let copy = made(EC2_INSTANCE, "i-1");
    let births = [((copy.kind, copy.id.clone()), Birth { token: token(), ..Birth::default() })].into();
    let need = |others: &[Target]| decide(&copy, &[std::slice::from_ref(&copy), others].concat(), &births);
    let original = thing(EC2_INSTANCE, "original", &[], &[("state", "running")]);
    let instead = Need::Keep { instead_of: Some("original".to_owned()) };
    assert_eq!(need(std::slice::from_ref(&original)), Need::Remove);
    assert_eq!(need(&[]), instead);
    assert_eq!(need(&[Target { kind: RDS_INSTANCE, ..original.clone() }]), instead, "another kind");
    assert_eq!(need(&[Target { id: "i-2".to_owned(), ..original.clone() }]), instead, "another one");
    assert_eq!(
        need(&[thing(EC2_INSTANCE, "original", &[], &[("state", "terminated")])]),
        instead,
        "it is gone"
    );
    // renamed to the original's name, it is not the original
    let renamed = made(RDS_INSTANCE, "original");
    assert_eq!(decide(&renamed, std::slice::from_ref(&renamed), &Births::new()), instead);

    let gone = thing(EC2_INSTANCE, "original", &[], &[("state", "terminated")]);
    assert!(is_replaced(&gone, &[gone.clone(), copy.clone()]));
    assert!(!is_replaced(&gone, std::slice::from_ref(&gone)));
    let mut other = copy.clone();
    other.tags.insert(TAG_REPLACES.to_owned(), "i-9".to_owned());
    assert!(!is_replaced(&gone, &[other]), "it replaces another one");
    assert!(!is_replaced(&gone, &[Target { kind: RDS_INSTANCE, ..copy.clone() }]), "another kind");
    let mut lost = copy;
    lost.attrs.insert("state".to_owned(), "terminated".to_owned());
    assert!(!is_replaced(&gone, &[lost]), "what is gone itself stands in for nothing");
}

#[test]
fn needs_are_met_in_their_order_and_told_in_words() {
    let needs = [
        Need::Reroute { from: "rtb-2".to_owned(), to: Some("rtb-1".to_owned()) },
        Need::Start,
        Need::Release,
        Need::Keep { instead_of: None },
        Need::Remove,
        Need::Person { why: "x".to_owned() },
    ];
    assert!(needs.iter().map(Need::order).is_sorted_by(|a, b| a < b), "put back before removed, people last");
    let words: Vec<String> = needs.iter().map(Need::in_words).collect();
    let wanted = [
        "put back on rtb-1, with that table's routes, then release",
        "start, then release",
        "remove the tag redrill:held",
        "keep, as its drill says: remove the run's tags",
        "remove",
        "a person has to look: x",
    ];
    assert_eq!(words, wanted);
    let main = Need::Reroute { from: "rtb-2".to_owned(), to: None };
    assert_eq!(main.in_words(), "put back on the main table, with that table's routes, then release");
    let instead = Need::Keep { instead_of: Some("i-1".to_owned()) }.in_words();
    assert!(instead.starts_with("keep: it stands in for i-1, which is gone"), "{instead}");
}
