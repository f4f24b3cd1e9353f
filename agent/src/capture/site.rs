//! Reading machine code: where a probe is cheap, and where a session keeps its random. The latter only in code for
//! x86-64: elsewhere no session's random is known.
//!
//! The kernel emulates some instructions and single-steps all others, at the price of a second
//! exception: thirty times dearer on a virtual machine. So a probe belongs on the first instruction
//! that the kernel emulates, that every call reaches, and at which the argument registers still hold
//! what the function was given. Which instructions are emulated is in the kernel's
//! `arch/x86/kernel/uprobes.c`: relative `call`, `jmp` and `jcc`, `nop`, and `push` of a register.
//!
//! *Invariants*: only the straight line from the entry is walked; where in doubt, the entry itself.
//! A site that a later branch jumps back to would fire twice for one call, so it is not taken.

use std::collections::HashSet;

use cprvagt_abi::{RoleWord, Site};
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

use super::aarch64;
use super::symbols::{FunctionCode, Machine};

/// Registers that hold the first arguments of a function, in their order (System V psABI, 3.2.3).
const ARGUMENTS: [Register; 4] = [Register::RDI, Register::RSI, Register::RDX, Register::RCX];
/// The same in code of Go's compiler: session, kind of record, buffer, length (ABIInternal).
const GO_ARGUMENTS: [Register; 4] = [Register::RAX, Register::RBX, Register::RCX, Register::RDI];
/// Instructions before the jump that leaves a Go function for more stack.
const GO_CHECK_STEPS_MAX: usize = 4;
/// Instructions of an accessor that are followed, on all its paths together.
const ACCESSOR_STEPS_MAX: usize = 512;

/// Where to put a probe in a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProbeSite {
    /// Offset from the function's first byte.
    pub offset: u64,
    /// Whether the kernel emulates the instruction there.
    pub cheap: bool,
}

/// The cheapest safe site of a function, of which so many arguments are read.
///
/// # Panics
/// With more than four.
pub(super) fn probe_site(function: &FunctionCode, arguments: usize) -> ProbeSite {
    match function.machine {
        Machine::X86_64 => site_from(function, function.address, &ARGUMENTS[..arguments]),
        Machine::Aarch64 => {
            let (offset, cheap) = aarch64::site(&function.code, arguments);
            ProbeSite { offset, cheap }
        }
    }
}

/// The same of a function that Go's compiler made: behind the check whether there is enough stack, since a function
/// that gets more begins anew. `None` when it takes its arguments on the stack, as before Go 1.17, or is for another
/// machine than x86-64.
pub(super) fn go_probe_site(function: &FunctionCode) -> Option<ProbeSite> {
    if function.machine != Machine::X86_64 {
        return None;
    }
    let mut decoder = decode(function);
    let mut checks = false;
    for _ in 0..GO_CHECK_STEPS_MAX {
        if !decoder.can_decode() {
            return None;
        }
        let instruction = decoder.decode();
        if checks && instruction.is_jcc_short_or_near() {
            return Some(site_from(function, instruction.next_ip(), &GO_ARGUMENTS));
        }
        checks |= compares_with_go_stack(&instruction);
    }
    None
}

/// Whether the instruction compares with the end of the stack, which the goroutine in r14 keeps.
fn compares_with_go_stack(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Cmp && instruction.memory_base() == Register::R14
}

/// The cheapest safe site from an instruction on that every call reaches.
fn site_from(function: &FunctionCode, from: u64, arguments: &[Register]) -> ProbeSite {
    // A file may say that its code wraps around the end of the address space.
    let offset = |address: u64| address.wrapping_sub(function.address);
    let dear = ProbeSite { offset: offset(from), cheap: false };
    let Some(address) = first_emulated(function, from, arguments) else {
        return dear;
    };
    if address != from && is_jumped_back_to(function, from, address) {
        return dear;
    }
    ProbeSite { offset: offset(address), cheap: true }
}

