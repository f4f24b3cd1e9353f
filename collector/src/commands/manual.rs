//! `manual`: man pages and shell completions, written out of the command line's own definition, for packages.
//!
//! The program that is shipped writes its own pages, so they cannot tell of another version.

use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Failure;
use crate::cli::Cli;

/// The shells that there are completions for.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Fish, Shell::Zsh];

/// Writes a man page for the program and for each command that is not hidden, and a completion for each shell, into
/// the folder, which is made.
///
/// # Errors
/// It cannot be written.
pub fn write(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder)?;
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut command, &name, folder)?;
    }
    // A fresh one: completions have put a command "help" into the other, which would have a page for each command.
    Ok(clap_mangen::generate_to(Cli::command(), folder)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_a_page_and_what_is_hidden_has_none() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        for name in ["cprvagt-collector.1", "cprvagt-collector-account-add.1", "_cprvagt-collector"] {
            assert!(folder.path().join(name).is_file(), "{name}");
        }
        for name in ["cprvagt-collector-manual.1", "cprvagt-collector-help.1"] {
            assert!(!folder.path().join(name).exists(), "{name}");
        }
    }
}
