//! A test delivery at a button's press: one event as the sender would write it, decoded and encoded as a delivery of
//! its source, on a topic of its own (`admin.test_topic`), with the header [`HEADER`].

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Known;
use crate::observe::api::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    source: String,
    #[serde(rename = "type")]
    event_type: Option<String>,
}

pub(super) fn send(known: &Known, request: Value, client: IpAddr) -> Result<Value, Problem> {
    let request: Request = serde_json::from_value(request)
        .map_err(|error| Problem::new("bad-request", format!("{error}.")))?;
    let _ = (known, client, request.source, request.event_type, Uuid::new_v4(), json!({}));
    Err(Problem::new("unavailable", "Test deliveries are not there yet."))
}
