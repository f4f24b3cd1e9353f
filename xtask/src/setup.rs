//! `setup`: finds out what building, demo and tests need, installs what is missing, and says why.
//!
//! Kernel programs are built in one of two ways, and what is there is preferred:
//! a rustup nightly with `rust-src` and `bpf-linker`; or Debian's own newer compiler with its sources,
//! and a `bpf-linker` built against the same LLVM.  The agent's build script uses what it finds.
//!
//! *Not here*: where packages come from. That is apt's and cargo's own configuration.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use cprvagt_tests::live;
use nix::unistd::geteuid;

use crate::refusal::{MISSING, refuse};
use crate::shell;

/// A program that demo and tests run, the Debian package it comes in, and why.
const PROGRAMS: [(&str, &str, &str); 8] = [
    ("ip", "iproute2", "makes the lab network"),
    ("nft", "nftables", "drops packets in the lab, for tests of retransmission"),
    ("unshare", "util-linux", "gives each leaking program its own view of /etc/hosts"),
    ("curl", "curl", "leaking program"),
    ("openssl", "openssl", "leaking program"),
    ("/usr/bin/python3", "python3", "leaking program"),
    ("node", "nodejs", "leaking program"),
    ("wget", "wget", "leaking program"),
];

/// What the tests alone run.
const TEST_PROGRAMS: [(&str, &str, &str); 28] = [
    ("chromium", "chromium", "looks at the collector's pages"),
    ("chromedriver", "chromium-driver", "drives the browser"),
    ("gnutls-cli", "gnutls-bin", "leaking program"),
    ("/usr/include/openssl/ssl.h", "libssl-dev", "is linked into a leaking program"),
    ("javac", "default-jdk-headless", "makes and runs a program with Java's TLS"),
    ("cc", "gcc", "makes leaking programs"),
    ("g++", "g++", "makes AWS-LC for one of them"),
    ("make", "make", "makes LibreSSL for one of them"),
    ("objcopy", "binutils", "takes symbols out of them"),
    ("/usr/bin/go", "golang-go", "makes leaking programs"),
    (
        "/usr/lib/python3/dist-packages/pip/__init__.py",
        "python3-pip",
        "fetches programs that Debian does not have",
    ),
    ("psql", "postgresql-client", "leaking program"),
    ("ldapsearch", "ldap-utils", "leaking program"),
    ("mariadb", "mariadb-client", "leaking program"),
    ("git", "git", "leaking program"),
    ("tcpdump", "tcpdump", "captures what leaks are compared with"),
    ("tinyproxy", "tinyproxy-bin", "passes on what programs leak"),
    ("microsocks", "microsocks", "passes on what programs leak"),
    ("nginx", "nginx-light", "leaking program, as a proxy"),
    // Not apache2, which starts a daemon.
    ("apache2", "apache2-bin", "leaking program, as a proxy"),
    ("postfix", "postfix", "leaking program, which sends mail"),
    ("tstclnt", "libnss3-tools", "leaking program"),
    ("firefox-esr", "firefox-esr", "leaking program"),
    ("php", "php-cli", "leaking program"),
    ("ruby", "ruby", "leaking program"),
    ("/usr/share/perl5/IO/Socket/SSL.pm", "libio-socket-ssl-perl", "with which perl leaks"),
    ("/usr/lib/python3/dist-packages/requests/__init__.py", "python3-requests", "with which python3 leaks"),
    ("/usr/lib/python3/dist-packages/aiohttp/__init__.py", "python3-aiohttp", "with which python3 leaks"),
];

/// What packages ask when they are installed (debconf(7)): a Postfix without configuration does not run.
const ANSWERS: &str = "postfix postfix/main_mailer_type select No configuration\n";

/// What `vm` needs beside QEMU: the Debian package, and why.
const VM_PACKAGES: [(&str, &str); 8] = [
    ("binutils", "strips the programs that guests run"),
    ("busybox-static", "is what a guest starts with"),
    ("cpio", "packs what a guest starts from"),
    ("erofs-utils", "makes the disks of guests"),
    ("kmod", "finds the modules that a guest needs"),
    ("mmdebstrap", "makes the root of guests"),
    ("xz-utils", "unpacks kernel modules"),
    ("zstd", "unpacks kernel modules"),
];

/// What `bench matcher` links or loads: the Debian package, and why. Where Hyperscan is not built, Vectorscan's package
/// provides its name.
const MATCHER_PACKAGES: [(&str, &str); 4] = [
    ("g++", "compiles what speaks to RE2"),
    ("libhyperscan5", "is a rival"),
    ("libpcre2-dev", "is a rival"),
    ("libre2-dev", "is a rival"),
];

