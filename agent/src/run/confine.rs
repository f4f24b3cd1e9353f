//! What each process of the agent gives up before it touches what others shape: capabilities, system calls
//! (seccomp), files and network (Landlock).
//!
//! *Invariants*: what cannot be given up on this kernel is told, never silently kept. Seccomp answers a call
//! that is not allowed with EPERM, so that a library's attempt is an error and not the end of the process.
//! *Limits*: Landlock needs Linux 5.13, for the network 6.7. All of it restricts the calling thread and those
//! that it starts, so it comes before any thread.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, NetPort, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope, path_beneath_rules,
};
use libc::c_long;
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::capture::LINK_CREATE;
use crate::privacy;

/// What capture has until its taps are attached: loading and attaching kernel programs, hearing of mapped files,
/// and reading what other processes run.
const CAPTURE_STARTS: [Capability; 6] = [
    Capability::CAP_BPF,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_PERFMON,
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_SYS_PTRACE,
];
/// What it has from then on: reading what other processes run.
const CAPTURE_KEEPS: [Capability; 2] = [Capability::CAP_DAC_READ_SEARCH, Capability::CAP_SYS_PTRACE];
/// What it does with bpf(2) from then on: `BPF_MAP_LOOKUP_ELEM`, `_UPDATE_ELEM`, `_DELETE_ELEM`, `_GET_NEXT_KEY`
/// (linux/bpf.h), and attaching a program to an event that the broker opened.
const CAPTURE_BPF: [libc::c_int; 5] = [1, 2, 3, 4, LINK_CREATE];
/// `nobody` of every distribution, which owns no file.
const NOBODY: u32 = 65_534;
/// The newest rules that this program knows; an older kernel applies those that it knows.
const LANDLOCK: ABI = ABI::V6;

/// Why a process could not be confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// Capabilities or user.
    #[error("privileges could not be dropped: {0}")]
    Privileges(String),
    /// Landlock.
    #[error("Landlock: {0}")]
    Landlock(#[from] landlock::RulesetError),
    /// Seccomp.
    #[error("seccomp: {0}")]
    Seccomp(String),
}

/// Confines the capture process for its start: no network, no new program, no file written.
///
/// No Landlock: a process under it may not look at a process that is not, whatever its capabilities, and then there
/// would be no programs of other processes, no libraries of containers and no sockets older than the agent. System
/// calls that write are refused instead; what a file's name leads to makes no difference to those.
///
/// # Errors
/// The kernel refused.
pub fn capture() -> Result<(), ConfineError> {
    keep_capabilities(&CAPTURE_STARTS.into_iter().collect())?;
    let mut denied = denied_everywhere(&[libc::SYS_bpf, libc::SYS_perf_event_open, libc::SYS_pidfd_getfd]);
    denied.extend(WRITING_CALLS.map(|call| (call, Vec::new())));
    denied.insert(libc::SYS_open, writing_flags(1)?);
    denied.insert(libc::SYS_openat, writing_flags(2)?);
    let inet = [libc::AF_INET, libc::AF_INET6]
        .map(|family| rule([argument(0, SeccompCmpOp::Eq, family.unsigned_abs().into())]));
    denied.insert(libc::SYS_socket, inet.into_iter().collect::<Result<_, _>>()?);
    deny(denied)
}

