//! The collector's own folder: who may use it, one collector at a time, and the secrets in it.
//!
//! *Invariants*: folder 0700 and files 0600, of one owner; a secret that others could read is refused. A secret
//! is there whole or not at all, and is never overwritten.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::geteuid;
use uuid::Uuid;
use zeroize::Zeroizing;

/// File that is locked while a collector serves.
const LOCK: &str = "lock";
/// Largest secret, in bytes.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It belongs to another user.
    #[error("{path}: belongs to user id {owner}; run the command as that user: sudo -u '#{owner}' ...", path = path.display())]
    NotOwner {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others may write into the folder, or read a secret in it.
    #[error("{path}: other users have access to it; take it away: chmod go= {path}", path = path.display())]
    Open {
        /// Folder or file.
        path: PathBuf,
    },
    /// Another collector serves from it.
    #[error("{path}: another collector is running on this folder", path = path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{path}: {cause}", path = path.display())]
    System {
        /// Folder or file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
}

/// The folder, ready for use.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
}

/// Held by the one collector that serves; let go when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

impl DataDir {
    /// The folder at `path`, made if it is not there.
    ///
    /// # Errors
    /// It is another user's, open to others, or cannot be made.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(system(path))?;
        let metadata = fs::metadata(path).map_err(system(path))?;
        if metadata.uid() != geteuid().as_raw() {
            return Err(DataError::NotOwner { path: path.to_owned(), owner: metadata.uid() });
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(DataError::Open { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps other collectors from serving from it.
    ///
    /// # Errors
    /// One does already.
    pub fn lock(&self) -> Result<Lock, DataError> {
        let path = self.path.join(LOCK);
        let options = || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = options().map_err(system(&path))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(Lock { _file: file }),
            Err((_, nix::Error::EWOULDBLOCK)) => Err(DataError::Busy { path: self.path.clone() }),
            Err((_, error)) => Err(system(&path)(error.into())),
        }
    }

    /// The text of the secret `name`, which is what `make` returns if the file is not there. Of two that make
    /// it at once, both get the same.
    ///
    /// # Errors
    /// Others may read it, or it cannot be read or made.
    pub fn secret(
        &self,
        name: &str,
        make: impl FnOnce() -> Zeroizing<String>,
    ) -> Result<Zeroizing<String>, DataError> {
        let path = self.path.join(name);
        match read(&path) {
            Err(DataError::System { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                self.keep(&path, &make()).map_err(system(&path))?;
                read(&path)
            }
            found => found,
        }
    }

    /// Writes `text` to `path` unless that exists. A link, unlike a rename, replaces nothing.
    fn keep(&self, path: &Path, text: &str) -> io::Result<()> {
        let draft = self.path.join(format!(".{}", Uuid::now_v7()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        let linked = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::hard_link(&draft, path));
        fs::remove_file(&draft)?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked.and_then(|()| File::open(&self.path)?.sync_all()),
        }
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, DataError> {
    let flags = OFlag::O_NOFOLLOW.bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(system(path))?;
    let metadata = file.metadata().map_err(system(path))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(DataError::Open { path: path.to_owned() });
    }
    // Room for all, so that growing leaves no copies behind.
    let mut text = Zeroizing::new(String::with_capacity(metadata.len().min(SECRET_BYTES_MAX) as usize + 1));
    file.take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(system(path))?;
    Ok(text)
}

fn system(path: &Path) -> impl Fn(io::Error) -> DataError + use<> {
    let path = path.to_owned();
    move |cause| DataError::System { path: path.clone(), cause }
}

impl DataError {
    /// Whether more privileges would help.
    pub fn needs_privilege(&self) -> bool {
        match self {
            Self::NotOwner { .. } => true,
            Self::System { cause, .. } => cause.kind() == io::ErrorKind::PermissionDenied,
            Self::Open { .. } | Self::Busy { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn text(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    fn allow(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_secret_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("a/b")).unwrap();
        assert_eq!(*data.secret("key", || text("one")).unwrap(), "one");
        assert_eq!(*data.secret("key", || text("two")).unwrap(), "one");
        let path = data.path().join("key");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(data.path()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);
        data.keep(&path, "three").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        allow(&path, 0o640);
        assert!(matches!(data.secret("key", || text("two")), Err(DataError::Open { .. })));
    }

    #[test]
    fn a_link_is_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("data")).unwrap();
        std::os::unix::fs::symlink("/dev/null", data.path().join("key")).unwrap();
        assert!(data.secret("key", || text("one")).is_err());
    }

    #[test]
    fn a_folder_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        allow(dir.path(), 0o755);
        assert!(matches!(DataDir::open(dir.path()), Err(DataError::Open { .. })));
    }

    #[test]
    fn one_collector_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("data")).unwrap();
        let lock = data.lock().unwrap();
        assert!(matches!(data.lock(), Err(DataError::Busy { .. })));
        drop(lock);
        assert!(data.lock().is_ok());
    }
}
