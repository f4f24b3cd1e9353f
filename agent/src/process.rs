//! Who a process is: executable, systemd unit, user, container, start time, read from `/proc`.
//!
//! *Invariants*: a process that is gone, or that may not be read, gives `None` for what is not known,
//! never an error. A process id that is used again never inherits the facts of the one before.
//! *Units*: `started_at` to 10 ms, as the kernel counts it.
//! *Limits*: [`PROCESSES_MAX`] processes are remembered; the dead for [`DEAD_KEPT`].

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cprvagt_report::Moment;
use jiff::{SignedDuration, Timestamp};
use nix::unistd::{SysconfVar, Uid, User, sysconf};

/// Most processes that are remembered at once.
pub const PROCESSES_MAX: usize = 16_384;

/// How long a dead process is remembered: what it sent may be judged after it ended.
pub const DEAD_KEPT: Duration = Duration::from_secs(60);

/// How long facts hold before the start time is looked at again, in case an exit was not told.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// What is known about a process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProcessFacts {
    /// Process id, as the host counts.
    pub pid: u32,
    /// Command name, 15 bytes at most.
    pub comm: Option<String>,
    /// Path of the executable, as its own mount namespace names it.
    pub exe: Option<String>,
    /// The innermost systemd service or scope.
    pub unit: Option<String>,
    /// Container id, 64 hex digits.
    pub container: Option<String>,
    /// Effective user id.
    pub uid: Option<u32>,
    /// The host's name for `uid`.
    pub user: Option<String>,
    /// When it started.
    pub started_at: Option<Moment>,
    /// The same in clock ticks since boot: with `pid`, which process it is.
    pub start_ticks: Option<u64>,
}

impl ProcessFacts {
    /// A process of which only the id is known.
    #[cfg(test)]
    pub const fn of_pid(pid: u32) -> Self {
        Self {
            pid,
            comm: None,
            exe: None,
            unit: None,
            container: None,
            uid: None,
            user: None,
            started_at: None,
            start_ticks: None,
        }
    }
}

/// The processes seen lately.
#[derive(Debug)]
pub struct Processes {
    proc_root: PathBuf,
    booted: Option<Timestamp>,
    ticks_a_second: u64,
    known: HashMap<u32, Known>,
}

#[derive(Debug)]
struct Known {
    facts: Arc<ProcessFacts>,
    checked: Instant,
    died: Option<Instant>,
}

impl Default for Processes {
    fn default() -> Self {
        Self::new(Path::new("/proc"))
    }
}

impl Processes {
    /// An empty memory over the procfs at `proc_root`.
    pub fn new(proc_root: &Path) -> Self {
        let booted = fs::read_to_string(proc_root.join("stat")).ok().and_then(|stat| boot_time(&stat));
        let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten();
        Self {
            proc_root: proc_root.to_owned(),
            booted,
            ticks_a_second: ticks.and_then(|it| u64::try_from(it).ok()).filter(|it| *it > 0).unwrap_or(100),
            known: HashMap::new(),
        }
    }

    /// What is known about `pid`, alive or lately dead.
    pub fn facts(&mut self, pid: u32, now: Instant) -> Arc<ProcessFacts> {
        if let Some(known) = self.known.get(&pid)
            && known.died.is_none()
            && now.saturating_duration_since(known.checked) < TRUSTED_FOR
        {
            return Arc::clone(&known.facts);
        }
        self.look_again(pid, now)
    }

    /// Takes note that `pid` now runs another program, `filename` as far as the kernel told it. Reads at
    /// once, since a short-lived process may be gone when its traffic is judged.
    pub fn exec(&mut self, pid: u32, filename: Option<&str>, now: Instant) {
        let mut facts = self.read(pid);
        facts.exe = facts.exe.or_else(|| filename.map(str::to_owned));
        self.remember(facts, now);
    }

    /// Takes note that the process, not just a thread of it, is gone.
    pub fn exit(&mut self, pid: u32, now: Instant) {
        if let Some(known) = self.known.get_mut(&pid) {
            known.died.get_or_insert(now);
        }
    }

    /// Keeps what is known if it is still that process, or if no process has the id now. A zombie still
    /// has its start time, and no executable.
    fn look_again(&mut self, pid: u32, now: Instant) -> Arc<ProcessFacts> {
        let start_ticks = self.start_ticks(pid);
        let exe = self.exe(pid);
        if let Some(known) = self.known.get_mut(&pid) {
            let too_old = known.died.is_some_and(|died| now.saturating_duration_since(died) > DEAD_KEPT);
            if start_ticks.is_none() && !too_old {
                known.died.get_or_insert(now);
                return Arc::clone(&known.facts);
            }
            let same_program = exe.is_none() || exe == known.facts.exe;
            if start_ticks.is_some() && start_ticks == known.facts.start_ticks && same_program {
                known.checked = now;
                return Arc::clone(&known.facts);
            }
        }
        let facts = self.read(pid);
        self.remember(facts, now)
    }

