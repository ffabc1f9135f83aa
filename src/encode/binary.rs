//! Binary mode: the value is the event's data, and the attributes are headers.
//!
//! Always in this order: `content-type`, `ce_specversion`, `ce_id`, `ce_source`, `ce_type`, `ce_time`,
//! `ce_dataschema`, `ce_subject`, `ce_` extensions as they come, then plain headers. Absent attributes
//! have no header. Header values are UTF-8 as they are (percent-encoding is the HTTP binding's, not
//! Kafka's).

use super::{extensions, headers::Headers};
use crate::event::{Attributes, Event};

/// `ce_` + name of each extension, one after the other.
pub(super) fn names(attributes: &Attributes<'_>, names: &mut String) {
    names.clear();
    for (name, _) in extensions(attributes) {
        names.push_str("ce_");
        names.push_str(name);
    }
}

/// `names` are those that [`names`] has made.
pub(super) fn headers<'b>(id: &'b str, mut names: &'b str, event: &'b Event<'b>) -> Headers<'b> {
    let attributes = &event.attributes;
    let mut headers = Headers::default();
    headers.add_some("content-type", attributes.datacontenttype.as_deref());
    headers.add("ce_specversion", "1.0");
    headers.add("ce_id", id);
    headers.add("ce_source", &attributes.source);
    headers.add("ce_type", &attributes.r#type);
    headers.add_some("ce_time", attributes.time.as_deref());
    headers.add_some("ce_dataschema", attributes.dataschema.as_deref());
    headers.add_some("ce_subject", attributes.subject.as_deref());
    for (name, value) in extensions(attributes) {
        let (this, others) = names.split_at("ce_".len() + name.len());
        headers.add(this, value);
        names = others;
    }
    for (name, value) in &event.headers {
        headers.add(name, value);
    }
    headers
}
