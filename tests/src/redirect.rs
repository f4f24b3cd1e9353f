//! Connections of this host that the kernel sends elsewhere than they ask: to a port of loopback, as a service mesh does,
//! or to another address, as the service addresses of Kubernetes do.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::lab::Lab;
use crate::scratch::unique_name;

/// What the connections of the one that they are redirected to are marked with.
pub const MARK: u32 = 0x77;

/// The redirection; it ends on drop.
#[derive(Debug)]
pub struct Redirect {
    family: &'static str,
    table: String,
}

impl Redirect {
    /// From now on each new TCP connection to `address` goes to `port` of loopback, unless it carries [`MARK`].
    ///
    /// # Errors
    /// When nft is not there, or the kernel translates no addresses.
    pub fn to_loopback(lab: &Lab, address: IpAddr, port: u16) -> Result<Self> {
        let rule = format!("meta l4proto tcp meta mark != {MARK} redirect to :{port}");
        Self::new(lab, address, &rule)
    }

    /// From now on each new TCP connection to `from` goes to `to`.
    ///
    /// # Errors
    /// As [`Self::to_loopback`].
    pub fn to(lab: &Lab, from: SocketAddr, to: SocketAddr) -> Result<Self> {
        Self::new(lab, from.ip(), &format!("tcp dport {} dnat to {to}", from.port()))
    }

    fn new(lab: &Lab, address: IpAddr, rule: &str) -> Result<Self> {
        let family = if address.is_ipv4() { "ip" } else { "ip6" };
        let redirect = Self { family, table: unique_name() };
        let rules = format!(
            "table {family} {} {{
                chain leaving {{
                    type nat hook output priority -100;
                    {family} daddr {address} {rule}
                }}
            }}",
            redirect.table
        );
        let file = lab.scratch().write(&format!("{}.nft", redirect.table), rules)?;
        let output = Command::new("nft").arg("-f").arg(file).output().context("nft")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(redirect)
    }
}

impl Drop for Redirect {
    fn drop(&mut self) {
        let _not_made = Command::new("nft").args(["delete", "table", self.family, &self.table]).output();
    }
}
