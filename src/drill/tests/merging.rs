//! Parameters and environments.

use super::*;

#[test]
fn parameters_are_typed_put_in_and_escaped() {
    let params = r#"params:
  port: { type: integer, default: 8080 }
  host: { default: "127.0.0.1" }
  every: { type: duration, default: 2s }
  token: { secret: true }
  odd: { default: "${x}" }
targets:
"#;
    let text = edited(&[
        ("targets:\n", params),
        (
            r#"{ url: "http://127.0.0.1:8080/" }"#,
            r#"{ url: "http://${params.host}:${params.port}/${params.odd}/$${y}", headers: { authorization: "${params.token}" } }"#,
        ),
        ("    probe: http\n", "    probe: http\n    every: ${params.every}\n"),
        ("title: A sample", "title: On ${params.port}, $${literally}"),
    ]);
    let set = |pairs: &[(&str, &str)]| LoadOptions {
        env: None,
        set: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    };
    let done = load("drill.yaml", &text, &set(&[("token", "s3cret"), ("port", "99")])).unwrap();
    let with = &done.drill.steady_state[0].with;
    assert_eq!(with["url"], "http://127.0.0.1:99/$${x}/$${y}");
    assert_eq!(
        refs::resolve(with["url"].as_str().unwrap(), &|_| None).unwrap(),
        "http://127.0.0.1:99/${x}/${y}"
    );
    assert_eq!(with["headers"]["authorization"], "${params.token}");
    assert_eq!(done.drill.title, "On 99, ${literally}");
    assert_eq!(done.drill.steady_state[0].every.to_string(), "2s");
    assert_eq!(done.secrets["token"], "s3cret");
    assert!(!done.params.contains_key("token"));
    assert!(!format!("{done:?}").contains("s3cret"), "a secret never shows itself");

    let found = problems_with(&text, &set(&[("prot", "1"), ("port", "x"), ("every", "soon")]));
    for want in [
        "error: the parameter `token` needs a value\n  --> drill.yaml:15:3\n   |\n15 |   token: { secret: true }\n   |   ^^^^^ --set-env token=VARIABLE",
        "error: --set port=x: expected a whole number\n",
        "error: --set every=soon: expected a duration such as 30s, at most 35 days\n",
        "error: --set prot=…: the drill has no parameter `prot`\n  = did you mean `port`?",
        "4 problems in drill.yaml; nothing was run.",
    ] {
        assert!(found.contains(want), "{want}\n---\n{found}");
    }
    assert!(check("drill.yaml", &text, &LoadOptions::default()).is_ok(), "a check needs no values");

    brief(
        &[("targets:\n", "params: { a: { type: integer, default: x } }\ntargets:\n")],
        "the default of `a`: expected a whole number, found text",
        None,
    );
    brief(
        &[("targets:\n", "params: { a: { secret: true, default: x } }\ntargets:\n")],
        "a secret has no default: it would be on disk",
        Some("give it with `--set-env`"),
    );
    let secret = "params: { a: { secret: true } }\ntargets:\n";
    let found = problems_with(
        &edited(&[("targets:\n", secret), ("service: shop\nobj", "service: \"${params.a}\"\nobj")]),
        &set(&[("a", "x")]),
    );
    assert!(found.contains("error: the secret `a` can only be used under `with`"), "{found}");
    let found = problems_with(
        &edited(&[("targets:\n", secret), ("fault:\n", "fault:\n  - manual: Type ${params.a}\n")]),
        &set(&[("a", "x")]),
    );
    assert!(found.contains("error: the secret `a` would be shown to everyone"), "{found}");
}

