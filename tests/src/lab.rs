//! The lab: network, authority, servers and the private directory, as one thing that ends on drop.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Result, ensure};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::authority::{Authority, BOTH_VERSIONS};
use crate::network::{Family, Network, RECIPIENTS_MAX};
use crate::scratch::{self, Scratch};
use crate::server::{Server, Speaks};

/// What a recipient listens for, each on its well-known port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// HTTP/1.1 over TLS, port 443.
    Https,
    /// Plain HTTP/1.1, port 80.
    Http,
}

/// A named recipient: one address, one service.
#[derive(Debug)]
pub struct Recipient {
    /// The name that programs use.
    pub host: String,
    /// What it speaks.
    pub service: Service,
    /// Its server and ground truth.
    pub server: Server,
}

impl Recipient {
    /// The URL of its root, without a trailing slash.
    #[must_use]
    pub fn origin(&self) -> String {
        let scheme = if self.service == Service::Https { "https" } else { "http" };
        format!("{scheme}://{}", self.host)
    }

    /// Its address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.server.address().ip()
    }
}

/// The whole lab.
#[derive(Debug)]
pub struct Lab {
    // Fields drop in this order: servers let go of the namespace before the network ends.
    recipients: Vec<Arc<Recipient>>,
    authority: Authority,
    network: Network,
    scratch: Scratch,
    used: [u8; 2],
}

impl Lab {
    /// Builds an empty lab and removes what dead runs left behind.
    ///
    /// # Errors
    /// Without root, iproute2 or veth support.
    pub fn new() -> Result<Self> {
        scratch::remove_stale();
        let name = scratch::unique_name();
        let scratch = Scratch::new(&name)?;
        let authority = Authority::new(&scratch)?;
        let network = Network::new(&name)?;
        Ok(Self { recipients: Vec::new(), authority, network, scratch, used: [0; 2] })
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The private directory.
    #[must_use]
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The certificate authority.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// All recipients, in the order they were added.
    #[must_use]
    pub fn recipients(&self) -> &[Arc<Recipient>] {
        &self.recipients
    }

    /// An address on the lab side that nothing else of this lab uses.
    ///
    /// # Errors
    /// When all are used.
    pub fn spare_address(&mut self, family: Family) -> Result<IpAddr> {
        let used = &mut self.used[usize::from(family == Family::V6)];
        ensure!(*used < RECIPIENTS_MAX, "all {RECIPIENTS_MAX} recipient addresses are used");
        *used += 1;
        Ok(self.network.recipient_address(family, *used - 1))
    }

    /// Adds a recipient on an address of its own; from now on programs find it by name.
    ///
    /// # Errors
    /// When no address is left or its port cannot be opened.
    pub fn recipient(&mut self, host: &str, service: Service, family: Family) -> Result<Arc<Recipient>> {
        self.recipient_with(host, service, family, &BOTH_VERSIONS)
    }

    /// The same, with chosen versions of TLS.
    ///
    /// # Errors
    /// As [`Self::recipient`].
    pub fn recipient_with(
        &mut self,
        host: &str,
        service: Service,
        family: Family,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Arc<Recipient>> {
        let (port, tls) = match service {
            Service::Https => (443, Some(self.authority.server(host, versions)?)),
            Service::Http => (80, None),
        };
        let address = SocketAddr::new(self.spare_address(family)?, port);
        let server = Server::tcp(&self.network, address, Speaks::Http, tls)?;
        let recipient = Arc::new(Recipient { host: host.to_owned(), service, server });
        self.recipients.push(Arc::clone(&recipient));
        Ok(recipient)
    }

    /// Two recipients, each with the one version of TLS that it speaks: 1.3 over IPv4, and 1.2 over IPv6.
    ///
    /// # Errors
    /// As [`Self::recipient`].
    pub fn recipient_of_each_version(&mut self) -> Result<[(Arc<Recipient>, &'static str); 2]> {
        let new = self.recipient_with("tls1-3.analyse.example", Service::Https, Family::V4, &[&TLS13])?;
        let old = self.recipient_with("tls1-2.analyse.example", Service::Https, Family::V6, &[&TLS12])?;
        Ok([(new, "1.3"), (old, "1.2")])
    }

    /// A command that runs `program` with the lab's names in its /etc/hosts and nothing else changed:
    /// the file is bound over in a mount namespace of that process alone. The process id of the child is
    /// the program's own.
    ///
    /// # Errors
    /// When the hosts file cannot be written.
    pub fn command(&self, program: &str) -> Result<Command> {
        let hosts = self.write_hosts()?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c"]);
        command.arg(r#"mount --bind "$0" /etc/hosts && exec "$@""#).arg(hosts).arg(program);
        Ok(command)
    }

    /// The same for a program that starts others: all of them end when the child is killed, since they live in a
    /// process namespace whose first process then ends. The process id of the child is not the program's.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub fn command_with_children(&self, program: &str) -> Result<Command> {
        let mut command = self.command("unshare")?;
        command.args(["--pid", "--mount-proc", "--fork", "--kill-child"]);
        // The shell stays the first process: the kernel forgets whom to kill when a program changes its user.
        command.args(["sh", "-c", r#""$0" "$@"; exit"#, program]);
        Ok(command)
    }

    /// One file for each set of names: a running program's copy never changes under it.
    fn write_hosts(&self) -> Result<PathBuf> {
        let name = format!("hosts-{}", self.recipients.len());
        let path = self.scratch.path().join(&name);
        if path.exists() {
            return Ok(path);
        }
        let mut hosts = String::from("127.0.0.1 localhost\n::1 localhost\n");
        for recipient in &self.recipients {
            writeln!(hosts, "{} {}", recipient.ip(), recipient.host).expect("a string takes all");
        }
        let path = self.scratch.write(&name, hosts)?;
        // As /etc/hosts itself: servers read it as another user.
        fs::set_permissions(&path, Permissions::from_mode(0o644))?;
        Ok(path)
    }
}
