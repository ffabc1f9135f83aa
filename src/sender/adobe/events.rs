//! Makes the bodies of Adobe I/O's deliveries: events of every stream, in every published shape.
//!
//! The same seed, run, lane, sizes and times make the same bytes. Lead activities and observability
//! come flat; user audits and notifications come wrapped, in the older and in the newer form; a few events
//! have an undocumented type. The id that a consumer will find in `ce_id` is an
//! [`EventId`], whose number counts the lane's events, so that order can be checked for any key.

use std::{fmt::Write as _, ops::RangeInclusive};

use bytes::Bytes;

use super::envelope::{Envelope, Names, Spelling};
use crate::sender::{
    event_id::EventId,
    generator::{LEADS, activity, date, kinds, munchkin_id, values},
    random::Random,
};

/// The number of events in a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shapes {
    /// One event, without an array.
    Single,
    /// A number of events in this range, in an array.
    Batch(RangeInclusive<u32>),
}

/// One body, with the number and the first of its events.
#[derive(Clone, Debug)]
pub struct Events {
    pub events: u32,
    /// Adobe's id of the first event.
    pub event_id: String,
    /// The type of the first event.
    pub event_type: String,
    pub body: Bytes,
}

/// One lane's source of events.
#[derive(Clone, Debug)]
pub struct EventGenerator {
    random: Random,
    run: u32,
    lane: u16,
    munchkin_id: String,
    names: Names,
    shapes: Shapes,
    events: u64,
}

impl EventGenerator {
    /// `run` distinguishes this run's events from those of other runs; `client_id` is the recipient.
    pub fn new(
        seed: u64,
        run: u32,
        lane: u16,
        client_id: &str,
        spelling: Spelling,
        shapes: Shapes,
    ) -> Self {
        Self {
            random: Random::of(!seed, lane),
            run,
            lane,
            munchkin_id: munchkin_id(lane),
            names: Names { spelling, client_id: client_id.to_owned() },
            shapes,
            events: 0,
        }
    }

    pub fn lane(&self) -> u16 {
        self.lane
    }

    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// Makes the next body. `now` is Unix milliseconds.
    pub fn next(&mut self, now: u64) -> Events {
        let events = match &self.shapes {
            Shapes::Single => 1,
            Shapes::Batch(size) => {
                let least = u64::from(*size.start());
                let most = u64::from(*size.end());
                u32::try_from(self.random.between(least, most)).unwrap_or(u32::MAX).max(1)
            }
        };
        let mut text = String::with_capacity(events as usize * 900);
        let (event_id, event_type) = self.event(&mut text, now);
        for _ in 1..events {
            text.push(',');
            self.event(&mut text, now);
        }
        if self.shapes != Shapes::Single {
            text.insert(0, '[');
            text.push(']');
        }
        Events { events, event_id, event_type, body: text.into() }
    }

    /// Writes one event; returns Adobe's id of it, and its type.
    fn event(&mut self, text: &mut String, now: u64) -> (String, String) {
        let id = EventId {
            run: self.run,
            subscription: self.lane,
            of_lead: (self.events & 0xffff_ffff) as u32,
            number: self.events,
        };
        self.events += 1;
        let own = format!("{:016x}{:016x}", self.random.next_u64(), self.random.next_u64());
        match self.random.below(100) {
            0..70 => {
                let event = self.lead_activity(id, now);
                let event_type = event.event_type.clone();
                event.flat(text, &self.names, Some(&own), true);
                (own, event_type)
            }
            70..76 => {
                let event = self.observability(id, now);
                let event_type = event.event_type.clone();
                // Observability events may come without Adobe's id, and without a recipient.
                let own_id = (self.random.below(2) == 0).then_some(own.as_str());
                let recipient = self.random.below(2) == 0;
                event.flat(text, &self.names, own_id, recipient);
                (own, event_type)
            }
            76..92 => {
                let event = self.user_audit(id, now);
                self.wrap(text, &event);
                (id.to_string(), event.event_type)
            }
            _ => {
                let event = self.notification(id, now);
                self.wrap(text, &event);
                (id.to_string(), event.event_type)
            }
        }
    }

