//! Loads the kernel object, fills its constants and policy, attaches the wire and socket taps.

use std::{borrow::Borrow, collections::BTreeSet, fs::File, path::Path};

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{
        Array, HashMap, Map, MapData,
        lpm_trie::{Key as PrefixKey, LpmTrie},
    },
    programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSockAddr, RawTracePoint, SockOps},
};
use aya_log::EbpfLogger;
use cprvagt_abi::{AllowKey, AllowRules, Flow, FlowKey, OWN_MAX};

use super::{
    announced::{self, Offsets},
    btf::KERNEL_TYPES,
    error::{CaptureError, chain},
};
use crate::doctor::find_cgroup2;

/// The kernel programs, built from source by the build script: in a section of its own, where tests find them
/// in the program that is shipped.
#[unsafe(link_section = ".cprvagt.bpf")]
static OBJECT: Aligned<{ OBJECT_BYTES.len() }> = Aligned(*OBJECT_BYTES);
const OBJECT_BYTES: &[u8; include_bytes!(concat!(env!("OUT_DIR"), "/cprvagt.bpf.o")).len()] =
    include_bytes!(concat!(env!("OUT_DIR"), "/cprvagt.bpf.o"));
/// What `connect` and `sendmsg` programs are called.
const SOCK_ADDR_PROGRAMS: [&str; 4] = ["sock_connect4", "sock_connect6", "sock_send4", "sock_send6"];

/// Bytes that can be read as an ELF file in place.
#[repr(C, align(32))]
struct Aligned<const LEN: usize>([u8; LEN]);

/// Steps of a walk through a table: far more than any table has entries.
const WALK_MAX: usize = 1 << 20;

/// What the taps are told before they start.
#[derive(Debug, Clone)]
pub struct CaptureOptions {
    /// Bytes of the ring: a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// Whether probes are put on the first instruction of a function, however dear.
    pub entry_sites: bool,
    /// Allowed prefixes, each with the rules of all shorter prefixes that cover it.
    pub allow: Vec<(AllowKey, AllowRules)>,
    /// Ports of relays on this host.
    pub relays: BTreeSet<u16>,
    /// Process ids of the agent's other processes.
    pub own: Vec<u32>,
}

/// A flow key that can be read from a map.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Key(pub FlowKey);
/// A flow that can be read from a map.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Value(pub Flow);
/// Allow rules that can be written to a map.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Rules(AllowRules);

/// A thread's last probed call, as `ebpf::maps::LastCall` lays it out.
#[derive(Clone, Copy)]
#[repr(C)]
struct LastCall {
    instruction: u64,
    stack: u64,
    attachment: u64,
}

// SAFETY: three words.
unsafe impl Pod for LastCall {}
// SAFETY: fixed-width integers and byte arrays without padding; abi checks their sizes.
unsafe impl Pod for Key {}
// SAFETY: as above.
unsafe impl Pod for Value {}
// SAFETY: as above.
unsafe impl Pod for Rules {}

/// The loaded programs and their maps.
pub(super) struct Programs {
    ebpf: Ebpf,
    cgroup: File,
    logger: EbpfLogger<&'static dyn log::Log>,
    /// Whether the kernel tells where it keeps what identifies a file.
    pub knows_files: bool,
}

impl Programs {
    /// Loads all programs and attaches those that follow processes.
    pub(super) fn load(options: &CaptureOptions) -> Result<Self, CaptureError> {
        let cgroup = open_root_cgroup()?;
        let own_tgids = own_tgids(&options.own);
        let ring_bytes = u64::from(options.ring_bytes);
        let types = std::fs::read(KERNEL_TYPES).unwrap_or_default();
        let offsets = announced::offsets(&types);
        let file_offsets = Offsets(offsets.unwrap_or_default());
        let mut loader = EbpfLoader::new();
        loader
            .override_global("OWN_TGIDS", &own_tgids, true)
            .override_global("RING_BYTES", &ring_bytes, true)
            .override_global("FILE_OFFSETS", &file_offsets, true)
            .map_max_entries("RING", options.ring_bytes);
        let mut ebpf = loader.load(&OBJECT.0).map_err(|error| load_error("(maps)", &error))?;
        let logger = EbpfLogger::init(&mut ebpf).map_err(CaptureError::map("AYA_LOGS"))?;
        let mut programs = Self { ebpf, cgroup, logger, knows_files: offsets.is_some() };
        programs.set_allow(&[], &options.allow)?;
        programs.set_relays(&options.relays)?;
        programs.load_all()?;
        Ok(programs)
    }

