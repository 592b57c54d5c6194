//! Where a run belongs, and whether a command would work somewhere else. Pure but for [`Given::at_hand`],
//! which reads the environment.
//!
//! A run belongs to the endpoint and region of its plan, and to the account, which the engine asks for. All
//! emulators have the same accounts and often the same names, so that a run that is put back in another one
//! would be called clean, and could be finished nowhere. What names another place refuses the command before
//! anything is sent or recorded. An endpoint of AWS itself (PrivateLink) is no other place.

use std::collections::{BTreeMap, BTreeSet};

use super::{CliError, Global};
use crate::cloud::{ALL_SERVICES, Cloud, is_aws};
use crate::journal::runs::RunDir;
use crate::model::{RunId, World};
use crate::plan::Plan;

/// What the options and the environment say about where to work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Given {
    /// Who says so, and the endpoint.
    endpoint: Option<(String, String)>,
    /// Who says so, and the region.
    region: Option<(String, String)>,
    /// The SDK's own variables for endpoints.
    variables: Vec<(String, String)>,
}

impl Given {
    fn at_hand(global: &Global) -> Self {
        let said = |flag: &str, variable: &str, value: &Option<String>| {
            let value = value.clone()?;
            let by_variable = std::env::var(variable).is_ok_and(|v| v == value);
            Some((if by_variable { variable } else { flag }.to_owned(), value))
        };
        let ignored = std::env::var("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_ok_and(|v| v == "true");
        let mut variables: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, value)| !ignored && name.starts_with("AWS_ENDPOINT_URL") && !value.is_empty())
            .collect();
        variables.sort();
        Self {
            endpoint: said("--endpoint-url", "REDRILL_ENDPOINT_URL", &global.endpoint_url),
            region: said("--region", "REDRILL_REGION", &global.region),
            variables,
        }
    }
}

/// The endpoint of all services, and those of single services, as a plan keeps them.
pub fn endpoints(
    given: Option<&str>,
    in_force: &BTreeMap<String, String>,
) -> (Option<String>, BTreeMap<String, String>) {
    match given.map(str::to_owned).or_else(|| in_force.get(ALL_SERVICES).cloned()) {
        Some(one) => (Some(one), BTreeMap::new()),
        None => (None, in_force.clone()),
    }
}

/// The options with which the run's own place is reached.
///
/// # Errors
/// A refusal: an option or a variable names another one.
pub fn settle(global: &Global, run: &RunId, plan: &Plan) -> Result<Global, CliError> {
    if let Some((what, how)) = contradiction(plan, &Given::at_hand(global)) {
        return Err(CliError::refused(format!("run {run} belongs to {}; {what}", name(plan))).hint(how));
    }
    let mut settled = global.clone();
    if settled.endpoint_url.is_none() && plan.world == World::Emulator {
        settled.endpoint_url.clone_from(&plan.endpoint);
    }
    settled.region = Some(plan.region.clone());
    Ok(settled)
}

/// What is connected to is where the plan was made, as far as the plan knows.
///
/// # Errors
/// A refusal: the profile or the environment leads somewhere else.
pub fn same(plan: &Plan, cloud: &Cloud) -> Result<(), CliError> {
    let there = format!("the plan belongs to {}; ", name(plan));
    let how = "nothing was sent; use the endpoint, profile and region that the plan was made with";
    if plan.world != cloud.world || plan.region != cloud.region {
        return Err(
            CliError::refused(format!("{there}this is {} in {}", cloud.world, cloud.region)).hint(how)
        );
    }
    let of_all = |url: Option<&String>| url.map(|url| plain(url).to_owned()).filter(|url| !is_aws(url));
    let planned = (of_all(plan.endpoint.as_ref()), &plan.endpoints);
    let (one, each) = endpoints(None, &cloud.endpoints);
    // a plan of an older redrill that got its endpoint from the SDK's own variables does not know it
    let unknown = planned == (None, &BTreeMap::new()) && plan.world == World::Emulator;
    if unknown || planned == (of_all(one.as_ref()), &each) {
        return Ok(());
    }
    let urls: BTreeSet<&str> = cloud.endpoints.values().map(|url| plain(url)).collect();
    let urls: Vec<&str> = urls.into_iter().collect();
    Err(CliError::refused(format!("{there}this is {}", urls.join(", "))).hint(how))
}

/// Where nothing answers at a run's emulator: what that means.
pub fn gone(e: CliError, plan: &Plan, dir: &RunDir) -> CliError {
    match (&plan.endpoint, plan.world) {
        (Some(endpoint), World::Emulator) => e.hint(format!(
            "run {} belongs to the emulator at {endpoint}; where that has ended for good, all that the run changed \
             has ended with it: {}",
            dir.id(),
            super::session::remove(dir)
        )),
        _ => e,
    }
}

