//! Members that decoding hands over: with them an encoder makes the same of an event as without them, whatever the sender
//! wrote; and the events that senders are known to send have them.

use std::cell::RefCell;

use millrace::{
    deliver::{
        decode::{
            Catalog, LegacyValue, Memory, Rules, decode,
            fields::{Came, screen},
        },
        encode::{
            Encoder, Mode, With,
            choice::{Choice, Choices, Surrounding, ValueForm},
            flat::{Scope, Shapes},
        },
        schema::{Format, IdPlace, SchemaId},
    },
    event::Event,
    sender::{
        adobe::{EventGenerator, Shapes as Bodies, Spelling},
        generator::Generator,
    },
    source::SourceKind,
    spool::position::Position,
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::bodies::Load;

fn rules() -> Rules {
    Rules { hand_over: true, ..Rules::default() }
}

fn encoder(scope: Scope, envelope: Surrounding) -> Encoder {
    let choice = Choice { value: ValueForm::Flat, envelope, ..Choice::default() };
    let shapes = || Shapes::new(scope, &Catalog::builtin(), &[], &Default::default());
    Encoder::of(Mode::Binary, Choices::new(choice, [], shapes))
}

/// A flat value in all of its forms, of all shapes.
struct Forms(Vec<(Encoder, Option<With>)>);

thread_local! {
    /// Made once: their shapes are large.
    static FORMS: RefCell<Forms> = RefCell::new(Forms::new());
}

impl Forms {
    fn new() -> Self {
        let id = SchemaId { number: 7, guid: None }.spell(IdPlace::Header);
        let avro = With { format: Format::Avro, id, place: IdPlace::Header };
        let mut all = Vec::new();
        for scope in [Scope::Type, Scope::Stream, Scope::All] {
            all.push((encoder(scope, Surrounding::None), None));
            all.push((encoder(scope, Surrounding::None), Some(avro)));
            all.push((encoder(scope, Surrounding::Connect), None));
        }
        Self(all)
    }

    fn of(&mut self, event: &Event<'_>) -> Vec<Vec<u8>> {
        let of_one = |(encoder, with): &mut (Encoder, Option<With>)| {
            let position = Position::start_of(1);
            let encoded = encoder.encode_with(with.as_ref(), "t", Uuid::nil(), position, event);
            encoded.record().value.expect("a flat value is there").to_vec()
        };
        self.0.iter_mut().map(of_one).collect()
    }
}

/// Asserts it of each event of `body`, and that these are the events that there are without members; says how many have
/// them.
fn assert_same(forms: &mut Forms, kind: SourceKind, rules: &Rules, body: &[u8]) -> usize {
    let screened = screen(kind, rules, body, &[], Came::FromSender).with_memory(Memory::default());
    let (mut events, mut plain) = (Vec::new(), Vec::new());
    let verdict = screened.decode(kind, rules, &[], &mut events);
    assert_eq!(verdict, decode(kind, rules, body, &[], &mut plain));
    assert_eq!(events.len(), plain.len());
    for (item, plain) in events.iter().zip(&plain) {
        let without = item.clone().map(|event| Event { members: None, ..event });
        assert_eq!(without, *plain);
    }
    let mut handed = 0;
    for event in events.iter().flatten() {
        handed += usize::from(event.members.is_some());
        let without = Event { members: None, ..event.clone() };
        let (with, without) = (forms.of(event), forms.of(&without));
        for (with, without) in with.iter().zip(&without) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(text(with), text(without), "{}", text(body));
        }
    }
    handed
}

