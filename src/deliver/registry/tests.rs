//! The registry's client against a played registry with prescribed answers.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpListener,
    time::Instant,
};

use super::{
    ask::{NoId, NoIdKind},
    table::Table,
    *,
};
use crate::{
    config::{Credentials, Register, SchemaRegistry, Secret, SubjectBy},
    deliver::schema::{Format, IdPlace, SchemaId, SchemaState},
    spool::disk::RealDisk,
};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers each request with the current status and body of `says`, and keeps the requests.
struct Played {
    url: String,
    says: Arc<Mutex<(u16, String)>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Played {
    fn start(status: u16, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        let says = Arc::new(Mutex::new((status, body.to_owned())));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&says);
        let heard = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut piece = [0; 4096];
                // Reads the whole request: closing with unread bytes would lose the answer.
                while !is_whole(&request) {
                    match stream.read(&mut piece) {
                        Ok(0) | Err(_) => break,
                        Ok(count) => request.extend_from_slice(&piece[..count]),
                    }
                }
                heard.lock().push(String::from_utf8(request).unwrap());
                let (status, body) = told.lock().clone();
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                );
            }
        });
        Self { url, says, asked }
    }

    fn config(&self) -> SchemaRegistry {
        SchemaRegistry {
            url: self.url.parse().unwrap(),
            format: Format::Avro,
            subject: SubjectBy::TopicName,
            register: Register::Auto,
            id: IdPlace::Value,
            limit: 10,
            credentials: Credentials::None,
            ca_file: None,
            identity_files: None,
        }
    }

    fn set(&self, status: u16, body: &str) {
        *self.says.lock() = (status, body.to_owned());
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse().unwrap())
}

