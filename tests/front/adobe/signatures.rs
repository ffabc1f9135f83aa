//! Which deliveries get in.

use std::time::Duration;

use millrace::config::Listen;
use tokio::time::timeout;

use super::{
    key_host::Says,
    rig::{EVENT, FIRST_PATH, Rig, SECOND_PATH, gzip, pair, presented, signed},
    signer::{FIRST, SECOND, STRANGER},
};

#[tokio::test]
async fn an_event_or_a_batch_signed_by_openssl_is_stored_byte_for_byte() {
    let rig = Rig::start().await;
    let batch = format!("[{EVENT},\n {EVENT}]");
    let spaced = format!(" {EVENT}\r\n");
    for body in [EVENT, &batch, &spaced, "[]"] {
        assert_eq!(rig.deliver(body).await.status, 200, "{body}");
        assert_eq!(rig.front.store.bodies().pop().unwrap(), body.as_bytes());
    }
    assert_eq!(rig.host.asked().len(), 2, "each key once: {:?}", rig.host.asked());
}

/// What may be the matter with a pair.
#[derive(Clone, Copy, Debug)]
enum Pair {
    Good,
    /// Signed by somebody else.
    Forged,
    OfAnotherBody,
    NotBase64,
    Absent,
    WithoutPath,
    /// The host does not have this key.
    NoSuchKey,
    /// What the host has there is none.
    NotAKey,
    /// Signed well; the path is none of Adobe's.
    ForeignPath,
}

impl Pair {
    const ALL: [Self; 9] = [
        Self::Good,
        Self::Forged,
        Self::OfAnotherBody,
        Self::NotBase64,
        Self::Absent,
        Self::WithoutPath,
        Self::NoSuchKey,
        Self::NotAKey,
        Self::ForeignPath,
    ];

    fn headers(self, number: u8) -> Vec<String> {
        let (signer, path) =
            if number == 1 { (&*FIRST, FIRST_PATH) } else { (&*SECOND, SECOND_PATH) };
        let body = EVENT.as_bytes();
        match self {
            Self::Good => pair(number, signer, path, body),
            Self::Forged => pair(number, &STRANGER, path, body),
            Self::OfAnotherBody => pair(number, signer, path, b"{}"),
            Self::NotBase64 => presented(number, "not*base64", path),
            Self::Absent => Vec::new(),
            Self::WithoutPath => pair(number, signer, path, body)[..1].to_vec(),
            Self::NoSuchKey => pair(number, signer, "/prod/keys/nowhere.pem", body),
            Self::NotAKey => pair(number, signer, "/prod/keys/page.pem", body),
            Self::ForeignPath => pair(number, signer, "@evil.test/prod/keys/k.pem", body),
        }
    }

    /// The status when the other pair says nothing.
    fn alone(self) -> u16 {
        match self {
            Self::Good => 200,
            Self::Forged
            | Self::OfAnotherBody
            | Self::NotBase64
            | Self::Absent
            | Self::WithoutPath => 401,
            Self::NoSuchKey | Self::NotAKey | Self::ForeignPath => 503,
        }
    }
}

#[tokio::test]
async fn either_pair_suffices_and_only_two_bad_ones_are_refused_for_good() {
    let rig = Rig::start().await;
    rig.host.says("/prod/keys/page.pem", Says::text("<html>"));
    for first in Pair::ALL {
        for second in Pair::ALL {
            let expected = match (first.alone(), second.alone()) {
                (200, _) | (_, 200) => 200,
                (503, _) | (_, 503) => 503,
                _ => 401,
            };
            let headers = [first.headers(1), second.headers(2)].concat();
            let reply = rig.post(&headers, EVENT.as_bytes()).await;
            assert_eq!(reply.status, expected, "{first:?} and {second:?}");
            assert_eq!(reply.header("retry-after").is_some(), expected == 503);
            assert_eq!(reply.header("www-authenticate").is_some(), expected == 401);
        }
    }
    let all = Pair::ALL.len() as u64;
    assert_eq!(rig.count("stored"), 2 * all - 1);
    assert_eq!(rig.front.store.stored().len() as u64, rig.count("stored"));
    assert_eq!(rig.count("bad-credentials"), 5 * 5);
}

#[tokio::test]
async fn a_pair_is_its_own_signature_with_its_own_key() {
    let rig = Rig::start().await;
    let body = EVENT.as_bytes();
    let crossed = [pair(1, &FIRST, SECOND_PATH, body), pair(2, &SECOND, FIRST_PATH, body)].concat();
    assert_eq!(rig.post(&crossed, body).await.status, 401);
    // Nobody says that the first key belongs to the first pair.
    let swapped = [pair(1, &SECOND, SECOND_PATH, body), pair(2, &FIRST, FIRST_PATH, body)].concat();
    assert_eq!(rig.post(&swapped, body).await.status, 200);
}

