//! The schedule, the report, the command line.

use std::{process::Command, thread, time::Duration};

use crate::{
    played::Response,
    server::Server,
    simulate::{run, simulate},
};

#[test]
fn a_server_that_stalls_once_shows_in_the_times_of_all_that_waited_behind_it() {
    let server = Server::start(|_, n| {
        if n == 20 {
            thread::sleep(Duration::from_secs(1));
        }
        Response::new(200, "")
    });
    let options = "--connections 1 --rate 50 --duration 2s --events-per-delivery 1";
    let ended = simulate(&server.url(), "marketo", options);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = ended.report();
    let marketo = &report["senders"]["marketo"];
    let millis = |times: &str, quantile: &str| marketo[times][quantile].as_f64().unwrap();
    // One in a hundred took a second, and fifty were due within it.
    assert!(millis("since_sent_ms", "max") >= 1000.0, "{report:#}");
    assert!(millis("since_due_ms", "p90") >= 500.0, "{report:#}");
    assert!(millis("since_due_ms", "p90") > 2.0 * millis("since_sent_ms", "p90"), "{report:#}");
    // None was left out for it.
    assert!(marketo["sent"]["deliveries"].as_u64() >= Some(100), "{report:#}");
    assert!(marketo["own_lag_ms"]["count"] == marketo["requests"], "{report:#}");
}

#[test]
fn both_senders_play_side_by_side_each_to_its_own_place() {
    let (marketo, adobe) = (Server::answering(|_| 200), Server::answering(|_| 200));
    let options = format!(
        "--adobe-to {} --rate 20 --connections 2 --duration 500ms --prepare 2 --events-per-delivery 3",
        adobe.url()
    );
    let ended = simulate(&marketo.url(), "both", &options);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = ended.report();
    for (sender, server) in [("marketo", &marketo), ("adobe", &adobe)] {
        let account = &report["senders"][sender];
        assert_eq!(account["requests"], server.posts().len(), "{report:#}");
        let deliveries = account["sent"]["deliveries"].as_u64().unwrap();
        assert_eq!(account["sent"]["events"], 3 * deliveries);
        assert!(deliveries >= 10, "{report:#}");
    }
    assert!(marketo.posts().iter().all(|post| post.body.starts_with(b"{\"sourceApplication\"")));
    assert!(adobe.posts().iter().all(|post| post.body.starts_with(b"[{")));
    assert!(ended.errors.contains("/prod/keys/pub-key-"), "{ended:?}");
}

#[test]
fn the_report_for_people_says_what_a_real_sender_would_have_done() {
    let server = Server::answering(|n| if n == 0 { 400 } else { 200 });
    let url = server.url();
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command.args([
        "simulate",
        "--to",
        &url,
        "--as",
        "adobe",
        "--duration",
        "300ms",
        "--rate",
        "20",
    ]);
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for expected in
        ["in 1 delivery lost: they are not sent again", "1 × 400", "since due  ", "own lag  "]
    {
        assert!(ended.out.contains(expected), "{expected}: {}", ended.out);
    }
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_sent_and_the_token_is_never_told() {
    let server = Server::answering(|_| 200);
    for (url, options) in [
        ("ftp://localhost/", ""),
        ("nonsense", ""),
        (server.url().as_str(), "--rate 0"),
        (server.url().as_str(), "--duration 0s"),
        (server.url().as_str(), "--connections 0"),
        (server.url().as_str(), "--events-per-delivery 5-2"),
        (server.url().as_str(), "--token-file /no/such/file"),
        (server.url().as_str(), "--keys-listen 203.0.113.1:1 --as both"),
    ] {
        let sender = if options.contains("--as") { "" } else { "--as marketo" };
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
        command.args(["simulate", "--to", url]);
        command.args(sender.split_whitespace()).args(options.split_whitespace());
        let ended = run(&mut command);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{url} {options}: {ended:?}");
        assert!(!ended.errors.contains("5ecret"), "{ended:?}");
    }
    assert!(server.posts().is_empty());
}
