//! Whether the addresses that a cluster names can be reached: brokers tell every client where they
//! are, and what they tell may be good elsewhere alone (another network, a name that is not resolved).

use std::{
    io,
    net::{TcpStream, ToSocketAddrs},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How long looking takes in all: to resolve a name, and to open a connection.
const WITHIN: Duration = Duration::from_secs(3);

/// Those of `brokers` that can't be reached, each with the reason.
pub(super) fn unreachable(brokers: &[(String, u16)]) -> Vec<String> {
    let end = Instant::now() + WITHIN;
    let threads: Vec<_> = brokers.iter().cloned().map(look).collect();
    let answer = |((host, port), answer): (&(String, u16), mpsc::Receiver<io::Result<()>>)| {
        let left = end.saturating_duration_since(Instant::now());
        let problem = match answer.recv_timeout(left) {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no connection within {} s", WITHIN.as_secs()),
        };
        Some(format!("{host}:{port} ({problem})"))
    };
    brokers.iter().zip(threads).filter_map(answer).collect()
}

/// On a thread of its own: the resolver knows no time limit.
fn look((host, port): (String, u16)) -> mpsc::Receiver<io::Result<()>> {
    let (send, receive) = mpsc::channel();
    let look = move || {
        // Too late, perhaps: then there is no listener.
        let _ = send.send(connect(&host, port));
    };
    // Without a thread the sender is dropped, and the broker counts as one that does not answer.
    let _ = thread::Builder::new().name("kafka-address".into()).spawn(look);
    receive
}

fn connect(host: &str, port: u16) -> io::Result<()> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, WITHIN) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_address_that_refuses_or_has_no_name_is_named_with_the_reason() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = open.local_addr().unwrap().port();
        let brokers = [("127.0.0.1".to_owned(), port), ("no-such-host.invalid".to_owned(), 9092)];
        let found = unreachable(&brokers);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("no-such-host.invalid:9092 ("), "{found:?}");
        drop(open);
        let found = unreachable(&brokers[..1]);
        assert!(
            found[0].starts_with(&format!("127.0.0.1:{port} (Connection refused")),
            "{found:?}"
        );
    }
}
