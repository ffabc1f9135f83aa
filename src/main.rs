//! The command line, an exit code, and the heap.

use std::process::ExitCode;

/// Of librdkafka too: a record costs it a dozen allocations, made and given back on one thread.
#[cfg(target_os = "linux")]
#[global_allocator]
static HEAP: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    millrace::cli::main()
}
