//! `redrill doctor`: whether all is ready for a run, said before there is one. Reads only.
//!
//! It asks AWS who is calling, looks at this machine (`machine`), and asks IAM's simulation about every
//! permission of a drill. What cannot be looked at is "not checked", never "ok". Mending is left to people:
//! nothing here is made, changed or locked.

mod machine;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::iam::{self, Given};
use super::{CliError, DrillArgs, Global, Output, config, out, runtime, world};
use crate::catalog::iam::partition;
use crate::cloud::{CLOCK_LIMIT_MS, Cloud, Identity, clock_is_off};
use crate::engine::{kill_switch, needs};
use crate::model::time::SystemClock;
use crate::model::{Clock, World};
use crate::plan::House;
use crate::plan::permissions::{self, Checked, NOT_COVERED, Permission, State};
use crate::plan::policy::{Phase, Source};
use crate::report::time;

/// Clocks that differ by more are worth a look: recovery times are compared with AWS's.
const SKEW_NOTE_S: i64 = 5;
/// Credentials that end sooner are a problem.
const SOON_S: i64 = 300;

/// Check whether all is ready: AWS, this machine, and the permissions of a drill.
///
/// Nothing is changed. Ends with 0 where nothing stands in the way, with 3 where a run would be refused, with 5
/// where AWS cannot be asked, and with 2 where the configuration or the drill is wrong.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// A drill file, or a plan: each permission of its policy is checked, too.
    drill: Option<PathBuf>,
    #[command(flatten)]
    args: DrillArgs,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Is {
    Ok,
    /// Good to know.
    Note,
    NotChecked,
    /// A run would be refused, or fail.
    Problem,
}

impl Is {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::NotChecked => "not checked",
            Self::Problem => "problem",
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
struct Check {
    check: &'static str,
    state: Is,
    text: String,
}

fn check(name: &'static str, state: Is, text: impl Into<String>) -> Check {
    Check { check: name, state, text: text.into() }
}

/// Everything that was found.
#[derive(Debug, Default, Serialize)]
struct Found {
    checks: Vec<Check>,
    /// Of the drill's policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    permissions: Vec<Permission>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_covered: Option<&'static str>,
    exit_code: u8,
}

pub fn run(global: &Global, args: &DoctorArgs) -> Result<u8, CliError> {
    let mut global = global.clone();
    let mut found = Found::default();
    let configured = config::load(global.config.as_deref());
    let configuration = machine::configuration(&global, configured.as_ref().err());
    let wrong = configured.is_err();
    if let Ok(settings) = configured {
        global.settings = settings;
    }
    // a drill that cannot be read is wrong whatever else is
    let given = args.drill.as_deref().map(|path| iam::read(path, &args.args)).transpose()?;
    let aws = runtime()?.block_on(aws(&global, given.as_ref(), &mut found));
    found.checks.push(configuration);
    found.checks.extend(machine::checks(&global));
    let refused = found.checks.iter().any(|c| c.state == Is::Problem)
        || found.permissions.iter().any(|p| matches!(p.state, State::Denied(_)));
    found.exit_code = match &aws {
        _ if wrong => 2,
        Err(e) => e.exit_code(),
        Ok(()) if refused => 3,
        Ok(()) => 0,
    };
    match global.output {
        Output::Json => out::json(&found),
        Output::Text => print(&found),
    }
    if let (Output::Text, Some(path)) = (global.output, &args.drill)
        && found.permissions.iter().any(|p| p.state != State::Allowed)
    {
        out::note(&format!("hint: what the drill needs, as one policy: redrill iam {}", path.display()));
    }
    if let Err(e) = aws {
        for hint in e.hints() {
            out::note(&format!("hint: {hint}"));
        }
    }
    Ok(found.exit_code)
}

/// What AWS says.
async fn aws(global: &Global, given: Option<&Given>, found: &mut Found) -> Result<(), CliError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let failed = |found: &mut Found, e: CliError| {
        found.checks.push(check("aws", Is::Problem, e.message()));
        for name in ["permissions", "kill switch"] {
            found.checks.push(check(name, Is::NotChecked, "AWS cannot be asked"));
        }
        Err(e)
    };
    let cloud = match world::connect(global, Arc::clone(&clock), None).await {
        Ok(cloud) => cloud,
        Err(e) => return failed(found, e),
    };
    let before = clock.now();
    let identity = match cloud.reads.sts.identity().await {
        Ok(identity) => identity,
        Err(e) => return failed(found, e.into()),
    };
    found.checks.push(match cloud.world {
        World::Aws => match &cloud.endpoint {
            Some(way) if way.doubt().is_none() => {
                check("aws", Is::Ok, format!("AWS itself, {}", way.in_words()))
            }
            Some(way) => check("aws", Is::Note, way.in_words()),
            None => check("aws", Is::Ok, "AWS itself"),
        },
        World::Emulator | World::Sim => {
            let place = global.endpoint_url.as_deref().unwrap_or("an endpoint of the environment");
            check("aws", Is::Note, format!("no AWS: an emulator at {place}; every control stays not tested"))
        }
    });
    let said = |part: usize| identity.arn.split(':').nth(part).filter(|p| !p.is_empty());
    let partition = said(1).unwrap_or_else(|| partition(&cloud.region));
    let place = format!("{}, region {}, partition {partition}", identity.account, cloud.region);
    found.checks.push(check("account", Is::Ok, place));
    found.checks.push(check("caller", Is::Ok, &identity.arn));
    found.checks.push(credentials(&identity, clock.as_ref()));
    found.checks.push(skew(&identity, before));
    let house = global.settings.house();
    found.checks.push(switch(&house, &cloud).await);
    permissions_of(given, &house, &cloud, &identity, found).await;
    Ok(())
}

