//! What can go wrong while the taps are attached, in words for the person who has to mend it.

use std::{io, path::PathBuf};

/// Why the taps are not in place.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The process may not load or attach programs.
    #[error(
        "{what}: permission denied; run as root, or with the capabilities CAP_SYS_ADMIN, CAP_BPF, CAP_PERFMON, \
         CAP_NET_ADMIN, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH (opening a probe takes CAP_SYS_ADMIN, whatever \
         kernel.perf_event_paranoid says); before Linux 5.11 also without a limit on locked memory \
         (LimitMEMLOCK=infinity)"
    )]
    Privilege {
        /// What was refused.
        what: String,
    },
    /// The kernel refused a program.
    #[error("kernel program {name} was refused: {reason}; `cprvagt doctor` tells what this kernel lacks")]
    Load {
        /// The program.
        name: String,
        /// The kernel's reason, shortened.
        reason: String,
    },
    /// A program could not be attached.
    #[error("kernel program {name} could not be attached to {target}: {reason}")]
    Attach {
        /// The program.
        name: String,
        /// What to.
        target: String,
        /// The kernel's reason.
        reason: String,
    },
    /// A map could not be read or written.
    #[error("kernel map {name}: {reason}")]
    Map {
        /// The map.
        name: &'static str,
        /// The kernel's reason.
        reason: String,
    },
    /// No cgroup v2 hierarchy is mounted.
    #[error("{0}")]
    Cgroup(String),
    /// A file or system call failed.
    #[error("{what}: {error}")]
    Io {
        /// Which.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// A folder could not be opened.
    #[error("{}: {error}", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl CaptureError {
    /// For `map_err`: an error of this map.
    pub(super) fn map<E: std::fmt::Display>(name: &'static str) -> impl Fn(E) -> Self {
        move |error| Self::Map { name, reason: error.to_string() }
    }

    /// For `map_err`: an input or output error of this step.
    pub(super) fn io(what: &str) -> impl Fn(io::Error) -> Self + '_ {
        move |error| match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::Privilege { what: what.to_owned() },
            _ => Self::Io { what: what.to_owned(), error },
        }
    }
}

/// The chain of reasons of an error, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    // The verifier's log can be megabytes; its last lines hold the verdict.
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = lines.len().saturating_sub(6);
    lines[tail..].join(" | ")
}
