#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| flexglue_tests::fuzzing::outbound_bodies::run(input));
