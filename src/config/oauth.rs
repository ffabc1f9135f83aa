//! `oauth`, the built-in token endpoint, and `sources.<name>.auth.oauth`, the tokens that a source
//! accepts.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use figment::value::Value;
use reqwest::Url;

use super::{
    SourceConfig,
    effective::HIDDEN,
    leaf::{DURATION, Kind, NONZERO_DURATION, string},
    mistake::{Key, Mistakes},
    reading::{Reading, Section},
    secret::{PEM, Secret, placeholder, stripped},
    written::{list, quoted},
};
use crate::source::SourceName;

/// HMAC-SHA256 asks for keys at least as long as its output.
const MIN_KEY_BYTES: usize = 32;
/// A secret of this length cannot be guessed by trying.
const MIN_SECRET_BYTES: usize = 16;

/// Seconds that a token may be valid: a minute to a day.
const LIFETIME_SECONDS: std::ops::RangeInclusive<u64> = 60..=24 * 60 * 60;
const LEEWAY_LIMIT: Duration = Duration::from_secs(10 * 60);

/// `oauth`: tokens that this service issues, for customers without an identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth {
    /// The first key signs, all of them verify. Empty where there are no clients.
    pub signing_keys: Vec<Secret>,
    pub token_lifetime: Duration,
    /// The secrets of each client, by its id.
    pub clients: BTreeMap<String, Vec<Secret>>,
}

impl Default for OAuth {
    fn default() -> Self {
        Self {
            signing_keys: Vec::new(),
            token_lifetime: Duration::from_secs(60 * 60),
            clients: BTreeMap::new(),
        }
    }
}

/// `sources.<name>.auth.oauth`: any one of the ways suffices, and there is at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OAuthAuth {
    /// The provider whose signed tokens are accepted; a URL.
    pub issuer: Option<String>,
    /// The address of its keys, if its discovery document does not name it.
    pub jwks_url: Option<Url>,
    /// Accepted audiences; empty accepts any. Where a provider is configured, this and `client_ids` are not both empty.
    pub audience: Vec<String>,
    /// Accepted clients; empty accepts any.
    pub client_ids: Vec<String>,
    /// Scopes of which a token must have all.
    pub scopes: Vec<String>,
    /// Accepted difference between clocks.
    pub leeway: Duration,
    pub introspection: Option<IntrospectionAuth>,
    /// Ids of `oauth.clients` whose tokens are accepted.
    pub built_in_clients: Vec<String>,
}

impl OAuthAuth {
    pub const LEEWAY: Duration = Duration::from_secs(60);
}

/// `sources.<name>.auth.oauth.introspection`: the endpoint that is asked about tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntrospectionAuth {
    pub url: Url,
    pub client_id: String,
    pub client_secret: Secret,
    /// Time for which a good answer about a token is reused.
    pub keep: Duration,
}

/// Whether answers from `url` cannot be changed on their way: https, or this machine.
pub fn is_trustworthy(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let is_here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    url.scheme() == "https" || url.scheme() == "http" && is_here
}

const URL: Kind<Url> = Kind {
    parse: |text| match text.parse::<Url>() {
        Err(_) => Err("which is no URL".into()),
        Ok(url) if !is_trustworthy(&url) => Err("which is not https".into()),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err("which has a user or a password in it".into())
        }
        Ok(url) if url.fragment().is_some() => Err("which has a fragment".into()),
        Ok(url) => Ok(url),
    },
    expected: "Write an https address; http is for this machine alone (127.0.0.1, localhost).",
    show: |url| string(url.as_str()),
};

/// A URL that is compared with the one in tokens, so it is kept letter by letter.
const ISSUER: Kind<String> = Kind {
    parse: |text| match (URL.parse)(text) {
        Ok(url) if url.query().is_some() => Err("which has a query".into()),
        Ok(_) => Ok(text.into()),
        Err(problem) => Err(problem),
    },
    show: |text| string(text),
    expected: URL.expected,
};

const SCOPES: Kind<Vec<String>> = Kind {
    parse: |text| {
        let scopes: Vec<String> =
            text.split(' ').filter(|s| !s.is_empty()).map(Into::into).collect();
        if scopes.is_empty() { Err("which names no scope".into()) } else { Ok(scopes) }
    },
    expected: "Write the scope, several with spaces.",
    show: |scopes| string(&scopes.join(" ")),
};

const NAME: Kind<String> = Kind {
    parse: |text| match text.trim() {
        "" => Err("which is empty".into()),
        _ => Ok(text.into()),
    },
    expected: "Write the id that the provider knows this service by.",
    show: |text| string(text),
};

