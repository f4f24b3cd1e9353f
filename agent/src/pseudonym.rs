//! A citizen's stand-in: the same for one number under one key, and useless without the key.
//!
//! *Invariants*: the key is zeroed when dropped, and cannot be printed or written out; it is copied only to
//! the agent's own process that needs it. An unkeyed hash of a number can be undone by trying all numbers, so
//! there is none.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cprvagt_report::{Pseudonym, SealedNumber, seal::PublicKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::enrol::TENANT_KEY;
use crate::secret_file::{self, SecretFileError};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Keeps these hashes apart from any other use of the key.
const CONTEXT: &[u8] = b"cprvagt/pseudonym/1\0";

/// The key that makes pseudonyms.
pub struct Key(Zeroizing<[u8; KEY_BYTES]>);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read, or others can read it, or somebody else can replace it.
    #[error("pseudonym key: {0}")]
    File(#[from] SecretFileError),
    /// The content is no key.
    #[error(
        "pseudonym key: {path}: it must hold 64 hex digits and nothing else; make one with: \
         openssl rand -hex 32", path = path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The system has no random numbers.
    #[error("pseudonym key: the system gives no random bytes: {0}")]
    NoRandom(getrandom::Error),
}

impl Key {
    /// The key that the configuration names, else the enrolment's, else a random one and a warning.
    ///
    /// # Errors
    /// As [`Key::load`] and [`Key::random`].
    pub fn of(config: &Config) -> Result<Self, KeyError> {
        if let Some(path) = &config.pseudonym.key_file {
            return Self::load(path);
        }
        match Self::load(&config.collector.enrolment.join(TENANT_KEY)) {
            Err(KeyError::File(SecretFileError::Unreadable { cause, .. }))
                if cause.kind() == io::ErrorKind::NotFound => {}
            loaded => return loaded,
        }
        tracing::warn!(
            "no [pseudonym] key_file and no enrolment: citizens get other pseudonyms in each run, and cannot be counted across runs"
        );
        Self::random()
    }

    /// The key in the file at `path`: 64 hex digits, readable by its owner alone.
    ///
    /// # Errors
    /// The file cannot be read, is exposed, or holds something else.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let (file, _) = secret_file::open(path)?;
        let unreadable = |cause| SecretFileError::Unreadable { path: path.to_owned(), cause };
        // Room for one byte too many, so that a longer file is noticed and no reallocation leaves a copy.
        let mut text = Zeroizing::new(Vec::with_capacity(2 * KEY_BYTES + 8));
        file.take(2 * KEY_BYTES as u64 + 4).read_to_end(&mut text).map_err(unreadable)?;
        Self::from_hex(text.trim_ascii_end()).ok_or_else(|| KeyError::Malformed { path: path.to_owned() })
    }

    /// A key that nobody knows.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> Result<Self, KeyError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(&mut *key).map_err(KeyError::NoRandom)?;
        Ok(Self(key))
    }

    /// The key with these bytes, as another process of the agent passed them.
    pub fn from_bytes(bytes: &Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(bytes.clone())
    }

    /// The bytes, for another process of the agent.
    pub fn to_bytes(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        self.0.clone()
    }

    fn from_hex(text: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if text.len() != 2 * KEY_BYTES {
            return None;
        }
        data_encoding::HEXLOWER_PERMISSIVE.decode_mut(text, &mut *key).ok()?;
        Some(Self(key))
    }

    /// The stand-in for the citizen whose number has these ten ASCII digits.
    pub fn pseudonym(&self, digits: &[u8; 10]) -> Pseudonym {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        mac.update(CONTEXT);
        mac.update(digits);
        let hash = mac.finalize().into_bytes();
        let mut first = [0; 16];
        first.copy_from_slice(&hash[..16]);
        Pseudonym::from_keyed_hash(first)
    }
}

/// Citizens whose sealed number is remembered.
const SEALED_MAX: usize = 65_536;

/// Seals numbers so that the data controller alone can read them.
///
/// A citizen's sealed number is remembered, since sealing costs a tenth of a millisecond: in a flood of leaks
/// each citizen is sealed once.
pub struct Sealer {
    controller: PublicKey,
    sealed: RefCell<HashMap<Pseudonym, SealedNumber>>,
}

impl Sealer {
    /// Seals to `controller`.
    pub fn new(controller: PublicKey) -> Self {
        Self { controller, sealed: RefCell::default() }
    }

