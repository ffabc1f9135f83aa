//! The command line, an exit code, and the heap.

use std::process::ExitCode;

/// mimalloc is librdkafka's too: a record costs it a dozen allocations, made and given back on one thread.
#[cfg(target_os = "linux")]
#[global_allocator]
static HEAP: millrace::runtime::heap::Heap = millrace::runtime::heap::Heap;

fn main() -> ExitCode {
    millrace::cli::main()
}
