//! Mapped files that the kernel program announces, since it was not told that they are known.
//!
//! An announcement says that there is something to look at, nothing more: path and process come with the kernel's own
//! word of the mapping ([`super::mappings`]), a moment later.
//!
//! *Limits*: that word is expected for [`EXPECT`]. Without the structures that the program reads, every mapping wakes.

use std::{
    os::fd::{AsFd as _, BorrowedFd},
    time::{Duration, Instant},
};

use aya::{
    Pod,
    maps::{HashMap, MapData, RingBuf},
    programs::KProbe,
};
use cprvagt_abi::{FileOffsets, MappedFile};

use super::{
    btf::members,
    error::{CaptureError, chain},
    load::{Programs, load_error},
    mappings::FileKey,
};

/// How long a mapping may take from its announcement on: it waits for others of its process. A file under an overlay
/// is announced by another number than it is mapped by, and is waited for in vain.
const EXPECT: Duration = Duration::from_millis(10);
/// The program.
const NAME: &str = "file_mapped";
const RING: &str = "ANNOUNCED_FILES";
const KNOWN: &str = "KNOWN_FILES";

/// A file that can be written to a map.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct File(MappedFile);
// SAFETY: fixed-width integers without padding; abi checks its size.
unsafe impl Pod for File {}

/// The kernel's structures that can be handed to the program.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Offsets(pub FileOffsets);
// SAFETY: fixed-width integers of one size.
unsafe impl Pod for Offsets {}

/// The announcements, and what becomes of them.
pub(super) struct Announced {
    ring: RingBuf<MapData>,
    known: HashMap<MapData, File, u32>,
    expected: Vec<(MappedFile, Instant)>,
}

impl Announced {
    /// Attaches the program.
    ///
    /// # Errors
    /// This kernel has no types of its own, no such function, or takes no kprobe.
    pub(super) fn attach(programs: &mut Programs) -> Result<Self, CaptureError> {
        const FUNCTION: &str = "security_mmap_file";
        let ring = RingBuf::try_from(programs.take_map(RING)?).map_err(CaptureError::map(RING))?;
        let known = HashMap::try_from(programs.take_map(KNOWN)?).map_err(CaptureError::map(KNOWN))?;
        let program = programs.program::<KProbe>(NAME)?;
        program.load().map_err(|error| load_error(NAME, &error))?;
        program.attach(FUNCTION, 0).map_err(|error| CaptureError::Attach {
            name: NAME.to_owned(),
            target: FUNCTION.to_owned(),
            reason: chain(&error),
        })?;
        Ok(Self { ring, known, expected: Vec::new() })
    }

    /// Becomes readable with an announcement.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }

    /// Takes what was announced. To be called before the mappings are looked at.
    pub(super) fn take(&mut self, now: Instant) {
        while let Some(record) = self.ring.next() {
            if let Some(file) = parse(&record)
                && !self.expected.iter().any(|(it, _)| *it == file)
            {
                self.expected.push((file, now + EXPECT));
            }
        }
    }

    /// Has no more of these announced, but those that could not be looked at; true when some are still expected to
    /// be mapped.
    pub(super) fn settle(&mut self, looked_at: &[FileKey], missed: &[FileKey], now: Instant) -> bool {
        let Self { known, expected, .. } = self;
        expected.retain(|(file, until)| {
            let key = key_of(file);
            let is_missed = missed.contains(&key);
            let is_over = now >= *until || looked_at.contains(&key);
            if is_over && !is_missed {
                // Without room it is announced again.
                let _ = known.insert(File(*file), 0, 0);
            }
            !is_over && !is_missed
        });
        !expected.is_empty()
    }
}

fn parse(record: &[u8]) -> Option<MappedFile> {
    // SAFETY: any bytes of this length are a value of it; the record may lie anywhere.
    (record.len() >= size_of::<MappedFile>())
        .then(|| unsafe { record.as_ptr().cast::<MappedFile>().read_unaligned() })
}

fn key_of(file: &MappedFile) -> FileKey {
    FileKey {
        major: file.device >> MappedFile::MINOR_BITS,
        minor: file.device & ((1 << MappedFile::MINOR_BITS) - 1),
        inode: file.inode,
    }
}

/// Where this kernel has what the program reads.
pub(super) fn offsets(types: &[u8]) -> Option<FileOffsets> {
    const TIME_SECONDS_BYTES: u32 = 8;
    let members = members(types, &["file", "inode", "super_block"]);
    let at = |structure, member| members.get(&(structure, member)).copied();
    // A time of two words before Linux 6.11, under a name that tells not to touch it from 6.6 on.
    let whole = || at("inode", "i_ctime").or(at("inode", "__i_ctime"));
    Some(FileOffsets {
        inode: at("file", "f_inode")?,
        file_system: at("inode", "i_sb")?,
        number: at("inode", "i_ino")?,
        changed_sec: at("inode", "i_ctime_sec").or_else(whole)?,
        changed_nsec: at("inode", "i_ctime_nsec").or_else(|| Some(whole()? + TIME_SECONDS_BYTES))?,
        device: at("super_block", "s_dev")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::btf::KERNEL_TYPES;

    #[test]
    fn the_running_kernel_has_what_the_program_reads() {
        let Ok(types) = std::fs::read(KERNEL_TYPES) else { return };
        let offsets = offsets(&types).unwrap();
        assert!(
            offsets.changed_sec != offsets.changed_nsec && offsets.number != offsets.file_system,
            "{offsets:?}"
        );
        assert_eq!(super::offsets(&types[..types.len() / 2]), None);
    }

    #[test]
    fn an_announced_file_has_the_numbers_that_the_kernel_tells_of_its_mapping() {
        let file = MappedFile { inode: 7, changed_sec: 1, changed_nsec: 2, device: 8 << 20 | 3 };
        assert_eq!(key_of(&file), FileKey { major: 8, minor: 3, inode: 7 });
    }
}