#[test]
fn a_password_in_a_url_is_a_secret_or_no_drill_is_made() {
    let url = |url: &str, params: &str| {
        edited(&[
            ("http://127.0.0.1:8080/", url),
            ("targets:\n", &format!("params: {{ pw: {{ {params} }} }}\ntargets:\n")),
        ])
    };
    let refused = "`url` holds a user name or password, which would be on disk; let a secret parameter hold \
                   the password: `https://user:${params.password}@…`";
    for text in [
        url("http://shop:hunter2@127.0.0.1/", "default: x"),
        // what is no secret is put in, and stands in the plan
        url("http://shop:${params.pw}@127.0.0.1/", "default: hunter2"),
    ] {
        let found = check("drill.yaml", &text, &LoadOptions::default()).expect_err("is refused");
        assert_eq!(found.problems.len(), 1, "{found}");
        assert_eq!(found.problems[0].message, refused);
    }
    let text = url("http://shop:${params.pw}@127.0.0.1/", "secret: true");
    let given = LoadOptions { env: None, set: vec![("pw".to_owned(), "hunter2".to_owned())] };
    let loaded = load("drill.yaml", &text, &given).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(loaded.drill.steady_state[0].with["url"], "http://shop:${params.pw}@127.0.0.1/");
    // nor one that no step uses: what was set stands in the plan
    let text = url("http://127.0.0.1/", "type: string");
    let given = LoadOptions { env: None, set: vec![("pw".to_owned(), "redis://:hunter2@cache".to_owned())] };
    let found = load("drill.yaml", &text, &given).expect_err("is refused").to_string();
    assert!(found.contains("--set pw=…: its URL has a user name or password"), "{found}");
    assert!(found.contains("`secret: true`") && !found.contains("hunter2"), "{found}");
}

#[test]
fn a_credential_in_a_header_is_a_secret_or_no_drill_is_made() {
    let header = |name: &str, value: &str| {
        let text = edited(&[("targets:\n", "params: { pw: { secret: true } }\ntargets:\n")]);
        text.replace(
            "http://127.0.0.1:8080/\"",
            &format!("http://127.0.0.1:8080/\", headers: {{ {name}: \"{value}\" }}"),
        )
    };
    for name in ["authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "x-auth-token"] {
        let found = check("drill.yaml", &header(name, "Bearer hunter2"), &LoadOptions::default());
        let told =
            found.expect_err("is refused").problems.iter().map(|p| p.message.clone()).collect::<Vec<_>>();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("the header `{name}` holds a credential")), "{told:?}");
        assert!(
            check("drill.yaml", &header(name, "Bearer ${params.pw}"), &LoadOptions::default()).is_ok(),
            "{name}"
        );
    }
    assert!(check("drill.yaml", &header("x-shop", "orders"), &LoadOptions::default()).is_ok());
}

