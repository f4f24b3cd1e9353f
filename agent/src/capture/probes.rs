//! The program behind every TLS probe, and what it can do on the kernel at hand.
//!
//! Kernels differ in two things: whether a probe may fault pages in (6.0), and whether a probe is handed its
//! attach cookie (5.15). Where it is not, each site takes a small program of its own that knows its number and
//! jumps to the one that captures.
//!
//! *Invariants*: what a kernel can do is found by loading, never by its version.
//! *Limits*: [`SITES_MAX`] sites where a probe has no cookie.

use std::{fs::File, os::fd::AsRawFd as _};

use aya::{
    maps::{Array, ProgramArray},
    programs::{
        UProbe,
        uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLinkId, UProbeScope},
    },
};
use cprvagt_abi::SITES_MAX;

use super::{
    error::{CaptureError, chain},
    load::{Programs, load_error},
};

/// What TLS probes can do on this kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProbeReach {
    /// Everything.
    Full,
    /// Only memory that is resident is read: before 6.0.
    Resident,
    /// The same, at [`SITES_MAX`] sites at most: before 5.15.
    ResidentFewSites,
}

impl ProbeReach {
    /// From the one that reads most.
    const ALL: [Self; 3] = [Self::Full, Self::Resident, Self::ResidentFewSites];

    /// The program that captures.
    const fn program(self) -> &'static str {
        match self {
            Self::Full => "tls_write",
            Self::Resident => "tls_write_now",
            Self::ResidentFewSites => "tls_write_site",
        }
    }
}

/// How this kernel's TLS probes are attached.
#[derive(Debug)]
pub(super) struct Probes {
    reach: ProbeReach,
    /// Numbers of sites that are free, where sites have numbers.
    free: Vec<u32>,
}

/// One attached probe.
#[derive(Debug)]
pub(super) struct Probe {
    link: UProbeLinkId,
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
    /// Loads the program that reads most of those that this kernel takes.
    pub(super) fn load(programs: &mut Programs) -> Result<Self, CaptureError> {
        let [best @ .., least] = ProbeReach::ALL;
        for reach in best {
            match programs.program::<UProbe>(reach.program())?.load() {
                Ok(()) => return Ok(Self { reach, free: Vec::new() }),
                Err(error) => {
                    tracing::debug!(name = reach.program(), reason = chain(&error), "not on this kernel");
                }
            }
        }
        let name = least.program();
        programs.program::<UProbe>(name)?.load().map_err(|error| load_error(name, &error))?;
        set_jump(programs, name)?;
        // The lowest number is taken first.
        Ok(Self { reach: least, free: (0..SITES_MAX).rev().collect() })
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
            let link = attach_program(programs, self.reach.program(), place, Some(cookie))?;
            return Ok(Probe { link, site: None });
        }
        let Some(site) = self.free.pop() else {
            let limit = format!("this kernel (before 5.15) has room for {SITES_MAX} probed functions");
            return Err(refused(place.path, limit));
        };
        match attach_site(programs, place, site, cookie) {
            Ok(link) => Ok(Probe { link, site: Some(site) }),
            Err(error) => {
                self.free.push(site);
                Err(error)
            }
        }
    }

    /// Removes a probe.
    pub(super) fn detach(
        &mut self,
        programs: &mut Programs,
        path: &str,
        probe: Probe,
    ) -> Result<(), CaptureError> {
        let name = probe.site.map_or_else(|| self.reach.program().to_owned(), site_program);
        let program = programs.program::<UProbe>(&name)?;
        program.detach(probe.link).map_err(|error| refused(path, chain(&error)))?;
        if let Some(site) = probe.site {
            program.unload().map_err(|error| load_error(&name, &error))?;
            self.free.push(site);
        }
        Ok(())
    }

    /// Detaches and unloads every probe.
    pub(super) fn unload(&self, programs: &mut Programs) -> Result<(), CaptureError> {
        if self.reach == ProbeReach::ResidentFewSites {
            for site in (0..SITES_MAX).filter(|site| !self.free.contains(site)) {
                unload_program(programs, &site_program(site))?;
            }
        }
        unload_program(programs, self.reach.program())
    }
}

fn site_program(site: u32) -> String {
    format!("tls_site_{site}")
}

fn unload_program(programs: &mut Programs, name: &str) -> Result<(), CaptureError> {
    programs.program::<UProbe>(name)?.unload().map_err(|error| load_error(name, &error))
}

/// Has the programs of sites jump to this one.
fn set_jump(programs: &mut Programs, name: &str) -> Result<(), CaptureError> {
    const MAP: &str = "SITE_PROGRAM";
    let target = programs.program::<UProbe>(name)?.fd().map_err(|error| load_error(name, &error))?;
    let target = target.try_clone().map_err(|error| load_error(name, &error))?;
    let mut jumps = ProgramArray::try_from(programs.map_mut(MAP)?).map_err(CaptureError::map(MAP))?;
    jumps.set(0, &target, 0).map_err(CaptureError::map(MAP))
}

fn attach_site(
    programs: &mut Programs,
    place: &Place<'_>,
    site: u32,
    cookie: u64,
) -> Result<UProbeLinkId, CaptureError> {
    const MAP: &str = "SITE_COOKIES";
    // Before the probe: its first call needs it.
    let mut cookies = Array::<_, u64>::try_from(programs.map_mut(MAP)?).map_err(CaptureError::map(MAP))?;
    cookies.set(site, cookie, 0).map_err(CaptureError::map(MAP))?;
    let name = site_program(site);
    programs.program::<UProbe>(&name)?.load().map_err(|error| load_error(&name, &error))?;
    let attached = attach_program(programs, &name, place, None);
    if attached.is_err() {
        unload_program(programs, &name)?;
    }
    attached
}

fn attach_program(
    programs: &mut Programs,
    name: &str,
    place: &Place<'_>,
    cookie: Option<u64>,
) -> Result<UProbeLinkId, CaptureError> {
    // By descriptor: the file that was read is the file that is probed, whatever its path means here.
    let target = format!("/proc/self/fd/{}", place.file.as_raw_fd());
    let location = UProbeAttachLocation::AbsoluteOffset(place.offset);
    let program = programs.program::<UProbe>(name)?;
    let attached = program.attach(UProbeAttachPoint { location, cookie }, target, UProbeScope::AllProcesses);
    attached.map_err(|error| refused(place.path, chain(&error)))
}

fn refused(path: &str, reason: String) -> CaptureError {
    CaptureError::Attach { name: "tls_write".to_owned(), target: path.to_owned(), reason }
}
