//! The client of a request before it has authenticated: its network and its connection.
//!
//! It decides nothing about trust. It only keeps one crowd from taking all turns (`turns.rs`): addresses are cheap
//! in large numbers, networks are less so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bits that hosts of one network have in common.
const IPV4_NETWORK_BITS: u32 = 24;
const IPV6_NETWORK_BITS: u32 = 48;

/// The client of one request. The default is for requests without a known address: they share a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    pub address: Option<IpAddr>,
    /// A number that tells the connections of one network apart.
    pub connection: usize,
}

/// An address without the bits of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Network(Option<IpAddr>);

impl Caller {
    pub(super) fn network(&self) -> Network {
        Network(self.address.map(|address| match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(
                v4.to_bits() & (u32::MAX << (32 - IPV4_NETWORK_BITS)),
            )),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(
                v6.to_bits() & (u128::MAX << (128 - IPV6_NETWORK_BITS)),
            )),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> Network {
        Caller { address: Some(address.parse().unwrap()), connection: 7 }.network()
    }

    #[test]
    fn neighbours_are_one_network_and_others_are_not() {
        assert_eq!(network("192.0.2.1"), network("192.0.2.254"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.9"));
        assert_ne!(network("192.0.2.1"), network("192.0.3.1"));
        assert_eq!(network("2001:db8:1::1"), network("2001:db8:1:ffff::2"));
        assert_ne!(network("2001:db8:1::1"), network("2001:db8:2::1"));
        assert_ne!(network("192.0.2.1"), Caller::default().network());
    }
}
