//! Makes batches of activities as a Marketo subscription would push them.
//!
//! The same seed, run, subscription, sizes and times make the same bytes. Each activity has one of
//! the types in [`kinds`]: common ones, rare ones, the customer's own (ids from 100000) and a few
//! undocumented ones. Some leads are busier than others, and a lead's activities are numbered
//! ([`EventId::of_lead`]), so that order can be checked later.

pub(super) mod activity;
pub mod kinds;
pub(super) mod values;

use std::fmt::Write as _;

use bytes::Bytes;
use jiff::Timestamp;

use super::{event_id::EventId, random::Random};

/// One request body, with the number of its activities.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The batch's number within its subscription, from 0.
    pub number: u64,
    /// Number of activities in it; their own numbers continue those of the batch before.
    pub events: u32,
    /// `{"sourceApplication": "Marketo", …, "activities": [ … ]}`
    pub body: Bytes,
}

/// One subscription's source of activities.
#[derive(Clone, Debug)]
pub struct Generator {
    random: Random,
    run: u32,
    subscription: u16,
    munchkin_id: String,
    batches: u64,
    events: u64,
    /// Number of activities made so far, by lead.
    leads: Vec<u32>,
}

/// Leads with activities during a run, per subscription.
pub const LEADS: usize = 400;

impl Generator {
    /// `run` distinguishes this run's events from those of other runs; see [`EventId`].
    pub fn new(seed: u64, run: u32, subscription: u16) -> Self {
        let random = Random::of(seed, subscription);
        Self {
            random,
            run,
            subscription,
            munchkin_id: munchkin_id(subscription),
            batches: 0,
            events: 0,
            leads: vec![0; LEADS],
        }
    }

    pub fn subscription(&self) -> u16 {
        self.subscription
    }

    pub fn munchkin_id(&self) -> &str {
        &self.munchkin_id
    }

    /// Returns random numbers for the sizes of batches, independent of those for the content.
    pub fn sizes(&self) -> Random {
        let mut random = self.random.clone();
        Random::new(!random.next_u64())
    }

    /// Makes the next batch, of `events` activities. `now` is Unix milliseconds.
    pub fn batch(&mut self, events: u32, now: u64) -> Batch {
        let number = self.batches;
        self.batches += 1;
        // An activity has half a kilobyte on average, by the kinds' weights.
        let mut text = String::with_capacity(160 + events as usize * 560);
        let _ = write!(
            text,
            r#"{{"sourceApplication":"Marketo","munchkinId":"{}","messageId":"{}","messageCreatedDate":"{}","activities":["#,
            self.munchkin_id,
            77_000_000 + number,
            date(now),
        );
        for index in 0..events {
            if index > 0 {
                text.push(',');
            }
            // The activities happened within the two seconds before.
            let happened = now.saturating_sub(u64::from(events - index) * 2000 / u64::from(events));
            self.activity(&mut text, happened);
        }
        text.push_str("]}");
        Batch { number, events, body: text.into() }
    }

