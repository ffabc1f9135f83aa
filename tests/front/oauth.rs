//! Bearer tokens, in the head of real requests where the answer matters, and at moments that a test
//! chooses where the time does.
//!
//! - `jwt`: signed tokens, good and bad; `keys`: the provider's keys over time and in trouble
//! - `openssl`: signatures that are not by our own library
//! - `introspection`: tokens that the provider is asked about
//! - `endpoint`: our own tokens
//! - `fuzz`: texts that are no token
//! - `provider`, `signer`: an identity provider, and what signs its tokens

mod endpoint;
mod fuzz;
mod introspection;
mod jwt;
mod keys;
mod openssl;
mod provider;
mod signer;

use std::sync::Arc;

use millrace::{
    config::OAuthAuth,
    ingest::authenticate::{
        Gate, Refusal,
        caller::Caller,
        moment::Moment,
        oauth::{OAuth, built_in::BuiltIn},
        reason::Reason,
    },
    observe::metrics::Metrics,
    runtime::fetch::Client,
    source::SourceName,
};

use crate::support::{Front, Reply};

pub const AUDIENCE: &str = "millrace-of-the-tests";
pub const CLIENT: &str = "marketo-of-the-tests";

fn leads() -> SourceName {
    SourceName::new("leads").unwrap()
}

/// What `leads` is configured to accept.
fn oauth(config: &OAuthAuth, built_in: Option<&Arc<BuiltIn>>) -> OAuth {
    OAuth::new(&leads(), config, &Client::new().unwrap(), built_in, &Metrics::new())
}

/// A front whose source accepts what `config` says and nothing else.
async fn front(config: &OAuthAuth) -> Front {
    let gate = Gate { oauth: Some(oauth(config, None)), ..Gate::default() };
    Front::behind(gate, None, |_| {}).await
}

fn post_with(token: &str) -> String {
    format!(
        "POST /v1/leads HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {token}\r\ncontent-length: 2\r\n\r\n{{}}"
    )
}

async fn deliver(front: &Front, token: &str) -> Reply {
    front.ask(&post_with(token)).await
}

/// What a gate says to a token at a moment.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Yes,
    No(Reason),
    Later,
}

async fn ask(oauth: &OAuth, token: &str, now: Moment) -> Said {
    let mut headers = http::HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    match crate::support::within(oauth.authenticate(&headers, Caller::default(), now)).await {
        Ok(_) => Said::Yes,
        Err(Refusal::BadToken { why }) => Said::No(why.reason),
        Err(Refusal::Undecided { .. }) => Said::Later,
        Err(other) => panic!("{other}"),
    }
}
