//! Header blocks (RFC 7541), read even where the start of the connection was not.
//!
//! A library decodes the Huffman code. None goes on behind a reference to an entry that it has not seen, as it must
//! here, or keeps its table in memory that is zeroed; so the rest is ours: a dozen lines for each form of a field.
//!
//! *Invariants*: a broken block ends where it breaks, with what was read so far. Each byte of a block is read once.
//! *Limits*: [`FIELDS_MAX`] and [`LIST_BYTES_MAX`] for what a block unpacks to; what is beyond is not read, but
//! enters the table.

use std::ops::Range;

use httlib_huffman::DecoderSpeed;

use crate::http2::table::Table;
use crate::plain::Plain;

/// Most fields of a block that are read.
pub(crate) const FIELDS_MAX: usize = 256;

/// Most bytes that they have together.
pub(crate) const LIST_BYTES_MAX: usize = 64 * 1024;

/// Bits of Huffman code that are read at a time; more need larger tables and are no quicker for short strings.
const SPEED: DecoderSpeed = DecoderSpeed::FourBits;

/// Bytes of text that five bytes of Huffman code can stand for: the shortest code has five bits.
const TEXT_BYTES_PER_FIVE: usize = 8;

/// Most bits of an index or length; beyond them the block is broken.
const INTEGER_BITS_MAX: u32 = 28;

/// Behind each name and each value: they are looked at together, and must not run into each other.
const BORDER: &[u8] = b"\n";

/// The fields of a block.
#[derive(Default)]
pub(crate) struct FieldList {
    bytes: Plain,
    fields: Vec<Spot>,
}

/// Where in the bytes name and value are.
struct Spot {
    /// `None` where the name is that of a missing entry.
    name: Option<Range<usize>>,
    value: Range<usize>,
}

/// A block that is not as RFC 7541 has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// Reads the header blocks of one direction.
#[derive(Default)]
pub(crate) struct Hpack {
    table: Table,
}

/// What is done with a literal field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literal {
    Kept,
    NotKept,
}

impl FieldList {
    /// Name and value of each field; the name is `None` where it was never seen.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Option<&str>, &[u8])> {
        let bytes = self.bytes.as_slice();
        self.fields.iter().map(move |spot| {
            let name = spot.name.clone().and_then(|name| std::str::from_utf8(&bytes[name]).ok());
            (name, &bytes[spot.value.clone()])
        })
    }

    /// All names and values, one on each line.
    pub(crate) fn lines(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The value of the first field of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(other, _)| other.is_some_and(|it| it.eq_ignore_ascii_case(name)))
            .map(|field| field.1)
    }

    /// Keeps the field that begins at `start` of the bytes, if there is room for it.
    fn keep(&mut self, start: usize, name_len: Option<usize>) {
        if self.fields.len() >= FIELDS_MAX || self.bytes.len() > LIST_BYTES_MAX {
            return self.bytes.truncate(start);
        }
        let value = start + name_len.unwrap_or(0) + BORDER.len()..self.bytes.len();
        self.fields.push(Spot { name: name_len.map(|len| start..start + len), value });
        self.bytes.append(BORDER);
    }
}

impl Hpack {
    /// Reads a whole block.
    pub(crate) fn read(&mut self, block: &[u8], list: &mut FieldList) -> Result<(), Broken> {
        let mut rest = block;
        while let Some(first) = rest.first() {
            match first {
                0x80.. => self.indexed(&mut rest, list)?,
                0x40..0x80 => self.literal(&mut rest, 6, Literal::Kept, list)?,
                0x20..0x40 => self.table.resize(integer(&mut rest, 5)?),
                0x00..0x20 => self.literal(&mut rest, 4, Literal::NotKept, list)?,
            }
        }
        Ok(())
    }

    /// Captured bytes held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.table.held_bytes()
    }

    fn indexed(&self, rest: &mut &[u8], list: &mut FieldList) -> Result<(), Broken> {
        let index = integer(rest, 7)?;
        if index == 0 {
            return Err(Broken);
        }
        if let Some(entry) = self.table.get(index).filter(|_| list.fields.len() < FIELDS_MAX) {
            let start = list.bytes.len();
            list.bytes.append(entry.name.unwrap_or_default());
            list.bytes.append(BORDER);
            list.bytes.append(entry.value);
            list.keep(start, entry.name.map(<[u8]>::len));
        }
        Ok(())
    }

    fn literal(
        &mut self,
        rest: &mut &[u8],
        prefix_bits: u32,
        literal: Literal,
        list: &mut FieldList,
    ) -> Result<(), Broken> {
        let start = list.bytes.len();
        let name_len = match integer(rest, prefix_bits)? {
            0 => {
                string(rest, &mut list.bytes)?;
                Some(list.bytes.len() - start)
            }
            index => {
                let name = self.table.get(index).and_then(|entry| entry.name);
                list.bytes.append(name.unwrap_or_default());
                name.map(<[u8]>::len)
            }
        };
        let name_end = list.bytes.len();
        list.bytes.append(BORDER);
        let whole = string(rest, &mut list.bytes);
        if whole.is_ok() && literal == Literal::Kept {
            let bytes = list.bytes.as_slice();
            self.table.add(name_len.map(|_| &bytes[start..name_end]), &bytes[name_end + BORDER.len()..]);
        }
        list.keep(start, name_len);
        whole
    }
}

