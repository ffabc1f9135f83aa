//! A row of the table, and how it is written as an answer.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, Version, header};
use http_body_util::Full;
use hyper::ext::ReasonPhrase;
use tracing::Level;

/// The reason phrase of our own 400, by which `wire.rs` tells it from the HTTP library's.
const OWN_400: ReasonPhrase = ReasonPhrase::from_static(b"Not To Be Granted");

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: StatusCode,
    /// Seconds, for `Retry-After`.
    pub retry_after: Option<u32>,
    /// One more header.
    pub header: Option<(HeaderName, &'static str)>,
    /// Whether an HTTP/1 connection ends with this answer.
    pub close: bool,
    /// The word for it in metrics and logs.
    pub label: &'static str,
    /// What an operator must do about it.
    pub level: Level,
    /// The configuration key that would change it.
    pub key: Option<Cow<'static, str>>,
    /// The answer's body: one line, and nothing a stranger may not know.
    pub text: Cow<'static, str>,
}

impl Reply {
    fn new(status: u16, label: &'static str, level: Level, text: &'static str) -> Self {
        let status = StatusCode::from_u16(status).expect("the table's codes are valid");
        let (retry_after, header, close, key) = (None, None, false, None);
        let text = text.into();
        Self { status, retry_after, header, close, label, level, key, text }
    }

    pub(super) fn ok(label: &'static str, text: &'static str) -> Self {
        Self::new(200, label, Level::DEBUG, text)
    }

    /// A final no. The connection ends with it: a stranger shall not keep one.
    pub(super) fn refuse(
        status: u16,
        label: &'static str,
        level: Level,
        text: &'static str,
    ) -> Self {
        Self::new(status, label, level, text).and_close()
    }

    pub(super) fn later(
        seconds: u32,
        label: &'static str,
        level: Level,
        text: &'static str,
    ) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(503, label, level, text) }
    }

    pub(super) fn key(self, key: impl Into<Cow<'static, str>>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    pub(super) fn and_close(self) -> Self {
        Self { close: true, ..self }
    }

    pub fn response(&self, version: Version) -> Response<Full<Bytes>> {
        let text = match &self.text {
            Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
            Cow::Owned(text) => text.clone().into(),
        };
        let mut response = Response::new(Full::new(text));
        *response.status_mut() = self.status;
        if self.status == StatusCode::BAD_REQUEST {
            response.extensions_mut().insert(OWN_400);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        // An answer may repeat what a stranger wrote: no browser shall take it for anything but text.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some((name, value)) = &self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        // HTTP/2 has no such header; its connections end by GOAWAY.
        if self.close && version < Version::HTTP_2 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The same answer as HTTP/1.1 on the wire, for when no HTTP library will write it. It always
    /// ends the connection.
    pub fn raw(&self) -> Vec<u8> {
        let mut text = format!(
            "HTTP/1.1 {}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n",
            self.status,
            self.text.len()
        );
        if let Some(seconds) = self.retry_after {
            text += &format!("retry-after: {seconds}\r\n");
        }
        if let Some((name, value)) = &self.header {
            text += &format!("{name}: {value}\r\n");
        }
        (text + "\r\n" + &self.text).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use http::Version;

    use crate::ingest::listen::reply::Outcome;

    #[test]
    fn the_raw_answer_says_what_the_table_says() {
        let raw = String::from_utf8(Outcome::HeadTooLarge.reply().raw()).unwrap();
        assert!(raw.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{raw}");
        assert!(raw.contains("\r\nretry-after: 300\r\n"), "{raw}");
        assert!(raw.contains("\r\nconnection: close\r\n"), "{raw}");
        assert!(raw.ends_with("\r\n\r\nthe head of the request is too large"), "{raw}");
    }

    #[test]
    fn http_2_has_no_connection_header() {
        let reply = Outcome::BodyTooLarge.reply();
        let has_close = |version| reply.response(version).headers().contains_key("connection");
        assert!(has_close(Version::HTTP_11) && !has_close(Version::HTTP_2));
    }
}
