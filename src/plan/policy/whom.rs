//! Which resources of a type a step's permission is for, and how IAM writes their names. Pure.

use serde_json::Value;

use crate::catalog::iam::Type;
use crate::catalog::kinds;
use crate::drill::TargetSpec;
use crate::model::ResourceKind;
use crate::model::pattern;

/// When a step asks for a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Inspecting and preparing.
    Before,
    /// Doing it.
    Apply,
    /// Polling, undoing, keeping.
    After,
}

/// Which resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Those of the step's selector.
    Targets,
    /// What a run has made: it carries `redrill:run`.
    Made,
    /// What a run has made and left for good: it carries `redrill:kept` instead.
    Kept,
    /// What is being made and gets `redrill:run` with it; for EC2's tagging, by which call.
    New(Option<&'static str>),
    /// Others of this type, and the attribute of a target that names them.
    Around(Option<&'static str>),
    /// Roles, for these services.
    For(&'static [&'static str]),
    /// Keys that this service uses.
    Keys(&'static str),
    /// Those of this name.
    Named(&'static str),
}

/// What an action makes.
pub fn makes(action: &str, kind: Type) -> bool {
    match action {
        "ec2.launch-replacement" => matches!(kind, Type::Instance | Type::NetworkInterface | Type::Volume),
        "rds.restore-to-point-in-time" => kind == Type::Db,
        "vpc.detach-route-table" => kind == Type::RouteTable,
        _ => false,
    }
}

/// The permissions that several types know, of which a step touches some.
fn tags(permission: &str) -> bool {
    permission.ends_with("Tags")
        || permission.ends_with("TagsToResource")
        || permission.ends_with("TagsFromResource")
}

/// On which of a type a permission of an action is needed; empty where on none.
pub fn of(action: &str, takes: Option<ResourceKind>, permission: &str, kind: Type, when: When) -> Vec<Whom> {
    let target = takes.and_then(kinds::iam);
    let is_target = target == Some(kind) || (kind == Type::Object && target == Some(Type::Bucket));
    let made = makes(action, kind);
    match (permission, kind) {
        ("iam:PassRole", _) if action.starts_with("ec2.") => vec![Whom::For(&["ec2"])],
        ("iam:PassRole", _) => vec![Whom::For(&["monitoring.rds", "rds"])],
        // what encrypts the secret with the master password of a database
        ("kms:Decrypt" | "kms:GenerateDataKey", Type::KmsKey) if !action.starts_with("ec2.") => {
            vec![Whom::Keys("secretsmanager")]
        }
        (_, Type::KmsKey) => vec![Whom::Keys(if action.starts_with("ec2.") { "ec2" } else { "rds" })],
        // secrets that RDS manages have its prefix
        (_, Type::Secret) => vec![Whom::Named("rds!db-*")],
        (_, Type::TargetGroup) => vec![Whom::Around(None)],
        (p, _) if tags(p) && when == When::Apply => match (made, p) {
            // each volume gets the tags of the one in whose place it is, afterwards
            (true, "ec2:CreateTags") if kind == Type::Volume => {
                vec![Whom::New(Some(creating(action))), Whom::Made]
            }
            (true, "ec2:CreateTags") => vec![Whom::New(Some(creating(action)))],
            (true, _) => vec![Whom::New(None)],
            (false, _) => Vec::new(),
        },
        // what is kept is retagged, and its volumes; not its interface
        (p, _) if tags(p) => {
            if made && kind != Type::NetworkInterface {
                vec![Whom::Made]
            } else {
                Vec::new()
            }
        }
        // listings: the service decides on all of them
        ("rds:DescribeDBInstances", _) => vec![Whom::Around(None)],
        ("rds:RestoreDBInstanceToPointInTime", Type::Db) => vec![Whom::Targets, Whom::New(None)],
        ("ec2:RunInstances" | "ec2:CreateRouteTable", _) if made => vec![Whom::New(None)],
        // from the subnet's own table to the run's, and back
        (
            "ec2:AssociateRouteTable" | "ec2:DisassociateRouteTable" | "ec2:ReplaceRouteTableAssociation",
            Type::RouteTable,
        ) => {
            vec![Whom::Around(Some("route_table")), Whom::Made]
        }
        // a replacement may get its address when it is kept already
        ("ec2:AssociateAddress", Type::Instance) => vec![Whom::Made, Whom::Kept],
        _ if made && when != When::Before => vec![Whom::Made],
        _ if is_target => vec![Whom::Targets],
        (_, Type::Subnet) => vec![Whom::Around(Some("subnet"))],
        (_, Type::Image) => vec![Whom::Around(Some("image"))],
        (_, Type::Vpc) => vec![Whom::Around(Some("vpc"))],
        _ => vec![Whom::Around(None)],
    }
}

/// The call that makes what an action makes.
fn creating(action: &str) -> &'static str {
    if action.starts_with("vpc.") { "CreateRouteTable" } else { "RunInstances" }
}

/// Whatever there is of a type.
pub fn any(kind: Type) -> String {
    match kind {
        Type::Object | Type::TargetGroup => "*/*".to_owned(),
        _ => "*".to_owned(),
    }
}

/// A target's name among those of a type: a bucket's objects stand behind it.
pub fn within(kind: Type, name: &str) -> String {
    if kind == Type::Object { format!("{name}/*") } else { name.to_owned() }
}

/// Exactly this text, where IAM knows patterns.
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' => out.push_str("${*}"),
            '?' => out.push_str("${?}"),
            '$' => out.push_str("${$}"),
            c => out.push(c),
        }
    }
    out
}

