//! What a launch needs to be there, and EC2's DryRun. I/O; see the module above for what holds everywhere.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types as sdk;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use super::error::failed_read;
use super::{launch, non_empty};
use crate::cloud::{
    CloudError, CloudResult, DryRun, ErrorKind, Image, InstanceType, LaunchSpec, Mutation, Offering, Page,
    Settings, StatusChecks,
};

/// A filter takes at most 200 values.
const VALUES: usize = 200;
/// Names in one DescribeInstanceTypes call.
const TYPES: usize = 100;
/// Ids in one DescribeInstanceCreditSpecifications call.
const CREDITS: usize = 1000;
/// Ids in one DescribeInstanceStatus call.
const STATUSES: usize = 100;

/// Asks EC2 whether it would make a change. The client may repeat itself: nothing is ever made.
pub(super) struct Ec2DryRun {
    pub(super) client: Client,
}

#[async_trait]
impl DryRun for Ec2DryRun {
    async fn would(&self, mutation: &Mutation) -> CloudResult<()> {
        let op = mutation.operation();
        let Mutation::RunInstances { spec, .. } = mutation else {
            return Err(CloudError::new(op, ErrorKind::Other, "nobody asks this of AWS"));
        };
        match run_instances(&self.client, spec).dry_run(true).send().await {
            Err(e) if e.as_service_error().and_then(|e| e.code()) == Some("DryRunOperation") => Ok(()),
            Err(e) => Err(failed_read(op)(e)),
            Ok(_) => Err(CloudError::new(
                op,
                ErrorKind::Unreadable,
                "a request with DryRun was answered as if without",
            )),
        }
    }
}

/// RunInstances for one instance, but for its ClientToken.
pub(super) fn run_instances(client: &Client, spec: &LaunchSpec) -> RunInstancesFluentBuilder {
    let like = &spec.like;
    let profile =
        like.profile_arn.as_ref().map(|arn| sdk::IamInstanceProfileSpecification::builder().arn(arn).build());
    let interfaces = launch::interfaces(spec);
    let alone = interfaces.is_none();
    let primary_six = like.settings.primary_six;
    client
        .run_instances()
        .min_count(1)
        .max_count(1)
        .image_id(&like.image)
        .instance_type(sdk::InstanceType::from(like.instance_type.as_str()))
        .set_subnet_id(like.subnet.clone().filter(|_| alone))
        .set_security_group_ids(
            Some(like.security_groups.clone()).filter(|groups| alone && !groups.is_empty()),
        )
        .set_private_ip_address(spec.private_ip.clone().filter(|_| alone))
        .set_ipv6_address_count((alone && primary_six).then_some(1))
        .set_enable_primary_ipv6((alone && primary_six).then_some(true))
        .set_network_interfaces(interfaces)
        .set_key_name(like.key_name.clone())
        .set_iam_instance_profile(profile)
        .set_user_data(spec.user_data.clone())
        .set_block_device_mappings(launch::block_devices(spec))
        .set_metadata_options(launch::metadata(spec))
        .set_placement(launch::placement(spec))
        .set_instance_market_options(launch::market(spec))
        .set_ebs_optimized(like.ebs_optimized.then_some(true))
        .monitoring(sdk::RunInstancesMonitoringEnabled::builder().enabled(like.monitoring).build())
        .set_disable_api_termination(spec.disable_api_termination.then_some(true))
        .set_tag_specifications(launch::tag_specifications(spec))
        .set_cpu_options(launch::cpu(&like.settings))
        .set_credit_specification(launch::credits(spec))
        .set_private_dns_name_options(launch::dns_names(&like.settings))
        .set_enclave_options(launch::enclave(&like.settings))
        .set_hibernation_options(launch::hibernation(&like.settings))
        .set_maintenance_options(launch::maintenance(&like.settings))
        .set_network_performance_options(launch::bandwidth(&like.settings))
        .set_license_specifications(launch::licenses(&like.settings))
        .set_instance_initiated_shutdown_behavior(spec.shutdown.as_deref().map(sdk::ShutdownBehavior::from))
}

pub(super) async fn images(client: &Client, ids: &[String]) -> CloudResult<Vec<Image>> {
    let call = client.describe_images().set_image_ids(Some(ids.to_vec()));
    let call = call.include_deprecated(true).include_disabled(true);
    let out = call.send().await.map_err(failed_read("ec2:DescribeImages"))?;
    let image = |i: &sdk::Image| Image {
        id: i.image_id().unwrap_or_default().to_owned(),
        state: i.state().map(ToString::to_string).unwrap_or_default(),
    };
    Ok(out.images().iter().map(image).collect())
}

