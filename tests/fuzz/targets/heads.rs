//! Whatever a connection brings: heads, bodies and chunks as the listener reads them, up to the spool's door.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../front.rs"]
mod front;

thread_local! {
    static FRONT: front::Front = front::Front::start();
}

fuzz_target!(|bytes: &[u8]| FRONT.with(|front| front.is_sent(bytes)));
