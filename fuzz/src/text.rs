//! What people and files spell: tokens, keys, pseudonyms, sizes.

use cprvagt_report::seal::{PrivateKey, PublicKey};
use cprvagt_report::{Pseudonym, Token};
use cprvagt_settings::size;

/// Each text is refused, or spelled again as it was read.
pub fn text_parse(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    if let Ok(token) = text.parse::<Token>() {
        assert_eq!(token.to_string(), text.trim());
        assert!(Token::hash_of_secret(&token.secret()).is_some());
        assert!(!format!("{token:?}").contains(&token.secret()), "the secret is not shown");
    }
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = PrivateKey::from_hex(text) {
        // X25519 fixes some bits of a private key, so many texts spell one key (RFC 7748, section 5).
        let again = PrivateKey::from_hex(&key.to_hex()).expect("a key is spelled as it is read");
        assert!(again.public() == key.public() && again.to_hex() == key.to_hex());
    }
    if let Ok(pseudonym) = text.parse::<Pseudonym>() {
        assert_eq!(pseudonym.to_string(), text);
    }
    if let Ok(bytes) = size::parse(text) {
        check_size(bytes);
    }
}

/// A size of whole units reads as it is shown; any other is shown for people only.
fn check_size(bytes: u64) {
    let shown = size::show(bytes);
    if !shown.contains('.') {
        assert_eq!(size::parse(&shown), Ok(bytes), "{shown}");
    }
}
