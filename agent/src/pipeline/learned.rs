//! Names learned for addresses, from DNS answers seen on this host. Nothing is resolved here.
//!
//! An address may have several names at once, as those of a content network do: then none of them is sure, and who asks
//! gets all. A name counts for the address at the end of its chain of aliases, and for no other record of the answer.
//!
//! *Invariants*: forgetting a name never makes another one look like the only one: an address that had too many has
//! none.
//! *Limits*: [`ADDRESSES_MAX`] addresses, the oldest go first; [`NAMES_MAX`] names of one. A name is kept for
//! [`KEPT_FOR`] after it was last seen, however short its answer's time to live: programs keep addresses for longer.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use domain::base::iana::Rcode;
use domain::base::{Message, ToName};
use domain::rdata::{A, Aaaa};

use crate::judge::{HostName, address};

/// Addresses with names.
const ADDRESSES_MAX: usize = 65_536;
/// Names of one address.
const NAMES_MAX: usize = 16;
/// How long a name is kept.
const KEPT_FOR: Duration = Duration::from_secs(86_400);

/// See the module.
#[derive(Default)]
pub struct Learned {
    addresses: HashMap<IpAddr, Names>,
    /// In the order in which they were first seen.
    order: VecDeque<IpAddr>,
}

#[derive(Default)]
struct Names {
    names: Vec<(HostName, Instant)>,
    /// There were more than can be kept.
    is_crowded: bool,
}

impl Learned {
    /// Takes what a name server answered.
    pub fn answer(&mut self, message: &[u8], now: Instant) {
        if let Some((name, addresses)) = addresses(message) {
            addresses.into_iter().for_each(|ip| self.learn(ip, &name, now));
        }
    }

    fn learn(&mut self, ip: IpAddr, name: &HostName, now: Instant) {
        let ip = address::canonical(ip);
        if !self.addresses.contains_key(&ip) {
            if self.addresses.len() >= ADDRESSES_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.addresses.remove(&oldest);
            }
            self.order.push_back(ip);
        }
        self.addresses.entry(ip).or_default().add(name, now);
    }

    /// The names of an address; none where it has too many.
    pub fn names(&self, ip: IpAddr, now: Instant) -> Vec<HostName> {
        let known = self.addresses.get(&address::canonical(ip)).filter(|known| !known.is_crowded);
        let names = known.into_iter().flat_map(|known| &known.names);
        names.filter(|(_, seen)| is_kept(*seen, now)).map(|(name, _)| name.clone()).collect()
    }
}

impl Names {
    fn add(&mut self, name: &HostName, now: Instant) {
        if let Some((_, seen)) = self.names.iter_mut().find(|(known, _)| known == name) {
            *seen = now;
            return;
        }
        self.names.retain(|(_, seen)| is_kept(*seen, now));
        if self.names.is_empty() {
            self.is_crowded = false;
        }
        if self.names.len() >= NAMES_MAX {
            self.is_crowded = true;
            return;
        }
        self.names.push((name.clone(), now));
    }
}

fn is_kept(seen: Instant, now: Instant) -> bool {
    now.saturating_duration_since(seen) < KEPT_FOR
}

