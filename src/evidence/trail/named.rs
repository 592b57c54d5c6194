//! What a record says that its call was about, beside what the journal says of the call. Pure.
//!
//! Relied on: CloudTrail writes a request's parameters under the names of the service's API, the first letter small,
//! with `…Set` and `items` around the lists of EC2 (`instancesSet.items[].instanceId`,
//! `resourcesSet.items[].resourceId`). A name that a record does not have says nothing, and so does one that
//! CloudTrail or redrill left out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The most names of one kind that are kept of a record: a call takes at most as many.
const MOST: usize = 1_000;
/// The longest name that is one.
const LONGEST: usize = 2_048;

/// Of which parameter of a request, at whatever depth, which parameter of the journal's call says the same.
const SAME: [(&str, &[&str]); 17] = [
    ("instanceId", &["ids", "instance"]),
    ("resourceId", &["ids"]),
    ("routeTableId", &["table"]),
    ("subnetId", &["subnet"]),
    ("associationId", &["association"]),
    ("allocationId", &["allocation"]),
    ("vpcId", &["vpc"]),
    ("clientToken", &["token"]),
    ("targetGroupArn", &["group"]),
    ("id", &["id"]),
    ("dBInstanceIdentifier", &["identifier"]),
    ("sourceDBInstanceIdentifier", &["source"]),
    ("targetDBInstanceIdentifier", &["target"]),
    ("resourceName", &["arn"]),
    ("bucketName", &["bucket"]),
    ("distributionId", &["distribution"]),
    ("resource", &["arn"]),
];

/// Names of one kind; `None` where not all are known.
type Names = Option<BTreeSet<String>>;

/// What a request names, by the parameter that names it.
pub(super) type Named = BTreeMap<&'static str, Names>;

/// What the parameters of a recorded request name.
pub(super) fn of_request(parameters: &Value) -> Named {
    let mut out = Named::new();
    gather(parameters, &mut out);
    out
}

fn gather(value: &Value, out: &mut Named) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| gather(item, out)),
        Value::Object(fields) => {
            for (key, value) in fields {
                match (SAME.iter().find(|(name, _)| name == key), value) {
                    (Some((name, _)), Value::String(text)) => {
                        add(out.entry(name).or_insert(Some(BTreeSet::new())), text);
                    }
                    (_, value) => gather(value, out),
                }
            }
        }
        _ => {}
    }
}

fn add(names: &mut Names, text: &str) {
    let full = names.as_ref().is_some_and(|known| known.len() >= MOST);
    match names {
        Some(known) if is_whole(text) && !full => _ = known.insert(plain(text)),
        other => *other = None,
    }
}

/// Whether it is a name as it was given: not one that CloudTrail hid or that redrill took out of the journal.
fn is_whole(text: &str) -> bool {
    let left_out = ["HIDDEN_DUE_TO_SECURITY_REASONS", "***", "[secret ", "[redacted]"];
    !text.is_empty() && text.len() <= LONGEST && !left_out.iter().any(|mark| text.contains(mark))
}

/// Some services keep names in small letters, whatever they were asked for.
fn plain(text: &str) -> String {
    text.to_lowercase()
}

/// What the journal says that a call is about, by the parameters that [`SAME`] knows.
pub(super) fn of_call(params: &Value) -> Named {
    let mut out = Named::new();
    for own in SAME.iter().flat_map(|(_, own)| own.iter()) {
        let value = params.get(own).or_else(|| params.get("spec")?.get(own));
        let texts = match value {
            Some(Value::String(text)) => vec![text.as_str()],
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => continue,
        };
        let mut names = Some(BTreeSet::new());
        texts.into_iter().for_each(|text| add(&mut names, text));
        out.insert(own, names);
    }
    out
}

