//! Forms, as a browser without JavaScript sends them: signing in, and a test delivery.

use bytes::Bytes;
use http::{Response, StatusCode, request::Parts};
use http_body_util::Full;
use hyper::body::Body;
use serde_json::json;

use super::{
    Api, Console, Failure, Page, bare, html_answer, of_problem,
    page::Theme,
    pages::{sign_in, test},
    question::{self, Question},
    see_other, to_sign_in, with_cookie,
};
use crate::observe::api;

/// Bytes of a form.
const MAX_FORM_BYTES: usize = 16 * 1024;

impl<A: Api> Console<A> {
    /// Answers a form of `page`, which is "Sign in" or "Test delivery".
    pub(super) async fn form<B>(
        &self,
        page: &Page,
        theme: Theme,
        head: &Parts,
        body: B,
    ) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let form = match api::read_body(body, MAX_FORM_BYTES).await {
            Ok(form) => Question::of(std::str::from_utf8(&form).ok()),
            Err(problem) => return of_problem(theme, problem.status(), &problem.into()),
        };
        match page {
            Page::Test => self.test_delivery(theme, head, &form).await,
            _ => self.sign_in(theme, head, &form),
        }
    }

    fn sign_in(&self, theme: Theme, head: &Parts, form: &Question) -> Response<Full<Bytes>> {
        let to = form.of_name("to");
        match self.api.sign_in(&form.of_name("token"), head) {
            Ok(cookie) => with_cookie(see_other(question::own_path(&to)), &cookie),
            Err(problem) if problem.status() == StatusCode::FORBIDDEN => {
                of_problem(theme, problem.status(), &problem.into())
            }
            Err(problem) => {
                let content = sign_in::form(question::own_path(&to), Some(&problem.text));
                let page = bare(theme, "Sign in").around(&content);
                html_answer(problem.status(), page.into_string())
            }
        }
    }

    /// Answers by the page itself, with the result.
    async fn test_delivery(
        &self,
        theme: Theme,
        head: &Parts,
        form: &Question,
    ) -> Response<Full<Bytes>> {
        let source = form.of_name("source");
        let event_type = form.of_name("type");
        let request = match event_type.as_str() {
            "" => json!({ "source": source }),
            _ => json!({ "source": source, "type": event_type }),
        };
        let (code, result) = match self.api.test_delivery(request, head).await {
            Ok(said) => (StatusCode::OK, test::Sent::Tried(said)),
            Err(problem) => (problem.status(), test::Sent::Refused(problem.text)),
        };
        match self.test_page(theme, head, Some((&source, &result))).await {
            Ok(page) => html_answer(code, page.into_string()),
            Err(Failure::SignIn) => to_sign_in(&head.uri),
            Err(Failure::Refused(status, problem)) => of_problem(theme, status, &problem),
        }
    }
}