/// The instruction at this address, if it lies in the function and makes sense.
fn instruction_at(function: &FunctionCode, address: u64) -> Option<Instruction> {
    let mut decoder = decode(function);
    decoder.set_position(usize::try_from(address.checked_sub(function.address)?).ok()?).ok()?;
    decoder.set_ip(address);
    let instruction = decoder.can_decode().then(|| decoder.decode())?;
    (!instruction.is_invalid()).then_some(instruction)
}

fn decode(function: &FunctionCode) -> Decoder<'_> {
    Decoder::with_ip(64, &function.code, function.address, DecoderOptions::NONE)
}

/// Address of the first emulated instruction on the straight line, while the arguments are intact.
fn first_emulated(function: &FunctionCode, from: u64, arguments: &[Register]) -> Option<u64> {
    let mut decoder = decode(function);
    let at = usize::try_from(from.wrapping_sub(function.address)).ok()?;
    decoder.set_position(at).ok()?;
    decoder.set_ip(from);
    let mut info = InstructionInfoFactory::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if is_emulated(&instruction) {
            // A conditional jump ends the part that every call reaches, but is itself on it.
            return Some(instruction.ip());
        }
        let goes_on = matches!(instruction.flow_control(), FlowControl::Next);
        if !goes_on || overwrites_argument(&mut info, &instruction, arguments) {
            return None;
        }
    }
    None
}

/// Whether the kernel emulates this instruction instead of stepping it.
pub(super) fn is_emulated(instruction: &Instruction) -> bool {
    match instruction.flow_control() {
        FlowControl::Call | FlowControl::UnconditionalBranch => {
            instruction.op0_kind() == OpKind::NearBranch64
        }
        // loop and jrcxz are conditional branches too, but not emulated.
        FlowControl::ConditionalBranch => instruction.is_jcc_short_or_near(),
        FlowControl::Next => is_plain_nop(instruction) || is_register_push(instruction),
        _ => false,
    }
}

fn is_plain_nop(instruction: &Instruction) -> bool {
    // Padded forms with an operand were added later than the first kernels we serve.
    instruction.mnemonic() == Mnemonic::Nop && instruction.len() == 1
}

fn is_register_push(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Push
        && instruction.op0_kind() == OpKind::Register
        && instruction.op0_register().is_gpr64()
}

/// Whether an argument register no longer holds its argument after this instruction. A length that is
/// sign-extended in place (`movslq %edx,%rdx`) still does.
fn overwrites_argument(
    info: &mut InstructionInfoFactory,
    instruction: &Instruction,
    arguments: &[Register],
) -> bool {
    let extends_length = instruction.mnemonic() == Mnemonic::Movsxd
        && instruction.op0_register() == Register::RDX
        && instruction.op1_register() == Register::EDX;
    if extends_length {
        return false;
    }
    info.info(instruction).used_registers().iter().any(|used| {
        let written = matches!(
            used.access(),
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        );
        written && arguments.contains(&used.register().full_register())
    })
}

/// Whether any branch behind the site leads to it or before it, but not to where the walk began or before that: a
/// tail call of itself would be a call of its own.
fn is_jumped_back_to(function: &FunctionCode, from: u64, site: u64) -> bool {
    let mut decoder = decode(function);
    while decoder.can_decode() {
        let instruction = decoder.decode();
        let branches = matches!(
            instruction.flow_control(),
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
        );
        let target = instruction.near_branch_target();
        if branches && target > from && target <= site && instruction.ip() >= site {
            return true;
        }
    }
    false
}

/// Where a session object keeps its client random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RandomPlace {
    /// Offset of a pointer to follow first, or [`Site::NONE`].
    pub via: u16,
    /// Offset of the random.
    pub offset: u16,
}

/// What a register holds while an accessor is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Held {
    /// Nothing of interest.
    Other,
    /// The session's address, moved by an offset.
    Session(u64),
    /// A pointer read from the session at `.0`, moved by `.1`.
    Pointed(u64, u64),
    /// A word read from the session at `.0`, or if `.1` only its lowest bit.
    Word(u64, bool),
    /// A byte read from the session there.
    Byte(u64),
}

