//! Values in a form that the verifier of every kernel can follow, and soon enough.
//!
//! The compiler leaves out a comparison that it has proved itself, compares once where several size classes end
//! in the same call, or compares a copy in 32 bits. The verifier proves less, and that of an older kernel less
//! again: the comparison that counts is written as instructions that the compiler neither drops nor moves.
//! And the verifier walks every path that differs from others in what it knows of a value: where that does not
//! matter it is made to forget. What it decides beside its proof, where programs keep their stack, is decided here
//! too.

use core::arch::asm;

/// The helper that jumps to another program (linux/bpf.h).
const BPF_TAIL_CALL: u32 = 12;

/// `len`, which is 1 to `ROOM`.
///
/// Refused without it: "R4 unbounded memory access" by every kernel, "invalid access to memory" and "invalid
/// zero-sized read" by kernels before 6.18. A kernel before 6.8 learns nothing from a comparison with zero for
/// equality, so it is one for order.
#[inline(always)]
pub fn length<const ROOM: usize>(len: u32) -> u32 {
    let mut len = u64::from(len);
    // SAFETY: changes no more than the register that it is given.
    unsafe {
        asm!(
            "if {len} < 1 goto +1",
            "if {len} <= {room} goto +1",
            "{len} = 1",
            len = inout(reg) len,
            room = const ROOM,
            options(nomem, nostack)
        );
    }
    len as u32
}

/// The same value, of which the verifier knows nothing any more.
///
/// Paths that differ only in what is known of it are then walked once. Without it a program takes two to four
/// times as long to load on kernels before 6.12.
#[inline(always)]
pub fn forget(value: u64) -> u64 {
    let mut slot = value;
    // SAFETY: adds nothing to a word of our own stack. What an atomic instruction leaves there is not known.
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) &raw mut slot, in(reg) 0u64, options(nostack)) };
    slot
}

/// Keeps the program's stack with the task that runs it.
///
/// Since Linux 6.13 a program of this kind has a stack for each processor instead, unless it jumps to other
/// programs. At a uprobe nothing keeps a second task from running the same program on the same processor while the
/// first one sleeps or is preempted, and both then write to one stack: a write of one process would be told with the
/// session of another. So there is a jump here, on a path that is never taken: the verifier sees the instruction
/// before it follows paths, and throws it out after.
#[inline(always)]
pub fn keep_stack_with_task() {
    // SAFETY: never executed but for the comparison. As a call it would change these registers.
    unsafe {
        asm!(
            "{never} = 0",
            "if {never} == 0 goto +1",
            "call {jump}",
            never = out(reg) _,
            jump = const BPF_TAIL_CALL,
            out("r0") _, out("r1") _, out("r2") _, out("r3") _, out("r4") _, out("r5") _,
            options(nomem, nostack)
        );
    }
}
