//! What a row of the table says, and the macro that makes [`Outcome`](super::Outcome) of all of them.

use http::StatusCode;
use tracing::Level;

/// RFC 6750 has a word for it, and no more is said.
pub(super) const INVALID_TOKEN: (&str, &str) =
    ("www-authenticate", "Bearer realm=\"millrace\", error=\"invalid_token\"");

pub(super) const BASIC: (&str, &str) = ("www-authenticate", "Basic realm=\"millrace\"");

pub(super) const METHODS: (&str, &str) = ("allow", "GET, HEAD, OPTIONS, POST");

/// For Adobe I/O a 4xx is final.
const LOST: &str = "lost to the webhook";

/// What has an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A request to a configured source.
    Source,
    /// A request to anything else.
    NoSource,
    /// A request to our own token endpoint.
    TokenEndpoint,
    /// A question of a load balancer about the whole service: no metric counts it, and no line tells of it.
    Health,
    /// A connection, before a request was read.
    Connection,
}

/// What is the same for each case of an outcome.
#[derive(Debug)]
pub struct Row {
    /// The word for it in metrics and logs.
    pub label: &'static str,
    pub scope: Scope,
    /// What was wrong, for `src/ANSWERS.md`.
    pub wrong: &'static str,
    pub status: StatusCode,
    /// Seconds, for `Retry-After`.
    pub retry_after: Option<u32>,
    /// One more header.
    pub header: Option<(&'static str, &'static str)>,
    /// Whether an HTTP/1 connection ends with this answer.
    pub close: bool,
    /// What an operator must do about it.
    pub level: Level,
    /// The configuration key that would change it. `<name>` is the source's.
    pub key: Option<&'static str>,
    pub text: &'static str,
    /// Whether there was no delivery, and so none that failed.
    pub is_question: bool,
    /// More about what becomes of the event, for `src/ANSWERS.md`.
    pub note: &'static str,
}

/// Accepted, or answered.
pub(super) const fn ok(label: &'static str, text: &'static str) -> Row {
    Row { is_question: true, ..new(StatusCode::OK, label, Level::DEBUG, text) }
}

/// A final no. The connection ends with it: a stranger shall not keep one.
pub(super) const fn refuse(
    status: u16,
    label: &'static str,
    level: Level,
    text: &'static str,
) -> Row {
    let Ok(status) = StatusCode::from_u16(status) else { panic!("no status") };
    new(status, label, level, text).and_close()
}

/// Ours, or passing: the sender comes again.
pub(super) const fn later(
    seconds: u32,
    label: &'static str,
    level: Level,
    text: &'static str,
) -> Row {
    Row { retry_after: Some(seconds), ..new(StatusCode::SERVICE_UNAVAILABLE, label, level, text) }
}

const fn new(status: StatusCode, label: &'static str, level: Level, text: &'static str) -> Row {
    Row {
        label,
        scope: Scope::Source,
        wrong: "",
        status,
        retry_after: None,
        header: None,
        close: false,
        level,
        key: None,
        text,
        is_question: false,
        note: "",
    }
}

impl Row {
    /// Whether something was refused.
    pub fn is_refusal(&self) -> bool {
        self.status != StatusCode::OK
    }

    /// What Adobe I/O does: it tries again after 429 and 5xx other than 505, and after no answer.
    pub fn adobe(&self) -> &'static str {
        match self.status.as_u16() {
            _ if matches!(self.scope, Scope::TokenEndpoint | Scope::Health) => "does not ask",
            200..=299 => "is done",
            429 | 500..=504 | 506..=599 => "again",
            _ => "gives up",
        }
    }

    /// What Marketo does: only 200 is known to be taken for a yes.
    pub fn marketo(&self) -> &'static str {
        match self.status {
            _ if self.scope == Scope::Health => "does not ask",
            StatusCode::OK => "is done",
            _ => "again",
        }
    }

    /// Where an event of Adobe I/O's is then.
    pub fn event_of_adobe(&self) -> &'static str {
        match self.status.as_u16() {
            _ if self.label == "stored" => "ours",
            _ if self.is_question || self.scope == Scope::TokenEndpoint => "none",
            400..=499 => LOST,
            _ => "the sender's",
        }
    }

    /// Where an event of Marketo's is then: whatever was answered, Marketo's queue has it for as long as it tries.
    pub fn event_of_marketo(&self) -> &'static str {
        match self.event_of_adobe() {
            LOST => "the sender's",
            other => other,
        }
    }

    pub(super) const fn key(self, key: &'static str) -> Self {
        Self { key: Some(key), ..self }
    }

    pub(super) const fn header(self, header: (&'static str, &'static str)) -> Self {
        Self { header: Some(header), ..self }
    }

    pub(super) const fn and_close(self) -> Self {
        Self { close: true, ..self }
    }

    pub(super) const fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    /// There was no delivery in it.
    pub(super) const fn question(self, note: &'static str) -> Self {
        Self { is_question: true, note, ..self }
    }

    pub(super) const fn about(self, scope: Scope, wrong: &'static str) -> Self {
        Self { scope, wrong: wrong.trim_ascii(), ..self }
    }
}

/// `Scope: /// what was wrong` `Name => row;` and so on: the enum, its rows, and a list of these.
macro_rules! outcomes {
    ($($scope:ident: $(
        $(#[doc = $wrong:literal])+
        $name:ident $({ $($field:ident: $kind:ty),+ })? => $row:expr;
    )+)+) => {
        /// What became of a request or of a connection; the comments say what was wrong.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Outcome {$($(
            $(#[doc = $wrong])+
            $name $({ $($field: $kind),+ })?,
        )+)+}

        impl Outcome {
            pub fn row(&self) -> &'static Row {
                match self {$($(
                    Self::$name { .. } => {
                        const { &$row.about(Scope::$scope, concat!($($wrong),+)) }
                    }
                )+)+}
            }
        }

        /// All rows.
        pub const TABLE: &[Row] = &[$($($row.about(Scope::$scope, concat!($($wrong),+)),)+)+];
    };
}

pub(super) use outcomes;
