//! `sources`: the senders that may deliver.

use std::{collections::BTreeMap, sync::Arc};

use figment::value::Value;

use super::{
    Config,
    adobe::{self, AdobeAuth},
    answer::{self, Answer},
    catalog,
    effective::HIDDEN,
    journal::{self, Journal},
    leaf::{Kind, SIZE, string},
    mistake::{Key, Mistakes},
    oauth::{self, OAuthAuth},
    reading::{Reading, Section},
    secret::{PEM, Secret, placeholder},
    selection,
    tls::{self, CertificateAuth},
    values,
    written::list,
};
use crate::{
    deliver::{
        decode::catalog::Override,
        encode::{choice::PartialChoice, flat::ActivityType},
        select::Selection,
    },
    source::{SourceKind, SourceName},
};

/// `sources.<name>`: one sender, at `POST /v1/<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    pub name: SourceName,
    pub kind: SourceKind,
    pub auth: Auth,
    /// The journal for back-fill; for `adobe-io` sources only.
    pub journal: Option<Journal>,
    /// Undelivered bytes of this source alone, below `spool.size_limit`.
    pub size_limit: Option<u64>,
    /// The promise of a 200 of this source.
    pub answer: Answer,
    /// Names and aliases of activity types by id, which override the catalogue's. Written
    /// once for all sources, under `catalog`.
    pub activity_types: BTreeMap<i64, Override>,
    /// The types and attributes that Marketo describes (`catalog.types_file`), for all sources too.
    pub described_types: Arc<[ActivityType]>,
    /// The form of this source's records, where it differs from that of all records.
    pub choice: PartialChoice,
    /// The events that go to Kafka.
    pub selection: Selection,
}

/// `sources.<name>.auth`: the ways in which the sender may authenticate. At least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    pub tokens: Option<TokenAuth>,
    pub oauth: Option<OAuthAuth>,
    pub certificate: Option<CertificateAuth>,
    /// Signatures and recipients, for a source of kind `adobe-io`.
    pub adobe: Option<AdobeAuth>,
}

/// A token in the head of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAuth {
    /// Accepted tokens; at least one. None of them has control characters, or white space
    /// at either end.
    pub tokens: Vec<Secret>,
    pub header_scheme: HeaderScheme,
    /// Name of the query parameter that may carry the token instead of the header.
    pub query_parameter: Option<String>,
}

impl TokenAuth {
    /// Returns the key below `auth` that set the tokens.
    pub fn key(&self) -> &'static str {
        match self.tokens.iter().any(|token| token.file().is_some()) {
            true => "tokens_file",
            false => "tokens",
        }
    }
}

/// The word before the token in the `Authorization` header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderScheme {
    /// `Authorization: Bearer <token>`
    #[default]
    Bearer,
    /// `Authorization: Basic <token>`
    Basic,
    /// `Authorization: <token>`
    Bare,
}

impl HeaderScheme {
    pub const ALL: [Self; 3] = [Self::Bearer, Self::Basic, Self::Bare];

    /// The name that configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Basic => "Basic",
            Self::Bare => "bare",
        }
    }
}

const QUERY_PARAMETER: Kind<String> = Kind {
    parse: |text| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        match text {
            "" => Err("which is empty".into()),
            _ if !text.bytes().all(legal) => Err("which cannot stand in a query as it is".into()),
            _ => Ok(text.into()),
        }
    },
    expected: "Write the parameter's name: letters, digits, `-`, `.`, `_` and `~`.",
    show: |text| string(text),
};

/// Reads all sources; returns those without mistakes.
pub(super) fn read(reading: &mut Reading, root: &mut Section) -> Vec<SourceConfig> {
    let (activity_types, described_types) = catalog::read(reading, root);
    let mut section = reading.section(root, "sources");
    let names = section.names();
    if names.is_empty() {
        let problem = "is missing: there is no source, so no sender could deliver anything";
        let remedy = "Name one, as in MILLRACE_SOURCES__LEADS__KIND=marketo-lead-activity.";
        reading.mistakes.at(&Key::of(&["sources", "<name>", "kind"]), problem, remedy);
    }
    let mut sources = Vec::new();
    for name in &names {
        sources.extend(source(reading, &mut section, name));
    }
    let activity_types = activity_types.unwrap_or_default();
    let with_types = |source| SourceConfig {
        activity_types: activity_types.clone(),
        described_types: described_types.clone(),
        ..source
    };
    sources.into_iter().map(with_types).collect()
}

