//! Each limit at its edge: what is just allowed, and what is one too many.

use super::*;
use crate::catalog::kinds;
use crate::drill::KindLimits;
use crate::inventory::{Inhabitants, Neighbour};
use crate::model::Tags;
use crate::model::reach::Passage;

const EC2: ResourceKind = kinds::EC2_INSTANCE;

fn target(kind: ResourceKind, n: usize, tags: &[(&str, &str)]) -> Target {
    Target {
        kind,
        id: format!("t-{n}"),
        arn: None,
        name: None,
        tags: tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        attrs: BTreeMap::new(),
    }
}

/// Each `(selector, kind, first, drawn, population)`.
fn planned(all: &[(&str, ResourceKind, usize, usize, usize)]) -> BTreeMap<String, PlannedTargets> {
    let one = |&(name, resource, first, drawn, population): &(&str, ResourceKind, usize, usize, usize)| {
        let drawn = (first..first + drawn).map(|n| target(resource, n, &[])).collect();
        (
            name.to_owned(),
            PlannedTargets { resource, population, matched: population, candidates: Vec::new(), drawn },
        )
    };
    all.iter().map(one).collect()
}

fn told(limits: &Limits, planned: &BTreeMap<String, PlannedTargets>) -> Vec<String> {
    let found = numbers(Rule { origin: "", limits }, planned);
    assert!(found.iter().all(|f| f.severity == Refusal), "{found:?}");
    found.into_iter().map(|f| f.subject).collect()
}

#[test]
fn a_share_is_compared_without_rounding() {
    let of_three = planned(&[("web", EC2, 0, 2, 3)]);
    // two of three are 66.7 %
    for (percent, wanted) in [(66, &["limits.max_percent"][..]), (67, &[]), (100, &[])] {
        let limits = Limits { max_percent: Some(percent), ..Limits::default() };
        assert_eq!(told(&limits, &of_three), wanted, "{percent} %");
    }
    for (percent, wanted) in [(33, &["limits.max_percent"][..]), (34, &[])] {
        let limits = Limits { max_percent: Some(percent), ..Limits::default() };
        assert_eq!(told(&limits, &planned(&[("web", EC2, 0, 1, 3)])), wanted, "{percent} %");
    }
    // all of one, and one of a hundred and one
    let limits = Limits { max_percent: Some(99), ..Limits::default() };
    assert_eq!(told(&limits, &planned(&[("web", EC2, 0, 1, 1)])), ["limits.max_percent"]);
    let limits = Limits { max_percent: Some(1), ..Limits::default() };
    assert_eq!(told(&limits, &planned(&[("web", EC2, 0, 1, 101)])), [""; 0]);
    assert_eq!(told(&limits, &planned(&[("web", EC2, 0, 1, 99)])), ["limits.max_percent"]);
}

#[test]
fn a_number_is_allowed_up_to_itself_for_all_and_for_each_kind() {
    let both = planned(&[("web", EC2, 0, 2, 9), ("net", kinds::VPC_SUBNET, 0, 1, 9)]);
    for (most, wanted) in [(2, &["limits.max_targets"][..]), (3, &[])] {
        let limits = Limits { max_targets: Some(most), ..Limits::default() };
        assert_eq!(told(&limits, &both), wanted, "{most}");
    }
    let kinds = |kind, most, percent| Limits {
        kinds: [(kind, KindLimits { max_targets: most, max_percent: percent })].into(),
        ..Limits::default()
    };
    assert_eq!(told(&kinds(EC2, Some(1), None), &both), ["limits.kinds.ec2.instance.max_targets"]);
    assert_eq!(told(&kinds(EC2, Some(2), None), &both), [""; 0]);
    assert_eq!(told(&kinds(kinds::VPC_SUBNET, Some(1), None), &both), [""; 0]);
    assert_eq!(told(&kinds(EC2, None, Some(22)), &both), ["limits.kinds.ec2.instance.max_percent"]);
    assert_eq!(told(&kinds(EC2, None, Some(23)), &both), [""; 0]);
    assert_eq!(told(&Limits::default(), &both), [""; 0], "no limit, no refusal");
}

#[test]
fn what_two_selectors_draw_counts_once_and_of_the_smaller_population() {
    let same = planned(&[("a", EC2, 0, 2, 8), ("b", EC2, 1, 2, 6)]);
    for (most, wanted) in [(2, &["limits.max_targets"][..]), (3, &[])] {
        let limits = Limits { max_targets: Some(most), ..Limits::default() };
        assert_eq!(told(&limits, &same), wanted, "{most}");
    }
    // three of six
    for (percent, wanted) in [(49, &["limits.max_percent"][..]), (50, &[])] {
        let limits = Limits { max_percent: Some(percent), ..Limits::default() };
        assert_eq!(told(&limits, &same), wanted, "{percent} %");
    }
}