#[test]
fn environments_merge_deep_and_limits_only_get_stricter() {
    let environments = r#"environments:
  production:
    title: For real
    objectives: { detect: 1m }
    limits:
      accounts: ["123456789012", "999999999999"]
      max_targets: 9
      max_percent: 10
      max_affected: 20
      require_tags: { env: [prod-*, shared] }
      forbid_tags: { redrill: no }
      windows: ["Mon 10:00-12:00 UTC"]
      freeze: ["2027-01-01 UTC"]
      approvals: 2
      kinds: { ec2.instance: { max_targets: 4, max_percent: 30 }, rds.instance: { max_targets: 1 } }
      gates: [{ probe: tcp, with: { host: budget.example.com, port: 443 } }]
    targets: { web: { tags: { env: production } } }
targets:
"#;
    let text = edited(&[
        ("targets:\n", environments),
        (
            "  max_targets: 5\n",
            "  max_targets: 5\n  max_affected: 7\n  require_tags: { env: [prod-1, test] }\n  forbid_tags: { redrill: never }\n  windows: [\"daily 09:00-11:00 UTC\"]\n  freeze: [\"2026-12-25 UTC\"]\n  approvals: 1\n  kinds: { ec2.instance: { max_targets: 3 } }\n",
        ),
    ]);
    let production = LoadOptions { env: Some("production".to_owned()), set: vec![] };
    let drill = load("drill.yaml", &text, &production).unwrap_or_else(|p| panic!("{p}")).drill;
    assert_eq!((drill.title.as_str(), drill.objectives.rto.to_string().as_str()), ("For real", "15m"));
    assert_eq!(drill.objectives.detect.unwrap().to_string(), "1m");
    assert_eq!(drill.limits.accounts, ["123456789012"], "no account is added");
    assert_eq!((drill.limits.max_targets, drill.limits.max_percent), (Some(5), Some(10)), "no number grows");
    assert_eq!(drill.limits.max_affected, Some(7));
    let kinds: Vec<_> = drill.limits.kinds.values().map(|k| (k.max_targets, k.max_percent)).collect();
    assert_eq!(kinds, [(Some(3), Some(30)), (Some(1), None)]);
    assert_eq!(drill.limits.freeze, ["2026-12-25 UTC", "2027-01-01 UTC"], "both hold");
    assert_eq!((drill.limits.approvals, drill.limits.gates.len()), (Some(2), 1));
    assert_eq!(drill.limits.require_tags["env"].values(), ["prod-1"], "both must hold");
    assert_eq!(drill.limits.forbid_tags["redrill"].values(), ["never", "no"], "either is enough");
    assert_eq!(drill.limits.windows, ["daily 09:00-11:00 UTC and Mon 10:00-12:00 UTC"]);
    assert_eq!(drill.targets["web"].tags.len(), 2);
    assert!(drill.environments.is_empty());
    assert_eq!(loaded(&text).drill.title, "A sample");

    let found = problems_with(&text, &LoadOptions { env: Some("prodution".to_owned()), set: vec![] });
    assert_eq!(
        found,
        "error: --env prodution: no such environment\n  = did you mean `production`?\n\n1 problem in drill.yaml; nothing was run."
    );
    // an environment is checked even where it is not chosen, and its problems stand where it stands
    says(
        &[("targets:\n", "environments:\n  staging:\n    titel: x\ntargets:\n")],
        r"
error: unknown key `titel`
  --> drill.yaml:13:5
   |
13 |     titel: x
   |     ^^^^^ did you mean `title`?
",
    );
    brief(
        &[(
            "targets:\n",
            "environments: { other: { limits: { accounts: [\"999999999999\"] } } }\ntargets:\n",
        )],
        "none of the drill's `accounts` is left: limits can only get stricter",
        Some("the drill allows 123456789012"),
    );
    brief(
        &[("targets:\n", "environments: { other: { name: x } }\ntargets:\n")],
        "an environment cannot change `name`",
        None,
    );
}

/// The sample with every limit set, and one environment.
fn guarded(limits: &str, environment: &str) -> String {
    edited(&[
        ("  max_targets: 5\n", &format!("  max_targets: 5\n  {}\n", limits.trim().replace('\n', "\n  "))),
        ("targets:\n", &format!("environments: {{ other: {environment} }}\ntargets:\n")),
    ])
}

const EVERY_LIMIT: &str = r#"
environment: staging
max_percent: 20
kinds: { ec2.instance: { max_targets: 0, max_percent: 10 } }
max_affected: 7
allow_reach: [nat-gateway]
roles: [web]
require_tags: { env: staging }
forbid_tags: { redrill: never }
windows: ["daily 09:00-11:00 UTC"]
freeze: ["2026-12-25 UTC"]
gates: [{ probe: tcp, with: { host: budget.example.com, port: 443 } }]
approvals: 2
"#;

