//! Whether this machine can run a test that needs root, the lab or a program, said in one form.
//!
//! A test that cannot run prints `skipped: NAME: reason` and returns; `cargo xtask test` collects these.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use nix::libc;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{self, TlsCryptoInfo};

/// TLS 1.3 with a key that nothing is sent with.
const AES_256_GCM: libc::tls12_crypto_info_aes_gcm_256 = libc::tls12_crypto_info_aes_gcm_256 {
    info: libc::tls_crypto_info { version: libc::TLS_1_3_VERSION, cipher_type: libc::TLS_CIPHER_AES_GCM_256 },
    iv: [0; 8],
    key: [0; 32],
    salt: [0; 4],
    rec_seq: [0; 8],
};

/// What a live test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need<'name> {
    /// Effective user id 0.
    Root,
    /// A program on PATH.
    Program(&'name str),
    /// The built agent (see [`crate::agent::binary`]).
    Agent,
    /// The built collector (see [`crate::collector::binary`]).
    Collector,
    /// systemd as the first process.
    Systemd,
    /// `tc` and the queueing discipline that loses, delays and doubles packets: netem.
    Netem,
    /// TLS records made by the kernel (TCP_ULP "tls").
    Ktls,
    /// A mount of the root of cgroup v2, unified or hybrid, in which groups can be made.
    Cgroup2,
    /// Probes that are handed a cookie (Linux 5.15).
    ProbeCookies,
    /// Devices that take TCP packets of more than 64 KiB, of IPv4 as well (Linux 6.3).
    BigTcp,
}

/// True when all needs are met; otherwise prints why `test` is skipped.
///
/// Set `CPRVAGT_NO_SKIP=1` to make a missing need a failure instead.
///
/// # Panics
/// Under `CPRVAGT_NO_SKIP`, when a need is not met.
#[must_use]
pub fn can_run(test: &str, needs: &[Need<'_>]) -> bool {
    let Some(reason) = needs.iter().find_map(missing) else { return true };
    assert!(std::env::var_os("CPRVAGT_NO_SKIP").is_none(), "{test} cannot run: {reason}");
    println!("skipped: {test}: {reason}");
    false
}

/// Whether this is a guest of `cargo xtask vm`, where everything takes twenty to fifty times longer.
#[must_use]
pub fn is_guest() -> bool {
    std::env::var_os("CPRVAGT_VM").is_some()
}

/// What a test does on a machine, and what of it in a guest: there it is enough that each way is gone once.
#[must_use]
pub fn here_or_in_guest<'a, T: ?Sized>(here: &'a T, in_guest: &'a T) -> &'a T {
    if is_guest() { in_guest } else { here }
}

/// Where `program` is on PATH.
#[must_use]
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Why a need is not met.
#[must_use]
pub fn missing(need: &Need<'_>) -> Option<String> {
    match need {
        Need::Root => (!nix::unistd::geteuid().is_root()).then(|| "needs root".to_owned()),
        Need::Program(name) => which(name).is_none().then(|| format!("{name} is not installed")),
        Need::Agent => crate::agent::binary().err().map(|error| error.to_string()),
        Need::Collector => crate::collector::binary().err().map(|error| error.to_string()),
        Need::Systemd => without_systemd(),
        Need::Netem => without_netem(),
        Need::Ktls => without_ktls(),
        Need::ProbeCookies => without_cookies(),
        Need::BigTcp => without_big_tcp(),
        Need::Cgroup2 => cgroup2().is_none().then(|| "no root of cgroup v2 is mounted".to_owned()),
    }
}

/// There is no asking for them but by the version.
fn without_cookies() -> Option<String> {
    (kernel_version() < (5, 15)).then(|| "this kernel hands probes no cookies".to_owned())
}

/// As with cookies: a kernel that does not know the attribute ignores it.
fn without_big_tcp() -> Option<String> {
    (kernel_version() < (6, 3)).then(|| "this kernel makes no IPv4 packets of more than 64 KiB".to_owned())
}

/// The kernel's major and minor version.
///
/// # Panics
/// Its release does not begin with two numbers.
#[must_use]
pub fn kernel_version() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("every kernel has a release");
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(str::parse);
    let mut number = || numbers.next().and_then(Result::ok).expect("a release begins with two numbers");
    (number(), number())
}

/// Where the root of cgroup v2 is mounted (proc_pid_mountinfo(5)).
#[must_use]
pub fn cgroup2() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().filter(|line| line.contains(" - cgroup2 ")).find_map(|line| {
        let mut fields = line.split(' ').skip(3);
        (fields.next()? == "/").then(|| fields.next())?.map(PathBuf::from)
    })
}

fn without_systemd() -> Option<String> {
    let first = fs::read_to_string("/proc/1/comm").unwrap_or_default();
    (first.trim() != "systemd").then(|| format!("the first process is {}, not systemd", first.trim()))
}

/// Tried on the loopback of a network namespace that ends with the try.
fn without_netem() -> Option<String> {
    if which("tc").is_none() {
        return Some("tc is not installed".to_owned());
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "loss", "1%"]);
    match command.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Some(format!("sch_netem is not in this kernel: {}", said.lines().next().unwrap_or_default()))
        }
        Err(error) => Some(format!("unshare: {error}")),
    }
}

/// Tried on a connection of this process with itself; the cipher may be in a module of its own.
fn without_ktls() -> Option<String> {
    let attempt = || -> std::io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let stream = TcpStream::connect(listener.local_addr()?)?;
        setsockopt(&stream, sockopt::TcpUlp::default(), b"tls")?;
        Ok(setsockopt(&stream, sockopt::TcpTlsTx, &TlsCryptoInfo::Aes256Gcm(AES_256_GCM))?)
    };
    attempt().err().map(|error| format!("this kernel does not encrypt TLS with AES-256-GCM: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named() {
        assert!(missing(&Need::Program("sh")).is_none());
        let reason = missing(&Need::Program("no-such-program")).expect("it is missing");
        assert!(reason.contains("no-such-program"));
    }
}
