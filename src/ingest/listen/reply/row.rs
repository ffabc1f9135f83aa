//! The rows of the table, and the macro that makes [`Outcome`](super::Outcome) of them.

use http::StatusCode;
use tracing::Level;

/// The error code of RFC 6750; the answer says no more.
pub(super) const INVALID_TOKEN: (&str, &str) =
    ("www-authenticate", "Bearer realm=\"millrace\", error=\"invalid_token\"");

pub(super) const BASIC_CHALLENGE: (&str, &str) = ("www-authenticate", "Basic realm=\"millrace\"");

pub(super) const ALLOWED_METHODS: (&str, &str) = ("allow", "GET, HEAD, OPTIONS, POST");

/// Where an event of Adobe I/O's is after a 4xx, which is final.
const LOST_TO_WEBHOOK: &str = "lost to the webhook";

/// The requests and connections that an outcome is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A request to a configured source.
    Source,
    /// A request to anything else.
    NoSource,
    /// A request to our own token endpoint.
    TokenEndpoint,
    /// A health check by a load balancer: no metric counts it, and no log line reports it.
    Health,
    /// A connection, before a request was read.
    Connection,
}

/// The fixed part of an outcome: the same for each of its cases.
#[derive(Debug)]
pub struct Row {
    /// Its word in metrics and logs.
    pub label: &'static str,
    pub scope: Scope,
    /// The column "what was wrong" of `src/ANSWERS.md`.
    pub wrong: &'static str,
    pub status: StatusCode,
    /// Seconds, for `Retry-After`.
    pub retry_after: Option<u32>,
    /// A further header of the answer.
    pub header: Option<(&'static str, &'static str)>,
    /// Whether an HTTP/1 connection ends with this answer.
    pub close: bool,
    /// Level of its line in the log.
    pub level: Level,
    /// The configuration key that would change it. `<name>` is the source's.
    pub key: Option<&'static str>,
    pub text: &'static str,
    /// Whether the request carried no delivery, so that none failed.
    pub is_question: bool,
    /// A remark about where the event is then, for `src/ANSWERS.md`.
    pub note: &'static str,
}

/// Makes a row with status 200.
pub(super) const fn ok(label: &'static str, text: &'static str) -> Row {
    Row { is_question: true, ..new(StatusCode::OK, label, Level::DEBUG, text) }
}

/// Makes a row with a final 4xx. The connection ends with it: a stranger must not keep one.
pub(super) const fn refuse(
    status: u16,
    label: &'static str,
    level: Level,
    text: &'static str,
) -> Row {
    let Ok(status) = StatusCode::from_u16(status) else { panic!("no status") };
    new(status, label, level, text).and_close()
}

/// Makes a row with 503 and `Retry-After`: the cause is ours or passes, and the sender tries again.
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
    /// Returns whether something was refused.
    pub fn is_refusal(&self) -> bool {
        self.status != StatusCode::OK
    }

    /// Returns what Adobe I/O does next: it tries again after 429 and 5xx other than 505, and after no answer.
    pub fn adobe(&self) -> &'static str {
        match self.status.as_u16() {
            _ if matches!(self.scope, Scope::TokenEndpoint | Scope::Health) => "does not ask",
            200..=299 => "is done",
            429 | 500..=504 | 506..=599 => "again",
            _ => "gives up",
        }
    }

    /// Returns what Marketo does next: only 200 is known to count as accepted.
    pub fn marketo(&self) -> &'static str {
        match self.status {
            _ if self.scope == Scope::Health => "does not ask",
            StatusCode::OK => "is done",
            _ => "again",
        }
    }

    /// Returns where an event of Adobe I/O's is then.
    pub fn event_of_adobe(&self) -> &'static str {
        match self.status.as_u16() {
            _ if self.label == "stored" => "ours",
            _ if self.is_question || self.scope == Scope::TokenEndpoint => "none",
            400..=499 => LOST_TO_WEBHOOK,
            _ => "the sender's",
        }
    }

    /// Returns where an event of Marketo's is then: after any refusal Marketo's queue has it for as long as it tries.
    pub fn event_of_marketo(&self) -> &'static str {
        match self.event_of_adobe() {
            LOST_TO_WEBHOOK => "the sender's",
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

    /// Marks a request that carried no delivery.
    pub(super) const fn question(self, note: &'static str) -> Self {
        Self { is_question: true, note, ..self }
    }

    pub(super) const fn about(self, scope: Scope, wrong: &'static str) -> Self {
        Self { scope, wrong: wrong.trim_ascii(), ..self }
    }
}

/// Makes the enum, its rows and their list of entries `Scope:`, `/// what was wrong`, `Name => row;`.
macro_rules! outcomes {
    ($($scope:ident: $(
        $(#[doc = $wrong:literal])+
        $name:ident $({ $($field:ident: $kind:ty),+ })? => $row:expr;
    )+)+) => {
        /// Outcome of a request or of a connection; the comments say what was wrong.
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
