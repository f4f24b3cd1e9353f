//! Vectorscan for the comparison: its package refuses to be installed beside Hyperscan's, so it is unpacked below the
//! target folder and loaded from there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;

const PACKAGE: &str = "libvectorscan5";

/// The file of its library. Where the package cannot be had that is said, and there is none.
pub fn library() -> Option<PathBuf> {
    let folder = shell::target_folder().join("vectorscan");
    let file = folder.join(format!("usr/lib/{}-linux-gnu/libhs.so.5", std::env::consts::ARCH));
    if !file.is_file() {
        let outcome = unpack(&folder).inspect_err(|error| eprintln!("{PACKAGE} cannot be had: {error:#}"));
        outcome.ok()?;
    }
    Some(file).filter(|file| file.is_file())
}

fn unpack(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    shell::run(Command::new("apt-get").args(["download", PACKAGE]).current_dir(folder))?;
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            shell::run(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(folder))?;
        }
    }
    Ok(())
}
