//! `manual`: man pages and shell completions, written out of the command line's own definition, for packages.
//!
//! The program that is shipped writes its own pages, so they cannot tell of another version.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::{Cli, Exit, Exits};

/// The shells that there are completions for.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Fish, Shell::Zsh];

/// A page could not be written.
#[derive(Debug, thiserror::Error)]
#[error("manual: {0}")]
pub struct ManualError(#[from] io::Error);

impl Exits for ManualError {
    fn exit(&self) -> Exit {
        Exit::Failure
    }
}

/// Writes a man page for the program and for each command that is not hidden, and a completion for each shell, into
/// the folder, which is made.
///
/// # Errors
/// It cannot be written.
pub fn write(folder: &Path) -> Result<(), ManualError> {
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
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_shown_has_a_page_and_what_is_hidden_has_none() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let files = fs::read_dir(folder.path()).unwrap().flatten().map(|file| file.file_name());
        let names: BTreeSet<String> = files.map(|name| name.into_string().unwrap()).collect();
        for name in ["cprvagt.1", "cprvagt-run.1", "cprvagt-spool-flush.1", "cprvagt.bash", "_cprvagt"] {
            assert!(names.contains(name), "{name} is not among {names:?}");
        }
        for word in ["part", "manual", "help"] {
            assert!(!names.iter().any(|name| name.contains(word)), "{word} is in {names:?}");
        }
        let page = fs::read_to_string(folder.path().join("cprvagt-watch.1")).unwrap();
        assert!(page.contains("leaks.jsonl"), "the examples are in the page");
    }
}
