//! Runs other programs, saying which.
//!
//! *Invariants*: what they print goes to our standard error; standard output is for results alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The workspace's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

/// Where cargo builds.
pub fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Where `cargo install` puts programs.
pub fn cargo_bin() -> PathBuf {
    let home = |name| std::env::var_os(name).map(PathBuf::from);
    home("CARGO_HOME").or_else(|| Some(home("HOME")?.join(".cargo"))).unwrap_or_default().join("bin")
}

/// A cargo command in the workspace's folder.
pub fn cargo(arguments: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments.split_whitespace()).current_dir(root());
    command
}

/// Runs it to its end, its output on our standard error.
///
/// # Errors
/// When it cannot start or fails.
pub fn run(command: &mut Command) -> Result<()> {
    announce(command);
    let program = command.get_program().display().to_string();
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status();
    let status = status.with_context(|| format!("starting {program}"))?;
    if !status.success() {
        bail!("{program} failed ({status})");
    }
    Ok(())
}

/// Runs a cargo command to its end; what it says of what it builds, a JSON message a line, its own words on our standard
/// error.
///
/// # Errors
/// When it cannot start or fails.
pub fn messages(cargo: &mut Command) -> Result<Vec<Value>> {
    announce(cargo);
    cargo.arg("--message-format=json-render-diagnostics").stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = cargo.output().context("starting cargo")?;
    if !output.status.success() {
        bail!("cargo failed ({})", output.status);
    }
    // Programs that it runs may print lines of their own.
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Whether what was made of a file is there and younger.
pub fn is_newer(made: &Path, of: &Path) -> bool {
    let modified = |file: &Path| fs::metadata(file).and_then(|it| it.modified()).ok();
    modified(made).zip(modified(of)).is_some_and(|(made, of)| made > of)
}

/// Says on standard error what is about to run.
pub fn announce(command: &Command) {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().display().to_string();
    let arguments: Vec<String> = command.get_args().map(|argument| argument.display().to_string()).collect();
    eprintln!("$ {program} {}", arguments.join(" "));
}
