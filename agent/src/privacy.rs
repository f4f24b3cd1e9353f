//! Keeping plaintext inside the process: no core dump, no reader of its memory, no word of it in a panic.

use nix::sys::{
    prctl,
    resource::{Resource, setrlimit},
};

/// Forbids core dumps of this process, lets no other user's process attach to it, and lets a panic tell only where
/// it was: its message may quote what it stumbled over. A change of user takes it back: call it again then.
///
/// # Errors
/// The kernel refused; the agent must not run then, since a crash would write plaintext to disk.
pub fn forbid_dumps() -> nix::Result<()> {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!("a panic at {place}");
    }));
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)
}
