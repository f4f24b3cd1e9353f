//! `memcheck`: runs the matcher's tests (`crates/cpr/tests`) under programs that watch each access to memory, and on
//! processors that this machine need not have.
//!
//! | | what it sees | backends |
//! |---|---|---|
//! | miri | every rule of the language, on an abstract machine | portable |
//! | address | reads and writes outside of an allocation | all that the processor has |
//! | valgrind | the same, and what depends on memory that nobody wrote | portable, AVX2 |
//! | neon | what each backend finds; reads beyond a page that ends memory. QEMU, one program at a time | NEON, portable |
//! | avx512 | the same. [`bochs`], a whole computer | AVX-512, AVX2, portable |
//!
//! Where the processor has AVX-512, all tests run with it anyway, and the last shows nothing more.
//!
//! *Invariants*: a dated compiler, so that a newer one cannot change what is seen; what it builds lies in folders of
//! its own.

mod bochs;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use cprvagt_tests::live;

use crate::refusal::{MISSING, refuse};
use crate::{fuzz, shell};

/// Has the interpreter, and the flag for AddressSanitizer. Not `nightly`, which the build would take for the kernel
/// programs once it has sources.
const NIGHTLY: &str = "nightly-2026-05-20";

const TEST: &str = "test --package cprvagt-cpr --test memory";
/// Other tests of the same code, with more texts, which lie in the middle of an allocation.
const MORE: &str = "--test find --test scanner";

const AARCH64: &str = "aarch64-unknown-linux-gnu";
const AARCH64_LINKER: &str = "aarch64-linux-gnu-gcc";
const AARCH64_QEMU: &str = "qemu-aarch64 -L /usr/aarch64-linux-gnu";

/// Which.
#[derive(clap::Args)]
pub struct Arguments {
    /// The watcher; each that is installed, one after another, when left out.
    #[arg(value_enum)]
    name: Option<Watcher>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Watcher {
    /// The interpreter of Rust's intermediate code.
    Miri,
    /// AddressSanitizer.
    Address,
    /// valgrind's memcheck.
    Valgrind,
    /// A processor of the kind aarch64, emulated.
    Neon,
    /// A processor with AVX-512, emulated.
    Avx512,
}

/// Builds and runs.
pub fn run(arguments: &Arguments) -> Result<()> {
    let asked = arguments.name.as_ref().map_or(Watcher::value_variants(), std::slice::from_ref);
    let mut ran = 0;
    for watcher in asked {
        match watcher.missing() {
            None => {
                watcher.run()?;
                ran += 1;
            }
            Some(remedy) if arguments.name.is_some() => {
                return refuse(MISSING, format!("memcheck: {remedy}"));
            }
            Some(remedy) => println!("skipped: {watcher:?}: {remedy}"),
        }
    }
    ensure!(ran > 0, "memcheck: none of the watchers is installed");
    println!("memcheck: {ran} of {} watchers saw nothing wrong", asked.len());
    Ok(())
}

impl Watcher {
    /// What to do where it is not installed.
    fn missing(self) -> Option<String> {
        let sysroot = toolchain();
        let nightly =
            "rustup toolchain install nightly-2026-05-20 --profile minimal --component miri,rust-src";
        let has = |file: &str| sysroot.as_ref().is_some_and(|sysroot| sysroot.join(file).exists());
        match self {
            Self::Miri => {
                (!has("bin/miri") || !has("lib/rustlib/src/rust/library")).then(|| nightly.to_owned())
            }
            Self::Address => (!has("bin/rustc")).then(|| nightly.to_owned()),
            Self::Valgrind => {
                live::which("valgrind").is_none().then(|| "apt-get install valgrind".to_owned())
            }
            Self::Neon => missing_for_neon(),
            Self::Avx512 => bochs::missing(),
        }
    }

    fn run(self) -> Result<()> {
        let folder = shell::target_folder().join("memcheck").join(format!("{self:?}").to_lowercase());
        let mut command = match self {
            // Nothing is seeded by the clock, and no file is read.
            Self::Miri => nightly_cargo(&format!("miri {TEST}")),
            Self::Address => address()?,
            Self::Valgrind => valgrind()?,
            Self::Neon => neon(),
            Self::Avx512 => return bochs::run(&folder, &["find", "guard_page", "memory"], "avx512"),
        };
        shell::run(command.env("CARGO_TARGET_DIR", folder))
    }
}

fn address() -> Result<Command> {
    let mut command = nightly_cargo(&format!("{TEST} {MORE} --release --target {}", fuzz::host()?));
    // What is left behind at the end is no read outside; looking for it needs ptrace.
    command.env("RUSTFLAGS", "-Zsanitizer=address").env("ASAN_OPTIONS", "detect_leaks=0");
    Ok(command)
}

fn valgrind() -> Result<Command> {
    let mut command = shell::cargo(&format!("{TEST} --release"));
    let runner = fuzz::host()?.to_uppercase().replace('-', "_");
    let valgrind = "valgrind --quiet --error-exitcode=9 --leak-check=no";
    command.env(format!("CARGO_TARGET_{runner}_RUNNER"), valgrind);
    Ok(command)
}

fn neon() -> Command {
    let mut command = shell::cargo(&format!("{TEST} {MORE} --test guard_page --lib --release"));
    command.args(["--target", AARCH64]);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", AARCH64_LINKER);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", AARCH64_QEMU);
    command
}

/// What to do where something is missing that makes or runs programs for aarch64.
fn missing_for_neon() -> Option<String> {
    if ["qemu-aarch64", AARCH64_LINKER].iter().any(|program| live::which(program).is_none()) {
        return Some("apt-get install qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross".into());
    }
    let mut query = Command::new("rustc");
    let output = query.args(["--print", "target-libdir", "--target", AARCH64]).output().ok();
    let folder = output.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    (!Path::new(folder.trim()).is_dir()).then(|| format!("rustup target add {AARCH64}"))
}

/// Cargo of the dated compiler. What the outer cargo says of itself must not reach it.
fn nightly_cargo(arguments: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", NIGHTLY, "cargo"]).args(arguments.split_whitespace()).current_dir(shell::root());
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "RUSTDOC"] {
        command.env_remove(name);
    }
    command
}

/// Where the dated compiler is installed.
fn toolchain() -> Option<PathBuf> {
    let mut query = Command::new("rustup");
    query.args(["run", NIGHTLY, "rustc", "--print", "sysroot"]).env_remove("RUSTUP_TOOLCHAIN");
    let output = query.output().ok().filter(|output| output.status.success())?;
    Some(PathBuf::from(OsString::from(String::from_utf8(output.stdout).ok()?.trim())))
}
