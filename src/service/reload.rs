//! Secrets that are read again when their files change, each with its configuration key and the part that
//! uses it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    config::{self, HeaderScheme, Secret, TokenAuth},
    ingest::{
        authenticate::{
            oauth::{built_in::BuiltIn, token_endpoint::TokenEndpoint},
            token::Tokens,
        },
        receive,
    },
    kafka::{self, Topics},
    observe::api::access::Access,
    runtime::reload::{Current, Digest, Reload},
};

pub(super) fn boxed<R: Reload + 'static>(reload: R) -> Box<dyn Reload> {
    Box::new(reload)
}

/// The tokens of one source.
pub(super) struct TokenFile {
    key: String,
    file: PathBuf,
    scheme: HeaderScheme,
    in_use: Vec<Secret>,
    tokens: Tokens,
}

impl TokenFile {
    /// `None` where the tokens are in no file of their own. `tokens` are those that the source checks against.
    pub fn new(source: &str, auth: &TokenAuth, tokens: &Tokens) -> Option<Self> {
        let file = auth.tokens.first()?.file()?.to_owned();
        let key = format!("sources.{source}.auth.tokens_file");
        let scheme = auth.header_scheme;
        let in_use = auth.tokens.clone();
        Some(Self { key, file, scheme, in_use, tokens: tokens.clone() })
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
        let tokens = config::tokens_again(&self.file, self.scheme)?;
        if tokens == self.in_use {
            return Ok(false);
        }
        self.tokens.replace(&tokens);
        self.in_use = tokens;
        Ok(true)
    }
}

/// The tokens of the admin listener.
pub(super) struct AdminTokens {
    file: PathBuf,
    access: Arc<Access>,
}

impl AdminTokens {
    /// `None` where the tokens are in no file of their own.
    pub fn new(admin: &config::Admin, access: &Arc<Access>) -> Option<Self> {
        let file = admin.tokens.first()?.file()?.to_owned();
        Some(Self { file, access: access.clone() })
    }
}

impl Reload for AdminTokens {
    fn key(&self) -> &str {
        "admin.tokens_file"
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.file.clone()]
    }

    fn reload(&mut self) -> Result<bool, String> {
        let tokens = config::tokens_again(&self.file, HeaderScheme::Bearer)?;
        if tokens == self.access.tokens().get() {
            return Ok(false);
        }
        self.access.tokens().set(tokens);
        self.access.end_sessions();
        Ok(true)
    }
}

/// The built-in endpoint's signing keys and the clients' secrets.
pub(super) struct OAuthFiles {
    in_use: config::OAuth,
    built_in: Arc<BuiltIn>,
    token_endpoint: TokenEndpoint,
}

impl OAuthFiles {
    /// `None` where none of them comes from a file.
    pub fn new(
        oauth: &config::OAuth,
        built_in: &Arc<BuiltIn>,
        token_endpoint: &TokenEndpoint,
    ) -> Option<Self> {
        let in_use = oauth.clone();
        let built_in = built_in.clone();
        let files = Self { in_use, built_in, token_endpoint: token_endpoint.clone() };
        (!files.files().is_empty()).then_some(files)
    }
}

impl Reload for OAuthFiles {
    fn key(&self) -> &str {
        "oauth"
    }

    fn files(&self) -> Vec<PathBuf> {
        let secrets = [&self.in_use.signing_keys].into_iter().chain(self.in_use.clients.values());
        secrets.filter_map(|secrets| secrets.first()?.file()).map(Path::to_owned).collect()
    }

    fn reload(&mut self) -> Result<bool, String> {
        let now = config::oauth_again(&self.in_use)?;
        if now == self.in_use {
            return Ok(false);
        }
        self.built_in.replace(&now.signing_keys);
        self.token_endpoint.replace(&now.clients);
        self.in_use = now;
        Ok(true)
    }
}

/// The client secret that this service shows to the provider that it asks about a source's tokens.
pub(super) struct ClientSecretFile {
    key: String,
    file: PathBuf,
    in_use: Current<Secret>,
}

impl ClientSecretFile {
    /// `None` where it is in no file of its own.
    pub fn new(source: &receive::Source) -> Option<Self> {
        let in_use = source.gate.oauth.as_ref()?.client_secret()?.clone();
        let file = in_use.get().file()?.to_owned();
        let key = format!("sources.{}.auth.oauth.introspection.client_secret_file", source.name);
        Some(Self { key, file, in_use })
    }
}

impl Reload for ClientSecretFile {
    fn key(&self) -> &str {
        &self.key
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.file.clone()]
    }

    fn reload(&mut self) -> Result<bool, String> {
        let now = config::secret_again(&self.file)?;
        let is_new = now != self.in_use.get();
        if is_new {
            self.in_use.set(now);
        }
        Ok(is_new)
    }
}

/// The key of a rule on fields.
pub(super) struct FieldKey {
    key: String,
    in_use: config::KeyFile,
}

impl FieldKey {
    /// Returns the keys of all rules.
    pub fn all(fields: &config::FieldRules) -> Vec<Self> {
        let of = |file: &config::KeyFile| {
            let key = format!("fields.{}.key_file", file.name);
            Self { key, in_use: file.clone() }
        };
        fields.keys.iter().map(of).collect()
    }
}

impl Reload for FieldKey {
    fn key(&self) -> &str {
        &self.key
    }

    fn files(&self) -> Vec<PathBuf> {
        self.in_use.secret.file().map(Path::to_owned).into_iter().collect()
    }

    fn reload(&mut self) -> Result<bool, String> {
        let Some(file) = self.in_use.secret.file() else { return Ok(false) };
        let now = config::hmac_key_again(file)?;
        if now == self.in_use.secret {
            return Ok(false);
        }
        if !self.in_use.key.replace(now.expose().as_bytes()) {
            return Err("is too short for a key".into());
        }
        self.in_use.secret = now;
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

/// The secrets by which Kafka clients log in. Made before the clients are, so that no change is missed.
pub(super) struct KafkaSecrets {
    in_use: config::Kafka,
    /// Files of properties that this program reads.
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
        // A folder, or `probe`, cannot be compared.
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

/// Replaces the Kafka clients when their secrets change.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::decode::fields::{Encoding, HmacKey};

    #[test]
    fn the_key_of_a_rule_is_replaced_as_its_file_is_and_a_short_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let first = "a".repeat(32);
        let second = "b".repeat(32);
        std::fs::write(&file, &first).unwrap();
        let secret = config::hmac_key_again(&file).unwrap();
        let key = HmacKey::new(first.as_bytes()).unwrap();
        let keys = vec![config::KeyFile { name: "email".into(), secret, key: key.clone() }];
        let fields = config::FieldRules { keys, ..config::FieldRules::default() };
        let mut reload = FieldKey::all(&fields).remove(0);
        let sign = || key.sign(b"x", Encoding::Hex);
        let before = sign();
        assert_eq!((reload.key(), reload.files()), ("fields.email.key_file", vec![file.clone()]));
        assert_eq!(reload.reload(), Ok(false));
        std::fs::write(&file, "short").unwrap();
        assert!(reload.reload().unwrap_err().contains("less than 32 bytes"));
        assert_eq!(sign(), before);
        std::fs::write(&file, &second).unwrap();
        assert_eq!((reload.reload(), reload.reload()), (Ok(true), Ok(false)));
        assert_eq!(sign(), HmacKey::new(second.as_bytes()).unwrap().sign(b"x", Encoding::Hex));
    }
}
