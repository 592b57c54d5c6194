//! The policies of the shipped drills, and what keeps the table whole.

use std::collections::BTreeSet;

use super::*;
use crate::catalog::{actions, probes};
use crate::drill::{self, LoadOptions, Loaded};
use crate::plan::house::KillSwitch;

fn shipped() -> Vec<(String, Loaded)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/drills");
    let mut all = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            all.push((name, drill::load("drill.yaml", &text, &LoadOptions::default()).unwrap()));
        }
    }
    assert!(all.len() >= 6);
    all
}

fn of(drill: &Drill, phase: Phase) -> Document {
    policy(&Source::drill(drill, &House::default()), phase)
}

fn actions(document: &Document) -> BTreeSet<&str> {
    document.statement.iter().flat_map(|s| &s.action.0).map(String::as_str).collect()
}

fn statement<'a>(document: &'a Document, action: &str, arn: &str) -> &'a Statement {
    let found = document.statement.iter().find(|s| s.action.0.contains(action) && s.resource.0.contains(arn));
    found.unwrap_or_else(|| panic!("no {action} on {arn} in {document:#?}"))
}

/// The ids of the runs of `ec2-instance-loss`, and of no other drill's.
fn of_a_run() -> Values {
    Values::one("????????T??????Z-ec2-instance-loss-??????")
}

const HERE: &str = "arn:aws:ec2:us-east-1:123456789012";

#[test]
fn every_permission_that_anything_names_is_in_the_table() {
    let mut all: BTreeSet<&str> = BTreeSet::from([
        // of a caller, of signing, of publishing and of reconciling
        "sts:GetCallerIdentity",
        "kms:GetPublicKey",
        "kms:Sign",
        "s3:GetBucketObjectLockConfiguration",
        "s3:GetObjectRetention",
        "s3:GetObjectVersion",
        "s3:PutObject",
        "s3:PutObjectRetention",
        "cloudtrail:ListPublicKeys",
        "cloudtrail:LookupEvents",
        // of sweeping
        "rds:CreateDBSnapshot",
    ]);
    for action in actions::ACTIONS {
        let p = action.spec().permissions;
        all.extend([p.prepare, p.apply, p.poll, p.undo].into_iter().flatten());
    }
    all.extend(probes::PROBES.iter().flat_map(|p| p.spec().permissions));
    for kind in kinds::KINDS.iter().map(|k| k.spec()) {
        all.extend(kind.list.iter().chain(kind.tag));
    }
    let switch =
        KillSwitch { s3: Some("s3://b/k".to_owned()), ssm: Some("p".to_owned()), ..KillSwitch::default() };
    all.extend(switch.permissions());
    let missing: Vec<_> = all.iter().filter(|p| iam::level(p).is_none()).collect();
    assert!(missing.is_empty(), "not in catalog::iam: {missing:?}");
    let unused: Vec<_> = iam::PERMISSIONS.iter().filter(|(p, _)| !all.contains(p)).collect();
    assert!(unused.is_empty(), "nothing asks for {unused:?}");
}

#[test]
fn no_shipped_drill_is_allowed_more_than_it_names() {
    for (name, loaded) in shipped() {
        for phase in [Phase::Plan, Phase::Run, Phase::Undo] {
            let document = of(&loaded.drill, phase);
            // two accounts, and everything at once or all that a launch may name: more than one managed policy takes
            let long = ["critical-service-loss", "ec2-instance-loss"];
            assert!(document.parts().iter().all(|part| part.size() <= LONGEST), "{name} {phase:?}");
            if !long.contains(&name.as_str()) {
                assert!(document.size() <= LONGEST, "{name} {phase:?} takes {}", document.size());
            }
            let sids: BTreeSet<_> = document.statement.iter().map(|s| &s.sid).collect();
            assert_eq!(sids.len(), document.statement.len(), "{name}: a Sid twice");
            for s in &document.statement {
                assert!(s.sid.chars().all(|c| c.is_ascii_alphanumeric()), "{}", s.sid);
                for action in &s.action.0 {
                    assert!(!action.contains('*') && !action.contains('?'), "{name}: {action}");
                    let limited = matches!(iam::level(action), Some(Level::On(_)));
                    let everything = s.resource.0.contains("*");
                    assert_eq!(limited, !everything, "{name} {}: {action} on {:?}", s.sid, s.resource);
                }
                for arn in s.resource.0.iter().filter(|r| *r != "*") {
                    assert!(arn.starts_with("arn:aws:") && arn.matches(':').count() >= 5, "{arn}");
                    let account = arn.split(':').nth(4).unwrap_or_default();
                    // what another account may share is named by its owner's
                    let shared = ["placement-group/", "license-manager:", "resource-groups:"];
                    let owner = if shared.iter().any(|s| arn.contains(s)) { "*" } else { account };
                    assert_eq!(account, owner, "{arn}");
                    assert!(["", "*", "000000000000", "123456789012"].contains(&account), "{arn}");
                    assert!(account != "*" || shared.iter().any(|s| arn.contains(s)), "{arn}");
                }
            }
            assert_eq!(document, of(&loaded.drill, phase));
        }
    }
}

