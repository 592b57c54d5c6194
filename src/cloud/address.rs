//! Addresses that no probe asks unless the drill says so. Pure.
//!
//! Invariant: however such an address is written as an IPv6 address, it is told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address belongs to this machine's own link: `169.254.0.0/16`, `fe80::/10`, and
/// `fd00:ec2::/32`, where EC2 answers with credentials and user data. Also where IPv6 wraps it: mapped,
/// compatible, NAT64 and 6to4.
pub fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => {
            let s = v6.segments();
            v6.is_unicast_link_local()
                || (s[0] == 0xfd00 && s[1] == 0x0ec2)
                || wrapped(v6).is_some_and(|v4| v4.is_link_local())
        }
    }
}

/// The IPv4 address inside an IPv6 address.
fn wrapped(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let two = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(two(high, low))
        }
        [0x2002, high, low, ..] => Some(two(high, low)),
        _ => None,
    }
}

/// What is said of one.
pub fn link_local(host: &str) -> String {
    format!(
        "`{host}` is a link-local address, where a machine in the cloud keeps its credentials; with \
         `allow_link_local: true` a drill asks it all the same"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_the_metadata_service_is_told() {
        for (text, want) in [
            ("169.254.169.254", true),
            ("169.254.0.0", true),
            ("169.255.0.0", false),
            ("169.253.255.255", false),
            ("127.0.0.1", false),
            ("10.0.0.1", false),
            ("fe80::1", true),
            ("febf::1", true),
            ("fec0::1", false),
            ("fd00:ec2::254", true),
            ("fd00:ec2::253", true),
            ("fd00:ec3::254", false),
            ("::ffff:169.254.169.254", true),
            ("::169.254.169.254", true),
            ("64:ff9b::169.254.169.254", true),
            ("2002:a9fe:a9fe::1", true),
            ("::ffff:10.0.0.1", false),
            ("::1", false),
            ("2001:db8::a9fe:a9fe", false),
        ] {
            assert_eq!(is_link_local(text.parse().unwrap()), want, "{text}");
        }
    }
}
