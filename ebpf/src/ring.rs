//! Writing records: reserve a constant size, fill in place, submit without waking the reader.
//!
//! Waking the reader at every record costs twenty times the record itself, so it is woken only at a
//! fill mark and when it was not for [`WAKE_EVERY_NS`]; having been woken it looks by itself for longer than that, so no
//! record waits long, and a reader that has nothing to read sleeps. Payload leaves the last sixteenth of the ring to control
//! records, so that a flood of payload is still accounted for.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::bpf_ktime_get_ns,
    maps::ring_buf::RingBufEntry,
};
use cprvagt_abi::{CHUNK_CLASSES, Counter, Head};

use crate::{
    counters,
    maps::{RING, ring_bytes},
};

/// A record that comes so long after the reader was woken wakes it again. A reader must go on looking for twice as long.
const WAKE_EVERY_NS: u64 = 100_000_000;
/// When the reader was last woken. Two processors may wake it at once, which does no harm.
static mut LAST_WAKE_NS: u64 = 0;

/// A fixed part and room for payload of one size class.
#[repr(C)]
pub struct Chunk<T, const ROOM: usize> {
    pub record: T,
    pub payload: [u8; ROOM],
}

/// The head of a record that is written now.
#[inline(always)]
pub fn head(tag: u32, payload_len: u32) -> Head {
    Head { tag, payload_len, at_ns: now_ns() }
}

/// Writes a record without payload; false when the ring is full, which is counted.
///
/// `fill` writes every field in place: a record built first would not fit the 512 bytes of stack.
#[inline(always)]
pub fn put<T: 'static>(fill: impl FnOnce(*mut T)) -> bool {
    let Some(mut entry) = RING.reserve::<T>(0) else {
        counters::add(Counter::ControlLost, 1);
        return false;
    };
    fill(entry.as_mut_ptr());
    submit(entry);
    true
}

/// The same, and wakes the reader: for what is gone if it is looked at ten milliseconds later.
#[inline(always)]
pub fn put_urgent<T: 'static>(fill: impl FnOnce(*mut T)) {
    let Some(mut entry) = RING.reserve::<T>(0) else {
        return counters::add(Counter::ControlLost, 1);
    };
    fill(entry.as_mut_ptr());
    wake_with(entry, now_ns());
}

/// Writes a record and the payload that `fill` copies into the room behind it.
///
/// `fill` gets the room's address and tells whether the payload could be read.
#[inline(always)]
pub fn put_with<T: 'static, const ROOM: usize>(record: T, fill: impl FnOnce(*mut u8) -> bool) -> Put {
    put_filled::<Chunk<T, ROOM>>(|chunk| {
        // SAFETY: reserved ring space of this type; `record` is written whole.
        unsafe {
            (&raw mut (*chunk).record).write(record);
            fill((&raw mut (*chunk).payload).cast())
        }
    })
}

/// Writes a record with payload that `fill` fills in place, telling whether the payload could be read.
#[inline(always)]
pub fn put_filled<T: 'static>(fill: impl FnOnce(*mut T) -> bool) -> Put {
    let Some(mut entry) = RING.reserve::<T>(0) else {
        return Put::Full;
    };
    if fill(entry.as_mut_ptr()) {
        submit(entry);
        Put::Done
    } else {
        entry.discard(u64::from(BPF_RB_NO_WAKEUP));
        Put::Unreadable
    }
}

/// What became of a record with payload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Done,
    /// No room in the ring.
    Full,
    /// The payload could not be read.
    Unreadable,
}

/// Whether a record with room for this many bytes of payload may still be written.
#[inline(always)]
pub fn has_room_for_payload(len: u64) -> bool {
    let size = ring_bytes();
    RING.query(u64::from(BPF_RB_AVAIL_DATA)) + len + 128 <= size - size / 16
}

/// The smallest size class that holds `len` bytes: an index of `CHUNK_CLASSES`.
#[inline(always)]
pub fn class_of(len: u32) -> usize {
    match len as usize {
        n if n <= CHUNK_CLASSES[0] => 0,
        n if n <= CHUNK_CLASSES[1] => 1,
        n if n <= CHUNK_CLASSES[2] => 2,
        n if n <= CHUNK_CLASSES[3] => 3,
        _ => 4,
    }
}

#[inline(always)]
fn submit<T>(entry: RingBufEntry<T>) {
    let now = now_ns();
    // SAFETY: an aligned word; volatile because other processors write it. Atomics do not compile for this target.
    let last = unsafe { (&raw const LAST_WAKE_NS).read_volatile() };
    if now > last + WAKE_EVERY_NS || RING.query(u64::from(BPF_RB_AVAIL_DATA)) > ring_bytes() / 4 {
        wake_with(entry, now);
    } else {
        entry.submit(u64::from(BPF_RB_NO_WAKEUP));
    }
}

#[inline(always)]
fn wake_with<T>(entry: RingBufEntry<T>, now: u64) {
    // SAFETY: as above.
    unsafe { (&raw mut LAST_WAKE_NS).write_volatile(now) };
    entry.submit(u64::from(BPF_RB_FORCE_WAKEUP));
}

#[inline(always)]
fn now_ns() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}
