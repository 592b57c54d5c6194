//! Builds the clients: settings, world, retries and time limits.
//!
//! For: one [`connect`] that yields a whole [`Cloud`]. Not for: calls; the first one happens when a
//! trait method is used. Invariants: clients that change things send a request once; no client reads an answer
//! without an end; an isolated connection reads nothing of the environment and speaks plain HTTP to loopback
//! only. I/O.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::default_provider::region::DefaultRegionChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::config::endpoint::ResolveEndpoint;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::origin::Origin;
use aws_types::sdk_config::TimeSource;
use aws_types::service_config::ServiceConfigKey;
use chrono::{DateTime, Utc};
use futures::FutureExt as _;

use super::bounded::bounded;
use super::credentials::Lives;
use super::endpoint::{self, Way};
use super::mutate::Changes;
use super::regions::Regional;
use super::{cloudfront, cloudtrail, ec2, ec2_launch, iam, names, others, rds, s3, s3_roots, whole};
use crate::cloud::{
    ALL_SERVICES, Cloud, CloudError, DryRun, ENDPOINT_PREFIXES, ErrorKind, Local, Net, Reads, Secret, is_aws,
};
use crate::model::{Clock, EndpointProof, World};

const CONNECT: &str = "aws:connect";
/// Used by isolated connections where no region is given.
const DEFAULT_REGION: &str = "us-east-1";

/// The services that redrill calls, as the SDK spells them when it looks for an endpoint.
const SERVICES: [&str; 14] = [
    "Auto Scaling",
    "CloudFront",
    "CloudTrail",
    "CloudWatch",
    "EC2",
    "Elastic Load Balancing",
    "Elastic Load Balancing v2",
    "IAM",
    "KMS",
    "RDS",
    "S3",
    "STS",
    "Secrets Manager",
    "SSM",
];

/// A key pair given directly, for emulators.
#[derive(Clone, Debug)]
pub struct StaticCredentials {
    /// Access key id.
    pub access_key: String,
    /// Secret access key.
    pub secret: Secret,
}

/// Where to connect, and as whom. What is `None` follows the SDK's own chain.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// Profile of the shared configuration files.
    pub profile: Option<String>,
    /// Region of every regional call.
    pub region: Option<String>,
    /// Endpoint of every service.
    pub endpoint_url: Option<String>,
    /// Credentials to use instead of the chain's.
    pub credentials: Option<StaticCredentials>,
    /// Goes into the user agent, so that CloudTrail shows the run.
    pub app_name: Option<String>,
    /// Loopback endpoint and throw-away credentials only; nothing is read from the environment.
    pub isolated: bool,
}

/// Connects to AWS or to an emulator. Makes no call yet; AWS's certificates are looked at.
///
/// # Errors
/// `NoRegion` where no region is set, `Invalid` where an option makes no sense or an isolated
/// connection is asked to leave this machine.
pub async fn connect(
    options: ConnectOptions,
    clock: Arc<dyn Clock>,
    net: Arc<dyn Net>,
    local: Arc<dyn Local>,
) -> Result<Cloud, CloudError> {
    let (clients, lives, region) = Clients::of(&options, clock).await?;
    let held = lives.held();
    Ok(Cloud {
        reads: Reads {
            sts: Arc::new(others::StsReads { client: clients.sts(), lives }),
            iam: Arc::new(iam::reads(&clients.read, clients.elsewhere)),
            ec2: Arc::new(ec2::Ec2Reads { client: clients.ec2(&clients.read) }),
            autoscaling: Arc::new(others::AutoScalingReads {
                client: aws_sdk_autoscaling::Client::new(&clients.read),
            }),
            elb: Arc::new(others::ElbReads {
                client: aws_sdk_elasticloadbalancingv2::Client::new(&clients.read),
                classic: aws_sdk_elasticloadbalancing::Client::new(&clients.read),
            }),
            rds: Arc::new(rds::RdsReads { client: aws_sdk_rds::Client::new(&clients.read) }),
            s3: Arc::new(s3::S3Reads { clients: Regional::new(clients.s3(&clients.read)) }),
            cloudfront: Arc::new(cloudfront::CloudFrontReads { client: clients.cloudfront(&clients.read) }),
            cloudwatch: Arc::new(others::CloudWatchReads {
                client: aws_sdk_cloudwatch::Client::new(&clients.read),
            }),
            secrets: Arc::new(others::SecretsReads {
                client: aws_sdk_secretsmanager::Client::new(&clients.read),
            }),
            ssm: Arc::new(others::SsmReads { client: aws_sdk_ssm::Client::new(&clients.read) }),
            trail: Arc::new(cloudtrail::TrailReads {
                trail: cloudtrail::client(&clients.read),
                s3: Regional::new(clients.s3(&clients.read)),
            }),
            whole: Arc::new(whole::WholeReads {
                ec2: clients.ec2(&clients.read),
                rds: aws_sdk_rds::Client::new(&clients.read),
            }),
            net,
            safe: Arc::new(crate::cloud::safe::InMemory::default()),
        },
        mutate: Arc::new(Changes {
            ec2: clients.ec2(&clients.change),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(&clients.change),
            rds: aws_sdk_rds::Client::new(&clients.change),
            s3: clients.s3(&clients.change),
            cloudfront: clients.cloudfront(&clients.change),
        }),
        dry_run: clients.dry_run(),
        local,
        world: clients.world(),
        endpoint: clients.proof,
        region,
        endpoints: clients.endpoints,
        held,
    })
}

