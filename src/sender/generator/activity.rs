//! One activity's own members, which both protocols have.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::{
    kinds::Kind,
    values::{self},
};
use crate::sender::random::Random;

/// Writes `"activityDate": …, …, "attributes": [ … ]`, without braces around it.
pub fn write(text: &mut String, kind: &Kind, date: Timestamp, item: u64, random: &mut Random) {
    // Writing to a string cannot fail.
    let _ = write!(text, r#""activityDate":"{date}","activityTypeId":{},"activityType":"#, kind.id);
    values::string(text, kind.name);
    let _ = write!(text, r#","activityLogItemId":{}"#, 500_000_000 + item);
    if let Some(primary) = kind.primary {
        let asset = random.between(1, 60);
        let _ = write!(text, r#","primaryAttributeValueId":{asset}"#);
        text.push_str(r#","primaryAttributeValue":"#);
        primary.write(text, random);
    }
    text.push_str(r#","attributes":["#);
    for (index, (name, value)) in kind.attributes.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let data_type = value.data_type();
        let _ = write!(text, r#"{comma}{{"name":"{name}","dataType":"{data_type}","value":"#);
        value.write(text, random);
        text.push('}');
    }
    text.push(']');
}
