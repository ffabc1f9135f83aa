//! The reasons for which a request was refused, for operators alone: the closed list behind the outcomes that are about
//! credentials and recipients. Every other outcome is a reason of its own.
//!
//! The sender learns none of it: its answer is the outcome's. A reason is a word for the log, for the metric
//! `millrace_refusals_total` and for the API, with a sentence for operators and the configuration key to change.
//! The detail of one case ([`Why::detail`]) is made of this program's own words and of the configuration: it holds no
//! secret and no text of a stranger's, except for a recipient's masked name.

/// The fixed part of a reason: the same for each of its cases.
#[derive(Debug)]
pub struct Row {
    /// The word for it in logs, metrics and the API.
    pub word: &'static str,
    /// The label of the outcome that the request is answered with.
    pub outcome: &'static str,
    /// A sentence for operators.
    pub text: &'static str,
    /// The configuration key to change; `<name>` is the source's.
    pub key: &'static str,
}

/// Makes the enum and its rows of entries `"outcome":`, `/// sentence`, `Name => "word", "key";`.
macro_rules! reasons {
    ($($outcome:literal: $($(#[doc = $text:literal])+ $name:ident => $word:literal, $key:literal;)+)+) => {
        /// See the rows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {$($($(#[doc = $text])+ $name,)+)+}

        impl Reason {
            pub fn row(self) -> &'static Row {
                match self {$($(Self::$name => {
                    const { &Row { word: $word, outcome: $outcome, text: concat!($($text),+).trim_ascii(), key: $key } }
                })+)+}
            }
        }

        /// All rows.
        pub const TABLE: &[Row] = &[$($(
            Row { word: $word, outcome: $outcome, text: concat!($($text),+).trim_ascii(), key: $key },
        )+)+];
    };
}

reasons! {
    "bad-credentials":

    /// The request has no `Authorization` header (and no token in the query parameter, where one is configured).
    NoAuthorization => "no-authorization", "sources.<name>.auth.tokens";

    /// The `Authorization` header has another scheme than the one that is due, or none.
    WrongScheme => "wrong-scheme", "sources.<name>.auth.header_scheme";

    /// The request has two `Authorization` headers, or the query parameter twice: it is not clear which one counts.
    TwoTokens => "two-tokens", "sources.<name>.auth.tokens";

    /// The request has a token, and it is none of those that this source knows.
    TokenUnknown => "token-unknown", "sources.<name>.auth.tokens";

    /// The token is not known to this source, but to another one: the sender probably has the wrong URL.
    TokenOfOtherSource => "token-of-other-source", "sources.<name>.auth.tokens";

    /// The connection has no client certificate, and the source knows no other way in that the request has taken.
    NoCertificate => "no-certificate", "listen.tls.client_ca_file";

    /// The client certificate is valid, and none of its names is accepted by this source.
    CertificateName => "certificate-name", "sources.<name>.auth.certificate.names";

    /// The request has no signature headers of Adobe I/O's.
    NoSignature => "no-signature", "sources.<name>.auth.client_ids";

    /// The signature headers cannot be read: one of a pair is missing, stands there twice, or is no base64.
    SignatureUnreadable => "signature-unreadable", "sources.<name>.auth.client_ids";

    /// No signature fits the body: something on the way changed it, or it was not Adobe I/O that signed it.
    SignatureMismatch => "signature-mismatch", "adobe.keys_url";

    "bad-token":

    /// The bearer token is not of a form that this source can check.
    TokenMalformed => "token-malformed", "sources.<name>.auth.oauth";

    /// The token's algorithm does not match the provider's key.
    TokenAlgorithm => "token-algorithm", "sources.<name>.auth.oauth.jwks_url";

    /// The token has critical headers (`crit`), which are not supported.
    TokenCritical => "token-critical", "sources.<name>.auth.oauth";

    /// The key that signed the token is not known at the provider.
    TokenKeyUnknown => "token-key-unknown", "sources.<name>.auth.oauth.issuer";

    /// The token's signature is wrong.
    TokenSignature => "token-signature", "sources.<name>.auth.oauth.issuer";

    /// The token has no expiry.
    TokenNoExpiry => "token-no-expiry", "sources.<name>.auth.oauth.issuer";

    /// The token has expired.
    TokenExpired => "token-expired", "sources.<name>.auth.oauth.leeway";

    /// The token is not valid yet: compare the clocks.
    TokenNotYetValid => "token-not-yet-valid", "sources.<name>.auth.oauth.leeway";

    /// The token's issuer (`iss`) is not the configured one.
    TokenIssuer => "token-issuer", "sources.<name>.auth.oauth.issuer";

    /// The token's audience (`aud`) is none that is configured.
    TokenAudience => "token-audience", "sources.<name>.auth.oauth.audience";

    /// The token was issued to a client that may not deliver to this source.
    TokenClient => "token-client", "sources.<name>.auth.oauth.client_ids";

    /// The token lacks a required scope.
    TokenScope => "token-scope", "sources.<name>.auth.oauth.scope";

    /// The provider says that the token is not active.
    TokenInactive => "token-inactive", "sources.<name>.auth.oauth.introspection.url";

    "undecided":

    /// The request names a public key at a path that keys are not fetched from.
    KeyPathForeign => "key-path-foreign", "adobe.keys_url";

    /// The public key that the request names is not to be had: it does not exist, is no key, or was not fetched.
    KeyUnavailable => "key-unavailable", "adobe.keys_url";

    /// Too many requests name unknown public keys at the same time.
    KeyTooMany => "key-too-many", "adobe.keys_url";

    /// The identity provider gives no answer that can be used.
    ProviderUnavailable => "provider-unavailable", "sources.<name>.auth.oauth.issuer";

    /// Too many unknown tokens have to be asked about at the same time.
    TokenTooMany => "token-too-many", "sources.<name>.auth.oauth.introspection.url";

    /// The check of the credentials took longer than a request may.
    CheckSlow => "check-slow", "listen.request_timeout";

    "foreign-recipient":

    /// An event is for a recipient that is none of our client ids: the list is wrong, or another customer's
    /// registration points here.
    RecipientForeign => "recipient-foreign", "sources.<name>.auth.client_ids";

    /// An event names no recipient.
    RecipientMissing => "recipient-missing", "sources.<name>.auth.client_ids";

    "recipient-unreadable":

    /// The body is no JSON that its recipient could be read from: check whether a proxy changes request bodies.
    RecipientUnreadable => "recipient-not-json", "sources.<name>.auth.client_ids";

    /// The body is not in the coding that its `Content-Encoding` names: look for what adds the header on the way.
    RecipientCoded => "recipient-coded", "sources.<name>.auth.client_ids";
}

/// The reason of one refusal, with the detail of this case: no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    pub reason: Reason,
    pub detail: String,
    /// The configuration key to change in this case; `<name>` is the source's.
    pub key: &'static str,
}

impl Why {
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), key: reason.row().key }
    }

    /// Sets the configuration key, where another than the reason's usual one is in use.
    pub fn at(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    /// Adds `more` to the detail where the sender sent no header.
    pub(super) fn without_header(self, more: &str) -> Self {
        match self.reason {
            Reason::NoAuthorization => Self { detail: format!("{}; {more}", self.detail), ..self },
            _ => self,
        }
    }

    /// Combines the reasons of two ways that both refuse: the way that the sender tried decides, `other` if it tried both. Both
    /// details are kept.
    pub(super) fn or(self, other: Self) -> Self {
        // A way that is not configured has no detail.
        if self.detail.is_empty() {
            return other;
        }
        let detail = match other.detail.is_empty() {
            true => self.detail,
            false => format!("{}; {}", self.detail, other.detail),
        };
        let (reason, key) = match other.reason.is_absence() {
            false => (other.reason, other.key),
            true => (self.reason, self.key),
        };
        Self { reason, detail, key }
    }
}

