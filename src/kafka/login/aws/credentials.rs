//! AWS's credentials, from the places where AWS's own SDKs look for them, in their order: the environment, a token of
//! Kubernetes (IRSA), the agent of ECS or of EKS Pod Identity, the metadata of the machine (version 2).

use std::time::{Duration, SystemTime};

use http::StatusCode;
use jiff::Timestamp;
use reqwest::{Method, Request, RequestBuilder, Url};
use serde::Deserialize;

use crate::{
    config::Secret,
    kafka::login::remedy::{said, unreachable},
    runtime::fetch::{Answer, Client, Limits, ShownUrl},
};

/// Keys of a signature.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
    pub ends: Option<SystemTime>,
}

/// Addresses of AWS's services, which tests replace.
pub(super) struct Places {
    /// The address of STS; that of the region if absent.
    pub sts: Option<&'static str>,
    pub ecs: &'static str,
    pub machine: &'static str,
}

impl Places {
    pub const REAL: Self =
        Self { sts: None, ecs: "http://169.254.170.2", machine: "http://169.254.169.254" };
}

/// Limits of the metadata service, which is near, or not there at all.
const METADATA_LIMITS: Limits = Limits { time: Duration::from_secs(1), bytes: 64 * 1024 };
/// Addresses of agents that hand out credentials without https, beside this machine's own.
const AGENT_ADDRESSES: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

type Variable<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

pub(super) async fn find(
    variable: Variable<'_>,
    region: &str,
    places: &Places,
) -> Result<Credentials, String> {
    if let Some(id) = variable("AWS_ACCESS_KEY_ID") {
        let secret = variable("AWS_SECRET_ACCESS_KEY").and_then(Secret::new);
        return Ok(Credentials {
            access_key_id: id,
            secret_access_key: secret
                .ok_or("AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not")?,
            session_token: variable("AWS_SESSION_TOKEN").and_then(Secret::new),
            ends: None,
        });
    }
    if let Some(file) = variable("AWS_WEB_IDENTITY_TOKEN_FILE") {
        return of_web_identity(variable, &file, region, places).await;
    }
    if let Some(url) = agent(variable, places)? {
        return of_agent(variable, url).await;
    }
    if variable("AWS_EC2_METADATA_DISABLED").is_some_and(|off| off.eq_ignore_ascii_case("true")) {
        return Err(format!("{NO_CREDENTIALS}, and AWS_EC2_METADATA_DISABLED is true"));
    }
    of_machine(variable, places).await
}

const NO_CREDENTIALS: &str = "no AWS credentials: none of AWS_ACCESS_KEY_ID, AWS_WEB_IDENTITY_TOKEN_FILE, \
                    AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and AWS_CONTAINER_CREDENTIALS_FULL_URI is set";

/// Exchanges a token of Kubernetes for the role of the service account. STS asks for no signature here.
async fn of_web_identity(
    variable: Variable<'_>,
    file: &str,
    region: &str,
    places: &Places,
) -> Result<Credentials, String> {
    let role = variable("AWS_ROLE_ARN")
        .ok_or("AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not")?;
    // Read each time: Kubernetes replaces it.
    let token = std::fs::read_to_string(file)
        .map_err(|error| format!("AWS_WEB_IDENTITY_TOKEN_FILE names `{file}`: {error}"))?;
    let token = token.trim();
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let regional = format!("https://sts.{region}.{domain}/");
    let session = variable("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "millrace".into());
    let form = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", &role),
        ("RoleSessionName", &session),
        ("WebIdentityToken", token),
    ];
    let url = url(places.sts.unwrap_or(&regional))?;
    let client = Client::new()?;
    let request = client.request(Method::POST, url.clone()).form(&form);
    let answer = send(&client, request, Limits::SMALL, "the way to STS").await?;
    let body = String::from_utf8_lossy(&answer.body);
    if answer.status != StatusCode::OK {
        let parts = ["Code", "Message"]
            .map(|name| said(element(&body, name).unwrap_or_default(), &[token]));
        let place = ShownUrl::of(&url);
        let status = answer.status;
        let parts = parts.iter().filter(|part| !part.is_empty()).map(String::as_str);
        let parts =
            [status.to_string().as_str()].into_iter().chain(parts).collect::<Vec<_>>().join(", ");
        return Err(format!(
            "{place} gives no credentials for the role {role}: {parts}; check the trust of the role \
             (AWS_ROLE_ARN) in this service account"
        ));
    }
    let get = |name: &str| element(&body, name).map(str::to_owned);
    made(
        &ShownUrl::of(&url),
        get("AccessKeyId"),
        get("SecretAccessKey"),
        get("SessionToken"),
        get("Expiration"),
    )
}

/// The text of the first such element in STS's answer, which has neither attributes nor escapes there.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text.trim())
}

