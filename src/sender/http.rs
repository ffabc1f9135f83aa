//! Sends deliveries to an endpoint over HTTP: one request, one answer.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use reqwest::{Client, Response, Url, redirect::Policy};

use crate::runtime::readable;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Status(StatusCode),
    /// No answer, and the reason: a time-out, a connection refused or broken. Whether the receiver has the
    /// body is unknown.
    None(String),
}

impl Answer {
    /// Whether the sender may forget the body.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Status(status) if status.is_success())
    }
}

/// An endpoint that takes a body and answers.
pub trait Post: Send + Sync {
    /// Sends a request; waits at most `timeout` in all.
    fn post(
        &self,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> impl Future<Output = Answer> + Send;
}

/// One URL, over HTTP/1.1 connections that are kept open, directly and not through a proxy. Clones
/// share the connections.
#[derive(Clone, Debug)]
pub struct Endpoint {
    client: Client,
    url: Url,
}

/// The answer to a GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub status: StatusCode,
    pub content_type: Option<String>,
    pub body: Bytes,
}

impl Endpoint {
    /// Makes an endpoint. Certificates of `https` URLs are checked against the system's (`SSL_CERT_FILE` names others).
    pub fn new(url: &str) -> Result<Self, String> {
        let url: Url = url.parse().map_err(|error| format!("{url} is no URL: {error}"))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(format!("{url} must begin with http:// or https://"));
        }
        // No retries: the fate of each single request is measured.
        let client = Client::builder()
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .build()
            .map_err(|error| chain(&error))?;
        Ok(Self { client, url })
    }

    /// Sends a GET with `name=value` as the whole query.
    pub async fn get(&self, name: &str, value: &str, timeout: Duration) -> Result<Page, String> {
        let mut url = self.url.clone();
        url.query_pairs_mut().clear().append_pair(name, value);
        let asking = async {
            let mut answer = self.client.get(url).send().await?;
            let body = read(&mut answer).await?;
            let content_type = answer.headers().get(CONTENT_TYPE);
            let content_type = content_type.map(|v| String::from_utf8_lossy(v.as_bytes()).into());
            Ok(Page { status: answer.status(), content_type, body })
        };
        match tokio::time::timeout(timeout, asking).await {
            Ok(page) => page.map_err(|error: reqwest::Error| chain(&error.without_url())),
            Err(_) => Err(no_answer_within(timeout)),
        }
    }
}

/// Bytes of an answer's body that are read.
const ANSWER_LIMIT: usize = 64 * 1024;

impl Post for Endpoint {
    async fn post(&self, headers: HeaderMap, body: Bytes, timeout: Duration) -> Answer {
        let exchange = async {
            let request = self.client.post(self.url.clone()).headers(headers).body(body);
            let mut answer = request.send().await?;
            // Read to its end, so that the connection can be used again. An error does not matter:
            // the status is known.
            let _ = read(&mut answer).await;
            Ok(answer.status())
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(Ok(status)) => Answer::Status(status),
            Ok(Err(error)) => Answer::None(chain(&reqwest::Error::without_url(error))),
            Err(_) => Answer::None(no_answer_within(timeout)),
        }
    }
}

/// Returns the body, or as much of it as is read.
async fn read(answer: &mut Response) -> Result<Bytes, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        body.extend_from_slice(&piece);
        if body.len() > ANSWER_LIMIT {
            break;
        }
    }
    Ok(body.into())
}

fn no_answer_within(timeout: Duration) -> String {
    format!("no answer within {}", readable::length(timeout))
}

