//! `kafka.schema_registry`: where schemas of values are registered, by Confluent's API.

use std::path::PathBuf;

use reqwest::Url;

use super::{
    Config,
    effective::HIDDEN,
    leaf::{COUNT, Kind, string},
    mistake::{Key, Mistakes},
    oauth::is_trustworthy,
    reading::{Reading, Section},
    secret::Secret,
    tls::FILE,
    written::quoted,
};
use crate::deliver::{
    encode::choice::{Choice, Surrounding, ValueForm},
    schema::{Format, IdPlace},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaRegistry {
    /// The address in front of the API's paths (`subjects/…`).
    pub url: Url,
    pub format: Format,
    pub subject: SubjectBy,
    pub register: Register,
    pub id: IdPlace,
    /// Most schemas that are kept.
    pub limit: usize,
    pub credentials: Credentials,
    /// Authorities of the registry's certificate, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// The client certificate and its key, for a registry that asks for one.
    pub identity_files: Option<(PathBuf, PathBuf)>,
}

/// The credentials that this service shows to the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    None,
    Password { username: String, password: Secret },
    Token(Secret),
}

/// The name of a subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubjectBy {
    /// Named after the topic, with `-value` behind it.
    #[default]
    TopicName,
    /// Named after the schema.
    RecordName,
}

impl SubjectBy {
    pub const ALL: [Self; 2] = [Self::TopicName, Self::RecordName];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::TopicName => "topic-name",
            Self::RecordName => "record-name",
        }
    }
}

/// The party that registers schemas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Register {
    /// This service registers them.
    #[default]
    Auto,
    /// An operator registers them, and this service looks them up.
    Never,
}

impl Register {
    pub const ALL: [Self; 2] = [Self::Auto, Self::Never];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Never => "never",
        }
    }
}

impl SchemaRegistry {
    /// Default of `kafka.schema_registry.limit`.
    pub const DEFAULT_LIMIT: usize = 1000;

    /// Returns the files of certificates and keys that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let identity = self.identity_files.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca_file.iter().chain(identity)
    }
}

const URL: Kind<Url> = Kind {
    parse: |text| match text.parse::<Url>() {
        Ok(url) if !["http", "https"].contains(&url.scheme()) || !url.has_host() => {
            Err("which is no http or https address".into())
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err("which has a user or a password in it".into())
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            Err("which has a query or a fragment".into())
        }
        Ok(url) => Ok(url),
        Err(_) => Err("which is no URL".into()),
    },
    expected: "Write the address that `/subjects` is below, as in `https://registry:8081`; user and password are \
               keys of their own.",
    show: |url| string(url.as_str()),
};

const USER: Kind<String> = Kind {
    parse: |text| match text.is_empty() || text.contains([':', '\r', '\n']) {
        true => Err("which is no user's name".into()),
        false => Ok(text.into()),
    },
    expected: "Write the name alone, without a colon.",
    show: |text| string(text),
};

/// Keys that have a default.
const KEYS_WITH_DEFAULT: [&str; 5] = ["format", "subject", "register", "id", "limit"];