#[test]
fn a_policy_holds_every_permission_of_its_drill_and_no_other() {
    for (name, loaded) in shipped() {
        let needed = build::permissions_of(&loaded.drill, &Known::shipped());
        let mut needed: BTreeSet<&str> =
            needed.iter().map(String::as_str).filter(|p| iam::level(p) != Some(Level::Free)).collect();
        if needed.contains("rds:DeleteDBInstance") {
            // sweep's
            needed.insert("rds:CreateDBSnapshot");
        }
        assert_eq!(actions(&of(&loaded.drill, Phase::Run)), needed, "{name}");
        for phase in [Phase::Plan, Phase::Undo] {
            let part = of(&loaded.drill, phase);
            assert!(actions(&part).is_subset(&needed), "{name}");
        }
        let changing = |a: &&&str| {
            let verb = a.split(':').nth(1).unwrap_or_default();
            !["Describe", "Get", "List"].iter().any(|read| verb.starts_with(read))
        };
        assert_eq!(
            actions(&of(&loaded.drill, Phase::Plan)).iter().find(changing),
            None,
            "{name}: a plan reads"
        );
    }
}

#[test]
fn targets_are_limited_by_their_tags_and_what_is_made_by_the_runs() {
    let (_, loaded) = shipped().into_iter().find(|(n, _)| n == "ec2-instance-loss").unwrap();
    let document = of(&loaded.drill, Phase::Run);
    let by = |tags: bool| {
        document
            .statement
            .iter()
            .filter(move |s| s.action.0.contains("ec2:TerminateInstances"))
            .find(move |s| s.condition.contains_key("StringNotLike") == tags)
    };
    let targets = by(true).expect("the fault");
    let equals = &targets.condition["StringEquals"];
    assert_eq!(equals["aws:ResourceTag/service"], Values::one("shop"));
    assert_eq!(equals["aws:ResourceTag/role"], Values::one("web"));
    assert_eq!(equals["aws:ResourceTag/env"], Values::one("staging"), "what limits.require_tags says");
    assert_eq!(targets.condition["StringNotLike"]["aws:ResourceTag/redrill"], Values::one("never"));
    assert!(targets.resource.0.contains(&format!("{HERE}:instance/*")));
    let made = by(false).expect("undo of the replacement");
    assert_eq!(made.condition["StringLike"]["aws:ResourceTag/redrill:run"], of_a_run());
    let launch = statement(&document, "ec2:RunInstances", &format!("{HERE}:instance/*"));
    assert_eq!(launch.condition["StringLike"]["aws:RequestTag/redrill:run"], of_a_run());
    let tagging: Vec<_> =
        document.statement.iter().filter(|s| s.action.0.contains("ec2:CreateTags")).collect();
    assert!(!tagging.is_empty());
    for s in tagging {
        let keys = s.condition.contains_key("ForAllValues:StringEquals");
        let at_creation = s.condition.get("StringEquals").and_then(|c| c.get("ec2:CreateAction"));
        let like = s.condition.get("StringLike");
        let runs = like.is_some_and(|c| c.contains_key("aws:ResourceTag/redrill:run"));
        let volumes = runs && s.resource.0.iter().all(|arn| arn.contains(":volume/"));
        assert!(keys || volumes || at_creation == Some(&Values::one("RunInstances")), "{s:?}");
    }
    let pass = document.statement.iter().find(|s| s.action.0.contains("iam:PassRole")).unwrap();
    assert_eq!(pass.condition["StringEquals"]["iam:PassedToService"], Values::one("ec2.amazonaws.com"));
}

