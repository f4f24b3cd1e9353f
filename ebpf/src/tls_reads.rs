//! What servers read over TLS: heads of requests, at the place where a library's reading function returns.
//!
//! Where the function begins, its arguments are noted for the thread; where it returns, they are gone and its result is
//! there. Only what begins like a request of HTTP/1 is copied, and what follows it on the session until an empty line
//! ends a read. What begins like a connection of HTTP/2 is left to [`crate::tls_frames`].
//!
//! *Invariants*: a session whose end is not known to be a server's is not read.
//! *Limits*: [`HEAD_MAX`] bytes from the beginning of a request on.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user},
    macros::uprobe,
    programs::ProbeContext,
};
use cprvagt_abi::{Counter, FlowKey, Function, Site, Verdict};

use crate::{
    counters::{self, Skip},
    flows,
    maps::{Bound, FLOWS, FRAMES_PROGRAM, HEADS, Heads, READS, ReadCall, Reading, is_own},
    packet::TCP,
    processes::{self, see},
    tls_call::{self, Call, Registers},
    tls_put,
    tls_tap::{attach_cookie, bound_to},
};

/// Bytes of a request's head: servers refuse longer ones (nginx 32 KiB, Apache and Node 16 KiB at most by default).
const HEAD_MAX: u32 = 16 << 10;
/// How requests begin (RFC 9110, 9; RFC 5789): the first four bytes, as the processor reads them.
const METHODS: [u32; 9] = [
    u32::from_ne_bytes(*b"GET "),
    u32::from_ne_bytes(*b"POST"),
    u32::from_ne_bytes(*b"PUT "),
    u32::from_ne_bytes(*b"HEAD"),
    u32::from_ne_bytes(*b"DELE"),
    u32::from_ne_bytes(*b"PATC"),
    u32::from_ne_bytes(*b"OPTI"),
    u32::from_ne_bytes(*b"TRAC"),
    u32::from_ne_bytes(*b"CONN"),
];
/// How a connection of HTTP/2 begins (RFC 9113, 3.4), as far as no request of HTTP/1 does.
const PREFACE: u64 = u64::from_ne_bytes(*b"PRI * HT");
/// All of it.
const PREFACE_LEN: u32 = 24;
/// How a head ends.
const EMPTY_LINE: u32 = u32::from_ne_bytes(*b"\r\n\r\n");

/// Functions that read, where they begin and where they return. Needs kernel 5.15, for the attach cookie.
#[uprobe]
pub fn tls_read(ctx: ProbeContext) -> u32 {
    counters::settle(capture(&ctx));
    0
}

#[inline(always)]
fn capture(ctx: &ProbeContext) -> Result<(), Skip> {
    let (task, cookie) = (bpf_get_current_pid_tgid(), attach_cookie(ctx));
    if is_own((task >> 32) as u32) {
        return Err(Counter::TlsWriteOwn);
    }
    let registers = Registers::read(ctx);
    if !Site::returns(cookie) {
        return begun(&registers, cookie, task);
    }
    let call = returned(&registers, cookie, task)?;
    let key = key_of(&call);
    // SAFETY: the value is copied out at once.
    let known = unsafe { HEADS.get(key) }.copied();
    if brings_frames(&call, known.as_ref(), &key)? {
        note(task, ReadCall { session: call.session, buffer: call.buffer, length: call.length });
        // SAFETY: does not come back unless nothing can be jumped to.
        unsafe { FRAMES_PROGRAM.tail_call(ctx, 0) };
        return Err(Counter::TlsReadFramesMissed);
    }
    let call = head(call, known.as_ref(), &key)?;
    put(&call)
}

/// What is known of a session is kept by this.
#[inline(always)]
pub fn key_of(call: &Call) -> [u64; 2] {
    [processes::generation_of(call.tgid), call.session]
}

/// Copies what a server has read.
#[inline(always)]
fn put(call: &Call) -> Result<(), Skip> {
    let random = tls_call::random_of(call);
    let flow = flow_of(&random)?;
    see(call.tgid);
    tls_put::put_read(call, flows::new_id(), flow, &random);
    counters::add(Counter::TlsReadCaptured, 1);
    Ok(())
}

/// The flow of a server's session, or why it is not read.
#[inline(always)]
pub fn flow_of(random: &[u64; 4]) -> Result<u64, Skip> {
    match &bound_to(random) {
        Some(bound) => accept(bound),
        None => Ok(0),
    }
}

/// The flow to name in the record, or why nothing is copied. User space knows no flow of a server until it is told of
/// one here.
#[inline(always)]
fn accept(bound: &Bound) -> Result<u64, Skip> {
    if bound.verdict != Verdict::Server as u32 {
        return Err(Counter::TlsWriteLocal);
    }
    let key = FlowKey { cookie: bound.cookie, addr: [0; 16], port: 0, protocol: TCP };
    if let Some(flow) = FLOWS.get_ptr_mut(&key) {
        // SAFETY: map memory stays valid while the program runs. The wire tap may tell of the flow at the same time;
        // user space takes the second for the first.
        flows::announce(&key, unsafe { &mut *flow });
    }
    Ok(bound.flow)
}

