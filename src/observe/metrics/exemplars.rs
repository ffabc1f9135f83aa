//! Exemplars: for each bucket of a histogram one request with its trace, so that a slow answer in a graph leads
//! to its spans. Kept only while traces are on; a bucket shows its last exemplar.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

/// One measured value, and the trace that it is from.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    pub trace: String,
    pub value: f64,
    /// Seconds since 1970.
    pub at: f64,
}

/// Exemplars by metric and source. Bounded: two metrics, the configured sources, and [`MAX_EXEMPLARS`] of each.
#[derive(Clone, Default)]
pub struct Exemplars(Arc<Mutex<BTreeMap<(&'static str, String), Vec<Exemplar>>>>);

/// A value replaces the exemplars that differ from it by less than this factor: buckets are no finer.
const MIN_FACTOR: f64 = 1.6;
/// Exemplars of one metric and source.
const MAX_EXEMPLARS: usize = 32;

impl Exemplars {
    /// Keeps a value that the histogram `metric` counted for `source`, in the trace with this id.
    pub fn note(&self, metric: &'static str, source: &str, value: f64, trace: String) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut all = self.0.lock();
        let known = all.entry((metric, source.to_owned())).or_default();
        known.retain(|it| it.value > value * MIN_FACTOR || it.value < value / MIN_FACTOR);
        if known.len() >= MAX_EXEMPLARS {
            known.remove(0);
        }
        known.push(Exemplar { trace, value, at });
    }

    /// Returns the latest exemplar with a value in the bucket above `from` and up to `to`.
    pub fn within(&self, metric: &str, source: &str, from: f64, to: f64) -> Option<Exemplar> {
        let all = self.0.lock();
        let mut of = all.iter().filter(|((name, of), _)| *name == metric && of == source);
        let found = of.next()?.1.iter().rev().find(|it| it.value > from && it.value <= to);
        found.cloned()
    }
}
