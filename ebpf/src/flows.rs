//! The flow table: finding or opening the flow of a packet, and what policy says of it.

use aya_ebpf::{
    EbpfContext,
    helpers::generated::{bpf_get_prandom_u32, bpf_get_socket_cookie, bpf_sk_fullsock},
    maps::lpm_trie::Key,
    programs::SkBuffContext,
};
use cprvagt_abi::{
    Counter, Flow, FlowEnd, FlowKey, FlowOpen, Owner, PORT_RULES_MAX, Role, Verdict, WAIVES_CLEARTEXT,
    WAIVES_NOT_ALLOWED,
};

use crate::{
    counters::Skip,
    maps::{ALLOW, BLANK_FLOW, FLOWS, LOCALS, OWNERS, RELAYS, UDP_PEERS, is_own},
    packet::{Packet, TCP, UDP},
    ring,
};

/// Keep an entry that is there.
const BPF_NOEXIST: u64 = 1;

/// A packet seen from this host: which end is ours.
pub struct Ends<'a> {
    pub remote: &'a [u8; 16],
    pub local: &'a [u8; 16],
    pub remote_port: u32,
    pub local_port: u32,
}

/// The key of a packet's flow.
#[inline(always)]
pub fn key_of(ctx: &SkBuffContext, packet: &Packet, ends: &Ends<'_>) -> Result<FlowKey, Skip> {
    // SAFETY: the helper takes the program's own context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    if cookie == 0 {
        return Err(Counter::PacketNoSocket);
    }
    let mut key = FlowKey { cookie, addr: [0; 16], port: 0, protocol: packet.protocol };
    if packet.protocol == UDP {
        key.addr = *ends.remote;
        key.port = ends.remote_port;
    }
    Ok(key)
}

/// The flow of a packet that leaves, opened if this is its first.
#[inline(always)]
pub fn find_or_open(
    ctx: &SkBuffContext,
    key: &FlowKey,
    packet: &Packet,
    ends: &Ends<'_>,
) -> Result<&'static mut Flow, Skip> {
    if FLOWS.get_ptr_mut(key).is_none()
        && let Some(blank) = BLANK_FLOW.get(0)
    {
        // Another processor may be quicker with a datagram of the same flow: its entry stays.
        let _ = FLOWS.insert(key, blank, BPF_NOEXIST);
    }
    let flow = FLOWS.get_ptr_mut(key).ok_or(Counter::FlowTableFull)?;
    // SAFETY: map memory stays valid while the program runs. The socket's lock serialises packets of one
    // TCP socket; two processors that open one UDP flow at once write the same, and then only add.
    let flow = unsafe { &mut *flow };
    if flow.id == 0 {
        open(ctx, flow, key, packet, ends);
    }
    Ok(flow)
}

/// Fills a blank flow in place: built on the stack it would take a third of it.
#[inline(always)]
fn open(ctx: &SkBuffContext, flow: &mut Flow, key: &FlowKey, packet: &Packet, ends: &Ends<'_>) {
    flow.remote = *ends.remote;
    flow.local = *ends.local;
    flow.remote_port = ends.remote_port;
    flow.local_port = ends.local_port;
    note_asked(ctx, flow);
    flow.protocol = packet.protocol;
    flow.high_seq = packet.seq;
    flow.header_seq = packet.seq;
    set_owner(&mut flow.owner, key);
    flow.waives = waived(ends);
    flow.verdict = verdict_of(&flow.owner, ends, flow.waives) as u32;
    flow.id = if key.protocol == UDP { id_of(key) } else { new_id() };
}

/// Notes where the program asked to go, which address translation has not changed.
#[inline(always)]
fn note_asked(ctx: &SkBuffContext, flow: &mut Flow) {
    const IPV4: u32 = 2;
    // SAFETY: the kernel hands the program a readable context; a socket is read only where there is one, and word by
    // word, as the verifier demands.
    unsafe {
        let socket = (*ctx.skb.skb).__bindgen_anon_2.sk;
        if socket.is_null() {
            return;
        }
        let socket = bpf_sk_fullsock(socket);
        if socket.is_null() {
            return;
        }
        let asked = (&raw mut flow.asked).cast::<u32>();
        if (&raw const (*socket).family).read_volatile() == IPV4 {
            let address = (&raw const (*socket).dst_ip4).read_volatile();
            if address == 0 {
                return;
            }
            asked.add(2).write(0xffff_0000_u32.to_le());
            asked.add(3).write(address);
        } else {
            for word in 0..4 {
                asked.add(word).write((&raw const (*socket).dst_ip6[word]).read_volatile());
            }
        }
        flow.asked_port = u32::from(u16::from_be((&raw const (*socket).dst_port).read_volatile()));
    }
}

/// The id of a UDP flow: two processors that open it at once must agree on it. Never zero.
#[inline(always)]
fn id_of(key: &FlowKey) -> u64 {
    // An odd number with no pattern: 2^64 divided by the golden ratio.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    // SAFETY: 16 bytes read as two words of the key's own memory.
    let addr = unsafe { key.addr.as_ptr().cast::<[u64; 2]>().read_unaligned() };
    let mut id = key.cookie.wrapping_mul(SPREAD);
    for word in [addr[0], addr[1], u64::from(key.port)] {
        id = (id ^ word).wrapping_mul(SPREAD);
        id ^= id >> 29;
    }
    id | 1
}

