//! What holds for any activity and for any bytes.

use millrace::deliver::decode::{Rules, id};
use proptest::prelude::*;
use serde_json::{Map, Value, value::RawValue};

use crate::{decode_legacy, value};

/// A JSON text spelled in some odd way: white space and escapes wherever the grammar lets them be.
#[derive(Clone, Debug)]
enum Json {
    Plain(String),
    Text(Vec<(char, bool)>),
    List(Vec<(String, Json, String)>),
    /// Name, value, and the white space in the four places around them.
    Object(Vec<(Json, Json, [String; 4])>),
}

impl Json {
    fn spell(&self, out: &mut String) {
        match self {
            Self::Plain(text) => out.push_str(text),
            Self::Text(characters) => {
                out.push('"');
                for (c, escaped) in characters {
                    if *escaped || matches!(c, '"' | '\\' | '\0'..='\x1f') {
                        for unit in c.encode_utf16(&mut [0; 2]) {
                            out.push_str(&format!("\\u{unit:04x}"));
                        }
                    } else {
                        out.push(*c);
                    }
                }
                out.push('"');
            }
            Self::List(items) => {
                out.push('[');
                for (n, (before, item, after)) in items.iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    out.push_str(before);
                    item.spell(out);
                    out.push_str(after);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (n, (name, value, space)) in members.iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    out.push_str(&space[0]);
                    name.spell(out);
                    out.push_str(&space[1]);
                    out.push(':');
                    out.push_str(&space[2]);
                    value.spell(out);
                    out.push_str(&space[3]);
                }
                out.push('}');
            }
        }
    }
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 1 => "[ \t\r\n]{1,3}"]
}

fn spelled(text: &str) -> BoxedStrategy<Json> {
    let characters: Vec<char> = text.chars().collect();
    prop::collection::vec(prop::bool::weighted(0.1), characters.len())
        .prop_map(move |escaped| Json::Text(characters.iter().copied().zip(escaped).collect()))
        .boxed()
}

fn text() -> BoxedStrategy<Json> {
    let any =
        prop_oneof![3 => "[ -~]{0,12}", 1 => ".{0,8}", 1 => "(marketoGUID|leadId|munchkinId)"];
    any.prop_flat_map(|text| spelled(&text)).boxed()
}

fn number() -> BoxedStrategy<Json> {
    "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?".prop_map(Json::Plain).boxed()
}

fn members(
    names: impl Strategy<Value = Json> + 'static,
    values: impl Strategy<Value = Json> + 'static,
) -> impl Strategy<Value = Vec<(Json, Json, [String; 4])>> {
    let member = (names, values, [space(), space(), space(), space()]);
    prop::collection::vec(member, 0..4)
}

fn json() -> impl Strategy<Value = Json> {
    let word = prop_oneof![Just("true"), Just("false"), Just("null"), Just("[]"), Just("{}")];
    let leaf = prop_oneof![text(), number(), word.prop_map(|word| Json::Plain(word.into()))];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec((space(), inner.clone(), space()), 0..4).prop_map(Json::List),
            members(text(), inner).prop_map(Json::Object),
        ]
    })
}

/// A member that the mapping knows, or none.
fn maybe(
    name: &'static str,
    value: BoxedStrategy<Json>,
) -> BoxedStrategy<Vec<(Json, Json, [String; 4])>> {
    let member = (spelled(name), value, [space(), space(), space(), space()]);
    prop_oneof![3 => member.prop_map(|member| vec![member]), 1 => Just(Vec::new())].boxed()
}

/// An activity that is understood: a type, perhaps the other members, and any others around them.
fn activity() -> impl Strategy<Value = Json> {
    let type_id =
        (spelled("activityTypeId"), "[1-9][0-9]{0,5}", [space(), space(), space(), space()]);
    let known = (
        type_id.prop_map(|(name, id, space)| vec![(name, Json::Plain(id), space)]),
        maybe("leadId", prop_oneof![number(), text()].boxed()),
        maybe("marketoGUID", text()),
        maybe("activityDate", prop_oneof![spelled("2026-03-02T09:59:58Z"), text()].boxed()),
        maybe("munchkinId", spelled("111-AAA-222")),
    );
    let other_names = "[a-zA-Z\"\\\\é]{0,8}".prop_flat_map(|name| spelled(&format!("x{name}")));
    (known, members(other_names, json()))
        .prop_map(|((a, b, c, d, e), others)| [a, b, c, d, e, others].concat())
        .prop_shuffle()
        .prop_map(Json::Object)
}

