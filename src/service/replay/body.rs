//! The body that an event stood in, made anew around what was kept of it.
//!
//! What is kept may be a whole body (nobody could find events in it) or one element. An element of
//! Adobe I/O stands for itself. A legacy activity had the munchkin id beside it, and its key begins
//! with that.

use std::borrow::Cow;

use uuid::Uuid;

use super::player::{Item, Player};
use crate::{
    deliver::decode,
    source::{ORIGIN_HEADER, SourceKind, SourceName},
    spool::position::Position,
};

/// The reasons of a body that is no JSON. An element of a list was JSON, so it is a whole body.
const NO_JSON: [&str; 3] = ["empty-body", "not-utf8", "not-json"];

/// The reason of a body that was never inflated. Nothing else about its coding is kept, and as text it
/// would be read as something that is not signed.
const STILL_CODED: &str = "content-coding";

/// One refused event, as it was kept.
pub(crate) struct Kept<'a> {
    pub source: &'a SourceName,
    pub spool: Uuid,
    pub position: Position,
    /// Why it was refused.
    pub reason: &'a str,
    /// As in the header of that name.
    pub origin: Option<&'a str>,
    pub key: &'a [u8],
    pub original: &'a [u8],
}

impl Kept<'_> {
    pub fn play(&self, player: &mut Player) -> Result<(), String> {
        if self.reason == STILL_CODED {
            let Self { source, position, .. } = self;
            let problem = format!(
                "the body is still in its content-coding, which is not known ({STILL_CODED}): take it off \
                 yourself, and deliver the body with a token"
            );
            player.failed(source, *position, Some(STILL_CODED), problem);
            return Ok(());
        }
        let origin = self.origin.map(|origin| (ORIGIN_HEADER.to_owned(), origin.to_owned()));
        let kind = player.source(self.source).map(|source| source.kind);
        let body = match kind {
            Some(SourceKind::MarketoLeadActivity) => legacy(self.key, self.original),
            _ => Cow::Borrowed(self.original),
        };
        player.play(&Item {
            source: self.source,
            spool: self.spool,
            position: self.position,
            from: None,
            to: None,
            headers: origin.as_slice(),
            body: &body,
        })
    }
}

fn legacy<'a>(key: &[u8], original: &'a [u8]) -> Cow<'a, [u8]> {
    let kind = SourceKind::MarketoLeadActivity;
    let is_whole = decode::decode(kind, &decode::Rules::default(), original, &[], &mut Vec::new());
    if is_whole.err().is_none_or(|error| NO_JSON.contains(&error.reason)) {
        return Cow::Borrowed(original);
    }
    let key = String::from_utf8_lossy(key);
    let munchkin_id = key.split(':').next().unwrap_or_default();
    let mut body = b"{".to_vec();
    if !munchkin_id.is_empty() {
        let quoted = serde_json::Value::from(munchkin_id).to_string();
        body.extend_from_slice(format!("\"munchkinId\":{quoted},").as_bytes());
    }
    body.extend_from_slice(b"\"activities\":[");
    body.extend_from_slice(original);
    body.extend_from_slice(b"]}");
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_activity_gets_the_munchkin_id_of_its_key_and_a_whole_body_stays_as_it_is() {
        let body = legacy(b"999-XYZ-000:7", br#"{"leadId":7}"#);
        assert_eq!(&*body, br#"{"munchkinId":"999-XYZ-000","activities":[{"leadId":7}]}"#);
        assert_eq!(&*legacy(b"", b"7"), br#"{"activities":[7]}"#);
        assert_eq!(&*legacy(b"", b"{broken"), b"{broken", "so that its errors are where they were");
        let whole = br#"{"munchkinId":"m","activities":[]}"#;
        assert_eq!(&*legacy(b"m", whole), whole);
        let marked = [b"\xef\xbb\xbf", &whole[..]].concat();
        assert_eq!(&*legacy(b"", &marked), marked);
    }
}