fn credentials(identity: &Identity, clock: &dyn Clock) -> Check {
    let name = "credentials";
    let Some(end) = identity.expires_at else {
        return match identity.renewable {
            Some(true) => check(name, Is::Ok, "without an end, or renewed by their source"),
            Some(false) => check(name, Is::Note, "a session token; when it ends is not known"),
            None => check(name, Is::NotChecked, "how long they last is not known"),
        };
    };
    let left = (end - clock.now()).num_seconds();
    let until = format!("until {}, {} from now", time(end), crate::model::time::in_words(left.max(0) * 1000));
    match identity.renewable {
        Some(true) => check(name, Is::Ok, format!("{until}; renewed by their source")),
        _ if left < SOON_S => check(name, Is::Problem, until),
        _ => check(name, Is::Note, format!("{until}; nothing renews them")),
    }
}

fn skew(identity: &Identity, before: chrono::DateTime<chrono::Utc>) -> Check {
    let name = "clock";
    let Some(date) = identity.server_date else {
        return check(name, Is::NotChecked, "the answer has no Date");
    };
    let apart = (before - date).num_seconds();
    let way = if apart > 0 { "ahead of" } else { "behind" };
    let text = format!("{} s {way} the Date of AWS's answer", apart.abs());
    match apart.abs() {
        0..=1 => check(name, Is::Ok, "within a second of the Date of AWS's answer"),
        2..=SKEW_NOTE_S => check(name, Is::Ok, text),
        s if s * 1000 < CLOCK_LIMIT_MS => check(name, Is::Note, text),
        s => check(name, Is::Problem, clock_is_off(apart.signum() * s * 1000)),
    }
}

async fn switch(house: &House, cloud: &Cloud) -> Check {
    let name = "kill switch";
    if house.kill_switch.is_empty() {
        return check(name, Is::Note, "none; `kill_switch` in redrill.toml names one");
    }
    match kill_switch::place(&house.kill_switch, &cloud.reads, cloud.local.as_ref()).await {
        Ok(None) => check(name, Is::Ok, "readable, not set"),
        Ok(Some(place)) => check(name, Is::Problem, format!("set: {place}")),
        Err(e) => check(name, Is::Problem, format!("cannot be read: {e}")),
    }
}

