//! What the kernel tells of a flow: its far end, who sends on it, and counts that can be added up.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use cprvagt_abi::{Flow, Role};
use cprvagt_report::Scrubbed;

use crate::{fields::Origin, process::ProcessFacts};

/// Bytes of one flow that are believed: a petabyte. Sums of them stay far from the end of 64 bits.
pub const FLOW_BYTES_MAX: u64 = 1 << 50;

/// The far end.
pub fn remote(kernel: &Flow) -> SocketAddr {
    let ip = IpAddr::V6(Ipv6Addr::from(kernel.remote)).to_canonical();
    SocketAddr::new(ip, u16::try_from(kernel.remote_port).unwrap_or(0))
}

/// Who sends on the flow, and to whom.
pub fn origin<'a>(
    kernel: &Flow,
    process: Option<&'a Arc<ProcessFacts>>,
    server_name: Option<&'a Scrubbed>,
) -> Origin<'a> {
    Origin {
        process: process.map(Arc::as_ref),
        comm: kernel.owner.comm,
        is_server: kernel.owner.role == Role::Server as u32,
        server_name,
        remote: Some(remote(kernel)),
    }
}

/// The flow with counts that can be added up.
pub fn believable(mut kernel: Flow) -> Flow {
    for bytes in [&mut kernel.wire_bytes, &mut kernel.lost_bytes, &mut kernel.blind_bytes] {
        *bytes = (*bytes).min(FLOW_BYTES_MAX);
    }
    kernel
}