#[test]
fn no_limit_is_taken_away() {
    let schema = serde_json::to_value(json_schema::plain()).unwrap();
    let all = schema["$defs"]["Limits"]["properties"].as_object().expect("limits");
    let limits = all.keys().map(|k| (k.as_str(), format!("{{ limits: {{ {k}: null }} }}")));
    let deeper = [
        ("limits", "{ limits: null }"),
        ("ec2.instance", "{ limits: { kinds: { ec2.instance: null } } }"),
        ("max_targets", "{ limits: { kinds: { ec2.instance: { max_targets: null } } } }"),
        ("max_percent", "{ limits: { kinds: { ec2.instance: { max_percent: null } } } }"),
        ("env", "{ limits: { require_tags: { env: null } } }"),
        ("redrill", "{ limits: { forbid_tags: { redrill: null } } }"),
    ];
    let mut seen = 0;
    for (key, environment) in limits.chain(deeper.map(|(k, e)| (k, e.to_owned()))) {
        let text = guarded(EVERY_LIMIT, &environment);
        for env in [None, Some("other".to_owned())] {
            let found = load("drill.yaml", &text, &LoadOptions { env, set: vec![] }).expect_err(&environment);
            let [one] = &found.problems[..] else { panic!("{environment}: {found}") };
            let want = format!("`{key}` cannot be taken away: limits can only get stricter");
            assert_eq!((&one.message, one.line), (&want, Some(23)), "{environment}");
            assert_eq!(one.hint.as_deref(), Some("leave it out, and what the drill says holds"));
        }
        seen += 1;
    }
    assert_eq!(seen, 15 + 6, "a new limit is not in the sample");
    // what was not limited is not taken away
    loaded(&guarded("max_percent: 20", "{ limits: { approvals: null } }"));
}

#[test]
fn a_limit_is_as_strict_as_the_value_of_its_parameter() {
    let percent = |drill: &str, environment: &str, set: &str| {
        let text = edited(&[
            ("  max_targets: 5\n", &format!("  max_targets: 5\n  max_percent: {drill}\n")),
            (
                "targets:\n",
                &format!(
                    "params: {{ p: {{ type: integer, default: 20 }} }}\n\
                     environments: {{ other: {{ limits: {{ max_percent: {environment} }} }} }}\ntargets:\n"
                ),
            ),
        ]);
        let set = vec![("p".to_owned(), set.to_owned())];
        let options = LoadOptions { env: Some("other".to_owned()), set };
        load("drill.yaml", &text, &options).unwrap_or_else(|p| panic!("{p}")).drill.limits.max_percent
    };
    let param = "\"${params.p}\"";
    assert_eq!(percent(param, "100", "20"), Some(20));
    assert_eq!(percent(param, "10", "20"), Some(10));
    assert_eq!(percent("20", param, "100"), Some(20));
    assert_eq!(percent("20", param, "10"), Some(10));
}

#[test]
fn a_limit_of_the_wrong_shape_is_not_replaced_by_a_right_one() {
    for (wrong, environment) in [
        ("max_percent: \"20\"", "{ limits: { max_percent: 100 } }"),
        ("max_affected: -1", "{ limits: { max_affected: 100 } }"),
        ("windows: [5]", "{ limits: { windows: [\"daily 00:00-24:00 UTC\"] } }"),
        ("kinds: 5", "{ limits: { kinds: { ec2.instance: { max_targets: 100 } } } }"),
        ("forbid_tags: { v: [[a]] }", "{ limits: { forbid_tags: { v: b } } }"),
    ] {
        let options = LoadOptions { env: Some("other".to_owned()), set: vec![] };
        let found = load("drill.yaml", &guarded(wrong, environment), &options).expect_err(wrong);
        assert_eq!(found.problems.len(), 1, "{found}");
        assert_eq!(found.problems[0].line, Some(10), "{found}");
    }
}

#[test]
fn an_environment_allows_nothing_irreversible_by_itself() {
    let text = |drill: &str, environment: &str| {
        edited(&[
            ("allow_irreversible: true\n", drill),
            ("ec2.terminate-instances", "ec2.stop-instances"),
            (
                "targets:\n",
                &format!("environments: {{ other: {{ allow_irreversible: {environment} }} }}\ntargets:\n"),
            ),
        ])
    };
    let other = LoadOptions { env: Some("other".to_owned()), set: vec![] };
    for drill in ["", "allow_irreversible: false\n"] {
        let found = load("drill.yaml", &text(drill, "true"), &other).expect_err("is refused");
        assert_eq!(found.problems[0].message, "an environment cannot allow what the drill does not");
        assert_eq!(found.problems.len(), 1, "{found}");
        load("drill.yaml", &text(drill, "false"), &other).unwrap_or_else(|p| panic!("{p}"));
    }
    let allowed = "allow_irreversible: true\n";
    for (environment, want) in [("true", true), ("false", false)] {
        let loaded = load("drill.yaml", &text(allowed, environment), &other);
        assert_eq!(loaded.unwrap_or_else(|p| panic!("{p}")).drill.allow_irreversible, want);
    }
}

