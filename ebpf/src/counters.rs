//! Counting, and the reasons why a program ends without writing a record.

use core::arch::asm;

use cprvagt_abi::Counter;

use crate::maps::COUNTERS;

/// Adds to a counter.
#[inline(always)]
pub fn add(counter: Counter, amount: u64) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) {
        // One atomic instruction, because a softirq on this processor may run the same program in
        // between. The core library has no atomic addition for this target.
        // SAFETY: the slot is a valid, aligned word of map memory while the program runs.
        unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) slot, in(reg) amount, options(nostack)) };
    }
}

/// Why a packet or a call was not written to the ring: each a counter, nothing else.
pub type Skip = Counter;

/// Counts how a program ended.
#[inline(always)]
pub fn settle(outcome: Result<(), Skip>) {
    if let Err(skip) = outcome {
        add(skip, 1);
    }
}
