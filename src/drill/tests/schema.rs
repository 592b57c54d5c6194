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
fn the_schema_for_editors_is_the_one_beside_the_shipped_drills() {
    let shipped: Value = serde_json::from_str(include_str!("../../../drills/drill.schema.json")).unwrap();
    let made = json_schema();
    for (name, def) in made["$defs"].as_object().expect("definitions") {
        assert_eq!(*def, shipped["$defs"][name], "{name}: REDRILL_UPDATE=1 cargo test --test it generated");
    }
    assert!(made == shipped, "REDRILL_UPDATE=1 cargo test --test it generated");
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

/// What is said of a document that is held against a schema, with the hints.
fn held(schema: &Value, text: &str) -> Vec<String> {
    let mut report = Report::new(text);
    let tree = parse::parse(text, &mut report).expect("a tree");
    walk::walk(&tree, tree.span, "it", schema, &mut report);
    let found = report.into_problems("f").problems.into_iter();
    found.map(|p| [Some(p.message), p.hint].into_iter().flatten().collect::<Vec<_>>().join("; ")).collect()
}

#[test]
fn values_are_held_against_their_types_and_bounds() {
    let types = |types: Value| serde_json::json!({ "type": types });
    for (schema, text, says) in [
        (types("string".into()), "a", ""),
        (
            types("string".into()),
            "1.10",
            "`it`: expected text, found the number 1.10; in quotes it is text: \"1.10\"",
        ),
        (types("string".into()), "true", "`it`: expected text, found `true`; in quotes it is text: \"true\""),
        (types("string".into()), "[]", "`it`: expected text, found a list"),
        (types("integer".into()), "1", ""),
        (types("integer".into()), "1.5", "`it`: expected a whole number, found the number 1.5"),
        (types("integer".into()), "\"1\"", "`it`: expected a whole number, found text; leave the quotes out"),
        (types("integer".into()), "a", "`it`: expected a whole number, found text"),
        (types("number".into()), "1.5", ""),
        (types("number".into()), "\"1\"", "`it`: expected a number, found text"),
        (
            types("boolean".into()),
            "\"true\"",
            "`it`: expected true or false, found text; leave the quotes out",
        ),
        (types("array".into()), "{}", "`it`: expected a list, found a mapping"),
        (types("object".into()), "[]", "`it`: expected a mapping, found a list"),
        (types(serde_json::json!(["integer", "null"])), "~", ""),
        (types(serde_json::json!(["integer", "null"])), "a", "`it`: expected a whole number, found text"),
        (
            types(serde_json::json!(["boolean", "array"])),
            "~",
            "`it`: expected true or false or a list, found nothing",
        ),
        (serde_json::json!(true), "[1]", ""),
        (serde_json::json!({"type": "integer", "minimum": 2}), "1", "`it` must be at least 2, not 1"),
        (serde_json::json!({"type": "integer", "minimum": 2}), "2", ""),
        (serde_json::json!({"type": "integer", "maximum": 2}), "3", "`it` must be at most 2, not 3"),
        (serde_json::json!({"type": "integer", "maximum": 2}), "2", ""),
        (serde_json::json!({"minimum": 1, "maximum": 2}), "3", "`it` must be from 1 to 2, not 3"),
        (serde_json::json!({"minimum": 1, "maximum": 2}), "0", "`it` must be from 1 to 2, not 0"),
        (serde_json::json!({"type": "string", "minLength": 1}), "\" \"", "`it` is empty"),
        (serde_json::json!({"type": "string", "minLength": 1}), "a", ""),
        (serde_json::json!({"type": "string", "minLength": 0}), "\"\"", ""),
        (serde_json::json!({"type": "string"}), "\"\"", ""),
        (serde_json::json!({"type": "array", "minItems": 2}), "[1]", "`it` needs at least 2 in its list"),
        (serde_json::json!({"type": "array", "minItems": 2}), "[1, 2]", ""),
        (
            serde_json::json!({"items": {"type": "string"}}),
            "[a, 1]",
            "`it`: expected text, found the number 1; in quotes it is text: \"1\"",
        ),
        (serde_json::json!({"const": 1}), "2", "`it` must be 1, not the number 2"),
        (serde_json::json!({"const": 1}), "1", ""),
        (serde_json::json!({"enum": ["abc", "xyz"]}), "abd", "`it` cannot be `abd`; did you mean `abc`?"),
        (serde_json::json!({"enum": ["abc", "xyz"]}), "\"${params.a}\"", ""),
        (serde_json::json!({"enum": [1, "a"]}), "2", "`it` must be 1 or \"a\", not the number 2"),
        (
            serde_json::json!({"allOf": [{"type": "string"}, {"type": "string", "minLength": 1}]}),
            "\"\"",
            "`it` is empty",
        ),
    ] {
        assert_eq!(held(&schema, text).join("|"), says, "{schema} {text}");
    }
}

#[test]
fn mappings_are_held_against_their_keys() {
    let closed = serde_json::json!({
        "properties": { "name": {"type": "string"}, "size": {"type": "integer"} },
        "required": ["name"], "additionalProperties": false,
    });
    let free = serde_json::json!({"additionalProperties": {"type": "integer"}});
    let open = serde_json::json!({"properties": {"name": {"type": "string"}}});
    let uneven = serde_json::json!({"properties": {"name": true}, "unevaluatedProperties": false});
    for (schema, text, says) in [
        (&closed, "{ name: a, size: 1 }", ""),
        (&closed, "{ size: 1 }", "`it` needs `name`"),
        (&closed, "{ name: a, colour: red }", "unknown key `colour`; known here: size"),
        (&closed, "{ name: a, siez: 1 }", "unknown key `siez`; did you mean `size`?"),
        // a misspelt key is neither unknown and missing nor taken for another that is there
        (&closed, "{ nmae: a }", "unknown key `nmae`; did you mean `name`?"),
        (&closed, "{ colour: red }", "`it` needs `name`|unknown key `colour`; known here: name, size"),
        (&free, "{ a: 1, b: x }", "`b`: expected a whole number, found text"),
        (&open, "{ other: 1 }", ""),
        (&uneven, "{ other: 1 }", "unknown key `other`; known here: name"),
        (&uneven, "{ name: 1 }", ""),
    ] {
        assert_eq!(held(schema, text).join("|"), says, "{text}");
    }
}

#[test]
fn of_several_shapes_the_nearest_is_spoken_of() {
    let schema = serde_json::json!({
        "oneOf": [
            {"const": "all", "type": "string"},
            {"enum": ["few", "many"]},
            {"$ref": "#/$defs/Count"},
            {"type": "object", "properties": {"percent": {"type": "integer"}}, "required": ["percent"], "additionalProperties": false},
            {"type": ["integer", "null"]},
        ],
        "$defs": {"Count": {
            "type": "object", "properties": {"count": {"type": "integer"}, "of": {"type": "string"}},
            "required": ["count"], "additionalProperties": false,
        }},
    });
    for (text, says) in [
        ("all", ""),
        ("many", ""),
        ("5", ""),
        ("~", ""),
        ("{ count: 1 }", ""),
        ("{ percent: 1 }", ""),
        ("lal", "`it` cannot be `lal`; did you mean `all`?"),
        ("{ count: x }", "`count`: expected a whole number, found text"),
        ("{ percent: x }", "`percent`: expected a whole number, found text"),
        ("{ count: 1, of: b, percent: 2 }", "unknown key `percent`"),
        ("{ cuont: 1 }", "unknown key `cuont`; did you mean `count`?"),
        ("{}", "`it` needs one of count, of, percent"),
        ("[1]", "`it`: expected `all` or `few` or `many` or a mapping or a whole number, found a list"),
    ] {
        assert_eq!(held(&schema, text).join("|"), says, "{text}");
    }
    let duration = serde_json::json!({
        "properties": {"d": {"$ref": "#/$defs/Duration"}}, "$defs": {"Duration": {"type": "string"}},
    });
    for (text, says) in [
        ("{ d: 30s }", ""),
        ("{ d: \"${params.d}\" }", ""),
        ("{ d: soon }", "`soon` is not a duration; write for example 30s, 15m or 4h"),
        ("{ d: 5 }", "`d`: expected a duration, found the number 5; with its unit: 5s, 5m or 5h"),
        (
            "{ d: 1.5 }",
            "`d`: expected a duration, found the number 1.5; with its unit, in whole numbers: 90s, 15m or 1h 30m",
        ),
        ("{ d: true }", "`d`: expected a duration, found `true`"),
    ] {
        assert_eq!(held(&duration, text).join("|"), says, "{text}");
    }
    let optional = serde_json::json!({
        "properties": {"d": {"anyOf": [{"$ref": "#/$defs/Duration"}, {"type": "null"}]}}, "$defs": {"Duration": {"type": "string"}},
    });
    assert_eq!(
        held(&optional, "{ d: 5 }"),
        ["`d`: expected a duration, found the number 5; with its unit: 5s, 5m or 5h"]
    );
    // what is no number, or no duration, has no unit
    for (text, says) in [
        ("{ d: true }", "`d`: expected a duration, found `true`"),
        ("{ d: [5] }", "`d`: expected a duration, found a list"),
    ] {
        assert_eq!(held(&optional, text), [says], "{text}");
    }
    let note = serde_json::json!({"properties": {"note": {"anyOf": [{"type": "string"}, {"type": "null"}]}}});
    assert_eq!(held(&note, "{ note: 5 }"), ["`note`: expected text, found the number 5"]);
    // where only one shape is a mapping, that one is meant
    let only = serde_json::json!({"anyOf": [
        {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"], "additionalProperties": false},
        {"type": "null"},
    ]});
    assert_eq!(held(&only, "{}"), ["`it` needs `count`"]);
    assert_eq!(
        held(&only, "{ colour: red }"),
        ["`it` needs `count`", "unknown key `colour`; known here: count"]
    );
    // a schema may refer to itself
    let endless = serde_json::json!({"$ref": "#"});
    assert_eq!(held(&endless, "1"), [""; 0]);
    let list = serde_json::json!({"type": "array", "items": {"$ref": "#"}});
    assert_eq!(held(&list, "[[], [[1]]]"), ["`it`: expected a list, found the number 1"]);
}

#[test]
fn the_whole_is_named_in_plain_words_and_what_is_in_it_by_its_key() {
    let needs = serde_json::json!({"type": "object", "required": ["name"], "properties": {"name": true}});
    for (schema, text, says) in [
        (needs.clone(), "{}", "the drill needs `name`"),
        (
            serde_json::json!({"properties": {"web servers": needs}}),
            "{ web servers: {} }",
            "`web servers` needs `name`",
        ),
        (
            serde_json::json!({"additionalProperties": needs}),
            "{ web servers: {} }",
            "`web servers` needs `name`",
        ),
    ] {
        let mut report = Report::new(text);
        let tree = parse::parse(text, &mut report).expect("a tree");
        walk::walk(&tree, tree.span, "the drill", &schema, &mut report);
        let found: Vec<String> = report.into_problems("f").problems.into_iter().map(|p| p.message).collect();
        assert_eq!(found, [says], "{schema}");
    }
}

#[test]
fn a_tree_is_known_by_its_parts() {
    let text = "a: [1, x, {b: true}]\nc:\nd: 1.10\n";
    let mut tree = parse::parse(text, &mut Report::new(text)).expect("a tree");
    assert_eq!(tree.to_value(), serde_json::json!({"a": [1, "x", {"b": true}], "c": null, "d": 1.1}));
    assert!(tree.entry("c").is_none() && tree.get("a").is_some() && tree.get("x").is_none());
    assert_eq!(
        (tree.get("d").and_then(Node::number), tree.get_mut("c").map(|n| n.is_null())),
        (None, Some(true))
    );
    let a = tree.get("a").expect("a list");
    assert_eq!((a.items().len(), a.items()[0].number(), a.items()[1].text()), (3, Some(1), Some("x")));
    assert_eq!((a.items()[0].text(), a.items()[1].number(), a.entries().len()), (None, None, 0));
    let at = |path: &[&str]| tree.follow(path.iter().map(|s| (*s).to_owned())).to_value();
    assert_eq!(at(&["a", "2", "b"]), true);
    assert_eq!(at(&["a", "9"]), tree.get("a").unwrap().to_value());
    assert_eq!(at(&["x"]), tree.to_value());
    let mut texts = Vec::new();
    tree.texts(&mut |_, text| texts.push(text.to_owned()));
    assert_eq!(texts, ["x"]);
    let mut seen = 0;
    tree.scalars_mut(&mut |_| seen += 1);
    assert_eq!(seen, 5);
    let described: Vec<_> = ["~", "true", "1.10", "x", "[]", "{}"]
        .map(|t| parse::parse(t, &mut Report::new(t)).unwrap().describe())
        .into();
    assert_eq!(described, ["nothing", "`true`", "the number 1.10", "text", "a list", "a mapping"]);
}

#[test]
fn editors_offer_a_reference_where_no_text_is_expected() {
    let root = json_schema();
    let limits = &root["$defs"]["Limits"]["properties"];
    let offers = |schema: &Value| schema["anyOf"][1]["$ref"] == "#/$defs/Reference";
    assert!(offers(&limits["max_targets"]) && offers(&limits["accounts"]["items"]));
    assert!(!offers(&limits["environment"]) && limits["max_targets"]["description"].is_string());
    assert_eq!(root["properties"]["version"]["const"], 1);
    let step = &root["$defs"]["Step"];
    assert_eq!(step["oneOf"].as_array().map(Vec::len), Some(3));
    assert!(
        step["properties"]["action"]["oneOf"].as_array().is_some_and(|a| a.len() == actions::ACTIONS.len())
    );
    let probe = &root["$defs"]["ProbeUse"];
    assert!(probe.get("oneOf").is_none() && probe["properties"]["probe"]["description"].is_string());
    // without any action or probe the names are free
    let bare = json_schema::of(&Known { actions: &[], probes: &[], matched: true });
    assert!(bare["$defs"]["Step"].get("allOf").is_none() && bare["$defs"]["Step"].get("oneOf").is_none());
}