/// What a record names that the journal's call does not, or the other way round, in words.
pub(super) fn other(record: &Named, call: &Named) -> Option<String> {
    SAME.iter().find_map(|(name, own)| {
        let theirs = record.get(name)?.as_ref()?;
        let ours = own.iter().find_map(|own| call.get(own))?.as_ref()?;
        if theirs == ours {
            return None;
        }
        let list = |names: &BTreeSet<String>| names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let more = if theirs.len() > 3 { " and more" } else { "" };
        Some(format!("names {}{more} as `{name}`, and the journal {}", list(theirs), list(ours)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(request: Value, params: Value) -> Option<String> {
        other(&of_request(&request), &of_call(&params))
    }

    #[test]
    fn what_a_record_names_is_held_against_the_journal() {
        let instances = |ids: &[&str]| {
            let items: Vec<Value> = ids.iter().map(|id| json!({ "instanceId": id })).collect();
            json!({ "instancesSet": { "items": items }, "force": false })
        };
        let resources = |id: &str| json!({ "resourcesSet": { "items": [{ "resourceId": id }] }, "tagSet": { "items": [{ "key": "id", "value": "x" }] } });
        let same: [(Value, Value); 11] = [
            (instances(&["i-2", "i-1"]), json!({ "ids": ["i-1", "i-2"] })),
            (resources("i-1"), json!({ "ids": ["i-1"], "tags": { "id": "x" } })),
            (
                json!({ "associationId": "a-1", "routeTableId": "rtb-1" }),
                json!({ "association": "a-1", "table": "rtb-1" }),
            ),
            (
                json!({ "subnetId": "s-1", "routeTableId": "rtb-1" }),
                json!({ "subnet": "s-1", "table": "rtb-1" }),
            ),
            (
                json!({ "allocationId": "e-1", "instanceId": "i-1" }),
                json!({ "allocation": "e-1", "instance": "i-1", "from": "i-0" }),
            ),
            (
                json!({ "targetGroupArn": "arn:g", "targets": [{ "id": "i-1", "port": 80 }] }),
                json!({ "group": "arn:g", "id": "i-1" }),
            ),
            (
                json!({ "sourceDBInstanceIdentifier": "orders", "targetDBInstanceIdentifier": "copy", "dBSubnetGroupName": "x" }),
                json!({ "spec": { "source": "Orders", "target": "copy", "like": { "identifier": "orders" } } }),
            ),
            (
                json!({ "dBInstanceIdentifier": "orders", "skipFinalSnapshot": true }),
                json!({ "identifier": "orders" }),
            ),
            (json!({ "resourceName": "arn:d" }), json!({ "arn": "arn:d" })),
            (json!({ "bucketName": "shop", "tagging": "" }), json!({ "bucket": "shop" })),
            (json!({ "distributionId": "E1", "invalidationBatch": {} }), json!({ "distribution": "E1" })),
        ];
        for (request, params) in &same {
            assert_eq!(said(request.clone(), params.clone()), None, "{request}");
            let text = request.to_string();
            let (_, last) = params.as_object().unwrap().iter().next().unwrap();
            let name = match last {
                Value::Array(ids) => ids[0].as_str().unwrap().to_owned(),
                Value::Object(spec) => spec["target"].as_str().unwrap().to_owned(),
                one => one.as_str().unwrap().to_owned(),
            };
            let changed: Value =
                serde_json::from_str(&text.replace(&format!("\"{name}\""), "\"another\"")).unwrap();
            assert!(said(changed, params.clone()).is_some_and(|why| why.contains("another")), "{request}");
        }
        assert_eq!(
            said(instances(&["i-9"]), json!({ "ids": ["i-1"] })).unwrap(),
            "names i-9 as `instanceId`, and the journal i-1"
        );
        // one less is another call, too
        assert!(said(instances(&["i-1"]), json!({ "ids": ["i-1", "i-2"] })).is_some());
    }

    #[test]
    fn what_is_not_there_or_was_left_out_says_nothing() {
        let ours = || json!({ "ids": ["i-1"] });
        for request in [
            json!(null),
            json!({}),
            json!({ "names": ["i-9"] }),
            json!({ "instancesSet": { "items": [] } }),
            json!({ "instanceId": "HIDDEN_DUE_TO_SECURITY_REASONS" }),
            json!({ "instanceId": "" }),
            json!({ "instanceId": 7 }),
        ] {
            assert_eq!(said(request.clone(), ours()), None, "{request}");
        }
        assert_eq!(said(json!({ "bucketName": "b" }), ours()), None, "the journal has none");
        assert_eq!(said(json!({ "bucketName": "b" }), json!({ "bucket": "[secret name]" })), None);
        // more than a call takes were not all kept
        let many: Vec<Value> = (0..=MOST).map(|n| json!({ "instanceId": format!("i-{n}") })).collect();
        assert_eq!(said(json!({ "items": many }), ours()), None);
    }
}
