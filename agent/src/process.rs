//! Who a process is: executable, systemd unit, user, container, start time, remembered beyond its end.
//!
//! *Invariants*: a process that is gone, or that may not be read, gives `None` for what is not known,
//! never an error. A process id that is used again never inherits the facts of the one before.
//! *Limits*: [`PROCESSES_MAX`] processes are remembered; the dead for [`DEAD_KEPT`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cprvagt_abi::{TlsFile, beyond_limit};
use cprvagt_report::Moment;
use serde::{Deserialize, Serialize};

/// Most processes that are remembered at once.
pub const PROCESSES_MAX: usize = 16_384;

/// How long a dead process is remembered: what it sent may be judged after it ended.
pub const DEAD_KEPT: Duration = Duration::from_secs(60);

/// How long facts hold before the start time is looked at again, in case an exit was not told.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// How long a process that took nothing from its host is not looked at again for that: as long as the kernel tells of
/// connections that have ended.
const TAKES_TRUSTED_FOR: Duration = Duration::from_secs(60);

/// What is known about a process.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
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
    /// Name of the image that the container was made from.
    pub image: Option<String>,
    /// Name of the package of this host that the executable came with.
    pub package: Option<String>,
    /// Version of that package.
    pub package_version: Option<String>,
    /// Path of its cgroup, from the root of the tree that systemd manages.
    pub cgroup: Option<String>,
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
    pub const fn of_pid(pid: u32) -> Self {
        Self {
            pid,
            comm: None,
            exe: None,
            unit: None,
            container: None,
            image: None,
            package: None,
            package_version: None,
            cgroup: None,
            uid: None,
            user: None,
            started_at: None,
            start_ticks: None,
        }
    }
}

/// The processes seen lately.
pub struct Processes {
    source: Box<dyn LookUp>,
    known: HashMap<u32, Known>,
}

#[derive(Debug)]
struct Known {
    facts: Arc<ProcessFacts>,
    /// When it was last seen to be this process; `None`: it may have become another program since.
    checked: Option<Instant>,
    died: Option<Instant>,
    /// Whether it has been seen to take connections from this host, and when it was last looked at for that.
    takes: bool,
    takes_asked: Option<Instant>,
}

/// Where facts about processes come from: `/proc`, or a process of ours that may read it.
pub trait LookUp {
    /// The ids of all that run now.
    fn running(&mut self) -> Vec<u32>;
    /// All that is known now; of a process that is gone, its id.
    fn read(&mut self, pid: u32) -> ProcessFacts;
    /// A part of a file that a process has open; nothing when it is not open any more, or not a file on a disk.
    fn file_part(&mut self, range: &FileRange) -> Option<FilePart>;
    /// Whether it takes connections from programs on its host.
    fn takes_from_host(&mut self, pid: u32) -> bool;
    /// What tells whether it is still the same process and program.
    fn identity(&mut self, pid: u32) -> Identity;
}

/// A part of a file that a process has open.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FileRange {
    /// The process.
    pub pid: u32,
    /// The file's number in it.
    pub descriptor: u32,
    /// Where the part begins.
    pub offset: u64,
    /// Bytes of the part.
    pub len: u64,
}

impl FileRange {
    /// What a TLS write sends, as much of it as is copied of one.
    pub const fn of(file: &TlsFile) -> Self {
        let &TlsFile { tgid: pid, descriptor, offset, length, .. } = file;
        Self { pid, descriptor, offset, len: length - beyond_limit(length) }
    }
}

/// What was there of a [`FileRange`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FilePart {
    /// Its bytes, fewer where the file ended meanwhile.
    pub bytes: Vec<u8>,
    /// Bytes of the file from the beginning of the part to its end.
    pub len: u64,
}

/// Which process, and which program it runs.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Clock ticks from boot to its start; `None` when no process has the id.
    pub start_ticks: Option<u64>,
    /// Its executable.
    pub exe: Option<String>,
}

impl Processes {
    /// An empty memory over `source`.
    pub fn new(source: Box<dyn LookUp>) -> Self {
        Self { source, known: HashMap::new() }
    }

    /// A memory of all that run now: one that ends a moment after its first bytes is known only if it was before.
    pub fn of_running(source: Box<dyn LookUp>, now: Instant) -> Self {
        let mut processes = Self::new(source);
        for pid in processes.source.running().into_iter().take(PROCESSES_MAX) {
            let facts = processes.source.read(pid);
            // The kernel's own threads have none.
            if facts.exe.is_some() {
                processes.remember(facts, now);
                processes.exec(pid);
            }
        }
        processes
    }

    /// What is known about `pid`, alive or lately dead.
    pub fn facts(&mut self, pid: u32, now: Instant) -> Arc<ProcessFacts> {
        if let Some(known) = self.known.get(&pid)
            && known.died.is_none()
            && known.checked.is_some_and(|checked| now.saturating_duration_since(checked) < TRUSTED_FOR)
        {
            return Arc::clone(&known.facts);
        }
        self.look_again(pid, now)
    }

    /// Takes note that `pid` may run another program from now on.
    pub fn exec(&mut self, pid: u32) {
        if let Some(known) = self.known.get_mut(&pid) {
            known.checked = None;
        }
    }

    /// A part of a file that a process has open.
    pub fn file_part(&mut self, range: &FileRange) -> Option<FilePart> {
        self.source.file_part(range)
    }

    /// Whether a process has been seen to take connections from programs on its host. It is looked at anew each minute, and
    /// what has done so once does so.
    pub fn takes_from_host(&mut self, pid: u32, now: Instant) -> bool {
        let Some(known) = self.known.get_mut(&pid) else { return false };
        let is_due = |asked: Instant| now.saturating_duration_since(asked) >= TAKES_TRUSTED_FOR;
        if !known.takes && known.takes_asked.is_none_or(is_due) {
            (known.takes, known.takes_asked) = (self.source.takes_from_host(pid), Some(now));
        }
        known.takes
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
        let Identity { start_ticks, exe } = self.source.identity(pid);
        if let Some(known) = self.known.get_mut(&pid) {
            let too_old = known.died.is_some_and(|died| now.saturating_duration_since(died) > DEAD_KEPT);
            if start_ticks.is_none() && !too_old {
                known.died.get_or_insert(now);
                return Arc::clone(&known.facts);
            }
            let same_program = exe.is_none() || exe == known.facts.exe;
            if start_ticks.is_some() && start_ticks == known.facts.start_ticks && same_program {
                known.checked = Some(now);
                return Arc::clone(&known.facts);
            }
        }
        let facts = self.source.read(pid);
        self.remember(facts, now)
    }

    fn remember(&mut self, facts: ProcessFacts, now: Instant) -> Arc<ProcessFacts> {
        if self.known.len() >= PROCESSES_MAX && !self.known.contains_key(&facts.pid) {
            self.make_room(now);
        }
        let facts = Arc::new(facts);
        let known = Known {
            facts: Arc::clone(&facts),
            checked: Some(now),
            died: None,
            takes: false,
            takes_asked: None,
        };
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
        let mut by_age: Vec<(Option<Instant>, u32)> =
            self.known.iter().map(|(pid, it)| (it.checked, *pid)).collect();
        by_age.sort_unstable();
        for (_, pid) in by_age.into_iter().take(PROCESSES_MAX / 4) {
            self.known.remove(&pid);
        }
    }
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
