//! EC2 and VPC reads over the SDK. I/O; see the module above for what holds everywhere.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::types as sdk;
use chrono::{DateTime, NaiveDateTime, Utc};

use super::error::failed_read;
use super::{ec2_launch, non_empty, time};
use crate::cloud::{
    Address, Association, BlockDevice, CloudResult, Ec2, Filter, Image, Instance, InstanceAttribute,
    InstanceType, Interface, InterfacesOf, NatGateway, Offering, Page, Route, RouteTable, StatusChecks,
    Subnet, Volume,
};
use crate::model::Tags;

/// The largest page that EC2 gives.
const PAGE: i32 = 1000;

/// Reads of EC2.
pub(super) struct Ec2Reads {
    pub(super) client: Client,
}

#[async_trait]
impl Ec2 for Ec2Reads {
    async fn instances(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<Instance>> {
        let out = self
            .client
            .describe_instances()
            .set_instance_ids(ids(&filter.ids))
            .set_filters(tag_filters(filter))
            .set_max_results(page_size(&filter.ids))
            .set_next_token(page)
            .send()
            .await
            .map_err(failed_read("ec2:DescribeInstances"))?;
        let items = out.reservations().iter().flat_map(sdk::Reservation::instances).map(instance).collect();
        Ok(Page { items, next: non_empty(out.next_token()) })
    }

    async fn attribute(&self, id: &str, which: InstanceAttribute) -> CloudResult<Option<String>> {
        use sdk::InstanceAttributeName as Name;
        let name = match which {
            InstanceAttribute::TerminationProtection => Name::DisableApiTermination,
            InstanceAttribute::StopProtection => Name::DisableApiStop,
            InstanceAttribute::UserData => Name::UserData,
            InstanceAttribute::Shutdown => Name::InstanceInitiatedShutdownBehavior,
        };
        let ask = self.client.describe_instance_attribute().instance_id(id).attribute(name);
        let out = ask.send().await.map_err(failed_read("ec2:DescribeInstanceAttribute"))?;
        let on = |value: Option<&sdk::AttributeBooleanValue>| Some(value?.value()?.to_string());
        Ok(match which {
            InstanceAttribute::TerminationProtection => on(out.disable_api_termination()),
            InstanceAttribute::StopProtection => on(out.disable_api_stop()),
            InstanceAttribute::UserData => non_empty(out.user_data().and_then(|v| v.value())),
            InstanceAttribute::Shutdown => {
                non_empty(out.instance_initiated_shutdown_behavior().and_then(|v| v.value()))
            }
        })
    }

    async fn volumes(&self, wanted: &[String], page: Option<String>) -> CloudResult<Page<Volume>> {
        let out = self
            .client
            .describe_volumes()
            .set_volume_ids(ids(wanted))
            .set_max_results(page_size(wanted))
            .set_next_token(page)
            .send()
            .await
            .map_err(failed_read("ec2:DescribeVolumes"))?;
        Ok(Page { items: out.volumes().iter().map(volume).collect(), next: non_empty(out.next_token()) })
    }

    async fn addresses(&self, instances: &[String]) -> CloudResult<Vec<Address>> {
        let mut found = Vec::new();
        // a filter takes at most 200 values
        for ids in instances.chunks(200) {
            let out = self
                .client
                .describe_addresses()
                .filters(sdk::Filter::builder().name("instance-id").set_values(Some(ids.to_vec())).build())
                .send()
                .await
                .map_err(failed_read("ec2:DescribeAddresses"))?;
            found.extend(out.addresses().iter().map(|a| Address {
                allocation: a.allocation_id().unwrap_or_default().to_owned(),
                public_ip: a.public_ip().unwrap_or_default().to_owned(),
                instance: non_empty(a.instance_id()),
            }));
        }
        Ok(found)
    }

    async fn subnets(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<Subnet>> {
        let out = self
            .client
            .describe_subnets()
            .set_subnet_ids(ids(&filter.ids))
            .set_filters(tag_filters(filter))
            .set_max_results(page_size(&filter.ids))
            .set_next_token(page)
            .send()
            .await
            .map_err(failed_read("ec2:DescribeSubnets"))?;
        Ok(Page { items: out.subnets().iter().map(subnet).collect(), next: non_empty(out.next_token()) })
    }

    async fn interfaces(&self, of: &InterfacesOf, page: Option<String>) -> CloudResult<Page<Interface>> {
        let (name, values) = match of {
            InterfacesOf::Subnets(ids) => ("subnet-id", ids),
            InterfacesOf::Addresses(ips) => ("addresses.private-ip-address", ips),
        };
        let out = self
            .client
            .describe_network_interfaces()
            .filters(sdk::Filter::builder().name(name).set_values(Some(values.clone())).build())
            // those of AWS's services are what is looked for, even where the account hides them
            .include_managed_resources(true)
            .max_results(PAGE)
            .set_next_token(page)
            .send()
            .await
            .map_err(failed_read("ec2:DescribeNetworkInterfaces"))?;
        let items = out.network_interfaces().iter().map(interface).collect();
        Ok(Page { items, next: non_empty(out.next_token()) })
    }

    async fn nat_gateways(&self, subnets: &[String], page: Option<String>) -> CloudResult<Page<NatGateway>> {
        let out = self
            .client
            .describe_nat_gateways()
            .filter(sdk::Filter::builder().name("subnet-id").set_values(Some(subnets.to_vec())).build())
            .max_results(PAGE)
            .set_next_token(page)
            .send()
            .await
            .map_err(failed_read("ec2:DescribeNatGateways"))?;
        let items = out.nat_gateways().iter().map(nat_gateway).collect();
        Ok(Page { items, next: non_empty(out.next_token()) })
    }

    async fn route_tables(&self, filter: &Filter, page: Option<String>) -> CloudResult<Page<RouteTable>> {
        // route tables come at most a hundred to a page
        let size = page_size(&filter.ids).map(|_| 100);
        let out = self
            .client
            .describe_route_tables()
            .set_route_table_ids(ids(&filter.ids))
            .set_filters(tag_filters(filter))
            .set_max_results(size)
            .set_next_token(page)
            .send()
            .await
            .map_err(failed_read("ec2:DescribeRouteTables"))?;
        Ok(Page {
            items: out.route_tables().iter().map(route_table).collect(),
            next: non_empty(out.next_token()),
        })
    }

    async fn spot_request_type(&self, request: &str) -> CloudResult<Option<String>> {
        let out = self
            .client
            .describe_spot_instance_requests()
            .spot_instance_request_ids(request)
            .send()
            .await
            .map_err(failed_read("ec2:DescribeSpotInstanceRequests"))?;
        Ok(out.spot_instance_requests().first().and_then(|r| r.r#type()).map(|t| t.as_str().to_owned()))
    }

    async fn fleets(&self, ids: &[String]) -> CloudResult<BTreeMap<String, String>> {
        ec2_launch::fleets(&self.client, ids).await
    }

    async fn images(&self, ids: &[String]) -> CloudResult<Vec<Image>> {
        ec2_launch::images(&self.client, ids).await
    }

    async fn key_pairs(&self, names: &[String]) -> CloudResult<Vec<String>> {
        ec2_launch::key_pairs(&self.client, names).await
    }

    async fn offerings(&self, types: &[String], page: Option<String>) -> CloudResult<Page<Offering>> {
        ec2_launch::offerings(&self.client, types, page).await
    }

    async fn instance_types(&self, names: &[String]) -> CloudResult<Vec<InstanceType>> {
        ec2_launch::instance_types(&self.client, names).await
    }

    async fn credits(&self, ids: &[String]) -> CloudResult<BTreeMap<String, String>> {
        ec2_launch::credits(&self.client, ids).await
    }

    async fn status_checks(&self, ids: &[String]) -> CloudResult<Vec<StatusChecks>> {
        ec2_launch::status_checks(&self.client, ids).await
    }
}

fn ids(wanted: &[String]) -> Option<Vec<String>> {
    (!wanted.is_empty()).then(|| wanted.to_vec())
}

/// AWS refuses a page size together with ids.
fn page_size(ids: &[String]) -> Option<i32> {
    ids.is_empty().then_some(PAGE)
}

fn tag_filters(filter: &Filter) -> Option<Vec<sdk::Filter>> {
    let filters: Vec<sdk::Filter> = filter
        .tags
        .iter()
        .map(|(key, values)| {
            if values.is_empty() {
                sdk::Filter::builder().name("tag-key").values(key).build()
            } else {
                sdk::Filter::builder().name(format!("tag:{key}")).set_values(Some(values.clone())).build()
            }
        })
        .collect();
    (!filters.is_empty()).then_some(filters)
}

fn tags(list: &[sdk::Tag]) -> Tags {
    super::tags(list, sdk::Tag::key, sdk::Tag::value)
}

fn text<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

fn instance(i: &sdk::Instance) -> Instance {
    let metadata = i.metadata_options();
    Instance {
        id: i.instance_id().unwrap_or_default().to_owned(),
        state: text(i.state().and_then(|s| s.name())),
        instance_type: text(i.instance_type()),
        image: i.image_id().unwrap_or_default().to_owned(),
        zone: i.placement().and_then(|p| p.availability_zone()).unwrap_or_default().to_owned(),
        subnet: non_empty(i.subnet_id()),
        vpc: non_empty(i.vpc_id()),
        private_ip: non_empty(i.private_ip_address()),
        addresses: addresses_of(i),
        public_ip: non_empty(i.public_ip_address()),
        key_name: non_empty(i.key_name()),
        profile_arn: non_empty(i.iam_instance_profile().and_then(|p| p.arn())),
        security_groups: security_groups(i),
        root_device_type: text(i.root_device_type()),
        root_device: non_empty(i.root_device_name()),
        block_devices: i.block_device_mappings().iter().filter_map(block_device).collect(),
        lifecycle: i.instance_lifecycle().map(ToString::to_string),
        spot_request: non_empty(i.spot_instance_request_id()),
        ebs_optimized: i.ebs_optimized().unwrap_or(false),
        monitoring: matches!(
            i.monitoring().and_then(|m| m.state()),
            Some(sdk::MonitoringState::Enabled | sdk::MonitoringState::Pending)
        ),
        tenancy: i.placement().and_then(|p| p.tenancy()).map(ToString::to_string),
        metadata_tokens: metadata.and_then(|m| m.http_tokens()).map(ToString::to_string),
        metadata_hop_limit: metadata.and_then(|m| m.http_put_response_hop_limit()),
        metadata_endpoint: metadata.and_then(|m| m.http_endpoint()).map(ToString::to_string),
        launched_at: i.launch_time().and_then(time),
        stopped_at: i.state_transition_reason().and_then(stopped_at),
        client_token: non_empty(i.client_token()),
        state_reason: non_empty(i.state_reason().and_then(|r| r.code())),
        settings: ec2_launch::settings(i),
        tags: tags(i.tags()),
    }
}

/// The time in a reason as EC2 gives it to what was stopped: `User initiated (2026-11-30 17:00:00 GMT)`.
fn stopped_at(reason: &str) -> Option<DateTime<Utc>> {
    let (_, rest) = reason.split_once('(')?;
    let stamp = rest.split_once(')')?.0.trim_end_matches(" GMT").trim_end_matches(" UTC");
    NaiveDateTime::parse_from_str(stamp, "%Y-%m-%d %H:%M:%S").ok().map(|t| t.and_utc())
}

/// Those of the primary interface, which EC2 tells with the instance, too.
fn security_groups(i: &sdk::Instance) -> Vec<String> {
    let of = |groups: &[sdk::GroupIdentifier]| {
        groups.iter().filter_map(|g| non_empty(g.group_id())).collect::<Vec<_>>()
    };
    let primary = |n: &&sdk::InstanceNetworkInterface| {
        n.attachment().and_then(|a| a.device_index()).unwrap_or_default() == 0
    };
    match of(i.security_groups()) {
        // emulators leave them out where a launch named its interface
        own if own.is_empty() => {
            i.network_interfaces().iter().find(primary).map(|n| of(n.groups())).unwrap_or_default()
        }
        own => own,
    }
}

fn block_device(mapping: &sdk::InstanceBlockDeviceMapping) -> Option<BlockDevice> {
    let ebs = mapping.ebs()?;
    Some(BlockDevice {
        device: mapping.device_name().unwrap_or_default().to_owned(),
        volume: ebs.volume_id().unwrap_or_default().to_owned(),
        delete_on_termination: ebs.delete_on_termination().unwrap_or(false),
    })
}

fn volume(v: &sdk::Volume) -> Volume {
    Volume {
        id: v.volume_id().unwrap_or_default().to_owned(),
        size_gib: v.size().unwrap_or_default(),
        volume_type: text(v.volume_type()),
        iops: v.iops(),
        throughput: v.throughput(),
        encrypted: v.encrypted().unwrap_or(false),
        kms_key: non_empty(v.kms_key_id()),
        tags: tags(v.tags()),
    }
}

fn subnet(s: &sdk::Subnet) -> Subnet {
    Subnet {
        id: s.subnet_id().unwrap_or_default().to_owned(),
        vpc: s.vpc_id().unwrap_or_default().to_owned(),
        zone: s.availability_zone().unwrap_or_default().to_owned(),
        cidr: s.cidr_block().unwrap_or_default().to_owned(),
        state: text(s.state()),
        free_addresses: s.available_ip_address_count().unwrap_or_default(),
        owner: s.owner_id().unwrap_or_default().to_owned(),
        arn: s.subnet_arn().unwrap_or_default().to_owned(),
        tags: tags(s.tags()),
    }
}

fn interface(i: &sdk::NetworkInterface) -> Interface {
    let own = non_empty(i.private_ip_address());
    let more = i.private_ip_addresses().iter().filter_map(|a| non_empty(a.private_ip_address()));
    let six = i.ipv6_addresses().iter().filter_map(|a| non_empty(a.ipv6_address()));
    Interface {
        id: i.network_interface_id().unwrap_or_default().to_owned(),
        subnet: i.subnet_id().unwrap_or_default().to_owned(),
        vpc: i.vpc_id().unwrap_or_default().to_owned(),
        kind: text(i.interface_type()),
        description: i.description().unwrap_or_default().to_owned(),
        requester: non_empty(i.requester_id()),
        status: text(i.status()),
        instance: i.attachment().and_then(|a| non_empty(a.instance_id())),
        addresses: distinct(own.into_iter().chain(more).chain(six)),
        tags: tags(i.tag_set()),
    }
}

fn nat_gateway(n: &sdk::NatGateway) -> NatGateway {
    let addresses = n.nat_gateway_addresses().iter();
    NatGateway {
        id: n.nat_gateway_id().unwrap_or_default().to_owned(),
        subnet: n.subnet_id().unwrap_or_default().to_owned(),
        vpc: n.vpc_id().unwrap_or_default().to_owned(),
        state: text(n.state()),
        interfaces: distinct(addresses.filter_map(|a| non_empty(a.network_interface_id()))),
    }
}

/// The private addresses of all interfaces of an instance.
fn addresses_of(i: &sdk::Instance) -> Vec<String> {
    let of_one = |n: &sdk::InstanceNetworkInterface| -> Vec<String> {
        let four = n.private_ip_addresses().iter().filter_map(|a| non_empty(a.private_ip_address()));
        four.chain(n.ipv6_addresses().iter().filter_map(|a| non_empty(a.ipv6_address()))).collect()
    };
    let own = non_empty(i.private_ip_address());
    distinct(own.into_iter().chain(i.network_interfaces().iter().flat_map(of_one)))
}

fn distinct(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut out = Vec::new();
    for one in all {
        if !out.contains(&one) {
            out.push(one);
        }
    }
    out
}

fn route_table(t: &sdk::RouteTable) -> RouteTable {
    RouteTable {
        id: t.route_table_id().unwrap_or_default().to_owned(),
        vpc: t.vpc_id().unwrap_or_default().to_owned(),
        associations: t.associations().iter().filter(|a| is_standing(a)).map(association).collect(),
        routes: t.routes().iter().map(route).collect(),
        tags: tags(t.tags()),
    }
}

/// A removed association may be listed for a while.
fn is_standing(a: &sdk::RouteTableAssociation) -> bool {
    !matches!(
        a.association_state().and_then(|s| s.state()),
        Some(
            sdk::RouteTableAssociationStateCode::Disassociated
                | sdk::RouteTableAssociationStateCode::Disassociating
                | sdk::RouteTableAssociationStateCode::Failed
        )
    )
}

fn association(a: &sdk::RouteTableAssociation) -> Association {
    Association {
        id: a.route_table_association_id().unwrap_or_default().to_owned(),
        subnet: non_empty(a.subnet_id()),
        gateway: non_empty(a.gateway_id()),
        main: a.main().unwrap_or(false),
    }
}

fn route(r: &sdk::Route) -> Route {
    let destination = r
        .destination_cidr_block()
        .or(r.destination_ipv6_cidr_block())
        .or(r.destination_prefix_list_id())
        .unwrap_or_default();
    // an instance's route names its interface too; the interface is what the route goes by
    let via = [
        r.gateway_id(),
        r.nat_gateway_id(),
        r.transit_gateway_id(),
        r.vpc_peering_connection_id(),
        r.egress_only_internet_gateway_id(),
        r.local_gateway_id(),
        r.carrier_gateway_id(),
        r.core_network_arn(),
        r.odb_network_arn(),
        r.network_interface_id(),
        r.instance_id(),
    ]
    .into_iter()
    .flatten()
    .find(|id| !id.is_empty())
    .unwrap_or_default();
    Route { destination: destination.to_owned(), via: via.to_owned(), state: text(r.state()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_stop_is_read_from_its_reason() {
        let told = Some("2026-11-30T17:00:09Z".parse().unwrap());
        for reason in ["User initiated (2026-11-30 17:00:09 GMT)", "User initiated (2026-11-30 17:00:09 UTC)"]
        {
            assert_eq!(stopped_at(reason), told, "{reason}");
        }
        for other in ["", "User initiated", "Server.SpotInstanceTermination: Spot instance (termination)"] {
            assert_eq!(stopped_at(other), None, "{other}");
        }
    }
}
