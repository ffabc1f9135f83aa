#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace::source::SourceKind;

#[path = "../records.rs"]
mod records;

fuzz_target!(|body: &[u8]| records::make(SourceKind::AdobeIo, body));
