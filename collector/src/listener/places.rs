//! Places for connections: so many in all, so many for one address, or for one agent once it has proved who it is.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cprvagt_report::AgentId;

/// All places of a listener.
#[derive(Clone)]
pub(super) struct Places {
    taken: Arc<Mutex<Taken>>,
    total_max: usize,
    of_address_max: usize,
    of_agent_max: usize,
}

#[derive(Default)]
struct Taken {
    total: usize,
    of: HashMap<Holder, usize>,
}

/// Whom a place is counted for.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum Holder {
    Address(IpAddr),
    Agent(AgentId),
}

/// One place, given back when dropped.
pub(super) struct Place {
    places: Places,
    holder: Holder,
}

impl Places {
    pub(super) fn new(total_max: usize, of_address_max: usize, of_agent_max: usize) -> Self {
        Self { taken: Arc::default(), total_max, of_address_max, of_agent_max }
    }

    /// A place for `address`, if there is one.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let holder = Holder::Address(network(address));
        let mut taken = self.lock();
        if taken.total >= self.total_max || !taken.add(holder, self.of_address_max) {
            return None;
        }
        taken.total += 1;
        Some(Place { places: self.clone(), holder })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// One more for `holder`; false when it has `max`.
    fn add(&mut self, holder: Holder, max: usize) -> bool {
        let count = self.of.get(&holder).copied().unwrap_or(0);
        if count < max {
            self.of.insert(holder, count + 1);
        }
        count < max
    }

    fn remove(&mut self, holder: Holder) {
        match self.of.get_mut(&holder) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.of.remove(&holder)),
        }
    }
}

impl Place {
    /// Counts the place for `agent` and no longer for the address, which many agents may share. False when the
    /// agent has all that are allowed to it.
    pub(super) fn prove(&mut self, agent: AgentId) -> bool {
        let mut taken = self.places.lock();
        let proved = Holder::Agent(agent);
        let is_free = taken.add(proved, self.places.of_agent_max);
        if is_free {
            taken.remove(self.holder);
            self.holder = proved;
        }
        is_free
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.total -= 1;
        taken.remove(self.holder);
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
        let places = Places::new(3, 2, 1);
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
        assert!(places.lock().of.is_empty());
    }

    #[test]
    fn an_agent_that_proved_itself_takes_no_place_of_its_address() {
        let places = Places::new(3, 1, 1);
        let take = || places.take([192, 0, 2, 1].into());
        let agents = [1, 2].map(|number| AgentId(uuid::Uuid::from_u128(number)));
        let mut first = take().unwrap();
        assert!(take().is_none());
        assert!(first.prove(agents[0]));
        let mut second = take().unwrap();
        assert!(!second.prove(agents[0]), "an agent has so many");
        assert!(take().is_none(), "it counts for the address still");
        assert!(second.prove(agents[1]));
        let third = take().unwrap();
        assert!(places.take([192, 0, 2, 2].into()).is_none(), "all in all there are so many");
        drop((first, second, third));
        assert!(places.lock().of.is_empty() && places.lock().total == 0);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
    }
}