pub(super) async fn key_pairs(client: &Client, names: &[String]) -> CloudResult<Vec<String>> {
    let mut found = Vec::new();
    // named by a filter, those that are not there are no error
    for some in names.chunks(VALUES) {
        let filter = sdk::Filter::builder().name("key-name").set_values(Some(some.to_vec())).build();
        let out = client.describe_key_pairs().filters(filter).send().await;
        let out = out.map_err(failed_read("ec2:DescribeKeyPairs"))?;
        found.extend(out.key_pairs().iter().filter_map(|k| non_empty(k.key_name())));
    }
    Ok(found)
}

pub(super) async fn offerings(
    client: &Client,
    types: &[String],
    page: Option<String>,
) -> CloudResult<Page<Offering>> {
    let filter = sdk::Filter::builder().name("instance-type").set_values(Some(types.to_vec())).build();
    let out = client
        .describe_instance_type_offerings()
        .location_type(sdk::LocationType::AvailabilityZone)
        .filters(filter)
        .max_results(1000)
        .set_next_token(page)
        .send()
        .await
        .map_err(failed_read("ec2:DescribeInstanceTypeOfferings"))?;
    let offering = |o: &sdk::InstanceTypeOffering| Offering {
        instance_type: o.instance_type().map(ToString::to_string).unwrap_or_default(),
        zone: o.location().unwrap_or_default().to_owned(),
    };
    Ok(Page {
        items: out.instance_type_offerings().iter().map(offering).collect(),
        next: non_empty(out.next_token()),
    })
}

pub(super) async fn instance_types(client: &Client, names: &[String]) -> CloudResult<Vec<InstanceType>> {
    let mut found = Vec::new();
    for some in names.chunks(TYPES) {
        let types = some.iter().map(|name| sdk::InstanceType::from(name.as_str())).collect();
        let out = client.describe_instance_types().set_instance_types(Some(types)).send().await;
        let out = out.map_err(failed_read("ec2:DescribeInstanceTypes"))?;
        found.extend(out.instance_types().iter().map(|t| InstanceType {
            name: t.instance_type().map(ToString::to_string).unwrap_or_default(),
            cores: t.v_cpu_info().and_then(|v| v.default_cores()),
            threads: t.v_cpu_info().and_then(|v| v.default_threads_per_core()),
            storage: t.instance_storage_supported().unwrap_or(false),
        }));
    }
    Ok(found)
}

