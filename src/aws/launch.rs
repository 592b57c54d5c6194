//! What RunInstances is asked for, from a [`LaunchSpec`]. Pure.
//!
//! For: launching one instance like another. Not for: guessing; what the record of the old instance
//! does not say is left to the image, the subnet and the account's defaults. Invariant: a parameter
//! that AWS reports but does not take back (the IOPS of a gp2 volume) is never sent.

use aws_sdk_ec2::types as sdk;

use super::{non_empty, settable};
use crate::cloud::{BlockDevice, LaunchSpec, Settings, Volume};
use crate::model::Tags;

/// Block device mappings for the volumes, the root device among them.
pub(super) fn block_devices(spec: &LaunchSpec) -> Option<Vec<sdk::BlockDeviceMapping>> {
    let mappings: Vec<_> = spec.volumes.iter().map(|(device, volume)| mapping(device, volume)).collect();
    (!mappings.is_empty()).then_some(mappings)
}

fn mapping(device: &BlockDevice, volume: &Volume) -> sdk::BlockDeviceMapping {
    let kind = volume.volume_type.as_str();
    let iops = volume.iops.filter(|_| matches!(kind, "gp3" | "io1" | "io2"));
    let throughput = volume.throughput.filter(|_| kind == "gp3");
    let ebs = sdk::EbsBlockDevice::builder()
        .set_volume_size((volume.size_gib > 0).then_some(volume.size_gib))
        .set_volume_type(non_empty(Some(kind)).map(|kind| sdk::VolumeType::from(kind.as_str())))
        .set_iops(iops)
        .set_throughput(throughput)
        .delete_on_termination(device.delete_on_termination)
        // `false` is refused where the snapshot is encrypted, and means nothing elsewhere
        .set_encrypted(volume.encrypted.then_some(true))
        .set_kms_key_id(volume.kms_key.clone().filter(|_| volume.encrypted))
        .build();
    sdk::BlockDeviceMapping::builder().device_name(&device.device).ebs(ebs).build()
}

/// Tags at launch for the instance, its volumes and its interfaces.
pub(super) fn tag_specifications(spec: &LaunchSpec) -> Option<Vec<sdk::TagSpecification>> {
    let mut kinds =
        vec![(sdk::ResourceType::Instance, &spec.tags), (sdk::ResourceType::NetworkInterface, &spec.tags)];
    if spec.like.root_device_type != "instance-store" || !spec.volumes.is_empty() {
        kinds.push((sdk::ResourceType::Volume, &spec.volume_tags));
    }
    let specs: Vec<_> = kinds.into_iter().filter_map(|(kind, tags)| tagged(kind, tags)).collect();
    (!specs.is_empty()).then_some(specs)
}

/// Tags for one kind of resource at its creation.
pub(super) fn tagged(kind: sdk::ResourceType, tags: &Tags) -> Option<sdk::TagSpecification> {
    let tags: Vec<_> = settable(tags).map(|(k, v)| sdk::Tag::builder().key(k).value(v).build()).collect();
    (!tags.is_empty())
        .then(|| sdk::TagSpecification::builder().resource_type(kind).set_tags(Some(tags)).build())
}

/// The interface, where it must say whether it has a public address: then EC2 takes subnet, groups and private address
/// from it alone.
pub(super) fn interfaces(spec: &LaunchSpec) -> Option<Vec<sdk::InstanceNetworkInterfaceSpecification>> {
    let (subnet, public) = (spec.like.subnet.as_ref()?, spec.public_ip?);
    let groups = Some(spec.like.security_groups.clone()).filter(|groups| !groups.is_empty());
    let one = sdk::InstanceNetworkInterfaceSpecification::builder()
        .device_index(0)
        .associate_public_ip_address(public)
        .delete_on_termination(true)
        .subnet_id(subnet)
        .set_groups(groups)
        .set_private_ip_address(spec.private_ip.clone())
        .set_ipv6_address_count(spec.like.settings.primary_six.then_some(1))
        .set_primary_ipv6(spec.like.settings.primary_six.then_some(true));
    Some(vec![one.build()])
}

