//! The macros that make metrics of the rows of the table. Names, helps and labels are static: a mistake in one shows
//! in the first test that makes them.

use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter,
    IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
};

/// Buckets from a tenth of a millisecond to the longest time that a sender waits.
const BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// Buckets from a few milliseconds, a sync and a round trip, to the days of an outage.
const LONG_BUCKETS: [f64; 20] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0,
    3600.0, 14_400.0, 43_200.0, 86_400.0, 259_200.0,
];

/// A histogram of times that may be as long as an outage.
#[derive(Clone)]
pub struct LongHistogram(pub Histogram);

/// A metric, by its name for Prometheus.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    pub kind: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// One time series.
pub trait Metric: Sized {
    /// All series of the metric, by their labels.
    type Family: Collector + Clone + 'static;
    const KIND: &'static str;

    fn family(row: &Row) -> prometheus::Result<Self::Family>;

    /// Returns the series with these values of the labels, which is shown from then on.
    fn of(family: &Self::Family, values: &[&str]) -> Self;

    fn register(row: &Row, registry: &Registry) -> Self::Family {
        let family = Self::family(row).expect("metric names and labels are static and valid");
        registry.register(Box::new(family.clone())).expect("metric names are unique");
        family
    }
}

macro_rules! metric {
    ($metric:ty, $family:ty, $kind:literal, $options:expr) => {
        impl Metric for $metric {
            type Family = $family;
            const KIND: &'static str = $kind;

            fn family(row: &Row) -> prometheus::Result<$family> {
                <$family>::new($options(row), row.labels)
            }

            fn of(family: &$family, values: &[&str]) -> Self {
                family.with_label_values(values)
            }
        }
    };
}

metric!(IntCounter, IntCounterVec, "counter", plain);
metric!(Counter, CounterVec, "counter", plain);
metric!(IntGauge, IntGaugeVec, "gauge", plain);
metric!(Gauge, GaugeVec, "gauge", plain);
metric!(Histogram, HistogramVec, "histogram", seconds);

impl Metric for LongHistogram {
    type Family = HistogramVec;
    const KIND: &'static str = Histogram::KIND;

    fn family(row: &Row) -> prometheus::Result<HistogramVec> {
        HistogramVec::new(seconds(row).buckets(LONG_BUCKETS.to_vec()), row.labels)
    }

    fn of(family: &HistogramVec, values: &[&str]) -> Self {
        Self(family.with_label_values(values))
    }
}

fn plain(row: &Row) -> Opts {
    Opts::new(row.name, row.help)
}

fn seconds(row: &Row) -> HistogramOpts {
    HistogramOpts::new(row.name, row.help).buckets(BUCKETS.to_vec())
}

/// Makes [`Metrics`](super::Metrics), [`SourceMetrics`](super::SourceMetrics) and the list of rows.
macro_rules! metrics {
    (
        process: $(
            $(#[doc = $of_process:literal])+
            $process:ident: $process_type:ty = $process_name:expr;
        )+
        source: $(
            $(#[doc = $of_source:literal])+
            $source:ident: $source_type:ty = $source_name:expr;
        )+
        labelled: $(
            $(#[doc = $of_family:literal])+
            $family:ident[$($label:ident),+]: $family_type:ty = $family_name:expr;
        )+
    ) => {
        /// Handles to every metric; clones share the same counters.
        #[derive(Clone)]
        pub struct Metrics {
            registry: Registry,
            /// Tries of each source's sender in the last 24 hours.
            pub tries: Tries,
            /// Traces of some of the values that histograms count.
            pub exemplars: Exemplars,
            /// The last requests.
            pub recent: Recent,
            /// Results of the last events.
            pub settled: Settled,
            /// Whether Kafka answers.
            pub contact: Contact,
            $($(#[doc = $of_process])+ pub $process: $process_type,)+
            $($(#[doc = $of_source])+ pub $source: <$source_type as Metric>::Family,)+
            $($(#[doc = $of_family])+ pub $family: <$family_type as Metric>::Family,)+
        }

        /// The metrics of one source that have no further label, resolved once.
        #[derive(Clone)]
        pub struct SourceMetrics {
            $($(#[doc = $of_source])+ pub $source: $source_type,)+
        }

        /// The rows of all metrics, in the order of the table.
        pub const TABLE: &[Row] = &[
            $(row!($process_type, $process_name, [], $($of_process),+),)+
            $(row!($source_type, $source_name, ["source"], $($of_source),+),)+
            $(row!($family_type, $family_name, [$(stringify!($label)),+], $($of_family),+),)+
        ];

        impl Metrics {
            fn registered() -> Self {
                let registry = Registry::new();
                let mut rows = TABLE.iter();
                let mut next = || rows.next().expect("each field has a row");
                Self {
                    $($process: {
                        let family = <$process_type>::register(next(), &registry);
                        <$process_type>::of(&family, &[])
                    },)+
                    $($source: <$source_type>::register(next(), &registry),)+
                    $($family: <$family_type>::register(next(), &registry),)+
                    tries: Tries::default(),
                    exemplars: Exemplars::default(),
                    recent: Recent::default(),
                    settled: Settled::default(),
                    contact: Contact::default(),
                    registry,
                }
            }

            /// Returns the metrics of `source`; each is shown from now on.
            pub fn source(&self, source: &str) -> SourceMetrics {
                SourceMetrics {
                    $($source: <$source_type>::of(&self.$source, &[source]),)+
                }
            }
        }
    };
}

macro_rules! row {
    ($type:ty, $name:expr, $labels:expr, $($help:literal),+) => {
        Row {
            name: $name,
            kind: <$type as Metric>::KIND,
            labels: &$labels,
            help: concat!($($help),+).trim_ascii(),
        }
    };
}

pub(super) use {metrics, row};