#[test]
fn an_environment_allows_no_reach_by_itself() {
    let said = merged("", "{ allow_reach: [nat-gateway] }").expect_err("is refused");
    assert_eq!(said, ["an environment cannot allow what the drill does not"]);
    assert_eq!(merged("", "{ allow_reach: [] }").expect("allows nothing").get("allow_reach"), None);
}

/// What a limit is once the environment is merged, or what is wrong.
fn merged(drill: &str, environment: &str) -> Result<Value, Vec<String>> {
    let text = guarded(drill, &format!("{{ limits: {environment} }}"));
    let options = LoadOptions { env: Some("other".to_owned()), set: vec![] };
    match load("drill.yaml", &text, &options) {
        Ok(loaded) => Ok(serde_json::to_value(loaded.drill.limits).unwrap()),
        Err(found) => Err(found.problems.into_iter().map(|p| p.message).collect()),
    }
}

#[test]
fn of_two_limits_the_stricter_holds() {
    for (key, drill, environment, holds) in [
        ("max_percent", "20", "10", serde_json::json!(10)),
        ("max_percent", "20", "30", 20.into()),
        ("approvals", "1", "2", 2.into()),
        ("approvals", "2", "1", 2.into()),
        ("max_affected", "0", "9", 0.into()),
        ("allow_reach", "[nat-gateway, router]", "[router, transit-gateway]", serde_json::json!(["router"])),
        ("roles", "[web, teams/db]", "[teams/db, admin]", serde_json::json!(["teams/db"])),
        ("environment", "staging", "staging", "staging".into()),
        ("windows", "[]", "[\"Mon 10:00-11:00 UTC\"]", serde_json::json!(["Mon 10:00-11:00 UTC"])),
        ("windows", "[\"Mon 10:00-11:00 UTC\"]", "[]", serde_json::json!(["Mon 10:00-11:00 UTC"])),
        (
            "windows",
            "[\"Mon 10:00-11:00 UTC\", \"Tue 10:00-11:00 UTC\"]",
            "[\"daily 10:30-12:00 UTC\"]",
            serde_json::json!([
                "Mon 10:00-11:00 UTC and daily 10:30-12:00 UTC",
                "Tue 10:00-11:00 UTC and daily 10:30-12:00 UTC"
            ]),
        ),
        ("freeze", "[]", "[\"2026-12-25 UTC\"]", serde_json::json!(["2026-12-25 UTC"])),
        (
            "require_tags",
            "{ a: [x, y-1] }",
            "{ a: [y-*, z], b: c }",
            serde_json::json!({"a": "y-1", "b": "c"}),
        ),
        ("require_tags", "{ a: y-* }", "{ a: [y-1, z] }", serde_json::json!({"a": "y-1"})),
        ("require_tags", "{ a: y-* }", "{ a: y-* }", serde_json::json!({"a": "y-*"})),
        (
            "forbid_tags",
            "{ a: [x, y] }",
            "{ a: [y, z], b: c }",
            serde_json::json!({"a": ["x", "y", "z"], "b": "c"}),
        ),
        ("forbid_tags", "{}", "{ a: x }", serde_json::json!({"a": "x"})),
        (
            "kinds",
            "{ ec2.instance: { max_targets: 3 } }",
            "{ ec2.instance: { max_targets: 9, max_percent: 5 }, rds.instance: { max_targets: 1 } }",
            serde_json::json!({"ec2.instance": {"max_targets": 3, "max_percent": 5}, "rds.instance": {"max_targets": 1}}),
        ),
    ] {
        let found = merged(&format!("{key}: {drill}"), &format!("{{ {key}: {environment} }}"));
        assert_eq!(found.map(|limits| limits[key].clone()), Ok(holds), "{key}: {drill} {environment}");
    }
    for (key, drill, environment, wrong) in [
        (
            "environment",
            "staging",
            "production",
            "the drill is for `staging`: an environment cannot make it one for `production`",
        ),
        (
            "require_tags",
            "{ a: x }",
            "{ a: y }",
            "no value of `a` satisfies both the drill and its environment",
        ),
        // two patterns may have nothing in common
        (
            "require_tags",
            "{ a: x-* }",
            "{ a: \"*-y\" }",
            "no value of `a` satisfies both the drill and its environment",
        ),
        ("approvals", "1", "-1", "`approvals` must be at least 0, not -1"),
        ("max_percent", "10", "-1", "`max_percent` must be from 1 to 100, not -1"),
        ("windows", "[\"Mon 10:00-11:00 UTC\"]", "[5]", "`windows`: expected text, found the number 5"),
    ] {
        let found = merged(&format!("{key}: {drill}"), &format!("{{ {key}: {environment} }}"));
        assert_eq!(found, Err(vec![wrong.to_owned()]), "{key}: {drill} {environment}");
    }
    let regions = merged("max_percent: 20", "{ regions: [us-east-1, eu-west-1] }").unwrap();
    assert_eq!(regions["regions"], serde_json::json!(["us-east-1"]));
    let none = merged("max_percent: 20", "{ regions: [eu-west-1] }");
    assert_eq!(
        none,
        Err(vec!["none of the drill's `regions` is left: limits can only get stricter".to_owned()])
    );
}

