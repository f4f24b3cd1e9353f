//! The programs behind TLS probes, and what it can do on the kernel at hand.
//!
//! Kernels differ in two things: whether a probe may fault pages in (6.10), and whether a probe is handed its
//! attach cookie (5.15). Where it is not, each site takes a small program of its own that knows its number and
//! jumps to the one that captures.
//!
//! From 6.0 on a kernel takes a program that sleeps for a page. But before 6.10 a processor's probes share a buffer,
//! under a lock that is held while the program sleeps: every probed call on that processor, in any process, would
//! wait for a page that one process brings in, or never does.
//!
//! *Invariants*: what a kernel can do is found by loading; its version is asked only for what a kernel accepts and
//! should not. All programs are loaded at the start, those of sites too: the process may have given up loading when
//! a library appears.
//! *Limits*: [`SITES_MAX`] sites where a probe has no cookie.

use std::{fs::File, io, os::fd::AsFd as _, thread};

use aya::{
    maps::{Array, ProgramArray},
    programs::UProbe,
    util::KernelVersion,
};
use cprvagt_abi::{Function, SITES_MAX, Site};

use super::{
    broker::Opener,
    error::{CaptureError, chain},
    load::{Programs, load_error},
    uprobe::{self, Attached},
};

/// The first version in which a probe that sleeps holds up no other.
const SLEEPS_ALONE: KernelVersion = KernelVersion::new(6, 10, 0);

/// What TLS probes can do on this kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProbeReach {
    /// Everything.
    Full,
    /// Only memory that is resident is read: before 6.10.
    Resident,
    /// The same, at [`SITES_MAX`] sites at most: before 5.15.
    ResidentFewSites,
}

impl ProbeReach {
    /// From the one that reads most.
    const ALL: [Self; 3] = [Self::Full, Self::Resident, Self::ResidentFewSites];

    /// Whether a kernel of this version may be given it. One whose version cannot be told may not sleep.
    fn is_safe(self, version: Option<KernelVersion>) -> bool {
        self != Self::Full || version.is_some_and(|version| version >= SLEEPS_ALONE)
    }

    /// The program that captures what is written.
    const fn program(self) -> &'static str {
        match self {
            Self::Full => "tls_write",
            Self::Resident => "tls_write_now",
            Self::ResidentFewSites => "tls_write_site",
        }
    }
}

/// The program at functions that read. What they have just read is resident; so it need not sleep, only know its
/// cookie.
const READING_PROGRAM: &str = "tls_read";
/// The program that it jumps to, and that to itself.
const FRAMES_PROGRAM: &str = "tls_read_frames";

/// How this kernel's TLS probes are attached.
#[derive(Debug)]
pub(super) struct Probes {
    reach: ProbeReach,
    opener: Opener,
    /// Whether probes are put on the first instruction of a function, however dear.
    pub(super) entry_sites: bool,
    /// Numbers of sites that are free, where sites have numbers.
    free: Vec<u32>,
}

/// One attached probe.
#[derive(Debug)]
pub(super) struct Probe {
    _attached: Attached,
    /// The number of its site, where sites have numbers.
    site: Option<u32>,
}

/// The instruction that is probed.
pub(super) struct Place<'a> {
    pub file: &'a File,
    /// The file's path as a process saw it.
    pub path: &'a str,
    /// Offset in the file.
    pub offset: u64,
}

impl Probes {
    /// Loads the programs that read most of those that this kernel takes.
    pub(super) fn load(
        programs: &mut Programs,
        opener: Opener,
        entry_sites: bool,
    ) -> Result<Self, CaptureError> {
        let [best @ .., least] = ProbeReach::ALL;
        let version = KernelVersion::current().ok();
        for reach in best.iter().copied().filter(|reach| reach.is_safe(version)) {
            match programs.program::<UProbe>(reach.program())?.load() {
                Ok(()) => {
                    load_program(programs, READING_PROGRAM)?;
                    load_program(programs, FRAMES_PROGRAM)?;
                    set_jump(programs, "FRAMES_PROGRAM", FRAMES_PROGRAM)?;
                    return Ok(Self { reach, opener, entry_sites, free: Vec::new() });
                }
                Err(error) => {
                    tracing::debug!(name = reach.program(), reason = chain(&error), "not on this kernel");
                }
            }
        }
        load_program(programs, least.program())?;
        set_jump(programs, "SITE_PROGRAM", least.program())?;
        for site in 0..SITES_MAX {
            load_program(programs, &site_program(site))?;
        }
        // The lowest number is taken first.
        Ok(Self { reach: least, opener, entry_sites, free: (0..SITES_MAX).rev().collect() })
    }

