//! The process: runs the command line and returns its exit code.

use std::process::ExitCode;

/// The allocator of librdkafka too: a record costs it a dozen allocations, made and freed on one thread.
#[cfg(target_os = "linux")]
#[global_allocator]
static HEAP: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    millrace::cli::main()
}
