//! Tokens that the provider is asked about.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use millrace::ingest::authenticate::{caller::Caller, moment::Moment, reason::Reason};
use serde_json::json;
use tracing::Level;

use super::{
    CLIENT, Said, ask, deliver, front, oauth,
    provider::{IdentityProvider, Mood},
    signer::{Signer, claims},
};
use crate::{
    played::Request,
    secrets::lines_at,
    support::{Raw, within},
};

const SECOND: Duration = Duration::from_secs(1);
const TOKEN: &str = "opaque+hunter2/~.=";

fn provider() -> IdentityProvider {
    let provider = IdentityProvider::start(&[]);
    provider.says(TOKEN, json!({ "active": true, "client_id": CLIENT, "aud": null, "more": {} }));
    provider
}

fn times(provider: &IdentityProvider) -> usize {
    provider.asked("/introspect").len()
}

#[tokio::test]
async fn a_token_that_the_provider_calls_active_is_good_and_is_asked_about_once() {
    let provider = provider();
    let front = front(&provider.asking()).await;
    for _ in 0..5 {
        assert_eq!(deliver(&front, TOKEN).await.status, 200);
    }
    let asked = provider.asked("/introspect");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].method, "POST");
    assert_eq!(asked[0].body, b"token=opaque%2Bhunter2%2F%7E.%3D&token_type_hint=access_token");
    // Both are encoded as in forms before they are put into Basic.
    let basic = BASE64_STANDARD.encode("millrace%20id:s3cret%3Awith%2Bsigns%2F%25");
    assert_eq!(asked[0].header("authorization"), Some(format!("Basic {basic}").as_str()));
}

#[tokio::test]
async fn a_token_that_is_not_active_or_for_somebody_else_is_401() {
    let provider = provider();
    let now = Moment::now().unix_seconds;
    for (token, answer) in [
        ("inactive", json!({ "active": false, "client_id": CLIENT })),
        ("another-client", json!({ "active": true, "client_id": "another" })),
        ("no-client", json!({ "active": true })),
        ("expired", json!({ "active": true, "client_id": CLIENT, "exp": now - 61 })),
        ("not-yet", json!({ "active": true, "client_id": CLIENT, "nbf": now + 90 })),
        ("strange", json!({ "active": true, "client_id": [CLIENT] })),
    ] {
        provider.says(token, answer);
        let reply = deliver(&front(&provider.asking()).await, token).await;
        assert_eq!(reply.status, 401, "{token}");
        assert!(reply.header("www-authenticate").unwrap().contains("invalid_token"));
    }
    let mut config = provider.asking();
    config.audience = vec!["millrace".into()];
    assert_eq!(deliver(&front(&config).await, TOKEN).await.status, 401, "another audience");
}

