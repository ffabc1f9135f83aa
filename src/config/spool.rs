//! `spool`: the durable buffer between the answer to the sender and Kafka. The struct belongs to the spool itself.

use std::ops::RangeInclusive;

use super::{
    Config,
    leaf::{DURATION, FOLDER, SIZE, SIZE_OR_NONE},
    mistake::{Key, Mistakes},
    reading::{Reading, Section},
};
use crate::spool::Config as Spool;

const SEGMENT_SIZES: RangeInclusive<u64> = 4 * 1024..=4 * 1024 * 1024 * 1024;

/// Returns the smallest valid `spool.reserve`: room for the checkpoint and for one quarantined body.
pub fn least_reserve(body_limit_inflated: u64) -> u64 {
    body_limit_inflated.saturating_add(2 * 1024 * 1024)
}

pub(super) fn read(reading: &mut Reading, root: &mut Section) -> Spool {
    let mut spool = Spool::default();
    let mut section = reading.section(root, "spool");
    let s = &mut section;
    reading.set(s, "directory", &FOLDER, &mut spool.directory);
    reading.set(s, "size_limit", &SIZE, &mut spool.size_limit);
    reading.set(s, "reserve", &SIZE, &mut spool.reserve);
    reading.set(s, "segment_size", &SIZE, &mut spool.segment_size);
    let mut keep = reading.section(s, "keep_delivered");
    reading.set(&mut keep, "age", &DURATION, &mut spool.keep_delivered_age);
    reading.set(&mut keep, "size", &SIZE_OR_NONE, &mut spool.keep_delivered_size);
    reading.end(keep);
    reading.end(section);
    spool
}

/// Copies settings of other sections that the spool needs.
pub(super) fn complete(config: &mut Config) {
    let limits = config.sources.iter().map(|source| source.size_limit);
    config.spool.source_limits = limits.collect();
    let least = least_reserve(config.listen.body_limit_inflated);
    config.spool.reserve_held = least.min(config.spool.reserve);
}

pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    let Config { listen, spool, .. } = config;
    if !SEGMENT_SIZES.contains(&spool.segment_size) {
        let problem = "is below 4 KiB or above 4 GiB";
        mistakes.at(&Key::new("spool.segment_size"), problem, "64MiB is a good size.");
    }
    if spool.reserve < least_reserve(listen.body_limit_inflated) {
        let problem = "cannot hold the checkpoint and one body of listen.body_limit_inflated in quarantine: on a \
                       full volume nothing would be delivered";
        let remedy = "Raise it to listen.body_limit_inflated and 2MiB more, or lower that.";
        mistakes.at(&Key::new("spool.reserve"), problem, remedy);
    }
}
