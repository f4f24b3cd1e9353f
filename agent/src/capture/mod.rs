//! The four taps: loads the kernel programs, attaches them, and hands their records on.
//!
//! *Invariants*: nothing here looks at content. Whatever cannot be attached is named, with what is
//! lost by it.
//! *Not here*: what records mean; see `record` and `pipeline`.
#![allow(unsafe_code, reason = "map values and borrowed descriptors; each block names its obligation")]

mod aarch64;
mod addresses;
mod attach;
mod backfill;
mod broker;
mod calls;
mod changes;
mod error;
mod grace;
mod libraries;
mod load;
mod mapped;
mod mappings;
mod methods;
mod pclntab;
mod probes;
mod reader;
mod returns;
mod ring;
mod site;
mod symbols;
mod uprobe;
mod users;
mod wakes;

use std::{collections::HashMap, io, net::IpAddr, os::fd::OwnedFd, time::Instant};

use aya::maps::{HashMap as KernelMap, PerCpuArray};
use cprvagt_abi::{AllowKey, AllowRules, Counter, Flow};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use tokio::io::unix::AsyncFd;

pub use broker::{Opener, serve as open_probes};
pub use error::CaptureError;
pub use load::CaptureOptions;
pub use probes::ProbeReach;
pub use ring::Ring;
pub use uprobe::LINK_CREATE;
pub use wakes::Wakes;

use self::{
    addresses::LocalAddresses,
    attach::Readable,
    libraries::{Libraries, warn_refused},
    load::Programs,
    mappings::Mappings,
    probes::Probes,
    reader::{Found, SymbolReader},
};

/// Allowed prefixes, each with the rules of all shorter prefixes that cover it.
pub type Prefixes = [(AllowKey, AllowRules)];

/// The attached taps. Dropping it detaches every program and frees every map.
pub struct Capture {
    programs: Programs,
    libraries: Libraries,
    mappings: Mappings,
    /// From [`Self::wakes`] on.
    reader: Option<SymbolReader>,
    addresses: LocalAddresses,
}

impl Capture {
    /// Loads and attaches everything. No thread is started: one would keep the privileges that this takes, when
    /// the caller gives them up.
    ///
    /// # Errors
    /// Names the privilege, mount or kernel feature that is missing.
    pub fn start(options: &CaptureOptions, opener: Opener) -> Result<Self, CaptureError> {
        let mut programs = Programs::load(options)?;
        let probes = Probes::load(&mut programs, opener, options.entry_sites)?;
        tell_reach(probes.reach());
        let mut addresses = LocalAddresses::default();
        addresses.refresh(&mut programs)?;
        // Sockets first: a flow that begins while the rest is attached already has its owner.
        programs.attach_socket_tap()?;
        backfill::run(&mut programs)?;
        let mappings = Mappings::open()?;
        let mut libraries = Libraries::new(probes)?;
        libraries.attach_all(&mut programs)?;
        programs.attach_wire_tap()?;
        Ok(Self { programs, libraries, mappings, reader: None, addresses })
    }

    /// The ring, to be read in this process. It can be had once.
    ///
    /// # Errors
    /// It was taken before, or the kernel refuses to map it.
    pub fn ring(&mut self) -> Result<Ring, CaptureError> {
        Ring::take(&mut self.programs)
    }

    /// A descriptor of the ring, to be read in another process. It can be had once.
    ///
    /// # Errors
    /// It was taken before, or the kernel refuses another descriptor.
    pub fn ring_descriptor(&mut self) -> Result<OwnedFd, CaptureError> {
        Ring::descriptor(&mut self.programs)
    }

