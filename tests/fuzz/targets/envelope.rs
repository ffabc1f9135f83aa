#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use millrace::{
    deliver::decode::{
        Rules,
        adobe::{self, NotOurs, Unnamed},
        decode,
    },
    source::SourceKind,
};

fuzz_target!(|body: &[u8]| {
    let (rules, mut events) = (Rules::default(), Vec::new());
    let decoded = decode(SourceKind::AdobeIo, &rules, body, &[], &mut events);
    let ours = HashSet::from(["client-id".to_owned()]);
    let checked = adobe::check_recipients(body, &ours, Unnamed::Refused);
    match decoded {
        Ok(()) => assert!(!matches!(checked, Err(NotOurs::Unreadable(_))), "both can read it"),
        Err(error) => assert_eq!(checked, Err(NotOurs::Unreadable(error)), "neither can"),
    }
    if adobe::validation_url(body).is_some() {
        assert!(events.is_empty(), "a challenge holds no event");
    }
    for event in events.iter().flatten().filter(|_| checked.is_ok()) {
        for (name, id) in event.attributes.extensions.iter() {
            assert!(
                name != "recipientclientid" || ours.contains(&**id),
                "what was checked is used"
            );
        }
    }
});
