//! A played identity provider that gives tokens for client credentials, and a broker that believes them.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use parking_lot::Mutex;
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use serde_json::{Value, json};

use crate::{
    broker::{Broker, Listener, Options},
    support::{
        played::{self, Request, Response},
        ports,
    },
};

pub const CLIENT: &str = "mill";
pub const AUDIENCE: &str = "kafka";

/// How the provider answers those who want a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    Refusing,
    HangingUp,
    /// Takes the request and says nothing until the test ends.
    Silent,
}

struct State {
    mood: Mood,
    secret: String,
    audience: String,
    /// In seconds.
    lifetime: u64,
    keys: Vec<(EncodingKey, Value)>,
    given: usize,
    /// Forms as they came.
    asked: Vec<String>,
}

#[derive(Clone)]
pub struct Provider {
    pub address: String,
    state: Arc<Mutex<State>>,
    _silent: Arc<Mutex<Sender<()>>>,
}

impl Provider {
    pub fn start(secret: &str, lifetime: u64) -> Self {
        let state = Arc::new(Mutex::new(State {
            mood: Mood::Well,
            secret: secret.into(),
            audience: AUDIENCE.into(),
            lifetime,
            keys: vec![key("first")],
            given: 0,
            asked: Vec::new(),
        }));
        let (silent, never) = channel::<()>();
        let never: Arc<Mutex<Receiver<()>>> = Arc::new(Mutex::new(never));
        let answering = Arc::clone(&state);
        let address = played::serve(move |request: &Request| {
            if request.method == "GET" {
                let keys: Vec<_> =
                    answering.lock().keys.iter().map(|(_, jwk)| jwk.clone()).collect();
                return Some(json_of(&json!({ "keys": keys })));
            }
            let answer = answering.lock().answer(request);
            if answering.lock().mood == Mood::Silent {
                // Ends with the provider.
                let _ = never.lock().recv();
                return None;
            }
            answer
        });
        Self { address: format!("http://{address}"), state, _silent: Arc::new(Mutex::new(silent)) }
    }

    pub fn is(&self, mood: Mood) {
        self.state.lock().mood = mood;
    }

    pub fn takes(&self, secret: &str) {
        self.state.lock().secret = secret.into();
    }

    pub fn speaks_to(&self, audience: &str) {
        self.state.lock().audience = audience.into();
    }

    /// Signs with another key from now on, and publishes both.
    pub fn rotate(&self) {
        self.state.lock().keys.push(key("second"));
    }

    /// How many tokens it gave.
    pub fn given(&self) -> usize {
        self.state.lock().given
    }

    pub fn asked(&self) -> Vec<String> {
        self.state.lock().asked.clone()
    }

    /// A broker with an address where its tokens are asked for; connections last no longer than `reauthenticate`
    /// milliseconds without a new one.
    #[track_caller]
    pub fn broker(&self, reauthenticate: u64) -> (Broker, String) {
        let port = ports::free();
        let advertised = format!("127.0.0.1:{port}");
        let listener = Listener {
            name: "TOKENS",
            protocol: "SASL_PLAINTEXT",
            port,
            advertised: advertised.clone(),
        };
        let handler =
            "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler";
        let login = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;";
        let settings = vec![
            ("sasl.enabled.mechanisms", "OAUTHBEARER".to_owned()),
            ("listener.name.tokens.oauthbearer.sasl.jaas.config", login.to_owned()),
            (
                "listener.name.tokens.oauthbearer.sasl.server.callback.handler.class",
                handler.to_owned(),
            ),
            (
                "listener.name.tokens.oauthbearer.sasl.oauthbearer.jwks.endpoint.url",
                format!("{}/keys", self.address),
            ),
            (
                "listener.name.tokens.oauthbearer.sasl.oauthbearer.expected.audience",
                AUDIENCE.to_owned(),
            ),
            // Keys that were not there before are asked for again at once.
            (
                "listener.name.tokens.oauthbearer.sasl.oauthbearer.jwks.endpoint.refresh.ms",
                "1000".to_owned(),
            ),
            (
                "listener.name.tokens.oauthbearer.connections.max.reauth.ms",
                reauthenticate.to_string(),
            ),
        ];
        let options = Options { listeners: vec![listener], settings, ..Options::default() };
        (Broker::start_with(&options), advertised)
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Option<Response> {
        let form = String::from_utf8_lossy(&request.body).into_owned();
        self.asked.push(form.clone());
        let basic = BASE64_STANDARD.encode(format!("{CLIENT}:{}", self.secret));
        let is_known = request.header("authorization") == Some(&format!("Basic {basic}"));
        let error = |status: u16, error: &str, why: &str| {
            let body = json!({ "error": error, "error_description": why });
            Some(Response::new(status, body.to_string()))
        };
        match self.mood {
            Mood::HangingUp => None,
            Mood::Refusing => error(400, "invalid_scope", "scope `kafka` is not\nknown"),
            _ if !is_known => error(401, "invalid_client", "who are you"),
            _ => {
                self.given += 1;
                Some(json_of(&json!({
                    "access_token": self.token(),
                    "token_type": "Bearer",
                    "expires_in": self.lifetime,
                })))
            }
        }
    }

    fn token(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let (key, jwk) = self.keys.last().unwrap();
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": jwk["kid"] });
        let claims = json!({
            "iss": "the-tests", "aud": self.audience, "sub": CLIENT, "scope": "kafka",
            "iat": now, "exp": now + self.lifetime, "n": self.given,
        });
        let b64 = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", b64(&header), b64(&claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, Algorithm::RS256);
        format!("{message}.{}", signature.unwrap())
    }
}

fn json_of(value: &Value) -> Response {
    Response::new(200, value.to_string()).header("content-type", "application/json")
}

fn key(id: &str) -> (EncodingKey, Value) {
    let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
    let jwk = Jwk::from_encoding_key(&key, Algorithm::RS256).unwrap();
    let mut jwk = serde_json::to_value(jwk).unwrap();
    jwk["kid"] = id.into();
    jwk["use"] = "sig".into();
    (key, jwk)
}
