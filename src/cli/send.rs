//! `millrace send`: sends one event, and shows the request, the answer, and where the event landed.

mod event;

use std::{
    ffi::OsString,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Args;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, header::AUTHORIZATION, header::CONTENT_TYPE,
};
use reqwest::Url;
use uuid::Uuid;

use self::event::Kind;
use super::{
    Context, Exit,
    admin::{Admin, Place, answers::DeliveryDetail},
    colours::{Tone, painted},
    print, program,
    simulate::TokenScheme,
    text,
};
use crate::{
    runtime::fetch::{Answer, Client, Limits},
    sender::adobe::{Keys, keys, requests::signed},
};

/// Send one event as Marketo or Adobe I/O would, and show what becomes of it
///
/// Prints the request, the answer, and, where the service's admin listener can be reached, the topic, partition and
/// offset of the event. The event is made up; its ids are new each time. It goes the whole way: send it to a service
/// whose topics may have it.
///
/// Exit codes: 0 it was accepted, and arrived as far as that can be seen; 1 it was not; 2 the command line is wrong.
#[derive(Args)]
pub(super) struct Options {
    /// URL of the source, as in `http://bridge:8080/v1/leads`
    #[arg(long, value_name = "URL")]
    to: String,
    /// The sender to imitate
    #[arg(long = "as", value_name = "SENDER", default_value = "marketo")]
    sender: Kind,
    /// The event's type, as topics are named: clicklink, custom-100001 …
    #[arg(long = "type", value_name = "TYPE", default_value = "clicklink")]
    event_type: String,

    /// File with the source's token. Default: the token in SEND_TOKEN. Adobe's events are signed where there is none
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Scheme before the token in the Authorization header
    #[arg(long, value_name = "WORD", default_value = "Bearer")]
    token_scheme: TokenScheme,
    /// Recipient client id in Adobe's event
    #[arg(long, value_name = "ID", default_value = "millrace-send")]
    client_id: String,
    /// Folder for the public keys of the signatures, as prod/keys/<file>: the service's adobe.keys_folder
    #[arg(long, value_name = "FOLDER")]
    keys_folder: Option<PathBuf>,

    #[command(flatten)]
    place: OfService,
}

