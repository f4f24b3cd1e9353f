//! A real collector as a child process, with its data in a folder of the test's own, and what enrols at it.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::agent::wait_at_most;
use crate::binary;

/// How long the collector may take until it listens, and until it has ended.
const LIMIT: Duration = Duration::from_secs(180);

/// The collector's program: `$CPRVAGT_COLLECTOR_BIN`, or the one built beside the program that runs.
///
/// # Errors
/// When there is none.
pub fn binary() -> Result<PathBuf> {
    binary::find("CPRVAGT_COLLECTOR_BIN", "cprvagt-collector")
}

/// A running collector; killed on drop.
#[derive(Debug)]
pub struct Collector {
    program: PathBuf,
    folder: PathBuf,
    running: Option<Running>,
    agents: String,
    web: String,
    said: Arc<Mutex<Vec<u8>>>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    reader: JoinHandle<()>,
}

impl Collector {
    /// Starts `program` with its data in `folder`, which is made; `more` is added to its configuration.
    ///
    /// # Errors
    /// When it does not listen within a minute; with what it said.
    pub fn start(program: &Path, folder: &Path, more: &str) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let mut collector = Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            running: None,
            agents: String::new(),
            web: String::new(),
            said: Arc::default(),
        };
        collector.configure("127.0.0.1:0", "127.0.0.1:0", more)?;
        collector.listen()?;
        // The same addresses after a restart.
        let of = |url: &str| url.split("//").last().unwrap_or_default().to_owned();
        let (agents, web) = (of(&collector.agents), of(&collector.web));
        collector.configure(&agents, &web, more)?;
        Ok(collector)
    }

    fn configure(&self, agents: &str, web: &str, more: &str) -> Result<()> {
        let mut text = String::new();
        writeln!(text, "[data]\ndir = {:?}", self.data().display().to_string())?;
        writeln!(text, "[agents]\nlisten = {agents:?}\nnames = [\"localhost\", \"127.0.0.1\"]")?;
        writeln!(text, "[web]\nlisten = {web:?}\n{more}")?;
        Ok(fs::write(self.config(), text)?)
    }

    /// Starts it again after [`Self::stop`] or [`Self::kill`].
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn listen(&mut self) -> Result<()> {
        let mut command = self.command(&["serve"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting the collector")?;
        let stderr = child.stderr.take().expect("piped");
        let (lines, heard) = mpsc::channel();
        let said = Arc::clone(&self.said);
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                said.lock().expect("readers do not panic").extend(format!("{line}\n").as_bytes());
                let _nobody_waits = lines.send(line);
            }
        });
        self.running = Some(Running { child, reader });
        let started = Instant::now();
        loop {
            match heard.recv_timeout(LIMIT.saturating_sub(started.elapsed())) {
                Ok(line) if line == "ready" => return Ok(()),
                Ok(line) => self.note_addresses(&line),
                Err(RecvTimeoutError::Timeout) => bail!("the collector was not ready within {LIMIT:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the collector ended before it was ready; it said:\n{}", self.log())
                }
            }
        }
    }

    fn note_addresses(&mut self, line: &str) {
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some(("agents", url)) => self.agents = url.to_owned(),
                Some(("web", url)) => self.web = url.to_owned(),
                _ => {}
            }
        }
    }

    /// Where agents report to.
    #[must_use]
    pub fn agents_url(&self) -> &str {
        &self.agents
    }

    /// Where its pages are.
    #[must_use]
    pub fn web_url(&self) -> &str {
        &self.web
    }

    /// Where its data is.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("collector.toml")
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// All it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("readers do not panic")).into_owned()
    }

    /// One of its commands, with its configuration.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--config").arg(self.config());
        command
    }

    /// What one of its commands prints.
    ///
    /// # Errors
    /// When it fails; with what it said.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).stdin(Stdio::null()).output()?;
        printed(&format!("cprvagt-collector {}", arguments.join(" ")), output)
    }

    /// A new token.
    ///
    /// # Errors
    /// When the command fails.
    pub fn token(&self) -> Result<String> {
        Ok(self.ask(&["token"])?.trim().to_owned())
    }

    /// The objects of `incidents --json`.
    ///
    /// # Errors
    /// When the command fails or prints something else.
    pub fn incidents(&self) -> Result<Vec<Value>> {
        let lines = self.ask(&["incidents", "--json"])?;
        lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Makes an account for its pages.
    ///
    /// # Errors
    /// When the command fails.
    pub fn add_account(&self, name: &str, password: &str) -> Result<()> {
        let mut command = self.command(&["account", "add", name]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        child.stdin.take().expect("piped").write_all(format!("{password}\n").as_bytes())?;
        printed("cprvagt-collector account add", child.wait_with_output()?).map(drop)
    }

    /// Ends it as a service manager does.
    ///
    /// # Errors
    /// When it does not end within a minute, or ends badly.
    pub fn stop(&mut self) -> Result<()> {
        let status = self.end(Signal::SIGTERM)?;
        ensure!(status.success(), "the collector ended with {status}; it said:\n{}", self.log());
        Ok(())
    }

    /// Ends it as a power cut does.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill(&mut self) -> Result<()> {
        let status = self.end(Signal::SIGKILL)?;
        ensure!(status.signal() == Some(9), "the collector had ended before: {status}; {}", self.log());
        Ok(())
    }

    fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        let mut running = self.running.take().context("the collector does not run")?;
        kill(Pid::from_raw(running.child.id().cast_signed()), signal).context("ending the collector")?;
        let Some(status) = wait_at_most(&mut running.child, LIMIT)? else {
            running.child.kill()?;
            running.child.wait()?;
            bail!("the collector did not end within {LIMIT:?}; it said:\n{}", self.log());
        };
        let _panicked = running.reader.join();
        Ok(status)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ended_already = running.child.kill();
            let _reaped_already = running.child.wait();
        }
    }
}

