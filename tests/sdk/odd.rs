//! What senders write in odd ways is read by both SDKs, whatever becomes of it.

use millrace::{deliver::encode::Mode, source::SourceKind::AdobeIo};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::{
    messages,
    support::cloudevents::{self, Message, Understood},
};

/// Texts of each kind that are tried.
const TEXTS: usize = 300;

/// An event with these attributes over the usual ones.
fn event(attributes: &Value) -> String {
    let mut event = json!({
        "specversion": "1.0", "id": "1", "type": "com.adobe.platform.marketo.audit.user.email",
        "source": "urn:mlm", "datacontenttype": "application/json",
        "data": {"munchkinId": "999-XYZ-000", "componentType": "Email", "componentId": 55},
    });
    for (name, value) in attributes.as_object().unwrap() {
        event[name] = value.clone();
    }
    event.to_string()
}

fn record(mode: Mode, attributes: &Value) -> Message {
    messages(AdobeIo, mode, &event(attributes)).remove(0)
}

/// What Python's SDK and Java's make of it.
fn understood(mode: Mode, attributes: &Value) -> [Understood; 2] {
    [cloudevents::read, cloudevents::read_in_java].map(|read| {
        let messages = [record(mode, attributes)];
        read(&messages).remove(0)
    })
}

#[test]
fn an_event_inside_of_an_event_is_read_as_what_it_is_in_both_modes() {
    let attributes = json!({
        "datacontenttype": "application/cloudevents+json; charset=UTF-8",
        "data": {"specversion": "1.0", "id": "inner", "source": "urn:inner", "type": "inner"},
    });
    for (mode, content_type) in [
        (Mode::Binary, "application/json; charset=UTF-8"),
        (Mode::Structured, "application/cloudevents+json; charset=UTF-8"),
    ] {
        for understood in understood(mode, &attributes) {
            assert_eq!(understood.attributes["id"], "1");
            assert_eq!(understood.attributes["datacontenttype"], content_type);
            assert_eq!(understood.data["id"], "inner");
        }
    }
}

#[test]
fn what_is_no_proper_attribute_is_an_extension_of_the_whole_event() {
    let attributes = json!({
        "time": "2026-03-02 10:00:02.118", "dataschema": "V2.0", "source": "my source",
        "specversion": "0.3", "datacontentencoding": "base64", "data": "eyJhIjoxfQ==",
    });
    for understood in understood(Mode::Structured, &attributes) {
        let of = |name: &str| understood.attributes[name].as_str().unwrap().to_owned();
        assert_eq!(of("millracetime"), "2026-03-02 10:00:02.118");
        assert_eq!(of("millracedataschema"), "V2.0");
        assert_eq!(
            (of("source"), of("millracecesource")),
            ("my%20source".into(), "my source".into())
        );
        assert_eq!((of("specversion"), of("millracespecversion")), ("1.0".into(), "0.3".into()));
    }
    let binary = understood(Mode::Binary, &attributes);
    assert!(binary.iter().all(|understood| understood.data == json!({"a": 1})), "{binary:?}");
}

#[test]
fn an_event_without_a_munchkin_id_has_no_partition_key() {
    for understood in understood(Mode::Binary, &json!({"data": {"a": 1}})) {
        assert_eq!(understood.attributes.get("partitionkey"), None);
    }
}

/// Times as senders write them, and some that have no meaning.
fn times() -> impl Strategy<Value = String> {
    let date = prop_oneof![
        "(2026|2024|0001|0000|9999)-(0[1-9]|1[0-3])-(0[1-9]|[12][0-9]|3[01])",
        "[0-9]{4}-02-(28|29)",
    ];
    let clock = "([01][0-9]|2[0-4]):[0-6][0-9]:([0-5][0-9]|60)";
    let fraction = "(|\\.[0-9]{1,12})";
    let zone =
        prop_oneof!["(Z|z|UTC||[+-]00:00|[+-][0-2][0-9]:?[0-6][0-9])", "[+-](18:0[0-1]|17:59)"];
    (date, "[Tt ]", clock, fraction, zone).prop_map(|(date, between, clock, fraction, zone)| {
        format!("{date}{between}{clock}{fraction}{zone}")
    })
}