/// The name that was asked for, and the addresses that the answer gives it.
fn addresses(message: &[u8]) -> Option<(HostName, Vec<IpAddr>)> {
    let message = Message::from_octets(message).ok()?;
    let header = message.header();
    if !header.qr() || header.rcode() != Rcode::NOERROR {
        return None;
    }
    let asked = message.sole_question().ok()?.qname().to_string();
    let last = message.canonical_name()?;
    let answer = message.answer().ok()?;
    let v4 = answer.limit_to::<A>().flatten().filter(|it| it.owner().name_eq(&last));
    let v6 = answer.limit_to::<Aaaa>().flatten().filter(|it| it.owner().name_eq(&last));
    let v4 = v4.map(|it| IpAddr::V4(it.data().addr()));
    let found = v4.chain(v6.map(|it| IpAddr::V6(it.data().addr()))).collect();
    Some((HostName::parse(&asked)?, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to a question for A, each record a name and an address or another name.
    fn answer(asked: &str, records: &[(&str, &str)]) -> Vec<u8> {
        let count = (records.len() as u16).to_be_bytes();
        let mut bytes = [&[0, 7, 0x81, 0x80, 0, 1][..], &count, &[0; 4]].concat();
        bytes.extend(name(asked));
        bytes.extend([0, 1, 0, 1]);
        for (owner, data) in records {
            let (kind, data) = match data.parse::<IpAddr>() {
                Ok(IpAddr::V4(ip)) => (1, ip.octets().to_vec()),
                Ok(IpAddr::V6(ip)) => (28, ip.octets().to_vec()),
                Err(_) => (5, name(data)),
            };
            bytes.extend(name(owner));
            bytes.extend([0, kind, 0, 1, 0, 0, 0, 60]);
            bytes.extend((data.len() as u16).to_be_bytes());
            bytes.extend(data);
        }
        bytes
    }

    fn name(text: &str) -> Vec<u8> {
        let labels = text.split('.').flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat());
        labels.chain([0]).collect()
    }

    fn known(learned: &Learned, ip: &str, now: Instant) -> String {
        let names = learned.names(ip.parse().unwrap(), now);
        names.iter().map(HostName::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn answers_name_addresses() {
        let now = Instant::now();
        let a = "a.example";
        let cases: [(&str, Vec<u8>, &str); 9] = [
            ("an address", answer("A.Example", &[(a, "192.0.2.1")]), a),
            ("one of several", answer(a, &[(a, "192.0.2.9"), (a, "192.0.2.1")]), a),
            ("aliases", answer(a, &[(a, "c.cdn.example"), ("c.cdn.example", "192.0.2.1")]), a),
            ("another's record", answer(a, &[(a, "192.0.2.9"), ("bank.example", "192.0.2.1")]), ""),
            ("no such name", with(answer(a, &[(a, "192.0.2.1")]), 3, 0x83), ""),
            ("a question", with(answer(a, &[(a, "192.0.2.1")]), 2, 0x01), ""),
            ("two questions", with(answer(a, &[(a, "192.0.2.1")]), 5, 2), ""),
            ("no text for a name", answer("a b", &[("a b", "192.0.2.1")]), ""),
            ("nothing", vec![], ""),
        ];
        for (what, message, expected) in cases {
            let mut learned = Learned::default();
            learned.answer(&message, now);
            assert_eq!(known(&learned, "192.0.2.1", now), expected, "{what}");
        }
        let mut learned = Learned::default();
        learned.answer(&answer(a, &[(a, "2001:db8::1"), (a, "::ffff:192.0.2.1")]), now);
        assert_eq!(known(&learned, "2001:db8::1", now), a);
        assert_eq!(known(&learned, "192.0.2.1", now), a, "one spelling for an address");
    }

    fn with(mut bytes: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
        bytes[at] = byte;
        bytes
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_survived() {
        let whole = answer("a.example", &[("a.example", "b.example"), ("b.example", "192.0.2.1")]);
        for at in 0..whole.len() {
            addresses(&whole[..at]);
            for bit in 0..8 {
                addresses(&with(whole.clone(), at, whole[at] ^ (1 << bit)));
            }
        }
    }

    #[test]
    fn a_shared_address_has_all_its_names_and_too_many_are_none() {
        let now = Instant::now();
        let mut learned = Learned::default();
        for n in 0..NAMES_MAX {
            let name = format!("n{n}.example");
            learned.answer(&answer(&name, &[(&name, "192.0.2.1")]), now);
            assert_eq!(learned.names([192, 0, 2, 1].into(), now).len(), n + 1);
        }
        learned.answer(&answer("more.example", &[("more.example", "192.0.2.1")]), now);
        assert_eq!(known(&learned, "192.0.2.1", now), "");
        let later = now + KEPT_FOR;
        learned.answer(&answer("new.example", &[("new.example", "192.0.2.1")]), later);
        assert_eq!(known(&learned, "192.0.2.1", later), "new.example");
    }

    #[test]
    fn names_are_forgotten_after_their_time_and_addresses_when_there_is_no_room() {
        let now = Instant::now();
        let mut learned = Learned::default();
        let name = HostName::parse("a.example").unwrap();
        for n in 0..=ADDRESSES_MAX as u32 {
            learned.learn(std::net::Ipv4Addr::from_bits(n).into(), &name, now);
        }
        assert_eq!((learned.addresses.len(), learned.order.len()), (ADDRESSES_MAX, ADDRESSES_MAX));
        assert_eq!([known(&learned, "0.0.0.0", now), known(&learned, "0.0.0.1", now)], ["", "a.example"]);
        assert_eq!(known(&learned, "0.0.0.1", now + KEPT_FOR), "");
    }
}
