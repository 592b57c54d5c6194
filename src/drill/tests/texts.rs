//! What becomes of a text: as it was written, with what was put in, and where what is wrong with it stands.

use super::*;

#[test]
fn a_text_is_told_by_how_it_was_written() {
    let max = |written: &str| [("max_targets: 5", format!("max_targets: {written}"))];
    for (written, hint) in [("five", None), ("\"five\"", Some("leave the quotes out"))] {
        let edits = max(written);
        let edits = edits.each_ref().map(|(from, to)| (*from, to.as_str()));
        brief(&edits, "`max_targets`: expected a whole number, found text", hint);
    }
}

#[test]
fn a_value_that_looks_like_a_reference_is_put_in_as_it_was_given() {
    let text = edited(&[
        ("title: A sample", "title: \"For ${params.what}, $${params.what}\""),
        ("targets:\n", "params: { what: {} }\ntargets:\n"),
        ("127.0.0.1:8080/\"", "127.0.0.1:8080/${params.what}\""),
    ]);
    let set = vec![("what".to_owned(), "${b} and $${c}".to_owned())];
    let drill =
        load("drill.yaml", &text, &LoadOptions { env: None, set }).unwrap_or_else(|p| panic!("{p}")).drill;
    assert_eq!(drill.title, "For ${b} and $${c}, ${params.what}");
    // what stands under `with` is resolved once more in the run, and comes out as it was given
    let url = drill.steady_state[0].with["url"].as_str().unwrap();
    let given = refs::resolve(url, &|_| None);
    assert_eq!(given.as_deref(), Ok("http://127.0.0.1:8080/${b} and $${c}"));
}

#[test]
fn what_stands_under_with_may_refer_to_steps_and_secrets_and_nothing_beside_it() {
    let given = |edits: &[(&str, &str)]| {
        let secret = ("targets:\n", "params: { path: { secret: true } }\ntargets:\n");
        let edits: Vec<_> = [secret].into_iter().chain(edits.iter().copied()).collect();
        let set = vec![("path".to_owned(), "p".to_owned())];
        load("drill.yaml", &edited(&edits), &LoadOptions { env: None, set })
    };
    let with = "{ url: \"http://127.0.0.1:8080/${params.path}\", headers: { x-run: \"${run.id}\" } }";
    let loaded = given(&[("{ url: \"http://127.0.0.1:8080/\" }", with)]).unwrap_or_else(|p| panic!("{p}"));
    let with = &loaded.drill.steady_state[0].with;
    assert_eq!(with["url"], "http://127.0.0.1:8080/${params.path}");
    assert_eq!(with["headers"]["x-run"], "${run.id}");
    assert_eq!(loaded.drill.verify[0].with["identifier"], "${steps.restore.identifier}");
    for (text, wrong) in [
        ("${params.path}", "the secret `path` can only be used under `with`"),
        ("${run.id}", "`run.id` can only be used under `with` and `manual`"),
        ("${steps.restore.endpoint}", "`steps.restore.endpoint` can only be used under `with` and `manual`"),
    ] {
        for (from, to) in [
            ("tags: { service: shop }", "tags: { service: \"%\" }"),
            ("  - name: shop\n", "  - name: \"%\"\n"),
        ] {
            let found = given(&[(from, &to.replace('%', text))]).unwrap_err().problems;
            let said: Vec<_> = found.iter().map(|p| p.message.as_str()).collect();
            assert_eq!(said, [wrong], "{to} {text}");
        }
    }
}

/// Line and column of every problem, and how wide it is marked.
fn marked(edits: &[(&str, &str)]) -> Vec<(usize, usize, usize)> {
    let found = load("drill.yaml", &edited(edits), &LoadOptions::default()).unwrap_err();
    let shown = found.to_string();
    let carets = shown.lines().filter(|l| l.contains('^')).map(|l| l.matches('^').count());
    found.problems.iter().zip(carets).map(|(p, n)| (p.line.unwrap(), p.column.unwrap(), n)).collect()
}

#[test]
fn each_of_several_references_is_marked_where_it_stands() {
    // at the very start of a text, in its own width
    assert_eq!(marked(&[("title: A sample", "title: ${params.x} and more")]), [(3, 8, 11)]);
    // further left in a later line than where the text begins
    assert_eq!(marked(&[("title: A sample", "title: \"a\n ${params.x}\"")]), [(4, 2, 11)]);
    // two texts of one line that say the same
    let two = "tags: { service: \"${params.x}\", role: \"${params.x}\" }";
    assert_eq!(marked(&[("tags: { service: shop }", two)]), [(14, 23, 11), (14, 44, 11)]);
}

#[test]
fn what_cannot_be_read_as_yaml_is_marked_with_one_caret() {
    let found = marked(&[("title: A sample", "title: \"A sample")]);
    assert!(matches!(found[..], [(_, _, 1)]), "{found:?}");
}

#[test]
fn what_is_frozen_of_a_drill_reads_as_the_same_drill() {
    for (unreadable, written) in
        [("", None), (", unreadable: breach", None), (", unreadable: ignore", Some("ignore"))]
    {
        let stop = format!(
            "stop:\n  - {{ probe: tcp, with: {{ host: h, port: 1 }}, for: 1m{unreadable} }}\nverify:\n"
        );
        let drill = loaded(&edited(&[("verify:\n", &stop)])).drill;
        let frozen = serde_json::to_value(&drill).unwrap();
        assert_eq!(frozen["stop"][0].get("unreadable").and_then(Value::as_str), written, "{unreadable}");
        assert_eq!(serde_json::from_value::<Drill>(frozen).unwrap(), drill, "{unreadable}");
    }
}
