//! Writes an outcome as an answer: for the HTTP library, or as bytes of HTTP/1.1.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, Version, header};
use http_body_util::Full;
use hyper::ext::ReasonPhrase;

use super::Outcome;

/// The reason phrase of our own 400 to a sender, by which `wire.rs` tells it from the HTTP library's.
const OWN_400: ReasonPhrase = ReasonPhrase::from_static(b"Request Refused");

impl Outcome {
    /// Returns a further header of the answer.
    fn header(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::BadCredentials { challenge, .. } => Some(("www-authenticate", challenge)),
            _ => self.row().header,
        }
    }

    pub fn response(&self, version: Version) -> Response<Full<Bytes>> {
        let row = self.row();
        let text = match self.text() {
            Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
            Cow::Owned(text) => text.into(),
        };
        let mut response = Response::new(Full::new(text));
        *response.status_mut() = row.status;
        if row.status == StatusCode::BAD_REQUEST {
            response.extensions_mut().insert(OWN_400);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        // An answer may repeat a stranger's text (a challenge): no browser may take it for anything but text.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(seconds) = row.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some((name, value)) = self.header() {
            headers.insert(name, HeaderValue::from_static(value));
        }
        // HTTP/2 has no such header; its connections end by GOAWAY.
        if row.close && version < Version::HTTP_2 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Returns the answer as bytes of HTTP/1.1, for where no HTTP library writes it. It always ends the connection.
    pub fn raw(&self) -> Vec<u8> {
        let row = self.row();
        let text = self.text();
        let mut head = format!(
            "HTTP/1.1 {}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n",
            row.status,
            text.len()
        );
        if let Some(seconds) = row.retry_after {
            head += &format!("retry-after: {seconds}\r\n");
        }
        if let Some((name, value)) = self.header() {
            head += &format!("{name}: {value}\r\n");
        }
        (head + "\r\n" + &text).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raw_answer_says_what_the_table_says() {
        let raw = String::from_utf8(Outcome::HeadTooLarge.raw()).unwrap();
        assert!(raw.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{raw}");
        assert!(raw.contains("\r\nretry-after: 300\r\n"), "{raw}");
        assert!(raw.contains("\r\nconnection: close\r\n"), "{raw}");
        assert!(raw.ends_with("\r\n\r\nthe head of the request is too large"), "{raw}");
    }

    #[test]
    fn http_2_has_no_connection_header() {
        let response = |version| Outcome::BodyTooLarge.response(version);
        let has_close = |version| response(version).headers().contains_key("connection");
        assert!(has_close(Version::HTTP_11) && !has_close(Version::HTTP_2));
    }
}
