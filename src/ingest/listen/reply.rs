//! The one table that turns outcomes into answers.
//!
//! Its rule comes from the senders (Adobe I/O and Marketo): a 4xx is final, the event is lost to the
//! webhook, and it counts towards a paused subscription. So everything that may be our own doing or
//! may pass is 503 with `Retry-After`, a limit that a body exceeds and a source that a rollout has
//! not brought yet among them. 401 is for bad credentials; 404 and 405 are for requests that no
//! sender makes; 400 is for requests to our own token endpoint, as RFC 6749 has it.

use http::header;
use tracing::Level;

pub mod labels;
mod row;

pub use row::Reply;

/// RFC 6750 has a word for it, and nothing more is told.
const INVALID_TOKEN: &str = "Bearer realm=\"millrace\", error=\"invalid_token\"";

/// What became of a request or of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Durable: the only outcome that takes responsibility from the sender.
    Stored,
    /// A source was asked whether it is there.
    Probe,
    /// Adobe I/O asked whether somebody is there who knows how to answer: with this value.
    Challenge {
        value: String,
    },
    /// Adobe I/O asked to have an address opened.
    Validation,
    /// The same, among so many others that it was neither logged nor opened.
    ValidationLater,
    /// `challenge` is the scheme that the source accepts, for `WWW-Authenticate`.
    BadCredentials {
        challenge: &'static str,
    },
    /// A bearer token is no good. What is wrong with it is for the log.
    BadToken {
        reason: String,
    },
    /// Whether the credentials are good can't be told now.
    Undecided {
        reason: String,
    },
    /// A client of our own token endpoint got its token.
    TokenIssued,
    /// Nobody whom our own token endpoint knows.
    UnknownClient,
    /// `error` is RFC 6749's word for what is wrong with a request for a token.
    BadTokenRequest {
        error: &'static str,
    },
    /// Adobe I/O sent it, and for somebody else. Our own client id may be wrong.
    ForeignRecipient {
        reason: String,
    },
    /// Adobe I/O sent it, and for whom can't be read.
    RecipientUnreadable {
        reason: String,
    },
    /// `key` is the limit that was reached, as configuration calls it.
    SpoolFull {
        key: String,
    },
    /// The append took longer than the request may. It goes on: a repeat, never a loss.
    SpoolSlow,
    /// Larger than a frame of the spool may be.
    SpoolTooLarge,
    /// A sync failed; nothing is acknowledged until the process starts anew.
    Poisoned,
    /// The files of this one source need an operator.
    SetAside,
    Closing,
    BodyTooLarge,
    InflatedTooLarge,
    BodyTimeout,
    /// The body ended before its end or its framing was wrong; mostly a sender that hung up.
    BodyBroken,
    OverBudget,
    UnknownSource,
    NotFound,
    MethodNotAllowed,
    TooManyConnections,
    HeadTimeout,
    HeadTooLarge,
    /// Not HTTP, or HTTP whose meaning is in doubt (two lengths).
    Unreadable,
    /// HTTP without the TLS that is due here.
    PlainHttp,
    /// No TLS connection came to be: no version or cipher in common, or the peer said no.
    Handshake,
    /// The client's certificate is not from the configured authority, or not valid now.
    ClientCertificate,
    /// Hung up before there was an answer. Nobody sees this one's status.
    ClientGone,
    /// A panic: our own mistake.
    Internal,
}

impl Outcome {
    /// More for the log, of a single case. No secret.
    pub fn detail(&self) -> &str {
        match self {
            Self::BadToken { reason }
            | Self::Undecided { reason }
            | Self::ForeignRecipient { reason }
            | Self::RecipientUnreadable { reason } => reason,
            _ => "",
        }
    }

