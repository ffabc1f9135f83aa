//! The bearer token in the head of a request (RFC 6750, section 2.1).

use http::{HeaderMap, header::AUTHORIZATION};

use crate::ingest::authenticate::reason::{Reason, Why};

/// Bytes of a token: providers' tokens have a few kilobytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Returns the token, if there is one `Authorization` header and it has the form of a token. Two headers are
/// ambiguous, and count as none.
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

/// Configuration key of a source that takes a provider's tokens.
const KEY: &str = "sources.<name>.auth.oauth";

/// Returns the reason why there is no token, for operators.
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

/// Checks the grammar's `b64token`, whose characters never need escaping.
fn is_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
    !body.is_empty() && text.len() <= MAX_TOKEN_BYTES && body.bytes().all(legal)
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
    fn text_of_another_form_is_no_token() {
        let long = format!("Bearer {}", "a".repeat(MAX_TOKEN_BYTES + 1));
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
