//! The pseudonyms that an agent with a given key must report, computed independently of it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::scratch::Scratch;

/// What is hashed before the ten digits: one key may serve other purposes later.
const DOMAIN: &[u8] = b"cprvagt/pseudonym/1\0";
/// Bytes of a pseudonym; it is written in hexadecimal.
const PSEUDONYM_BYTES: usize = 16;

/// What agent and collector make of `content` under a key: the first half of an HMAC-SHA-256 over `domain` and
/// `content`, in lowercase hexadecimal.
pub(crate) fn keyed_hash(key: &[u8], domain: &[u8], content: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(domain);
    mac.update(content);
    data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes()[..PSEUDONYM_BYTES])
}

/// A tenant key and the file it was written to.
#[derive(Debug)]
pub struct Key {
    bytes: [u8; 32],
    file: PathBuf,
}

impl Key {
    /// Makes a key file in `scratch`: 64 hexadecimal characters and a newline, mode 0600.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(scratch: &Scratch) -> Result<Self> {
        let mut bytes = [0; 32];
        fastrand::Rng::new().fill(&mut bytes);
        let text = format!("{}\n", data_encoding::HEXLOWER.encode(&bytes));
        Ok(Self { bytes, file: scratch.write("tenant.key", text)? })
    }

    /// The key in the file of an enrolled agent.
    ///
    /// # Errors
    /// When it holds no key.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let bytes = data_encoding::HEXLOWER.decode(text.trim().as_bytes())?;
        let bytes = bytes.try_into().ok().context("a tenant key has 32 bytes")?;
        Ok(Self { bytes, file: file.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The pseudonym of the number with these ten digits: 32 lowercase hexadecimal characters.
    #[must_use]
    pub fn pseudonym(&self, digits: &str) -> String {
        keyed_hash(&self.bytes, DOMAIN, digits.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Value from `openssl dgst -sha256 -mac HMAC`.
    #[test]
    fn a_pseudonym_is_the_cut_hmac() {
        let key = Key { bytes: [0x0b; 32], file: PathBuf::new() };
        assert_eq!(key.pseudonym("2512489996"), "328bc71b137f6ab1290ac4b1ada54364");
    }
}
