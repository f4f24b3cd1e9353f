//! One function for each capability.

use cprvagt_abi::SITES_MAX;

use super::libraries;
use super::mounts::find_cgroup2;
use super::{Finding, Machine, State, capabilities};
use crate::capture::ProbeReach;
use crate::run::Landlock;
use crate::tls_files::SharedLibrary;

/// The oldest kernel that the programs are tested on; the BPF ring buffer came with 5.8.
const KERNEL_MIN: (u32, u32) = (5, 10);

/// What is said of a library that no file of was found.
const NO_FILE: &str = "none on this host yet; it is tapped when a program maps it";
/// What can be said of programs that need no library.
const IN_PROGRAMS: &str = "Go's, and OpenSSL or BoringSSL linked in, are tapped when the program has symbols, or this \
                           host its debug symbols; Go's needs none. Others, Java's and rustls among them, are told as \
                           blind spots";

fn works(capability: &'static str, what: impl Into<String>) -> Finding {
    let (state, what) = (State::Works, what.into());
    Finding { capability, state, essential: false, what, lost: "", remedy: String::new() }
}

fn essential(finding: Finding) -> Finding {
    Finding { essential: true, ..finding }
}

fn lacking(finding: Finding, state: State, lost: &'static str, remedy: impl Into<String>) -> Finding {
    Finding { state, lost, remedy: remedy.into(), ..finding }
}

pub(super) fn privileges(machine: &Machine) -> Finding {
    let status = machine.text("/proc/self/status").unwrap_or_default();
    let Some(effective) = capabilities::effective(&status) else {
        let finding = works("privileges", "/proc/self/status tells no capabilities");
        return essential(lacking(finding, State::Missing, "everything", "mount /proc"));
    };
    let missing = capabilities::missing(effective);
    if missing.is_empty() {
        let names = capabilities::NEEDED.map(|(name, ..)| name);
        return essential(works("privileges", names.join(", ")));
    }
    let finding = works("privileges", format!("this process lacks {}", missing.join(", ")));
    let remedy = "run as root, or give the unit these AmbientCapabilities";
    if missing.iter().all(|name| ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"].contains(name)) {
        let lost = "libraries and executables of other users' processes, containers among them";
        return essential(lacking(finding, State::Reduced, lost, remedy));
    }
    let lost = "everything: kernel programs cannot be loaded, or probes not be opened, which takes CAP_SYS_ADMIN \
                on every kernel";
    essential(lacking(finding, State::Missing, lost, remedy))
}

pub(super) fn kernel(machine: &Machine) -> Finding {
    let release = machine.text("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let (major, minor) = KERNEL_MIN;
    match version(release) {
        Some(version) if version >= KERNEL_MIN => essential(works("kernel", format!("Linux {release}"))),
        _ => {
            let what = format!("Linux {release}: older than {major}.{minor}");
            let lost = "everything: the kernel programs are not made for it";
            let remedy = format!("use Linux {major}.{minor} or later");
            essential(lacking(works("kernel", what), State::Missing, lost, remedy))
        }
    }
}

/// Major and minor number of a release such as `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub(super) fn cgroup(machine: &Machine) -> Finding {
    let mountinfo = machine.text("/proc/self/mountinfo").unwrap_or_default();
    match find_cgroup2(&mountinfo) {
        Ok(path) => essential(works("wire tap", format!("cgroup v2 at {}", path.display()))),
        Err(error) => {
            let lost = "everything: the wire tap stands on the root of cgroup v2";
            let finding = works("wire tap", error.to_string());
            essential(lacking(finding, State::Missing, lost, error.remedy()))
        }
    }
}

pub(super) fn loading(probed: Result<ProbeReach, impl std::fmt::Display>) -> Finding {
    match probed {
        Ok(reach) => essential(loaded(reach)),
        Err(said) => {
            let what = format!("the kernel refuses the agent's programs: {said}");
            let lost = "everything: nothing can be attached";
            let remedy = "run as root on a kernel built with CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF";
            essential(lacking(works("program loading", what), State::Missing, lost, remedy))
        }
    }
}

fn loaded(reach: ProbeReach) -> Finding {
    const TAKES: &str = "the kernel takes the agent's programs";
    let (what, lost) = match reach {
        ProbeReach::Full => return works("program loading", TAKES),
        ProbeReach::Resident => (
            "TLS probes read only memory that is resident (before 6.10)",
            "what is sent over TLS from memory that is not resident, such as a mapped file; told as lost",
        ),
        ProbeReach::ResidentFewSites => (
            "TLS probes read only memory that is resident (before 6.10), and have no attach cookie (before 5.15)",
            "what is sent over TLS from memory that is not resident, such as a mapped file; told as lost. \
             TLS functions beyond the first 128; told as blind",
        ),
    };
    const _: () = assert!(SITES_MAX == 128, "the text above names it");
    let finding = works("program loading", format!("{TAKES}; {what}"));
    lacking(finding, State::Reduced, lost, "use Linux 6.10 or later")
}

