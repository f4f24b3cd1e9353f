//! Connections older than the agent: whose they are and which end is ours.
//!
//! Each process's sockets are looked at through a duplicate of the descriptor (`pidfd_getfd`), which
//! works in every network namespace and gives the same cookie as the kernel programs see.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    os::fd::{AsFd, OwnedFd},
};

use aya::{Pod, maps::HashMap};
use cprvagt_abi::{Owner, Role};
use rustix::{
    net::{AddressFamily, SocketType, getsockname, sockopt},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use super::{error::CaptureError, load::Programs, mapped::process_ids};

/// Do not overwrite what the socket tap already knows.
const BPF_NOEXIST: u64 = 1;

/// An owner that can be written to a map.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct OwnerValue(Owner);

// SAFETY: fixed-width integers and byte arrays without padding; abi checks the size.
unsafe impl Pod for OwnerValue {}

/// One socket of one process.
struct OldSocket {
    cookie: u64,
    owner: Owner,
    port: u16,
    namespace: String,
    stream: bool,
    listening: bool,
}

/// Tells the kernel programs who owns the sockets that exist now.
pub(super) fn run(programs: &mut Programs) -> Result<(), CaptureError> {
    let sockets = old_sockets();
    let listening: HashSet<(&str, u16)> = sockets
        .iter()
        .filter(|socket| socket.listening)
        .map(|socket| (socket.namespace.as_str(), socket.port))
        .collect();
    let map = programs.map_mut("OWNERS")?;
    let mut owners = HashMap::<_, u64, OwnerValue>::try_from(map).map_err(CaptureError::map("OWNERS"))?;
    for socket in &sockets {
        // Which end of a UDP flow is ours is told by who writes first.
        let served = socket.stream && listening.contains(&(socket.namespace.as_str(), socket.port));
        let role = if served { Role::Server } else { Role::Client };
        let owner = OwnerValue(Owner { role: role as u32, ..socket.owner });
        // Refused only where the socket tap was quicker, which knows better.
        let _ = owners.insert(socket.cookie, owner, BPF_NOEXIST);
    }
    tracing::debug!(sockets = sockets.len(), "sockets older than the agent were looked up");
    Ok(())
}

fn old_sockets() -> Vec<OldSocket> {
    let mut sockets = BTreeMap::new();
    for pid in process_ids() {
        collect(pid, &mut sockets);
    }
    sockets.into_values().collect()
}

/// Adds the sockets of a process; the first process found keeps a shared one.
fn collect(pid: u32, sockets: &mut BTreeMap<String, OldSocket>) {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return };
    let mut process = None;
    for entry in entries.flatten() {
        let Ok(link) = fs::read_link(entry.path()) else { continue };
        let link = link.to_string_lossy().into_owned();
        if !link.starts_with("socket:") || sockets.contains_key(&link) {
            continue;
        }
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if process.is_none() {
            process = Process::open(pid);
        }
        if let Some(socket) = process.as_ref().and_then(|process| process.socket(number)) {
            sockets.insert(link, socket);
        }
    }
}

struct Process {
    pidfd: OwnedFd,
    owner: Owner,
    namespace: String,
}

impl Process {
    fn open(pid: u32) -> Option<Self> {
        let pidfd = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
        let namespace = fs::read_link(format!("/proc/{pid}/ns/net")).ok()?.to_string_lossy().into_owned();
        let mut comm = [0; 16];
        let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
        let len = name.len().saturating_sub(1).min(15);
        comm[..len].copy_from_slice(&name[..len]);
        let uid = uid_of(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)?;
        let owner = Owner { tgid: pid, uid, cgroup_id: 0, comm, role: Role::Unknown as u32, pad: 0 };
        Some(Self { pidfd, owner, namespace })
    }

    fn socket(&self, number: i32) -> Option<OldSocket> {
        let fd = pidfd_getfd(&self.pidfd, number, PidfdGetfdFlags::empty()).ok()?;
        let family = sockopt::socket_domain(&fd).ok()?;
        let internet = family == AddressFamily::INET || family == AddressFamily::INET6;
        let kind = sockopt::socket_type(&fd).ok()?;
        if !internet || (kind != SocketType::STREAM && kind != SocketType::DGRAM) {
            return None;
        }
        Some(OldSocket {
            cookie: sockopt::socket_cookie(&fd).ok()?,
            owner: self.owner,
            port: local_port(fd.as_fd())?,
            namespace: self.namespace.clone(),
            stream: kind == SocketType::STREAM,
            listening: sockopt::socket_acceptconn(&fd).unwrap_or(false),
        })
    }
}

fn local_port(fd: std::os::fd::BorrowedFd<'_>) -> Option<u16> {
    let address = std::net::SocketAddr::try_from(getsockname(fd).ok()?).ok()?;
    Some(address.port())
}

/// The effective user id in `/proc/PID/status`: the second number of the `Uid` line.
fn uid_of(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
