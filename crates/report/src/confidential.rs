//! Values that cannot hold a readable number: scrubbed names, fixed words, masks, pseudonyms, scores.
//!
//! *Invariants*: none of them is made from a `String`. Deserialising trusts the sender's scrubber; a
//! receiver that does not must scrub again with [`Scrubbed::by`].

use core::fmt;
use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What takes the numbers out of a name. The agent's scrubber is the real one; tests bring their own.
pub trait Scrub {
    /// The text with each number replaced by `{}` and nothing in it that a terminal would obey.
    fn scrub(&self, text: &[u8]) -> String;
}

/// A name from the world (host, path, field, program) with each number in it replaced by `{}`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scrubbed(String);

impl Scrubbed {
    /// What `scrubber` leaves of `text`: the only way to make one.
    pub fn by(scrubber: &impl Scrub, text: impl AsRef<[u8]>) -> Self {
        Self(scrubber.scrub(text.as_ref()))
    }

    /// The scrubbed text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scrubbed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A word that this program itself brings: a protocol, a function, a reason. Never captured text, which
/// does not live for `'static`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Label(Cow<'static, str>);

impl Label {
    /// The label spelled `word`.
    pub const fn new(word: &'static str) -> Self {
        Self(Cow::Borrowed(word))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for Label {
    fn from(word: &'static str) -> Self {
        Self::new(word)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The shape of a number: `x` for each letter or digit, other characters as they stood.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mask(String);

/// Longest shape kept, in characters; no notation of ten digits needs more.
const MASK_CHARS_MAX: usize = 64;

impl Mask {
    /// The shape of `text`. No digit survives, whatever the script; what is no printable ASCII becomes `?`.
    pub fn of(text: &str) -> Self {
        let shape = |c: char| match c {
            c if c.is_alphanumeric() => 'x',
            c if c.is_ascii_graphic() || c == ' ' => c,
            _ => '?',
        };
        Self(text.chars().take(MASK_CHARS_MAX).map(shape).collect())
    }

    /// The shape.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A citizen under one key: the first 16 bytes of a keyed hash, 32 lowercase hex digits as text.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pseudonym([u8; 16]);

/// The text is not 32 lowercase hex digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a pseudonym is 32 lowercase hex digits")]
pub struct BadPseudonym;

impl Pseudonym {
    /// The pseudonym with these bytes. They must come from a keyed hash: an unkeyed one counts as plaintext.
    pub const fn from_keyed_hash(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl core::str::FromStr for Pseudonym {
    type Err = BadPseudonym;

    fn from_str(text: &str) -> Result<Self, BadPseudonym> {
        from_hex(text).map(Self).ok_or(BadPseudonym)
    }
}

/// What tells this host from others: 32 lowercase hex digits as text.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct HostId([u8; 16]);

impl HostId {
    /// The host id with these bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

fn from_hex(text: &str) -> Option<[u8; 16]> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

impl Serialize for Pseudonym {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pseudonym {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(input)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for HostId {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostId {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(input)?;
        from_hex(&text).map(Self).ok_or_else(|| de::Error::custom("a host id is 32 lowercase hex digits"))
    }
}

/// The weight of evidence in decibans, kept in tenths so that one decimal is all there is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Score(i32);

impl Score {
    /// The score of `tenths` tenths of a deciban.
    pub const fn from_tenths(tenths: i32) -> Self {
        Self(tenths)
    }

    /// The score nearest to `decibans`; what is not a number counts as 0.
    pub fn from_decibans(decibans: f64) -> Self {
        Self((decibans * 10.0).round() as i32)
    }

    /// In decibans.
    pub fn decibans(self) -> f64 {
        f64::from(self.0) / 10.0
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", self.decibans())
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_f64(self.decibans())
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        f64::deserialize(input).map(Self::from_decibans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes out every digit: enough to see that the scrubber is used.
    struct NoDigits;

    impl Scrub for NoDigits {
        fn scrub(&self, text: &[u8]) -> String {
            String::from_utf8_lossy(text).replace(|c: char| c.is_ascii_digit(), "")
        }
    }

    #[test]
    fn a_name_is_what_the_scrubber_leaves() {
        assert_eq!(Scrubbed::by(&NoDigits, "id=2512-ok").as_str(), "id=-ok");
    }

    #[test]
    fn masks_keep_no_digit_of_any_script() {
        let cases = [
            ("251248-9996", "xxxxxx-xxxx"),
            ("251248 9996", "xxxxxx xxxx"),
            ("٢٥12４8", "xxxxxx"),
            ("2\u{1b}[1m", "x?[xx"),
            ("", ""),
        ];
        for (text, shape) in cases {
            assert_eq!(Mask::of(text).as_str(), shape, "{text:?}");
        }
        assert_eq!(Mask::of(&"1".repeat(200)).as_str().len(), MASK_CHARS_MAX);
    }

    #[test]
    fn scores_have_one_decimal() {
        let cases = [(123, "12.3"), (120, "12.0"), (-5, "-0.5"), (0, "0.0")];
        for (tenths, json) in cases {
            let score = Score::from_tenths(tenths);
            assert_eq!(serde_json::to_string(&score).unwrap(), json);
            assert_eq!(serde_json::from_str::<Score>(json).unwrap(), score);
        }
        assert_eq!(Score::from_decibans(12.34), Score::from_tenths(123));
        assert_eq!(Score::from_decibans(f64::NAN), Score::from_tenths(0));
    }

    #[test]
    fn pseudonyms_are_32_hex_digits_and_nothing_else() {
        let pseudonym = Pseudonym::from_keyed_hash([0xab; 16]);
        assert_eq!(pseudonym.to_string(), "ab".repeat(16));
        assert_eq!(pseudonym.to_string().parse(), Ok(pseudonym));
        for bad in ["", "ab", "AB", &"AB".repeat(16), &"ab".repeat(17)] {
            assert_eq!(bad.parse::<Pseudonym>(), Err(BadPseudonym), "{bad}");
        }
    }
}
