//! The wire tap: everything that leaves, and the beginnings of what comes back.
//!
//! Egress stands behind every way to send. Payload of plaintext flows is written in chunks; of TLS
//! flows the ClientHello and each record's type and length. A byte is written when it passes for the
//! first time: TCP sends new bytes in order, so one high mark per flow tells new from retransmitted.
//!
//! *Limits*: [`CHUNKS_MAX`] chunks of a packet.

use aya_ebpf::{
    EbpfContext, helpers::generated::bpf_skb_load_bytes, macros::cgroup_skb, programs::SkBuffContext,
};
use aya_log_ebpf::warn;
use cprvagt_abi::{CHUNK_CLASSES, CHUNK_MAX, Counter, Flow, FlowKey, Kind, Role, Verdict, WireData};

use crate::{
    counters::{self, Skip},
    flows::{self, Ends},
    maps::{FLOWS, UDP_PEERS},
    packet::{Packet, TCP, UDP},
    ring::{self, Put},
    tls_records, verifier,
};

/// Chunks of one packet: IPv6 packets may have 512 KiB.
const CHUNKS_MAX: u64 = 17;
/// Let the packet pass: the only answer these programs ever give.
const PASS: i32 = 1;

/// Every packet that leaves.
#[cgroup_skb]
pub fn wire_egress(ctx: SkBuffContext) -> i32 {
    let outcome = egress(&ctx);
    if outcome == Err(Counter::FlowTableFull) {
        warn!(&ctx, "the flow table refused a flow: its bytes are not accounted for");
    }
    counters::settle(outcome);
    PASS
}

/// Every packet that arrives.
#[cgroup_skb]
pub fn wire_ingress(ctx: SkBuffContext) -> i32 {
    // Egress counts packets; here most are of no interest.
    let _ = ingress(&ctx);
    PASS
}

/// Bytes of a packet that pass for the first time.
pub struct Fresh {
    /// Offset in the packet.
    pub at: u32,
    pub len: u32,
    /// Sequence number of the first.
    pub seq: u32,
}

impl Fresh {
    /// The same, however it came about.
    #[inline(always)]
    fn forgotten(self) -> Self {
        let forget = |value| verifier::forget(u64::from(value)) as u32;
        Self { at: forget(self.at), len: forget(self.len), seq: forget(self.seq) }
    }
}

#[inline(always)]
fn egress(ctx: &SkBuffContext) -> Result<(), Skip> {
    let packet = Packet::read(ctx)?;
    let ends = Ends {
        remote: &packet.destination.0,
        local: &packet.source.0,
        remote_port: packet.destination_port,
        local_port: packet.source_port,
    };
    let key = flows::key_of(ctx, &packet, &ends)?;
    let flow = flows::find_or_open(ctx, &key, &packet, &ends)?;
    let fresh = take_fresh(flow, &packet)?;
    if packet.protocol == TCP {
        tls_records::notice(ctx, &key, flow, &fresh);
    } else {
        notice_quic(ctx, flow, &fresh);
    }
    refuse(flow)?;
    // What was asked about these bytes so far does not matter any more.
    let fresh = fresh.forgotten();
    let announced = flows::announce(&key, flow);
    // Records are followed also while the ring has no room, or the flow would never be in step again.
    let plain = match flow.kind {
        kind if kind == Kind::Tls as u32 => tls_records::follow(ctx, flow, &fresh),
        kind if kind == Kind::Quic as u32 => {
            // SAFETY: a word of map memory.
            unsafe { counters::add_to(&raw mut flow.blind_bytes, u64::from(fresh.len)) };
            None
        }
        _ => Some(fresh),
    };
    match plain.map(Fresh::forgotten) {
        Some(bytes) if announced => copy(ctx, flow, &bytes),
        Some(bytes) => lose(flow, bytes.len),
        None => {}
    }
    counters::add(Counter::PacketCaptured, 1);
    Ok(())
}

/// The bytes beyond the high mark, which moves to their end.
#[inline(always)]
fn take_fresh(flow: &mut Flow, packet: &Packet) -> Result<Fresh, Skip> {
    let mut skip = 0;
    if packet.protocol == TCP && flow.started == 1 {
        let behind = flow.high_seq.wrapping_sub(packet.seq) as i32;
        if behind >= packet.len as i32 {
            return Err(Counter::PacketRetransmitted);
        }
        skip = if behind > 0 { behind as u32 } else { 0 };
    }
    flow.started = 1;
    let len = packet.len - skip;
    flow.high_seq = packet.seq.wrapping_add(packet.len);
    // SAFETY: a word of map memory.
    unsafe { counters::add_to(&raw mut flow.wire_bytes, u64::from(len)) };
    Ok(Fresh { at: packet.payload + skip, len, seq: packet.seq.wrapping_add(skip) }.forgotten())
}

/// Stops at flows whose payload nobody may or needs to read.
#[inline(always)]
fn refuse(flow: &Flow) -> Result<(), Skip> {
    match flow.verdict {
        v if v == Verdict::Inspect as u32 => Ok(()),
        v if v == Verdict::Local as u32 => Err(Counter::PacketLocal),
        v if v == Verdict::Own as u32 => Err(Counter::PacketOwn),
        v if v == Verdict::Server as u32 => Err(Counter::PacketServer),
        v if v == Verdict::AllowedEncrypted as u32 && flow.kind == Kind::Plain as u32 => Ok(()),
        v if v == Verdict::Relay as u32 && flow.kind == Kind::Plain as u32 => Ok(()),
        v if v == Verdict::Relay as u32 => Err(Counter::PacketLocal),
        _ => Err(Counter::PacketAllowed),
    }
}

