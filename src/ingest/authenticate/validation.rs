//! Validation of a registration: Adobe I/O posts an address that has to be opened within five minutes, before it sends.
//!
//! Any stranger can post one, so an address other than Adobe's own is neither opened nor shown to an operator
//! who might open it. Adobe's own is logged whole for an operator: its query is needed, serves this one
//! registration, and expires after five minutes. This program opens it only where that was configured, since
//! opening it accepts a registration that another customer may have made: the events of that one are then
//! refused by their recipient (`client_ids`).
//!
//! Lines and openings are bounded, and no address of Adobe's own form is dropped in silence: each is handled
//! once and takes a turn (`turns.rs`), so that a flood of them does not hide the genuine one. A request that
//! gets no turn in time is answered 503, and Adobe I/O tries again.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use reqwest::{Method, Url};

use super::{
    bucket::Bucket,
    caller::Caller,
    digest::{Digest, sha256},
    turns::{Turn, Turns},
};
use crate::{
    observe::metrics::Metrics,
    runtime::fetch::{Client, FetchError, Limits, ShownUrl},
    source::SourceName,
};

/// The one address that is opened, up to its query.
pub const ADOBE_VALIDATION_URL: &str = "https://csm.adobe.io/csm/registrations/validate";

/// Log lines at once about addresses that are not Adobe's.
const FOREIGN_LINES: u32 = 5;
/// Time after which one more such line is written.
const FOREIGN_LINE_INTERVAL: Duration = Duration::from_secs(60);

/// Addresses of Adobe's own that are handled at the same time.
const TURNS_AT_ONCE: usize = 8;
/// Shortest time of such a turn: in a flood the operator has four lines a second to look through, with the clients'
/// addresses.
const TURN_TIME: Duration = Duration::from_secs(2);

/// How long a request waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses that are remembered, so that each is handled once.
const MAX_REMEMBERED: usize = 4096;

/// Results of an address, for metrics.
const RESULTS: [&str; 6] = ["foreign", "logged", "opened", "repeated", "too-many", "failed"];

const REQUEST_TO_OPERATOR: &str = "Adobe I/O asks whether it may send here: if you have just made, changed \
                            or enabled this registration, open the address within 5 minutes";

/// Handles the validation addresses of one source.
pub struct Validation(Arc<Inner>);

struct Inner {
    source: SourceName,
    address: String,
    /// Opens addresses; without it they are logged, and an operator opens them.
    opens: Option<Client>,
    turns: Turns,
    /// The oldest first.
    seen: Mutex<VecDeque<Digest>>,
    foreign: Mutex<Bucket>,
    metrics: Metrics,
}

/// There are so many addresses that this one was neither logged nor opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many validation URLs")]
pub struct TooMany;

impl Validation {
    /// Makes it for `source`. Addresses are opened by `opens`, or logged for an operator.
    pub fn new(source: SourceName, opens: Option<Client>, metrics: &Metrics) -> Self {
        Self::at(ADOBE_VALIDATION_URL, source, opens, metrics)
    }

    /// Takes another address in place of Adobe's, for tests.
    pub fn at(address: &str, source: SourceName, opens: Option<Client>, metrics: &Metrics) -> Self {
        for result in RESULTS {
            metrics.validations.with_label_values(&[source.as_str(), result]);
        }
        Self(Arc::new(Inner {
            source,
            address: address.to_owned(),
            opens,
            turns: Turns::new(TURNS_AT_ONCE, TURN_TIME),
            seen: Mutex::default(),
            foreign: Mutex::new(Bucket::new(FOREIGN_LINES, FOREIGN_LINE_INTERVAL)),
            metrics: metrics.clone(),
        }))
    }

    /// Handles an address that `caller` has posted. Returns once it is logged, or is about to be opened.
    pub async fn asked(&self, text: &str, caller: Caller, now: Instant) -> Result<(), TooMany> {
        let this = &self.0;
        let Some(url) = adobes(text, &this.address) else {
            this.is_foreign(now);
            return Ok(());
        };
        let seen = sha256(&[url.as_str().as_bytes()]);
        if this.seen.lock().contains(&seen) {
            this.count("repeated");
            return Ok(());
        }
        let turn = tokio::time::timeout(TURN_TIMEOUT, this.turns.wait(caller)).await;
        let Ok(turn) = turn else {
            this.count("too-many");
            return Err(TooMany);
        };
        // The same address may have had its turn meanwhile.
        if !this.remember(seen) {
            this.count("repeated");
            return Ok(());
        }
        match &this.opens {
            None => {
                this.count("logged");
                this.metrics.recent.challenge(this.source.as_str(), url.as_str());
                let source = &this.source;
                let client = caller.address.map(tracing::field::display);
                tracing::error!(%source, %url, client, "{REQUEST_TO_OPERATOR}");
            }
            Some(client) => {
                this.count("opened");
                let this = this.clone();
                let client = client.clone();
                tokio::spawn(async move { this.open(&client, url, seen, turn).await });
            }
        }
        Ok(())
    }
}

