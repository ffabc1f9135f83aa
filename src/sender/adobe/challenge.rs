//! The beginning of a registration: Adobe sends the webhook a value that it must return.

use std::time::Duration;

use crate::sender::http::Endpoint;

/// Sends the challenge, as Adobe does when a registration is made, edited or enabled again. The error
/// says why Adobe would refuse the webhook.
pub async fn ask(endpoint: &Endpoint, value: &str, timeout: Duration) -> Result<(), String> {
    let page = endpoint.get("challenge", value, timeout).await?;
    if page.status != http::StatusCode::OK {
        return Err(format!("it is answered {}", page.status));
    }
    if page.body != value.as_bytes() {
        return Err("another text than the challenge comes back".into());
    }
    let content_type = page.content_type.unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("text/plain") {
        return Err(format!("the answer has content type {content_type:?} instead of text/plain"));
    }
    Ok(())
}
