//! Whose a flow is and where it goes: as the kernel told it, with its process and the name of its ClientHello.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use cprvagt_abi::{Flow, Role};
use cprvagt_report::Scrubbed;

use crate::{fields::Origin, process::ProcessFacts};

/// Bytes of one flow that are believed: a petabyte. Sums of them stay far from the end of 64 bits.
const FLOW_BYTES_MAX: u64 = 1 << 50;

/// See the module.
pub struct Identity {
    /// As the kernel told it last.
    pub kernel: Flow,
    /// Who opened it, as far as known.
    pub process: Option<Arc<ProcessFacts>>,
    /// The name that a ClientHello asked for.
    pub server_name: Option<Scrubbed>,
    /// Whether its ClientHello may hide another one, with another name.
    pub may_hide_its_name: bool,
}

impl Identity {
    /// As it is told first.
    pub fn new(kernel: Flow, process: Option<Arc<ProcessFacts>>) -> Self {
        Self { kernel: believable(kernel), process, server_name: None, may_hide_its_name: false }
    }

    /// Takes what the kernel tells of the flow once more. Totals only grow, so what was told later but counted
    /// earlier changes nothing.
    pub fn count_at_least(&mut self, wire_bytes: u64, lost_bytes: u64) {
        self.kernel.wire_bytes = self.kernel.wire_bytes.max(wire_bytes.min(FLOW_BYTES_MAX));
        self.kernel.lost_bytes = self.kernel.lost_bytes.max(lost_bytes.min(FLOW_BYTES_MAX));
    }

    /// The far end.
    pub fn remote(&self) -> SocketAddr {
        address(self.kernel.remote, self.kernel.remote_port)
    }

    /// What the program's socket is connected to, where the host has translated that to another far end.
    pub fn asked(&self) -> Option<SocketAddr> {
        let asked = address(self.kernel.asked, self.kernel.asked_port);
        Some(asked).filter(|asked| asked.port() != 0 && *asked != self.remote())
    }

    /// Which end this host is.
    pub const fn role(&self) -> Role {
        match self.kernel.owner.role {
            role if role == Role::Server as u32 => Role::Server,
            role if role == Role::Client as u32 => Role::Client,
            _ => Role::Unknown,
        }
    }

    /// Who sends on the flow, and to whom.
    pub fn origin(&self) -> Origin<'_> {
        Origin {
            process: self.process.as_deref(),
            comm: self.kernel.owner.comm,
            is_server: matches!(self.role(), Role::Server),
            server_name: self.server_name.as_ref(),
            remote: Some(self.remote()),
        }
    }
}

fn address(octets: [u8; 16], port: u32) -> SocketAddr {
    let ip = IpAddr::V6(Ipv6Addr::from(octets)).to_canonical();
    SocketAddr::new(ip, u16::try_from(port).unwrap_or(0))
}

/// The flow with counts that can be added up.
pub fn believable(mut kernel: Flow) -> Flow {
    for bytes in [&mut kernel.wire_bytes, &mut kernel.lost_bytes, &mut kernel.blind_bytes] {
        *bytes = (*bytes).min(FLOW_BYTES_MAX);
    }
    kernel
}
