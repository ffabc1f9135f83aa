//! What all parts use: HTTP outwards, files that are read again, retries, the order to stop, and how numbers are
//! said; and the heap.

pub mod fetch;
pub mod heap;
pub mod readable;
pub mod reload;
pub mod retry;
pub mod shutdown;
