//! TLS beneath the deliveries' HTTP, by rustls: 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN.
//!
//! - A handshake counts as the beginning of a first head: it has a slot from its first byte, has to be done within
//!   the head's timeout, and gives way as any stranger does.
//! - With `listen.tls.client_ca_file` clients are asked for a certificate. A client may have none (a source may
//!   have other ways in); a certificate that the authority did not issue, or that is not valid now, ends the
//!   handshake with an alert, which a sender takes for a failed connection, and tries again. The names in a good
//!   certificate go with every request of the connection.
//! - Certificate, key and authority are read again when their files change ([`Renewal`]).
//!   Open connections keep the ones that they began with.
//! - A client that speaks plain HTTP is answered in plain HTTP, with a 503 that says so.
//!
//! The cryptography is aws-lc's, named here and never taken from the process's default.

use std::{fmt, io, path::Path, sync::Arc, time::SystemTime};

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use self::{expiry::Reminder, material::Material};
use super::{
    accept::Rules,
    activity::{Activity, Overdue},
    reply::Outcome,
};
use crate::{
    config,
    ingest::authenticate::certificate::Presented,
    observe::metrics::Metrics,
    runtime::{reload::Current, shutdown::Shutdown},
};

mod expiry;
mod material;
mod renewal;

pub use material::TlsError;
pub use renewal::Renewal;

/// The certificate and settings of handshakes; clones share them.
#[derive(Clone)]
pub struct Tls {
    current: Current<Arc<ServerConfig>>,
}

/// Reason for which a connection ended before its first request.
pub(super) enum Unwelcome {
    /// The client speaks no TLS; nothing was read from the stream.
    Plain(TcpStream),
    /// The handshake failed: the outcome to report, and a detail for the log.
    Failed(Outcome, String),
    /// The client hung up before the handshake, or the service closes.
    Gone,
}

impl Tls {
    /// Reads the files. Blocks for as long as the disk takes.
    pub fn open(files: &config::Tls, metrics: &Metrics) -> Result<(Self, Renewal), TlsError> {
        let Material { server, validity, digest } = Material::read(files)?;
        let current = Current::new(server);
        let expiry = Reminder::new(validity, metrics);
        let renewal = Renewal::new(files.clone(), current.clone(), digest, expiry);
        Ok((Self { current }, renewal))
    }

    /// Returns all mistakes in the files, for `check`: also those that only a sender would find.
    pub fn check(files: &config::Tls, now: SystemTime) -> Vec<TlsError> {
        material::mistakes(files, now)
    }

    /// Checks that the certificates in `path`, which `key` names, are valid at `now`.
    pub fn check_time(key: &'static str, path: &Path, now: SystemTime) -> Result<(), TlsError> {
        material::check_time(key, path, now)
    }

    /// Does the handshake, for at most as long as the first head may take.
    pub(super) async fn welcome(
        &self,
        stream: TcpStream,
        rules: &Rules,
        activity: &Activity,
        shutdown: &Shutdown,
    ) -> Result<(TlsStream<TcpStream>, Option<Presented>), Unwelcome> {
        tokio::select! {
            shaken = self.shake_hands(stream) => shaken,
            overdue = activity.overdue(rules.timeouts) => Err(match overdue {
                Overdue::Evicted => Unwelcome::Failed(Outcome::TooManyConnections, String::new()),
                Overdue::Head | Overdue::Idle => {
                    Unwelcome::Failed(Outcome::HeadTimeout, "in the TLS handshake".into())
                }
            }),
            () = shutdown.reached(rules.until) => Err(Unwelcome::Gone),
        }
    }

    async fn shake_hands(
        &self,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, Option<Presented>), Unwelcome> {
        // A TLS record never begins with a letter, and each method of plain HTTP does.
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first[0].is_ascii_alphabetic() => return Err(Unwelcome::Plain(stream)),
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(Unwelcome::Gone),
        }
        let stream = TlsAcceptor::from(self.current.get()).accept(stream).await.map_err(failed)?;
        let certificates = stream.get_ref().1.peer_certificates();
        let presented = certificates.and_then(<[_]>::first);
        let presented = presented.map(|certificate| Presented::in_certificate(certificate));
        Ok((stream, presented))
    }
}

fn failed(error: io::Error) -> Unwelcome {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error @ rustls::Error::InvalidCertificate(_)) => {
            Unwelcome::Failed(Outcome::ClientCertificate, error.to_string())
        }
        Some(error) => Unwelcome::Failed(Outcome::Handshake, error.to_string()),
        // Health checks of a load balancer connect and hang up all the time.
        None => Unwelcome::Gone,
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
