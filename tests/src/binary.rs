//! Where the programs under test are.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The program `name`: what the environment `variable` says, or the one built beside the program that runs.
///
/// # Errors
/// When there is none.
pub fn find(variable: &str, name: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let own = std::env::current_exe().context("finding the running program")?;
    let folders = own.ancestors().skip(1).take(2); // PROFILE/deps/TEST or PROFILE/PROGRAM
    let mut candidates = folders.map(|folder| folder.join(name));
    candidates.find(|file| file.is_file()).with_context(|| format!("{name} is not built (cargo xtask build)"))
}
