#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../heads.rs"]
mod heads;

fuzz_target!(|bytes: &[u8]| heads::run(bytes));