pub(super) fn uprobes(machine: &Machine) -> Finding {
    let source = "/sys/bus/event_source/devices/uprobe/type";
    if machine.path(source).exists() {
        return works("TLS tap", "the kernel has uprobes");
    }
    let lost = "the content of encrypted connections; they are told as blind";
    let remedy = "use a kernel built with CONFIG_UPROBE_EVENTS, and mount /sys";
    lacking(works("TLS tap", format!("no uprobes: {source} is not there")), State::Missing, lost, remedy)
}

pub(super) fn library_discovery(machine: &Machine) -> Finding {
    let setting = "/proc/sys/kernel/perf_event_paranoid";
    if let Some(value) = machine.text(setting) {
        let value = value.trim();
        let what = format!(
            "the kernel tells when a program maps a library; {}; perf_event_paranoid is {value}: hearing it {}, \
             opening a probe takes CAP_SYS_ADMIN at any value",
            wakes_for(machine),
            hearing_takes(value)
        );
        return works("library watch", what);
    }
    let lost = "TLS libraries that are mapped after the start, until the agent looks again";
    let remedy = "use a kernel built with CONFIG_PERF_EVENTS";
    let what = format!("no performance events: {setting} is not there");
    lacking(works("library watch", what), State::Reduced, lost, remedy)
}

/// What `kernel.perf_event_paranoid` asks of who wants to hear of all processes. The kernel's own levels end at 2;
/// Debian's default is 3.
/// Which mapped files wake the agent.
fn wakes_for(machine: &Machine) -> &'static str {
    let announces = ["/sys/kernel/btf/vmlinux", "/sys/bus/event_source/devices/kprobe/type"];
    if announces.iter().all(|path| machine.path(path).exists()) {
        "files that it knows already wake nobody"
    } else {
        "it has no kprobes or no BTF, so every mapped file wakes the agent, which takes a few times as much of a core \
         where programs start all the time"
    }
}

fn hearing_takes(paranoid: &str) -> &'static str {
    match paranoid.parse::<i32>() {
        Ok(i32::MIN..=-1) => "takes no capability",
        Ok(0..=2) => "takes CAP_PERFMON",
        Ok(3..) => "takes CAP_SYS_ADMIN",
        Err(_) => "takes CAP_SYS_ADMIN at most",
    }
}

pub(super) fn lockdown(machine: &Machine) -> Finding {
    let mode = machine.text("/sys/kernel/security/lockdown").unwrap_or_default();
    let chosen = mode.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(chosen, _)| chosen);
    match chosen {
        Some("confidentiality") => {
            let finding = works("memory reading", "kernel lockdown is in confidentiality mode");
            let lost = "the content of encrypted connections: programs may not read memory";
            lacking(finding, State::Missing, lost, "boot with lockdown=integrity or without lockdown")
        }
        Some(chosen) => works("memory reading", format!("kernel lockdown: {chosen}")),
        None => works("memory reading", "no kernel lockdown"),
    }
}

pub(super) fn confinement(landlock: Landlock) -> Finding {
    let (what, lost) = match landlock {
        Landlock::FilesAndPorts => return works("confinement", "Landlock, for files and ports"),
        Landlock::Files => (
            "Landlock, for files only",
            "nothing that is observed; which ports the agent's send process reaches is not limited",
        ),
        Landlock::None => (
            "this kernel has no Landlock",
            "nothing that is observed; the agent's processes are limited by system calls and privileges, not in \
             which files and ports they reach",
        ),
    };
    let remedy = "use Linux 6.7 or later, with landlock among its lsm=";
    lacking(works("confinement", what), State::Reduced, lost, remedy)
}

pub(super) fn type_information(machine: &Machine) -> Finding {
    let path = "/sys/kernel/btf/vmlinux";
    if machine.path(path).exists() {
        return works("type information", path);
    }
    let lost = "nothing that is observed; every file that a program maps wakes the agent";
    let remedy = "use a kernel built with CONFIG_DEBUG_INFO_BTF";
    lacking(works("type information", format!("no BTF: {path} is not there")), State::Reduced, lost, remedy)
}

/// A row for each library, and one for what programs bring with them.
pub(super) fn tls_libraries(machine: &Machine) -> Vec<Finding> {
    let found = libraries::found(machine);
    let shared = SharedLibrary::ALL.into_iter().map(|kind| {
        let of_kind = found.iter().filter(|it| it.kind == kind).map(libraries::Library::to_string);
        let what = of_kind.collect::<Vec<_>>().join(", ");
        works(kind.name(), if what.is_empty() { NO_FILE.to_owned() } else { what })
    });
    shared.chain([works("TLS in programs", IN_PROGRAMS)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases() {
        let cases = [
            ("6.1.0-18-amd64", Some((6, 1))),
            ("5.8.0", Some((5, 8))),
            ("5.15.167.4-microsoft-standard-WSL2", Some((5, 15))),
            ("6.12-rc3", Some((6, 12))),
            ("4.19.0+", Some((4, 19))),
            ("", None),
            ("six", None),
        ];
        for (release, expected) in cases {
            assert_eq!(version(release), expected, "{release}");
        }
    }
}
