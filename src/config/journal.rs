//! `sources.<name>.journal`: the journal with events that the webhook missed, and the credentials for it.

use figment::value::Value;
use reqwest::Url;

use super::{
    effective::HIDDEN,
    leaf::{HTTPS_URL, Kind, string},
    reading::{Reading, Section},
    secret::Secret,
    written::quoted,
};
use crate::source::SourceKind;

/// `sources.<name>.journal`: the registration's journal, and Adobe's OAuth server-to-server
/// credential for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    pub url: Url,
    /// The IMS organization, `…@AdobeOrg`.
    pub organization_id: String,
    pub client_id: String,
    pub client_secret: Secret,
    pub token_url: Url,
    pub scopes: Vec<String>,
}

/// Adobe's token endpoint and scopes.
const TOKEN_URL: &str = "https://ims-na1.adobelogin.com/ims/token/v3";
const SCOPES: [&str; 3] = ["openid", "AdobeID", "adobeio_api"];

const REQUIRED_KEYS: [&str; 4] = ["url", "organization_id", "client_id", "client_secret"];

const TEXT: Kind<String> = Kind {
    parse: |text| match text.trim() {
        "" => Err("which is empty".into()),
        trimmed if !trimmed.bytes().all(|b| b.is_ascii_graphic()) => {
            Err("which no header can carry".into())
        }
        trimmed => Ok(trimmed.into()),
    },
    expected: "Write it as Adobe's Developer Console shows it.",
    show: |text| string(text),
};

fn secret(value: &Value) -> Result<(Secret, String), (String, String)> {
    const REMEDY: &str =
        "Write the client secret of the project's OAuth server-to-server credential, in quotes.";
    let text = quoted(value).map_err(|what| (format!("is {what}"), REMEDY.to_owned()))?;
    let secret =
        Secret::written(&text).map_err(|(problem, remedy)| (problem.into(), remedy.into()));
    Ok((secret?, HIDDEN.into()))
}

/// Reads the section; `Some(None)` where no journal is configured; `None` after a mistake.
pub(super) fn read(
    reading: &mut Reading,
    source: &mut Section,
    kind: Option<SourceKind>,
) -> Option<Option<Journal>> {
    if kind != Some(SourceKind::AdobeIo) {
        return misplaced(reading, source, kind);
    }
    let mut section = reading.section(source, "journal");
    // Keys that have a default may stand there alone without meaning anything.
    let is_configured = section.names().iter().any(|name| REQUIRED_KEYS.contains(&name.as_str()));
    let s = &mut section;
    let url = reading.optional(s, "url", &HTTPS_URL);
    let organization_id = reading.optional(s, "organization_id", &TEXT);
    let client_id = reading.optional(s, "client_id", &TEXT);
    let client_secret = reading.any_optional(s, "client_secret", secret);
    let default: Url = TOKEN_URL.parse().expect("the constant is an address");
    let token_url = reading.leaf(s, "token_url", &HTTPS_URL, default);
    let scopes = reading.list(s, "scopes", SCOPES.map(str::to_owned).to_vec());
    let key = section.key.clone();
    let with_file = reading.with_file(&key.child("client_secret"));
    reading.end(section);
    if !is_configured {
        reading.idle(&key, &["token_url", "scopes"]);
        return Some(None);
    }
    let is_missing = [
        url == Some(None),
        organization_id == Some(None),
        client_id == Some(None),
        client_secret == Some(None),
    ];
    for (name, _) in REQUIRED_KEYS.iter().zip(is_missing).filter(|(_, is_missing)| *is_missing) {
        let remedy = "A journal needs it: set it, or take the rest of the section away.";
        reading.mistakes.at(&key.child(name), "is missing", remedy);
    }
    Some(Some(Journal {
        url: url??,
        organization_id: organization_id??,
        client_id: client_id??,
        client_secret: with_file(client_secret??),
        token_url: token_url?,
        scopes: scopes?,
    }))
}

fn misplaced(
    reading: &mut Reading,
    source: &mut Section,
    kind: Option<SourceKind>,
) -> Option<Option<Journal>> {
    let is_there = source.names().iter().any(|name| name == "journal");
    if !is_there {
        return Some(None);
    }
    let section = reading.section(source, "journal");
    // A mistake of `kind` is already reported.
    if kind.is_some() {
        let remedy = "Take it away, or change the source's kind.";
        reading.mistakes.at(&section.key, "is for sources of kind `adobe-io` alone", remedy);
    }
    None
}
