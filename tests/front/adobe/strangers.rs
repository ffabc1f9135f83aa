//! A sender whose key is known, and one that is new, beside strangers who ask for everything that a request
//! without credentials can ask for: keys at random paths, and validation URLs.
//!
//! What the sender meets is printed; held is that each of its deliveries was stored. Times are not
//! compared: a busy machine slows the quiet time as well.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{
    key_host::Says,
    rig::{EVENT, FIRST_PATH, Rig, SECOND_PATH, pair, presented},
    signer::{FIRST, SECOND},
};
use crate::support::{Raw, within};

const DELIVERIES: usize = 100;

/// The times of deliveries one after another, the quickest first. Each of them is stored.
async fn deliver(rig: &Rig) -> Vec<Duration> {
    let headers = pair(1, &FIRST, FIRST_PATH, EVENT.as_bytes());
    let mut times = Vec::new();
    for _ in 0..DELIVERIES {
        let began = Instant::now();
        assert_eq!(rig.post(&headers, EVENT.as_bytes()).await.status, 200);
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times
}

/// Sends requests, a connection each, on so many connections at a time, until it is dropped.
fn crowd(
    rig: &Rig,
    connections: usize,
    request: impl Fn(usize) -> String + Clone + Send + 'static,
) -> JoinSet<()> {
    let mut crowd = JoinSet::new();
    for connection in 0..connections {
        let (address, request) = (rig.front.address, request.clone());
        crowd.spawn(async move {
            for n in 0.. {
                let mut stranger = Raw::connect(address).await;
                stranger.send(request(n * connections + connection)).await;
                stranger.reply().await;
            }
        });
    }
    crowd
}

fn post(head: &str, body: &str) -> String {
    let length = body.len();
    format!("POST /v1/audit HTTP/1.1\r\nhost: here\r\n{head}content-length: {length}\r\n\r\n{body}")
}

fn random_path(number: usize) -> String {
    let path = format!("/prod/keys/random-{number}.pem");
    post(&(presented(1, "AAAA", &path).join("\r\n") + "\r\n"), "{}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_sender_is_served_and_a_new_key_comes_through_whatever_strangers_ask_for() {
    let rig = Rig::start().await;
    rig.host.says(SECOND_PATH, Says::text(&SECOND.public));
    let quiet = deliver(&rig).await;
    let host = rig.host.url.clone();
    let validation = move |number: usize| {
        post("", &format!(r#"{{"validationUrl":"{host}csm/registrations/validate?id={number}"}}"#))
    };
    let crowds = [crowd(&rig, 60, random_path), crowd(&rig, 40, validation)];
    within(rig.host.was_asked(100)).await;
    let beside = deliver(&rig).await;
    let (began, mut tries) = (Instant::now(), 0);
    let headers = pair(2, &SECOND, SECOND_PATH, EVENT.as_bytes());
    within(async {
        while rig.post(&headers, EVENT.as_bytes()).await.status != 200 {
            tries += 1;
        }
    })
    .await;
    let new_key = began.elapsed();
    drop(crowds);
    let p99 = |times: &[Duration]| times[times.len() * 99 / 100];
    println!(
        "p99 quiet {:?}, beside the crowds {:?}; a new key after {new_key:?} and {tries} failed tries",
        p99(&quiet),
        p99(&beside)
    );
    assert_eq!(rig.front.store.stored().len(), 2 * DELIVERIES + 1);
}
