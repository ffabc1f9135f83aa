//! Answers of the API, and the headers that each has.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

use super::{ApiBody, Problem, objects};

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
    let error = problem.error.to_owned();
    let object = objects::Problem { error, text: problem.text.clone() };
    let mut response = whole(problem.status(), &object);
    if problem.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer realm=\"millrace admin\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

pub(super) fn bad(text: &str) -> Problem {
    Problem::new("bad-request", format!("The question cannot be understood: {text}."))
}

pub(super) fn ok(object: &impl Serialize) -> Response<ApiBody> {
    whole(StatusCode::OK, object)
}

pub(super) fn whole(status: StatusCode, object: &impl Serialize) -> Response<ApiBody> {
    text(status, "application/json", line(object) + "\n")
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

/// An object of the API as JSON without a line break.
pub(super) fn line(object: &impl Serialize) -> String {
    serde_json::to_string(object).expect("objects have only members that JSON knows")
}
