//! libFuzzer drives `cprvagt_fuzz::stream_decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cprvagt_fuzz::stream_decode(bytes));
