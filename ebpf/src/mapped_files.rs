//! Files that are mapped as code: tells of those that user space does not know.
//!
//! A program maps some forty files within milliseconds as it starts, nearly always files that are known. Waking user
//! space for each would cost a hundred times what looking here does.
//!
//! *Limits*: a file under an overlay is known here by the overlay's device and number, not by those below it.
//! *Not here*: the file's path, which the kernel tells of every mapping; see `agent/src/capture/mappings.rs`.

use aya_ebpf::{helpers::bpf_probe_read_kernel, macros::kprobe, programs::ProbeContext};
use cprvagt_abi::MappedFile;

use crate::maps::{ANNOUNCED_FILES, KNOWN_FILES, file_offsets};

/// The mapping may be executed (mman.h).
const PROT_EXEC: u64 = 4;

/// `security_mmap_file(file, prot, flags)`: something is about to be mapped.
#[kprobe]
pub fn file_mapped(ctx: ProbeContext) -> u32 {
    let (Some(file), Some(rights)) = (ctx.arg::<u64>(0), ctx.arg::<u64>(1)) else { return 0 };
    if file != 0
        && rights & PROT_EXEC != 0
        && let Ok(file) = identify(file)
        // SAFETY: only the presence of the entry matters.
        && unsafe { KNOWN_FILES.get(file) }.is_none()
    {
        // A reader that has read everything is woken; one that is behind looks on by itself. If there is no room, the
        // file is announced when it is mapped again.
        let _ = ANNOUNCED_FILES.output::<MappedFile>(&file, 0);
    }
    0
}

/// What tells this file from others.
#[inline(always)]
fn identify(file: u64) -> Result<MappedFile, i32> {
    let offsets = file_offsets();
    let inode: u64 = read(file, offsets.inode)?;
    let file_system: u64 = read(inode, offsets.file_system)?;
    Ok(MappedFile {
        inode: read(inode, offsets.number)?,
        changed_sec: read(inode, offsets.changed_sec)?,
        changed_nsec: read(inode, offsets.changed_nsec)?,
        device: read(file_system, offsets.device)?,
    })
}

#[inline(always)]
fn read<T>(base: u64, offset: u32) -> Result<T, i32> {
    // SAFETY: the helper refuses what is no memory of the kernel.
    unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T) }
}
