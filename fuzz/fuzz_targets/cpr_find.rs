//! libFuzzer drives `cprvagt_fuzz::cpr_find`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cprvagt_fuzz::cpr_find(bytes));
