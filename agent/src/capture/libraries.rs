//! Finding the files that carry a TLS library, and probing each once.
//!
//! *Invariants*: a file is known by the device and inode that the kernel tells, and looked at again when it is mapped
//! after its size or times have changed: it was rewritten in place, or the number was given to another file. Two
//! mounts of one image layer may still show one file twice, which the kernel programs notice at the first call.
//! *Limits*: [`TAPS_MAX`] probed files, [`SEEN_MAX`] remembered ones; [`CHECK_EVERY`].
//! *Not here*: reading the symbols of large files that processes map later; see [`super::reader`].

use std::{
    collections::HashMap,
    fs::{self, File, Metadata},
    os::{fd::BorrowedFd, linux::fs::MetadataExt as _, unix::fs::FileExt as _},
    path::Path,
    time::{Duration, Instant},
};

use cprvagt_abi::Function;
use nix::sys::inotify::WatchDescriptor;

use cprvagt_report::Moment;

use super::{
    attach::{Readable, TlsTap, has_any, has_nspr, places_for_nspr, read_symbols},
    changes::{Changes, Stamp},
    error::CaptureError,
    installed::{installed_libraries, installed_programs, is_in_a_usual_folder},
    load::Programs,
    mapped::mapped_files,
    mappings::{FileKey, Mapping},
    probes::Probes,
    symbols::{Symbols, open_regular},
    users::Users,
};
use crate::{scrub::Scrubber, tls_files::SharedLibrary};

/// Files that are probed at most.
const TAPS_MAX: usize = 4096;
/// Files that are remembered as looked at; beyond that all are looked at again.
const SEEN_MAX: usize = 65_536;
/// A larger file is not read beside the ring, even if it is named like a TLS library: Debian's have 0.7 to 2.1 MB.
const AT_ONCE_BYTES_MAX: u64 = 8 << 20;
/// Looking for files that nobody uses any more may take this part of the time.
const UNUSED_SHARE: u32 = 200;
/// They are looked for at most so often.
const UNUSED_EVERY: Duration = Duration::from_secs(10);
/// How often a file that is not watched because of its probes, and not named like a TLS library, is compared with what
/// was read of it: some are mapped by every program that starts.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The probed files.
pub(super) struct Libraries {
    probes: Probes,
    seen: HashMap<FileKey, Remembered>,
    taps: Vec<Tapped>,
    attachments: u16,
    changes: Changes,
    nspr: Nspr,
    /// When processes are looked through again for files that nobody uses.
    next_search: Option<Instant>,
}

/// The files of NSPR, which are probed if there is an NSS that cannot be.
#[derive(Debug, Default)]
struct Nspr {
    is_wanted: bool,
    /// Those that were looked at before, as the kernel tells them of a mapping.
    known: Vec<FileKey>,
    /// Whether all processes are to be looked through, since they have just become wanted.
    is_search_due: bool,
}

/// What a mapped file is to us.
pub(super) enum Look {
    /// Looked at already.
    Known,
    /// To be looked at now.
    New(File),
    /// The process ended before the file could be opened: it is looked at when it is mapped again.
    Missed,
}

/// What is remembered of a file that was looked at.
struct Remembered {
    stamp: Stamp,
    at: Instant,
    /// Of a file that has probes.
    users: Option<Users>,
    /// Whether its probes go when it is written to; and while it has probes, its number is given to no other.
    is_watched: bool,
}

/// A file that has probes.
struct Tapped {
    tap: TlsTap,
    /// As this process sees it, which may differ from what the kernel tells of a mapping.
    key: FileKey,
    /// As the kernel tells it of a mapping.
    mapped_as: FileKey,
    watch: Option<WatchDescriptor>,
}

impl Tapped {
    /// Whether this very file is where a loader looks, or a shell.
    fn is_installed(&self) -> bool {
        let path = Path::new(&self.tap.path);
        is_in_a_usual_folder(path) && fs::metadata(path).ok().as_ref().and_then(key_of) == Some(self.key)
    }
}

impl Libraries {
    /// None yet.
    ///
    /// # Errors
    /// The kernel does not tell of changes to files.
    pub(super) fn new(probes: Probes) -> Result<Self, CaptureError> {
        let changes =
            Changes::open().map_err(CaptureError::io("watching files for changes (inotify_init)"))?;
        Ok(Self {
            probes,
            seen: HashMap::new(),
            taps: Vec::new(),
            attachments: 0,
            changes,
            nspr: Nspr::default(),
            next_search: None,
        })
    }

