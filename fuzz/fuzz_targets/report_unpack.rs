//! libFuzzer drives `cprvagt_fuzz::report_unpack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cprvagt_fuzz::report_unpack(bytes));
