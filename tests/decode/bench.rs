//! How fast a body becomes records: `cargo bench --bench decode`. One core, 500 events, no Kafka: a
//! legacy push, the same activities as a batch of Adobe I/O, and as one body an event, wrapped.

use std::{hint::black_box, time::Instant};

use millrace::{
    decode::{Rules, decode, recycle},
    delivery::{SourceKind, SourceName},
    encode::{Encoder, Mode},
    route::Router,
    spool::position::Position,
};
use uuid::Uuid;

const EVENTS: usize = 500;

/// Bodies that are decoded one after the other.
struct Load {
    name: &'static str,
    kind: SourceKind,
    bodies: Vec<String>,
}

fn main() {
    let wrapped = |n| format!(r#"{{"eventid":"5d1c-{n:08}","event":{{"body":{}}}}}"#, flat(n));
    let loads = [
        Load { name: "legacy push", kind: SourceKind::MarketoLeadActivity, bodies: vec![push()] },
        Load {
            name: "Adobe I/O, a batch",
            kind: SourceKind::AdobeIo,
            bodies: vec![format!("[{}]", (0..EVENTS).map(flat).collect::<Vec<_>>().join(","))],
        },
        Load {
            name: "Adobe I/O, wrapped",
            kind: SourceKind::AdobeIo,
            bodies: (0..EVENTS).map(wrapped).collect(),
        },
    ];
    for load in &loads {
        println!("{}: {} KB, {EVENTS} events", load.name, load.bytes() / 1000);
        measure("decode", load, None);
        measure("decode, route and encode", load, Some(Mode::Binary));
        measure("the same in structured mode", load, Some(Mode::Structured));
    }
}

impl Load {
    fn bytes(&self) -> usize {
        self.bodies.iter().map(String::len).sum()
    }
}

fn measure(what: &str, load: &Load, mode: Option<Mode>) {
    let rules = Rules::default();
    let router = Router::new("marketo.{stream}.{type}").expect("the template is legal");
    let source = SourceName::new("leads").expect("the name is legal");
    let mut encoder = Encoder::new(mode.unwrap_or_default());
    let (mut topic, mut spare) = (String::new(), Vec::new());
    let mut rates: Vec<f64> = (0..30)
        .map(|_| {
            let start = Instant::now();
            for sequence in 0..40 {
                for body in &load.bodies {
                    let mut out = recycle(std::mem::take(&mut spare));
                    decode(load.kind, &rules, black_box(body.as_bytes()), &[], &mut out)
                        .expect("the body is well-formed");
                    for event in out.iter().flatten().filter(|_| mode.is_some()) {
                        let position = Position { sequence, index: event.index };
                        let topic = router.topic(&source, event, &mut topic);
                        black_box(encoder.encode(topic, Uuid::nil(), position, event).record());
                    }
                    spare = recycle(out);
                }
            }
            40.0 * load.bytes() as f64 / 1e6 / start.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    println!("  {what}: median {:.0} MB/s, {:.0} to {:.0}", rates[15], rates[0], rates[29]);
}

/// What both forms of activity `n` have.
fn members(n: usize) -> String {
    format!(
        r#""activityDate":"2026-03-02T09:59:58Z","activityTypeId":{},"activityType":"Click Link","activityLogItemId":{},"campaignId":{n},"primaryAttributeValueId":12,"primaryAttributeValue":"https://www.example.test/landing/page-{n}?utm_source=mail","attributes":[{{"name":"Link ID","dataType":"object","value":{n}}},{{"name":"Client IP Address","dataType":"string","value":"192.0.2.17"}},{{"name":"Query Parameters","dataType":"string","value":"a=1&b=2"}}]"#,
        [1, 3, 10, 13][n % 4],
        9000 + n,
    )
}

fn push() -> String {
    let activity = |n: usize| {
        let (lead, members) = (n * 7919, members(n));
        format!(r#"{{"marketoGUID":"0b5e7c1a-{n:08}","leadId":{lead},{members}}}"#)
    };
    let activities: Vec<_> = (0..EVENTS).map(activity).collect();
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
        members(n),
    )
}
