//! No core dumps: memory holds bodies of deliveries, which are personal data, and secrets.
//!
//! The limit alone is not enough: where the kernel pipes dumps to a program (`core_pattern`), it does not
//! ask for it. A process that is not dumpable gives no dump at all, and lets no other process of its user
//! read its memory.

use rustix::process::{Resource, Rlimit, setrlimit};

/// For the whole process and for good. What cannot be switched off is no reason not to start.
pub fn switch_off() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}
