//! What servers read over TLS: heads of requests, at the place where a library's reading function returns.
//!
//! Where the function begins, its arguments are noted for the thread; where it returns, they are gone and its result is
//! there. Only what begins like a request of HTTP/1 is copied, and what follows it on the session until an empty line
//! ends a read.
//!
//! *Invariants*: a session whose end is not known to be a server's is not read.
//! *Limits*: [`HEAD_MAX`] bytes from the beginning of a request on.
//! *Not here*: HTTP/2, whose heads are compressed by what came before on the connection.

use aya_ebpf::{helpers::bpf_probe_read_user, programs::ProbeContext};
use cprvagt_abi::{Counter, Function, Site};

use crate::{
    counters::Skip,
    maps::{HEADS, READS, ReadCall},
    tls_call::{self, Call, Registers},
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

/// The read at whose site the program runs, as a call whose buffer holds a part of a request's head.
#[inline(always)]
pub fn read(ctx: &ProbeContext, cookie: u64, task: u64) -> Result<Call, Skip> {
    let registers = Registers::read(ctx);
    if Site::returns(cookie) {
        return returned(&registers, cookie, task);
    }
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
    let result = if Function::is_gnutls(function) { registers.rax as i64 } else { i64::from(registers.rax as i32) };
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
    let key = [u64::from(call.tgid), call.session];
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
