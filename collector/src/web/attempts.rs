//! Log-in attempts: how often one account and one address may fail.
//!
//! *Invariants*: a name that has no account is counted like one that has.
//! *Limits*: [`OF_ACCOUNT_MAX`] and [`OF_ADDRESS_MAX`] failures within [`WINDOW`]; [`KEYS_MAX`] accounts and
//! addresses are remembered, then the oldest are forgotten.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures of one account within [`WINDOW`] before it has to wait.
pub const OF_ACCOUNT_MAX: u32 = 10;
/// Failures from one address within [`WINDOW`] before it has to wait.
pub const OF_ADDRESS_MAX: u32 = 30;
/// How long failures count, from the first of them.
pub const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Accounts and addresses remembered.
const KEYS_MAX: usize = 10_000;
/// Characters of a name that tell accounts apart here.
const NAME_CHARS_MAX: usize = 64;

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Key {
    Account(String),
    Address(Option<IpAddr>),
}

impl Key {
    fn most(&self) -> u32 {
        match self {
            Self::Account(_) => OF_ACCOUNT_MAX,
            Self::Address(_) => OF_ADDRESS_MAX,
        }
    }

    /// IPv6 addresses count by their /64: one household or host has so many.
    fn address(address: Option<IpAddr>) -> Self {
        Self::Address(address.map(|address| match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
            v4 => v4,
        }))
    }
}

#[derive(Clone, Copy)]
struct Failures {
    since: Instant,
    count: u32,
}

/// The failures of late, in memory.
#[derive(Default)]
pub struct Attempts {
    failures: Mutex<HashMap<Key, Failures>>,
}

impl Attempts {
    /// Counts one attempt before it is known how it ends; or tells how long to wait.
    ///
    /// # Errors
    /// The time until the next attempt is allowed.
    pub fn begin(&self, account: &str, address: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let mut failures = self.lock();
        let keys = keys(account, address);
        let waits = keys.iter().filter_map(|key| wait(failures.get(key)?, key.most(), now));
        if let Some(longest) = waits.max() {
            return Err(longest);
        }
        for key in keys {
            make_room(&mut failures, now);
            let entry = failures.entry(key).or_insert(Failures { since: now, count: 0 });
            if now.duration_since(entry.since) >= WINDOW {
                *entry = Failures { since: now, count: 0 };
            }
            entry.count += 1;
        }
        Ok(())
    }

    /// Takes the attempt back: it was no failure. The account starts afresh.
    pub fn succeeded(&self, account: &str, address: Option<IpAddr>) {
        let mut failures = self.lock();
        let [account, address] = keys(account, address);
        failures.remove(&account);
        if let Some(entry) = failures.get_mut(&address) {
            entry.count = entry.count.saturating_sub(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keys(account: &str, address: Option<IpAddr>) -> [Key; 2] {
    let name = account.chars().take(NAME_CHARS_MAX).collect();
    [Key::Account(name), Key::address(address)]
}

fn wait(failures: &Failures, most: u32, now: Instant) -> Option<Duration> {
    let left = WINDOW.checked_sub(now.duration_since(failures.since))?;
    (failures.count >= most && !left.is_zero()).then_some(left)
}

/// Forgets what no longer counts, then the oldest, so that one more fits.
fn make_room(failures: &mut HashMap<Key, Failures>, now: Instant) {
    if failures.len() < KEYS_MAX {
        return;
    }
    failures.retain(|_, entry| now.duration_since(entry.since) < WINDOW);
    if failures.len() >= KEYS_MAX {
        let oldest = failures.iter().min_by_key(|(_, entry)| entry.since).map(|(key, _)| key.clone());
        oldest.and_then(|key| failures.remove(&key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn an_account_waits_after_too_many_failures_from_anywhere() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for from in 0..OF_ACCOUNT_MAX {
            attempts.begin("anna", address(from as u8), now).unwrap();
        }
        let later = now + Duration::from_secs(60);
        assert_eq!(attempts.begin("anna", address(99), later), Err(WINDOW - Duration::from_secs(60)));
        assert_eq!(attempts.begin("bo", address(99), later), Ok(()));
        assert_eq!(attempts.begin("anna", address(99), now + WINDOW), Ok(()));
    }

    #[test]
    fn an_address_waits_whatever_names_it_tries() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for name in 0..OF_ADDRESS_MAX {
            attempts.begin(&name.to_string(), address(1), now).unwrap();
        }
        assert!(attempts.begin("anna", address(1), now).is_err());
        assert_eq!(attempts.begin("anna", address(2), now), Ok(()));
    }

    #[test]
    fn a_success_does_not_count() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..OF_ADDRESS_MAX * 2 {
            attempts.begin("anna", address(1), now).unwrap();
            attempts.succeeded("anna", address(1));
        }
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        let one = Key::address(Some("2001:db8::1".parse().unwrap()));
        assert_eq!(one, Key::address(Some("2001:db8::ffff:1".parse().unwrap())));
        assert_ne!(one, Key::address(Some("2001:db8:0:1::1".parse().unwrap())));
        assert_eq!(Key::address(Some("::ffff:192.0.2.1".parse().unwrap())), Key::address(address(1)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for name in 0..KEYS_MAX as u32 {
            let from = Some(IpAddr::from(name.to_be_bytes()));
            attempts.begin(&name.to_string(), from, now + Duration::from_millis(name.into())).unwrap();
        }
        assert!(attempts.lock().len() <= KEYS_MAX);
    }
}