/// Follows `SSL_get_client_random(session, out, length)` and tells what it copies from.
///
/// The accessor copies 32 bytes from the session object, or from an object that the session points to:
/// of all places that it reads through the session, the lowest behind the longest chain is where the
/// random begins. A wrong answer matches no hello on the wire: it ends as "unknown", never as a wrong
/// place.
pub(super) fn random_place(accessor: &FunctionCode) -> Option<RandomPlace> {
    let mut reads = SessionReads::default();
    reads.follow(accessor);
    reads.place()
}

/// Follows `SSL_is_server(session)`: the word of the session that it returns, or the bit of it. Other kinds of
/// objects, for which it asks elsewhere, do not count.
pub(super) fn returned_role(accessor: &FunctionCode) -> Option<RoleWord> {
    let mut reads = SessionReads::default();
    reads.follow(accessor);
    let [(offset, one_bit)] = reads.returned[..] else { return None };
    word(offset).map(|role| RoleWord { one_bit, ..role })
}

/// Reads NSS's `SSL_ExportKeyingMaterial(fd, ...)`, which hashes the client's random and then the server's: the offset
/// of the first of the two neighbours that are copied.
///
/// The socket is in no argument: a function finds it. So the copies are known by their form, four loads of 16 bytes.
pub(super) fn copied_random(function: &FunctionCode) -> Option<u16> {
    let loads = |instruction: Instruction| {
        let loads = instruction.op_count() == 2
            && instruction.op0_register().is_xmm()
            && instruction.op1_kind() == OpKind::Memory
            && instruction.memory_index() == Register::None
            && !matches!(instruction.memory_base(), Register::RSP | Register::RBP | Register::RIP);
        loads.then(|| (instruction.memory_base(), instruction.memory_displacement64()))
    };
    let loads: Vec<_> = decode(function).into_iter().filter_map(loads).collect();
    let client = |window: &[(Register, u64)]| {
        let [client, upper, server, server_upper] = window else { return None };
        let is_pair =
            |low: &(Register, u64), high: &(Register, u64)| (low.0, low.1.wrapping_add(16)) == *high;
        let is_them = is_pair(client, upper) && is_pair(server, server_upper) && client.0 == server.0;
        is_them.then_some(client.1)
    };
    let offset = loads.windows(4).find_map(client)?;
    u16::try_from(offset).ok().filter(|offset| *offset != Site::NONE)
}

/// Reads NSS's `SSL_GetNegotiatedHostInfo(fd)`, which asks first which end the socket is: the offset of the word that
/// says it.
pub(super) fn socket_end_word(function: &FunctionCode) -> Option<RoleWord> {
    let mut instructions = decode(function).into_iter();
    instructions.find(|it| it.flow_control() == FlowControl::Call)?;
    let asks = |it: &Instruction| {
        let reads = it.op_kinds().any(|kind| kind == OpKind::Memory) && it.memory_size().size() == 4;
        let of_frame = it.memory_base() == Register::RBP && (it.memory_displacement64().cast_signed() < 0);
        let of_socket = !of_frame && !matches!(it.memory_base(), Register::RSP | Register::None);
        reads && of_socket && matches!(it.mnemonic(), Mnemonic::Mov | Mnemonic::Cmp | Mnemonic::Test)
    };
    word(instructions.take(ACCESSOR_STEPS_MAX).find(asks)?.memory_displacement64())
}

/// Reads `gnutls_auth_get_type(session)`, which asks first which end the session is: the offset of the word that
/// says it.
pub(super) fn entity_word(accessor: &FunctionCode) -> Option<RoleWord> {
    let compares = |instruction: &Instruction| instruction.mnemonic() == Mnemonic::Cmp;
    word(first_in_session(accessor, compares)?)
}

/// The word at an offset.
fn word(offset: u64) -> Option<RoleWord> {
    let word = offset.is_multiple_of(4).then(|| u8::try_from(offset / 4).ok())??;
    (word < RoleWord::WORD_MAX).then_some(RoleWord { word, one_bit: false })
}

