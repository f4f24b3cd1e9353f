//! Finding the files that carry a TLS library, and probing each once.
//!
//! *Invariants*: a file is known by the device and inode that the kernel tells; two mounts of one
//! image layer may still show one file twice, which the kernel programs notice at the first call.
//! *Limits*: [`TAPS_MAX`] probed files, [`SEEN_MAX`] remembered ones.
//! *Not here*: reading symbols of files that processes map later; a thread of its own does that.

use std::{
    collections::HashSet,
    fs::{self, File},
    os::{linux::fs::MetadataExt as _, unix::fs::FileTypeExt as _},
    path::{Path, PathBuf},
};

use cprvagt_report::Moment;

use super::{
    attach::{Readable, TlsTap, read_symbols},
    error::CaptureError,
    load::Programs,
    mappings::{FileKey, Mapping},
    probes::Probes,
};
use crate::scrub::Scrubber;

/// Files that are probed at most.
const TAPS_MAX: usize = 4096;
/// Files that are remembered as looked at; beyond that all are looked at again.
const SEEN_MAX: usize = 65_536;
/// Where the loader finds libraries; those there are probed before a process maps them.
const LIBRARY_FOLDERS: [&str; 6] =
    ["/lib", "/usr/lib", "/usr/local/lib", "/lib64", "/usr/lib64", "/usr/local/lib64"];
/// Where programs are; those that carry a TLS library are probed before they are started.
const PROGRAM_FOLDERS: [&str; 4] = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];

/// The probed files.
pub(super) struct Libraries {
    probes: Probes,
    seen: HashSet<FileKey>,
    taps: Vec<TlsTap>,
    attachments: u16,
}

impl Libraries {
    /// None yet.
    pub(super) fn new(probes: Probes) -> Self {
        Self { probes, seen: HashSet::new(), taps: Vec::new(), attachments: 0 }
    }

    /// How many files have probes.
    pub(super) fn attached_files(&self) -> usize {
        self.taps.len()
    }

    /// Probes what processes have mapped, and what the loader would find.
    ///
    /// # Errors
    /// No file is probed, since a privilege is missing. Other refusals are told file by file.
    pub(super) fn attach_all(&mut self, programs: &mut Programs) -> Result<(), CaptureError> {
        let mut refused = Vec::new();
        for mapping in mapped_files() {
            if let Some(file) = self.open_new(&mapping) {
                refused.extend(self.attach_file(programs, &file, &mapping.path).err());
            }
        }
        for path in installed_libraries().into_iter().chain(installed_programs()) {
            if let Ok(file) = File::open(&path)
                && let Some(key) = key_of(&file)
                && self.is_new(key)
            {
                refused.extend(self.attach_file(programs, &file, &path.display().to_string()).err());
            }
        }
        if self.taps.is_empty()
            && let Some(place) = refused.iter().position(|it| matches!(it, CaptureError::Privilege { .. }))
        {
            return Err(refused.swap_remove(place));
        }
        refused.iter().for_each(warn_refused);
        Ok(())
    }

    /// The file of a mapping, if it was not looked at yet.
    pub(super) fn open_new(&mut self, mapping: &Mapping) -> Option<File> {
        if !self.is_new(mapping.file) {
            return None;
        }
        let file = open_as_seen_by(mapping);
        if file.is_none() {
            // The process has ended before we looked: the file must be looked at when it returns.
            self.forget(mapping);
        }
        file
    }

    /// Removes the attachment that fired second for one call.
    pub(super) fn remove(&mut self, programs: &mut Programs, first: u32, second: u32) {
        let known = |number: u32| self.taps.iter().position(|tap| u32::from(tap.attachment) == number);
        let (Some(_), Some(index)) = (known(first), known(second)) else {
            return;
        };
        let tap = self.taps.swap_remove(index);
        tracing::debug!(path = tap.path, "one file behind two mounts: second probe removed");
        tap.detach(&mut self.probes);
        // A thread whose last call it was would otherwise have every further call refused as the second.
        if let Err(error) = programs.forget_calls(second) {
            tracing::warn!(%error, "a second probe could not be removed; its calls are counted once");
        }
    }

    /// Detaches and unloads every probe.
    pub(super) fn unload(&mut self, programs: &mut Programs) -> Result<(), CaptureError> {
        self.taps.drain(..).for_each(|tap| tap.detach(&mut self.probes));
        self.probes.unload(programs)
    }

    /// Has a file looked at again when it is mapped again.
    pub(super) fn forget(&mut self, mapping: &Mapping) {
        self.seen.remove(&mapping.file);
    }

    fn is_new(&mut self, key: FileKey) -> bool {
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        self.seen.insert(key)
    }

    fn attach_file(&mut self, programs: &mut Programs, file: &File, path: &str) -> Result<(), CaptureError> {
        match read_symbols(file) {
            Some(symbols) => self.attach(programs, &Readable { file, path, symbols: &symbols }),
            None => Ok(()),
        }
    }

