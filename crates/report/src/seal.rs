//! Sealing bytes so that only the holder of one private key can read them: HPKE, RFC 9180, base mode with
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305.
//!
//! Two things are sealed, each to a key of its own: a report to the collector, so that an agent's disk alone
//! gives nothing, and a number to the data controller, who alone can notify the citizen.
//!
//! *Invariants*: every sealing draws a fresh key, so two sealings of one number do not look alike. A private
//! key cannot be printed, copied or serialised, and is zeroed when dropped. What is sealed for one purpose
//! does not open for another.

use core::fmt;
use std::borrow::Cow;

use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

type Kem = hpke::kem::X25519HkdfSha256;
type Kdf = hpke::kdf::HkdfSha256;
type Aead = hpke::aead::ChaCha20Poly1305;

/// Bytes of a key, public or private.
pub const KEY_BYTES: usize = 32;
/// What sealing adds: the sender's share and the tag.
pub const SEAL_BYTES: usize = KEY_BYTES + 16;

/// What is sealed; part of the key schedule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// A report, to the collector.
    Report,
    /// The ten digits of a number, to the data controller.
    Number,
}

impl Purpose {
    const fn info(self) -> &'static [u8] {
        match self {
            Self::Report => b"cprvagt/report/1",
            Self::Number => b"cprvagt/number/1",
        }
    }
}

/// The sealed bytes do not open: another key, another purpose, other context, or not intact.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("sealed for another key or not intact")]
pub struct BadSeal;

/// The text or bytes are no key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a key is 64 lowercase hex digits")]
pub struct BadKey;

/// Seals; anybody may have it.
#[derive(Clone, Eq, PartialEq)]
pub struct PublicKey(<Kem as hpke::Kem>::PublicKey);

impl PublicKey {
    /// The key with these bytes.
    ///
    /// # Errors
    /// They are no point of the curve that can be sealed to.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadKey> {
        <Kem as hpke::Kem>::PublicKey::from_bytes(bytes).map(Self).map_err(|_| BadKey)
    }

    /// The bytes.
    pub fn to_bytes(&self) -> [u8; KEY_BYTES] {
        self.0.to_bytes().into()
    }

    /// `plain` sealed for `purpose`; it opens only with the same `context`.
    ///
    /// # Panics
    /// Never with a key that [`Self::from_bytes`] took.
    pub fn seal(&self, purpose: Purpose, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let sealed =
            hpke::single_shot_seal::<Aead, Kdf, Kem>(&OpModeS::Base, &self.0, purpose.info(), plain, context);
        let (share, ciphertext) = sealed.expect("a parsed public key can be sealed to");
        let mut bytes = share.to_bytes().to_vec();
        bytes.extend_from_slice(&ciphertext);
        bytes
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.to_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl core::str::FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        Self::from_bytes(&data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|_| BadKey)?)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(input)?.parse().map_err(de::Error::custom)
    }
}

/// Opens what was sealed to its public half.
pub struct PrivateKey {
    private: <Kem as hpke::Kem>::PrivateKey,
    public: PublicKey,
}

impl PrivateKey {
    /// A new key, from the system's random numbers.
    pub fn generate() -> Self {
        let (private, public) = Kem::gen_keypair();
        Self { private, public: PublicKey(public) }
    }

    /// The key that `text` spells: 64 lowercase hex digits.
    ///
    /// # Errors
    /// It spells none.
    pub fn from_hex(text: &str) -> Result<Self, BadKey> {
        let bytes = Zeroizing::new(data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|_| BadKey)?);
        let private = <Kem as hpke::Kem>::PrivateKey::from_bytes(&bytes).map_err(|_| BadKey)?;
        let public = PublicKey(Kem::sk_to_pk(&private));
        Ok(Self { private, public })
    }

    /// The key as text, for the one file that keeps it.
    pub fn to_hex(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new(<[u8; KEY_BYTES]>::from(self.private.to_bytes()));
        Zeroizing::new(data_encoding::HEXLOWER.encode(&*bytes))
    }

    /// Its public half.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// What was sealed to this key for `purpose` with `context`.
    ///
    /// # Errors
    /// It was not, or it is not intact.
    pub fn open(
        &self,
        purpose: Purpose,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, BadSeal> {
        let (share, ciphertext) = sealed.split_at_checked(KEY_BYTES).ok_or(BadSeal)?;
        let share = <Kem as hpke::Kem>::EncappedKey::from_bytes(share).map_err(|_| BadSeal)?;
        let opened = hpke::single_shot_open::<Aead, Kdf, Kem>(
            &OpModeR::Base,
            &self.private,
            &share,
            purpose.info(),
            ciphertext,
            context,
        );
        opened.map(Zeroizing::new).map_err(|_| BadSeal)
    }
}

