//! Properties of `kafka.properties` by which this program gets tokens for Kafka (SASL OAUTHBEARER): from an
//! OpenID provider by client credentials, under librdkafka's own names, or made of AWS's credentials for MSK.
//!
//! The client library never gets them: its own support of OpenID providers needs libcurl. One of them, the
//! audience, is unknown to it.

use std::{fmt, path::PathBuf};

use reqwest::Url;

use super::{Kafka, oauth::is_trustworthy, secret::Secret};

/// The origin of the token that a broker asks for.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    Oidc(Box<Oidc>),
    Msk(Msk),
}

/// Shows the variant alone: a URL may hold a secret in its query.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Oidc(_) => "Oidc",
            Self::Msk(_) => "Msk",
        })
    }
}

/// Client credentials (RFC 6749, section 4.4).
#[derive(Clone, PartialEq, Eq)]
pub struct Oidc {
    pub token_url: Url,
    pub client_id: String,
    pub client_secret: Secret,
    pub scope: Option<String>,
    pub audience: Option<String>,
    /// Sent to the broker beside the token (RFC 7628).
    pub extensions: Vec<(String, String)>,
    /// Authorities that may sign the provider's certificate, in place of the system's.
    pub authorities: Option<Authorities>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorities {
    File(PathBuf),
    Pem(String),
}

/// Amazon MSK with IAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Msk {
    pub region: String,
}

pub(super) const METHOD: &str = "sasl.oauthbearer.method";
pub(super) const TOKEN_URL: &str = "sasl.oauthbearer.token.endpoint.url";
pub(super) const CLIENT_ID: &str = "sasl.oauthbearer.client.id";
pub(super) const CLIENT_SECRET: &str = "sasl.oauthbearer.client.secret";
pub(super) const SCOPE: &str = "sasl.oauthbearer.scope";
pub(super) const AUDIENCE: &str = "sasl.oauthbearer.audience";
pub(super) const EXTENSIONS: &str = "sasl.oauthbearer.extensions";
pub(super) const GRANT: &str = "sasl.oauthbearer.grant.type";
pub(super) const CA_FILE: &str = "https.ca.location";
pub(super) const CA_PEM: &str = "https.ca.pem";
pub(super) const REGION: &str = "aws.region";
/// The mechanism's name in AWS's library for Java; the broker calls it OAUTHBEARER.
pub const MSK_IAM: &str = "AWS_MSK_IAM";

/// Second names that librdkafka has for two properties.
pub(super) const ALIASES: [(&str, &str); 2] = [
    ("sasl.oauthbearer.client.credentials.client.id", CLIENT_ID),
    ("sasl.oauthbearer.client.credentials.client.secret", CLIENT_SECRET),
];

/// Properties of an OpenID provider.
pub(super) const OF_OIDC: [&str; 9] =
    [TOKEN_URL, CLIENT_ID, CLIENT_SECRET, SCOPE, AUDIENCE, EXTENSIONS, GRANT, CA_FILE, CA_PEM];

/// Whether a property is read by this program alone, and not by the client library.
pub fn is_of_login(name: &str) -> bool {
    let name = canonical(name);
    OF_OIDC.contains(&name) || [METHOD, REGION].contains(&name)
}

pub(super) fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name)
}

