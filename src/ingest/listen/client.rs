//! Whose request it is when proxies stand in between (`listen.trusted_proxies`).
//!
//! Each proxy writes the address that it was called from at the end of `x-forwarded-for`, behind
//! whatever it was given. So only what trusted proxies wrote is worth anything: from the right, the
//! first address that is none of theirs. What stands left of it is the caller's own invention. Without
//! trusted proxies the header is nothing, and the caller is who holds the other end of the connection.
//!
//! `Forwarded` (RFC 7239) is not read: a proxy that writes one of the two passes the other on as it came,
//! so a program that reads both believes any caller.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::HeaderMap;
use ipnet::IpNet;

/// Proxies in a row that are looked at.
const HOPS: usize = 16;

const HEADER: &str = "x-forwarded-for";

/// The other end of the connection, in a request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<[IpNet]>);

impl Proxies {
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// Who sent a request that came from `peer` with these headers.
    pub fn client(&self, Peer(peer): Peer, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines = headers.get_all(HEADER).iter().rev();
        let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops.take(HOPS) {
            if !self.trusts(client) {
                break;
            }
            // What a proxy of ours did not write as an address tells nothing; it was the last to be known.
            let Some(address) = address(hop) else { break };
            client = address;
        }
        client
    }

    /// Whether one of them opened the connection from `peer`.
    pub fn are_at(&self, Peer(peer): Peer) -> bool {
        self.trusts(peer.to_canonical())
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]`, and with a port.
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
            headers.append(HEADER, line.parse().unwrap());
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
            "one of ours, he says"
        );
        assert_eq!(
            client(OURS, "10.0.0.1", &["10.0.0.3, 10.0.0.2"]),
            "10.0.0.3",
            "all of them ours"
        );
    }

    #[test]
    fn what_is_no_address_ends_the_search_at_the_proxy_that_wrote_it() {
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
    fn a_row_of_proxies_without_an_end_is_cut_off() {
        let line = vec!["10.0.0.2"; 100_000].join(",");
        assert_eq!(client(OURS, "10.0.0.1", &[&line]), "10.0.0.2");
        let line = format!("192.0.2.7{}", ",10.0.0.2".repeat(HOPS));
        assert_eq!(client(OURS, "10.0.0.1", &[&line]), "10.0.0.2", "too far to look");
    }
}
