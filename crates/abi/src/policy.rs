//! Policy as the kernel reads it: allowed prefixes, ports of relays.

/// Processes of the agent itself, whose traffic is not looked at.
pub const OWN_MAX: usize = 3;
/// Most port rules of one prefix.
pub const PORT_RULES_MAX: usize = 8;
/// Ports of relays on this host.
pub const RELAY_PORTS_MAX: usize = 64;
/// A rule waives `not-allowed`.
pub const WAIVES_NOT_ALLOWED: u32 = 1;
/// A rule waives `cleartext`.
pub const WAIVES_CLEARTEXT: u32 = 2;

/// Key of the prefix table: an LPM trie over 128-bit addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct AllowKey {
    /// Length of the prefix: 0 to 128.
    pub prefix_len: u32,
    /// Address, IPv4 mapped.
    pub addr: [u8; 16],
}

/// The rules of one prefix: those of every shorter prefix that covers it included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct AllowRules {
    /// The rules; those from `len` on are zero and match nothing.
    pub rules: [PortRule; PORT_RULES_MAX],
}

/// Ports and what they waive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct PortRule {
    /// First port.
    pub lo: u16,
    /// Last port.
    pub hi: u16,
    /// Waivers; zero means that there is no rule here.
    pub waives: u32,
}

const _: () = assert!(size_of::<AllowKey>() == 20);
const _: () = assert!(size_of::<AllowRules>() == 64);