#[test]
fn services_are_named_as_the_partition_names_them() {
    let (_, mut loaded) = shipped().into_iter().find(|(n, _)| n == "ec2-instance-loss").unwrap();
    let mut services = |region: &str| {
        loaded.drill.limits.regions = vec![region.to_owned()];
        let document = of(&loaded.drill, Phase::Run);
        let of = |action: &str, key: &str| {
            let s = document.statement.iter().find(|s| s.action.0.contains(action)).unwrap();
            s.condition["StringEquals"][key].0.iter().cloned().collect::<Vec<_>>().join(" ")
        };
        let text = serde_json::to_string(&document).unwrap();
        let arns: BTreeSet<_> = text.split("\"arn:").skip(1).filter_map(|a| a.split(':').next()).collect();
        let partition = arns.into_iter().collect::<Vec<_>>().join(" ");
        (partition, of("iam:PassRole", "iam:PassedToService"), of("kms:CreateGrant", "kms:ViaService"))
    };
    let own =
        |partition: &str, passed: &str, via: &str| (partition.to_owned(), passed.to_owned(), via.to_owned());
    let ec2 = "ec2.amazonaws.com";
    assert_eq!(services("eu-west-1"), own("aws", ec2, "ec2.eu-west-1.amazonaws.com"));
    assert_eq!(services("us-gov-west-1"), own("aws-us-gov", ec2, "ec2.us-gov-west-1.amazonaws.com"));
    let via = "ec2.cn-north-1.amazonaws.com ec2.cn-north-1.amazonaws.com.cn";
    assert_eq!(services("cn-north-1"), own("aws-cn", "ec2.amazonaws.com ec2.amazonaws.com.cn", via));
    let via = "ec2.eusc-de-east-1.amazonaws.com ec2.eusc-de-east-1.amazonaws.eu";
    assert_eq!(services("eusc-de-east-1"), own("aws-eusc", ec2, via));
    assert_eq!(services("us-isob-east-1").0, "aws-iso-b");
}

#[test]
fn a_role_is_passed_to_rds_under_one_name_everywhere() {
    let (_, mut loaded) = shipped().into_iter().find(|(n, _)| n == "rds-point-in-time").unwrap();
    loaded.drill.limits.regions = vec!["cn-north-1".to_owned()];
    let document = of(&loaded.drill, Phase::Run);
    let pass = document.statement.iter().find(|s| s.action.0.contains("iam:PassRole")).unwrap();
    let services = &pass.condition["StringEquals"]["iam:PassedToService"];
    assert_eq!(*services, ["monitoring.rds.amazonaws.com", "rds.amazonaws.com"].into_iter().collect());
}

#[test]
fn buckets_are_limited_to_the_accounts_and_objects_to_the_prefix() {
    let (_, loaded) = shipped().into_iter().find(|(n, _)| n == "s3-object-loss").unwrap();
    let document = of(&loaded.drill, Phase::Run);
    let delete = statement(&document, "s3:DeleteObject", "arn:aws:s3:::*/catalogue/*");
    assert_eq!(delete.resource.0.len(), 1);
    assert_eq!(delete.condition["StringEquals"]["aws:ResourceAccount"].0.len(), 2);
    let looked =
        statement(&document, "s3:GetObject", "arn:aws:s3:::shop-assets-123456789012/catalogue/items.json");
    assert_eq!(looked.resource.0.len(), 1);
}

#[test]
fn text_is_never_taken_for_a_pattern() {
    assert_eq!(whom::literal("a*b?c$d"), "a${*}b${?}c${$}d");
    assert_eq!(whom::pattern(r"shop-*-\*"), "shop-*-${*}");
    assert_eq!(whom::plain(r"50\*"), "50*");
    assert_eq!(whom::value("a/${run.id}/b*"), "a/*/b${*}");
    assert_eq!(whom::secret("arn:aws:secretsmanager:us-east-1:1:secret:x-AbCdEf"), "x-AbCdEf");
    assert_eq!(whom::secret("x"), "x-??????");
}

