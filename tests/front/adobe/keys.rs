//! What the key host has a say in, and what it has not.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::Full;
use millrace::{
    ingest::authenticate::{
        Refusal, adobe_signature::AdobeSignature, caller::Caller, public_keys::PublicKeys,
    },
    observe::metrics::Metrics,
    runtime::fetch::Client,
};
use proptest::prelude::*;

use super::{
    key_host::{KeyHost, Says},
    rig::{EVENT, FIRST_PATH, Rig, SECOND_PATH, pair, presented, signed},
    signer::{FIRST, SECOND, STRANGER},
};
use crate::{
    played::Response,
    support::{Raw, eventually, http2, within},
};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Longer than a fetch takes here.
const MOMENT: Duration = Duration::from_secs(60);

/// The way in, asked at times of the test's choice.
struct Way {
    signature: AdobeSignature,
    metrics: Metrics,
    began: Instant,
}

impl Way {
    fn to(host: &KeyHost) -> Self {
        let (metrics, began) = (Metrics::new(), Instant::now());
        let client = Client::new().unwrap();
        let keys = PublicKeys::of_host(client, host.url.clone(), &metrics);
        Self { signature: AdobeSignature::new(keys), metrics, began }
    }

    /// Whether these headers let the event in, so long after the beginning.
    async fn judge(&self, lines: &[String], after: Duration) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let now = self.began + after;
        let signed = within(self.signature.admit(&headers, Caller::default(), now)).await?;
        let body = Bytes::from_static(EVENT.as_bytes());
        within(signed.prove(&body, now)).await.map(|_proof| ())
    }

    fn fetches(&self, result: &str) -> u64 {
        self.metrics.key_fetches.with_label_values(&[result]).get()
    }
}

fn by_first() -> Vec<String> {
    pair(1, &FIRST, FIRST_PATH, EVENT.as_bytes())
}

fn by_second() -> Vec<String> {
    pair(2, &SECOND, SECOND_PATH, EVENT.as_bytes())
}

fn host_with_both() -> KeyHost {
    let host = KeyHost::start();
    host.says(FIRST_PATH, Says::text(&FIRST.public));
    host.says(SECOND_PATH, Says::text(&SECOND.public));
    host
}

/// The whole delivery of the event.
fn request_of(headers: &[String]) -> String {
    let (head, length) = (headers.join("\r\n"), EVENT.len());
    format!(
        "POST /v1/audit HTTP/1.1\r\nhost: here\r\n{head}\r\ncontent-length: {length}\r\n\r\n{EVENT}"
    )
}

fn is_undecided(result: &Result<(), Refusal>) -> bool {
    matches!(result, Err(Refusal::Undecided { .. }))
}

fn is_refused(result: &Result<(), Refusal>) -> bool {
    matches!(result, Err(Refusal::BadCredentials { .. }))
}

#[tokio::test]
async fn a_path_never_changes_the_host_or_leaves_the_folder() {
    let rig = Rig::start().await;
    for path in [
        ".evil.test/x.pem",
        "@evil.test/x.pem",
        "//evil.test/prod/keys/x.pem",
        "https://evil.test/prod/keys/x.pem",
        "/prod/keys/../x.pem",
        "/prod/keys/..%2fx.pem",
        "/prod/keys/%2e%2e/x.pem",
        "/prod/keys/sub/x.pem",
        "/prod/keys/x.pem?a=.pem",
        "/prod/keys/x.pem#.pem",
        "/prod/keys/x\\y.pem",
        "prod/keys/x.pem",
        "/x.pem",
    ] {
        let headers = pair(1, &FIRST, path, EVENT.as_bytes());
        assert_eq!(rig.post(&headers, EVENT.as_bytes()).await.status, 503, "{path}");
    }
    assert!(rig.host.asked().is_empty(), "{:?}", rig.host.asked());
    assert!(rig.front.store.stored().is_empty());
}

#[tokio::test]
async fn a_redirect_of_the_key_host_is_not_followed() {
    let rig = Rig::start().await;
    let to = format!("{}{}", rig.host.url, &SECOND_PATH[1..]);
    for status in [301, 302, 307, 308] {
        let path = format!("/prod/keys/moved-{status}.pem");
        let elsewhere = Response::new(status, "").header("location", &to);
        rig.host.says(&path, Says::Answer(elsewhere));
        let headers = pair(1, &SECOND, &path, EVENT.as_bytes());
        assert_eq!(rig.post(&headers, EVENT.as_bytes()).await.status, 503, "{status}");
    }
    assert_eq!(rig.host.asked().len(), 4, "{:?}", rig.host.asked());
}

