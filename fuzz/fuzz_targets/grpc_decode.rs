//! libFuzzer drives `cprvagt_fuzz::grpc_decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cprvagt_fuzz::grpc_decode(bytes));
