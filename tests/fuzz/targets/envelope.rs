#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace::{
    decode::{Rules, adobe, decode},
    delivery::SourceKind,
};

fuzz_target!(|body: &[u8]| {
    let (rules, mut events) = (Rules::default(), Vec::new());
    let decoded = decode(SourceKind::AdobeIo, &rules, body, &[], &mut events);
    let recipients = adobe::recipients(body);
    assert_eq!(decoded.is_ok(), recipients.is_ok(), "both find the same bodies malformed");
    if adobe::validation_url(body).is_some() {
        assert!(events.is_empty(), "a challenge holds no event");
    } else if let Ok(recipients) = recipients {
        assert!(recipients.len() >= events.iter().flatten().count(), "each event is asked for");
    }
});
