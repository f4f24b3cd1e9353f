//! Finding NSS's writing function, which has no name: it stands in a table of methods.
//!
//! `libssl3.so` keeps two tables of what a socket can do (`sslSocketOps` in its `sslimpl.h`): twelve functions, of
//! which the second, `accept`, is absent. That of TLS sockets has a `write` that only sets its last argument to zero
//! and jumps to `send`, which is `ssl_SecureSend(ss, buffer, length, flags)`: what every way to write comes through.
//!
//! *Invariants*: an NSS is known by the code of that `write` alone, since a kernel program that is handed one of its
//! descriptors tells it so from others (`find_session` in `ebpf/src/tls_call.rs`).
//! *Limits*: tables in `.data.rel.ro`.
//! *Not here*: whether the file is NSS's. The caller asks for what it exports first.

use std::collections::HashMap;

use iced_x86::{Code, Decoder, DecoderOptions, Mnemonic, OpKind, Register};
use object::{Object as _, ObjectSection as _, RelocationTarget};

use super::symbols::{Elf, code_at};

const SECTION: &str = ".data.rel.ro";
/// Places in the table.
const ACCEPT: usize = 1;
const SEND: usize = 7;
const WRITE: usize = 9;
const METHODS: usize = 12;
/// Relocations that are looked at: NSS has a thousand.
const RELOCATIONS_MAX: usize = 1 << 20;
/// Tables of the right form that are looked into: NSS has two.
const TABLES_MAX: usize = 256;
/// Bytes of code that are looked at to tell what `write` does.
const WRITE_CODE: u64 = 16;

/// Address of the function that sends over TLS.
pub(super) fn find(elf: &Elf<'_>, _name: &str) -> Option<u64> {
    let section = elf.section_by_name(SECTION)?;
    let code = elf.section_by_name(".text")?;
    let code = code.address()..code.address().checked_add(code.size())?;
    let words = pointers(elf, section.address(), section.data().ok()?);
    let is_table = |table: &&[u64]| {
        table.iter().enumerate().all(|(place, it)| if place == ACCEPT { *it == 0 } else { code.contains(it) })
    };
    let sends = |table: &[u64]| {
        let write = code_at(elf, table[WRITE], WRITE_CODE)?;
        (jumps_with_zero_flags(&write, table[WRITE]) == Some(table[SEND])).then_some(table[SEND])
    };
    words.windows(METHODS).filter(is_table).take(TABLES_MAX).find_map(sends)
}

/// The words of a section as they are when the program runs, but for where it is loaded.
fn pointers(elf: &Elf<'_>, address: u64, data: &[u8]) -> Vec<u64> {
    let relocations = elf.dynamic_relocations().into_iter().flatten();
    let end = address.saturating_add(data.len() as u64);
    let relative: HashMap<u64, u64> = relocations
        .take(RELOCATIONS_MAX)
        .filter(|(at, it)| (address..end).contains(at) && it.target() == RelocationTarget::Absolute)
        .map(|(at, it)| (at, it.addend().cast_unsigned()))
        .collect();
    let words = data.chunks_exact(8).zip((address..).step_by(8));
    words
        .map(|(bytes, at)| {
            let in_place = bytes.try_into().map_or(0, u64::from_le_bytes);
            relative.get(&at).copied().filter(|it| *it != 0).unwrap_or(in_place)
        })
        .collect()
}

/// Where a function jumps to that does nothing else than to set its fourth argument to zero.
fn jumps_with_zero_flags(code: &[u8], address: u64) -> Option<u64> {
    let mut instructions = Decoder::with_ip(64, code, address, DecoderOptions::NONE).into_iter();
    let first = instructions.find(|it| it.mnemonic() != Mnemonic::Endbr64)?;
    let zeroes = matches!(first.code(), Code::Xor_r32_rm32 | Code::Xor_rm32_r32)
        && first.op1_kind() == OpKind::Register
        && [first.op0_register(), first.op1_register()] == [Register::ECX; 2];
    let jump = instructions.next().filter(|it| zeroes && it.mnemonic() == Mnemonic::Jmp)?;
    (jump.op0_kind() == OpKind::NearBranch64).then(|| jump.near_branch_target())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_only_sets_its_flags_is_known() {
        // xor %ecx,%ecx; jmp 0x5000
        let jumping = [0x31, 0xc9, 0xe9, 0xf9, 0x0f, 0, 0];
        assert_eq!(jumps_with_zero_flags(&jumping, 0x4000), Some(0x5000));
        let with_endbr = [&[0xf3, 0x0f, 0x1e, 0xfa][..], &jumping].concat();
        assert_eq!(jumps_with_zero_flags(&with_endbr, 0x4000), Some(0x5004));
        // xor %edx,%edx; jmp. xor %ecx,%ecx; call. jmp alone. ret. nothing.
        for other in
            [&[0x31, 0xd2, 0xe9, 0, 0, 0, 0][..], &[0x31, 0xc9, 0xe8, 0, 0, 0, 0], &[0xeb, 0], &[0xc3], &[]]
        {
            assert_eq!(jumps_with_zero_flags(other, 0x4000), None, "{other:x?}");
        }
    }
}