#[tokio::test]
async fn a_key_host_that_sends_too_much_or_no_key_leaves_it_undecided() {
    let host = KeyHost::start();
    let padded = format!("{}{}", FIRST.public, "\n".repeat(1 << 20));
    for (name, says) in [
        ("large", Says::text(&padded)),
        ("page", Says::text("<html>")),
        ("empty", Says::text("")),
        ("forbidden", Says::Answer(Response::new(403, ""))),
        ("broken", Says::Answer(Response::new(500, ""))),
        ("silent", Says::Nothing),
    ] {
        let path = format!("/prod/keys/{name}.pem");
        host.says(&path, says);
        let headers = pair(1, &FIRST, &path, EVENT.as_bytes());
        let result = Way::to(&host).judge(&headers, Duration::ZERO).await;
        assert!(is_undecided(&result), "{name}: {result:?}");
    }
}

#[tokio::test]
async fn a_hundred_deliveries_at_once_fetch_a_key_once() {
    let rig = Rig::start().await;
    let later = Says::Later(Box::new(Says::text(&FIRST.public)));
    rig.host.says(FIRST_PATH, later);
    let request = request_of(&by_first());
    let mut senders = Vec::new();
    for _ in 0..100 {
        let mut sender = rig.front.connect().await;
        sender.send(&request).await;
        senders.push(sender);
    }
    within(rig.host.was_asked(1)).await;
    rig.host.release();
    for mut sender in senders {
        assert_eq!(sender.reply().await.status, 200);
    }
    assert_eq!(rig.host.asked().len(), 1);
}

#[tokio::test]
async fn whoever_hangs_up_does_not_take_the_fetch_of_the_others_with_them() {
    let rig = Rig::start().await;
    rig.host.says(FIRST_PATH, Says::Later(Box::new(Says::text(&FIRST.public))));
    let (mut client, connection) = http2(rig.front.address).await;
    let mut request = http::Request::post(format!("http://{}/v1/audit", rig.front.address));
    for line in by_first() {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from_static(EVENT.as_bytes()))).unwrap();
    let impatient = tokio::spawn(client.send_request(request));
    within(rig.host.was_asked(1)).await;
    impatient.abort();
    connection.abort();
    eventually(|| rig.count("client-gone") == 1).await;
    let mut patient = rig.front.connect().await;
    patient.send(request_of(&by_first())).await;
    rig.host.release();
    assert_eq!(patient.reply().await.status, 200);
    assert_eq!(rig.host.asked().len(), 1);
}

#[tokio::test]
async fn a_slow_key_holds_up_nothing_that_the_other_pair_proves() {
    let rig = Rig::start().await;
    rig.host.says(FIRST_PATH, Says::Later(Box::new(Says::Nothing)));
    let body = EVENT.as_bytes();
    assert_eq!(rig.post(&signed(body), body).await.status, 200);
    rig.host.says(SECOND_PATH, Says::Later(Box::new(Says::Nothing)));
    assert_eq!(rig.post(&signed(body), body).await.status, 200, "from the cache by now");
}

#[tokio::test]
async fn keys_that_come_too_slowly_are_503_by_the_deadline() {
    let short = |config: &mut millrace::config::Listen| {
        config.request_timeout = Duration::from_millis(300);
    };
    let rig = Rig::with(short, false).await;
    for path in [FIRST_PATH, SECOND_PATH] {
        rig.host.says(path, Says::Later(Box::new(Says::Nothing)));
    }
    let body = EVENT.as_bytes();
    assert_eq!(rig.post(&signed(body), body).await.status, 503);
    assert_eq!(rig.count("undecided"), 1);
}

#[tokio::test]
async fn a_key_that_was_replaced_at_its_path_is_fetched_once_more_before_anything_is_refused() {
    let host = KeyHost::start();
    host.says(FIRST_PATH, Says::text(&STRANGER.public));
    let way = Way::to(&host);
    let seconds = Duration::from_secs;
    let result = way.judge(&by_first(), seconds(0)).await;
    assert!(is_refused(&result), "under a key that was just fetched: {result:?}");
    host.says(FIRST_PATH, Says::text(&FIRST.public));
    assert!(is_refused(&way.judge(&by_first(), seconds(59)).await), "at a bounded rate");
    assert_eq!(way.fetches("fetched"), 1);
    assert_eq!(way.judge(&by_first(), seconds(61)).await, Ok(()));
    assert_eq!(way.fetches("fetched"), 2);
}

