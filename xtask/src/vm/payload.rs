//! What a guest runs: programs, tests and the plan of them, on a disk that is made for each run.
//!
//! Tests are listed here, where it costs nothing. So it is known what should have run when a guest dies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::releases;
use super::selection::{LeftOut, Scope, TestName, is_wanted};
use crate::build::{self, Programs};
use crate::{go, python, relatives, shell};

const RUN: &str = include_str!("../../vm/run");
/// What the names of our folders begin with; the process id follows.
const OWN: &str = "payload-";

/// All that was built for guests, without what only a debugger reads.
pub struct Built {
    folder: TempDir,
    tests: Vec<TestName>,
}

/// The disk of one guest; gone on drop.
pub struct Payload {
    folder: TempDir,
    /// What the guest runs, in this order.
    pub plan: Vec<TestName>,
    /// What it does not run.
    pub left_out: Vec<LeftOut>,
}

impl Built {
    /// Builds agent, collector and tests as `cargo xtask test` does.
    ///
    /// # Errors
    /// When a build fails.
    pub fn new(work: &Path) -> Result<Self> {
        sweep(work)?;
        let Programs { agent, collector } = build::programs(build::Profile::Dev)?;
        let binaries = test_binaries()?;
        let folder = own_folder(work)?;
        strip(&agent, &folder.path().join("cprvagt"))?;
        strip(&collector, &folder.path().join("cprvagt-collector"))?;
        let mut tests = Vec::new();
        for (binary, file) in &binaries {
            strip(file, &folder.path().join(binary))?;
            tests.extend(list(binary, file)?);
        }
        python::packages()?;
        go::programs()?;
        relatives::programs()?;
        releases::unpack()?;
        let folders = [
            (programs_folder(), "programs"),
            (go::folder(), "go-programs"),
            (releases::folder(), "openssl"),
            (relatives::folder(), "relatives"),
        ];
        for (from, to) in folders {
            let copied = Command::new("cp").arg("-r").arg(&from).arg(folder.path().join(to)).status();
            ensure!(copied.context("starting cp")?.success(), "copying {} failed", from.display());
        }
        Ok(Self { folder, tests })
    }

    /// Makes the disk for one guest.
    ///
    /// # Errors
    /// When a file cannot be written or mkfs.erofs fails.
    pub fn payload(
        &self,
        work: &Path,
        scope: Scope,
        filters: &[String],
        test_seconds_max: u64,
    ) -> Result<Payload> {
        let (plan, left_out) = plan(&self.tests, scope, filters);
        let lines: String = plan.iter().map(|test| format!("{} {}\n", test.binary, test.name)).collect();
        let folder = own_folder(work)?;
        let content = folder.path().join("content");
        // Links, because guests that run at once share the programs and each has a plan of its own.
        let copied = Command::new("cp").arg("-rl").arg(self.folder.path()).arg(&content).status();
        ensure!(copied.context("starting cp")?.success(), "copying the payload failed");
        write_executable(&content.join("run"), RUN)?;
        fs::write(content.join("plan"), lines)?;
        fs::write(content.join("environment"), environment(test_seconds_max))?;
        let payload = Payload { folder, plan, left_out };
        let output = Command::new("mkfs.erofs").arg("--quiet").args([&payload.disk(), &content]).output();
        let output = output.context("starting mkfs.erofs")?;
        ensure!(output.status.success(), "mkfs.erofs: {}", String::from_utf8_lossy(&output.stderr));
        Ok(payload)
    }
}

impl Payload {
    /// The disk.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.folder.path().join("disk")
    }
}

/// A new folder, named after this process.
fn own_folder(work: &Path) -> Result<TempDir> {
    let prefix = format!("{OWN}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(work).context("making a folder for a payload")
}

/// Removes the folders of runs that were killed.
fn sweep(work: &Path) -> Result<()> {
    let reading = || format!("reading {}", work.display());
    for entry in fs::read_dir(work).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner: Option<u32> = name.strip_prefix(OWN).and_then(|rest| rest.split('-').next()?.parse().ok());
        if owner.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            fs::remove_dir_all(entry.path()).with_context(|| format!("removing {name}"))?;
        }
    }
    Ok(())
}

