//! `adobe`, and the settings of sources of kind `adobe-io`: Adobe I/O's public keys, the recipients whose events are
//! accepted, and the handling of validation URLs.

use std::path::PathBuf;

use figment::value::Value;
use reqwest::Url;

use super::{
    leaf::{FOLDER, Kind, string},
    reading::{Reading, Section},
    written::list,
};
use crate::source::SourceKind;

/// `adobe`: settings that all sources of kind `adobe-io` share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adobe {
    /// Scheme, host and port in front of the paths of keys.
    pub keys_url: Url,
    /// The folder that replaces `keys_url`.
    pub keys_folder: Option<PathBuf>,
}

/// `sources.<name>.auth`, for Adobe I/O.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdobeAuth {
    /// Accepted recipients, of which every event has to name one; at least one.
    pub client_ids: Vec<String>,
    pub validation_url: ValidationUrl,
}

/// The handling of a URL that Adobe I/O wants opened before it sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValidationUrl {
    /// Logs it, for an operator to open.
    #[default]
    Log,
    /// Opens it.
    Open,
}

impl ValidationUrl {
    pub const ALL: [Self; 2] = [Self::Log, Self::Open];

    /// The name that configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Open => "open",
        }
    }
}

const KEYS_URL: &str = "https://static.adobeioevents.com";

const HOST: Kind<Url> = Kind {
    parse: |text| {
        let url: Url = text.parse().map_err(|_| "which is no URL")?;
        let plain = url.username().is_empty() && url.password().is_none();
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        match url.scheme() {
            "https" | "http" if plain && bare => Ok(url),
            _ => Err("which is not scheme, host and port alone".into()),
        }
    },
    expected: "Write `https://` and a host, with a port if need be.",
    show: |url| string(url.as_str().trim_end_matches('/')),
};

impl Default for Adobe {
    fn default() -> Self {
        let keys_url = (HOST.parse)(KEYS_URL).expect("the address is valid");
        Self { keys_url, keys_folder: None }
    }
}

pub(super) fn read(reading: &mut Reading, root: &mut Section) -> Adobe {
    let mut section = reading.section(root, "adobe");
    let keys_url = reading.leaf(&mut section, "keys_url", &HOST, Adobe::default().keys_url);
    let keys_folder = reading.optional(&mut section, "keys_folder", &FOLDER);
    reading.end(section);
    let keys_url = keys_url.unwrap_or_else(|| Adobe::default().keys_url);
    Adobe { keys_url, keys_folder: keys_folder.unwrap_or_default() }
}

/// Keys below `auth` that only sources of kind `adobe-io` have.
const ADOBE_KEYS: [&str; 2] = ["client_ids", "validation_url"];

/// Reads the keys of Adobe I/O. `Some(None)` for a source of another kind, which must have none of them.
pub(super) fn read_auth(
    reading: &mut Reading,
    auth: &mut Section,
    kind: Option<SourceKind>,
) -> Option<Option<AdobeAuth>> {
    if kind == Some(SourceKind::AdobeIo) {
        let client_ids = reading.any(auth, "client_ids", client_ids);
        let validation_url = reading.choice(
            auth,
            "validation_url",
            &ValidationUrl::ALL,
            ValidationUrl::as_str,
            Some(ValidationUrl::default()),
        );
        return Some(Some(AdobeAuth { client_ids: client_ids?, validation_url: validation_url? }));
    }
    let mut result = Some(None);
    for name in auth.names().iter().filter(|name| ADOBE_KEYS.contains(&name.as_str())) {
        let misplaced: Option<()> = reading.any(auth, name, |_| match kind {
            Some(_) => {
                let remedy = "Take it away, or change the source's kind.";
                Err(("is for sources of kind `adobe-io` alone".into(), remedy.into()))
            }
            // A mistake of `kind` is already reported.
            None => Ok(((), string(""))),
        });
        result = result.filter(|_| misplaced.is_some());
    }
    result
}

fn client_ids(value: &Value) -> Result<(Vec<String>, String), (String, String)> {
    let remedy = "Write the client id of your project at Adobe's developer console, several with \
                  commas or as a list.";
    let wrong = |problem: String| (problem, remedy.to_owned());
    let ids = list(value).map_err(wrong)?;
    let legal = |id: &String| !id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic());
    if ids.is_empty() || !ids.iter().all(legal) {
        return Err(wrong("contains an invalid client id".into()));
    }
    let shown: Vec<_> = ids.iter().map(|id| string(id)).collect();
    Ok((ids, format!("[{}]", shown.join(", "))))
}