/// Takes from the capture process, once its taps are attached, what only that took: it opens no event, loads no
/// program, and reads and writes the maps that it has. `maps_answer` tells whether it can read a map as it is:
/// kernels before 5.19 may want CAP_BPF for that, which then stays.
///
/// # Errors
/// The kernel refused, a map cannot be read with CAP_BPF either, or a thread runs that would keep all.
pub fn capture_attached(mut maps_answer: impl FnMut() -> bool) -> Result<(), ConfineError> {
    if fs::read_dir("/proc/self/task").map_or(0, Iterator::count) != 1 {
        return Err(ConfineError::Privileges("a thread runs that would keep them".to_owned()));
    }
    let held = caps::read(None, CapSet::Permitted).map_err(refused)?;
    let mut kept: CapsHashSet = CAPTURE_KEEPS.into_iter().filter(|it| held.contains(it)).collect();
    caps::set(None, CapSet::Effective, &kept).map_err(refused)?;
    if !maps_answer() {
        kept.insert(Capability::CAP_BPF);
        tracing::debug!("this kernel wants CAP_BPF for reading maps: it stays");
    }
    keep_capabilities(&kept)?;
    if !maps_answer() {
        return Err(ConfineError::Privileges("this kernel wants CAP_BPF for reading maps".to_owned()));
    }
    let known = CAPTURE_BPF.map(|command| argument(0, SeccompCmpOp::Ne, command.unsigned_abs().into()));
    let calls = [libc::SYS_perf_event_open, libc::SYS_pidfd_getfd];
    let mut denied: BTreeMap<c_long, Vec<SeccompRule>> = calls.map(|call| (call, Vec::new())).into();
    denied.insert(libc::SYS_bpf, vec![rule(known)?]);
    deny(denied)
}

/// Confines the process that opens probe events: no file, no socket, no other process; events of files that it
/// is handed.
///
/// # Errors
/// The kernel refused.
pub fn broker() -> Result<(), ConfineError> {
    let kept = CapsHashSet::from([Capability::CAP_SYS_ADMIN]);
    drop_bounding()?;
    prctl::set_keepcaps(true).map_err(|error| ConfineError::Privileges(error.to_string()))?;
    become_nobody()?;
    keep_capabilities(&kept)?;
    shut_in("broker")?;
    let id = rule([argument(1, SeccompCmpOp::Eq, PERF_EVENT_IOC_ID)])?;
    let mut allowed: BTreeMap<c_long, Vec<SeccompRule>> = BROKER_CALLS.map(|call| (call, Vec::new())).into();
    allowed.insert(libc::SYS_ioctl, vec![id]);
    allow(allowed)
}

/// Confines the inspect process: no file, no socket, no other process; memory, time and the descriptors that
/// it has.
///
/// # Errors
/// The kernel refused.
pub fn inspect() -> Result<(), ConfineError> {
    drop_bounding()?;
    become_nobody()?;
    keep_capabilities(&CapsHashSet::new())?;
    shut_in("inspect")?;
    allow(INSPECT_CALLS.map(|call| (call, Vec::new())).into())
}

/// What the send process may reach.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Directories that it writes: spool and enrolment.
    pub written: Vec<PathBuf>,
    /// The collector's port, if there is a collector.
    pub port: Option<u16>,
}

/// Confines the send process: the files and the port that it needs, no capabilities, no new program.
///
/// # Errors
/// The kernel refused.
pub fn send(reach: &Reach) -> Result<(), ConfineError> {
    keep_capabilities(&CapsHashSet::new())?;
    let (all, read) = (AccessFs::from_all(LANDLOCK), AccessFs::from_read(LANDLOCK));
    let ports = reach.port.into_iter().chain([DNS_PORT]);
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .add_rules(path_beneath_rules(&reach.written, all))?
        .add_rules(path_beneath_rules(RESOLVER_FILES, read))?
        .add_rules(
            ports.map(|port| Ok::<_, landlock::RulesetError>(NetPort::new(port, AccessNet::ConnectTcp))),
        )?
        .restrict_self()?;
    tell_landlock("send", &status.ruleset);
    deny(denied_everywhere(&[]))
}

/// Landlock without any rule: no file, no network, no other process.
fn shut_in(process: &str) -> Result<(), ConfineError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .restrict_self()?;
    tell_landlock(process, &status.ruleset);
    Ok(())
}

/// What resolving a name reads: settings, and the modules that the C library loads for it.
const RESOLVER_FILES: [&str; 5] = ["/etc", "/lib", "/lib64", "/run/systemd/resolve", "/usr/lib"];
/// A name server asked over TCP.
const DNS_PORT: u16 = 53;

