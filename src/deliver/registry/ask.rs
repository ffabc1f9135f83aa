//! One question to the registry, and the meaning of its answer.
//!
//! `register = auto`: `POST subjects/{subject}/versions`, which finds the id of a schema that is there already and checks a
//! new one against the subject's compatibility. `register = never`: `POST subjects/{subject}`, which looks it up. Both with
//! `normalize=true`: a schema that an operator registered with other white space is the same one.

use std::{fs, sync::Arc};

use http::{
    StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    config::{self, Credentials, Register},
    deliver::schema::{Format, SchemaId, Wanted},
    runtime::fetch::{self, Client, Limits, ShownUrl, Trust},
};

const SCHEMA_JSON: &str = "application/vnd.schemaregistry.v1+json";

/// Characters that need an escape in one segment of a path.
const ESCAPED_IN_SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Characters of a registry's message in our errors and log lines.
const MAX_QUOTED_CHARS: usize = 300;

pub(super) struct Asker {
    client: Client,
    url: Url,
    register: Register,
    credentials: Credentials,
}

/// Why there is no id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoId {
    pub kind: NoIdKind,
    /// For an operator: the subject, the fault and the remedy.
    pub text: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoIdKind {
    /// No answer at all.
    Away,
    /// 409: against the compatibility of the subject.
    Incompatible,
    /// 401, 403.
    Denied,
    /// 404 of a look-up.
    Missing,
    /// 422.
    Invalid,
    /// Any other answer.
    Failed,
}

impl NoIdKind {
    pub const ALL: [Self; 6] =
        [Self::Away, Self::Incompatible, Self::Denied, Self::Missing, Self::Invalid, Self::Failed];

    /// The label value in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Incompatible => "incompatible",
            Self::Denied => "denied",
            Self::Missing => "missing",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
        }
    }
}

#[derive(Serialize)]
struct Question<'a> {
    schema: &'a str,
    #[serde(rename = "schemaType")]
    schema_type: &'static str,
}

#[derive(Deserialize)]
struct Found {
    id: u32,
    guid: Option<Uuid>,
}

#[derive(Deserialize)]
struct Said {
    error_code: Option<i64>,
    message: Option<String>,
}

