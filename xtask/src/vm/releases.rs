//! OpenSSL of other releases of Debian, for the tests: its program and what that is linked to, unpacked.
//!
//! Where an archive cannot be reached the tests name what they skip.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::apt::Packages;
use super::archive::Archive;
use super::cache::Cache;
use crate::shell;

/// What a test calls it, the release that has it, and its packages: of a release newer than the oldest that we run on
/// also the C library.
const RELEASES: [(&str, &str, &[&str]); 2] = [
    ("1.1", "bullseye-security", &["openssl", "libssl1.1"]),
    ("3.5", "trixie", &["openssl", "libssl3t64", "libc6", "libzstd1", "zlib1g"]),
];

/// Where they are, a folder each.
pub fn folder() -> PathBuf {
    shell::target_folder().join("openssl")
}

/// Unpacks what is not there; says so when it cannot be had.
///
/// # Errors
/// When this machine's own folders cannot be written.
pub fn unpack() -> Result<()> {
    for (name, suite, packages) in RELEASES {
        let place = folder().join(name);
        if place.exists() {
            continue;
        }
        let parts = folder().join(format!("{name}.new"));
        fs::create_dir_all(&parts).with_context(|| format!("making {}", parts.display()))?;
        match fetch(suite, packages, &parts) {
            Ok(()) => fs::rename(&parts, &place).with_context(|| format!("making {}", place.display()))?,
            Err(error) => eprintln!("OpenSSL {name} of {suite} cannot be had, it is not tested: {error:#}"),
        }
    }
    Ok(())
}

fn fetch(suite: &str, packages: &[&str], place: &std::path::Path) -> Result<()> {
    let (cache, archive) = (Cache::open()?, Archive::of_this_machine()?);
    let packages: Vec<String> = packages.iter().map(|it| (*it).to_owned()).collect();
    Packages::of(&cache, &archive, &[suite], false)?.unpack(&packages, place)
}
