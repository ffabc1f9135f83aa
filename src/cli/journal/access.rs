//! Access tokens by OAuth server-to-server (client credentials), kept until shortly before their end.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};

use super::JournalError;
use crate::{
    config::{self, Secret},
    runtime::fetch::{Client, Limits, ShownUrl},
};

/// A token is renewed this long before it expires, so that none expires on its way.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// The client's identity at Adobe's identity provider.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Adobe's `/ims/token/v3`.
    pub token_url: Url,
    pub client_id: String,
    pub client_secret: Secret,
    /// Sent comma-separated, which Adobe expects.
    pub scopes: Vec<String>,
}

/// Caches the current token.
#[derive(Debug)]
pub struct Access {
    client: Client,
    credentials: Credentials,
    current: Option<(Secret, SystemTime)>,
}

#[derive(Serialize)]
struct Request<'a> {
    grant_type: &'static str,
    client_id: &'a str,
    client_secret: &'a str,
    scope: String,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Seconds.
    expires_in: u64,
}

impl Access {
    pub fn new(client: Client, credentials: Credentials) -> Self {
        Self { client, credentials, current: None }
    }

    pub fn client_id(&self) -> &str {
        &self.credentials.client_id
    }

    /// Drops the current token, which the journal refused.
    pub fn forget(&mut self) {
        self.current = None;
    }

    pub async fn token(&mut self, now: SystemTime) -> Result<Secret, JournalError> {
        if let Some((token, end)) = &self.current
            && now + RENEW_BEFORE < *end
        {
            return Ok(token.clone());
        }
        let (token, end) = self.grant(now).await?;
        self.current = Some((token.clone(), end));
        Ok(token)
    }

    /// Returns the client secret, read again if it has a file: the file may have been replaced since the last token.
    fn client_secret(&self) -> Secret {
        let known = &self.credentials.client_secret;
        match known.file().map(config::secret_again) {
            None => known.clone(),
            Some(Ok(now)) => now,
            Some(Err(problem)) => {
                let key = "journal.client_secret_file";
                tracing::warn!(key, problem, "reload failed; keeping the previous value");
                known.clone()
            }
        }
    }

    async fn grant(&self, now: SystemTime) -> Result<(Secret, SystemTime), JournalError> {
        let Credentials { token_url, client_id, scopes, .. } = &self.credentials;
        let client_secret = self.client_secret();
        let form = Request {
            grant_type: "client_credentials",
            client_id,
            client_secret: client_secret.expose(),
            scope: scopes.join(","),
        };
        let request = self.client.request(Method::POST, token_url.clone()).form(&form).build();
        let request = request
            .map_err(|error| JournalError::Refused { what: error.without_url().to_string() })?;
        let answer = self.client.send(request, Limits::SMALL).await?;
        let place = ShownUrl::of(token_url);
        match answer.status {
            StatusCode::OK => {}
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                let what = format!("{place} answers {status}");
                return Err(JournalError::Passing { what, after: None });
            }
            status => {
                let what = format!(
                    "{place} gives no token ({status}): check journal.client_id, client_secret and \
                     scopes against the project in Adobe's Developer Console"
                );
                return Err(JournalError::Refused { what });
            }
        }
        // The parser's error is not shown: it may quote the token.
        let granted: Option<Granted> = serde_json::from_slice(&answer.body).ok();
        let strange = || JournalError::Strange {
            place: place.clone(),
            what: "expected JSON with access_token and expires_in".to_owned(),
        };
        let granted = granted.ok_or_else(strange)?;
        let token = Secret::new(granted.access_token).ok_or_else(strange)?;
        // Bounded: a provider that says a thousand years means "long enough".
        let lifetime = Duration::from_secs(granted.expires_in.min(7 * 24 * 3600));
        Ok((token, now + lifetime))
    }
}
