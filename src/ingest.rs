//! The receiving half: a request becomes durable in the spool, and then the sender gets its 200.

pub mod authenticate;
pub mod listen;
pub mod receive;
