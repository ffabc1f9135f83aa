//! How large a body may be.

use crate::{
    proxy::{BOTH, Kind, Proxy, settings},
    support::bridge::{Bridge, LEADS, TOKEN},
};

const MIB: usize = 1 << 20;

/// A batch of so many bytes.
fn body(length: usize) -> Vec<u8> {
    let mut body = crate::proxy::delivery(1);
    body.resize(length, b' ');
    body
}

fn status(proxy: &Proxy, length: usize) -> u16 {
    proxy.client().deliver(LEADS, TOKEN, &body(length)).unwrap().status
}

#[test]
fn a_body_of_the_largest_size_passes_and_a_larger_one_comes_again() {
    let bridge = Bridge::start(settings());
    for kind in BOTH {
        let proxy = Proxy::start(kind, &[bridge.deliveries()]);
        assert_eq!(status(&proxy, 16 * MIB), 200, "{kind:?}");
        // The sender repeats after it, until an operator has raised the limit.
        let larger = status(&proxy, 17 * MIB);
        assert!((500..600).contains(&larger), "{kind:?}: {larger}");
    }
}

#[test]
fn without_the_documented_setting_nginx_refuses_a_large_body_for_good() {
    let bridge = Bridge::start(settings());
    let changes = [("client_max_body_size 0;", "")];
    let proxy = Proxy::with(Kind::Nginx, &[bridge.deliveries()], &changes);
    assert_eq!((status(&proxy, MIB), status(&proxy, MIB + 1)), (200, 413));
    assert_eq!(bridge.metric("millrace_deliveries_total", &["source=\"leads\""]), 1.0);
}
