//! What an ELF file exports: the functions we probe, their code, and the file's build id.
//!
//! *Invariants*: a file is data of strangers; whatever it claims, reading it ends in a value or in an
//! absence, never in a panic.

use std::fs::File;

use object::{
    Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol, ReadCache, read::elf::ElfFile64,
};

/// Code of one function that is read at most, in bytes.
const CODE_MAX: u64 = 512;

/// One function of a file.
pub(super) struct FunctionCode {
    /// Offset of its first byte in the file.
    pub file_offset: u64,
    /// Its address as the file has it.
    pub address: u64,
    /// Its first bytes.
    pub code: Vec<u8>,
}

/// What was asked of a file.
pub(super) struct Symbols {
    /// GNU build id, as lower-case hex.
    pub build_id: Option<String>,
    functions: Vec<(&'static str, FunctionCode)>,
}

impl Symbols {
    /// Looks up `names` in the dynamic symbol table, then, if none is there, in the full one; `None` when
    /// the file is not a 64-bit ELF file.
    ///
    /// The full table of a large program takes a hundred times longer to read than the dynamic one, and a
    /// program that was just started writes meanwhile.
    pub(super) fn read(file: &File, names: &[&'static str]) -> Option<Self> {
        let cache = ReadCache::new(file);
        let elf = ElfFile64::<object::Endianness, _>::parse(&cache).ok()?;
        let build_id = elf.build_id().ok().flatten().map(hex);
        let mut functions = collect(&elf, elf.dynamic_symbols(), names);
        if functions.is_empty() {
            functions = collect(&elf, elf.symbols(), names);
        }
        Some(Self { build_id, functions })
    }

    /// The function of this name.
    pub(super) fn get(&self, name: &str) -> Option<&FunctionCode> {
        self.functions.iter().find(|(known, _)| *known == name).map(|(_, function)| function)
    }
}

type Elf<'a> = ElfFile64<'a, object::Endianness, &'a ReadCache<&'a File>>;

fn collect<'a, S: ObjectSymbol<'a>>(
    elf: &Elf<'a>,
    symbols: impl Iterator<Item = S>,
    names: &[&'static str],
) -> Vec<(&'static str, FunctionCode)> {
    let mut functions: Vec<(&'static str, FunctionCode)> = Vec::new();
    for symbol in symbols {
        let Ok(name) = symbol.name() else { continue };
        let Some(wanted) = names.iter().find(|wanted| **wanted == name) else { continue };
        let known = functions.iter().any(|(name, _)| name == wanted);
        if symbol.is_undefined() || symbol.address() == 0 || known {
            continue;
        }
        if let Some(function) = read_code(elf, symbol.address(), symbol.size()) {
            functions.push((*wanted, function));
        }
    }
    functions
}

fn read_code<'a>(elf: &Elf<'a>, address: u64, size: u64) -> Option<FunctionCode> {
    let segment = elf.segments().find(|segment| {
        address >= segment.address() && address - segment.address() < segment.file_range().1
    })?;
    let file_offset = segment.file_range().0.checked_add(address - segment.address())?;
    let section = elf
        .sections()
        .find(|section| address >= section.address() && address - section.address() < section.size())?;
    let left = section.size() - (address - section.address());
    let wanted = if size == 0 { CODE_MAX } else { size.min(CODE_MAX) };
    let code = section.data_range(address, wanted.min(left)).ok().flatten()?.to_vec();
    Some(FunctionCode { file_offset, address, code })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