#[test]
fn merging_never_widens() {
    let grant = |action: &str, arn: &str| Grant {
        action: action.to_owned(),
        sid: "S".to_owned(),
        kind: None,
        resources: BTreeSet::from([arn.to_owned()]),
        condition: Condition::new(),
    };
    let document = Document::of([grant("a:X", "1"), grant("a:X", "2"), grant("a:Y", "2"), grant("a:Z", "2")]);
    let flat: Vec<_> =
        document.statement.iter().map(|s| (s.sid.as_str(), s.action.0.len(), s.resource.0.len())).collect();
    assert_eq!(flat, [("S", 1, 2), ("S2", 2, 1)]);
}

/// Every action with every resource and condition that a document allows, as far as IAM decides on the pair.
fn allowed(document: &Document) -> BTreeSet<(String, String, Condition)> {
    // the types in the order of their ARNs' beginnings, the longer first
    let kinds = [
        Type::Bucket,
        Type::Db,
        Type::Distribution,
        Type::ElasticIp,
        Type::Image,
        Type::Instance,
        Type::InstanceProfile,
        Type::KeyPair,
        Type::KmsKey,
        Type::LicenseConfiguration,
        Type::NetworkInterface,
        Type::OptionGroup,
        Type::ParameterGroup,
        Type::PlacementGroup,
        Type::ResourceGroup,
        Type::Role,
        Type::RouteTable,
        Type::Secret,
        Type::SecurityGroup,
        Type::Snapshot,
        Type::Subnet,
        Type::SubnetGroup,
        Type::TargetGroup,
        Type::Volume,
        Type::Vpc,
    ];
    let kind_of = |arn: &str| {
        kinds.into_iter().find(|k| {
            let account = arn.split(':').nth(4).unwrap_or_default();
            arn.starts_with(&k.arn("us-east-1", account, ""))
        })
    };
    let mut out = BTreeSet::new();
    for s in &document.statement {
        for action in &s.action.0 {
            for arn in &s.resource.0 {
                if kind_of(arn).is_none_or(|kind| iam::decided_on(action, kind)) {
                    out.insert((action.clone(), arn.clone(), s.condition.clone()));
                }
            }
        }
    }
    out
}

#[test]
fn a_long_policy_is_joined_without_allowing_more_and_parted_without_allowing_less() {
    let mut joined = 0;
    for (name, loaded) in shipped() {
        for phase in [Phase::Plan, Phase::Run, Phase::Undo] {
            let house = House::default();
            let source = Source::drill(&loaded.drill, &house);
            let (plain, document) = (Document::plain(with_sweep(&source, phase)), policy(&source, phase));
            assert_eq!(allowed(&document), allowed(&plain), "{name} {phase:?}");
            joined += usize::from(document.statement.len() < plain.statement.len());
            let parts = document.parts();
            assert!(parts.iter().all(|p| p.size() <= LONGEST), "{name} {phase:?}");
            let together: Vec<Statement> = parts.iter().flat_map(|p| p.statement.clone()).collect();
            assert_eq!(together, document.statement, "{name} {phase:?}");
            assert_eq!(parts.len() == 1, document.size() <= LONGEST, "{name} {phase:?}");
        }
    }
    assert!(joined > 0, "nothing was long enough to be joined");
}

#[test]
fn for_one_account_alone_no_other_is_named() {
    for (name, loaded) in shipped() {
        let house = House::default();
        let mut source = Source::drill(&loaded.drill, &house);
        let both = policy(&source, Phase::Run);
        source.only = Some(("123456789012", None));
        let one = policy(&source, Phase::Run);
        let text = serde_json::to_string(&one).unwrap();
        assert!(text.contains("123456789012") && !text.contains("000000000000"), "{name}");
        assert_eq!(actions(&one), actions(&both), "{name}");
    }
}

#[test]
fn keys_are_used_through_their_service_alone() {
    let (_, loaded) = shipped().into_iter().find(|(n, _)| n == "ec2-instance-loss").unwrap();
    let document = of(&loaded.drill, Phase::Run);
    let keys: Vec<_> =
        document.statement.iter().filter(|s| s.action.0.iter().any(|a| a.starts_with("kms:"))).collect();
    let all: BTreeSet<&str> = keys.iter().flat_map(|s| &s.action.0).map(String::as_str).collect();
    let needed = [
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    ];
    assert_eq!(all, BTreeSet::from(needed));
    for s in keys {
        let via = &s.condition["StringEquals"]["kms:ViaService"];
        assert_eq!(via, &Values::one("ec2.us-east-1.amazonaws.com"), "{s:?}");
        assert_eq!(s.action.0.contains("kms:CreateGrant"), s.condition.contains_key("Bool"), "{s:?}");
    }
}

