//! `deb`: agent and collector as Debian packages, and an apt repository of them.
//!
//! cargo-deb packs, cargo-about and cargo-cyclonedx list what is inside, the programs write their own manual. Metadata
//! and lists of files are in the manifests of both, units and maintainer scripts in `packaging/`.
//!
//! *Invariants*: all times are the last commit's, so that two builds are the same, byte for byte. A build has a target
//! folder of its own.
//! *Limits*: the same means with one toolchain and with sources and crates in the same folders: debugging information
//! of the kernel programs names them.

mod contents;
mod life;
mod repository;
mod version;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cprvagt_tests::live;

use crate::{setup, shell};
use repository::Signer;
use version::Version;

/// A package, the crate that it is made of, and the crates of which all that is inside comes.
const PACKAGES: [Package; 2] = [
    Package { name: "cprvagt-agent", program: "cprvagt", folder: "agent", made_of: &["agent", "ebpf"] },
    Package {
        name: "cprvagt-collector",
        program: "cprvagt-collector",
        folder: "collector",
        made_of: &["collector"],
    },
];

struct Package {
    name: &'static str,
    /// Its program, and the crate that makes it.
    program: &'static str,
    /// The crate's folder, and what belongs to it in `packaging/`.
    folder: &'static str,
    /// Folders of the crates that are in it with all that they use.
    made_of: &'static [&'static str],
}

/// What to do with the packages.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the packages go.
    #[arg(long, value_name = "DIR", default_value = "target/debian")]
    out: PathBuf,
    /// Also puts them into the apt repository in this folder, which is made, and signs it.
    #[arg(long, value_name = "DIR", requires = "key")]
    repo: Option<PathBuf>,
    /// The key that signs the repository, as gpg knows it: fingerprint or address.
    #[arg(long, value_name = "KEY", requires = "repo")]
    key: Option<String>,
    /// The folder in which gpg finds that key; gpg's own when not given.
    #[arg(long, value_name = "DIR", requires = "key")]
    gnupg_home: Option<PathBuf>,
    /// Who publishes the packages: `NAME <ADDRESS>`.
    #[arg(long, value_name = "MAINTAINER")]
    maintainer: Option<String>,
    /// Installs, changes, removes and purges them in this release of Debian, such as bookworm or trixie; may be repeated.
    #[arg(long = "try", value_name = "RELEASE")]
    releases: Vec<String>,
    /// Builds twice, from nothing the second time, and compares the bytes.
    #[arg(long)]
    check: bool,
}

/// Builds, looks over with lintian where that is installed, and publishes if asked.
///
/// # Errors
/// When a build fails, lintian complains, or two builds differ.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::for_deb()?;
    let version = Version::of_last_commit()?;
    let out = shell::root().join(&arguments.out);
    let target = shell::target_folder().join("deb");
    let packages = build(arguments, &version, &target, &out)?;
    if arguments.check {
        let second = tempfile::tempdir_in(shell::target_folder()).context("making a folder to build in")?;
        let again = build(arguments, &version, &second.path().join("deb"), &second.path().join("out"))?;
        for (one, other) in packages.iter().zip(&again) {
            let same = fs::read(one)? == fs::read(other)?;
            ensure!(same, "deb: two builds of {} differ", one.display());
        }
        eprintln!("deb: two builds are the same, byte for byte");
    }
    look_over(&packages)?;
    arguments.releases.iter().try_for_each(|release| life::through(&packages, release))?;
    if let (Some(repo), Some(key)) = (&arguments.repo, &arguments.key) {
        let signer = Signer { key: key.clone(), home: arguments.gnupg_home.clone() };
        repository::publish(&packages, &shell::root().join(repo), &signer)?;
    }
    packages.iter().for_each(|package| println!("{}", package.display()));
    Ok(())
}

/// Both packages, made in `target`, as files of `out`.
fn build(arguments: &Arguments, version: &Version, target: &Path, out: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    let mut cargo =
        shell::cargo("build --locked --release --bins --package cprvagt --package cprvagt-collector");
    shell::run(version.date(&mut cargo).env("CARGO_TARGET_DIR", target))?;
    PACKAGES.iter().map(|package| pack(arguments, version, package, target, out)).collect()
}

fn pack(
    arguments: &Arguments,
    version: &Version,
    package: &Package,
    target: &Path,
    out: &Path,
) -> Result<PathBuf> {
    let maintainer = arguments.maintainer.as_deref();
    contents::write(package, version, &target.join("release"), maintainer)?;
    let file = out.join(format!("{}_{version}_amd64.deb", package.name));
    let mut cargo = shell::cargo("deb --no-build --strip --quiet");
    cargo.args(["--package", package.program, "--deb-version", version.as_str(), "--output"]).arg(&file);
    cargo.args(maintainer.map(|maintainer| format!("--maintainer={maintainer}")));
    shell::run(version.date(&mut cargo).env("CARGO_TARGET_DIR", target))?;
    Ok(file)
}

/// lintian's verdict, of which warnings count as much as errors.
fn look_over(packages: &[PathBuf]) -> Result<()> {
    if live::which("lintian").is_none() {
        eprintln!("deb: lintian is not installed: the packages were not looked over");
        return Ok(());
    }
    let mut lintian = Command::new("lintian");
    lintian.args(["--fail-on=error,warning", "--tag-display-limit=0", "--allow-root"]).args(packages);
    shell::run(&mut lintian).context("looking over the packages")
}
