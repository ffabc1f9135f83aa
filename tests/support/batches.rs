//! A Marketo subscription's batches: mixed activities of a few leads, each activity unique, each
//! lead's counted, so that a reader can tell what is missing, repeated, altered or out of order.

use std::fmt::Write as _;

/// Activity types as a subscription mixes them, and how topics call them.
const TYPES: [(i64, &str, &str); 6] = [
    (1, "Visit Webpage", "visitwebpage"),
    (3, "Click Link", "clicklink"),
    (10, "Open Email", "openemail"),
    (12, "New Lead", "newlead"),
    (13, "Change Data Value", "changedatavalue"),
    (100_001, "Custom Thing", "custom-100001"),
];

/// One activity that was put into a batch, and the record that has to come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The record's `ce_id`.
    pub guid: String,
    pub activity_type_id: i64,
    /// Last segment of its topic.
    pub event_type: &'static str,
    /// The record's key.
    pub key: String,
    /// How many activities of this lead came before it. Within topic and key this only rises.
    pub counter: u64,
    /// The record's value, byte for byte.
    pub value: String,
}

#[derive(Clone, Debug)]
pub struct Batch {
    pub body: Vec<u8>,
    pub events: Vec<Sent>,
}

/// A subscription of one Marketo instance. Two with different names share no lead and no id.
pub struct Subscription {
    munchkin_id: String,
    leads: Vec<u64>,
    made: u64,
    random: Random,
    /// How many of the types it has.
    types: usize,
}

impl Subscription {
    pub fn new(name: &str, leads: usize) -> Self {
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let (munchkin_id, types) = (name.to_owned(), TYPES.len());
        Self { munchkin_id, leads: vec![0; leads], made: 0, random: Random(seed), types }
    }

    /// All its activities are of one type, and so for one topic.
    #[allow(dead_code, reason = "tests/faults fills one topic")]
    pub fn of_one_type(self) -> Self {
        Self { types: 1, ..self }
    }

    /// The names that events of this subscription's topics end with.
    pub fn event_types() -> impl Iterator<Item = &'static str> {
        TYPES.iter().map(|(_, _, event_type)| *event_type)
    }

    /// 100 to 500 activities, as Marketo sends every two seconds.
    pub fn batch(&mut self) -> Batch {
        let count = 100 + self.random.below(401);
        self.batch_of(count)
    }

    pub fn batch_of(&mut self, count: usize) -> Batch {
        let munchkin_id = self.munchkin_id.clone();
        let mut body = format!(
            r#"{{"sourceApplication":"Marketo","munchkinId":"{munchkin_id}","messageId":"{}","messageCreatedDate":"2026-03-02T10:00:00Z","activities":["#,
            self.made,
        );
        let mut events = Vec::with_capacity(count);
        for place in 0..count {
            let (text, sent) = self.activity();
            if place > 0 {
                body.push(',');
            }
            body.push_str(&text);
            events.push(sent);
        }
        body.push_str("]}");
        Batch { body: body.into_bytes(), events }
    }

    /// An activity as it stands in the body, and what is to come of it.
    fn activity(&mut self) -> (String, Sent) {
        let (activity_type_id, name, event_type) = TYPES[self.random.below(self.types)];
        let lead = self.random.below(self.leads.len());
        let counter = self.leads[lead];
        self.leads[lead] += 1;
        let munchkin_id = &self.munchkin_id;
        let guid = format!("{munchkin_id}-{}", self.made);
        self.made += 1;
        let lead = 1000 + lead;
        let mut rest = format!(
            r#""activityDate":"2026-03-02T09:59:58Z","activityTypeId":{activity_type_id},"activityType":"{name}","attributes":[{{"name":"Counter","dataType":"integer","value":{counter}}}"#
        );
        // Values of different lengths, with what JSON writers differ in: space, escapes, UTF-8.
        for place in 0..self.random.below(4) {
            write!(
                rest,
                r#", {{"name":"Página {place}","value":"\u00e9\/{}"}}"#,
                "x".repeat(place * 50)
            )
            .expect("text can be appended to");
        }
        rest.push_str("]}");
        // The three edits of the legacy mapping: munchkinId in, leadId quoted, marketoGUID out.
        let text = format!(r#"{{"marketoGUID":"{guid}","leadId":{lead},{rest}"#);
        let value = format!(r#"{{"munchkinId":"{munchkin_id}","leadId":"{lead}",{rest}"#);
        let key = format!("{munchkin_id}:{lead}");
        (text, Sent { guid, activity_type_id, event_type, key, counter, value })
    }
}

/// A small generator of which the same seed gives the same numbers (xorshift64*).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).expect("31 bits") % limit
    }
}