#[test]
fn the_fiftieth_tag_is_one_too_many_and_those_of_aws_do_not_count() {
    let with = |own: usize, more: &[(&str, &str)]| {
        let mut t = target(EC2, 0, more);
        t.tags.extend((0..own).map(|n| (format!("t{n}"), String::new())).collect::<Tags>());
        t
    };
    let refused = |t: &Target| tagging(t, None).len();
    assert_eq!(refused(&with(49, &[])), 0);
    assert_eq!(refused(&with(50, &[])), 1);
    assert_eq!(refused(&with(49, &[("aws:cloudformation:stack-name", "x")])), 0);
    let held = with(49, &[(target::TAG_HELD, "20260101T000000Z-own-aaaaaa undo: start")]);
    assert_eq!(tagging(&held, Some("20260101T000000Z-own-aaaaaa")), [], "its own tag is there already");
    assert_eq!(tagging(&held, Some("20260101T000000Z-own-aaaaab")).len(), 1);
    assert_eq!(tagging(&held, None).len(), 1);
}

#[test]
fn what_a_fault_reaches_is_allowed_up_to_the_limit() {
    let found = |most| {
        let instances = (0..3).map(|n| target(EC2, n, &[("redrill", "never")])).collect();
        let inhabitants = Inhabitants { population: 5, instances, others: Vec::new() };
        let limits = Limits { max_affected: most, ..Limits::default() };
        affected(Rule { origin: "", limits: &limits }, &inhabitants).len()
    };
    assert_eq!([found(Some(2)), found(Some(3)), found(None)], [1, 0, 0]);
}

fn neighbour(n: usize, passage: Option<Passage>, through: &[&str]) -> Neighbour {
    Neighbour {
        subnet: "subnet-1".to_owned(),
        interface: format!("eni-{n}"),
        what: format!("thing {n}"),
        passage,
        through: through.iter().map(|s| (*s).to_owned()).collect(),
        ..Neighbour::default()
    }
}

#[test]
fn whatever_is_in_the_subnet_counts_once() {
    let mut router = neighbour(7, Some(Passage::Router), &["subnet-2"]);
    router.instance = Some("t-0".to_owned());
    let mut tagged = neighbour(8, None, &[]);
    tagged.tags.insert("redrill".to_owned(), "never".to_owned());
    let found = Inhabitants {
        population: 5,
        instances: vec![target(EC2, 0, &[])],
        others: vec![router, tagged, neighbour(9, None, &[])],
    };
    let said = |limits: &Limits| affected(Rule { origin: "", limits }, &found);
    let allow_reach = vec![Passage::Router];
    for (most, refused) in [(2, 1), (3, 0)] {
        let limits =
            Limits { max_affected: Some(most), allow_reach: allow_reach.clone(), ..Limits::default() };
        assert_eq!(said(&limits).iter().filter(|f| f.severity == Refusal).count(), refused, "{most}");
    }
    let never = [("redrill".to_owned(), "never".into())].into();
    let limits = Limits { forbid_tags: never, allow_reach, ..Limits::default() };
    let refused: Vec<String> =
        said(&limits).into_iter().filter(|f| f.severity == Refusal).map(|f| f.subject).collect();
    assert_eq!(refused, ["thing 8 (eni-8)"]);
}

#[test]
fn a_passage_is_cut_only_where_the_drill_names_it_and_the_house_does_not_object() {
    use Passage::{NatGateway, TransitGateway};
    let found = Inhabitants {
        others: vec![neighbour(1, Some(NatGateway), &["subnet-2", "subnet-3"]), neighbour(2, None, &[])],
        ..Inhabitants::default()
    };
    let severity = |origin, allow: &[Passage]| {
        let limits = Limits { allow_reach: allow.to_vec(), ..Limits::default() };
        let found = affected(Rule { origin, limits: &limits }, &found);
        assert!(found.len() < 2, "{found:?}");
        for f in &found {
            assert!(f.text.contains("subnet-2, subnet-3 route through it"), "{}", f.text);
        }
        found.first().map(|f| f.severity)
    };
    assert_eq!(severity("", &[]), Some(Refusal));
    assert_eq!(severity("", &[TransitGateway]), Some(Refusal));
    assert_eq!(severity("", &[NatGateway]), Some(Warning));
    let house = "redrill.toml: ";
    assert_eq!(severity(house, &[]), None, "the house says nothing about it");
    assert_eq!(severity(house, &[NatGateway]), None);
    assert_eq!(severity(house, &[TransitGateway]), Some(Refusal));
}

#[test]
fn a_target_is_called_by_its_id_and_by_its_name_where_that_is_another() {
    for (name, wanted) in [(None, "t-1"), (Some("t-1"), "t-1"), (Some("web"), "t-1 (web)")] {
        let named = Target { name: name.map(str::to_owned), ..target(EC2, 1, &[]) };
        assert_eq!(label(&named), wanted);
    }
}

#[test]
fn the_rules_are_the_drills_and_the_houses() {
    let limits = |n| Limits { max_targets: Some(n), ..Limits::default() };
    let (drill, house) = (limits(1), House { limits: limits(2), ..House::default() });
    let rules = Rule::all(&drill, &house).map(|r| (r.limits().max_targets, r.key("max_targets")));
    let wanted = [(Some(1), "limits.max_targets"), (Some(2), "redrill.toml: limits.max_targets")];
    assert_eq!(rules, wanted.map(|(n, key)| (n, key.to_owned())));
}
