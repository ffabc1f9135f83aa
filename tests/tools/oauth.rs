//! The built-in token endpoint of a real service, configured by its environment, over a restart.

use std::time::Duration;

use serde_json::Value;

use crate::support::bridge::{Bridge, LEADS, Settings};

const FORM: &[u8] =
    b"grant_type=client_credentials&client_id=marketo&client_secret=sixteen+letters.";

fn token(bridge: &Bridge) -> String {
    let answer = bridge.client().request("POST", "/oauth/token", &[], FORM).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_is_good_after_the_service_was_killed_and_started_again() {
    let settings = Settings::new("127.0.0.1:1", "unused")
        .set("OAUTH__SIGNING_KEYS", "a key of thirty-two bytes or more")
        .set("OAUTH__CLIENTS__MARKETO__SECRETS", "sixteen letters.")
        .set("SOURCES__LEADS__AUTH__OAUTH__BUILT_IN_CLIENTS", "marketo");
    let mut bridge = Bridge::start(settings);
    let token = token(&bridge);
    let deliver = |bridge: &Bridge, token: &str| {
        bridge.client().deliver(LEADS, token, br#"{"activities":[]}"#).unwrap().status
    };
    assert_eq!(deliver(&bridge, &token), 200);
    bridge.restart();
    assert_eq!(deliver(&bridge, &token), 200);
    assert_eq!(deliver(&bridge, &token.replace('.', "x")), 401);
    assert!(!bridge.log().iter().any(|line| line.contains("sixteen") || line.contains(&token)));
    bridge.terminate();
    assert!(bridge.wait(Duration::from_secs(60)).success());
}
