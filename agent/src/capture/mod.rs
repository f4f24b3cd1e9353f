//! The four taps: loads the kernel programs, attaches them, and hands their records on.
//!
//! *Invariants*: nothing here looks at content. Whatever cannot be attached is named, with what is
//! lost by it.
//! *Not here*: what records mean; see `record` and `pipeline`.
#![allow(unsafe_code, reason = "map values and borrowed descriptors; each block names its obligation")]

mod aarch64;
mod addresses;
mod announced;
mod attach;
mod backfill;
mod broker;
mod btf;
mod calls;
mod changes;
mod error;
mod grace;
mod heap;
mod installed;
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

use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::IpAddr,
    os::fd::OwnedFd,
    time::Instant,
};

use aya::maps::{HashMap as KernelMap, PerCpuArray};
use cprvagt_abi::{AllowKey, AllowRules, Counter, Flow};

pub use broker::{Opener, serve as open_probes};
pub use error::CaptureError;
pub use load::CaptureOptions;
pub use probes::ProbeReach;
pub use ring::Ring;
pub use uprobe::LINK_CREATE;
pub use wakes::{Found, Wakes};

use self::{
    addresses::LocalAddresses,
    announced::Announced,
    attach::Readable,
    libraries::{Libraries, Look, warn_refused},
    load::Programs,
    mappings::{Mappings, When},
    probes::Probes,
    reader::{ReadFile, SymbolReader},
};

/// Allowed prefixes, each with the rules of all shorter prefixes that cover it.
pub type Prefixes = [(AllowKey, AllowRules)];

/// The attached taps. Dropping it detaches every program and frees every map.
pub struct Capture {
    programs: Programs,
    libraries: Libraries,
    /// Where the kernel has what it takes; otherwise each mapping wakes.
    announced: Option<Announced>,
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
        let announced = announce(&mut programs);
        let when = if announced.is_some() { When::HalfFull } else { When::Always };
        let mappings = Mappings::open(when)?;
        let mut libraries = Libraries::new(probes)?;
        libraries.attach_all(&mut programs)?;
        programs.attach_wire_tap()?;
        heap::give_back();
        Ok(Self { programs, libraries, announced, mappings, reader: None, addresses })
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
        let own = [reader.descriptor(), self.libraries.descriptor()];
        let announced = self.announced.as_ref().map(Announced::descriptor);
        let others = own.into_iter().chain(announced).chain(ring.map(Ring::as_fd));
        Wakes::new(self.mappings.descriptors(), others)
    }

    /// Replaces the allowed prefixes.
    ///
    /// # Errors
    /// The kernel refused; what is allowed then is at most what either list allows.
    pub fn set_allow(&mut self, before: &Prefixes, after: &Prefixes) -> Result<(), CaptureError> {
        self.programs.set_allow(before, after)
    }

    /// Replaces the ports of relays.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn set_relays(&mut self, ports: &BTreeSet<u16>) -> Result<(), CaptureError> {
        self.programs.set_relays(ports)
    }

    /// How many files have probes.
    pub fn attached_files(&self) -> usize {
        self.libraries.attached_files()
    }

    /// Attaches to TLS libraries that were mapped since the last call.
    pub fn attach_new_libraries(&mut self) -> Found {
        let Self { announced, mappings, libraries, reader: Some(reader), programs, .. } = self else {
            return Found::Nothing;
        };
        libraries.leave_rewritten();
        if let Some(announced) = announced {
            announced.take(Instant::now());
        }
        let (mut is_news, mut seen, mut missed) = (false, Vec::new(), Vec::new());
        let lost = mappings.drain(|mapping| {
            match libraries.look_at(mapping) {
                Look::Known => {}
                Look::Missed => missed.push(mapping.file),
                Look::New(file) => {
                    is_news = true;
                    if !libraries.attach_library(programs, &file, mapping) && !reader.read(file, mapping) {
                        libraries.forget(mapping.file);
                        missed.push(mapping.file);
                    }
                }
            }
            seen.push(mapping.file);
        });
        for ReadFile { file, mapping, symbols } in reader.found() {
            is_news = true;
            let readable = Readable { file: &file, path: &mapping.path, symbols: &symbols };
            if let Err(error) = libraries.attach(programs, &readable, Some(&mapping)) {
                warn_refused(&error);
            }
        }
        if (lost || libraries.is_search_due())
            && let Err(error) = libraries.attach_all(programs)
        {
            warn_refused(&error);
        }
        let is_expected = announced.as_mut().is_some_and(|it| it.settle(&seen, &missed, Instant::now()));
        match (is_expected, is_news) {
            (true, _) => Found::Announcement,
            (false, true) => Found::News,
            (false, false) if seen.is_empty() => Found::Nothing,
            (false, false) => Found::Known,
        }
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
    let options = CaptureOptions {
        ring_bytes: 64 << 10,
        entry_sites: false,
        allow: Vec::new(),
        relays: BTreeSet::new(),
        own: Vec::new(),
    };
    Ok(Probes::load(&mut Programs::load(&options)?, Opener::here(), false)?.reach())
}

/// Has the kernel announce new files, if it can.
fn announce(programs: &mut Programs) -> Option<Announced> {
    if !programs.knows_files {
        tracing::info!("this kernel does not describe its types: the agent wakes for every mapped file");
        return None;
    }
    let announced = Announced::attach(programs);
    announced.inspect_err(|error| tracing::info!(%error, "the agent wakes for every mapped file")).ok()
}

fn tell_reach(reach: ProbeReach) {
    if reach != ProbeReach::Full {
        tracing::info!(?reach, "this kernel limits what TLS probes can do; `cprvagt doctor` says how");
    }
}
