#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace::delivery::SourceKind;

#[path = "../records.rs"]
mod records;

fuzz_target!(|body: &[u8]| records::make(SourceKind::AdobeIo, body));
