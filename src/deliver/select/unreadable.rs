//! Unreadable ids: data that may name an instance or a type of activity where decoding reads none.
//!
//! Ids are read at the top of data that is a JSON object. Data that is text, base64 or an array may have them in
//! another place, and a member of the right name may have another form.

use crate::{
    deliver::decode::json::Cursor,
    event::{Coding, Event},
};

/// Whether the data of `event`, in which decoding found no `member`, may still contain one.
pub(super) fn may_have(event: &Event<'_>, member: &str) -> bool {
    match (event.value.coding(), event.value.as_slice()) {
        (_, []) => false,
        (Coding::Plain, [whole]) => may_be_in(whole, member),
        (Coding::Plain, parts) => may_be_in(&parts.concat(), member),
        (Coding::JsonString | Coding::Base64, _) => true,
    }
}

fn may_be_in(data: &[u8], member: &str) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return true };
    let mut cursor = Cursor::new(text);
    match cursor.peek() {
        None => false,
        Some(b'{') => {
            let mut is_there = false;
            let read = cursor.object(|cursor, name| {
                let spelled = cursor.skip()?;
                is_there |= name.text().is_none_or(|it| it == member) && says_something(spelled);
                Ok(())
            });
            is_there || read.is_err()
        }
        Some(_) => says_something(text) && !is_plain(text),
    }
}

/// Whether a value is more than `null` or blank text.
fn says_something(spelled: &str) -> bool {
    match serde_json::from_str::<Option<String>>(spelled) {
        Ok(None) => false,
        Ok(Some(text)) => !text.trim().is_empty(),
        Err(_) => true,
    }
}

/// A number or a boolean has no members.
fn is_plain(text: &str) -> bool {
    serde_json::from_str::<f64>(text).is_ok() || serde_json::from_str::<bool>(text).is_ok()
}
