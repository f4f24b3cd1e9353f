//! Which machine this is.

use std::fs;

use cprvagt_report::{Host, HostId};
use sha2::{Digest as _, Sha256};

use crate::scrub::Scrubber;

/// Where systemd keeps the machine's identity (machine-id(5)), which must not leave the machine itself.
const MACHINE_ID: &str = "/etc/machine-id";
/// What the identity is hashed with, so that it differs from that of other programs.
const PURPOSE: &[u8] = b"cprvagt/host/1\0";

/// This machine's name, and an identity that other machines of the same name do not share.
pub fn this_host(scrubber: &Scrubber) -> Host {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let name = name.to_string_lossy();
    let machine_id = fs::read_to_string(MACHINE_ID).unwrap_or_default();
    let seed = if machine_id.trim().is_empty() { name.as_ref() } else { machine_id.trim() };
    let hash = Sha256::new().chain_update(PURPOSE).chain_update(seed).finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    Host { name: scrubber.name(name.as_bytes()), id: HostId::new(id) }
}
