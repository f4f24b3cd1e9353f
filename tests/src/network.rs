//! The lab's network: an anonymous network namespace joined to the host by one veth pair.
//!
//! The namespace has no name on any file system: it lives as long as something holds it open, so the
//! kernel removes it, and with it the veth pair, even after SIGKILL.  Names still carry the process id,
//! and left-overs of dead processes are removed at the next start, should anything have held them.
//!
//! *Limits*: [`RECIPIENTS_MAX`] recipient addresses per family; 512 labs at once on one host.

use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns, unshare};

use crate::scratch;

/// How many addresses the lab side has in each family.
pub const RECIPIENTS_MAX: u8 = 64;

/// The last byte of the first recipient's address; the host side has 1.
const FIRST_RECIPIENT: u8 = 10;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4: 198.18.0.0/15, set aside for benchmarks by RFC 2544.
    V4,
    /// IPv6: a unique local prefix (RFC 4193).
    V6,
}

/// The namespace and the pair; both end on drop.
#[derive(Debug)]
pub struct Network {
    namespace: File,
    host_link: String,
    slot: u16,
}

impl Network {
    /// Builds the network. `name` comes from [`scratch::unique_name`].
    ///
    /// # Errors
    /// Without root, or when the kernel refuses a namespace or a veth pair.
    pub fn new(name: &str) -> Result<Self> {
        remove_stale();
        // Two labs that start at once must not choose the same addresses. The lock leaves nothing behind.
        let one_at_a_time = File::open(std::env::temp_dir())?;
        one_at_a_time.lock().context("waiting for other labs")?;
        let namespace = anonymous_namespace().context("making a network namespace (root is needed)")?;
        let network = Self { namespace, host_link: format!("{name}h"), slot: free_slot()? };
        network.join(&format!("{name}l"))?;
        Ok(network)
    }

    /// The host's own address on the pair: what servers in the lab see as their peer.
    #[must_use]
    pub fn host_address(&self, family: Family) -> IpAddr {
        address(self.slot, family, 1)
    }

    /// The address of recipient `index`, counted from 0.
    ///
    /// # Panics
    /// When `index` is not below [`RECIPIENTS_MAX`].
    #[must_use]
    pub fn recipient_address(&self, family: Family, index: u8) -> IpAddr {
        assert!(index < RECIPIENTS_MAX, "the lab has {RECIPIENTS_MAX} recipient addresses");
        address(self.slot, family, FIRST_RECIPIENT + index)
    }

    /// Prefixes that together are every address outside this lab: an agent that allows them sees the lab's
    /// traffic alone, whatever else this machine sends.
    #[must_use]
    pub fn outside(&self) -> Vec<String> {
        let v4 = (0..24).map(|bit| self.sibling(Family::V4, bit));
        v4.chain((0..64).map(|bit| self.sibling(Family::V6, bit))).collect()
    }

    /// The prefix that differs from this lab's first in `bit`.
    fn sibling(&self, family: Family, bit: u32) -> String {
        let length = bit + 1;
        match self.host_address(family) {
            IpAddr::V4(own) => {
                let address = (own.to_bits() ^ (1 << (31 - bit))) & (u32::MAX << (32 - length));
                format!("{}/{length}", Ipv4Addr::from_bits(address))
            }
            IpAddr::V6(own) => {
                let address = (own.to_bits() ^ (1 << (127 - bit))) & (u128::MAX << (128 - length));
                format!("{}/{length}", Ipv6Addr::from_bits(address))
            }
        }
    }

    /// The host's end of the pair.
    #[must_use]
    pub fn host_link(&self) -> &str {
        &self.host_link
    }

    /// Runs `work` on a thread of its own inside the namespace: sockets it opens stay there.
    ///
    /// # Panics
    /// When `work` panics, or the namespace cannot be entered (we made it and hold it open).
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            setns(&self.namespace, CloneFlags::CLONE_NEWNET).expect("our own namespace can be entered");
            work()
        };
        thread::scope(|scope| scope.spawn(enter).join()).expect("work inside the lab does not panic")
    }

    fn join(&self, lab_link: &str) -> Result<()> {
        let host = &self.host_link;
        let namespace = format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd());
        ip_batch(&format!("link add {host} type veth peer name {lab_link} netns {namespace}\n"))?;
        let own = [Family::V4, Family::V6].map(|family| self.host_address(family));
        let recipients = [Family::V4, Family::V6].into_iter().flat_map(|family| {
            (0..RECIPIENTS_MAX).map(move |index| address(self.slot, family, FIRST_RECIPIENT + index))
        });
        let recipients: Vec<IpAddr> = recipients.collect();
        self.inside(|| ip_batch("link set lo up\n").and_then(|()| bring_up(lab_link, &recipients)))?;
        bring_up(host, &own)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The namespace goes with its last holder; removing our end takes the pair away at once.
        let _gone_already = ip_batch(&format!("link delete {}\n", self.host_link));
    }
}

/// Removes the links of dead processes.
pub fn remove_stale() {
    let Ok(links) = fs::read_dir("/sys/class/net") else { return };
    for link in links.flatten() {
        if let Some(name) = link.file_name().to_str().filter(|name| scratch::is_stale(name)) {
            let _another_run_was_faster = ip_batch(&format!("link delete {name}\n"));
        }
    }
}

fn anonymous_namespace() -> Result<File> {
    let make = || -> Result<File> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        Ok(File::open("/proc/thread-self/ns/net")?)
    };
    thread::spawn(make).join().expect("making a namespace does not panic")
}

/// A /24 and a /64 that no interface of this host uses.
fn free_slot() -> Result<u16> {
    let taken = Command::new("ip").args(["-oneline", "address", "show"]).output().context("running ip")?;
    let taken = String::from_utf8_lossy(&taken.stdout).into_owned();
    let first = std::process::id();
    let slots = (0..512u32).map(|step| ((first + step) % 512) as u16);
    let mut free = slots.filter(|slot| !taken.contains(&format!("{}/", address(*slot, Family::V4, 1))));
    free.next().context("all 512 lab networks are in use")
}

fn address(slot: u16, family: Family, last: u8) -> IpAddr {
    let [high, low] = slot.to_be_bytes();
    match family {
        Family::V4 => Ipv4Addr::new(198, 18 + high, low, last).into(),
        Family::V6 => Ipv6Addr::new(0xfd63, 0x7072, 0, slot, 0, 0, 0, last.into()).into(),
    }
}

fn bring_up(link: &str, addresses: &[IpAddr]) -> Result<()> {
    let ipv6_switch = format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6");
    fs::write(&ipv6_switch, "0")
        .with_context(|| format!("{ipv6_switch}: is IPv6 built into this kernel?"))?;
    let mut batch = format!("link set {link} up\n");
    for address in addresses {
        let (prefix, flag) = if address.is_ipv4() { (24, "") } else { (64, " nodad") };
        batch.push_str(&format!("address add {address}/{prefix} dev {link}{flag}\n"));
    }
    ip_batch(&batch)
}

fn ip_batch(commands: &str) -> Result<()> {
    let mut ip = Command::new("ip");
    ip.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = ip.spawn().context("running ip (package iproute2)")?;
    child.stdin.take().expect("stdin is piped").write_all(commands.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("ip: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