/// Notes the arguments of a server's read.
#[inline(always)]
fn begun(registers: &Registers, cookie: u64, task: u64) -> Result<(), Skip> {
    let tgid = (task >> 32) as u32;
    let call = Call { session: registers.rdi, buffer: registers.rsi, length: 0, descriptor: 0, cookie, tgid };
    if tls_call::is_server(&call) != Some(true) {
        return Err(Counter::TlsReadClient);
    }
    note(task, ReadCall { session: call.session, buffer: call.buffer, length: registers.rcx });
    Err(Counter::TlsReadBegun)
}

/// Keeps a call's arguments until it returns, and what it returned for the program that is jumped to.
#[inline(always)]
pub fn note(task: u64, call: ReadCall) {
    match READS.get_ptr_mut(task) {
        // SAFETY: map memory stays valid while the program runs, and only this thread's calls change it.
        Some(known) => unsafe { *known = call },
        None => {
            let _ = READS.insert(task, &call, 0);
        }
    }
}

#[inline(always)]
fn returned(registers: &Registers, cookie: u64, task: u64) -> Result<Call, Skip> {
    let begun = take(task)?;
    let count = count(registers, Site::function_of(cookie), begun.length)?;
    let tgid = (task >> 32) as u32;
    Ok(Call { session: begun.session, buffer: begun.buffer, length: count, descriptor: 0, cookie, tgid })
}

/// What was noted for the thread, which no other return of it finds.
#[inline(always)]
pub fn take(task: u64) -> Result<ReadCall, Skip> {
    let noted = READS.get_ptr_mut(task).ok_or(Counter::TlsReadClient)?;
    // SAFETY: map memory stays valid while the program runs, and only this thread's calls change it.
    let noted = unsafe { core::mem::replace(&mut *noted, ReadCall { session: 0, buffer: 0, length: 0 }) };
    if noted.buffer == 0 { Err(Counter::TlsReadClient) } else { Ok(noted) }
}

/// How many bytes came.
#[inline(always)]
fn count(registers: &Registers, function: u32, length_at: u64) -> Result<u64, Skip> {
    let result =
        if Function::is_gnutls(function) { registers.rax as i64 } else { i64::from(registers.rax as i32) };
    if result <= 0 {
        return Err(Counter::TlsReadBody);
    }
    if function != Function::SslReadEx as u32 {
        return Ok(result as u64);
    }
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(length_at as *const u64) }.map_err(|_| Counter::TlsReadUnreadable)
}

/// Whether a read brings frames of HTTP/2; notes a connection that begins.
#[inline(always)]
fn brings_frames(call: &Call, known: Option<&Heads>, key: &[u64; 2]) -> Result<bool, Skip> {
    let begins = begins_frames(call)?;
    let frames = known.filter(|known| known.reading != Reading::Requests as u32);
    if let Some(known) = frames {
        // Data may look like the beginning of something: a connection that does begin has another random.
        if !(begins || begins_request(call)?) || known.random == tls_call::random_of(call)[0] {
            return Ok(true);
        }
    }
    if begins {
        let random = tls_call::random_of(call)[0];
        let (reading, left) = (Reading::Frame as u32, PREFACE_LEN);
        remember(call, key, &Heads { reading, left, carried: 0, carried_len: 0, pad: 0, random });
    }
    Ok(begins)
}

#[inline(always)]
fn begins_frames(call: &Call) -> Result<bool, Skip> {
    if call.length < 8 {
        return Ok(false);
    }
    // SAFETY: the helper checks the address.
    let first = unsafe { bpf_probe_read_user(call.buffer as *const u64) };
    first.map(|first| first == PREFACE).map_err(|_| Counter::TlsReadUnreadable)
}

/// Keeps what is known of a session.
#[inline(always)]
fn remember(call: &Call, key: &[u64; 2], heads: &Heads) {
    // Before the key is used, which holds zero for it until then.
    processes::remember_generation(call.tgid);
    let _ = HEADS.insert(key, heads, 0);
}

/// Cut to what belongs to a request's head.
#[inline(always)]
fn head(mut call: Call, known: Option<&Heads>, key: &[u64; 2]) -> Result<Call, Skip> {
    let known = known.filter(|known| known.reading == Reading::Requests as u32).map_or(0, |known| known.left);
    let left = if begins_request(&call)? { HEAD_MAX } else { known };
    if left == 0 {
        return Err(Counter::TlsReadBody);
    }
    let ends = call.length <= u64::from(left) && ends_head(&call);
    if call.length > u64::from(left) {
        call.length = u64::from(left);
    }
    let rest = if ends { 0 } else { left - call.length as u32 };
    if rest != 0 || known != 0 {
        let reading = Reading::Requests as u32;
        remember(&call, key, &Heads { reading, left: rest, carried: 0, carried_len: 0, pad: 0, random: 0 });
    }
    Ok(call)
}

#[inline(always)]
fn begins_request(call: &Call) -> Result<bool, Skip> {
    if call.length < 4 {
        return Ok(false);
    }
    let first = word(call.buffer)?;
    let mut begins = false;
    for method in METHODS {
        begins |= first == method;
    }
    Ok(begins)
}

#[inline(always)]
fn ends_head(call: &Call) -> bool {
    call.length >= 4 && word(call.buffer + call.length - 4) == Ok(EMPTY_LINE)
}

#[inline(always)]
fn word(at: u64) -> Result<u32, Skip> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(at as *const u32) }.map_err(|_| Counter::TlsReadUnreadable)
}
