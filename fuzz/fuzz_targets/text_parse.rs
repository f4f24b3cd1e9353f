//! libFuzzer drives `cprvagt_fuzz::text_parse`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cprvagt_fuzz::text_parse(bytes));