#[test]
fn a_secret_under_a_key_of_ones_own_is_encrypted_through_the_service_that_keeps_it() {
    let (_, loaded) = shipped().into_iter().find(|(n, _)| n == "rds-point-in-time").unwrap();
    let document = of(&loaded.drill, Phase::Run);
    for (permission, service) in [
        ("kms:Decrypt", "secretsmanager"),
        ("kms:GenerateDataKey", "secretsmanager"),
        ("kms:DescribeKey", "rds"),
        ("kms:CreateGrant", "rds"),
    ] {
        let found: Vec<_> = document.statement.iter().filter(|s| s.action.0.contains(permission)).collect();
        assert_eq!(found.len(), 1, "{permission}");
        let via = Values::one(format!("{service}.us-east-1.amazonaws.com"));
        assert_eq!(found[0].condition["StringEquals"]["kms:ViaService"], via, "{permission}");
    }
}

#[test]
fn a_rollback_may_mend_what_cannot_be_undone_and_injects_nothing() {
    let (_, loaded) = shipped().into_iter().find(|(n, _)| n == "ec2-instance-loss").unwrap();
    let document = of(&loaded.drill, Phase::Undo);
    assert!(actions(&document).contains("ec2:RunInstances"));
    let terminate = document
        .statement
        .iter()
        .filter(|s| s.action.0.contains("ec2:TerminateInstances"))
        .collect::<Vec<_>>();
    assert!(!terminate.is_empty());
    for s in terminate {
        assert_eq!(s.condition["StringLike"]["aws:ResourceTag/redrill:run"], of_a_run());
    }
}

#[test]
fn a_rollback_may_delete_no_database_but_one_of_the_name_that_a_run_gives() {
    for (name, loaded) in shipped() {
        let document = of(&loaded.drill, Phase::Undo);
        for s in document.statement.iter().filter(|s| s.action.0.contains("rds:DeleteDBInstance")) {
            let named = |arn: &String| arn.contains("-redrill-????????") || !arn.ends_with(":db:*");
            assert!(s.resource.0.iter().all(named), "{name}: {s:?}");
            assert!(s.condition["StringLike"].contains_key("aws:ResourceTag/redrill:run"), "{name}: {s:?}");
        }
    }
}

#[test]
fn what_is_swept_may_leave_a_final_snapshot_and_a_run_is_not_asked_for_that() {
    let (_, loaded) = shipped().into_iter().find(|(n, _)| n == "rds-point-in-time").unwrap();
    let house = House::default();
    let source = Source::drill(&loaded.drill, &house);
    let snapshot = |g: &&Grant| g.action == "rds:CreateDBSnapshot" || g.kind == Some(Type::Snapshot);
    assert!(!actions(&policy(&source, Phase::Plan)).contains("rds:CreateDBSnapshot"));
    for phase in [Phase::Run, Phase::Undo] {
        assert_eq!(grants(&source, phase).iter().find(snapshot), None);
        let all = with_sweep(&source, phase);
        let found: BTreeSet<_> = all.iter().filter(snapshot).map(|g| (g.action.as_str(), g.kind)).collect();
        let both = ["rds:AddTagsToResource", "rds:CreateDBSnapshot"].map(|a| (a, Some(Type::Snapshot)));
        assert_eq!(found, both.into_iter().chain([("rds:CreateDBSnapshot", Some(Type::Db))]).collect());
        for g in all.iter().filter(snapshot) {
            // of no database but a copy, and under no name but a copy's
            let named = |arn: &String| arn.contains("-redrill-????????");
            assert!(g.resources.iter().all(named), "{g:?}");
            if g.kind == Some(Type::Snapshot) {
                let last = |arn: &String| arn.contains(":snapshot:") && arn.ends_with("-final");
                assert!(g.resources.iter().all(last), "{g:?}");
            } else {
                assert!(g.condition["StringLike"].contains_key("aws:ResourceTag/redrill:run"), "{g:?}");
            }
        }
    }
}
