//! Where the programs under test are.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// What `cargo xtask test` fetches or builds for tests: what the environment `variable` says, or the folder `name` of
/// the target folder, in which the program that runs was built.
#[must_use]
pub fn made_for_tests(variable: &str, name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let target = own.ancestors().nth(3).map(|target| target.join(name)); // PROFILE/deps/TEST
    std::env::var_os(variable).map(PathBuf::from).or(target).unwrap_or_default()
}

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
