//! The TLS tap: plaintext at the entry of a library's writing functions. What servers read is in [`crate::tls_reads`].
//!
//! The session's client random, read from the session object, names the flow before a byte is copied:
//! the allow list holds here as it does on the wire.
//!
//! *Not here*: return values. An exit probe moves the return address and crashes programs that move
//! stacks; the wire says what was really sent.

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_pid_tgid, generated::bpf_get_attach_cookie},
    macros::uprobe,
    programs::ProbeContext,
};
use cprvagt_abi::{Counter, Function, INLINE_MAX, Site, SiteTwice, Verdict};

use crate::{
    counters::{self, Skip},
    flows,
    maps::{Bound, LAST_CALLS, LastCall, RANDOMS, is_own},
    processes::see,
    ring,
    tls_call::{self, Call},
    tls_put::{self, Touch, fault_in},
    tls_sites, verifier,
};

/// Functions that write: session, buffer, length.
///
/// May fault pages in: a program that writes from a file it has mapped has none of them resident. Before
/// kernel 6.10 [`tls_write_now`] takes its place.
#[uprobe(sleepable)]
pub fn tls_write(ctx: ProbeContext) -> u32 {
    verifier::keep_stack_with_task();
    counters::settle(capture(&ctx, attach_cookie(&ctx), fault_in));
    0
}

/// The same, reading only what is resident. Needs kernel 5.15; before that, [`tls_write_site`] takes its place.
#[uprobe]
pub fn tls_write_now(ctx: ProbeContext) -> u32 {
    verifier::keep_stack_with_task();
    counters::settle(capture(&ctx, attach_cookie(&ctx), |_| {}));
    0
}

/// The same, called by the program of a site.
#[uprobe]
pub fn tls_write_site(ctx: ProbeContext) -> u32 {
    if let Some(cookie) = tls_sites::cookie() {
        counters::settle(capture(&ctx, cookie, |_| {}));
    }
    0
}

#[inline(always)]
pub fn attach_cookie(ctx: &ProbeContext) -> u64 {
    // SAFETY: the helper takes the program's own context.
    unsafe { bpf_get_attach_cookie(ctx.as_ptr()) }
}

#[inline(always)]
fn capture(ctx: &ProbeContext, cookie: u64, touch: impl Touch) -> Result<(), Skip> {
    let task = bpf_get_current_pid_tgid();
    if is_own((task >> 32) as u32) {
        return Err(Counter::TlsWriteOwn);
    }
    let call = tls_call::read(ctx, cookie, (task >> 32) as u32)?;
    refuse_second_probe(ctx, task, &call)?;
    let random = tls_call::random_of(&call);
    let function = Site::function_of(call.cookie);
    let flow = match &bound_to(&random) {
        Some(bound) => accept(bound)?,
        // A socket of NSS that has not shaken hands sends in clear, and the wire tells.
        None if Function::takes_descriptor(function) && is_zero(&random) => {
            return Err(Counter::TlsWriteNotTls);
        }
        None => 0,
    };
    // Last, since what is not copied anyway need not be asked whose it is.
    tls_call::refuse_server(&call)?;
    see(call.tgid);
    let write = flows::new_id();
    if Function::sends_file(function) {
        tls_put::put_file(&call, write, flow, &random);
    } else if Function::gathers(function) {
        tls_put::put_gathered(&call, write, flow, &random);
    } else if call.length <= INLINE_MAX {
        tls_put::put_small(&call, write, flow, &random, touch);
    } else {
        tls_put::put_large(&call, write, flow, &random, touch);
    }
    counters::add(Counter::TlsWriteCaptured, 1);
    Ok(())
}

/// Two mounts of one image layer show two files that are one: both attachments then fire for one call,
/// at one instruction with one stack. The first to fire keeps the call, user space removes the other.
#[inline(always)]
fn refuse_second_probe(ctx: &ProbeContext, task: u64, call: &Call) -> Result<(), Skip> {
    // SAFETY: the kernel hands a uprobe program readable registers.
    let (instruction, stack) = unsafe { ((*ctx.regs).rip, (*ctx.regs).rsp) };
    let attachment = u64::from(Site::attachment_of(call.cookie));
    let call = LastCall { instruction, stack, attachment };
    let Some(last) = LAST_CALLS.get_ptr_mut(task) else {
        let _ = LAST_CALLS.insert(task, &call, 0);
        return Ok(());
    };
    // SAFETY: map memory stays valid while the program runs, and only this thread's calls change it: in place, which
    // costs a tenth of an insertion.
    let last = unsafe { &mut *last };
    if last.instruction == instruction && last.stack == stack && last.attachment != attachment {
        put_site_twice(last.attachment as u32, attachment as u32);
        return Err(Counter::TlsWriteTwice);
    }
    *last = call;
    Ok(())
}

#[inline(always)]
fn put_site_twice(first: u32, second: u32) {
    ring::put::<SiteTwice>(|record| {
        // SAFETY: reserved ring space of this type; the whole record is written.
        unsafe { record.write(SiteTwice { head: ring::head(SiteTwice::TAG, 0), first, second }) };
    });
}

/// The flow to name in the record, or why nothing is copied.
#[inline(always)]
fn accept(bound: &Bound) -> Result<u64, Skip> {
    match bound.verdict {
        v if v == Verdict::Inspect as u32 => Ok(bound.flow),
        v if v == Verdict::Local as u32 || v == Verdict::Relay as u32 => Err(Counter::TlsWriteLocal),
        v if v == Verdict::Own as u32 => Err(Counter::TlsWriteOwn),
        v if v == Verdict::Server as u32 => Err(Counter::TlsWriteServer),
        _ => Err(Counter::TlsWriteAllowed),
    }
}

/// The flow with this random; none for zeros, which stand for a random that is not known or not drawn.
#[inline(always)]
pub fn bound_to(random: &[u64; 4]) -> Option<Bound> {
    if is_zero(random) {
        return None;
    }
    // SAFETY: the value is copied out at once.
    unsafe { RANDOMS.get(random) }.copied()
}

#[inline(always)]
fn is_zero(random: &[u64; 4]) -> bool {
    random[0] | random[1] | random[2] | random[3] == 0
}
