//! Packages from PyPI for the tests: programs and libraries that Debian does not have.
//!
//! They are pinned by version and hash in `tests/programs/requirements.txt`. Where they cannot be had, the tests name
//! what they skip.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;

const REQUIREMENTS: &str = "tests/programs/requirements.txt";
/// What was asked for when the folder was filled.
const FILLED: &str = "requirements.txt";

/// Where the packages are.
pub fn folder() -> PathBuf {
    shell::target_folder().join("python")
}

/// Fetches what is not there; says so when it cannot be had.
///
/// # Errors
/// When the list cannot be read, or the folder cannot be written.
pub fn packages() -> Result<()> {
    let file = shell::root().join(REQUIREMENTS);
    let wanted = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let filled = folder().join(FILLED);
    if fs::read_to_string(&filled).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    if folder().exists() {
        fs::remove_dir_all(folder()).with_context(|| format!("removing {}", folder().display()))?;
    }
    let mut pip = Command::new("/usr/bin/python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]);
    pip.args(["--no-compile", "--root-user-action=ignore", "--target"]);
    pip.arg(folder()).arg("--requirement").arg(&file);
    if let Err(error) = shell::run(&mut pip) {
        eprintln!("packages of {REQUIREMENTS} cannot be had, what needs them is not tested: {error:#}");
        return Ok(());
    }
    fs::write(&filled, wanted).with_context(|| format!("writing {}", filled.display()))
}
