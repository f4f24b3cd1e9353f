//! Go programs for the tests: one source, built by Debian's Go and by the newest, with symbols and without.
//!
//! Where a Go cannot be had its programs are not built, and the tests name what they skip.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{python, shell};

/// How a program is linked, as its name says it, and the linker's arguments for it.
const LINKED: [(&str, &[&str]); 3] =
    [("", &[]), ("-stripped", &["-ldflags=-s -w"]), ("-stripped-pie", &["-ldflags=-s -w", "-buildmode=pie"])];

/// Where the programs are.
pub fn folder() -> PathBuf {
    shell::target_folder().join("go/programs")
}

/// Builds what is not built yet.
///
/// # Errors
/// When a build fails; not when a Go is missing.
pub fn programs() -> Result<()> {
    let source = shell::root().join("tests/programs/go/main.go");
    fs::create_dir_all(folder()).with_context(|| format!("making {}", folder().display()))?;
    build_all("debian", Path::new("/usr/bin/go"), None, &source)?;
    let newest = python::folder().join("go");
    build_all("newest", &newest.join("bin/go"), Some(&newest), &source)
}

fn build_all(name: &str, go: &Path, root: Option<&Path>, source: &Path) -> Result<()> {
    if !go.is_file() {
        return Ok(());
    }
    for (linked, arguments) in LINKED {
        let program = folder().join(format!("{name}{linked}"));
        if [source, go].iter().all(|it| shell::is_newer(&program, it)) {
            continue;
        }
        let mut command = Command::new(go);
        command.env("GOCACHE", shell::target_folder().join("go/cache"));
        // Nothing is fetched: there are no modules, and no other toolchain is wanted.
        command.envs([("GO111MODULE", "off"), ("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0")]);
        command.envs(root.map(|root| ("GOROOT", root)));
        command.args(["build", "-o"]).arg(&program).args(arguments).arg(source);
        shell::run(&mut command)?;
    }
    Ok(())
}
