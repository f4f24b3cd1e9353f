//! QEMU: a version that is fit, and its command line.
//!
//! Guests run in software emulation. Hardware's would be faster, but where /dev/kvm is there it need not work, and
//! results must not depend on the machine. Older versions emulate some atomic instructions and the patching of code
//! across processors wrongly: kernels then die at random.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;
use nix::unistd::geteuid;

use super::apt::Packages;
use super::archive::Archive;
use super::cache::Cache;
use crate::refusal::{MISSING, refuse};

const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";
/// The first major version that never let a guest die in a hundred boots.
const MAJOR_MIN: u32 = 10;
/// Where a fit version is, for the release whose own is too old.
const RELEASE: &str = "bookworm";
const BACKPORTS: &str = "bookworm-backports";

/// What a guest is given of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// Processors.
    pub cpus: usize,
    /// Memory.
    pub memory_mib: u32,
}

/// The files that a guest runs from and writes to.
#[derive(Clone, Debug)]
pub struct Files {
    /// The kernel.
    pub kernel: PathBuf,
    /// What it starts from.
    pub initramfs: PathBuf,
    /// The root's disk.
    pub root: PathBuf,
    /// The payload's disk.
    pub payload: PathBuf,
    /// What the port says goes here.
    pub port: PathBuf,
}

/// Where a guest's console is.
#[derive(Clone, Debug)]
pub enum Console {
    /// In a file.
    File(PathBuf),
    /// On the terminal that we run on.
    Terminal,
}

/// Installs it when it is missing or too old.
///
/// # Errors
/// With exit code 4 when it cannot be installed.
pub fn ensure(cache: &Cache, archive: &Archive) -> Result<()> {
    if version().is_some_and(|version| is_fit(&version)) {
        return Ok(());
    }
    eprintln!("vm: {PROGRAM} {MAJOR_MIN} or later is missing (boots other kernels): package {PACKAGE}");
    if !geteuid().is_root() {
        return refuse(
            MISSING,
            format!("vm: installing needs root; run as root: cargo xtask vm, or install {PACKAGE}"),
        );
    }
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if release.contains(&format!("VERSION_CODENAME={RELEASE}")) {
        Packages::of(cache, archive, &[RELEASE, BACKPORTS], false)?.install(&[PACKAGE], BACKPORTS)?;
    } else {
        crate::setup::install(&[PACKAGE])?;
    }
    match version() {
        Some(version) if is_fit(&version) => Ok(()),
        version => refuse(
            MISSING,
            format!("vm: {PACKAGE} {MAJOR_MIN} or later is needed; here is {}", version.unwrap_or_default()),
        ),
    }
}

/// What it says of its version.
#[must_use]
pub fn version() -> Option<String> {
    let output = Command::new(PROGRAM).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().next()?.strip_prefix("QEMU emulator version ")?.to_owned())
}

fn is_fit(version: &str) -> bool {
    version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok())
        .is_some_and(|major| major >= MAJOR_MIN)
}

/// The whole command; the guest ends with us, however we end.
#[must_use]
pub fn command(hardware: Hardware, files: &Files, console: &Console, words: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", PROGRAM]);
    command.args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"]);
    command.args(["-smp", &hardware.cpus.to_string(), "-m", &hardware.memory_mib.to_string()]);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none"]);
    let console = match console {
        Console::File(file) => format!("file,id=console,path={}", quoted(file)),
        Console::Terminal => "stdio,id=console,signal=off".to_owned(),
    };
    command.args(["-chardev", &console, "-serial", "chardev:console"]);
    command.args(["-device", "virtio-serial-pci", "-device", "virtio-rng-pci"]);
    command.arg("-chardev").arg(format!("file,id=results,path={}", quoted(&files.port)));
    command.args(["-device", "virtserialport,chardev=results,name=results"]);
    for (id, disk) in [("root", &files.root), ("payload", &files.payload)] {
        let drive = format!("if=none,id={id},format=raw,readonly=on,file.locking=off,file={}", quoted(disk));
        command.args(["-drive", &drive, "-device", &format!("virtio-blk-pci,drive={id}")]);
    }
    command.arg("-kernel").arg(&files.kernel).arg("-initrd").arg(&files.initramfs);
    command.args(["-append", &append(words)]);
    command
}

/// The kernel's command line: warnings are on the console, a panic ends the guest, and clocks are trusted, because
/// what emulates them is slow but right.
fn append(words: &[&str]) -> String {
    let always = "console=ttyS0 loglevel=5 panic=-1 tsc=reliable no_timer_check mitigations=off \
                  systemd.mask=serial-getty@ttyS0.service systemd.show_status=error TERM=dumb";
    format!("{always} {}", words.join(" ")).trim_end().to_owned()
}

/// QEMU's options are cut at commas, unless they are doubled.
fn quoted(file: &Path) -> String {
    file.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_not_fit() {
        for (version, fit) in [
            ("7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", false),
            ("10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)", true),
            ("11.0.0", true),
            ("", false),
        ] {
            assert_eq!(is_fit(version), fit, "{version}");
        }
    }

    #[test]
    fn commas_in_paths_are_kept() {
        assert_eq!(quoted(Path::new("/a,b/c")), "/a,,b/c");
    }
}
