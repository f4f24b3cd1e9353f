//! The allow entries that the kernel's table cannot hold: for names, and for some processes only.

use std::net::IpAddr;

use super::names::{HostName, NameTable};
use super::waives::Waives;
use crate::config::{Allow, Target};
use crate::process::ProcessFacts;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Entries {
    by_name: NameTable<Allow>,
    by_process: Vec<Allow>,
}

impl Entries {
    pub(super) fn new<'a>(allow: impl Iterator<Item = &'a Allow>) -> Self {
        let mut entries = Self::default();
        for entry in allow {
            match &entry.to {
                Target::Name(pattern) => entries.by_name.insert(pattern.clone(), entry.clone()),
                Target::Net(_) if entry.from.is_some() => entries.by_process.push(entry.clone()),
                Target::Net(_) => {}
            }
        }
        entries
    }

    /// What the entries for `name` waive together on `port` of what `process` sends.
    pub(super) fn of_name(&self, name: &HostName, port: u16, process: Option<&ProcessFacts>) -> Waives {
        waived(self.by_name.covering(name).filter(|entry| covers(entry, port, process)))
    }

    /// What the entries with `from` for `ip` waive together.
    pub(super) fn of_address(&self, ip: IpAddr, port: u16, process: Option<&ProcessFacts>) -> Waives {
        let has = |entry: &&Allow| matches!(&entry.to, Target::Net(net) if net.contains(&ip));
        waived(self.by_process.iter().filter(has).filter(|entry| covers(entry, port, process)))
    }
}

fn covers(entry: &Allow, port: u16, process: Option<&ProcessFacts>) -> bool {
    let is_from = entry.from.as_ref().is_none_or(|from| from.fits(process) == Some(true));
    entry.has_port(port) && is_from
}

fn waived<'a>(entries: impl Iterator<Item = &'a Allow>) -> Waives {
    entries.map(|entry| entry.waives).fold(Waives::NONE, Waives::union)
}
