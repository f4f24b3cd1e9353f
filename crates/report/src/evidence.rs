//! What was seen of a leak on the wire, in terms that a capture taken by somebody else shows as well.
//!
//! *Invariants*: all of it is in clear on the wire or a count of bytes; nothing that was encrypted is in it.

use core::fmt;
use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Records of a leak that are named at most.
pub const EVIDENCE_RECORDS_MAX: usize = 8;

/// The random of a ClientHello (RFC 8446, 4.1.2): 64 lowercase hex digits as text.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct HelloRandom([u8; 32]);

impl HelloRandom {
    /// The random with these bytes, which the client drew.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for HelloRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl Serialize for HelloRandom {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HelloRandom {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(input)?;
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| de::Error::custom("a hello's random is 64 lowercase hex digits"))
    }
}

/// By what a leak over TLS can be found in a capture.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The random of the connection's ClientHello.
    pub hello_random: HelloRandom,
    /// The TLS records that carried it, the first [`EVIDENCE_RECORDS_MAX`] of them; none if they were not seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<WireRecord>,
}

/// A TLS record as it lies on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct WireRecord {
    /// Where its header begins: bytes of the client's direction, counted from the first byte of the ClientHello's own
    /// record header.
    pub at: u64,
    /// The length in its header: bytes behind the five of the header.
    pub length: u32,
}
