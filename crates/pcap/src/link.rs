//! What lies before the network's header, for the kinds of links that tcpdump writes on Linux.
//!
//! Sources: the registry of link types of tcpdump.org and what it says of each; IEEE 802.1Q for tags.

use pcap_parser::Linktype;

/// Length of the two addresses of Ethernet.
const ADDRESSES_LEN: usize = 12;
/// Tags of virtual networks: 802.1Q, 802.1ad, and what came before that.
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// Tags in each other.
const TAGS_MAX: usize = 8;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// The bytes of a packet from its IP header on.
pub fn network(link: Linktype, bytes: &[u8]) -> Option<&[u8]> {
    match link {
        Linktype::ETHERNET => behind_type(bytes.get(ADDRESSES_LEN..)?),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => Some(bytes),
        // An address family in some byte order, for which IP itself tells its version.
        Linktype::NULL | Linktype::LOOP => bytes.get(4..),
        Linktype::LINUX_SLL => behind_type(bytes.get(14..)?),
        Linktype::LINUX_SLL2 => behind(number(bytes)?, bytes.get(20..)?),
        _ => None,
    }
}

fn behind_type(bytes: &[u8]) -> Option<&[u8]> {
    behind(number(bytes)?, bytes.get(2..)?)
}

/// What follows a type, behind all tags.
fn behind(mut kind: u16, mut bytes: &[u8]) -> Option<&[u8]> {
    for _ in 0..TAGS_MAX {
        if !TAGS.contains(&kind) {
            break;
        }
        kind = number(bytes.get(2..)?)?;
        bytes = bytes.get(4..)?;
    }
    matches!(kind, IPV4 | IPV6).then_some(bytes)
}

fn number(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.first_chunk()?))
}