/// The ring has no room: these bytes of the flow are lost, and the ledger will say so.
#[inline(always)]
pub fn lose(flow: &mut Flow, len: u32) {
    // SAFETY: a word of map memory.
    unsafe { counters::add_to(&raw mut flow.lost_bytes, u64::from(len)) };
    counters::add(Counter::WireLostBytes, u64::from(len));
}

/// Writes payload of a plaintext flow: whole chunks, then the rest.
///
/// One size class in the loop and all of them behind it: with the choice inside, the verifier would
/// have to follow every sequence of choices.
#[inline(always)]
fn copy(ctx: &SkBuffContext, flow: &mut Flow, fresh: &Fresh) {
    let mut offset = 0;
    for _ in 0..CHUNKS_MAX {
        if fresh.len - offset <= CHUNK_MAX as u32 {
            break;
        }
        let put = put_packet_bytes::<CHUNK_MAX>(ctx, flow, fresh, offset, CHUNK_MAX as u32);
        account(flow, put, CHUNK_MAX as u32);
        offset += CHUNK_MAX as u32;
    }
    offset = verifier::forget(u64::from(offset)) as u32;
    let left = fresh.len - offset;
    if left > CHUNK_MAX as u32 {
        return lose(flow, left);
    }
    let put = match ring::class_of(left) {
        0 => put_packet_bytes::<{ CHUNK_CLASSES[0] }>(ctx, flow, fresh, offset, left),
        1 => put_packet_bytes::<{ CHUNK_CLASSES[1] }>(ctx, flow, fresh, offset, left),
        2 => put_packet_bytes::<{ CHUNK_CLASSES[2] }>(ctx, flow, fresh, offset, left),
        3 => put_packet_bytes::<{ CHUNK_CLASSES[3] }>(ctx, flow, fresh, offset, left),
        _ => put_packet_bytes::<{ CHUNK_CLASSES[4] }>(ctx, flow, fresh, offset, left),
    };
    account(flow, put, left);
}

#[inline(always)]
fn account(flow: &mut Flow, put: Put, len: u32) {
    if put != Put::Done {
        lose(flow, len);
    }
}

#[inline(always)]
fn put_packet_bytes<const ROOM: usize>(
    ctx: &SkBuffContext,
    flow: &Flow,
    fresh: &Fresh,
    offset: u32,
    len: u32,
) -> Put {
    if !ring::has_room_for_payload(ROOM as u64) {
        return Put::Full;
    }
    let tcp = flow.protocol == TCP;
    let record = WireData {
        head: ring::head(WireData::TAG, len),
        flow: flow.id,
        wire_bytes: flow.wire_bytes,
        lost_bytes: flow.lost_bytes,
        seq: if tcp { fresh.seq.wrapping_add(offset) } else { 0 },
        offset: if tcp { 0 } else { offset },
        left: if tcp { 0 } else { fresh.len - offset - len },
        // SAFETY: the kernel hands the program a readable context.
        segment: if tcp { 0 } else { unsafe { (*ctx.skb.skb).gso_size } },
    };
    ring::put_with::<_, ROOM>(record, |room| load_bounded::<ROOM>(ctx, fresh.at + offset, room, len))
}

/// Copies `len` bytes of the packet into a room of `ROOM` bytes.
#[inline(always)]
pub fn load_bounded<const ROOM: usize>(ctx: &SkBuffContext, from: u32, room: *mut u8, len: u32) -> bool {
    if len == 0 || len > ROOM as u32 {
        return false;
    }
    let len = verifier::length::<ROOM>(len);
    // SAFETY: the room has `ROOM` bytes and `len` is at most that; the helper checks the packet's range.
    unsafe { bpf_skb_load_bytes(ctx.as_ptr(), from, room.cast(), len) == 0 }
}

/// QUIC's first datagram: a long header of version 1 or 2, padded to 1,200 bytes (RFC 9000, 14.1; RFC 9369).
#[inline(always)]
fn notice_quic(ctx: &SkBuffContext, flow: &mut Flow, fresh: &Fresh) {
    const INITIAL_MIN: u32 = 1200;
    if flow.kind != Kind::New as u32 {
        return;
    }
    flow.kind = Kind::Plain as u32;
    let mut word = 0u64;
    let enough = fresh.len >= INITIAL_MIN;
    // SAFETY: five of the eight bytes of our own stack.
    if enough && unsafe { bpf_skb_load_bytes(ctx.as_ptr(), fresh.at, (&raw mut word).cast(), 5) } == 0 {
        let first = word.to_ne_bytes();
        let version = u32::from_be_bytes([first[1], first[2], first[3], first[4]]);
        if first[0] & 0xc0 == 0xc0 && (version == 1 || version == 0x6b33_43cf) {
            flow.kind = Kind::Quic as u32;
        }
    }
}

#[inline(always)]
fn ingress(ctx: &SkBuffContext) -> Result<(), Skip> {
    let packet = Packet::read(ctx)?;
    let ends = Ends {
        remote: &packet.source.0,
        local: &packet.destination.0,
        remote_port: packet.source_port,
        local_port: packet.destination_port,
    };
    let key = flows::key_of(ctx, &packet, &ends)?;
    match FLOWS.get_ptr_mut(&key) {
        // SAFETY: map memory stays valid while the program runs.
        Some(flow) => tls_records::notice_answer(ctx, unsafe { &mut *flow }, &packet),
        None if packet.protocol == UDP => note_udp_peer(&key),
        None => {}
    }
    Ok(())
}

/// A datagram from a peer that we have not written to: we are its server.
#[inline(always)]
fn note_udp_peer(key: &FlowKey) {
    let _ = UDP_PEERS.insert(key, Role::Server as u32, 0);
}
