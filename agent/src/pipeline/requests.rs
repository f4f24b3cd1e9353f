//! Heads of requests that servers read over TLS, put together from their reads.
//!
//! *Limits*: [`OPEN_MAX`] heads that are not whole, each for [`WAIT_MAX`]; with more, the oldest are looked at as they are.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::join::writes::Write;

/// Heads that are not whole yet.
const OPEN_MAX: usize = 4096;
/// How long the rest of a head is waited for.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// How a head ends.
const EMPTY_LINE: &[u8] = b"\r\n\r\n";

/// A session: the process and the address of its object.
type Name = (u32, u64);

/// The reads that a head came in; never empty.
pub type Head = Vec<Write>;

/// The heads that are not whole yet.
#[derive(Default)]
pub struct Requests {
    /// In the order they began.
    open: BTreeMap<u64, (Name, Instant, Head)>,
    by_name: HashMap<Name, u64>,
    begun: u64,
}

impl Requests {
    /// Whether the rest of the session's head is waited for.
    pub fn has(&self, read: &Write) -> bool {
        self.by_name.contains_key(&(read.call.tgid, read.call.session))
    }

    /// A read of a server; returns the heads that are as whole as they will be.
    pub fn take(&mut self, read: Write, now: Instant) -> Vec<Head> {
        let name = (read.call.tgid, read.call.session);
        let (begins, ends) = (begins(&read), has_end(&read));
        let mut done: Vec<Head> = Vec::new();
        if begins && let Some(cut) = self.remove(name) {
            done.push(cut);
        }
        let place = self.by_name.get(&name).copied().unwrap_or_else(|| {
            self.begun += 1;
            self.open.insert(self.begun, (name, now, Vec::new()));
            self.by_name.insert(name, self.begun);
            self.begun
        });
        if let Some((_, _, head)) = self.open.get_mut(&place) {
            head.push(read);
        }
        if ends {
            done.extend(self.remove(name));
        }
        while self.open.len() > OPEN_MAX {
            done.extend(self.oldest().and_then(|name| self.remove(name)));
        }
        done
    }

    /// The heads whose rest has not come.
    pub fn take_overdue(&mut self, now: Instant) -> Vec<Head> {
        let is_due = |since: Instant| now.saturating_duration_since(since) >= WAIT_MAX;
        let due: Vec<Name> = self.open.values().take_while(|it| is_due(it.1)).map(|it| it.0).collect();
        due.into_iter().filter_map(|name| self.remove(name)).collect()
    }

    /// Every head: the run is over.
    pub fn take_all(&mut self) -> Vec<Head> {
        std::iter::from_fn(|| self.oldest().and_then(|name| self.remove(name))).collect()
    }

    fn oldest(&self) -> Option<Name> {
        self.open.first_key_value().map(|(_, (name, ..))| *name)
    }

    fn remove(&mut self, name: Name) -> Option<Head> {
        self.open.remove(&self.by_name.remove(&name)?).map(|(.., head)| head)
    }
}

/// Whether it begins as a request does: with a method and a space, which is all that the kernel copies as the first.
pub fn begins(read: &Write) -> bool {
    let first = read.slices(0).next().unwrap_or_default();
    let method = first.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    (3..=7).contains(&method) && first.get(method) == Some(&b' ')
}

fn has_end(read: &Write) -> bool {
    read.slices(0).any(|bytes| memchr::memmem::find(bytes, EMPTY_LINE).is_some())
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
