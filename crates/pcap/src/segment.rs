//! The TCP segment of a packet.

use std::net::{IpAddr, SocketAddr};

use etherparse::{LaxNetSlice, LaxSlicedPacket, TcpSlice, TransportSlice};

use crate::{file::Packet, link};

/// Length of IPv6's header (RFC 8200, 3).
const IPV6_HEADER_LEN: usize = 40;

/// A segment of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Who sends it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// Sequence number of the first byte; with `syn`, of the one before it.
    pub seq: u32,
    /// What the sender has received up to, if it says so.
    pub ack: Option<u32>,
    /// A connection begins.
    pub syn: bool,
    /// The sender's direction ends behind these bytes.
    pub fin: bool,
    /// The bytes that were kept.
    pub payload: &'a [u8],
    /// How many there were on the wire: never fewer.
    pub wire_len: u32,
}

/// Why a packet has no segment that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is no TCP.
    Other,
    /// What was kept of it ends before its content.
    Cut,
    /// A fragment of an IP packet.
    Fragment,
}

impl Packet<'_> {
    /// The TCP segment in it.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn segment(&self) -> Result<Segment<'_>, Unread> {
        let is_cut = self.bytes.len() < self.wire_len as usize;
        let none = if is_cut { Unread::Cut } else { Unread::Other };
        let network = link::network(self.link, self.bytes).ok_or(Unread::Other)?;
        let packet = LaxSlicedPacket::from_ip(network).map_err(|_| none)?;
        let (from, to, declared_len) = match packet.net.as_ref().ok_or(none)? {
            LaxNetSlice::Ipv4(ip) if ip.is_payload_fragmented() => return Err(Unread::Fragment),
            LaxNetSlice::Ipv6(ip) if ip.is_payload_fragmented() => return Err(Unread::Fragment),
            LaxNetSlice::Ipv4(ip) => {
                let header = ip.header();
                let ends: [IpAddr; 2] = [header.source_addr().into(), header.destination_addr().into()];
                (ends[0], ends[1], usize::from(header.total_len()))
            }
            LaxNetSlice::Ipv6(ip) => {
                let header = ip.header();
                let ends: [IpAddr; 2] = [header.source_addr().into(), header.destination_addr().into()];
                // Zero is a jumbo payload, whose length stands elsewhere (RFC 2675).
                let len = usize::from(header.payload_length());
                (ends[0], ends[1], if len == 0 { 0 } else { IPV6_HEADER_LEN + len })
            }
            LaxNetSlice::Arp(_) => return Err(Unread::Other),
        };
        let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { return Err(none) };
        // What is captured before it is cut into packets may leave the length to the network card.
        let missing = match declared_len {
            0 => (self.wire_len as usize).saturating_sub(self.bytes.len()),
            declared => declared.saturating_sub(network.len()),
        };
        Ok(segment(tcp, from, to, missing))
    }
}

fn segment<'a>(tcp: &TcpSlice<'a>, from: IpAddr, to: IpAddr, missing: usize) -> Segment<'a> {
    let payload = tcp.payload();
    Segment {
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        seq: tcp.sequence_number(),
        ack: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        payload,
        wire_len: u32::try_from(payload.len().saturating_add(missing)).unwrap_or(u32::MAX),
    }
}
