//! `openssl s_server` inside the lab, for what the lab's own servers do not do.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::held::Held;
use crate::lab::Lab;

/// How long it may take to listen, and to write what it has got.
const LIMIT: Duration = Duration::from_secs(120);

/// A running server; killed on drop.
#[derive(Debug)]
pub struct SServer {
    _process: Held,
    output: PathBuf,
}

impl SServer {
    /// Starts it with these arguments, and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(lab: &Lab, host: &str, address: SocketAddr, arguments: &[&str]) -> Result<Self> {
        let [certificate, key] = lab.authority().files(lab.scratch(), host)?;
        let output = lab.scratch().write(&format!("s_server-{}.out", address.port()), "")?;
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-accept", &address.to_string(), "-cert"]).arg(certificate);
        command.arg("-key").arg(key).args(arguments);
        command.stdin(Stdio::piped()).stdout(File::create(&output)?).stderr(Stdio::null());
        let process = lab.network().inside(|| Held::start(&mut command))?;
        let started = Instant::now();
        let listens = || {
            let table = lab.network().inside(|| fs::read_to_string("/proc/thread-self/net/tcp"));
            table.is_ok_and(|table| table.contains(&format!(":{:04X} 00000000:0000 0A", address.port())))
        };
        while !listens() {
            ensure!(started.elapsed() < LIMIT, "s_server does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { _process: process, output })
    }

    /// What it has decrypted, in bytes.
    #[must_use]
    pub fn plain_bytes(&self) -> u64 {
        self.output.metadata().map_or(0, |it| it.len())
    }

    /// Waits until it has decrypted this.
    ///
    /// # Errors
    /// When it has not in time; with what it has.
    pub fn has(&self, text: &str) -> Result<()> {
        let started = Instant::now();
        loop {
            let got = String::from_utf8_lossy(&fs::read(&self.output)?).into_owned();
            if got.contains(text) {
                return Ok(());
            }
            ensure!(started.elapsed() < LIMIT, "the server has not got all, only {} bytes", got.len());
            thread::sleep(Duration::from_millis(20));
        }
    }
}