/// All that opening events takes: messages, the call itself, memory, and an end. `ioctl` is allowed for
/// [`PERF_EVENT_IOC_ID`] alone.
const BROKER_CALLS: [c_long; 21] = [
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_perf_event_open,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_write,
];

/// Asks an event for its number, which the library that opens it does (linux/perf_event.h).
const PERF_EVENT_IOC_ID: u64 = 0x8008_2407;

/// All that inspecting takes once it has begun: bytes to and from descriptors it has, memory, time, signals.
const INSPECT_CALLS: [c_long; 40] = [
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_write,
    libc::SYS_writev,
];

/// What changes files by name, or by a descriptor that was opened for reading.
const WRITING_CALLS: [c_long; 35] = [
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_creat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_futimesat,
    libc::SYS_lchown,
    libc::SYS_link,
    libc::SYS_linkat,
    libc::SYS_lremovexattr,
    libc::SYS_lsetxattr,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_mknod,
    libc::SYS_mknodat,
    libc::SYS_openat2,
    libc::SYS_removexattr,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_rmdir,
    libc::SYS_setxattr,
    libc::SYS_symlink,
    libc::SYS_symlinkat,
    libc::SYS_truncate,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_utime,
    libc::SYS_utimensat,
    libc::SYS_utimes,
];

/// Opening for anything but reading; the flags are the argument `index`.
fn writing_flags(index: u8) -> Result<Vec<SeccompRule>, ConfineError> {
    let with = |flag: libc::c_int| {
        let flag = u64::from(flag.unsigned_abs());
        rule([argument(index, SeccompCmpOp::MaskedEq(flag), flag)])
    };
    [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC].map(with).into_iter().collect()
}

/// What no process of the agent does once it runs, but for those in `kept`.
fn denied_everywhere(kept: &[c_long]) -> BTreeMap<c_long, Vec<SeccompRule>> {
    let denied = [
        libc::SYS_add_key,
        libc::SYS_bpf,
        libc::SYS_chroot,
        libc::SYS_delete_module,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_fanotify_init,
        libc::SYS_finit_module,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fsopen,
        libc::SYS_fspick,
        libc::SYS_init_module,
        libc::SYS_io_uring_setup,
        libc::SYS_kexec_file_load,
        libc::SYS_kexec_load,
        libc::SYS_keyctl,
        libc::SYS_mount,
        libc::SYS_mount_setattr,
        libc::SYS_move_mount,
        libc::SYS_open_by_handle_at,
        libc::SYS_open_tree,
        libc::SYS_perf_event_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pivot_root,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_ptrace,
        libc::SYS_quotactl,
        libc::SYS_reboot,
        libc::SYS_setns,
        libc::SYS_swapoff,
        libc::SYS_swapon,
        libc::SYS_syslog,
        libc::SYS_umount2,
        libc::SYS_unshare,
        libc::SYS_userfaultfd,
    ];
    denied.into_iter().filter(|call| !kept.contains(call)).map(|call| (call, Vec::new())).collect()
}

fn argument(index: u8, is: SeccompCmpOp, value: u64) -> Result<SeccompCondition, ConfineError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, is, value).map_err(not_built)
}

/// All of these at once.
fn rule<const N: usize>(
    conditions: [Result<SeccompCondition, ConfineError>; N],
) -> Result<SeccompRule, ConfineError> {
    SeccompRule::new(conditions.into_iter().collect::<Result<_, _>>()?).map_err(not_built)
}

fn not_built(error: seccompiler::BackendError) -> ConfineError {
    ConfineError::Seccomp(error.to_string())
}

const REFUSE: SeccompAction = SeccompAction::Errno(libc::EPERM.unsigned_abs());

fn deny(calls: BTreeMap<c_long, Vec<SeccompRule>>) -> Result<(), ConfineError> {
    seccomp(calls, SeccompAction::Allow, REFUSE)
}

