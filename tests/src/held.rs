//! Processes that a test must end in every case: killed when they go out of scope.

use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::agent::wait_at_most;
use crate::lab::Lab;

/// How long a server may take to end when it has answered.
const END_LIMIT: Duration = Duration::from_secs(120);

/// A running process; killed on drop.
#[derive(Debug)]
pub struct Held(pub Child);

impl Held {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let child = command.spawn();
        Ok(Self(child.with_context(|| format!("starting {}", command.get_program().display()))?))
    }

    /// Starts a server, and waits until it has said a line: that it listens.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_listening(command: &mut Command) -> Result<Self> {
        let mut held = Self::start(command.stdout(Stdio::piped()))?;
        let said = held.0.stdout.take().context("its output is piped")?;
        BufReader::new(said).read_line(&mut String::new())?;
        Ok(held)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it fails, or still runs after two minutes.
    pub fn end(mut self) -> Result<()> {
        let status = wait_at_most(&mut self.0, END_LIMIT)?.context("it still runs")?;
        ensure!(status.success(), "it failed ({status})");
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped_already = self.0.wait();
    }
}

/// Starts a server for one request on port 443 of an address of the lab, asks it with curl as `host`, and waits for
/// its end; returns the answer.
///
/// # Errors
/// When one of them fails.
pub fn asked_once(lab: &Lab, server: &mut Command, host: &str, address: IpAddr) -> Result<String> {
    let server = lab.network().inside(|| Held::start(server))?;
    let mut curl = lab.command("curl")?;
    curl.args(["--silent", "--show-error", "--http1.1", "--retry", "30", "--retry-connrefused"]);
    curl.args(["--retry-delay", "1", "--cacert"]).arg(lab.authority().file());
    curl.arg("--resolve").arg(format!("{host}:443:{address}"));
    let output = curl.arg(format!("https://{host}/sag")).output().context("starting curl")?;
    server.end().with_context(|| format!("curl said: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
