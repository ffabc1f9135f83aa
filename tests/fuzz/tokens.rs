//! What shows who a sender is: bearer tokens, Adobe's signatures, client certificates, questions of Adobe's, and
//! requests to our own token endpoint.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use millrace::{
    config::{self, HeaderScheme, OAuthAuth, Secret, TokenAuth},
    ingest::{
        authenticate::{
            Admission, Gate,
            adobe_signature::AdobeSignature,
            certificate::Presented,
            challenge::challenge,
            moment::Moment,
            oauth::{OAuth, built_in::BuiltIn, token_endpoint::TokenEndpoint},
            public_keys::PublicKeys,
            token::Tokens,
        },
        listen::client::{Peer, Proxies},
    },
    observe::metrics::Metrics,
    runtime::fetch::Client,
    source::SourceName,
};
use tokio::runtime::Runtime;

const TOKEN: &str = "hunter2-of-leads";
const CLIENT: &str = "marketo";
const SECRET: &str = "the-secret-of-the-client";

struct Doors {
    runtime: Runtime,
    gate: Gate,
    endpoint: TokenEndpoint,
    /// A good token of ours.
    issued: String,
    proxies: Proxies,
}

impl Doors {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let metrics = Metrics::new();
        let secret = |text: &str| Secret::new(text).expect("it is one");
        let keys = [secret("a-signing-key-that-is-long-enough-for-it")];
        let built_in = BuiltIn::new(&keys, Duration::from_secs(1_000_000)).map(Arc::new);
        let clients = BTreeMap::from([(CLIENT.to_owned(), vec![secret(SECRET)])]);
        let oauth = config::OAuth { clients, signing_keys: keys.into(), ..Default::default() };
        let endpoint = TokenEndpoint::new(&oauth, built_in.as_ref()).expect("it has a client");
        let form =
            format!("grant_type=client_credentials&client_id={CLIENT}&client_secret={SECRET}");
        let issued = endpoint.grant(&HeaderMap::new(), form.as_bytes(), Moment::now());
        let issued = issued.expect("the client is known").access_token;
        let tokens = TokenAuth {
            tokens: vec![secret(TOKEN)],
            header_scheme: HeaderScheme::Bearer,
            query_parameter: Some("token".into()),
        };
        let auth = OAuthAuth {
            issuer: None,
            jwks_url: None,
            audience: Vec::new(),
            client_ids: Vec::new(),
            scopes: Vec::new(),
            leeway: OAuthAuth::LEEWAY,
            introspection: None,
            built_in_clients: vec![CLIENT.into()],
        };
        let source = SourceName::new("leads").expect("it is a name");
        let client = Client::new().expect("TLS works");
        let gate = Gate {
            tokens: Some(Tokens::new(&tokens)),
            oauth: Some(OAuth::new(&source, &auth, &client, built_in.as_ref(), &metrics)),
            // No file is there, so that no signature is good.
            signature: Some(AdobeSignature::new(PublicKeys::in_folder(
                PathBuf::from("/nonexistent"),
                &metrics,
            ))),
            ..Gate::default()
        };
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|it| it.parse().expect("a network"));
        let runtime = runtime.expect("there are file descriptors");
        Self { runtime, gate, endpoint, issued, proxies: Proxies::new(&trusted) }
    }
}

thread_local! {
    static DOORS: Doors = Doors::new();
}

pub fn run(input: &[u8]) {
    let Some((shape, bytes)) = input.split_first() else { return };
    DOORS.with(|doors| match shape & 7 {
        0..=2 => head(doors, bytes),
        3 => of_ours(doors, bytes),
        4 => asks_for_a_token(doors, bytes),
        5 => drop(Presented::in_certificate(bytes)),
        6 => {
            if let Ok(query) = std::str::from_utf8(bytes)
                && let Some(answer) = challenge(query)
            {
                assert!(!answer.contains(char::is_control));
            }
        }
        _ => behind_proxies(doors, bytes),
    });
}

