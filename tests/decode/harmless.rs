//! Whatever stands in a body of Adobe I/O, nothing panics and every value is a range of it.

use std::collections::HashSet;

use millrace::{
    deliver::{
        decode::adobe::{self, NotOurs, Unnamed},
        encode,
    },
    event::Coding,
};
use proptest::prelude::*;

use crate::decode_adobe;

/// A body with `bytes` put into it at some places.
fn mutated(body: &str, mutations: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut body = body.as_bytes().to_vec();
    for (at, byte) in mutations {
        let at = at.index(body.len());
        match byte % 3 {
            0 => body[at] = *byte,
            1 => body.insert(at, b"{}[],:\" 1\\"[usize::from(*byte) % 10]),
            _ => _ = body.remove(at),
        }
    }
    body
}

const FIXTURES: [&str; 6] = [
    include_str!("fixtures/adobe-flat.json"),
    include_str!("fixtures/adobe-batch.json"),
    include_str!("fixtures/adobe-wrapped.json"),
    include_str!("fixtures/adobe-wrapped-notification.json"),
    include_str!("fixtures/adobe-older.json"),
    include_str!("fixtures/same-activities.adobe.json"),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_does_no_harm(
        fixture in prop::sample::select(FIXTURES.to_vec()),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"type\":\"t\"", "\"source\":\"s\"", "\"event\":{", "\"body\":{",
                "\"data\":", "\"data_base64\":", "\"aGk=\"", "\"datacontenttype\":\"a/b\"", "\"id\":1", "\"\\u00e9\"",
                "null", "\"recipientclientid\":\"r\"", " ", "\"", "\\", "1",
            ]),
            0..14,
        ),
    ) {
        for body in [mutated(fixture, &mutations), bytes, tokens.concat().into_bytes(), format!("[{{{}}}]", tokens.join(",")).into_bytes()] {
            is_harmless(&body)?;
        }
    }
}

/// Every value is a range of the body, and can be spelled.
fn is_harmless(body: &[u8]) -> Result<(), TestCaseError> {
    let ours = HashSet::from(["r".to_owned()]);
    let (decoded, checked) =
        (decode_adobe(body), adobe::check_recipients(body, &ours, Unnamed::Refused));
    let _ = adobe::validation_url(body);
    match &decoded {
        Err(undecodable) => prop_assert_eq!(checked, Err(NotOurs::Unreadable(undecodable.clone()))),
        Ok(_) => prop_assert!(!matches!(checked, Err(NotOurs::Unreadable(_)))),
    }
    let is_inside = |part: &[u8]| body.as_ptr_range().contains(&part.as_ptr());
    for decoded in decoded.iter().flatten() {
        let original =
            decoded.as_ref().map_or_else(|refused| refused.original, |event| event.original);
        prop_assert!(is_inside(original));
        let Ok(event) = decoded else { continue };
        prop_assert!(event.value.as_slice().iter().all(|part| is_inside(part)));
        prop_assert!(event.value.as_slice().len() <= 1);
        let spelled = encode::spell(&event.value, &mut Vec::new()).len();
        prop_assert!(event.value.coding() != Coding::Plain || spelled == event.value.size());
    }
    Ok(())
}
