//! Tests on a processor that this machine need not have: Bochs, an emulator of a whole computer, knows AVX-512.
//!
//! The computer starts from a disc with a kernel of Debian's and, as its only programs, busybox and the tests, which
//! are linked statically. What it prints on its serial port is the result.
//!
//! *Limits*: [`SECONDS_MAX`] for the whole; some two instructions of a hundred that a real processor would do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{fuzz, shell, vm};

/// The oldest kernel of the matrix starts fastest.
const KERNEL: &str = "5.10";
const INIT: &str = include_str!("../../memcheck/init");
const COMPUTER: &str = include_str!("../../memcheck/bochsrc");
/// What makes the disc start, and where Debian puts it.
const LOADER: [&str; 2] = ["/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/modules/bios/ldlinux.c32"];
const START: &str = "default linux\nprompt 0\nlabel linux\nkernel vmlinuz\n\
    append initrd=initrd console=ttyS0 quiet nokaslr mitigations=off panic=-1\n";
/// How Debian's build of Bochs is told to go on: it has a debugger.
const COMMANDS: &str = "continue\nquit\n";
const SECONDS_MAX: &str = "3600";

/// What to install where something is missing.
pub fn missing() -> Option<String> {
    let programs = [
        "/usr/bin/bochs",
        "/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so",
        "/usr/bin/xorriso",
        "/bin/busybox",
        "/usr/bin/cpio",
    ];
    let there = programs.iter().chain(&LOADER).all(|file| Path::new(file).exists());
    (!there).then(|| {
        "apt-get install bochs bochs-term bochsbios vgabios xorriso isolinux syslinux-common busybox-static cpio kmod".into()
    })
}

/// Builds the tests, runs them, and wants to see that all passed and that `backend` was among those that ran.
///
/// # Errors
/// When something cannot be built or started, or did not pass.
pub fn run(build: &Path, tests: &[&str], backend: &str) -> Result<()> {
    let folder = tempfile::tempdir().context("making a folder for the computer")?;
    let (root, disc) = (folder.path().join("root"), folder.path().join("disc"));
    fill_root(&root, &static_tests(build, tests)?)?;
    fill_disc(&disc, &root)?;
    let image = folder.path().join("disc.iso");
    let mut xorriso = Command::new("xorriso");
    xorriso.args(["-as", "mkisofs", "-quiet", "-b", "isolinux.bin", "-c", "boot.cat", "-no-emul-boot"]);
    xorriso.args(["-boot-load-size", "4", "-boot-info-table", "-o"]).arg(&image).arg(&disc);
    shell::run(&mut xorriso)?;
    let printed = start(folder.path())?;
    print!("{printed}");
    ensure!(printed.contains("all tests passed"), "not all tests passed under Bochs");
    ensure!(printed.contains(&format!("backends: {backend} ")), "{backend} was not among the backends");
    Ok(())
}

/// The programs of these tests, which need nothing but a kernel.
fn static_tests(build: &Path, tests: &[&str]) -> Result<Vec<PathBuf>> {
    let mut cargo = shell::cargo("test --release --package cprvagt-cpr --no-run");
    cargo.args(["--target", &fuzz::host()?]).args(tests.iter().flat_map(|test| ["--test", test]));
    // With a target named, the flag does not reach build scripts and macros.
    cargo.env("CARGO_TARGET_DIR", build).env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
    let messages = shell::messages(&mut cargo).context("building the tests")?.into_iter();
    Ok(messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).collect())
}

fn fill_root(root: &Path, tests: &[PathBuf]) -> Result<()> {
    for folder in ["bin", "dev", "proc", "tests"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("copying busybox")?;
    for test in tests {
        let to = root.join("tests").join(test.file_name().unwrap_or_default());
        shell::run(Command::new("strip").arg("-o").args([&to, test]))?;
    }
    vm::write_executable(&root.join("init"), INIT)
}

fn fill_disc(disc: &Path, root: &Path) -> Result<()> {
    fs::create_dir(disc)?;
    fs::copy(vm::kernel_image(KERNEL)?, disc.join("vmlinuz")).context("copying the kernel")?;
    vm::pack(root, &disc.join("initrd"))?;
    for file in LOADER {
        let name = Path::new(file).file_name().unwrap_or_default();
        fs::copy(file, disc.join(name)).with_context(|| format!("copying {file}"))?;
    }
    fs::write(disc.join("isolinux.cfg"), START).context("writing what is started")
}

/// Runs the computer to its end; what it printed.
fn start(folder: &Path) -> Result<String> {
    fs::write(folder.join("bochsrc"), COMPUTER)?;
    fs::write(folder.join("commands"), COMMANDS)?;
    let bochs = format!("timeout {SECONDS_MAX} bochs -q -f bochsrc -rc commands");
    // Its screen is a terminal, or else a port of the network.
    let mut script = Command::new("script");
    script.args(["--quiet", "--command", &bochs, "/dev/null"]).current_dir(folder).env("TERM", "linux");
    shell::announce(&script);
    // Its input stays open, since without one it would no longer take what the screen shows.
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().context("starting script")?;
    let input = child.stdin.take();
    // Its exit code tells nothing: a computer that is switched off ends it as an error does.
    child.wait().context("waiting for script")?;
    drop(input);
    fs::read_to_string(folder.join("serial")).context("it printed nothing")
}