/// Texts that look like URIs, more or less.
fn uris() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "a", "b1", "urn", "http", ":", "//", "/", "?", "#", "[", "]", "[::1]", "@", "%41", "%",
        "%zz", " ", "\u{e9}", "{", "+", "-", ".", "1", ":80", "\\", "|", "=", "&", "'", "(", "*",
        ",", ";", "!", "$", "^", "\"", "<", "`", "\u{1}", "~", "_",
    ]);
    let beginning = prop::sample::select(vec!["", "", "urn:", "http://h", "a+b:/"]);
    (beginning, prop::collection::vec(token, 1..5))
        .prop_map(|(beginning, tokens)| beginning.to_owned() + &tokens.concat())
}

/// Media types of JSON, and spellings that are almost one.
fn media_types_of_json() -> impl Strategy<Value = String> {
    let of = |all: &'static [&'static str]| prop::sample::select(all);
    let blank = || prop_oneof![8 => of(&[""]), 1 => of(&[" ", "\t", "\n", "\u{2028}"])];
    let class = of(&["application", "application", "text", "Application", "image", "x-own"]);
    let syntax = of(&[
        "",
        "",
        "ld+",
        "hal+",
        "Hal+",
        "cloudevents+",
        "cloudevents-batch+",
        "vnd.x+",
        "vnd.adobe.v1+",
        "v1+",
        "a+b+",
        "\u{e9}+",
        "+",
    ]);
    let json = prop_oneof![4 => of(&["json"]), 1 => of(&["JSON", "Json"])];
    let parameters = of(&[
        "",
        "",
        ";",
        ";charset=utf-8",
        "; charset=\"a;b\"",
        ";;",
        ";x\ny",
        ";a\u{85}b",
        ";c\r",
    ]);
    (blank(), class, syntax, json, blank(), parameters, blank())
        .prop_map(|(a, class, b, c, d, e, f)| format!("{a}{class}/{b}{c}{d}{e}{f}"))
}

fn samples(strategy: impl Strategy<Value = String>) -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    (0..TEXTS).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

#[test]
fn whatever_a_sender_writes_for_a_time_or_a_uri_both_sdks_read_the_event() {
    let of = |name: &str, texts: Vec<String>| -> Vec<Value> {
        texts.into_iter().map(|text| json!({ name: text })).collect()
    };
    let attributes = [
        of("time", samples(times())),
        of("source", samples(uris())),
        of("dataschema", samples(uris())),
    ]
    .concat();
    let in_mode = |mode| attributes.iter().map(move |attributes| record(mode, attributes));
    let messages: Vec<_> = Mode::ALL.into_iter().flat_map(in_mode).collect();
    for read in [cloudevents::read, cloudevents::read_in_java] {
        let understood = read(&messages);
        assert_eq!(understood.len(), messages.len());
        let with =
            |name: &str| understood.iter().filter(|it| it.attributes.contains_key(name)).count();
        // Neither all nor none of them: the samples are about the border.
        for name in ["time", "millracetime", "dataschema", "millracedataschema"] {
            assert!(with(name) > TEXTS / 20, "{} with {name}", with(name));
        }
    }
}

#[test]
fn json_of_whatever_media_type_is_read_as_json_in_structured_mode() {
    let types = samples(media_types_of_json());
    let messages: Vec<_> = types
        .iter()
        .map(|text| record(Mode::Structured, &json!({ "datacontenttype": text })))
        .collect();
    for read in [cloudevents::read_in_java, cloudevents::read] {
        let understood = read(&messages);
        assert_eq!(understood.len(), types.len());
        let mut replaced = 0;
        for (came, Understood { attributes, data }) in types.iter().zip(&understood) {
            assert_eq!(data["munchkinId"], "999-XYZ-000", "{came:?}");
            let is_replaced = attributes.contains_key("millracedatacontenttype");
            let place = if is_replaced { "millracedatacontenttype" } else { "datacontenttype" };
            assert_eq!(attributes[place], **came);
            replaced += usize::from(is_replaced);
        }
        // Neither all nor none of them: the samples are about the border.
        assert!((TEXTS / 20..TEXTS * 19 / 20).contains(&replaced), "{replaced} replaced");
    }
}

#[test]
fn json_of_whatever_media_type_costs_no_event_in_binary_mode() {
    let types = samples(media_types_of_json());
    let messages: Vec<_> = types
        .iter()
        .map(|text| record(Mode::Binary, &json!({ "datacontenttype": text })))
        .collect();
    for read in [cloudevents::read, cloudevents::read_in_java] {
        assert_eq!(read(&messages).len(), types.len());
    }
}