/// Exactly this text, where IAM knows variables only. A selector's escapes are gone.
pub fn plain(text: &str) -> String {
    pattern(text).replace("${*}", "*").replace("${?}", "?")
}

/// A selector's pattern as IAM writes it.
pub fn pattern(text: &str) -> String {
    pattern::parts(text)
        .map(|part| match part {
            pattern::Part::Any => "*".to_owned(),
            pattern::Part::One => "?".to_owned(),
            pattern::Part::Literal(c) => literal(c.encode_utf8(&mut [0; 4])),
        })
        .collect()
}

/// A parameter's value; what refers to something not yet known may be anything.
pub fn value(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.push_str(&literal(&rest[..at]));
        out.push('*');
        rest = rest[at..].find('}').map_or("", |end| &rest[at + end + 1..]);
    }
    out + &literal(rest)
}

/// The names of a selector's targets, where it says them.
pub fn named(spec: &TargetSpec, kind: Type) -> Vec<String> {
    let own = kinds::spec(spec.resource).map_or("id", |k| k.id);
    let key = if spec.attrs.contains_key("id") { "id" } else { own };
    match spec.attrs.get(key) {
        Some(names) => names.values().iter().map(|n| within(kind, &pattern(n))).collect(),
        None => vec![any(kind)],
    }
}

/// The objects that a step's parameters name, in buckets named as `BUCKET/*`.
pub fn objects(buckets: &[String], params: &Value) -> Vec<String> {
    let prefix = params.get("prefix").and_then(Value::as_str).map(|p| format!("{}*", value(p)));
    let keys = params.get("keys").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let keys: Vec<String> = keys.map(value).chain(prefix).collect();
    let of = |bucket: &String| {
        let bucket = bucket.trim_end_matches("/*").to_owned();
        keys.iter().map(move |key| format!("{bucket}/{key}")).collect::<Vec<_>>()
    };
    if keys.is_empty() { buckets.to_vec() } else { buckets.iter().flat_map(of).collect() }
}

/// A secret by name or ARN, as the last part of its ARN.
pub fn secret(name: &str) -> String {
    match name.split_once(":secret:") {
        Some((_, own)) => own.to_owned(),
        None => format!("{name}-??????"),
    }
}
