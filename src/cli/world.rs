//! Which world a command touches: AWS or an emulator over the SDK, by the options given.

use std::sync::Arc;

use super::{CliError, Global};
use crate::cloud::Cloud;
use crate::cloud::custody::Custody;
use crate::model::{Clock, RunId};

/// Connects as the options and the SDK's own chain say. `run` goes into the user agent, so that
/// CloudTrail finds the run.
#[cfg(feature = "aws")]
pub async fn connect(global: &Global, clock: Arc<dyn Clock>, run: Option<&RunId>) -> Result<Cloud, CliError> {
    use crate::aws::{ConnectOptions, connect};
    use crate::net::{RealLocal, RealNet};
    let options = ConnectOptions {
        profile: global.profile.clone(),
        region: global.region.clone(),
        endpoint_url: global.endpoint_url.clone(),
        credentials: None,
        app_name: run.map(|r| format!("redrill-{r}")),
        isolated: false,
    };
    let cloud = connect(options, clock, Arc::new(RealNet::new()?), Arc::new(RealLocal::default())).await?;
    super::masked::held(&cloud.held);
    Ok(cloud)
}

/// Connects to a loopback endpoint with throw-away credentials, whatever the environment says.
#[cfg(feature = "aws")]
pub async fn connect_isolated(
    endpoint: &str,
    region: &str,
    clock: Arc<dyn Clock>,
    run: Option<&RunId>,
) -> Result<Cloud, CliError> {
    use crate::aws::{ConnectOptions, connect};
    use crate::net::{RealLocal, RealNet};
    let options = ConnectOptions {
        profile: None,
        region: Some(region.to_owned()),
        endpoint_url: Some(endpoint.to_owned()),
        credentials: None,
        app_name: run.map(|r| format!("redrill-{r}")),
        isolated: true,
    };
    Ok(connect(options, clock, Arc::new(RealNet::new()?), Arc::new(RealLocal::default())).await?)
}

/// Connects as [`connect`] does, for handing evidence over.
#[cfg(feature = "aws")]
pub async fn custody(global: &Global, region: Option<&str>) -> Result<Custody, CliError> {
    use crate::aws::{ConnectOptions, custody};
    use crate::model::time::SystemClock;
    let options = ConnectOptions {
        profile: global.profile.clone(),
        region: region.map(str::to_owned).or_else(|| global.region.clone()),
        endpoint_url: global.endpoint_url.clone(),
        ..ConnectOptions::default()
    };
    Ok(custody(&options, Arc::new(SystemClock)).await?)
}

/// Without the SDK neither a bucket nor a key of AWS can be reached.
#[cfg(not(feature = "aws"))]
pub async fn custody(_global: &Global, _region: Option<&str>) -> Result<Custody, CliError> {
    Err(CliError::new(super::Kind::Aws, "this redrill was built without the AWS SDK")
        .hint("build it with its default features, or sign with a key in a file: --key FILE"))
}

/// Without the SDK there is no AWS.
#[cfg(not(feature = "aws"))]
pub async fn connect(
    _global: &Global,
    _clock: Arc<dyn Clock>,
    _run: Option<&RunId>,
) -> Result<Cloud, CliError> {
    Err(without_sdk())
}

/// Without the SDK there is no emulator either.
#[cfg(not(feature = "aws"))]
pub async fn connect_isolated(
    _endpoint: &str,
    _region: &str,
    _clock: Arc<dyn Clock>,
    _run: Option<&RunId>,
) -> Result<Cloud, CliError> {
    Err(without_sdk())
}

#[cfg(not(feature = "aws"))]
fn without_sdk() -> CliError {
    CliError::new(super::Kind::Aws, "this redrill was built without the AWS SDK")
        .hint("build it with its default features, or rehearse the drill: redrill rehearse DRILL")
}
