//! What each process of the agent gives up before it touches what others shape: capabilities, system calls
//! (seccomp), files and network (Landlock).
//!
//! *Invariants*: what cannot be given up on this kernel is told, never silently kept. Seccomp answers a call
//! that is not allowed with EPERM, so that a library's attempt is an error and not the end of the process.
//! *Limits*: Landlock needs Linux 5.13, for the network 6.7; the call restricts the calling thread and those
//! that it starts, so it comes before any thread.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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

use crate::privacy;

/// What capture keeps: loading and attaching kernel programs, and reading what other processes run.
const CAPTURE_KEEPS: [Capability; 7] = [
    Capability::CAP_BPF,
    Capability::CAP_CHECKPOINT_RESTORE,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_PERFMON,
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_SYS_PTRACE,
];
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

/// Confines the capture process: no network, no new program, no file written but in `runtime_dir`.
///
/// # Errors
/// The kernel refused.
pub fn capture(runtime_dir: &Path) -> Result<(), ConfineError> {
    keep_capabilities(&CAPTURE_KEEPS.into_iter().collect())?;
    let written = AccessFs::from_write(LANDLOCK);
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(written)?;
    let status = ruleset.create()?.add_rules(path_beneath_rules([runtime_dir], written))?.restrict_self()?;
    tell_landlock("capture", &status.ruleset);
    let inet = [libc::AF_INET, libc::AF_INET6].map(|family| argument_is(0, family as u64));
    let mut denied = denied_everywhere(&[libc::SYS_bpf, libc::SYS_perf_event_open, libc::SYS_pidfd_getfd]);
    denied.insert(libc::SYS_socket, rules(inet)?);
    seccomp(denied, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32))
}

/// Confines the inspect process: no file, no socket, no other process; memory, time and the descriptors that
/// it has.
///
/// # Errors
/// The kernel refused.
pub fn inspect() -> Result<(), ConfineError> {
    drop_bounding(&CapsHashSet::new())?;
    become_nobody()?;
    privacy::forbid_dumps().map_err(|error| ConfineError::Privileges(error.to_string()))?;
    keep_capabilities(&CapsHashSet::new())?;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .restrict_self()?;
    tell_landlock("inspect", &status.ruleset);
    let allowed = INSPECT_CALLS.iter().map(|call| (*call, Vec::new())).collect();
    seccomp(allowed, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
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
    let denied = denied_everywhere(&[]);
    seccomp(denied, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32))
}

/// What resolving a name reads: settings, and the modules that the C library loads for it.
const RESOLVER_FILES: [&str; 5] = ["/etc", "/lib", "/lib64", "/run/systemd/resolve", "/usr/lib"];
/// A name server asked over TCP.
const DNS_PORT: u16 = 53;

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

/// What no process of the agent does once it runs, but for those in `kept`.
fn denied_everywhere(kept: &[c_long]) -> BTreeMap<c_long, Vec<SeccompRule>> {
    let denied = [
        libc::SYS_add_key,
        libc::SYS_bpf,
        libc::SYS_chroot,
        libc::SYS_delete_module,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_finit_module,
        libc::SYS_init_module,
        libc::SYS_io_uring_setup,
        libc::SYS_kexec_load,
        libc::SYS_keyctl,
        libc::SYS_mount,
        libc::SYS_move_mount,
        libc::SYS_open_by_handle_at,
        libc::SYS_perf_event_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pivot_root,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_ptrace,
        libc::SYS_reboot,
        libc::SYS_setns,
        libc::SYS_umount2,
        libc::SYS_unshare,
        libc::SYS_userfaultfd,
    ];
    denied.into_iter().filter(|call| !kept.contains(call)).map(|call| (call, Vec::new())).collect()
}

fn argument_is(index: u8, value: u64) -> Result<SeccompCondition, ConfineError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value).map_err(not_built)
}

fn rules<const N: usize>(
    conditions: [Result<SeccompCondition, ConfineError>; N],
) -> Result<Vec<SeccompRule>, ConfineError> {
    let rule = |condition| SeccompRule::new(vec![condition?]).map_err(not_built);
    conditions.into_iter().map(rule).collect()
}

fn not_built(error: seccompiler::BackendError) -> ConfineError {
    ConfineError::Seccomp(error.to_string())
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

/// Leaves root's user and groups, so that a file that only its mode protects is out of reach too. An agent that
/// was started without root stays who it is.
fn become_nobody() -> Result<(), ConfineError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    setgroups(&[])
        .and_then(|()| setresgid(group, group, group))
        .and_then(|()| setresuid(user, user, user))
        .map_err(|error| ConfineError::Privileges(error.to_string()))
}

/// Lets no capability but `kept` ever come back. Takes CAP_SETPCAP, which root has before it becomes somebody else.
fn drop_bounding(kept: &CapsHashSet) -> Result<(), ConfineError> {
    if !caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(refused)? {
        return Ok(());
    }
    let bounding = caps::read(None, CapSet::Bounding).map_err(refused)?;
    for capability in bounding.difference(kept) {
        caps::drop(None, CapSet::Bounding, *capability).map_err(refused)?;
    }
    Ok(())
}

/// Keeps `kept` of the capabilities that there are, in every set, for good.
fn keep_capabilities(kept: &CapsHashSet) -> Result<(), ConfineError> {
    drop_bounding(kept)?;
    let held = caps::read(None, CapSet::Permitted).map_err(refused)?;
    let kept: CapsHashSet = held.intersection(kept).copied().collect();
    caps::clear(None, CapSet::Ambient).map_err(refused)?;
    caps::clear(None, CapSet::Inheritable).map_err(refused)?;
    caps::set(None, CapSet::Effective, &kept).map_err(refused)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(refused)?;
    prctl::set_no_new_privs().map_err(|error| ConfineError::Privileges(error.to_string()))
}

fn refused(error: caps::errors::CapsError) -> ConfineError {
    ConfineError::Privileges(error.to_string())
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
