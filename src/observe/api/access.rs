//! Access to the API: `Host`, `Origin`, tokens and sessions.
//!
//! - `Host` has to be an IP address, `localhost` or one of `admin.hosts`, on each request: a web page whose name an
//!   attacker lets point here (DNS rebinding) is no way in (`host.rs`). An `Origin`, where there is one, has to be the
//!   request's `Host`, or one of these names.
//! - Reading needs no token where the listener's own address is a loopback one, and a token elsewhere.
//! - Changing always needs a token. With a cookie it also needs an `Origin`.
//!
//! Tokens are compared in constant time. A right token passes however many wrong ones its address has sent: behind one
//! proxy all clients have one address, and a stranger there must not shut out the operators. So tokens have to be long
//! and random. The memory for addresses and sessions is bounded.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use http::{HeaderMap, Uri, header};
use parking_lot::Mutex;
use uuid::Uuid;

use super::{
    Problem,
    host::{Named, named_server},
    streams::Client,
};
use crate::{
    config::{Admin, Console, Secret},
    runtime::reload::Current,
};

/// How long a session lasts.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions at the same time; a further one ends the oldest.
const MAX_SESSIONS: usize = 64;

/// Wrong tokens of one address in a minute; beyond it the answer says to wait.
const MAX_ATTEMPTS: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// Addresses whose wrong tokens are counted.
const MAX_ADDRESSES: usize = 1024;

pub const SESSION_COOKIE: &str = "millrace-session";

pub struct Access {
    tokens: Current<Vec<Secret>>,
    /// The configuration key of the tokens.
    key: &'static str,
    hosts: Vec<String>,
    is_local: bool,
    pub bodies: bool,
    pub console: Console,
    /// End of each session, by the digest of its cookie's value.
    sessions: Mutex<HashMap<[u8; 32], Instant>>,
    attempts: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

/// Whether a request is signed in, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    pub signed_in: bool,
    by_cookie: bool,
}

impl Granted {
    pub(super) fn new(signed_in: bool, by_cookie: bool) -> Self {
        Self { signed_in, by_cookie }
    }

    pub fn is_by_cookie(self) -> bool {
        self.by_cookie
    }
}

impl Access {
    /// `address` is the address that the listener is bound to.
    pub fn new(admin: &Admin, address: SocketAddr) -> Self {
        Self {
            tokens: Current::new(admin.tokens.clone()),
            key: admin.tokens_key(),
            hosts: admin.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            is_local: address.ip().to_canonical().is_loopback(),
            bodies: admin.bodies,
            console: admin.console,
            sessions: Mutex::default(),
            attempts: Mutex::default(),
        }
    }

    /// The tokens, which are replaced when their file changes; the caller then ends all sessions.
    pub fn tokens(&self) -> &Current<Vec<Secret>> {
        &self.tokens
    }

    pub fn end_sessions(&self) {
        self.sessions.lock().clear();
    }

    pub fn needs_token(&self) -> bool {
        !self.is_local
    }

    pub fn has_tokens(&self) -> bool {
        !self.tokens.get().is_empty()
    }

