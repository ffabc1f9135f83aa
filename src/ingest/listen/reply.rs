//! The one table that turns outcomes into answers.
//!
//! Its rule comes from the senders: for Adobe I/O a 4xx is final, the event is lost to the webhook; for Marketo
//! it is a failed try, which counts towards a paused subscription. So everything that may be our own doing or
//! may pass is 503 with `Retry-After`, a limit that a body exceeds and a source that a rollout has
//! not brought yet among them. 401 is for bad credentials; 404 and 405 are for requests that no
//! sender makes; 400 is for requests to our own token endpoint, as RFC 6749 has it.
//!
//! A row has a comment (the column "what was wrong" of `src/ANSWERS.md`), a name, and its answer: seconds
//! for `Retry-After` or a status, the word for metrics and logs, the level of the line in the log, and the
//! answer's text. Everything else derives from the rows; tests hold `src/ANSWERS.md` against them, and the
//! dashboard and the alerts.

use std::borrow::Cow;

use tracing::Level;

use crate::ingest::authenticate::reason::{self, Why};

mod row;
mod written;

use self::row::{ALLOWED_METHODS, BASIC_CHALLENGE, INVALID_TOKEN, later, ok, outcomes, refuse};
pub use self::row::{Row, Scope};

outcomes! {
    Source:

    /// Nothing: the delivery is synced to the disk
    Stored => ok("stored", "stored");

    /// Nothing: a GET, HEAD or OPTIONS asked whether the source is there
    Probe => ok("probe", "this source is configured");

    /// Nothing: Adobe I/O asked with a GET whether it may send, and got its value back
    Challenge { value: String } => ok("challenge", "");

    /// Nothing: Adobe I/O wants an address opened within 5 minutes; it is in the log, or opened where
    /// `validation_url = "open"`
    Validation => ok("validation", "to be opened");

    /// So many validation URLs come at the same time that this one was neither logged nor opened
    ValidationLater => later(10, "validation-later", Level::WARN, "too many validation URLs")
        .question("Adobe I/O asks again");

    /// No signature is good, no token known
    BadCredentials { challenge: &'static str, why: Why } =>
        refuse(401, "bad-credentials", Level::WARN, "bad credentials")
        .key("sources.<name>.auth")
        .note("a sender that is ours has the wrong token, or something on the way changed the body");

    /// A bearer token is not valid: expired, of another issuer, audience or client, or its signature is
    /// wrong; the log says which
    BadToken { why: Why } => refuse(401, "bad-token", Level::WARN, "bad token")
        .key("sources.<name>.auth.oauth")
        .header(INVALID_TOKEN)
        .note("but Adobe I/O signs and sends no tokens, and Marketo gets itself a new one");

    /// A key is not available now, or its path is not one that keys are fetched from; an identity
    /// provider gives no answer; or too many unknown keys or tokens come at the same time, and this one
    /// was not checked
    Undecided { why: Why } =>
        later(30, "undecided", Level::WARN, "credentials cannot be checked now")
        .key("sources.<name>.auth");

    /// Adobe I/O's signature is good, but an event names none of our `client_ids`, or another recipient
    /// beside them, however deep: the list is wrong, or another customer pointed a registration here
    ForeignRecipient { why: Why } =>
        later(300, "foreign-recipient", Level::ERROR, "meant for somebody else")
        .key("sources.<name>.auth.client_ids");

    /// Adobe I/O's signature is good, but its recipient cannot be read: the body is no JSON (also nested
    /// too deep, or not UTF-8), or not in the coding that `Content-Encoding` names. A signature covers no
    /// header, and each customer of Adobe's can have bodies signed, so it is not known to be ours.
    RecipientUnreadable { why: Why } =>
        later(300, "recipient-unreadable", Level::ERROR,
              "the recipient cannot be read, so the delivery was not stored");

    /// The undelivered bytes have reached a limit, or the disk has no space, or the process no more files
    /// or memory
    SpoolFull { key: String } => later(30, "spool-full", Level::ERROR, "the spool is full");

    /// The disk took longer than `listen.request_timeout`
    SpoolSlow => later(10, "spool-slow", Level::WARN, "the spool took too long")
        .key("listen.request_timeout")
        .note("often ours as well, and then it comes twice");

    /// Larger than a frame of the spool
    SpoolTooLarge => later(300, "spool-too-large", Level::ERROR, "larger than a delivery may be")
        .key("listen.body_limit_inflated")
        .note("until a limit is raised");

    /// A sync failed, and nothing is acknowledged before a restart
    Poisoned => later(30, "poisoned", Level::ERROR, "the spool needs a restart")
        .key("spool.directory");

    /// The files of this one source cannot be used, and need an operator; the other sources go on
    SetAside => later(60, "set-aside", Level::ERROR, "this source needs an operator")
        .key("spool.directory")
        .note("until an operator has repaired the source");

    /// The process is stopping
    Closing => later(5, "closing", Level::INFO, "shutting down").and_close();

    /// The body exceeds `listen.body_limit`
    BodyTooLarge => later(300, "body-too-large", Level::ERROR, "the body exceeds the limit")
        .key("listen.body_limit")
        .note("until the limit is raised")
        .and_close();

    /// The body exceeds `listen.body_limit_inflated` without its compression
    InflatedTooLarge =>
        later(300, "inflated-too-large", Level::ERROR, "the inflated body is too large")
        .key("listen.body_limit_inflated")
        .note("until the limit is raised");

    /// The body took longer than `listen.request_timeout`
    BodyTimeout => later(10, "body-timeout", Level::WARN, "the body took too long")
        .key("listen.request_timeout")
        .and_close();

    /// The body ended early (mostly a sender that hung up), or its framing is wrong
    BodyBroken => later(5, "body-broken", Level::INFO, "the body could not be read").and_close();

    /// More bodies at the same time than `listen.body_budget` has room for, or a slow one gave way
    /// ([`SHARES.md`](SHARES.md))
    OverBudget => later(5, "over-budget", Level::WARN, "too many bodies at the same time")
        .key("listen.body_budget")
        .and_close();

    /// The sender hung up before there was an answer, so no status is sent
    ClientGone => later(5, "client-gone", Level::INFO, "hung up")
        .note("perhaps ours as well, and then it comes twice")
        .and_close();

    /// A panic: a mistake of this program
    Internal => later(30, "internal", Level::ERROR, "an internal mistake").and_close();

    NoSource:

    /// No source has this name: the URL at the sender is wrong (it ends in `/v1/` and the name of a source), or a
    /// rollout has not brought the source yet
    UnknownSource => later(60, "unknown-source", Level::WARN, "no such source yet")
        .and_close();

    /// A path that is not `/v1/` and the name of a source
    NotFound => refuse(404, "not-found", Level::DEBUG, "not found")
        .note("the sender has a wrong URL");

    /// A method that no sender uses
    MethodNotAllowed => refuse(405, "method-not-allowed", Level::DEBUG, "method not allowed")
        .header(ALLOWED_METHODS)
        .note("no sender does this");

    TokenEndpoint:

    /// Nothing: a client of `oauth.clients` got a token at `/oauth/token`
    TokenIssued => ok("token-issued", "token issued");

    /// Id or secret of no client, at `/oauth/token`
    UnknownClient => refuse(401, "unknown-client", Level::WARN, "invalid_client")
        .key("oauth.clients")
        .header(BASIC_CHALLENGE);

    /// No request for a token as RFC 6749 has it, at `/oauth/token`
    BadTokenRequest { error: &'static str } =>
        refuse(400, "bad-token-request", Level::WARN, "");

    Health:

    /// Nothing: a GET or HEAD of `/` asked whether deliveries can be stored, and they can
    Ready => ok("ready", "ready");

    /// Deliveries cannot be stored now; `/readyz` of the admin address says why
    NotReady => later(5, "not-ready", Level::DEBUG, "not ready").question("");

    Connection:

    /// More connections than `listen.connections`, and no delivery on this one has passed every check
    /// ([`SHARES.md`](SHARES.md))
    TooManyConnections =>
        later(10, "too-many-connections", Level::WARN, "too many connections")
        .key("listen.connections")
        .and_close();

    /// The head of the request took longer than `listen.header_timeout`
    HeadTimeout => later(10, "head-timeout", Level::WARN, "the head of the request took too long")
        .key("listen.header_timeout")
        .and_close();

    /// The head of the request exceeds `listen.header_limit`, or has more headers than that allows
    HeadTooLarge =>
        later(300, "head-too-large", Level::WARN, "the head of the request is too large")
        .key("listen.header_limit")
        .and_close();

    /// Not HTTP, or HTTP whose meaning is in doubt: two lengths, two hosts, a transfer coding other than
    /// `chunked`
    Unreadable => later(60, "unreadable", Level::WARN, "not a request that can be read")
        .and_close();

    /// Plain HTTP, where TLS is due (`listen.tls`)
    PlainHttp => later(60, "plain-http", Level::WARN, "this address takes HTTPS alone")
        .key("listen.tls")
        .note("until its address is `https`")
        .and_close();

    /// No TLS connection: no version or cipher in common, or the sender refused it; no status is sent
    Handshake => later(60, "tls-handshake", Level::WARN, "no TLS connection").and_close();

    /// A client certificate of another authority, or expired, or not valid yet; no status is sent
    ClientCertificate =>
        later(60, "client-certificate", Level::WARN, "client certificate not accepted")
        .key("listen.tls.client_ca_file")
        .and_close();
}

/// Returns the labels of the outcomes that `scope` can have: metrics show them from the start.
pub fn labels(scope: Scope) -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(move |row| row.scope == scope).map(|row| row.label)
}

/// Returns the words of the reasons for which `scope` can refuse: metrics show them from the start.
pub fn reasons(scope: Scope) -> impl Iterator<Item = &'static str> {
    let rows = TABLE.iter().filter(move |row| row.scope == scope && row.is_refusal());
    rows.flat_map(|row| {
        let mut own = reason::TABLE.iter().filter(|it| it.outcome == row.label).peekable();
        let label = own.peek().is_none().then_some(row.label);
        own.map(|reason| reason.word).chain(label)
    })
}

