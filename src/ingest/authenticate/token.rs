//! A shared token, in the `Authorization` header or in a query parameter.
//!
//! A presented token is compared with every configured one, always all of them, as keyed SHA-256
//! digests of one length: the time shows neither how much of a token was right nor which one.
//! Ambiguity is refused: two `Authorization` headers, or the query parameter twice.
//!
//! The scheme's name is compared without regard to case. `Basic` takes the token as the credentials
//! themselves, or as the `user:password` inside of them. In the query a `+` may mean itself (RFC 3986) or a
//! space (HTML forms), and Marketo does not document which it writes, so both readings are tried.

use std::sync::{Arc, LazyLock};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};
use percent_encoding::percent_decode;
use uuid::Uuid;

use super::{
    KnownTo, Proof,
    digest::{Digest, is_among, sha256},
    reason::{Reason, Why},
};
use crate::{
    config::{HeaderScheme, Secret, TokenAuth},
    runtime::reload::Current,
    source::SourceName,
};

/// The tokens that a source accepts, and where it reads them from a request. Clones share the tokens.
#[derive(Clone)]
pub struct Tokens {
    accepted: Current<Arc<[Digest]>>,
    scheme: HeaderScheme,
    query_parameter: Option<String>,
    are_in_file: bool,
}

/// Configuration key of tokens that come from a file.
const TOKENS_FILE_KEY: &str = "sources.<name>.auth.tokens_file";

impl Tokens {
    pub fn new(auth: &TokenAuth) -> Self {
        Self {
            are_in_file: auth.key() == "tokens_file",
            accepted: Current::new(digests(&auth.tokens)),
            scheme: auth.header_scheme,
            query_parameter: auth.query_parameter.clone(),
        }
    }

    /// Replaces the accepted tokens. A request is checked against the old ones or the new ones, never some of both.
    pub fn replace(&self, tokens: &[Secret]) {
        self.accepted.set(digests(tokens));
    }

    /// Returns the proof that the head of a request has one of the accepted tokens, or the reason why not, for
    /// operators. `query` is the text behind the `?`, still percent-encoded.
    ///
    /// If no token fits, the other sources' tokens (`neighbours`) are compared too, always all of them, so that the
    /// time shows nothing of them either.
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        neighbours: &Neighbours,
    ) -> Result<Proof, Why> {
        let result = self.judge(headers, query, neighbours);
        result.map_err(|why| match self.are_in_file && why.reason != Reason::WrongScheme {
            true => why.at(TOKENS_FILE_KEY),
            false => why,
        })
    }

    fn judge(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        neighbours: &Neighbours,
    ) -> Result<Proof, Why> {
        let mut presented = Vec::new();
        let mut authorizations = headers.get_all(AUTHORIZATION).iter();
        let authorization = authorizations.next();
        if let Some(value) = authorization {
            self.in_header(value.as_bytes(), &mut presented);
        }
        if authorizations.next().is_some() {
            return Err(Why::new(Reason::TwoTokens, "two `Authorization` headers"));
        }
        if let (Some(name), Some(query)) = (&self.query_parameter, query)
            && in_query(name, query, &mut presented).is_none()
        {
            return Err(Why::new(Reason::TwoTokens, "the query parameter stands there twice"));
        }
        let digests: Vec<_> = presented.iter().map(|text| digest(text)).collect();
        let accepted = self.accepted.get();
        if are_any_among(&accepted, &digests) {
            return Ok(Proof::of(KnownTo::Us));
        }
        Err(match (presented.is_empty(), authorization) {
            (true, None) => Why::new(Reason::NoAuthorization, self.nothing()),
            (true, Some(value)) => Why::new(Reason::WrongScheme, self.scheme_of(value.as_bytes())),
            (false, _) => neighbours.know(&digests, accepted.len()),
        })
    }

    fn nothing(&self) -> String {
        match &self.query_parameter {
            Some(name) => {
                format!("neither an `Authorization` header nor the query parameter `{name}`")
            }
            None => "no `Authorization` header".into(),
        }
    }

    /// Describes the header's scheme and the expected one. Only known schemes are named, not a stranger's own words.
    fn scheme_of(&self, value: &[u8]) -> String {
        let due = match self.scheme {
            HeaderScheme::Bearer => "Bearer",
            HeaderScheme::Basic => "Basic",
            HeaderScheme::Bare => "",
        };
        let has = |scheme: &&str| after_scheme(value, scheme.as_bytes()).is_some();
        match ["Basic", "Bearer", "Digest", "Negotiate", "Token"].iter().find(|scheme| has(scheme))
        {
            Some(scheme) => format!("scheme `{scheme}` where `{due}` is due"),
            None => format!("no known scheme where `{due}` is due"),
        }
    }

    /// Returns the value for `WWW-Authenticate`.
    pub fn challenge(&self) -> &'static str {
        match self.scheme {
            HeaderScheme::Bearer | HeaderScheme::Bare => "Bearer realm=\"millrace\"",
            HeaderScheme::Basic => "Basic realm=\"millrace\"",
        }
    }

    fn in_header(&self, value: &[u8], presented: &mut Vec<Vec<u8>>) {
        match self.scheme {
            HeaderScheme::Bare => presented.push(value.to_vec()),
            HeaderScheme::Bearer => {
                presented.extend(after_scheme(value, b"bearer").map(<[u8]>::to_vec));
            }
            HeaderScheme::Basic => {
                let Some(credentials) = after_scheme(value, b"basic") else { return };
                presented.push(credentials.to_vec());
                presented.extend(BASE64_STANDARD.decode(credentials));
            }
        }
    }
}