    fn remember(&mut self, facts: ProcessFacts, now: Instant) -> Arc<ProcessFacts> {
        if self.known.len() >= PROCESSES_MAX && !self.known.contains_key(&facts.pid) {
            self.make_room(now);
        }
        let facts = Arc::new(facts);
        let known = Known { facts: Arc::clone(&facts), checked: now, died: None };
        self.known.insert(facts.pid, known);
        facts
    }

    /// Forgets the long dead; if that frees nothing, the quarter that was looked at longest ago.
    fn make_room(&mut self, now: Instant) {
        self.known
            .retain(|_, it| it.died.is_none_or(|died| now.saturating_duration_since(died) <= DEAD_KEPT));
        if self.known.len() < PROCESSES_MAX {
            return;
        }
        let mut by_age: Vec<(Instant, u32)> = self.known.iter().map(|(pid, it)| (it.checked, *pid)).collect();
        by_age.sort_unstable();
        for (_, pid) in by_age.into_iter().take(PROCESSES_MAX / 4) {
            self.known.remove(&pid);
        }
    }

    fn read(&self, pid: u32) -> ProcessFacts {
        let cgroup = self.text(pid, "cgroup");
        let start_ticks = self.start_ticks(pid);
        let uid = self.text(pid, "status").and_then(|status| effective_uid(&status));
        ProcessFacts {
            pid,
            comm: self.text(pid, "comm").map(|comm| comm.trim_end_matches('\n').to_owned()),
            exe: self.exe(pid),
            unit: cgroup.as_deref().and_then(unit),
            container: cgroup.as_deref().and_then(container),
            uid,
            user: uid.and_then(user_name),
            started_at: start_ticks.and_then(|ticks| self.started_at(ticks)),
            start_ticks,
        }
    }

    fn path(&self, pid: u32, entry: &str) -> PathBuf {
        self.proc_root.join(pid.to_string()).join(entry)
    }

    /// The text of a process's entry; bytes that are not UTF-8 are replaced.
    fn text(&self, pid: u32, entry: &str) -> Option<String> {
        let bytes = fs::read(self.path(pid, entry)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn exe(&self, pid: u32) -> Option<String> {
        let exe = fs::read_link(self.path(pid, "exe")).ok()?.to_string_lossy().into_owned();
        Some(exe.strip_suffix(" (deleted)").map_or(exe.clone(), str::to_owned))
    }

    fn start_ticks(&self, pid: u32) -> Option<u64> {
        start_ticks(&self.text(pid, "stat")?)
    }

    fn started_at(&self, ticks: u64) -> Option<Moment> {
        let millis = i64::try_from(ticks.checked_mul(1000)? / self.ticks_a_second).ok()?;
        let since_boot = SignedDuration::from_millis(millis);
        self.booted?.checked_add(since_boot).ok().map(Moment)
    }
}

fn user_name(uid: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

/// Field 22 of `/proc/PID/stat`. The command name before it may hold spaces and parentheses.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, after_comm) = stat.rsplit_once(')')?;
    after_comm.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn boot_time(stat: &str) -> Option<Timestamp> {
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    Timestamp::new(seconds.trim().parse().ok()?, 0).ok()
}

/// The second number of the `Uid:` line of `/proc/PID/status`.
fn effective_uid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The paths in `/proc/PID/cgroup`, those that systemd manages first: cgroup v2, then its own v1 tree.
fn cgroup_paths(cgroup: &str) -> impl Iterator<Item = &str> {
    let of = |wanted: &'static [&'static str]| {
        cgroup.lines().filter_map(move |line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            wanted.contains(&controllers).then_some(path)
        })
    };
    of(&[""]).chain(of(&["name=systemd"])).chain(cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2)))
}

fn unit(cgroup: &str) -> Option<String> {
    let innermost = |path: &str| {
        let is_unit = |name: &&str| name.ends_with(".service") || name.ends_with(".scope");
        path.rsplit('/').find(is_unit).map(str::to_owned)
    };
    cgroup_paths(cgroup).find_map(innermost)
}

/// Container engines name the cgroup after the container's 64 hex digits, bare or as `docker-ID.scope`.
fn container(cgroup: &str) -> Option<String> {
    let is_id = |piece: &&str| {
        piece.len() == 64 && piece.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    cgroup_paths(cgroup).find_map(|path| path.rsplit(['/', '-', '.', ':']).find(is_id).map(str::to_owned))
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
