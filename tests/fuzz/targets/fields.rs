#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../fields.rs"]
mod fields;

fuzz_target!(|input: &[u8]| fields::run(input));
