//! The TLS tap: plaintext at the entry of a library's writing functions, and what servers read (see [`crate::tls_reads`]).
//!
//! The session's client random, read from the session object, names the flow before a byte is copied:
//! the allow list holds here as it does on the wire. Small writes are one record; longer ones a head,
//! chunks, and an end that says what is missing.
//!
//! What is sent from a file is a head and the file's number: user space reads it.
//!
//! *Limits*: [`WRITE_CHUNKS_MAX`] chunks of one write; the rest is counted.
//! *Not here*: return values. An exit probe moves the return address and crashes programs that move
//! stacks; the wire says what was really sent.

use aya_ebpf::{
    EbpfContext,
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
        generated::{
            bpf_copy_from_user, bpf_get_attach_cookie, bpf_get_current_cgroup_id,
            bpf_probe_read_user as read_user_raw,
        },
    },
    macros::uprobe,
    programs::ProbeContext,
};
use cprvagt_abi::{
    CHUNK_CLASSES, CHUNK_MAX, Counter, FlowKey, Function, INLINE_MAX, Site, SiteTwice, TlsData, TlsFile, TlsWrite,
    TlsWriteEnd, Verdict, WRITE_CHUNK, WRITE_CHUNKS_MAX,
};

use crate::{
    counters::{self, Skip},
    flows,
    maps::{Bound, FLOWS, LAST_CALLS, LastCall, RANDOMS, is_own},
    packet::TCP,
    processes::current_comm,
    ring::{self, Put},
    tls_call::{self, Call},
    tls_reads, tls_sites, verifier,
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
fn attach_cookie(ctx: &ProbeContext) -> u64 {
    // SAFETY: the helper takes the program's own context.
    unsafe { bpf_get_attach_cookie(ctx.as_ptr()) }
}

/// Makes the page of an address resident, where the program can.
trait Touch: Fn(u64) + Copy {}
impl<F: Fn(u64) + Copy> Touch for F {}

/// Faults the page of an address in.
#[inline(always)]
fn fault_in(at: u64) {
    let mut byte = 0u64;
    // SAFETY: one byte of our own stack; the helper checks the address.
    unsafe { bpf_copy_from_user((&raw mut byte).cast(), 1, at as *const core::ffi::c_void) };
}

/// Touches the pages of `len` bytes from `from` on, which are at most `MOST`.
///
/// Before a record is reserved, never while: a fault may last as long as the process likes, and a reserved
/// record holds up all those behind it. No branch depends on what a touch finds: the verifier would follow
/// every combination.
#[inline(always)]
fn touch_all<const MOST: usize>(from: u64, len: u32, touch: impl Touch) {
    const PAGE: u32 = 4096;
    let last = len - 1;
    for page in 0..MOST as u32 / PAGE {
        let offset = if page * PAGE < last { page * PAGE } else { last };
        touch(from + u64::from(offset));
    }
    touch(from + u64::from(last));
}

#[inline(always)]
fn capture(ctx: &ProbeContext, cookie: u64, touch: impl Touch) -> Result<(), Skip> {
    let task = bpf_get_current_pid_tgid();
    if is_own((task >> 32) as u32) {
        return Err(Counter::TlsWriteOwn);
    }
    let reads = Function::reads(Site::function_of(cookie));
    let call = if reads {
        tls_reads::read(ctx, cookie, task)?
    } else {
        let call = tls_call::read(ctx, cookie, (task >> 32) as u32)?;
        refuse_second_probe(ctx, task, &call)?;
        call
    };
    let random = tls_call::random_of(&call);
    let bound = bound_to(&random);
    let flow = match &bound {
        Some(bound) if reads => accept_read(bound)?,
        Some(bound) => accept(bound)?,
        None => 0,
    };
    // Last, since what is not copied anyway need not be asked whose it is.
    if !reads {
        tls_call::refuse_server(&call)?;
    }
    let write = flows::new_id();
    if Function::sends_file(Site::function_of(call.cookie)) {
        put_file(&call, write, flow, &random);
    } else if call.length <= INLINE_MAX {
        put_small(&call, write, flow, &random, touch);
    } else {
        put_large(&call, write, flow, &random, touch);
    }
    counters::add(if reads { Counter::TlsReadCaptured } else { Counter::TlsWriteCaptured }, 1);
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
        v if v == Verdict::Local as u32 => Err(Counter::TlsWriteLocal),
        v if v == Verdict::Own as u32 => Err(Counter::TlsWriteOwn),
        v if v == Verdict::Server as u32 => Err(Counter::TlsWriteServer),
        _ => Err(Counter::TlsWriteAllowed),
    }
}

