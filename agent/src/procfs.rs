//! Facts about processes out of `/proc`.
//!
//! *Invariants*: a process that is gone, or that may not be read, gives `None` for what is not known,
//! never an error.
//! *Units*: `started_at` to 10 ms, as the kernel counts it.

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Instant;

use cprvagt_report::Moment;
use jiff::{SignedDuration, Timestamp};
use nix::unistd::{SysconfVar, Uid, User, sysconf};

use crate::container::image;
use crate::package::Packages;
use crate::process::{FilePart, FileRange, Identity, LookUp, ProcessFacts};
use crate::taken::is_taken_from;

/// Where dpkg keeps what it knows of packages (dpkg(1)).
const DPKG: &str = "/var/lib/dpkg";

/// A procfs.
#[derive(Debug)]
pub struct Procfs {
    root: PathBuf,
    /// The root of the folders that container engines keep their records in.
    engines: PathBuf,
    packages: Packages,
    booted: Option<Timestamp>,
    ticks_a_second: u64,
}

impl Default for Procfs {
    fn default() -> Self {
        Self::new(Path::new("/proc"))
    }
}

impl LookUp for Procfs {
    fn running(&mut self) -> Vec<u32> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    fn read(&mut self, pid: u32) -> ProcessFacts {
        let facts = self.facts(pid);
        let own = facts.exe.as_deref().filter(|_| facts.container.is_none());
        let package = own.and_then(|exe| self.packages.of(exe, Instant::now())).cloned();
        let (name, version) = package.map(|it| (it.name, it.version)).unzip();
        ProcessFacts { package: name, package_version: version.flatten(), ..facts }
    }

    fn file_part(&mut self, range: &FileRange) -> Option<FilePart> {
        let path = self.path(range.pid, "fd").join(range.descriptor.to_string());
        // Opening a pipe would wait for its other end.
        let all = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?.len();
        let len = all.saturating_sub(range.offset);
        let mut bytes = vec![0; usize::try_from(range.len.min(len)).ok()?];
        let mut file = fs::File::open(path).ok()?;
        file.seek(SeekFrom::Start(range.offset)).ok()?;
        let read = read_up_to(&mut file, &mut bytes).ok()?;
        bytes.truncate(read);
        Some(FilePart { bytes, len })
    }

    fn takes_from_host(&mut self, pid: u32) -> bool {
        let tables = ["net/tcp", "net/tcp6"].map(|table| self.text(pid, table).unwrap_or_default());
        let entries = fs::read_dir(self.path(pid, "fd")).into_iter().flatten().flatten();
        let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
        let links: Vec<String> = links.map(|link| link.to_string_lossy().into_owned()).collect();
        is_taken_from(&tables, &links)
    }

    fn identity(&mut self, pid: u32) -> Identity {
        Identity { start_ticks: self.start_ticks(pid), exe: self.exe(pid) }
    }
}

impl Procfs {
    /// The procfs at `root`.
    pub fn new(root: &Path) -> Self {
        let booted = fs::read_to_string(root.join("stat")).ok().and_then(|stat| boot_time(&stat));
        let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten();
        let ticks = ticks.and_then(|it| u64::try_from(it).ok()).filter(|it| *it > 0);
        let (engines, packages) = (PathBuf::from("/"), Packages::new(Path::new(DPKG)));
        Self { root: root.to_owned(), engines, packages, booted, ticks_a_second: ticks.unwrap_or(100) }
    }

    fn facts(&self, pid: u32) -> ProcessFacts {
        let cgroup = self.text(pid, "cgroup");
        let start_ticks = self.start_ticks(pid);
        let uid = self.text(pid, "status").and_then(|status| effective_uid(&status));
        let container = cgroup.as_deref().and_then(container);
        ProcessFacts {
            pid,
            comm: self.text(pid, "comm").map(|comm| comm.trim_end_matches('\n').to_owned()),
            exe: self.exe(pid),
            unit: cgroup.as_deref().and_then(unit),
            image: container.as_deref().and_then(|id| image(&self.engines, id)),
            container,
            package: None,
            package_version: None,
            cgroup: cgroup.as_deref().and_then(|cgroup| cgroup_paths(cgroup).next()).map(str::to_owned),
            uid,
            user: uid.and_then(user_name),
            started_at: start_ticks.and_then(|ticks| self.started_at(ticks)),
            start_ticks,
        }
    }

    fn path(&self, pid: u32, entry: &str) -> PathBuf {
        self.root.join(pid.to_string()).join(entry)
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

/// Fills `bytes` as far as the file goes; how far that was.
fn read_up_to(file: &mut fs::File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read(&mut bytes[read..]) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
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
#[path = "procfs_tests.rs"]
pub(crate) mod tests;
