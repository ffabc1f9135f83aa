//! The receiving side of a source: its name, its ways to authenticate, and the files that are read again.

use std::sync::Arc;

use super::{adobe::AdobeParts, oauth::OAuthParts, reload::TokenFile};
use crate::{
    config::{Answer, Auth, SourceConfig},
    ingest::{
        authenticate::{
            Gate,
            certificate::Certificate,
            token::{Neighbours, Tokens},
        },
        receive::{self, Store},
    },
    source::SourceName,
};

pub(super) struct Front {
    pub name: SourceName,
    auth: Auth,
    answer: Answer,
    tokens: Option<Tokens>,
}

impl Front {
    pub fn new(source: &SourceConfig) -> Self {
        let tokens = source.auth.tokens.as_ref().map(Tokens::new);
        Self { name: source.name.clone(), auth: source.auth.clone(), answer: source.answer, tokens }
    }

    /// Returns the receiver's view of this source.
    pub fn receiver(
        &self,
        adobe: &AdobeParts,
        oauth: &OAuthParts,
        neighbours: &Neighbours,
        store: Arc<dyn Store>,
    ) -> receive::Source {
        receive::Source {
            name: self.name.clone(),
            gate: Gate {
                tokens: self.tokens.clone(),
                certificate: self.auth.certificate.as_ref().map(Certificate::new),
                signature: adobe.signature(&self.auth),
                oauth: oauth.way(&self.name, &self.auth),
                neighbours: neighbours.of(&self.name),
            },
            adobe: adobe.adobe_io(&self.name, &self.auth),
            store,
            answer: self.answer,
        }
    }

    /// Returns its tokens, by which other sources recognise that a delivery was sent to the wrong one.
    pub fn tokens(&self) -> Option<(SourceName, Tokens)> {
        Some((self.name.clone(), self.tokens.clone()?))
    }

    /// Returns the token file, to be read again when it changes.
    pub fn token_file(&self) -> Option<TokenFile> {
        let auth = self.auth.tokens.as_ref()?;
        TokenFile::new(self.name.as_str(), auth, self.tokens.as_ref()?)
    }
}