impl Asker {
    /// Reads the files that `config` names. The error is a sentence for an operator that needs no words before it.
    pub fn new(config: &config::SchemaRegistry) -> Result<Self, String> {
        let read = |path: &std::path::PathBuf| {
            fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        let authorities = config.ca_file.as_ref().map(read).transpose()?;
        let identity = match &config.identity_files {
            None => None,
            Some((certificate, key)) => {
                let mut pem = read(certificate)?;
                pem.push(b'\n');
                pem.extend(read(key)?);
                Some(pem)
            }
        };
        let trust = Trust { authorities: authorities.as_deref(), identity: identity.as_deref() };
        let client = Client::trusting(trust)
            .map_err(|error| format!("the certificates of kafka.schema_registry: {error}"))?;
        Ok(Self {
            client,
            url: config.url.clone(),
            register: config.register,
            credentials: config.credentials.clone(),
        })
    }

    pub async fn ask(&self, wanted: &Wanted) -> Result<SchemaId, NoId> {
        let subject = &wanted.subject;
        let no_id = |kind, text: String| NoId { kind, text: text.into() };
        let Some(request) = self.request(wanted) else {
            let text = format!("no request can be made of subject `{subject}`; this is a defect");
            return Err(no_id(NoIdKind::Failed, text));
        };
        let answer = self.client.send(request, Limits::SMALL).await.map_err(|error| {
            let text = format!(
                "the schema of subject `{subject}` has no id yet, and the schema registry does not answer: {error}"
            );
            no_id(NoIdKind::Away, text)
        })?;
        if answer.status == StatusCode::OK {
            return match serde_json::from_slice::<Found>(&answer.body) {
                Ok(Found { id, guid }) => Ok(SchemaId { number: id, guid }),
                Err(_) => {
                    let place = ShownUrl::of(&self.url);
                    let text = format!(
                        "{place} answers without an id for subject `{subject}`: is kafka.schema_registry.url the \
                         address of a Schema Registry's API?"
                    );
                    Err(no_id(NoIdKind::Failed, text))
                }
            };
        }
        let said = quoted(&answer.body);
        let (kind, text) = self.meaning(subject, answer.status, &said);
        Err(no_id(kind, text))
    }

    /// The answer to a GET of `path`, which is below the address of the API.
    pub async fn get(&self, path: &str) -> Result<fetch::Answer, String> {
        let mut url = self.url.clone();
        let path = format!("{}/{path}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let accepted = format!("{SCHEMA_JSON}, application/json");
        let request = self.client.request(Method::GET, url).header(ACCEPT, accepted);
        let request = self.with_login(request).build().map_err(|error| error.to_string())?;
        self.client.send(request, Limits::SMALL).await.map_err(|error| error.to_string())
    }

    fn request(&self, wanted: &Wanted) -> Option<reqwest::Request> {
        let mut url = self.url.clone();
        let subject = utf8_percent_encode(&wanted.subject, ESCAPED_IN_SEGMENT);
        let versions = match self.register {
            Register::Auto => "/versions",
            Register::Never => "",
        };
        let path = url.path().trim_end_matches('/');
        let path = format!("{path}/subjects/{subject}{versions}");
        url.set_path(&path);
        url.set_query(Some("normalize=true"));
        let schema_type = match wanted.format {
            Format::JsonSchema => "JSON",
            Format::Avro => "AVRO",
        };
        let question = Question { schema: &wanted.text, schema_type };
        let request = self
            .client
            .request(Method::POST, url)
            .header(CONTENT_TYPE, SCHEMA_JSON)
            .header(ACCEPT, format!("{SCHEMA_JSON}, application/json"))
            .body(serde_json::to_vec(&question).ok()?);
        self.with_login(request).build().ok()
    }

    fn with_login(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.credentials {
            Credentials::None => request,
            Credentials::Password { username, password } => {
                request.basic_auth(username, Some(password.expose()))
            }
            Credentials::Token(token) => request.bearer_auth(token.expose()),
        }
    }

    fn meaning(&self, subject: &str, status: StatusCode, said: &str) -> (NoIdKind, String) {
        let place = ShownUrl::of(&self.url);
        let code = status.as_u16();
        match code {
            409 => (
                NoIdKind::Incompatible,
                format!(
                    "the schema registry calls the schema of subject `{subject}` incompatible with the versions that \
                     it has (409{said}); change the compatibility of the subject, or delete those versions"
                ),
            ),
            401 | 403 => (
                NoIdKind::Denied,
                format!(
                    "the schema registry at {place} denies access to subject `{subject}` ({code}{said}); check \
                     kafka.schema_registry.username and password, token or certificate_file, and what they may do"
                ),
            ),
            404 if self.register == Register::Never => (
                NoIdKind::Missing,
                format!(
                    "the schema registry does not have the schema of subject `{subject}` (404{said}), and \
                     kafka.schema_registry.register is never; register what `millrace topics` prints as its schema"
                ),
            ),
            422 => (
                NoIdKind::Invalid,
                format!(
                    "the schema registry calls the schema of subject `{subject}` invalid (422{said})"
                ),
            ),
            _ => (
                NoIdKind::Failed,
                format!("{place} answers {code} about the schema of subject `{subject}`{said}"),
            ),
        }
    }
}

/// The registry's message in one line of bounded length, led by its separator (`: `, `, error N: `); empty if there is
/// none.
pub(super) fn quoted(body: &[u8]) -> String {
    let Ok(Said { error_code, message: Some(message) }) = serde_json::from_slice::<Said>(body)
    else {
        return String::new();
    };
    let code = error_code.map(|code| format!(", error {code}")).unwrap_or_default();
    let line: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{code}: {}…", &line[..end]),
        None => format!("{code}: {line}"),
    }
}