    fn activity(&mut self, text: &mut String, happened: u64) {
        let lead = self.lead();
        let id = EventId {
            run: self.run,
            subscription: self.subscription,
            of_lead: self.leads[lead],
            number: self.events,
        };
        self.leads[lead] += 1;
        self.events += 1;
        let kind = kinds::draw(&mut self.random);
        let _ = write!(text, r#"{{"marketoGUID":"{id}","leadId":{},"#, 1_000_001 + lead);
        activity::write(text, kind, date(happened), self.events, &mut self.random);
        text.push('}');
    }

    /// Chooses a lead: low numbers more often than high ones.
    fn lead(&mut self) -> usize {
        let leads = self.leads.len() as u64;
        let one = self.random.below(leads);
        let two = self.random.below(leads);
        one.min(two) as usize
    }
}

/// Returns the munchkin id in a subscription's batches.
pub fn munchkin_id(subscription: u16) -> String {
    format!("{:03}-MRC-{:03}", 100 + subscription / 900, 100 + subscription % 900)
}

/// Formats a time by RFC 3339 with whole seconds, in UTC.
pub(super) fn date(unix_millis: u64) -> Timestamp {
    let seconds = i64::try_from(unix_millis / 1000).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use serde_json::Value;

    use super::{kinds::KINDS, *};

    const NOW: u64 = 1_772_445_600_500;

    fn read(batch: &Batch) -> Value {
        serde_json::from_slice(&batch.body).unwrap()
    }

    #[test]
    fn a_batch_is_what_the_contract_describes() {
        let batch = Generator::new(1, 7, 2).batch(100, NOW);
        let body = read(&batch);
        assert_eq!(body["sourceApplication"], "Marketo");
        assert_eq!(body["munchkinId"], "100-MRC-102");
        assert_eq!(body["messageCreatedDate"], "2026-03-02T10:00:00Z");
        assert!(body["messageId"].is_string());
        let activities = body["activities"].as_array().unwrap();
        assert_eq!(activities.len(), 100);
        for activity in activities {
            assert!(activity["leadId"].is_u64());
            assert!(activity["activityTypeId"].is_u64());
            assert!(activity["activityType"].is_string());
            assert!(activity["activityLogItemId"].is_u64());
            let date = activity["activityDate"].as_str().unwrap();
            assert!(("2026-03-02T09:59:58Z"..="2026-03-02T10:00:00Z").contains(&date), "{date}");
            for attribute in activity["attributes"].as_array().unwrap() {
                assert!(attribute["name"].is_string() && attribute["dataType"].is_string());
                assert!(attribute.get("value").is_some());
            }
        }
    }

    #[test]
    fn guids_are_unique_and_number_each_leads_events_upwards() {
        let mut guids = HashSet::new();
        for subscription in 0..3 {
            let mut generator = Generator::new(1, 7, subscription);
            let mut of_lead = HashMap::<u64, u32>::new();
            let mut expected = 0;
            for number in 0..20 {
                let batch = generator.batch(100, NOW);
                assert_eq!((batch.number, batch.events), (number, 100));
                for activity in read(&batch)["activities"].as_array().unwrap() {
                    let guid = activity["marketoGUID"].as_str().unwrap();
                    assert!(guids.insert(guid.to_owned()));
                    let id = EventId::parse(guid).unwrap();
                    assert_eq!((id.run, id.subscription, id.number), (7, subscription, expected));
                    expected += 1;
                    let of_lead = of_lead.entry(activity["leadId"].as_u64().unwrap()).or_default();
                    assert_eq!(id.of_lead, *of_lead);
                    *of_lead += 1;
                }
            }
        }
    }

    #[test]
    fn a_seed_makes_the_same_bytes_again_and_another_seed_makes_others() {
        let body = |seed| Generator::new(seed, 7, 0).batch(200, NOW).body;
        assert_eq!(body(1), body(1));
        assert_ne!(body(1), body(2));
    }

    #[test]
    fn activities_are_of_many_types_custom_and_unknown_ones_among_them() {
        let mut generator = Generator::new(1, 7, 0);
        let mut types = HashMap::<u64, String>::new();
        let mut bytes = 0;
        for _ in 0..20 {
            let batch = generator.batch(500, NOW);
            bytes += batch.body.len();
            for activity in read(&batch)["activities"].as_array().unwrap() {
                let name = activity["activityType"].as_str().unwrap().to_owned();
                types.insert(activity["activityTypeId"].as_u64().unwrap(), name);
            }
        }
        assert_eq!(types.len(), KINDS.len(), "ten thousand activities show every type");
        assert!(types.keys().filter(|id| **id >= 100_000).count() >= 2);
        assert!((450..550).contains(&(bytes / 10_000)), "{} bytes each", bytes / 10_000);
    }

    #[test]
    fn subscriptions_differ_in_munchkin_id_and_content() {
        let ids: HashSet<_> = (0..2000).map(munchkin_id).collect();
        assert_eq!(ids.len(), 2000);
        let [one, two] = [0, 1].map(|n| read(&Generator::new(1, 7, n).batch(50, NOW)));
        assert_ne!(one["activities"][0]["attributes"], two["activities"][0]["attributes"]);
    }
}
