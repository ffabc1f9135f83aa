//! The entrance of deliveries: the keys, tokens and secrets by which each source knows its sender, and that they are read
//! again when their files change.

use std::sync::Arc;

use super::{
    StartError,
    adobe::AdobeParts,
    oauth::OAuthParts,
    open::Opened,
    reload::{AdminTokens, ClientSecretFile, FieldKey, KafkaSecrets, boxed},
};
use crate::{
    config::Config,
    ingest::{authenticate::token::Neighbours, listen::tls::Renewal, receive::Receiver},
    observe::{api::access::Access, metrics::Metrics},
    runtime::{
        reload::{LOOK_INTERVAL, Reload, Reloader},
        shutdown::Shutdown,
    },
};

/// Parts that are there before a spool is: a mistake in them is told first.
pub(super) struct Entrance {
    adobe: AdobeParts,
    oauth: OAuthParts,
    /// The renewal of the listener's certificate, where it has one.
    certificate: Option<Renewal>,
    kafka_secrets: KafkaSecrets,
}

impl Entrance {
    /// Reads nothing of the spool and asks no host.
    pub fn new(
        config: &Config,
        certificate: Option<Renewal>,
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let adobe = AdobeParts::new(config, metrics).map_err(StartError::Fetch)?;
        let oauth = OAuthParts::new(config, metrics).map_err(StartError::Fetch)?;
        Ok(Self { adobe, oauth, certificate, kafka_secrets: KafkaSecrets::new(&config.kafka) })
    }

    /// The receiver of all sources, those that were set aside included. From now on files of secrets are looked at.
    pub fn open(
        self,
        config: &Config,
        opened: &Opened,
        access: &Arc<Access>,
        metrics: &Metrics,
        shutdown: &Shutdown,
    ) -> Result<Receiver, StartError> {
        self.adobe.keep_keys_in(opened.folder.disk(), &config.spool.directory);
        let running = opened.sources.iter().map(|source| (&source.front, source.store()));
        let aside = opened.set_aside.iter().map(|source| (&source.front, source.store()));
        let fronts: Vec<_> = running.chain(aside).collect();
        let neighbours = Neighbours::new(fronts.iter().filter_map(|(front, _)| front.tokens()));
        let receivers = fronts.iter().map(|(front, store)| {
            front.receiver(&self.adobe, &self.oauth, &neighbours, store.clone())
        });
        let receivers: Vec<_> = receivers.collect();

        let mut reloads: Vec<Box<dyn Reload>> = Vec::new();
        reloads.extend(self.certificate.map(boxed));
        reloads.extend(fronts.iter().filter_map(|(front, _)| front.token_file()).map(boxed));
        reloads.extend(AdminTokens::new(&config.admin, access).map(boxed));
        reloads.extend(self.oauth.files(&config.oauth).map(boxed));
        reloads.extend(receivers.iter().filter_map(ClientSecretFile::new).map(boxed));
        reloads.extend(FieldKey::all(&config.fields).into_iter().map(boxed));
        reloads.extend(self.kafka_secrets.renewing(&opened.topics).map(boxed));
        let registry = opened.registry.as_ref().zip(config.schema_registry.as_ref());
        let registry = registry.and_then(|(registry, config)| registry.renewing(config));
        reloads.extend(registry.map(boxed));
        let reloader = Reloader::new(reloads, metrics);
        reloader.spawn(LOOK_INTERVAL, shutdown.clone()).map_err(StartError::Thread)?;

        let receiver = Receiver::new(receivers, &config.listen, metrics);
        Ok(receiver.with_token_endpoint(self.oauth.token_endpoint()))
    }
}
