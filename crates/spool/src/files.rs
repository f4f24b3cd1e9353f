//! The file system as the spool sees it: a seam, so that tests can inject faults and crashes.
//!
//! *Limits*: one directory, flat; names are the spool's own.
//!
//! *Not here*: any decision.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

/// The name of the lock file.
const LOCK: &str = "lock";

/// A file's name and length.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Listed {
    /// Without its folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// Operations on the files of one directory.
///
/// # Errors
/// Each hands on what the system says.
pub trait Files {
    /// A file open for appending.
    type File;

    /// Takes the exclusive lock and holds it as long as `self` lives; true if the directory was never locked before.
    ///
    /// # Errors
    /// `WouldBlock` if somebody else holds it.
    fn lock(&mut self) -> io::Result<bool>;
    /// All regular files, in any order.
    fn list(&self) -> io::Result<Vec<Listed>>;
    /// At most `bytes_max` bytes from `offset` on; fewer only at the end of the file.
    fn read(&self, name: &str, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>>;
    /// A new empty file; an old one of that name is emptied.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Writes all bytes at the end; after an error any part of them may have been written.
    fn append(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync(&self, file: &mut Self::File) -> io::Result<()>;
    /// Renames; replaces a file of that name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Cuts a file off and makes that durable.
    fn truncate(&self, name: &str, bytes: u64) -> io::Result<()>;
    /// Makes creation, renaming and removal durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Bytes that may still be written to the file system.
    fn free(&self) -> io::Result<u64>;
}

/// A real directory.
pub struct Disk {
    dir: PathBuf,
    lock: Option<File>,
}

impl Disk {
    /// The directory, made with mode 0700 if it is not there.
    ///
    /// # Errors
    /// It cannot be made, or is not this user's to open.
    pub fn new(dir: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        Ok(Self::existing(dir))
    }

    /// The directory as it is, to look at.
    pub fn existing(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), lock: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// The lock is given up with the directory, not when the last copy of its descriptor is closed: a child of this
/// process has one until it runs its own program.
impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            let _closing_does_the_same = rustix::fs::flock(lock, FlockOperation::Unlock);
        }
    }
}

impl Files for Disk {
    type File = File;

    fn lock(&mut self) -> io::Result<bool> {
        let path = self.path(LOCK);
        let is_new = !path.exists();
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        self.lock = Some(file);
        Ok(is_new)
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                listed.push(Listed { name, bytes: metadata.len() });
            }
        }
        Ok(listed)
    }

    fn read(&self, name: &str, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.path(name))?;
        let there = file.metadata()?.len().saturating_sub(offset);
        let mut bytes = vec![0; bytes_max.min(usize::try_from(there).unwrap_or(usize::MAX))];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(true).mode(0o600).open(self.path(name))
    }

    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &mut File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn truncate(&self, name: &str, bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path(name))?;
        file.set_len(bytes)?;
        file.sync_data()
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn free(&self) -> io::Result<u64> {
        let statistics = rustix::fs::statvfs(&self.dir)?;
        Ok(statistics.f_bavail.saturating_mul(statistics.f_frsize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_was_let_go_is_free_although_a_child_still_has_its_lock() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(dir.path()).unwrap();
        assert!(disk.lock().unwrap());
        let childs = disk.lock.as_ref().unwrap().try_clone().unwrap();
        assert!(Disk::existing(dir.path()).lock().is_err(), "it is in use");
        drop(disk);
        assert!(!Disk::existing(dir.path()).lock().unwrap());
        drop(childs);
    }
}