#[tokio::test]
async fn a_flood_of_bad_signatures_fetches_a_known_key_once_a_minute() {
    let host = host_with_both();
    let way = Way::to(&host);
    let forged = pair(1, &STRANGER, FIRST_PATH, EVENT.as_bytes());
    for second in 0..120 {
        assert!(is_refused(&way.judge(&forged, Duration::from_secs(second)).await));
    }
    assert_eq!(way.fetches("fetched"), 2);
}

#[tokio::test]
async fn with_the_host_down_known_keys_go_on_working_and_nothing_is_refused_for_good() {
    let host = host_with_both();
    let way = Way::to(&host);
    assert_eq!(way.judge(&by_first(), Duration::ZERO).await, Ok(()));
    for path in [FIRST_PATH, SECOND_PATH] {
        host.says(path, Says::Nothing);
    }
    for hours in [1, 17, 19, 23] {
        assert_eq!(way.judge(&by_first(), hours * HOUR).await, Ok(()), "after {hours} hours");
    }
    let forged = pair(1, &STRANGER, FIRST_PATH, EVENT.as_bytes());
    let result = way.judge(&forged, 23 * HOUR).await;
    assert!(is_undecided(&result), "it may be signed with a new key: {result:?}");
    let result = way.judge(&by_second(), 23 * HOUR).await;
    assert!(is_undecided(&result), "never fetched: {result:?}");
    // A moment has passed since the beginning when it was fetched.
    let result = way.judge(&by_first(), 24 * HOUR + MOMENT).await;
    assert!(is_undecided(&result), "too old: {result:?}");
    host.says(FIRST_PATH, Says::text(&FIRST.public));
    assert_eq!(way.judge(&by_first(), 25 * HOUR).await, Ok(()), "the host is back");
}

#[tokio::test]
async fn a_key_is_refreshed_behind_the_answer_and_ahead_of_its_end() {
    let host = host_with_both();
    let way = Way::to(&host);
    assert_eq!(way.judge(&by_first(), Duration::ZERO).await, Ok(()));
    host.says(FIRST_PATH, Says::Later(Box::new(Says::text(&FIRST.public))));
    assert_eq!(
        way.judge(&by_first(), 18 * HOUR + MOMENT).await,
        Ok(()),
        "while it is being fetched"
    );
    host.was_asked(2).await;
    host.release();
    eventually(|| way.fetches("fetched") == 2).await;
    host.says(FIRST_PATH, Says::Nothing);
    assert_eq!(way.judge(&by_first(), 35 * HOUR).await, Ok(()), "24 h from the refresh");
}

#[tokio::test]
async fn a_flood_of_unknown_paths_is_few_fetches_at_a_time_and_the_known_keys_go_on_working() {
    let rig = Rig::start().await;
    assert_eq!(rig.post(&by_first(), EVENT.as_bytes()).await.status, 200);
    let mut strangers = Vec::new();
    for n in 0..60 {
        let path = format!("/prod/keys/held-{n}.pem");
        rig.host.says(&path, Says::Later(Box::new(Says::Nothing)));
        let mut stranger = rig.front.connect().await;
        stranger.send(request_of(&presented(1, "AAAA", &path))).await;
        strangers.push(stranger);
    }
    within(rig.host.was_asked(1 + 16)).await;
    for _ in 0..20 {
        assert_eq!(rig.post(&by_first(), EVENT.as_bytes()).await.status, 200);
    }
    assert_eq!(rig.host.asked().len(), 1 + 16, "no more than sixteen at a time");
    rig.host.release();
}

