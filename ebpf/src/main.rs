//! The kernel programs: four taps that write records into one ring.
//!
//! *Invariants*: a program observes and never changes traffic; every way out has a counter
//! ([`cprvagt_abi::Counter`]); a record is written straight into reserved ring space.
//! *Limits*: no loop runs more often than a constant named beside it.
//! *Not here*: anything that looks at content. The matcher works in user space.
#![no_std]
#![no_main]
// Both toolchains that can build for the kernel have it; see `verifier` and `counters::add_to`.
#![feature(asm_experimental_arch)]

mod counters;
mod flows;
mod mapped_files;
mod maps;
mod packet;
mod processes;
mod ring;
mod socket_tap;
mod tls_call;
mod tls_frames;
mod tls_put;
mod tls_reads;
mod tls_records;
mod tls_sites;
mod tls_tap;
mod verifier;
mod wire_tap;

/// The kernel wants to know that helpers marked GPL-only may be called.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// A panic that could be reached would be an endless loop, which the verifier refuses: a program that
/// loads cannot panic.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