/// Reads `gnutls_record_cork(session)`: the offset of the word that it sets.
pub(super) fn cork_word(function: &FunctionCode) -> Option<u16> {
    let sets = |instruction: &Instruction| {
        instruction.mnemonic() == Mnemonic::Mov && instruction.op1_kind() == OpKind::Immediate32
    };
    u16::try_from(first_in_session(function, sets)?).ok().filter(|offset| *offset != Site::NONE)
}

/// Offset in the session object of what the first such instruction has as its first operand, on the straight line
/// from the entry and before the session's address is moved.
fn first_in_session(function: &FunctionCode, wanted: impl Fn(&Instruction) -> bool) -> Option<u64> {
    let mut decoder = decode(function);
    let mut info = InstructionInfoFactory::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        let in_session = instruction.op0_kind() == OpKind::Memory
            && instruction.memory_base() == Register::RDI
            && instruction.memory_index() == Register::None;
        if in_session && wanted(&instruction) {
            return Some(instruction.memory_displacement64());
        }
        let goes_on = matches!(instruction.flow_control(), FlowControl::Next);
        if !goes_on || overwrites_argument(&mut info, &instruction, &ARGUMENTS[..1]) {
            return None;
        }
    }
    None
}

/// Registers that a called function may change (System V psABI, 3.2.1).
const CLOBBERED: [Register; 9] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];

/// What an accessor does with the session, on all of its paths.
#[derive(Default)]
struct SessionReads {
    /// Offsets of eight bytes and more that are read in the session, or whose address is passed on.
    direct: Vec<u64>,
    /// The same behind a pointer that was read at the first offset.
    pointed: Vec<(u64, u64)>,
    /// Offsets of words that are returned, and whether only their lowest bit is.
    returned: Vec<(u64, bool)>,
}

type Registers = [Held; 16];

impl SessionReads {
    /// Walks every path from the entry, each instruction once with what is held there.
    fn follow(&mut self, accessor: &FunctionCode) {
        let mut held = [Held::Other; 16];
        held[Register::RDI.number()] = Held::Session(0);
        let mut paths = vec![(accessor.address, held)];
        let mut seen = HashSet::new();
        while let Some((mut at, mut held)) = paths.pop() {
            while seen.len() < ACCESSOR_STEPS_MAX && seen.insert((at, held)) {
                let Some(instruction) = instruction_at(accessor, at) else { break };
                match instruction.flow_control() {
                    FlowControl::Next => self.step(&mut held, &instruction),
                    FlowControl::ConditionalBranch => paths.push((instruction.near_branch_target(), held)),
                    FlowControl::Call | FlowControl::IndirectCall => self.call(&mut held),
                    FlowControl::UnconditionalBranch => {
                        at = instruction.near_branch_target();
                        continue;
                    }
                    FlowControl::Return => {
                        self.end(&held);
                        break;
                    }
                    _ => break,
                }
                at = instruction.next_ip();
            }
        }
    }

    /// `memcpy` takes what it copies as its second argument.
    fn call(&mut self, held: &mut Registers) {
        self.note(held[Register::RSI.number()]);
        CLOBBERED.iter().for_each(|register| held[register.number()] = Held::Other);
    }

    fn end(&mut self, held: &Registers) {
        if let Held::Word(offset, one_bit) = held[Register::RAX.number()]
            && !self.returned.contains(&(offset, one_bit))
        {
            self.returned.push((offset, one_bit));
        }
    }

    fn step(&mut self, held: &mut Registers, instruction: &Instruction) {
        let source = self.source(held, instruction);
        if instruction.op0_kind() != OpKind::Register || !writes_first_operand(instruction) {
            return;
        }
        let target = instruction.op0_register();
        if target.is_gpr() {
            let is_whole = target.size() == 8 || matches!(source, Held::Word(..) | Held::Byte(_));
            held[target.full_register().number()] = if is_whole { source } else { Held::Other };
        }
    }