fn wanted(subject: &str) -> Wanted {
    Wanted { subject: subject.into(), format: Format::Avro, text: r#"{"type":"string"}"#.into() }
}

#[track_caller]
fn until(answer: &Answer, what: &str, is_it: impl Fn(&SchemaState) -> bool) -> SchemaState {
    let end = Instant::now() + ANSWER_TIMEOUT;
    loop {
        let state = answer.state();
        if is_it(&state) {
            return state;
        }
        assert!(Instant::now() < end, "{what}: {state:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn start(config: &SchemaRegistry, folder: &Path) -> Arc<Registry> {
    Registry::start(config, Arc::new(RealDisk), folder, &Metrics::new()).unwrap()
}

fn known(number: u32) -> SchemaState {
    SchemaState::Known(SchemaId { number, guid: None })
}

#[test]
fn a_schema_is_registered_once_and_its_id_is_there_for_all_that_want_it() {
    let played = Played::start(200, r#"{"id":7}"#);
    let folder = tempfile::tempdir().unwrap();
    let registry = start(&played.config(), folder.path());
    let first = registry.want(wanted("a b-value"));
    until(&first, "an id", |state| *state == known(7));
    assert_eq!(registry.want(wanted("a b-value")).state(), known(7));
    let asked = played.asked.lock();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with("POST /api/subjects/a%20b-value/versions?normalize=true "));
    assert!(asked[0].contains(r#"{"schema":"{\"type\":\"string\"}","schemaType":"AVRO"}"#));
}

#[test]
fn with_register_never_a_schema_is_looked_up_and_a_missing_one_says_what_to_do() {
    let played = Played::start(404, "{}");
    let folder = tempfile::tempdir().unwrap();
    let config = SchemaRegistry { register: Register::Never, ..played.config() };
    let registry = start(&config, folder.path());
    let answer = registry.want(wanted("s"));
    let state = until(&answer, "a reason", |state| matches!(state, SchemaState::Unavailable(_)));
    let SchemaState::Unavailable(why) = state else { unreachable!() };
    assert!(why.contains("subject `s`") && why.contains("millrace topics"), "{why}");
    assert!(played.asked.lock()[0].starts_with("POST /api/subjects/s?normalize=true "));
    played.set(200, r#"{"subject":"s","id":3,"version":1,"schema":"…"}"#);
    until(&answer, "an id", |state| *state == known(3));
}

#[test]
fn a_refusal_is_told_with_subject_and_reason_and_no_secret_and_asked_about_again() {
    let said = r#"{"error_code":409,"message":"field x\nis new"}"#;
    for (status, expected) in [
        (409, "incompatible with the versions that it has (409, error 409: field x is new)"),
        (401, "denies access to subject `s`"),
        (403, "denies access to subject `s`"),
        (422, "invalid (422"),
        (500, "answers 500"),
        (302, "answers 302"),
    ] {
        let played = Played::start(status, said);
        let folder = tempfile::tempdir().unwrap();
        let password = Secret::new("hunter2").unwrap();
        let credentials = Credentials::Password { username: "u".into(), password };
        let registry = start(&SchemaRegistry { credentials, ..played.config() }, folder.path());
        let answer = registry.want(wanted("s"));
        let state = until(&answer, "a reason", |it| matches!(it, SchemaState::Unavailable(_)));
        let told = format!("{state:?}");
        assert!(told.contains("`s`") && told.contains(expected), "{told}");
        assert!(!told.contains("hunter2"));
        assert!(played.asked.lock()[0].contains("authorization: Basic dTpodW50ZXIy\r\n"));
        played.set(200, r#"{"id":1}"#);
        until(&answer, "an id", |state| *state == known(1));
    }
}

#[test]
fn an_id_from_the_disk_is_used_while_the_registry_is_away_and_confirmed_once_it_is_there() {
    let played = Played::start(200, r#"{"id":7}"#);
    let folder = tempfile::tempdir().unwrap();
    {
        let registry = start(&played.config(), folder.path());
        until(&registry.want(wanted("s")), "an id", |state| *state == known(7));
        let end = Instant::now() + ANSWER_TIMEOUT;
        while !folder.path().join("schema.ids").exists() {
            assert!(Instant::now() < end, "the id is written to the disk");
            thread::sleep(Duration::from_millis(5));
        }
    }
    played.set(503, "");
    let registry = start(&played.config(), folder.path());
    let answer = registry.want(wanted("s"));
    assert_eq!(answer.state(), known(7), "at once");
    let other = registry.want(wanted("other"));
    until(&other, "a reason", |state| matches!(state, SchemaState::Unavailable(_)));
    assert_eq!(answer.state(), known(7));
    played.set(200, r#"{"id":8}"#);
    until(&answer, "the id that the registry gives now", |state| *state == known(8));
    until(&other, "an id", |state| *state == known(8));
}

#[test]
fn a_registry_that_does_not_answer_is_the_reason_for_all_that_wait_at_once() {
    let now = Instant::now();
    let mut table = Table::new(10, BTreeMap::new(), &Metrics::new());
    let answers: Vec<_> = ["a", "b", "c"].map(|it| table.want(wanted(it)).0).into();
    let later = now + Duration::from_secs(1);
    let asked = table.next(later).unwrap();
    let away = || Err(NoId { kind: NoIdKind::Away, text: "away".into() });
    let change = table.answered(&asked, away(), later);
    assert_eq!(change.is_away, Some(true));
    for answer in &answers {
        assert_eq!(answer.state(), SchemaState::Unavailable("away".into()));
    }
    assert_eq!(table.want(wanted("d")).0.state(), SchemaState::Unavailable("away".into()));
    assert_eq!(table.next(later), None, "it is left alone for a moment");
    let much_later = later + Duration::from_secs(60);
    let asked = table.next(much_later).unwrap();
    assert_eq!(table.next(much_later), None, "one question at a time");
    let id = SchemaId { number: 1, guid: None };
    let change = table.answered(&asked, Ok(id), much_later);
    assert_eq!(change.is_away, Some(false));
    assert_eq!((0..3).filter_map(|_| table.next(much_later)).count(), 3, "then all others");
}

#[test]
fn a_subject_that_is_refused_keeps_none_from_being_asked_about() {
    let mut table = Table::new(10, BTreeMap::new(), &Metrics::new());
    let mut now = Instant::now() + Duration::from_secs(1);
    table.want(wanted("bad"));
    for round in 0..20 {
        let asked = table.next(now).unwrap();
        let refused = Err(NoId { kind: NoIdKind::Invalid, text: "no".into() });
        let change = table.answered(&asked, refused, now);
        assert_eq!(change.refusal.is_some(), round == 0, "reported once");
        now += Duration::from_secs(60);
    }
    table.want(wanted("good"));
    let asked: Vec<_> = (0..2).filter_map(|_| table.next(now)).collect();
    assert!(asked.contains(&wanted("good")));
}

#[test]
fn a_refusal_for_another_reason_is_reported_again() {
    use NoIdKind::{Denied, Invalid};
    let mut table = Table::new(10, BTreeMap::new(), &Metrics::new());
    let mut now = Instant::now() + Duration::from_secs(1);
    table.want(wanted("s"));
    for (kind, is_reported) in [(Denied, true), (Denied, false), (Invalid, true), (Denied, true)] {
        let asked = table.next(now).unwrap();
        let change = table.answered(&asked, Err(NoId { kind, text: "no".into() }), now);
        assert_eq!(change.refusal.is_some(), is_reported, "{kind:?}");
        now += Duration::from_secs(60);
    }
}

#[test]
fn schemas_beyond_the_limit_are_refused_with_the_key_to_raise() {
    let mut table = Table::new(1, BTreeMap::new(), &Metrics::new());
    table.want(wanted("a"));
    let (answer, is_new) = table.want(wanted("b"));
    assert!(!is_new);
    let SchemaState::Unavailable(why) = answer.state() else { panic!("there was no room") };
    assert!(why.contains("kafka.schema_registry.limit"), "{why}");
}

#[test]
fn a_check_asks_the_registry_once_and_says_what_to_do() {
    for (status, body, is_fine, expected) in [
        (200, r#"["AVRO","JSON"]"#, true, "answers"),
        (200, r#"["JSON"]"#, false, "kafka.schema_registry.format"),
        (200, "<html>", false, "kafka.schema_registry.url"),
        (
            401,
            r#"{"error_code":40101,"message":"unknown user"}"#,
            false,
            "401, error 40101: unknown user",
        ),
        (403, "", false, "kafka.schema_registry.username"),
        (404, "", false, "/apis/ccompat/v7"),
        (503, "", false, "answers 503"),
        (302, "", false, "answers 302"),
    ] {
        let played = Played::start(status, body);
        let password = Secret::new("hunter2").unwrap();
        let credentials = Credentials::Password { username: "u".into(), password };
        let said = reach(&SchemaRegistry { credentials, ..played.config() });
        assert_eq!(said.is_ok(), is_fine, "{status} {body}: {said:?}");
        let (Ok(text) | Err(text)) = said;
        assert!(text.contains(expected) && !text.contains("hunter2"), "{status}: {text}");
        let asked = played.asked.lock();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert!(asked[0].starts_with("GET /api/schemas/types "), "{asked:?}");
        assert!(asked[0].contains("authorization: Basic dTpodW50ZXIy\r\n"));
    }
}

#[test]
fn a_check_says_that_a_registry_is_away() {
    let played = Played::start(200, "");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let said = reach(&SchemaRegistry { url: url.parse().unwrap(), ..played.config() });
    let text = said.unwrap_err();
    assert!(text.contains(&url) && text.contains("kafka.schema_registry.url"), "{text}");
}
