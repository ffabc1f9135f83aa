//! The only client for outgoing HTTP: keys, tokens, journals.
//!
//! A call always ends: within [`Limits::time`], with at most
//! [`Limits::bytes`] in memory. Redirects are never followed, since an answer is trusted for its address
//! alone. Certificates are checked against the system's (`SSL_CERT_FILE` and
//! `SSL_CERT_DIR` name others), and `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are heeded, as
//! platforms expect. Errors name scheme, host and path; a query may hold a secret and is never shown.

use std::{error::Error, fmt, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::{Method, Request, Url, redirect::Policy};

use super::readable;

/// Limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time from the look-up of the host's name to the last byte.
    pub time: Duration,
    /// Largest body of an answer.
    pub bytes: usize,
}

impl Limits {
    /// Limits for a key, a token or a document with a few of them.
    pub const SMALL: Self = Self { time: Duration::from_secs(4), bytes: 256 * 1024 };
}

/// An answer of any status, which the caller interprets.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The reason why there is no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{place} did not answer within {}", readable::length(*.limit))]
    Timeout { place: ShownUrl, limit: Duration },
    /// No connection, no TLS, or an answer that broke off.
    #[error("{place}: {reason}")]
    Unreachable { place: ShownUrl, reason: String },
    #[error("{place} sent more than {limit} bytes")]
    TooLarge { place: ShownUrl, limit: usize },
    #[error("{place} answers {status}")]
    Status { place: ShownUrl, status: StatusCode },
}

impl FetchError {
    /// Whether the same request may succeed later without a change on this side.
    pub fn is_worth_retrying(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Unreachable { .. } => true,
            Self::TooLarge { .. } => false,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(status)
            }
        }
    }
}

/// A URL without query, fragment, user and password, which may be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ShownUrl(String);

impl ShownUrl {
    pub fn of(url: &Url) -> Self {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = url.host_str().unwrap_or_default();
        Self(format!("{}://{host}{port}{}", url.scheme(), url.path()))
    }
}

impl fmt::Display for ShownUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ShownUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An HTTP client; clones share connections.
#[derive(Clone, Debug)]
pub struct Client(reqwest::Client);

/// The authorities that a client trusts, and its own certificate, beyond the system's settings. All in PEM.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trust<'a> {
    /// Authorities in place of the system's.
    pub authorities: Option<&'a [u8]>,
    /// A certificate and its key.
    pub identity: Option<&'a [u8]>,
}

impl<'a> Trust<'a> {
    /// Trusts the certificates in `pem`, those that they signed, and no others.
    pub fn authorities(pem: &'a [u8]) -> Self {
        Self { authorities: Some(pem), identity: None }
    }
}

impl Client {
    /// Makes a client with the system's trust. Fails when the system's certificates cannot be read.
    pub fn new() -> Result<Self, String> {
        Self::trusting(Trust::default())
    }

    /// Makes a client with `trust`. Fails when one of the PEM texts has no certificate, or cannot be read.
    pub fn trusting(trust: Trust<'_>) -> Result<Self, String> {
        let mut builder = reqwest::Client::builder();
        if let Some(pem) = trust.authorities {
            let authorities = reqwest::Certificate::from_pem_bundle(pem);
            let authorities = authorities.map_err(|error| innermost(&error))?;
            if authorities.is_empty() {
                return Err("no certificate in PEM is in it".into());
            }
            builder = builder.tls_certs_only(authorities);
        }
        if let Some(pem) = trust.identity {
            let identity = reqwest::Identity::from_pem(pem).map_err(|error| innermost(&error))?;
            builder = builder.identity(identity);
        }
        built(builder)
    }

    /// Makes a client that uses no proxy: for addresses on this machine.
    pub fn direct() -> Result<Self, String> {
        built(reqwest::Client::builder().no_proxy())
    }

