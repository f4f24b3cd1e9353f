//! libFuzzer drives `cprvagt_fuzz::spool_open`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cprvagt_fuzz::spool_open(bytes));
