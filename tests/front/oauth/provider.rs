//! An identity provider: publishes keys, answers questions about tokens, and does as it is told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use millrace::config::{IntrospectionAuth, OAuthAuth, Secret};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{AUDIENCE, CLIENT, signer::Signer};
use crate::support::within;

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

#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub head: String,
    pub body: String,
}

#[derive(Clone)]
pub struct IdentityProvider {
    pub issuer: String,
    state: Arc<Mutex<State>>,
    /// Answers wait until it is open.
    open: Arc<watch::Sender<bool>>,
    asked: Arc<watch::Sender<Vec<Asked>>>,
}

struct State {
    mood: Mood,
    keys: String,
    document: Value,
    /// What is said about tokens; others are not active.
    tokens: HashMap<String, String>,
}

impl IdentityProvider {
    pub async fn start(signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}/tenant", listener.local_addr().unwrap());
        let state = State {
            mood: Mood::Well,
            keys: String::new(),
            document: json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys?v=1"), "more": [1] }),
            tokens: HashMap::new(),
        };
        let provider = Self {
            issuer,
            state: Arc::new(Mutex::new(state)),
            open: Arc::new(watch::Sender::new(true)),
            asked: Arc::default(),
        };
        provider.publish(signers);
        let serving = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let provider = serving.clone();
                tokio::spawn(async move { provider.converse(stream).await });
            }
        });
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
    pub fn asked(&self, ending: &str) -> Vec<Asked> {
        let asked = self.asked.borrow();
        asked.iter().filter(|asked| asked.path.ends_with(ending)).cloned().collect()
    }

    /// Waits until it was asked so often.
    pub async fn was_asked(&self, ending: &str, times: usize) {
        let mut asked = self.asked.subscribe();
        let enough = |all: &Vec<Asked>| {
            all.iter().filter(|asked| asked.path.ends_with(ending)).count() >= times
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

    async fn converse(&self, mut stream: TcpStream) {
        while let Some(asked) = read(&mut stream).await {
            self.asked.send_modify(|all| all.push(asked.clone()));
            let _ = self.open.subscribe().wait_for(|open| *open).await;
            let Some(answer) = self.answer(&asked) else { return };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, asked: &Asked) -> Option<String> {
        let state = self.state.lock().unwrap();
        let (status, body) = match &state.mood {
            Mood::Away => return None,
            Mood::Status(status) => (*status, "{}".to_owned()),
            Mood::Well => match asked.path.strip_prefix("/tenant") {
                Some("/.well-known/openid-configuration") => (200, state.document.to_string()),
                Some("/keys?v=1") => (200, state.keys.clone()),
                Some("/introspect") => (200, state.about(&asked.body)),
                _ => (404, "{}".to_owned()),
            },
        };
        let length = body.len();
        Some(format!("HTTP/1.1 {status} So\r\ncontent-length: {length}\r\n\r\n{body}"))
    }
}

impl State {
    fn about(&self, form: &str) -> String {
        let token = form.split('&').find_map(|pair| pair.strip_prefix("token=")).unwrap_or("");
        let token = percent_encoding::percent_decode_str(token).decode_utf8().unwrap();
        self.tokens.get(&*token).cloned().unwrap_or_else(|| r#"{"active":false}"#.into())
    }
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + length {
        stream.read_buf(&mut bytes).await.ok()?;
    }
    let text = String::from_utf8(bytes).unwrap();
    let path = text.split(' ').nth(1)?.to_owned();
    Some(Asked { path, head: text[..end].to_owned(), body: text[end..].to_owned() })
}
