//! The claims of a token, and the values that a source expects of them.
//!
//! Providers do not agree on the claim that holds the client's id (`azp`, `client_id`, Microsoft's
//! `appid`, Okta's `cid`) nor on how scopes are written, so all of them are read; where several
//! claims name a client, each of them has to be one that may deliver.

use serde::Deserialize;

use super::flaw::Flaw;

/// The claims that are read. A claim of another type, or one that stands twice, makes the token malformed.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Claims {
    pub iss: Option<String>,
    pub aud: Option<Texts>,
    /// Seconds since 1970, which may have a fraction.
    pub exp: Option<f64>,
    pub nbf: Option<f64>,
    pub iat: Option<f64>,
    pub azp: Option<String>,
    pub client_id: Option<String>,
    pub appid: Option<String>,
    pub cid: Option<String>,
    pub scope: Option<Texts>,
    pub scp: Option<Texts>,
}

/// One text or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Texts {
    One(String),
    Several(Vec<String>),
}

impl Texts {
    fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Several(texts) => texts,
        }
        .iter()
        .map(String::as_str)
    }
}

/// The party that vouches for the claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voucher {
    /// A signature: the token itself has to have all expected claims.
    Signature,
    /// The provider, which was asked about this token just now: it need not repeat its own name nor the expiry.
    Provider,
}

/// Values that the claims must have. An empty list expects nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub issuer: Option<String>,
    pub audience: Vec<String>,
    pub client_ids: Vec<String>,
    /// Scopes that the token must have, all of them.
    pub scopes: Vec<String>,
    /// Seconds by which clocks may differ.
    pub leeway: u64,
}

impl Expected {
    pub fn check(&self, claims: &Claims, voucher: Voucher, unix_seconds: u64) -> Result<(), Flaw> {
        self.check_time(claims, voucher, unix_seconds)?;
        let issuer_is_due = voucher == Voucher::Signature || claims.iss.is_some();
        if issuer_is_due && self.issuer.is_some() && claims.iss != self.issuer {
            return Err(Flaw::Issuer);
        }
        let audience = claims.aud.iter().flat_map(Texts::iter);
        if !self.audience.is_empty() && !audience.into_iter().any(|a| contains(&self.audience, a)) {
            return Err(Flaw::Audience);
        }
        if !self.client_ids.is_empty() && !self.are_clients(claims) {
            return Err(Flaw::Client);
        }
        let granted = |scope: &String| {
            let texts = claims.scope.iter().chain(&claims.scp).flat_map(Texts::iter);
            texts.flat_map(|text| text.split(' ')).any(|one| one == scope)
        };
        if self.scopes.iter().all(granted) { Ok(()) } else { Err(Flaw::Scope) }
    }

    fn check_time(&self, claims: &Claims, voucher: Voucher, now: u64) -> Result<(), Flaw> {
        let now = now as f64;
        let leeway = self.leeway as f64;
        match claims.exp {
            None if voucher == Voucher::Signature => return Err(Flaw::NoExpiry),
            // A cast of a float ends at the bounds of the number.
            Some(exp) if exp + leeway <= now => {
                return Err(Flaw::Expired { unix_seconds: exp as u64 });
            }
            _ => {}
        }
        // A token from the future: a clock is wrong, or the token was made with intent to deceive.
        let begins = [claims.nbf, claims.iat].into_iter().flatten();
        if begins.into_iter().any(|begin| begin > now + leeway) {
            return Err(Flaw::NotYetValid);
        }
        Ok(())
    }

    fn are_clients(&self, claims: &Claims) -> bool {
        let named = [&claims.azp, &claims.client_id, &claims.appid, &claims.cid];
        let mut named = named.into_iter().flatten().peekable();
        named.peek().is_some() && named.all(|id| contains(&self.client_ids, id))
    }
}