impl Inner {
    /// Counts an address that is not Adobe's. It may be ignored: Adobe never posts one.
    fn is_foreign(&self, now: Instant) {
        self.count("foreign");
        let source = &self.source;
        if self.foreign.lock().take(now) {
            tracing::warn!(%source, "a request carried a validation URL that is not Adobe's");
        }
    }

    /// Remembers an address; returns whether it is new.
    fn remember(&self, address: Digest) -> bool {
        let mut seen = self.seen.lock();
        let is_new = !seen.contains(&address);
        if is_new {
            seen.push_back(address);
            if seen.len() > MAX_REMEMBERED {
                seen.pop_front();
            }
        }
        is_new
    }

    fn count(&self, result: &'static str) {
        self.metrics.validations.with_label_values(&[self.source.as_str(), result]).inc();
    }

    /// Opens an address; the turn lasts for as long.
    async fn open(&self, client: &Client, url: Url, seen: Digest, _turn: Turn) {
        let source = &self.source;
        let request = reqwest::Request::new(Method::GET, url.clone());
        let answer = client.send(request, Limits::SMALL).await;
        let answer = answer.and_then(|answer| match answer.status {
            status if status.is_success() => Ok(()),
            status => Err(FetchError::Status { place: ShownUrl::of(&url), status }),
        });
        match answer {
            Ok(()) => tracing::info!(%source, "Adobe I/O registration validated"),
            Err(error) => {
                self.count("failed");
                self.metrics.recent.challenge(source.as_str(), url.as_str());
                // Forgotten, so that it is opened again if Adobe I/O posts it again.
                self.seen.lock().retain(|other| *other != seen);
                tracing::error!(%source, %error, %url, "{REQUEST_TO_OPERATOR}");
            }
        }
    }
}

/// Returns `text` as an address, if it is `address` with a query behind it, and no other program could read it in
/// another way.
fn adobes(text: &str, address: &str) -> Option<Url> {
    let query = text.strip_prefix(address)?.strip_prefix('?')?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&b);
    let url: Url = text.parse().ok()?;
    // If the parser had dropped or changed anything, the text would differ.
    let same = url.as_str() == text || url.as_str().replace("%27", "'") == text;
    (query.bytes().all(legal) && same).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adobes_own_address_is_taken_with_its_query() {
        for query in ["id=1&challenge=2", "id=a%2Bb&challenge=A-Z_~.", "x=/?:@!$'()*,;"] {
            let url = format!("{ADOBE_VALIDATION_URL}?{query}");
            assert!(adobes(&url, ADOBE_VALIDATION_URL).is_some(), "{url}");
        }
    }

    #[test]
    fn no_other_host_scheme_port_or_path_is_opened() {
        let tail = "csm.adobe.io/csm/registrations/validate?id=1&challenge=2";
        for text in [
            format!("http://{tail}"),
            format!("HTTPS://{tail}"),
            format!("ftp://{tail}"),
            format!("https://user@{tail}"),
            format!("https://user:password@{tail}"),
            format!("https://evil.test/{tail}"),
            format!("https://evil.test\\@{tail}"),
            format!("https:\\\\{tail}"),
            format!("https:///{tail}"),
            format!(" https://{tail}"),
            format!("https://{tail} "),
            format!("https://{tail}#fragment"),
            format!("https://{tail}\n"),
            format!("ht\ttps://{tail}"),
            format!("https://{tail}\u{e9}"),
            format!("https://{tail}<script>"),
            "https://csm.adobe.io:443/csm/registrations/validate?id=1".into(),
            "https://csm.adobe.io:8443/csm/registrations/validate?id=1".into(),
            "https://csm.adobe.io.evil.test/csm/registrations/validate?id=1".into(),
            "https://csm.adobe.io./csm/registrations/validate?id=1".into(),
            "https://csm.adobe.io@evil.test/csm/registrations/validate?id=1".into(),
            "https://CSM.adobe.io/csm/registrations/validate?id=1".into(),
            "https://csm%2eadobe.io/csm/registrations/validate?id=1".into(),
            "https://csm.adobe.io/csm/registrations/validate".into(),
            "https://csm.adobe.io/csm/registrations/validate/?id=1".into(),
            "https://csm.adobe.io/csm/registrations/validate/../../x?id=1".into(),
            "https://csm.adobe.io/csm/registrations/validatex?id=1".into(),
            "https://csm.adobe.io/csm/./registrations/validate?id=1".into(),
            "https://csm.adobe.io//csm/registrations/validate?id=1".into(),
            "https://csm.adobe.io/csm/registrations/%76alidate?id=1".into(),
            "https://csm.adobe.io/csm/registrations/validate?id=1\n.evil.test".into(),
            String::new(),
        ] {
            assert_eq!(adobes(&text, ADOBE_VALIDATION_URL), None, "{text:?}");
        }
    }
}
