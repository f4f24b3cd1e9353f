//! Whether this machine can run a test that needs root, the lab or a program, said in one form.
//!
//! A test that cannot run prints `skipped: NAME: reason` and returns; `cargo xtask test` collects these.

use std::path::PathBuf;

/// What a live test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need<'name> {
    /// Effective user id 0.
    Root,
    /// A program on PATH.
    Program(&'name str),
    /// The built agent (see [`crate::agent::binary`]).
    Agent,
    /// The built collector (see [`crate::collector::binary`]).
    Collector,
}

/// True when all needs are met; otherwise prints why `test` is skipped.
///
/// Set `CPRVAGT_NO_SKIP=1` to make a missing need a failure instead.
///
/// # Panics
/// Under `CPRVAGT_NO_SKIP`, when a need is not met.
#[must_use]
pub fn can_run(test: &str, needs: &[Need<'_>]) -> bool {
    let Some(reason) = needs.iter().find_map(missing) else { return true };
    assert!(std::env::var_os("CPRVAGT_NO_SKIP").is_none(), "{test} cannot run: {reason}");
    println!("skipped: {test}: {reason}");
    false
}

/// Where `program` is on PATH.
#[must_use]
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn missing(need: &Need<'_>) -> Option<String> {
    match need {
        Need::Root => (!nix::unistd::geteuid().is_root()).then(|| "needs root".to_owned()),
        Need::Program(name) => which(name).is_none().then(|| format!("{name} is not installed")),
        Need::Agent => crate::agent::binary().err().map(|error| error.to_string()),
        Need::Collector => crate::collector::binary().err().map(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named() {
        assert!(missing(&Need::Program("sh")).is_none());
        let reason = missing(&Need::Program("no-such-program")).expect("it is missing");
        assert!(reason.contains("no-such-program"));
    }
}
