//! What EC2 tells of networks: subnets, route tables, and the interfaces by which everything is in a subnet. Types only.

use serde::{Deserialize, Serialize};

use crate::model::Tags;

/// A subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Subnet id.
    pub id: String,
    /// VPC id.
    pub vpc: String,
    /// Availability Zone.
    pub zone: String,
    /// CIDR block.
    pub cidr: String,
    /// `available` or `pending`.
    pub state: String,
    /// Free addresses.
    pub free_addresses: i32,
    /// The account that it belongs to; another one's where it is shared.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// ARN, in its owner's account.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub arn: String,
    /// Tags.
    pub tags: Tags,
}

/// An elastic network interface: whatever is in a subnet is there by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Network interface id.
    pub id: String,
    /// Subnet id.
    pub subnet: String,
    /// VPC id.
    pub vpc: String,
    /// InterfaceType: `interface`, `nat_gateway`, `lambda`, `vpc_endpoint`, `transit_gateway` …
    pub kind: String,
    /// Description: the service that made it says here what for.
    pub description: String,
    /// Who made it, where that is a service (RequesterId).
    pub requester: Option<String>,
    /// `available` where it is attached to nothing, `in-use` …
    pub status: String,
    /// The instance that it is attached to.
    pub instance: Option<String>,
    /// All its private addresses, the secondary ones too.
    pub addresses: Vec<String>,
    /// Tags.
    pub tags: Tags,
}

/// A NAT gateway in a subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatGateway {
    /// NAT gateway id.
    pub id: String,
    /// Subnet id.
    pub subnet: String,
    /// VPC id.
    pub vpc: String,
    /// `pending`, `failed`, `available`, `deleting` or `deleted`.
    pub state: String,
    /// Its network interfaces.
    pub interfaces: Vec<String>,
}

/// Which network interfaces are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfacesOf {
    /// Those in these subnets.
    Subnets(Vec<String>),
    /// Those with any of these private IPv4 addresses.
    Addresses(Vec<String>),
}

/// An association of a route table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Association {
    /// Association id: changes on every replacement.
    pub id: String,
    /// The subnet, where it is a subnet association.
    pub subnet: Option<String>,
    /// The gateway, where it is an edge association.
    pub gateway: Option<String>,
    /// Whether it is the VPC's main association.
    pub main: bool,
}

/// A route.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// Destination CIDR or prefix list.
    pub destination: String,
    /// `local`, or the id of the gateway, NAT, interface, peering …
    pub via: String,
    /// `active` or `blackhole`.
    pub state: String,
}

/// A route table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Route table id.
    pub id: String,
    /// VPC id.
    pub vpc: String,
    /// Associations of every kind.
    pub associations: Vec<Association>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Tags.
    pub tags: Tags,
}
