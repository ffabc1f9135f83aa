//! One request, one answer: how a batch gets from the sender to an endpoint.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Status(StatusCode),
    /// Nothing, and why: a time-out, a connection refused or broken. Whether the receiver has the
    /// body is unknown.
    None(String),
}

impl Answer {
    /// Whether the sender may forget the body.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Status(status) if status.is_success())
    }
}

/// Takes a body and answers.
pub trait Post: Send + Sync {
    /// Waits at most `timeout` in all.
    fn post(&self, body: Bytes, timeout: Duration) -> impl Future<Output = Answer> + Send;
}

/// POSTs JSON to one URL with a token in the header, over connections that are kept open.
#[derive(Clone)]
pub struct HttpPost {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
    authorization: HeaderValue,
}

impl HttpPost {
    /// `authorization` is the whole value of the header, e.g. `Bearer 5ecret`; `None` when it can't
    /// be one. Only `http` URLs are spoken to.
    pub fn new(uri: Uri, authorization: &str) -> Option<Self> {
        let mut authorization = HeaderValue::from_str(authorization).ok()?;
        authorization.set_sensitive(true);
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        // A request is sent once: what becomes of it is what is being looked at.
        let client =
            Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build(connector);
        Some(Self { client, uri, authorization })
    }

    async fn exchange(&self, body: Bytes) -> Answer {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.uri.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body));
        let answer = match request {
            Ok(request) => self.client.request(request).await,
            Err(error) => return Answer::None(error.to_string()),
        };
        match answer {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                // Read to its end, so that the connection can be used again.
                let _ = Limited::new(body, ANSWER_LIMIT).collect().await;
                Answer::Status(head.status)
            }
            Err(error) => Answer::None(chain(&error)),
        }
    }
}

/// Bytes of an answer's body that are read and thrown away.
const ANSWER_LIMIT: usize = 64 * 1024;

impl Post for HttpPost {
    async fn post(&self, body: Bytes, timeout: Duration) -> Answer {
        tokio::time::timeout(timeout, self.exchange(body))
            .await
            .unwrap_or_else(|_| Answer::None(format!("no answer within {timeout:?}")))
    }
}

/// The error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Reads one request with a body of `length` bytes; returns it whole, as text.
    async fn request(socket: &mut TcpStream, length: usize) -> String {
        let mut bytes = Vec::new();
        loop {
            let mut piece = [0; 4096];
            let n = socket.read(&mut piece).await.unwrap();
            bytes.extend_from_slice(&piece[..n]);
            let text = String::from_utf8_lossy(&bytes);
            if text.find("\r\n\r\n").is_some_and(|head| bytes.len() >= head + 4 + length) {
                return text.into_owned();
            }
            assert!(n > 0, "the connection ended within a request");
        }
    }

    async fn server() -> (TcpListener, HttpPost) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/v1/leads", listener.local_addr().unwrap()).parse().unwrap();
        (listener, HttpPost::new(uri, "Bearer 5ecret").unwrap())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_batch_is_posted_as_json_with_the_token_in_the_header() {
        let (listener, post) = server().await;
        let answered = tokio::spawn(async move { post.post("{\"a\":1}".into(), LONG).await });
        let (mut socket, _) = listener.accept().await.unwrap();
        let request = request(&mut socket, 7).await.to_ascii_lowercase();
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
        let (listener, post) = server().await;
        let answered = tokio::spawn(async move {
            (post.post("1".into(), LONG).await, post.post("2".into(), LONG).await)
        });
        let (mut socket, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            request(&mut socket, 1).await;
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
        let (one, two) = answered.await.unwrap();
        assert!(one.is_accepted() && two.is_accepted());
    }

    #[tokio::test]
    async fn a_request_that_is_never_answered_ends_with_the_time_out() {
        let (listener, post) = server().await;
        let answer = post.post("1".into(), Duration::from_millis(50)).await;
        assert!(matches!(&answer, Answer::None(why) if why.contains("50ms")), "{answer:?}");
        drop(listener);
    }

    #[tokio::test]
    async fn a_connection_that_breaks_is_no_answer_and_nothing_is_sent_again() {
        let (listener, post) = server().await;
        let answered = tokio::spawn(async move { post.post("1".into(), LONG).await });
        let (mut socket, _) = listener.accept().await.unwrap();
        request(&mut socket, 1).await;
        drop(socket);
        assert!(matches!(answered.await.unwrap(), Answer::None(_)));
        drop(listener);
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused() {
        assert!(HttpPost::new(Uri::from_static("http://localhost/"), "Bearer a\nb").is_none());
    }
}