    fn load_all(&mut self) -> Result<(), CaptureError> {
        for name in ["wire_egress", "wire_ingress"] {
            self.program::<CgroupSkb>(name)?.load().map_err(|error| load_error(name, &error))?;
        }
        for name in SOCK_ADDR_PROGRAMS {
            self.program::<CgroupSockAddr>(name)?.load().map_err(|error| load_error(name, &error))?;
        }
        self.program::<SockOps>("flow_ops")?.load().map_err(|error| load_error("flow_ops", &error))?;
        for name in ["process_exec", "process_exit"] {
            self.program::<RawTracePoint>(name)?.load().map_err(|error| load_error(name, &error))?;
        }
        Ok(())
    }

    /// Forgets the calls that an attachment reported, which has just been removed.
    pub(super) fn forget_calls(&mut self, attachment: u32) -> Result<(), CaptureError> {
        const NAME: &str = "LAST_CALLS";
        let map = self.map_mut(NAME)?;
        let mut calls = HashMap::<_, u64, LastCall>::try_from(map).map_err(CaptureError::map(NAME))?;
        let of_it =
            |(thread, call): (u64, LastCall)| (call.attachment == u64::from(attachment)).then_some(thread);
        let threads: Vec<u64> = entries(&calls).filter_map(of_it).collect();
        for thread in threads {
            // Gone already when the thread has called again or ended.
            let _ = calls.remove(&thread);
        }
        Ok(())
    }

    /// Has the sessions of an NSS looked for behind the descriptors that NSPR is given; the places are part of a cookie.
    pub(super) fn set_nss_places(&mut self, places: u64) -> Result<(), CaptureError> {
        const NAME: &str = "NSS_PLACES";
        let mut array = Array::<_, u64>::try_from(self.map_mut(NAME)?).map_err(CaptureError::map(NAME))?;
        array.set(0, places, 0).map_err(CaptureError::map(NAME))
    }

    /// Passes on what the programs have to say for themselves.
    pub(super) fn flush_logs(&mut self) {
        self.logger.flush();
    }

    /// Attaches the socket tap and the process events.
    pub(super) fn attach_socket_tap(&mut self) -> Result<(), CaptureError> {
        let cgroup = self.cgroup.try_clone().map_err(CaptureError::io("root cgroup"))?;
        for name in SOCK_ADDR_PROGRAMS {
            let program = self.program::<CgroupSockAddr>(name)?;
            program
                .attach(&cgroup, CgroupAttachMode::Single)
                .map_err(|error| attach_error(name, "the root cgroup", &error))?;
        }
        let program = self.program::<SockOps>("flow_ops")?;
        program
            .attach(&cgroup, CgroupAttachMode::Single)
            .map_err(|error| attach_error("flow_ops", "the root cgroup", &error))?;
        for (name, tracepoint) in
            [("process_exec", "sched_process_exec"), ("process_exit", "sched_process_exit")]
        {
            let program = self.program::<RawTracePoint>(name)?;
            program.attach(tracepoint).map_err(|error| attach_error(name, tracepoint, &error))?;
        }
        Ok(())
    }

    /// Attaches the wire tap in both directions.
    pub(super) fn attach_wire_tap(&mut self) -> Result<(), CaptureError> {
        let cgroup = self.cgroup.try_clone().map_err(CaptureError::io("root cgroup"))?;
        // Ingress first: the answer to a hello that egress saw must not slip by.
        let directions =
            [("wire_ingress", CgroupSkbAttachType::Ingress), ("wire_egress", CgroupSkbAttachType::Egress)];
        for (name, direction) in directions {
            let program = self.program::<CgroupSkb>(name)?;
            program
                .attach(&cgroup, direction, CgroupAttachMode::Single)
                .map_err(|error| attach_error(name, "the root cgroup", &error))?;
        }
        Ok(())
    }

    /// Detaches and unloads the wire tap.
    pub(super) fn unload_wire_tap(&mut self) -> Result<(), CaptureError> {
        for name in ["wire_egress", "wire_ingress"] {
            self.program::<CgroupSkb>(name)?.unload().map_err(|error| load_error(name, &error))?;
        }
        Ok(())
    }

    /// Detaches and unloads the socket tap and the process events; the maps stay.
    pub(super) fn unload_socket_tap(&mut self) -> Result<(), CaptureError> {
        for name in SOCK_ADDR_PROGRAMS {
            self.program::<CgroupSockAddr>(name)?.unload().map_err(|error| load_error(name, &error))?;
        }
        self.program::<SockOps>("flow_ops")?.unload().map_err(|error| load_error("flow_ops", &error))?;
        for name in ["process_exec", "process_exit"] {
            self.program::<RawTracePoint>(name)?.unload().map_err(|error| load_error(name, &error))?;
        }
        Ok(())
    }

