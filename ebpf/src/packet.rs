//! Reading a packet's headers: where it goes and where its payload lies.
//!
//! *Units*: addresses in network order, IPv4 mapped; ports and sequence numbers in host order.

use aya_ebpf::{EbpfContext, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use cprvagt_abi::Counter;

use crate::{counters::Skip, verifier};

/// TCP's protocol number.
pub const TCP: u32 = 6;
/// UDP's protocol number.
pub const UDP: u32 = 17;
/// IPv6 extension headers that are followed.
const EXTENSIONS_MAX: u64 = 6;
const ETH_P_IP: u32 = 0x0800;
const ETH_P_IPV6: u32 = 0x86dd;

/// An address that the compiler copies in words: bytes become a loop that costs the verifier dear.
#[repr(C, align(8))]
pub struct Address(pub [u8; 16]);

/// Where a packet goes, and where its payload lies in it.
pub struct Packet {
    pub protocol: u32,
    pub source: Address,
    pub destination: Address,
    pub source_port: u32,
    pub destination_port: u32,
    /// TCP sequence number of the first payload byte.
    pub seq: u32,
    /// Offset of the payload.
    pub payload: u32,
    /// Bytes of payload; never zero.
    pub len: u32,
}

const _: () = assert!(size_of::<Packet>() == 56);

impl Packet {
    /// Reads the headers of a TCP or UDP packet with payload.
    #[inline(always)]
    pub fn read(ctx: &SkBuffContext) -> Result<Self, Skip> {
        // SAFETY: integers, for which zeros are a value; written as words.
        let mut packet: Self = unsafe { core::mem::transmute([0u64; size_of::<Self>() / 8]) };
        let transport = match u32::from(u16::from_be(ctx.skb.protocol() as u16)) {
            ETH_P_IP => packet.read_ipv4(ctx)?,
            ETH_P_IPV6 => packet.read_ipv6(ctx)?,
            _ => return Err(Counter::PacketUnreadable),
        };
        // How the headers were found does not matter any more; nor, below, which protocol it was.
        packet.read_transport(ctx, forget(transport))?;
        packet.protocol = forget(packet.protocol);
        packet.payload = forget(packet.payload);
        Ok(packet)
    }

    #[inline(always)]
    fn read_ipv4(&mut self, ctx: &SkBuffContext) -> Result<u32, Skip> {
        let mut header = [0u32; 5];
        load(ctx, 0, &mut header)?;
        let first = header[0].to_ne_bytes();
        self.protocol = u32::from(header[2].to_ne_bytes()[1]);
        map_ipv4(&mut self.source, header[3]);
        map_ipv4(&mut self.destination, header[4]);
        Ok(u32::from(first[0] & 0x0f) * 4)
    }

    #[inline(always)]
    fn read_ipv6(&mut self, ctx: &SkBuffContext) -> Result<u32, Skip> {
        let mut header = [0u64; 5];
        load(ctx, 0, &mut header)?;
        // SAFETY: 16 bytes of the array's own memory each.
        unsafe {
            self.source = header.as_ptr().add(1).cast::<Address>().read();
            self.destination = header.as_ptr().add(3).cast::<Address>().read();
        }
        self.skip_extensions(ctx, u32::from(header[0].to_ne_bytes()[6]))
    }

    /// Follows hop-by-hop, routing, destination and authentication headers.
    #[inline(always)]
    fn skip_extensions(&mut self, ctx: &SkBuffContext, first: u32) -> Result<u32, Skip> {
        let mut next = first;
        let mut offset = 40;
        for _ in 0..EXTENSIONS_MAX {
            let unit = match next {
                0 | 43 | 60 => 8,
                51 => 4,
                _ => break,
            };
            let mut word = 0u16;
            load(ctx, offset, &mut word)?;
            let extension = word.to_ne_bytes();
            let extra = if unit == 4 { 2 } else { 1 };
            next = u32::from(extension[0]);
            offset += (u32::from(extension[1]) + extra) * unit;
        }
        self.protocol = next;
        Ok(offset)
    }

    #[inline(always)]
    fn read_transport(&mut self, ctx: &SkBuffContext, at: u32) -> Result<(), Skip> {
        let header_len = match self.protocol {
            TCP => self.read_tcp(ctx, at)?,
            UDP => 8,
            _ => return Err(Counter::PacketOtherProtocol),
        };
        let mut ports = 0u32;
        load(ctx, at, &mut ports)?;
        self.source_port = u32::from_be(ports) >> 16;
        self.destination_port = u32::from_be(ports) & 0xffff;
        self.payload = at + header_len;
        // The packet's own length field is zero in IPv6 packets above 64 KiB; the buffer's is not.
        let total = ctx.skb.len();
        if total <= self.payload {
            return Err(Counter::PacketEmpty);
        }
        self.len = total - self.payload;
        Ok(())
    }

    /// Length of the TCP header; sets the sequence number of the first payload byte.
    #[inline(always)]
    fn read_tcp(&mut self, ctx: &SkBuffContext, at: u32) -> Result<u32, Skip> {
        let mut seq = 0u32;
        load(ctx, at + 4, &mut seq)?;
        let mut word = 0u16;
        load(ctx, at + 12, &mut word)?;
        let flags = word.to_ne_bytes();
        let syn = u32::from(flags[1] >> 1 & 1);
        self.seq = u32::from_be(seq).wrapping_add(syn);
        Ok(u32::from(flags[0] >> 4) * 4)
    }
}

#[inline(always)]
fn forget(value: u32) -> u32 {
    verifier::forget(u64::from(value)) as u32
}

/// Writes an IPv4 address, in network order, as a mapped one.
#[inline(always)]
fn map_ipv4(to: &mut Address, address: u32) {
    // SAFETY: 16 bytes, written as two words of the array's own memory.
    unsafe {
        let words = to.0.as_mut_ptr().cast::<u32>();
        words.add(2).write(0xffff_0000_u32.to_le());
        words.add(3).write(address);
    }
}

/// Copies a fixed number of header bytes.
#[inline(always)]
fn load<T: ?Sized>(ctx: &SkBuffContext, offset: u32, to: &mut T) -> Result<(), Skip> {
    let len = size_of_val(to) as u32;
    // SAFETY: `to` is `len` bytes of our own stack; the helper checks the range of the packet.
    let status = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), offset, core::ptr::from_mut(to).cast(), len) };
    if status == 0 { Ok(()) } else { Err(Counter::PacketUnreadable) }
}
