//! Where a probe is cheap in code for aarch64, by the rule of [`super::site`].
//!
//! The kernel simulates branches and the two instructions that make an address from the program counter, and steps
//! all others out of line (`arch/arm64/kernel/probes/decode-insn.c`). It refuses loads of a literal in programs, so
//! none is taken; `nop` is simulated by the newest kernels alone and does not count.
//!
//! Instructions are told apart by the bits that the architecture's manual gives their classes (DDI 0487, C4.1). What
//! a class may write is taken for written: a wrong guess costs a dearer site, never a wrong argument.

/// Bytes of an instruction.
pub(super) const INSTRUCTION_LEN: u64 = 4;

/// `sxtw x2, w2`: a length that is sign-extended in place still is the length.
const EXTENDS_LENGTH: u32 = 0x9340_7c42;

/// Offset of the cheapest safe site from the entry, and whether the kernel simulates the instruction there. So many
/// arguments are read, each in the register of its number (AAPCS64, 6.8.2).
pub(super) fn site(code: &[u8], arguments: usize) -> (u64, bool) {
    match first_simulated(code, (1 << arguments) - 1) {
        Some(at) if at == 0 || !is_jumped_back_to(code, at) => (at, true),
        _ => (0, false),
    }
}

fn instructions(code: &[u8]) -> impl Iterator<Item = (u64, u32)> {
    let words = code.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    (0..).step_by(INSTRUCTION_LEN as usize).zip(words)
}

/// Offset of the first simulated instruction on the straight line, while these registers are intact.
fn first_simulated(code: &[u8], arguments: u32) -> Option<u64> {
    for (at, instruction) in instructions(code) {
        if is_simulated(instruction) {
            return Some(at);
        }
        if instruction != EXTENDS_LENGTH && written(instruction)? & arguments != 0 {
            return None;
        }
    }
    None
}

fn is_simulated(instruction: u32) -> bool {
    let makes_address = instruction & 0x1f00_0000 == 0x1000_0000;
    // br, blr, ret
    let branches_to_register = matches!(instruction & 0xffff_fc1f, 0xd61f_0000 | 0xd63f_0000 | 0xd65f_0000);
    makes_address || branches_to_register || branch_offset(instruction).is_some()
}

/// How far a branch goes, in bytes; `None` for what is no branch by an offset.
fn branch_offset(instruction: u32) -> Option<i64> {
    let (low, len) = match instruction {
        it if it & 0x7c00_0000 == 0x1400_0000 => (0, 26), // b, bl
        it if it & 0xff00_0010 == 0x5400_0000 => (5, 19), // b.cond
        it if it & 0x7e00_0000 == 0x3400_0000 => (5, 19), // cbz, cbnz
        it if it & 0x7e00_0000 == 0x3600_0000 => (5, 14), // tbz, tbnz
        _ => return None,
    };
    let unsigned = i64::from(instruction >> low) & ((1 << len) - 1);
    let sign = 1 << (len - 1);
    Some(((unsigned ^ sign) - sign) * INSTRUCTION_LEN.cast_signed())
}

/// Whether a branch behind the site leads to it or to what lies between the entry and it.
fn is_jumped_back_to(code: &[u8], site: u64) -> bool {
    instructions(code).filter(|(at, _)| *at >= site).any(|(at, instruction)| {
        let target = branch_offset(instruction).and_then(|by| at.checked_add_signed(by));
        target.is_some_and(|target| target > 0 && target <= site)
    })
}