/// Values of a single case, beside its row.
impl Outcome {
    /// Returns a detail for the log. No secret.
    pub fn detail(&self) -> &str {
        self.why().map_or("", |why| &why.detail)
    }

    fn why(&self) -> Option<&Why> {
        match self {
            Self::BadCredentials { why, .. }
            | Self::BadToken { why }
            | Self::Undecided { why }
            | Self::ForeignRecipient { why }
            | Self::RecipientUnreadable { why } => Some(why),
            _ => None,
        }
    }

    /// Returns the reason for which it was refused, a word of [`reasons`]; `None` where it was not.
    pub fn reason(&self) -> Option<&'static str> {
        let row = self.row();
        let word = self.why().map_or(row.label, |why| why.reason.row().word);
        row.is_refusal().then_some(word)
    }

    /// Returns the configuration key that would change it.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::SpoolFull { key } => Some(key),
            _ => self.why().map(|why| why.key).or(self.row().key),
        }
    }

    /// Returns the answer's body: one line, which any stranger may read.
    pub fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Challenge { value } => value.clone().into(),
            Self::BadTokenRequest { error } => (*error).into(),
            _ => self.row().text.into(),
        }
    }

    /// Returns whether the sender counts it as a delivery that was accepted, or as one that failed; `None` where there
    /// was no delivery.
    pub fn as_a_try(&self) -> Option<bool> {
        let row = self.row();
        match self {
            Self::Stored => Some(true),
            _ if row.scope != Scope::Source || row.is_question => None,
            _ => Some(false),
        }
    }
}

#[cfg(test)]
mod tests;
