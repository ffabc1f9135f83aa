//! Ports that stay ours while nobody listens on them.
//!
//! A killed broker comes back on its old port. A port that the kernel handed out (port 0) may have
//! become the source port of somebody's connection meanwhile; ports below the ephemeral range are
//! never taken that way.

use std::{
    fs,
    net::TcpListener,
    process,
    sync::atomic::{AtomicU16, Ordering},
};

const LOWEST: u16 = 10_240;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port on 127.0.0.1 that nobody listens on. No two calls in a process give the same one, and
/// processes that run at once start at different places.
pub fn free() -> u16 {
    let span = first_ephemeral() - LOWEST;
    let start = u16::try_from(process::id() * 37 % u32::from(span)).expect("less than the span");
    (0..span)
        .map(|_| LOWEST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % span) % span)
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        .expect("a free port below the ephemeral range")
}

fn first_ephemeral() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .filter(|&first| first > LOWEST + 1000)
        .unwrap_or(32_768)
}
