//! Texts that are no token: nothing panics, and nobody gets in.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use millrace::{
    config::{self, Secret},
    ingest::authenticate::{
        caller::Caller,
        moment::Moment,
        oauth::{OAuth, built_in::BuiltIn, token_endpoint::TokenEndpoint},
    },
};
use proptest::prelude::*;
use serde_json::json;
use tokio::runtime::Runtime;

use super::{
    Said, ask, oauth,
    provider::IdentityProvider,
    signer::{Signer, b64, claims},
};

const SECRET: &str = "the secret of marketo";

/// A source that takes signed tokens and our own, whose provider's keys are known, and a good token
/// of each kind of key and of ours.
struct Rig {
    runtime: Runtime,
    oauth: OAuth,
    endpoint: TokenEndpoint,
    now: Moment,
    good: Vec<String>,
}

static RIG: LazyLock<Rig> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let now = Moment::now();
    let keys = [Secret::new("a key of thirty-two bytes or more").unwrap()];
    let built_in = Arc::new(BuiltIn::new(&keys, Duration::from_secs(900)).unwrap());
    let clients = [("marketo".to_owned(), vec![Secret::new(SECRET).unwrap()])].into();
    let config = config::OAuth { clients, ..config::OAuth::default() };
    let endpoint = TokenEndpoint::new(&config, Some(&built_in)).unwrap();
    let (oauth, mut good) = runtime.block_on(async {
        let signers = [Signer::rsa("r"), Signer::ec("e"), Signer::ed("d")];
        let provider = IdentityProvider::start(&signers.each_ref());
        let mut config = provider.signed();
        config.built_in_clients = vec!["marketo".into()];
        let good = signers.map(|signer| signer.sign(&claims(&provider.issuer, now)));
        (oauth(&config, Some(&built_in)), good.to_vec())
    });
    let form = format!("grant_type=client_credentials&client_id=marketo&client_secret={SECRET}");
    let granted = endpoint.grant(&http::HeaderMap::new(), form.replace(' ', "+").as_bytes(), now);
    good.push(granted.unwrap().access_token);
    for token in &good {
        assert_eq!(runtime.block_on(ask(&oauth, token, now)), Said::Yes);
    }
    Rig { runtime, oauth, endpoint, now, good }
});

/// Whether somebody gets in with it, or something panics.
fn is_let_in(token: &str) -> bool {
    let mut headers = http::HeaderMap::new();
    let Ok(value) = http::HeaderValue::from_bytes(format!("Bearer {token}").as_bytes()) else {
        return false;
    };
    headers.insert("authorization", value);
    RIG.runtime.block_on(RIG.oauth.authenticate(&headers, Caller::default(), RIG.now)).is_ok()
}

fn cases() -> ProptestConfig {
    let cases = if std::env::var_os("TEST_LONG").is_some() { 100_000 } else { 400 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// JSON of the form that headers and claims have, with values that they should not have.
fn json_text() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just(json!(null)),
        Just(json!("none")),
        Just(json!("HS256")),
        Just(json!("RS256")),
        Just(json!("r")),
        Just(json!(["a", 1])),
        any::<f64>().prop_map(|number| json!(number)),
        any::<u64>().prop_map(|number| json!(number)),
        ".*".prop_map(|text| json!(text)),
    ];
    let name = prop_oneof![
        Just("alg".to_owned()),
        Just("kid".into()),
        Just("typ".into()),
        Just("crit".into()),
        Just("exp".into()),
        Just("aud".into()),
        Just("iss".into()),
        ".*",
    ];
    prop_oneof![
        prop::collection::hash_map(name, value, 0..6).prop_map(|map| json!(map).to_string()),
        ".*",
    ]
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn random_texts_are_no_token(text in "[ -~]{0,200}") {
        prop_assert!(!is_let_in(&text));
    }

    #[test]
    fn random_headers_and_claims_are_no_token(
        header in json_text(), claims in json_text(), signature in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let token = [b64(header), b64(claims), b64(signature)].join(".");
        prop_assert!(!is_let_in(&token));
    }

    #[test]
    fn a_good_token_with_any_character_changed_is_no_token(
        which in 0..4_usize, at in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_.=-]",
    ) {
        let good = &RIG.good[which];
        let mut token = good.clone();
        let at = at.index(token.len());
        token.replace_range(at..=at, &letter);
        prop_assume!(token != *good);
        prop_assert!(!is_let_in(&token), "{token}");
    }

    #[test]
    fn parts_of_good_tokens_put_together_otherwise_are_no_token(
        parts in prop::collection::vec((0..4_usize, 0..3_usize), 1..5),
    ) {
        let part = |(which, part): (usize, usize)| RIG.good[which].split('.').nth(part).unwrap();
        let token = parts.into_iter().map(part).collect::<Vec<_>>().join(".");
        prop_assume!(!RIG.good.contains(&token));
        prop_assert!(!is_let_in(&token), "{token}");
    }

    #[test]
    fn random_requests_get_no_token(
        body in prop::collection::vec(any::<u8>(), 0..400),
        authorization in proptest::option::of("[ -~]{0,60}"),
        noise in "[a-z_=&%+]{0,80}",
    ) {
        let mut headers = http::HeaderMap::new();
        if let Some(text) = authorization {
            headers.insert("authorization", text.parse().unwrap());
        }
        let almost = format!("grant_type=client_credentials&client_id=marketo&client_secret=&{noise}");
        for body in [&body[..], almost.as_bytes()] {
            prop_assert!(RIG.endpoint.grant(&headers, body, RIG.now).is_err());
        }
    }
}
