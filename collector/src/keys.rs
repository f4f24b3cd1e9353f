//! Whether the collector's own keys are still those under which its database was filled.
//!
//! A key made anew in place of a lost one would count every citizen twice, set aside what agents hold, or be
//! believed by no agent. So the database keeps a mark of each.
//!
//! *Invariants*: no key is made whose mark the database has. A mark comes from a public half or a keyed hash, and
//! tells nothing of the key.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::data_dir::DataDir;
use crate::store::{Store, StoreError};

/// Keeps these hashes apart from others.
const CONTEXT: &[u8] = b"cprvagt/key-mark/1\0";

/// What tells a key from another one.
pub type Mark = [u8; 8];

/// A key is not the one that it was.
#[derive(Debug, thiserror::Error)]
pub enum LostKey {
    /// Its file is gone.
    #[error("{path}: is gone, and the database needs that very file; restore it from a backup", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Its file holds another one.
    #[error("{path}: is not the one that the database was filled with; restore that from a backup", path = path.display())]
    Other {
        /// The file.
        path: PathBuf,
    },
}

/// The mark of something public.
///
/// # Panics
/// Never.
pub fn mark(public: &[u8]) -> Mark {
    let hash = Sha256::new_with_prefix(CONTEXT).chain_update(public).finalize();
    *hash.first_chunk().expect("the hash has 32 bytes")
}

/// What `load` reads from `files`, or makes there while `store` has no mark of them; `marks` are theirs.
///
/// # Errors
/// A file is gone or holds another key; it cannot be loaded; the database fails.
pub async fn kept<T, E, const N: usize>(
    store: &Store,
    data: &DataDir,
    files: [&'static str; N],
    load: impl FnOnce() -> Result<T, E>,
    marks: impl FnOnce(&T) -> [Mark; N],
) -> Result<T, E>
where
    E: From<LostKey> + From<StoreError>,
{
    for file in files {
        let path = data.path().join(file);
        if matches!(path.try_exists(), Ok(false)) && store.has_mark(file).await? {
            return Err(LostKey::Missing { path }.into());
        }
    }
    let key = load()?;
    for (file, mark) in files.into_iter().zip(marks(&key)) {
        if !store.keep_mark(file, mark).await? {
            return Err(LostKey::Other { path: data.path().join(file) }.into());
        }
    }
    Ok(key)
}
