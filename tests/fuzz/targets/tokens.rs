#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../tokens.rs"]
mod tokens;

fuzz_target!(|input: &[u8]| tokens::run(input));
