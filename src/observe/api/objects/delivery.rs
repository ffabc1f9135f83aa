//! Deliveries, and the events in them.

use serde::{Deserialize, Serialize};

use super::Time;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Deliveries {
    pub deliveries: Vec<Delivery>,
    pub kept: u64,
    pub next: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Delivery {
    pub number: u64,
    pub at: Time,
    pub source: String,
    pub what: String,
    pub outcome: String,
    pub status: u16,
    pub reason: Option<String>,
    pub detail: Option<String>,
    pub key: Option<String>,
    pub client: Option<String>,
    pub request_id: Option<String>,
    pub adobe_delivery_id: Option<String>,
    pub adobe_event_id: Option<String>,
    pub position: Option<String>,
    pub bytes: u64,
    pub milliseconds: Option<f64>,
    pub left_out: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct DeliveryDetail {
    pub source: String,
    pub position: String,
    pub state: String,
    pub received_at: Option<Time>,
    pub headers: Vec<(String, String)>,
    pub bytes: u64,
    pub events: Vec<Event>,
    pub events_left_out: u64,
    pub undecodable: Option<Undecodable>,
    pub request: Option<Delivery>,
    pub body: Option<Body>,
    pub note: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Event {
    pub position: String,
    pub id: Option<String>,
    pub stream: Option<String>,
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    pub state: String,
    pub topic: Option<String>,
    pub partition: Option<i32>,
    pub offset: Option<i64>,
    pub at: Option<Time>,
    pub reason: Option<String>,
    pub error: Option<String>,
    pub note: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Undecodable {
    pub reason: String,
    pub error: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Body {
    pub text: Option<String>,
    pub base64: Option<String>,
    pub cut: bool,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct TestDelivery {
    pub source: String,
    #[serde(rename = "type")]
    pub event_type: String,
    pub id: String,
    pub topic: String,
    pub would_go_to: Option<String>,
    pub left_out_by: Option<String>,
    pub partition: Option<i32>,
    pub offset: Option<i64>,
    pub milliseconds: f64,
    pub error: Option<String>,
}
