//! Connections of this host that the kernel sends to a port of loopback instead, as a service mesh does.

use std::net::IpAddr;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::lab::Lab;

/// What the connections of the one that they are redirected to are marked with.
pub const MARK: u32 = 0x77;

/// The redirection; it ends on drop.
#[derive(Debug)]
pub struct Redirect {
    table: String,
}

impl Redirect {
    /// From now on each new TCP connection to `address` goes to `port` of loopback, unless it carries [`MARK`].
    ///
    /// # Errors
    /// When nft is not there, or the kernel translates no addresses.
    pub fn new(lab: &Lab, address: IpAddr, port: u16) -> Result<Self> {
        let redirect = Self { table: lab.network().host_link().to_owned() };
        let rules = format!(
            "table ip {} {{
                chain leaving {{
                    type nat hook output priority -100;
                    ip daddr {address} meta l4proto tcp meta mark != {MARK} redirect to :{port}
                }}
            }}",
            redirect.table
        );
        let file = lab.scratch().write("redirect.nft", rules)?;
        let output = Command::new("nft").arg("-f").arg(file).output().context("nft")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(redirect)
    }
}

impl Drop for Redirect {
    fn drop(&mut self) {
        let _not_made = Command::new("nft").args(["delete", "table", "ip", &self.table]).output();
    }
}
