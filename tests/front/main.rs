//! The front half over real sockets.
//!
//! - `answers`: each row of the table of outcomes
//! - `durable`: nothing is answered 200 before it is stored, and hanging up cancels nothing
//! - `bodies`: content-codings, limits and the budget
//! - `slow`: heads and bodies that take their time
//! - `wire`: what only raw sockets do: pipelining, smuggling, broken heads
//! - `crowd`: more connections than there are places
//! - `subscription`: what the metrics say of a sender's view
//! - `http2`, `stop`, `health`, `secrets`: as they say
//! - `spooled`: the real spool behind it

mod answers;
mod bodies;
mod crowd;
mod durable;
mod health;
mod http2;
mod secrets;
mod slow;
mod spooled;
mod stop;
mod subscription;
mod support;
mod wire;
