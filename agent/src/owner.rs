//! Whose the agent's files are: what root runs beside the daemon leaves files that the daemon can read.
//!
//! *Invariants*: only ever from root to the owner of a folder, for good.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};

/// Where root runs this process: becomes the owner of the folder, or of the nearest one above that there is. A packaged
/// daemon has a user of its own, and could use neither a certificate nor a spool of root's.
///
/// # Errors
/// The system refuses.
pub fn become_owner_of(folder: &Path) -> io::Result<()> {
    let owner = folder.ancestors().find_map(|folder| fs::metadata(folder).ok());
    let Some(owner) = owner.filter(|owner| geteuid().is_root() && owner.uid() != 0) else { return Ok(()) };
    let (user, group) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    setgroups(&[])?;
    setresgid(group, group, group)?;
    Ok(setresuid(user, user, user)?)
}