    /// What probes can do.
    pub(super) fn reach(&self) -> ProbeReach {
        self.reach
    }

    /// Puts a probe with its cookie in place.
    pub(super) fn attach(
        &mut self,
        programs: &mut Programs,
        place: &Place<'_>,
        cookie: u64,
    ) -> Result<Probe, CaptureError> {
        if self.reach != ProbeReach::ResidentFewSites {
            let reads = Function::reads(Site::function_of(cookie));
            let name = if reads { READING_PROGRAM } else { self.reach.program() };
            let attached = self.attach_program(programs, name, place, Some(cookie))?;
            return Ok(Probe { _attached: attached, site: None });
        }
        let Some(site) = self.free.pop() else {
            let limit = format!("this kernel (before 5.15) has room for {SITES_MAX} probed functions");
            return Err(refused(place.path, limit));
        };
        // Before the probe: its first call needs it.
        let attached = set_cookie(programs, site, cookie)
            .and_then(|()| self.attach_program(programs, &site_program(site), place, None));
        if attached.is_err() {
            self.free.push(site);
        }
        Ok(Probe { _attached: attached?, site: Some(site) })
    }

    /// Removes probes.
    pub(super) fn detach(&mut self, probes: Vec<Probe>) {
        self.free.extend(probes.into_iter().filter_map(|probe| probe.site));
    }

    /// Removes probes while the caller goes on: the kernel takes a tenth of a second for each, in which a ring may
    /// fill. A site's number must not be given away before its probe is gone; so those are waited for.
    pub(super) fn detach_aside(&mut self, probes: Vec<Probe>) {
        if self.reach == ProbeReach::ResidentFewSites {
            return self.detach(probes);
        }
        // Where there is no thread to be had, the probes go with what was to be run in it.
        let _ = thread::Builder::new().name("detach".to_owned()).spawn(move || drop(probes));
    }

    /// Unloads every program; they go when their probes are removed.
    pub(super) fn unload(&self, programs: &mut Programs) -> Result<(), CaptureError> {
        if self.reach == ProbeReach::ResidentFewSites {
            for site in 0..SITES_MAX {
                unload_program(programs, &site_program(site))?;
            }
        } else {
            unload_program(programs, READING_PROGRAM)?;
            unload_program(programs, FRAMES_PROGRAM)?;
        }
        unload_program(programs, self.reach.program())
    }

    fn attach_program(
        &self,
        programs: &mut Programs,
        name: &str,
        place: &Place<'_>,
        cookie: Option<u64>,
    ) -> Result<Attached, CaptureError> {
        let program = programs.program::<UProbe>(name)?.fd().map_err(|error| load_error(name, &error))?;
        let event = self.opener.open(place.file, place.offset);
        let event = event.map_err(|error| not_opened(place.path, &error))?;
        uprobe::attach(program.as_fd(), event, cookie).map_err(|error| refused(place.path, error.to_string()))
    }
}

fn site_program(site: u32) -> String {
    format!("tls_site_{site}")
}

fn load_program(programs: &mut Programs, name: &str) -> Result<(), CaptureError> {
    programs.program::<UProbe>(name)?.load().map_err(|error| load_error(name, &error))
}

fn unload_program(programs: &mut Programs, name: &str) -> Result<(), CaptureError> {
    programs.program::<UProbe>(name)?.unload().map_err(|error| load_error(name, &error))
}

/// Has the programs that jump by this map jump to this program.
fn set_jump(programs: &mut Programs, map: &'static str, name: &str) -> Result<(), CaptureError> {
    let target = programs.program::<UProbe>(name)?.fd().map_err(|error| load_error(name, &error))?;
    let target = target.try_clone().map_err(|error| load_error(name, &error))?;
    let mut jumps = ProgramArray::try_from(programs.map_mut(map)?).map_err(CaptureError::map(map))?;
    jumps.set(0, &target, 0).map_err(CaptureError::map(map))
}

fn set_cookie(programs: &mut Programs, site: u32, cookie: u64) -> Result<(), CaptureError> {
    const MAP: &str = "SITE_COOKIES";
    let mut cookies = Array::<_, u64>::try_from(programs.map_mut(MAP)?).map_err(CaptureError::map(MAP))?;
    cookies.set(site, cookie, 0).map_err(CaptureError::map(MAP))
}

fn not_opened(path: &str, error: &io::Error) -> CaptureError {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            CaptureError::Privilege { what: format!("probing {path} (perf_event_open)") }
        }
        _ => refused(path, format!("perf_event_open: {error}")),
    }
}

fn refused(path: &str, reason: String) -> CaptureError {
    CaptureError::Attach { name: "tls_write".to_owned(), target: path.to_owned(), reason }
}
