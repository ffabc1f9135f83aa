//! What all parts use: HTTP outwards, files that are read again, retries and the order to stop.

pub mod fetch;
pub mod reload;
pub mod retry;
pub mod shutdown;
