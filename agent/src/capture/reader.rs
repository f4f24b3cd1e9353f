//! Reads the symbols of newly mapped files in a thread of its own.
//!
//! A large program has a million symbols. Read beside the ring, they would let it fill; read one after the
//! other as they come, a compiler's would keep a library's waiting.
//!
//! *Invariants*: files that are named like a TLS library come first.
//! *Not here*: a TLS library of usual size; it is read at once, see [`super::libraries`].
//! *Limits*: [`WAITING_MAX`] files wait; further ones are looked at when they are mapped again.

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, BorrowedFd},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread,
};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{attach::read_symbols, heap, mappings::Mapping, symbols::Symbols};
use crate::tls_files::SharedLibrary;

/// Files that wait to be read.
const WAITING_MAX: usize = 4096;

/// A file to be read.
struct Job {
    file: File,
    mapping: Mapping,
}

/// A file that has functions to probe.
pub(super) struct ReadFile {
    /// The file.
    pub file: File,
    /// How a process has mapped it.
    pub mapping: Mapping,
    /// Its symbols.
    pub symbols: Symbols,
}

/// The thread, as its owner sees it. It ends when this is dropped.
pub(super) struct SymbolReader {
    jobs: SyncSender<Job>,
    found: Receiver<ReadFile>,
    bell: Arc<EventFd>,
}

impl SymbolReader {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(WAITING_MAX);
        let (results, found) = channel();
        let bell = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let ring = Arc::clone(&bell);
        thread::Builder::new()
            .name("symbols".to_owned())
            .spawn(move || read_all(&waiting, &results, &ring))?;
        Ok(Self { jobs, found, bell })
    }

    /// Becomes readable when a file was found.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Has a file read; false when too many wait.
    pub(super) fn read(&self, file: File, mapping: &Mapping) -> bool {
        self.jobs.try_send(Job { file, mapping: mapping.clone() }).is_ok()
    }

    /// The files found since the last call.
    pub(super) fn found(&self) -> impl Iterator<Item = ReadFile> {
        // Empties the bell; an error only says that it had not rung.
        let _ = self.bell.read();
        self.found.try_iter()
    }
}

/// Reads until the other side is gone.
fn read_all(waiting: &Receiver<Job>, results: &Sender<ReadFile>, bell: &EventFd) {
    let mut jobs: Vec<Job> = Vec::new();
    loop {
        if jobs.is_empty() {
            heap::give_back();
            let Ok(job) = waiting.recv() else { return };
            jobs.push(job);
        }
        jobs.extend(waiting.try_iter());
        // The next one stands at the end.
        jobs.sort_by_key(|job| SharedLibrary::of(&job.mapping.path).is_some());
        let Some(Job { file, mapping }) = jobs.pop() else { continue };
        let Some(symbols) = read_symbols(&file, Some(mapping.pid)) else { continue };
        if results.send(ReadFile { file, mapping, symbols }).is_err() {
            return;
        }
        // A full bell has rung already.
        let _ = bell.write(1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::mappings::FileKey;
    use super::*;

    #[test]
    fn files_without_functions_are_not_found_and_the_thread_goes_on() {
        let reader = SymbolReader::start().expect("a thread can be started");
        let own = File::open("/proc/self/exe").expect("it runs");
        let file = FileKey { major: 0, minor: 0, inode: 1 };
        assert!(
            reader.read(own, &Mapping { pid: std::process::id(), file, path: "/proc/self/exe".to_owned() })
        );
        thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(reader.found().count(), 0);
    }
}
