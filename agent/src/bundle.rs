//! A controller's bundle and identity: the files that `cprvagt keys new` makes.
//!
//! The bundle goes to the controller's hosts: the key that makes pseudonyms, and the public key that numbers
//! are sealed to. The identity stays with the controller: the private key that opens them. No collector
//! gets either.
//!
//! *Invariants*: neither file's secrets are shown by Debug; both files are readable by their owner alone.

use std::fmt;
use std::path::{Path, PathBuf};

use cprvagt_report::seal::{PrivateKey, PublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::secret_file::{self, SecretFileError};

/// Longest name of a controller, in characters.
const NAME_CHARS_MAX: usize = 100;
/// Hex digits of a pseudonym key.
const PSEUDONYM_KEY_DIGITS: usize = 64;
/// Room for either file, in bytes, so that writing one leaves no copy behind.
const TEXT_BYTES: usize = 4096;

/// What a host gets from its data controller.
pub struct Bundle {
    /// The controller's name.
    pub controller: String,
    /// Names the pair of sealing keys: 16 hex digits that follow from the public one.
    pub key_id: String,
    /// The public key that numbers are sealed to.
    pub sealing_key: PublicKey,
    /// The key that makes pseudonyms, 64 hex digits.
    pub pseudonym_key: Zeroizing<String>,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It cannot be read, or others can read it.
    #[error("bundle: {0}")]
    File(#[from] SecretFileError),
    /// It is something else, or was changed. Nothing of the content is told.
    #[error(
        "bundle: {path}: {why}; give the file NAME.bundle that `cprvagt keys new` made", path = path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BundleText<'a> {
    schema: BundleSchema,
    controller: String,
    key_id: String,
    pseudonym_key: &'a str,
    sealing_key: PublicKey,
}

#[derive(Serialize, Deserialize)]
enum BundleSchema {
    #[serde(rename = "cprvagt.bundle/1")]
    V1,
}

#[derive(Serialize)]
struct IdentityText<'a> {
    schema: &'static str,
    controller: &'a str,
    key_id: &'a str,
    private_key: &'a str,
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle({:?}, key {})", self.controller, self.key_id)
    }
}

impl Bundle {
    /// The bundle in the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, is exposed, or is no bundle.
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        Self::parse(&secret_file::read(path)?)
            .map_err(|why| BundleError::Malformed { path: path.to_owned(), why })
    }

    /// The bundle that `text` spells, or what is wrong with it.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let bundle: BundleText<'_> = serde_json::from_str(text).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => "not a bundle, or of another version",
            _ => "not JSON",
        })?;
        let key = bundle.pseudonym_key;
        if key.len() != PSEUDONYM_KEY_DIGITS || !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("its pseudonym key is not 64 hex digits");
        }
        if bundle.key_id != key_id(&bundle.sealing_key) {
            return Err("its key id is not that of its sealing key");
        }
        check_name(&bundle.controller)?;
        let BundleText { controller, key_id, sealing_key, .. } = bundle;
        Ok(Self { controller, key_id, sealing_key, pseudonym_key: Zeroizing::new(key.to_owned()) })
    }

    /// The text of the file that goes to hosts.
    pub fn to_text(&self) -> Zeroizing<Vec<u8>> {
        text(&BundleText {
            schema: BundleSchema::V1,
            controller: self.controller.clone(),
            key_id: self.key_id.clone(),
            pseudonym_key: &self.pseudonym_key,
            sealing_key: self.sealing_key.clone(),
        })
    }
}

/// New keys for `controller`: the bundle for its hosts, and the text of the identity that opens numbers.
///
/// # Errors
/// The system has no random numbers.
pub fn generate(controller: &str) -> Result<(Bundle, Zeroizing<Vec<u8>>), getrandom::Error> {
    let mut key = Zeroizing::new([0; PSEUDONYM_KEY_DIGITS / 2]);
    getrandom::fill(&mut *key)?;
    let private = PrivateKey::generate();
    let bundle = Bundle {
        controller: controller.to_owned(),
        key_id: key_id(private.public()),
        sealing_key: private.public().clone(),
        pseudonym_key: Zeroizing::new(data_encoding::HEXLOWER.encode(&*key)),
    };
    let identity = text(&IdentityText {
        schema: "cprvagt.identity/1",
        controller,
        key_id: &bundle.key_id,
        private_key: &private.to_hex(),
    });
    Ok((bundle, identity))
}