#[test]
fn a_patch_changes_what_it_names_and_nothing_beside_it() {
    let with = |environment: &str| {
        let text =
            edited(&[("targets:\n", &format!("environments: {{ other: {environment} }}\ntargets:\n"))]);
        let options = LoadOptions { env: Some("other".to_owned()), set: vec![] };
        load("drill.yaml", &text, &options)
            .map(|loaded| loaded.drill)
            .map_err(|found| found.problems.into_iter().map(|p| p.message).collect::<Vec<_>>())
    };
    let drill =
        with("{ targets: { web: { tags: { env: test } }, db: { tags: {}, where: { engine: postgres } } } }");
    let drill = drill.unwrap();
    assert_eq!(drill.targets["web"].tags.keys().collect::<Vec<_>>(), ["env", "service"]);
    assert_eq!((drill.targets["db"].tags.len(), drill.targets["db"].attrs.len()), (1, 1));
    assert_eq!(drill.targets["net"].tags.len(), 1);
    // a list is replaced as a whole
    let drill = with("{ verify: [{ probe: tcp, with: { host: h, port: 1 } }] }").unwrap();
    assert_eq!(drill.verify.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["tcp"]);
    for key in ["version: 2", "name: x", "environments: {}"] {
        let name = key.split(':').next().unwrap();
        assert_eq!(
            with(&format!("{{ {key} }}")).unwrap_err(),
            [format!("an environment cannot change `{name}`")]
        );
    }
    assert_eq!(with("{ impact_timeout: 1m }").unwrap().impact_timeout.to_string(), "1m");
    // tags of a patch are what was written, too
    let drill =
        with("{ targets: { web: { tags: { version: 1.10 } } }, limits: { require_tags: { v: 2.0 } } }")
            .unwrap();
    assert_eq!(drill.targets["web"].tags["version"].values(), ["1.10"]);
    assert_eq!(drill.limits.require_tags["v"].values(), ["2.0"]);
    // a problem that stands in the drill is said once, though every environment has it
    brief(
        &[
            ("targets:\n", "environments: { a: { title: t }, b: { title: u } }\ntargets:\n"),
            ("max_targets: 5", "max_targets: 0"),
        ],
        "`max_targets` must be at least 1",
        None,
    );
    let none = problems_with(BASE, &LoadOptions { env: Some("x".to_owned()), set: vec![] });
    assert!(
        none.starts_with("error: --env x: no such environment\n  = the drill has no `environments`\n"),
        "{none}"
    );
    let most = |n: usize| {
        let environments: String = (0..n).map(|n| format!("  e{n}: {{ title: t }}\n")).collect();
        problems(&edited(&[("targets:\n", &format!("environments:\n{environments}targets:\n"))]))
    };
    assert_eq!(most(32), "no problem");
    assert!(most(33).contains("a drill has at most 32 environments"));
}

