//! Signs what a webhook gets, so that the receiver can tell it from anybody else's requests.
//!
//! # For receivers
//!
//! Each request carries three headers beside its JSON body:
//!
//! ```text
//! Cprvagt-Timestamp: 1795343400
//! Cprvagt-Delivery: 6f1c0d3b9a5e4c7784a10e52d9b3f861
//! Cprvagt-Signature: v1=<64 lowercase hex digits>
//! ```
//!
//! 1. Take the body's bytes as they came, before any JSON parser has seen them.
//! 2. Compute HMAC-SHA256 with the content of the secret file (without the line end) as the key, over the value
//!    of `Cprvagt-Timestamp`, a `.`, the value of `Cprvagt-Delivery`, a `.`, and the body.
//! 3. Compare it in constant time with the hex digits behind `v1=`. Ignore other parts, which are separated by
//!    commas: another version may stand beside this one some day.
//! 4. Refuse timestamps (Unix seconds) that are more than five minutes off, against replay by others.
//! 5. Keep the delivery ids of the past days and answer 200 to one that was there before without acting on it.
//!    An event may come more than once; its delivery id stays the same.
//!
//! ```python
//! signed = f"{timestamp}.{delivery}.".encode() + body
//! expected = "v1=" + hmac.new(secret, signed, hashlib.sha256).hexdigest()
//! hmac.compare_digest(expected, signature)
//! ```

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Header with the time of this attempt, in Unix seconds.
pub const TIMESTAMP_HEADER: &str = "cprvagt-timestamp";
/// Header with the delivery id.
pub const DELIVERY_HEADER: &str = "cprvagt-delivery";
/// Header with the signature.
pub const SIGNATURE_HEADER: &str = "cprvagt-signature";
/// Keeps these hashes apart from others.
const DELIVERY_CONTEXT: &[u8] = b"cprvagt/delivery/1\0";

/// A webhook's shared secret.
pub(super) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub(super) const fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The value of the signature header.
    pub(super) fn sign(&self, timestamp: &str, delivery: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in [timestamp.as_bytes(), b".", delivery.as_bytes(), b".", body] {
            mac.update(part);
        }
        format!("v1={}", HEXLOWER.encode(&mac.finalize().into_bytes()))
    }
}

/// The delivery id of an event at an outlet, 32 lowercase hex digits: the same at each attempt and each replay.
pub(super) fn delivery_id(outlet: &str, event_uid: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(DELIVERY_CONTEXT);
    hash.update(outlet);
    // No name of an outlet holds a NUL.
    hash.update([0]);
    hash.update(event_uid);
    HEXLOWER.encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures() {
        let secret = Secret::new(Zeroizing::new(b"Jefe".to_vec()));
        let signed = secret.sign("1795343400", "00ff", b"{}");
        let again =
            Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap().chain_update(b"1795343400.00ff.{}").finalize();
        assert_eq!(signed, format!("v1={}", HEXLOWER.encode(&again.into_bytes())));
        for (timestamp, delivery, body) in [("1795343401", "00ff", "{}"), ("1795343400", "00fe", "{}")] {
            assert_ne!(secret.sign(timestamp, delivery, body.as_bytes()), signed);
        }
        assert_ne!(secret.sign("1795343400", "00ff", b"{} "), signed);
    }

    #[test]
    fn a_delivery_id_depends_on_event_and_outlet() {
        let id = delivery_id("soc", "ab:1");
        assert_eq!(id, delivery_id("soc", "ab:1"));
        assert_eq!(id.len(), 32);
        assert!(id != delivery_id("soc", "ab:2") && id != delivery_id("siem", "ab:1"));
    }
}
