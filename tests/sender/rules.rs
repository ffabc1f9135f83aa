//! What becomes of deliveries, registrations and subscriptions, by what the server answers.

use std::collections::HashMap;

use crate::{played::Response, server::Server, simulate::simulate};

/// One connection, a delivery every 20 ms for 200 ms; a minute is 20 ms.
const SHORT: &str = "--connections 1 --rate 50 --duration 200ms --settle 60s --time-scale 3000";

#[test]
fn a_503_and_then_a_200_is_delivered_and_the_second_try_is_the_same_request_but_for_its_counters() {
    let server = Server::answering(|n| if n == 0 { 503 } else { 200 });
    let ended = simulate(&server.url(), "adobe", SHORT);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = ended.report();
    let adobe = &report["senders"]["adobe"];
    assert_eq!(adobe["sent"], adobe["delivered"], "{report:#}");
    assert_eq!(adobe["answers"]["503"], 1, "{report:#}");
    assert_eq!(adobe["lost"]["deliveries"], 0);

    let posts = server.posts();
    let second = posts[1..].iter().find(|post| post.body == posts[0].body).unwrap();
    assert_eq!(posts[0].header("x-adobe-retry-count"), None);
    assert_eq!(second.header("x-adobe-retry-count"), Some("1"));
    for same in [
        "x-adobe-event-id",
        "x-adobe-digital-signature-1",
        "x-adobe-digital-signature-2",
        "x-adobe-public-key1-path",
        "x-adobe-public-key2-path",
        "x-adobe-provider",
        "content-type",
    ] {
        assert!(posts[0].header(same).is_some(), "{same} is missing");
        assert_eq!(posts[0].header(same), second.header(same), "{same}");
    }
    assert_ne!(posts[0].header("x-adobe-delivery-id"), second.header("x-adobe-delivery-id"));
}

#[test]
fn what_is_answered_with_a_3xx_4xx_or_505_is_lost_and_never_sent_again() {
    let finals = [301, 400, 401, 404, 413, 505];
    let server = Server::answering(move |n| finals.get(n).copied().unwrap_or(200));
    let options = SHORT.replace("200ms", "500ms");
    let ended = simulate(&server.url(), "adobe", &options);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.consequences("adobe"), ["lost"]);
    let report = ended.report();
    assert_eq!(report["senders"]["adobe"]["lost"]["deliveries"], finals.len());
    let mut times = HashMap::new();
    for post in server.posts() {
        *times.entry(post.body).or_insert(0) += 1;
    }
    assert!(times.values().all(|times| *times == 1), "nothing is sent twice");
}

#[test]
fn a_429_is_no_loss() {
    let server = Server::answering(|n| if n == 0 { 429 } else { 200 });
    let ended = simulate(&server.url(), "adobe", SHORT);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn an_endpoint_that_fails_for_a_day_is_disabled_and_nothing_more_is_sent() {
    let server = Server::answering(|_| 503);
    // A day is two seconds.
    let options = "--connections 2 --rate 40 --duration 1h --time-scale 43200";
    let ended = simulate(&server.url(), "adobe", options);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.consequences("adobe").contains(&"disabled".into()), "{ended:?}");
    assert!(ended.report()["seconds"].as_f64() < Some(600.0), "it did not go on for an hour");
}

#[test]
fn an_endpoint_that_fails_for_a_while_is_unstable() {
    let server = Server::answering(|n| if n < 12 { 503 } else { 200 });
    let ended = simulate(&server.url(), "adobe", SHORT);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.consequences("adobe"), ["unstable"]);
}

#[test]
fn an_endpoint_that_does_not_say_the_challenge_back_gets_no_event() {
    let server = Server::start(|request, _| match request.target.split_once("challenge=") {
        Some((_, value)) => Response::new(200, value).header("content-type", "text/html"),
        None => Response::new(200, ""),
    });
    let ended = simulate(&server.url(), "adobe", SHORT);
    assert_eq!((ended.code, ended.consequences("adobe")), (Some(1), vec!["refused".into()]));
    assert!(server.posts().is_empty());
    let unasked = simulate(&server.url(), "adobe", &format!("{SHORT} --no-challenge"));
    assert_eq!(unasked.code, Some(0), "{unasked:?}");
}

#[test]
fn three_failures_pause_a_subscription_and_the_first_success_enables_it_again() {
    let server = Server::answering(|n| if n < 4 { 503 } else { 200 });
    let ended = simulate(&server.url(), "marketo", SHORT);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.consequences("marketo"), ["paused"]);
    let report = ended.report();
    let marketo = &report["senders"]["marketo"];
    assert_eq!(marketo["sent"], marketo["delivered"]);
    let posts = server.posts();
    assert!(posts[..5].iter().all(|post| post.body == posts[0].body), "one batch, five times");
    assert_eq!(posts[0].header("authorization"), Some("Bearer 5ecret"));
}

#[test]
fn two_failures_pause_nothing_whatever_they_are() {
    let server = Server::answering(|n| [401, 302].get(n).copied().unwrap_or(200));
    let ended = simulate(&server.url(), "marketo", SHORT);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn what_is_not_delivered_when_the_play_ends_is_told() {
    let server = Server::answering(|n| if n == 0 { 503 } else { 200 });
    // A minute is a minute.
    let options = "--connections 1 --rate 50 --duration 100ms --settle 0s";
    let ended = simulate(&server.url(), "adobe", options);
    assert_eq!((ended.code, ended.consequences("adobe")), (Some(1), vec!["undecided".into()]));
}
