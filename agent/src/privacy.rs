//! Keeping plaintext inside the process: no core dump, no reader of its memory.

use nix::sys::{
    prctl,
    resource::{Resource, setrlimit},
};

/// Forbids core dumps of this process and lets no other user's process attach to it.
///
/// # Errors
/// The kernel refused; the agent must not run then, since a crash would write plaintext to disk.
pub fn forbid_dumps() -> nix::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)
}
