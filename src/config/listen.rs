//! `listen`: the listener for deliveries, and its limits.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;

use super::{
    Config,
    leaf::{ADDRESS, COUNT, NONZERO_DURATION, SIZE},
    mistake::{Key, Mistakes},
    proxies,
    reading::{Reading, Section},
    tls::{self, Tls},
};

const MIB: u64 = 1024 * 1024;

const HEADER_LIMITS: std::ops::RangeInclusive<usize> = 8 * 1024..=1024 * 1024;

/// `listen`: the listener for deliveries, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub address: SocketAddr,
    /// Largest body on the wire, in bytes.
    pub body_limit: u64,
    /// Largest body after its content-coding was removed, in bytes; at most `u32::MAX`, the length
    /// field of the spool's frames.
    pub body_limit_inflated: u64,
    /// Bytes of bodies held in memory at once, over all connections.
    pub body_budget: u64,
    /// Longest time for the head of a request.
    pub header_timeout: Duration,
    /// Longest idle time of a connection whose sender has authenticated.
    pub idle_timeout: Duration,
    /// Longest time for a whole request, the sync of the spool included.
    pub request_timeout: Duration,
    /// Connections that may be open at once.
    pub connections: usize,
    /// Largest head of a request, in bytes; at least 8 KiB.
    pub header_limit: usize,
    /// Proxies whose `x-forwarded-for` is believed; none by default.
    pub trusted_proxies: Vec<IpNet>,
    /// `None` is plain HTTP.
    pub tls: Option<Tls>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::UNSPECIFIED, 8080).into(),
            body_limit: 16 * MIB,
            body_limit_inflated: 64 * MIB,
            body_budget: 64 * MIB,
            header_timeout: Duration::from_secs(10),
            // Marketo waits 20 s, Adobe 10 s with the connection's set-up included. A sender that
            // has hung up learns nothing from an answer, so ours comes before the shorter of both.
            request_timeout: Duration::from_secs(8),
            // Marketo pushes every two seconds; most load balancers keep theirs for a minute.
            idle_timeout: Duration::from_secs(75),
            connections: 1000,
            header_limit: 32 * 1024,
            trusted_proxies: Vec::new(),
            tls: None,
        }
    }
}

pub(super) fn read(reading: &mut Reading, root: &mut Section) -> Listen {
    let mut listen = Listen::default();
    let mut section = reading.section(root, "listen");
    let s = &mut section;
    reading.set(s, "address", &ADDRESS, &mut listen.address);
    reading.set(s, "body_limit", &SIZE, &mut listen.body_limit);
    reading.set(s, "body_limit_inflated", &SIZE, &mut listen.body_limit_inflated);
    reading.set(s, "body_budget", &SIZE, &mut listen.body_budget);
    reading.set(s, "header_timeout", &NONZERO_DURATION, &mut listen.header_timeout);
    reading.set(s, "idle_timeout", &NONZERO_DURATION, &mut listen.idle_timeout);
    reading.set(s, "request_timeout", &NONZERO_DURATION, &mut listen.request_timeout);
    reading.set(s, "connections", &COUNT, &mut listen.connections);
    let mut header_limit = listen.header_limit as u64;
    reading.set(s, "header_limit", &SIZE, &mut header_limit);
    // A number that does not fit is refused below, as is any above a megabyte.
    listen.header_limit = usize::try_from(header_limit).unwrap_or(usize::MAX);
    listen.trusted_proxies = proxies::read(reading, s).unwrap_or_default();
    listen.tls = tls::read(reading, s).unwrap_or_default();
    reading.end(section);
    listen
}

pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    let Config { listen, spool, sources, .. } = config;
    let Listen { body_limit, body_limit_inflated, body_budget, header_limit, .. } = listen;
    let mut wrong = |key: &str, problem: &str, remedy: &str| {
        mistakes.at(&Key::new(key), problem, remedy);
    };
    if body_limit > body_budget {
        let problem = "is above listen.body_budget, so a body of that size could never be taken";
        wrong("listen.body_limit", problem, "Lower it, or raise listen.body_budget.");
    }
    if body_limit > body_limit_inflated {
        let problem = "is below listen.body_limit, and a body that is not compressed needs as much";
        wrong("listen.body_limit_inflated", problem, "Raise it, or lower listen.body_limit.");
    }
    if body_limit_inflated > body_budget {
        let problem = "is above listen.body_budget, so a body of that size could never be taken";
        wrong("listen.body_limit_inflated", problem, "Lower it, or raise listen.body_budget.");
    }
    if *body_limit_inflated > u64::from(u32::MAX) {
        let problem = "is above 4294967295 bytes, the most that the spool's frames can hold";
        wrong("listen.body_limit_inflated", problem, "Lower it.");
    }
    if !HEADER_LIMITS.contains(header_limit) {
        let remedy = "Choose from 8KiB to 1MiB.";
        wrong("listen.header_limit", "is below 8 KiB or above 1 MiB", remedy);
    }
    if listen.body_limit_inflated >= spool.size_limit {
        let problem = "is not below spool.size_limit, so one body could fill the spool for ever";
        wrong("listen.body_limit_inflated", problem, "Lower it, or raise spool.size_limit.");
    } else if sources.len() > 1 && listen.body_limit_inflated >= spool.size_limit / 2 {
        let problem = "is not below half of spool.size_limit, which is the least that one of several sources may take";
        wrong("listen.body_limit_inflated", problem, "Lower it, or raise spool.size_limit.");
    }
}