/// The tokens of several sources.
#[derive(Clone, Default)]
pub struct Neighbours(Arc<[(SourceName, Tokens)]>);

impl Neighbours {
    pub fn new(all: impl IntoIterator<Item = (SourceName, Tokens)>) -> Self {
        Self(all.into_iter().collect())
    }

    /// Returns the tokens of all sources but `source`.
    pub fn of(&self, source: &SourceName) -> Self {
        Self::new(self.0.iter().filter(|(name, _)| name != source).cloned())
    }

    /// Returns the reason why a source with `accepted` tokens takes none of these. Each token of every other source is
    /// compared.
    fn know(&self, presented: &[Digest], accepted: usize) -> Why {
        let mut owner = None;
        for (source, tokens) in &*self.0 {
            if are_any_among(&tokens.accepted.get(), presented) {
                owner = Some(source);
            }
        }
        match owner {
            Some(source) => Why::new(
                Reason::TokenOfOtherSource,
                format!("the token is one of source `{source}`"),
            ),
            None => Why::new(Reason::TokenUnknown, unknown(accepted)),
        }
    }
}

fn unknown(accepted: usize) -> String {
    match accepted {
        1 => "not the configured token".into(),
        accepted => format!("none of the {accepted} configured tokens"),
    }
}

/// Returns whether one of `presented` is among `accepted`; the time does not show which.
fn are_any_among(accepted: &[Digest], presented: &[Digest]) -> bool {
    presented.iter().fold(false, |any, digest| any | is_among(accepted, digest))
}

fn digests(tokens: &[Secret]) -> Arc<[Digest]> {
    tokens.iter().map(|token| digest(token.expose().as_bytes())).collect()
}

/// Digests a token for comparison. The key is random and of this process alone, so that digests cannot be prepared
/// elsewhere. One key for all sources: a token is digested once, and compared with every source's.
fn digest(text: &[u8]) -> Digest {
    static KEY: LazyLock<[u8; 16]> = LazyLock::new(|| Uuid::new_v4().into_bytes());
    sha256(&[&*KEY, text])
}

/// Returns the text behind the scheme and at least one space.
fn after_scheme<'a>(value: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (name, rest) = value.split_at_checked(scheme.len())?;
    (name.eq_ignore_ascii_case(scheme) && rest.first() == Some(&b' ')).then(|| rest.trim_ascii())
}