/// The two configurations that the clients are made of.
pub(super) struct Clients {
    pub(super) read: SdkConfig,
    pub(super) change: SdkConfig,
    overridden: bool,
    elsewhere: bool,
    endpoints: BTreeMap<String, String>,
    /// The way to AWS; `None` off AWS.
    proof: Option<EndpointProof>,
}

impl Clients {
    /// The configurations, the life of their credentials, and their region.
    pub(super) async fn of(
        options: &ConnectOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Lives, String), CloudError> {
        let base = if options.isolated { isolated(options)? } else { from_chain(options).await? };
        let region =
            base.region().map(ToString::to_string).filter(|region| !region.is_empty()).ok_or_else(|| {
                CloudError::new(
                    CONNECT,
                    ErrorKind::NoRegion,
                    "no AWS region is set; use --region or AWS_REGION",
                )
            })?;
        let lives = Lives::default();
        let now = clock.now();
        let base = finish(base, options, clock, &lives)?;
        let (overridden, elsewhere) = (overridden(&base), elsewhere(&base));
        let endpoints = in_force(&base);
        let (base, proof) = if elsewhere { (base, None) } else { proven(base, &region, now).await };
        let (read, change) = (reading(&base), changing(&base));
        Ok((Self { read, change, overridden, elsewhere, endpoints, proof }, lives, region))
    }

    pub(super) fn world(&self) -> World {
        if self.elsewhere { World::Emulator } else { World::Aws }
    }

    /// Asked of AWS itself only, at its own addresses: what stands in between may not know the flag, and do it.
    fn dry_run(&self) -> Option<Arc<dyn DryRun>> {
        let asks = !self.elsewhere && !self.overridden && self.endpoints.is_empty();
        asks.then(|| Arc::new(ec2_launch::Ec2DryRun { client: self.ec2(&self.read) }) as Arc<dyn DryRun>)
    }

    pub(super) fn sts(&self) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::new(&self.read)
    }

    fn ec2(&self, config: &SdkConfig) -> aws_sdk_ec2::Client {
        aws_sdk_ec2::Client::new(config)
    }

    /// A bucket cannot be a host name below an endpoint that is an address. What is not AWS may
    /// answer in words that the SDK does not take.
    pub(super) fn s3(&self, config: &SdkConfig) -> aws_sdk_s3::Client {
        let mut builder = aws_sdk_s3::config::Builder::from(config).force_path_style(self.overridden);
        if self.elsewhere {
            builder = builder.http_client(s3_roots::mending(config.http_client()));
        }
        aws_sdk_s3::Client::from_conf(builder.build())
    }

    /// CloudFront is global. Its own rules pick the partition's signing region, but not behind an
    /// overridden endpoint.
    fn cloudfront(&self, config: &SdkConfig) -> aws_sdk_cloudfront::Client {
        let mut builder = aws_sdk_cloudfront::config::Builder::from(config);
        if self.overridden {
            builder = builder.region(Region::from_static(DEFAULT_REGION));
        }
        aws_sdk_cloudfront::Client::from_conf(builder.build())
    }
}

/// Reads: the SDK's standard three attempts.
fn reading(base: &SdkConfig) -> SdkConfig {
    base.clone()
        .into_builder()
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                .operation_attempt_timeout(Duration::from_secs(30))
                .operation_timeout(Duration::from_secs(120))
                .build(),
        )
        .build()
}

/// Changes: once. A repeated DeleteObjects adds a second delete marker, and only the last request
/// id would be seen; the engine retries and journals every attempt.
fn changing(base: &SdkConfig) -> SdkConfig {
    base.clone()
        .into_builder()
        .retry_config(RetryConfig::disabled().with_max_attempts(1))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                .operation_timeout(Duration::from_secs(60))
                .build(),
        )
        .build()
}

