//! This host's own addresses, which are never egress.

use std::collections::HashSet;

use aya::maps::HashMap;
use nix::ifaddrs::getifaddrs;

use super::{address_bytes, error::CaptureError, load::Programs};

/// The addresses that the kernel knows of.
#[derive(Default)]
pub(super) struct LocalAddresses {
    known: HashSet<[u8; 16]>,
}

impl LocalAddresses {
    /// Brings the kernel's list up to date.
    pub(super) fn refresh(&mut self, programs: &mut Programs) -> Result<(), CaptureError> {
        let now = read()?;
        if now == self.known {
            return Ok(());
        }
        let map = programs.map_mut("LOCALS")?;
        let mut locals = HashMap::<_, [u8; 16], u32>::try_from(map).map_err(CaptureError::map("LOCALS"))?;
        for gone in self.known.difference(&now) {
            locals.remove(gone).map_err(CaptureError::map("LOCALS"))?;
        }
        for new in now.difference(&self.known) {
            locals.insert(new, 1, 0).map_err(CaptureError::map("LOCALS"))?;
        }
        self.known = now;
        Ok(())
    }
}

fn read() -> Result<HashSet<[u8; 16]>, CaptureError> {
    let interfaces =
        getifaddrs().map_err(|error| CaptureError::io("list of network addresses")(error.into()))?;
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| address_bytes(v4.ip().into()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| address_bytes(v6.ip().into())))
    });
    Ok(addresses.collect())
}