    /// The ten ASCII digits of the citizen `pseudonym`, sealed.
    pub fn seal(&self, pseudonym: Pseudonym, digits: &[u8; 10]) -> SealedNumber {
        let mut sealed = self.sealed.borrow_mut();
        if sealed.len() >= SEALED_MAX && !sealed.contains_key(&pseudonym) {
            sealed.clear();
        }
        sealed.entry(pseudonym).or_insert_with(|| SealedNumber::seal(&self.controller, digits)).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn key_file(content: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tenant.key");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    fn load(content: &str, mode: u32) -> Result<Key, KeyError> {
        let (_dir, path) = key_file(content, mode);
        Key::load(&path)
    }

    #[test]
    fn known_answer() {
        let key = Key::from_hex("0b".repeat(32).as_bytes()).unwrap();
        // python3: hmac.new(b"\x0b"*32, b"cprvagt/pseudonym/1\0" + b"2512489996", "sha256").hexdigest()[:32]
        assert_eq!(key.pseudonym(b"2512489996").to_string(), "328bc71b137f6ab1290ac4b1ada54364");
    }

    #[test]
    fn one_citizen_one_pseudonym_under_one_key() {
        let (one, other) = (Key::random().unwrap(), Key::random().unwrap());
        assert_eq!(one.pseudonym(b"2512489996"), one.pseudonym(b"2512489996"));
        assert_ne!(one.pseudonym(b"2512489996"), one.pseudonym(b"2512489995"));
        assert_ne!(one.pseudonym(b"2512489996"), other.pseudonym(b"2512489996"));
    }

    #[test]
    fn a_good_file_is_read_alike_in_both_cases() {
        let lower = load(&format!("{}\n", "ab".repeat(32)), 0o600).unwrap();
        let upper = load(&"AB".repeat(32), 0o400).unwrap();
        assert_eq!(lower.pseudonym(&[b'0'; 10]), upper.pseudonym(&[b'0'; 10]));
    }

    #[test]
    fn files_that_others_can_read_are_refused() {
        for mode in [0o640, 0o604, 0o644, 0o660, 0o666] {
            let error = load(&"ab".repeat(32), mode).err().unwrap();
            assert!(matches!(error, KeyError::File(SecretFileError::Exposed { .. })), "{mode:o}: {error}");
        }
    }

    #[test]
    fn files_that_hold_no_key_are_refused() {
        let long = "ab".repeat(33);
        for content in ["", "ab", &"zz".repeat(32), &long, &format!("{}\n\nx", "ab".repeat(32))] {
            let error = load(content, 0o600).err().unwrap();
            assert!(matches!(error, KeyError::Malformed { .. }), "{content}: {error}");
            assert!(
                content.len() < 4 || !error.to_string().contains(content.trim()),
                "the content is not told"
            );
        }
    }

    #[test]
    fn a_citizen_is_sealed_once_to_the_controller() {
        let controller = cprvagt_report::seal::PrivateKey::generate();
        let (sealer, key) = (Sealer::new(controller.public().clone()), Key::random().unwrap());
        let seal = |digits| sealer.seal(key.pseudonym(digits), digits);
        let (one, other) = (seal(b"2512489996"), seal(b"2512489995"));
        assert_eq!(one, seal(b"2512489996"));
        assert_ne!(one, other);
        let purpose = cprvagt_report::seal::Purpose::Number;
        assert_eq!(&**controller.open(purpose, &[], other.as_bytes()).unwrap(), b"2512489995");
    }

    #[test]
    fn the_configured_key_goes_before_the_enrolments_and_that_before_a_random_one() {
        let (enrolled, _) = key_file(&"ab".repeat(32), 0o600);
        let (_dir, configured) = key_file(&"cd".repeat(32), 0o600);
        let mut config = Config::default();
        let pseudonym = |config: &Config| Key::of(config).unwrap().pseudonym(&[b'0'; 10]);
        config.collector.enrolment = "/nowhere/enrolment".into();
        assert_ne!(pseudonym(&config), pseudonym(&config));
        config.collector.enrolment = enrolled.path().to_owned();
        assert_eq!(pseudonym(&config), load(&"ab".repeat(32), 0o600).unwrap().pseudonym(&[b'0'; 10]));
        config.pseudonym.key_file = Some(configured);
        assert_eq!(pseudonym(&config), load(&"cd".repeat(32), 0o600).unwrap().pseudonym(&[b'0'; 10]));
        fs::set_permissions(enrolled.path().join("tenant.key"), fs::Permissions::from_mode(0o644)).unwrap();
        config.pseudonym.key_file = None;
        assert!(
            matches!(Key::of(&config), Err(KeyError::File(SecretFileError::Exposed { .. }))),
            "never a silent random key"
        );
    }

    #[test]
    fn a_missing_file_is_told_by_name() {
        let error = Key::load(Path::new("/nowhere/tenant.key")).err().unwrap();
        assert!(error.to_string().starts_with("pseudonym key: /nowhere/tenant.key: "), "{error}");
    }
}
