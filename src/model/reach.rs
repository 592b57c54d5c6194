//! What a way through a subnet is called: by it, a fault in one subnet reaches others. Pure.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something in a subnet that other subnets, or other networks, route through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Passage {
    /// A NAT gateway.
    NatGateway,
    /// A Gateway Load Balancer endpoint: also that of AWS Network Firewall.
    GatewayLoadBalancerEndpoint,
    /// An attachment to a transit gateway.
    TransitGateway,
    /// An instance or interface that a route leads to: a NAT instance, a firewall, a router.
    Router,
}

impl Passage {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::NatGateway, Self::GatewayLoadBalancerEndpoint, Self::TransitGateway, Self::Router];

    /// As drills call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NatGateway => "nat-gateway",
            Self::GatewayLoadBalancerEndpoint => "gateway-load-balancer-endpoint",
            Self::TransitGateway => "transit-gateway",
            Self::Router => "router",
        }
    }
}

impl fmt::Display for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_name() {
        for p in Passage::ALL {
            assert_eq!(serde_json::to_value(p).unwrap(), p.name());
        }
    }
}
