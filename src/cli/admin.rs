//! A client of the admin listener of a running service, for `top`, `tap` and `send`: its address, its token if it
//! wants one, and its answers.
//!
//! Unknown members of an answer are ignored and missing ones are empty: client and service may be of different
//! versions. The size of an answer is bounded.

pub mod events;

use std::{fs, path::PathBuf, time::Duration};

use clap::Args;
use http::{HeaderValue, Method, StatusCode, header::AUTHORIZATION};
use reqwest::{Request, Url};
use serde::de::DeserializeOwned;

use super::{ConfigFile, Context};
pub use crate::observe::api::objects as answers;
use crate::{
    config::{self, Questions},
    runtime::fetch::{Answer, Client, FetchError, Limits, Stream},
};

/// Address and token of the admin listener.
#[derive(Args, Clone, Debug)]
pub(super) struct Place {
    /// The admin listener, as in `http://bridge:9090`. Default: http://127.0.0.1 with the port of the configuration's
    /// admin.address
    #[arg(long, value_name = "URL")]
    pub admin: Option<String>,

    /// File with a token of admin.tokens or admin.tokens_file, for a listener that wants one
    #[arg(long = "admin-token-file", visible_alias = "token-file", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// The configuration file, for its admin.address alone
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Limits of an answer: a large service has some hundred sources and some thousand topics.
const ANSWER_LIMITS: Limits = Limits { time: Duration::from_secs(5), bytes: 32 * 1024 * 1024 };

/// Sends requests to the admin listener.
#[derive(Clone)]
pub(super) struct Admin {
    client: Client,
    base: Url,
    authorization: Option<HeaderValue>,
}

impl Admin {
    pub fn new(place: &Place, context: &Context<'_>) -> Result<Self, String> {
        let base = match &place.admin {
            Some(url) => url.clone(),
            None => default_url(place, context),
        };
        let with_scheme = if base.contains("://") { base } else { format!("http://{base}") };
        let base: Url =
            with_scheme.parse().map_err(|error| format!("{with_scheme} is no URL: {error}"))?;
        if !["http", "https"].contains(&base.scheme()) {
            return Err(format!("{base} must begin with http:// or https://"));
        }
        let authorization = place.token_file.as_ref().map(authorization).transpose()?;
        Ok(Self { client: Client::new()?, base, authorization })
    }

    /// Returns the URL of the listener, for messages.
    pub fn place(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    fn request(&self, path: &str, query: &[(&str, &str)]) -> Result<Request, String> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(Method::GET, url);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.build().map_err(|error| error.to_string())
    }

    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, String> {
        let answer = self.client.send(self.request(path, query)?, ANSWER_LIMITS).await;
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        match answer.status {
            StatusCode::OK => serde_json::from_slice(&answer.body).map_err(|error| {
                format!("{} does not answer with valid JSON: {error}", self.place())
            }),
            status => Err(self.refused(status, Some(&answer))),
        }
    }

    /// Opens a stream of server-sent events.
    pub async fn events(&self, query: &[(&str, &str)]) -> Result<Stream, String> {
        let request = self.request("/api/v1/events", query)?;
        let stream = self.client.stream(request, ANSWER_LIMITS.time).await;
        let stream = stream.map_err(|error| self.unreachable(&error))?;
        match stream.status() {
            StatusCode::OK => Ok(stream),
            status => Err(self.refused(status, None)),
        }
    }

    fn unreachable(&self, error: &FetchError) -> String {
        format!("{error}; is the service running, and is this its admin listener (--admin)?")
    }

    fn refused(&self, status: StatusCode, answer: Option<&Answer>) -> String {
        let place = self.place();
        let why = answer.and_then(|it| serde_json::from_slice::<answers::Problem>(&it.body).ok());
        let why = why.map(|why| format!(": {}", why.text)).unwrap_or_default();
        let hint = match (status, &self.authorization) {
            (StatusCode::UNAUTHORIZED, None) => {
                "; give a file with one of them (--admin-token-file)"
            }
            (StatusCode::UNAUTHORIZED, Some(_)) => "",
            (StatusCode::FORBIDDEN, _) => "; its name is not in admin.hosts",
            (StatusCode::NOT_FOUND, _) => "; is it an admin listener of this version?",
            _ => "",
        };
        format!("{place} answers {status}{why}{hint}")
    }
}

/// Returns the URL of `admin.address`, or of its default where the configuration has mistakes.
fn default_url(place: &Place, context: &Context<'_>) -> String {
    let file = ConfigFile { config: place.config.clone() };
    let loaded = context.read(&file, &Questions::NONE, &|_| Vec::new());
    let address =
        loaded.map_or_else(|_| config::Admin::default().address, |it| it.config.admin.address);
    match (address.ip().is_unspecified(), address.is_ipv6()) {
        (true, false) => format!("http://127.0.0.1:{}", address.port()),
        (true, true) => format!("http://[::1]:{}", address.port()),
        (false, _) => format!("http://{address}"),
    }
}

fn authorization(file: &PathBuf) -> Result<HeaderValue, String> {
    let named = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| format!("cannot read the token file {named}: {error}"))?;
    let token = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(format!("the token file {named} has no token alone in its first line"));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| format!("the token in {named} cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}
