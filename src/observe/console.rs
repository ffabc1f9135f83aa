//! The console: pages for operators on the admin listener, of the same data as the API's.
//!
//! - A page is whole without JavaScript, and signing in and out and a test delivery are ordinary forms; the one script
//!   keeps a page up to date, and sends replays and test deliveries to the API.
//! - Each page asks the API, within the process and with the head of its own request. So `Host`, token and session
//!   count here as they do there, and a page shows nothing that the API would not.
//! - Everything is escaped: pages are made by `maud`, which escapes by default, and the policy below lets a browser run
//!   no script, style or handler that stands in a page.
//! - A page is bounded: 50 rows, 1,000 characters of a body in a list.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header, request::Parts};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body;
use maud::Markup;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::{
    model::{Problem, Session, Status, TestDelivery, Words},
    page::{Frame, Place, Theme},
    pages::{dead_letters, deliveries, delivery, overview, path, problem, replay, sign_in, test},
};
use super::api;

mod assets;
mod forms;
mod link;
mod model;
mod page;
mod pages;
mod parts;
mod plot;
mod question;
#[cfg(test)]
mod tests;
mod text;

use self::question::Question;

/// Rows on a page of deliveries and of dead letters.
const ROWS_PER_PAGE: &str = "50";

const SIGN_OUT_PATH: &str = "/sign-out";
/// Bytes of the form that signs out; its content is not used.
const MAX_SIGN_OUT_FORM_BYTES: usize = 4096;

/// `script-src`, `style-src` and the others follow `default-src`: a script in a page is never run.
const CONTENT_POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// The API that pages ask, by its paths and with the head of the page's own request.
pub trait Api: Send + Sync + 'static {
    fn get(&self, path: &str, head: &Parts) -> impl Future<Output = (StatusCode, Bytes)> + Send;

    /// Sends a test delivery that a form asks for.
    fn test_delivery(
        &self,
        request: Value,
        head: &Parts,
    ) -> impl Future<Output = Result<TestDelivery, api::Problem>> + Send;

    /// Begins a session by a form's token, and returns its cookie.
    fn sign_in(&self, token: &str, head: &Parts) -> Result<String, api::Problem>;

    /// Ends the session, and returns the cookie that removes it.
    fn sign_out(&self, head: &Parts) -> Result<String, api::Problem>;
}

impl Api for Arc<api::Api> {
    async fn get(&self, path: &str, head: &Parts) -> (StatusCode, Bytes) {
        let mut of_page = head.clone();
        of_page.method = Method::GET;
        of_page.uri = at_path(&head.uri, path);
        let (said, body) = self.answer_head(&of_page).await.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        (said.status, body)
    }

    async fn test_delivery(
        &self,
        request: Value,
        head: &Parts,
    ) -> Result<TestDelivery, api::Problem> {
        api::Api::test_delivery(self, request, head).await
    }

    fn sign_in(&self, token: &str, head: &Parts) -> Result<String, api::Problem> {
        api::Api::sign_in(self, token, head)
    }

    fn sign_out(&self, head: &Parts) -> Result<String, api::Problem> {
        api::Api::sign_out(self, head)
    }
}

/// Replaces the path of `uri`; a request of HTTP/2 keeps the host that its address names.
fn at_path(uri: &Uri, path: &str) -> Uri {
    let mut parts = uri.clone().into_parts();
    // An invalid path becomes none, which the API answers as unknown.
    parts.path_and_query = path.parse().ok();
    Uri::from_parts(parts).unwrap_or_default()
}

/// The console: answers the paths for which [`Console::has`] is true.
pub struct Console<A> {
    api: A,
}

/// The reason why a page cannot be made.
enum Failure {
    /// The API's own refusal.
    Refused(StatusCode, Problem),
    /// A token is missing, and signing in is the way to it.
    SignIn,
}

impl<A: Api> Console<A> {
    pub fn new(api: A) -> Self {
        Self { api }
    }

    /// Returns whether the path is one of the console's.
    pub fn has(path: &str) -> bool {
        assets::at(path).is_some() || path == SIGN_OUT_PATH || Page::at(path).is_some()
    }

    /// Returns whether the path is that of a style sheet, script or icon, which say nothing of the service.
    pub fn is_asset(path: &str) -> bool {
        assets::at(path).is_some()
    }