/// The place in words.
fn name(plan: &Plan) -> String {
    match (plan.world, &plan.endpoint) {
        (World::Emulator, Some(endpoint)) => format!("the emulator at {endpoint}, region {}", plan.region),
        (World::Emulator, None) => format!("an emulator, region {}", plan.region),
        (World::Aws, _) => format!("AWS itself, account {}, region {}", plan.account, plan.region),
        (World::Sim, _) => "the simulator".to_owned(),
    }
}

/// What names another place than the plan's, and what to type instead.
fn contradiction(plan: &Plan, given: &Given) -> Option<(String, String)> {
    let own = plan.endpoint.as_deref().filter(|url| !is_aws(url)).map(plain);
    let without = |by: &str| match by.strip_prefix("--") {
        Some(_) => format!("nothing was sent or recorded; repeat the command without {by}"),
        None => format!("nothing was sent or recorded; repeat the command without that variable: unset {by}"),
    };
    let with = |option: &str| format!("nothing was sent or recorded; repeat the command with {option}");
    if let Some((by, region)) = &given.region
        && *region != plan.region
    {
        return Some((format!("{by} names {region}"), with(&format!("--region {}", plan.region))));
    }
    let names = |by: &str, url: &str| format!("{by} names {url}");
    if let Some((by, url)) = &given.endpoint {
        if own == Some(plain(url)) {
            return None; // the SDK takes it for all services, whatever its own variables say
        }
        if !is_aws(url) {
            let how = own.map_or_else(|| without(by), |own| with(&format!("--endpoint-url {own}")));
            return Some((names(by, url), how));
        }
    }
    let unknown = own.is_none() && plan.endpoints.is_empty() && plan.world == World::Emulator;
    for (by, url) in given.variables.iter().filter(|(_, url)| !unknown && !is_aws(url)) {
        let service = by.strip_prefix("AWS_ENDPOINT_URL").and_then(|rest| rest.strip_prefix('_'));
        let of_service = service.and_then(|s| plan.endpoints.iter().find(|(name, _)| variable(name) == s));
        let fits = match (own, of_service) {
            (Some(own), _) => own == plain(url),
            (None, Some((_, own))) => plain(own) == plain(url),
            // where each service has its own, the one for the rest is compared once the SDK has been asked
            (None, None) => service.is_none() && !plan.endpoints.is_empty(),
        };
        if !fits {
            let how = own.map_or_else(|| without(by), |own| with(&format!("--endpoint-url {own}")));
            return Some((names(by, url), how));
        }
    }
    None
}

/// A service as the SDK spells it in the name of a variable.
fn variable(service: &str) -> String {
    service.replace(' ', "_").to_uppercase()
}

