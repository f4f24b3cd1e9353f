//! The records of one TLS call: small plaintext is one record; longer a head, chunks, and an end that says what is
//! missing; a part of a file is a head and the file's number.
//!
//! *Limits*: [`WRITE_CHUNKS_MAX`] chunks of one write, and of one in several buffers a chunk of each; the rest is counted.

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
    generated::{bpf_copy_from_user, bpf_get_current_cgroup_id, bpf_probe_read_user as read_user_raw},
};
use cprvagt_abi::{
    CHUNK_CLASSES, CHUNK_MAX, Counter, INLINE_MAX, Site, TlsData, TlsFile, TlsWrite, TlsWriteEnd,
    WRITE_CHUNK, WRITE_CHUNKS_MAX,
};

use crate::{
    counters,
    processes::current_comm,
    ring::{self, Put},
    tls_call::{self, Call, GATHERED_MAX},
    verifier,
};

/// Makes the page of an address resident, where the program can.
pub trait Touch: Fn(u64) + Copy {}
impl<F: Fn(u64) + Copy> Touch for F {}

/// Faults the page of an address in.
#[inline(always)]
pub fn fault_in(at: u64) {
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
pub fn put_small(call: &Call, write: u64, flow: u64, random: &[u64; 4], touch: impl Touch) {
    let len = call.length as u32;
    touch_all::<{ INLINE_MAX as usize }>(call.buffer, len, touch);
    let put = match ring::class_of(len) {
        0 => put_inline::<{ CHUNK_CLASSES[0] }>(call, write, flow, random, len),
        1 => put_inline::<{ CHUNK_CLASSES[1] }>(call, write, flow, random, len),
        2 => put_inline::<{ CHUNK_CLASSES[2] }>(call, write, flow, random, len),
        _ => put_inline::<{ CHUNK_CLASSES[3] }>(call, write, flow, random, len),
    };
    tell_of(put, call, write, flow, random);
}

/// What has just been read, at most `CHUNK_MAX` bytes: it is resident. Most is small, and few classes cost the
/// verifier less.
#[inline(always)]
pub fn put_read(call: &Call, write: u64, flow: u64, random: &[u64; 4]) {
    let len = call.length as u32;
    let put = match ring::class_of(len) {
        0..=2 => put_inline::<{ CHUNK_CLASSES[2] }>(call, write, flow, random, len),
        3 => put_inline::<{ CHUNK_CLASSES[3] }>(call, write, flow, random, len),
        _ => put_inline::<{ CHUNK_CLASSES[4] }>(call, write, flow, random, len),
    };
    tell_of(put, call, write, flow, random);
}

/// Bytes that an earlier read brought, at most eight: `kept`, the first one lowest.
#[inline(always)]
pub fn put_kept(call: &Call, write: u64, flow: u64, random: &[u64; 4], kept: u64) {
    let put = ring::put_filled::<ring::Chunk<TlsWrite, { size_of::<u64>() }>>(|inline| {
        // SAFETY: reserved ring space of this type; the record is written whole.
        unsafe {
            fill_head(&raw mut (*inline).record, call, write, flow, random, call.length as u32);
            (&raw mut (*inline).payload).cast::<u64>().write(kept);
        }
        true
    });
    tell_of(put, call, write, flow, random);
}

/// Accounts for the bytes of a record that was not put.
#[inline(always)]
fn tell_of(put: Put, call: &Call, write: u64, flow: u64, random: &[u64; 4]) {
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
pub fn put_file(call: &Call, write: u64, flow: u64, random: &[u64; 4]) {
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
pub fn put_large(call: &Call, write: u64, flow: u64, random: &[u64; 4], touch: impl Touch) {
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
        missing.note(put_rest(call.buffer + offset, write, offset, left as u32), left);
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

/// What lies in several buffers, at most `CHUNK_MAX` bytes of each.
#[inline(always)]
pub fn put_gathered(call: &Call, write: u64, flow: u64, random: &[u64; 4]) {
    if !put_head(call, write, flow, random) {
        counters::add(Counter::TlsLostBytes, call.length);
        return;
    }
    let (mut missing, mut offset, mut left_out) = (Missing { lost: 0, skipped: 0 }, 0, 0);
    for place in 0..GATHERED_MAX {
        let Some(buffer) = tls_call::gathered(call, place) else { break };
        let taken = if buffer.length > CHUNK_MAX as u64 { CHUNK_MAX as u64 } else { buffer.length };
        if taken != 0 {
            missing.note(put_rest(buffer.at, write, offset, taken as u32), taken);
        }
        missing.forget();
        left_out = verifier::forget(left_out + buffer.length - taken);
        offset = verifier::forget(offset + buffer.length);
    }
    counters::add(Counter::TlsLostBytes, missing.lost);
    counters::add(Counter::TlsNotResidentBytes, missing.skipped);
    if left_out != 0 {
        counters::add(Counter::TlsLimitBytes, left_out);
    }
    put_end(write, missing.lost, missing.skipped + left_out);
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
        let put = put_data::<ROOM>(call.buffer + offset, write, offset, ROOM as u32);
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
fn put_rest(from: u64, write: u64, offset: u64, left: u32) -> Put {
    match ring::class_of(left) {
        0..=2 => put_data::<{ CHUNK_CLASSES[2] }>(from, write, offset, left),
        3 => put_data::<{ CHUNK_CLASSES[3] }>(from, write, offset, left),
        _ => put_data::<{ CHUNK_CLASSES[4] }>(from, write, offset, left),
    }
}

#[inline(always)]
fn put_data<const ROOM: usize>(from: u64, write: u64, offset: u64, len: u32) -> Put {
    if !ring::has_room_for_payload(ROOM as u64) {
        return Put::Full;
    }
    let record = TlsData { head: ring::head(TlsData::TAG, len), write, offset };
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