/// A data controller's keys, and the folders of one agent that is enrolled with them.
#[derive(Debug)]
pub struct Enrolled {
    /// The agent's configuration file.
    pub config: PathBuf,
    /// Its certificate and keys.
    pub enrolment: PathBuf,
    /// Where its reports wait.
    pub spool: PathBuf,
    /// The controller's private key, which no host has.
    pub identity: PathBuf,
    /// The folder of its status socket.
    pub runtime: PathBuf,
}

impl Enrolled {
    /// Makes keys in `folder`, and enrols the agent `program` at `url` with `token`. `more` is added to the
    /// agent's configuration.
    ///
    /// # Errors
    /// When a command fails; with what it said.
    pub fn new(program: &Path, folder: &Path, url: &str, token: &str, more: &str) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let [enrolment, spool, runtime] = ["enrolment", "spool", "run"].map(|name| folder.join(name));
        let config = folder.join("agent.toml");
        let text = format!(
            "[spool]\ndir = {:?}\n[collector]\nenrolment = {:?}\n{more}",
            spool.display().to_string(),
            enrolment.display().to_string(),
        );
        fs::write(&config, text)?;
        let keys = folder.join("keys");
        fs::create_dir_all(&keys)?;
        let run = |command: &mut Command, what: &str| -> Result<()> {
            printed(what, command.stdin(Stdio::null()).output()?).map(drop)
        };
        let mut command = Command::new(program);
        run(command.args(["keys", "new", "--controller", "laboratorium", "--out"]).arg(&keys), "keys new")?;
        let mut command = Command::new(program);
        command.args(["enrol", url, "--token", token, "--bundle"]).arg(keys.join("laboratorium.bundle"));
        run(command.arg("--config").arg(&config), "enrol")?;
        let identity = keys.join("laboratorium.identity");
        Ok(Self { config, enrolment, spool, identity, runtime })
    }

    /// `cprvagt run --json` with these folders.
    #[must_use]
    pub fn daemon(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(["run", "--json", "--config"]).arg(&self.config).arg("--runtime-dir").arg(&self.runtime);
        command
    }

    /// What `status --json` of the running daemon says; when it refuses, its exit code.
    ///
    /// # Errors
    /// That code.
    ///
    /// # Panics
    /// When it cannot be run, or what it says is no JSON.
    pub fn status(&self, program: &Path) -> std::result::Result<Value, Option<i32>> {
        let mut command = Command::new(program);
        command.args(["status", "--json", "--runtime-dir"]).arg(&self.runtime);
        let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().expect("the agent is there");
        if !output.status.success() {
            return Err(output.status.code());
        }
        Ok(serde_json::from_slice(&output.stdout).expect("the agent says JSON"))
    }

    /// The status of the running daemon once it is so.
    ///
    /// # Errors
    /// When it is not so within `limit`; with the last status.
    pub fn await_status(
        &self,
        program: &Path,
        limit: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let started = Instant::now();
        loop {
            let status = self.status(program).unwrap_or_default();
            if is_so(&status) {
                return Ok(status);
            }
            ensure!(started.elapsed() < limit, "not so in {status:#}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Delivers what still waits, when the daemon has ended.
    ///
    /// # Errors
    /// When something is left after half a minute.
    pub fn flush(&self, program: &Path) -> Result<()> {
        let mut command = Command::new(program);
        command.args(["spool", "flush", "--for", "300", "--config"]).arg(&self.config);
        printed("cprvagt spool flush", command.stdin(Stdio::null()).output()?).map(drop)
    }

    /// The key of its pseudonyms.
    #[must_use]
    pub fn tenant_key(&self) -> PathBuf {
        self.enrolment.join("tenant.key")
    }
}

fn printed(what: &str, output: Output) -> Result<String> {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{what}: {}; it said:\n{out}{err}", output.status);
    Ok(out.into_owned())
}