    /// Tells when there is something to do, in `ring` too if it is given. From now on newly mapped files are read,
    /// in a thread of its own.
    ///
    /// # Errors
    /// The kernel refused another descriptor or thread.
    pub fn wakes(&mut self, ring: Option<&Ring>) -> io::Result<Wakes> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => SymbolReader::start()?,
        };
        let reader = self.reader.insert(reader);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let ring = ring.map(Ring::as_fd);
        let own = [reader.descriptor(), self.libraries.descriptor()];
        for descriptor in self.mappings.descriptors().chain(own).chain(ring) {
            epoll.add(descriptor, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?;
        }
        // SAFETY: the descriptor is owned by the returned value and stays the same until that is dropped.
        unsafe { AsyncFd::register(epoll.0) }.map(Wakes::new).map_err(io::Error::from)
    }

    /// Replaces the allowed prefixes.
    ///
    /// # Errors
    /// The kernel refused; what is allowed then is at most what either list allows.
    pub fn set_allow(&mut self, before: &Prefixes, after: &Prefixes) -> Result<(), CaptureError> {
        self.programs.set_allow(before, after)
    }

    /// How many files have probes.
    pub fn attached_files(&self) -> usize {
        self.libraries.attached_files()
    }

    /// Attaches to TLS libraries that were mapped since the last call; tells whether any file was new.
    pub fn attach_new_libraries(&mut self) -> bool {
        let Self { mappings, libraries, reader: Some(reader), programs, .. } = self else { return false };
        libraries.leave_rewritten();
        let mut is_news = false;
        let lost = mappings.drain(|mapping| {
            let Some(file) = libraries.open_new(mapping) else { return };
            is_news = true;
            if !libraries.attach_library(programs, &file, mapping) && !reader.read(file, mapping) {
                libraries.forget(mapping.file);
            }
        });
        for found in reader.found() {
            is_news = true;
            let Found { file, mapping, symbols } = &found;
            let readable = Readable { file, path: &mapping.path, symbols };
            if let Err(error) = libraries.attach(programs, &readable, Some(mapping)) {
                warn_refused(&error);
            }
        }
        if lost && let Err(error) = libraries.attach_all(programs) {
            warn_refused(&error);
        }
        is_news
    }

    /// Takes the probes off files that no process uses any more, and that no loader would find. Until then they keep a
    /// file system from being unmounted.
    pub fn leave_unused_files(&mut self) {
        self.libraries.leave_unused(Instant::now());
    }

    /// Two attachments fire for one call: removes the second.
    pub fn remove_second_attachment(&mut self, first: u32, second: u32) {
        self.libraries.remove(&mut self.programs, first, second);
    }

    /// Passes on what the kernel programs log.
    pub fn flush_logs(&mut self) {
        self.programs.flush_logs();
    }

    /// Reads this host's addresses again.
    ///
    /// # Errors
    /// The kernel refused the list or the map.
    pub fn refresh_addresses(&mut self) -> Result<(), CaptureError> {
        self.addresses.refresh(&mut self.programs)
    }

    /// Detaches every tap; what is in the ring stays to be drained, and the maps to be read.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn detach(&mut self) -> Result<(), CaptureError> {
        // The wire first: bytes that leave from now on are in no account, neither there nor elsewhere.
        self.programs.unload_wire_tap()?;
        self.libraries.unload(&mut self.programs)?;
        self.programs.unload_socket_tap()
    }

    /// Every kernel counter, summed over the processors.
    ///
    /// # Errors
    /// The map could not be read.
    pub fn counters(&self) -> Result<[u64; Counter::COUNT as usize], CaptureError> {
        let map = self.programs.map("COUNTERS")?;
        let counters = PerCpuArray::<_, u64>::try_from(map).map_err(CaptureError::map("COUNTERS"))?;
        let mut sums = [0; Counter::COUNT as usize];
        for (index, sum) in (0..).zip(&mut sums) {
            let values = counters.get(&index, 0).map_err(CaptureError::map("COUNTERS"))?;
            *sum = values.iter().sum();
        }
        Ok(sums)
    }

    /// The flow table as it is now, by flow id.
    ///
    /// # Errors
    /// The map could not be read.
    pub fn flows(&self) -> Result<HashMap<u64, Flow>, CaptureError> {
        let map = self.programs.map("FLOWS")?;
        let flows =
            KernelMap::<_, load::Key, load::Value>::try_from(map).map_err(CaptureError::map("FLOWS"))?;
        Ok(load::entries(&flows).map(|(_, load::Value(flow))| (flow.id, flow)).collect())
    }
}

/// An address as the kernel programs have it: 16 bytes, IPv4 mapped.
#[must_use]
pub fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Loads every program without attaching any, for `doctor`; tells what TLS probes can do.
///
/// # Errors
/// As [`Capture::start`].
pub fn probe_load() -> Result<ProbeReach, CaptureError> {
    let options =
        CaptureOptions { ring_bytes: 64 << 10, entry_sites: false, allow: Vec::new(), own: Vec::new() };
    Ok(Probes::load(&mut Programs::load(&options)?, Opener::here(), false)?.reach())
}

fn tell_reach(reach: ProbeReach) {
    if reach != ProbeReach::Full {
        tracing::info!(?reach, "this kernel limits what TLS probes can do; `cprvagt doctor` says how");
    }
}
