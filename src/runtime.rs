//! Tools for all parts: outgoing HTTP, files that are read again, retries, the shutdown, and readable
//! numbers; and the heap.

pub mod fetch;
pub mod heap;
pub mod readable;
pub mod reload;
pub mod retry;
pub mod shutdown;
