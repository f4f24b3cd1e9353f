//! `[[relay]]`: a program that sends on what others on this host hand it, and where it takes that.

use cprvagt_abi::RELAY_PORTS_MAX;
use cprvagt_settings::{Table, Value};

use super::Matcher;
use super::sections::{expect_some, integer, process_matcher};

/// An entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Relay {
    /// Where it takes what it sends on, on loopback and on this host's own addresses.
    pub ports: Vec<u16>,
    /// Which processes send on.
    pub matches: Matcher,
}

/// All entries; together they have no more ports than the kernel programs hold.
pub(super) fn read_all(root: &Table<'_, '_>) -> Vec<Relay> {
    let tables = root.tables("relay", "[[relay]]");
    let mut count = 0;
    let read = tables.iter().filter_map(|table| {
        let relay = read(table);
        count += table.list("ports").count();
        if count > RELAY_PORTS_MAX {
            table.problem(format_args!("has one port too many: all together have at most {RELAY_PORTS_MAX}"));
        }
        relay
    });
    read.collect()
}

fn read(table: &Table<'_, '_>) -> Option<Relay> {
    table.expect_keys(&["ports", "match"]);
    table.value_required("ports");
    expect_some(table, "ports", "nothing would be read");
    let ports = table.list("ports").filter_map(|value| {
        let port = port(value);
        if port.is_none() {
            table.problem_with(value, "a port is a number from 1 to 65535");
        }
        port
    });
    let ports = ports.collect();
    table.value_required("match")?;
    let matches = process_matcher(&table.table("match", "[[relay]] match")?)?;
    Some(Relay { ports, matches })
}

fn port(value: Value<'_, '_>) -> Option<u16> {
    u16::try_from(integer(value)?).ok().filter(|port| *port != 0)
}