/// The same of what a server reads. User space knows no flow of a server until it is told of one here.
#[inline(always)]
fn accept_read(bound: &Bound) -> Result<u64, Skip> {
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

/// The flow with this random; none for zeros, which stand for a random that is not known or not drawn.
#[inline(always)]
fn bound_to(random: &[u64; 4]) -> Option<Bound> {
    if random[0] | random[1] | random[2] | random[3] == 0 {
        return None;
    }
    // SAFETY: the value is copied out at once.
    unsafe { RANDOMS.get(random) }.copied()
}

#[inline(always)]
fn put_small(call: &Call, write: u64, flow: u64, random: &[u64; 4], touch: impl Touch) {
    let len = call.length as u32;
    touch_all::<{ INLINE_MAX as usize }>(call.buffer, len, touch);
    let put = match ring::class_of(len) {
        0 => put_inline::<{ CHUNK_CLASSES[0] }>(call, write, flow, random, len),
        1 => put_inline::<{ CHUNK_CLASSES[1] }>(call, write, flow, random, len),
        2 => put_inline::<{ CHUNK_CLASSES[2] }>(call, write, flow, random, len),
        _ => put_inline::<{ CHUNK_CLASSES[3] }>(call, write, flow, random, len),
    };
    match put {
        Put::Done => {}
        Put::Full => {
            counters::add(Counter::TlsLostBytes, call.length);
            put_head(call, write, flow, random);
            put_end(write, call.length, 0);
        }
        Put::Unreadable => {
            counters::add(Counter::TlsNotResidentBytes, call.length);
            put_head(call, write, flow, random);
            put_end(write, 0, call.length);
        }
    }
}

#[inline(always)]
fn put_inline<const ROOM: usize>(call: &Call, write: u64, flow: u64, random: &[u64; 4], len: u32) -> Put {
    if !ring::has_room_for_payload(ROOM as u64) {
        return Put::Full;
    }
    ring::put_filled::<ring::Chunk<TlsWrite, ROOM>>(|inline| {
        // SAFETY: reserved ring space of this type; the record is written whole, of the payload `len`
        // bytes.
        unsafe {
            fill_head(&raw mut (*inline).record, call, write, flow, random, len);
            read_user::<ROOM>((&raw mut (*inline).payload).cast(), call.buffer, len)
        }
    })
}

/// The bytes are for user space to fetch, which may have to be quick.
#[inline(always)]
fn put_file(call: &Call, write: u64, flow: u64, random: &[u64; 4]) {
    put_head(call, write, flow, random);
    ring::put_urgent::<TlsFile>(|record| {
        // SAFETY: reserved ring space of this type; the whole record is written.
        unsafe {
            record.write(TlsFile {
                head: ring::head(TlsFile::TAG, 0),
                write,
                offset: call.buffer,
                length: call.length,
                tgid: call.tgid,
                descriptor: call.descriptor,
            });
        }
    });
}

#[inline(always)]
fn put_large(call: &Call, write: u64, flow: u64, random: &[u64; 4], touch: impl Touch) {
    if !put_head(call, write, flow, random) {
        counters::add(Counter::TlsLostBytes, call.length);
        return;
    }
    let mut missing = Missing { lost: 0, skipped: 0 };
    let mut offset = put_whole::<WRITE_CHUNK, WRITE_CHUNKS_MAX>(call, write, 0, &mut missing, touch);
    if call.length - offset <= WRITE_CHUNK as u64 {
        offset = put_whole::<CHUNK_MAX, { (WRITE_CHUNK / CHUNK_MAX) as u64 }>(
            call,
            write,
            offset,
            &mut missing,
            touch,
        );
        let left = call.length - offset;
        touch_all::<CHUNK_MAX>(call.buffer + offset, left as u32, touch);
        missing.note(put_rest(call, write, offset, left as u32), left);
        offset += left;
    }
    counters::add(Counter::TlsLostBytes, missing.lost);
    counters::add(Counter::TlsNotResidentBytes, missing.skipped);
    if offset < call.length {
        counters::add(Counter::TlsLimitBytes, call.length - offset);
        missing.skipped += call.length - offset;
    }
    put_end(write, missing.lost, missing.skipped);
}

/// Puts records of `ROOM` bytes from `offset` on, at most `TURNS`, until no more than one is left; where it ended.
#[inline(always)]
fn put_whole<const ROOM: usize, const TURNS: u64>(
    call: &Call,
    write: u64,
    mut offset: u64,
    missing: &mut Missing,
    touch: impl Touch,
) -> u64 {
    for _ in 0..TURNS {
        if call.length - offset <= ROOM as u64 {
            break;
        }
        touch_all::<ROOM>(call.buffer + offset, ROOM as u32, touch);
        let put = put_data::<ROOM>(call, write, offset, ROOM as u32);
        missing.note(put, ROOM as u64);
        missing.forget();
        offset += ROOM as u64;
    }
    verifier::forget(offset)
}

struct Missing {
    lost: u64,
    skipped: u64,
}

impl Missing {
    #[inline(always)]
    fn note(&mut self, put: Put, len: u64) {
        match put {
            Put::Done => {}
            Put::Full => self.lost += len,
            Put::Unreadable => self.skipped += len,
        }
    }

    /// The same, however it came about.
    #[inline(always)]
    fn forget(&mut self) {
        self.lost = verifier::forget(self.lost);
        self.skipped = verifier::forget(self.skipped);
    }
}

#[inline(always)]
fn put_rest(call: &Call, write: u64, offset: u64, left: u32) -> Put {
    match ring::class_of(left) {
        0..=2 => put_data::<{ CHUNK_CLASSES[2] }>(call, write, offset, left),
        3 => put_data::<{ CHUNK_CLASSES[3] }>(call, write, offset, left),
        _ => put_data::<{ CHUNK_CLASSES[4] }>(call, write, offset, left),
    }
}

#[inline(always)]
fn put_data<const ROOM: usize>(call: &Call, write: u64, offset: u64, len: u32) -> Put {
    if !ring::has_room_for_payload(ROOM as u64) {
        return Put::Full;
    }
    let record = TlsData { head: ring::head(TlsData::TAG, len), write, offset };
    let from = call.buffer + offset;
    ring::put_with::<_, ROOM>(record, |room| read_user::<ROOM>(room, from, len))
}

#[inline(always)]
fn put_head(call: &Call, write: u64, flow: u64, random: &[u64; 4]) -> bool {
    ring::put::<TlsWrite>(|record| {
        // SAFETY: reserved ring space of this type.
        unsafe { fill_head(record, call, write, flow, random, 0) };
    })
}

/// Writes every field of the record.
///
/// # Safety
/// `record` must be reserved ring space.
#[inline(always)]
unsafe fn fill_head(
    record: *mut TlsWrite,
    call: &Call,
    write: u64,
    flow: u64,
    random: &[u64; 4],
    payload_len: u32,
) {
    let task = bpf_get_current_pid_tgid();
    // SAFETY: the caller hands over reserved space; the random's bytes are written as words.
    unsafe {
        (&raw mut (*record).head).write(ring::head(TlsWrite::TAG, payload_len));
        (*record).write = write;
        (*record).flow = flow;
        (*record).session = call.session;
        (*record).buffer = call.buffer;
        (*record).length = call.length;
        (&raw mut (*record).random).cast::<[u64; 4]>().write(*random);
        (*record).tgid = (task >> 32) as u32;
        (*record).tid = task as u32;
        (*record).function = Site::function_of(call.cookie);
        (*record).uid = bpf_get_current_uid_gid() as u32;
        (&raw mut (*record).comm).write(current_comm());
        (*record).cgroup_id = bpf_get_current_cgroup_id();
    }
}

#[inline(always)]
fn put_end(write: u64, lost_bytes: u64, skipped_bytes: u64) {
    ring::put::<TlsWriteEnd>(|record| {
        // SAFETY: reserved ring space of this type; the whole record is written.
        unsafe {
            record.write(TlsWriteEnd {
                head: ring::head(TlsWriteEnd::TAG, 0),
                write,
                lost_bytes,
                skipped_bytes,
            });
        }
    });
}

/// Copies `len` bytes of the process's memory into a room of `ROOM` bytes.
#[inline(always)]
fn read_user<const ROOM: usize>(room: *mut u8, from: u64, len: u32) -> bool {
    if len == 0 || len > ROOM as u32 {
        return false;
    }
    let len = verifier::length::<ROOM>(len);
    // SAFETY: the room has `ROOM` bytes and `len` is at most that; the helper checks the address.
    unsafe { read_user_raw(room.cast(), len, from as *const core::ffi::c_void) == 0 }
}
