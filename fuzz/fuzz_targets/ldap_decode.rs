//! libFuzzer drives `cprvagt_fuzz::ldap_decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cprvagt_fuzz::ldap_decode(bytes));
