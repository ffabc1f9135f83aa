//! What activities of the published types have. An instance's own answer (`catalog.types_file`) goes over it.

use super::{ActivityType, AttributeType, Kind};

pub(super) fn types() -> Vec<ActivityType> {
    let attribute = |(name, kind): &(&str, Kind)| AttributeType {
        name: (*name).into(),
        api_name: None,
        kind: *kind,
    };
    let one = |(id, name, attributes): &(i64, &str, &[(&str, Kind)])| ActivityType {
        id: *id,
        name: (*name).into(),
        attributes: attributes.iter().map(attribute).collect(),
    };
    STANDARD.iter().map(one).collect()
}

const STANDARD: &[(i64, &str, &[(&str, Kind)])] = &[];
