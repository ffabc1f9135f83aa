//! OAuth 2 bearer tokens, issued by an identity provider or by the service's own token endpoint.
//!
//! ```text
//! Authorization: Bearer …
//!    a JWT, HS256, and the source has clients of its own  → built_in       (our key, no request)
//!    a JWT, and the provider signs its tokens             → provider       (its keys, looked up)
//!    anything else, and the provider can be asked         → introspection  (asked, remembered)
//! ```
//! The form of a token chooses between them, which is harmless: each has keys of its own and checks all expected
//! claims. A token is refused for a [`Flaw`], which is logged and not sent to the sender; a token that cannot be
//! checked now is [`Refusal::Undecided`].

use std::sync::Arc;

use http::HeaderMap;
use jsonwebtoken::Algorithm;

use self::{
    built_in::BuiltIn,
    claims::Expected,
    discovery::KeysAt,
    flaw::{Denial, Flaw},
    introspection::Introspection,
    jwt::Jwt,
    provider::Provider,
};
use super::{KnownTo, Proof, Refusal, caller::Caller, moment::Moment, reason::Why};
use crate::{
    config::{OAuthAuth, Secret},
    observe::metrics::Metrics,
    runtime::{fetch::Client, reload::Current},
    source::SourceName,
};

mod bearer;
pub mod built_in;
mod cache;
mod claims;
mod discovery;
pub mod flaw;
mod introspection;
mod jwt;
mod key_set;
mod provider;
pub mod token_endpoint;

/// `WWW-Authenticate` for a request without a token.
const CHALLENGE: &str = "Bearer realm=\"millrace\"";

/// The tokens that a source accepts.
pub struct OAuth {
    built_in: Option<(Arc<BuiltIn>, Expected)>,
    provider: Option<Provider>,
    introspection: Option<Introspection>,
}

impl OAuth {
    /// `client` asks providers; `built_in` checks the service's own tokens.
    pub fn new(
        source: &SourceName,
        config: &OAuthAuth,
        client: &Client,
        built_in: Option<&Arc<BuiltIn>>,
        metrics: &Metrics,
    ) -> Self {
        let expected = Expected {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            client_ids: config.client_ids.clone(),
            scopes: config.scopes.clone(),
            leeway: config.leeway.as_secs(),
        };
        let at = config.issuer.as_ref().and_then(|i| KeysAt::new(i, config.jwks_url.as_ref()));
        let own = built_in.filter(|_| !config.built_in_clients.is_empty());
        Self {
            built_in: own.map(|own| (own.clone(), BuiltIn::expected(&config.built_in_clients))),
            provider: at
                .map(|at| Provider::new(at, expected.clone(), client.clone(), source, metrics)),
            introspection: config.introspection.as_ref().map(|config| {
                Introspection::new(config, expected, client.clone(), source, metrics)
            }),
        }
    }

    /// Starts the fetch of keys before the first token comes. Within a runtime.
    pub fn prepare(&self, now: Moment) {
        if let Some(provider) = &self.provider {
            provider.prepare(now.instant);
        }
    }

    /// Returns the secret for introspection, which is replaced when its file changes.
    pub fn client_secret(&self) -> Option<&Current<Secret>> {
        self.introspection.as_ref().map(Introspection::client_secret)
    }

    /// Judges the head of a request.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        caller: Caller,
        now: Moment,
    ) -> Result<Proof, Refusal> {
        let Some(token) = bearer::token(headers) else {
            return Err(Refusal::BadCredentials {
                challenge: CHALLENGE,
                why: bearer::none(headers),
            });
        };
        match self.check(token, caller, now).await {
            Ok(()) => Ok(Proof::of(KnownTo::Us)),
            Err(Denial::Invalid(flaw)) => {
                Err(Refusal::BadToken { why: Why::new(flaw.reason(), flaw.to_string()) })
            }
            Err(Denial::Undecided(reason, detail)) => Err(Refusal::undecided(reason, detail)),
        }
    }

    async fn check(&self, token: &str, caller: Caller, now: Moment) -> Result<(), Denial> {
        let jwt = Jwt::parse(token);
        let is_hmac = |jwt: &&Jwt<'_>| jwt.algorithm() == Some(Algorithm::HS256);
        if let (Some((own, expected)), Some(jwt)) = (&self.built_in, jwt.as_ref().filter(is_hmac)) {
            return Ok(own.check(jwt, expected, now)?);
        }
        match (&self.provider, &jwt, &self.introspection) {
            (Some(provider), Some(jwt), _) => provider.check(jwt, now).await,
            (_, _, Some(introspection)) => introspection.check(token, caller, now).await,
            _ => Err(Flaw::Malformed.into()),
        }
    }
}