    /// Probes a file whose symbols have been read.
    ///
    /// # Errors
    /// The file cannot be probed.
    pub(super) fn attach(
        &mut self,
        programs: &mut Programs,
        readable: &Readable<'_>,
    ) -> Result<(), CaptureError> {
        // A folder may be named like a number, and this name goes to the log.
        let path = Scrubber::at(Moment::now().0.as_second()).name(readable.path);
        let path = path.as_str();
        if self.taps.len() >= TAPS_MAX {
            tracing::warn!(
                path,
                limit = TAPS_MAX,
                "too many files with TLS functions: this one stays unobserved"
            );
            return Ok(());
        }
        self.attachments = self.attachments.wrapping_add(1);
        let readable = Readable { path, ..*readable };
        self.taps.push(TlsTap::attach(programs, &mut self.probes, &readable, self.attachments)?);
        Ok(())
    }
}

/// Tells that a file cannot be probed, and why.
pub(super) fn warn_refused(error: &CaptureError) {
    tracing::warn!(%error, "TLS functions of a file are not observed; its bytes will be a blind spot");
}

/// The file of a mapping: through the process's root, or by its path where the process is gone and the
/// path leads to the same file here.
fn open_as_seen_by(mapping: &Mapping) -> Option<File> {
    let through_root = format!("/proc/{}/root{}", mapping.pid, mapping.path);
    let opened = open_regular(Path::new(&through_root));
    opened.or_else(|| {
        let file = open_regular(Path::new(&mapping.path))?;
        (key_of(&file)?.inode == mapping.file.inode).then_some(file)
    })
}

/// Opens a file that is a file: opening a device or a pipe may block or have effects.
fn open_regular(path: &Path) -> Option<File> {
    let kind = fs::metadata(path).ok()?.file_type();
    if kind.is_char_device() || kind.is_block_device() || kind.is_fifo() || !kind.is_file() {
        return None;
    }
    File::open(path).ok()
}

fn key_of(file: &File) -> Option<FileKey> {
    let metadata = file.metadata().ok()?;
    let device = metadata.st_dev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    Some(FileKey {
        major: u32::try_from(major).ok()?,
        minor: u32::try_from(minor).ok()?,
        inode: metadata.st_ino(),
    })
}

/// Every file that a process has mapped as code now.
fn mapped_files() -> Vec<Mapping> {
    let mut mappings = Vec::new();
    let mut known = HashSet::new();
    for pid in process_ids() {
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/maps")) else { continue };
        for (file, path) in text.lines().filter_map(parse_mapping) {
            if known.insert(file) {
                mappings.push(Mapping { pid, file, path: path.to_owned() });
            }
        }
    }
    mappings
}

/// One line of `/proc/PID/maps`, if it is code from a file: addresses, rights, offset, device, inode,
/// path (proc_pid_maps(5)).
fn parse_mapping(line: &str) -> Option<(FileKey, &str)> {
    let mut parts = line.splitn(6, ' ').map(str::trim);
    let rights = parts.nth(1)?;
    let (major, minor) = parts.nth(1)?.split_once(':')?;
    let inode = parts.next()?.parse().ok()?;
    let path = parts.next()?;
    let file = FileKey {
        major: u32::from_str_radix(major, 16).ok()?,
        minor: u32::from_str_radix(minor, 16).ok()?,
        inode,
    };
    (rights.contains('x') && inode != 0 && path.starts_with('/')).then_some((file, path))
}

/// The processes that run now.
pub(super) fn process_ids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// What files of TLS libraries are called.
const LIBRARY_NAMES: [&str; 3] = ["libssl.so", "libgnutls.so", "libssl3.so"];

/// Files of TLS libraries in the loader's folders and one level below.
fn installed_libraries() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in LIBRARY_FOLDERS.map(Path::new) {
        collect_libraries(folder, true, &mut found);
    }
    found
}

/// Programs large enough to carry a TLS library: the smallest static one has 300 KiB of it.
fn installed_programs() -> impl Iterator<Item = PathBuf> {
    const CARRIER_BYTES_MIN: u64 = 512 << 10;
    let entries =
        PROGRAM_FOLDERS.into_iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    entries.map(|entry| entry.path()).filter(|path| {
        fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() >= CARRIER_BYTES_MIN)
    })
}

fn collect_libraries(folder: &Path, descend: bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let is_library =
            name.to_str().is_some_and(|name| LIBRARY_NAMES.iter().any(|it| name.starts_with(it)));
        if is_library && open_regular(&path).is_some() {
            found.push(path);
        } else if descend && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_libraries(&path, false, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<(u32, u32, u64, &str)>) {
        let found = parse_mapping(line).map(|(file, path)| (file.major, file.minor, file.inode, path));
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn only_code_from_files_counts() {
        check(
            "7f12a000-7f12b000 r-xp 00002000 fe:01 1234                       /usr/lib/libssl.so.3",
            Some((0xfe, 1, 1234, "/usr/lib/libssl.so.3")),
        );
        check(
            "7f12a000-7f12b000 r-xp 00002000 08:02 9 /opt/a b/lib ssl.so",
            Some((8, 2, 9, "/opt/a b/lib ssl.so")),
        );
        check("7f12a000-7f12b000 rw-p 00002000 fe:01 1234 /usr/lib/libssl.so.3", None);
        check("7ffd1000-7ffd2000 r-xp 00000000 00:00 0    [vdso]", None);
        check("7f12a000-7f12b000 r-xp 00000000 00:00 0", None);
        check("", None);
        check("rubbish", None);
    }
}