    pub async fn answer<B>(&self, head: &Parts, body: B) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = head.uri.path();
        if let Some(asset) = assets::at(path) {
            return of_asset(asset);
        }
        let theme = Theme::of(question::cookie(&head.headers, "millrace-theme"));
        let place = Page::at(path);
        match (&head.method, place) {
            (&Method::POST, Some(page @ (Page::SignIn | Page::Test))) => {
                self.form(&page, theme, head, body).await
            }
            (&Method::POST, None) if path == SIGN_OUT_PATH => {
                // Read to its end: a connection with an unread body is closed behind the answer, and the next request
                // on it is lost.
                let _ = api::read_body(body, MAX_SIGN_OUT_FORM_BYTES).await;
                match self.api.sign_out(head) {
                    Ok(cookie) => with_cookie(see_other("/"), &cookie),
                    Err(problem) => of_problem(theme, problem.status(), &problem.into()),
                }
            }
            (&Method::GET | &Method::HEAD, Some(place)) => self.shown(&place, theme, head).await,
            _ => html_answer(StatusCode::METHOD_NOT_ALLOWED, String::new()),
        }
    }

    async fn test_page(
        &self,
        theme: Theme,
        head: &Parts,
        sent: Option<(&str, &test::Sent)>,
    ) -> Result<Markup, Failure> {
        let status: Status = self.ask("/api/v1/status", head).await?;
        let words: Words = self.ask("/api/v1/words", head).await?;
        let content = test::page(&status, &words, sent);
        let frame = Frame {
            theme,
            status: Some(&status),
            place: Place::Test,
            title: "Test delivery",
            live: None,
        };
        Ok(frame.around(&content))
    }

    async fn shown(&self, place: &Page, theme: Theme, head: &Parts) -> Response<Full<Bytes>> {
        let question = Question::of(head.uri.query());
        match self.page(place, &question, theme, head).await {
            Ok(page) => html_answer(StatusCode::OK, page.into_string()),
            Err(Failure::SignIn) => to_sign_in(&head.uri),
            Err(Failure::Refused(status, problem)) => of_problem(theme, status, &problem),
        }
    }

    async fn page(
        &self,
        page: &Page,
        question: &Question,
        theme: Theme,
        head: &Parts,
    ) -> Result<Markup, Failure> {
        if matches!(page, Page::SignIn) {
            let Session { access } = self.ask("/api/v1/session", head).await?;
            let content = sign_in::page(&access, question::own_path(&question.of_name("to")));
            return Ok(bare(theme, "Sign in").around(&content));
        }
        if matches!(page, Page::Test) {
            return self.test_page(theme, head, None).await;
        }
        let status: Status = self.ask("/api/v1/status", head).await?;
        let each_second = || Some("/api/v1/events?only=status".to_owned());
        let (place, title, live, content) = match page {
            Page::Overview => {
                (Place::Overview, "Overview".to_owned(), each_second(), overview::page(&status))
            }
            Page::Path => {
                let all = question.of_name("topics") == "all";
                (Place::Path, "Path".to_owned(), each_second(), path::page(&status, all))
            }
            Page::Deliveries => {
                let asked = question.deliveries();
                let before = Some(asked.before.as_str());
                let found =
                    self.ask(&with_rows(&asked.at("/api/v1/deliveries", before)), head).await?;
                let words: Words = self.ask("/api/v1/words", head).await?;
                // Only the page of the newest requests is live; an older page does not change.
                let live = asked.before.is_empty().then(|| {
                    let filters = [
                        ("source", &asked.source),
                        ("outcome", &asked.outcome),
                        ("reason", &asked.reason),
                    ];
                    let filters = filters.map(|(name, value)| (name, Some(value.as_str())));
                    link::query(
                        "/api/v1/events",
                        &[&[("only", Some("delivery"))][..], &filters].concat(),
                    )
                });
                (
                    Place::Deliveries,
                    "Deliveries".to_owned(),
                    live,
                    deliveries::page(&status, &words, &found, &asked),
                )
            }
            Page::Delivery { source, position } => {
                let path = format!("/api/v1{}", link::delivery(source, position));
                let found: model::DeliveryDetail = self.ask(&path, head).await?;
                let words: Words = self.ask("/api/v1/words", head).await?;
                let live = if found.state == "on-its-way" { each_second() } else { None };
                let title = format!("{} {}", found.source, found.position);
                let all = question.of_name("events") == "all";
                (Place::Deliveries, title, live, delivery::page(&status, &words, &found, all))
            }
            Page::DeadLetters => {
                let asked = question.dead_letters();
                let link = asked.link(&asked.reason, Some(&asked.before));
                let found = self.ask(&with_rows(&format!("/api/v1{link}")), head).await?;
                let last: model::Replays = self.ask("/api/v1/replays", head).await?;
                let live = if asked.before.is_empty() { each_second() } else { None };
                let content = dead_letters::page(&status, &found, &last.replays, &asked);
                (Place::DeadLetters, "Dead letters".to_owned(), live, content)
            }
            Page::Replay { id } => {
                let replay: model::Replay =
                    self.ask(&format!("/api/v1/replays/{id}"), head).await?;
                let live = if replay.state == "running" { each_second() } else { None };
                (
                    Place::DeadLetters,
                    format!("Replay {}", replay.id),
                    live,
                    replay::page(&status, &replay),
                )
            }
            Page::Test | Page::SignIn => unreachable!("answered above"),
        };
        let frame = Frame { theme, status: Some(&status), place, title: &title, live };
        Ok(frame.around(&content))
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str, head: &Parts) -> Result<T, Failure> {
        let (status, body) = self.api.get(path, head).await;
        if status == StatusCode::UNAUTHORIZED {
            return Err(Failure::SignIn);
        }
        let problem = |text: String| Problem { error: "internal".to_owned(), text };
        if !status.is_success() {
            let said = serde_json::from_slice(&body);
            return Err(Failure::Refused(
                status,
                said.unwrap_or_else(|_| problem(format!("The API answered {status}."))),
            ));
        }
        serde_json::from_slice(&body).map_err(|error| {
            let text = format!("An answer of the API to {path} cannot be read: {error}. This is a defect; report it.");
            Failure::Refused(StatusCode::INTERNAL_SERVER_ERROR, problem(text))
        })
    }
}