#[inline(always)]
fn set_owner(owner: &mut Owner, key: &FlowKey) {
    // SAFETY: the value is copied at once.
    if let Some(known) = unsafe { OWNERS.get(key.cookie) } {
        *owner = *known;
    }
    // SAFETY: only the presence of the entry matters.
    if key.protocol == UDP && unsafe { UDP_PEERS.get(key) }.is_some() {
        owner.role = Role::Server as u32;
    }
}

#[inline(always)]
fn verdict_of(owner: &Owner, ends: &Ends<'_>, waives: u32) -> Verdict {
    if owner.tgid != 0 && is_own(owner.tgid) {
        return Verdict::Own;
    }
    if is_local(ends.remote) {
        return local_verdict(owner, ends);
    }
    if owner.role == Role::Server as u32 {
        return Verdict::Server;
    }
    if waives & WAIVES_NOT_ALLOWED == 0 {
        return Verdict::Inspect;
    }
    if waives & WAIVES_CLEARTEXT == 0 { Verdict::AllowedEncrypted } else { Verdict::Allowed }
}

/// What a program hands to a relay is read, what the relay answers is not.
#[inline(always)]
fn local_verdict(owner: &Owner, ends: &Ends<'_>) -> Verdict {
    // SAFETY: only the presence of the entry matters.
    let is_relay = unsafe { RELAYS.get(ends.remote_port) }.is_some();
    if is_relay && owner.role != Role::Server as u32 { Verdict::Relay } else { Verdict::Local }
}

/// Loopback, or an address of this host.
#[inline(always)]
fn is_local(address: &[u8; 16]) -> bool {
    // SAFETY: 16 bytes read as four words of the array's own memory.
    let words = unsafe { address.as_ptr().cast::<[u32; 4]>().read_unaligned() };
    let mapped = words[0] == 0 && words[1] == 0 && words[2] == 0xffff_0000_u32.to_le();
    if mapped && address[12] == 127 {
        return true;
    }
    if words[0] == 0 && words[1] == 0 && words[2] == 0 && words[3] == 1u32.to_be() {
        return true;
    }
    // SAFETY: only the presence of the entry matters.
    unsafe { LOCALS.get(address) }.is_some()
}

/// What the allow entries of this destination waive.
#[inline(always)]
fn waived(ends: &Ends<'_>) -> u32 {
    let Some(rules) = ALLOW.get(Key::new(128, *ends.remote)) else {
        return 0;
    };
    let mut waives = 0;
    for index in 0..PORT_RULES_MAX {
        let rule = &rules.rules[index];
        if ends.remote_port >= u32::from(rule.lo) && ends.remote_port <= u32::from(rule.hi) {
            waives |= rule.waives;
        }
    }
    waives
}

/// A number that no other flow or write has; never zero.
///
/// Random because a counter with a result needs atomic operations that kernel 5.10 does not have.
#[inline(always)]
pub fn new_id() -> u64 {
    // SAFETY: a helper without arguments.
    let (high, low) = unsafe { (bpf_get_prandom_u32(), bpf_get_prandom_u32()) };
    u64::from(high) << 32 | u64::from(low) | 1
}

/// Tells user space about a flow once; false while the ring has no room for it.
#[inline(always)]
pub fn announce(key: &FlowKey, flow: &mut Flow) -> bool {
    if flow.announced == 0 {
        let done = ring::put::<FlowOpen>(|record| {
            // SAFETY: reserved ring space of this type; every field is written.
            unsafe {
                (&raw mut (*record).head).write(ring::head(FlowOpen::TAG, 0));
                (&raw mut (*record).key).write(*key);
                (&raw mut (*record).flow).write(*flow);
            }
        });
        // Where it found no room, another processor may have told of it all the same.
        if done {
            flow.announced = 1;
        }
    }
    flow.announced == 1
}

/// Ends the TCP flow of a socket that closed.
#[inline(always)]
pub fn close(cookie: u64) {
    let key = FlowKey { cookie, addr: [0; 16], port: 0, protocol: TCP };
    let Some(flow) = FLOWS.get_ptr_mut(&key) else {
        return;
    };
    // SAFETY: map memory stays valid while the program runs.
    let flow = unsafe { &*flow };
    // Without room in the ring the flow stays, and user space finds its totals in the table.
    // So does one that the ring had no room to announce: its bytes are in no other account.
    let inspected =
        flow.verdict == Verdict::Inspect as u32 || flow.verdict == Verdict::AllowedEncrypted as u32;
    let is_known = flow.announced == 1;
    if (!inspected && !is_known) || (is_known && put_end(flow)) {
        let _ = FLOWS.remove(&key);
    }
}

#[inline(always)]
fn put_end(flow: &Flow) -> bool {
    ring::put::<FlowEnd>(|record| {
        // SAFETY: reserved ring space of this type; every field is written.
        unsafe {
            (&raw mut (*record).head).write(ring::head(FlowEnd::TAG, 0));
            (&raw mut (*record).flow).write(*flow);
        }
    })
}
