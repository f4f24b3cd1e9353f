//! Citizens as this collector counts them: the agent's pseudonym, hashed once more under the collector's key.
//!
//! Whoever holds a controller's key can work out the agents' pseudonyms of all numbers, but not these; whoever
//! holds a copy of the collector can undo neither.
//!
//! *Invariants*: the key is zeroed when dropped, and cannot be printed, copied or serialised. The agent's
//! pseudonym is never kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cprvagt_report::Pseudonym;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::keys::Mark;

/// Name of the key's file in the data folder.
pub const CITIZEN_KEY_FILE: &str = "citizen.key";
/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Keeps these hashes apart from any other use of the key.
const CONTEXT: &[u8] = b"cprvagt/citizen/1\0";
/// As [`CONTEXT`], for the key's own mark.
const MARK_CONTEXT: &[u8] = b"cprvagt/citizen-mark/1\0";

/// One citizen under this collector's key and one controller's: 16 bytes of a keyed hash.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Citizen(pub(crate) [u8; 16]);

/// The key that makes a [`Citizen`] of a pseudonym.
pub struct CitizenKey(Zeroizing<[u8; KEY_BYTES]>);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum CitizenKeyError {
    /// The file cannot be read or made.
    #[error("citizen key: {path}: {cause}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Others than its owner can read the file.
    #[error("citizen key: {path}: mode {mode:04o}: no one else may read it; run: chmod 600 {path}", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds something else. A new key would count every citizen anew, so none is made.
    #[error("citizen key: {path}: it must hold {KEY_BYTES} bytes; restore it from a backup", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The system has no random numbers.
    #[error("citizen key: the system gives no random bytes: {0}")]
    NoRandom(getrandom::Error),
}

impl CitizenKey {
    /// The key of the data folder `dir`, made there at the first call.
    ///
    /// # Errors
    /// The file cannot be read or made, is exposed, or holds something else.
    pub fn of(dir: &Path) -> Result<Self, CitizenKeyError> {
        let path = dir.join(CITIZEN_KEY_FILE);
        match File::open(&path) {
            Ok(file) => Self::read(file, &path),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Self::make(dir, &path),
            Err(cause) => Err(CitizenKeyError::File { path, cause }),
        }
    }

    /// A key that no file keeps.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> Result<Self, CitizenKeyError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(&mut *key).map_err(CitizenKeyError::NoRandom)?;
        Ok(Self(key))
    }

    /// The citizen behind the agent's pseudonym.
    ///
    /// # Panics
    /// Never: a key of any length is taken.
    pub fn citizen(&self, pseudonym: &Pseudonym) -> Citizen {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("any length of key is taken");
        mac.update(CONTEXT);
        mac.update(pseudonym.as_bytes());
        let hash = mac.finalize().into_bytes();
        Citizen(*hash.first_chunk().expect("the hash has 32 bytes"))
    }

    /// What tells this key from others.
    ///
    /// # Panics
    /// Never: a key of any length is taken.
    pub fn mark(&self) -> Mark {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("any length of key is taken");
        mac.update(MARK_CONTEXT);
        *mac.finalize().into_bytes().first_chunk().expect("the hash has 32 bytes")
    }

    fn read(file: File, path: &Path) -> Result<Self, CitizenKeyError> {
        let failed = |cause| CitizenKeyError::File { path: path.to_owned(), cause };
        let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(CitizenKeyError::Exposed { path: path.to_owned(), mode });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
        file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice());
        key.map(|key| Self(Zeroizing::new(key)))
            .map_err(|_| CitizenKeyError::Malformed { path: path.to_owned() })
    }

    /// Writes beside, then links into place: another process that starts at once gets the same key, and a
    /// crash leaves either none or a whole one.
    fn make(dir: &Path, path: &Path) -> Result<Self, CitizenKeyError> {
        let failed = |cause| CitizenKeyError::File { path: path.to_owned(), cause };
        let key = Self::random()?;
        let beside = dir.join(format!("{CITIZEN_KEY_FILE}.{}", uuid::Uuid::now_v7()));
        let written = write_new(&beside, &*key.0).and_then(|()| fs::hard_link(&beside, path));
        fs::remove_file(&beside).map_err(failed)?;
        match written {
            Ok(()) => File::open(dir).and_then(|dir| dir.sync_all()).map(|()| key).map_err(failed),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                Self::read(File::open(path).map_err(failed)?, path)
            }
            Err(cause) => Err(failed(cause)),
        }
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn pseudonym(byte: u8) -> Pseudonym {
        Pseudonym::from_keyed_hash([byte; 16])
    }

    #[test]
    fn the_same_key_gives_the_same_citizen() {
        let dir = tempfile::tempdir().unwrap();
        let first = CitizenKey::of(dir.path()).unwrap();
        let again = CitizenKey::of(dir.path()).unwrap();
        let other = CitizenKey::random().unwrap();
        assert_eq!(first.citizen(&pseudonym(1)), again.citizen(&pseudonym(1)));
        assert_ne!(first.citizen(&pseudonym(1)), first.citizen(&pseudonym(2)));
        assert_ne!(first.citizen(&pseudonym(1)), other.citizen(&pseudonym(1)));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_citizen_is_what_rfc_2104_says() {
        let key = CitizenKey(Zeroizing::new([7; KEY_BYTES]));
        let mut inner = [0x36 ^ 7; 64];
        let mut outer = [0x5c ^ 7; 64];
        inner[KEY_BYTES..].fill(0x36);
        outer[KEY_BYTES..].fill(0x5c);
        use sha2::Digest as _;
        let inner = Sha256::digest([&inner[..], CONTEXT, &[1; 16]].concat());
        let hash = Sha256::digest([&outer[..], &inner[..]].concat());
        assert_eq!(key.citizen(&pseudonym(1)).0[..], hash[..16]);
    }

    #[test]
    fn exposed_or_broken_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CITIZEN_KEY_FILE);
        CitizenKey::of(dir.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(CitizenKey::of(dir.path()), Err(CitizenKeyError::Exposed { mode: 0o640, .. })));
        for length in [0, KEY_BYTES - 1, KEY_BYTES + 1] {
            fs::remove_file(&path).unwrap();
            write_new(&path, &vec![7; length]).unwrap();
            assert!(matches!(CitizenKey::of(dir.path()), Err(CitizenKeyError::Malformed { .. })), "{length}");
        }
    }
}
