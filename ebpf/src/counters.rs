//! Counting, and the reasons why a program ends without writing a record.

use core::arch::asm;

use cprvagt_abi::Counter;

use crate::maps::COUNTERS;

/// Adds to a counter.
#[inline(always)]
pub fn add(counter: Counter, amount: u64) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the slot is a valid, aligned word of map memory while the program runs.
        unsafe { add_to(slot, amount) };
    }
}

/// Adds to a word in one atomic instruction: another processor, or a softirq on this one, may do the same.
/// The core library has no atomic addition for this target.
///
/// # Safety
/// `word` must be a valid, aligned word of map memory.
#[inline(always)]
pub unsafe fn add_to(word: *mut u64, amount: u64) {
    // SAFETY: upheld by the caller.
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) word, in(reg) amount, options(nostack)) };
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
