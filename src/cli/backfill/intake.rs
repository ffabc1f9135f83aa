//! Delivers to the running service, as any sender does, and retries for as long as it takes.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use reqwest::{Method, Url};

use crate::{
    config::{self, HeaderScheme, Secret, TokenAuth},
    runtime::{
        fetch::{Client, Limits, ShownUrl},
        readable,
        retry::Retry,
    },
    source::{JOURNAL_ORIGIN, ORIGIN_HEADER, SourceName},
};

const ANSWER_LIMITS: Limits = Limits { time: Duration::from_secs(30), bytes: 64 * 1024 };
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub(super) struct Intake {
    client: Client,
    url: Url,
    token: Secret,
    scheme: HeaderScheme,
}

/// The service refused a delivery for good.
#[derive(Debug, thiserror::Error)]
#[error("{place} answers {status}: {advice}")]
pub(super) struct IntakeError {
    place: ShownUrl,
    status: StatusCode,
    advice: &'static str,
}

impl Intake {
    pub fn new(
        client: Client,
        to: &Url,
        source: &SourceName,
        auth: &TokenAuth,
    ) -> Result<Self, String> {
        let url = to
            .join(&format!("v1/{source}"))
            .map_err(|_| format!("--to {to}: nothing can stand below it"))?;
        let token = auth.tokens.first().ok_or("the source has no token")?.clone();
        Ok(Self { client, url, token, scheme: auth.header_scheme })
    }

    /// Delivers `body`, an array; returns when the service has made it durable.
    pub async fn deliver(&self, body: Bytes) -> Result<(), IntakeError> {
        let mut pauses = Retry::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let request = self
                .client
                .request(Method::POST, self.url.clone())
                .header(header::AUTHORIZATION, self.authorization())
                .header(header::CONTENT_TYPE, "application/json")
                .header(ORIGIN_HEADER, JOURNAL_ORIGIN)
                .body(body.clone())
                .build()
                .expect("a checked URL and plain headers make a request");
            let (what, after) = match self.client.send(request, ANSWER_LIMITS).await {
                Ok(answer) if answer.status == StatusCode::OK => return Ok(()),
                Ok(answer) if answer.status.is_client_error() => {
                    return Err(self.refused(answer.status));
                }
                Ok(answer) => {
                    let after = answer.headers.get(header::RETRY_AFTER);
                    let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
                    (format!("it answers {}", answer.status), after.map(Duration::from_secs))
                }
                Err(error) => (error.to_string(), None),
            };
            let pause = after.unwrap_or_else(|| pauses.next_delay()).min(LONGEST_PAUSE);
            tracing::warn!(
                to = %ShownUrl::of(&self.url), what, again_in_seconds = pause.as_secs_f64(),
                "the service did not accept a delivery; trying again in {}", readable::length(pause),
            );
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads the token again if it has a file: with --follow the file may be replaced meanwhile.
    fn authorization(&self) -> HeaderValue {
        let again = |file| config::tokens_again(file, self.scheme);
        let now = match self.token.file().map(again) {
            None => None,
            Some(Ok(tokens)) => tokens.into_iter().next(),
            Some(Err(problem)) => {
                let key = "auth.tokens_file";
                tracing::warn!(key, problem, "reload failed; keeping the previous value");
                None
            }
        };
        let token = now.as_ref().unwrap_or(&self.token).expose();
        let text = match self.scheme {
            HeaderScheme::Bearer => format!("Bearer {token}"),
            HeaderScheme::Basic => format!("Basic {token}"),
            HeaderScheme::Bare => token.to_owned(),
        };
        // Cannot fail: the token was checked for control characters, and all other text is allowed.
        let mut value =
            HeaderValue::from_bytes(text.as_bytes()).expect("a token fits into a header");
        value.set_sensitive(true);
        value
    }

    fn refused(&self, status: StatusCode) -> IntakeError {
        let advice = match status {
            StatusCode::UNAUTHORIZED => {
                "it does not know the token: the source's auth.tokens (or auth.tokens_file) must be the same there"
            }
            StatusCode::NOT_FOUND => "check --to: this is no millrace, or not its root",
            _ => "check --to",
        };
        IntakeError { place: ShownUrl::of(&self.url), status, advice }
    }
}
