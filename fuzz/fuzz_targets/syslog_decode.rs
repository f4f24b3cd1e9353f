//! libFuzzer drives `cprvagt_fuzz::syslog_decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cprvagt_fuzz::syslog_decode(bytes));