/// What `deb` runs: the Debian package, and why.
const DEB_PACKAGES: [(&str, &str); 4] = [
    ("apt-utils", "lists what an apt repository holds"),
    ("binutils", "takes out of a program what only a debugger reads"),
    ("dpkg-dev", "finds the libraries that a program needs"),
    ("gpg", "signs an apt repository"),
];

/// What `deb` runs that cargo installs: the program, its pinned version, more options, and why. Another version packs
/// other bytes.
const DEB_TOOLS: [(&str, &str, &str, &str); 3] = [
    ("cargo-deb", "3.8.0", "", "makes packages"),
    ("cargo-about", "0.9.3", "--features cli", "lists licences"),
    ("cargo-cyclonedx", "0.5.9", "", "lists crates for programs"),
];

/// Debian's way to build kernel programs: compiler, its sources, and what bpf-linker links against.
const COMPILER: [&str; 9] = [
    "rustc-web",
    "rust-web-src",
    "cargo-web",
    "libstd-rust-web-dev",
    "llvm-22-dev",
    "libpolly-22-dev",
    "zlib1g-dev",
    "libzstd-dev",
    "libxml2-dev",
];

const LINKER_INSTALL: &str =
    "install bpf-linker --locked --version 0.13.0 --no-default-features --features llvm-22";
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

const NIGHTLY_WAY: &str = "rustup toolchain install nightly --component rust-src, \
    and a bpf-linker on PATH whose LLVM is at least nightly's";

/// Makes sure that everything is there.
///
/// # Errors
/// With exit code 4 when something is missing that cannot be installed.
pub fn run() -> Result<()> {
    set_up(&PROGRAMS)
}

/// Makes sure that everything is there, also what the tests alone need.
///
/// # Errors
/// As [`run`].
pub fn for_tests() -> Result<()> {
    set_up(&[&PROGRAMS[..], &TEST_PROGRAMS].concat())
}

/// Makes sure that everything is there for building and for booting other kernels, QEMU excepted.
///
/// # Errors
/// As [`run`].
pub fn for_vm() -> Result<()> {
    run()?;
    install_packages(&VM_PACKAGES)
}

/// Makes sure that everything is there for comparing the matcher with other engines.
///
/// # Errors
/// As [`run`].
pub fn for_matcher() -> Result<()> {
    install_packages(&MATCHER_PACKAGES)
}

/// Makes sure that everything is there for building and for packing.
///
/// # Errors
/// As [`run`].
pub fn for_deb() -> Result<()> {
    run()?;
    install_packages(&DEB_PACKAGES)?;
    DEB_TOOLS.iter().try_for_each(|(tool, version, options, why)| {
        if is_at(tool, version) {
            return Ok(());
        }
        eprintln!("setup: {tool} {version} is missing ({why})");
        let install = format!("install {tool} --locked --version {version} {options}");
        shell::run(&mut shell::cargo(&install)).with_context(|| format!("installing {tool}"))
    })
}

/// Whether a program that cargo installed is of this version; asked as cargo asks its own commands.
fn is_at(tool: &str, version: &str) -> bool {
    let name = tool.strip_prefix("cargo-").unwrap_or(tool);
    let said = Command::new(shell::cargo_bin().join(tool)).args([name, "--version"]).output();
    said.is_ok_and(|said| {
        String::from_utf8_lossy(&said.stdout).split_whitespace().any(|word| word == version)
    })
}