/// Lines `<number of a name><value>`; the first is the query.
fn headers(bytes: &[u8]) -> (HeaderMap, String) {
    const NAMES: [&str; 8] = [
        "authorization",
        "x-adobe-digital-signature-1",
        "x-adobe-digital-signature-2",
        "x-adobe-public-key1-path",
        "x-adobe-public-key2-path",
        "x-forwarded-for",
        "content-encoding",
        "traceparent",
    ];
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let query = lines.next().map(|line| String::from_utf8_lossy(line).into_owned());
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some((name, value)) = line.split_first() else { continue };
        let name = HeaderName::from_static(NAMES[usize::from(*name) % NAMES.len()]);
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    (headers, query.unwrap_or_default())
}

fn head(doors: &Doors, bytes: &[u8]) {
    let (headers, query) = headers(bytes);
    let Ok(request) = Request::post(format!("/v1/leads?{query}")).body(()) else { return };
    let (mut head, ()) = request.into_parts();
    head.headers = headers;
    let shown = |head: &http::request::Parts, what: &str| {
        let is_in = |value: &HeaderValue| value.to_str().is_ok_and(|it| it.contains(what));
        head.headers.values().any(is_in)
    };
    let admitted = doors.runtime.block_on(doors.gate.admit(&head));
    match admitted {
        // In a query it may be spelt with per cent signs.
        Ok(Admission::Proven(_)) => assert!(
            shown(&head, TOKEN) || shown(&head, &doors.issued) || query.contains("token="),
            "{head:?}"
        ),
        Ok(Admission::Signed(signed)) => {
            let body = Bytes::from_static(b"{}");
            let proved = doors.runtime.block_on(signed.prove(&body, Moment::now().instant));
            assert!(proved.is_err(), "there is no key");
        }
        Err(refusal) => assert!(!refusal.to_string().contains("hunter2"), "{refusal}"),
    }
}

/// A token of ours with something changed.
fn of_ours(doors: &Doors, edits: &[u8]) {
    let mut token = doors.issued.clone().into_bytes();
    for edit in edits.chunks_exact(2) {
        let at = usize::from(edit[0]) * token.len() / 256;
        token[at] = edit[1];
    }
    if edits.len() % 2 == 1 {
        token.truncate(usize::from(edits[edits.len() - 1]) * token.len() / 255);
    }
    let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ", &token[..]].concat()) else { return };
    let Ok(request) = Request::post("/v1/leads").header("authorization", value).body(()) else {
        return;
    };
    let (head, ()) = request.into_parts();
    let admitted = doors.runtime.block_on(doors.gate.admit(&head)).is_ok();
    let text = String::from_utf8_lossy(&token);
    let is_ours = text.trim_matches(' ') == doors.issued;
    assert_eq!(admitted, is_ours || text == TOKEN, "{text}");
}

fn asks_for_a_token(doors: &Doors, bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
    let (value, body) = bytes.split_at(at);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(value)
        && at > 0
    {
        headers.append("authorization", value);
    }
    let body = body.strip_prefix(&[0]).unwrap_or(body);
    if let Ok(granted) = doors.endpoint.grant(&headers, body, Moment::now()) {
        // It may be spelt in base64, or with per cent signs.
        assert!(granted.access_token.split('.').count() == 3);
        let is_shown = |what: &str| body.windows(what.len()).any(|it| it == what.as_bytes());
        assert!(is_shown(SECRET) || body.contains(&b'%') || at > 0, "{body:?}");
    }
}

fn behind_proxies(doors: &Doors, bytes: &[u8]) {
    let Some((peer, rest)) = bytes.split_first_chunk::<4>() else { return };
    let mut headers = HeaderMap::new();
    for line in rest.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append("x-forwarded-for", value);
        }
    }
    let peer = Peer((*peer).into());
    let client = doors.proxies.client(peer, &headers);
    if !doors.proxies.are_at(peer) {
        assert_eq!(client, peer.0, "a stranger's header is not believed");
    }
    assert_eq!(Proxies::default().client(peer, &headers), peer.0);
}