/// A configuration that cannot reach a real account: no loader, so no variable, file or metadata
/// service is read; a client without TLS or proxy; a loopback address; keys that open nothing.
fn isolated(options: &ConnectOptions) -> Result<SdkConfig, CloudError> {
    let invalid = |message: &str| CloudError::new(CONNECT, ErrorKind::Invalid, message);
    let endpoint = options
        .endpoint_url
        .as_deref()
        .ok_or_else(|| invalid("an isolated connection needs the address of a local emulator"))?;
    let url = endpoint_url(endpoint)?;
    if url.scheme() != "http" || !is_loopback(&url) {
        return Err(invalid("an isolated connection goes to http on a loopback address only"));
    }
    if options.profile.is_some() || options.credentials.is_some() {
        return Err(invalid("an isolated connection takes neither a profile nor credentials"));
    }
    let region = options.region.clone().unwrap_or_else(|| DEFAULT_REGION.to_owned());
    let mut builder = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .endpoint_url(url.as_str().trim_end_matches('/'))
        .http_client(bounded(aws_smithy_http_client::Builder::new().build_http()))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::from_keys(
            "testing", "testing", None,
        )))
        .use_fips(false)
        .use_dual_stack(false);
    // as a value given in code: it wins over everything, whatever a later SDK may read
    builder.insert_origin("endpoint_url", Origin::shared_config());
    Ok(builder.build())
}

/// The SDK's own chain: environment, profile, metadata service. A profile that is named wins over all of it:
/// the chain would take keys from the environment first, and so work in another account than the one named.
async fn from_chain(options: &ConnectOptions) -> Result<SdkConfig, CloudError> {
    let client = bounded(names::client());
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(client.clone());
    if let Some(profile) = &options.profile {
        let provider = ProfileFileCredentialsProvider::builder().profile_name(profile);
        // a role of the profile is assumed in the region that is worked in
        let region = match &options.region {
            Some(region) => Some(Region::new(region.clone())),
            None => DefaultRegionChain::builder().profile_name(profile).build().region().await,
        };
        let parts = ProviderConfig::default().with_region(region).with_http_client(client);
        let provider = provider.configure(&parts).build();
        loader = loader.profile_name(profile).credentials_provider(provider);
    }
    if let Some(region) = &options.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(endpoint) = &options.endpoint_url {
        loader = loader.endpoint_url(endpoint_url(endpoint)?.as_str().trim_end_matches('/'));
    }
    if let Some(keys) = &options.credentials {
        loader =
            loader.credentials_provider(Credentials::from_keys(&keys.access_key, keys.secret.expose(), None));
    }
    let config = loader.load().await;
    // The SDK drops an endpoint that it cannot parse and then calls AWS itself.
    if let Ok(endpoint) = std::env::var("AWS_ENDPOINT_URL")
        && !endpoint.is_empty()
    {
        endpoint_url(&endpoint)?;
    }
    Ok(config)
}

/// What both ways share: the application's name, the program's clock, and a note of how long the
/// credentials last.
fn finish(
    base: SdkConfig,
    options: &ConnectOptions,
    clock: Arc<dyn Clock>,
    lives: &Lives,
) -> Result<SdkConfig, CloudError> {
    let provider = base.credentials_provider();
    let mut builder = base.into_builder().time_source(ProgramClock(clock));
    if let Some(name) = &options.app_name {
        let name = AppName::new(name.clone()).map_err(|error| {
            CloudError::new(
                CONNECT,
                ErrorKind::Invalid,
                format!("the user agent cannot carry `{name}`: {error}"),
            )
        })?;
        builder = builder.app_name(name);
    }
    if let Some(inner) = provider {
        builder = builder.credentials_provider(lives.watching(inner));
    }
    Ok(builder.build())
}

/// Looks at the way to AWS. Where it is proven, the clients take the same roots only from then on.
async fn proven(base: SdkConfig, region: &str, now: DateTime<Utc>) -> (SdkConfig, Option<EndpointProof>) {
    let set = endpoints(&base);
    let hosts = hosts(&base, region, &set);
    let way = Way::of_sdk(now);
    let proof = way.look(&hosts, endpoint::settings(&set)).await;
    if proof.doubt().is_some() {
        return (base, Some(proof));
    }
    let store = TrustStore::empty().with_pem_certificate(way.pinned());
    let Ok(context) = TlsContext::builder().with_trust_store(store).build() else {
        return (base, Some(proof));
    };
    let client = aws_smithy_http_client::Builder::new().build_with_connector_fn(move |settings, parts| {
        let mut connector = Connector::builder()
            .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(parts.and_then(RuntimeComponents::sleep_impl));
        // as the SDK's own: another service may be behind a proxy
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    });
    (base.into_builder().http_client(bounded(client)).build(), Some(proof))
}