fn body(activities: &[Json], munchkin_id_first: bool) -> String {
    let mut list = String::new();
    Json::List(activities.iter().map(|a| (String::new(), a.clone(), " ".into())).collect())
        .spell(&mut list);
    if munchkin_id_first {
        format!(r#"{{"munchkinId":"999-\u00e9\"","activities":{list}}}"#)
    } else {
        format!(r#" {{"activities":{list} ,"other":[{{}}], "munchkinId":"999-\u00e9\""}} "#)
    }
}

/// `4711` of `4711.0`.
fn whole_number(spelled: &str) -> Option<&str> {
    let whole = spelled.trim_end_matches('0').strip_suffix('.')?;
    (whole.len() + 1 < spelled.len()).then_some(whole)
}

fn object(text: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(text).unwrap()
}

/// Where `part` lies in `whole`; `None` when it is not a piece of it.
fn range(whole: &[u8], part: &[u8]) -> Option<(usize, usize)> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    (start + part.len() <= whole.len()).then_some((start, start + part.len()))
}

/// Well-formed as serde_json sees it; text, so that skipped strings are checked to be UTF-8 too.
fn is_well_formed(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    // Readers may pass over one byte order mark, and serde_json does not.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str::<&RawValue>(text).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_value_is_the_activity_with_the_three_edits(
        activities in prop::collection::vec(activity(), 1..4),
        munchkin_id_first: bool,
    ) {
        let body = body(&activities, munchkin_id_first);
        let rules = Rules::default();
        let decoded = decode_legacy(&rules, body.as_bytes()).unwrap();
        prop_assert_eq!(decoded.len(), activities.len());
        for (decoded, activity) in decoded.iter().zip(&activities) {
            let event = decoded.as_ref().unwrap();
            let mut text = String::new();
            activity.spell(&mut text);
            prop_assert_eq!(event.original, text.as_bytes());

            let mut expected = object(text.as_bytes());
            expected.entry("munchkinId").or_insert_with(|| "999-é\"".into());
            let guid = expected.remove("marketoGUID");
            if let Some(lead) = expected.get_mut("leadId").filter(|lead| lead.is_number()) {
                let raw: std::collections::BTreeMap<String, &RawValue> =
                    serde_json::from_str(&text).unwrap();
                let spelled = raw["leadId"].get();
                // `4711.0` is the number 4711.
                *lead = whole_number(spelled).unwrap_or(spelled).into();
            }
            let value = value(event);
            prop_assert_eq!(&object(value.as_bytes()), &expected);

            let lead = expected.get("leadId").and_then(Value::as_str).unwrap_or_default();
            let munchkin_id = expected["munchkinId"].as_str().unwrap();
            // All notations of a number are one lead.
            let part = id::part(lead.into());
            let key = if lead.is_empty() { munchkin_id.into() } else { format!("{munchkin_id}:{part}") };
            prop_assert_eq!(event.key.as_deref(), Some(key.as_str()));
            let guid = guid.as_ref().and_then(Value::as_str).filter(|guid| !guid.is_empty());
            prop_assert_eq!(event.attributes.id.as_deref(), guid);
        }
    }

    #[test]
    fn the_pieces_of_a_value_are_ranges_of_the_activity_in_order(
        activities in prop::collection::vec(activity(), 1..4),
        munchkin_id_first: bool,
    ) {
        let body = body(&activities, munchkin_id_first);
        let rules = Rules::default();
        let mut end_of_last = 0;
        for decoded in decode_legacy(&rules, body.as_bytes()).unwrap() {
            let event = decoded.unwrap();
            let (start, end) = range(body.as_bytes(), event.original).unwrap();
            prop_assert!(start > end_of_last);
            end_of_last = end;
            let mut at = start;
            let mut foreign = Vec::new();
            for piece in event.value.as_slice() {
                match range(event.original, piece) {
                    Some(_) => {
                        let (from, to) = range(body.as_bytes(), piece).unwrap();
                        prop_assert!(from >= at && to <= end);
                        at = to;
                    }
                    None => foreign.extend_from_slice(piece),
                }
            }
            prop_assert_eq!(at, end);
            let foreign = String::from_utf8(foreign).unwrap();
            let foreign = foreign.trim_end_matches('"');
            let put_in = r#"{"munchkinId":"999-\u00e9\"","#;
            prop_assert!(foreign == "{" || foreign == put_in, "{}", foreign);
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm_and_serde_json_agrees_about_them(
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        agrees(&body)?;
    }

    #[test]
    fn text_made_of_json_tokens_does_no_harm_and_serde_json_agrees_about_it(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"activities\"", "\"munchkinId\"", "\"leadId\"", "1",
                "null", " ", "\"", "\\", "\u{feff}", "\"activities\":[", "{\"activityTypeId\":3}", "-", "\u{e9}",
            ]),
            0..12,
        ),
    ) {
        agrees(tokens.concat().as_bytes())?;
        agrees(format!("{{\"activities\":[{}]}}", tokens.concat()).as_bytes())?;
    }

    #[test]
    fn mutated_bodies_do_no_harm_and_serde_json_agrees_about_them(
        activities in prop::collection::vec(activity(), 1..3),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, any::<u8>()), 1..4),
    ) {
        let mut body = body(&activities, true).into_bytes();
        for (at, kind, byte) in mutations {
            let at = at.index(body.len());
            match kind {
                0 => body[at] = byte,
                1 => body.insert(at, b"{}[],:\" 1"[usize::from(byte) % 9]),
                _ if body.len() > 1 => _ = body.remove(at),
                _ => {}
            }
        }
        agrees(&body)?;
    }
}

/// Decodes without a panic, and finds the body malformed exactly when serde_json does.
fn agrees(body: &[u8]) -> Result<(), TestCaseError> {
    let rules = Rules::default();
    let result = decode_legacy(&rules, body);
    let malformed = result
        .as_ref()
        .is_err_and(|error| ["not-json", "not-utf8", "empty-body"].contains(&error.reason));
    prop_assert_eq!(!malformed, is_well_formed(body), "{:?}", result);
    for decoded in result.iter().flatten() {
        let original = match decoded {
            Ok(event) => event.original,
            Err(refused) => refused.original,
        };
        prop_assert!(range(body, original).is_some());
        prop_assert!(serde_json::from_slice::<&RawValue>(original).is_ok());
        if let Ok(event) = decoded {
            prop_assert!(serde_json::from_str::<&RawValue>(&value(event)).is_ok());
        }
    }
    Ok(())
}
