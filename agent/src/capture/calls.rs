//! Which functions a function calls or jumps to.
//!
//! Some of a library's writing functions do their work by calling another one: of the two only the inner is probed,
//! or a write would be told twice. `SSL_write_early_data` calls `SSL_write_ex`, `gnutls_record_send` jumps to
//! `gnutls_record_send2`; whether directly or through the linkage table differs from build to build.
//!
//! *Limits*: a call through a register is not followed.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};

/// Bytes of an entry of the procedure linkage table.
pub(super) const STUB_LEN: usize = 16;

/// Where control may go from a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To this address.
    Code(u64),
    /// To the address that stands there when the program runs.
    Slot(u64),
}

/// Every place outside of itself that this code calls or jumps to.
pub(super) fn targets(code: &[u8], address: u64) -> Vec<Target> {
    let within = address..address.saturating_add(code.len() as u64);
    let instructions = Decoder::with_ip(64, code, address, DecoderOptions::NONE).into_iter();
    let mut targets: Vec<Target> = instructions.filter_map(|instruction| target(&instruction)).collect();
    targets.retain(|target| !matches!(target, Target::Code(to) if within.contains(to)));
    targets.dedup();
    targets
}

/// Where an entry of the procedure linkage table jumps to.
pub(super) fn stub_slot(code: &[u8], address: u64) -> Option<u64> {
    let mut instructions = Decoder::with_ip(64, code, address, DecoderOptions::NONE).into_iter();
    let first = instructions.find(|instruction| instruction.mnemonic() != Mnemonic::Endbr64)?;
    match target(&first)? {
        Target::Slot(slot) if first.flow_control() == FlowControl::IndirectBranch => Some(slot),
        _ => None,
    }
}

fn target(instruction: &Instruction) -> Option<Target> {
    match instruction.flow_control() {
        FlowControl::Call | FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
            Some(Target::Code(instruction.near_branch_target()))
        }
        FlowControl::IndirectCall | FlowControl::IndirectBranch => {
            instruction.is_ip_rel_memory_operand().then(|| Target::Slot(instruction.ip_rel_memory_address()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 0x4000;

    fn check(code: &[u8], expected: &[Target]) {
        assert_eq!(targets(code, AT), expected, "{code:x?}");
    }

    #[test]
    fn calls_and_jumps_out_of_a_function_are_found() {
        // xor %ecx,%ecx; jmp 0x5000
        check(&[0x31, 0xc9, 0xe9, 0xf9, 0x0f, 0, 0], &[Target::Code(0x5000)]);
        // call 0x5000; je 0x4000; call *0x10(%rip); ret
        let code = [0xe8, 0xfb, 0x0f, 0, 0, 0x74, 0xf9, 0xff, 0x15, 0x10, 0, 0, 0, 0xc3];
        check(&code, &[Target::Code(0x5000), Target::Slot(AT + 13 + 0x10)]);
        // call *%rax
        check(&[0xff, 0xd0], &[]);
        check(&[], &[]);
    }

    #[test]
    fn an_entry_of_the_linkage_table_names_its_slot() {
        // jmp *0x100(%rip)
        assert_eq!(stub_slot(&[0xff, 0x25, 0, 1, 0, 0], AT), Some(AT + 6 + 0x100));
        // endbr64; bnd jmp *0x100(%rip)
        let code = [0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25, 0, 1, 0, 0];
        assert_eq!(stub_slot(&code, AT), Some(AT + 11 + 0x100));
        assert_eq!(stub_slot(&[0xff, 0x15, 0, 1, 0, 0], AT), None);
        assert_eq!(stub_slot(&[0xc3], AT), None);
        assert_eq!(stub_slot(&[], AT), None);
    }
}