async fn permissions_of(
    given: Option<&Given>,
    house: &House,
    cloud: &Cloud,
    identity: &Identity,
    found: &mut Found,
) {
    let name = "permissions";
    let (account, region) = (identity.account.as_str(), cloud.region.as_str());
    let mut source = match given {
        None => {
            let text = "of no drill; name one: redrill doctor DRILL";
            found.checks.push(check(name, Is::NotChecked, text));
            return;
        }
        Some(Given::Drill(loaded)) => Source::drill(&loaded.drill, house),
        Some(Given::Plan(plan)) => Source::plan(plan),
    };
    if !source.accounts().contains(account) {
        let text = format!("the drill does not run in account {account}");
        found.checks.push(check("limits", Is::Problem, text));
        return;
    }
    if !source.regions().is_empty() && !source.regions().contains(region) {
        let text = format!("the drill does not run in {region}");
        found.checks.push(check("limits", Is::Problem, text));
        return;
    }
    found.checks.extend(lacking(&source, cloud));
    source.only = Some((account, Some(region)));
    match permissions::check(&source, Phase::Run, &cloud.reads, identity, cloud.world, region).await {
        Checked::Not(why) => found.checks.push(check(name, Is::NotChecked, why)),
        Checked::Asked(who, all) => {
            let count = |is: fn(&State) -> bool| all.iter().filter(|p| is(&p.state)).count();
            let allowed = count(|s| *s == State::Allowed);
            let denied = count(|s| matches!(s, State::Denied(_)));
            let open = all.len() - allowed - denied;
            let state = match (denied, open) {
                (0, 0) => Is::Ok,
                (0, _) => Is::NotChecked,
                _ => Is::Problem,
            };
            let text = format!("of {who}: {allowed} allowed, {denied} denied, {open} not checked");
            found.checks.push(check(name, state, text));
            found.permissions = all;
            found.not_covered = Some(NOT_COVERED);
        }
    }
}

/// Programs, files and variables that the drill's steps and probes need. Whether a variable is set is looked at, and
/// what it holds goes nowhere.
fn lacking(source: &Source<'_>, cloud: &Cloud) -> Vec<Check> {
    let name = "this machine";
    let missing = needs::missing(source, cloud.reads.net.as_ref(), cloud.local.as_ref());
    if missing.is_empty() {
        return vec![check(name, Is::Ok, "has the programs, files and variables that the drill names")];
    }
    missing.iter().map(|f| check(name, Is::Problem, format!("{}: {}", f.subject, f.text))).collect()
}

fn print(found: &Found) {
    let width = found.checks.iter().map(|c| c.check.len()).max().unwrap_or(0);
    for c in &found.checks {
        out::line(&format!("{:width$}  {:11}  {}", c.check, c.state.name(), c.text));
    }
    if found.permissions.is_empty() {
        return;
    }
    out::line("");
    let rows = rows(&found.permissions);
    let actions = rows.iter().map(|r| r.1.len()).max().unwrap_or(0);
    for (state, action, rest) in rows {
        out::line(&format!("{state:11}  {action:actions$}  {rest}"));
    }
    if let Some(text) = found.not_covered {
        out::line(&format!("\n{text}."));
    }
}

/// A line for each action that came out one way: the first of its resources, and how many more there are.
fn rows(all: &[Permission]) -> Vec<(&'static str, &str, String)> {
    let mut rows: Vec<(&State, &str, Vec<&str>)> = Vec::new();
    for p in all {
        match rows.iter_mut().find(|(state, action, _)| **state == p.state && *action == p.action) {
            Some((_, _, resources)) => resources.push(&p.resource),
            None => rows.push((&p.state, &p.action, vec![&p.resource])),
        }
    }
    rows.sort();
    let row = |(state, action, resources): (&State, _, Vec<&str>)| {
        let more = match resources.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        let (name, why) = match state {
            State::Allowed => ("allowed", String::new()),
            State::Denied(why) => ("denied", format!(": {why}")),
            State::NotChecked(why) => ("not checked", format!(": {why}")),
        };
        (name, action, format!("{}{more}{why}", resources.first().unwrap_or(&"*")))
    };
    rows.into_iter().map(row).collect()
}
