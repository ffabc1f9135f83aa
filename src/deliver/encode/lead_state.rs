//! The value of a lead state's record.
//!
//! ```json
//! {"munchkin_id":"999-XYZ-000","lead_id":"4711","state":"changed","activity_id":"0b5e…","activity_type_id":13,
//!  "activity_time":"2026-03-02T09:59:58Z","changed":{"Lead Status":"MQL"}}
//! ```
//!
//! The ids and the time are those of the last activity of the state. `changed` has only new values, in JSON as the
//! sender wrote them; `merged` has the leads that this one took over.

use std::io::Write;

use serde_json::Value;
use uuid::Uuid;

use crate::event::{Event, LeadChange, LeadState};

/// `None`: a tombstone. `out` is memory for it.
pub(super) fn value<'o>(
    spool: Uuid,
    sequence: u64,
    state: &LeadState<'_>,
    event: &Event<'_>,
    out: &'o mut Vec<u8>,
) -> Option<&'o [u8]> {
    if state.change.is_tombstone() {
        return None;
    }
    out.clear();
    let last = state.parts.last();
    let id = last.map(|part| match &part.id {
        Some(id) => id.to_string(),
        // The id of its event's own record.
        None => format!("{spool}:{sequence}:{}", part.index),
    });
    member(out, "munchkin_id", &event.munchkin_id.as_deref().into());
    member(out, "lead_id", &state.lead_id.as_str().into());
    member(out, "state", &state.change.as_str().into());
    member(out, "activity_id", &id.into());
    member(out, "activity_type_id", &event.activity_type_id.into());
    member(out, "activity_time", &event.attributes.time.as_deref().into());
    match &state.change {
        LeadChange::Changed => {
            out.extend_from_slice(b",\"changed\":{");
            for (place, (name, value)) in state.fields().into_iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write(out, &name.into());
                out.push(b':');
                out.extend_from_slice(value.as_bytes());
            }
            out.push(b'}');
        }
        LeadChange::Merged { losing } => member(out, "merged", &losing.as_slice().into()),
        LeadChange::Created | LeadChange::MergedInto { .. } | LeadChange::Deleted => {}
    }
    out.push(b'}');
    Some(out)
}

fn member(out: &mut Vec<u8>, name: &str, value: &Value) {
    out.push(if out.is_empty() { b'{' } else { b',' });
    write(out, &name.into());
    out.push(b':');
    write(out, value);
}

fn write(out: &mut Vec<u8>, value: &Value) {
    write!(out, "{value}").expect("a Vec takes any bytes");
}
