//! The records in the ring, each a fixed head and, for some, bytes behind it.
//!
//! *Limits*: a record's bytes are at most [`CHUNK_MAX`], those of a long TLS write [`WRITE_CHUNK`]; longer payload
//! comes as several records.

use crate::{Flow, FlowKey};

macro_rules! records {
    ($($(#[$doc:meta])* $name:ident = $tag:literal, $size:literal { $($(#[$fdoc:meta])* $field:ident: $ty:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            #[cfg_attr(feature = "user", derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout))]
            #[repr(C)]
            pub struct $name {
                /// Tag and time.
                pub head: Head,
                $($(#[$fdoc])* pub $field: $ty,)*
            }
            impl $name {
                /// The tag of this record.
                pub const TAG: u32 = $tag;
            }
            const _: () = assert!(size_of::<$name>() == $size);
        )*
    };
}

/// Most payload bytes of one record, those of a long TLS write apart.
pub const CHUNK_MAX: usize = 32 * 1024;
/// Room for payload in the size classes of a record, in bytes: the kernel reserves constant sizes.
pub const CHUNK_CLASSES: [usize; 5] = [64, 256, 1536, 8192, CHUNK_MAX];
/// Longest TLS write that comes in one record, in bytes.
pub const INLINE_MAX: u64 = CHUNK_CLASSES[3] as u64;
/// Payload bytes of a record of a long TLS write. More than of other records, since what the verifier follows grows
/// with their number; the end of the write comes in records of [`CHUNK_MAX`].
pub const WRITE_CHUNK: usize = 128 * 1024;
/// Whole records of one TLS write that are copied: 16 MiB.
pub const WRITE_CHUNKS_MAX: u64 = 128;

/// Bytes of a TLS write of this length that lie beyond what is copied: 0 for all but the longest.
#[must_use]
pub const fn beyond_limit(length: u64) -> u64 {
    let copied = WRITE_CHUNKS_MAX * WRITE_CHUNK as u64;
    // One that is not whole may follow the whole ones.
    if length > copied + WRITE_CHUNK as u64 { length - copied } else { 0 }
}

/// Most bytes of a ClientHello that are kept.
pub const HELLO_MAX: usize = 2048;
/// Most bytes of a ServerHello that are kept: the header and all fixed parts lie within.
pub const ANSWER_MAX: usize = 256;

/// Beginning of every record.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout))]
#[repr(C)]
pub struct Head {
    /// Which record this is.
    pub tag: u32,
    /// How many payload bytes stand behind the fixed part.
    pub payload_len: u32,
    /// When it was written.
    pub at_ns: u64,
}

records! {
    /// A flow carried payload for the first time.
    FlowOpen = 1, 232 {
        /// Key in the flow table.
        key: FlowKey,
        /// The flow as it was then.
        flow: Flow,
    }
    /// A flow's socket closed.
    FlowEnd = 2, 200 {
        /// The flow as it was then.
        flow: Flow,
    }
    /// Payload of a plaintext flow, in the order it first passed.
    WireData = 3, 56 {
        /// The flow.
        flow: u64,
        /// The flow's bytes so far, this record's included.
        wire_bytes: u64,
        /// The flow's lost bytes so far.
        lost_bytes: u64,
        /// TCP sequence number of the first byte; 0 for UDP.
        seq: u32,
        /// Offset of this chunk in its datagram; 0 for TCP.
        offset: u32,
        /// Bytes of the datagram behind this chunk; 0 for TCP.
        left: u32,
        /// Bytes of each datagram where the sender handed over many as one (UDP_SEGMENT); else 0.
        segment: u32,
    }
    /// A ClientHello, from its record header on; without bytes where the flow is not inspected.
    TlsHello = 4, 72 {
        /// The flow.
        flow: u64,
        /// The client random.
        random: [u8; 32],
        /// 1 when another flow had used this random before: this one is a relay.
        relayed: u32,
        /// The flow's [`Verdict`](crate::Verdict) as a number.
        verdict: u32,
        /// Thread group id of the flow's owner; 0 when not known.
        tgid: u32,
        /// Zero.
        pad: u32,
    }
    /// A ServerHello, from its record header on.
    TlsAnswer = 5, 24 {
        /// The flow.
        flow: u64,
    }
    /// The header of a TLS record that passed.
    TlsRecord = 6, 40 {
        /// The flow.
        flow: u64,
        /// Sequence number of the header.
        seq: u32,
        /// Length field: bytes behind the five of the header.
        length: u32,
        /// Content type.
        content: u32,
        /// Zero.
        pad: u32,
    }
    /// A call of a TLS library's writing function.
    TlsWrite = 7, 128 {
        /// Number of this write, unique while the programs are loaded.
        write: u64,
        /// The flow whose ClientHello had this random; 0 when none had.
        flow: u64,
        /// Address of the session object.
        session: u64,
        /// Address of the buffer.
        buffer: u64,
        /// Bytes that the program handed over.
        length: u64,
        /// The session's client random; zero when not known.
        random: [u8; 32],
        /// Thread group id.
        tgid: u32,
        /// Thread id.
        tid: u32,
        /// Number of the [`Function`](crate::Function).
        function: u32,
        /// User id.
        uid: u32,
        /// Command name.
        comm: [u8; 16],
        /// Identifier of the process's cgroup v2.
        cgroup_id: u64,
    }
    /// Bytes of a TLS write.
    TlsData = 8, 32 {
        /// The write.
        write: u64,
        /// Offset of the first byte in the write.
        offset: u64,
    }
    /// The last record of a TLS write.
    TlsWriteEnd = 9, 40 {
        /// The write.
        write: u64,
        /// Bytes that found no room in the ring.
        lost_bytes: u64,
        /// Bytes that were not resident, or beyond the limit of one write.
        skipped_bytes: u64,
    }
    /// In place of a TLS write's bytes and end: they are a part of a file, for the reader to fetch. It is woken at once,
    /// since the process may close the file when the call returns.
    TlsFile = 13, 48 {
        /// The write.
        write: u64,
        /// Offset of the first byte in the file.
        offset: u64,
        /// Bytes of the part, which may be more than the file has.
        length: u64,
        /// Thread group id.
        tgid: u32,
        /// Number of the file in the process.
        descriptor: u32,
    }
    /// A process is seen for the first time since it runs its program: it connects, sends or writes. The reader is woken
    /// at once, since it may end a moment later.
    ProcessSeen = 14, 24 {
        /// Thread group id.
        tgid: u32,
        /// Zero.
        pad: u32,
    }
    /// A process that was seen became another program.
    ProcessExec = 10, 24 {
        /// Thread group id.
        tgid: u32,
        /// Zero.
        pad: u32,
    }
    /// The first thread of a process that was seen ended.
    ProcessExit = 11, 24 {
        /// Thread group id.
        tgid: u32,
        /// Zero.
        pad: u32,
    }
    /// Two attachments fire for one call: they are one file behind two mounts.
    SiteTwice = 12, 24 {
        /// The attachment that fired first.
        first: u32,
        /// The attachment to remove.
        second: u32,
    }
}