/// As [`Place`], with other names: `--token-file` is the source's token here.
#[derive(Args)]
struct OfService {
    /// The admin listener, as in `http://bridge:9090`. Default: the host of --to, with the port of the configuration's
    /// admin.address
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// File with a token of admin.tokens or admin.tokens_file, for a listener that wants one
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// The configuration file, for its admin.address alone
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The environment variable that may hold the token.
const TOKEN_VARIABLE: &str = "SEND_TOKEN";
/// Limits of the answer: the time is that of the slower of the two senders.
const ANSWER_LIMITS: Limits = Limits { time: Duration::from_secs(20), bytes: 64 * 1024 };
/// How long the event is followed on its way to a topic.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(200);

pub(super) fn run(options: &Options, context: &mut Context<'_>) -> Exit {
    let fails =
        |problem: String, code, context: &mut Context<'_>| context.end("send", problem, code);
    let url = url(&options.to).map_err(|problem| fails(problem, 2, context))?;
    let token = token(options, &context.environment);
    let token = token.map_err(|problem| fails(problem, 2, context))?;
    if token.is_none() && options.sender == Kind::Marketo {
        let problem = format!(
            "Marketo needs a token: name a file with --token-file, or set {TOKEN_VARIABLE}"
        );
        return Err(fails(problem, 2, context));
    }
    let id = Uuid::new_v4();
    let made = event::make(options.sender, &options.event_type, &options.client_id, id);
    let body = made.map_err(|problem| fails(problem, 2, context))?;
    let runtime = program::runtime().map_err(|problem| fails(problem, 1, context))?;
    runtime.block_on(send(options, url, token, body, context))
}

async fn send(
    options: &Options,
    url: Url,
    token: Option<HeaderValue>,
    body: String,
    context: &mut Context<'_>,
) -> Exit {
    let colours = context.colours.out;
    let headers = headers(options, token, &body);
    let headers = headers.map_err(|problem| context.end("send", problem, 2))?;
    let client = Client::new().map_err(|problem| context.end("send", problem, 1))?;
    print(context.out, request_text(&url, &headers, &body, colours));
    let request =
        client.request(Method::POST, url.clone()).headers(headers).body(Bytes::from(body));
    let request = request.build().map_err(|error| context.end("send", error, 2))?;
    let began = Instant::now();
    let answer = client.send(request, ANSWER_LIMITS).await;
    let answer = answer.map_err(|error| context.end("send", error, 1))?;
    print(context.out, answer_text(&answer, began.elapsed(), colours));
    if !answer.status.is_success() {
        let why = "millrace tap --outcome refused --since 1m";
        print(context.out, format_args!("\nnot accepted; the service knows why: {why}\n"));
        return Ok(1);
    }
    let header = |name: &str| Some(answer.headers.get(name)?.to_str().ok()?.to_owned());
    let source = url.path().rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    let Some(position) = header("millrace-position") else {
        print(
            context.out,
            "\naccepted; the answer names no position: is this millrace, and no proxy's own answer?\n",
        );
        return Ok(0);
    };
    follow(options, &url, source, &position, context).await
}

/// Asks the service until the delivery's events are somewhere, and shows where.
async fn follow(
    options: &Options,
    url: &Url,
    source: &str,
    position: &str,
    context: &mut Context<'_>,
) -> Exit {
    let OfService { admin, admin_token_file, config } = &options.place;
    let mut place = Place {
        admin: admin.clone(),
        token_file: admin_token_file.clone(),
        config: config.clone(),
    };
    if place.admin.is_none()
        && let Ok(on_this_machine) = Admin::new(&place, context)
        && let Some(host) = url.host_str()
    {
        let port = on_this_machine.place().rsplit(':').next().unwrap_or_default().to_owned();
        place.admin = Some(format!("http://{host}:{port}"));
    }
    let admin = Admin::new(&place, context).map_err(|problem| context.end("send", problem, 2))?;
    let path = format!("/api/v1/deliveries/{source}/{position}");
    let began = Instant::now();
    loop {
        let detail = match admin.get::<DeliveryDetail>(&path, &[]).await {
            Ok(detail) => detail,
            Err(problem) => {
                let by_hand = format!(
                    "accepted at position {position} of `{source}`; where it landed is not known: {problem}\n\
                     Look yourself: give the admin listener with --admin, or read the topic: `millrace topics` names \
                     it, and `millrace dead-letters show {source}/{position}` tells whether it was refused.\n"
                );
                print(context.out, format_args!("\n{by_hand}"));
                return Ok(0);
            }
        };
        let waits = detail.state == "on-its-way" && began.elapsed() < FOLLOW_TIMEOUT;
        if waits {
            tokio::time::sleep(POLL_INTERVAL).await;
            continue;
        }
        let (arrived, text) = landed(&detail, position, context.colours.out);
        print(context.out, text);
        return Ok(u8::from(!arrived));
    }
}

/// Describes where each event is; returns whether all are on their topics.
fn landed(detail: &DeliveryDetail, position: &str, colours: bool) -> (bool, String) {
    let mut text = String::from("\n");
    let mut arrived = true;
    for event in &detail.events {
        let topic = event.topic.as_deref().unwrap_or("its topic");
        let place = match (event.partition, event.offset) {
            (Some(partition), Some(offset)) => {
                format!("{topic}, partition {partition}, offset {offset}")
            }
            _ => topic.to_owned(),
        };
        let (tone, what) = match event.state.as_str() {
            "delivered" => (Tone::Good, format!("landed on {place}")),
            "settled" => {
                (Tone::Good, format!("delivered to {topic}; the offset is not remembered"))
            }
            "repeat" => (Tone::Warn, "passed over: another event had its id".into()),
            "left-out" => (
                Tone::Warn,
                format!("left out by {}", event.reason.as_deref().unwrap_or("the configuration")),
            ),
            "on-its-way" => (
                Tone::Warn,
                format!("still on its way to {topic}: `millrace top` shows what holds it up"),
            ),
            state => (Tone::Bad, format!("{state}: {}", event.error.as_deref().unwrap_or("-"))),
        };
        arrived &= tone == Tone::Good;
        let line =
            format!("{}  {}", event.position, painted(tone, &text::printable(&what), colours));
        text += &format!("{line}\n");
        if let Some(reason) = event.reason.as_ref().filter(|_| event.state != "left-out") {
            text += &format!(
                "see it: millrace dead-letters show {} --reason {reason}\n",
                event.position
            );
        }
    }
    if let Some(undecodable) = &detail.undecodable {
        arrived = false;
        let words = text::printable(&undecodable.error);
        text +=
            &format!("{}\n", painted(Tone::Bad, &format!("no event was found: {words}"), colours));
    }
    if detail.events.is_empty() && detail.undecodable.is_none() {
        let note = detail.note.clone().unwrap_or_else(|| "nothing is known of its events".into());
        text += &format!("accepted at position {position}: {note}\n");
    }
    (arrived, text)
}

fn url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{text} is no URL: {error}"))?;
    match ["http", "https"].contains(&url.scheme()) {
        true => Ok(url),
        false => Err(format!("{text} must begin with http:// or https://")),
    }
}

