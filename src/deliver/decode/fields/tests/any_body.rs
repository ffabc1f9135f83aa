//! Rules on fields against arbitrary JSON.

use proptest::prelude::*;

use super::*;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Email".to_owned()),
        Just("attributes".to_owned()),
        Just("name".to_owned()),
        "[a-c]"
    ]
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i8>().prop_map(Into::into),
        "[a-z]{0,3}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((name(), inner), 0..4)
                .prop_map(|all| all.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

/// Whether the field is anywhere in it, with a value.
fn has_email(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Array(all) => all.iter().any(has_email),
        serde_json::Value::Object(all) => {
            let is_it = |(name, value): (&String, &serde_json::Value)| {
                (name == "Email" && !value.is_null() && value != MASK) || has_email(value)
            };
            all.iter().any(is_it)
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn whatever_comes_stays_json_and_has_no_field_that_is_named(data in value(), drop in any::<bool>()) {
        let action = if drop { Action::Drop } else { Action::Mask };
        let body = delivery(&format!(r#""x":{data}"#));
        for item in screened(LEADS, vec![attribute("Email", action)], &body).into_iter().flatten() {
            let value: serde_json::Value = serde_json::from_str(&item).unwrap();
            prop_assert!(!has_email(&value), "{item}");
            if drop {
                let is_named = item.contains("\"Email\":") && !item.contains("\"name\"");
                prop_assert!(!is_named, "{item}");
            }
        }
    }
}
