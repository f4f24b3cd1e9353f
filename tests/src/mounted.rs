//! A file system over a folder, unmounted on drop.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// A mounted file system.
#[derive(Debug)]
pub struct Mounted {
    folder: PathBuf,
}

impl Mounted {
    /// Mounts a file system of this kind over `folder`, with options as mount(8) takes them.
    ///
    /// # Errors
    /// What `mount` says.
    pub fn over(folder: &Path, kind: &str, options: &str) -> Result<Self> {
        let mut mount = Command::new("mount");
        let output = mount.args(["-t", kind, "-o", options, kind]).arg(folder).output();
        let output = output.context("starting mount")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "no {kind} over {}: {}", folder.display(), said.trim());
        Ok(Self { folder: folder.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Unmounts it, unless it is in use.
    ///
    /// # Errors
    /// `umount` cannot be started.
    pub fn leaves(&self) -> Result<bool> {
        let status = Command::new("umount").arg(&self.folder).stderr(Stdio::null()).status();
        Ok(status.context("starting umount")?.success())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: what still has a file open in it ends on its own.
        let mut umount = Command::new("umount");
        let _gone_already = umount.arg("--lazy").arg(&self.folder).stderr(Stdio::null()).status();
    }
}
