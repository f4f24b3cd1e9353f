//! A package's life: installed, changed, upgraded, removed and purged in a Debian of its own, which is thrown away.
//!
//! *Limits*: no service manager runs there, so units are not started; `cargo xtask vm --systemd` has that. The agent
//! watches this machine's kernel meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{shell, vm::archive::Archive};

const LIFE: &str = include_str!("../../../packaging/life");
/// What is there before the packages are, so that a failure is theirs.
const INCLUDED: &str = "ca-certificates,procps,systemd";
/// Newer than any.
const NEWER: &str = "9999-1";
/// What the agent watches, seen from the new root, in a view that ends with the command.
const IN_ROOT: &str = r#"mount --rbind /sys "$0/sys" && mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" &&
                         exec chroot "$0" sh /life"#;

/// Lets the packages live in that release of Debian.
///
/// # Errors
/// When the archive cannot be reached, or something is not as packaging/README.md has it.
pub fn through(packages: &[PathBuf], release: &str) -> Result<()> {
    let archive = Archive::of_this_machine()?;
    let work = tempfile::tempdir_in(shell::target_folder()).context("making a folder for a Debian")?;
    let root = work.path().join("root");
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap.args(["--quiet", "--variant=minbase", "--mode=root", "--format=directory"]);
    mmdebstrap.arg(format!("--include={INCLUDED}")).arg(release).arg(&root);
    let lines = [archive.line(release), archive.line(&format!("{release}-security"))];
    shell::run(mmdebstrap.args(lines)).with_context(|| format!("making a Debian {release}"))?;
    fs::create_dir_all(root.join("packages/newer"))?;
    for package in packages {
        let name = package.file_name().context("a package has a name")?;
        fs::copy(package, root.join("packages").join(name))?;
        repack(package, work.path(), &root.join("packages/newer"))?;
    }
    fs::write(root.join("life"), LIFE)?;
    let status = Command::new("unshare").args(["--mount", "sh", "-c", IN_ROOT]).arg(&root).status();
    ensure!(status.context("starting unshare")?.success(), "deb: the packages do not live well in {release}");
    Ok(())
}

/// The same package under a newer version.
fn repack(package: &Path, work: &Path, to: &Path) -> Result<()> {
    let tree = work.join("tree");
    shell::run(Command::new("dpkg-deb").arg("--raw-extract").args([package, &tree]))?;
    let control = tree.join("DEBIAN/control");
    let text = fs::read_to_string(&control)?;
    let lines = text.lines().map(|line| match line.strip_prefix("Version: ") {
        Some(_) => format!("Version: {NEWER}\n"),
        None => format!("{line}\n"),
    });
    fs::write(&control, lines.collect::<String>())?;
    shell::run(Command::new("dpkg-deb").args(["--root-owner-group", "-Znone", "--build"]).args([&tree, to]))?;
    Ok(fs::remove_dir_all(&tree)?)
}
