//! Why the spool refuses or fails.

use std::io;

use crate::format::PAYLOAD_BYTES_MAX;
use crate::pending::PENDING_BYTES_MAX;
use crate::spool::Position;

/// Why something could not be done; what was appended stays in memory, and every call may be made again.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process holds the spool.
    #[error("the spool is in use by another process")]
    Busy,
    /// No room on the disk, or over the quota.
    #[error("{doing} {name}: the disk is full")]
    Full {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        name: String,
    },
    /// More than [`PENDING_BYTES_MAX`] wait for a commit.
    #[error("more than {PENDING_BYTES_MAX} bytes wait to be written")]
    Backlog,
    /// A payload longer than [`PAYLOAD_BYTES_MAX`].
    #[error("a payload of {0} bytes; the longest is {PAYLOAD_BYTES_MAX}")]
    TooLarge(usize),
    /// A file of another version.
    #[error(
        "{name} has format version {found}, which this version does not read; use the version that wrote it, \
         or move the file away"
    )]
    Version {
        /// The file.
        name: String,
        /// Its version.
        found: u16,
    },
    /// An acknowledgement of what was never committed.
    #[error("{0} was never committed")]
    NotStored(Position),
    /// The system refused.
    #[error("{doing} {name}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        name: String,
        /// What the system says.
        source: io::Error,
    },
}

impl SpoolError {
    pub(crate) fn io(doing: &'static str, name: &str) -> impl FnOnce(io::Error) -> Self + use<> {
        let name = name.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { doing, name },
            _ => Self::Io { doing, name, source },
        }
    }

    /// True if room on the disk would mend it.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}

/// True for errors of the medium: the data is gone. Other errors may pass.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let damage = [Errno::IO, Errno::UCLEAN, Errno::BADMSG];
    Errno::from_io_error(error).is_some_and(|errno| damage.contains(&errno))
}