/// The types of EC2 Fleets by their ids; of a fleet that is not known any more there is none.
pub(super) async fn fleets(client: &Client, ids: &[String]) -> CloudResult<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for id in ids {
        // one that is gone would spoil the call for all
        let out =
            client.describe_fleets().fleet_ids(id).send().await.map_err(failed_read("ec2:DescribeFleets"));
        match out {
            Ok(out) => {
                // one that was deleted launches nothing any more, also while its instances run on ("deleted_running")
                let ends = |f: &&sdk::FleetData| {
                    let state = f.fleet_state().map_or("", |s| s.as_str());
                    state.starts_with("deleted") || state == "failed"
                };
                let all = out.fleets().iter().filter(|f| !ends(f));
                found.extend(all.filter_map(|f| Some((f.fleet_id()?.to_owned(), f.r#type()?.to_string()))));
            }
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

pub(super) async fn credits(client: &Client, ids: &[String]) -> CloudResult<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for some in ids.chunks(CREDITS) {
        let call = client.describe_instance_credit_specifications().set_instance_ids(Some(some.to_vec()));
        let out = call.send().await.map_err(failed_read("ec2:DescribeInstanceCreditSpecifications"))?;
        let all = out.instance_credit_specifications().iter();
        found.extend(all.filter_map(|c| Some((c.instance_id()?.to_owned(), c.cpu_credits()?.to_owned()))));
    }
    Ok(found)
}

/// What most instances do not have.
pub(super) fn settings(i: &sdk::Instance) -> Settings {
    let (metadata, cpu, dns, place) =
        (i.metadata_options(), i.cpu_options(), i.private_dns_name_options(), i.placement());
    let mut nics: Vec<_> = i.network_interfaces().iter().collect();
    nics.sort_by_key(|n| n.attachment().and_then(|a| a.device_index()).unwrap_or_default());
    let further = nics.iter().flat_map(|n| {
        let own = n.private_ip_addresses().iter().filter(|a| a.primary() != Some(true));
        let own = own.filter_map(|a| non_empty(a.private_ip_address()));
        let six = n.ipv6_addresses().iter().filter_map(|a| non_empty(a.ipv6_address()));
        let prefixes = n.ipv4_prefixes().iter().filter_map(|p| non_empty(p.ipv4_prefix()));
        let prefixes_six = n.ipv6_prefixes().iter().filter_map(|p| non_empty(p.ipv6_prefix()));
        own.chain(six).chain(prefixes).chain(prefixes_six).collect::<Vec<_>>()
    });
    let reservation = i.capacity_reservation_specification().and_then(|c| c.capacity_reservation_target());
    let reservation = reservation
        .and_then(|t| t.capacity_reservation_id().or(t.capacity_reservation_resource_group_arn()))
        .or(i.capacity_block_id());
    let always_on = place.filter(|p| p.affinity() == Some("host"));
    Settings {
        metadata_tags: metadata.and_then(|m| m.instance_metadata_tags()).map(ToString::to_string),
        metadata_ipv6: metadata.and_then(|m| m.http_protocol_ipv6()).map(ToString::to_string),
        cores: cpu.and_then(|c| c.core_count()),
        threads: cpu.and_then(|c| c.threads_per_core()),
        sev_snp: cpu.and_then(|c| c.amd_sev_snp()).map(ToString::to_string),
        nested: cpu.and_then(|c| c.nested_virtualization()).map(ToString::to_string),
        hostname: dns.and_then(|d| d.hostname_type()).map(ToString::to_string),
        record_a: dns.and_then(|d| d.enable_resource_name_dns_a_record()),
        record_aaaa: dns.and_then(|d| d.enable_resource_name_dns_aaaa_record()),
        placement_group: place.and_then(|p| non_empty(p.group_name())),
        placement_group_id: place.and_then(|p| non_empty(p.group_id())),
        partition: place.and_then(|p| p.partition_number()).filter(|n| *n > 0),
        host: always_on.and_then(|p| non_empty(p.host_id())),
        host_group: place.and_then(|p| non_empty(p.host_resource_group_arn())),
        enclave: i.enclave_options().and_then(|e| e.enabled()).unwrap_or(false),
        hibernation: i.hibernation_options().and_then(|h| h.configured()).unwrap_or(false),
        recovery_off: i.maintenance_options().and_then(|m| m.auto_recovery())
            == Some(&sdk::InstanceAutoRecoveryState::Disabled),
        licenses: i.licenses().iter().filter_map(|l| non_empty(l.license_configuration_arn())).collect(),
        bandwidth: i
            .network_performance_options()
            .and_then(|n| n.bandwidth_weighting())
            .map(ToString::to_string)
            .filter(|weighting| weighting != "default"),
        reservation: non_empty(reservation),
        forwards: i.source_dest_check() == Some(false),
        interfaces: nics.iter().filter_map(|n| non_empty(n.network_interface_id())).collect(),
        staying: nics
            .iter()
            .filter(|n| n.attachment().and_then(|a| a.delete_on_termination()) == Some(false))
            .filter_map(|n| non_empty(n.network_interface_id()))
            .collect(),
        primary_six: nics
            .first()
            .is_some_and(|n| n.ipv6_addresses().iter().any(|a| a.is_primary_ipv6() == Some(true))),
        addresses: further.collect(),
        operator: i
            .operator()
            .filter(|o| o.managed() == Some(true))
            .map(|o| o.principal().unwrap_or("an AWS service").to_owned()),
    }
}

pub(super) async fn status_checks(client: &Client, ids: &[String]) -> CloudResult<Vec<StatusChecks>> {
    let mut found = Vec::new();
    let text = |s: Option<&sdk::InstanceStatusSummary>| {
        s.and_then(|s| s.status()).map(ToString::to_string).unwrap_or_default()
    };
    for some in ids.chunks(STATUSES) {
        let out = client.describe_instance_status().set_instance_ids(Some(some.to_vec())).send().await;
        let out = out.map_err(failed_read("ec2:DescribeInstanceStatus"))?;
        found.extend(out.instance_statuses().iter().map(|s| StatusChecks {
            id: s.instance_id().unwrap_or_default().to_owned(),
            instance: text(s.instance_status()),
            system: text(s.system_status()),
        }));
    }
    Ok(found)
}
