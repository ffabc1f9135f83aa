//! One activity meets itself: from Marketo's own push and from Adobe I/O it has the same topic, key,
//! identity and content, so that both may run side by side.

use millrace::{
    deliver::decode::{Catalog, Rules, catalog::Override, decode},
    event::Event,
    source::SourceKind,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::{adobe_event, decode_adobe, decode_legacy, value};

#[test]
fn an_activity_that_comes_from_both_senders_meets() {
    let rules = Rules::default();
    let push = decode_legacy(&rules, include_bytes!("fixtures/same-activities.push.json")).unwrap();
    let adobe = decode_adobe(include_bytes!("fixtures/same-activities.adobe.json")).unwrap();
    assert_eq!((push.len(), adobe.len()), (3, 3));
    for (push, adobe) in push.iter().zip(&adobe) {
        meet(push.as_ref().unwrap(), adobe.as_ref().unwrap()).unwrap();
    }
}

/// Same topic (by stream, type and ids), key, identity and content.
fn meet(push: &Event<'_>, adobe: &Event<'_>) -> Result<(), TestCaseError> {
    prop_assert_eq!(push.stream, adobe.stream);
    prop_assert_eq!(&push.event_type, &adobe.event_type);
    prop_assert_eq!(&push.munchkin_id, &adobe.munchkin_id);
    prop_assert_eq!(push.activity_type_id, adobe.activity_type_id);
    prop_assert_eq!(&push.key, &adobe.key);
    prop_assert_eq!(&push.attributes.id, &adobe.attributes.id);
    prop_assert_eq!(&push.attributes.source, &adobe.attributes.source);
    prop_assert_eq!(&push.attributes.r#type, &adobe.attributes.r#type);
    prop_assert_eq!(&push.attributes.datacontenttype, &adobe.attributes.datacontenttype);
    let json = |event| serde_json::from_str::<Value>(&value(event)).unwrap();
    prop_assert_eq!(json(push), json(adobe));
    Ok(())
}

/// Ids and names as both senders know them: Adobe's rule makes a type of the name.
fn activity_types() -> impl Strategy<Value = (u32, &'static str)> {
    prop_oneof![
        prop::sample::select(vec![
            (3, "Click Link"),
            (10, "Open Email"),
            (13, "Change Data Value"),
            (44, "Change Status in SFDC Campaign"),
            (106, "Enrich with Data.com"),
            (147, "Fill Out Linked Lead Gen Form"),
            (147, "Fill Out LinkedIn Lead Gen Form"),
            (147, "Submitted a Form"),
            (99_998, "Fly Kite"),
        ]),
        (100_000u32..200_000).prop_map(|id| (id, "Visited the Booth")),
    ]
}

#[test]
fn a_type_that_configuration_names_has_that_name_in_both_forms() {
    let named = Override { name: Some("Clicked".into()), aliases: Vec::new() };
    let rules = Rules::from(Catalog::with_overrides([(3, named)]).unwrap());
    let data = r#""munchkinId":"m","activityTypeId":3,"activityType":"Click Link""#;
    let push = format!(r#"{{"activities":[{{"marketoGUID":"g",{data}}}]}}"#);
    let ce_type = "com.adobe.platform.marketo.activity.standard.clicklink";
    let adobe = format!(
        r#"{{"type":"{ce_type}","source":"urn:marketo_activity_stream","id":"g","data":{{{data}}}}}"#
    );
    let push = decode_legacy(&rules, push.as_bytes()).unwrap().remove(0).unwrap();
    let mut out = Vec::new();
    decode(SourceKind::AdobeIo, &rules, adobe.as_bytes(), &[], &mut out).unwrap();
    meet(&push, out[0].as_ref().unwrap()).unwrap();
    assert_eq!(push.event_type, "clicked");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_activity_meets_itself_in_the_other_form(
        kind in activity_types(),
        (guid, munchkin_id) in ("[a-zé\"\\\\]{1,12}", "[0-9A-Z\"-]{1,11}"),
        lead in prop_oneof![(1u64..).prop_map(Value::from), "[A-Z0-9é-]{1,8}".prop_map(Value::from)],
        others in prop::collection::btree_map("x[a-z]{0,4}", ".{0,8}", 0..4),
    ) {
        let (type_id, name) = kind;
        let mut common: serde_json::Map<String, Value> =
            others.into_iter().map(|(name, text)| (name, text.into())).collect();
        common.insert("activityTypeId".into(), type_id.into());
        common.insert("activityType".into(), name.into());

        let mut pushed = common.clone();
        pushed.insert("marketoGUID".into(), guid.clone().into());
        pushed.insert("leadId".into(), lead.clone());
        let push = serde_json::json!({"activities": [pushed], "munchkinId": munchkin_id}).to_string();

        let mut data = common;
        data.insert("munchkinId".into(), munchkin_id.into());
        data.insert("leadId".into(), lead.as_str().map_or(lead.to_string(), Into::into).into());
        let last: String = name.to_lowercase().split(' ').collect();
        let ce_type = match type_id {
            100_000.. => "com.adobe.platform.marketo.activity.custom".to_owned(),
            _ => format!("com.adobe.platform.marketo.activity.standard.{last}"),
        };
        let flat = serde_json::json!({
            "specversion": "1.0", "type": ce_type, "source": "urn:marketo_activity_stream", "id": guid,
            "eventid": "e", "datacontenttype": "application/json", "data": data,
        });
        let wrapped = serde_json::json!({"eventid": "e", "event": {"body": flat}});

        let rules = Rules::default();
        let push = decode_legacy(&rules, push.as_bytes()).unwrap().remove(0).unwrap();
        for adobe in [flat.to_string(), format!("[{flat}]"), wrapped.to_string()] {
            meet(&push, &adobe_event(&adobe))?;
        }
    }
}
