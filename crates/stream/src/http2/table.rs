//! The tables that header compression refers to (RFC 7541, section 2.3).
//!
//! A connection that was joined after its start has entries that were never seen. They are older than all that are
//! known, so that the known ones have their right numbers, and fall out of the peer's table first: with each field
//! that is added more is known, and in the end all.
//!
//! *Limits*: [`BYTES_MAX`], counted as RFC 7541, section 4.1 counts. A peer that may use more refers to entries that
//! were forgotten; these are missing.

use std::collections::VecDeque;

use crate::plain::Plain;

/// Most bytes of the dynamic table, whatever the peers agreed on.
const BYTES_MAX: usize = 64 * 1024;

/// What the peers agree on if they say nothing (RFC 9113, section 6.5.2).
const BYTES_INITIAL: usize = 4096;

/// What an entry counts beside its bytes.
const ENTRY_BYTES: usize = 32;

/// What an index stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// `None` where it was never seen.
    pub(super) name: Option<&'a [u8]>,
    pub(super) value: &'a [u8],
}

/// The dynamic table of one direction, and the static one behind the same numbers.
pub(super) struct Table {
    /// The newest first.
    kept: VecDeque<Kept>,
    bytes: usize,
    bytes_max: usize,
}

/// Name and value in one piece.
struct Kept {
    bytes: Plain,
    /// `None` where the name is that of a missing entry.
    name_len: Option<usize>,
}

impl Default for Table {
    fn default() -> Self {
        Self { kept: VecDeque::new(), bytes: 0, bytes_max: BYTES_INITIAL }
    }
}

impl Table {
    /// The entry of that number, from 1; `None` if it is missing.
    pub(super) fn get(&self, index: usize) -> Option<Entry<'_>> {
        if let Some((name, value)) = STATIC.get(index.checked_sub(1)?) {
            return Some(Entry { name: Some(name.as_bytes()), value: value.as_bytes() });
        }
        let kept = self.kept.get(index - STATIC.len() - 1)?;
        let (name, value) = kept.bytes.as_slice().split_at_checked(kept.name_len.unwrap_or(0))?;
        Some(Entry { name: kept.name_len.map(|_| name), value })
    }

    /// Adds an entry in front. One that is larger than the table leaves it empty.
    pub(super) fn add(&mut self, name: Option<&[u8]>, value: &[u8]) {
        let name_bytes = name.unwrap_or_default();
        self.shrink_to(self.bytes_max.saturating_sub(cost(name_bytes.len() + value.len())));
        if cost(name_bytes.len() + value.len()) <= self.bytes_max {
            let mut bytes = Plain::with_capacity(name_bytes.len() + value.len());
            bytes.append(name_bytes);
            bytes.append(value);
            self.bytes += cost(bytes.len());
            self.kept.push_front(Kept { bytes, name_len: name.map(<[u8]>::len) });
        }
    }

    /// The sender says how large its table is from now on.
    pub(super) fn resize(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max.min(BYTES_MAX);
        self.shrink_to(self.bytes_max);
    }

    /// Captured bytes held.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes - self.kept.len() * ENTRY_BYTES
    }

    fn shrink_to(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some(oldest) = self.kept.pop_back()
        {
            self.bytes -= cost(oldest.bytes.len());
        }
    }
}

const fn cost(len: usize) -> usize {
    len + ENTRY_BYTES
}

/// RFC 7541, appendix A.
const STATIC: &[(&str, &str)] = &[
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'a>(name: &'a str, value: &'a str) -> Option<Entry<'a>> {
        Some(Entry { name: Some(name.as_bytes()), value: value.as_bytes() })
    }

    #[test]
    fn static_entries_have_their_numbers() {
        let table = Table::default();
        assert_eq!(STATIC.len(), 61);
        assert_eq!(table.get(0), None);
        assert_eq!(table.get(1), entry(":authority", ""));
        assert_eq!(table.get(8), entry(":status", "200"));
        assert_eq!(table.get(32), entry("cookie", ""));
        assert_eq!(table.get(61), entry("www-authenticate", ""));
        assert_eq!(table.get(62), None);
    }

    #[test]
    fn the_newest_is_first_and_the_oldest_falls_out() {
        let mut table = Table::default();
        table.resize(100);
        table.add(Some(b"a"), b"1");
        table.add(None, b"2");
        assert_eq!(table.get(62), Some(Entry { name: None, value: b"2" }));
        assert_eq!(table.get(63), entry("a", "1"));
        table.add(Some(b"c"), b"3");
        assert_eq!((table.get(62), table.get(64)), (entry("c", "3"), None));
        assert_eq!(table.held_bytes(), 3);
        table.add(Some(b"d"), &[b'x'; 100]);
        assert_eq!((table.get(62), table.held_bytes()), (None, 0), "larger than the table");
    }
}
