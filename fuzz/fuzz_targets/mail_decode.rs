//! libFuzzer drives `cprvagt_fuzz::mail_decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cprvagt_fuzz::mail_decode(bytes));
