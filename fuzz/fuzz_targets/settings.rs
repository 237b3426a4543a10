#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| flexglue_tests::fuzzing::settings::run(input));
