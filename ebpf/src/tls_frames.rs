//! HTTP/2 that servers read: every frame but data, in their order.
//!
//! Heads are compressed by what came before on the connection, so all of them are copied from its first byte on. A read
//! is walked frame by frame; frames that follow each other are copied together, data is stepped over. The program
//! does so much at a time and jumps to itself for the rest: a loop over all of a read would be too long to verify.
//!
//! *Invariants*: what is copied of a connection is whole frames, one after the other, if none was missed.
//! *Limits*: [`FRAMES_MAX`] frames, and [`CHUNK_MAX`] bytes that are copied, of a step; 33 steps of a read (the kernel's
//! limit of jumps). Of a connection with more in one read nothing else is copied, which is counted.

use aya_ebpf::{
    EbpfContext,
    helpers::{
        bpf_get_current_pid_tgid, bpf_probe_read_user, generated::bpf_probe_read_user as read_user_raw,
    },
    macros::uprobe,
    programs::ProbeContext,
};
use cprvagt_abi::{CHUNK_MAX, Counter};

use crate::{
    counters::{self, Skip},
    flows,
    maps::{FRAMES_PROGRAM, HEADS, Heads, READS, ReadCall, Reading},
    processes::see,
    tls_call::{self, Call},
    tls_put,
    tls_reads::{flow_of, key_of, note, take},
    tls_tap::attach_cookie,
    verifier,
};

/// Frames of a step.
const FRAMES_MAX: u32 = 16;
/// Bytes of a frame header (RFC 9113, 4.1): three of length, then the type.
const HEADER_LEN: u32 = 9;
/// The type of frames that carry content (RFC 9113, 6.1).
const DATA: u64 = 0;

/// What a server has read, or what is left of it. Needs kernel 5.15, as the program that jumps to it.
#[uprobe]
pub fn tls_read_frames(ctx: ProbeContext) -> u32 {
    counters::settle(follow(&ctx));
    0
}

/// What a step copies, and how far it comes.
struct Run {
    /// Bytes that earlier reads brought of the header that the run begins with.
    carried: u64,
    carried_len: u32,
    /// Offset of the first byte to copy.
    from: u64,
    /// Bytes to copy.
    len: u64,
    /// Offset behind the last byte that was looked at.
    next: u64,
}

#[inline(always)]
fn follow(ctx: &ProbeContext) -> Result<(), Skip> {
    let task = bpf_get_current_pid_tgid();
    let ReadCall { session, buffer, length } = take(task)?;
    let cookie = attach_cookie(ctx);
    let call = Call { session, buffer, length, descriptor: 0, cookie, tgid: (task >> 32) as u32 };
    let heads = HEADS.get_ptr_mut(key_of(&call)).ok_or(Counter::TlsReadFramesMissed)?;
    // SAFETY: map memory stays valid while the program runs, and a session is read by one thread at a time.
    let heads = unsafe { &mut *heads };
    if heads.reading == Reading::Missed as u32 {
        return Err(Counter::TlsReadBody);
    }
    let random = tls_call::random_of(&call);
    let flow = flow_of(&random)?;
    let Some(run) = walk(&call, heads) else {
        heads.reading = Reading::Missed as u32;
        return Err(Counter::TlsReadUnreadable);
    };
    if run.len > 0 {
        see(call.tgid);
        copy(&call, &run, flow, &random);
        counters::add(Counter::TlsReadCaptured, 1);
    }
    if run.next >= length {
        return if run.len > 0 { Ok(()) } else { Err(Counter::TlsReadBody) };
    }
    note(task, ReadCall { session, buffer: buffer + run.next, length: length - run.next });
    // SAFETY: does not come back unless the kernel allows no more jumps.
    unsafe { FRAMES_PROGRAM.tail_call(ctx, 0) };
    heads.reading = Reading::Missed as u32;
    Err(Counter::TlsReadFramesMissed)
}

#[inline(always)]
fn copy(call: &Call, run: &Run, flow: u64, random: &[u64; 4]) {
    let part = |at, length| Call { buffer: call.buffer + at, length, ..*call };
    if run.carried_len > 0 {
        let carried = part(0, u64::from(run.carried_len));
        tls_put::put_kept(&carried, flows::new_id(), flow, random, run.carried);
    }
    tls_put::put_read(&part(run.from, run.len), flows::new_id(), flow, random);
}

/// Walks over data, then over the frames up to the next data; `None` where memory cannot be read.
#[inline(always)]
fn walk(call: &Call, heads: &mut Heads) -> Option<Run> {
    let mut run = Run { carried: 0, carried_len: 0, from: 0, len: 0, next: 0 };
    for _ in 0..FRAMES_MAX {
        let rest = call.length - run.next;
        if heads.left == 0 {
            let needs = HEADER_LEN - heads.carried_len;
            if rest < u64::from(needs) {
                carry(call.buffer + run.next, rest as u32, heads)?;
                run.next = call.length;
                break;
            }
            let header = header_at(call.buffer + run.next, heads)?;
            let is_data = header >> 24 == DATA;
            if is_data && run.len > 0 {
                break;
            }
            heads.left = (header as u32).swap_bytes() >> 8;
            heads.reading = if is_data { Reading::Data } else { Reading::Frame } as u32;
            if !is_data && heads.carried_len > 0 {
                (run.carried, run.carried_len) = (heads.carried, heads.carried_len);
            }
            (heads.carried, heads.carried_len) = (0, 0);
            step(&mut run, u64::from(needs), is_data);
        }
        let is_data = heads.reading == Reading::Data as u32;
        let mut count = u64::from(heads.left).min(call.length - run.next);
        if !is_data {
            count = count.min(CHUNK_MAX as u64 - run.len);
        }
        heads.left -= count as u32;
        step(&mut run, count, is_data);
        if run.next == call.length || heads.left > 0 {
            break;
        }
        run.len = verifier::forget(run.len);
    }
    Some(run)
}

/// Goes on by `count` bytes, which are copied if they are not data.
#[inline(always)]
fn step(run: &mut Run, count: u64, is_data: bool) {
    run.next += count;
    if is_data {
        run.from = run.next;
    } else {
        run.len += count;
    }
}

/// The first four bytes of a frame header, of which some may have come before, the first one lowest.
#[inline(always)]
fn header_at(at: u64, heads: &Heads) -> Option<u64> {
    if heads.carried_len >= 4 {
        return Some(heads.carried & 0xffff_ffff);
    }
    // SAFETY: the helper checks the address.
    let new = unsafe { bpf_probe_read_user(at as *const u32) }.ok()?;
    Some((heads.carried | u64::from(new) << (8 * heads.carried_len)) & 0xffff_ffff)
}

/// Keeps the bytes of a header that are there, fewer than all.
#[inline(always)]
fn carry(at: u64, len: u32, heads: &mut Heads) -> Option<()> {
    if len == 0 {
        return Some(());
    }
    let mut bytes = 0u64;
    let checked = verifier::length::<8>(len);
    // SAFETY: at most the eight bytes of our own stack; the helper checks the address.
    let code = unsafe { read_user_raw((&raw mut bytes).cast(), checked, at as *const core::ffi::c_void) };
    heads.carried |= bytes << (8 * (heads.carried_len & 7));
    heads.carried_len += len;
    (code == 0).then_some(())
}