    /// Becomes readable when a probed file is written to.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.changes.descriptor()
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
        self.nspr.is_search_due = false;
        let mut refused = self.attach_each(programs);
        if self.nspr.is_search_due {
            self.nspr.is_search_due = false;
            refused.extend(self.attach_each(programs));
        }
        if self.taps.is_empty()
            && let Some(place) = refused.iter().position(|it| matches!(it, CaptureError::Privilege { .. }))
        {
            return Err(refused.swap_remove(place));
        }
        refused.iter().for_each(warn_refused);
        Ok(())
    }

    /// Whether [`Self::attach_all`] would find files that were left out before.
    pub(super) fn is_search_due(&self) -> bool {
        self.nspr.is_search_due
    }

    fn attach_each(&mut self, programs: &mut Programs) -> Vec<CaptureError> {
        let mut refused = Vec::new();
        for mapping in mapped_files() {
            if let Look::New(file) = self.look_at(&mapping) {
                refused.extend(self.attach_file(programs, &file, &mapping.path, Some(&mapping)).err());
            }
        }
        for path in installed_libraries().into_iter().chain(installed_programs()) {
            if let Ok(file) = File::open(&path)
                && let Ok(metadata) = file.metadata()
                && let Some(key) = key_of(&metadata)
                && !self.seen.contains_key(&key)
            {
                self.note(key, &metadata);
                refused.extend(self.attach_file(programs, &file, &path.display().to_string(), None).err());
            }
        }
        refused
    }

    /// The file of a mapping, if it was not looked at yet or is not any more what it was then.
    pub(super) fn look_at(&mut self, mapping: &Mapping) -> Look {
        if self.is_known(mapping) {
            return Look::Known;
        }
        let Some((file, metadata)) =
            open_as_seen_by(mapping).and_then(|file| file.metadata().ok().map(|metadata| (file, metadata)))
        else {
            return Look::Missed;
        };
        self.note(mapping.file, &metadata);
        Look::New(file)
    }

    /// Whether a file was looked at and has not changed since.
    fn is_known(&mut self, mapping: &Mapping) -> bool {
        let Some(look) = self.seen.get_mut(&mapping.file) else { return false };
        if let Some(users) = &mut look.users {
            users.add(mapping.pid);
        }
        let now = Instant::now();
        let is_quiet = look.is_watched || SharedLibrary::of(&mapping.path).is_none();
        if is_quiet && now.saturating_duration_since(look.at) < CHECK_EVERY {
            return true;
        }
        look.at = now;
        let now_there = fs::metadata(through_root(mapping));
        // Of a process that has ended nothing is known: what was read stays.
        now_there.map_or(true, |metadata| Stamp::of(&metadata) == look.stamp)
    }

    fn note(&mut self, key: FileKey, metadata: &Metadata) {
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        self.seen.insert(
            key,
            Remembered { stamp: Stamp::of(metadata), at: Instant::now(), users: None, is_watched: false },
        );
    }

    /// Takes the probes off files whose processes have all ended, unless the file is where a loader would find it.
    pub(super) fn leave_unused(&mut self, now: Instant) {
        if self.next_search.is_some_and(|next| now < next) {
            return;
        }
        self.next_search = Some(now + UNUSED_EVERY);
        let mut idle = self.idle();
        if idle.is_empty() {
            return;
        }
        // A process that has inherited the mapping was not told.
        let mapped = mapped_files();
        self.next_search = Some(now + UNUSED_EVERY.max(now.elapsed() * UNUSED_SHARE));
        for mapping in &mapped {
            if let Some(users) = self.seen.get_mut(&mapping.file).and_then(|look| look.users.as_mut()) {
                users.add(mapping.pid);
            }
        }
        idle.retain(|key| !mapped.iter().any(|mapping| mapping.file == *key));
        while let Some(index) = self.taps.iter().position(|it| idle.contains(&it.mapped_as)) {
            tracing::info!(
                path = self.taps[index].tap.path,
                "no process uses this file any more: not observed"
            );
            self.forget(self.taps[index].mapped_as);
            self.detach(index);
        }
    }

    /// Takes the probes off files that were written to; they are read anew when they are mapped next.
    pub(super) fn leave_rewritten(&mut self) {
        let (written, lost) = self.changes.drain();
        let is_written = |it: &Tapped| lost || it.watch.is_some_and(|watch| written.contains(&watch));
        while let Some(index) = self.taps.iter().position(is_written) {
            tracing::info!(
                path = self.taps[index].tap.path,
                "a probed file is written to: its probes are removed"
            );
            self.detach(index);
            // A file that nobody wrote to must be probed again, though its stamp is the same.
            if lost {
                self.seen.clear();
            }
        }
    }

    fn detach(&mut self, index: usize) {
        let Tapped { tap, watch, mapped_as, .. } = self.taps.swap_remove(index);
        if let Some(look) = self.seen.get_mut(&mapped_as) {
            look.is_watched = false;
        }
        tap.detach_aside(&mut self.probes);
        self.end_watch(watch);
    }

    /// Ends a watch that no probed file needs.
    fn end_watch(&self, watch: Option<WatchDescriptor>) {
        if let Some(watch) = watch
            && self.taps.iter().all(|it| it.watch != Some(watch))
        {
            self.changes.forget(watch);
        }
    }

    /// Removes the attachment that fired second for one call.
    pub(super) fn remove(&mut self, programs: &mut Programs, first: u32, second: u32) {
        let known = |number: u32| self.taps.iter().position(|it| u32::from(it.tap.attachment) == number);
        let forgotten = match (known(first), known(second)) {
            (Some(_), Some(index)) => {
                let path = &self.taps[index].tap.path;
                tracing::debug!(path, "one file behind two mounts: second probe removed");
                self.detach(index);
                second
            }
            // The first is no more; a thread that it saw last must not be taken for seen twice.
            _ => first,
        };
        // A thread whose last call it was would otherwise have every further call refused as the second.
        if let Err(error) = programs.forget_calls(forgotten) {
            tracing::warn!(%error, "a second probe could not be removed; its calls are counted once");
        }
    }

    /// Probed files that no loader would find and whose known users have ended.
    fn idle(&self) -> Vec<FileKey> {
        let users = |it: &Tapped| self.seen.get(&it.mapped_as).and_then(|look| look.users);
        let idle = self.taps.iter().filter(|it| users(it).is_none_or(|users| users.have_ended()));
        idle.filter(|it| !it.is_installed()).map(|it| it.mapped_as).collect()
    }

    /// Detaches and unloads every probe.
    pub(super) fn unload(&mut self, programs: &mut Programs) -> Result<(), CaptureError> {
        self.taps.drain(..).for_each(|it| it.tap.detach(&mut self.probes));
        self.probes.unload(programs)
    }

    /// Has a file looked at again when it is mapped again.
    pub(super) fn forget(&mut self, file: FileKey) {
        self.seen.remove(&file);
    }

    /// Reads and probes a TLS library at once: the program that mapped it writes within some milliseconds. False when
    /// the file is something else, which may have a million symbols.
    pub(super) fn attach_library(&mut self, programs: &mut Programs, file: &File, mapping: &Mapping) -> bool {
        let is_short = || file.metadata().is_ok_and(|metadata| metadata.len() <= AT_ONCE_BYTES_MAX);
        if SharedLibrary::of(&mapping.path).is_none() || !is_short() {
            return false;
        }
        if let Err(error) = self.attach_file(programs, file, &mapping.path, Some(mapping)) {
            warn_refused(&error);
        }
        true
    }

    fn attach_file(
        &mut self,
        programs: &mut Programs,
        file: &File,
        path: &str,
        mapping: Option<&Mapping>,
    ) -> Result<(), CaptureError> {
        match read_symbols(file, mapping.map(|mapping| mapping.pid)) {
            Some(symbols) => self.attach(programs, &Readable { file, path, symbols: &symbols }, mapping),
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
        mapping: Option<&Mapping>,
    ) -> Result<(), CaptureError> {
        // A folder may be named like a number, and this name goes to the log.
        let path = Scrubber::at(Moment::now().0.as_second()).name(readable.path);
        let readable = Readable { path: path.as_str(), ..*readable };
        if let Some(places) = places_for_nspr(readable.symbols) {
            self.turn_to_nspr(programs, readable.path, places)?;
        }
        if !self.nspr.is_wanted && has_nspr(readable.symbols) && self.nspr.known.len() < TAPS_MAX {
            self.nspr.known.extend(mapping.map(|mapping| mapping.file));
        }
        if !has_any(readable.symbols, self.nspr.is_wanted) {
            return Ok(());
        }
        // Before it is compared with what was read: whatever is written from now on is told.
        let watch = self.changes.watch(readable.file);
        if let Err(error) = &watch {
            tracing::warn!(path = readable.path, %error, "changes of this file are noticed late");
        }
        let key = readable.file.metadata().ok().as_ref().and_then(key_of);
        let Some(key) = key.filter(|_| is_as_read(readable.file, readable.symbols)) else {
            self.end_watch(watch.ok());
            return Ok(());
        };
        let mapped_as = mapping.map_or(key, |mapping| mapping.file);
        let before = self.taps.iter().position(|it| it.key == key);
        match before {
            // Its name, owner or mode has changed: had it been written to, its probes would be gone. And no other file
            // can have its number while it has probes.
            Some(index) if self.taps[index].watch.is_some() => return Ok(()),
            Some(index) => self.detach(index),
            None => {}
        }
        let watch = watch.ok();
        let done = self.put(programs, &readable, |tap| Tapped { tap, key, mapped_as, watch });
        self.end_watch(watch);
        done?;
        if let Some(look) = self.seen.get_mut(&mapped_as) {
            look.is_watched = watch.is_some();
            let users = look.users.get_or_insert_default();
            mapping.into_iter().for_each(|mapping| users.add(mapping.pid));
        }
        Ok(())
    }

    /// From now on what is handed to NSPR is read too.
    fn turn_to_nspr(&mut self, programs: &mut Programs, path: &str, places: u64) -> Result<(), CaptureError> {
        tracing::warn!(
            path,
            "NSS's own writing function was not found: PR_Write, PR_Send and PR_Writev are probed instead, which costs a \
             program more with each call"
        );
        programs.set_nss_places(places)?;
        self.nspr.is_wanted = true;
        self.nspr.is_search_due |= !self.nspr.known.is_empty();
        for file in std::mem::take(&mut self.nspr.known) {
            self.forget(file);
            // One that has other functions too.
            if let Some(index) = self.taps.iter().position(|it| it.mapped_as == file) {
                self.detach(index);
            }
        }
        Ok(())
    }

    fn put(
        &mut self,
        programs: &mut Programs,
        readable: &Readable<'_>,
        tapped: impl FnOnce(TlsTap) -> Tapped,
    ) -> Result<(), CaptureError> {
        if self.taps.len() >= TAPS_MAX {
            tracing::warn!(
                path = readable.path,
                limit = TAPS_MAX,
                "too many files with TLS functions: this one stays unobserved"
            );
            return Ok(());
        }
        let attachment = self.free_attachment();
        let tap = TlsTap::attach(programs, &mut self.probes, readable, self.nspr.is_wanted, attachment)?;
        self.taps.push(tapped(tap));
        Ok(())
    }

    /// A number that no probed file has.
    fn free_attachment(&mut self) -> u16 {
        loop {
            self.attachments = self.attachments.wrapping_add(1);
            if self.taps.iter().all(|it| it.tap.attachment != self.attachments) {
                return self.attachments;
            }
        }
    }
}