/// Reads an integer whose first byte has that many bits of it (RFC 7541, section 5.1).
fn integer(rest: &mut &[u8], prefix_bits: u32) -> Result<usize, Broken> {
    let (&first, mut tail) = rest.split_first().ok_or(Broken)?;
    let most = (1_usize << prefix_bits) - 1;
    let mut value = usize::from(first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (&byte, after) = tail.split_first().ok_or(Broken)?;
            tail = after;
            value += usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
            if shift >= INTEGER_BITS_MAX {
                return Err(Broken);
            }
        }
    }
    *rest = tail;
    Ok(value)
}

/// Appends a string (RFC 7541, section 5.2): as far as there is one.
fn string(rest: &mut &[u8], into: &mut Plain) -> Result<(), Broken> {
    let is_coded = rest.first().ok_or(Broken)? & 0x80 != 0;
    let len = integer(rest, 7)?;
    let (bytes, tail) = rest.split_at(len.min(rest.len()));
    *rest = tail;
    if is_coded {
        let most = bytes.len() * TEXT_BYTES_PER_FIVE / 5 + 1;
        into.append_with(most, |into| httlib_huffman::decode(bytes, into, SPEED)).map_err(|_| Broken)?;
    } else {
        into.append(bytes);
    }
    if bytes.len() == len { Ok(()) } else { Err(Broken) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a block written in hexadecimal; each field as `name=value`, a missing name as `?`.
    fn read(hpack: &mut Hpack, block: &str) -> (Vec<String>, Result<(), Broken>) {
        let digits: Vec<u8> = block.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16);
        let block: Vec<u8> = digits.chunks(2).map(|pair| byte(pair).expect("a byte")).collect();
        let mut list = FieldList::default();
        let outcome = hpack.read(&block, &mut list);
        let field = |(name, value): (Option<&str>, &[u8])| {
            format!("{}={}", name.unwrap_or("?"), value.escape_ascii())
        };
        (list.iter().map(field).collect(), outcome)
    }

    /// The requests of RFC 7541, appendix C.4.
    #[test]
    fn requests_of_the_rfc() {
        let mut hpack = Hpack::default();
        let first = read(&mut hpack, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff");
        let start =
            [":method=GET", ":scheme=http", ":path=/", ":authority=www.example.com"].map(str::to_owned);
        assert_eq!(first, (start.to_vec(), Ok(())));
        let second = read(&mut hpack, "8286 84be 5886 a8eb 1064 9cbf");
        assert_eq!(second.0[3..], [":authority=www.example.com", "cache-control=no-cache"]);
        let third = read(&mut hpack, "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf");
        let rest = [":path=/index.html", ":authority=www.example.com", "custom-key=custom-value"];
        assert_eq!(third.0[2..], rest);
    }

    #[test]
    fn what_was_missed_is_missing_and_what_follows_is_known() {
        let mut hpack = Hpack::default();
        let late = read(&mut hpack, "8286 84be 5886 a8eb 1064 9cbf");
        let fields = [":method=GET", ":scheme=http", ":path=/", "cache-control=no-cache"];
        assert_eq!(late, (fields.map(str::to_owned).to_vec(), Ok(())), "the host is missing");
        assert_eq!(read(&mut hpack, "be").0, ["cache-control=no-cache"]);
        assert_eq!(read(&mut hpack, "7f03 0161").0, ["?=a"], "a value whose name is missing");
        assert_eq!(read(&mut hpack, "be bf").0, ["?=a", "cache-control=no-cache"]);
    }

    #[test]
    fn broken_blocks_end_where_they_break() {
        let cases: &[(&str, &[&str])] = &[
            ("80", &[]),
            ("82 ff", &[":method=GET"]),
            ("82 ff ff ff ff ff ff", &[":method=GET"]),
            ("82 04", &[":method=GET", ":path="]),
            ("82 04 05 2f 61", &[":method=GET", ":path=/a"]),
        ];
        for (block, fields) in cases {
            let (found, outcome) = read(&mut Hpack::default(), block);
            assert_eq!(
                (found, outcome),
                (fields.iter().map(ToString::to_string).collect(), Err(Broken)),
                "{block}"
            );
        }
    }

    #[test]
    fn names_and_values_do_not_run_into_each_other() {
        let mut list = FieldList::default();
        let read = Hpack::default().read(&[0x82, 0x40, 1, b'a', 1, b'b'], &mut list);
        assert_eq!((read, list.lines()), (Ok(()), &b":method\nGET\na\nb\n"[..]));
    }

    #[test]
    fn a_short_block_unpacks_to_bounded_lists() {
        let mut hpack = Hpack::default();
        let long = "61".repeat(4000);
        assert_eq!(read(&mut hpack, &format!("40 01 78 7f a11e {long}")).1, Ok(()));
        let (fields, outcome) = read(&mut hpack, &"be".repeat(5000));
        assert_eq!(outcome, Ok(()));
        assert!(fields.len() <= LIST_BYTES_MAX / 4000 + 1, "{}", fields.len());
        let (fields, _) = read(&mut hpack, &"82".repeat(5000));
        assert_eq!(fields.len(), FIELDS_MAX);
    }
}