/// A name, a value or a member of JSON as senders and strangers write them.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "\"(Link ID|Webpage ID|link_id|New Value|source|Others|Client IP Address|data_a|a|b|a b)\"",
        3 => "\"(name|dataType|value|attributes|marketoGUID|munchkinId|leadId|activityDate|componentId|id|time)\"",
        1 => "\"[ -!#-\\[\\]-~]{0,12}\"",
        1 => Just("\"\\u0061ttributes\"".to_owned()),
        1 => Just("\"\\ud800\"".to_owned()),
        1 => Just("\"a\\\"\\n\"".to_owned()),
    ]
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![6 => Just(String::new()), 1 => "[ \t\n]{1,2}"]
}

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => text(),
        2 => "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
        1 => "(true|false|null|\\[\\]|\\{\\}|1.0|\"\"|\"007\"|\"1e2\"|\"[g0]\")",
        1 => "\"2026-03-0[12][T ]09:59:58(\\.[0-9]{1,4})?(Z|-5:00|)\"",
    ]
}

fn object(
    name: impl Strategy<Value = String>,
    value: impl Strategy<Value = String>,
    most: usize,
) -> impl Strategy<Value = String> {
    let member = (name, space(), space(), value, space());
    let member = member.prop_map(|(name, a, b, value, c)| format!("{a}{name}{b}:{value}{c}"));
    prop::collection::vec(member, 0..most).prop_map(|all| format!("{{{}}}", all.join(",")))
}

fn json() -> impl Strategy<Value = String> {
    leaf().prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|all| format!("[ {}]", all.join(" ,"))),
            object(text(), inner, 3),
        ]
    })
}

