//! A private directory that ends with its owner, and the names by which left-overs are known.
//!
//! *Invariants*: readable by its owner alone; its name carries the process id, so that what a killed
//! run left behind can be told from what a living one uses.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

static SEQUENCE: AtomicU32 = AtomicU32::new(0);

/// What a lab calls its own things: `cpr<pid>n<sequence>`, at most 12 bytes for the pids Linux hands out
/// to the first hundred labs of a process, so that one letter more still is a valid interface name.
#[must_use]
pub fn unique_name() -> String {
    format!("cpr{}n{}", std::process::id(), SEQUENCE.fetch_add(1, Ordering::Relaxed))
}

/// The process id in a name made by [`unique_name`] (whatever follows it), or nothing.
#[must_use]
pub fn owner_of(name: &str) -> Option<u32> {
    let (pid, rest) = name.strip_prefix("cpr")?.split_once('n')?;
    let numbered = rest.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    if numbered { pid.parse().ok() } else { None }
}

/// True when `name` was made by [`unique_name`] in a process that lives no more.
#[must_use]
pub fn is_stale(name: &str) -> bool {
    owner_of(name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// A directory of mode 0700, removed with all its content on drop.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes the directory under the system's temporary directory.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file of mode 0600 and returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(content.as_ref()))
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone_already = fs::remove_dir_all(&self.path);
    }
}

/// Removes the directories that killed runs left: they may hold numbers in readable form.
pub fn remove_stale() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(is_stale) {
            let _another_run_was_faster = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Above the largest process id that Linux can hand out (2^22).
    const DEAD: u32 = 4_999_999;

    #[test]
    fn names_tell_their_owner() {
        let cases = [
            ("cpr12n0", Some(12)),
            ("cpr12n3h", Some(12)),
            ("cpr12", None),
            ("cprn1", None),
            ("cpr12nx", None),
        ];
        for (name, owner) in cases {
            assert_eq!(owner_of(name), owner, "{name}");
        }
        assert!(!is_stale(&unique_name()), "we are alive");
        assert!(is_stale(&format!("cpr{DEAD}n0h")));
    }

    #[test]
    fn a_scratch_ends_with_its_owner_and_stale_ones_are_removed() {
        let scratch = Scratch::new(&unique_name()).unwrap();
        let path = scratch.write("jobs", "x").unwrap();
        assert!(path.exists());
        let stale = std::env::temp_dir().join(format!("cpr{DEAD}n7"));
        fs::create_dir_all(&stale).unwrap();
        remove_stale();
        assert!(path.exists() && !stale.exists());
        let folder = scratch.path().to_owned();
        drop(scratch);
        assert!(!folder.exists());
    }
}
