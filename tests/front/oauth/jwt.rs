//! Signed tokens, good and bad.

use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use millrace::ingest::authenticate::{Gate, moment::Moment, token::Tokens};
use serde_json::{Value, json};
use tracing::Level;

use super::{
    deliver, front, oauth, post_with,
    provider::IdentityProvider,
    signer::{Signer, b64, claims, message},
};
use crate::{
    secrets::lines_at,
    support::{Front, TOKEN, auth},
};

#[tokio::test]
async fn tokens_signed_by_any_kind_of_key_that_the_provider_publishes_are_good() {
    let signers = [Signer::rsa("r"), Signer::ec("e"), Signer::ed("d")];
    let provider = IdentityProvider::start(&signers.each_ref());
    let front = front(&provider.signed()).await;
    for signer in &signers {
        let token = signer.sign(&claims(&provider.issuer, Moment::now()));
        let reply = deliver(&front, &token).await;
        assert_eq!((reply.status, reply.text()), (200, "stored"), "{}", signer.name());
    }
    assert_eq!(front.store.bodies().len(), 3);
    assert_eq!(provider.asked("/keys?v=1").len(), 1, "the keys are kept");
}

#[tokio::test]
async fn a_token_need_not_name_its_key_and_a_key_may_go_by_its_newer_name() {
    let (rsa, ed) = (Signer::rsa("r"), Signer::ed("d"));
    let provider = IdentityProvider::start(&[&rsa, &ed]);
    let front = front(&provider.signed()).await;
    let claims = claims(&provider.issuer, Moment::now());
    let nameless = rsa.sign_as(&json!({ "alg": "RS256" }), &claims, Algorithm::RS256);
    assert_eq!(deliver(&front, &nameless).await.status, 200);
    let newer = ed.sign_as(&json!({ "alg": "Ed25519", "kid": "d" }), &claims, Algorithm::EdDSA);
    assert_eq!(deliver(&front, &newer).await.status, 200);
}

/// Bad tokens, each with why, which the log says.
fn bad(rsa: &Signer, ec: &Signer, issuer: &str) -> Vec<(&'static str, String, &'static str)> {
    let now = Moment::now();
    let good = claims(issuer, now);
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        rsa.sign(&claims)
    };
    let headed = |name: &str, value: Value, algorithm| {
        let mut header = rsa.header();
        header[name] = value;
        rsa.sign_as(&header, &good, algorithm)
    };
    let hmac = |key: &[u8]| {
        let message = message(&json!({ "alg": "HS256", "kid": "r", "typ": "JWT" }), &good);
        let key = EncodingKey::from_secret(key);
        let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    };
    let none = |alg: &str| message(&json!({ "alg": alg, "kid": "r" }), &good) + ".";
    let stranger = Signer::rsa("r");
    let token = rsa.sign(&good);
    let (head, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = head.split_once('.').unwrap();
    let mut richer = good.clone();
    richer["scope"] = "everything".into();
    let mut own = rsa.header();
    own["jwk"] = stranger.jwk.clone();
    own["jku"] = format!("{issuer}/keys").into();
    vec![
        ("none", none("none"), "algorithm"),
        ("None", none("None"), "algorithm"),
        ("HS256 with the public key in PEM", hmac(rsa.public_pem.as_bytes()), "algorithm"),
        ("HS256 with the modulus", hmac(rsa.jwk["n"].as_str().unwrap().as_bytes()), "algorithm"),
        ("HS256 with the published key", hmac(rsa.jwk.to_string().as_bytes()), "algorithm"),
        ("RS512", headed("alg", "RS512".into(), Algorithm::RS512), "algorithm"),
        ("PS256", headed("alg", "PS256".into(), Algorithm::PS256), "algorithm"),
        (
            "the name of another kind of key",
            headed("alg", "ES256".into(), Algorithm::RS256),
            "algorithm",
        ),
        ("the id of another kind of key", headed("kid", "e".into(), Algorithm::RS256), "algorithm"),
        ("another's signature", stranger.sign(&good), "signature"),
        ("its own key with it", stranger.sign_as(&own, &good, Algorithm::RS256), "signature"),
        ("other claims", format!("{header}.{}.{signature}", b64(richer.to_string())), "signature"),
        ("no signature", format!("{head}."), "signature"),
        (
            "a signature of another key's",
            ec.sign(&good).replace(&b64(ec.header().to_string()), header),
            "signature",
        ),
        ("critical headers", headed("crit", json!(["b64"]), Algorithm::RS256), "critical"),
        ("no expiry", changed("exp", Value::Null), "expiry"),
        ("an expiry of text", changed("exp", "4102444800".into()), "not a token"),
        ("expired", changed("exp", (now.unix_seconds - 61).into()), "expired"),
        ("not yet valid", changed("nbf", (now.unix_seconds + 90).into()), "not valid yet"),
        ("issued in the future", changed("iat", (now.unix_seconds + 90).into()), "not valid yet"),
        ("another audience", changed("aud", "another".into()), "audience"),
        ("no audience", changed("aud", Value::Null), "audience"),
        ("another issuer", changed("iss", "https://evil.test".into()), "issuer"),
        ("nearly the issuer", changed("iss", format!("{issuer}/").into()), "issuer"),
        ("another client", changed("azp", "another".into()), "client"),
        ("claims that are no object", rsa.sign(&json!([1])), "not a token"),
        ("no token", "abc.def.ghi".into(), "not a token"),
        ("opaque", "0123456789".into(), "not a token"),
        ("five parts", format!("{token}.a.b"), "not a token"),
    ]
}

