//! A disk that can be filled: a small tmpfs over a folder, gone on drop.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::Result;

use crate::mounted::Mounted;

/// The file that takes all the room.
const FILLING: &str = "filling";

/// A mounted tmpfs; unmounted on drop.
#[derive(Debug)]
pub struct SmallDisk {
    mounted: Mounted,
}

impl SmallDisk {
    /// Mounts `kibibytes` over `folder`, which is made and is its owner's alone; what is in it stays.
    ///
    /// # Errors
    /// Without root.
    pub fn over(folder: &Path, kibibytes: u32) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let kept = crate::plaintext::files_below(&[folder])?;
        let options = format!("size={kibibytes}k,mode=0700");
        let disk = Self { mounted: Mounted::over(folder, "tmpfs", &options)? };
        for (path, content) in kept {
            use std::os::unix::fs::OpenOptionsExt as _;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(&content)?;
        }
        Ok(disk)
    }

    /// Takes all the room there is.
    ///
    /// # Errors
    /// For another reason than a full disk.
    pub fn fill(&self) -> Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).open(self.mounted.folder().join(FILLING))?;
        let mut bytes = vec![0x5a; 4096];
        while !bytes.is_empty() {
            match file.write(&bytes) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => bytes.truncate(bytes.len() / 2),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When it was not taken.
    pub fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.mounted.folder().join(FILLING))?)
    }
}