/// An element of `attributes`, mostly of the usual form.
fn attribute() -> impl Strategy<Value = String> {
    let usual =
        (text(), space(), "(string|integer|float|boolean|datetime|date|object|score)", json());
    let usual = usual.prop_map(|(name, space, kind, value)| {
        format!(r#"{{"name":{name},{space}"dataType":"{kind}"{space},"value":{value}}}"#)
    });
    let with_more = (text(), text(), leaf(), leaf()).prop_map(|(name, more, value, other)| {
        format!(r#"{{"name":{name},"value":{value},{more}:{other}}}"#)
    });
    let other = object(prop_oneof![3 => "\"(name|dataType|value)\"", 1 => text()], json(), 5);
    prop_oneof![8 => usual, 1 => with_more, 1 => other, 1 => json()]
}

/// Members of an event's data, in any order.
fn members() -> impl Strategy<Value = Vec<String>> {
    let attributes = prop::collection::vec(attribute(), 0..4)
        .prop_map(|all| format!(r#""attributes":[{}]"#, all.join(", ")));
    let known = (
        prop_oneof![
            "\"(leadId|marketoGUID|activityTypeId|activityDate|activityType|campaignId)\"",
            "\"(componentId|munchkinId|primaryAttributeValue)\""
        ],
        space(),
        leaf(),
    );
    let known = known.prop_map(|(name, space, value)| format!("{name}{space}:{space}{value}"));
    let any = (text(), json()).prop_map(|(name, value)| format!("{name}:{value}"));
    let one = prop_oneof![2 => attributes, 4 => known, 2 => any];
    prop::collection::vec(one, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_push_is_the_same_with_its_members_and_without(members in members(), as_received in any::<bool>()) {
        let legacy_value = if as_received { LegacyValue::AsReceived } else { LegacyValue::CloudEvent };
        let rules = Rules { legacy_value, ..rules() };
        let mut all = vec![r#""activityTypeId":3,"leadId":4711"#.to_owned()];
        all.extend(members);
        let body = format!(r#"{{"munchkinId":"999-XYZ-000","activities":[{{{}}}, {{{}}}]}}"#,
            all.join(","), all[1..].join(" ,"));
        FORMS.with_borrow_mut(|forms| assert_same(forms, SourceKind::MarketoLeadActivity, &rules, body.as_bytes()));
    }

    #[test]
    fn an_event_of_adobe_io_is_the_same_with_its_members_and_without(members in members(),
        family in "(activity.standard.clicklink|activity.custom|audit.user.email|observability.x|x)",
        content_type in "(application/json|text/plain)") {
        let body = format!(r#"{{"specversion":"1.0","type":"com.adobe.platform.marketo.{family}","source":"s","id":"g",
            "time":"2026-03-02T09:59:58Z","datacontenttype":"{content_type}","data":{{{}}}}}"#, members.join(","));
        FORMS.with_borrow_mut(|forms| assert_same(forms, SourceKind::AdobeIo, &rules(), body.as_bytes()));
    }
}

#[test]
fn what_senders_are_known_to_send_has_its_members() {
    let (mut forms, rules) = (Forms::new(), rules());
    for load in [Load::legacy(50), Load::legacy_custom(50), Load::adobe(50), Load::wrapped(50)] {
        let of_one = |body: &String| assert_same(&mut forms, load.kind, &rules, body.as_bytes());
        assert_eq!(load.bodies.iter().map(of_one).sum::<usize>(), 50);
    }
    let (mut generator, kind) = (Generator::new(1, 7, 0), SourceKind::MarketoLeadActivity);
    let body = generator.batch(300, 1_772_445_600_000).body;
    assert_eq!(assert_same(&mut forms, kind, &rules, &body), 300);
    let mut generator = EventGenerator::new(1, 7, 0, "c", Spelling::Joined, Bodies::Single);
    for _ in 0..300 {
        let body = generator.next(1_772_445_600_000).body;
        assert_eq!(assert_same(&mut forms, SourceKind::AdobeIo, &rules, &body), 1);
    }
}

#[test]
fn an_event_with_too_many_members_is_read_when_it_is_encoded() {
    let (mut forms, rules, kind) = (Forms::new(), rules(), SourceKind::MarketoLeadActivity);
    for (count, handed) in [(900, 1), (990, 1), (1000, 0), (1100, 0)] {
        let many: Vec<_> = (0..count).map(|n| format!(r#""m{n}":{n}"#)).collect();
        let body = format!(
            r#"{{"munchkinId":"9-X-0","activities":[{{"activityTypeId":3,{}}}]}}"#,
            many.join(",")
        );
        assert_eq!(assert_same(&mut forms, kind, &rules, body.as_bytes()), handed, "{count}");
        let many: Vec<_> =
            (0..count).map(|n| format!(r#"{{"name":"m{n}","value":{n}}}"#)).collect();
        let body = format!(
            r#"{{"munchkinId":"9-X-0","activities":[{{"activityTypeId":3,"attributes":[{}]}}]}}"#,
            many.join(",")
        );
        let handed = usize::from(count <= 1000);
        assert_eq!(assert_same(&mut forms, kind, &rules, body.as_bytes()), handed, "{count}");
    }
}

#[test]
fn what_an_attribute_has_beside_its_usual_members_is_in_the_value() {
    let (mut forms, rules, kind) = (Forms::new(), rules(), SourceKind::MarketoLeadActivity);
    for (attribute, handed) in [
        (r#"{"value":1,"name":"a"}"#, 1),
        (r#"{"name":"a","value":1,"more":2}"#, 0),
        (r#"{"more":2,"name":"a","dataType":"integer","value":1}"#, 0),
        (r#"{"name":"a","value":1,"value":2}"#, 0),
    ] {
        let body = format!(
            r#"{{"munchkinId":"9-X-0","activities":[{{"activityTypeId":3,"attributes":[{attribute}]}}]}}"#
        );
        assert_eq!(assert_same(&mut forms, kind, &rules, body.as_bytes()), handed, "{attribute}");
    }
}

#[test]
fn what_is_nested_too_deep_is_refused_with_members_and_without() {
    let (mut forms, rules, kind) = (Forms::new(), rules(), SourceKind::MarketoLeadActivity);
    for depth in 110..130 {
        let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for attribute in [
            format!(r#"{{"name":"a","value":{value}}}"#),
            format!(r#"{{ "name":"a","value":{value}}}"#),
        ] {
            let body = format!(
                r#"{{"munchkinId":"9-X-0","activities":[{{"activityTypeId":3,"attributes":[{attribute}]}}]}}"#
            );
            let fits = usize::from(depth <= 122);
            assert_eq!(assert_same(&mut forms, kind, &rules, body.as_bytes()), fits, "{depth}");
        }
    }
}
