//! A token of an OpenID provider, by client credentials.
//!
//! The client shows its secret in the header (`client_secret_basic`, as librdkafka does), and to a provider that
//! refuses that in the form (`client_secret_post`): some know the one, some the other.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::{
    Token,
    remedy::{said, unreachable},
};
use crate::{
    config::{Authorities, Oidc, Secret},
    runtime::fetch::{Answer, Client, Limits, ShownUrl, Trust},
};

/// Limit of a token's lifetime: a provider that says a thousand years means "long enough".
const MAX_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Serialize)]
struct Request<'a> {
    grant_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    error: String,
    error_description: String,
}

pub(super) async fn fetch(oidc: &Oidc) -> Result<Token, String> {
    let client = client(oidc)?;
    let asked = SystemTime::now();
    let mut answer = ask(&client, oidc, true).await?;
    if [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED].contains(&answer.status)
        && refused(&answer).error == "invalid_client"
    {
        answer = ask(&client, oidc, false).await?;
    }
    match answer.status {
        StatusCode::OK => granted(oidc, &answer, asked),
        _ => Err(refusal(oidc, &answer)),
    }
}

/// Made again for each token: a file of authorities may have been replaced, and tokens are fetched seldom.
fn client(oidc: &Oidc) -> Result<Client, String> {
    match &oidc.authorities {
        None => Client::new(),
        Some(Authorities::Pem(text)) => Client::trusting(Trust::authorities(text.as_bytes()))
            .map_err(|problem| format!("kafka.properties.\"https.ca.pem\": {problem}")),
        Some(Authorities::File(file)) => std::fs::read(file)
            .map_err(|error| error.to_string())
            .and_then(|pem| Client::trusting(Trust::authorities(&pem)))
            .map_err(|problem| {
                let file = file.display();
                format!("kafka.properties.\"https.ca.location\" names `{file}`: {problem}")
            }),
    }
}

async fn ask(client: &Client, oidc: &Oidc, in_header: bool) -> Result<Answer, String> {
    let id = oidc.client_id.as_str();
    let secret = oidc.client_secret.expose();
    let form = Request {
        grant_type: "client_credentials",
        scope: oidc.scope.as_deref(),
        audience: oidc.audience.as_deref(),
        client_id: (!in_header).then_some(id),
        client_secret: (!in_header).then_some(secret),
    };
    let mut request = client
        .request(Method::POST, oidc.token_url.clone())
        .header(http::header::ACCEPT, "application/json")
        .form(&form);
    if in_header {
        request = request.basic_auth(id, Some(secret));
    }
    let request = request.build().map_err(|error| error.without_url().to_string())?;
    let sent = client.send(request, Limits::SMALL).await;
    sent.map_err(|error| {
        let authorities = "https.ca.location";
        unreachable(&error, authorities, "sasl.oauthbearer.token.endpoint.url")
    })
}

fn granted(oidc: &Oidc, answer: &Answer, asked: SystemTime) -> Result<Token, String> {
    let place = ShownUrl::of(&oidc.token_url);
    // The parser's error is left out: it may quote the token.
    let granted: Option<Granted> = serde_json::from_slice(&answer.body).ok();
    let strange = || {
        format!(
            "{place} answers 200 without JSON with access_token; check \
             sasl.oauthbearer.token.endpoint.url: it is the token endpoint of the provider"
        )
    };
    let granted = granted.ok_or_else(strange)?;
    let text = Secret::new(&granted.access_token).ok_or_else(strange)?;
    let lifetime = granted.expires_in.as_ref().and_then(|time| match time {
        serde_json::Value::String(text) => text.parse().ok(),
        number => number.as_f64().map(|seconds| seconds.max(0.0) as u64),
    });
    let ends = match lifetime.map(Duration::from_secs) {
        Some(lifetime) => Some(asked + lifetime.min(MAX_LIFETIME)),
        None => end_of(text.expose()),
    };
    let ends = ends.ok_or_else(|| {
        format!("{place} gives a token and does not say for how long (expires_in)")
    })?;
    Ok(Token { text, ends, extensions: oidc.extensions.clone() })
}

/// The end of validity in a signed token.
fn end_of(token: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp))
}

fn refused(answer: &Answer) -> Refused {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// The provider's refusal in its own words, and the remedy.
fn refusal(oidc: &Oidc, answer: &Answer) -> String {
    let place = ShownUrl::of(&oidc.token_url);
    let status = answer.status;
    let Refused { error, error_description } = refused(answer);
    let secrets = [oidc.client_secret.expose()];
    let error = said(&error, &secrets);
    let mut text = format!("{place} gives no token: {status}");
    for said in [&error, &said(&error_description, &secrets)] {
        if !said.is_empty() {
            text.push_str(&format!(", {said}"));
        }
    }
    let remedy = match (error.as_str(), status) {
        ("invalid_client", _) | (_, StatusCode::UNAUTHORIZED) => {
            "check sasl.oauthbearer.client.id and client.secret (or its file)"
        }
        ("invalid_scope", _) => "check sasl.oauthbearer.scope",
        ("invalid_target" | "access_denied", _) | (_, StatusCode::FORBIDDEN) => {
            "check sasl.oauthbearer.audience and scope, and what the provider allows this client"
        }
        ("unauthorized_client" | "unsupported_grant_type", _) => {
            "allow this client the grant client_credentials at the provider"
        }
        (_, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => {
            "check sasl.oauthbearer.token.endpoint.url"
        }
        (_, StatusCode::TOO_MANY_REQUESTS) => "the provider limits how often it is asked",
        (_, status) if status.is_redirection() => {
            "check sasl.oauthbearer.token.endpoint.url: redirects are not followed"
        }
        (_, status) if status.is_server_error() => "this is the provider's trouble",
        _ => "check sasl.oauthbearer.scope and audience: some providers require one",
    };
    format!("{text}; {remedy}")
}

#[cfg(test)]
mod tests;
