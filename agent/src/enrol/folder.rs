//! The folder of an enrolment: made whole beside its place, then moved there by one rename.
//!
//! *Invariants*: a crash leaves the old enrolment whole, the new one whole, or none where there was none.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::record::RECORD;
use crate::secret_file;

/// Whether the folder holds an enrolment.
pub fn is_enrolled(dir: &Path) -> bool {
    dir.join(RECORD).exists()
}

/// Puts `files`, names and contents, in the place of whatever is in the folder `dir`.
///
/// # Errors
/// The system refuses; what was there is then still there.
pub fn store(dir: &Path, files: &[(&str, &[u8])]) -> io::Result<()> {
    let new = beside(dir, ".new");
    remove(&new)?;
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    DirBuilder::new().mode(0o700).create(&new)?;
    for (name, content) in files {
        secret_file::create(&new.join(name), content)?;
    }
    put_in_place(&new, dir)?;
    secret_file::sync_parent(dir)?;
    // Only after an exchange is anything left there: the old enrolment.
    remove(&new)
}

/// Renames over nothing or an empty folder; a folder that is in use is exchanged, in one step.
fn put_in_place(new: &Path, dir: &Path) -> io::Result<()> {
    match fs::rename(new, dir) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            renameat2(AT_FDCWD, new, AT_FDCWD, dir, RenameFlags::RENAME_EXCHANGE).map_err(io::Error::from)
        }
        renamed => renamed,
    }
}

fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut path = dir.components().as_path().as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn content(dir: &Path) -> Vec<(String, Vec<u8>)> {
        let read = |entry: io::Result<fs::DirEntry>| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())
        };
        let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(read).collect();
        files.sort();
        files
    }

    const OLD: [(&str, &[u8]); 3] = [("agent.key", b"1"), (RECORD, b"1"), ("stale", b"1")];
    const NEW: [(&str, &[u8]); 2] = [("agent.key", b"2"), (RECORD, b"2")];

    fn owned(files: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
        files.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect()
    }

    #[test]
    fn an_enrolment_is_replaced_as_a_whole() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("lib/enrolment");
        assert!(!is_enrolled(&dir));
        store(&dir, &OLD).unwrap();
        assert_eq!(content(&dir), owned(&OLD));
        assert!(is_enrolled(&dir));
        store(&dir, &NEW).unwrap();
        assert_eq!(content(&dir), owned(&NEW));
        assert_eq!(fs::read_dir(dir.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(fs::metadata(dir.join(RECORD)).unwrap().mode() & 0o7777, 0o600);
    }

    #[test]
    fn a_folder_made_by_a_package_is_taken_over() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("enrolment");
        fs::create_dir(&dir).unwrap();
        store(&dir, &NEW).unwrap();
        assert_eq!(content(&dir), owned(&NEW));
    }

    #[test]
    fn a_failure_on_the_way_leaves_the_old_one_and_its_rest_does_no_harm() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("enrolment");
        store(&dir, &OLD).unwrap();
        let broken: [(&str, &[u8]); 3] = [("agent.key", b"3"), ("no/such/folder", b"3"), (RECORD, b"3")];
        store(&dir, &broken).unwrap_err();
        assert_eq!(content(&dir), owned(&OLD));
        assert_eq!(content(&beside(&dir, ".new")), owned(&broken[..1]));
        store(&dir, &NEW).unwrap();
        assert_eq!(content(&dir), owned(&NEW));
    }
}
