//! Builds the kernel programs from source and hands their object to the agent.
//!
//! The agent builds with the stable toolchain; the kernel's target needs `core` built for it, which
//! takes a compiler with its library's sources and a linker for eBPF. Two ways lead there, and
//! `cargo xtask setup` opens one: rustup's nightly with `rust-src`, or Debian's `rustc-web` with
//! `rust-web-src`. Both need `bpf-linker`.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const TARGET: &str = "bpfel-unknown-none";
const OBJECT: &str = "cprvagt-ebpf";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!(
                "the kernel programs were not built: {reason}\nRun `cargo xtask setup` as root, then build again."
            );
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("..");
    for part in ["ebpf", "crates/abi", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={}", root.join(part).display());
    }
    println!("cargo:rerun-if-env-changed=PATH");
    let out = PathBuf::from(variable("OUT_DIR")?);
    let target_dir = out.join("ebpf");
    let toolchain = Toolchain::find()?;
    compile(&toolchain, &root.join("ebpf"), &target_dir)?;
    let object = target_dir.join(TARGET).join("release").join(OBJECT);
    std::fs::copy(&object, out.join("cprvagt.bpf.o"))
        .map_err(|error| format!("{}: {error}", object.display()))?;
    Ok(())
}

fn compile(toolchain: &Toolchain, package: &Path, target_dir: &Path) -> Result<(), String> {
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let mut command = toolchain.cargo();
    // What cargo tells a build script about the outer build must not reach the inner one.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_") && name != "CARGO_HOME"
            || name.starts_with("RUSTC")
            || name == "RUSTFLAGS"
        {
            command.env_remove(name);
        }
    }
    toolchain.set_environment(&mut command);
    command
        .current_dir(package)
        .env("CARGO_TARGET_DIR", target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(&arch).join("\u{1f}"))
        .args(["build", "--release", "--locked", "-Z", "build-std=core", "--target", TARGET]);
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?} ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

fn flags(arch: &str) -> [String; 3] {
    [format!("--cfg=bpf_target_arch=\"{arch}\""), "-Cdebuginfo=2".to_owned(), "-Clink-arg=--btf".to_owned()]
}

/// A compiler that can build `core` for the kernel's target.
enum Toolchain {
    /// rustup's nightly, with `rust-src`.
    Nightly,
    /// Debian's `rustc-web`, with `rust-web-src`.
    Debian,
}

impl Toolchain {
    fn find() -> Result<Self, String> {
        if !tool_exists("bpf-linker") {
            return Err("bpf-linker is not on PATH and not among cargo's programs".to_owned());
        }
        if nightly_has_sources() {
            return Ok(Self::Nightly);
        }
        if debian_has_sources() {
            return Ok(Self::Debian);
        }
        Err("neither rustup's nightly with rust-src nor Debian's rustc-web with rust-web-src is installed"
            .to_owned())
    }

    fn cargo(&self) -> Command {
        match self {
            Self::Nightly => {
                let mut command = Command::new("rustup");
                command.args(["run", "nightly", "cargo"]);
                command
            }
            Self::Debian => Command::new(DEBIAN_CARGO),
        }
    }

    fn set_environment(&self, command: &mut Command) {
        command.env("PATH", path_with_cargo_programs()).env_remove("RUSTUP_TOOLCHAIN");
        if matches!(self, Self::Debian) {
            command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
        }
    }
}

fn nightly_has_sources() -> bool {
    let output = Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]).output();
    output.is_ok_and(|output| output.status.success() && has_sources(&output.stdout))
}

fn debian_has_sources() -> bool {
    let output = Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]).output();
    Path::new(DEBIAN_CARGO).exists()
        && output.is_ok_and(|output| output.status.success() && has_sources(&output.stdout))
}

fn has_sources(sysroot: &[u8]) -> bool {
    let sysroot = String::from_utf8_lossy(sysroot);
    Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core").exists()
}

fn tool_exists(name: &str) -> bool {
    env::split_paths(&path_with_cargo_programs()).any(|folder| folder.join(name).exists())
}

/// `PATH`, and behind it the folder where `cargo install` puts programs.
fn path_with_cargo_programs() -> std::ffi::OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let folders = env::split_paths(&path).chain(home.map(|home| home.join("bin")));
    env::join_paths(folders).unwrap_or(path.clone())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}
