//! Whether a file is still what was read of it: told by the kernel as it is written to, and by its times.
//!
//! A probe is an instruction of the file that the kernel replaces and keeps. In a file that was rewritten in place it
//! would stand in the middle of other code, and programs that map it would run what was there before. So its probes
//! go with the first write.
//!
//! *Limits*: what is written through a shared mapping is not told, and changes the file's times late. A program that
//! maps the file between the first write and the removal, some tenths of a second, runs with the old probes.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::linux::fs::MetadataExt as _;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// What tells one content of a file from another without reading it. Whoever writes can set back the time of the
/// last write, but not the time of the last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Of a file as it is now.
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.st_size(),
            written: (metadata.st_mtime(), metadata.st_mtime_nsec()),
            changed: (metadata.st_ctime(), metadata.st_ctime_nsec()),
        }
    }
}

/// The kernel's word of files that are written to.
pub(super) struct Changes {
    inotify: Inotify,
}

impl Changes {
    /// Of no file yet.
    ///
    /// # Errors
    /// The kernel has no descriptor left for this.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { inotify: Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)? })
    }

    /// Becomes readable when a watched file is written to.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Has this file watched from now on: the same watch for the same file.
    ///
    /// # Errors
    /// Too many are watched (`fs.inotify.max_user_watches`).
    pub(super) fn watch(&self, file: &File) -> io::Result<WatchDescriptor> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(self.inotify.add_watch(path.as_str(), AddWatchFlags::IN_MODIFY)?)
    }

    /// Ends a watch.
    pub(super) fn forget(&self, watch: WatchDescriptor) {
        // It may have gone with the file.
        let _ = self.inotify.rm_watch(watch);
    }

    /// The watches of files that were written to since the last call; true when the kernel had to drop some.
    pub(super) fn drain(&self) -> (Vec<WatchDescriptor>, bool) {
        let (mut written, mut lost) = (Vec::new(), false);
        while let Ok(events) = self.inotify.read_events() {
            for event in events {
                lost |= event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
                if event.mask.contains(AddWatchFlags::IN_MODIFY) && !written.contains(&event.wd) {
                    written.push(event.wd);
                }
            }
        }
        (written, lost)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_write_is_told_once_and_changes_the_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("library");
        fs::write(&path, "before").unwrap();
        let file = File::open(&path).unwrap();
        let stamp = Stamp::of(&file.metadata().unwrap());
        let changes = Changes::open().unwrap();
        let watch = changes.watch(&file).unwrap();
        assert_eq!(changes.watch(&file).unwrap(), watch, "one file, one watch");
        assert_eq!(changes.drain(), (Vec::new(), false));
        fs::write(&path, "after").unwrap();
        assert_eq!(changes.drain(), (vec![watch], false));
        assert_ne!(Stamp::of(&file.metadata().unwrap()), stamp);
        changes.forget(watch);
        fs::write(&path, "later").unwrap();
        assert_eq!(changes.drain(), (Vec::new(), false));
    }
}