/// The messages about the sample with these parameters and this title, where these values are given.
fn params(specs: &str, title: &str, set: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    let text = edited(&[
        ("targets:\n", &format!("params: {{ {specs} }}\ntargets:\n")),
        ("title: A sample", &format!("title: \"{title}\"")),
    ]);
    let set = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let loaded = load("drill.yaml", &text, &LoadOptions { env: None, set });
    loaded.map_err(|found| found.problems.into_iter().map(|p| p.message).collect())
}

#[test]
fn a_parameter_takes_values_of_its_type_alone() {
    for (kind, default, expected) in [
        ("string", "a", None),
        ("string", "1", Some("text, found the number 1")),
        ("integer", "1", None),
        ("integer", "1.5", Some("a whole number, found the number 1.5")),
        ("integer", "\"1\"", Some("a whole number, found text")),
        ("boolean", "true", None),
        ("boolean", "1", Some("true or false, found the number 1")),
        ("duration", "30s", None),
        ("duration", "soon", Some("a duration such as 30s, at most 35 days, found text")),
        ("duration", "36d", Some("a duration such as 30s, at most 35 days, found text")),
    ] {
        let found = params(&format!("a: {{ type: {kind}, default: {default} }}"), "t", &[]);
        let wrong = expected.map(|e| vec![format!("the default of `a`: expected {e}")]);
        assert_eq!(found.err(), wrong, "{kind} {default}");
    }
    for (kind, given, value) in [
        ("string", "1", Ok(serde_json::json!("1"))),
        ("integer", "-1", Ok((-1).into())),
        ("integer", "1.5", Err("a whole number")),
        ("boolean", "false", Ok(false.into())),
        ("boolean", "no", Err("true or false")),
        ("duration", "30s", Ok("30s".into())),
        ("duration", "soon", Err("a duration such as 30s, at most 35 days")),
    ] {
        let found = params(&format!("a: {{ type: {kind} }}"), "t", &[("a", "x"), ("a", given)]);
        let value = value.map_err(|e| vec![format!("--set a={given}: expected {e}")]);
        assert_eq!(found.map(|l| l.params["a"].clone()), value, "{kind} {given}: the last one counts");
    }
    // what it stands for alone, it stands for as it is
    let text = edited(&[
        (
            "targets:\n",
            "params: { n: { type: integer, default: 3 }, b: { type: boolean, default: true } }\ntargets:\n",
        ),
        ("max_targets: 5", "max_targets: \"${params.n}\""),
        ("allow_irreversible: true", "allow_irreversible: \"${params.b}\""),
        ("title: A sample", "title: \"${params.n}${params.b}\""),
    ]);
    let drill = loaded(&text).drill;
    assert_eq!((drill.limits.max_targets, drill.title.as_str()), (Some(3), "3true"));
    // a secret is text
    assert_eq!(
        params("a: { type: integer, secret: true }", "t", &[("a", "1")]).err().unwrap(),
        ["the secret `a` can only be a string"]
    );
    assert!(params("a: { type: string, secret: true }", "t", &[("a", "1")]).is_ok());
    assert!(params("a: { secret: false, default: x }", "t", &[]).is_ok());
    for (name, fits) in
        [("a_b-1", true), ("_a", true), ("1a", false), ("-a", false), ("a.b", false), ("é", false)]
    {
        let found = params(&format!("\"{name}\": {{ default: x }}"), "t", &[]);
        let wrong = (!fits).then(|| vec![format!("`{name}` is no name for a parameter")]);
        assert_eq!(found.err(), wrong, "{name}");
    }
}