    pub fn reply(&self) -> Reply {
        use Level as L;
        match self {
            Self::Stored => Reply::ok("stored", "stored"),
            Self::Probe => Reply::ok("probe", "ready"),
            Self::Challenge { value } => {
                Reply { text: value.clone().into(), ..Reply::ok("challenge", "") }
            }
            Self::Validation => Reply::ok("validation", "to be opened"),
            Self::ValidationLater => {
                Reply::later(10, "validation-later", L::WARN, "too many validation URLs")
            }
            Self::BadCredentials { challenge } => Reply {
                header: Some((header::WWW_AUTHENTICATE, challenge)),
                ..Reply::refuse(401, "bad-credentials", L::WARN, "bad credentials")
                    .key("sources.<name>.auth")
            },
            Self::BadToken { .. } => Reply {
                header: Some((header::WWW_AUTHENTICATE, INVALID_TOKEN)),
                ..Reply::refuse(401, "bad-token", L::WARN, "bad token")
                    .key("sources.<name>.auth.oauth")
            },
            Self::Undecided { .. } => {
                Reply::later(30, "undecided", L::WARN, "credentials can't be checked now")
                    .key("sources.<name>.auth")
            }
            Self::TokenIssued => Reply::ok("token-issued", "token issued"),
            Self::UnknownClient => Reply {
                header: Some((header::WWW_AUTHENTICATE, "Basic realm=\"millrace\"")),
                ..Reply::refuse(401, "unknown-client", L::WARN, "invalid_client")
                    .key("oauth.clients")
            },
            Self::BadTokenRequest { error } => {
                Reply::refuse(400, "bad-token-request", L::WARN, error)
            }
            Self::ForeignRecipient { .. } => {
                Reply::later(300, "foreign-recipient", L::ERROR, "meant for somebody else")
                    .key("sources.<name>.auth.client_ids")
            }
            Self::RecipientUnreadable { .. } => Reply::later(
                300,
                "recipient-unreadable",
                L::ERROR,
                "the recipient can't be read, so the delivery was not stored",
            ),
            Self::SpoolFull { key } => {
                Reply::later(30, "spool-full", L::ERROR, "the spool is full").key(key.clone())
            }
            Self::SpoolSlow => Reply::later(10, "spool-slow", L::WARN, "the spool took too long")
                .key("listen.request_timeout"),
            Self::SpoolTooLarge => {
                Reply::later(300, "spool-too-large", L::ERROR, "larger than a delivery may be")
                    .key("listen.body_limit_inflated")
            }
            Self::Poisoned => Reply::later(30, "poisoned", L::ERROR, "the spool needs a restart")
                .key("spool.directory"),
            Self::SetAside => {
                Reply::later(60, "set-aside", L::ERROR, "this source needs an operator")
                    .key("spool.directory")
            }
            Self::Closing => Reply::later(5, "closing", L::INFO, "shutting down").and_close(),
            Self::BodyTooLarge => {
                Reply::later(300, "body-too-large", L::ERROR, "the body exceeds the limit")
                    .key("listen.body_limit")
                    .and_close()
            }
            Self::InflatedTooLarge => {
                Reply::later(300, "inflated-too-large", L::ERROR, "the inflated body is too large")
                    .key("listen.body_limit_inflated")
            }
            Self::BodyTimeout => {
                Reply::later(10, "body-timeout", L::WARN, "the body took too long")
                    .key("listen.request_timeout")
                    .and_close()
            }
            Self::BodyBroken => {
                Reply::later(5, "body-broken", L::INFO, "the body could not be read").and_close()
            }
            Self::OverBudget => {
                Reply::later(5, "over-budget", L::WARN, "too many bodies at the same time")
                    .key("listen.body_budget")
                    .and_close()
            }
            Self::UnknownSource => {
                Reply::later(60, "unknown-source", L::WARN, "no such source yet")
                    .key("sources.<name>.kind")
                    .and_close()
            }
            Self::NotFound => Reply::refuse(404, "not-found", L::DEBUG, "not found"),
            Self::MethodNotAllowed => Reply {
                header: Some((header::ALLOW, "GET, HEAD, OPTIONS, POST")),
                ..Reply::refuse(405, "method-not-allowed", L::DEBUG, "method not allowed")
            },
            Self::TooManyConnections => {
                Reply::later(10, "too-many-connections", L::WARN, "too many connections")
                    .key("listen.connections")
                    .and_close()
            }
            Self::HeadTimeout => {
                Reply::later(10, "head-timeout", L::WARN, "the head of the request took too long")
                    .key("listen.header_timeout")
                    .and_close()
            }
            Self::HeadTooLarge => {
                Reply::later(300, "head-too-large", L::WARN, "the head of the request is too large")
                    .key("listen.header_limit")
                    .and_close()
            }
            Self::Unreadable => {
                Reply::later(60, "unreadable", L::WARN, "not a request that can be read")
                    .and_close()
            }
            Self::PlainHttp => {
                Reply::later(60, "plain-http", L::WARN, "this address takes HTTPS alone")
                    .key("listen.tls")
                    .and_close()
            }
            Self::Handshake => {
                Reply::later(60, "tls-handshake", L::WARN, "no TLS connection").and_close()
            }
            Self::ClientCertificate => Reply::later(
                60,
                "client-certificate",
                L::WARN,
                "the client's certificate is no good",
            )
            .key("listen.tls.client_ca_file")
            .and_close(),
            Self::ClientGone => Reply::later(5, "client-gone", L::INFO, "hung up").and_close(),
            Self::Internal => {
                Reply::later(30, "internal", L::ERROR, "an internal mistake").and_close()
            }
        }
    }
}

