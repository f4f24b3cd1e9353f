//! How often one address may try to enrol: a bucket for each that fills up again with time.
//!
//! *Limits*: [`ADDRESSES_MAX`] buckets; when they are all in use, newcomers share one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::listener::network;

/// Attempts at once: a rack of hosts behind one address may enrol together.
const BURST: u32 = 60;
/// Time for one more.
const REFILL: Duration = Duration::from_secs(1);
/// Addresses remembered.
const ADDRESSES_MAX: usize = 4096;

/// The buckets.
#[derive(Default)]
pub(super) struct Rate {
    /// When each bucket is full again; a bucket that is full is the same as none.
    full_at: HashMap<IpAddr, Instant>,
}

impl Rate {
    /// Whether `address` may try now; counts the attempt if so.
    pub(super) fn allows(&mut self, address: IpAddr, now: Instant) -> bool {
        let key = self.bucket(network(address), now);
        let full_at = self.full_at.get(&key).copied().unwrap_or(now).max(now) + REFILL;
        let allowed = full_at - now <= REFILL * BURST;
        if allowed {
            self.full_at.insert(key, full_at);
        }
        allowed
    }

    fn bucket(&mut self, network: IpAddr, now: Instant) -> IpAddr {
        if self.full_at.len() >= ADDRESSES_MAX && !self.full_at.contains_key(&network) {
            self.full_at.retain(|_, full_at| *full_at > now);
            if self.full_at.len() >= ADDRESSES_MAX {
                return Ipv4Addr::UNSPECIFIED.into();
            }
        }
        network
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_burst_and_then_waits() {
        let (mut rate, now) = (Rate::default(), Instant::now());
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        assert_eq!((0..100).filter(|_| rate.allows(one, now)).count(), BURST as usize);
        assert!(rate.allows(other, now));
        assert_eq!((0..100).filter(|_| rate.allows(one, now + REFILL * 3)).count(), 3);
        let later = now + REFILL * 1000;
        assert_eq!((0..100).filter(|_| rate.allows(one, later)).count(), BURST as usize);
    }

    #[test]
    fn too_many_addresses_share_a_bucket() {
        let (mut rate, now) = (Rate::default(), Instant::now());
        let address = |number: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + number));
        let tried = 0..2 * ADDRESSES_MAX as u32;
        let allowed = tried.filter(|number| rate.allows(address(*number), now)).count();
        assert_eq!(allowed, ADDRESSES_MAX + BURST as usize);
        assert!(rate.full_at.len() <= ADDRESSES_MAX + 1);
        assert!(rate.allows(address(1 << 20), now + REFILL * 2));
    }
}
