//! libFuzzer drives `cprvagt_fuzz::settings_read`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cprvagt_fuzz::settings_read(bytes));