impl Kafka {
    /// Returns how tokens are got, if the brokers ask for one. `None` also where [`super::load`] would have found a
    /// mistake.
    pub fn login(&self) -> Option<Login> {
        let get = |name: &str| {
            let mut all = self.properties.iter();
            all.find(|(written, _)| canonical(written) == name).map(|(_, value)| value)
        };
        let text = |name: &str| get(name).map(|value| value.expose().to_owned());
        let protocol = text("security.protocol")?.to_uppercase();
        if !protocol.starts_with("SASL_") {
            return None;
        }
        match text("sasl.mechanism").or_else(|| text("sasl.mechanisms"))?.as_str() {
            MSK_IAM => {
                let region = text(REGION).or_else(|| region_of(&self.bootstrap_servers))?;
                Some(Login::Msk(Msk { region }))
            }
            "OAUTHBEARER" => {
                let file = text(CA_FILE).map(|file| Authorities::File(file.into()));
                Some(Login::Oidc(Box::new(Oidc {
                    token_url: token_url(&text(TOKEN_URL)?).ok()?,
                    client_id: text(CLIENT_ID)?,
                    client_secret: get(CLIENT_SECRET)?.clone(),
                    scope: text(SCOPE),
                    audience: text(AUDIENCE),
                    extensions: text(EXTENSIONS).map_or(Some(vec![]), |it| extensions(&it).ok())?,
                    authorities: file.or_else(|| text(CA_PEM).map(Authorities::Pem)),
                })))
            }
            _ => None,
        }
    }
}

/// Parses a token URL; the error continues "is".
pub(super) fn token_url(text: &str) -> Result<Url, &'static str> {
    let url: Url = text.parse().map_err(|_| "no URL")?;
    match url {
        url if !is_trustworthy(&url) => Err("not https, and the client secret is sent there"),
        url if !url.username().is_empty() || url.password().is_some() => {
            Err("an address with a user or a password in it")
        }
        url if url.fragment().is_some() => Err("an address with a fragment"),
        url => Ok(url),
    }
}

/// Parses `name=value`, several with commas.
pub(super) fn extensions(text: &str) -> Result<Vec<(String, String)>, String> {
    let one = |pair: &str| {
        let (name, value) = pair.split_once('=').ok_or("has a part without `=`")?;
        let name = name.trim();
        let value = value.trim();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err("has a name that is not of letters alone (RFC 7628)");
        }
        if name == "auth" {
            return Err("has the name `auth`, which is the token's own");
        }
        if value.is_empty() || !value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return Err("has a value that is empty or not in ASCII");
        }
        Ok((name.to_owned(), value.to_owned()))
    };
    text.split(',').map(one).collect::<Result<_, _>>().map_err(str::to_owned)
}

/// Returns the region in the names of MSK's brokers: `b-1.x.y.kafka.eu-west-1.amazonaws.com:9098`.
pub(super) fn region_of(servers: &str) -> Option<String> {
    let host = servers.split(',').next()?.rsplit_once(':')?.0;
    let rest = host.strip_suffix(".cn").unwrap_or(host).strip_suffix(".amazonaws.com")?;
    let (rest, region) = rest.rsplit_once('.')?;
    let service = rest.rsplit_once('.')?.1;
    (["kafka", "kafka-serverless"].contains(&service) && is_region(region))
        .then(|| region.to_owned())
}

/// Whether `text` has the form of a region, as `eu-west-1`.
pub(super) fn is_region(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (3..40).contains(&text.len())
        && text.contains('-')
        && text.bytes().all(legal)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_part_of_the_brokers_names() {
        for (servers, region) in [
            ("b-1.demo.abc123.c2.kafka.eu-west-1.amazonaws.com:9098,b-2.x:9098", Some("eu-west-1")),
            ("boot-abc.c1.kafka-serverless.us-east-2.amazonaws.com:9098", Some("us-east-2")),
            ("b-1.demo.abc.c2.kafka.cn-north-1.amazonaws.com.cn:9098", Some("cn-north-1")),
            ("kafka.example.com:9098", None),
            ("s3.eu-west-1.amazonaws.com:9098", None),
        ] {
            assert_eq!(region_of(servers).as_deref(), region, "{servers}");
        }
    }

    #[test]
    fn extensions_are_pairs_of_letters_and_visible_text() {
        let pairs = extensions("logicalCluster=lkc-1, identityPoolId=pool-a").unwrap();
        let expected = [("logicalCluster", "lkc-1"), ("identityPoolId", "pool-a")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for bad in ["", "a", "a=", "a-b=c", "auth=x", "a=b,", "=b", "a=\u{1}"] {
            assert!(extensions(bad).is_err(), "{bad:?}");
        }
    }
}
