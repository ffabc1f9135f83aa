//! Answers of the API, and the headers that each has.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};

use super::{ApiBody, Problem};

/// Sets the headers that keep a page of another origin from showing, embedding or reading the answer.
pub fn guard(headers: &mut http::HeaderMap) {
    for (name, value) in [
        ("cache-control", "no-store"),
        (
            "content-security-policy",
            "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Returns a refusal as JSON, with the status of the problem.
pub(super) fn refusal(problem: &Problem) -> Response<ApiBody> {
    let json = json!({ "error": problem.error, "text": problem.text });
    let mut response = whole(problem.status(), &json);
    if problem.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer realm=\"millrace admin\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

pub(super) fn bad(text: &str) -> Problem {
    Problem::new("bad-request", format!("The question cannot be understood: {text}."))
}

pub(super) fn ok(json: &Value) -> Response<ApiBody> {
    whole(StatusCode::OK, json)
}

pub(super) fn whole(status: StatusCode, json: &Value) -> Response<ApiBody> {
    text(status, "application/json", json.to_string() + "\n")
}

pub(super) fn text(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<ApiBody> {
    let mut response = Response::new(ApiBody::Whole(Full::new(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
