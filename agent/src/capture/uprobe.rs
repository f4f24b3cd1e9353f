//! The two halves of a probe: the event that the kernel makes of a file and an offset, and the program that runs
//! when a process gets there.
//!
//! Opening the event takes CAP_SYS_ADMIN, whatever `kernel.perf_event_paranoid` says: a probe in the middle of an
//! instruction breaks the program that is probed, so since 2025 kernels do not take CAP_PERFMON for it. Putting a
//! program on an event that is open takes no privilege beyond the use of bpf(2). So a process can open for
//! another one that has no such capability; see [`super::broker`].
//!
//! *Invariants*: an event has no reference counter (`config` is 0): a counter would be a word in the probed
//! process that the kernel writes. The kernel itself refuses what is no regular file.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd};

use libc::{c_int, c_long};
use perf_event::{Builder, events::Software};

use super::grace::GracePeriods;

/// `BPF_LINK_CREATE` (linux/bpf.h).
pub const LINK_CREATE: c_int = 28;
/// `BPF_PERF_EVENT`, the attach type of a program on an event (linux/bpf.h).
const PERF_EVENT: u32 = 41;
/// `PERF_EVENT_IOC_SET_BPF` (linux/perf_event.h).
const SET_BPF: libc::Ioctl = libc::_IOW::<u32>(b'$' as u32, 8);

/// A program at an open event. Dropping it removes the probe.
#[derive(Debug)]
pub(super) struct Attached {
    /// Of the kernels that have cookies. It holds the event and goes before it.
    _link: Option<OwnedFd>,
    _event: OwnedFd,
}

/// What `BPF_LINK_CREATE` reads for an event (linux/bpf.h, `link_create` with `perf_event`).
#[repr(C)]
struct LinkCreate {
    program: u32,
    event: u32,
    attach_type: u32,
    flags: u32,
    cookie: u64,
}

/// This kernel's probe events.
#[derive(Debug)]
pub struct Events {
    number: u32,
    grace_periods: GracePeriods,
}

impl Events {
    /// Finds their type's number, which is in a file below `/sys`.
    ///
    /// # Errors
    /// The kernel has none, or `/sys` is not there.
    pub(super) fn find() -> io::Result<Self> {
        let text = fs::read_to_string("/sys/bus/event_source/devices/uprobe/type")?;
        let number = text.trim().parse().map_err(io::Error::other)?;
        Ok(Self { number, grace_periods: GracePeriods::find() })
    }

    /// Opens the event of an instruction: of `file`, at `offset` bytes, in every process.
    ///
    /// # Errors
    /// EACCES or EPERM without CAP_SYS_ADMIN; EINVAL for what is no regular file or no instruction.
    pub(super) fn open(&self, file: BorrowedFd<'_>, offset: u64) -> io::Result<OwnedFd> {
        // By descriptor: the file that was read is the file that is probed, whatever its path means here.
        let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let mut builder = Builder::new(Software::DUMMY);
        let attributes = builder.attrs_mut();
        // Path and offset, as perf_event_open(2) has them for probes; the path lives until the call is over.
        attributes.type_ = self.number;
        attributes.config = 0;
        attributes.config1 = path.as_ptr() as u64;
        attributes.config2 = offset;
        // Events of a processor see all processes; a probe's program runs on every processor all the same.
        let _short = self.grace_periods.shorten();
        let event = builder.any_pid().one_cpu(0).enabled(true).build()?;
        // SAFETY: the descriptor has just been given up by its owner.
        Ok(unsafe { OwnedFd::from_raw_fd(event.into_raw_fd()) })
    }
}

/// Puts `program` on `event`: with its cookie, or on a kernel that has no cookies without.
///
/// # Errors
/// The kernel refused.
pub(super) fn attach(program: BorrowedFd<'_>, event: OwnedFd, cookie: Option<u64>) -> io::Result<Attached> {
    let link = match cookie {
        Some(cookie) => Some(create_link(program, &event, cookie)?),
        None => set_program(program, &event).map(|()| None)?,
    };
    Ok(Attached { _link: link, _event: event })
}

fn create_link(program: BorrowedFd<'_>, event: &OwnedFd, cookie: u64) -> io::Result<OwnedFd> {
    let number =
        |descriptor: c_int| u32::try_from(descriptor).expect("an open descriptor is no negative number");
    let create = LinkCreate {
        program: number(program.as_raw_fd()),
        event: number(event.as_raw_fd()),
        attach_type: PERF_EVENT,
        flags: 0,
        cookie,
    };
    // SAFETY: the kernel reads as many bytes as it is told, and all of them are there until the call returns.
    let link = unsafe {
        libc::syscall(libc::SYS_bpf, c_long::from(LINK_CREATE), &raw const create, size_of::<LinkCreate>())
    };
    match c_int::try_from(link) {
        // SAFETY: the kernel has just given this descriptor to nobody else.
        Ok(link) if link >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(link) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_program(program: BorrowedFd<'_>, event: &OwnedFd) -> io::Result<()> {
    // SAFETY: this request takes a number and no memory.
    match unsafe { libc::ioctl(event.as_raw_fd(), SET_BPF, program.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
