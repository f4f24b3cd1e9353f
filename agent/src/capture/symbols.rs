//! What an ELF file exports: the functions we probe, their code, and the file's build id.
//!
//! *Invariants*: a file is data of strangers; whatever it claims, reading it ends in a value or in an
//! absence, never in a panic.
//! *Limits*: [`PIECE_BYTES_MAX`] bytes of a file are read at once; a file with a larger table has no symbols.

use std::collections::HashMap;
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};

use cprvagt_abi::Function;
use object::{
    Architecture, Endianness, Object as _, ObjectSection as _, ObjectSegment as _, ReadCache, ReadRef,
    RelocationTarget,
    elf::{SHN_UNDEF, SHT_DYNSYM, SHT_SYMTAB, SectionType, Sym64},
    read::elf::{ElfFile64, ElfSection64, SectionHeader as _},
};

use super::calls::{STUB_LEN, Target, stub_slot, targets};
use super::{methods, pclntab, returns::tail};

/// Code of one function that is read at most, in bytes; a function that does its work by calling another is shorter.
const CODE_MAX: u64 = 2048;
/// The same of one whose length the file does not tell.
const CODE_MAX_UNTOLD: u64 = 512;

/// Bytes that are read at once: a file may say that any part of it is as long as a disk.
const PIECE_BYTES_MAX: u64 = 128 << 20;

/// Sections of a file; a compiler that puts each function into one of its own does so before the file is linked.
const SECTIONS_MAX: usize = 4096;

/// Where packages of debug symbols put them, below the root of a process.
const DEBUG_FILES: &str = "usr/lib/debug/.build-id";

/// Longest name that is compared: those of our functions are shorter.
const NAME_MAX: usize = 64;

/// Finds the address of a function that has no symbol.
type Finder = fn(&Elf<'_>, &str) -> Option<u64>;

/// Functions that a file may have without a symbol: the function, a symbol that such a file has, and what finds it.
const UNNAMED: [(Function, Option<&str>, Finder); 2] = [
    (Function::GoWriteRecord, None, pclntab::find),
    (Function::NssSecureSend, Some(NSS_EXPORT), methods::find),
];
/// What only NSS's part that speaks TLS exports.
const NSS_EXPORT: &str = "SSL_ExportKeyingMaterial";

/// What code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    /// 64-bit x86.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Machine {
    /// What this host runs itself. Code of others, which an emulator maps, is not probed.
    const HERE: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    fn of(architecture: Architecture) -> Option<Self> {
        match architecture {
            Architecture::X86_64 => Some(Self::X86_64),
            Architecture::Aarch64 => Some(Self::Aarch64),
            _ => None,
        }
    }
}

/// One function of a file.
pub(super) struct FunctionCode {
    /// What its code is for.
    pub machine: Machine,
    /// Offset of its first byte in the file.
    pub file_offset: u64,
    /// Its address as the file has it.
    pub address: u64,
    /// Its first bytes.
    pub code: Vec<u8>,
    /// Those of the functions asked for that it calls or jumps to.
    pub calls: Vec<&'static str>,
    /// Of a function that reads: the nameless one that it ends by jumping to.
    pub tail: Option<Box<FunctionCode>>,
}

