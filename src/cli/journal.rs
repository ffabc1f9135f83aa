//! Adobe's journal: the only source of events that the webhook gave up delivering.
//!
//! Adobe I/O keeps each registration's events for seven days, in order, as pages that point to one
//! another. [`Journal`] is one registration's; [`Journal::read`] asks for one page and never waits: the answer
//! says when to ask again. Contract: the Journaling API of Adobe I/O Events. Elements are handed on byte for
//! byte.

mod access;
mod page;

use std::time::{Duration, SystemTime};

use http::{StatusCode, header};
use reqwest::{Method, Url};

pub use self::{
    access::{Access, Credentials},
    page::{Element, Page},
};
use crate::runtime::fetch::{Client, FetchError, Limits, ShownUrl};

/// Limits of a page: it has as many events as Adobe likes; the largest seen are a few MB.
const PAGE_LIMITS: Limits = Limits { time: Duration::from_secs(60), bytes: 64 * 1024 * 1024 };

/// The position where reading begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The oldest event that the journal still has.
    Oldest,
    /// Events no older than this.
    Since(Duration),
    /// Events after the one at this position.
    After(String),
}

/// One registration's journal.
#[derive(Debug)]
pub struct Journal {
    client: Client,
    /// Has no query.
    url: Url,
    organization: String,
    access: Access,
}

/// The journal sent no page.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Passes by itself; `after` is when to try again, if the journal says so.
    #[error("cannot read the journal at the moment: {what}")]
    Passing { what: String, after: Option<Duration> },
    /// Needs a change of the configuration or at Adobe.
    #[error("the journal refused the request: {what}")]
    Refused { what: String },
    /// The answer is not that of a journal.
    #[error("{place} did not send a valid journal response: {what}")]
    Strange { place: ShownUrl, what: String },
}

impl JournalError {
    pub fn is_worth_retrying(&self) -> bool {
        matches!(self, Self::Passing { .. })
    }
}

impl From<FetchError> for JournalError {
    fn from(error: FetchError) -> Self {
        let what = error.to_string();
        match error.is_worth_retrying() {
            true => Self::Passing { what, after: None },
            false => Self::Refused { what },
        }
    }
}

impl Journal {
    /// `organization` is the IMS organization's id, `…@AdobeOrg`.
    pub fn new(client: Client, url: Url, organization: &str, credentials: Credentials) -> Self {
        let access = Access::new(client.clone(), credentials);
        Self { client, url, organization: organization.to_owned(), access }
    }

    /// Returns the URL of the first page.
    pub fn begin(&self, start: &Start) -> Url {
        let mut url = self.url.clone();
        match start {
            Start::Oldest => {}
            Start::Since(ago) => {
                url.query_pairs_mut().append_pair("seek", &format!("-PT{}S", ago.as_secs()));
            }
            Start::After(position) => {
                url.query_pairs_mut().append_pair("since", position);
            }
        }
        url
    }

    /// Reads the page at `url`: [`Journal::begin`]'s, or the one that the page before it names. `now` decides
    /// whether a token has expired and how long a date that the journal names is away.
    pub async fn read(&mut self, url: &Url, now: SystemTime) -> Result<Page, JournalError> {
        let answer = match self.ask(url, now).await? {
            // A token can end before its time: a new one is tried once.
            answer if answer.status == StatusCode::UNAUTHORIZED => {
                self.access.forget();
                self.ask(url, now).await?
            }
            answer => answer,
        };
        page::read(url, answer, now)
    }

    async fn ask(
        &mut self,
        url: &Url,
        now: SystemTime,
    ) -> Result<crate::runtime::fetch::Answer, JournalError> {
        let token = self.access.token(now).await?;
        let request = self
            .client
            .request(Method::GET, url.clone())
            .header("x-ims-org-id", &self.organization)
            .header("x-api-key", self.access.client_id())
            .bearer_auth(token.expose())
            .header(header::ACCEPT, "application/json")
            .build()
            .map_err(|error| JournalError::Refused { what: error.without_url().to_string() })?;
        Ok(self.client.send(request, PAGE_LIMITS).await?)
    }
}
