//! The allow list by address, flattened so that the longest prefix alone has the answer.
//!
//! The kernel's table returns one entry, that of the longest matching prefix. So each entry holds the
//! rules of every wider prefix that covers it too. IPv4 lies inside IPv6 there (`::ffff:0:0/96`), and an
//! IPv6 prefix that spans that range must not allow IPv4: an entry at the range's root stops it.
//!
//! *Invariants*: the port ranges of one entry are disjoint and ascending, and each waives something.
//! *Limits*: [`PORT_RULES_MAX`] ranges a prefix.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use cprvagt_abi::{AllowKey, AllowRules, PORT_RULES_MAX, PortRule};
use ipnet::IpNet;

use super::address::{self, MAPPED_BITS};
use super::waives::Waives;
use crate::config::{Allow, Place, Target};

/// Root of the IPv4 addresses: `::ffff:0:0/96`.
const IPV4_ROOT: (u128, u8) = (0xffff << 32, MAPPED_BITS);

/// An entry of the kernel's table.
pub type KernelEntry = (AllowKey, AllowRules);

/// A prefix in the kernel's form, and the rules that hold there.
pub type Flat = ((u128, u8), Vec<Range>);

/// An inclusive range of ports and what is waived there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range {
    lo: u16,
    hi: u16,
    waives: Waives,
}

/// One prefix has more port rules than the kernel can hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{prefix} has {ranges} separate port ranges, those of wider prefixes included; the most is {PORT_RULES_MAX}"
)]
pub struct Overfull {
    /// Where the last entry of that prefix stands.
    pub at: Place,
    prefix: IpNet,
    ranges: usize,
}

/// The flattened list, ready for look-ups.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    flat: Vec<Flat>,
    by_len: BTreeMap<u8, HashMap<u128, usize>>,
}

impl Prefixes {
    pub(super) fn new<'a>(allow: impl Iterator<Item = &'a Allow>) -> Result<Self, Overfull> {
        let flat = flatten(allow)?;
        let mut by_len: BTreeMap<u8, HashMap<u128, usize>> = BTreeMap::new();
        for (index, ((bits, len), _)) in flat.iter().enumerate() {
            by_len.entry(*len).or_default().insert(*bits, index);
        }
        Ok(Self { flat, by_len })
    }

    /// What the longest prefix of `ip` waives on `port`.
    pub(super) fn waives(&self, ip: IpAddr, port: u16) -> Waives {
        let bits = address::bits(ip);
        let longest_first = self.by_len.iter().rev();
        let found = longest_first.filter_map(|(len, of_len)| of_len.get(&(bits & mask(*len)))).next();
        let ranges = found.map_or(&[][..], |index| &self.flat[*index].1);
        let range = ranges.iter().find(|range| (range.lo..=range.hi).contains(&port));
        range.map_or(Waives::NONE, |range| range.waives)
    }

    pub(super) fn to_kernel(&self) -> Vec<KernelEntry> {
        self.flat.iter().map(|((bits, len), ranges)| (key(*bits, *len), rules(ranges))).collect()
    }
}

/// What turns the kernel's table from one list into another: the prefixes that go, and those that come or change. In
/// proportion to what differs, however long the lists are.
pub fn turn(before: &[KernelEntry], after: &[KernelEntry]) -> (Vec<KernelEntry>, Vec<KernelEntry>) {
    let old: HashMap<AllowKey, AllowRules> = before.iter().copied().collect();
    let new: HashSet<AllowKey> = after.iter().map(|(key, _)| *key).collect();
    let gone = before.iter().filter(|(key, _)| !new.contains(key)).copied().collect();
    let changed = after.iter().filter(|(key, rules)| old.get(key) != Some(rules)).copied().collect();
    (gone, changed)
}

fn key(bits: u128, len: u8) -> AllowKey {
    AllowKey { prefix_len: len.into(), addr: bits.to_be_bytes() }
}

fn rules(ranges: &[Range]) -> AllowRules {
    let mut rules = AllowRules::default();
    for (rule, range) in rules.rules.iter_mut().zip(ranges) {
        *rule = PortRule { lo: range.lo, hi: range.hi, waives: range.waives.bits() };
    }
    rules
}