/// The page that a path names.
enum Page {
    Overview,
    Path,
    Deliveries,
    Delivery { source: String, position: String },
    DeadLetters,
    Replay { id: String },
    Test,
    SignIn,
}

impl Page {
    fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Overview,
            "/path" => Self::Path,
            "/deliveries" => Self::Deliveries,
            "/dead-letters" => Self::DeadLetters,
            "/test" => Self::Test,
            "/sign-in" => Self::SignIn,
            _ => {
                if let Some((source, position)) =
                    path.strip_prefix("/deliveries/").and_then(|rest| rest.split_once('/'))
                {
                    return Some(Self::Delivery {
                        source: question::decoded(source),
                        position: question::decoded(position),
                    });
                }
                let id = path.strip_prefix("/replays/")?;
                let is_id = |c: char| c.is_ascii_alphanumeric() || c == '-';
                return (!id.is_empty() && id.chars().all(is_id))
                    .then(|| Self::Replay { id: id.to_owned() });
            }
        })
    }
}

fn with_rows(link: &str) -> String {
    let separator = if link.contains('?') { '&' } else { '?' };
    format!("{link}{separator}limit={ROWS_PER_PAGE}")
}

fn html_answer(status: StatusCode, page: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(page)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    secure(headers);
    answer
}

fn to_sign_in(uri: &Uri) -> Response<Full<Bytes>> {
    let to = uri.path_and_query().map_or("/", |it| it.as_str());
    let link = link::query("/sign-in", &[("to", Some(to).filter(|to| *to != "/"))]);
    see_other(&link)
}

/// Redirects to a path of ours.
fn see_other(path: &str) -> Response<Full<Bytes>> {
    let mut answer = html_answer(StatusCode::SEE_OTHER, String::new());
    let path = HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static("/"));
    answer.headers_mut().insert(header::LOCATION, path);
    answer
}

fn with_cookie(mut answer: Response<Full<Bytes>>, cookie: &str) -> Response<Full<Bytes>> {
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answer
}

/// Returns the frame of a page without the status, which only a client that may read sees.
fn bare(theme: Theme, title: &str) -> Frame<'_> {
    Frame { theme, status: None, place: Place::Nowhere, title, live: None }
}

fn of_problem(theme: Theme, status: StatusCode, problem: &Problem) -> Response<Full<Bytes>> {
    let page = bare(theme, "Problem").around(&problem::page(problem));
    html_answer(status, page.into_string())
}

fn of_asset(asset: &assets::Asset) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(asset.bytes()));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type()));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    secure(headers);
    answer
}

fn secure(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
}
