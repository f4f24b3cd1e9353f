//! The file outlet: one event a line, appended and on the disk before the cursor moves.
//!
//! *Invariants*: a line is whole or the last one. What a crash or a full disk left of a line is ended with a line
//! feed before anything else is written, and its event comes again: a reader skips a line that is no JSON, and
//! may see an event twice, with the same `metadata.uid`.
//! *Limits*: the file is not rotated here. Whoever renames it gets a new one at the next event; whoever
//! truncates it in place loses what was not read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// For its owner alone. A file that somebody made with other rights keeps them.
const MODE: u32 = 0o600;

/// A file that lines are appended to.
pub(super) struct LineFile {
    path: PathBuf,
    /// Open, and ending with a whole line.
    open: Option<File>,
}

impl LineFile {
    /// The file at `path`, opened when there is something to write.
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// Appends `lines`, which end with a line feed, and waits until the disk has them.
    ///
    /// # Errors
    /// What the system says; some of the lines may be there then.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let kept = self.open.take().filter(|file| is_at(file, &self.path));
        let mut file = kept.map_or_else(|| open(&self.path), Ok)?;
        file.write_all(lines)?;
        file.sync_data()?;
        self.open = Some(file);
        Ok(())
    }
}

/// Whether `path` still leads to this file: it does not once the file was rotated away or deleted.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |open: std::fs::Metadata, found: std::fs::Metadata| {
        (open.dev(), open.ino()) == (found.dev(), found.ino())
    };
    file.metadata().and_then(|open| Ok(same(open, std::fs::metadata(path)?))).unwrap_or(false)
}

fn open(path: &Path) -> io::Result<File> {
    // Opening a pipe that nobody reads must not wait.
    let flags = nix::libc::O_NONBLOCK;
    let file =
        OpenOptions::new().read(true).append(true).create(true).mode(MODE).custom_flags(flags).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        sync_folder(path)?;
        end_torn_line(file)
    } else if kind.is_char_device() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "this is neither a file nor a device"))
    }
}

/// A new file's name must be on the disk too.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn end_torn_line(mut file: File) -> io::Result<File> {
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn lines_are_appended_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        for round in [&b"{\"a\":1}\n"[..], b"{\"a\":2}\n{\"a\":3}\n"] {
            LineFile::new(path.clone()).append(round).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        for (found, expected) in
            [("", "x\n"), ("\n", "\nx\n"), ("a\n", "a\nx\n"), ("a\n{\"b", "a\n{\"b\nx\n")]
        {
            fs::write(&path, found).unwrap();
            LineFile::new(path.clone()).append(b"x\n").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{found:?}");
        }
    }

    #[test]
    fn a_rotated_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("events.jsonl"), dir.path().join("events.jsonl.1"));
        let mut file = LineFile::new(path.clone());
        file.append(b"1\n").unwrap();
        fs::rename(&path, &old).unwrap();
        file.append(b"2\n").unwrap();
        file.append(b"3\n").unwrap();
        fs::remove_file(&path).unwrap();
        file.append(b"4\n").unwrap();
        assert_eq!(fs::read(&old).unwrap(), b"1\n");
        assert_eq!(fs::read(&path).unwrap(), b"4\n");
    }

    #[test]
    fn a_full_disk_and_a_missing_folder_are_told() {
        let full = LineFile::new(PathBuf::from("/dev/full")).append(b"x\n").unwrap_err();
        assert_eq!(full.raw_os_error(), Some(nix::libc::ENOSPC));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none/events.jsonl");
        let mut file = LineFile::new(path.clone());
        assert_eq!(file.append(b"x\n").unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::create_dir(path.parent().unwrap()).unwrap();
        file.append(b"x\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x\n");
    }

    #[test]
    fn a_pipe_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(LineFile::new(path).append(b"x\n").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
