//! Where a TLS write went: binding sessions to flows, and writes to the records that carried them.
//!
//! # What is observed where
//! All of it comes through one ring, so it has one order.
//!
//! | seen by | what | is there when |
//! |---|---|---|
//! | wire tap, egress | each ClientHello with its 32-byte random; type, length and sequence number of every record | the bytes pass for the first time |
//! | ingress tap | the ServerHello: version and cipher, so what a record adds to its plaintext | it arrives |
//! | TLS tap | each call of a writing function: session, buffer, bytes, and the client random that the session keeps | the call begins, before anything has left |
//! | socket tap, tracepoints | who owns a socket; that it closed, that a process ended or became another program | it happens |
//!
//! # What makes a proof
//! The random is drawn by the client for one session, so a session and a flow that show the same random
//! belong together: the kernel programs look it up before they copy a byte. That names the destination.
//! Whether the bytes really left is told by the records: a write of `n` bytes leaves as records of
//! `min(rest, 16384)` bytes plus what the cipher adds, in the order of the writes. `proven` means both:
//! random bound, and the records of the write seen. `likely` means random bound and records missing or of
//! another length, or a session bound by being the only one that fits. Everything else is `unknown`.
//! Thread, time, descriptor and address of a session prove nothing: event loops send on one thread for all
//! connections, the kernel sends one connection's queue in another's call, and addresses are used again.
//!
//! A leak carries its random and the places of its records ([`placement`]), so that a capture that somebody else
//! took can bear it out: `cprvagt verify`.
//!
//! # Retries
//! A library that could not send returns, and the program calls again with the same bytes, or with the
//! rest of them. Entry probes see each call. A call with the bytes of the call before it is a retry and one
//! with its tail a continuation: neither is new content, whether or not the record's header has passed. If
//! more records leave than the writes account for, a retry was a true repeat and is taken up after all:
//! see [`repeats`]. Go's library is another kind: it returns when all has left, so the same bytes again are new
//! content; and it chooses the length of its records, so a record is a piece of the oldest write that fits.
//!
//! # Padding
//! Records of TLS 1.3 that are filled up to whole blocks tell only which block a write ends in; that a flow has such
//! records is told by their common divisor ([`padding`]).
//!
//! # Where the random comes from
//! OpenSSL, GnuTLS and NSS keep it in the session. Go does not: the kernel program reads it out of the ClientHello
//! when the session writes that, and keeps it by process and session. A ServerHello that a session writes ends what
//! was known of its address, since Go gives addresses anew.
//!
//! # Races
//! - *A write before its hello*: programs hand over data before the handshake is done. Such a write waits, by its
//!   random or, when the random is not drawn yet, by session and process; bound so it is `likely` until the session shows
//!   its random ([`unbound`]).
//! - *A record before its write*: has not been seen and cannot be, since the probe stands where the call begins.
//! - *A call again while its record is under way*: see Retries.
//! - *A session at the address of another*: the random is part of its name, so it is another session.
//! - *Another random in the middle* (renegotiation): its hello is encrypted. The session keeps its flow if handshake
//!   records pass there behind data, one random for each such handshake (`pipeline::renewed`).
//! - *One hello on two flows*: a relay on this host. The first keeps it, unless the first went to this host itself.
//! - *A hello asked for again* (HelloRetryRequest): the second has the same random, on the same flow.
//! - *A hello in pieces*: one whose first packet has fewer than 43 bytes of it is not read, and its writes are `unknown`.
//! - *A session older than the agent*: its hello is not known, and its writes are `unknown`.
//! - *The end of a flow before its last writes are out of the ring*: it is kept for two seconds.
//!
//! No clock decides anything; a session that never binds is told as `unknown` when its process ends or the wait is over.
//!
//! # State, and its limits
//!
//! | state | per | at most |
//! |---|---|---|
//! | flows by random, in the kernel | hello | 65,536, the least recently used go |
//! | writes being assembled | write | [`writes::WRITES_MAX`], [`writes::WRITES_BYTES_MAX`] |
//! | sessions that wait | session | [`unbound::SESSIONS_MAX`], [`unbound::WAITING_BYTES_MAX`] |
//! | writes whose records have not all passed | flow | [`tls_flow::PENDING_MAX`] |
//! | calls that may be true repeats | flow | [`repeats::AGAIN_MAX`], and 1 MiB |
//! | records and what they carried | flow | [`placement::PLACED_MAX`] |
//! | sessions that were renegotiated | session | 4,096 |
//!
//! What exceeds them is told with less proof, or as lost, and never with another flow.

mod growing;
pub mod padding;
pub mod placement;
pub mod records;
pub mod repeats;
pub mod tls_flow;
pub mod unbound;
pub mod writes;

#[cfg(test)]
pub mod sample;
