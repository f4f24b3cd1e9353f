//! TLS on the wire: noticing hellos, following record headers.
//!
//! A hello binds the session to its flow: the library keeps the client random in its session object
//! and the ClientHello carries it in clear (RFC 8446, 4.1.2; RFC 5246, 7.4.1.2). After it, each record
//! header is told: content type and length prove later that a write left.
//!
//! *Invariants*: `header_seq` is where the next header begins; a header that straddles two packets
//! waits in `Flow::header`.
//! *Limits*: [`RECORDS_MAX`] headers of a packet; a flow with more is copied from there on, and user
//! space follows its records.

use aya_ebpf::{EbpfContext, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use cprvagt_abi::{
    ANSWER_MAX, Counter, Flow, FlowKey, HELLO_MAX, Kind, TlsAnswer, TlsHello, TlsRecord, Verdict,
};

use crate::{
    counters,
    maps::{Bound, RANDOMS},
    packet::Packet,
    ring::{self, Chunk, Put},
    verifier,
    wire_tap::{Fresh, load_bounded, lose},
};

/// Record headers of one packet that are followed.
const RECORDS_MAX: u64 = 32;
const HEADER_LEN: u32 = 5;
/// Longest record of any version: 2^14 bytes and the expansion that TLS 1.2 allows (RFC 5246, 6.2.3).
const RECORD_LEN_MAX: u32 = (1 << 14) + 2048;
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const HEARTBEAT: u8 = 24;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
/// Offset of the random behind a record's header: handshake header and version.
const RANDOM_AT: u32 = HEADER_LEN + 4 + 2;
/// A HelloRetryRequest is answered by a second ServerHello (RFC 8446, 4.1.4).
const ANSWERS_MAX: u32 = 2;

/// Decides what a TCP flow carries, at its first payload and whenever a plain flow turns to TLS.
#[inline(always)]
pub fn notice(ctx: &SkBuffContext, key: &FlowKey, flow: &mut Flow, fresh: &Fresh) {
    if flow.kind == Kind::Tls as u32 || flow.kind == Kind::TlsCopied as u32 {
        return;
    }
    let head = if fresh.len > RANDOM_AT { load_bytes::<6>(ctx, fresh.at) } else { None }.unwrap_or(NO_BYTES);
    let (hello, answer) = (is_hello(&head, CLIENT_HELLO), is_hello(&head, SERVER_HELLO));
    if hello || answer || (flow.kind == Kind::New as u32 && begins_amid_records(ctx, fresh, &head)) {
        flow.kind = Kind::Tls as u32;
        flow.header_seq = fresh.seq;
        flow.header_len = 0;
    } else {
        flow.kind = Kind::Plain as u32;
    }
    if hello {
        bind(ctx, key, flow, fresh);
    }
    if answer {
        bind_server(ctx, key, flow, fresh);
    }
}

/// Remembers whose random a server has sent: what it reads on the session came on this flow.
#[inline(always)]
fn bind_server(ctx: &SkBuffContext, key: &FlowKey, flow: &Flow, fresh: &Fresh) {
    let mut random = [0u64; 4];
    if fresh.len >= RANDOM_AT + 32 && load(ctx, fresh.at + RANDOM_AT, &mut random, 32) {
        let bound = Bound { cookie: key.cookie, flow: flow.id, verdict: flow.verdict, pad: 0 };
        let _ = RANDOMS.insert(&random, &bound, 0);
    }
}

#[inline(always)]
fn is_hello(head: &[u8; 8], message: u8) -> bool {
    head[0] == HANDSHAKE && head[1] == 3 && head[2] <= 4 && head[5] == message
}

/// Whether a flow that is older than the agent begins on a record header: two chained ones, since one
/// may be chance.
#[inline(always)]
fn begins_amid_records(ctx: &SkBuffContext, fresh: &Fresh, first: &[u8; 8]) -> bool {
    if !is_header(first[0], first[1], first[2]) {
        return false;
    }
    let next = u32::from(first[3]) << 8 | u32::from(first[4]);
    let end = HEADER_LEN + next;
    if next > RECORD_LEN_MAX || end > fresh.len {
        return false;
    }
    if end + HEADER_LEN > fresh.len {
        return end == fresh.len;
    }
    let second = load_bytes::<5>(ctx, fresh.at + end).unwrap_or(NO_BYTES);
    is_header(second[0], second[1], second[2])
}

#[inline(always)]
fn is_header(content: u8, major: u8, minor: u8) -> bool {
    content >= CHANGE_CIPHER_SPEC && content <= HEARTBEAT && major == 3 && minor <= 4
}

/// Remembers whose random this is, and tells user space.
#[inline(always)]
fn bind(ctx: &SkBuffContext, key: &FlowKey, flow: &mut Flow, fresh: &Fresh) {
    if fresh.len < RANDOM_AT + 32 {
        counters::add(Counter::HelloShort, 1);
        return;
    }
    let mut random = [0u64; 4];
    if !load(ctx, fresh.at + RANDOM_AT, &mut random, 32) {
        counters::add(Counter::HelloShort, 1);
        return;
    }
    if random[0] | random[1] | random[2] | random[3] == 0 {
        // No library draws it, and the TLS tap takes zeros for a random that it does not know.
        counters::add(Counter::HelloShort, 1);
        return;
    }
    let relayed = is_relay(key, flow, &random);
    let inspected = flow.verdict == Verdict::Inspect as u32 && crate::flows::announce(key, flow);
    put_hello(ctx, flow, fresh, &random, relayed, inspected);
}

/// Whether another flow sent this random before; the first keeps it.
///
/// Except a first flow to this host itself: that is a program talking to a relay here, and the flow on
/// which the relay passes the hello on is the one that leaves.
#[inline(always)]
fn is_relay(key: &FlowKey, flow: &Flow, random: &[u64; 4]) -> bool {
    let bound = Bound { cookie: key.cookie, flow: flow.id, verdict: flow.verdict, pad: 0 };
    // SAFETY: the value is copied out at once.
    let Some(first) = unsafe { RANDOMS.get(random) }.copied() else {
        let _ = RANDOMS.insert(random, &bound, 0);
        return false;
    };
    if first.flow == flow.id {
        return false;
    }
    if first.verdict == Verdict::Local as u32 || first.verdict == Verdict::Relay as u32 {
        let _ = RANDOMS.insert(random, &bound, 0);
    }
    counters::add(Counter::HelloRelayed, 1);
    true
}

/// Tells user space; with the message itself only where the flow is inspected.
#[inline(always)]
fn put_hello(
    ctx: &SkBuffContext,
    flow: &Flow,
    fresh: &Fresh,
    random: &[u64; 4],
    relayed: bool,
    inspected: bool,
) {
    let len = if fresh.len > HELLO_MAX as u32 { HELLO_MAX as u32 } else { fresh.len };
    let put = if inspected {
        ring::put_filled::<Chunk<TlsHello, HELLO_MAX>>(|chunk| {
            // SAFETY: reserved ring space of this type; the record is written whole.
            unsafe {
                fill_hello(&raw mut (*chunk).record, flow, random, relayed, len);
                load_bounded::<HELLO_MAX>(ctx, fresh.at, (&raw mut (*chunk).payload).cast(), len)
            }
        })
    } else {
        ring::put_filled::<TlsHello>(|record| {
            // SAFETY: reserved ring space of this type.
            unsafe { fill_hello(record, flow, random, relayed, 0) };
            true
        })
    };
    if put != Put::Done {
        counters::add(Counter::ControlLost, 1);
    }
}

/// Writes every field of the record.
///
/// # Safety
/// `record` must be reserved ring space.
#[inline(always)]
unsafe fn fill_hello(record: *mut TlsHello, flow: &Flow, random: &[u64; 4], relayed: bool, payload_len: u32) {
    // SAFETY: the caller hands over reserved space; the random's bytes are written as words.
    unsafe {
        (&raw mut (*record).head).write(ring::head(TlsHello::TAG, payload_len));
        (*record).flow = flow.id;
        (&raw mut (*record).random).cast::<[u64; 4]>().write(*random);
        (*record).relayed = u32::from(relayed);
        (*record).verdict = flow.verdict;
        (*record).tgid = flow.owner.tgid;
        (*record).pad = 0;
    }
}

/// Tells user space about the peer's ServerHello.
#[inline(always)]
pub fn notice_answer(ctx: &SkBuffContext, flow: &mut Flow, packet: &Packet) {
    let is_tls = flow.kind == Kind::Tls as u32 || flow.kind == Kind::TlsCopied as u32;
    if !is_tls || flow.verdict != Verdict::Inspect as u32 || flow.answered >= ANSWERS_MAX {
        return;
    }
    let head = load_bytes::<6>(ctx, packet.payload).unwrap_or(NO_BYTES);
    if packet.len <= RANDOM_AT || !is_hello(&head, SERVER_HELLO) {
        return;
    }
    let len = if packet.len > ANSWER_MAX as u32 { ANSWER_MAX as u32 } else { packet.len };
    let record = TlsAnswer { head: ring::head(TlsAnswer::TAG, len), flow: flow.id };
    let put = ring::put_with::<_, ANSWER_MAX>(record, |room| {
        load_bounded::<ANSWER_MAX>(ctx, packet.payload, room, len)
    });
    if put == Put::Done {
        flow.answered += 1;
    } else {
        counters::add(Counter::ControlLost, 1);
    }
}

/// Follows the record headers of new bytes; returns bytes that user space must follow itself.
///
/// A header that straddles two packets can only be the first one here, and one that will straddle only
/// the last: both stand outside the loop, which the verifier walks turn by turn.
#[inline(always)]
pub fn follow(ctx: &SkBuffContext, flow: &mut Flow, fresh: &Fresh) -> Option<Fresh> {
    let mut next = flow.header_seq.wrapping_sub(fresh.seq);
    let straddling = flow.header_len;
    if straddling > 0 {
        if !join_header(ctx, flow, fresh, 0) {
            return None;
        }
        let Some((content, length)) = parse(&flow.header) else {
            // The bytes of the packet before are gone; they count as lost.
            lose(flow, straddling);
            return Some(hand_over(flow, fresh, 0));
        };
        tell(flow, flow.header_seq, content, length);
        next = next.wrapping_add(HEADER_LEN + length);
        flow.header_len = 0;
    }
    for _ in 0..RECORDS_MAX {
        // What a comparison tells of the length would else be carried into each further turn.
        let len = verifier::forget(u64::from(fresh.len)) as u32;
        // A value above any packet's length also stands for one before these bytes: unsigned.
        if next >= len || len - next < HEADER_LEN {
            break;
        }
        let header = load_bytes::<5>(ctx, fresh.at + next).unwrap_or(NO_BYTES);
        let Some((content, length)) = parse(&header) else {
            return Some(hand_over(flow, fresh, next));
        };
        tell(flow, fresh.seq.wrapping_add(next), content, length);
        next = verifier::forget(u64::from(next + HEADER_LEN + length)) as u32;
    }
    if next < fresh.len {
        if fresh.len - next >= HEADER_LEN {
            return Some(hand_over(flow, fresh, next));
        }
        let _ = join_header(ctx, flow, fresh, next);
    }
    flow.header_seq = fresh.seq.wrapping_add(next);
    None
}

/// From here on the flow's bytes are copied and its records followed in user space, where loops are
/// free: so many records in one packet are rare, and what is no record must be told as such.
#[inline(always)]
fn hand_over(flow: &mut Flow, fresh: &Fresh, from: u32) -> Fresh {
    flow.kind = Kind::TlsCopied as u32;
    flow.header_len = 0;
    Fresh { at: fresh.at + from, len: fresh.len - from, seq: fresh.seq.wrapping_add(from) }
}

/// Content type and length of a record header, if it is one.
#[inline(always)]
fn parse(header: &[u8; 8]) -> Option<(u32, u32)> {
    let length = u32::from(header[3]) << 8 | u32::from(header[4]);
    let sound = is_header(header[0], header[1], header[2]) && length <= RECORD_LEN_MAX;
    sound.then_some((u32::from(header[0]), length))
}

/// Appends to the header that is waited for, from offset `at`; true when it is whole.
///
/// Without a loop: kernels before 6.12 follow one that begins at an unknown place until they give up ("The
/// sequence of 8193 jumps is too complex").
#[inline(always)]
fn join_header(ctx: &SkBuffContext, flow: &mut Flow, fresh: &Fresh, at: u32) -> bool {
    let have = flow.header_len;
    let (wanted, left) = (HEADER_LEN - have, fresh.len - at);
    let take = if left < wanted { left } else { wanted };
    let mut word = 0u64;
    // What cannot be read stays zero, and no record has that type.
    let _ = load(ctx, fresh.at + at, &mut word, verifier::length::<{ HEADER_LEN as usize }>(take));
    let before = if have == 0 { 0 } else { u64::from_le_bytes(flow.header) };
    flow.header = (before | word << (have * 8)).to_le_bytes();
    flow.header_len = have + take;
    flow.header_len == HEADER_LEN
}

#[inline(always)]
fn tell(flow: &mut Flow, seq: u32, content: u32, length: u32) {
    if flow.announced == 0 {
        // A record of a flow that user space has not heard of would mean nothing to it.
        return lose(flow, HEADER_LEN + length);
    }
    let done = ring::put::<TlsRecord>(|record| {
        // SAFETY: reserved ring space of this type; the whole record is written.
        unsafe {
            record.write(TlsRecord {
                head: ring::head(TlsRecord::TAG, 0),
                flow: flow.id,
                seq,
                length,
                content,
                pad: 0,
            });
        }
    });
    if !done {
        lose(flow, HEADER_LEN + length);
    }
}

/// What stands for bytes that could not be read: no content type is zero.
const NO_BYTES: [u8; 8] = [0; 8];

/// The first `LEN` bytes at an offset, zeros behind them. One word, because the compiler turns byte arrays
/// into loops that cost the verifier dear.
#[inline(always)]
fn load_bytes<const LEN: usize>(ctx: &SkBuffContext, offset: u32) -> Option<[u8; 8]> {
    let mut word = 0u64;
    load(ctx, offset, &mut word, LEN as u32).then(|| word.to_ne_bytes())
}

/// Copies `len` bytes; false when the packet has fewer.
#[inline(always)]
fn load<T>(ctx: &SkBuffContext, offset: u32, to: &mut T, len: u32) -> bool {
    // SAFETY: callers pass at most the size of `to`; the helper checks the range of the packet.
    unsafe { bpf_skb_load_bytes(ctx.as_ptr(), offset, core::ptr::from_mut(to).cast(), len) == 0 }
}
