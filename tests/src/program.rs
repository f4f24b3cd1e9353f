//! Unmodified programs that send requests, run as real processes.
//!
//! Jobs reach a program in a private file, never on its command line.
//!
//! *Limits*: openssl s_client sends one request per process; curl and blocking Python one after another.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::agent::wait_at_most;
use crate::lab::Lab;
use crate::live;

/// The longest body that is written into curl's configuration; longer ones get a file.
const CURL_LINE_MAX: usize = 64 << 10;

/// One request to send.
#[derive(Clone, Debug, Serialize)]
pub struct Job {
    /// Absolute, `http` or `https`.
    pub url: String,
    /// `GET`, `POST`, ...
    pub method: &'static str,
    /// Header lines beside those that the program adds itself.
    pub headers: BTreeMap<String, String>,
    /// The body, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl Job {
    /// A plain GET.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self { url: url.into(), method: "GET", headers: BTreeMap::new(), body: None }
    }

    /// A POST with a body of this media type.
    #[must_use]
    pub fn post(url: impl Into<String>, media_type: &str, body: impl Into<String>) -> Self {
        let job = Self { method: "POST", body: Some(body.into()), ..Self::get(url) };
        job.header("Content-Type", media_type)
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.insert(name.to_owned(), value.into());
        self
    }
}

/// A client program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Program {
    /// `curl`, OpenSSL 3 through the shared library: `SSL_write`.
    Curl,
    /// Debian's `python3`, blocking sockets: `SSL_write_ex`.
    PythonSsl,
    /// Debian's `python3`, asyncio: TLS through memory BIOs.
    PythonAsyncio,
    /// Node's `https` and `http` modules: OpenSSL in the program itself, or Debian's shared one.
    NodeHttps,
    /// Node's `fetch`.
    NodeFetch,
    /// `openssl s_client`.
    OpensslSClient,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Curl,
        Self::PythonSsl,
        Self::PythonAsyncio,
        Self::NodeHttps,
        Self::NodeFetch,
        Self::OpensslSClient,
    ];

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::PythonSsl => "python ssl",
            Self::PythonAsyncio => "python asyncio",
            Self::NodeHttps => "node https",
            Self::NodeFetch => "node fetch",
            Self::OpensslSClient => "openssl s_client",
        }
    }

    /// Whether it can send without TLS.
    #[must_use]
    pub fn sends_plain(self) -> bool {
        self != Self::OpensslSClient
    }

    /// Why it cannot run here, if so.
    #[must_use]
    pub fn missing(self) -> Option<String> {
        let file = self.file();
        if live::which(file).is_none() {
            return Some(format!("{file} is not installed"));
        }
        if self != Self::NodeFetch {
            return None;
        }
        if live::is_guest() {
            return Some(
                "it gives up on a connection after ten seconds, which is short in a guest".to_owned(),
            );
        }
        let probe = ["-e", "process.exit(typeof fetch === 'function' ? 0 : 1)"];
        let has_fetch = Command::new(file).args(probe).status().is_ok_and(|status| status.success());
        (!has_fetch).then(|| "this node has no fetch (18 or later has)".to_owned())
    }

    fn file(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::PythonSsl | Self::PythonAsyncio => "/usr/bin/python3",
            Self::NodeHttps | Self::NodeFetch => "node",
            Self::OpensslSClient => "openssl",
        }
    }

    /// Starts it on `jobs`, with up to `concurrent` connections at once where it can.
    ///
    /// # Errors
    /// When a file cannot be written or the program not started.
    pub fn start(self, lab: &Lab, jobs: &[Job], concurrent: usize) -> Result<Running> {
        ensure!(!jobs.is_empty(), "{} was given nothing to send", self.name());
        let name = crate::scratch::unique_name();
        let path = |kind: &str| format!("{name}.{kind}");
        let errors = lab.scratch().write(&path("stderr"), "")?;
        let mut command = match self {
            Self::Curl => curl(lab, jobs, &path("curl"))?,
            Self::OpensslSClient => s_client(lab, jobs, &path("http"))?,
            _ => self.script(lab, jobs, concurrent, &path("jobs"))?,
        };
        if self != Self::OpensslSClient {
            command.stdin(Stdio::null());
        }
        command.stdout(Stdio::null()).stderr(File::create(&errors)?);
        let child = command.spawn().with_context(|| format!("starting {}", self.name()))?;
        Ok(Running { program: self, child, errors, started: Instant::now() })
    }

    /// Starts it and waits until it has sent everything.
    ///
    /// # Errors
    /// As [`Self::start`] and [`Running::wait`].
    pub fn run(self, lab: &Lab, jobs: &[Job], concurrent: usize) -> Result<()> {
        self.start(lab, jobs, concurrent)?.wait(Duration::from_secs(300))
    }

    fn script(self, lab: &Lab, jobs: &[Job], concurrent: usize, file: &str) -> Result<Command> {
        let mut lines = String::new();
        for job in jobs {
            lines.push_str(&serde_json::to_string(job).expect("a job is plain data"));
            lines.push('\n');
        }
        let jobs = lab.scratch().write(file, lines)?;
        let script = match self {
            Self::PythonSsl => "ssl_client.py",
            Self::PythonAsyncio => "asyncio_client.py",
            Self::NodeHttps => "https_client.mjs",
            _ => "fetch_client.mjs",
        };
        let mut command = lab.command(self.file())?;
        command
            .env("SSL_CERT_FILE", lab.authority().file())
            .env("NODE_EXTRA_CA_CERTS", lab.authority().file());
        command.arg(programs_folder().join(script)).arg(jobs).arg(concurrent.to_string());
        Ok(command)
    }
}