    /// Refuses a request whose `Host` is not ours.
    pub fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        match named_server(uri, headers)? {
            Some(host) if self.is_ours(host) => Ok(()),
            _ => Err(Problem::new(
                "foreign-host",
                "The request's Host is no IP address, not localhost, and none of `admin.hosts`.",
            )),
        }
    }

    fn is_ours(&self, authority: &str) -> bool {
        let Some(Named { host, address }) = Named::parse(authority) else { return false };
        let is =
            |name: &String| name.eq_ignore_ascii_case(host) || name.eq_ignore_ascii_case(authority);
        address.is_some() || host.eq_ignore_ascii_case("localhost") || self.hosts.iter().any(is)
    }

    /// Refuses a request for another server, or from a page of another origin.
    pub fn check_place(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        self.check_host(uri, headers)?;
        self.check_origin(uri, headers, false)
    }

    /// Returns the client whose streams this request counts with. Call it only after [`Self::who`] has let the request
    /// in.
    pub(super) fn client(&self, headers: &HeaderMap, address: IpAddr) -> Client {
        let by_token = headers.get(header::AUTHORIZATION).map(|value| digested(value.as_bytes()));
        let by_cookie = || cookie(headers).filter(|value| self.is_session(value));
        let by = by_token.or_else(|| by_cookie().map(|value| digested(value.as_bytes())));
        Client::new(address, by)
    }

    /// Returns whether the request is signed in. A wrong token is refused, also where none is needed.
    pub fn who(&self, headers: &HeaderMap, client: IpAddr) -> Result<Granted, Problem> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let token = value.as_bytes().split_at_checked("bearer ".len());
            let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
            let token = token.map_or(&b""[..], |(_, token)| token.trim_ascii());
            self.check_token(token, client)?;
            return Ok(Granted { signed_in: true, by_cookie: false });
        }
        let signed_in = cookie(headers).is_some_and(|value| self.is_session(value));
        Ok(Granted { signed_in, by_cookie: signed_in })
    }

    /// Refuses `token` if it is none of ours.
    pub fn check_token(&self, token: &[u8], client: IpAddr) -> Result<(), Problem> {
        // No short cut: the time must not depend on which token fits.
        let fits = |any, ours: &Secret| any | ours.matches(token);
        if self.tokens.get().iter().fold(false, fits) {
            return Ok(());
        }
        let now = Instant::now();
        let mut attempts = self.attempts.lock();
        let is_over = |(since, _): &(Instant, u32)| now.duration_since(*since) >= MINUTE;
        if attempts.get(&client).is_some_and(|it| !is_over(it) && it.1 >= MAX_ATTEMPTS) {
            return Err(Problem::new("too-many-attempts", "Too many wrong tokens: wait a minute."));
        }
        if attempts.len() >= MAX_ADDRESSES {
            attempts.retain(|_, it| !is_over(it));
            if attempts.len() >= MAX_ADDRESSES {
                attempts.clear();
            }
        }
        let attempt = attempts.entry(client).or_insert((now, 0));
        if is_over(attempt) {
            *attempt = (now, 0);
        }
        attempt.1 += 1;
        Err(Problem::new("wrong-token", format!("The token is none of `{}`.", self.key)))
    }

    pub fn check_read(&self, granted: Granted) -> Result<(), Problem> {
        match granted.signed_in || self.is_local {
            true => Ok(()),
            false => Err(Problem::new("no-token", self.asks_for("Reading", " here"))),
        }
    }

    pub fn check_change(
        &self,
        granted: Granted,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        self.check_origin(uri, headers, granted.by_cookie)?;
        match granted.signed_in {
            true => Ok(()),
            false => Err(Problem::new("no-token", self.asks_for("Changing", ""))),
        }
    }

    fn asks_for(&self, what: &str, place: &str) -> String {
        let key = self.key;
        format!(
            "{what} needs a token of `{key}`{place}: send it in the header (`Authorization: Bearer <token>`; in the \
             address it is not looked at), or sign in."
        )
    }

    /// Refuses an `Origin` that is neither the server named by the request nor one of `admin.hosts`, and where `is_due`
    /// a request without one.
    pub fn check_origin(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        is_due: bool,
    ) -> Result<(), Problem> {
        let foreign =
            || Problem::new("foreign-origin", "The request comes from a page of another origin.");
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else {
            let text = "The request has no `Origin` header, which each browser sends with a form. A program needs \
                        no session: it sends `Authorization: Bearer <token>` with each request.";
            return if is_due { Err(Problem::new("foreign-origin", text)) } else { Ok(()) };
        };
        if origins.next().is_some() {
            return Err(foreign());
        }
        let origin =
            origin.to_str().ok().and_then(|it| it.split_once("://")).ok_or_else(foreign)?;
        let is_http = matches!(origin.0, "http" | "https");
        let host = named_server(uri, headers)?;
        let is_same = host.is_some_and(|host| host.eq_ignore_ascii_case(origin.1));
        let is_configured = self.hosts.iter().any(|it| it.eq_ignore_ascii_case(origin.1));
        if is_http && (is_same || is_configured) { Ok(()) } else { Err(foreign()) }
    }

    /// Begins a session, and returns its header `set-cookie`.
    pub fn begin_session(&self) -> String {
        let value = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let now = Instant::now();
        let mut sessions = self.sessions.lock();
        sessions.retain(|_, until| *until > now);
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key);
            oldest.and_then(|key| sessions.remove(&key));
        }
        sessions.insert(digested(value.as_bytes()), now + SESSION_LIFETIME);
        let seconds = SESSION_LIFETIME.as_secs();
        format!("{SESSION_COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}")
    }

    pub fn end_session(&self, headers: &HeaderMap) -> String {
        if let Some(value) = cookie(headers) {
            self.sessions.lock().remove(&digested(value.as_bytes()));
        }
        format!("{SESSION_COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
    }

    fn is_session(&self, value: &str) -> bool {
        let until = self.sessions.lock().get(&digested(value.as_bytes())).copied();
        until.is_some_and(|until| until > Instant::now())
    }
}

