//! How fast a body becomes records: `cargo bench --bench decode`. One core, 500 events, no Kafka.

use std::{hint::black_box, time::Instant};

use millrace::{
    decode::{Rules, decode, recycle},
    delivery::{SourceKind, SourceName},
    encode::{Encoder, Mode},
    route::Router,
    spool::position::Position,
};
use uuid::Uuid;

fn main() {
    let activities: Vec<String> = (0..500)
        .map(|n| {
            format!(
                r#"{{"marketoGUID":"0b5e7c1a-{n:08}","leadId":{},"activityDate":"2026-03-02T09:59:58Z","activityTypeId":{},"activityType":"Click Link","activityLogItemId":{},"campaignId":{n},"primaryAttributeValueId":12,"primaryAttributeValue":"https://www.example.test/landing/page-{n}?utm_source=mail","attributes":[{{"name":"Link ID","dataType":"object","value":{n}}},{{"name":"Client IP Address","dataType":"string","value":"192.0.2.17"}},{{"name":"Query Parameters","dataType":"string","value":"a=1&b=2"}}]}}"#,
                n * 7919, [1, 3, 10, 13][n % 4], 9000 + n,
            )
        })
        .collect();
    let body = format!(
        r#"{{"sourceApplication":"Marketo","munchkinId":"999-XYZ-000","messageId":"77001","activities":[{}]}}"#,
        activities.join(",")
    );
    let body = body.as_bytes();
    let rules = Rules::default();
    let router = Router::new("marketo.{stream}.{type}").expect("the template is legal");
    let source = SourceName::new("leads").expect("the name is legal");
    println!("{} KB, 500 events", body.len() / 1000);
    for encodes in [false, true] {
        let mut encoder = Encoder::new(Mode::Binary);
        let (mut topic, mut spare) = (String::new(), Vec::new());
        let mut rates: Vec<f64> = (0..30)
            .map(|_| {
                let start = Instant::now();
                for sequence in 0..40 {
                    let mut out = recycle(std::mem::take(&mut spare));
                    decode(SourceKind::MarketoLeadActivity, &rules, black_box(body), &[], &mut out)
                        .expect("the body is well-formed");
                    for event in out.iter().flatten().filter(|_| encodes) {
                        let position = Position { sequence, index: event.index };
                        let topic = router.topic(&source, event, &mut topic);
                        black_box(encoder.encode(topic, Uuid::nil(), position, event).record());
                    }
                    spare = recycle(out);
                }
                40.0 * body.len() as f64 / 1e6 / start.elapsed().as_secs_f64()
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        let what = if encodes { "decode, route and encode" } else { "decode" };
        println!("{what}: median {:.0} MB/s, {:.0} to {:.0}", rates[15], rates[0], rates[29]);
    }
}
