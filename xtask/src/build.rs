//! `build`: agent and collector; the agent's build script builds the kernel programs.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{setup, shell};

/// What was built.
pub struct Programs {
    /// The agent.
    pub agent: PathBuf,
    /// The collector.
    pub collector: PathBuf,
}

/// How the compiler works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Profile {
    /// As it is shipped: for people, the demo and benchmarks.
    Release,
    /// As tests are built. They share its libraries, which halves the time that all tests take from nothing.
    Dev,
}

/// Sets up and builds.
pub fn run() -> Result<()> {
    setup::run()?;
    let programs = programs(Profile::Release)?;
    println!("{}\n{}", programs.agent.display(), programs.collector.display());
    Ok(())
}

/// Builds both programs and returns where they are.
///
/// # Errors
/// When the build fails.
pub fn programs(profile: Profile) -> Result<Programs> {
    let mut cargo = shell::cargo("build --package cprvagt --package cprvagt-collector --bins");
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    let (mut agent, mut collector) = (None, None);
    for message in shell::messages(&mut cargo).context("building the programs")? {
        let program = message["executable"].as_str().map(PathBuf::from);
        match message["target"]["name"].as_str() {
            Some("cprvagt") => agent = program.or(agent),
            Some("cprvagt-collector") => collector = program.or(collector),
            _ => {}
        }
    }
    let told = |program: Option<PathBuf>| program.context("cargo did not say where it put a program");
    Ok(Programs { agent: told(agent)?, collector: told(collector)? })
}