/// A program that is sending; killed on drop.
#[derive(Debug)]
pub struct Running {
    program: Program,
    child: Child,
    errors: PathBuf,
    started: Instant,
}

impl Running {
    /// The program's own process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How long it has been running.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// True when it has ended well, false while it runs.
    ///
    /// # Errors
    /// When it failed; with what it said.
    pub fn finished(&mut self) -> Result<bool> {
        let Some(status) = self.child.try_wait()? else { return Ok(false) };
        if !status.success() {
            let said = std::fs::read_to_string(&self.errors).unwrap_or_default();
            bail!("{} failed ({status}): {}", self.program.name(), said.trim());
        }
        Ok(true)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it fails or runs longer than `limit`.
    pub fn wait(mut self, limit: Duration) -> Result<()> {
        wait_at_most(&mut self.child, limit)?;
        ensure!(self.finished()?, "{} still runs after {limit:?}", self.program.name());
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

/// Where the loader finds a library, by the beginning of its name.
///
/// # Panics
/// When there is none, or no loader's table.
#[must_use]
pub fn library(name: &str) -> PathBuf {
    let output = Command::new("ldconfig").arg("-p").output().expect("the C library has ldconfig");
    let table = String::from_utf8_lossy(&output.stdout);
    let line = table.lines().find(|line| line.trim_start().starts_with(name));
    let line = line.unwrap_or_else(|| panic!("{name} is not installed"));
    line.rsplit("=> ").next().expect("a split has a last part").trim().into()
}

fn programs_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/programs"))
}

/// A curl configuration file: one block for each request, all in one process.
fn curl(lab: &Lab, jobs: &[Job], file: &str) -> Result<Command> {
    let mut config = String::new();
    for job in jobs {
        config.push_str("silent\nshow-error\ngloboff\n");
        let mut set = |option: &str, value: &str| {
            let value =
                value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\r', "\\r");
            config.push_str(&format!("{option} = \"{value}\"\n"));
        };
        set("url", &job.url);
        set("request", job.method);
        set("output", "/dev/null");
        set("cacert", &lab.authority().file().display().to_string());
        for (name, value) in &job.headers {
            set("header", &format!("{name}: {value}"));
        }
        match &job.body {
            Some(body) if body.len() > CURL_LINE_MAX => {
                let file = lab.scratch().write(&format!("{}.body", crate::scratch::unique_name()), body)?;
                set("data-binary", &format!("@{}", file.display()));
            }
            Some(body) => set("data-raw", body),
            None => {}
        }
        config.push_str("next\n");
    }
    let config = config.strip_suffix("next\n").unwrap_or(&config);
    let mut command = lab.command("curl")?;
    command.arg("--disable").arg("--config").arg(lab.scratch().write(file, config)?);
    Ok(command)
}

/// The one request on standard input of `openssl s_client`, which ends when the server closes.
fn s_client(lab: &Lab, jobs: &[Job], file: &str) -> Result<Command> {
    let [job] = jobs else { bail!("openssl s_client sends one request per process") };
    let rest = job.url.strip_prefix("https://").context("openssl s_client speaks TLS only")?;
    let (host, target) = rest.split_once('/').unwrap_or((rest, ""));
    let mut request = format!("{} /{target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n", job.method);
    for (name, value) in &job.headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let body = job.body.as_deref().unwrap_or_default();
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    request.push_str(body);
    let mut command = lab.command("openssl")?;
    command.args(["s_client", "-quiet", "-verify_return_error", "-servername", host]);
    command.args(["-connect", &format!("{host}:443"), "-CAfile"]).arg(lab.authority().file());
    command.stdin(File::open(lab.scratch().write(file, request)?)?);
    Ok(command)
}
