//! A remembered request as JSON, as the API shows it.

use serde_json::{Value, json};

use crate::observe::metrics::recent::Remembered;

pub fn delivery(it: &Remembered) -> Value {
    let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    json!({
        "number": it.number,
        "at": it.at,
        "source": it.source,
        "what": it.what,
        "outcome": it.outcome,
        "status": it.status,
        "reason": it.reason,
        "detail": text(&it.detail),
        "key": text(&it.key.replace("<name>", &it.source)),
        "client": it.client.map(|client| client.to_string()),
        "request_id": text(&it.request_id),
        "adobe_delivery_id": text(&it.adobe_delivery_id),
        "adobe_event_id": text(&it.adobe_event_id),
        "position": it.position.map(|position| position.to_string()),
        "bytes": it.bytes,
        "milliseconds": it.took.map(|took| took.as_secs_f64() * 1000.0),
        "left_out": it.left_out,
    })
}
