//! `deduplicate`: for how long repeats are recognised.

use super::{
    leaf::{DURATION, Kind},
    reading::{Reading, Section},
};
use crate::deliver::deduplicate::Settings;

/// With more ids, the index alone would take some four gigabytes.
const MAX_IDS: usize = 100_000_000;

const IDS: Kind<usize> = Kind {
    parse: |text| match text.parse() {
        Ok(0) => Err("and nothing is recognised by none".into()),
        Ok(ids) if ids > MAX_IDS => Err("which is more than 100000000".into()),
        Ok(ids) => Ok(ids),
        Err(_) => Err("which is no whole number".into()),
    },
    expected: "Write a whole number from 1 to 100000000; `deduplicate.window = 0` switches it off.",
    show: usize::to_string,
};

/// `None` after a mistake.
pub(super) fn read(reading: &mut Reading, root: &mut Section) -> Option<Settings> {
    let default = Settings::default();
    let mut section = reading.section(root, "deduplicate");
    let window = reading.leaf(&mut section, "window", &DURATION, default.window);
    let ids = reading.leaf(&mut section, "ids", &IDS, default.ids);
    reading.end(section);
    Some(Settings { window: window?, ids: ids? })
}
