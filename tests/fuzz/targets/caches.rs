#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../simulated_disk/mod.rs"]
mod simulated_disk;

#[path = "../caches.rs"]
mod caches;

fuzz_target!(|input: &[u8]| caches::run(input));
