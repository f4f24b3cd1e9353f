//! Where a TLS write went: binding sessions to flows, and writes to the records that carried them.
//!
//! # What is observed where
//! The wire tap sees each ClientHello with its 32-byte random, and after it the type and length of every
//! record. The TLS tap sees each call of a writing function: session, bytes, and the client random that
//! the library keeps in the session object. All of it comes through one ring, so it has one order.
//!
//! # What makes a proof
//! The random is drawn by the client for one session, so a session and a flow that show the same random
//! belong together: the kernel programs look it up before they copy a byte. That names the destination.
//! Whether the bytes really left is told by the records: a write of `n` bytes leaves as records of
//! `min(rest, 16384)` bytes plus what the cipher adds, in the order of the writes. `proven` means both:
//! random bound, and the records of the write seen. `likely` means random bound and records missing or of
//! another length, or a session bound by being the only one that fits. Everything else is `unknown`.
//!
//! # Retries
//! A library that could not send returns, and the program calls again with the same bytes, or with the
//! rest of them. Entry probes see each call. A call with the bytes of the call before it is a retry and one
//! with its tail a continuation: neither is new content, whether or not the record's header has passed. If
//! more records leave than the writes account for, a retry was a true repeat and is taken up after all:
//! see [`repeats`]. Go's library is another kind: it returns when all has left, so the same bytes again are new
//! content; and it chooses the length of its records, so a record is a piece of the oldest write that fits.
//!
//! # Where the random comes from
//! OpenSSL, GnuTLS and NSS keep it in the session. Go does not: the kernel program reads it out of the ClientHello
//! when the session writes that, and keeps it by process and session. A ServerHello that a session writes ends what
//! was known of its address, since Go gives addresses anew.
//!
//! # Races
//! No record precedes its write in the ring. A write may precede its hello: programs that hand over data
//! before the handshake is done. Such a write waits, by its random or, when the random is not drawn yet,
//! by session and process. No clock decides anything; a session that never binds is told as `unknown`
//! when its process ends or the wait is over.
//!
//! # Limits
//! [`writes::WRITES_MAX`] writes being assembled, [`unbound::SESSIONS_MAX`] sessions that wait,
//! [`tls_flow::PENDING_MAX`] writes of one flow whose records have not all passed, [`repeats::AGAIN_MAX`]
//! that were called again. The first two also have a limit in bytes.

pub mod placement;
pub mod records;
pub mod repeats;
pub mod tls_flow;
pub mod unbound;
pub mod writes;

#[cfg(test)]
pub mod sample;
