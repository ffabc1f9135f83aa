//! The shapes of Adobe I/O, member by member. Whole records are in `records`.

use millrace::{
    deliver::decode::{MAX_DEPTH, MAX_EVENTS},
    event::{Event, Refused, Stream},
};

use crate::{adobe_event as event, decode_adobe, value};

/// A CloudEvent with `members` beside the required ones.
fn flat(members: &str) -> String {
    format!(r#"{{"specversion":"1.0","type":"a.b","source":"urn:s"{members}}}"#)
}

/// One of lead activity with `data`.
fn activity(data: &str) -> String {
    let name = "com.adobe.platform.marketo.activity.standard.clicklink";
    format!(r#"{{"specversion":"1.0","type":"{name}","source":"urn:s","data":{data}}}"#)
}

fn refused(body: &str) -> Refused<'_> {
    decode_adobe(body.as_bytes()).unwrap().swap_remove(0).unwrap_err()
}

/// The extensions as `name=value`, in their order.
fn extensions(body: &str) -> Vec<String> {
    let extensions = event(body).attributes.extensions;
    extensions.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn one_event_and_a_batch_of_it_are_the_same_but_for_their_place() {
    let one = flat(r#","id":"1","data":{"a":1}"#);
    let batch = format!(" [\n{one} , {one}] ");
    let decoded = decode_adobe(batch.as_bytes()).unwrap();
    let expected = event(&one);
    for (index, decoded) in (0..).zip(&decoded) {
        assert_eq!(decoded.as_ref().unwrap(), &Event { index, ..expected.clone() });
    }
    assert_eq!(decoded.len(), 2);
    assert_eq!(expected.original, one.as_bytes());
    assert_eq!(decode_adobe(b"[]"), Ok(vec![]));
}

#[test]
fn the_event_is_the_outermost_object_that_says_so() {
    let source = |body: &str| event(body).attributes.source.into_owned();
    let inner = r#"{"specversion":"1.0","type":"a.b","source":"urn:inner"}"#;
    assert_eq!(source(inner), "urn:inner");
    for wrapped in [
        format!(r#"{{"event":{inner}}}"#),
        format!(r#"{{"body":{inner}}}"#),
        format!(r#"{{"event":{{"body":{inner}}}}}"#),
        format!(r#"{{"type":"webhook","source":"urn:outer","event":{inner}}}"#),
        format!(r#"{{"\u0065vent":{inner}}}"#),
    ] {
        assert_eq!(source(&wrapped), "urn:inner", "{wrapped}");
    }
    let outer = flat(&format!(r#","event":{inner}"#));
    assert_eq!(source(&outer), "urn:s");
    assert_eq!(extensions(&outer), [format!("event={inner}")]);
    let unmarked = inner.replace(r#""specversion":"1.0","#, "");
    assert_eq!(source(&format!(r#"{{"event":{{"body":{unmarked}}}}}"#)), "urn:inner");
}

#[test]
fn an_event_without_an_id_takes_adobes_and_otherwise_adobes_is_an_extension() {
    let id = |body: &str| event(body).attributes.id.map(|id| id.into_owned());
    for (members, expected, rest) in [
        (r#","id":"1","eventid":"2""#, Some("1"), vec!["eventid=2"]),
        (r#","id":"1","event_id":"2""#, Some("1"), vec!["eventid=2"]),
        (r#","id":"1","event_id":"3","eventid":"2""#, Some("1"), vec!["eventid=2"]),
        (r#","id":"1","eventid":"1","event_id":"1""#, Some("1"), vec![]),
        (r#","eventid":"2""#, Some("2"), vec![]),
        (r#","id":"","event_id":"2""#, Some("2"), vec![]),
        (r#","id":null,"event_id":17"#, Some("17"), vec![]),
        (r#","id":17"#, Some("17"), vec![]),
        ("", None, vec![]),
    ] {
        let body = flat(members);
        assert_eq!(id(&body).as_deref(), expected, "{body}");
        assert_eq!(extensions(&body), rest, "{body}");
    }
    let wrapped = format!(r#"{{"event":{},"eventid":"e","id":"not the event's"}}"#, flat(""));
    assert_eq!(id(&wrapped).as_deref(), Some("e"));
    assert_eq!(extensions(&wrapped), [""; 0]);
}

#[test]
fn every_other_member_is_an_extension_under_a_name_that_is_allowed() {
    let body = flat(
        r#","a1":"x","nothing":null,"empty":"","number":-1.50e2,"yes":true,"list":[ 1 ],"half":"\ud800",
           "traceParent":"t","x_y":"z","xy":"first","é":"lost","Type":"t","datacontent_type":"t","\u0062":"b""#,
    );
    assert_eq!(
        extensions(&body),
        [
            "a1=x",
            "number=-1.50e2",
            "yes=true",
            "list=[ 1 ]",
            r#"half="\ud800""#,
            "xy=first",
            "b=b",
            "traceparent=t"
        ]
    );
}

#[test]
fn members_of_the_envelope_give_way_to_those_of_the_event() {
    let inner = flat(r#","both":"inner","recipientclientid":"r""#);
    let body = format!(
        r#"{{"both":"outer","subject":"outer","time":"2026-03-02T09:59:58Z","recipient_client_id":"r",
            "event":{{"middle":1,"body":{inner}}},"outer":2}}"#
    );
    assert_eq!(extensions(&body), ["both=inner", "recipientclientid=r", "middle=1", "outer=2"]);
    let attributes = event(&body).attributes;
    assert_eq!((attributes.subject, attributes.time), (None, None));
}

#[test]
fn keys_are_made_of_what_is_there() {
    let key = |name: &str, data: &str| {
        let name = format!("com.adobe.platform.marketo.{name}");
        let body = format!(r#"{{"type":"{name}","source":"urn:s","data":{data}}}"#);
        event(&body).key.map(|key| key.into_owned())
    };
    let lead = "activity.standard.clicklink";
    let some = |key: &str| Some(key.to_owned());
    assert_eq!(key(lead, r#"{"munchkinId":"m","leadId":"4711"}"#), some("m:4711"));
    assert_eq!(key(lead, r#"{"leadId":4711,"munchkinId":"m"}"#), some("m:4711"));
    assert_eq!(key(lead, r#"{"munchkinId":"m","lead\u0049d":"47\u00311"}"#), some("m:4711"));
    assert_eq!(key(lead, r#"{"munchkinId":"m"}"#), some("m"));
    assert_eq!(key(lead, r#"{"munchkinId":"m","leadId":[1]}"#), some("m"));
    assert_eq!(key(lead, r#"{"munchkinId":"m","x":{"leadId":1}}"#), some("m"));
    assert_eq!(key(lead, r#"{"leadId":"1"}"#), None);
    assert_eq!(key(lead, r#""text""#), None);
    let audit = "audit.user.email";
    let both = r#"{"munchkinId":"m","componentType":"Email","componentId":"55"}"#;
    assert_eq!(key(audit, both), some("m:Email:55"));
    assert_eq!(key(audit, &both.replace(r#""55""#, "55")), some("m:Email:55"));
    assert_eq!(key(audit, r#"{"munchkinId":"m","componentId":55}"#), some("m"));
    assert_eq!(key("notification.x", both), some("m"));
    assert_eq!(key("observability.metrics", both), some("m"));
    assert_eq!(key("new.thing", r#"{"munchkinId":"m","leadId":1}"#), some("m"));
}

#[test]
fn types_that_nobody_knows_have_a_stream_and_a_name() {
    let named = |ce_type: &str, data: &str| {
        let body = format!(r#"{{"type":"{ce_type}","source":"urn:s","data":{data}}}"#);
        let event = event(&body);
        (event.stream, event.event_type.into_owned(), event.attributes.r#type.into_owned())
    };
    let custom = "com.adobe.platform.marketo.activity.custom";
    let of = |id: &str| named(custom, &format!(r#"{{"activityTypeId":{id}}}"#));
    assert_eq!(of("100001"), (Stream::LeadActivity, "custom-100001".into(), custom.into()));
    assert_eq!(of(r#""100001""#).1, "custom-100001");
    assert_eq!(of("null").1, "custom");
    assert_eq!(named("org.example.Thing", "{}").0, Stream::Other);
    assert_eq!(named("org.example.Thing", "{}").1, "thing");
}

#[test]
fn data_is_what_the_json_format_says() {
    let data = |members: &str| {
        let body = flat(members);
        let event = event(&body);
        (value(&event), event.attributes.datacontenttype.map(|text| text.into_owned()))
    };
    let json = || Some("application/json".to_owned());
    let is =
        |text: &str, content_type: Option<&str>| (text.to_owned(), content_type.map(Into::into));
    assert_eq!(data(""), is("", None));
    assert_eq!(data(r#","datacontenttype":"text/xml""#), is("", Some("text/xml")));
    assert_eq!(data(r#","data": { "a" : 1 } "#), ("{ \"a\" : 1 }".into(), json()));
    assert_eq!(data(r#","data":null"#), ("null".into(), json()));
    assert_eq!(data(r#","data":"a\u0062""#), (r#""a\u0062""#.into(), json()));
    let vendor = r#","datacontenttype":"application/x+JSON; v=1","data":"a""#;
    assert_eq!(data(vendor), is(r#""a""#, Some("application/x+JSON; v=1")));
    let xml = |data: &str| format!(r#","datacontenttype":"text/xml",{data}"#);
    assert_eq!(data(&xml(r#""data":"<a\/>\n""#)), is("<a/>\n", Some("text/xml")));
    assert_eq!(data(&xml(r#""data":"<a/>""#)), is("<a/>", Some("text/xml")));
    assert_eq!(data(&xml(r#""data":"""#)), is("", Some("text/xml")));
    assert_eq!(data(&xml(r#""data":{"a":1}"#)), is(r#"{"a":1}"#, Some("text/xml")));
    assert_eq!(data(&xml(r#""data_base64":"PGE\/Pg==""#)), is("<a?>", Some("text/xml")));
    assert_eq!(data(&xml(r#""data_base64":"""#)), is("", Some("text/xml")));
    assert_eq!(data(&xml(r#""data":"x","data_base64":null"#)), is("x", Some("text/xml")));
    assert_eq!(data(r#","data_base64":"e30=""#), ("{}".into(), json()));
}

#[test]
fn a_source_that_is_no_uri_reference_is_made_one_and_kept_beside_it() {
    let of = |source: &str| {
        let body = format!(r#"{{"specversion":"1.0","type":"a.b","source":"{source}"}}"#);
        let event = event(&body);
        let kept = event.headers.iter().map(|(name, value)| format!("{name}={value}"));
        (event.attributes.source.to_string(), kept.collect::<Vec<_>>())
    };
    assert_eq!(of("urn:s"), ("urn:s".into(), vec![]));
    assert_eq!(of("a/b?c#d"), ("a/b?c#d".into(), vec![]));
    let spaced = vec!["millrace-ce-source=my source".to_owned()];
    assert_eq!(of("my source"), ("my%20source".into(), spaced));
    assert_eq!(of("1:x").0, "1%3Ax");
}

#[test]
fn every_event_has_version_1_0_and_says_which_it_came_with() {
    let of = |version: &str| {
        let body = format!(r#"{{{version}"type":"a.b","source":"urn:s"}}"#);
        event(&body).headers.first().map(|(name, value)| format!("{name}={value}"))
    };
    for version in ["", r#""specversion":"1.0","#, r#""specversion":1.0,"#, r#""specversion":"","#]
    {
        assert_eq!(of(version), None, "{version}");
    }
    for version in ["0.3", "0.2", "2.0"] {
        let kept = of(&format!(r#""specversion":"{version}","#));
        assert_eq!(kept, Some(format!("millrace-specversion={version}")));
    }
}

#[test]
fn base64_of_version_0_3_is_what_version_1_0_has_for_it() {
    let of = |version: &str, members: &str| {
        let body = format!(
            r#"{{"specversion":"{version}","type":"a.b","source":"urn:s","datacontenttype":"text/plain"{members}}}"#
        );
        (value(&event(&body)), extensions(&body))
    };
    let base64 = r#","datacontentencoding":"Base64","data":"PGE\/Pg==""#;
    assert_eq!(of("0.3", base64), ("<a?>".into(), vec![]));
    let kept = vec!["datacontentencoding=Base64".to_owned()];
    assert_eq!(of("1.0", base64), ("PGE/Pg==".into(), kept.clone()));
    let object = r#","datacontentencoding":"Base64","data":{"a":1}"#;
    assert_eq!(of("0.3", object), (r#"{"a":1}"#.into(), kept));
    assert_eq!(of("0.3", r#","data":"PGE\/Pg==""#), ("PGE/Pg==".into(), vec![]));
}

#[test]
fn a_number_of_a_key_has_no_fraction_of_zeros() {
    let body = activity(r#"{"munchkinId":"m","leadId":4711.0}"#);
    assert_eq!(event(&body).key.as_deref(), Some("m:4711"));
    let audit = r#"{"type":"com.adobe.platform.marketo.audit.user.email","source":"urn:s",
        "data":{"munchkinId":"m","componentType":"Email","componentId":55.0}}"#;
    assert_eq!(event(audit).key.as_deref(), Some("m:Email:55"));
}

#[test]
fn a_time_that_an_sdk_can_not_read_is_in_a_plain_header() {
    for time in [
        "2016-12-31T23:59:60Z",
        "2026-03-02T09:59:58.123456789012Z",
        "2026-03-02T09:59:58+23:59",
        "0000-03-02T09:59:58Z",
        "2026-03-02 10:00:02.118",
    ] {
        let body = flat(&format!(r#","time":"{time}""#));
        let event = event(&body);
        assert_eq!(event.attributes.time, None);
        assert_eq!(event.headers, [("millrace-time", time.into())]);
    }
}

#[test]
fn an_element_that_is_not_understood_is_refused_and_the_others_go_on() {
    let too_many: String = (0..200).map(|n| format!(r#","x{n}":1"#)).collect();
    let strange = [
        ("1".to_owned(), "not-an-object", ""),
        ("[[]]".into(), "not-an-object", ""),
        ("{}".into(), "not-a-cloud-event", ""),
        (r#"{"data":{"munchkinId":"m"}}"#.into(), "not-a-cloud-event", ""),
        (r#"{"event":{"body":{"data":{}}}}"#.into(), "not-a-cloud-event", ""),
        (r#"{"type":null,"source":"urn:s"}"#.into(), "missing-type", ""),
        (
            r#"{"specversion":"1.0","source":"urn:s","data":{"munchkinId":"m"}}"#.into(),
            "missing-type",
            "m",
        ),
        (r#"{"type":"a.b","data":{"munchkinId":"m"}}"#.into(), "missing-source", "m"),
        (r#"{"type":"a.b","source":7}"#.into(), "missing-source", ""),
        (flat(r#","id":{"a":1}"#), "unusable-id", ""),
        (flat(r#","id":"1","i\u0064":"1""#), "duplicate-member", ""),
        (format!(r#"{{"event":{},"event":{{}}}}"#, flat("")), "duplicate-member", ""),
        (activity(r#"{"munchkinId":"m","leadId":1,"leadId":1}"#), "duplicate-member", "m:1"),
        (flat(&too_many), "too-many-attributes", ""),
        (flat(r#","data":{"munchkinId":"m"},"data_base64":"e30=""#), "ambiguous-data", "m"),
        (flat(r#","data_base64":"e30""#), "unusable-data", ""),
        (flat(r#","data_base64":["e30="]"#), "unusable-data", ""),
        (flat(r#","datacontenttype":"text/plain","data":"\ud800""#), "unusable-data", ""),
    ];
    let good = flat(r#","id":"good""#);
    let list = strange.clone().map(|(element, ..)| format!("{good} , {element}")).join(" ,\n");
    let body = format!("[{list}]");
    let decoded = decode_adobe(body.as_bytes()).unwrap();
    let some = |key: &'static str| Some(key).filter(|key| !key.is_empty());
    assert_eq!(decoded.len(), 2 * strange.len());
    for (n, (element, reason, key)) in strange.iter().enumerate() {
        let event = decoded[2 * n].as_ref().unwrap();
        assert_eq!((event.index as usize, event.original), (2 * n, good.as_bytes()));
        let refused = decoded[2 * n + 1].as_ref().expect_err(element);
        assert_eq!((refused.reason, refused.key.as_deref()), (*reason, some(key)), "{element}");
        assert_eq!((refused.index as usize, refused.original), (2 * n + 1, element.as_bytes()));
        let begin = format!("event {}: ", 2 * n + 1);
        assert!(refused.error.starts_with(&begin), "{}", refused.error);
    }
    assert_eq!(refused("{}").index, 0, "alone as in a batch");
}

#[test]
fn a_body_that_is_not_well_formed_is_undecodable_as_a_whole() {
    let undecodable = |body: &str| decode_adobe(body.as_bytes()).unwrap_err();
    let good = flat(r#","data":{"munchkinId":"m"}"#);
    for end in 1..good.len() {
        assert_eq!(undecodable(&good[..end]).reason, "not-json");
    }
    for body in [
        "hello",
        "{",
        "[{}",
        "[{},]",
        "[{} {}]",
        "{} {}",
        "[]x",
        r#"{"a":1,}"#,
        r#"{"data":{"a" 1}}"#,
        r#"{"event":{"body":{"data":{]}}}}"#,
        "\u{feff}\u{feff}{}",
        "eventid=1&data=2",
        "<xml/>",
    ] {
        assert_eq!(undecodable(body).reason, "not-json", "{body}");
    }
    assert_eq!(undecodable(" \n").reason, "empty-body");
    assert_eq!(decode_adobe(b"{\"a\":\"\xff\"}").unwrap_err().reason, "not-utf8");
    for (body, at) in [("1", 0), (" \"text\"", 1), ("null", 0)] {
        let error = undecodable(body);
        assert_eq!(error.reason, "not-an-object");
        assert!(error.error.ends_with(&format!("at byte {at}")), "{error}");
    }
    let many = format!("[{}0]", "0,".repeat(MAX_EVENTS));
    assert_eq!(undecodable(&many).reason, "too-many-events");
}

#[test]
fn nesting_ends_where_it_ends_for_a_push() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    for (around, layers) in [("{}", 1), (r#"{"event":{}}"#, 2), (r#"{"event":{"body":{}}}"#, 3)] {
        let body = |depth| around.replace("{}", &flat(&format!(r#","data":{}"#, nested(depth))));
        event(&body(MAX_DEPTH - layers));
        let error = decode_adobe(body(MAX_DEPTH - layers + 1).as_bytes()).unwrap_err();
        assert_eq!(error.reason, "nested-too-deep", "{around}");
    }
    for deep in ["[", r#"{"event":"#, r#"{"data":"#, r#"{"body":{"event":"#] {
        let error = decode_adobe(deep.repeat(200_000).as_bytes()).unwrap_err();
        assert!(["not-json", "nested-too-deep"].contains(&error.reason), "{error}");
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_an_event() {
    let one = flat(r#","id":"1","data":{"a":1}"#);
    for body in [one.clone(), format!("[{one},7]")] {
        let marked = format!("\u{feff}{body}");
        let decoded = decode_adobe(marked.as_bytes()).unwrap();
        assert_eq!(decoded, decode_adobe(body.as_bytes()).unwrap());
        assert_eq!(decoded[0].as_ref().unwrap().original, one.as_bytes());
    }
}

#[test]
fn a_challenge_holds_no_event() {
    let body = r#"{"validationUrl":"https://csm.adobe.io/csm/registrations/validate?id=1"}"#;
    assert_eq!(decode_adobe(body.as_bytes()), Ok(vec![]));
    assert_eq!(decode_adobe(format!("\u{feff}{body}").as_bytes()), Ok(vec![]));
}

#[test]
fn an_event_from_the_journal_is_the_webhooks_with_its_position_beside_it() {
    let data = r#"{"munchkinId":"999-XYZ-000","leadId":"4711"}"#;
    let one = activity(data).replacen('{', r#"{"id":"0b5e","#, 1);
    let webhook = one.replacen('{', r#"{"eventid":"5d1c","recipientclientid":"us","#, 1);
    let journal = format!(r#"{{"position":"p:7","event":{one}}}"#);
    let (webhook, journal) = (event(&webhook), event(&journal));
    let same = |name: &str, of: fn(&Event<'_>) -> String| {
        assert_eq!(of(&journal), of(&webhook), "{name}");
    };
    same("id", |event| format!("{:?}", event.attributes.id));
    same("source", |event| event.attributes.source.to_string());
    same("type", |event| event.attributes.r#type.to_string());
    assert_eq!(journal.attributes.id.as_deref(), Some("0b5e"));
    assert_eq!((&journal.key, value(&journal)), (&webhook.key, value(&webhook)));

    let wrapped = |head: &str| {
        let body = r#"{"specversion":"1.0","type":"com.adobe.platform.marketo.audit.user.email","source":"urn:mlm"}"#;
        format!(r#"{{{head}"event":{{"body":{body}}}}}"#)
    };
    let (webhook, journal) =
        (wrapped(r#""eventid":"77aa","#), wrapped(r#""position":"p:8","eventid":"77aa","#));
    assert_eq!(event(&webhook).attributes.id, event(&journal).attributes.id);
}