pub(super) fn read(reading: &mut Reading, root: &mut Section) -> OAuth {
    let default = OAuth::default();
    let mut section = reading.section(root, "oauth");
    let keys = reading.any_optional(&mut section, "signing_keys", signing_keys);
    let with_file = reading.with_file(&section.key.child("signing_keys"));
    let lifetime =
        reading.leaf(&mut section, "token_lifetime", &NONZERO_DURATION, default.token_lifetime);
    let mut written = reading.section(&mut section, "clients");
    reading.end(section);
    let mut clients = default.clients;
    for id in written.names() {
        let mut client = reading.section(&mut written, &id);
        if SourceName::new(&id).is_none() {
            let remedy = "Ids are lower-case letters, digits and hyphens, begin with a letter and \
                          have at most 63 characters.";
            reading.mistakes.at(&client.key, "is no id for a client", remedy);
        }
        let read = reading.any(&mut client, "secrets", client_secrets);
        let with_file = reading.with_file(&client.key.child("secrets"));
        let read = read.map(|read| read.into_iter().map(with_file).collect());
        reading.end(client);
        clients.extend(read.map(|secrets| (id, secrets)));
    }
    OAuth {
        signing_keys: keys.flatten().unwrap_or_default().into_iter().map(with_file).collect(),
        token_lifetime: lifetime.unwrap_or(default.token_lifetime),
        clients,
    }
}

/// Reads the section; `Some(None)` where a source does not use it, `None` after a mistake.
pub(super) fn read_auth(reading: &mut Reading, auth: &mut Section) -> Option<Option<OAuthAuth>> {
    let mut section = reading.section(auth, "oauth");
    let s = &mut section;
    let issuer = reading.optional(s, "issuer", &ISSUER);
    let jwks_url = reading.optional(s, "jwks_url", &URL);
    let audience = reading.any_optional(s, "audience", texts);
    let client_ids = reading.any_optional(s, "client_ids", texts);
    let scopes = reading.optional(s, "scope", &SCOPES);
    let leeway = reading.leaf(s, "leeway", &DURATION, OAuthAuth::LEEWAY);
    let built_in = reading.any_optional(s, "built_in_clients", texts);
    let introspection = read_introspection(reading, s);
    let key = section.key.clone();
    reading.end(section);
    let oauth = OAuthAuth {
        issuer: issuer?,
        jwks_url: jwks_url?,
        audience: audience?.unwrap_or_default(),
        client_ids: client_ids?.unwrap_or_default(),
        scopes: scopes?.unwrap_or_default(),
        leeway: leeway?,
        introspection: introspection?,
        built_in_clients: built_in?.unwrap_or_default(),
    };
    combination(&oauth, &key, &mut reading.mistakes)?;
    if oauth.introspection.is_none() {
        reading.idle(&key.child("introspection"), &["keep"]);
    }
    let is_anything = oauth.issuer.is_some()
        || oauth.introspection.is_some()
        || !oauth.built_in_clients.is_empty();
    if !is_anything {
        reading.idle(&key, &["leeway"]);
    }
    Some(is_anything.then_some(oauth))
}

fn read_introspection(
    reading: &mut Reading,
    oauth: &mut Section,
) -> Option<Option<IntrospectionAuth>> {
    let mut section = reading.section(oauth, "introspection");
    let s = &mut section;
    let url = reading.optional(s, "url", &URL);
    let client_id = reading.optional(s, "client_id", &NAME);
    let client_secret = reading.any_optional(s, "client_secret", |value| {
        let wrong = |problem: &str| (problem.into(), "Write it as text, in quotes.".into());
        let text = quoted(value).map_err(|what| wrong(&format!("is {what}")))?;
        let secret =
            Secret::written(&text).map_err(|(problem, remedy)| (problem.into(), remedy.into()));
        Ok((secret?, HIDDEN.into()))
    });
    let keep = reading.leaf(s, "keep", &DURATION, Duration::from_secs(60));
    let key = section.key.clone();
    let with_file = reading.with_file(&key.child("client_secret"));
    reading.end(section);
    let url = url?;
    let client_id = client_id?;
    let client_secret = client_secret?;
    let keep = keep?;
    match (url, client_id, client_secret) {
        (Some(url), Some(client_id), Some(client_secret)) => {
            let client_secret = with_file(client_secret);
            Some(Some(IntrospectionAuth { url, client_id, client_secret, keep }))
        }
        // Only keys that have a default, or no key.
        (None, None, None) => Some(None),
        (url, client_id, _) => {
            let missing = match (url, client_id) {
                (None, _) => "url",
                (_, None) => "client_id",
                _ => "client_secret",
            };
            let remedy = "Asking about tokens takes url, client_id and client_secret.";
            reading.mistakes.at(&key.child(missing), "is missing", remedy);
            None
        }
    }
}