impl Reason {
    /// Returns whether the sender did not try this way.
    fn is_absence(self) -> bool {
        matches!(self, Self::NoAuthorization | Self::NoCertificate | Self::NoSignature)
    }
}

/// Masks a name that a stranger wrote: its owner can recognise it, and other readers do not learn it.
pub fn masked(name: &str) -> String {
    let legal = |c: &char| c.is_ascii_alphanumeric() || "-_.@".contains(*c);
    let shown: Vec<char> = name.chars().take(4).filter(legal).collect();
    let count = name.chars().count();
    if count <= 8 {
        return format!("… ({count} characters)");
    }
    format!("{}… ({count} characters)", shown.iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_has_a_word_of_its_own_and_a_sentence() {
        let mut words = BTreeSet::new();
        for row in TABLE {
            assert!(words.insert(row.word), "two reasons are called `{}`", row.word);
            assert!(row.text.ends_with('.') && !row.key.is_empty(), "{row:?}");
        }
    }

    #[test]
    fn the_reason_of_the_way_that_the_sender_tried_is_the_one_shown() {
        let none = || Why::new(Reason::NoSignature, "no signature header");
        let tried = || Why::new(Reason::TokenUnknown, "none of 2 tokens");
        assert_eq!(none().or(tried()).reason, Reason::TokenUnknown);
        assert_eq!(tried().or(none()).reason, Reason::TokenUnknown);
        assert_eq!(tried().or(none()).detail, "none of 2 tokens; no signature header");
    }

    #[test]
    fn the_key_goes_with_the_reason_that_is_shown() {
        let none = || Why::new(Reason::NoSignature, "no signature header");
        let tried = || Why::new(Reason::TokenUnknown, "none of 2 tokens").at("a.key");
        assert_eq!(none().or(tried()).key, "a.key");
        assert_eq!(tried().or(none()).key, "a.key");
        assert_eq!(none().key, "sources.<name>.auth.client_ids");
    }

    #[test]
    fn a_foreign_name_is_masked() {
        assert_eq!(masked("4f2e9c11aab7@AdobeOrg"), "4f2e… (21 characters)");
        assert_eq!(masked("secret"), "… (6 characters)");
        assert!(!masked("\u{1b}[2Jabcdefgh").contains('\u{1b}'));
    }
}
