//! A program that writes exactly what it is told, call by call: `writes_client.py`, one process for any
//! number of connections.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::agent::wait_at_most;
use crate::lab::Lab;

/// One call of `send` or `SSL_write_ex`, or as [`By`] says.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Write {
    /// Seconds to wait before it.
    pub pause: f64,
    /// Bytes of filler before the text.
    pub fill: usize,
    /// What it ends with.
    pub text: String,
    /// Written from a file that was just mapped, no page of which the process has touched.
    pub mapped: bool,
    /// With GnuTLS and NSS: by which of its functions.
    pub by: By,
}

/// How GnuTLS or NSS is given what to write.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// `gnutls_record_send`, again and again until all is sent; `PR_Write`, to a file too.
    #[default]
    Send,
    /// `gnutls_record_send_range`, once.
    SendRange,
    /// `gnutls_record_send` with pieces of a hundred bytes, between cork and uncork.
    SendCorked,
    /// `PR_Send`.
    SendFlagged,
    /// `PR_Writev` with sixteen buffers.
    SendGathered,
}

/// A TLS library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Library {
    /// OpenSSL, through Python's `ssl`.
    #[default]
    Openssl,
    /// GnuTLS, as C programs call it; the connection needs a version.
    Gnutls,
    /// NSS, likewise.
    Nss,
}

impl Library {
    /// What the names of its taps begin with.
    #[must_use]
    pub fn tap(self) -> &'static str {
        match self {
            Self::Openssl => "openssl.SSL_write",
            Self::Gnutls => "gnutls.gnutls_record_send",
            Self::Nss => "nss.ssl_SecureSend",
        }
    }
}

impl Write {
    /// Text alone, at once.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// `size` bytes, text included.
    ///
    /// # Panics
    /// When the text is longer.
    #[must_use]
    pub fn sized(size: usize, text: &str) -> Self {
        let fill = size.checked_sub(text.len()).expect("room for the text");
        Self { fill, ..Self::text(text) }
    }

    /// The same after a pause.
    #[must_use]
    pub fn after(mut self, seconds: f64) -> Self {
        self.pause = seconds;
        self
    }

    /// The same from a freshly mapped file.
    #[must_use]
    pub fn mapped(mut self) -> Self {
        self.mapped = true;
        self
    }

    /// The same by this function of the library.
    #[must_use]
    pub fn by(mut self, by: By) -> Self {
        self.by = by;
        self
    }

    /// Bytes of the call.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.fill + self.text.len()
    }
}

/// One connection and what is written on it.
#[derive(Clone, Debug, Serialize)]
pub struct Connection {
    to: SocketAddr,
    /// The name to ask for; none is plain TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_host: Option<String>,
    /// The only version to offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_version: Option<&'static str>,
    /// Ciphers of TLS 1.2 to offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphers: Option<&'static str>,
    /// Whose functions are called.
    library: Library,
    /// The calls.
    pub writes: Vec<Write>,
}

impl Connection {
    /// Plain TCP.
    #[must_use]
    pub fn plain(to: SocketAddr, writes: Vec<Write>) -> Self {
        Self { to, tls_host: None, tls_version: None, ciphers: None, library: Library::default(), writes }
    }

    /// TLS, to a server that has a certificate for `host`.
    #[must_use]
    pub fn tls(to: SocketAddr, host: &str, writes: Vec<Write>) -> Self {
        Self { tls_host: Some(host.to_owned()), ..Self::plain(to, writes) }
    }

    /// With this version alone: `1.2` or `1.3`.
    #[must_use]
    pub fn version(mut self, version: &'static str) -> Self {
        self.tls_version = Some(version);
        self
    }

    /// With these ciphers of TLS 1.2 alone.
    #[must_use]
    pub fn ciphers(mut self, ciphers: &'static str) -> Self {
        self.ciphers = Some(ciphers);
        self
    }

    /// By this library.
    #[must_use]
    pub fn library(mut self, library: Library) -> Self {
        self.library = library;
        self
    }

    /// Bytes of all calls.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.writes.iter().map(Write::bytes).sum()
    }
}

/// A running client; killed on drop.
#[derive(Debug)]
pub struct Client {
    child: Child,
    errors: std::path::PathBuf,
}

impl Client {
    /// Starts the program; `prepare` may change its command. All connections are open before the first write,
    /// then each is written by a thread of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(lab: &Lab, connections: &[Connection], prepare: impl FnOnce(&mut Command)) -> Result<Self> {
        let lines: Vec<String> =
            connections.iter().map(|it| serde_json::to_string(it).expect("plain data")).collect();
        let name = crate::scratch::unique_name();
        let jobs = lab.scratch().write(&format!("{name}.writes"), lines.join("\n"))?;
        let errors = lab.scratch().write(&format!("{name}.stderr"), "")?;
        let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/programs/writes_client.py"));
        let mut command = lab.command("/usr/bin/python3")?;
        command.env("SSL_CERT_FILE", lab.authority().file()).arg(script).arg(jobs);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&errors)?);
        prepare(&mut command);
        let child = command.spawn().context("starting writes_client.py")?;
        Ok(Self { child, errors })
    }

    /// The program's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has written everything and its peers have read it.
    ///
    /// # Errors
    /// When it fails, with what it said, or runs longer than `limit`.
    pub fn wait(mut self, limit: Duration) -> Result<()> {
        let status = wait_at_most(&mut self.child, limit)?;
        let said = std::fs::read_to_string(&self.errors).unwrap_or_default();
        let Some(status) = status else { bail!("writes_client.py still runs after {limit:?}: {said}") };
        ensure!(status.success(), "writes_client.py failed ({status}): {}", said.trim());
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

/// Writes everything and waits for the end.
///
/// # Errors
/// As [`Client::start`] and [`Client::wait`].
pub fn run(lab: &Lab, connections: &[Connection]) -> Result<()> {
    Client::start(lab, connections, |_| ())?.wait(Duration::from_secs(300))
}