fn digested(value: &[u8]) -> [u8; 32] {
    let digest = digest(&SHA256, value);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs =
        lines.flat_map(|line| line.split(';')).filter_map(|it| it.trim().split_once('='));
    pairs.find(|(name, _)| *name == SESSION_COOKIE).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "an-admin-token";

    fn access(address: &str) -> Access {
        let admin = Admin {
            tokens: vec![Secret::new(TOKEN).unwrap()],
            hosts: vec!["millrace.internal".into()],
            ..Admin::default()
        };
        Access::new(&admin, address.parse().unwrap())
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn client() -> IpAddr {
        "192.0.2.1".parse().unwrap()
    }

    #[test]
    fn only_addresses_localhost_and_configured_names_are_hosts() {
        let access = access("127.0.0.1:9090");
        let is_ours = |host| access.check_host(&Uri::from_static("/"), &headers(&[("host", host)]));
        for ours in
            ["127.0.0.1:9090", "localhost:9090", "[::1]:9090", "10.0.0.7", "Millrace.internal"]
        {
            assert!(is_ours(ours).is_ok(), "{ours}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:9090",
            "[::1]evil.example",
            "evil.example@127.0.0.1",
            "localhost@evil.example",
        ] {
            assert_eq!(is_ours(foreign).unwrap_err().error, "foreign-host", "{foreign}");
        }
        assert!(access.check_host(&Uri::from_static("/"), &HeaderMap::new()).is_err());
    }

    #[test]
    fn reading_is_free_on_loopback_alone_and_changing_nowhere() {
        let unknown = Granted { signed_in: false, by_cookie: false };
        let local = access("127.0.0.1:9090");
        let public = access("0.0.0.0:9090");
        assert!(local.check_read(unknown).is_ok());
        assert!(public.check_read(unknown).is_err());
        for access in [local, public] {
            let uri = Uri::from_static("/");
            assert!(access.check_change(unknown, &uri, &HeaderMap::new()).is_err());
            let bearer = headers(&[("authorization", "Bearer an-admin-token")]);
            let granted = access.who(&bearer, client()).unwrap();
            assert!(access.check_read(granted).is_ok());
            assert!(access.check_change(granted, &uri, &bearer).is_ok());
        }
    }

    #[test]
    fn a_session_changes_nothing_from_another_origin_or_from_none() {
        let access = access("127.0.0.1:9090");
        let cookie = access.begin_session();
        let cookie = cookie.split(';').next().unwrap();
        let change = |origin: Option<&str>| {
            let mut all = headers(&[("host", "localhost:9090"), ("cookie", cookie)]);
            if let Some(origin) = origin {
                all.insert("origin", origin.parse().unwrap());
            }
            let granted = access.who(&all, client()).unwrap();
            assert!(granted.signed_in);
            access.check_change(granted, &Uri::from_static("/"), &all)
        };
        assert!(change(Some("http://localhost:9090")).is_ok());
        assert!(change(Some("https://millrace.internal")).is_ok());
        for foreign in ["http://localhost:9091", "http://evil.example", "null", "file://x"] {
            assert!(change(Some(foreign)).is_err(), "{foreign}");
        }
        let missing = change(None).unwrap_err();
        assert!(missing.text.contains("has no `Origin` header"), "{}", missing.text);
    }

    #[test]
    fn a_session_ends_when_it_is_ended_and_there_are_not_too_many() {
        let access = access("127.0.0.1:9090");
        let cookies: Vec<_> = (0..2 * MAX_SESSIONS).map(|_| access.begin_session()).collect();
        assert_eq!(access.sessions.lock().len(), MAX_SESSIONS);
        let last = headers(&[("cookie", cookies.last().unwrap().split(';').next().unwrap())]);
        assert!(access.who(&last, client()).unwrap().signed_in);
        access.end_session(&last);
        assert!(!access.who(&last, client()).unwrap().signed_in);
    }

    #[test]
    fn an_address_with_wrong_tokens_has_to_wait_and_a_right_token_still_passes() {
        let access = access("127.0.0.1:9090");
        for _ in 0..MAX_ATTEMPTS {
            assert_eq!(access.check_token(b"wrong", client()).unwrap_err().error, "wrong-token");
        }
        let late = access.check_token(b"wrong", client()).unwrap_err();
        assert_eq!(late.error, "too-many-attempts");
        assert!(access.check_token(TOKEN.as_bytes(), client()).is_ok(), "behind the same proxy");
        let other = |n: u32| IpAddr::from(std::net::Ipv4Addr::from(n));
        assert!(access.check_token(TOKEN.as_bytes(), other(1)).is_ok());
        for n in 0..3 * MAX_ADDRESSES as u32 {
            let _ = access.check_token(b"wrong", other(n));
        }
        assert!(access.attempts.lock().len() <= MAX_ADDRESSES);
    }
}