#[test]
fn a_secrets_default_is_not_even_shown() {
    let text = edited(&[(
        "targets:\n",
        "params: { a: { secret: true, default: hunter2 }, b: { secret: true, default: hunter3 } }\ntargets:\n",
    )]);
    let found = problems_with(&text, &LoadOptions::default());
    assert!(!found.contains("hunter") && found.contains("default: *******"), "{found}");
    // nor is it where an environment has it
    let text = edited(&[(
        "targets:\n",
        "environments: { e: { params: { a: { secret: true, default: hunter2 } } } }\ntargets:\n",
    )]);
    let found = problems_with(&text, &LoadOptions::default());
    assert!(!found.contains("hunter2") && found.contains("default: *******"), "{found}");
}

#[test]
fn references_outside_of_with_are_to_parameters_that_are_no_secret() {
    let plain = |title: &str| params("a: { default: x }, s: { secret: true }", title, &[("s", "1")]);
    let title = |title: &str| plain(title).map(|l| l.drill.title);
    assert_eq!(title("${params.a} $${params.a} $"), Ok("x ${params.a} $".to_owned()));
    for (text, wrong) in [
        ("${params.s}", "the secret `s` can only be used under `with`"),
        ("${params.b}", "no parameter `b`"),
        ("${run.id}", "`run.id` can only be used under `with` and `manual`"),
        ("${steps.restore.endpoint}", "`steps.restore.endpoint` can only be used under `with` and `manual`"),
        ("${step.a}", "`${step.a}` refers to nothing"),
        ("${params.a", "`${` without its `}`"),
    ] {
        assert_eq!(title(text), Err(vec![wrong.to_owned()]), "{text}");
    }
    for (text, hint) in [
        ("${step.a.b}", "did you mean `steps.a.b`?"),
        ("${run.i}", "references are `params.NAME`, `steps.ID.OUTPUT` and `run.id`"),
        ("${colour}", "references are `params.NAME`, `steps.ID.OUTPUT` and `run.id`"),
    ] {
        brief(
            &[("title: A sample", &format!("title: \"{text}\""))],
            &format!("`{text}` refers to nothing"),
            Some(hint),
        );
    }
    brief(
        &[("tags: { service: shop }", "tags: { \"${run.id}\": shop }")],
        "a key cannot hold a reference",
        None,
    );
    // a person reads `manual`, and a step's `with` is resolved once more
    let text = edited(&[
        ("targets:\n", "params: { a: { default: \"${b}\" }, s: { secret: true } }\ntargets:\n"),
        ("recovery:\n", "recovery:\n  - manual: \"See ${params.a} $${x} ${run.id}\"\n"),
    ]);
    let given = LoadOptions { env: None, set: vec![("s".to_owned(), "1".to_owned())] };
    let drill = load("drill.yaml", &text, &given).unwrap_or_else(|p| panic!("{p}")).drill;
    assert_eq!(drill.recovery[0].manual.as_deref(), Some("See $${b} $${x} ${run.id}"));
}

#[test]
fn a_reference_is_marked_where_it_stands() {
    for (title, marked) in [
        ("title: \"é ${params.x} ${params.y}\"", [(3, 11, 11), (3, 23, 11)]),
        ("title: >-\n  a ${params.x}\n  é ${params.y}", [(4, 5, 11), (5, 5, 11)]),
    ] {
        let text = edited(&[("title: A sample", title)]);
        let found = load("drill.yaml", &text, &LoadOptions::default()).unwrap_err();
        let places: Vec<_> = found.problems.iter().map(|p| (p.line.unwrap(), p.column.unwrap())).collect();
        assert_eq!(places, marked.map(|(line, column, _)| (line, column)), "{found}");
        let carets = marked.map(|(_, _, width)| "^".repeat(width));
        let shown = found.to_string();
        assert!(carets.iter().all(|c| shown.lines().any(|l| l.ends_with(&format!(" {c}")))), "{shown}");
    }
    says(
        &[("title: A sample", "title: \"a ${params.x\"")],
        r#"
error: `${` without its `}`
 --> drill.yaml:3:11
  |
3 | title: "a ${params.x"
  |           ^^^^^^^^^^ `$${` is a literal `${`
"#,
    );
}
