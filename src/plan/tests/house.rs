//! The rules of `redrill.toml`, held against plans of the simulated shop.

use super::*;

fn house(toml: &str) -> House {
    let house: House = toml::from_str(toml).unwrap_or_else(|e| panic!("{e}\n{toml}"));
    assert_eq!(house.problems(&crate::drill::Known::shipped()), [""; 0]);
    house
}

async fn refusals(drill: &str, env: Option<&str>, toml: &str) -> Vec<String> {
    let (sim, clock) = shop();
    let load = LoadOptions { env: env.map(str::to_owned), set: vec![] };
    let loaded = drill::load("drill.yaml", drill, &load).unwrap_or_else(|p| panic!("{p}"));
    let options = BuildOptions { house: house(toml), ..options() };
    let plan = build(&loaded, &sim.cloud().reads, &*clock, &options).await.unwrap();
    assert_eq!(plan.house, options.house, "the plan says under which rules it was made");
    plan.refusals().map(|f| format!("{}: {}", f.subject, f.text)).collect()
}

#[tokio::test(start_paused = true)]
async fn each_rule_of_the_house_refuses_what_the_drill_allows() {
    for (toml, want) in [
        ("", ""),
        ("[limits]\naccounts = [\"123456789012\"]\nregions = [\"us-east-1\"]\nmax_targets = 2", ""),
        (
            "[limits]\naccounts = [\"999999999999\"]",
            "redrill.toml: limits.accounts: this is account 123456789012; the drill may run in 999999999999",
        ),
        (
            "[limits]\nregions = [\"eu-west-1\"]",
            "redrill.toml: limits.regions: this is us-east-1; the drill may run in eu-west-1",
        ),
        (
            "[limits]\nmax_targets = 1",
            "redrill.toml: limits.max_targets: 2 of the 4 that exist are drawn, 1 are allowed",
        ),
        (
            "[limits]\nmax_percent = 49",
            "redrill.toml: limits.max_percent: `web` draws 2 of the 4 ec2.instance that exist, more than 49 %",
        ),
        (
            "[limits.kinds.\"ec2.instance\"]\nmax_targets = 1",
            "redrill.toml: limits.kinds.ec2.instance.max_targets: `web` draws 2 of the 4 ec2.instance that exist, \
             1 are allowed",
        ),
        ("[limits.kinds.\"rds.instance\"]\nmax_targets = 1", ""),
        (
            "[limits.kinds.\"ec2.instance\"]\nmax_percent = 49",
            "redrill.toml: limits.kinds.ec2.instance.max_percent: `web` draws 2 of the 4 ec2.instance that exist, \
             more than 49 %",
        ),
    ] {
        let want: Vec<&str> = Some(want).filter(|w| !w.is_empty()).into_iter().collect();
        assert_eq!(refusals(DRILL, None, toml).await, want, "{toml}");
    }
    let tags = refusals(DRILL, None, "[limits]\nforbid_tags = { role = \"w*\" }").await;
    assert_eq!(tags.len(), 2, "{tags:?}");
    assert!(tags[0].ends_with("role=web, which redrill.toml: limits.forbid_tags forbids"), "{tags:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_no_region_needs_global_in_the_regions_of_the_house() {
    let cdn = edited(&[
        ("[us-east-1]", "[us-east-1, global]"),
        (
            "steady_state:",
            "  cdn: { resource: cloudfront.distribution, tags: { role: storefront } }\nsteady_state:",
        ),
    ]);
    let want = "redrill.toml: limits.regions: `cdn` is cloudfront.distribution, which is global; \
                the drill may run in us-east-1";
    assert_eq!(refusals(&cdn, None, "[limits]\nregions = [\"us-east-1\"]").await, [want]);
    for allowed in ["", "[limits]\nregions = [\"us-east-1\", \"global\"]"] {
        assert_eq!(refusals(&cdn, None, allowed).await, [""; 0], "{allowed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_house_for_one_environment_runs_no_drill_for_another() {
    let only = "[limits]\nenvironment = \"production\"";
    let named = edited(&[("targets:\n", "environments: { production: {}, staging: {} }\ntargets:\n")]);
    let own = |name: &str| edited(&[("max_targets: 3", &format!("max_targets: 3\n  environment: {name}"))]);
    let other =
        "redrill.toml: limits.environment: the drill is for staging; only drills for production may run";
    let none = "redrill.toml: limits.environment: the drill does not say what it is for; \
                only drills for production may run";
    for (drill, env, want) in [
        (own("staging").as_str(), None, other),
        (&own("production"), None, ""),
        (&named, Some("staging"), other),
        (&named, Some("production"), ""),
        (DRILL, None, none),
    ] {
        let want: Vec<&str> = Some(want).filter(|w| !w.is_empty()).into_iter().collect();
        assert_eq!(refusals(drill, env, only).await, want, "{env:?}");
    }
    // the account's own environment counts as well
    let both = format!("{only}\n[environments]\nstaging = [\"123456789012\"]");
    let refused = refusals(&named, Some("production"), &both).await;
    assert_eq!(
        refused,
        ["redrill.toml: environments: the drill is for production, and account 123456789012 is staging"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_house_cannot_loosen_a_drill() {
    let strict = edited(&[("max_targets: 3", "max_targets: 1")]);
    let refused = refusals(&strict, None, "[limits]\nmax_targets = 100").await;
    assert_eq!(refused, ["limits.max_targets: 2 of the 4 that exist are drawn, 1 are allowed"]);
}

#[tokio::test(start_paused = true)]
async fn a_drill_runs_only_in_an_account_of_its_environment() {
    let production = "[environments]\nproduction = [\"123456789012\"]\nstaging = [\"111111111111\"]";
    let elsewhere = "[environments]\nstaging = [\"111111111111\"]";
    let own = edited(&[
        ("max_targets: 3", "max_targets: 3\n  environment: staging"),
        ("targets:\n", "environments: { production: {}, staging: {} }\ntargets:\n"),
    ]);
    let named = edited(&[("targets:\n", "environments: { production: {}, staging: {} }\ntargets:\n")]);
    let is_production =
        "redrill.toml: environments: the drill is for staging, and account 123456789012 is production";
    for (drill, env, toml, want) in [
        (own.as_str(), None, production, is_production),
        (&named, Some("staging"), production, is_production),
        (&named, Some("production"), production, ""),
        // what the drill says of itself counts, whatever is chosen
        (&own, Some("production"), production, is_production),
        (
            DRILL,
            None,
            production,
            "redrill.toml: environments: account 123456789012 is production; the drill does not say what it is for",
        ),
        (DRILL, None, elsewhere, ""),
        (
            &named,
            Some("staging"),
            elsewhere,
            "redrill.toml: environments: the drill is for staging, which is account 111111111111; \
             this is 123456789012",
        ),
        (&named, Some("production"), elsewhere, ""),
    ] {
        let want: Vec<&str> = Some(want).filter(|w| !w.is_empty()).into_iter().collect();
        assert_eq!(refusals(drill, env, toml).await, want, "{env:?} {toml}");
    }
}

#[test]
fn a_rule_that_says_nothing_is_reported() {
    for (toml, want) in [
        ("[limits]\naccounts = [\"12\"]", "limits.accounts: `12` is no account: twelve digits, in quotes"),
        ("[environments]\nx = [\"12\"]", "environments.x: `12` is no account: twelve digits, in quotes"),
        ("[limits]\nregions = [\"here\"]", "limits.regions: `here` is no region, for example us-east-1"),
        ("[limits]\nmax_percent = 0", "limits: max_percent must be from 1 to 100, not 0"),
        (
            "[limits]\nkinds = { \"s3.buckets\" = { max_targets = 0 } }",
            "limits.kinds: no kind of resource `s3.buckets`; did you mean `s3.bucket`?",
        ),
        ("[limits]\nwindows = [\"never\"]", "limits.windows: `never` is not a window"),
        ("[limits]\nfreeze = [\"never\"]", "limits.freeze: `never` is no freeze"),
        ("[environments]\nx = []", "environments.x: it has no account; list its accounts, or leave it out"),
        ("[limits]\nenvironment = \"\"", "limits.environment: it is empty; give it a name, or leave it out"),
        ("[kill_switch]\nfile = \"\"", "kill_switch.file: it is empty; give it a name, or leave it out"),
        (
            "[kill_switch]\nfile = \"/stop\"\nssm = \" \"",
            "kill_switch.ssm: it is empty; give it a name, or leave it out",
        ),
        ("[kill_switch]\ns3 = \"\"", "kill_switch.s3: it is empty; give it a name, or leave it out"),
        ("[kill_switch]\ns3 = \"s3://b/\"", "kill_switch.s3: `s3://b/` is no object; write s3://BUCKET/KEY"),
        ("[[limits.gates]]\nprobe = \"htpp\"", "limits.gates: no probe `htpp`"),
    ] {
        let house: House = toml::from_str(toml).unwrap();
        let problems = house.problems(&crate::drill::Known::shipped());
        assert!(problems.len() == 1 && problems[0].starts_with(want), "{toml}: {problems:?}");
    }
}

#[test]
fn of_two_numbers_of_approvals_the_greater_is_needed() {
    for (own, house, needed) in
        [(None, None, 0), (Some(2), None, 2), (None, Some(1), 1), (Some(1), Some(3), 3)]
    {
        let limits = |approvals| crate::drill::Limits { approvals, ..Default::default() };
        let house = House { limits: limits(house), ..House::default() };
        assert_eq!(house.approvals(&limits(own)), needed);
    }
}

#[test]
fn an_approver_has_a_fingerprint_and_a_gate_fits_its_probe() {
    let problems = |toml: &str| {
        let house: House = toml::from_str(toml).unwrap();
        house.problems(&crate::drill::Known::shipped())
    };
    let approver = |key: &str| problems(&format!("[[approvers]]\nname = \"ann\"\nkey = \"{key}\""));
    assert_eq!(approver("SHA256:abc"), [""; 0]);
    let told = "approvers: `abc` is no fingerprint; `redrill init --key FILE` prints it: SHA256:…";
    assert_eq!(approver("abc"), [told]);
    let gate = |with: &str| problems(&format!("[[limits.gates]]\nprobe = \"http\"\nwith = {{ {with} }}"));
    assert_eq!(gate("url = \"http://127.0.0.1/\", status = 200"), [""; 0]);
    assert_eq!(gate("address = 1").len(), 1);
}

#[test]
fn rules_that_say_nothing_are_left_out_of_a_plan() {
    let house = House::default();
    assert!(house.is_empty() && house.kill_switch.is_empty());
    let value = serde_json::to_value(&house).unwrap();
    assert_eq!(value.as_object().unwrap().keys().collect::<Vec<_>>(), ["limits"]);
    for toml in ["[kill_switch]\nfile = \"/stop\"", "[limits]\nmax_targets = 1"] {
        let house: House = toml::from_str(toml).unwrap();
        assert!(!house.is_empty());
        assert_eq!(house.kill_switch.is_empty(), !toml.contains("file"));
    }
}

#[test]
fn a_kill_switch_takes_the_permissions_that_it_needs() {
    let object = |s3: &str| {
        let switch = crate::plan::house::KillSwitch { s3: Some(s3.to_owned()), ..Default::default() };
        switch.object().map(|(bucket, key)| format!("{bucket} {key}"))
    };
    assert_eq!(object("s3://stop/all/runs").as_deref(), Some("stop all/runs"));
    for none in ["s3://stop/", "s3:///runs", "s3://stop", "stop/runs"] {
        assert_eq!(object(none), None, "{none}");
    }
    let (some, none) = (Some(String::new()), None::<String>);
    for (s3, ssm, wanted) in [
        (&none, &none, &[][..]),
        (&some, &none, &["s3:ListBucketVersions"]),
        (&none, &some, &["ssm:GetParameter"]),
        (&some, &some, &["s3:ListBucketVersions", "ssm:GetParameter"]),
    ] {
        let switch = crate::plan::house::KillSwitch { file: None, s3: s3.clone(), ssm: ssm.clone() };
        assert_eq!(switch.permissions(), wanted);
    }
}