/// The hosts of the services that redrill calls, STS first. They share a form with STS's, which the SDK's
/// own rules give; those that are set are taken as they are.
fn hosts(config: &SdkConfig, region: &str, set: &[String]) -> Vec<String> {
    let host = |url: &str| {
        reqwest::Url::parse(url).ok().and_then(|u| u.host_str().map(|h| h.trim_end_matches('.').to_owned()))
    };
    let flag = |set: Option<bool>| set.unwrap_or(false);
    let params = aws_sdk_sts::config::endpoint::Params::builder()
        .region(region)
        .use_fips(flag(config.use_fips()))
        .use_dual_stack(flag(config.use_dual_stack()))
        .build();
    let usual = params.ok().and_then(|params| {
        let resolver = aws_sdk_sts::config::endpoint::DefaultResolver::new();
        ResolveEndpoint::resolve_endpoint(&resolver, &params).now_or_never()?.ok()
    });
    let usual = usual.and_then(|endpoint| host(endpoint.url()));
    let mut all: Vec<String> = Vec::new();
    // one for all services, or of one: then the others are where they usually are
    if config.endpoint_url().is_none() {
        all.extend(usual.clone());
        for service in ENDPOINT_PREFIXES.iter().filter(|s| !["sts", "cloudfront", "iam"].contains(s)) {
            let rest = usual.as_deref().and_then(|host| host.strip_prefix("sts"));
            all.extend(rest.map(|rest| format!("{service}{rest}")));
        }
    }
    for set in set.iter().filter_map(|url| host(url)) {
        let service = |host: &str| host.split('.').any(|label| label == "sts" || label == "sts-fips");
        if service(&set) { all.insert(0, set) } else { all.push(set) }
    }
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|host| seen.insert(host.clone()));
    all
}

/// Whether any service has an endpoint set, asked the way the clients ask.
fn overridden(config: &SdkConfig) -> bool {
    !endpoints(config).is_empty()
}

/// Whether any service goes anywhere but to AWS: a private endpoint of AWS (PrivateLink) is AWS.
fn elsewhere(config: &SdkConfig) -> bool {
    endpoints(config).iter().any(|url| !is_aws(url))
}

/// By service, the endpoint that its client takes, where that is not AWS's own: one that is given in code
/// wins over a service's own of the environment or the profile, and that over the one for all services.
fn in_force(config: &SdkConfig) -> BTreeMap<String, String> {
    let given = config.get_origin("endpoint_url").is_client_config();
    let of = |service: &str| {
        let own = config.service_config().filter(|_| !given).and_then(|settings| {
            let key = ServiceConfigKey::builder()
                .service_id(service)
                .env("AWS_ENDPOINT_URL")
                .profile("endpoint_url");
            key.build().ok().and_then(|key| settings.load_config(key))
        });
        own.or_else(|| config.endpoint_url().map(str::to_owned)).filter(|url| !is_aws(url))
    };
    let each: BTreeMap<String, String> =
        SERVICES.iter().filter_map(|service| Some(((*service).to_owned(), of(service)?))).collect();
    match each.values().next() {
        Some(one) if each.len() == SERVICES.len() && each.values().all(|url| url == one) => {
            BTreeMap::from([(ALL_SERVICES.to_owned(), one.clone())])
        }
        _ => each,
    }
}

/// Every endpoint that is set, for all services or for one.
fn endpoints(config: &SdkConfig) -> Vec<String> {
    let mut found: Vec<String> = config.endpoint_url().map(str::to_owned).into_iter().collect();
    if let Some(settings) = config.service_config() {
        found.extend(SERVICES.iter().filter_map(|service| {
            ServiceConfigKey::builder()
                .service_id(service)
                .env("AWS_ENDPOINT_URL")
                .profile("endpoint_url")
                .build()
                .ok()
                .and_then(|key| settings.load_config(key))
        }));
    }
    found
}

fn endpoint_url(text: &str) -> Result<reqwest::Url, CloudError> {
    let invalid = |why: &str| CloudError::new(CONNECT, ErrorKind::Invalid, format!("the endpoint URL {why}"));
    let url = reqwest::Url::parse(text).map_err(|_| invalid("is not a URL like http://127.0.0.1:5000"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(invalid("is not a URL like http://127.0.0.1:5000"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("holds a user name or password"));
    }
    // it stands in plan, journal and output as it is
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("holds a query or a fragment, which no AWS endpoint has"));
    }
    Ok(url)
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The SDK signs with the time that the rest of the program sees.
struct ProgramClock(Arc<dyn Clock>);

impl std::fmt::Debug for ProgramClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProgramClock")
    }
}

impl TimeSource for ProgramClock {
    fn now(&self) -> SystemTime {
        self.0.now().into()
    }
}

#[cfg(test)]
mod tests;
