//! Files that processes map as code, told by the kernel as it happens.
//!
//! One software event per processor delivers a record for each executable mapping, known file or not. So the records
//! are no reason to wake until half the room for them is used, if new files are announced otherwise
//! ([`super::announced`]).
//!
//! *Limits*: [`RING_BYTES`] of records per processor, some thousand records; when they overflow the caller is told, so
//! that it can look at all processes again.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use perf_event::{Builder, Sampler, data::Record, events::Software};

use super::error::CaptureError;

/// Room for the records of each processor: a power of two, and well below what `kernel.perf_event_mlock_kb` allows.
const RING_BYTES: usize = 128 << 10;

/// A file that a process mapped as code.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    /// The process.
    pub pid: u32,
    /// The file's device and inode number as the kernel tells them.
    pub file: FileKey,
    /// The file's path as the process sees it.
    pub path: String,
}

/// Device and inode number of a mapped file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileKey {
    /// Major device number.
    pub major: u32,
    /// Minor device number.
    pub minor: u32,
    /// Inode number.
    pub inode: u64,
}

/// When the descriptors become readable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// With each mapping.
    Always,
    /// When half the room is used.
    HalfFull,
}

/// The kernel's mapping events.
pub(super) struct Mappings {
    samplers: Vec<Sampler>,
}

impl Mappings {
    /// Starts listening on every processor.
    pub(super) fn open(when: When) -> Result<Self, CaptureError> {
        let mut samplers = Vec::new();
        for cpu in online_processors()? {
            samplers.push(
                open_on(cpu, when)
                    .map_err(CaptureError::io("listening for mapped files (perf_event_open)"))?,
            );
        }
        Ok(Self { samplers })
    }

    /// Descriptors that become readable as [`When`] says.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.samplers.iter().map(|sampler| {
            // SAFETY: the sampler owns the descriptor and outlives the borrow.
            unsafe { BorrowedFd::borrow_raw(sampler.as_counter().as_raw_fd()) }
        })
    }

    /// Hands each new mapping on; true when the kernel had to drop some.
    pub(super) fn drain(&mut self, mut take: impl FnMut(&Mapping)) -> bool {
        let mut lost = false;
        for sampler in &mut self.samplers {
            while let Some(record) = sampler.next_record() {
                match record.parse_record() {
                    Ok(Record::Mmap2(mmap)) => {
                        if let Some(mapping) = mapping(&mmap) {
                            take(&mapping);
                        }
                    }
                    Ok(Record::Lost(_)) => lost = true,
                    _ => {}
                }
            }
        }
        lost
    }
}

fn mapping(mmap: &perf_event::data::Mmap2<'_>) -> Option<Mapping> {
    let file = FileKey { major: mmap.maj()?, minor: mmap.min()?, inode: mmap.ino()? };
    let path = std::str::from_utf8(&mmap.filename).ok()?.trim_end_matches('\0');
    // The kernel's own areas ("[vdso]", "//anon") are no files.
    (file.inode != 0 && path.starts_with('/') && !path.starts_with("//")).then(|| Mapping {
        pid: mmap.pid,
        file,
        path: path.to_owned(),
    })
}

fn open_on(cpu: usize, when: When) -> std::io::Result<Sampler> {
    let mut event = Builder::new(Software::DUMMY);
    event.any_pid().one_cpu(cpu).mmap(true).mmap2(true).enabled(true);
    // The number of events that wake would count samples alone, of which there are none.
    event.wakeup_watermark(if when == When::Always { 1 } else { RING_BYTES / 2 });
    event.build()?.sampled(RING_BYTES)
}

fn online_processors() -> Result<Vec<usize>, CaptureError> {
    aya::util::online_cpus()
        .map(|processors| processors.into_iter().map(|cpu| cpu as usize).collect())
        .map_err(|(path, error)| CaptureError::io(path)(error))
}
