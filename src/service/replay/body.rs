//! Rebuilds the body of an event around the bytes that were kept of it.
//!
//! The kept bytes may be a whole body (in which no events were found) or one element. An element of
//! Adobe I/O is a body by itself. A legacy activity had the munchkin id beside it, and its key begins
//! with that.

use std::borrow::Cow;

use uuid::Uuid;

use super::player::{Item, Player};
use crate::{
    deliver::{
        dead_letter::LEAD_STATE,
        decode::{self, fields::Came},
    },
    source::{ORIGIN_HEADER, SourceKind, SourceName},
    spool::position::Position,
};

/// Reasons of a body that is no JSON. An element of a list was JSON, so such bytes are a whole body.
const NO_JSON: [&str; 3] = ["empty-body", "not-utf8", "not-json"];

/// The reason of a body that was never inflated. Its coding is not kept, and as text it
/// would be read as a body without a signature.
const STILL_CODED: &str = "content-coding";

/// One refused event, as it was kept.
pub(crate) struct Kept<'a> {
    pub source: &'a SourceName,
    pub spool: Uuid,
    pub position: Position,
    /// The reason for which it was refused.
    pub reason: &'a str,
    /// The error text, where it is kept.
    pub error: Option<&'a str>,
    /// The value of the header `millrace-origin`.
    pub origin: Option<&'a str>,
    pub key: &'a [u8],
    pub original: &'a [u8],
}

/// Reasons of events that their topics refused. The rules on fields were applied to the kept bytes of these.
const OF_EVENTS: [&str; 3] = ["too-large", "topic-limit", "refused"];

impl<'a> Kept<'a> {
    /// Returns the body of a delivery that contains the kept bytes.
    pub fn body(&self, kind: Option<SourceKind>) -> Cow<'a, [u8]> {
        match kind {
            Some(SourceKind::MarketoLeadActivity) => legacy(self),
            _ => Cow::Borrowed(self.original),
        }
    }

    pub fn came(&self) -> Came {
        match OF_EVENTS.contains(&self.reason) {
            true => Came::Screened,
            false => Came::FromSender,
        }
    }

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
        if self.reason == LEAD_STATE {
            let Self { source, position, .. } = self;
            let problem = "it is the state of a lead, and not an event: a state is not replayed, since it could \
                           take the place of a newer one; the event that it was made of has its own topic";
            player.failed(source, *position, Some(LEAD_STATE), problem.to_owned());
            return Ok(());
        }
        let origin = self.origin.map(|origin| (ORIGIN_HEADER.to_owned(), origin.to_owned()));
        let kind = player.source(self.source).map(|source| source.kind);
        let body = self.body(kind);
        player.play(&Item {
            source: self.source,
            spool: self.spool,
            position: self.position,
            from: None,
            to: None,
            headers: origin.as_slice(),
            body: &body,
            came: self.came(),
        })
    }
}

/// Rebuilds a legacy body. A whole body is returned as it is, so that its error has the offset of its letter. Bytes are
/// a whole body if events are in it, or if it is refused as the letter was: an element of a list would not be.
fn legacy<'a>(kept: &Kept<'a>) -> Cow<'a, [u8]> {
    let Kept { key, original, reason, error, .. } = *kept;
    let kind = SourceKind::MarketoLeadActivity;
    let decoded = decode::decode(kind, &decode::Rules::default(), original, &[], &mut Vec::new());
    let is_whole = decoded.err().is_none_or(|refused| {
        let is_the_same = |error: &str| refused.reason == reason && refused.to_string() == error;
        NO_JSON.contains(&refused.reason) || error.is_some_and(is_the_same)
    });
    if is_whole {
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

    /// Returns the body of a letter that was refused with `reason` and `error`.
    fn body(key: &[u8], original: &[u8], reason: &str, error: Option<&str>) -> Vec<u8> {
        let source = &SourceName::new("leads").unwrap();
        let position = Position { sequence: 7, index: 0 };
        let spool = Uuid::nil();
        let origin = None;
        let kept = Kept { source, spool, position, reason, error, origin, key, original };
        legacy(&kept).into_owned()
    }

    fn refused(key: &[u8], original: &[u8]) -> Vec<u8> {
        body(key, original, "refused", None)
    }

    #[test]
    fn an_activity_gets_the_munchkin_id_of_its_key_and_a_whole_body_stays_as_it_is() {
        let with_id = refused(b"999-XYZ-000:7", br#"{"leadId":7}"#);
        assert_eq!(with_id, br#"{"munchkinId":"999-XYZ-000","activities":[{"leadId":7}]}"#);
        assert_eq!(refused(b"", b"7"), br#"{"activities":[7]}"#);
        let errors_stay = "so that its errors are where they were";
        assert_eq!(refused(b"", b"{broken"), b"{broken", "{errors_stay}");
        let whole = br#"{"munchkinId":"m","activities":[]}"#;
        assert_eq!(refused(b"m", whole), whole);
        let marked = [b"\xef\xbb\xbf", &whole[..]].concat();
        assert_eq!(refused(b"", &marked), marked);
    }

    #[test]
    fn a_whole_body_is_refused_with_the_words_of_its_letter_whatever_is_wrong_with_it() {
        let kind = SourceKind::MarketoLeadActivity;
        for original in [
            &b"this is no JSON"[..],
            b"[1,2]",
            b"{}",
            br#"{"activities":7}"#,
            br#"{"munchkinId":"a","munchkinId":"b","activities":[]}"#,
            "[".repeat(200).as_bytes(),
        ] {
            let rules = decode::Rules::default();
            let decoded = decode::decode(kind, &rules, original, &[], &mut Vec::new());
            let letter = decoded.expect_err("it is refused");
            let again = body(b"", original, letter.reason, Some(&letter.to_string()));
            assert_eq!(again, original, "{letter}");
        }
    }
}
