//! libFuzzer drives `cprvagt_fuzz::websocket_decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cprvagt_fuzz::websocket_decode(bytes));
