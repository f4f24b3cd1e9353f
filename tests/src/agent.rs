//! The agent as a child process: started, waited for, read, stopped, and ended in every case.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::binary;
use crate::scratch::Scratch;

/// How long the agent may take until every probe is in place.
const READY_LIMIT: Duration = Duration::from_secs(180);
/// How long it may take to end after SIGINT.
const STOP_LIMIT: Duration = Duration::from_secs(120);

/// The agent's program: `$CPRVAGT_BIN`, or the one built beside the program that runs.
///
/// # Errors
/// When there is none.
pub fn binary() -> Result<PathBuf> {
    binary::find("CPRVAGT_BIN", "cprvagt")
}

/// A configuration for tests: the key, and destinations that may receive numbers in any form.
#[must_use]
pub fn config(key_file: &Path, allowed: &[(std::net::IpAddr, u16)]) -> String {
    format!("[pseudonym]\nkey_file = {:?}\n{}", key_file.display().to_string(), allow(allowed))
}

/// Entries for destinations that may receive numbers over TLS.
#[must_use]
pub fn allow(allowed: &[(std::net::IpAddr, u16)]) -> String {
    let mut text = String::new();
    for (ip, port) in allowed {
        text.push_str(&format!(
            "\n[[allow]]\nto = \"{ip}\"\nports = [{port}]\nbecause = \"the lab allows it\"\n"
        ));
    }
    text
}

/// A running `cprvagt watch --json`; killed on drop.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    objects: Receiver<Value>,
    output: [Arc<Mutex<Vec<u8>>>; 2],
    readers: Vec<JoinHandle<()>>,
}

/// What an agent left when it ended.
#[derive(Debug)]
pub struct Ended {
    /// Every object it printed that [`Agent::next`] had not handed out.
    pub objects: Vec<Value>,
    /// How it ended.
    pub status: ExitStatus,
    /// All it wrote to standard output.
    pub stdout: Vec<u8>,
    /// All it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Agent {
    /// Starts `cprvagt watch --json` with this configuration and more arguments, and waits for `ready`.
    ///
    /// # Errors
    /// When it cannot be started, ends early, or is not ready within three minutes; with what it said.
    pub fn start(scratch: &Scratch, config: &str, arguments: &[&str]) -> Result<Self> {
        Self::start_program(&binary()?, scratch, config, arguments)
    }

    /// The same for an agent that lies elsewhere.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_program(
        program: &Path,
        scratch: &Scratch,
        config: &str,
        arguments: &[&str],
    ) -> Result<Self> {
        let file = scratch.write("agent.toml", config)?;
        let mut command = Command::new(program);
        command.args(["watch", "--json", "--config"]).arg(file).args(arguments);
        Self::spawn(command)
    }

    /// The same for any command that prints `ready` on its standard error.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn spawn(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let output: [Arc<Mutex<Vec<u8>>>; 2] = Default::default();
        let (objects_in, objects) = mpsc::channel();
        let (ready_in, ready) = mpsc::channel();
        let readers = vec![
            read_lines(stdout, Arc::clone(&output[0]), move |line| {
                if let Ok(object) = serde_json::from_str::<Value>(line) {
                    let _nobody_reads = objects_in.send(object);
                }
            }),
            read_lines(stderr, Arc::clone(&output[1]), move |line| {
                if line == "ready" {
                    let _nobody_waits = ready_in.send(());
                }
            }),
        ];
        let agent = Self { child, objects, output, readers };
        agent.wait_until_ready(&ready)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next object it prints, or nothing within `wait`.
    #[must_use]
    pub fn next(&self, wait: Duration) -> Option<Value> {
        self.objects.recv_timeout(wait).ok()
    }

    /// The line of its standard error that has all of these, once it is there; nothing within `limit`.
    #[must_use]
    pub fn says(&self, all: &[&str], limit: Duration) -> Option<String> {
        let started = Instant::now();
        loop {
            let text = self.stderr_text();
            let line = text.lines().find(|line| all.iter().all(|part| line.contains(part)));
            if line.is_some() || started.elapsed() >= limit {
                return line.map(str::to_owned);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends SIGINT and collects the rest.
    ///
    /// # Errors
    /// When it does not end within two minutes; it is killed then.
    pub fn stop(mut self) -> Result<Ended> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT).context("stopping the agent")?;
        let status = wait_at_most(&mut self.child, STOP_LIMIT)?;
        let Some(status) = status else {
            bail!("the agent did not end within {STOP_LIMIT:?} of SIGINT; it said:\n{}", self.stderr_text());
        };
        for reader in self.readers.drain(..) {
            let _panicked = reader.join();
        }
        let objects = self.objects.try_iter().collect();
        let [stdout, stderr] = [0, 1].map(|index| self.text(index));
        Ok(Ended { objects, status, stdout, stderr })
    }

    fn wait_until_ready(mut self, ready: &Receiver<()>) -> Result<Self> {
        let started = Instant::now();
        while started.elapsed() < READY_LIMIT {
            if ready.recv_timeout(Duration::from_millis(50)).is_ok() {
                return Ok(self);
            }
            if let Some(status) = self.child.try_wait()? {
                self.readers.drain(..).for_each(|reader| drop(reader.join()));
                bail!("the agent ended before it was ready ({status}); it said:\n{}", self.stderr_text());
            }
        }
        bail!("the agent was not ready within {READY_LIMIT:?}; it said:\n{}", self.stderr_text());
    }

    fn text(&self, index: usize) -> Vec<u8> {
        self.output[index].lock().expect("readers do not panic").clone()
    }

    fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.text(1)).into_owned()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

/// Waits for `child`; nothing when it still runs after `limit`.
pub fn wait_at_most(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() >= limit {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn read_lines(
    stream: impl Read + Send + 'static,
    all: Arc<Mutex<Vec<u8>>>,
    mut each: impl FnMut(&str) + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            all.lock().expect("readers do not panic").extend(&line);
            each(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Agent> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Agent::spawn(command)
    }

    #[test]
    fn objects_are_read_and_sigint_ends_it() {
        let script = r#"trap 'echo "{\"last\":1}"; exit 0' INT
            echo ready >&2; echo "{\"a\":2}"; echo noise; while :; do sleep 0.02; done"#;
        let agent = shell(script).unwrap();
        assert_eq!(agent.says(&["re", "dy"], Duration::ZERO).as_deref(), Some("ready"));
        assert_eq!(agent.says(&["re", "noise"], Duration::ZERO), None);
        let first = agent.next(Duration::from_secs(5)).expect("one object came");
        assert_eq!(first["a"], 2);
        let ended = agent.stop().unwrap();
        assert!(ended.status.success());
        assert_eq!(ended.objects, [serde_json::json!({"last": 1})]);
        assert!(String::from_utf8(ended.stdout).unwrap().contains("noise"));
    }

    #[test]
    fn an_early_end_says_why() {
        let error = shell("echo no BTF here >&2; exit 4").unwrap_err().to_string();
        assert!(error.contains("no BTF here") && error.contains('4'), "{error}");
    }
}
