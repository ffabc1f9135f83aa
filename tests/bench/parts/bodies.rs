//! Bodies as senders write them: a legacy push, the same activities as a batch of Adobe I/O, and as
//! one body an event, wrapped.

use millrace::source::SourceKind;

/// Bodies that are decoded one after the other, with as many events as were asked for.
pub struct Load {
    pub kind: SourceKind,
    pub bodies: Vec<String>,
}

impl Load {
    pub fn legacy(events: usize) -> Self {
        Self { kind: SourceKind::MarketoLeadActivity, bodies: vec![push(events)] }
    }

    /// Types of the customer's own, which are told apart by their ids.
    pub fn legacy_custom(events: usize) -> Self {
        let activity = |n: usize| activity(n, 100_000 + n % 60, "Fly Kite");
        Self { kind: SourceKind::MarketoLeadActivity, bodies: vec![around(events, activity)] }
    }

    pub fn adobe(events: usize) -> Self {
        let batch = (0..events).map(flat).collect::<Vec<_>>().join(",");
        Self { kind: SourceKind::AdobeIo, bodies: vec![format!("[{batch}]")] }
    }

    pub fn wrapped(events: usize) -> Self {
        let wrapped = |n| format!(r#"{{"eventid":"5d1c-{n:08}","event":{{"body":{}}}}}"#, flat(n));
        Self { kind: SourceKind::AdobeIo, bodies: (0..events).map(wrapped).collect() }
    }

    /// The wrapped events as one batch.
    pub fn wrapped_batch(events: usize) -> Self {
        let batch = Self::wrapped(events).bodies.join(",");
        Self { kind: SourceKind::AdobeIo, bodies: vec![format!("[{batch}]")] }
    }

    pub fn bytes(&self) -> usize {
        self.bodies.iter().map(String::len).sum()
    }
}

const TYPES: [usize; 4] = [1, 3, 10, 13];

/// What both forms of activity `n` have.
fn members(n: usize, type_id: usize, name: &str) -> String {
    format!(
        r#""activityDate":"2026-03-02T09:59:58Z","activityTypeId":{type_id},"activityType":"{name}","activityLogItemId":{},"campaignId":{n},"primaryAttributeValueId":12,"primaryAttributeValue":"https://www.example.test/landing/page-{n}?utm_source=mail","attributes":[{{"name":"Link ID","dataType":"object","value":{n}}},{{"name":"Client IP Address","dataType":"string","value":"192.0.2.17"}},{{"name":"Query Parameters","dataType":"string","value":"a=1&b=2"}}]"#,
        9000 + n,
    )
}

fn push(events: usize) -> String {
    around(events, |n| activity(n, TYPES[n % 4], "Click Link"))
}

fn activity(n: usize, type_id: usize, name: &str) -> String {
    let (lead, members) = (n * 7919, members(n, type_id, name));
    format!(r#"{{"marketoGUID":"0b5e7c1a-{n:08}","leadId":{lead},{members}}}"#)
}

fn around(events: usize, activity: impl FnMut(usize) -> String) -> String {
    let activities: Vec<_> = (0..events).map(activity).collect();
    format!(
        r#"{{"sourceApplication":"Marketo","munchkinId":"999-XYZ-000","messageId":"77001","activities":[{}]}}"#,
        activities.join(",")
    )
}

fn flat(n: usize) -> String {
    let name = ["visitwebpage", "clicklink", "openemail", "changedatavalue"][n % 4];
    format!(
        r#"{{"eventid":"5d1c-{n:08}","specversion":"1.0","type":"com.adobe.platform.marketo.activity.standard.{name}","source":"urn:marketo_activity_stream","id":"0b5e7c1a-{n:08}","time":"2026-03-02T10:00:01Z","datacontenttype":"application/json","recipientclientid":"client-1","data":{{"munchkinId":"999-XYZ-000","leadId":"{}",{}}}}}"#,
        n * 7919,
        members(n, TYPES[n % 4], "Click Link"),
    )
}
