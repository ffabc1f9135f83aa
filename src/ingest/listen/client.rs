//! The client of a request that came through proxies (`listen.trusted_proxies`).
//!
//! Each proxy writes the address that it was called from at the end of `x-forwarded-for`, behind the value that
//! it received. So only the entries of trusted proxies count: the client is the first address from the right that
//! is not one of theirs. Everything left of it may be invented by the client. Without trusted proxies the header
//! is ignored, and the client is the other end of the connection.
//!
//! `Forwarded` (RFC 7239) is not read: a proxy that writes one of the two passes the other on as it came,
//! so a program that reads both believes any caller.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::HeaderMap;
use ipnet::IpNet;

/// Addresses of `x-forwarded-for` that are read, from the right.
const MAX_HOPS: usize = 16;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Address of the other end of the connection, in a request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// The proxies whose `x-forwarded-for` is believed.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<[IpNet]>);

impl Proxies {
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// Returns the client of a request that came from `peer` with these headers.
    pub fn client(&self, Peer(peer): Peer, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops.take(MAX_HOPS) {
            if !self.trusts(client) {
                break;
            }
            // A trusted proxy wrote no address here, so that proxy is the last known address.
            let Some(address) = address(hop) else { break };
            client = address;
        }
        client
    }

    /// Returns whether a trusted proxy opened the connection from `peer`.
    pub fn are_at(&self, Peer(peer): Peer) -> bool {
        self.trusts(peer.to_canonical())
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Reads `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`, each also with a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, lines: &[&str]) -> String {
        let trusted: Vec<_> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        Proxies::new(&trusted).client(Peer(peer.parse().unwrap()), &headers).to_string()
    }

    const OURS: &[&str] = &["10.0.0.0/8", "2001:db8:1::/48"];

    #[test]
    fn a_proxy_that_is_not_configured_is_not_believed() {
        assert_eq!(client(&[], "10.0.0.1", &["1.1.1.1"]), "10.0.0.1");
        assert_eq!(client(OURS, "192.0.2.7", &["1.1.1.1"]), "192.0.2.7");
        assert_eq!(client(OURS, "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_right_most_address_that_is_no_proxy_s_is_the_client_whatever_stands_left_of_it() {
        assert_eq!(client(OURS, "10.0.0.1", &["6.6.6.6, 192.0.2.7"]), "192.0.2.7");
        assert_eq!(client(OURS, "10.0.0.1", &["6.6.6.6,192.0.2.7 ,\t10.9.9.9"]), "192.0.2.7");
        assert_eq!(client(OURS, "10.0.0.1", &["6.6.6.6", "192.0.2.7", "10.2.3.4"]), "192.0.2.7");
        assert_eq!(
            client(OURS, "10.0.0.1", &["10.6.6.6, 192.0.2.7"]),
            "192.0.2.7",
            "an address of ours, written by the client"
        );
        assert_eq!(
            client(OURS, "10.0.0.1", &["10.0.0.3, 10.0.0.2"]),
            "10.0.0.3",
            "all of them ours"
        );
    }

    #[test]
    fn an_entry_that_is_no_address_ends_the_search_at_the_proxy_that_wrote_it() {
        for wrong in
            ["", "unknown", "_hidden", "192.0.2.7.8", "192.0.2", "1:2", "[::1", "evil.test"]
        {
            let line = format!("6.6.6.6, {wrong}");
            assert_eq!(client(OURS, "10.0.0.1", &[&line]), "10.0.0.1", "{wrong}");
            let line = format!("6.6.6.6, {wrong}, 10.0.0.2");
            assert_eq!(client(OURS, "10.0.0.1", &[&line]), "10.0.0.2", "{wrong}");
        }
    }

    #[test]
    fn ports_and_brackets_and_both_kinds_of_addresses_are_understood() {
        assert_eq!(client(OURS, "10.0.0.1", &["192.0.2.7:4711"]), "192.0.2.7");
        assert_eq!(client(OURS, "2001:db8:1::5", &["2001:db8:2::7"]), "2001:db8:2::7");
        assert_eq!(
            client(OURS, "2001:db8:1::5", &["[2001:db8:2::7]:443, [2001:db8:1::9]"]),
            "2001:db8:2::7"
        );
        assert_eq!(client(OURS, "::ffff:10.0.0.1", &["::ffff:192.0.2.7"]), "192.0.2.7");
    }

    #[test]
    fn only_the_last_entries_of_a_long_list_are_read() {
        let line = vec!["10.0.0.2"; 100_000].join(",");
        assert_eq!(client(OURS, "10.0.0.1", &[&line]), "10.0.0.2");
        let line = format!("192.0.2.7{}", ",10.0.0.2".repeat(MAX_HOPS));
        assert_eq!(client(OURS, "10.0.0.1", &[&line]), "10.0.0.2", "beyond the limit");
    }
}
