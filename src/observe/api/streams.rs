//! Limits of streams of events: of all clients together, and of one client.
//!
//! A client is an address (of IPv6 its network of 64 bits) together with the token or session that it signed in by.
//! Behind one proxy all operators have one address, but each browser has a session of its own.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;

use super::Problem;

/// Streams of all clients together.
pub const MAX_STREAMS: usize = 16;
/// Streams of one client: four clients can take all.
pub const MAX_STREAMS_PER_CLIENT: usize = 4;

/// A client, whose streams are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client {
    network: IpAddr,
    /// The digest of a token or of a session.
    signed_in_by: Option<[u8; 32]>,
}

impl Client {
    pub fn new(address: IpAddr, signed_in_by: Option<[u8; 32]>) -> Self {
        let network = match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address => address,
        };
        Self { network, signed_in_by }
    }
}

#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<HashMap<Client, usize>>);

/// One of the streams, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    streams: Arc<Streams>,
    client: Client,
}

impl Streams {
    pub fn take(self: &Arc<Self>, client: Client) -> Result<Permit, Problem> {
        let mut of = self.0.lock();
        let taken: usize = of.values().sum();
        let own = of.get(&client).copied().unwrap_or(0);
        if own >= MAX_STREAMS_PER_CLIENT {
            let text = format!(
                "You have {MAX_STREAMS_PER_CLIENT} streams, as many as one client may: close one."
            );
            return Err(Problem::new("too-many", text));
        }
        if taken >= MAX_STREAMS {
            let text =
                format!("There are {MAX_STREAMS} streams, as many as there may be: ask later.");
            return Err(Problem::new("too-many", text));
        }
        of.insert(client, own + 1);
        Ok(Permit { streams: self.clone(), client })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut of = self.streams.0.lock();
        if let Some(own) = of.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                of.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> Client {
        Client::new(address.parse().unwrap(), None)
    }

    #[test]
    fn one_client_takes_its_share_and_all_together_no_more_than_there_are() {
        let streams = Arc::new(Streams::default());
        let take = |client| streams.take(client);
        let mut own: Vec<_> =
            (0..MAX_STREAMS_PER_CLIENT).map(|_| take(client("10.0.0.1")).unwrap()).collect();
        assert_eq!(take(client("10.0.0.1")).unwrap_err().error, "too-many");
        assert!(take(client("::ffff:10.0.0.1")).is_err(), "the same address");
        let mut others: Vec<_> = (0..MAX_STREAMS - MAX_STREAMS_PER_CLIENT)
            .map(|n| take(client(&format!("10.0.1.{n}"))).unwrap())
            .collect();
        assert!(take(client("10.0.2.1")).is_err());
        own.pop();
        others.push(take(client("10.0.2.1")).unwrap());
        assert!(take(client("10.0.0.1")).is_err(), "all are taken");
        drop((own, others));
        assert!(streams.0.lock().is_empty(), "clients without a stream are forgotten");
    }

    #[test]
    fn a_client_is_its_network_and_its_token_or_session() {
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        let signed_in = Client::new("10.0.0.1".parse().unwrap(), Some([7; 32]));
        assert_ne!(client("10.0.0.1"), signed_in);
    }
}
