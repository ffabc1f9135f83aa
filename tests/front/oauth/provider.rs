//! An identity provider: publishes keys, answers questions about tokens, and does as it is told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use millrace::config::{IntrospectionAuth, OAuthAuth, Secret};
use serde_json::{Value, json};
use tokio::{runtime::Handle, sync::watch};

use super::{AUDIENCE, CLIENT, signer::Signer};
use crate::{
    played::{self, Request, Response},
    support::within,
};

pub const CLIENT_ID: &str = "millrace id";
pub const CLIENT_SECRET: &str = "s3cret:with+signs/%";

/// How it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// With this status, whatever is asked.
    Status(u16),
    /// Hangs up.
    Away,
}

#[derive(Clone)]
pub struct IdentityProvider {
    pub issuer: String,
    state: Arc<Mutex<State>>,
    /// Answers wait until it is open.
    open: Arc<watch::Sender<bool>>,
    asked: Arc<watch::Sender<Vec<Request>>>,
}

struct State {
    mood: Mood,
    keys: String,
    document: Value,
    /// What is said about tokens; others are not active.
    tokens: HashMap<String, String>,
}

impl IdentityProvider {
    /// In a runtime, which it waits with.
    pub fn start(signers: &[&Signer]) -> Self {
        let state = Arc::new(Mutex::new(State {
            mood: Mood::Well,
            keys: String::new(),
            document: Value::Null,
            tokens: HashMap::new(),
        }));
        let open = Arc::new(watch::Sender::new(true));
        let asked = Arc::<watch::Sender<Vec<Request>>>::default();
        let (answering, opens, noted) = (state.clone(), open.clone(), asked.clone());
        let runtime = Handle::current();
        let address = played::serve(move |request| {
            noted.send_modify(|all| all.push(request.clone()));
            let _ = runtime.block_on(opens.subscribe().wait_for(|open| *open));
            answering.lock().unwrap().answer(request)
        });
        let issuer = format!("http://{address}/tenant");
        let provider = Self { issuer: issuer.clone(), state, open, asked };
        provider.document(|document| {
            *document = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys?v=1"), "more": [1] });
        });
        provider.publish(signers);
        provider
    }

    /// Its keys from now on.
    pub fn publish(&self, signers: &[&Signer]) {
        let keys: Vec<_> = signers.iter().map(|signer| &signer.jwk).collect();
        self.publish_text(json!({ "keys": keys }).to_string());
    }

    pub fn publish_text(&self, text: impl Into<String>) {
        self.state.lock().unwrap().keys = text.into();
    }

    pub fn document(&self, change: impl FnOnce(&mut Value)) {
        change(&mut self.state.lock().unwrap().document);
    }

    pub fn says(&self, token: &str, answer: impl ToString) {
        self.state.lock().unwrap().tokens.insert(token.into(), answer.to_string());
    }

    pub fn is(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    pub fn hold(&self) {
        self.open.send_replace(false);
    }

    pub fn release(&self) {
        self.open.send_replace(true);
    }

    /// Every request for a path that ends so.
    pub fn asked(&self, ending: &str) -> Vec<Request> {
        let asked = self.asked.borrow();
        asked.iter().filter(|asked| asked.target.ends_with(ending)).cloned().collect()
    }

    /// Waits until it was asked so often.
    pub async fn was_asked(&self, ending: &str, times: usize) {
        let mut asked = self.asked.subscribe();
        let enough = |all: &Vec<Request>| {
            all.iter().filter(|asked| asked.target.ends_with(ending)).count() >= times
        };
        within(asked.wait_for(enough)).await.unwrap();
    }

    /// A source that accepts its signed tokens.
    pub fn signed(&self) -> OAuthAuth {
        OAuthAuth {
            issuer: Some(self.issuer.clone()),
            audience: vec![AUDIENCE.into()],
            client_ids: vec![CLIENT.into()],
            leeway: OAuthAuth::LEEWAY,
            ..OAuthAuth::default()
        }
    }

    /// A source that asks it about tokens.
    pub fn asking(&self) -> OAuthAuth {
        let introspection = IntrospectionAuth {
            url: format!("{}/introspect", self.issuer).parse().unwrap(),
            client_id: CLIENT_ID.into(),
            client_secret: Secret::new(CLIENT_SECRET).unwrap(),
            keep: std::time::Duration::from_secs(60),
        };
        OAuthAuth {
            introspection: Some(introspection),
            client_ids: vec![CLIENT.into()],
            leeway: OAuthAuth::LEEWAY,
            ..OAuthAuth::default()
        }
    }
}

impl State {
    fn answer(&self, request: &Request) -> Option<Response> {
        let (status, body) = match &self.mood {
            Mood::Away => return None,
            Mood::Status(status) => (*status, "{}".to_owned()),
            Mood::Well => match request.target.strip_prefix("/tenant") {
                Some("/.well-known/openid-configuration") => (200, self.document.to_string()),
                Some("/keys?v=1") => (200, self.keys.clone()),
                Some("/introspect") => (200, self.about(&request.body)),
                _ => (404, "{}".to_owned()),
            },
        };
        Some(Response::new(status, body))
    }

    fn about(&self, form: &[u8]) -> String {
        let form = std::str::from_utf8(form).unwrap();
        let token = form.split('&').find_map(|pair| pair.strip_prefix("token=")).unwrap_or("");
        let token = percent_encoding::percent_decode_str(token).decode_utf8().unwrap();
        self.tokens.get(&*token).cloned().unwrap_or_else(|| r#"{"active":false}"#.into())
    }
}
