//! Reads the symbols of newly mapped files in a thread of its own.
//!
//! A large program has a million symbols. Read beside the ring, they would let it fill; read one after the
//! other as they come, a compiler's would keep a library's waiting.
//!
//! *Invariants*: files that are named like a TLS library come first.
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

use super::{attach::read_symbols, symbols::Symbols};

/// Files that wait to be read.
const WAITING_MAX: usize = 4096;

/// A file to be read.
struct Job {
    file: File,
    path: String,
}

/// A file that has functions to probe.
pub(super) struct Found {
    /// The file.
    pub file: File,
    /// Its path as a process saw it.
    pub path: String,
    /// Its symbols.
    pub symbols: Symbols,
}

/// The thread, as its owner sees it. It ends when this is dropped.
pub(super) struct SymbolReader {
    jobs: SyncSender<Job>,
    found: Receiver<Found>,
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
    pub(super) fn read(&self, file: File, path: &str) -> bool {
        self.jobs.try_send(Job { file, path: path.to_owned() }).is_ok()
    }

    /// The files found since the last call.
    pub(super) fn found(&self) -> impl Iterator<Item = Found> {
        // Empties the bell; an error only says that it had not rung.
        let _ = self.bell.read();
        self.found.try_iter()
    }
}

/// Reads until the other side is gone.
fn read_all(waiting: &Receiver<Job>, results: &Sender<Found>, bell: &EventFd) {
    let mut jobs: Vec<Job> = Vec::new();
    loop {
        if jobs.is_empty() {
            let Ok(job) = waiting.recv() else { return };
            jobs.push(job);
        }
        jobs.extend(waiting.try_iter());
        // The next one stands at the end.
        jobs.sort_by_key(|job| is_tls_library(&job.path));
        let Some(Job { file, path }) = jobs.pop() else { continue };
        let Some(symbols) = read_symbols(&file) else { continue };
        if results.send(Found { file, path, symbols }).is_err() {
            return;
        }
        // A full bell has rung already.
        let _ = bell.write(1);
    }
}

fn is_tls_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with("libssl") || name.starts_with("libgnutls")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_library_is_known_by_its_file_name() {
        for (path, expected) in [
            ("/usr/lib/x86_64-linux-gnu/libssl.so.3", true),
            ("/opt/app/libssl-1f2e.so", true),
            ("/opt/libssl/bin/tool", false),
            ("libssl.so", true),
        ] {
            assert_eq!(is_tls_library(path), expected, "{path}");
        }
    }

    #[test]
    fn files_without_functions_are_not_found_and_the_thread_goes_on() {
        let reader = SymbolReader::start().expect("a thread can be started");
        let own = File::open("/proc/self/exe").expect("it runs");
        assert!(reader.read(own, "/proc/self/exe"));
        thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(reader.found().count(), 0);
    }
}