/// The address at which an agent beside this process hands out credentials.
fn agent(variable: Variable<'_>, places: &Places) -> Result<Option<Url>, String> {
    if let Some(path) = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        return url(&format!("{}{path}", places.ecs)).map(Some);
    }
    let Some(full) = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") else { return Ok(None) };
    let url = url(&full)?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let is_here = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        || AGENT_ADDRESSES.contains(&host.as_str());
    match url.scheme() == "https" || is_here {
        true => Ok(Some(url)),
        false => Err(format!(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI names {}, which is neither https nor an agent of AWS's",
            ShownUrl::of(&url)
        )),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Handed {
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    expiration: Option<String>,
}

async fn of_agent(variable: Variable<'_>, url: Url) -> Result<Credentials, String> {
    let client = Client::direct()?;
    let mut request = client.request(Method::GET, url.clone());
    let token = match variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(file) => Some(std::fs::read_to_string(&file).map_err(|error| {
            format!("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names `{file}`: {error}")
        })?),
        None => variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    if let Some(token) = &token {
        request = request.header(http::header::AUTHORIZATION, token.trim());
    }
    let answer =
        send(&client, request, Limits::SMALL, "AWS_CONTAINER_CREDENTIALS_FULL_URI").await?;
    handed(&url, &answer, "check the role that this task or pod is associated with")
}

async fn of_machine(variable: Variable<'_>, places: &Places) -> Result<Credentials, String> {
    let own = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    let base = own.unwrap_or_else(|| places.machine.to_owned());
    let base = base.trim_end_matches('/');
    let client = Client::direct()?;
    let session = url(&format!("{base}/latest/api/token"))?;
    let request = client
        .request(Method::PUT, session.clone())
        .header("x-aws-ec2-metadata-token-ttl-seconds", "300");
    let request = request.build().map_err(|error| error.without_url().to_string())?;
    let answer = client
        .send(request, METADATA_LIMITS)
        .await
        .map_err(|error| format!("{NO_CREDENTIALS}; {error}"))?;
    let session_token = match answer.status {
        StatusCode::OK => String::from_utf8_lossy(&answer.body).trim().to_owned(),
        status => {
            return Err(format!("{NO_CREDENTIALS}; {} answers {status}", ShownUrl::of(&session)));
        }
    };
    let ask = async |path: &str| {
        let url = url(&format!("{base}/latest/meta-data/iam/security-credentials/{path}"))?;
        let request = client
            .request(Method::GET, url.clone())
            .header("x-aws-ec2-metadata-token", &session_token);
        send(&client, request, METADATA_LIMITS, "this machine's metadata service")
            .await
            .map(|it| (url, it))
    };
    let (url, roles) = ask("").await?;
    let roles_text = String::from_utf8_lossy(&roles.body).into_owned();
    let role = roles_text.lines().next().unwrap_or_default().trim();
    if roles.status != StatusCode::OK || role.is_empty() {
        let place = ShownUrl::of(&url);
        let status = roles.status;
        return Err(format!(
            "{place} answers {status} and names no role; attach an instance profile to this machine"
        ));
    }
    let (url, answer) = ask(role).await?;
    handed(&url, &answer, "check the instance profile of this machine")
}

fn handed(url: &Url, answer: &Answer, remedy: &str) -> Result<Credentials, String> {
    let place = ShownUrl::of(url);
    if answer.status != StatusCode::OK {
        let body = said(&String::from_utf8_lossy(&answer.body), &[]);
        return Err(format!("{place} gives no credentials: {}, {body}; {remedy}", answer.status));
    }
    // The parser's error is left out: it may quote a secret.
    let handed: Option<Handed> = serde_json::from_slice(&answer.body).ok();
    let it = handed
        .ok_or_else(|| format!("{place} does not answer with JSON of credentials; {remedy}"))?;
    made(&place, it.access_key_id, it.secret_access_key, it.token, it.expiration)
}

fn made(
    place: &ShownUrl,
    id: Option<String>,
    secret: Option<String>,
    token: Option<String>,
    ends: Option<String>,
) -> Result<Credentials, String> {
    let lacking = || format!("{place} answers without AccessKeyId or SecretAccessKey");
    let ends = match ends {
        None => None,
        Some(text) => {
            let time: Timestamp = text
                .parse()
                .map_err(|_| format!("{place} says an end of the credentials that is no time"))?;
            let since = u64::try_from(time.as_millisecond()).unwrap_or_default();
            Some(SystemTime::UNIX_EPOCH + Duration::from_millis(since))
        }
    };
    Ok(Credentials {
        access_key_id: id.filter(|id| !id.is_empty()).ok_or_else(lacking)?,
        secret_access_key: secret.and_then(Secret::new).ok_or_else(lacking)?,
        session_token: token.and_then(Secret::new),
        ends,
    })
}

fn url(text: &str) -> Result<Url, String> {
    text.parse().map_err(|_| "an address of AWS's credentials is no URL".to_owned())
}

async fn send(
    client: &Client,
    request: RequestBuilder,
    limits: Limits,
    what: &str,
) -> Result<Answer, String> {
    let request: Request = request.build().map_err(|error| error.without_url().to_string())?;
    let sent = client.send(request, limits).await;
    sent.map_err(|error| unreachable(&error, "SSL_CERT_FILE", what))
}

#[cfg(test)]
impl Credentials {
    /// The credentials of AWS's test suite.
    pub fn example(session_token: Option<&str>) -> Self {
        Self {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY").unwrap(),
            session_token: session_token.and_then(Secret::new),
            ends: None,
        }
    }
}

#[cfg(test)]
mod tests;