    /// Replaces the allowed prefixes `before` by those of `after`. What is no longer allowed goes first, so
    /// that at no time more is allowed than by one of the two.
    pub(super) fn set_allow(
        &mut self,
        before: &[(AllowKey, AllowRules)],
        after: &[(AllowKey, AllowRules)],
    ) -> Result<(), CaptureError> {
        let map = self.map_mut("ALLOW")?;
        let mut allow = LpmTrie::<_, [u8; 16], Rules>::try_from(map).map_err(CaptureError::map("ALLOW"))?;
        let key_of = |key: &AllowKey| PrefixKey::new(key.prefix_len, key.addr);
        let kept = |key: &AllowKey| after.iter().any(|(it, _)| it == key);
        for (key, _) in before.iter().filter(|(key, _)| !kept(key)) {
            allow.remove(&key_of(key)).map_err(CaptureError::map("ALLOW"))?;
        }
        for (key, rules) in after {
            allow.insert(&key_of(key), Rules(*rules), 0).map_err(CaptureError::map("ALLOW"))?;
        }
        Ok(())
    }

    /// Replaces the ports of relays. Flows that have begun stay what they are.
    pub(super) fn set_relays(&mut self, ports: &BTreeSet<u16>) -> Result<(), CaptureError> {
        const NAME: &str = "RELAYS";
        let map = self.map_mut(NAME)?;
        let mut relays = HashMap::<_, u32, u32>::try_from(map).map_err(CaptureError::map(NAME))?;
        let wanted: BTreeSet<u32> = ports.iter().map(|port| u32::from(*port)).collect();
        let known: BTreeSet<u32> = entries(&relays).map(|(port, _)| port).collect();
        for port in known.difference(&wanted) {
            relays.remove(port).map_err(CaptureError::map(NAME))?;
        }
        for port in wanted.difference(&known) {
            relays.insert(port, 1, 0).map_err(CaptureError::map(NAME))?;
        }
        Ok(())
    }

    /// A map, which from now on belongs to the caller.
    pub(super) fn take_map(&mut self, name: &'static str) -> Result<Map, CaptureError> {
        self.ebpf.take_map(name).ok_or_else(|| missing_map(name))
    }

    /// A map to read.
    pub(super) fn map(&self, name: &'static str) -> Result<&Map, CaptureError> {
        self.ebpf.map(name).ok_or_else(|| missing_map(name))
    }

    /// A map to write.
    pub(super) fn map_mut(&mut self, name: &'static str) -> Result<&mut Map, CaptureError> {
        self.ebpf.map_mut(name).ok_or_else(|| missing_map(name))
    }

    /// A program of the object.
    pub(super) fn program<'a, P>(&'a mut self, name: &str) -> Result<&'a mut P, CaptureError>
    where
        &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = aya::programs::ProgramError>,
    {
        let absent = || CaptureError::Load { name: name.to_owned(), reason: "not in the object".to_owned() };
        let program = self.ebpf.program_mut(name).ok_or_else(absent)?;
        program.try_into().map_err(|error| load_error(name, &error))
    }
}

fn own_tgids(others: &[u32]) -> [u32; OWN_MAX] {
    let mut own = [std::process::id(); OWN_MAX];
    for (place, id) in own.iter_mut().skip(1).zip(others) {
        *place = *id;
    }
    own
}

fn missing_map(name: &'static str) -> CaptureError {
    CaptureError::Map { name, reason: "not in the object".to_owned() }
}

fn open_root_cgroup() -> Result<File, CaptureError> {
    let mountinfo = Path::new("/proc/self/mountinfo");
    let text = std::fs::read_to_string(mountinfo).map_err(CaptureError::io("/proc/self/mountinfo"))?;
    let path = find_cgroup2(&text).map_err(|error| CaptureError::Cgroup(error.to_string()))?;
    File::open(&path).map_err(|error| CaptureError::Open { path, error })
}

/// What is in a table, while programs change it: a key that goes at the wrong moment sends the walk back to the start,
/// so that entries may come twice, and a walk must have an end of its own.
pub(super) fn entries<K: Pod, V: Pod, M: Borrow<MapData>>(
    table: &HashMap<M, K, V>,
) -> impl Iterator<Item = (K, V)> {
    let keys = table.keys().map_while(Result::ok).take(WALK_MAX);
    keys.filter_map(|key| table.get(&key, 0).ok().map(|value| (key, value)))
}

pub(super) fn load_error(name: &str, error: &dyn std::error::Error) -> CaptureError {
    let reason = chain(error);
    if is_refusal(&reason) {
        return CaptureError::Privilege { what: format!("loading kernel program {name}") };
    }
    CaptureError::Load { name: name.to_owned(), reason }
}

fn attach_error(name: &str, target: &str, error: &dyn std::error::Error) -> CaptureError {
    let reason = chain(error);
    CaptureError::Attach { name: name.to_owned(), target: target.to_owned(), reason }
}

fn is_refusal(reason: &str) -> bool {
    reason.contains("os error 1)") || reason.contains("Operation not permitted")
}