/// Whether `name` can name a controller, its files included; else what is wrong with it.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    match name {
        name if name.trim().is_empty() => Err("the controller's name is empty"),
        name if name.chars().count() > NAME_CHARS_MAX => Err("the controller's name is too long"),
        name if name.trim() != name || name.starts_with('.') => {
            Err("the controller's name begins or ends with a space, or begins with a dot")
        }
        name if name.chars().any(|c| c.is_control() || c == '/') => {
            Err("the controller's name has a slash or a control character in it")
        }
        _ => Ok(()),
    }
}

/// Names the pair of `key`: which of several identities opens what was sealed to it.
fn key_id(key: &PublicKey) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(key.to_bytes())[..8])
}

fn text(value: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(TEXT_BYTES));
    serde_json::to_writer_pretty(&mut *text, value).expect("memory takes plain data");
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use cprvagt_report::SealedNumber;
    use cprvagt_report::seal::Purpose;

    use super::*;

    fn told(bundle: &Bundle) -> String {
        String::from_utf8(bundle.to_text().to_vec()).unwrap()
    }

    #[test]
    fn a_bundle_is_text_and_back_and_its_identity_opens_what_it_seals() {
        let (bundle, identity) = generate("Myndighed X").unwrap();
        let again = Bundle::parse(&told(&bundle)).unwrap();
        assert_eq!((&again.controller[..], &again.key_id), ("Myndighed X", &bundle.key_id));
        assert_eq!(again.pseudonym_key, bundle.pseudonym_key);
        let identity: serde_json::Value = serde_json::from_slice(&identity).unwrap();
        assert_eq!(identity["schema"], "cprvagt.identity/1");
        assert_eq!(identity["key_id"], bundle.key_id);
        let private = PrivateKey::from_hex(identity["private_key"].as_str().unwrap()).unwrap();
        let sealed = SealedNumber::seal(&again.sealing_key, b"0000000000");
        let opened = private.open(Purpose::Number, &[], sealed.as_bytes()).unwrap();
        assert_eq!(&**opened, b"0000000000");
        assert!(!told(&bundle).contains(&*private.to_hex()), "hosts never get the private key");
    }

    #[test]
    fn keys_are_new_each_time_and_not_shown() {
        let ((one, _), (other, _)) = (generate("x").unwrap(), generate("x").unwrap());
        assert_ne!(one.pseudonym_key, other.pseudonym_key);
        assert_ne!(one.key_id, other.key_id);
        assert!(!format!("{one:?}").contains(&**one.pseudonym_key));
    }

    #[test]
    fn other_texts_are_refused() {
        let (bundle, _) = generate("x").unwrap();
        let good = told(&bundle);
        let other = key_id(PrivateKey::generate().public());
        let cases = [
            (String::new(), "not JSON"),
            (good[..good.len() - 3].to_owned(), "not JSON"),
            ("{}".to_owned(), "not a bundle, or of another version"),
            (good.replace("bundle/1", "bundle/2"), "not a bundle, or of another version"),
            (good.replace("controller", "contoller"), "not a bundle, or of another version"),
            (
                good.replace(&**bundle.pseudonym_key, &"zz".repeat(32)),
                "its pseudonym key is not 64 hex digits",
            ),
            (good.replace(&**bundle.pseudonym_key, "ab"), "its pseudonym key is not 64 hex digits"),
            (good.replace(&bundle.key_id, &other), "its key id is not that of its sealing key"),
            (good.replace("\"x\"", "\" \""), "the controller's name is empty"),
        ];
        for (text, expected) in cases {
            assert_eq!(Bundle::parse(&text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn names() {
        for good in ["x", "Myndighed X", "Køge Kommune"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", " ", " x", "x ", ".x", "a/b", "a\nb", &"x".repeat(101)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
