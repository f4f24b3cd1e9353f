//! A network that loses or refuses packets on their way into the lab.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::lab::Lab;

/// From now on one TCP packet in `one_in` that comes for this port is lost, in turn. It ends with the lab.
///
/// # Errors
/// When nft is not there, or cannot drop packets here.
pub fn lose(lab: &Lab, port: u16, one_in: u32) -> Result<()> {
    arriving(lab, &format!("tcp dport {port} numgen inc mod {one_in} == 0 drop"))
}

/// From now on each TCP packet that comes for this port is answered by a reset.
///
/// # Errors
/// When nft is not there, or cannot refuse packets here.
pub fn reset(lab: &Lab, port: u16) -> Result<()> {
    arriving(lab, &format!("tcp dport {port} reject with tcp reset"))
}

fn arriving(lab: &Lab, rule: &str) -> Result<()> {
    let rules = format!(
        "table inet lab {{
            chain arriving {{
                type filter hook input priority 0;
                meta l4proto tcp {rule}
            }}
        }}"
    );
    let file = lab.scratch().write("arriving.nft", rules)?;
    let output = lab.network().inside(|| Command::new("nft").arg("-f").arg(file).output()).context("nft")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
