//! Delivers to the running service, as any sender does, and waits for it as long as it takes.

use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, header};
use reqwest::{Method, Url};

use crate::{
    config::Secret,
    delivery::{JOURNAL, ORIGIN_HEADER, SourceName},
    fetch::{Client, Limits, Place},
    retry::Retry,
};

const ANSWER: Limits = Limits { time: Duration::from_secs(30), bytes: 64 * 1024 };
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub(super) struct Intake {
    client: Client,
    url: Url,
    token: Secret,
}

/// The service says no, for good.
#[derive(Debug, thiserror::Error)]
#[error("{place} answers {status}: {advice}")]
pub(super) struct IntakeError {
    place: Place,
    status: StatusCode,
    advice: &'static str,
}

impl Intake {
    pub fn new(
        client: Client,
        to: &Url,
        source: &SourceName,
        token: Secret,
    ) -> Result<Self, String> {
        let url = to
            .join(&format!("v1/{source}"))
            .map_err(|_| format!("--to {to}: nothing can stand below it"))?;
        Ok(Self { client, url, token })
    }

    /// Ends when the service has made `body`, an array, durable.
    pub async fn deliver(&self, body: Bytes) -> Result<(), IntakeError> {
        let mut pauses = Retry::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let request = self
                .client
                .request(Method::POST, self.url.clone())
                .bearer_auth(self.token.expose())
                .header(header::CONTENT_TYPE, "application/json")
                .header(ORIGIN_HEADER, JOURNAL)
                .body(body.clone())
                .build()
                .expect("a checked URL and plain headers make a request");
            let (what, after) = match self.client.send(request, ANSWER).await {
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
                to = %Place::of(&self.url), what, again_in_seconds = pause.as_secs_f32(),
                "the service does not take a delivery at the moment",
            );
            tokio::time::sleep(pause).await;
        }
    }

    fn refused(&self, status: StatusCode) -> IntakeError {
        let advice = match status {
            StatusCode::UNAUTHORIZED => {
                "it does not know the token: sources.<name>.auth.tokens must be the same there"
            }
            StatusCode::NOT_FOUND => "check --to: this is no millrace, or not its root",
            _ => "check --to",
        };
        IntakeError { place: Place::of(&self.url), status, advice }
    }
}