#[tokio::test]
async fn a_bad_token_is_401_and_only_the_log_says_why() {
    let (lines, _guard) = lines_at(Level::TRACE);
    let (rsa, ec) = (Signer::rsa("r"), Signer::ec("e"));
    let provider = IdentityProvider::start(&[&rsa, &ec]);
    for (what, token, why) in bad(&rsa, &ec, &provider.issuer) {
        // A front of its own, since the log is quiet for a second after a line.
        let front = front(&provider.signed()).await;
        let reply = deliver(&front, &token).await;
        assert_eq!((reply.status, reply.text()), (401, "bad token"), "{what}");
        let challenge = reply.header("www-authenticate");
        assert_eq!(challenge, Some("Bearer realm=\"millrace\", error=\"invalid_token\""), "{what}");
        assert_eq!(front.store.bodies().len(), 0, "{what}");
        assert_eq!(front.deliveries("leads", "bad-token"), 1, "{what}");
        let text = lines.text();
        let ours: Vec<_> = text.lines().filter(|line| line.contains("millrace::")).collect();
        let line = ours.iter().rfind(|line| line.contains("bad-token")).expect(what);
        assert!(line.contains(why) && line.contains("WARN"), "{what}: {line}");
        for part in token.split('.').filter(|part| part.len() > 8) {
            assert!(!ours.iter().any(|line| line.contains(part)), "{what}");
        }
    }
}

#[tokio::test]
async fn without_a_token_the_challenge_has_no_error() {
    let signer = Signer::ed("d");
    let provider = IdentityProvider::start(&[&signer]);
    let front = front(&provider.signed()).await;
    let token = signer.sign(&claims(&provider.issuer, Moment::now()));
    let good = post_with(&token);
    for request in [
        good.replace("authorization: ", "x-authorization: "),
        good.replace("Bearer", "Basic"),
        good.replace("host: here", &format!("host: here\r\nauthorization: Bearer {token}")),
    ] {
        let reply = front.ask(&request).await;
        assert_eq!((reply.status, reply.text()), (401, "bad credentials"));
        assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"millrace\""));
    }
    assert_eq!(front.ask(&good).await.status, 200);
}

#[tokio::test]
async fn a_source_may_take_fixed_tokens_and_those_of_a_provider_while_it_moves() {
    let signer = Signer::ec("e");
    let provider = IdentityProvider::start(&[&signer]);
    let by_provider = Gate { oauth: Some(oauth(&provider.signed(), None)), ..Gate::default() };
    let gate = Gate { tokens: Some(Tokens::new(&auth(Some("token")))), ..by_provider };
    let front = Front::behind(gate, None, |_| {}).await;
    assert_eq!(deliver(&front, TOKEN).await.status, 200);
    assert_eq!(provider.asked("").len(), 0, "nobody is asked about a fixed token");
    let token = signer.sign(&claims(&provider.issuer, Moment::now()));
    assert_eq!(deliver(&front, &token).await.status, 200);
    let by_query = post_with("x").replace("/v1/leads", &format!("/v1/leads?token={TOKEN}"));
    assert_eq!(front.ask(&by_query).await.status, 200);
    assert_eq!(deliver(&front, "neither").await.status, 401);
}

#[tokio::test]
async fn a_scope_that_is_asked_for_has_to_be_there() {
    let signer = Signer::ed("d");
    let provider = IdentityProvider::start(&[&signer]);
    let with = |scope: &str| {
        let mut config = provider.signed();
        config.scopes = vec![scope.into()];
        config
    };
    let token = signer.sign(&claims(&provider.issuer, Moment::now()));
    assert_eq!(deliver(&front(&with("push")).await, &token).await.status, 200);
    assert_eq!(deliver(&front(&with("pull")).await, &token).await.status, 401);
}