    fn wrap(&mut self, text: &mut String, event: &Envelope) {
        match (self.random.below(4), self.random.below(8)) {
            (0, _) => event.wrapped_as_before(text, &self.names),
            (_, inside) => event.wrapped(text, &self.names, inside == 0),
        }
    }

    fn lead_activity(&mut self, id: EventId, now: u64) -> Envelope {
        let kind = kinds::draw(&mut self.random);
        let lead = 1_000_001 + self.random.below(LEADS as u64);
        let mut data = format!(r#"{{"munchkinId":"{}","leadId":"{lead}","#, self.munchkin_id);
        activity::write(&mut data, kind, date(now), self.events, &mut self.random);
        data.push('}');
        let event_type = if kind.id >= 100_000 {
            "com.adobe.platform.marketo.activity.custom".into()
        } else {
            let name = kind.name.to_lowercase().replace(' ', "");
            format!("com.adobe.platform.marketo.activity.standard.{name}")
        };
        let time = date(now).to_string();
        Envelope { id, event_type, source: "urn:marketo_activity_stream", time, data }
    }

    fn observability(&mut self, id: EventId, now: u64) -> Envelope {
        let kind = self.random.choose(&["metrics", "results", "status"]);
        let data = format!(
            r#"{{"munchkinId":"{}","service":"bulk","processed":{},"failed":{}}}"#,
            self.munchkin_id,
            self.random.below(100_000),
            self.random.below(10)
        );
        let event_type = format!("com.adobe.platform.marketo.observability.{kind}");
        let time = date(now).to_string();
        Envelope { id, event_type, source: "urn:data_ingestion_service", time, data }
    }

    fn user_audit(&mut self, id: EventId, now: u64) -> Envelope {
        let (component, action) = *self.random.choose(AUDITS);
        let mut data =
            format!(r#"{{"componentId":{},"componentType":"#, self.random.between(1, 400));
        values::string(&mut data, component);
        let _ = write!(
            data,
            r#","eventAction":"{action}","munchkinId":"{}","imsOrgId":"MILLRACE@AdobeOrg","userId":"user.{}@example.com"}}"#,
            self.munchkin_id,
            self.random.between(1, 40)
        );
        let component = component.to_lowercase().replace(' ', "");
        let event_type = format!("com.adobe.platform.marketo.audit.user.{component}");
        let time = self.odd_time(now);
        Envelope { id, event_type, source: "urn:mlm", time, data }
    }

    fn notification(&mut self, id: EventId, now: u64) -> Envelope {
        let kind = self.random.choose(&[
            "campaign_abort",
            "campaign_failure",
            "web_services",
            "unheard_of",
        ]);
        let data = format!(
            r#"{{"munchkinId":"{}","componentType":"{kind}","campaignId":{},"message":"stopped\nby \"user\""}}"#,
            self.munchkin_id,
            self.random.between(1, 900)
        );
        let event_type = format!("com.adobe.platform.marketo.notification.{kind}");
        let time = self.odd_time(now);
        Envelope { id, event_type, source: "urn:mlm", time, data }
    }

    /// Returns the time in one of the forms that have been seen in wrapped events.
    fn odd_time(&mut self, now: u64) -> String {
        let time = date(now);
        match self.random.below(3) {
            0 => time.to_string(),
            1 => time.strftime("%Y-%m-%d %H:%M:%S.118").to_string(),
            _ => time.strftime("%Y-%m-%dT%H:%M:%S-5:00").to_string(),
        }
    }
}

const AUDITS: &[(&str, &str)] = &[
    ("Email", "approve"),
    ("Email Template", "draftCreate"),
    ("Landing Page", "edit"),
    ("Smart Campaign", "activate"),
    ("Default Program", "clone"),
    ("Smart List", "rename"),
    ("Component Of Tomorrow", "delete"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    const NOW: u64 = 1_772_445_600_000;

    fn generator(spelling: Spelling, shapes: Shapes) -> EventGenerator {
        EventGenerator::new(1, 7, 3, "the-client", spelling, shapes)
    }

    /// Returns a thousand events, one by one.
    fn singles(spelling: Spelling) -> Vec<Value> {
        let mut generator = generator(spelling, Shapes::Single);
        let next = || serde_json::from_slice(&generator.next(NOW).body).expect("JSON");
        std::iter::repeat_with(next).take(1000).collect()
    }

    #[test]
    fn every_stream_and_every_shape_comes() {
        let events = singles(Spelling::Joined);
        let shape = |event: &Value| {
            let (shape, inner) = match &event["event"] {
                Value::Null => ("flat", event),
                wrapped if wrapped["body"].is_object() => ("wrapped", &wrapped["body"]),
                older => ("older", older),
            };
            let r#type = inner["type"].as_str().unwrap();
            let stream = r#type.strip_prefix("com.adobe.platform.marketo.").unwrap();
            assert!(inner["data"]["munchkinId"].is_string() && inner["specversion"] == "1.0");
            let stream = match stream.split('.').collect::<Vec<_>>()[..] {
                ["activity", "custom"] => "custom",
                [stream, ..] => stream,
                [] => "",
            };
            format!("{shape} {stream}")
        };
        let shapes: BTreeSet<_> = events.iter().map(shape).collect();
        let expected = [
            "flat activity",
            "flat custom",
            "flat observability",
            "older audit",
            "older notification",
            "wrapped audit",
            "wrapped notification",
        ];
        assert!(shapes.iter().eq(expected), "{shapes:?}");
        let inside = events.iter().filter(|event| event["event"]["recipientclientid"].is_string());
        assert!(inside.count() > 3, "a recipient in the other place");
    }

    #[test]
    fn every_event_but_observability_names_its_recipient() {
        let recipient = |event: &Value| {
            [event, &event["event"]].iter().any(|place| place["recipientclientid"] == "the-client")
        };
        for event in singles(Spelling::Joined) {
            let observed = event["type"].as_str().is_some_and(|t| t.contains("observability"));
            assert!(observed || recipient(&event), "{event}");
        }
    }

    #[test]
    fn ids_are_spelled_as_asked_for() {
        for (spelling, expected) in [
            (Spelling::Joined, [true, false]),
            (Spelling::Underscored, [false, true]),
            (Spelling::Both, [true, true]),
        ] {
            let text = singles(spelling).iter().map(Value::to_string).collect::<String>();
            for names in [["eventid", "event_id"], ["recipientclientid", "recipient_client_id"]] {
                assert_eq!(names.map(|name| text.contains(name)), expected, "{names:?}");
            }
        }
    }

    #[test]
    fn a_batch_is_an_array_and_ids_count_on_from_batch_to_batch() {
        let mut generator = generator(Spelling::Both, Shapes::Batch(2..=5));
        let mut expected = 0;
        for _ in 0..50 {
            let made = generator.next(NOW);
            let events: Vec<Value> = serde_json::from_slice(&made.body).unwrap();
            assert!(events.len() == made.events as usize && (2..=5).contains(&events.len()));
            for event in &events {
                // The place where a consumer will look for it.
                let id = if event["id"].is_string() { &event["id"] } else { &event["eventid"] };
                let id = EventId::parse(id.as_str().unwrap()).unwrap();
                assert_eq!((id.run, id.subscription, id.number), (7, 3, expected));
                expected += 1;
            }
        }
    }

    #[test]
    fn a_seed_makes_the_same_bytes_again_and_another_lane_makes_others() {
        let body = |lane| {
            let shapes = Shapes::Batch(20..=20);
            EventGenerator::new(1, 7, lane, "c", Spelling::Both, shapes).next(NOW).body
        };
        assert_eq!(body(0), body(0));
        assert_ne!(body(0), body(1));
    }
}
