//! Places for connections: so many in all, so many for one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All places of a listener.
#[derive(Clone)]
pub(super) struct Places {
    taken: Arc<Mutex<Taken>>,
    total_max: usize,
    of_address_max: usize,
}

#[derive(Default)]
struct Taken {
    total: usize,
    of_address: HashMap<IpAddr, usize>,
}

/// One place, given back when dropped.
pub(super) struct Place {
    places: Places,
    network: IpAddr,
}

impl Places {
    pub(super) fn new(total_max: usize, of_address_max: usize) -> Self {
        Self { taken: Arc::default(), total_max, of_address_max }
    }

    /// A place for `address`, if there is one.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let mut taken = self.lock();
        let of_address = taken.of_address.get(&network).copied().unwrap_or(0);
        if taken.total >= self.total_max || of_address >= self.of_address_max {
            return None;
        }
        taken.total += 1;
        taken.of_address.insert(network, of_address + 1);
        Some(Place { places: self.clone(), network })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.total -= 1;
        match taken.of_address.get_mut(&self.network) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.of_address.remove(&self.network)),
        }
    }
}

/// What counts as one address: an IPv6 host commonly has 64 bits of addresses to choose from.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_all_and_for_one_address() {
        let places = Places::new(3, 2);
        let take = |address: &str| places.take(address.parse().unwrap());
        let (first, _second) = (take("192.0.2.1").unwrap(), take("::ffff:192.0.2.1").unwrap());
        assert!(take("192.0.2.1").is_none());
        let other = take("2001:db8::1").unwrap();
        assert!(take("192.0.2.2").is_none());
        drop(other);
        drop(first);
        let again = take("192.0.2.1").unwrap();
        assert!(take("192.0.2.1").is_none());
        drop((again, _second));
        assert!(places.lock().of_address.is_empty());
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
    }
}