/// Reads the section; `Some(None)` where there is no registry; `None` after a mistake.
pub(super) fn read(reading: &mut Reading, kafka: &mut Section) -> Option<Option<SchemaRegistry>> {
    let mut section = reading.section(kafka, "schema_registry");
    // Keys that have a default may stand there alone without meaning anything.
    let is_configured =
        section.names().iter().any(|name| !KEYS_WITH_DEFAULT.contains(&name.as_str()));
    let key = section.key.clone();
    let s = &mut section;
    let url = reading.optional(s, "url", &URL);
    let mut format = Format::default();
    let mut subject = SubjectBy::default();
    let mut register = Register::default();
    let mut id = IdPlace::default();
    let mut limit = SchemaRegistry::DEFAULT_LIMIT;
    reading.set_choice(s, "format", &Format::ALL, Format::as_str, &mut format);
    reading.set_choice(s, "subject", &SubjectBy::ALL, SubjectBy::as_str, &mut subject);
    reading.set_choice(s, "register", &Register::ALL, Register::as_str, &mut register);
    reading.set_choice(s, "id", &IdPlace::ALL, IdPlace::as_str, &mut id);
    reading.set(s, "limit", &COUNT, &mut limit);
    let username = reading.optional(s, "username", &USER);
    let of_file = |name: &str| reading.with_file(&key.child(name));
    let with_password_file = of_file("password");
    let with_token_file = of_file("token");
    let password = reading.any_optional(s, "password", secret);
    let token = reading.any_optional(s, "token", secret);
    let ca_file = reading.optional(s, "ca_file", &FILE);
    let certificate_file = reading.optional(s, "certificate_file", &FILE);
    let key_file = reading.optional(s, "key_file", &FILE);
    reading.end(section);
    if !is_configured {
        reading.idle(&key, &KEYS_WITH_DEFAULT);
        return Some(None);
    }
    let username = username?;
    let password = password?;
    let token = token?;
    let mut wrong = |name: &str, problem: &str, remedy: &str| {
        reading.mistakes.at(&key.child(name), problem, remedy);
    };
    let password = password.map(with_password_file);
    let token = token.map(with_token_file);
    let credentials = credentials(username, password, token, &mut wrong)?;
    let identity_files = identity_files(certificate_file?, key_file?, &mut wrong)?;
    let Some(url) = url? else {
        wrong("url", "is missing", "Set it, or take the rest of the section away.");
        return None;
    };
    if credentials != Credentials::None && !is_trustworthy(&url) {
        let problem =
            "is not https, and a password or a token would go over the network in clear text";
        wrong(
            "url",
            problem,
            "Write an https address; http with credentials is for this machine alone.",
        );
        return None;
    }
    let ca_file = ca_file?;
    Some(Some(SchemaRegistry {
        url,
        format,
        subject,
        register,
        id,
        limit,
        credentials,
        ca_file,
        identity_files,
    }))
}

/// Reports a mistake in the key of this name: the problem, and the remedy.
type Wrong<'a> = dyn FnMut(&str, &str, &str) + 'a;

fn credentials(
    username: Option<String>,
    password: Option<Secret>,
    token: Option<Secret>,
    wrong: &mut Wrong<'_>,
) -> Option<Credentials> {
    match (username, password, token) {
        (None, None, None) => return Some(Credentials::None),
        (None, None, Some(token)) => return Some(Credentials::Token(token)),
        (Some(username), Some(password), None) => {
            return Some(Credentials::Password { username, password });
        }
        (Some(_), None, None) => {
            wrong("password", "is missing, and username is set", "Set both, or a token.");
        }
        (None, Some(_), None) => {
            wrong("username", "is missing, and password is set", "Set both, or a token.");
        }
        (_, _, Some(_)) => {
            let problem = "is set, and so is username or password";
            wrong("token", problem, "Keep the token, or username and password.");
        }
    }
    None
}

/// The files of the client certificate and of its key: both or none.
fn identity_files(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    wrong: &mut Wrong<'_>,
) -> Option<Option<(PathBuf, PathBuf)>> {
    let missing = match (certificate, key) {
        (Some(certificate), Some(key)) => return Some(Some((certificate, key))),
        (None, None) => return Some(None),
        (Some(_), None) => "key_file",
        (None, Some(_)) => "certificate_file",
    };
    let remedy = "A client certificate takes both certificate_file and key_file.";
    wrong(missing, "is missing", remedy);
    None
}

fn secret(value: &figment::value::Value) -> Result<(Secret, String), (String, String)> {
    let wrong = |problem: &str| (problem.into(), "Write it as text, in quotes.".into());
    let text = quoted(value).map_err(|what| wrong(&format!("is {what}")))?;
    let secret =
        Secret::written(&text).map_err(|(problem, remedy)| (problem.into(), remedy.into()));
    Ok((secret?, HIDDEN.into()))
}

pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    if config.schema_registry.is_none() {
        return;
    }
    let all = config.topics.choice;
    let of_sources = config.sources.iter().map(|source| source.choice.over(all));
    let of_patterns = config.topics.values.values().map(|choice| choice.over(all));
    let choices: Vec<_> = of_sources.chain(of_patterns).chain([all]).collect();
    let has_schema =
        |choice: &Choice| choice.value == ValueForm::Flat && choice.envelope == Surrounding::None;
    if !choices.iter().any(has_schema) {
        let problem =
            "is set, and no topic has flat values without an envelope: only those have a schema";
        let remedy = "Set topics.value to `flat`, or take kafka.schema_registry away.";
        mistakes.at(&Key::new("kafka.schema_registry.url"), problem, remedy);
    }
}