/// Returns the value of the Authorization header. No error quotes the token.
fn token(
    options: &Options,
    environment: &[(OsString, OsString)],
) -> Result<Option<HeaderValue>, String> {
    let token = match &options.token_file {
        Some(file) => fs::read_to_string(file)
            .map_err(|error| format!("cannot read the token file {}: {error}", file.display()))?,
        None => match environment.iter().find(|(name, _)| name == TOKEN_VARIABLE) {
            Some((_, token)) => {
                token.clone().into_string().map_err(|_| format!("{TOKEN_VARIABLE} is no text"))?
            }
            None => return Ok(None),
        },
    };
    let authorization = options.token_scheme.header(&token)?;
    let mut value = HeaderValue::from_str(&authorization)
        .map_err(|_| "the token cannot be sent in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Returns the headers that the sender would send.
fn headers(options: &Options, token: Option<HeaderValue>, body: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let request_id = format!("millrace-send-{}", Uuid::new_v4().simple());
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    if let Some(token) = token {
        headers.insert(AUTHORIZATION, token);
    } else if options.sender == Kind::Adobe {
        let name = Uuid::new_v4().simple().to_string();
        let pairs = Keys::generate(&name[..8]).map_err(|error| error.to_string())?;
        if let Some(folder) = &options.keys_folder {
            keys::write(&pairs, folder)
                .map_err(|error| format!("keys folder {}: {error}", folder.display()))?;
        }
        headers.extend(signed(&pairs, body.as_bytes()).map_err(|error| error.to_string())?);
    }
    Ok(headers)
}

fn request_text(url: &Url, headers: &HeaderMap, body: &str, colours: bool) -> String {
    let mut text = painted(Tone::Strong, &format!("POST {url}"), colours) + "\n";
    for (name, value) in headers {
        let value = match value.is_sensitive() {
            true => "***".into(),
            false => String::from_utf8_lossy(value.as_bytes()),
        };
        let value = super::table::cut(&value, 100);
        text += &format!("{}: {value}\n", painted(Tone::Accent, name.as_str(), colours));
    }
    format!("{text}\n{body}\n\n")
}

/// Headers of an answer that say what became of the request.
const SHOWN_HEADERS: [&str; 5] =
    ["x-request-id", "millrace-position", "millrace-answer", "retry-after", "www-authenticate"];

fn answer_text(answer: &Answer, took: Duration, colours: bool) -> String {
    let tone = if answer.status.is_success() { Tone::Good } else { Tone::Bad };
    let status = painted(tone, &format!("HTTP {}", answer.status), colours);
    let mut text = format!("{status} in {}\n", text::time(took));
    for name in SHOWN_HEADERS {
        if let Some(value) = answer.headers.get(name) {
            let value = text::printable(&String::from_utf8_lossy(value.as_bytes()));
            text += &format!("{}: {value}\n", painted(Tone::Accent, name, colours));
        }
    }
    let body = String::from_utf8_lossy(&answer.body);
    if !body.trim().is_empty() {
        text += &format!("\n{}\n", text::printable_lines(body.trim_end()));
    }
    text
}
