//! Our own tokens: `POST /oauth/token`, and what they are good for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use http_body_util::Full;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use millrace::{
    config::{self, OAuthAuth, Secret},
    ingest::authenticate::{
        Gate,
        moment::Moment,
        oauth::{OAuth, built_in::BuiltIn, token_endpoint::TokenEndpoint},
        reason::Reason,
    },
};
use serde_json::{Value, json};

use super::{
    Said, ask, deliver, oauth,
    provider::IdentityProvider,
    signer::{Signer, claims, message},
};
use crate::support::{Front, Reply, http2, status_and_text};

const KEY: &str = "a key of thirty-two bytes or more";
const OTHER_KEY: &str = "another key, with as many letters";
const SECRET: &str = "a secret: with+signs/%";
const GRANT: &str = "grant_type=client_credentials";
/// `SECRET`, as in forms.
const ENCODED: &str = "a+secret%3A+with%2Bsigns%2F%25";

fn secrets(texts: &[&str]) -> Vec<Secret> {
    texts.iter().map(|text| Secret::new(*text).unwrap()).collect()
}

fn built_in(keys: &[&str]) -> Arc<BuiltIn> {
    Arc::new(BuiltIn::new(&secrets(keys), Duration::from_secs(900)).unwrap())
}

/// Two clients, of which only `marketo` may deliver to `leads`.
fn endpoint(built_in: &Arc<BuiltIn>) -> TokenEndpoint {
    let clients = BTreeMap::from([
        ("marketo".to_owned(), secrets(&[SECRET, "the next secret"])),
        ("another".to_owned(), secrets(&["the secret of another"])),
    ]);
    let config = config::OAuth { clients, ..config::OAuth::default() };
    TokenEndpoint::new(&config, Some(built_in)).unwrap()
}

fn accepting(built_in: &Arc<BuiltIn>) -> OAuth {
    let clients = vec!["marketo".into()];
    let config = OAuthAuth { built_in_clients: clients, ..OAuthAuth::default() };
    oauth(&config, Some(built_in))
}

async fn replica(keys: &[&str]) -> Front {
    let built_in = built_in(keys);
    let gate = Gate { oauth: Some(accepting(&built_in)), ..Gate::default() };
    Front::behind(gate, Some(endpoint(&built_in)), |_| {}).await
}

async fn request(front: &Front, headers: &str, form: &str) -> Reply {
    let length = form.len();
    front
        .ask(&format!(
            "POST /oauth/token HTTP/1.1\r\nhost: here\r\n{headers}content-length: {length}\r\n\r\n{form}"
        ))
        .await
}