/// Options of the metadata service, where anything is known of the old ones. Where it is switched off, nothing else is
/// said of it: EC2 takes no other option then.
pub(super) fn metadata(spec: &LaunchSpec) -> Option<sdk::InstanceMetadataOptionsRequest> {
    let (like, settings) = (&spec.like, &spec.like.settings);
    if like.metadata_endpoint.as_deref() == Some("disabled") {
        let off = sdk::InstanceMetadataEndpointState::Disabled;
        return Some(sdk::InstanceMetadataOptionsRequest::builder().http_endpoint(off).build());
    }
    let texts =
        [&like.metadata_tokens, &like.metadata_endpoint, &settings.metadata_tags, &settings.metadata_ipv6];
    (texts.iter().any(|t| t.is_some()) || like.metadata_hop_limit.is_some()).then(|| {
        sdk::InstanceMetadataOptionsRequest::builder()
            .set_http_tokens(like.metadata_tokens.as_deref().map(sdk::HttpTokensState::from))
            .set_http_put_response_hop_limit(like.metadata_hop_limit)
            .set_http_endpoint(
                like.metadata_endpoint.as_deref().map(sdk::InstanceMetadataEndpointState::from),
            )
            .set_instance_metadata_tags(
                settings.metadata_tags.as_deref().map(sdk::InstanceMetadataTagsState::from),
            )
            .set_http_protocol_ipv6(
                settings.metadata_ipv6.as_deref().map(sdk::InstanceMetadataProtocolState::from),
            )
            .build()
    })
}

/// Tenancy, host, placement group, and the zone where no subnet implies it.
pub(super) fn placement(spec: &LaunchSpec) -> Option<sdk::Placement> {
    let settings = &spec.like.settings;
    let tenancy = spec.like.tenancy.as_deref().filter(|tenancy| *tenancy != "default");
    let zone = non_empty(Some(&spec.like.zone)).filter(|_| spec.like.subnet.is_none());
    // one or the other; a group that another account shares is known by its id alone
    let group = settings.placement_group.clone().filter(|_| settings.placement_group_id.is_none());
    let texts = [&zone, &group, &settings.placement_group_id, &settings.host, &settings.host_group];
    (tenancy.is_some() || texts.iter().any(|t| t.is_some())).then(|| {
        sdk::Placement::builder()
            .set_tenancy(tenancy.map(sdk::Tenancy::from))
            .set_availability_zone(zone)
            .set_group_name(group)
            .set_group_id(settings.placement_group_id.clone())
            .set_partition_number(settings.partition)
            .set_affinity(settings.host.as_ref().map(|_| "host".to_owned()))
            .set_host_id(settings.host.clone())
            // a group of hosts picks the host
            .set_host_resource_group_arn(settings.host_group.clone().filter(|_| settings.host.is_none()))
            .build()
    })
}

/// Cores and threads, where they are not those of the type.
pub(super) fn cpu(settings: &Settings) -> Option<sdk::CpuOptionsRequest> {
    let snp = settings.sev_snp.as_deref().filter(|snp| *snp == "enabled");
    let nested = settings.nested.as_deref().filter(|nested| *nested == "enabled");
    let known = settings.cores.is_some() || settings.threads.is_some();
    (known || snp.is_some() || nested.is_some()).then(|| {
        sdk::CpuOptionsRequest::builder()
            .set_core_count(settings.cores)
            .set_threads_per_core(settings.threads)
            .set_amd_sev_snp(snp.map(sdk::AmdSevSnpSpecification::from))
            .set_nested_virtualization(nested.map(sdk::NestedVirtualizationSpecification::from))
            .build()
    })
}

/// CPU credits.
pub(super) fn credits(spec: &LaunchSpec) -> Option<sdk::CreditSpecificationRequest> {
    let credits = spec.credits.as_ref()?;
    Some(sdk::CreditSpecificationRequest::builder().cpu_credits(credits).build())
}

/// The kind of host name, and the records of the resource name.
pub(super) fn dns_names(settings: &Settings) -> Option<sdk::PrivateDnsNameOptionsRequest> {
    let hostname = settings.hostname.as_deref().map(sdk::HostnameType::from);
    (hostname.is_some() || settings.record_a.is_some() || settings.record_aaaa.is_some()).then(|| {
        sdk::PrivateDnsNameOptionsRequest::builder()
            .set_hostname_type(hostname)
            .set_enable_resource_name_dns_a_record(settings.record_a)
            .set_enable_resource_name_dns_aaaa_record(settings.record_aaaa)
            .build()
    })
}

