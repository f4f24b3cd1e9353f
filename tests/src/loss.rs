//! A network that loses packets on their way into the lab.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::lab::Lab;

/// From now on one TCP packet in `one_in` that comes for this port is lost, in turn. It ends with the lab.
///
/// # Errors
/// When nft is not there, or cannot drop packets here.
pub fn lose(lab: &Lab, port: u16, one_in: u32) -> Result<()> {
    let rules = format!(
        "table inet lab {{
            chain arriving {{
                type filter hook input priority 0;
                meta l4proto tcp tcp dport {port} numgen inc mod {one_in} == 0 drop
            }}
        }}"
    );
    let file = lab.scratch().write("drop.nft", rules)?;
    let output = lab.network().inside(|| Command::new("nft").arg("-f").arg(file).output()).context("nft")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