    /// Sends a GET and returns the body, if the status is 200.
    pub async fn get(&self, url: &Url, limits: Limits) -> Result<Bytes, FetchError> {
        let answer = self.send(Request::new(Method::GET, url.clone()), limits).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            status => Err(FetchError::Status { place: ShownUrl::of(url), status }),
        }
    }

    /// Starts a request with headers or a body of its own.
    pub fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        self.0.request(method, url)
    }

    /// Sends `request` and reads the whole answer.
    pub async fn send(&self, request: Request, limits: Limits) -> Result<Answer, FetchError> {
        let place = ShownUrl::of(request.url());
        let answered = tokio::time::timeout(limits.time, self.exchange(request, limits.bytes));
        let answered = answered
            .await
            .map_err(|_| FetchError::Timeout { place: place.clone(), limit: limits.time })?;
        answered.map_err(|broken| match broken {
            Broken::Exchange(error) => {
                FetchError::Unreachable { place, reason: innermost(&error.without_url()) }
            }
            Broken::TooLarge => FetchError::TooLarge { place, limit: limits.bytes },
        })
    }

    /// Sends `request` and waits for the head of the answer; the body has no limits and is read by the caller.
    pub async fn stream(&self, request: Request, within: Duration) -> Result<Stream, FetchError> {
        let place = ShownUrl::of(request.url());
        match tokio::time::timeout(within, self.0.execute(request)).await {
            Err(_) => Err(FetchError::Timeout { place, limit: within }),
            Ok(Err(error)) => {
                Err(FetchError::Unreachable { place, reason: innermost(&error.without_url()) })
            }
            Ok(Ok(response)) => Ok(Stream { place, response }),
        }
    }

    async fn exchange(&self, request: Request, limit: usize) -> Result<Answer, Broken> {
        let mut response = self.0.execute(request).await?;
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await? {
            if body.len() + piece.len() > limit {
                return Err(Broken::TooLarge);
            }
            body.extend_from_slice(&piece);
        }
        let headers = std::mem::take(response.headers_mut());
        Ok(Answer { status: response.status(), headers, body: body.freeze() })
    }
}

/// An answer whose body is read piece by piece.
pub struct Stream {
    place: ShownUrl,
    response: reqwest::Response,
}

impl Stream {
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Returns the next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        self.response.chunk().await.map_err(|error| FetchError::Unreachable {
            place: self.place.clone(),
            reason: innermost(&error.without_url()),
        })
    }
}

fn built(builder: reqwest::ClientBuilder) -> Result<Client, String> {
    builder
        .redirect(Policy::none())
        .referer(false)
        .pool_max_idle_per_host(2)
        .user_agent(concat!("millrace/", env!("CARGO_PKG_VERSION")))
        .build()
        .map(Client)
        .map_err(|error| innermost(&error))
}

enum Broken {
    Exchange(reqwest::Error),
    TooLarge,
}

impl From<reqwest::Error> for Broken {
    fn from(error: reqwest::Error) -> Self {
        Self::Exchange(error)
    }
}

/// Returns the last cause, which says what happened; the errors above it only say that something did.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers one request with `answer` as it stands, then keeps the connection open.
    async fn answering(answer: impl Into<Vec<u8>>) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/a/key.pem?secret=hunter2", listener.local_addr().unwrap());
        let answer = answer.into();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&answer).await;
            std::future::pending::<()>().await;
        });
        url.parse().unwrap()
    }

    fn limits(time: u64, bytes: usize) -> Limits {
        Limits { time: Duration::from_millis(time), bytes }
    }

    #[tokio::test]
    async fn the_whole_body_of_a_200_comes_back() {
        let url = answering("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nkey").await;
        assert_eq!(Client::new().unwrap().get(&url, limits(9000, 3)).await.unwrap(), "key");
    }

    #[tokio::test]
    async fn an_answer_larger_than_the_limit_is_cut_off_with_or_without_a_length() {
        let endless = "HTTP/1.1 200 OK\r\n\r\nfour".to_owned();
        for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfour".to_owned(), endless] {
            let url = answering(answer).await;
            let error = Client::new().unwrap().get(&url, limits(9000, 3)).await.unwrap_err();
            assert!(matches!(error, FetchError::TooLarge { limit: 3, .. }), "{error}");
            assert!(!error.is_worth_retrying());
        }
    }

    #[tokio::test]
    async fn a_slow_answer_ends_with_the_time() {
        let url = answering("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfou").await;
        let error = Client::new().unwrap().get(&url, limits(50, 100)).await.unwrap_err();
        assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
        assert!(error.is_worth_retrying());
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let url = answering(
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
        let error = Client::new().unwrap().get(&url, Limits::SMALL).await.unwrap_err();
        assert!(matches!(error, FetchError::Status { status: StatusCode::FOUND, .. }), "{error}");
        assert!(!error.is_worth_retrying());
    }

    #[tokio::test]
    async fn no_error_shows_the_query() {
        let refused = "http://user:hunter2@127.0.0.1:1/key?secret=hunter2".parse().unwrap();
        let status = answering("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").await;
        for url in [refused, status] {
            let error = Client::new().unwrap().get(&url, Limits::SMALL).await.unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("http://127.0.0.1:"), "{shown}");
            assert!(error.is_worth_retrying());
        }
    }
}
