//! "The world is as before", as a comparison of two snapshots.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What differs between two snapshots, but for instances that are gone for good and were replaced
/// by one like them that is kept. `may_lack` allows a replacement to be missing.
pub fn differences(before: &Value, after: &Value, run: &str, may_lack: bool) -> Vec<String> {
    let (mut before, mut after) = (before.clone(), after.clone());
    let mut wrong = Vec::new();
    let mut replaced = BTreeMap::new();
    for (new, instance) in instances(&mut after).clone() {
        let Some(old) = instance["tags"]["redrill:replaces"].as_str().map(str::to_owned) else { continue };
        if instance["tags"]["redrill:kept"] != run {
            wrong.push(format!("the replacement {new} of {old} is not kept: {}", instance["tags"]));
        }
        if instances(&mut after).contains_key(&old) {
            wrong.push(format!("{old} was replaced by {new} and is still there"));
        }
        let was = instances(&mut before).get(&old).cloned().unwrap_or_default();
        if likeness(&was) != likeness(&instance) {
            wrong.push(format!("{new} is not like {old}: {} {}", likeness(&instance), likeness(&was)));
        }
        if replaced.insert(old.clone(), new.clone()).is_some() {
            wrong.push(format!("{old} was replaced twice"));
        }
    }
    let gone: Vec<String> = instances(&mut before)
        .keys()
        .filter(|id| !instances(&mut after).contains_key(*id))
        .cloned()
        .collect();
    for old in gone {
        if !replaced.contains_key(&old) && !may_lack {
            wrong.push(format!("{old} is gone and was not replaced"));
        }
        replaced.entry(old).or_insert_with(|| "nothing".to_owned());
    }
    for (old, new) in &replaced {
        instances(&mut before).remove(old);
        instances(&mut after).remove(new);
    }
    if !replaced.is_empty() {
        // new volumes, and the new id where the old one was registered
        before["volumes"] = Value::Null;
        after["volumes"] = Value::Null;
        let mut text = before["registrations"].to_string();
        for (old, new) in &replaced {
            text = text.replace(old, new);
        }
        if may_lack {
            text = after["registrations"].to_string();
        }
        before["registrations"] = sorted(serde_json::from_str(&text).expect("as the test set it up"));
        after["registrations"] = sorted(after["registrations"].clone());
    }
    for (part, was) in before.as_object().expect("as the test set it up") {
        let is = &after[part];
        if was != is {
            wrong.push(format!("{part}: {}", changes(was, is)));
        }
    }
    wrong
}

fn instances(snapshot: &mut Value) -> &mut Map<String, Value> {
    snapshot["instances"].as_object_mut().expect("as the test set it up")
}

/// What a replacement shares with its original.
fn likeness(instance: &Value) -> Value {
    let mut like = instance.clone();
    if let Some(like) = like.as_object_mut() {
        like.remove("private_ip");
        if let Some(tags) = like.get_mut("tags").and_then(Value::as_object_mut) {
            tags.retain(|key, _| !["redrill:kept", "redrill:replaces"].contains(&key.as_str()));
        }
    }
    like
}

fn sorted(mut registrations: Value) -> Value {
    for ids in registrations.as_object_mut().expect("as the test set it up").values_mut() {
        ids.as_array_mut().expect("as the test set it up").sort_by_key(ToString::to_string);
    }
    registrations
}

/// The entries that differ.
fn changes(was: &Value, is: &Value) -> String {
    let (Some(a), Some(b)) = (was.as_object(), is.as_object()) else { return format!("{was} → {is}") };
    let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differing = keys.into_iter().filter(|k| a.get(*k) != b.get(*k));
    differing
        .map(|k| format!("{k}: {} → {}", a.get(k).unwrap_or(&Value::Null), b.get(k).unwrap_or(&Value::Null)))
        .collect::<Vec<_>>()
        .join(", ")
}
