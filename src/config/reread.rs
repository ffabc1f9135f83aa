//! Secrets from files of their own, read again while the service runs: by the rules that held when
//! the configuration was loaded. No text quotes a secret.

use std::path::Path;

use super::{
    kafka::{Validate, hide, property},
    layer::{one_a_line, secret_file},
    secret::Secret,
    sources,
    stages::Kafka,
};

/// The tokens in `file`.
pub fn tokens(file: &Path) -> Result<Vec<Secret>, String> {
    let text = secret_file(&file.to_string_lossy())?;
    let tokens = one_a_line(&text).map_err(str::to_owned).and_then(|lines| {
        let (tokens, _) = sources::tokens(&lines).map_err(|(problem, _)| problem)?;
        Ok(tokens)
    });
    let tokens = tokens.map_err(|problem| which(file, &problem))?;
    Ok(tokens.into_iter().map(|token| token.read_from(file)).collect())
}

/// `kafka` with those properties that are in files as they are there now.
pub fn kafka(kafka: &Kafka, validate: Validate<'_>) -> Result<Kafka, String> {
    let mut now = kafka.clone();
    for (name, secret) in &mut now.properties {
        let Some(file) = secret.file().map(Path::to_owned) else { continue };
        let text = secret_file(&file.to_string_lossy())?;
        let (value, _) =
            property(name, &text.into()).map_err(|(problem, _)| which(&file, &problem))?;
        *secret = value.read_from(&file);
    }
    validate(&now).map_err(|problem| {
        format!("the Kafka client does not take the properties: {}", hide(&problem, "", &now))
    })?;
    Ok(now)
}

fn which(file: &Path, problem: &str) -> String {
    format!("names `{}`, which {problem}", file.display())
}