fn in_query(name: &str, query: &str, presented: &mut Vec<Vec<u8>>) -> Option<()> {
    let mut values = query.split('&').filter_map(|pair| {
        let (found, value) = pair.split_once('=')?;
        percent_decode(found.as_bytes()).eq(name.bytes()).then_some(value)
    });
    if let Some(value) = values.next() {
        presented.push(percent_decode(value.as_bytes()).collect());
        presented.push(percent_decode(value.replace('+', " ").as_bytes()).collect());
    }
    values.next().is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(scheme: HeaderScheme, query_parameter: Option<&str>) -> Tokens {
        let secret = |text: &str| Secret::new(text).unwrap();
        Tokens::new(&TokenAuth {
            tokens: vec![secret("first"), secret("user:00123"), secret("a+b c")],
            header_scheme: scheme,
            query_parameter: query_parameter.map(str::to_owned),
        })
    }

    fn accepts(tokens: &Tokens, authorization: &[&str], query: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        tokens.authenticate(&headers, query, &Neighbours::default()).is_ok()
    }

    #[test]
    fn a_bearer_token_is_accepted_whatever_the_case_of_its_scheme() {
        let tokens = tokens(HeaderScheme::Bearer, None);
        for good in ["Bearer first", "bearer first", "BEARER  first", "Bearer user:00123"] {
            assert!(accepts(&tokens, &[good], None), "{good}");
        }
        for bad in [
            "first",
            "Bearer",
            "Bearer ",
            "Bearerfirst",
            "Bearer First",
            "Bearer first2",
            "Basic first",
            "Bearer first first",
            "Bearer fir",
            "",
        ] {
            assert!(!accepts(&tokens, &[bad], None), "{bad}");
        }
        assert!(!accepts(&tokens, &[], None));
    }

    #[test]
    fn basic_takes_the_token_as_it_is_or_as_user_and_password() {
        let tokens = tokens(HeaderScheme::Basic, None);
        assert!(accepts(&tokens, &["Basic first"], None));
        assert!(accepts(&tokens, &["basic dXNlcjowMDEyMw=="], None), "base64 of user:00123");
        assert!(!accepts(&tokens, &["Basic dXNlcjowMDEyNA=="], None), "another password");
        assert!(!accepts(&tokens, &["Bearer first"], None));
        assert!(tokens.challenge().starts_with("Basic "));
    }

    #[test]
    fn replaced_tokens_hold_for_every_clone_and_the_old_ones_no_more() {
        let in_use = tokens(HeaderScheme::Bearer, None);
        in_use.clone().replace(&[Secret::new("second").unwrap()]);
        assert!(accepts(&in_use, &["Bearer second"], None));
        assert!(!accepts(&in_use, &["Bearer first"], None));
    }

    #[test]
    fn bare_takes_the_whole_header() {
        let tokens = tokens(HeaderScheme::Bare, None);
        assert!(accepts(&tokens, &["first"], None));
        assert!(accepts(&tokens, &["a+b c"], None));
        assert!(!accepts(&tokens, &["Bearer first"], None));
    }

    #[test]
    fn two_authorization_headers_are_refused_even_when_both_are_right() {
        let tokens = tokens(HeaderScheme::Bearer, Some("token"));
        let twice = ["Bearer first", "Bearer first"];
        assert!(!accepts(&tokens, &twice, None));
        assert!(!accepts(&tokens, &twice, Some("token=first")));
    }

    #[test]
    fn a_query_parameter_counts_only_where_it_is_configured() {
        let with = tokens(HeaderScheme::Bearer, Some("token"));
        let without = tokens(HeaderScheme::Bearer, None);
        assert!(accepts(&with, &[], Some("a=b&token=first")));
        assert!(accepts(&with, &["Bearer something-else"], Some("token=first")));
        assert!(!accepts(&without, &[], Some("token=first")));
        for bad in ["", "token", "token=", "Token=first", "token=first2", "xtoken=first"] {
            assert!(!accepts(&with, &[], Some(bad)), "{bad}");
        }
    }

    #[test]
    fn a_query_parameter_given_twice_is_refused() {
        let tokens = tokens(HeaderScheme::Bearer, Some("token"));
        assert!(!accepts(&tokens, &[], Some("token=first&token=first")));
        assert!(!accepts(&tokens, &[], Some("token=wrong&token=first")));
    }

    #[test]
    fn a_query_parameter_is_decoded_and_its_plus_is_read_both_ways() {
        let tokens = tokens(HeaderScheme::Bearer, Some("api key"));
        assert!(accepts(&tokens, &[], Some("api%20key=%66irst")));
        assert!(accepts(&tokens, &[], Some("api%20key=a+b%20c")), "a plus that means itself");
        assert!(accepts(&tokens, &[], Some("api%20key=a%2Bb+c")), "a plus that means a space");
        assert!(!accepts(&tokens, &[], Some("api%20key=%zz")));
    }
}