/// The general registers that an instruction may write, as a set of bits; `None` where that is not known.
fn written(instruction: u32) -> Option<u32> {
    let register = |low: u32| match (instruction >> low) & 0x1f {
        31 => 0, // the stack pointer, or the register that is always zero
        number => 1 << number,
    };
    let has = |bit: u32| instruction & (1 << bit) != 0;
    let (first, base, second) = (register(0), register(5), register(10));
    let is_vector = has(26);
    match instruction {
        // Hints: bti, paciasp, nop.
        it if it & 0xffff_f01f == 0xd503_201f => Some(0),
        // Loads and stores of pairs; bit 23 moves the base.
        it if it & 0x3a00_0000 == 0x2800_0000 => {
            let loaded = if has(22) && !is_vector { first | second } else { 0 };
            Some(loaded | if has(23) { base } else { 0 })
        }
        // Loads and stores of one register; without an unsigned offset, bit 10 moves the base.
        it if it & 0x3a00_0000 == 0x3800_0000 => {
            let is_store = it & 0x00c0_0000 == 0 && (has(24) || !has(21) || has(11));
            let loaded = if is_store || is_vector { 0 } else { first };
            Some(loaded | if !has(24) && !has(21) && has(10) { base } else { 0 })
        }
        // Data processing: with an immediate, with registers, and of vectors.
        it if matches!((it >> 25) & 0xf, 0b1000 | 0b1001 | 0b0101 | 0b1101 | 0b0111 | 0b1111) => Some(first),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(instructions: &[u32], offset: u64, cheap: bool) {
        let code: Vec<u8> = instructions.iter().flat_map(|it| it.to_le_bytes()).collect();
        assert_eq!(site(&code, 3), (offset, cheap), "{instructions:x?}");
    }

    const PACIASP: u32 = 0xd503_233f;
    const PUSH_FRAME: u32 = 0xa9be_7bfd; // stp x29, x30, [sp, #-32]!
    const SET_FRAME: u32 = 0x9100_03fd; // mov x29, sp
    const SAVE_PAIR: u32 = 0xa901_53f3; // stp x19, x20, [sp, #16]
    const SAVE_ONE: u32 = 0xf900_13f5; // str x21, [sp, #32]
    const KEEP_SESSION: u32 = 0xaa00_03f3; // mov x19, x0
    const CALL: u32 = 0x9400_0010; // bl +64

    #[test]
    fn a_call_behind_the_prologue_is_taken() {
        check(&[PACIASP, PUSH_FRAME, SET_FRAME, SAVE_PAIR, SAVE_ONE, KEEP_SESSION, CALL], 24, true);
    }

    #[test]
    fn every_simulated_instruction_is_taken() {
        for instruction in [
            0x1400_0002, // b +8
            CALL,
            0x5400_0040, // b.eq +8
            0xb400_0040, // cbz x0, +8
            0x3500_0042, // cbnz w2, +8
            0x3600_0041, // tbz w1, #0, +8
            0xb7f8_0042, // tbnz x2, #63, +8
            0x1000_0000, // adr x0, +0
            0x9000_0003, // adrp x3, +0
            0xd61f_0200, // br x16
            0xd63f_0060, // blr x3
            0xd65f_03c0, // ret
        ] {
            check(&[PUSH_FRAME, instruction], 4, true);
        }
    }

    #[test]
    fn an_instruction_that_may_change_an_argument_falls_back_to_the_entry() {
        for instruction in [
            0xaa03_03e0, // mov x0, x3
            0x5280_0001, // mov w1, #0
            0x9240_7c42, // and x2, x2, #0xffffffff
            0xf940_0001, // ldr x1, [x0]
            0xa940_0801, // ldp x1, x2, [x0]
            0xf840_8c03, // ldr x3, [x0, #8]!
            0xf800_8403, // str x3, [x0], #8
            0xa8c1_1003, // ldp x3, x4, [x0], #16
            0xf824_0061, // ldadd x4, x1, [x3]
            0x9e66_0001, // fmov x1, d0
            0xd53b_d041, // mrs x1, tpidr_el0
            0x5800_0041, // ldr x1, +8
            0xc85f_7c61, // ldxr x1, [x3]
            0x0000_0000, // udf #0
        ] {
            check(&[PUSH_FRAME, instruction, CALL], 0, false);
        }
    }

    #[test]
    fn what_only_reads_the_arguments_is_passed_over() {
        for instruction in [
            0xf940_0013,    // ldr x19, [x0]
            0xa940_5013,    // ldp x19, x20, [x0]
            0xf900_03e1,    // str x1, [sp]
            0xa900_07e0,    // stp x0, x1, [sp]
            0xf823_6801,    // str x1, [x0, x3]
            0x3dc0_0000,    // ldr q0, [x0]
            0xeb02_003f,    // cmp x1, x2
            0xaa04_03e3,    // mov x3, x4
            EXTENDS_LENGTH, // sxtw x2, w2
        ] {
            check(&[PUSH_FRAME, instruction, CALL], 8, true);
        }
    }

    #[test]
    fn a_site_inside_a_loop_falls_back_to_the_entry() {
        let back = |words: u32| 0x1400_0000 | (words.wrapping_neg() & 0x03ff_ffff);
        check(&[PUSH_FRAME, CALL, back(1)], 0, false);
        check(&[PUSH_FRAME, SET_FRAME, CALL, KEEP_SESSION, back(3)], 0, false);
        // To the entry: a call of its own.
        check(&[PUSH_FRAME, CALL, back(2)], 4, true);
        check(&[CALL, back(1)], 0, true);
    }

    #[test]
    fn code_that_is_cut_or_absent_falls_back_to_the_entry() {
        check(&[], 0, false);
        check(&[PUSH_FRAME], 0, false);
        assert_eq!(site(&CALL.to_le_bytes()[..3], 3), (0, false));
    }
}
