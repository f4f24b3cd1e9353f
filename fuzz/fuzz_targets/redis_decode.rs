//! libFuzzer drives `cprvagt_fuzz::redis_decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cprvagt_fuzz::redis_decode(bytes));
