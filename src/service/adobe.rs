//! Parts of Adobe I/O authentication that all sources share: the public keys, and the client that fetches them.

use std::{path::Path, sync::Arc};

use crate::{
    config::{Adobe, AdobeAuth, Auth, Config, ValidationUrl},
    ingest::{
        authenticate::{
            adobe_signature::AdobeSignature, moment::Moment, public_keys::PublicKeys,
            validation::Validation,
        },
        receive::AdobeIo,
    },
    observe::metrics::Metrics,
    runtime::fetch::Client,
    source::SourceName,
    spool::disk::Disk,
};

pub(super) struct AdobeParts {
    /// Present if a source is of kind `adobe-io`.
    keys: Option<PublicKeys>,
    /// Present if anything has to be fetched: without it a cluster that reaches no other host needs no trusted
    /// certificates.
    client: Option<Client>,
    metrics: Metrics,
}

impl AdobeParts {
    pub fn new(config: &Config, metrics: &Metrics) -> Result<Self, String> {
        let adobe: Vec<&AdobeAuth> =
            config.sources.iter().filter_map(|source| source.auth.adobe.as_ref()).collect();
        let Adobe { keys_url, keys_folder } = &config.adobe;
        let fetches_keys = !adobe.is_empty() && keys_folder.is_none();
        let opens = adobe.iter().any(|auth| auth.validation_url == ValidationUrl::Open);
        let client = (fetches_keys || opens).then(Client::new).transpose()?;
        let keys = match (keys_folder, &client) {
            _ if adobe.is_empty() => None,
            (Some(folder), _) => Some(PublicKeys::in_folder(folder.clone(), metrics)),
            (None, client) => {
                client.clone().map(|client| PublicKeys::of_host(client, keys_url.clone(), metrics))
            }
        };
        Ok(Self { keys, client, metrics: metrics.clone() })
    }

    /// Lets keys be kept in the spool folder, which this process holds by now. Must be called within a runtime.
    pub fn keep_keys_in(&self, disk: &Arc<dyn Disk>, directory: &Path) {
        if let Some(keys) = &self.keys {
            keys.keep_in(disk.clone(), directory, Moment::now());
            keys.renew_in_background();
        }
    }

    pub fn signature(&self, auth: &Auth) -> Option<AdobeSignature> {
        auth.adobe.as_ref()?;
        self.keys.clone().map(AdobeSignature::new)
    }

    pub fn adobe_io(&self, source: &SourceName, auth: &Auth) -> Option<AdobeIo> {
        let AdobeAuth { client_ids, validation_url } = auth.adobe.as_ref()?;
        let opens = match validation_url {
            ValidationUrl::Open => self.client.clone(),
            ValidationUrl::Log => None,
        };
        let validation = Validation::new(source.clone(), opens, &self.metrics);
        Some(AdobeIo::new(client_ids.iter().cloned(), validation))
    }
}