/// Formats the error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Reads one request with a body of `length` bytes; returns it whole, as text, or `None` if the connection ends.
    async fn request(socket: &mut TcpStream, length: usize) -> Option<String> {
        let mut bytes = Vec::new();
        loop {
            let mut piece = [0; 4096];
            let n = socket.read(&mut piece).await.ok().filter(|n| *n > 0)?;
            bytes.extend_from_slice(&piece[..n]);
            let text = String::from_utf8_lossy(&bytes);
            if text.find("\r\n\r\n").is_some_and(|head| bytes.len() >= head + 4 + length) {
                return Some(text.into_owned());
            }
        }
    }

    /// Accepts connections until one brings a request. A client of another test, which asks at a port where nothing
    /// listened a moment ago, may come first.
    async fn accept(listener: &TcpListener, length: usize) -> (TcpStream, String) {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            if let Some(request) = request(&mut socket, length).await {
                return (socket, request);
            }
        }
    }

    async fn server() -> (TcpListener, Endpoint) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/leads", listener.local_addr().unwrap());
        let endpoint = Endpoint::new(&url).unwrap();
        (listener, endpoint)
    }

    const LONG: Duration = Duration::from_secs(60);

    async fn post(endpoint: &Endpoint, body: &'static str) -> Answer {
        endpoint.post(HeaderMap::new(), body.into(), LONG).await
    }

    #[tokio::test]
    async fn a_delivery_is_posted_with_its_headers() {
        let (listener, endpoint) = server().await;
        let answered = tokio::spawn(async move {
            let headers =
                [("authorization", "Bearer 5ecret"), ("content-type", "application/json")];
            let headers = headers
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            endpoint.post(HeaderMap::from_iter(headers), "{\"a\":1}".into(), LONG).await
        });
        let (mut socket, request) = accept(&listener, 7).await;
        let request = request.to_ascii_lowercase();
        assert!(request.starts_with("post /v1/leads http/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: bearer 5ecret\r\n"), "{request}");
        assert!(request.contains("content-type: application/json\r\n"), "{request}");
        assert!(request.ends_with("\r\n\r\n{\"a\":1}"), "{request}");
        socket.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
        let answer = answered.await.unwrap();
        assert_eq!(answer, Answer::Status(StatusCode::SERVICE_UNAVAILABLE));
        assert!(!answer.is_accepted());
    }

    #[tokio::test]
    async fn a_connection_is_used_again() {
        let (listener, endpoint) = server().await;
        let answered = tokio::spawn(async move {
            let one = post(&endpoint, "1");
            let two = post(&endpoint, "2");
            (one.await, two.await)
        });
        let (mut socket, _) = accept(&listener, 1).await;
        let done = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        socket.write_all(done).await.unwrap();
        request(&mut socket, 1).await.expect("the same connection");
        socket.write_all(done).await.unwrap();
        let (one, two) = answered.await.unwrap();
        assert!(one.is_accepted() && two.is_accepted());
    }

    #[tokio::test]
    async fn a_request_that_is_never_answered_ends_with_the_time_out() {
        let (listener, endpoint) = server().await;
        let answer = endpoint.post(HeaderMap::new(), "1".into(), Duration::from_millis(50)).await;
        assert!(matches!(&answer, Answer::None(why) if why.contains("50 ms")), "{answer:?}");
        drop(listener);
    }

    #[tokio::test]
    async fn a_connection_that_breaks_is_no_answer_and_nothing_is_sent_again() {
        let (listener, endpoint) = server().await;
        let answered = tokio::spawn(async move { post(&endpoint, "1").await });
        let (socket, _) = accept(&listener, 1).await;
        drop(socket);
        assert!(matches!(answered.await.unwrap(), Answer::None(_)));
        drop(listener);
    }

    #[tokio::test]
    async fn a_question_is_the_whole_query_and_its_answer_comes_with_type_and_body() {
        let (listener, endpoint) = server().await;
        let asked = tokio::spawn(async move { endpoint.get("challenge", "a&b", LONG).await });
        let (mut socket, request) = accept(&listener, 0).await;
        assert!(request.starts_with("GET /v1/leads?challenge=a%26b HTTP/1.1\r\n"), "{request}");
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\na&b";
        socket.write_all(answer.as_bytes()).await.unwrap();
        let page = asked.await.unwrap().unwrap();
        assert_eq!((page.status, &page.body[..]), (StatusCode::OK, &b"a&b"[..]));
        assert_eq!(page.content_type.as_deref(), Some("text/plain"));
    }

    #[test]
    fn what_is_no_web_address_is_refused() {
        for url in ["", "localhost", "ftp://localhost/", "http://"] {
            assert!(Endpoint::new(url).is_err(), "{url}");
        }
    }
}