fn plan(tests: &[TestName], scope: Scope, filters: &[String]) -> (Vec<TestName>, Vec<LeftOut>) {
    let mut left_out: Vec<LeftOut> = Vec::new();
    let mut plan = Vec::new();
    for test in tests {
        match scope.against(test) {
            None if is_wanted(test, filters) => plan.push(test.clone()),
            None => {}
            Some(it) if left_out.contains(&it) => {}
            Some(it) => left_out.push(it),
        }
    }
    (plan, left_out)
}

/// The test binaries of `cprvagt-tests`, sorted: name and file.
fn test_binaries() -> Result<Vec<(String, PathBuf)>> {
    let mut cargo = shell::cargo("test --package cprvagt-tests --no-run");
    let mut binaries = Vec::new();
    for message in shell::messages(&mut cargo).context("building the tests")? {
        let is_test = message["target"]["kind"][0] == "test";
        let name = message["target"]["name"].as_str().filter(|_| is_test);
        if let (Some(name), Some(file)) = (name, message["executable"].as_str()) {
            binaries.push((name.to_owned(), PathBuf::from(file)));
        }
    }
    binaries.sort();
    Ok(binaries)
}

fn strip(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("strip").arg("--strip-all").arg("-o").args([to, from]).status();
    ensure!(status.context("starting strip")?.success(), "stripping {} failed", from.display());
    Ok(())
}

/// The names of its tests, which it prints as `NAME: test`.
fn list(binary: &str, file: &Path) -> Result<Vec<TestName>> {
    let output = Command::new(file).args(["--list", "--format", "terse"]).output();
    let output = output.with_context(|| format!("starting {}", file.display()))?;
    ensure!(output.status.success(), "{} does not list its tests", file.display());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(|name| TestName { binary: binary.to_owned(), name: name.to_owned() }).collect())
}

/// Where the tests were built to look for what they run.
fn programs_folder() -> PathBuf {
    shell::root().join("tests/programs")
}

/// What `run` reads before anything else.
fn environment(test_seconds_max: u64) -> String {
    let programs = programs_folder().display().to_string().replace('\'', r"'\''");
    format!(
        "export CPRVAGT_VM=1 CPRVAGT_BIN=/vm/cprvagt CPRVAGT_COLLECTOR_BIN=/vm/cprvagt-collector\n\
         export CPRVAGT_GO=/vm/go-programs CPRVAGT_OPENSSL=/vm/openssl CPRVAGT_RELATIVES=/vm/relatives RUST_BACKTRACE=1\n\
         TEST_SECONDS_MAX={test_seconds_max}\n\
         PROGRAMS='{programs}'\n"
    )
}

/// Writes a program.
///
/// # Errors
/// When that fails.
pub fn write_executable(file: &Path, content: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(file, content)
        .and_then(|()| fs::set_permissions(file, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_dead_runs_are_removed() {
        let work = tempfile::tempdir().unwrap();
        let (dead, other) = (work.path().join("payload-4999999-a"), work.path().join("6.12"));
        let living = own_folder(work.path()).unwrap();
        for folder in [&dead, &other] {
            fs::create_dir(folder).unwrap();
        }
        sweep(work.path()).unwrap();
        assert!(!dead.exists() && other.exists() && living.path().exists());
    }

    #[test]
    fn the_plan_has_what_is_wanted_and_says_what_is_left_out() {
        let names = [("browser", "a"), ("browser", "b"), ("systemd", "c"), ("wire", "d"), ("wire", "e")];
        let tests = names.map(|(binary, name)| TestName { binary: binary.into(), name: name.into() });
        let (planned, left_out) = plan(&tests, Scope::Plain, &["wire::e".into(), "browser".into()]);
        assert_eq!(planned, tests[4..]);
        let left_out: Vec<_> = left_out.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(left_out, ["browser", "systemd"]);
    }
}
