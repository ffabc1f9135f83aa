//! Parts of OAuth that all sources share: the client that asks identity providers, and the built-in token endpoint.

use std::sync::Arc;

use super::reload::OAuthFiles;
use crate::{
    config::{self, Auth, Config},
    ingest::authenticate::{
        moment::Moment,
        oauth::{OAuth, built_in::BuiltIn, token_endpoint::TokenEndpoint},
    },
    observe::metrics::Metrics,
    runtime::fetch::Client,
    source::SourceName,
};

pub(super) struct OAuthParts {
    /// Present if a source accepts OAuth tokens.
    client: Option<Client>,
    built_in: Option<Arc<BuiltIn>>,
    token_endpoint: Option<TokenEndpoint>,
    metrics: Metrics,
}

impl OAuthParts {
    pub fn new(config: &Config, metrics: &Metrics) -> Result<Self, String> {
        let is_used = config.sources.iter().any(|source| source.auth.oauth.is_some());
        let client = is_used.then(Client::new).transpose()?;
        let built_in = BuiltIn::new(&config.oauth.signing_keys, config.oauth.token_lifetime);
        let built_in = built_in.map(Arc::new);
        let token_endpoint = TokenEndpoint::new(&config.oauth, built_in.as_ref());
        Ok(Self { client, built_in, token_endpoint, metrics: metrics.clone() })
    }

    /// Returns one source's OAuth; the look-up of its provider's keys has begun.
    pub fn way(&self, source: &SourceName, auth: &Auth) -> Option<OAuth> {
        let (oauth, client) = auth.oauth.as_ref().zip(self.client.as_ref())?;
        let way = OAuth::new(source, oauth, client, self.built_in.as_ref(), &self.metrics);
        way.prepare(Moment::now());
        Some(way)
    }

    pub fn token_endpoint(&self) -> Option<TokenEndpoint> {
        self.token_endpoint.clone()
    }

    /// Returns the files of the built-in endpoint, to be read again when they change.
    pub fn files(&self, config: &config::OAuth) -> Option<OAuthFiles> {
        OAuthFiles::new(config, self.built_in.as_ref()?, self.token_endpoint.as_ref()?)
    }
}