fn allow(calls: BTreeMap<c_long, Vec<SeccompRule>>) -> Result<(), ConfineError> {
    seccomp(calls, REFUSE, SeccompAction::Allow)
}

fn seccomp(
    calls: BTreeMap<c_long, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    for_these: SeccompAction,
) -> Result<(), ConfineError> {
    let arch = std::env::consts::ARCH.try_into().map_err(not_built)?;
    let filter = SeccompFilter::new(calls, otherwise, for_these, arch).map_err(not_built)?;
    let program: BpfProgram = filter.try_into().map_err(not_built)?;
    seccompiler::apply_filter(&program).map_err(|error| ConfineError::Seccomp(error.to_string()))
}

/// Leaves the agent's user and groups, so that a file that only its mode protects is out of reach too. An agent
/// that was started as somebody who may not change users stays who it is.
fn become_nobody() -> Result<(), ConfineError> {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).map_err(refused);
    let changes = has(Capability::CAP_SETUID)? && has(Capability::CAP_SETGID)?;
    if !changes && !geteuid().is_root() {
        tracing::info!("without CAP_SETUID and CAP_SETGID this process keeps the agent's user");
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    setgroups(&[])
        .and_then(|()| setresgid(group, group, group))
        .and_then(|()| setresuid(user, user, user))
        .and_then(|()| privacy::forbid_dumps())
        .map_err(|error| ConfineError::Privileges(error.to_string()))
}

/// Lets no capability ever come back. Takes CAP_SETPCAP; without it, and with a program of its own to execute
/// neither allowed nor there, nothing comes back either.
fn drop_bounding() -> Result<(), ConfineError> {
    if !caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(refused)? {
        return Ok(());
    }
    for capability in caps::read(None, CapSet::Bounding).map_err(refused)? {
        caps::drop(None, CapSet::Bounding, capability).map_err(refused)?;
    }
    Ok(())
}

/// Keeps `kept` of the capabilities that there are, for good: nothing that is executed inherits them.
fn keep_capabilities(kept: &CapsHashSet) -> Result<(), ConfineError> {
    drop_bounding()?;
    let held = caps::read(None, CapSet::Permitted).map_err(refused)?;
    let kept: CapsHashSet = held.intersection(kept).copied().collect();
    caps::clear(None, CapSet::Ambient).map_err(refused)?;
    caps::clear(None, CapSet::Inheritable).map_err(refused)?;
    caps::set(None, CapSet::Effective, &CapsHashSet::new()).map_err(refused)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(refused)?;
    caps::set(None, CapSet::Effective, &kept).map_err(refused)?;
    prctl::set_no_new_privs().map_err(|error| ConfineError::Privileges(error.to_string()))
}

fn refused(error: caps::errors::CapsError) -> ConfineError {
    ConfineError::Privileges(error.to_string())
}

/// What this kernel's Landlock can limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Landlock {
    /// It has none, or it is switched off.
    None,
    /// Files.
    Files,
    /// Files, and TCP ports: since 6.7.
    FilesAndPorts,
}

/// Finds out by making rules that nothing is put under.
pub fn landlock() -> Landlock {
    let strict = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let makes = |rules: Result<Ruleset, landlock::RulesetError>| rules.and_then(Ruleset::create).is_ok();
    if !makes(strict().handle_access(AccessFs::ReadFile)) {
        Landlock::None
    } else if !makes(strict().handle_access(AccessNet::ConnectTcp)) {
        Landlock::Files
    } else {
        Landlock::FilesAndPorts
    }
}

fn tell_landlock(process: &str, status: &RulesetStatus) {
    match status {
        RulesetStatus::FullyEnforced => tracing::debug!(process, "Landlock is in force"),
        RulesetStatus::PartiallyEnforced => {
            tracing::info!(process, "this kernel knows only part of the Landlock rules; those are in force")
        }
        RulesetStatus::NotEnforced => {
            tracing::warn!(process, "this kernel has no Landlock: only system calls are limited")
        }
    }
}
