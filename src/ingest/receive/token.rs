//! `POST /oauth/token`: the HTTP around [`TokenEndpoint`].
//!
//! Its answers come from the one table (`listen/reply.rs`), with the bodies and headers that RFC 6749 demands:
//! JSON that no proxy may cache. Requests' bodies are small and have a budget of their own, so a crowd here takes
//! no memory from deliveries.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header, request::Parts};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::{
    config::Listen,
    ingest::{
        authenticate::{
            moment::Moment,
            oauth::token_endpoint::{Granted, Rejected, TokenEndpoint},
        },
        listen::{
            Answer,
            activity::Activity,
            body::{self, BodySender, Limits},
            reply::Outcome,
            report::{Names, Report},
        },
    },
};

const PATH: &str = "/oauth/token";

/// Label in place of a source in metrics and logs; no source can have this name.
const LABEL: &str = "/oauth/token";

/// Bytes of a request's body.
const BODY_LIMIT: u64 = 8 * 1024;
/// Bytes of all bodies at once.
const BODY_BUDGET: u64 = 1024 * 1024;

/// The endpoint, and the limits of its bodies.
pub(super) struct TokenRequests {
    endpoint: TokenEndpoint,
    limits: Limits,
}

impl TokenRequests {
    /// Makes it with a budget of its own beside that of `deliveries`.
    pub fn new(endpoint: TokenEndpoint, deliveries: &Limits) -> Self {
        let limits = deliveries.apart(&Listen {
            body_limit: BODY_LIMIT,
            body_limit_inflated: BODY_LIMIT,
            body_budget: BODY_BUDGET,
            ..Listen::default()
        });
        Self { endpoint, limits }
    }

    pub fn are_at<B>(&self, request: &Request<B>) -> bool {
        request.uri().path() == PATH
    }

    pub async fn answer(
        &self,
        request: Request<Incoming>,
        client: Option<IpAddr>,
        timeout: Duration,
        report: &Report,
    ) -> Response<Answer> {
        let version = request.version();
        let (head, body) = request.into_parts();
        let (outcome, json) = match self.grant(&head, body, Instant::now() + timeout).await {
            Ok(granted) => (Outcome::TokenIssued, token(&granted)),
            Err(outcome) => {
                let json = refusal(&outcome);
                (outcome, json)
            }
        };
        let names = Names { client, ..Names::default() };
        report.request(LABEL, &outcome, outcome.detail(), &names);
        let mut response = outcome.response(version).map(|_| Answer::new(json.into()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        if outcome == Outcome::MethodNotAllowed {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }

    async fn grant<B>(&self, head: &Parts, body: B, deadline: Instant) -> Result<Granted, Outcome>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
    {
        if head.method != Method::POST {
            return Err(Outcome::MethodNotAllowed);
        }
        let from = BodySender::Stranger;
        let body = match body::read(&head.headers, body, &self.limits, from, deadline).await {
            // Not `BodyTooLarge`, which names a limit to raise: no request for a token is as large.
            Err(Outcome::BodyTooLarge | Outcome::InflatedTooLarge) => {
                return Err(Rejected::InvalidRequest.into());
            }
            read => read?,
        };
        let granted = self.endpoint.grant(&head.headers, &body.bytes, Moment::now())?;
        if let Some(connection) = head.extensions.get::<Arc<Activity>>() {
            connection.prove();
        }
        Ok(granted)
    }
}

impl From<Rejected> for Outcome {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::InvalidClient => Self::UnknownClient,
            Rejected::InvalidRequest => Self::BadTokenRequest { error: "invalid_request" },
            Rejected::UnsupportedGrantType => {
                Self::BadTokenRequest { error: "unsupported_grant_type" }
            }
            Rejected::NotSigned => Self::Internal,
        }
    }
}

fn token(Granted { access_token, lifetime }: &Granted) -> String {
    let expires_in = lifetime.as_secs();
    serde_json::json!({
        "access_token": access_token, "token_type": "Bearer", "expires_in": expires_in,
    })
    .to_string()
}

/// Returns the refusal's JSON. RFC 6749 has no error code for "try later" at this endpoint; `temporarily_unavailable`
/// is that of its authorization endpoint.
fn refusal(outcome: &Outcome) -> String {
    let error = match outcome {
        Outcome::UnknownClient => "invalid_client",
        Outcome::BadTokenRequest { error } => error,
        Outcome::MethodNotAllowed => "invalid_request",
        _ => "temporarily_unavailable",
    };
    serde_json::json!({ "error": error }).to_string()
}
