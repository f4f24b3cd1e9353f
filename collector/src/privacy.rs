//! Keeping what the collector opens inside the process: no core dump, no file that others can read.
//!
//! *Invariants*: called before any key is read or any file made.

use nix::sys::{
    prctl,
    resource::{Resource, setrlimit},
    stat::{Mode, umask},
};

/// The system refused what keeps memory and files private.
#[derive(Debug, thiserror::Error)]
#[error("core dumps cannot be forbidden: {0}")]
pub struct NotPrivate(#[from] nix::Error);

/// Forbids core dumps, lets no other user's process attach, makes new files the owner's alone, and lets a
/// panic tell only where it was: its message may quote what it stumbled over.
///
/// # Errors
/// The kernel refused; the collector must not run then, since a crash would write keys to disk.
pub fn close_up() -> Result<(), NotPrivate> {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!("a panic at {place}");
    }));
    umask(Mode::from_bits_truncate(0o077));
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)?;
    Ok(())
}
