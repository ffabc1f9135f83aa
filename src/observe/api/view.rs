//! A remembered request as an object of the API.

use super::objects::Delivery;
use crate::observe::metrics::recent::Remembered;

pub fn delivery(it: &Remembered) -> Delivery {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Delivery {
        number: it.number,
        at: it.at,
        source: it.source.to_string(),
        what: it.what.to_owned(),
        outcome: it.outcome.to_owned(),
        status: it.status,
        reason: it.reason.map(str::to_owned),
        detail: text(&it.detail),
        key: text(&it.key.replace("<name>", &it.source)),
        client: it.client.map(|client| client.to_string()),
        request_id: text(&it.request_id),
        adobe_delivery_id: text(&it.adobe_delivery_id),
        adobe_event_id: text(&it.adobe_event_id),
        position: it.position.map(|position| position.to_string()),
        bytes: it.bytes as u64,
        milliseconds: it.took.map(|took| took.as_secs_f64() * 1000.0),
        left_out: it.left_out,
    }
}