/// The ten digits of a number, which only the data controller can read. 78 characters of base64url as text.
///
/// It carries no pseudonym as context: who opens it must not need the agent's pseudonym, which the collector
/// does not keep.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct SealedNumber(Vec<u8>);

/// Bytes of a sealed number: ten digits and what sealing adds.
const SEALED_NUMBER_BYTES: usize = 10 + SEAL_BYTES;

impl SealedNumber {
    /// The ten ASCII digits `digits`, for the controller.
    pub fn seal(controller: &PublicKey, digits: &[u8; 10]) -> Self {
        Self(controller.seal(Purpose::Number, &[], digits))
    }

    /// The sealed number with these bytes; `None` when there are too many or too few.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == SEALED_NUMBER_BYTES).then(|| Self(bytes.to_vec()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for SealedNumber {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&data_encoding::BASE64URL_NOPAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for SealedNumber {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(input)?;
        let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        let sealed = bytes.and_then(|bytes| Self::from_bytes(&bytes));
        sealed.ok_or_else(|| de::Error::custom("a sealed number is 78 base64url characters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_key_purpose_and_context_open() {
        let (key, other) = (PrivateKey::generate(), PrivateKey::generate());
        let sealed = key.public().seal(Purpose::Report, b"a", b"text");
        assert_eq!(sealed.len(), 4 + SEAL_BYTES);
        assert_eq!(&**key.open(Purpose::Report, b"a", &sealed).unwrap(), b"text");
        assert_eq!(other.open(Purpose::Report, b"a", &sealed), Err(BadSeal));
        assert_eq!(key.open(Purpose::Number, b"a", &sealed), Err(BadSeal));
        assert_eq!(key.open(Purpose::Report, b"b", &sealed), Err(BadSeal));
        for cut in 0..sealed.len() {
            assert_eq!(key.open(Purpose::Report, b"a", &sealed[..cut]), Err(BadSeal), "{cut}");
        }
        for bit in 0..sealed.len() * 8 {
            let mut wrong = sealed.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(Purpose::Report, b"a", &wrong), Err(BadSeal), "{bit}");
        }
    }

    #[test]
    fn keys_are_text_and_back() {
        let key = PrivateKey::generate();
        let again = PrivateKey::from_hex(&key.to_hex()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(key.public().to_string().parse(), Ok(key.public().clone()));
        for bad in ["", "ab", &"zz".repeat(32), &"ab".repeat(33)] {
            assert!(PrivateKey::from_hex(bad).is_err(), "{bad}");
            assert_eq!(bad.parse::<PublicKey>(), Err(BadKey), "{bad}");
        }
    }

    #[test]
    fn only_the_controller_opens_a_number() {
        let (controller, other) = (PrivateKey::generate(), PrivateKey::generate());
        let sealed = SealedNumber::seal(controller.public(), b"2512489996");
        assert_ne!(sealed, SealedNumber::seal(controller.public(), b"2512489996"));
        let json = serde_json::to_string(&sealed).unwrap();
        let read: SealedNumber = serde_json::from_str(&json).unwrap();
        assert_eq!(&**controller.open(Purpose::Number, &[], read.as_bytes()).unwrap(), b"2512489996");
        assert_eq!(other.open(Purpose::Number, &[], read.as_bytes()), Err(BadSeal));
        assert!(serde_json::from_str::<SealedNumber>("\"AAAA\"").is_err());
    }
}