#[tokio::test]
async fn no_answer_and_an_answer_that_says_nothing_are_503() {
    let provider = provider();
    for mood in [Mood::Away, Mood::Status(500), Mood::Status(401), Mood::Status(400)] {
        provider.is(mood.clone());
        let reply = deliver(&front(&provider.asking()).await, TOKEN).await;
        assert_eq!(reply.status, 503, "{mood:?}");
        assert_eq!(reply.header("retry-after"), Some("30"), "{mood:?}");
    }
    provider.is(Mood::Well);
    for (token, answer) in [
        ("page", "<html></html>".to_owned()),
        ("silent", "{}".to_owned()),
        ("text", r#"{"active":"true"}"#.to_owned()),
        ("long", format!(r#"{{"active":true,"x":"{}"}}"#, "x".repeat(300_000))),
    ] {
        provider.says(token, answer);
        let reply = deliver(&front(&provider.asking()).await, token).await;
        assert_eq!(reply.status, 503, "{token}");
    }
}

#[tokio::test]
async fn what_is_known_of_a_good_token_goes_on_working_for_its_time_while_the_provider_is_down() {
    let provider = provider();
    let (oauth, now) = (oauth(&provider.asking(), None), Moment::now());
    assert_eq!(ask(&oauth, TOKEN, now).await, Said::Yes);
    provider.is(Mood::Away);
    assert_eq!(ask(&oauth, TOKEN, now.later(59 * SECOND)).await, Said::Yes);
    assert_eq!(ask(&oauth, TOKEN, now.later(60 * SECOND)).await, Said::Later);
}

#[tokio::test]
async fn a_good_token_is_not_remembered_beyond_its_expiry() {
    let provider = IdentityProvider::start(&[]);
    let mut config = provider.asking();
    config.leeway = Duration::ZERO;
    let (oauth, now) = (oauth(&config, None), Moment::now());
    let exp = now.unix_seconds + 20;
    provider.says(TOKEN, json!({ "active": true, "client_id": CLIENT, "exp": exp }));
    assert_eq!(ask(&oauth, TOKEN, now).await, Said::Yes);
    assert_eq!(ask(&oauth, TOKEN, now.later(19 * SECOND)).await, Said::Yes);
    assert_eq!(times(&provider), 1);
    assert_eq!(ask(&oauth, TOKEN, now.later(20 * SECOND)).await, Said::No(Reason::TokenExpired));
    assert_eq!(times(&provider), 2);
}

#[tokio::test]
async fn a_bad_token_is_asked_about_again_soon_since_it_may_only_have_been_too_new() {
    let provider = IdentityProvider::start(&[]);
    let (oauth, now) = (oauth(&provider.asking(), None), Moment::now());
    assert_eq!(ask(&oauth, TOKEN, now).await, Said::No(Reason::TokenInactive));
    provider.says(TOKEN, json!({ "active": true, "client_id": CLIENT }));
    assert_eq!(ask(&oauth, TOKEN, now.later(9 * SECOND)).await, Said::No(Reason::TokenInactive));
    assert_eq!(times(&provider), 1);
    assert_eq!(ask(&oauth, TOKEN, now.later(10 * SECOND)).await, Said::Yes);
}

#[tokio::test]
async fn no_more_than_twenty_four_questions_of_strangers_are_open_at_once() {
    let provider = IdentityProvider::start(&[]);
    provider.hold();
    let front = front(&provider.asking()).await;
    let mut waiting = Vec::new();
    for number in 0..40 {
        let mut raw = front.connect().await;
        raw.send(super::post_with(&format!("token-{number}"))).await;
        waiting.push(raw);
    }
    provider.was_asked("/introspect", 24).await;
    assert_eq!(times(&provider), 24);
    // Those of the others whose place comes too late; the held ones end with the provider's time.
    let mut answers = Vec::new();
    for mut raw in waiting {
        answers.push(within(raw.reply()).await.status);
    }
    assert_eq!(answers, [503; 40]);
    provider.release();
}

#[tokio::test]
async fn a_token_that_was_good_waits_behind_no_stranger_when_it_is_asked_about_again() {
    let provider = provider();
    let (oauth, now) = (Arc::new(oauth(&provider.asking(), None)), Moment::now());
    assert_eq!(ask(&oauth, TOKEN, now).await, Said::Yes);
    provider.hold();
    let later = now.later(61 * SECOND);
    let mut crowd = tokio::task::JoinSet::new();
    for number in 0..100 {
        let oauth = oauth.clone();
        crowd.spawn(async move { ask(&oauth, &format!("stranger-{number}"), later).await });
    }
    provider.was_asked("/introspect", 1 + 24).await;
    let asked_again = tokio::spawn(async move { ask(&oauth, TOKEN, later).await });
    let of_it = |asked: &Request| asked.body.starts_with(b"token=opaque");
    within(async {
        while provider.asked("/introspect").iter().filter(|asked| of_it(asked)).count() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(times(&provider) <= 1 + 24 + 1, "before any stranger had gone");
    provider.release();
    assert_eq!(asked_again.await.unwrap(), Said::Yes);
}

#[tokio::test]
async fn a_token_that_is_seen_for_the_first_time_comes_through_a_crowd_in_another_network() {
    let provider = provider();
    let (oauth, now) = (Arc::new(oauth(&provider.asking(), None)), Moment::now());
    let headers = |token: &str| {
        let mut headers = http::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        headers
    };
    let from = |address: &str, connection| {
        let address = Some(address.parse().unwrap());
        Caller { address, connection }
    };
    provider.hold();
    let mut crowd = tokio::task::JoinSet::new();
    for connection in 0..300 {
        let (oauth, stranger) = (oauth.clone(), headers(&format!("stranger-{connection}")));
        crowd.spawn(async move {
            let caller = from("192.0.2.1", connection);
            oauth.authenticate(&stranger, caller, now).await.is_ok()
        });
    }
    provider.was_asked("/introspect", 24).await;
    let ours = headers(TOKEN);
    let ours = oauth.authenticate(&ours, from("203.0.113.1", 1), now);
    let release = async {
        // By now all of the crowd waits, and ours as the last one.
        tokio::task::yield_now().await;
        provider.release();
    };
    let (ours, ()) = within(async { tokio::join!(ours, release) }).await;
    assert!(ours.is_ok());
    let asked = provider.asked("/introspect");
    let place = asked.iter().position(|asked| asked.body.starts_with(b"token=opaque")).unwrap();
    // Every second turn is for the other network; in line it would be the 325th.
    assert!(place < 24 + 80, "{place}");
}

/// Nothing is known for long here, so the sender's token is asked about with each delivery.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_is_served_beside_a_crowd_of_random_tokens() {
    let provider = provider();
    let mut config = provider.asking();
    config.introspection.as_mut().unwrap().keep = Duration::from_millis(1);
    let front = front(&config).await;
    let deliveries = async || {
        let mut times = Vec::new();
        for _ in 0..100 {
            let began = std::time::Instant::now();
            assert_eq!(deliver(&front, TOKEN).await.status, 200);
            times.push(began.elapsed());
        }
        times.sort_unstable();
        times
    };
    let quiet = deliveries().await;
    let mut crowd = tokio::task::JoinSet::new();
    for connection in 0..100 {
        let address = front.address;
        crowd.spawn(async move {
            for n in 0.. {
                let mut stranger = Raw::connect(address).await;
                stranger.send(super::post_with(&format!("stranger-{connection}-{n}"))).await;
                assert_ne!(stranger.reply().await.status, 200);
            }
        });
    }
    provider.was_asked("/introspect", 500).await;
    let beside = deliveries().await;
    println!("p99 quiet {:?}, beside the crowd {:?}", quiet[98], beside[98]);
    assert_eq!(front.store.bodies().len(), 200);
}

#[tokio::test]
async fn a_jwt_goes_to_its_keys_where_there_are_any_and_is_asked_about_otherwise() {
    let signer = Signer::ed("d");
    let provider = IdentityProvider::start(&[&signer]);
    let token = signer.sign(&claims(&provider.issuer, Moment::now()));
    provider.says(&token, json!({ "active": true, "client_id": CLIENT }));
    assert_eq!(deliver(&front(&provider.asking()).await, &token).await.status, 200);
    assert_eq!((times(&provider), provider.asked("/keys?v=1").len()), (1, 0));

    provider.says(TOKEN, json!({ "active": true, "client_id": CLIENT, "aud": [super::AUDIENCE] }));
    let mut both = provider.signed();
    both.introspection = provider.asking().introspection;
    let front = front(&both).await;
    assert_eq!(deliver(&front, &token).await.status, 200);
    assert_eq!((times(&provider), provider.asked("/keys?v=1").len()), (1, 1));
    assert_eq!(deliver(&front, TOKEN).await.status, 200);
    assert_eq!(times(&provider), 2);
}

#[tokio::test]
async fn neither_the_token_nor_our_own_secret_is_logged() {
    let (lines, _guard) = lines_at(Level::TRACE);
    let provider = provider();
    let front = front(&provider.asking()).await;
    assert_eq!(deliver(&front, TOKEN).await.status, 200);
    assert_eq!(deliver(&front, "wrong-hunter2").await.status, 401);
    provider.is(Mood::Status(401));
    assert_eq!(deliver(&front, "other-hunter2").await.status, 503);
    let text = lines.text();
    let ours: Vec<_> = text.lines().filter(|line| line.contains("millrace::")).collect();
    assert!(
        ours.iter().any(|line| line.contains("rejects this service's client credentials")),
        "{text}"
    );
    for secret in ["hunter2", "s3cret", &BASE64_STANDARD.encode("millrace%20id:s3")[..20]] {
        assert!(!ours.iter().any(|line| line.contains(secret)), "{secret}:\n{text}");
    }
}
