//! The name and the kind of a source, and the origin of its deliveries: plain values that all stages share.

use std::{fmt, sync::Arc};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type UnixMillis = u64;

/// The name of a configured source: `[a-z][a-z0-9-]*`, at most 63 characters (it is a path segment,
/// a folder, a metric label and part of topic names).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceName(Arc<str>);

impl SourceName {
    /// Returns `None` when `name` is not of the form above.
    pub fn new(name: &str) -> Option<Self> {
        let bytes = name.as_bytes();
        let first = bytes.first()?;
        let legal = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        (first.is_ascii_lowercase() && bytes.len() <= 63 && bytes.iter().all(legal))
            .then(|| Self(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The kind of sender behind a source, which decides how its bodies are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Marketo's own lead activity push: `{"munchkinId": …, "activities": [ … ]}`.
    MarketoLeadActivity,
    /// Adobe I/O Events, as a webhook: CloudEvents, flat or wrapped, alone or in an array.
    AdobeIo,
}

impl SourceKind {
    pub const ALL: [Self; 2] = [Self::MarketoLeadActivity, Self::AdobeIo];

    /// The name that configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MarketoLeadActivity => "marketo-lead-activity",
            Self::AdobeIo => "adobe-io",
        }
    }
}

/// The header that marks a delivery that no sender pushed; stored with it.
pub const ORIGIN_HEADER: &str = "millrace-origin";
/// Its value for deliveries of `millrace backfill`.
pub const JOURNAL_ORIGIN: &str = "journal";

/// The way in which a delivery came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A sender pushed it.
    #[default]
    Sender,
    /// `millrace backfill` found it in Adobe's journal.
    Journal,
}

impl Origin {
    /// Reads the origin from the stored headers.
    pub fn of(headers: &[(String, String)]) -> Self {
        let is_journal =
            |(name, value): &(String, String)| name == ORIGIN_HEADER && value == JOURNAL_ORIGIN;
        if headers.iter().any(is_journal) { Self::Journal } else { Self::Sender }
    }

    /// Returns the value of [`ORIGIN_HEADER`], if there is to be one.
    pub fn as_header(self) -> Option<&'static str> {
        match self {
            Self::Sender => None,
            Self::Journal => Some(JOURNAL_ORIGIN),
        }
    }
}
