//! The process: runs the command line and returns its exit code.

use std::process::ExitCode;

/// mimalloc is the allocator of librdkafka too: a record costs it a dozen allocations, made and freed on one thread.
#[cfg(target_os = "linux")]
#[global_allocator]
static HEAP: millrace::runtime::heap::Heap = millrace::runtime::heap::Heap;

fn main() -> ExitCode {
    millrace::cli::main()
}