fn source(reading: &mut Reading, sources: &mut Section, written: &str) -> Option<SourceConfig> {
    let mut section = reading.section(sources, written);
    let name = SourceName::new(written);
    if name.is_none() {
        let problem = "is no name for a source";
        let remedy = "Names are lower-case letters, digits and hyphens, begin with a letter and \
                      have at most 63 characters.";
        reading.mistakes.at(&section.key, problem, remedy);
    }
    let kind = reading.choice(&mut section, "kind", &SourceKind::ALL, SourceKind::as_str, None);
    let size_limit = reading.optional(&mut section, "size_limit", &SIZE);
    let answer = answer::read(reading, &mut section);
    let choice = values::read_partial(reading, &mut section);
    let selection = selection::read(reading, &mut section);
    let mut auth = reading.section(&mut section, "auth");
    let adobe = adobe::read_auth(reading, &mut auth, kind);
    let certificate = tls::names(reading, &mut auth);
    let oauth = oauth::read_auth(reading, &mut auth);
    let tokens = reading.any_optional(&mut auth, "tokens", tokens);
    let header_scheme = reading.choice(
        &mut auth,
        "header_scheme",
        &HeaderScheme::ALL,
        HeaderScheme::as_str,
        Some(HeaderScheme::default()),
    );
    let query_parameter = reading.optional(&mut auth, "query_parameter", &QUERY_PARAMETER);
    let key = auth.key.clone();
    let with_file = reading.with_file(&key.child("tokens"));
    reading.end(auth);
    let journal = journal::read(reading, &mut section, kind);
    reading.end(section);
    let tokens = tokens?;
    let certificate = certificate?;
    let query_parameter = query_parameter?;
    if tokens.is_none() {
        reading.idle(&key, &["header_scheme"]);
    }
    let oauth = oauth?;
    let has_way = tokens.is_some() || certificate.is_some() || oauth.is_some();
    // Adobe I/O signs its requests, and needs no other way.
    if !has_way && kind != Some(SourceKind::AdobeIo) {
        let remedy = "Set it: without a way to authenticate no sender can deliver. Other ways are \
           under auth, too.";
        reading.mistakes.at(&key.child("tokens"), "is missing", remedy);
        return None;
    }
    if tokens.is_none() && query_parameter.is_some() {
        let problem = "is set, and there is no token that it could carry";
        reading.mistakes.at(&key.child("query_parameter"), problem, "Set tokens, or take it away.");
    }
    let journal = journal?;
    if journal.is_some() && tokens.is_none() {
        let problem = "is missing, and there is a journal: `millrace backfill` delivers by a token";
        reading.mistakes.at(&key.child("tokens"), problem, "Set it, or take the journal away.");
    }
    let header_scheme = header_scheme?;
    if let Some(Err((problem, remedy))) = tokens.as_ref().map(|it| carried(it, header_scheme)) {
        reading.mistakes.at(&key.child("tokens"), problem, remedy);
    }
    let tokens = tokens.map(|tokens| tokens.into_iter().map(with_file).collect());
    let tokens = tokens.map(|tokens| TokenAuth { tokens, header_scheme, query_parameter });
    Some(SourceConfig {
        name: name?,
        kind: kind?,
        auth: Auth { tokens, certificate, oauth, adobe: adobe? },
        journal,
        size_limit: size_limit?,
        answer,
        activity_types: BTreeMap::new(),
        described_types: Arc::default(),
        choice,
        selection: selection?,
    })
}

/// Reads tokens. No error quotes a token.
pub(super) fn tokens(value: &Value) -> Result<(Vec<Secret>, String), (String, String)> {
    let wrong = |problem: &str, remedy: &str| (problem.to_owned(), remedy.to_owned());
    let plainly = "Write tokens with commas between them, as a JSON list in double quotes, or one \
                   a line in a file (…_FILE).";
    let list = list(value).map_err(|problem| (problem, plainly.to_owned()))?;
    if list.is_empty() {
        return Err(wrong("holds no token", "Give at least one."));
    }
    let mut tokens = Vec::new();
    for token in list {
        placeholder(&token).map_err(|(problem, remedy)| wrong(problem, remedy))?;
        if token.contains(PEM.trim_end()) {
            let problem = "holds `-----BEGIN`, which begins a key or a certificate and no token";
            return Err(wrong(problem, plainly));
        }
        if token.trim() != token || token.contains(char::is_control) {
            let problem = "holds a token with a control character, or white space at an end";
            return Err(wrong(problem, "No header can carry it: choose another token."));
        }
        let empty = || wrong("holds an empty token", "It would let everybody in: take it away.");
        tokens.push(Secret::new(token).ok_or_else(empty)?);
    }
    let shown = vec![HIDDEN; tokens.len()].join(", ");
    Ok((tokens, format!("[{shown}]")))
}

/// Checks that a header with `scheme` can carry each of the tokens, which do not include the scheme. No error quotes a
/// token.
pub(super) fn carried(tokens: &[Secret], scheme: HeaderScheme) -> Result<(), (String, String)> {
    let word = scheme.as_str();
    if scheme == HeaderScheme::Bare {
        return Ok(());
    }
    for token in tokens.iter().map(Secret::expose) {
        let first = token.split(char::is_whitespace).next().unwrap_or_default();
        if first.len() == token.len() {
            continue;
        }
        if HeaderScheme::ALL.iter().any(|it| it.as_str().eq_ignore_ascii_case(first)) {
            return Err((
                format!("holds a token that begins with `{first} `, the scheme of the header"),
                "Write what follows it alone; header_scheme says which scheme comes before it."
                    .into(),
            ));
        }
        return Err((
            format!("holds a token with white space in it, which no header with {word} carries"),
            "Write one token a line, without the white space. With `header_scheme = \"bare\"` a token is the \
             whole header."
                .into(),
        ));
    }
    Ok(())
}

/// Checks the limits of sources against those of the whole.
pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    let Config { listen, spool, sources, .. } = config;
    for source in sources {
        let Some(limit) = source.size_limit else { continue };
        let key = Key::new(&format!("sources.{}.size_limit", source.name));
        if limit > spool.size_limit {
            let problem = "is above spool.size_limit, the limit of all sources together";
            mistakes.at(&key, problem, "Lower it, or raise spool.size_limit.");
        }
        if limit <= listen.body_limit_inflated {
            let problem =
                "is not above listen.body_limit_inflated, so one body could fill it for ever";
            mistakes.at(&key, problem, "Raise it, or lower listen.body_limit_inflated.");
        }
    }
}
