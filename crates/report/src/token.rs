//! The one-time token of enrolment: a secret, and which authority the collector must prove to be.
//!
//! *Invariants*: the secret is not shown by Debug. The collector keeps only a hash of it.

use core::fmt;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};

/// First part of every token; names its version.
const PREFIX: &str = "cprvagt1";
/// Bytes of the secret.
const SECRET_BYTES: usize = 32;

/// A token: `cprvagt1.SECRET.AUTHORITY`.
#[derive(Clone, Eq, PartialEq)]
pub struct Token {
    secret: [u8; SECRET_BYTES],
    authority: [u8; 32],
}

/// The text is no token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a token looks like cprvagt1.SECRET.AUTHORITY, as `cprvagt-collector token` prints it")]
pub struct BadToken;

impl Token {
    /// A token with this secret for the authority whose certificate is `authority`, in DER.
    pub fn new(secret: [u8; SECRET_BYTES], authority: &[u8]) -> Self {
        Self { secret, authority: fingerprint(authority) }
    }

    /// The secret as text, for the enrolment request.
    pub fn secret(&self) -> String {
        BASE64URL_NOPAD.encode(&self.secret)
    }

    /// Whether `certificate`, in DER, is that of the token's authority.
    pub fn names(&self, certificate: &[u8]) -> bool {
        self.authority == fingerprint(certificate)
    }

    /// What the collector keeps of a secret: 32 bytes; `None` when the text is no secret.
    pub fn hash_of_secret(secret: &str) -> Option<[u8; 32]> {
        let secret = BASE64URL_NOPAD.decode(secret.as_bytes()).ok()?;
        (secret.len() == SECRET_BYTES).then(|| fingerprint(&secret))
    }
}

fn fingerprint(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}.{}.{}", self.secret(), HEXLOWER.encode(&self.authority))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(authority {})", HEXLOWER.encode(&self.authority))
    }
}

impl core::str::FromStr for Token {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let parts: Vec<&str> = text.trim().split('.').collect();
        let [PREFIX, secret, authority] = parts[..] else { return Err(BadToken) };
        let secret = BASE64URL_NOPAD.decode(secret.as_bytes()).map_err(|_| BadToken)?;
        let authority = HEXLOWER.decode(authority.as_bytes()).map_err(|_| BadToken)?;
        Ok(Self {
            secret: secret.try_into().map_err(|_| BadToken)?,
            authority: authority.try_into().map_err(|_| BadToken)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_text_and_back() {
        let token = Token::new([7; 32], b"certificate");
        assert_eq!(token.to_string().parse(), Ok(token.clone()));
        assert_eq!(format!(" {token}\n").parse(), Ok(token.clone()));
        assert!(token.names(b"certificate") && !token.names(b"another"));
        assert!(!format!("{token:?}").contains(&token.secret()));
    }

    #[test]
    fn the_collector_knows_a_secret_by_its_hash() {
        let token = Token::new([7; 32], b"certificate");
        assert_eq!(Token::hash_of_secret(&token.secret()), Some(fingerprint(&[7; 32])));
        assert_eq!(Token::hash_of_secret("AAAA"), None);
        assert_eq!(Token::hash_of_secret("not base64!"), None);
    }

    #[test]
    fn other_texts_are_refused() {
        let good = Token::new([7; 32], b"certificate").to_string();
        for bad in ["", "cprvagt1", "cprvagt1..", &good[1..], &good[..good.len() - 1], &format!("{good}.x")] {
            assert_eq!(bad.parse::<Token>(), Err(BadToken), "{bad}");
        }
    }
}
