//! Walk, types and the schema for editors agree.

use super::*;

fn shipped() -> Vec<(String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("drills");
    let files = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    files
        .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        .map(|p| (p.display().to_string(), std::fs::read_to_string(&p).unwrap()))
        .collect()
}

#[test]
fn every_shipped_drill_loads_and_every_misspelt_key_is_refused_by_walk_and_types_alike() {
    let schema = json_schema::plain();
    for (file, text) in shipped() {
        load(&file, &text, &LoadOptions::default()).unwrap_or_else(|p| panic!("{p}"));
        let mut report = Report::new(&text);
        let tree = parse::parse(&text, &mut report).unwrap();
        let mut paths = Vec::new();
        keys(&tree, &mut Vec::new(), &mut paths);
        assert!(paths.len() > 20);
        for path in paths {
            // free keys: names of selectors, tags, parameters, environments; what stands under `with` is walked by its action
            let free = matches!(
                path[..path.len() - 1].last().map(String::as_str),
                Some("targets" | "tags" | "where" | "params" | "require_tags" | "forbid_tags")
            ) || path[..path.len() - 1].iter().any(|k| k == "with");
            if free {
                continue;
            }
            let mut mutant = tree.clone();
            misspell(&mut mutant, &path);
            tags_are_text(&mut mutant);
            let mut walked = Report::new(&text);
            walk::walk(&mutant, mutant.span, "the drill", &schema, &mut walked);
            let typed = serde_json::from_value::<Drill>(mutant.to_value());
            assert!(!walked.is_empty() && typed.is_err(), "{file}: {path:?} {typed:?}");
        }
    }
}

fn keys(node: &Node, path: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
    for (n, item) in node.items().iter().enumerate() {
        path.push(n.to_string());
        keys(item, path, out);
        path.pop();
    }
    for (key, value) in node.entries() {
        path.push(key.text.clone());
        out.push(path.clone());
        keys(value, path, out);
        path.pop();
    }
}

fn misspell(node: &mut Node, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    match &mut node.data {
        Data::List(items) => misspell(&mut items[first.parse::<usize>().unwrap()], rest),
        Data::Map(entries) => {
            let (key, value) = entries.iter_mut().find(|(k, _)| k.text == *first).unwrap();
            match rest.is_empty() {
                true => key.text.push_str("zz"),
                false => misspell(value, rest),
            }
        }
        _ => unreachable!("paths lead through lists and mappings"),
    }
}

#[test]
fn the_schema_for_editors_knows_every_action_and_probe() {
    let schema = json_schema();
    let rules = |def: &str| schema["$defs"][def]["allOf"].as_array().unwrap().len();
    assert_eq!(rules("Step"), actions::ACTIONS.len());
    assert_eq!(rules("ProbeUse"), probes::PROBES.len());
    assert_eq!(rules("StopUse"), probes::PROBES.len());
    // every reference leads somewhere
    fn refs_of(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(entries) => entries.iter().for_each(|(k, v)| match (k.as_str(), v.as_str()) {
                ("$ref", Some(target)) => out.push(target.to_owned()),
                _ => refs_of(v, out),
            }),
            Value::Array(items) => items.iter().for_each(|v| refs_of(v, out)),
            _ => {}
        }
    }
    let mut targets = Vec::new();
    refs_of(&schema, &mut targets);
    assert!(targets.len() > 20);
    for target in targets {
        assert!(schema.pointer(target.trim_start_matches('#')).is_some(), "{target}");
    }
}
