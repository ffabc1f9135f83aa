//! Signing in and out: a token is exchanged for a cookie, by JSON for programs, and by an ordinary form for the
//! console.
//!
//! A form's request has to name its `Origin`, which must be ours: a page of another origin can sign no operator in or
//! out. Together with the cookie's `SameSite=Strict` and `HttpOnly`, no page but ours can use a session.

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};
use serde_json::Value;

use super::{
    Answered, Api, ApiBody, Problem,
    access::Granted,
    answer::{bad, ok, text},
    client_of,
    objects::Session,
};

const MAX_BODY_BYTES: usize = 1024 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

impl Api {
    pub(super) async fn session(
        &self,
        head: &Parts,
        body: Option<Incoming>,
        client: IpAddr,
    ) -> Answered {
        self.access.check_origin(&head.uri, &head.headers, false)?;
        match head.method {
            Method::GET | Method::HEAD => {
                let granted = self.access.who(&head.headers, client)?;
                Ok(ok(&Session { access: self.describe(granted) }))
            }
            Method::POST => {
                let json = json_body(head, body).await?;
                let token = json.get("token").and_then(Value::as_str);
                let token = token.ok_or_else(|| bad("`token` is missing"))?;
                let cookie = self.begin_session(token, client)?;
                let granted = Granted::new(true, true);
                let mut response = ok(&Session { access: self.describe(granted) });
                set_cookie(&mut response, &cookie);
                Ok(response)
            }
            Method::DELETE => {
                let mut response = text(StatusCode::NO_CONTENT, "application/json", "");
                set_cookie(&mut response, &self.access.end_session(&head.headers));
                Ok(response)
            }
            _ => Err(Problem::new("method-not-allowed", "There is no such method.")),
        }
    }

    /// Begins a session by the token of a form, and returns its header `set-cookie`.
    pub fn sign_in(&self, token: &str, head: &Parts) -> Result<String, Problem> {
        self.access.check_host(&head.uri, &head.headers)?;
        self.access.check_origin(&head.uri, &head.headers, true)?;
        self.begin_session(token, client_of(head))
    }

    /// Ends the session of a form's request, and returns the header `set-cookie` that removes the cookie.
    pub fn sign_out(&self, head: &Parts) -> Result<String, Problem> {
        self.access.check_host(&head.uri, &head.headers)?;
        self.access.check_origin(&head.uri, &head.headers, true)?;
        Ok(self.access.end_session(&head.headers))
    }

    fn begin_session(&self, token: &str, client: IpAddr) -> Result<String, Problem> {
        self.access.check_token(token.as_bytes(), client)?;
        tracing::info!(%client, "signed in at the admin listener");
        Ok(self.access.begin_session())
    }
}

pub(super) async fn json_body(head: &Parts, body: Option<Incoming>) -> Result<Value, Problem> {
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let is_json = kind
        .is_some_and(|it| it.split(';').next().is_some_and(|it| it.trim() == "application/json"));
    if !is_json {
        return Err(Problem::new("not-json", "Send `Content-Type: application/json`."));
    }
    let body = body.ok_or_else(|| bad("it has no body"))?;
    let bytes = read_body(body, MAX_BODY_BYTES).await?;
    let json = serde_json::from_slice(&bytes);
    json.map_err(|error| Problem::new("not-json", format!("The body is no JSON: {error}.")))
}

/// Reads a body of at most `limit` bytes, within [`BODY_TIMEOUT`].
pub async fn read_body<B: Body<Data = Bytes>>(body: B, limit: usize) -> Result<Bytes, Problem>
where
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await;
    let read = read.map_err(|_| bad("the body took too long"))?;
    let too_large = format!("The body is cut short, or larger than {limit} bytes.");
    Ok(read.map_err(|_| Problem::new("too-large", too_large))?.to_bytes())
}

fn set_cookie(response: &mut Response<ApiBody>, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
}