/// Nitro Enclaves.
pub(super) fn enclave(settings: &Settings) -> Option<sdk::EnclaveOptionsRequest> {
    settings.enclave.then(|| sdk::EnclaveOptionsRequest::builder().enabled(true).build())
}

/// Hibernation.
pub(super) fn hibernation(settings: &Settings) -> Option<sdk::HibernationOptionsRequest> {
    settings.hibernation.then(|| sdk::HibernationOptionsRequest::builder().configured(true).build())
}

/// Automatic recovery, where it is off.
pub(super) fn maintenance(settings: &Settings) -> Option<sdk::InstanceMaintenanceOptionsRequest> {
    let off = sdk::InstanceAutoRecoveryState::Disabled;
    settings
        .recovery_off
        .then(|| sdk::InstanceMaintenanceOptionsRequest::builder().auto_recovery(off).build())
}

/// How bandwidth is shared out, where it is not as usual.
pub(super) fn bandwidth(settings: &Settings) -> Option<sdk::InstanceNetworkPerformanceOptionsRequest> {
    let weighting = sdk::InstanceBandwidthWeighting::from(settings.bandwidth.as_deref()?);
    let options = sdk::InstanceNetworkPerformanceOptionsRequest::builder();
    Some(options.bandwidth_weighting(weighting).build())
}

/// License configurations.
pub(super) fn licenses(settings: &Settings) -> Option<Vec<sdk::LicenseConfigurationRequest>> {
    let one =
        |arn: &String| sdk::LicenseConfigurationRequest::builder().license_configuration_arn(arn).build();
    Some(settings.licenses.iter().map(one).collect::<Vec<_>>()).filter(|all| !all.is_empty())
}

