//! Programs with Go's own TLS: `tests/programs/go`, built by several Go compilers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::binary;
use crate::held::Held;
use crate::lab::Lab;

/// The programs: each its file, named after the compiler and how it was linked. `$CPRVAGT_GO`, or what
/// `cargo xtask test` has built.
#[must_use]
pub fn programs() -> Vec<PathBuf> {
    let folder = binary::made_for_tests("CPRVAGT_GO", "go/programs");
    let mut programs: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path()).collect();
    programs.sort();
    programs
}

/// A program that runs and does nothing, as one that runs for long: an agent that starts finds it.
///
/// # Errors
/// When it cannot be started.
pub fn idle(program: &Path) -> Result<Held> {
    Held::start(Command::new(program).arg("idle").stdin(Stdio::piped()))
}

/// Has a program do what it is told: `requests` or `writes`, each line of which is one of `jobs`.
///
/// # Errors
/// When it cannot be started or fails.
pub fn run(lab: &Lab, program: &Path, verb: &str, jobs: &[impl Serialize], arguments: &[&str]) -> Result<()> {
    let lines: Vec<String> = jobs.iter().map(|it| serde_json::to_string(it).expect("plain data")).collect();
    let jobs = lab.scratch().write(&format!("{}.jobs", crate::scratch::unique_name()), lines.join("\n"))?;
    let mut command = lab.command(program.to_str().context("a path of ours is UTF-8")?)?;
    command.env("SSL_CERT_FILE", lab.authority().file()).arg(verb).arg(jobs).args(arguments);
    let output = command.stdin(Stdio::null()).output().context("starting a Go program")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{} {verb} failed ({}): {said}", program.display(), output.status);
    Ok(())
}

/// A server for one request, on port 443 of an address of the lab; it answers with what `text` holds.
///
/// # Errors
/// When it has no certificate.
pub fn server(
    lab: &Lab,
    program: &Path,
    address: std::net::IpAddr,
    host: &str,
    text: &Path,
) -> Result<Command> {
    let Ok([certificate, key]) = lab.authority().files(lab.scratch(), host) else {
        bail!("no certificate for {host}");
    };
    let mut command = Command::new(program);
    command.arg("serve").arg(std::net::SocketAddr::new(address, 443).to_string());
    command.args([&certificate, &key]).arg(text);
    Ok(command)
}
