//! Disables core dumps: memory holds bodies of deliveries, which are personal data, and secrets.
//!
//! The limit alone is not enough: where the kernel pipes dumps to a program (`core_pattern`), it ignores
//! the limit. A process that is not dumpable gives no dump at all, and lets no other process of its user
//! read its memory.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Disables core dumps of this process for good. A failure does not prevent a start.
pub fn switch_off() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}
