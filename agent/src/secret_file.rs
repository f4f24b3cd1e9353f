//! Small files that only their owner may read, and writing files so that a crash leaves the old or the new.
//!
//! *Invariants*: what is read is zeroed when dropped. A file is on the disk, and its name with it, when the
//! call that writes it returns.
//! *Limits*: [`FILE_BYTES_MAX`] bytes a file.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Largest file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 64 << 10;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It cannot be read.
    #[error("{path}: {cause}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Others can read it, or somebody else can replace it.
    #[error(
        "{path}: mode {mode:04o}, owner {owner}: it must belong to root or to the agent's user, and no one \
         else may read it; run: chmod 600 {path}", path = path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its owner's user id.
        owner: u32,
    },
}

/// The text of a file that only its owner may read.
///
/// # Errors
/// It cannot be read, is exposed, is larger than [`FILE_BYTES_MAX`], or is not UTF-8.
pub fn read(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    let unreadable = |cause| SecretFileError::Unreadable { path: path.to_owned(), cause };
    let (file, meta) = open(path)?;
    if meta.len() > FILE_BYTES_MAX {
        let cause = io::Error::other(format!("{} bytes; the most is {FILE_BYTES_MAX}", meta.len()));
        return Err(unreadable(cause));
    }
    // Room for all of it at once, so that no reallocation leaves a copy.
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX as usize + 1));
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// A file that only its owner may read, opened.
///
/// # Errors
/// It cannot be opened, or is exposed.
pub fn open(path: &Path) -> Result<(File, Metadata), SecretFileError> {
    let unreadable = |cause| SecretFileError::Unreadable { path: path.to_owned(), cause };
    let file = File::open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    let (mode, owner) = (meta.mode() & 0o7777, meta.uid());
    let is_ours = owner == 0 || owner == nix::unistd::geteuid().as_raw();
    if mode & 0o077 != 0 || !is_ours {
        return Err(SecretFileError::Exposed { path: path.to_owned(), mode, owner });
    }
    Ok((file, meta))
}

/// Makes the file at `path`, readable by its owner alone; never over another.
///
/// # Errors
/// It is there already, or cannot be written.
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()?;
    sync_parent(path)
}

/// Puts `content` in place of what the file at `path` holds; a crash leaves the old or the new.
///
/// # Errors
/// It cannot be written; the old content is then still there.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    if let Err(error) = std::fs::remove_file(&temporary)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    create(&temporary, content)?;
    rename(&temporary, path)
}

/// Renames a file in its folder, durably.
///
/// # Errors
/// The system refuses.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    sync_parent(to)
}

/// Puts the names in the folder of `path` on the disk.
///
/// # Errors
/// The system refuses.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_file_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        create(&path, b"one").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(create(&path, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(&**read(&path).unwrap(), "one");
    }

    #[test]
    fn replacing_leaves_nothing_behind_and_survives_a_leftover() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(dir.path().join("secret.tmp"), "of a crash").unwrap();
        for content in ["one", "two"] {
            replace(&path, content.as_bytes()).unwrap();
            assert_eq!((&**read(&path).unwrap(), mode(&path)), (content, 0o600));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn exposed_large_and_missing_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert!(matches!(read(&path), Err(SecretFileError::Unreadable { .. })));
        fs::write(&path, "x").unwrap();
        for wrong in [0o640, 0o604, 0o644, 0o666, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(wrong)).unwrap();
            assert!(matches!(read(&path), Err(SecretFileError::Exposed { .. })), "{wrong:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read(&path).is_ok());
        fs::write(&path, vec![b'x'; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("the most is"));
    }
}
