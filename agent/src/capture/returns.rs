//! Where a function returns, for probes that read its result. In code for x86-64 alone.
//!
//! The last instruction before a `ret` that the kernel emulates, if the result is in its register by then and every way
//! to the `ret` comes by it: the check of the stack protector is one, a conditional jump that is never taken. Otherwise
//! the `ret` itself, which the kernel steps, at the price of a second exception.
//!
//! *Invariants*: only instructions that can be reached from the entry count; code of neighbours is not looked at.
//! *Limits*: [`RETURNS_MAX`] places of one function; with more there are none.

use std::collections::{BTreeMap, HashSet};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register};

use super::site::{ProbeSite, is_emulated};

/// Places in which a function returns.
const RETURNS_MAX: usize = 8;

/// The sites at which a function's result can be read.
pub(super) fn return_sites(code: &[u8], address: u64) -> Vec<ProbeSite> {
    let body = Body::reachable(code, address);
    let returns = body.instructions.values().filter(|it| it.flow_control() == FlowControl::Return);
    let sites: Vec<_> = returns.map(|it| body.site_before(it, address)).collect();
    if sites.len() > RETURNS_MAX { Vec::new() } else { sites }
}

/// Where a function goes that ends by jumping to another one.
pub(super) fn tail(code: &[u8], address: u64) -> Option<u64> {
    let within = address..address.saturating_add(code.len() as u64);
    let body = Body::reachable(code, address);
    let jumps = body.instructions.values().filter(|it| it.flow_control() == FlowControl::UnconditionalBranch);
    jumps.map(Instruction::near_branch_target).find(|to| !within.contains(to))
}

/// The instructions that can be reached, by address.
struct Body {
    instructions: BTreeMap<u64, Instruction>,
    targets: HashSet<u64>,
}

impl Body {
    fn reachable(code: &[u8], address: u64) -> Self {
        let mut body = Self { instructions: BTreeMap::new(), targets: HashSet::new() };
        let mut waiting = vec![address];
        while let Some(from) = waiting.pop() {
            body.follow(code, address, from, &mut waiting);
        }
        body
    }

    /// Follows straight code until it ends or is known; branches out of the function are not followed.
    fn follow(&mut self, code: &[u8], address: u64, from: u64, waiting: &mut Vec<u64>) {
        let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
        let at = from.checked_sub(address).and_then(|at| usize::try_from(at).ok());
        let Some(at) = at.filter(|at| *at < code.len()) else { return };
        if decoder.set_position(at).is_err() {
            return;
        }
        decoder.set_ip(from);
        let mut behind_call = false;
        while decoder.can_decode() {
            let instruction = decoder.decode();
            // Behind a call that does not come back stands what fills up to the next function.
            let fills = behind_call && instruction.mnemonic() == Mnemonic::Nop;
            if instruction.is_invalid() || fills || self.instructions.contains_key(&instruction.ip()) {
                return;
            }
            self.instructions.insert(instruction.ip(), instruction);
            let flow = instruction.flow_control();
            behind_call = flow == FlowControl::Call;
            if matches!(flow, FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch) {
                self.targets.insert(instruction.near_branch_target());
                waiting.push(instruction.near_branch_target());
            }
            let goes_on =
                matches!(flow, FlowControl::Next | FlowControl::ConditionalBranch | FlowControl::Call | FlowControl::IndirectCall);
            if !goes_on {
                return;
            }
        }
    }

    fn site_before(&self, ret: &Instruction, address: u64) -> ProbeSite {
        let mut info = InstructionInfoFactory::new();
        let mut at = ret.ip();
        // Whoever jumps here does not come by what stands before.
        while !self.targets.contains(&at)
            && let Some((_, before)) = self.instructions.range(..at).next_back()
            && before.next_ip() == at
        {
            let flow = before.flow_control();
            if flow == FlowControl::ConditionalBranch && is_emulated(before) {
                return ProbeSite { offset: before.ip() - address, cheap: true };
            }
            if flow != FlowControl::Next || changes_result(&mut info, before) {
                break;
            }
            at = before.ip();
        }
        ProbeSite { offset: ret.ip() - address, cheap: false }
    }
}

fn changes_result(info: &mut InstructionInfoFactory, instruction: &Instruction) -> bool {
    info.info(instruction).used_registers().iter().any(|used| {
        let reads = matches!(used.access(), OpAccess::Read | OpAccess::CondRead);
        !reads && used.register().full_register() == Register::RAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 0x4000;

    fn check(code: &[u8], expected: &[(u64, bool)]) {
        let sites: Vec<_> = return_sites(code, AT).iter().map(|site| (site.offset, site.cheap)).collect();
        assert_eq!(sites, expected, "{code:x?}");
    }

    #[test]
    fn the_check_of_the_stack_is_cheap() {
        // mov (%rsp),%eax; jne +6; add $0x18,%rsp; xor %edx,%edx; ret; call; nop
        let code = [
            0x8b, 0x04, 0x24, 0x75, 0x07, 0x48, 0x83, 0xc4, 0x18, 0x31, 0xd2, 0xc3, 0xe8, 0, 0, 0, 0, 0x0f, 0x1f, 0,
            0xc3,
        ];
        check(&code, &[(3, true)]);
    }

    #[test]
    fn where_the_result_is_made_later_or_ways_meet_it_is_the_ret() {
        // jne +3; mov (%rsp),%eax; ret
        check(&[0x75, 0x03, 0x8b, 0x04, 0x24, 0xc3], &[(5, false)]);
        // test %eax,%eax; jne +2; xor %edx,%edx; ret: the jump leads behind itself.
        check(&[0x85, 0xc0, 0x75, 0x02, 0x31, 0xd2, 0xc3], &[(6, false)]);
        // Two ways to return.
        check(&[0x75, 0x01, 0xc3, 0x31, 0xc0, 0xc3], &[(0, true), (5, false)]);
        // A jump out: no return of its own.
        check(&[0xe9, 0, 1, 0, 0], &[]);
        assert_eq!(tail(&[0xe9, 0, 1, 0, 0], AT), Some(AT + 0x105));
        assert_eq!(tail(&[0xeb, 0x00, 0xc3], AT), None);
        check(&[], &[]);
        check(&[0xeb, 0xfe], &[]);
        check(&[0xff; 64], &[]);
    }
}
