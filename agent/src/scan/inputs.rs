//! What there is to read at a path: a file, or all files of a folder and of those in it, in the order of their names.
//!
//! *Invariants*: in a folder nothing is opened but regular files, and no link is followed, even one that takes a file's
//! place meanwhile. What the command line names is opened whatever it is.
//! *Limits*: the names of one folder, and of those that it lies in, are held in memory.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::iter;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::{O_NOCTTY, O_NOFOLLOW, O_NONBLOCK};
use nix::sys::statfs::{self, FsType};
use walkdir::{DirEntry, WalkDir};

use super::format::MAGIC_BYTES;

/// What was found at a path.
pub enum Found {
    /// Something to read.
    Input(Input),
    /// Something that is left out, and why.
    LeftOut(PathBuf, Note),
    /// Something that should have been read.
    Unread(PathBuf, Unread),
}

/// Why something was not read, or not all of it; and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// It cannot be opened.
    #[error("{0}; {advice}", advice = advice(.0))]
    Closed(io::Error),
    /// Reading ended before the file did.
    #[error("{cause}; what stands behind byte {behind} was not searched; scan it again")]
    Broken {
        /// Bytes that were read.
        behind: u64,
        /// What the system says.
        cause: io::Error,
    },
    /// A network capture.
    #[error(
        "a network capture ({0}), which this version does not read, so nothing in it was searched; write its \
         streams to files with another program, and scan those"
    )]
    Capture(&'static str),
}

fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::PermissionDenied => "scan as a user who may read it",
        io::ErrorKind::NotFound => "is the name right?",
        _ => "nothing in it was searched",
    }
}

/// Something to know that is no error.
#[derive(Debug, thiserror::Error)]
pub enum Note {
    /// Neither file nor folder.
    #[error("{0}, left out; on the command line it would be read")]
    Special(&'static str),
    /// A link in a folder.
    #[error("a symbolic link, not followed")]
    Link,
    /// A file system that holds no files.
    #[error("a folder of the kernel's own, left out; on the command line it would be read")]
    Kernel,
    /// Compressed.
    #[error("compressed ({0}), which this version does not undo: what it holds was not searched")]
    Compressed(&'static str),
    /// Compressed, and not to be decoded to its end.
    #[error("{bytes} compressed bytes were not decoded, {why}: what they hold was not searched")]
    Undecoded {
        /// How many.
        bytes: u64,
        /// Because of which bound.
        why: &'static str,
    },
    /// Longer now than when it was opened.
    #[error("it grew meanwhile: what came behind byte {behind} was not searched")]
    Grew {
        /// Bytes that were read.
        behind: u64,
    },
}

/// Something to read.
pub struct Input {
    /// What it is called; `-` is standard input.
    pub path: PathBuf,
    /// Bytes that were read.
    pub taken: u64,
    file: File,
    /// Of a file that has a length, what it was at first.
    len: Option<u64>,
}

impl Input {
    fn new(path: &Path, file: File) -> io::Result<Self> {
        let meta = file.metadata()?;
        // Files that the kernel writes when they are read say that they are empty.
        let len = Some(meta.len()).filter(|len| meta.is_file() && *len > 0);
        Ok(Self { path: path.to_owned(), taken: 0, file, len })
    }

    /// The next bytes, as many as there are now and `buffer` has room for, at first enough to know the format by; 0 at
    /// the end.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn take(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.len.map_or(u64::MAX, |len| len.saturating_sub(self.taken));
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let wanted = if self.taken == 0 { MAGIC_BYTES.min(room) } else { 1 };
        let mut count = 0;
        while count < wanted {
            match self.file.read(&mut buffer[count..room]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.taken += count as u64;
        Ok(count)
    }

    /// Whether it is longer now than what was read of it, and was not to begin with.
    pub fn has_more(&self) -> bool {
        let is_longer = |len| self.file.metadata().is_ok_and(|meta| meta.len() > len);
        self.len.is_some_and(|len| self.taken == len && is_longer(len))
    }
}

/// Everything at `path`, in a fixed order; `-` is standard input.
pub fn of(path: &Path) -> Box<dyn Iterator<Item = Found>> {
    if path == Path::new("-") {
        return Box::new(iter::once_with(standard_input));
    }
    let mut walk = WalkDir::new(path).sort_by_file_name().into_iter();
    Box::new(iter::from_fn(move || {
        loop {
            let found = match walk.next()? {
                Ok(entry) if entry.file_type().is_dir() && is_kernels(&entry) => {
                    walk.skip_current_dir();
                    Found::LeftOut(entry.into_path(), Note::Kernel)
                }
                Ok(entry) if entry.file_type().is_dir() => continue,
                Ok(entry) => look(&entry),
                Err(error) => missed(error),
            };
            return Some(found);
        }
    }))
}

fn standard_input() -> Found {
    let path = Path::new("-");
    let file = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    found(path, file.and_then(|file| Input::new(path, file)))
}

/// Something that is no folder.
fn look(entry: &DirEntry) -> Found {
    let (path, is_named) = (entry.path(), entry.depth() == 0);
    if !is_named && let Some(note) = unasked(entry.file_type()) {
        return Found::LeftOut(path.to_owned(), note);
    }
    let mut options = OpenOptions::new();
    options.read(true);
    if !is_named {
        options.custom_flags(O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    }
    let opened = options.open(path).and_then(|file| Ok((file.metadata()?.file_type(), file)));
    match opened {
        Ok((kind, _)) if !is_named && !kind.is_file() => {
            Found::LeftOut(path.to_owned(), unasked(kind).unwrap_or(Note::Link))
        }
        opened => found(path, opened.and_then(|(_, file)| Input::new(path, file))),
    }
}

/// Why something in a folder is not read, if it is not.
fn unasked(kind: FileType) -> Option<Note> {
    match kind {
        kind if kind.is_symlink() => Some(Note::Link),
        kind if kind.is_fifo() => Some(Note::Special("a named pipe")),
        kind if kind.is_socket() => Some(Note::Special("a socket")),
        kind if kind.is_block_device() || kind.is_char_device() => Some(Note::Special("a device")),
        _ => None,
    }
}

fn found(path: &Path, input: io::Result<Input>) -> Found {
    input.map_or_else(|cause| Found::Unread(path.to_owned(), Unread::Closed(cause)), Found::Input)
}

fn missed(error: walkdir::Error) -> Found {
    let path = error.path().map(Path::to_owned).unwrap_or_default();
    // What the library says itself has the path in it, not scrubbed.
    let cause = error.into_io_error().unwrap_or_else(|| io::Error::other("it lies in itself"));
    Found::Unread(path, Unread::Closed(cause))
}

/// Whether a folder below the one that was named is of a file system in which the kernel shows itself: reading some of
/// its files waits for ever, or changes what they show to others.
fn is_kernels(entry: &DirEntry) -> bool {
    const KERNELS: [FsType; 7] = [
        statfs::PROC_SUPER_MAGIC,
        statfs::SYSFS_MAGIC,
        statfs::CGROUP_SUPER_MAGIC,
        statfs::CGROUP2_SUPER_MAGIC,
        statfs::TRACEFS_MAGIC,
        statfs::DEBUGFS_MAGIC,
        statfs::SECURITYFS_MAGIC,
    ];
    let kind = statfs::statfs(entry.path()).map(|it| it.filesystem_type());
    entry.depth() > 0 && kind.is_ok_and(|kind| KERNELS.contains(&kind))
}
