//! Secrets that are read again when their files change: what of the configuration they are, and who
//! is told.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    authenticate::token::Tokens,
    config::{self, Secret, TokenAuth},
    kafka::{self, Topics},
    reload::{Digest, Reload},
};

/// The tokens of one source.
pub(super) struct TokenFile {
    key: String,
    file: PathBuf,
    in_use: Vec<Secret>,
    tokens: Tokens,
}

impl TokenFile {
    /// `None` where the tokens are in no file of their own. `tokens` is what the source asks.
    pub fn new(source: &str, auth: &TokenAuth, tokens: &Tokens) -> Option<Self> {
        let file = auth.tokens.first()?.file()?.to_owned();
        let key = format!("sources.{source}.auth.tokens_file");
        Some(Self { key, file, in_use: auth.tokens.clone(), tokens: tokens.clone() })
    }
}

impl Reload for TokenFile {
    fn key(&self) -> &str {
        &self.key
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.file.clone()]
    }

    fn reload(&mut self) -> Result<bool, String> {
        let tokens = config::tokens_again(&self.file)?;
        if tokens == self.in_use {
            return Ok(false);
        }
        self.tokens.replace(&tokens);
        self.in_use = tokens;
        Ok(true)
    }
}

/// Properties that name files which librdkafka reads by itself, once, when a client is made.
const READ_BY_THE_LIBRARY: [&str; 5] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.crl.location",
];

/// What the Kafka clients get in with. Made before they are, so that no change is missed.
pub(super) struct KafkaSecrets {
    in_use: config::Kafka,
    /// Properties that are in files.
    ours: Vec<PathBuf>,
    library: Vec<PathBuf>,
    library_read: Digest,
}

impl KafkaSecrets {
    pub fn new(kafka: &config::Kafka) -> Self {
        let properties = &kafka.properties;
        let ours = properties.values().filter_map(Secret::file).map(Path::to_owned).collect();
        let named = READ_BY_THE_LIBRARY.iter().filter_map(|name| properties.get(*name));
        let named = named.map(|path| PathBuf::from(path.expose()));
        // A folder, or `probe`, is nothing that could be compared.
        let library: Vec<_> = named.filter(|path| path.is_file()).collect();
        let library_read = Digest::of(&library);
        Self { in_use: kafka.clone(), ours, library, library_read }
    }

    /// `None` where nothing comes from a file.
    pub fn renewing(self, topics: &Arc<Topics>) -> Option<KafkaAccess> {
        let any = !self.ours.is_empty() || !self.library.is_empty();
        any.then(|| KafkaAccess { secrets: self, topics: topics.clone() })
    }
}

/// New secrets mean new clients.
pub(super) struct KafkaAccess {
    secrets: KafkaSecrets,
    topics: Arc<Topics>,
}

impl Reload for KafkaAccess {
    fn key(&self) -> &str {
        "kafka.properties"
    }

    fn files(&self) -> Vec<PathBuf> {
        self.secrets.ours.iter().chain(&self.secrets.library).cloned().collect()
    }

    fn reload(&mut self) -> Result<bool, String> {
        let secrets = &mut self.secrets;
        let validate = |kafka: &config::Kafka| kafka::validate_properties(&kafka.properties);
        let library_read = Digest::of(&secrets.library);
        let now = config::kafka_again(&secrets.in_use, &validate)?;
        if now == secrets.in_use && library_read == secrets.library_read {
            return Ok(false);
        }
        self.topics.renew_access(now.clone());
        secrets.in_use = now;
        secrets.library_read = library_read;
        Ok(true)
    }
}
