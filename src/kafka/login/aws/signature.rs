//! Signature version 4 of AWS, for one kind of request: a GET of `/` whose signature is in its query.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use aws_lc_rs::{digest, hmac};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Credentials;

/// Characters that are written as `%XX`: all but letters, digits and these (RFC 3986).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A request; its address is good for `lifetime`.
pub(super) struct Presigned<'a> {
    pub region: &'a str,
    pub service: &'a str,
    pub host: &'a str,
    pub query: &'a [(&'a str, &'a str)],
    pub lifetime: Duration,
}

impl Presigned<'_> {
    /// The complete query, the signature last.
    pub fn query(&self, credentials: &Credentials, now: SystemTime) -> String {
        let query = self.unsigned_query(credentials, now);
        let signature = self.signature(credentials, now, &query);
        format!("{query}&X-Amz-Signature={signature}")
    }

    /// The query without the signature, in the order of the encoded names.
    pub(super) fn unsigned_query(&self, credentials: &Credentials, now: SystemTime) -> String {
        let time = time(now);
        let scope = self.scope(now);
        let credential = format!("{}/{scope}", credentials.access_key_id);
        let lifetime = self.lifetime.as_secs().to_string();
        let mut all = self.query.to_vec();
        all.extend([
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &time),
            ("X-Amz-Expires", &lifetime),
            ("X-Amz-SignedHeaders", "host"),
        ]);
        let session = credentials.session_token.as_ref();
        all.extend(session.map(|token| ("X-Amz-Security-Token", token.expose())));
        let mut all: Vec<_> =
            all.into_iter().map(|(name, value)| (encoded(name), encoded(value))).collect();
        all.sort();
        let all: Vec<_> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
        all.join("&")
    }

    pub(super) fn canonical_request(&self, query: &str) -> String {
        let nothing = hex(digest::digest(&digest::SHA256, b"").as_ref());
        format!("GET\n/\n{query}\nhost:{}\n\nhost\n{nothing}", self.host)
    }

    pub(super) fn string_to_sign(&self, now: SystemTime, query: &str) -> String {
        let request = digest::digest(&digest::SHA256, self.canonical_request(query).as_bytes());
        format!("{ALGORITHM}\n{}\n{}\n{}", time(now), self.scope(now), hex(request.as_ref()))
    }

    fn signature(&self, credentials: &Credentials, now: SystemTime, query: &str) -> String {
        let secret = format!("AWS4{}", credentials.secret_access_key.expose());
        let parts = [&time(now)[..8], self.region, self.service, "aws4_request"];
        let key = parts.iter().fold(secret.into_bytes(), |key, part| sign(&key, part));
        hex(&sign(&key, &self.string_to_sign(now, query)))
    }

    fn scope(&self, now: SystemTime) -> String {
        format!("{}/{}/{}/aws4_request", &time(now)[..8], self.region, self.service)
    }
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes a time as `20150830T123600Z`.
fn time(now: SystemTime) -> String {
    let now = Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH);
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests;