/// Whether a file has its functions where they were read.
fn is_as_read(file: &File, symbols: &Symbols) -> bool {
    Function::ALL.into_iter().filter_map(|function| symbols.get(function.symbol())).all(|function| {
        let mut code = vec![0; function.code.len()];
        file.read_exact_at(&mut code, function.file_offset).is_ok() && code == function.code
    })
}

/// Tells that a file cannot be probed, and why.
pub(super) fn warn_refused(error: &CaptureError) {
    tracing::warn!(%error, "TLS functions of a file are not observed; its bytes will be a blind spot");
}

/// The file of a mapping: through the process's root, or by its path where the process is gone and the
/// path leads to the same file here.
fn open_as_seen_by(mapping: &Mapping) -> Option<File> {
    let opened = open_regular(Path::new(&through_root(mapping)));
    opened.or_else(|| {
        let file = open_regular(Path::new(&mapping.path))?;
        (key_of(&file.metadata().ok()?)?.inode == mapping.file.inode).then_some(file)
    })
}

fn through_root(mapping: &Mapping) -> String {
    format!("/proc/{}/root{}", mapping.pid, mapping.path)
}

fn key_of(metadata: &Metadata) -> Option<FileKey> {
    let device = metadata.st_dev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    Some(FileKey {
        major: u32::try_from(major).ok()?,
        minor: u32::try_from(minor).ok()?,
        inode: metadata.st_ino(),
    })
}