    /// What the instruction's source is, noting a read through the session.
    fn source(&mut self, held: &Registers, instruction: &Instruction) -> Held {
        if instruction.op_count() == 2 && instruction.op1_kind() == OpKind::Memory {
            return self.memory(held, instruction);
        }
        let first = || match instruction.op0_register() {
            register if register.is_gpr() => held[register.full_register().number()],
            _ => Held::Other,
        };
        match instruction.mnemonic() {
            Mnemonic::Mov if instruction.op1_kind() == OpKind::Register => {
                let register = instruction.op1_register();
                if register.is_gpr64() { held[register.number()] } else { Held::Other }
            }
            Mnemonic::Add => instruction.try_immediate(1).map_or(Held::Other, |by| moved(first(), by)),
            Mnemonic::And => match (first(), instruction.try_immediate(1)) {
                (Held::Word(offset, _) | Held::Byte(offset), Ok(1)) => Held::Word(offset, true),
                _ => Held::Other,
            },
            _ => Held::Other,
        }
    }

    fn memory(&mut self, held: &Registers, instruction: &Instruction) -> Held {
        let base = instruction.memory_base();
        if !base.is_gpr() || instruction.memory_index() != Register::None {
            return Held::Other;
        }
        let address = moved(held[base.full_register().number()], instruction.memory_displacement64());
        if instruction.mnemonic() == Mnemonic::Lea {
            self.note(address);
            return address;
        }
        let is_short = instruction.memory_size().size() < 8;
        if !is_short {
            self.note(address);
        }
        match (address, instruction.mnemonic()) {
            // A byte by itself: its neighbours are other things.
            (Held::Session(offset), Mnemonic::Mov | Mnemonic::Movzx)
                if instruction.memory_size().size() == 1 =>
            {
                Held::Byte(offset)
            }
            (Held::Session(offset), Mnemonic::Mov) if instruction.memory_size().size() == 4 => {
                Held::Word(offset, false)
            }
            (Held::Session(offset), Mnemonic::Mov) => Held::Pointed(offset, 0),
            _ => Held::Other,
        }
    }

    fn note(&mut self, address: Held) {
        match address {
            Held::Session(offset) if offset != 0 && !self.direct.contains(&offset) => {
                self.direct.push(offset)
            }
            Held::Pointed(via, offset) if !self.pointed.contains(&(via, offset)) => {
                self.pointed.push((via, offset))
            }
            _ => {}
        }
    }

    fn place(&self) -> Option<RandomPlace> {
        if let Some((via, offset)) = self.pointed.iter().min_by_key(|(_, offset)| *offset) {
            return fit(*via, *offset);
        }
        let offset = self.direct.iter().min()?;
        fit(u64::from(Site::NONE), *offset)
    }
}

fn fit(via: u64, offset: u64) -> Option<RandomPlace> {
    let (via, offset) = (u16::try_from(via).ok()?, u16::try_from(offset).ok()?);
    (offset != Site::NONE).then_some(RandomPlace { via, offset })
}

fn moved(held: Held, by: u64) -> Held {
    match held {
        Held::Other | Held::Word(..) | Held::Byte(_) => Held::Other,
        Held::Session(offset) => Held::Session(offset.wrapping_add(by)),
        Held::Pointed(via, offset) => Held::Pointed(via, offset.wrapping_add(by)),
    }
}

