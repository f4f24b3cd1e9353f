//! What servers read over TLS: heads of requests, at the place where a library's reading function returns.
//!
//! Where the function begins, its arguments are noted for the thread; where it returns, they are gone and its result is
//! there. Only what begins like a request of HTTP/1 is copied, and what follows it on the session until an empty line
//! ends a read.
//!
//! *Invariants*: a session whose end is not known to be a server's is not read.
//! *Limits*: [`HEAD_MAX`] bytes from the beginning of a request on.
//! *Not here*: HTTP/2, whose heads are compressed by what came before on the connection.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user},
    macros::uprobe,
    programs::ProbeContext,
};
use cprvagt_abi::{Counter, FlowKey, Function, Site, Verdict};

use crate::{
    counters::{self, Skip},
    flows,
    maps::{Bound, FLOWS, HEADS, READS, ReadCall, is_own},
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
    let random = tls_call::random_of(&call);
    let flow = match &bound_to(&random) {
        Some(bound) => accept(bound)?,
        None => 0,
    };
    see(call.tgid);
    tls_put::put_read(&call, flows::new_id(), flow, &random);
    counters::add(Counter::TlsReadCaptured, 1);
    Ok(())
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
    note(task, ReadCall { session: call.session, buffer: call.buffer, length_at: registers.rcx });
    Err(Counter::TlsReadBegun)
}

/// Keeps a call's arguments until it returns.
#[inline(always)]
fn note(task: u64, call: ReadCall) {
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
    let begun = READS.get_ptr_mut(task).ok_or(Counter::TlsReadClient)?;
    // SAFETY: as above; taken, so that no other return of the thread finds it.
    let begun = unsafe { core::mem::replace(&mut *begun, ReadCall { session: 0, buffer: 0, length_at: 0 }) };
    if begun.buffer == 0 {
        return Err(Counter::TlsReadClient);
    }
    let count = count(registers, Site::function_of(cookie), begun.length_at)?;
    let tgid = (task >> 32) as u32;
    head(Call { session: begun.session, buffer: begun.buffer, length: count, descriptor: 0, cookie, tgid })
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

/// Cut to what belongs to a request's head.
#[inline(always)]
fn head(mut call: Call) -> Result<Call, Skip> {
    let key = [processes::generation_of(call.tgid), call.session];
    // SAFETY: the value is copied out at once.
    let known = unsafe { HEADS.get(key) }.copied().unwrap_or(0);
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
        // Before the key is used, which holds zero for it until then.
        processes::remember_generation(call.tgid);
        let _ = HEADS.insert(key, rest, 0);
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