#[tokio::test]
async fn a_body_that_was_written_anew_or_changed_in_any_byte_is_refused() {
    let rig = Rig::start().await;
    let headers = signed(EVENT.as_bytes());
    let value: serde_json::Value = serde_json::from_str(EVENT).unwrap();
    let anew = [
        serde_json::to_string(&value).unwrap(),
        serde_json::to_string_pretty(&value).unwrap(),
        format!("{EVENT}\n"),
        format!("[{EVENT}]"),
        EVENT.replace("999", "998"),
        EVENT[..EVENT.len() - 1].to_owned(),
    ];
    for body in anew {
        assert_eq!(rig.post(&headers, body.as_bytes()).await.status, 401, "{body}");
    }
    assert!(rig.front.store.stored().is_empty());
}

#[tokio::test]
async fn a_header_that_comes_twice_is_no_pair_even_when_both_are_right() {
    let rig = Rig::start().await;
    let body = EVENT.as_bytes();
    let pair = pair(1, &FIRST, FIRST_PATH, body);
    for twice in &pair {
        let headers = [pair.as_slice(), std::slice::from_ref(twice)].concat();
        assert_eq!(rig.post(&headers, body).await.status, 401, "{twice}");
    }
}

#[tokio::test]
async fn the_signature_is_over_the_bytes_on_the_wire_and_they_are_inflated_behind_it() {
    let rig = Rig::start().await;
    let gzip = gzip(EVENT.as_bytes());
    let coded = |body: &[u8]| [signed(body), vec!["content-encoding: gzip".into()]].concat();
    assert_eq!(rig.post(&coded(&gzip), &gzip).await.status, 200);
    assert_eq!(rig.front.store.bodies(), [EVENT.as_bytes()]);
    assert_eq!(rig.post(&coded(EVENT.as_bytes()), &gzip).await.status, 401);
}

#[tokio::test]
async fn a_strangers_bomb_is_not_inflated() {
    let rig = Rig::with(|config| config.body_limit_inflated = 1 << 20, false).await;
    let bomb = gzip(&vec![b' '; 8 << 20]);
    let gzip = || vec!["content-encoding: gzip".to_owned()];
    let forged = [pair(1, &STRANGER, FIRST_PATH, &bomb), gzip()].concat();
    assert_eq!(rig.post(&forged, &bomb).await.status, 401);
    assert_eq!(rig.post(&gzip(), &bomb).await.status, 401);
    // Adobe's would be.
    assert_eq!(rig.post(&[signed(&bomb), gzip()].concat(), &bomb).await.status, 503);
    assert_eq!(rig.count("inflated-too-large"), 1);
}

#[tokio::test]
async fn a_large_batch_is_verified_too() {
    let rig = Rig::start().await;
    let batch = format!("[{}]", vec![EVENT; 3000].join(","));
    assert!(batch.len() > 600_000, "large enough to be digested aside");
    let headers = signed(batch.as_bytes());
    assert_eq!(rig.post(&headers, batch.as_bytes()).await.status, 200);
    assert_eq!(rig.post(&headers, batch.replace("77aa", "77ab").as_bytes()).await.status, 401);
}

#[tokio::test]
async fn the_old_signature_and_a_token_let_nobody_in() {
    let rig = Rig::start().await;
    for line in [
        "x-adobe-signature: aGVsbG8=",
        "authorization: Bearer hunter2",
        "x-adobe-event-id: 77aa",
        "x-adobe-digital-signature-3: aGVsbG8=",
    ] {
        let reply = rig.post(&[line.into()], EVENT.as_bytes()).await;
        assert_eq!(reply.status, 401, "{line}");
        let challenge = reply.header("www-authenticate");
        assert_eq!(challenge, Some("Signature realm=\"millrace\""));
    }
    assert!(rig.front.store.stored().is_empty());
    assert!(rig.host.asked().is_empty());
}

#[tokio::test]
async fn a_body_that_a_stranger_only_announces_keeps_no_room_from_a_sender() {
    let limits = |config: &mut Listen| {
        config.body_budget = 64 * 1024;
        config.request_timeout = Duration::from_secs(60);
    };
    let rig = Rig::with(limits, false).await;
    let mut stranger = rig.front.connect().await;
    let headers = signed(EVENT.as_bytes()).join("\r\n");
    let head = format!("POST /v1/audit HTTP/1.1\r\nhost: here\r\n{headers}");
    stranger.send(format!("{head}\r\ncontent-length: {}\r\n\r\n", 60 * 1024)).await;
    stranger.send(" ".repeat(40 * 1024)).await;
    // By the time that others have had their answers it has its room.
    for _ in 0..10 {
        assert_eq!(rig.deliver(EVENT).await.status, 200);
    }
    let large = format!("{EVENT}{}", " ".repeat(30 * 1024));
    let answer = timeout(Duration::from_secs(20), rig.deliver(large)).await;
    assert_eq!(answer.expect("long before the stranger's time is over").status, 200);
}