fn contains(list: &[String], text: &str) -> bool {
    list.iter().any(|one| one == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn expected() -> Expected {
        Expected {
            issuer: Some("https://id.example.com/".into()),
            audience: vec!["millrace".into(), "other".into()],
            client_ids: vec!["marketo".into()],
            scopes: vec!["push".into()],
            leeway: 60,
        }
    }

    /// Checks good claims with `change`, as JSON; `null` removes a claim.
    fn check(change: &str, voucher: Voucher) -> Result<(), Flaw> {
        let mut claims = serde_json::json!({
            "iss": "https://id.example.com/", "aud": "millrace", "exp": NOW + 10, "iat": NOW,
            "azp": "marketo", "scope": "read push",
        });
        let change: serde_json::Value = serde_json::from_str(change).unwrap();
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let claims = serde_json::from_value(claims).unwrap();
        expected().check(&claims, voucher, NOW)
    }

    #[test]
    fn the_different_claims_of_providers_are_read() {
        for good in [
            "{}",
            r#"{"aud": ["x", "other"]}"#,
            r#"{"azp": null, "client_id": "marketo"}"#,
            r#"{"azp": null, "appid": "marketo"}"#,
            r#"{"azp": null, "cid": "marketo", "scope": null, "scp": ["read", "push"]}"#,
            r#"{"scope": null, "scp": "push"}"#,
            r#"{"exp": 1800000000.5}"#,
            r#"{"exp": 1799999941, "nbf": 1800000060, "iat": 1800000060.0}"#,
        ] {
            assert_eq!(check(good, Voucher::Signature), Ok(()), "{good}");
        }
    }

    #[test]
    fn each_expectation_is_held() {
        for (bad, flaw) in [
            (r#"{"exp": null}"#, Flaw::NoExpiry),
            (r#"{"exp": 1799999940}"#, Flaw::Expired { unix_seconds: 1799999940 }),
            (r#"{"exp": -1}"#, Flaw::Expired { unix_seconds: 0 }),
            (r#"{"nbf": 1800000061}"#, Flaw::NotYetValid),
            (r#"{"iat": 1800000061}"#, Flaw::NotYetValid),
            (r#"{"iss": "https://id.example.com"}"#, Flaw::Issuer),
            (r#"{"iss": null}"#, Flaw::Issuer),
            (r#"{"aud": null}"#, Flaw::Audience),
            (r#"{"aud": []}"#, Flaw::Audience),
            (r#"{"aud": "millrace2"}"#, Flaw::Audience),
            (r#"{"azp": null}"#, Flaw::Client),
            (r#"{"azp": "somebody"}"#, Flaw::Client),
            (r#"{"client_id": "somebody"}"#, Flaw::Client),
            (r#"{"scope": "pushed"}"#, Flaw::Scope),
            (r#"{"scope": null}"#, Flaw::Scope),
        ] {
            assert_eq!(check(bad, Voucher::Signature), Err(flaw), "{bad}");
        }
    }

    #[test]
    fn a_provider_that_was_asked_need_not_say_who_it_is_nor_when_the_token_ends() {
        assert_eq!(check(r#"{"iss": null, "exp": null}"#, Voucher::Provider), Ok(()));
        for (bad, flaw) in [
            (r#"{"iss": "https://evil.test/"}"#, Flaw::Issuer),
            (r#"{"exp": 1799999940}"#, Flaw::Expired { unix_seconds: 1799999940 }),
            (r#"{"aud": null}"#, Flaw::Audience),
        ] {
            assert_eq!(check(bad, Voucher::Provider), Err(flaw), "{bad}");
        }
    }

    #[test]
    fn a_claim_of_another_type_or_given_twice_is_no_claim() {
        for bad in [
            r#"{"exp": "1800000000"}"#,
            r#"{"aud": {"millrace": true}}"#,
            r#"{"aud": [["millrace"]]}"#,
            r#"{"iss": ["https://id.example.com/"]}"#,
            r#"{"exp": 1, "exp": 2}"#,
            "[]",
            "null",
        ] {
            assert!(serde_json::from_str::<Claims>(bad).is_err(), "{bad}");
        }
    }
}