/// A Spot instance is replaced by a Spot instance.
pub(super) fn market(spec: &LaunchSpec) -> Option<sdk::InstanceMarketOptionsRequest> {
    (spec.like.lifecycle.as_deref() == Some("spot"))
        .then(|| sdk::InstanceMarketOptionsRequest::builder().market_type(sdk::MarketType::Spot).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(kind: &str) -> Volume {
        Volume {
            volume_type: kind.to_owned(),
            size_gib: 20,
            iops: Some(3000),
            throughput: Some(125),
            kms_key: Some("key".to_owned()),
            ..Volume::default()
        }
    }

    fn device() -> BlockDevice {
        BlockDevice {
            device: "/dev/xvda".to_owned(),
            volume: "vol-1".to_owned(),
            delete_on_termination: true,
        }
    }

    #[test]
    fn only_what_a_volume_type_takes_is_sent() {
        let sent = |kind: &str| {
            let mapping = mapping(&device(), &volume(kind));
            let ebs = mapping.ebs().unwrap();
            (ebs.iops(), ebs.throughput(), ebs.encrypted(), ebs.kms_key_id().is_some())
        };
        assert_eq!(sent("gp2"), (None, None, None, false));
        assert_eq!(sent("io2"), (Some(3000), None, None, false));
        assert_eq!(sent("gp3"), (Some(3000), Some(125), None, false));
        let encrypted = mapping(&device(), &Volume { encrypted: true, ..volume("gp2") });
        assert_eq!(encrypted.ebs().and_then(|e| e.kms_key_id()), Some("key"));
    }

    #[test]
    fn an_interface_says_all_of_the_network_or_is_left_out() {
        let mut spec = LaunchSpec { private_ip: Some("10.0.0.9".to_owned()), ..LaunchSpec::default() };
        (spec.like.subnet, spec.like.security_groups) =
            (Some("subnet-1".to_owned()), vec!["sg-1".to_owned()]);
        assert_eq!(interfaces(&spec), None);
        spec.public_ip = Some(false);
        let one = interfaces(&spec).unwrap().remove(0);
        assert_eq!((one.associate_public_ip_address(), one.device_index()), (Some(false), Some(0)));
        assert_eq!((one.subnet_id(), one.private_ip_address()), (Some("subnet-1"), Some("10.0.0.9")));
        assert_eq!((one.groups(), one.delete_on_termination()), (&["sg-1".to_owned()][..], Some(true)));
    }

    #[test]
    fn a_primary_ipv6_address_is_asked_for_where_the_original_has_one() {
        let config = aws_sdk_ec2::Config::builder().behavior_version_latest().build();
        let client = aws_sdk_ec2::Client::from_conf(config);
        for six in [false, true] {
            let mut spec = LaunchSpec::default();
            spec.like.settings.primary_six = six;
            let asked = (six.then_some(1), six.then_some(true));
            let call = super::super::ec2_launch::run_instances(&client, &spec);
            let sent = call.as_input().clone().build().unwrap();
            assert_eq!((sent.ipv6_address_count(), sent.enable_primary_ipv6()), asked);
            (spec.like.subnet, spec.public_ip) = (Some("subnet-1".to_owned()), Some(false));
            let call = super::super::ec2_launch::run_instances(&client, &spec);
            let sent = call.as_input().clone().build().unwrap();
            assert_eq!((sent.ipv6_address_count(), sent.enable_primary_ipv6()), (None, None));
            let one = &sent.network_interfaces()[0];
            assert_eq!((one.ipv6_address_count(), one.primary_ipv6()), asked);
        }
    }

    #[test]
    fn a_metadata_service_that_is_off_is_said_to_be_off_and_nothing_else() {
        let mut spec = LaunchSpec::default();
        (spec.like.metadata_tokens, spec.like.metadata_hop_limit) = (Some("required".to_owned()), Some(2));
        spec.like.settings.metadata_tags = Some("disabled".to_owned());
        spec.like.metadata_endpoint = Some("enabled".to_owned());
        assert_eq!(metadata(&spec).unwrap().http_put_response_hop_limit(), Some(2));
        spec.like.metadata_endpoint = Some("disabled".to_owned());
        let off = sdk::InstanceMetadataOptionsRequest::builder()
            .http_endpoint(sdk::InstanceMetadataEndpointState::Disabled)
            .build();
        assert_eq!(metadata(&spec), Some(off));
    }

    #[test]
    fn a_placement_group_is_named_by_its_id_where_that_is_known() {
        let mut spec = LaunchSpec::default();
        spec.like.settings.placement_group = Some("together".to_owned());
        let of = |spec: &LaunchSpec| {
            let placed = placement(spec).unwrap();
            (placed.group_name().map(str::to_owned), placed.group_id().map(str::to_owned))
        };
        assert_eq!(of(&spec), (Some("together".to_owned()), None));
        spec.like.settings.placement_group_id = Some("pg-1".to_owned());
        assert_eq!(of(&spec), (None, Some("pg-1".to_owned())));
    }

    #[test]
    fn what_a_processor_and_a_network_are_set_to_is_asked_for() {
        let mut settings = Settings { nested: Some("disabled".to_owned()), ..Settings::default() };
        assert_eq!((cpu(&settings), bandwidth(&settings)), (None, None));
        settings.nested = Some("enabled".to_owned());
        settings.bandwidth = Some("vpc-1".to_owned());
        let nested = cpu(&settings).unwrap();
        assert_eq!(nested.nested_virtualization().map(|n| n.as_str()), Some("enabled"));
        let weighting = bandwidth(&settings).unwrap();
        assert_eq!(weighting.bandwidth_weighting().map(|w| w.as_str()), Some("vpc-1"));
    }

    #[test]
    fn tags_of_aws_are_left_out() {
        let mut spec = LaunchSpec::default();
        spec.tags.insert("aws:cloudformation:stack-name".to_owned(), "shop".to_owned());
        assert!(tag_specifications(&spec).is_none());
        spec.tags.insert("Name".to_owned(), "web".to_owned());
        spec.volume_tags.insert("Name".to_owned(), "web root".to_owned());
        let specs = tag_specifications(&spec).unwrap();
        assert_eq!(specs.len(), 3);
        assert!(specs.iter().all(|s| s.tags().len() == 1));
    }
}
