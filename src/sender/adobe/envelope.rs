//! The envelope around an event's data: a flat CloudEvent, or one that is wrapped, in either of
//! two forms.

use std::fmt::Write as _;

use crate::sender::{event_id::EventId, generator::values};

/// The spelling of Adobe's own ids: `eventid` and `recipientclientid`, with underscores, or
/// both at once, as until the end of 2026.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spelling {
    Joined,
    Underscored,
    #[default]
    Both,
}

/// Settings that all envelopes of a registration share.
#[derive(Clone, Debug)]
pub struct Names {
    pub spelling: Spelling,
    /// The recipient.
    pub client_id: String,
}

/// One event that is not written yet.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub id: EventId,
    pub event_type: String,
    pub source: &'static str,
    pub time: String,
    /// The data, in JSON.
    pub data: String,
}

const EVENT_ID_NAMES: [&str; 2] = ["eventid", "event_id"];
const RECIPIENT_NAMES: [&str; 2] = ["recipientclientid", "recipient_client_id"];

impl Envelope {
    /// Writes a CloudEvent with an id of its own; `own_id` is Adobe's.
    pub fn flat(&self, text: &mut String, names: &Names, own_id: Option<&str>, recipient: bool) {
        text.push('{');
        if let Some(id) = own_id {
            names.write(text, EVENT_ID_NAMES, id);
            text.push(',');
        }
        self.attributes(text);
        let Self { id, data, .. } = self;
        // Writing to a string cannot fail.
        let _ = write!(text, r#","id":"{id}","datacontenttype":"application/json","data":{data}"#);
        if recipient {
            text.push(',');
            names.write(text, RECIPIENT_NAMES, &names.client_id);
        }
        text.push('}');
    }

    /// Writes a CloudEvent without an id, two levels down; the recipient has been seen at two levels.
    pub fn wrapped(&self, text: &mut String, names: &Names, recipient_inside: bool) {
        text.push('{');
        names.write(text, EVENT_ID_NAMES, &self.id.to_string());
        text.push_str(r#","event":{"body":{"#);
        self.attributes(text);
        self.versioned_data(text);
        text.push_str(if recipient_inside { "}," } else { "}}," });
        names.write(text, RECIPIENT_NAMES, &names.client_id);
        text.push_str(if recipient_inside { "}}" } else { "}" });
    }

    /// Writes the older form: one level less, and an id and a user within.
    pub fn wrapped_as_before(&self, text: &mut String, names: &Names) {
        let id = self.id;
        text.push('{');
        names.write(text, EVENT_ID_NAMES, &id.to_string());
        text.push_str(r#","event":{"#);
        self.attributes(text);
        let _ = write!(text, r#","id":"{id}","user":"user@example.com""#);
        self.versioned_data(text);
        text.push_str("},");
        names.write(text, RECIPIENT_NAMES, &names.client_id);
        text.push('}');
    }

    fn attributes(&self, text: &mut String) {
        text.push_str(r#""specversion":"1.0","type":"#);
        values::string(text, &self.event_type);
        let _ = write!(text, r#","source":"{}","time":"{}""#, self.source, self.time);
    }

    fn versioned_data(&self, text: &mut String) {
        let data = &self.data;
        let _ = write!(
            text,
            r#","datacontenttype":"application/json","dataschema":"V2.0","data":{data}"#
        );
    }
}

impl Names {
    /// Writes one of Adobe's own ids, under each spelling of its name.
    fn write(&self, text: &mut String, [joined, underscored]: [&str; 2], value: &str) {
        let names: &[&str] = match self.spelling {
            Spelling::Joined => &[joined],
            Spelling::Underscored => &[underscored],
            Spelling::Both => &[joined, underscored],
        };
        for (index, name) in names.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let _ = write!(text, r#"{comma}"{name}":"#);
            values::string(text, value);
        }
    }
}
