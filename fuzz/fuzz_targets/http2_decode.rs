//! libFuzzer drives `cprvagt_fuzz::http2_decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cprvagt_fuzz::http2_decode(bytes));