fn writes_first_operand(instruction: &Instruction) -> bool {
    !matches!(instruction.mnemonic(), Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(code: &[u8]) -> FunctionCode {
        let machine = Machine::X86_64;
        FunctionCode { machine, file_offset: 0x1000, address: 0x4000, code: code.to_vec(), calls: Vec::new(), tail: None }
    }

    fn check_site(code: &[u8], offset: u64, cheap: bool) {
        assert_eq!(probe_site(&function(code), 3), ProbeSite { offset, cheap });
    }

    #[test]
    fn a_push_at_the_entry_is_taken() {
        check_site(&[0x55, 0x48, 0x89, 0xe5], 0, true);
    }

    #[test]
    fn a_call_behind_a_stack_adjustment_is_taken() {
        // sub $8,%rsp; call +0
        check_site(&[0x48, 0x83, 0xec, 0x08, 0xe8, 0, 0, 0, 0], 4, true);
    }

    #[test]
    fn a_call_behind_an_extended_length_is_taken() {
        // movslq %edx,%rdx; call +0
        check_site(&[0x48, 0x63, 0xd2, 0xe8, 0, 0, 0, 0], 3, true);
    }

    #[test]
    fn an_overwritten_argument_falls_back_to_the_entry() {
        // xor %esi,%esi; call +0
        check_site(&[0x31, 0xf6, 0xe8, 0, 0, 0, 0], 0, false);
    }

    #[test]
    fn only_arguments_that_are_read_must_be_intact() {
        // xor %ecx,%ecx; call +0
        let code = function(&[0x31, 0xc9, 0xe8, 0, 0, 0, 0]);
        for (arguments, offset) in [(3, 2), (4, 0)] {
            assert_eq!(probe_site(&code, arguments).offset, offset, "{arguments}");
        }
    }

    #[test]
    fn an_indirect_jump_falls_back_to_the_entry() {
        // mov %rdi,%rax; jmp *%rax
        check_site(&[0x48, 0x89, 0xf8, 0xff, 0xe0], 0, false);
    }

    #[test]
    fn a_site_inside_a_loop_falls_back_to_the_entry() {
        // sub $8,%rsp; push %rbx; jmp back to the push
        check_site(&[0x48, 0x83, 0xec, 0x08, 0x53, 0xeb, 0xfd], 0, false);
    }

    #[test]
    fn a_go_function_is_probed_behind_its_check_of_the_stack() {
        let check = |code: &[u8], expected: Option<(u64, bool)>| {
            let site = go_probe_site(&function(code)).map(|site| (site.offset, site.cheap));
            assert_eq!(site, expected, "{code:x?}");
        };
        // cmp 0x10(%r14),%rsp; jbe +16
        let small = [0x49, 0x3b, 0x66, 0x10, 0x76, 0x10];
        // lea -0x50(%rsp),%r12; cmp 0x10(%r14),%r12; jbe +0x100
        let large =
            [0x4c, 0x8d, 0x64, 0x24, 0xb0, 0x4d, 0x3b, 0x66, 0x10, 0x0f, 0x86, 0x00, 0x01, 0x00, 0x00];
        let [push, spill] = [&[0x55, 0x48, 0x89, 0xe5][..], &[0x48, 0x89, 0x44, 0x24, 0x08]];
        check(&[&small[..], push].concat(), Some((6, true)));
        check(&[&large[..], push].concat(), Some((15, true)));
        // An argument is put aside, which leaves it where it is; sub $0x18,%rsp.
        check(&[&small[..], spill, push].concat(), Some((11, true)));
        check(&[&small[..], &[0x48, 0x83, 0xec, 0x18], spill, push].concat(), Some((15, true)));
        // lea 0(%rip),%rax: the session is gone. The kind of record: xor %ebx,%ebx.
        check(&[&small[..], &[0x48, 0x8d, 0x05, 0, 0, 0, 0], push].concat(), Some((6, false)));
        check(&[&small[..], &[0x31, 0xdb], push].concat(), Some((6, false)));
        // Back to the beginning, for more stack; back to the site, in a loop.
        check(&[&small[..], spill, push, &[0xeb, 0xef]].concat(), Some((11, true)));
        check(&[&small[..], spill, push, &[0xeb, 0xfa]].concat(), Some((6, false)));
        // Go 1.16: mov %fs:-8,%rcx; cmp 0x10(%rcx),%rsp; jbe +16.
        let old = [0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf8, 0xff, 0xff, 0xff, 0x48, 0x3b, 0x61, 0x10, 0x76, 0x10];
        check(&[&old[..], push].concat(), None);
        check(&small[..5], None);
        check(push, None);
        check(&[], None);
    }

    #[test]
    fn code_that_is_cut_or_senseless_falls_back_to_the_entry() {
        check_site(&[], 0, false);
        check_site(&[0x0f], 0, false);
        check_site(&[0xff; 40], 0, false);
    }

    #[test]
    fn a_direct_random_is_found() {
        // mov 0x160(%rdi),%rdx; mov %rdx,(%rsi); ret
        let place = random_place(&function(&[0x48, 0x8b, 0x97, 0x60, 1, 0, 0, 0x48, 0x89, 0x16, 0xc3]));
        assert_eq!(place, Some(RandomPlace { via: Site::NONE, offset: 0x160 }));
    }

    #[test]
    fn a_random_behind_a_pointer_is_found() {
        // mov 0xa8(%rdi),%rax; mov 0xb8(%rax),%rdx; ret
        let code = [0x48, 0x8b, 0x87, 0xa8, 0, 0, 0, 0x48, 0x8b, 0x90, 0xb8, 0, 0, 0, 0xc3];
        assert_eq!(random_place(&function(&code)), Some(RandomPlace { via: 0xa8, offset: 0xb8 }));
    }

    fn check_role(code: &[u8], expected: Option<(u8, bool)>) {
        let role = returned_role(&function(code)).map(|role| (role.word, role.one_bit));
        assert_eq!(role, expected, "{code:x?}");
    }

    #[test]
    fn the_word_that_is_returned_tells_the_role() {
        // mov 0x38(%rdi),%eax; ret
        check_role(&[0x8b, 0x47, 0x38, 0xc3], Some((0x0e, false)));
        // BoringSSL: movzbl 0xa4(%rdi),%eax; and $1,%eax; ret
        let boring = [0x0f, 0xb6, 0x87, 0xa4, 0, 0, 0, 0x83, 0xe0, 0x01, 0xc3];
        check_role(&boring, Some((0x29, true)));
        // A byte by itself: movzbl 0xa4(%rdi),%eax; ret.
        check_role(&[&boring[..7], &[0xc3]].concat(), None);
        // The same with another bit: and $2,%eax. With a place that is no word: 0xa5.
        check_role(&[&boring[..9], &[2, 0xc3]].concat(), None);
        check_role(&[&[0x0f, 0xb6, 0x87, 0xa5][..], &boring[4..]].concat(), None);
        // OpenSSL 3.2 and later: cmpl $0,(%rdi); je +5; xor %edi,%edi; mov %rdi,%rax; mov 0x78(%rdi),%eax; ret.
        // The object's kind is read, and on one path the session is gone.
        let kinds = [0x83, 0x3f, 0x00, 0x74, 0x05, 0x31, 0xff, 0x48, 0x89, 0xf8, 0x8b, 0x47, 0x78, 0xc3];
        check_role(&kinds, Some((0x1e, false)));
        // mov (%rdi),%eax; test %eax,%eax; je +3; xor %eax,%eax; ret; mov 0x78(%rdi),%eax; ret
        let kinds = [0x8b, 0x07, 0x85, 0xc0, 0x74, 0x03, 0x31, 0xc0, 0xc3, 0x8b, 0x47, 0x78, 0xc3];
        check_role(&kinds, Some((0x1e, false)));
        // A function is asked, and what it answers is returned: call +0; ret.
        check_role(&[0x8b, 0x47, 0x38, 0xe8, 0, 0, 0, 0, 0xc3], None);
        // One word or another: je +4; mov 0x38(%rdi),%eax; ret; mov 0x3c(%rdi),%eax; ret.
        check_role(&[0x74, 0x04, 0x8b, 0x47, 0x38, 0xc3, 0x8b, 0x47, 0x3c, 0xc3], None);
    }

    #[test]
    fn a_random_is_found_on_every_path() {
        let check = |code: &[u8], via: u16, offset: u16| {
            assert_eq!(random_place(&function(code)), Some(RandomPlace { via, offset }), "{code:x?}");
        };
        // BoringSSL: mov 0x30(%rdi),%rax; add $0x30,%rax; mov %rax,%rsi; call +0; ret
        let boring =
            [0x48, 0x8b, 0x47, 0x30, 0x48, 0x83, 0xc0, 0x30, 0x48, 0x89, 0xc6, 0xe8, 0, 0, 0, 0, 0xc3];
        check(&boring, 0x30, 0x30);
        // OpenSSL 3.5: mov (%rdi),%eax; je +8; call +0; mov %rax,%rdi; lea 0x188(%rdi),%rcx; ret
        let kinds = [
            0x8b, 0x07, 0x74, 0x08, 0xe8, 0, 0, 0, 0, 0x48, 0x89, 0xc7, 0x48, 0x8d, 0x8f, 0x88, 1, 0, 0, 0xc3,
        ];
        check(&kinds, Site::NONE, 0x188);
    }

    #[test]
    fn a_loop_in_an_accessor_ends() {
        // mov 0x160(%rdi),%rdx; jmp back
        let code = [0x48, 0x8b, 0x97, 0x60, 1, 0, 0, 0xeb, 0xf7];
        let place = random_place(&function(&code));
        assert_eq!(place, Some(RandomPlace { via: Site::NONE, offset: 0x160 }));
    }

    #[test]
    fn the_word_that_corks_is_found() {
        // endbr64; movl $1,0x548(%rdi); ret
        let code = [0xf3, 0x0f, 0x1e, 0xfa, 0xc7, 0x87, 0x48, 5, 0, 0, 1, 0, 0, 0, 0xc3];
        assert_eq!(cork_word(&function(&code)), Some(0x548));
        // ret; movl $1,0x548(%rdi)
        assert_eq!(cork_word(&function(&[0xc3, 0xc7, 0x87, 0x48, 5, 0, 0, 1, 0, 0, 0])), None);
        assert_eq!(cork_word(&function(&[])), None);
    }

    #[test]
    fn the_end_of_a_session_is_found() {
        // cmpl $1,(%rdi); je +5; jmp +0
        let code = [0x83, 0x3f, 0x01, 0x74, 0x05, 0xe9, 0, 0, 0, 0];
        assert_eq!(entity_word(&function(&code)).map(|role| role.word), Some(0));
        assert_eq!(entity_word(&function(&[0xc3])), None);
    }

    /// movdqu OFFSET(%r12),%xmm0, once for each offset.
    fn loads(offsets: &[u32]) -> Vec<u8> {
        let load = |offset: &u32| [&[0xf3, 0x41, 0x0f, 0x6f, 0x84, 0x24][..], &offset.to_le_bytes()].concat();
        offsets.iter().flat_map(load).collect()
    }

    #[test]
    fn a_random_that_is_copied_beside_the_servers_is_found() {
        for (offsets, expected) in [
            (&[0x620, 0x630, 0x600, 0x610][..], Some(0x620)),
            (&[0x40, 0x620, 0x630, 0x640, 0x650], Some(0x620)),
            (&[0x620, 0x630, 0x600], None),
            (&[0x620, 0x640, 0x600, 0x610], None),
            (&[0x1_0620, 0x1_0630, 0x1_0600, 0x1_0610], None),
            (&[], None),
        ] {
            assert_eq!(copied_random(&function(&loads(offsets))), expected, "{offsets:x?}");
        }
    }

    #[test]
    fn the_end_of_a_socket_is_found() {
        // push %rbp; call +0; test %rax,%rax; je +0; mov 0xa8(%rax),%eax
        let asking = [0x55, 0xe8, 0, 0, 0, 0, 0x48, 0x85, 0xc0, 0x74, 0, 0x8b, 0x80, 0xa8, 0, 0, 0];
        assert_eq!(socket_end_word(&function(&asking)).map(|role| role.word), Some(0x2a));
        // The same without the call that finds the socket.
        assert_eq!(socket_end_word(&function(&asking[6..])), None);
        assert_eq!(socket_end_word(&function(&asking[..11])), None);
    }

    #[test]
    fn an_accessor_that_reads_nothing_has_no_place() {
        assert_eq!(random_place(&function(&[0x31, 0xc0, 0xc3])), None);
        assert_eq!(returned_role(&function(&[0x31, 0xc0, 0xc3])), None);
    }
}

#[cfg(test)]
#[path = "site_properties.rs"]
mod properties;