/// Asks with one random path after another until it is dropped.
fn flood(rig: &Rig, connections: usize) -> tokio::task::JoinSet<()> {
    let mut flood = tokio::task::JoinSet::new();
    for connection in 0..connections {
        let address = rig.front.address;
        flood.spawn(async move {
            for n in 0.. {
                let path = format!("/prod/keys/random-{connection}-{n}.pem");
                let mut stranger = Raw::connect(address).await;
                stranger.send(request_of(&presented(1, "AAAA", &path))).await;
                assert_eq!(stranger.reply().await.status, 503);
            }
        });
    }
    flood
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_comes_through_while_a_flood_of_random_paths_goes_on() {
    let rig = Rig::start().await;
    let flood = flood(&rig, 40);
    // A budget that the whole world shares is used up by now.
    within(rig.host.was_asked(64)).await;
    within(async { while rig.deliver(EVENT).await.status != 200 {} }).await;
    drop(flood);
}

#[tokio::test]
async fn a_stranger_whose_key_is_not_known_sends_no_body_before_it_is() {
    let rig = Rig::start().await;
    let head = presented(1, "AAAA", "/prod/keys/unknown.pem").join("\r\n");
    let mut stranger = rig.front.connect().await;
    let announced = "content-length: 9000000\r\n\r\n{";
    stranger.send(format!("POST /v1/audit HTTP/1.1\r\nhost: here\r\n{head}\r\n{announced}")).await;
    let reply = stranger.reply().await;
    assert_eq!((reply.status, reply.text()), (503, "credentials cannot be checked now"));
    assert_eq!(rig.count("undecided"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_beside_one_that_proved_a_delivery_waits_for_no_stranger() {
    let rig = Rig::start().await;
    rig.host.says(SECOND_PATH, Says::Answer(Response::new(500, "")));
    assert_eq!(rig.post(&by_first(), EVENT.as_bytes()).await.status, 200);
    // All turns are taken for as long as the host is held.
    let mut strangers = Vec::new();
    for n in 0..40 {
        let path = format!("/prod/keys/held-{n}.pem");
        rig.host.says(&path, Says::Later(Box::new(Says::Nothing)));
        let mut stranger = rig.front.connect().await;
        stranger.send(request_of(&presented(1, "AAAA", &path))).await;
        strangers.push(stranger);
    }
    within(rig.host.was_asked(1 + 16)).await;
    rig.host.says(SECOND_PATH, Says::text(&SECOND.public));
    assert_eq!(rig.deliver(EVENT).await.status, 200);
    within(rig.host.was_asked(1 + 16 + 1)).await;
    assert_eq!(rig.post(&by_second(), EVENT.as_bytes()).await.status, 200);
    rig.host.release();
}

#[tokio::test]
async fn keys_in_a_folder_need_no_host_and_a_changed_file_counts_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = Metrics::new();
    let keys = PublicKeys::in_folder(folder.path().to_owned(), &metrics);
    let way = Way { signature: AdobeSignature::new(keys), metrics, began: Instant::now() };
    assert!(is_undecided(&way.judge(&by_first(), Duration::ZERO).await), "no file yet");
    let file = folder.path().join(&FIRST_PATH[1..]);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    for (text, accepted) in
        [(&FIRST.public, true), (&STRANGER.public, false), (&FIRST.public, true)]
    {
        std::fs::write(&file, text).unwrap();
        assert_eq!(way.judge(&by_first(), Duration::ZERO).await.is_ok(), accepted);
    }
    std::fs::write(&file, "half a k").unwrap();
    assert!(is_undecided(&way.judge(&by_first(), Duration::ZERO).await));
    std::fs::write(folder.path().join("outside.pem"), &FIRST.public).unwrap();
    let outside = pair(1, &FIRST, "/prod/keys/../../outside.pem", EVENT.as_bytes());
    assert!(is_undecided(&way.judge(&outside, Duration::ZERO).await));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// What headers hold is a stranger's: whatever it is, the way decides, and names no foreign path.
    #[test]
    fn no_header_makes_it_panic(
        values in prop::collection::vec((0..4_usize, header_value()), 0..8),
    ) {
        let keys = PublicKeys::in_folder("/nowhere".into(), &Metrics::new());
        let names = [
            "x-adobe-digital-signature-1",
            "x-adobe-public-key1-path",
            "x-adobe-digital-signature-2",
            "x-adobe-public-key2-path",
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(names[name], HeaderValue::from_bytes(&value).unwrap());
        }
        let both = |number| {
            headers.get_all(names[number]).iter().count() == 1
                && headers.get_all(names[number + 1]).iter().count() == 1
        };
        let signature = AdobeSignature::new(keys);
        let admitted = signature.admit(&headers, Caller::default(), Instant::now());
        // Of a folder nothing is waited for.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        match runtime.block_on(admitted) {
            Ok(_) | Err(Refusal::Undecided { .. }) => prop_assert!(both(0) || both(2)),
            Err(Refusal::BadCredentials { .. }) | Err(Refusal::BadToken { .. }) => {}
        }
    }
}

fn header_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(prop_oneof![0x20..=0x7e_u8, 0x80..=0xff_u8], 0..40),
        "[A-Za-z0-9+/]{0,400}={0,2}".prop_map(String::into_bytes),
        "/prod/keys/[a-zA-Z0-9._%/-]{0,20}\\.pem".prop_map(String::into_bytes),
    ]
}