/// The entries for addresses without `from`, each prefix once with the rules of all that cover it.
///
/// # Errors
/// The first prefix that has too many.
pub fn flatten<'a>(allow: impl Iterator<Item = &'a Allow>) -> Result<Vec<Flat>, Overfull> {
    let mut flat: Vec<Flat> = Vec::new();
    // Prefixes that cover the current one, the widest first. Sorted by address then length, each prefix
    // comes right after what covers it.
    let mut covering: Vec<usize> = Vec::new();
    for (prefix, (mut ranges, at)) in by_prefix(allow) {
        while covering.last().is_some_and(|outer| !covers(flat[*outer].0, prefix)) {
            covering.pop();
        }
        if let Some(outer) = covering.last().filter(|_| prefix != IPV4_ROOT) {
            ranges.extend(&flat[*outer].1);
        }
        let ranges = disjoint(&ranges);
        if ranges.len() > PORT_RULES_MAX {
            let ranges = ranges.len();
            return Err(Overfull { at, prefix: address::from_prefix_bits(prefix.0, prefix.1), ranges });
        }
        covering.push(flat.len());
        flat.push((prefix, ranges));
    }
    Ok(flat)
}

type OwnRanges = (Vec<Range>, Place);

/// What each prefix says itself, sorted by address then length, with the IPv4 root where it is needed.
fn by_prefix<'a>(allow: impl Iterator<Item = &'a Allow>) -> BTreeMap<(u128, u8), OwnRanges> {
    let mut own: BTreeMap<(u128, u8), OwnRanges> = BTreeMap::new();
    for entry in allow.filter(|entry| entry.from.is_none()) {
        let Target::Net(net) = &entry.to else { continue };
        let prefix = address::prefix_bits(net);
        if covers(prefix, IPV4_ROOT) {
            own.entry(IPV4_ROOT).or_default();
        }
        let (ranges, at) = own.entry(prefix).or_default();
        ranges.extend(own_ranges(entry));
        *at = entry.at;
    }
    own
}

fn own_ranges(entry: &Allow) -> Vec<Range> {
    let every_port = [(0, u16::MAX)];
    let ports = if entry.ports.is_empty() { &every_port[..] } else { &entry.ports };
    ports.iter().map(|(lo, hi)| Range { lo: *lo, hi: *hi, waives: entry.waives }).collect()
}

fn covers(outer: (u128, u8), inner: (u128, u8)) -> bool {
    outer.1 <= inner.1 && inner.0 & mask(outer.1) == outer.0
}

fn mask(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
}

/// The same ranges cut at each other's ends, so that no port is in two, neighbours of one kind joined.
fn disjoint(ranges: &[Range]) -> Vec<Range> {
    let ends = ranges.iter().flat_map(|range| [u32::from(range.lo), u32::from(range.hi) + 1]);
    let mut ends: Vec<u32> = ends.collect();
    ends.sort_unstable();
    ends.dedup();
    let mut joined: Vec<Range> = Vec::new();
    for pair in ends.windows(2) {
        let (lo, hi) = (pair[0] as u16, (pair[1] - 1) as u16);
        let there = ranges.iter().filter(|range| (range.lo..=range.hi).contains(&lo));
        let waives = there.map(|range| range.waives).fold(Waives::NONE, Waives::union);
        match joined.last_mut() {
            _ if waives == Waives::NONE => {}
            Some(last) if last.waives == waives && u32::from(last.hi) + 1 == u32::from(lo) => last.hi = hi,
            _ => joined.push(Range { lo, hi, waives }),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(lo: u16, hi: u16, waives: Waives) -> Range {
        Range { lo, hi, waives }
    }

    #[test]
    fn ranges_are_cut_and_joined() {
        let (a, c) = (Waives::NOT_ALLOWED, Waives::CLEARTEXT);
        let cases = [
            (vec![], vec![]),
            (vec![range(443, 443, a), range(443, 443, a)], vec![range(443, 443, a)]),
            (vec![range(1, 5, a), range(6, 9, a)], vec![range(1, 9, a)]),
            (
                vec![range(0, 65535, a), range(80, 80, c)],
                vec![range(0, 79, a), range(80, 80, a.union(c)), range(81, 65535, a)],
            ),
            (vec![range(1, 9, Waives::NONE)], vec![]),
            (
                vec![range(1, 4, a), range(3, 9, c)],
                vec![range(1, 2, a), range(3, 4, a.union(c)), range(5, 9, c)],
            ),
        ];
        for (ranges, expected) in cases {
            assert_eq!(disjoint(&ranges), expected, "{ranges:?}");
        }
    }
}
