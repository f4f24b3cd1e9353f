//! libFuzzer drives `cprvagt_fuzz::pcap_read`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cprvagt_fuzz::pcap_read(bytes));
