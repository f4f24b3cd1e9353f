//! Finding a function of a Go program by name, whether or not the program was stripped of its symbols.
//!
//! Every Go program carries a table from code to names, which its own tracebacks need: `.gopclntab`. Its layout is in
//! Go's sources, `runtime/symtab.go` and `debug/gosym/pclntab.go`; the first word tells which of them it is.
//!
//! *Invariants*: a file is data of strangers; what does not fit is no table.
//! *Limits*: Go 1.16 and later, little-endian, 64 bits. Since Go 1.26 the table no longer tells where the code begins:
//! then the program's entry or its module data does.
//! *Not here*: whether the function takes its arguments in registers, as from Go 1.17 on. Its code tells.

use object::{Object as _, ObjectSection as _};

use super::symbols::Elf;

/// Names of the section, the second in position-independent programs.
const SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];
/// Where a program that Go's own linker made is entered.
const ENTRY: &[u8] = b"_rt0_amd64_linux";
/// The section with the module data, Go 1.26 and later, and where the address of the code stands in it: behind a
/// pointer, six slices and three words.
const MODULE_SECTION: &str = ".go.module";
const MODULE_TEXT: u64 = 8 + 6 * 24 + 3 * 8;

/// Address of the function of this name.
pub(super) fn find(elf: &Elf<'_>, name: &str) -> Option<u64> {
    let section = SECTIONS.iter().find_map(|name| elf.section_by_name(name))?;
    let table = Table::parse(section.data().ok()?)?;
    let entry = table.entry(name.as_bytes())?;
    if table.entries_are_addresses {
        return Some(entry);
    }
    Some(text_start(elf, &table)?.wrapping_add(entry))
}

/// Where the code begins that entries count from.
fn text_start(elf: &Elf<'_>, table: &Table<'_>) -> Option<u64> {
    if table.text_start != 0 {
        return Some(table.text_start);
    }
    let module = elf.section_by_name(MODULE_SECTION);
    let text = module.and_then(|it| word(it.data().ok()?, MODULE_TEXT)).filter(|text| *text != 0);
    text.or_else(|| elf.entry().checked_sub(table.entry(ENTRY)?))
}

/// The table's parts.
struct Table<'a> {
    functions: u64,
    text_start: u64,
    names: &'a [u8],
    /// A pair for each function, where it begins and where its description is; the descriptions behind them.
    pairs: &'a [u8],
    /// Go 1.16 and 1.17: pairs are of 8 bytes each, and hold addresses.
    entries_are_addresses: bool,
}

impl<'a> Table<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let [magic @ .., zero1, zero2, _quantum, word_len] = bytes.get(..8)? else { return None };
        let entries_are_addresses = match u32::from_le_bytes(magic.try_into().ok()?) {
            0xffff_fffa => true,
            0xffff_fff0 | 0xffff_fff1 => false,
            _ => return None,
        };
        if [*zero1, *zero2, *word_len] != [0, 0, 8] {
            return None;
        }
        let at = |index: u64| word(bytes, 8 + 8 * index);
        let from = |index| bytes.get(usize::try_from(at(index)?).ok()?..);
        // Newer tables have the beginning of the code behind the two counts.
        let (text_start, first) = if entries_are_addresses { (0, 2) } else { (at(2)?, 3) };
        Some(Self {
            functions: at(0)?,
            text_start,
            names: from(first)?,
            pairs: from(first + 4)?,
            entries_are_addresses,
        })
    }

    /// What the table holds as the beginning of the function of this name.
    fn entry(&self, name: &[u8]) -> Option<u64> {
        let wanted = self.name_offset(name)?;
        let pairs = (0..self.functions).map_while(|index| self.pair(index));
        let named = |description: u64| self.name_of(description) == Some(wanted);
        pairs.into_iter().find(|(_, description)| named(*description)).map(|(entry, _)| entry)
    }

    /// Where a whole name stands among the names, each of which ends with a zero.
    fn name_offset(&self, name: &[u8]) -> Option<u32> {
        let whole = [b"\0", name, b"\0"].concat();
        u32::try_from(memchr::memmem::find(self.names, &whole)? + 1).ok()
    }

    fn pair(&self, index: u64) -> Option<(u64, u64)> {
        if self.entries_are_addresses {
            let at = index.checked_mul(16)?;
            return Some((word(self.pairs, at)?, word(self.pairs, at.checked_add(8)?)?));
        }
        let at = index.checked_mul(8)?;
        let half = |at| Some(u64::from(half_word(self.pairs, at)?));
        Some((half(at)?, half(at.checked_add(4)?)?))
    }

    /// Offset of the name in the description of a function, which begins with the function's entry.
    fn name_of(&self, description: u64) -> Option<u32> {
        let entry_len = if self.entries_are_addresses { 8 } else { 4 };
        half_word(self.pairs, description.checked_add(entry_len)?)
    }
}

fn word(bytes: &[u8], at: u64) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn half_word(bytes: &[u8], at: u64) -> Option<u32> {
    let at = usize::try_from(at).ok()?;
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[u8] = b"\0main.a\0main.a.func1\0main.b\0";

    /// A table with two functions, as Go lays it out.
    fn table(magic: u32, text_start: u64) -> Vec<u8> {
        let old = magic == 0xffff_fffa;
        let header: u64 = if old { 8 + 7 * 8 } else { 8 + 8 * 8 };
        let pairs_at = header + NAMES.len() as u64;
        let mut bytes = [&magic.to_le_bytes()[..], &[0, 0, 1, 8]].concat();
        let counts = if old { vec![2, 0] } else { vec![2, 0, text_start] };
        for value in counts.into_iter().chain([header, 0, 0, 0, pairs_at]) {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(NAMES);
        let width: u64 = if old { 8 } else { 4 };
        let mut put = |values: &[u64]| {
            values.iter().for_each(|value| bytes.extend(&value.to_le_bytes()[..width as usize]))
        };
        // Two pairs and the end of the last function, then the descriptions.
        let described = 5 * width;
        put(&[0x40, described, 0x80, described + 2 * width, 0xc0]);
        put(&[0x40, 8]);
        put(&[0x80, 21]);
        bytes
    }

    #[test]
    fn functions_are_found_by_their_whole_names() {
        for magic in [0xffff_fffa, 0xffff_fff0, 0xffff_fff1] {
            let bytes = table(magic, 0x1000);
            let table = Table::parse(&bytes).unwrap();
            let found = ["main.a.func1", "main.b", "main.c", "ain.b", "main.a", ""]
                .map(|it| table.entry(it.as_bytes()));
            assert_eq!(found, [Some(0x40), Some(0x80), None, None, None, None], "{magic:x}");
        }
    }

    #[test]
    fn what_is_cut_or_senseless_is_no_table_or_has_no_functions() {
        for magic in [0xffff_fffa, 0xffff_fff1] {
            let whole = table(magic, 0);
            // The last word of the table is the name of the last function, in half a word.
            let end = whole.len() - if magic == 0xffff_fffa { 4 } else { 0 };
            for len in 0..end {
                let found = Table::parse(&whole[..len]).and_then(|it| it.entry(b"main.b"));
                assert!(found.is_none(), "{magic:x} {len}");
            }
        }
        for magic in [0, 0xffff_fffb, 0xfaff_ffff] {
            assert!(Table::parse(&table(magic, 0)).is_none(), "{magic:x}");
        }
        assert!(Table::parse(&[0xff; 200]).is_none());
    }
}