fn plain(url: &str) -> &str {
    url.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::{self, LoadOptions};
    use crate::model::time::VirtualClock;
    use crate::plan::{self, BuildOptions};
    use crate::sandbox::ESTATE_JSON;
    use crate::sim::Sim;

    const DRILL: &str = "version: 1
name: talk
title: Talk
service: shop
objectives: { rto: 1h }
limits: { accounts: [\"123456789012\"], regions: [us-east-1], max_targets: 1 }
targets: {}
steady_state: [{ probe: tcp, with: { host: shop.example.com, port: 443 } }]
recovery: [{ manual: Call the team, id: call }]";
    const A: &str = "http://127.0.0.1:5001";
    const B: &str = "http://127.0.0.1:5002";

    async fn plan() -> (Plan, Cloud) {
        let clock: std::sync::Arc<dyn crate::model::Clock> =
            std::sync::Arc::new(VirtualClock::starting_at(chrono::DateTime::UNIX_EPOCH));
        let cloud = Sim::from_estate(ESTATE_JSON, std::sync::Arc::clone(&clock)).unwrap().cloud();
        let loaded = drill::load("drill.yaml", DRILL, &LoadOptions::default()).unwrap();
        let options = BuildOptions::new(World::Sim, cloud.region.clone());
        (plan::build(&loaded, &cloud.reads, clock.as_ref(), &options).await.unwrap(), cloud)
    }

    fn given(endpoint: Option<&str>, variables: &[(&str, &str)]) -> Given {
        Given {
            endpoint: endpoint.map(|url| ("--endpoint-url".to_owned(), url.to_owned())),
            region: None,
            variables: variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        }
    }

    #[tokio::test]
    async fn what_names_another_place_is_named_with_what_to_type() {
        let (mut plan, _) = plan().await;
        (plan.world, plan.endpoint) = (World::Emulator, Some(A.to_owned()));
        let says = |g: &Given| contradiction(&plan, g);
        let with = format!("nothing was sent or recorded; repeat the command with --endpoint-url {A}");
        for fine in [
            given(None, &[]),
            given(Some(A), &[]),
            given(Some("http://127.0.0.1:5001/"), &[]),
            given(None, &[("AWS_ENDPOINT_URL", A)]),
            // what is given in code wins in the SDK, too
            given(Some(A), &[("AWS_ENDPOINT_URL_EC2", B)]),
        ] {
            assert_eq!(says(&fine), None, "{fine:?}");
        }
        for (other, by) in [
            (given(Some(B), &[]), "--endpoint-url"),
            (given(None, &[("AWS_ENDPOINT_URL", B)]), "AWS_ENDPOINT_URL"),
            (given(None, &[("AWS_ENDPOINT_URL_EC2", B)]), "AWS_ENDPOINT_URL_EC2"),
            (given(None, &[("AWS_ENDPOINT_URL", A), ("AWS_ENDPOINT_URL_S3", B)]), "AWS_ENDPOINT_URL_S3"),
        ] {
            assert_eq!(says(&other), Some((format!("{by} names {B}"), with.clone())));
        }
        let region =
            Given { region: Some(("REDRILL_REGION".into(), "eu-west-1".into())), ..Given::default() };
        let (what, how) = says(&region).unwrap();
        assert_eq!(what, "REDRILL_REGION names eu-west-1");
        assert!(how.ends_with("with --region us-east-1"), "{how}");
        let own = Given { region: Some(("--region".into(), "us-east-1".into())), ..Given::default() };
        assert_eq!(says(&own), None);
    }

    #[tokio::test]
    async fn a_run_on_aws_is_taken_up_at_no_emulator() {
        let (mut plan, _) = plan().await;
        plan.world = World::Aws;
        let private = "https://vpce-0a1b.ec2.us-east-1.vpce.amazonaws.com";
        for fine in
            [given(None, &[]), given(Some(private), &[]), given(None, &[("AWS_ENDPOINT_URL_EC2", private)])]
        {
            assert_eq!(contradiction(&plan, &fine), None, "{fine:?}");
        }
        let (what, how) = contradiction(&plan, &given(Some(A), &[])).unwrap();
        assert_eq!(
            (what, how.ends_with("without --endpoint-url")),
            (format!("--endpoint-url names {A}"), true)
        );
        let (_, how) = contradiction(&plan, &given(None, &[("AWS_ENDPOINT_URL_RDS", A)])).unwrap();
        assert!(how.ends_with("unset AWS_ENDPOINT_URL_RDS"), "{how}");
    }

    #[tokio::test]
    async fn services_at_endpoints_of_their_own_are_compared_one_by_one() {
        let (mut plan, mut cloud) = plan().await;
        let own = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let two = own(&[("EC2", A), ("Secrets Manager", B)]);
        assert_eq!(endpoints(None, &two), (None, two.clone()));
        assert_eq!(endpoints(None, &own(&[(ALL_SERVICES, A)])), (Some(A.to_owned()), BTreeMap::new()));
        assert_eq!(endpoints(None, &BTreeMap::new()), (None, BTreeMap::new()));
        (plan.world, plan.endpoints) = (World::Emulator, two.clone());
        (cloud.world, cloud.endpoints) = (World::Emulator, two);
        assert!(same(&plan, &cloud).is_ok());
        let fine = [("AWS_ENDPOINT_URL_EC2", A), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", B)];
        assert_eq!(contradiction(&plan, &given(None, &fine)), None);
        assert!(contradiction(&plan, &given(None, &[("AWS_ENDPOINT_URL_SECRETS_MANAGER", A)])).is_some());
        cloud.endpoints.insert("EC2".to_owned(), B.to_owned());
        assert!(same(&plan, &cloud).is_err(), "another one");
        cloud.endpoints.remove("EC2");
        assert!(same(&plan, &cloud).is_err(), "AWS's own");
    }

    #[tokio::test]
    async fn another_emulator_behind_the_same_options_is_refused() {
        let (mut plan, mut cloud) = plan().await;
        (plan.world, plan.endpoint) = (World::Emulator, Some(A.to_owned()));
        cloud.world = World::Emulator;
        cloud.endpoints.insert(ALL_SERVICES.to_owned(), format!("{A}/"));
        assert!(same(&plan, &cloud).is_ok());
        cloud.endpoints.insert(ALL_SERVICES.to_owned(), B.to_owned());
        let refused = same(&plan, &cloud).unwrap_err();
        assert!(refused.exit_code() == 3 && refused.message().contains(B), "{}", refused.message());
        // a plan of an older redrill may not know its endpoint
        plan.endpoint = None;
        assert!(same(&plan, &cloud).is_ok());
        cloud.world = World::Aws;
        assert!(same(&plan, &cloud).is_err());
    }
}
