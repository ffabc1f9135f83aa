//! `quarantine`: the retention of its items.

use std::time::Duration;

use super::{
    leaf::{DURATION, Kind, NONZERO_DURATION, string},
    reading::{Reading, Section},
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quarantine {
    /// Age after which an item is removed; `None` keeps it for ever.
    pub keep: Option<Duration>,
}

/// An age, or `forever`.
const KEEP: Kind<Option<Duration>> = Kind {
    parse: |text| match text {
        "forever" => Ok(None),
        _ => (NONZERO_DURATION.parse)(text).map(Some),
    },
    expected: "Write `forever`, or a time with its unit, as in `2160h` or `90d`.",
    show: |keep| match keep {
        None => string("forever"),
        Some(age) => (DURATION.show)(age),
    },
};

pub(super) fn read(reading: &mut Reading, root: &mut Section) -> Quarantine {
    let mut quarantine = Quarantine::default();
    let mut section = reading.section(root, "quarantine");
    reading.set(&mut section, "keep", &KEEP, &mut quarantine.keep);
    reading.end(section);
    quarantine
}
