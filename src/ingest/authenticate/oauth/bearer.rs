//! The bearer token in the head of a request (RFC 6750, section 2.1).

use http::{HeaderMap, header::AUTHORIZATION};

use crate::ingest::authenticate::reason::{Reason, Why};

/// No token is longer: what a provider writes into one is a few kilobytes.
const LIMIT: usize = 16 * 1024;

/// The token, if there is one `Authorization` header and it has the form that a token has. Two are
/// ambiguous, and nobody's.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, rest) = value.split_once(' ')?;
    let token = rest.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && is_token(token)).then_some(token)
}

/// The key of a source that takes tokens of a provider's.
const KEY: &str = "sources.<name>.auth.oauth";

/// Why there is none, for operators.
pub(super) fn none(headers: &HeaderMap) -> Why {
    why_none(headers).at(KEY)
}

fn why_none(headers: &HeaderMap) -> Why {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Why::new(Reason::NoAuthorization, "no `Authorization` header"),
        (_, Some(_)) => Why::new(Reason::TwoTokens, "two `Authorization` headers"),
        (Some(value), None) => {
            let scheme = value.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
            match scheme.eq_ignore_ascii_case(b"bearer") {
                true => Why::new(Reason::WrongScheme, "what follows `Bearer` is no token"),
                false => Why::new(Reason::WrongScheme, "another scheme where `Bearer` is due"),
            }
        }
    }
}

/// The grammar's `b64token`: so nothing in it needs escaping, wherever it goes.
fn is_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
    !body.is_empty() && text.len() <= LIMIT && body.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        token(&headers).map(str::to_owned)
    }

    #[test]
    fn a_token_is_what_follows_the_scheme() {
        for good in ["Bearer a.b-c_d~e+f/g==", "bearer a.b-c_d~e+f/g==", "BEARER  a.b-c_d~e+f/g== "]
        {
            assert_eq!(found(&[good]).as_deref(), Some("a.b-c_d~e+f/g=="), "{good}");
        }
    }

    #[test]
    fn what_is_no_token_is_none() {
        let long = format!("Bearer {}", "a".repeat(LIMIT + 1));
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer ==",
            "Bearer a b",
            "Bearer a=b",
            "Basic abc",
            "abc",
            &long,
        ] {
            assert_eq!(found(&[bad]), None, "{bad:.40}");
        }
        assert_eq!(found(&["Bearer a", "Bearer a"]), None);
        assert_eq!(found(&[]), None);
    }
}
