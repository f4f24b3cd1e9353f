//! One spelling for each address: IPv4 is never an IPv6 address that maps it.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// Bits before the IPv4 address in `::ffff:a.b.c.d`.
pub(super) const MAPPED_BITS: u8 = 96;

/// `ip` with a mapped IPv4 address written as IPv4.
pub fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// `prefix` with mapped IPv4 addresses written as IPv4.
pub fn unmapped(prefix: IpNet) -> IpNet {
    let IpNet::V6(v6) = prefix else { return prefix };
    match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(MAPPED_BITS)) {
        (Some(v4), Some(bits)) => Ipv4Net::new(v4, bits).map_or(prefix, IpNet::V4),
        _ => prefix,
    }
}

/// The address as 128 bits, IPv4 mapped: the kernel's form.
pub(super) fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The prefix in the kernel's form.
pub(super) fn prefix_bits(prefix: &IpNet) -> (u128, u8) {
    let ahead = if matches!(prefix, IpNet::V4(_)) { MAPPED_BITS } else { 0 };
    (bits(prefix.network()), prefix.prefix_len() + ahead)
}

/// The prefix that the kernel's form spells, for people.
pub(super) fn from_prefix_bits(bits: u128, len: u8) -> IpNet {
    let v6 = IpNet::new(IpAddr::V6(Ipv6Addr::from_bits(bits)), len);
    unmapped(v6.expect("lengths come from valid prefixes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_prefixes_are_ipv4() {
        let cases = [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:192.0.2.1/128", "192.0.2.1/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("10.0.0.0/8", "10.0.0.0/8"),
        ];
        for (written, expected) in cases {
            let prefix = unmapped(written.parse().unwrap());
            assert_eq!(prefix, expected.parse::<IpNet>().unwrap());
            let (bits, len) = prefix_bits(&prefix);
            assert_eq!(from_prefix_bits(bits, len), prefix);
        }
    }
}
