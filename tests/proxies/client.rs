//! Whom the log and the API name as the client of a request that came through a proxy.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
};

use serde_json::Value;

use crate::{
    proxy::{BOTH, PATIENCE, Proxy, settings},
    support::{
        bridge::{Bridge, LEADS, Settings},
        wait,
    },
};

/// Another address than the proxy's.
const SENDER: &str = "127.0.0.2:0";

/// A request with a wrong token and a word of the sender's own about where it comes from; its status.
fn refused(proxy: SocketAddr) -> u16 {
    let request = format!(
        "POST {LEADS} HTTP/1.1\r\nhost: hooks\r\nauthorization: Bearer wrong\r\nx-forwarded-for: 192.0.2.7\r\n\
         content-length: 2\r\nconnection: close\r\n\r\n{{}}"
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SENDER.parse().unwrap()).unwrap();
        socket.connect(proxy).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    (&stream).write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    (&stream).read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// What the log and the API say.
fn clients(bridge: &Bridge) -> (String, String) {
    let logged = wait::until_some("the line of the refusal", PATIENCE, || {
        let log = bridge.log();
        let mut lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines.find(|line| line["outcome"] == "bad-credentials")?;
        line["client"].as_str().map(str::to_owned)
    });
    let answer = bridge.admin().get("/api/v1/deliveries?outcome=bad-credentials").unwrap();
    let answer: Value = serde_json::from_str(&answer.text()).unwrap();
    let told = answer["deliveries"][0]["client"].as_str();
    (logged, told.unwrap_or_else(|| panic!("{answer}")).to_owned())
}

#[test]
fn the_client_is_the_one_that_the_proxy_saw_where_the_proxy_is_trusted() {
    let not_told = Settings::new("127.0.0.1:1", "proxies");
    for kind in BOTH {
        for (settings, client) in [(settings(), "127.0.0.2"), (not_told.clone(), "127.0.0.1")] {
            let bridge = Bridge::start(settings);
            let proxy = Proxy::start(kind, &[bridge.deliveries()]);
            assert_eq!(refused(proxy.address()), 401, "{kind:?}");
            assert_eq!(clients(&bridge), (client.to_owned(), client.to_owned()), "{kind:?}");
        }
    }
}
