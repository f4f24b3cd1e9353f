//! The kernel's counters: one for every way a program can end without writing what it saw.

/// Index of a counter in the `COUNTERS` map.
///
/// Variants that end in `Bytes` count payload bytes, all others count events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Counter {
    /// Packets that were not IPv4 or IPv6, or whose headers could not be followed.
    PacketUnreadable,
    /// Packets of protocols other than TCP and UDP.
    PacketOtherProtocol,
    /// Packets without payload.
    PacketEmpty,
    /// Packets whose payload had all passed before: TCP retransmissions and probes.
    PacketRetransmitted,
    /// Packets to loopback or to an address of this host.
    PacketLocal,
    /// Packets of the agent itself.
    PacketOwn,
    /// Packets of flows where this host is the server.
    PacketServer,
    /// Packets of flows whose allow entry lets them pass unread.
    PacketAllowed,
    /// Packets without a socket.
    PacketNoSocket,
    /// Packets whose payload was written to the ring.
    PacketCaptured,
    /// Flows that could not be stored because the flow table refused them.
    FlowTableFull,
    /// Records that found no room in the ring: control records of a few hundred bytes.
    ControlLost,
    /// Payload bytes of plaintext flows that found no room in the ring.
    WireLostBytes,
    /// Plaintext bytes of TLS writes that found no room in the ring.
    TlsLostBytes,
    /// Plaintext bytes of TLS writes that lay in memory that was not resident.
    TlsNotResidentBytes,
    /// Plaintext bytes of one TLS write beyond the most that is copied.
    TlsLimitBytes,
    /// TLS writes that were captured.
    TlsWriteCaptured,
    /// TLS writes on flows whose destination is allowed: not copied.
    TlsWriteAllowed,
    /// TLS writes on flows to this host itself: not copied.
    TlsWriteLocal,
    /// TLS writes of flows where this host is the server: not copied.
    TlsWriteServer,
    /// TLS writes of length zero or less.
    TlsWriteEmpty,
    /// TLS writes of the agent itself.
    TlsWriteOwn,
    /// TLS records that a library writes for itself: handshake, alerts.
    TlsWriteProtocol,
    /// TLS writes that the library keeps until the session is uncorked: not copied, since it sends them then.
    TlsWriteCorked,
    /// TLS writes that a second probe on the same file reported again.
    TlsWriteTwice,
    /// Calls that write to descriptors which are no TLS session's, or to a session that is read elsewhere.
    TlsWriteNotTls,
    /// TLS reads of clients, and of sessions whose end is not known: not copied.
    TlsReadClient,
    /// TLS reads of servers that began: what they bring is looked at where they return.
    TlsReadBegun,
    /// TLS reads of servers that brought nothing, or nothing of a request's head: not copied.
    TlsReadBody,
    /// TLS reads of servers whose memory could not be looked at.
    TlsReadUnreadable,
    /// TLS reads of servers of which a request's head was captured, or frames of HTTP/2 without data, each part of a read
    /// that lies between data for itself.
    TlsReadCaptured,
    /// TLS reads of servers with more frames of HTTP/2 than are followed: nothing more is captured of the connection.
    TlsReadFramesMissed,
    /// ClientHello messages too short to hold the random, or split across packets.
    HelloShort,
    /// ClientHello messages whose random another flow had already used: relays.
    HelloRelayed,
}

impl Counter {
    /// Number of counters.
    pub const COUNT: u32 = Self::HelloRelayed as u32 + 1;

    /// The name used in metrics and in the ledger's explanations.
    #[must_use]
    pub const fn name(index: u32) -> &'static str {
        const NAMES: [&str; Counter::COUNT as usize] = [
            "packet_unreadable_total",
            "packet_other_protocol_total",
            "packet_empty_total",
            "packet_retransmitted_total",
            "packet_local_total",
            "packet_own_total",
            "packet_server_total",
            "packet_allowed_total",
            "packet_no_socket_total",
            "packet_captured_total",
            "flow_table_full_total",
            "control_lost_total",
            "wire_lost_bytes_total",
            "tls_lost_bytes_total",
            "tls_not_resident_bytes_total",
            "tls_limit_bytes_total",
            "tls_write_captured_total",
            "tls_write_allowed_total",
            "tls_write_local_total",
            "tls_write_server_total",
            "tls_write_empty_total",
            "tls_write_own_total",
            "tls_write_protocol_total",
            "tls_write_corked_total",
            "tls_write_twice_total",
            "tls_write_not_tls_total",
            "tls_read_client_total",
            "tls_read_begun_total",
            "tls_read_body_total",
            "tls_read_unreadable_total",
            "tls_read_captured_total",
            "tls_read_frames_missed_total",
            "hello_short_total",
            "hello_relayed_total",
        ];
        NAMES[index as usize]
    }
}
