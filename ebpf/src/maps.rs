//! The maps, each with its limit, and the constants that the loader fills in.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray, RingBuf},
};
use cprvagt_abi::{
    AllowRules, Counter, FileOffsets, Flow, FlowKey, MappedFile, OWN_MAX, Owner, RELAY_PORTS_MAX, SITES_MAX,
};

/// Flows that are kept; the least recently used one goes first.
const FLOWS_MAX: u32 = 65_536;
/// Threads and peers that are remembered for a moment.
const RECENT_MAX: u32 = 8_192;
/// Allowed prefixes.
const ALLOW_MAX: u32 = 131_072;
/// Addresses of this host.
const LOCALS_MAX: u32 = 4_096;
/// Files mapped as code that are remembered.
const FILES_MAX: u32 = 16_384;
/// Room for announcements of such files: some two thousand.
const ANNOUNCED_BYTES: u32 = 64 << 10;
/// Ring size when the loader says nothing; it always does.
const RING_BYTES_DEFAULT: u32 = 16 << 20;
/// The flag that LPM tries must be made with.
const BPF_F_NO_PREALLOC: u32 = 1;

#[map]
pub static RING: RingBuf = RingBuf::with_byte_size(RING_BYTES_DEFAULT, 0);
#[map]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);
#[map]
pub static FLOWS: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(FLOWS_MAX, 0);
/// One flow of zeros, which a new flow starts from.
#[map]
pub static BLANK_FLOW: Array<Flow> = Array::with_max_entries(1, 0);
/// Who opened a socket, by its cookie.
#[map]
pub static OWNERS: LruHashMap<u64, Owner> = LruHashMap::with_max_entries(FLOWS_MAX, 0);
/// UDP peers that wrote to us first, so that we are their server.
#[map]
pub static UDP_PEERS: LruHashMap<FlowKey, u32> = LruHashMap::with_max_entries(RECENT_MAX, 0);
/// Which flow's ClientHello had a random.
#[map]
pub static RANDOMS: LruHashMap<[u64; 4], Bound> = LruHashMap::with_max_entries(FLOWS_MAX, 0);
/// Processes that user space was told of since they run their program.
#[map]
pub static SEEN: LruHashMap<u32, u32> = LruHashMap::with_max_entries(RECENT_MAX, 0);
/// How often the process of this number has become another program or ended, since a session of it was noted: what is
/// known of its memory from before is not true of it any more.
#[map]
pub static GENERATIONS: LruHashMap<u32, u32> = LruHashMap::with_max_entries(RECENT_MAX, 0);
/// The client random of a session whose library does not keep it, by process with its generation, and session.
#[map]
pub static SESSIONS: LruHashMap<[u64; 2], [u64; 4]> = LruHashMap::with_max_entries(FLOWS_MAX, 0);
#[map]
pub static ALLOW: LpmTrie<[u8; 16], AllowRules> = LpmTrie::with_max_entries(ALLOW_MAX, BPF_F_NO_PREALLOC);
#[map]
pub static LOCALS: HashMap<[u8; 16], u32> = HashMap::with_max_entries(LOCALS_MAX, 0);
/// Ports at which relays on this host take what programs on it hand them.
#[map]
pub static RELAYS: HashMap<u32, u32> = HashMap::with_max_entries(RELAY_PORTS_MAX as u32, 0);
/// The last probed call of each thread, to notice a file that is probed twice.
#[map]
pub static LAST_CALLS: LruHashMap<u64, LastCall> = LruHashMap::with_max_entries(RECENT_MAX, 0);

/// Files mapped as code that user space knows.
#[map]
pub static KNOWN_FILES: LruHashMap<MappedFile, u32> = LruHashMap::with_max_entries(FILES_MAX, 0);
/// Those that it does not.
#[map]
pub static ANNOUNCED_FILES: RingBuf = RingBuf::with_byte_size(ANNOUNCED_BYTES, 0);

/// Where a session keeps things in an NSS whose writing function is not known, as part of a cookie; zero: there is none.
#[map]
pub static NSS_PLACES: Array<u64> = Array::with_max_entries(1, 0);

/// The reads of servers that have begun, by thread.
#[map]
pub static READS: LruHashMap<u64, ReadCall> = LruHashMap::with_max_entries(RECENT_MAX, 0);
/// Where in a connection the next read of a server begins, by process with its generation, and session.
#[map]
pub static HEADS: LruHashMap<[u64; 2], Heads> = LruHashMap::with_max_entries(FLOWS_MAX, 0);
/// The program that follows the frames of HTTP/2.
#[map]
pub static FRAMES_PROGRAM: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// The program behind every probe site, where a probe has no attach cookie.
#[map]
pub static SITE_PROGRAM: ProgramArray = ProgramArray::with_max_entries(1, 0);
/// The site whose program runs on this processor.
#[map]
pub static SITE_RUNNING: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);
/// The cookie of each site.
#[map]
pub static SITE_COOKIES: Array<u64> = Array::with_max_entries(SITES_MAX, 0);

/// The flow of a session, and what was decided about it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Bound {
    pub cookie: u64,
    pub flow: u64,
    pub verdict: u32,
    pub pad: u32,
}

/// A reading function's arguments; a buffer of zero: there is none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ReadCall {
    pub session: u64,
    pub buffer: u64,
    /// Where the function puts the length, if it does; once it has returned, the length itself.
    pub length: u64,
}

/// What a server's next read of a session begins with.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Heads {
    /// A [`Reading`] as a number.
    pub reading: u32,
    /// Bytes to come of the head, or of the frame.
    pub left: u32,
    /// The first bytes of a frame header whose others come with the next read.
    pub carried: u64,
    /// How many.
    pub carried_len: u32,
    /// Zero.
    pub pad: u32,
    /// The first word of the client random, to tell a connection from the next one in the same object.
    pub random: u64,
}

/// What a session's reads bring.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Reading {
    /// Requests of HTTP/1.
    Requests = 0,
    /// Frames of HTTP/2, at one that is copied.
    Frame = 1,
    /// The same, at one of data.
    Data = 2,
    /// Frames of which one was missed: where the next begins is not known any more.
    Missed = 3,
}

/// A call of a probed function.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct LastCall {
    pub instruction: u64,
    pub stack: u64,
    pub attachment: u64,
}

/// Thread group ids of the agent's processes; unused ones repeat the first.
#[unsafe(no_mangle)]
static OWN_TGIDS: [u32; OWN_MAX] = [0; OWN_MAX];
/// Bytes of the ring.
#[unsafe(no_mangle)]
static RING_BYTES: u64 = 0;

/// Where the kernel keeps what is told of a file.
#[unsafe(no_mangle)]
static FILE_OFFSETS: FileOffsets =
    FileOffsets { inode: 0, file_system: 0, number: 0, changed_sec: 0, changed_nsec: 0, device: 0 };

/// Whether this thread group is one of the agent's.
#[inline(always)]
pub fn is_own(tgid: u32) -> bool {
    // SAFETY: a static of the program itself; volatile because the loader changes it in the object.
    let own = unsafe { core::ptr::read_volatile(&raw const OWN_TGIDS) };
    own[0] == tgid || own[1] == tgid || own[2] == tgid
}

/// Bytes of the ring.
#[inline(always)]
pub fn ring_bytes() -> u64 {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const RING_BYTES) }
}

/// Where the kernel keeps what is told of a file.
#[inline(always)]
pub fn file_offsets() -> FileOffsets {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const FILE_OFFSETS) }
}
