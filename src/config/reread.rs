//! Reads secrets from their files again while the service runs, by the rules of a start. No error
//! quotes a secret.

use std::path::Path;

use figment::value::Value;

use super::{
    Kafka,
    kafka::{Validate, hide, property},
    layer::{one_a_line, secret_file},
    oauth::{self, OAuth},
    registry::{Credentials, SchemaRegistry},
    secret::Secret,
    security,
    sources::{self, HeaderScheme},
};

/// Reads the tokens in `file`, for a source that takes them behind `scheme`.
pub fn tokens(file: &Path, scheme: HeaderScheme) -> Result<Vec<Secret>, String> {
    let tokens = list(file, sources::tokens)?;
    sources::carried(&tokens, scheme).map_err(|(problem, _)| which(file, &problem))?;
    Ok(tokens)
}

/// Returns `oauth` with the secrets that its files hold now.
pub fn oauth(oauth: &OAuth) -> Result<OAuth, String> {
    let mut now = oauth.clone();
    if let Some(file) = file_of(&oauth.signing_keys) {
        now.signing_keys = list(file, oauth::signing_keys)?;
    }
    for secrets in now.clients.values_mut() {
        if let Some(file) = file_of(secrets).map(Path::to_owned) {
            *secrets = list(&file, oauth::client_secrets)?;
        }
    }
    Ok(now)
}

/// Reads the one secret in `file`.
pub fn secret(file: &Path) -> Result<Secret, String> {
    let text = text_of(file)?;
    let secret = Secret::written(&text).map_err(|(problem, _)| which(file, problem))?;
    Ok(secret.read_from(file))
}

fn text_of(file: &Path) -> Result<String, String> {
    secret_file(&file.to_string_lossy()).map_err(|(problem, _)| problem)
}

fn file_of(secrets: &[Secret]) -> Option<&Path> {
    secrets.first()?.file()
}

/// Makes secrets of a list, with the text that shows them; an error is a problem and its remedy.
type Rules = fn(&Value) -> Result<(Vec<Secret>, String), (String, String)>;

fn list(file: &Path, read: Rules) -> Result<Vec<Secret>, String> {
    let text = text_of(file)?;
    let secrets = one_a_line(&text).map_err(str::to_owned).and_then(|lines| {
        let (secrets, _) = read(&lines).map_err(|(problem, _)| problem)?;
        Ok(secrets)
    });
    let secrets = secrets.map_err(|problem| which(file, &problem))?;
    Ok(secrets.into_iter().map(|secret| secret.read_from(file)).collect())
}

/// Returns `kafka` with the properties that its files hold now.
pub fn kafka(kafka: &Kafka, validate: Validate<'_>) -> Result<Kafka, String> {
    let mut now = kafka.clone();
    for (name, secret) in &mut now.properties {
        let Some(file) = secret.file().map(Path::to_owned) else { continue };
        let text = text_of(&file)?;
        let (value, _) =
            property(name, &text.into()).map_err(|(problem, _)| which(&file, &problem))?;
        *secret = value.read_from(&file);
    }
    validate(&now).map_err(|problem| {
        if let Some((name, problem)) = security::unreadable_files(&now).into_iter().next() {
            return format!("kafka.properties.\"{name}\" {problem}");
        }
        format!("the Kafka client rejects the properties: {}", hide(&problem, "", &now))
    })?;
    Ok(now)
}

/// Returns `registry` with the secrets that its files hold now.
pub fn registry(registry: &SchemaRegistry) -> Result<SchemaRegistry, String> {
    let mut now = registry.clone();
    if let Credentials::Password { password: held, .. } | Credentials::Token(held) =
        &mut now.credentials
        && let Some(file) = held.file().map(Path::to_owned)
    {
        *held = secret(&file)?;
    }
    Ok(now)
}

fn which(file: &Path, problem: &str) -> String {
    format!("names `{}`, which {problem}", file.display())
}