/// Checks the keys of a source in combination; `None` after a mistake.
fn combination(oauth: &OAuthAuth, key: &Key, mistakes: &mut Mistakes) -> Option<()> {
    let has_provider = oauth.issuer.is_some() || oauth.introspection.is_some();
    let (name, problem, remedy) = if oauth.jwks_url.is_some() && oauth.issuer.is_none() {
        ("issuer", "is missing, and jwks_url is set", "Write it as its tokens do, in `iss`.")
    } else if has_provider && oauth.audience.is_empty() && oauth.client_ids.is_empty() {
        let problem = "is missing, and so is client_ids: every client of that provider, \
           with a token for any purpose, could deliver";
        ("audience", problem, "Set one of them.")
    } else if !has_provider && !oauth.audience.is_empty() {
        ("audience", NO_PROVIDER, NO_PROVIDER_REMEDY)
    } else if !has_provider && !oauth.client_ids.is_empty() {
        ("client_ids", NO_PROVIDER, NO_PROVIDER_REMEDY)
    } else if !has_provider && !oauth.scopes.is_empty() {
        ("scope", NO_PROVIDER, NO_PROVIDER_REMEDY)
    } else if oauth.leeway > LEEWAY_LIMIT {
        ("leeway", "is above 10 minutes", "Set the clocks.")
    } else {
        return Some(());
    };
    mistakes.at(&key.child(name), problem, remedy);
    None
}

const NO_PROVIDER: &str = "is set, and there is no provider whose tokens it could be about";
const NO_PROVIDER_REMEDY: &str =
    "Set issuer or introspection.url; for our own clients it is built_in_clients.";

/// Checks the endpoint together with the sources.
pub(super) fn check(oauth: &OAuth, sources: &[SourceConfig], mistakes: &mut Mistakes) {
    let mut wrong = |key: &str, problem: String, remedy: &str| {
        mistakes.at(&Key::new(key), problem, remedy);
    };
    if oauth.clients.is_empty() != oauth.signing_keys.is_empty() {
        let (key, other) = match oauth.clients.is_empty() {
            true => ("oauth.clients", "oauth.signing_keys is set"),
            false => ("oauth.signing_keys", "there are oauth.clients"),
        };
        wrong(key, format!("is missing, and {other}"), "The token endpoint takes both.");
    }
    if !LIFETIME_SECONDS.contains(&oauth.token_lifetime.as_secs()) {
        let problem = "is below a minute or above a day".to_owned();
        wrong("oauth.token_lifetime", problem, "An hour is usual.");
    }
    for source in sources {
        let used = source.auth.oauth.iter().flat_map(|oauth| &oauth.built_in_clients);
        if used.into_iter().any(|id| !oauth.clients.contains_key(id)) {
            let key = format!("sources.{}.auth.oauth.built_in_clients", source.name);
            let problem = "names a client that is not in oauth.clients".to_owned();
            wrong(&key, problem, "Name it there, with a secret, or take it away here.");
        }
    }
}

/// Reads the keys that sign our own tokens. No error quotes a secret.
pub(super) fn signing_keys(value: &Value) -> Result<(Vec<Secret>, String), (String, String)> {
    secrets(value, MIN_KEY_BYTES)
}

/// Reads the secrets with which a client gets its tokens. No error quotes a secret.
pub(super) fn client_secrets(value: &Value) -> Result<(Vec<Secret>, String), (String, String)> {
    secrets(value, MIN_SECRET_BYTES)
}

fn secrets(value: &Value, least: usize) -> Result<(Vec<Secret>, String), (String, String)> {
    let remedy = format!(
        "Write secrets of at least {least} bytes, with commas between them, as a JSON list in double \
         quotes, or one a line in a file (…_FILE); `openssl rand -base64 48` makes one."
    );
    let wrong = |problem: String| (problem, remedy.clone());
    let list = list(value).map_err(wrong)?;
    if list.is_empty() {
        return Err(wrong("holds nothing".into()));
    }
    for text in &list {
        placeholder(text).map_err(|(problem, remedy)| (problem.to_owned(), remedy.to_owned()))?;
    }
    if list.iter().any(|text| text.contains(PEM.trim_end())) {
        return Err(wrong("holds `-----BEGIN`, which begins a key or a certificate".into()));
    }
    if list.iter().any(|text| stripped(text).len() < least) {
        return Err(wrong(format!("contains a secret shorter than {least} bytes")));
    }
    let shown = vec![HIDDEN; list.len()].join(", ");
    let secrets: Vec<Secret> = list.into_iter().filter_map(Secret::new).collect();
    Ok((secrets, format!("[{shown}]")))
}

fn texts(value: &Value) -> Result<(Vec<String>, String), (String, String)> {
    let remedy = "Write it as text, several with commas or as a list.";
    let wrong = |problem: String| (problem, remedy.to_owned());
    let texts = list(value).map_err(wrong)?;
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return Err(wrong("holds nothing, or something empty".into()));
    }
    let shown: Vec<_> = texts.iter().map(|text| string(text)).collect();
    Ok((texts, format!("[{}]", shown.join(", "))))
}
