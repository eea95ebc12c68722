//! The fuzzer's way to the target `control`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| landfall_fuzz_targets::run("control", bytes));