fn basic(id: &str, secret: &str) -> String {
    format!("authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("{id}:{secret}")))
}

fn form(more: &str) -> String {
    format!("{GRANT}&client_id=marketo&client_secret={ENCODED}{more}")
}

async fn token(front: &Front) -> String {
    let reply = request(front, "", &form("")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer: Value = serde_json::from_slice(&reply.body).unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_client_gets_a_token_by_form_or_by_basic_and_may_deliver_with_it() {
    let front = replica(&[KEY]).await;
    let type_ = "content-type: application/x-www-form-urlencoded\r\n";
    for (headers, form) in [
        (type_.to_owned(), form("")),
        (String::new(), form("&scope=push+all&resource=x")),
        (type_.to_owned(), format!("client_secret=the+next+secret&client_id=marketo&{GRANT}\r\n")),
        (basic("marketo", SECRET), GRANT.to_owned()),
        (basic("marketo", ENCODED), GRANT.to_owned()),
        (basic("marketo", SECRET), format!("{GRANT}&client_id=marketo")),
        (basic("marketo", SECRET).replace("Basic", "bASIC"), format!("&{GRANT}&client_secret=&x")),
    ] {
        let reply = request(&front, &headers, &form).await;
        assert_eq!(reply.status, 200, "{headers}{form}: {}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let answer: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(900)));
        let token = answer["access_token"].as_str().unwrap();
        assert_eq!(deliver(&front, token).await.status, 200);
    }
    assert_eq!(front.deliveries("/oauth/token", "token-issued"), 7);
}

#[tokio::test]
async fn bad_credentials_are_invalid_client_and_anything_else_is_a_bad_request() {
    let front = replica(&[KEY]).await;
    let good = form("");
    for (what, headers, form, error) in [
        ("nobody", String::new(), GRANT.to_owned(), "invalid_client"),
        ("a wrong secret", String::new(), good.replace("a+secret", "b+secret"), "invalid_client"),
        ("half a secret", String::new(), good.replace("%25", ""), "invalid_client"),
        ("another's secret", String::new(), good.replace("marketo", "another"), "invalid_client"),
        (
            "an id with a NUL",
            String::new(),
            good.replace("marketo", "marketo%00"),
            "invalid_client",
        ),
        ("wrong by Basic", basic("marketo", "x"), GRANT.to_owned(), "invalid_client"),
        ("no Basic", "authorization: Basic %%%\r\n".into(), GRANT.to_owned(), "invalid_client"),
        ("a token", "authorization: Bearer abc\r\n".into(), good.clone(), "invalid_client"),
        ("both ways", basic("marketo", SECRET), good.clone(), "invalid_request"),
        ("two of Basic", basic("marketo", SECRET).repeat(2), GRANT.into(), "invalid_request"),
        ("twice", String::new(), form("&client_id=marketo"), "invalid_request"),
        ("no grant type", basic("marketo", SECRET), String::new(), "invalid_request"),
        ("many", String::new(), (0..40).map(|n| format!("{n}=&")).collect(), "invalid_request"),
        ("large", String::new(), form(&format!("&x={}", "x".repeat(8192))), "invalid_request"),
        (
            "JSON",
            basic("marketo", SECRET),
            r#"{"grant_type":"client_credentials"}"#.into(),
            "invalid_request",
        ),
        (
            "another grant",
            basic("marketo", SECRET),
            "grant_type=password".into(),
            "unsupported_grant_type",
        ),
    ] {
        let reply = request(&front, &headers, &form).await;
        let status = if error == "invalid_client" { 401 } else { 400 };
        assert_eq!(
            (reply.status, reply.text()),
            (status, &*format!("{{\"error\":\"{error}\"}}")),
            "{what}"
        );
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{what}");
        assert_eq!(reply.header("content-type"), Some("application/json"), "{what}");
        let challenge = reply.header("www-authenticate");
        assert_eq!(challenge, (status == 401).then_some("Basic realm=\"millrace\""), "{what}");
    }
}

#[tokio::test]
async fn http_2_gets_the_same_answers() {
    let front = replica(&[KEY]).await;
    let (mut client, _connection) = http2(front.address).await;
    for (form, expected) in
        [(form(""), 200), ("grant_type=x".into(), 401), (form("&client_id=x"), 400)]
    {
        let uri = format!("http://{}/oauth/token", front.address);
        let request = http::Request::post(uri).body(Full::new(form.into())).unwrap();
        let response = client.send_request(request).await.unwrap();
        let (status, text) = status_and_text(response).await;
        assert_eq!(status, expected, "{text}");
    }
}

#[tokio::test]
async fn only_a_post_to_the_very_path_of_an_endpoint_that_there_is_gives_a_token() {
    let front = replica(&[KEY]).await;
    let ask = async |method: &str, path: &str| {
        front
            .ask(&format!("{method} {path} HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n"))
            .await
            .status
    };
    assert_eq!(ask("GET", "/oauth/token").await, 405);
    assert_eq!(ask("PUT", "/oauth/token").await, 405);
    let get = front.ask("GET /oauth/token HTTP/1.1\r\nhost: here\r\n\r\n").await;
    assert_eq!(get.header("allow"), Some("POST"));
    for path in ["/oauth/token/", "/oauth", "/oauth/tokens", "/OAuth/token", "//oauth/token"] {
        assert_eq!(ask("POST", path).await, 404, "{path}");
    }
    let without = Front::start().await;
    assert_eq!(request(&without, "", &form("")).await.status, 404);
}

#[tokio::test]
async fn a_token_holds_on_another_replica_and_after_a_restart_if_the_key_is_the_same() {
    let token = token(&replica(&[KEY]).await).await;
    assert_eq!(deliver(&replica(&[KEY]).await, &token).await.status, 200);
    assert_eq!(deliver(&replica(&[OTHER_KEY, KEY]).await, &token).await.status, 200, "replaced");
    let reply = deliver(&replica(&[OTHER_KEY]).await, &token).await;
    assert_eq!((reply.status, reply.text()), (401, "bad token"));
}

#[tokio::test]
async fn a_client_delivers_only_where_it_may() {
    let front = replica(&[KEY]).await;
    let form = format!("{GRANT}&client_id=another&client_secret=the+secret+of+another");
    let reply = request(&front, "", &form).await;
    let answer: Value = serde_json::from_slice(&reply.body).unwrap();
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(deliver(&front, token).await.status, 401);
}

#[tokio::test]
async fn a_token_ends_with_its_time() {
    let built_in = built_in(&[KEY]);
    let (oauth, endpoint, now) = (accepting(&built_in), endpoint(&built_in), Moment::now());
    let granted = endpoint.grant(&http::HeaderMap::new(), form("").as_bytes(), now).unwrap();
    let after = |seconds| now.later(Duration::from_secs(seconds));
    assert_eq!(ask(&oauth, &granted.access_token, after(929)).await, Said::Yes);
    assert_eq!(
        ask(&oauth, &granted.access_token, after(930)).await,
        Said::No(Reason::TokenExpired)
    );
}

#[tokio::test]
async fn nobody_else_makes_our_tokens_and_ours_pass_for_nobody_elses() {
    let signer = Signer::rsa("r");
    let provider = IdentityProvider::start(&[&signer]);
    let (built_in, now) = (built_in(&[KEY]), Moment::now());
    let mut config = provider.signed();
    config.built_in_clients = vec!["marketo".into()];
    let both = oauth(&config, Some(&built_in));
    let ours = json!({
        "iss": "millrace", "aud": "millrace", "client_id": "marketo",
        "iat": now.unix_seconds, "exp": now.unix_seconds + 60,
    });
    let hmac = |key: &str, typ: &str| {
        let message = message(&json!({ "alg": "HS256", "typ": typ }), &ours);
        let key = EncodingKey::from_secret(key.as_bytes());
        let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    };
    assert_eq!(ask(&both, &hmac(KEY, "at+jwt"), now).await, Said::Yes, "as we make it");
    for (what, token, flaw) in [
        ("our claims signed by the provider", signer.sign(&ours), Reason::TokenIssuer),
        (
            "HMAC with the provider's key",
            hmac(&signer.public_pem, "at+jwt"),
            Reason::TokenSignature,
        ),
        ("another kind of token under our key", hmac(KEY, "JWT"), Reason::TokenMalformed),
        (
            "no algorithm",
            message(&json!({ "alg": "none", "typ": "at+jwt" }), &ours) + ".",
            Reason::TokenAlgorithm,
        ),
    ] {
        assert_eq!(ask(&both, &token, now).await, Said::No(flaw), "{what}");
    }
    let theirs = signer.sign(&claims(&provider.issuer, now));
    assert_eq!(ask(&both, &theirs, now).await, Said::Yes);
    assert_eq!(ask(&accepting(&built_in), &theirs, now).await, Said::No(Reason::TokenMalformed));
    let provider_alone = oauth(&provider.signed(), Some(&built_in));
    let said = ask(&provider_alone, &hmac(KEY, "at+jwt"), now).await;
    assert_eq!(said, Said::No(Reason::TokenAlgorithm), "a source without clients of its own");
}
