//! A program for each probe site, for kernels before 5.15, which hand a probe no attach cookie.
//!
//! Each of these programs knows nothing but its number. It leaves the number where [`crate::tls_tap`] finds it
//! and jumps there; the cookie of that number is in a map.
//!
//! *Invariants*: the program that is jumped to runs on the same processor and nothing comes between: before 5.15
//! a probe's program runs with preemption off.
//! *Limits*: [`SITES_MAX`] sites; user space names the files that are left over.

use aya_ebpf::{EbpfContext as _, programs::ProbeContext};
use cprvagt_abi::SITES_MAX;

use crate::maps::{SITE_COOKIES, SITE_PROGRAM, SITE_RUNNING};

/// The cookie of the site whose program has just jumped here; none when user space has not told it.
#[inline(always)]
pub fn cookie() -> Option<u64> {
    let site = *SITE_RUNNING.get(0)?;
    SITE_COOKIES.get(site).copied()
}

#[inline(always)]
fn enter(ctx: &ProbeContext, site: u32) {
    if let Some(running) = SITE_RUNNING.get_ptr_mut(0) {
        // SAFETY: a word of map memory that only this processor writes.
        unsafe { running.write(site) };
        // SAFETY: does not come back unless nothing can be jumped to, and then there is nothing to do.
        unsafe { SITE_PROGRAM.tail_call(ctx, 0) };
    }
}

/// The programs `tls_site_0` to `tls_site_127`.
macro_rules! programs {
    ($($site:literal)*) => {
        /// How many there are.
        const SITES: u32 = [$($site),*].len() as u32;
        $(const _: () = {
            #[unsafe(export_name = concat!("tls_site_", $site))]
            #[unsafe(link_section = "uprobe")]
            extern "C" fn program(ctx: *mut core::ffi::c_void) -> u32 {
                enter(&ProbeContext::new(ctx), $site);
                0
            }
        };)*
    };
}

const _: () = assert!(SITES == SITES_MAX);

programs! {
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
    64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 80 81 82 83 84 85 86 87 88 89 90 91 92 93 94 95
    96 97 98 99 100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 116 117 118 119 120 121 122 123
    124 125 126 127
}
