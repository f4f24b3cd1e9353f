//! One flow as the kernel keeps it: who opened it, where it goes, what has passed.

/// Key of the flow table.
///
/// A TCP socket has one flow, so address and port are zero in its key; an unconnected UDP socket has
/// one flow for each destination.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct FlowKey {
    /// The kernel's socket cookie; never zero.
    pub cookie: u64,
    /// Destination address of a UDP flow, else zero.
    pub addr: [u8; 16],
    /// Destination port of a UDP flow, else zero.
    pub port: u32,
    /// IP protocol number: 6 or 17.
    pub protocol: u32,
}

/// Who opened a socket, as the socket tap saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Owner {
    /// Thread group id in the initial pid namespace; 0 when not known.
    pub tgid: u32,
    /// Effective user id.
    pub uid: u32,
    /// Identifier of the process's cgroup v2.
    pub cgroup_id: u64,
    /// Command name, padded with zeros.
    pub comm: [u8; 16],
    /// [`Role`] as a number.
    pub role: u32,
    /// Zero.
    pub pad: u32,
}

/// State of one flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Flow {
    /// Identifier, unique while the programs are loaded; never zero.
    pub id: u64,
    /// Payload bytes that passed for the first time.
    pub wire_bytes: u64,
    /// Of those, bytes that found no room in the ring.
    pub lost_bytes: u64,
    /// Of those, bytes of a kind that is never copied (QUIC).
    pub blind_bytes: u64,
    /// Destination address, after address translation.
    pub remote: [u8; 16],
    /// Source address.
    pub local: [u8; 16],
    /// What the program's socket is connected to, before address translation; zeros where it does not say.
    pub asked: [u8; 16],
    /// Destination port.
    pub remote_port: u32,
    /// Source port.
    pub local_port: u32,
    /// The port of that address.
    pub asked_port: u32,
    /// IP protocol number: 6 or 17.
    pub protocol: u32,
    /// [`Kind`] as a number.
    pub kind: u32,
    /// [`Verdict`] as a number.
    pub verdict: u32,
    /// Waivers of the matching allow entry.
    pub waives: u32,
    /// 1 once the flow's opening record is in the ring.
    pub announced: u32,
    /// Sequence number after the last payload byte that passed.
    pub high_seq: u32,
    /// Sequence number of the next TLS record header.
    pub header_seq: u32,
    /// Bytes of a record header that straddles two packets.
    pub header: [u8; 8],
    /// How many of them are there: 0 to 4.
    pub header_len: u32,
    /// 1 once payload has passed, so that `high_seq` means something.
    pub started: u32,
    /// How many ServerHellos of the peer were written to the ring: 0 to 2.
    pub answered: u32,
    /// Zero.
    pub pad: u32,
    /// Owner of the socket.
    pub owner: Owner,
}

const _: () = assert!(size_of::<FlowKey>() == 32);
const _: () = assert!(size_of::<Owner>() == 40);
const _: () = assert!(size_of::<Flow>() == 184);

/// What a flow carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// Nothing has passed yet.
    New = 0,
    /// Payload that is copied.
    Plain = 1,
    /// TLS records.
    Tls = 2,
    /// QUIC: counted, not copied.
    Quic = 3,
    /// TLS whose records user space follows: the kernel met more of them in a packet than it follows, or
    /// bytes that are no record.
    TlsCopied = 4,
}

/// Which end of a flow this host is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Role {
    /// Nobody saw the socket being opened.
    Unknown = 0,
    /// This host opened the connection or sent the first datagram.
    Client = 1,
    /// This host accepted the connection.
    Server = 2,
}

/// What the kernel decided about a flow when it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Verdict {
    /// Copy what policy lets us read.
    Inspect = 0,
    /// To loopback or to an address of this host.
    Local = 1,
    /// Of the agent itself.
    Own = 2,
    /// This host is the server and no server rule is on.
    Server = 3,
    /// An allow entry waives every rule: counted, not copied.
    Allowed = 4,
    /// An allow entry waives `not-allowed` only: plaintext is read, TLS is not.
    AllowedEncrypted = 5,
    /// To a relay on this host that the configuration names: plaintext is read, to learn who handed over what. It leaves
    /// the host on another flow, so this one is in no account.
    Relay = 6,
}
