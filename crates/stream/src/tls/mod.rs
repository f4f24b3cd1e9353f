//! What can be read of TLS without keys: hellos, and how much a record carries.
//!
//! The hello random ties a session in a process to its flow; record lengths tie a write to its records.
//!
//! *Not here*: decryption, certificates, DTLS, QUIC.

mod cipher;
mod hello;

pub use cipher::{PlainLen, plain_len};
pub use hello::{ClientHello, ServerHello, client_hello, server_hello};

/// The number of TLS 1.2 (RFC 5246) as it stands in hellos.
pub const TLS_1_2: u16 = 0x0303;
/// The number of TLS 1.3 (RFC 8446) as it stands in the supported_versions extension.
pub const TLS_1_3: u16 = 0x0304;
