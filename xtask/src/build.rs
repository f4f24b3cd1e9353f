//! `build`: the agent for release; its build script builds the kernel programs.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{setup, shell};

/// Sets up and builds.
pub fn run() -> Result<()> {
    setup::run()?;
    println!("{}", agent()?.display());
    Ok(())
}

/// Builds the agent and returns where its program is.
///
/// # Errors
/// When the build fails.
pub fn agent() -> Result<PathBuf> {
    let mut cargo = shell::cargo("build --release --package cprvagt --bin cprvagt");
    shell::announce(&cargo);
    cargo.arg("--message-format=json-render-diagnostics").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = cargo.spawn().context("starting cargo")?;
    let mut program = None;
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        let message: Value = serde_json::from_str(&line?).unwrap_or_default();
        if message["target"]["name"] == "cprvagt" {
            program = message["executable"].as_str().map(PathBuf::from).or(program);
        }
    }
    ensure!(child.wait()?.success(), "building the agent failed");
    program.context("cargo did not say where it put the agent")
}
