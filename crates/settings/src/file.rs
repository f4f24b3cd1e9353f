//! A settings file: read, parsed, or every problem told.

use std::io;
use std::path::{Path, PathBuf};

use crate::Place;

/// Largest settings file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("config: {path}: {cause}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The file is not valid; one problem a line.
    #[error("{}", problems.iter().map(|it| format!("config: {}:{it}", path.display())).collect::<Vec<_>>().join("\n"))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Every problem, in the order of the file. Never empty.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{at}: {what}")]
pub struct Problem {
    /// Where.
    pub at: Place,
    /// What is wrong and what would be right.
    pub what: String,
}

impl SettingsError {
    /// Whether the file is simply not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    }
}

/// What `parse` makes of the file at `path`.
///
/// # Errors
/// The file is missing, unreadable, larger than 16 MiB, or not valid as a whole.
pub fn load<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, Vec<Problem>>) -> Result<T, SettingsError> {
    let unreadable = |cause| SettingsError::Unreadable { path: path.to_owned(), cause };
    let text = read(path).map_err(unreadable)?;
    parse(&text).map_err(|problems| SettingsError::Invalid { path: path.to_owned(), problems })
}

/// What `parse` makes of the file that was named, else of the one at `default`, else the built-in defaults. With it
/// comes the file that was read, `None` for the built-in defaults.
///
/// # Errors
/// As [`load`]; only a missing *default* file is none.
pub fn find<T: Default>(
    named: Option<&Path>,
    default: &Path,
    parse: impl FnOnce(&str) -> Result<T, Vec<Problem>>,
) -> Result<(T, Option<PathBuf>), SettingsError> {
    let path = named.unwrap_or(default);
    match load(path, parse) {
        Err(error) if named.is_none() && error.is_missing() => Ok((T::default(), None)),
        loaded => Ok((loaded?, Some(path.to_owned()))),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let bytes = std::fs::metadata(path)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("{bytes} bytes; the most is {FILE_BYTES_MAX}")));
    }
    std::fs::read_to_string(path)
}