impl Outcome {
    /// Whether the sender counts it as a delivery that was accepted, or as one that failed; `None`
    /// where nothing was delivered.
    pub fn as_a_try(&self) -> Option<bool> {
        match self {
            Self::Stored => Some(true),
            Self::NotFound | Self::MethodNotAllowed | Self::ValidationLater => None,
            _ if self.reply().status.is_success() => None,
            _ => Some(false),
        }
    }
}

#[cfg(test)]
mod answers;

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn every_outcome() -> Vec<Outcome> {
        use Outcome::*;
        vec![
            Stored,
            Probe,
            Challenge { value: "8ec8d794".into() },
            Validation,
            ValidationLater,
            BadCredentials { challenge: "Bearer" },
            BadToken { reason: "expired".into() },
            Undecided { reason: "no key".into() },
            TokenIssued,
            UnknownClient,
            BadTokenRequest { error: "invalid_request" },
            ForeignRecipient { reason: "somebody".into() },
            RecipientUnreadable { reason: "not JSON".into() },
            SpoolFull { key: "spool.size_limit".into() },
            SpoolSlow,
            SpoolTooLarge,
            Poisoned,
            SetAside,
            Closing,
            BodyTooLarge,
            InflatedTooLarge,
            BodyTimeout,
            BodyBroken,
            OverBudget,
            UnknownSource,
            NotFound,
            MethodNotAllowed,
            TooManyConnections,
            HeadTimeout,
            HeadTooLarge,
            Unreadable,
            PlainHttp,
            Handshake,
            ClientCertificate,
            ClientGone,
            Internal,
        ]
    }

    #[test]
    fn what_may_pass_is_503_with_retry_after_and_only_four_statuses_are_4xx() {
        for outcome in every_outcome() {
            let reply = outcome.reply();
            let expected = match outcome {
                Outcome::Stored
                | Outcome::Probe
                | Outcome::Challenge { .. }
                | Outcome::Validation
                | Outcome::TokenIssued => 200,
                Outcome::BadTokenRequest { .. } => 400,
                Outcome::BadCredentials { .. } | Outcome::BadToken { .. } => 401,
                Outcome::UnknownClient => 401,
                Outcome::NotFound => 404,
                Outcome::MethodNotAllowed => 405,
                _ => 503,
            };
            assert_eq!(reply.status.as_u16(), expected, "{outcome:?}");
            assert_eq!(reply.retry_after.is_some(), expected == 503, "{outcome:?}");
        }
    }

    #[test]
    fn a_sender_counts_what_it_delivered_and_no_probe() {
        let tries = |accepted| {
            let is = move |outcome: &Outcome| outcome.as_a_try() == accepted;
            every_outcome().into_iter().filter(is).collect::<Vec<_>>()
        };
        assert_eq!(tries(Some(true)), [Outcome::Stored]);
        for question in [Outcome::Probe, Outcome::Validation, Outcome::NotFound] {
            assert!(tries(None).contains(&question), "{question:?}");
        }
        assert!(tries(Some(false)).contains(&Outcome::ClientGone), "it had no answer");
    }

    #[test]
    fn every_outcome_has_a_label_of_its_own() {
        let mut labels: Vec<_> = every_outcome().iter().map(|o| o.reply().label).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), every_outcome().len());
    }
}