/// What was asked of a file.
pub(super) struct Symbols {
    /// GNU build id, as lower-case hex.
    pub build_id: Option<String>,
    functions: Vec<(&'static str, FunctionCode)>,
}

impl Symbols {
    /// Looks up `names` in the dynamic symbol table, then, if none is there, in the full one, then in that of the
    /// file's debug file, if a process that has mapped the file, or this host, has it; `None` when the file is not an
    /// ELF file of this machine.
    ///
    /// The full table of a large program takes a hundred times longer to read than the dynamic one, and a
    /// program that was just started writes meanwhile.
    pub(super) fn read(file: &File, names: &[&'static str], process: Option<u32>) -> Option<Self> {
        let cache = ReadCache::new(file);
        let elf = Elf::parse(Pieces(&cache)).ok()?;
        let is_for_others = Machine::of(elf.architecture()) != Some(Machine::HERE);
        if is_for_others || elf.elf_section_table().len() > SECTIONS_MAX {
            return None;
        }
        let build_id = elf.build_id().ok().flatten().map(hex);
        let mut functions = collect(&elf, SHT_DYNSYM, names, &elf).unwrap_or_default();
        if functions.is_empty() {
            functions = collect(&elf, SHT_SYMTAB, names, &elf).unwrap_or_default();
        }
        if let (true, Some(build_id)) = (functions.is_empty(), &build_id) {
            let own = process.map(|process| PathBuf::from(format!("/proc/{process}/root")));
            let roots = own.into_iter().chain([PathBuf::from("/")]);
            let mut apart = roots.filter_map(|root| collect_apart(&root, build_id, names, &elf));
            functions = apart.next().unwrap_or_default();
        }
        // One that is known by name alone would be taken for unknown where it counts.
        functions.retain(|(name, _)| *name != Function::NssSecureSend.symbol());
        find_unnamed(&elf, names, &mut functions);
        find_calls(&elf, names, &mut functions);
        find_tails(&elf, &mut functions);
        Some(Self { build_id, functions })
    }

    /// Whether this is an NSS whose function that sends was not found.
    pub(super) fn is_nss_without_send(&self) -> bool {
        self.get(NSS_EXPORT).is_some() && self.get(Function::NssSecureSend.symbol()).is_none()
    }

    /// The function of this name.
    pub(super) fn get(&self, name: &str) -> Option<&FunctionCode> {
        self.functions.iter().find(|(known, _)| *known == name).map(|(_, function)| function)
    }
}

/// A file as this module reads it.
pub(super) type Elf<'a> = ElfFile64<'a, Endianness, Pieces<'a>>;

type Section<'data, 'file> = ElfSection64<'data, 'file, Endianness, Pieces<'data>>;

/// A file, in pieces that fit into memory.
#[derive(Clone, Copy)]
pub(super) struct Pieces<'a>(&'a ReadCache<&'a File>);

impl<'a> ReadRef<'a> for Pieces<'a> {
    fn len(self) -> Result<u64, ()> {
        self.0.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        if size > PIECE_BYTES_MAX { Err(()) } else { self.0.read_bytes_at(offset, size) }
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        self.0.read_bytes_at_until(range, delimiter)
    }
}

/// The functions of a file that keeps its symbols in another one.
fn collect_apart(
    root: &Path,
    build_id: &str,
    names: &[&'static str],
    code: &Elf<'_>,
) -> Option<Vec<(&'static str, FunctionCode)>> {
    let file = open_regular(&root.join(debug_file(build_id)?))?;
    let cache = ReadCache::new(&file);
    let elf = Elf::parse(Pieces(&cache)).ok()?;
    let is_its = elf.build_id().ok().flatten().map(hex).is_some_and(|it| it == build_id);
    if is_its { collect(&elf, SHT_SYMTAB, names, code) } else { None }
}

/// Opens a file that is a file: opening a device or a pipe may block or have effects.
pub(super) fn open_regular(path: &Path) -> Option<File> {
    fs::metadata(path).ok()?.is_file().then(|| File::open(path).ok())?
}

/// Where a debug file of this build id is installed, below a root (gdb's manual, "Separate Debug Files").
fn debug_file(build_id: &str) -> Option<PathBuf> {
    let (folder, name) = build_id.split_at_checked(2)?;
    Some(Path::new(DEBUG_FILES).join(folder).join(format!("{name}.debug")))
}

/// The functions of a table that have one of these names, with their code in `code`; the first of each name.
///
/// Table and strings are read whole, once: a name at a time takes a hundred times longer, and there are a hundred
/// thousand.
fn collect(
    elf: &Elf<'_>,
    kind: SectionType,
    names: &[&'static str],
    code: &Elf<'_>,
) -> Option<Vec<(&'static str, FunctionCode)>> {
    let (endian, table) = (elf.endian(), Table::read(elf, kind)?);
    let mut functions: Vec<(&'static str, FunctionCode)> = Vec::new();
    for (index, wanted) in table.named(endian, names) {
        let symbol = &table.symbols[index];
        let address = symbol.st_value.get(endian);
        let known = functions.iter().any(|(name, _)| *name == wanted);
        if symbol.st_shndx.get(endian) == SHN_UNDEF || address == 0 || known {
            continue;
        }
        if let Some(function) = read_code(code, address, symbol.st_size.get(endian)) {
            functions.push((wanted, function));
        }
    }
    Some(functions)
}

/// A symbol table with its strings.
struct Table<'a> {
    symbols: &'a [Sym64<Endianness>],
    strings: &'a [u8],
}

impl<'a> Table<'a> {
    fn read(elf: &Elf<'a>, kind: SectionType) -> Option<Self> {
        let (endian, pieces, sections) = (elf.endian(), elf.data(), elf.elf_section_table());
        let table = sections.iter().find(|section| section.sh_type(endian) == kind)?;
        let symbols = table.data_as_array(endian, pieces).ok()?;
        let strings = sections.section(table.link(endian)).ok()?.data(endian, pieces).ok()?;
        Some(Self { symbols, strings })
    }

    /// The symbols that have one of these names: index and name, in the table's order.
    ///
    /// A program that was just started waits for nobody: what is found a few milliseconds late is found after its
    /// first write.
    fn named(
        &self,
        endian: Endianness,
        names: &[&'static str],
    ) -> impl Iterator<Item = (usize, &'static str)> {
        let names: HashMap<&[u8], &'static str> = names.iter().map(|name| (name.as_bytes(), *name)).collect();
        self.symbols.iter().enumerate().filter_map(move |(index, symbol)| {
            let rest = self.strings.get(symbol.st_name.get(endian) as usize..)?;
            let end = memchr::memchr(0, &rest[..rest.len().min(NAME_MAX)])?;
            Some((index, *names.get(&rest[..end])?))
        })
    }
}

/// Adds the functions asked for that were not found by a symbol and can be found without.
fn find_unnamed(elf: &Elf<'_>, names: &[&'static str], functions: &mut Vec<(&'static str, FunctionCode)>) {
    let is_there = |functions: &[(&str, _)], name| functions.iter().any(|(known, _)| *known == name);
    for (function, exported, find) in UNNAMED {
        let name = function.symbol();
        let may_have = exported.is_none_or(|exported| is_there(functions, exported));
        if names.contains(&name)
            && may_have
            && !is_there(functions, name)
            && let Some(code) = find(elf, name).and_then(|address| read_code(elf, address, 0))
        {
            functions.push((name, code));
        }
    }
}

/// Code of the file at this address, `len` bytes or what is left of its section.
pub(super) fn code_at(elf: &Elf<'_>, address: u64, len: u64) -> Option<Vec<u8>> {
    let section = section_at(elf, address)?;
    let left = section.size() - (address - section.address());
    Some(section.data_range(address, len.min(left)).ok().flatten()?.to_vec())
}

fn section_at<'data, 'file>(elf: &'file Elf<'data>, address: u64) -> Option<Section<'data, 'file>> {
    elf.sections()
        .find(|section| address >= section.address() && address - section.address() < section.size())
}

fn read_code(elf: &Elf<'_>, address: u64, size: u64) -> Option<FunctionCode> {
    let segment = elf.segments().find(|segment| {
        address >= segment.address() && address - segment.address() < segment.file_range().1
    })?;
    let file_offset = segment.file_range().0.checked_add(address - segment.address())?;
    let wanted = if size == 0 { CODE_MAX_UNTOLD } else { size.min(CODE_MAX) };
    let code = code_at(elf, address, wanted)?;
    Some(FunctionCode {
        machine: Machine::of(elf.architecture())?,
        file_offset,
        address,
        code,
        calls: Vec::new(),
        tail: None,
    })
}

/// Notes which of the functions call which.
fn find_calls(elf: &Elf<'_>, names: &[&'static str], functions: &mut [(&'static str, FunctionCode)]) {
    let known: Vec<(u64, &'static str)> = functions.iter().map(|(name, it)| (it.address, *name)).collect();
    let mut slots = None;
    for (own, function) in functions.iter_mut().filter(|(_, it)| it.machine == Machine::X86_64) {
        for target in targets(&function.code, function.address) {
            let slot = match target {
                Target::Code(to) => {
                    if let Some((_, name)) = known.iter().find(|(address, _)| *address == to) {
                        function.calls.push(name);
                        continue;
                    }
                    let Some(stub) = stub_at(elf, to) else { continue };
                    stub
                }
                Target::Slot(slot) => slot,
            };
            let slots: &Vec<_> = slots.get_or_insert_with(|| named_slots(elf, names));
            function.calls.extend(slots.iter().find(|(at, _)| *at == slot).map(|(_, name)| *name));
        }
        function.calls.retain(|name| name != own);
    }
}

/// Reads on where a function that reads ends by jumping to another one: there it returns.
fn find_tails(elf: &Elf<'_>, functions: &mut [(&'static str, FunctionCode)]) {
    let reads =
        |name: &str| Function::ALL.iter().any(|it| it.symbol() == name && Function::reads(*it as u32));
    for (_, function) in
        functions.iter_mut().filter(|(name, it)| reads(name) && it.machine == Machine::X86_64)
    {
        let to = tail(&function.code, function.address);
        function.tail = to.and_then(|to| read_code(elf, to, 0)).map(Box::new);
    }
}

/// The slot that an entry of the procedure linkage table at this address jumps through.
fn stub_at(elf: &Elf<'_>, address: u64) -> Option<u64> {
    if !section_at(elf, address)?.name().ok()?.starts_with(".plt") {
        return None;
    }
    stub_slot(&code_at(elf, address, STUB_LEN as u64)?, address)
}

/// The slots that the loader fills with the address of one of these functions.
fn named_slots(elf: &Elf<'_>, names: &[&'static str]) -> Vec<(u64, &'static str)> {
    let Some(table) = Table::read(elf, SHT_DYNSYM) else { return Vec::new() };
    let wanted: HashMap<usize, &'static str> = table.named(elf.endian(), names).collect();
    let relocations = elf.dynamic_relocations().into_iter().flatten();
    let named = relocations.filter_map(|(slot, relocation)| {
        let RelocationTarget::Symbol(index) = relocation.target() else { return None };
        Some((slot, *wanted.get(&index.0)?))
    });
    named.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYMBOLS: [&str; 2] = ["no_such_function", "cprvagt_symbols_probe"];

    /// Something to look for in the test's own program.
    #[unsafe(no_mangle)]
    #[inline(never)]
    extern "C" fn cprvagt_symbols_probe() -> u32 {
        std::hint::black_box(7)
    }

    #[test]
    fn a_function_of_this_program_is_found_with_its_code() {
        std::hint::black_box(cprvagt_symbols_probe());
        let program = File::open("/proc/self/exe").unwrap();
        let symbols = Symbols::read(&program, &SYMBOLS, None).unwrap();
        let function = symbols.get(SYMBOLS[1]).unwrap();
        // SAFETY: code of this program, which is there as long as it runs.
        let own =
            unsafe { std::slice::from_raw_parts(cprvagt_symbols_probe as *const u8, function.code.len()) };
        assert!(!own.is_empty() && function.code == own);
        assert!(symbols.get(SYMBOLS[0]).is_none());
    }

    /// GnuTLS calls itself through the linkage table, which is how Debian builds it.
    #[test]
    fn a_function_that_hands_its_call_on_is_known() {
        let path = "/usr/lib/x86_64-linux-gnu/libgnutls.so.30";
        let Ok(library) = File::open(path) else {
            println!("skipped: a_function_that_hands_its_call_on_is_known: no {path}");
            return;
        };
        let names =
            ["gnutls_record_send", "gnutls_record_send2", "gnutls_record_uncork", "gnutls_record_cork"];
        let symbols = Symbols::read(&library, &names, None).unwrap();
        let calls = |name| symbols.get(name).unwrap().calls.as_slice();
        assert_eq!(calls("gnutls_record_send"), ["gnutls_record_send2"]);
        assert_eq!(calls("gnutls_record_uncork"), ["gnutls_record_send"]);
        assert!(calls("gnutls_record_cork").is_empty());
    }

    #[test]
    fn a_debug_file_is_named_after_the_build_id() {
        for (build_id, expected) in [
            ("b65cf41f9b1e", Some("usr/lib/debug/.build-id/b6/5cf41f9b1e.debug")),
            ("b6", Some("usr/lib/debug/.build-id/b6/.debug")),
            ("b", None),
            ("", None),
        ] {
            assert_eq!(debug_file(build_id).as_deref(), expected.map(Path::new), "{build_id}");
        }
    }

    #[test]
    fn a_part_as_long_as_a_disk_is_not_read() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 41).unwrap();
        let cache = ReadCache::new(&file);
        let pieces = Pieces(&cache);
        assert!(pieces.read_bytes_at(0, PIECE_BYTES_MAX + 1).is_err());
        assert_eq!(pieces.read_bytes_at(1 << 40, 4), Ok(&[0; 4][..]));
    }

    #[test]
    fn names_are_whole() {
        let strings = b"\0SSL_write\0SSL_write_ex\0cut";
        let names = ["SSL_write", "write", "cut"];
        for (at, expected) in
            [(1, Some("SSL_write")), (11, None), (5, Some("write")), (24, None), (u32::MAX, None), (0, None)]
        {
            let bytes = [u64::from(at), 0, 0].map(u64::to_le_bytes).concat();
            let (symbols, _) = object::pod::slice_from_bytes(&bytes, 1).unwrap();
            let table = Table { symbols, strings };
            let found = table.named(Endianness::Little, &names).next();
            assert_eq!(found, expected.map(|name| (0, name)), "{at}");
        }
    }
}
