//! The provider's keys: over time, in trouble, and under attack.

use std::time::Duration;

use millrace::ingest::authenticate::{Gate, moment::Moment, reason::Reason};
use serde_json::{Value, json};

use super::{
    Said, ask, deliver, front, oauth,
    provider::{IdentityProvider, Mood},
    signer::{Signer, claims},
};
use crate::support::{Front, eventually, within};

const KEYS: &str = "/keys?v=1";
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A token that is good around `now`.
fn token(signer: &Signer, provider: &IdentityProvider, now: Moment) -> String {
    signer.sign(&claims(&provider.issuer, now))
}

#[tokio::test]
async fn a_provider_that_is_down_before_its_keys_are_known_is_503_until_it_is_back() {
    let signer = Signer::rsa("r");
    let provider = IdentityProvider::start(&[&signer]);
    for mood in [Mood::Away, Mood::Status(500), Mood::Status(404), Mood::Status(302)] {
        provider.is(mood.clone());
        let front = front(&provider.signed()).await;
        let reply = deliver(&front, &token(&signer, &provider, Moment::now())).await;
        assert_eq!(reply.status, 503, "{mood:?}");
        assert_eq!(reply.header("retry-after"), Some("30"), "{mood:?}");
        assert_eq!(front.deliveries("leads", "undecided"), 1);
    }
    provider.is(Mood::Away);
    let (oauth, now) = (oauth(&provider.signed(), None), Moment::now());
    let token = token(&signer, &provider, now);
    assert_eq!(ask(&oauth, &token, now).await, Said::Later);
    provider.is(Mood::Well);
    let before = provider.asked("").len();
    assert_eq!(ask(&oauth, &token, now.later(SECOND)).await, Said::Later);
    assert_eq!(provider.asked("").len(), before, "it is not asked for every delivery");
    assert_eq!(ask(&oauth, &token, now.later(6 * SECOND)).await, Said::Yes);
}

#[tokio::test]
async fn keys_that_are_known_go_on_working_for_a_day_while_the_provider_is_down() {
    let signer = Signer::ec("e");
    let provider = IdentityProvider::start(&[&signer]);
    let (oauth, now) = (oauth(&provider.signed(), None), Moment::now());
    assert_eq!(ask(&oauth, &token(&signer, &provider, now), now).await, Said::Yes);
    provider.is(Mood::Away);
    for later in [SECOND, HOUR, 12 * HOUR, 24 * HOUR - SECOND] {
        let now = now.later(later);
        assert_eq!(ask(&oauth, &token(&signer, &provider, now), now).await, Said::Yes, "{later:?}");
    }
    let day = now.later(24 * HOUR);
    assert_eq!(ask(&oauth, &token(&signer, &provider, day), day).await, Said::Later);
    provider.is(Mood::Well);
    let back = day.later(60 * SECOND);
    assert_eq!(ask(&oauth, &token(&signer, &provider, back), back).await, Said::Yes);
}