/// Installs those that are missing, each with why it is needed.
fn install_packages(packages: &[(&'static str, &str)]) -> Result<()> {
    let needed = not_installed(&packages.iter().map(|(package, _)| *package).collect::<Vec<_>>());
    for (package, why) in packages.iter().filter(|(package, _)| needed.contains(package)) {
        eprintln!("setup: package {package} is missing ({why})");
    }
    install(&needed)
}

/// The Debian packages of the programs that demo and tests run.
pub fn program_packages() -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().map(|(_, package, _)| *package)
}

fn set_up(programs: &[(&str, &'static str, &str)]) -> Result<()> {
    let mut packages = missing(programs);
    let kernel = kernel_way();
    if kernel == Way::None {
        packages.extend(missing_compiler()?);
    }
    install(&packages)?;
    if kernel == Way::None && linker().is_none() {
        install_linker()?;
    }
    Ok(())
}

/// How kernel programs can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A rustup nightly with `rust-src`, and bpf-linker.
    Nightly,
    /// Debian's packages, and bpf-linker.
    Debian,
    /// Not yet.
    None,
}

fn kernel_way() -> Way {
    match linker() {
        Some(_) if nightly_with_sources() => Way::Nightly,
        Some(_) if not_installed(&COMPILER[..4]).is_empty() => Way::Debian,
        _ => Way::None,
    }
}

fn linker() -> Option<PathBuf> {
    live::which("bpf-linker")
        .or_else(|| Some(shell::cargo_bin().join("bpf-linker")).filter(|file| file.is_file()))
}

/// Looks for the sources where rustup puts them: asking rustup takes longer than all else here.
fn nightly_with_sources() -> bool {
    let home = |name| std::env::var_os(name).map(PathBuf::from);
    let Some(rustup) = home("RUSTUP_HOME").or_else(|| Some(home("HOME")?.join(".rustup"))) else {
        return false;
    };
    let Ok(toolchains) = rustup.join("toolchains").read_dir() else { return false };
    toolchains.flatten().any(|toolchain| {
        // Not a dated one: the build asks rustup for "nightly".
        let name = toolchain.file_name();
        let nightly = name.to_string_lossy().strip_prefix("nightly-").is_some_and(|it| !it.starts_with('2'));
        nightly && toolchain.path().join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file()
    })
}

fn missing(programs: &[(&str, &'static str, &str)]) -> Vec<&'static str> {
    let missing = programs.iter().filter(|(program, _, _)| live::which(program).is_none());
    missing
        .map(|(program, package, why)| {
            eprintln!("setup: {program} is missing ({why}): package {package}");
            *package
        })
        .collect()
}

/// The compiler packages that are not installed.
fn missing_compiler() -> Result<Vec<&'static str>> {
    let missing = not_installed(&COMPILER);
    if missing.is_empty() {
        return Ok(missing);
    }
    if !is_debian() {
        return refuse(
            MISSING,
            format!("setup: building kernel programs needs {NIGHTLY_WAY}; install these by hand"),
        );
    }
    eprintln!("setup: building kernel programs needs {}", missing.join(" "));
    Ok(missing)
}

fn not_installed(packages: &[&'static str]) -> Vec<&'static str> {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f=${db:Status-Status} ${Package}\n"]).args(packages).stderr(Stdio::null());
    let listed =
        query.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let installed = |package: &&str| listed.lines().any(|line| line == format!("installed {package}"));
    packages.iter().copied().filter(|package| !installed(package)).collect()
}

/// Installs Debian packages as this machine's apt does.
///
/// # Errors
/// With exit code 4 when that is not possible here.
pub fn install(packages: &[&'static str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !is_debian() {
        return refuse(
            MISSING,
            format!("setup: this is no Debian or Ubuntu; install by hand what these are: {list}"),
        );
    }
    if !geteuid().is_root() {
        return refuse(MISSING, format!("setup: installing needs root; run as root: apt-get install {list}"));
    }
    shell::run(apt_get().arg("update"))?;
    let unknown: Vec<&str> = packages.iter().copied().filter(|package| !is_known(package)).collect();
    if !unknown.is_empty() {
        let unknown = unknown.join(" ");
        return refuse(
            MISSING,
            format!("setup: this release has no {unknown}. The other way: {NIGHTLY_WAY}"),
        );
    }
    answer().context("answering for packages")?;
    shell::run(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages))
}

/// Answers in advance.
fn answer() -> Result<()> {
    let mut debconf = Command::new("debconf-set-selections").stdin(Stdio::piped()).spawn()?;
    debconf.stdin.take().context("its input is piped")?.write_all(ANSWERS.as_bytes())?;
    ensure!(debconf.wait()?.success(), "debconf-set-selections failed");
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Whether apt can install it.
fn is_known(package: &str) -> bool {
    let output = Command::new("apt-cache").args(["policy", package]).env("LC_ALL", "C").output();
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().any(|line| line.trim().starts_with("Candidate:") && !line.contains("(none)"))
    })
}

fn install_linker() -> Result<()> {
    eprintln!("setup: kernel programs are linked by bpf-linker, built here against {LLVM_PREFIX}");
    let mut cargo = shell::cargo(LINKER_INSTALL);
    shell::run(cargo.env("LLVM_PREFIX", LLVM_PREFIX)).context("installing bpf-linker")
}

fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists()
}
