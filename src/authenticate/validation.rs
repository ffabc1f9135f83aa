//! The address that Adobe I/O wants opened within five minutes, before it sends to a registration.
//!
//! Anybody can post one, so an address other than Adobe's own is neither opened nor shown to a person
//! who might open it. Adobe's own is logged for a person, whole: its query is what the person needs, it
//! is of no use but for this one registration, and of none five minutes later. It is opened by this
//! program only where that was configured, since opening it accepts a registration that somebody else
//! may have made: its events are then refused by their recipient (`client_ids`).
//!
//! How often either happens is bounded.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use reqwest::{Method, Url};

use super::bucket::Bucket;
use crate::{
    delivery::SourceName,
    fetch::{Client, FetchError, Limits, Place},
    metrics::Metrics,
};

/// The one address that is opened, up to its query.
pub const ADOBES: &str = "https://csm.adobe.io/csm/registrations/validate";

/// What is heeded of a source, addresses of Adobe and others apart: so many at once, then one each.
const AT_ONCE: u32 = 5;
const EACH: Duration = Duration::from_secs(60);

/// What may become of an address, for metrics.
const RESULTS: [&str; 5] = ["foreign", "logged", "opened", "too-many", "failed"];

const FOR_A_PERSON: &str = "Adobe I/O asks whether it may send here: if you have just made, changed \
                            or enabled this registration, open the address within 5 minutes";

/// What becomes of such addresses for one source.
pub struct Validation(Arc<Inner>);

struct Inner {
    source: SourceName,
    address: String,
    /// With which it is opened; a person opens it without.
    opens: Option<Client>,
    adobes: Mutex<Bucket>,
    others: Mutex<Bucket>,
    metrics: Metrics,
}

impl Validation {
    /// For `source`. Addresses are opened by `opens`, or logged for a person.
    pub fn new(source: SourceName, opens: Option<Client>, metrics: &Metrics) -> Self {
        Self::at(ADOBES, source, opens, metrics)
    }

    /// With another address in place of Adobe's.
    pub fn at(address: &str, source: SourceName, opens: Option<Client>, metrics: &Metrics) -> Self {
        let bucket = || Mutex::new(Bucket::new(AT_ONCE, EACH));
        let (adobes, others, metrics) = (bucket(), bucket(), metrics.clone());
        for result in RESULTS {
            metrics.validations.with_label_values(&[source.as_str(), result]);
        }
        let address = address.to_owned();
        Self(Arc::new(Inner { source, address, opens, adobes, others, metrics }))
    }

    /// Somebody has posted this address. Comes back at once; what takes time happens behind it.
    pub fn asked(&self, text: &str, now: Instant) {
        let this = &self.0;
        let source = &this.source;
        let Some(url) = adobes(text, &this.address) else {
            if this.count_if(&this.others, now, "foreign") {
                tracing::warn!(%source, "somebody posted a validation URL that is not Adobe's");
            }
            return;
        };
        match &this.opens {
            None => {
                if this.count_if(&this.adobes, now, "logged") {
                    tracing::error!(%source, %url, "{FOR_A_PERSON}");
                }
            }
            Some(client) => {
                if this.count_if(&this.adobes, now, "opened") {
                    let (this, client) = (this.clone(), client.clone());
                    tokio::spawn(async move { this.open(&client, url).await });
                }
            }
        }
    }
}

impl Inner {
    /// Counts `result`, or that there were too many.
    fn count_if(&self, bucket: &Mutex<Bucket>, now: Instant, result: &'static str) -> bool {
        let heeded = bucket.lock().unwrap_or_else(PoisonError::into_inner).take(now);
        self.count(if heeded { result } else { "too-many" });
        heeded
    }

    fn count(&self, result: &'static str) {
        self.metrics.validations.with_label_values(&[self.source.as_str(), result]).inc();
    }

    async fn open(&self, client: &Client, url: Url) {
        let source = &self.source;
        let request = reqwest::Request::new(Method::GET, url.clone());
        let answer = client.send(request, Limits::SMALL).await;
        let answer = answer.and_then(|answer| match answer.status {
            status if status.is_success() => Ok(()),
            status => Err(FetchError::Status { place: Place::of(&url), status }),
        });
        match answer {
            Ok(()) => tracing::info!(%source, "a registration at Adobe I/O was validated"),
            Err(error) => {
                self.count("failed");
                tracing::error!(%source, %error, %url, "{FOR_A_PERSON}");
            }
        }
    }
}

/// `text` as an address, if it is `address` with a query behind it, and nothing of it can be read in
/// another way.
fn adobes(text: &str, address: &str) -> Option<Url> {
    let query = text.strip_prefix(address)?.strip_prefix('?')?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&b);
    let url: Url = text.parse().ok()?;
    // A parser that took away or changed anything would have another text to show.
    let same = url.as_str() == text || url.as_str().replace("%27", "'") == text;
    (query.bytes().all(legal) && same).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adobes_own_address_is_taken_with_its_query() {
        for query in ["id=1&challenge=2", "id=a%2Bb&challenge=A-Z_~.", "x=/?:@!$'()*,;"] {
            let url = format!("{ADOBES}?{query}");
            assert!(adobes(&url, ADOBES).is_some(), "{url}");
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
            assert_eq!(adobes(&text, ADOBES), None, "{text:?}");
        }
    }
}