#[tokio::test]
async fn keys_are_looked_up_again_before_they_get_old_and_no_delivery_waits_for_it() {
    let (old, new) = (Signer::rsa("old"), Signer::rsa("new"));
    let provider = IdentityProvider::start(&[&old]);
    let (oauth, now) = (oauth(&provider.signed(), None), Moment::now());
    assert_eq!(ask(&oauth, &token(&old, &provider, now), now).await, Said::Yes);
    provider.publish(&[&new]);
    let later = now.later(600 * SECOND);
    provider.hold();
    let withdrawn = token(&old, &provider, later);
    assert_eq!(ask(&oauth, &withdrawn, later).await, Said::Yes, "while the look-up is under way");
    assert_eq!(ask(&oauth, &withdrawn, later).await, Said::Yes);
    provider.was_asked("openid-configuration", 2).await;
    provider.release();
    provider.was_asked(KEYS, 2).await;
    // The withdrawn key is not there any more once the look-up has landed.
    let much_later = later.later(10 * SECOND);
    within(async {
        while ask(&oauth, &withdrawn, much_later).await != Said::No(Reason::TokenKeyUnknown) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(ask(&oauth, &token(&new, &provider, later), later).await, Said::Yes);
}

#[tokio::test]
async fn a_new_key_is_found_at_its_first_token() {
    let (old, new) = (Signer::rsa("old"), Signer::ed("new"));
    let provider = IdentityProvider::start(&[&old]);
    let (oauth, now) = (oauth(&provider.signed(), None), Moment::now());
    assert_eq!(ask(&oauth, &token(&old, &provider, now), now).await, Said::Yes);
    provider.publish(&[&old, &new]);
    let later = now.later(10 * SECOND);
    for signer in [&new, &old] {
        assert_eq!(ask(&oauth, &token(signer, &provider, later), later).await, Said::Yes);
    }
    assert_eq!(provider.asked(KEYS).len(), 2);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_has_them_looked_up_once_and_hinders_nobody() {
    let signer = Signer::ed("known");
    let provider = IdentityProvider::start(&[&signer]);
    let (oauth, now) = (oauth(&provider.signed(), None), Moment::now());
    let good = token(&signer, &provider, now);
    assert_eq!(ask(&oauth, &good, now).await, Said::Yes);
    let later = now.later(10 * SECOND);
    let mut said = Vec::new();
    for number in 0..200 {
        let stranger = Signer::ed(&format!("unknown-{number}"));
        let now = later.later(Duration::from_millis(40 * number));
        said.push(ask(&oauth, &token(&stranger, &provider, now), now).await);
        assert_eq!(ask(&oauth, &good, now).await, Said::Yes);
    }
    assert_eq!(said[0], Said::No(Reason::TokenKeyUnknown), "it was looked up");
    assert!(said[1..].iter().all(|said| *said == Said::Later), "a key may be new: {said:?}");
    assert_eq!(provider.asked(KEYS).len(), 2);
}

#[tokio::test]
async fn an_unknown_key_is_undecided_while_the_provider_is_down() {
    let (known, unknown) = (Signer::ed("known"), Signer::ed("unknown"));
    let provider = IdentityProvider::start(&[&known]);
    let (oauth, now) = (oauth(&provider.signed(), None), Moment::now());
    assert_eq!(ask(&oauth, &token(&known, &provider, now), now).await, Said::Yes);
    provider.is(Mood::Status(503));
    let later = now.later(10 * SECOND);
    assert_eq!(ask(&oauth, &token(&unknown, &provider, later), later).await, Said::Later);
    assert_eq!(ask(&oauth, &token(&known, &provider, later), later).await, Said::Yes);
}

#[tokio::test]
async fn many_tokens_at_once_wait_for_one_look_up() {
    let signer = Signer::ec("e");
    let provider = IdentityProvider::start(&[&signer]);
    provider.hold();
    let front = front(&provider.signed()).await;
    let token = token(&signer, &provider, Moment::now());
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut raw = front.connect().await;
        raw.send(super::post_with(&token)).await;
        waiting.push(raw);
    }
    provider.was_asked("openid-configuration", 1).await;
    provider.release();
    for raw in &mut waiting {
        assert_eq!(raw.reply().await.status, 200);
    }
    assert_eq!((provider.asked("openid-configuration").len(), provider.asked(KEYS).len()), (1, 1));
}

#[tokio::test]
async fn a_slow_provider_is_503_in_time_and_its_late_answer_counts_for_the_next() {
    let signer = Signer::ec("e");
    let provider = IdentityProvider::start(&[&signer]);
    provider.hold();
    let gate = Gate { oauth: Some(oauth(&provider.signed(), None)), ..Gate::default() };
    let hasty = |listen: &mut millrace::config::Listen| {
        listen.request_timeout = Duration::from_millis(200);
    };
    let front = Front::behind(gate, None, hasty).await;
    let token = token(&signer, &provider, Moment::now());
    assert_eq!(deliver(&front, &token).await.status, 503);
    assert_eq!(deliver(&front, &token).await.status, 503);
    provider.release();
    provider.was_asked(KEYS, 1).await;
    within(async { while deliver(&front, &token).await.status != 200 {} }).await;
    assert_eq!(provider.asked(KEYS).len(), 1);
}

#[tokio::test]
async fn a_set_of_keys_that_is_too_large_or_none_is_not_used() {
    let signer = Signer::ed("d");
    let provider = IdentityProvider::start(&[&signer]);
    let many: Vec<_> = (0..65).map(|_| &signer.jwk).collect();
    let padding = "x".repeat(300_000);
    for (what, text) in [
        ("65 keys", json!({ "keys": many }).to_string()),
        (
            "more bytes than a set may have",
            json!({ "keys": [signer.jwk], "x": padding }).to_string(),
        ),
        ("no keys", json!({ "keys": [] }).to_string()),
        ("no set", "<html></html>".into()),
        ("deep", format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        ("a shared secret alone", r#"{"keys":[{"kty":"oct","kid":"d","k":"AAAA"}]}"#.into()),
    ] {
        provider.publish_text(text);
        let now = Moment::now();
        let oauth = oauth(&provider.signed(), None);
        assert_eq!(ask(&oauth, &token(&signer, &provider, now), now).await, Said::Later, "{what}");
    }
}

#[tokio::test]
async fn keys_that_are_no_good_are_passed_over_and_never_used() {
    let good = Signer::rsa("good");
    let with = |name: &str, value: Value| {
        let signer = Signer::rsa(name);
        let mut jwk = signer.jwk.clone();
        jwk[name] = value;
        (signer, jwk)
    };
    let small = json!({ "kty": "RSA", "kid": "small", "n": "AQAB".repeat(42), "e": "AQAB" });
    let unusable =
        [with("use", "enc".into()), with("alg", "PS256".into()), with("key_ops", json!(["sign"]))];
    let mut keys =
        vec![small, json!(7), json!({ "kty": 1 }), json!({ "kty": "EC", "crv": "P-521" })];
    keys.extend(unusable.iter().map(|(_, jwk)| jwk.clone()));
    keys.push(good.jwk.clone());
    let provider = IdentityProvider::start(&[]);
    provider.publish_text(json!({ "keys": keys }).to_string());
    let (oauth, now) = (oauth(&provider.signed(), None), Moment::now());
    assert_eq!(ask(&oauth, &token(&good, &provider, now), now).await, Said::Yes);
    for (number, (signer, _)) in (1..).zip(&unusable) {
        let now = now.later(number * 10 * SECOND);
        let said = ask(&oauth, &token(signer, &provider, now), now).await;
        assert_eq!(said, Said::No(Reason::TokenKeyUnknown), "{}", signer.kid);
    }
}

#[tokio::test]
async fn only_the_configured_issuers_document_counts_and_an_address_for_keys_needs_none() {
    let signer = Signer::ed("d");
    let provider = IdentityProvider::start(&[&signer]);
    let now = Moment::now();
    let good = token(&signer, &provider, now);
    let keys: reqwest::Url = format!("{}/keys?v=1", provider.issuer).parse().unwrap();
    for change in [
        json!({ "issuer": "http://127.0.0.1/other", "jwks_uri": keys.as_str() }),
        json!({ "issuer": provider.issuer, "jwks_uri": "http://keys.example.com/keys" }),
        json!({ "issuer": provider.issuer }),
    ] {
        provider.document(|document| *document = change.clone());
        let oauth = oauth(&provider.signed(), None);
        assert_eq!(ask(&oauth, &good, now).await, Said::Later, "{change}");
    }
    assert_eq!(provider.asked(KEYS).len(), 0);
    let mut config = provider.signed();
    config.jwks_url = Some(keys);
    assert_eq!(ask(&oauth(&config, None), &good, now).await, Said::Yes);
}

#[tokio::test]
async fn keys_are_looked_up_before_the_first_token_comes() {
    let signer = Signer::ed("d");
    let provider = IdentityProvider::start(&[&signer]);
    let oauth = oauth(&provider.signed(), None);
    oauth.prepare(Moment::now());
    eventually(|| provider.asked(KEYS).len() == 1).await;
    let now = Moment::now();
    assert_eq!(ask(&oauth, &token(&signer, &provider, now), now).await, Said::Yes);
    assert_eq!(provider.asked(KEYS).len(), 1);
}
