//! Converts the written configuration into its meaning, section by section. A bad combination (values that are valid
//! alone and break a promise together) is refused by the section whose key has to change, and never quietly
//! repaired.

use super::{
    Config, OfMachine, Questions, admin, adobe, answer, deduplicate, fields, forward, kafka,
    listen, log, mistake::Mistakes, oauth, purposes, pushed_metrics::PushedMetrics, quarantine,
    reading::Reading, shutdown, sources, spool, tls, topics, traces::Traces, values, volume,
};

/// Reads every section, even after a mistake, to find the mistakes of all; a value that cannot be read is
/// replaced by its default. So the result is valid only if no mistake was noted.
pub(super) fn read(
    reading: &mut Reading,
    questions: &Questions<'_>,
    machine: OfMachine<'_>,
) -> Config {
    let mut root = reading.root();
    let listen = listen::read(reading, &mut root);
    let admin = admin::read(reading, &mut root);
    let spool = spool::read(reading, &mut root);
    let quarantine = quarantine::read(reading, &mut root);
    let (kafka, schema_registry) = kafka::read(reading, &mut root, questions.kafka);
    let topics = topics::read(reading, &mut root);
    let forward = forward::read(reading, &mut root);
    let fields = fields::read(reading, &mut root);
    let adobe = adobe::read(reading, &mut root);
    let deduplicate = deduplicate::read(reading, &mut root).unwrap_or_default();
    let oauth = oauth::read(reading, &mut root);
    let sources = sources::read(reading, &mut root);
    let shutdown = shutdown::read(reading, &mut root);
    let log = log::read(reading, &mut root);
    reading.end(root);
    reading.report_unknown();
    // Read from variables of their own (`config.rs`).
    let traces = Traces::Off;
    let pushed_metrics = PushedMetrics::Off;
    let mut config = Config {
        listen,
        admin,
        spool,
        quarantine,
        kafka,
        schema_registry,
        topics,
        forward,
        fields,
        adobe,
        deduplicate,
        oauth,
        sources,
        shutdown,
        log,
        traces,
        pushed_metrics,
    };
    spool::complete(&mut config);
    config.topics.ids_kept = config.deduplicate.window;
    combinations(&config, reading, questions, machine);
    config
}

/// Finds mistakes of values in combination, and with the machine that they name. A value that is wrong by
/// itself gets no further mistakes: it is not the intended one.
fn combinations(
    config: &Config,
    reading: &mut Reading,
    questions: &Questions<'_>,
    machine: OfMachine<'_>,
) {
    let mut found = Mistakes::default();
    tls::rules(&config.listen, &config.sources, &mut found);
    for check in [
        listen::check,
        admin::check,
        spool::check,
        topics::check,
        purposes::check,
        values::check,
        fields::check,
        sources::check,
        answer::check,
        kafka::check,
    ] {
        check(config, &mut found);
    }
    oauth::check(&config.oauth, &config.sources, &mut found);
    reading.mistakes.add_unless_about_these(found);
    let mut found = Mistakes::default();
    machine(config).into_iter().for_each(|mistake| found.push(mistake));
    reading.mistakes.add_unless_about_these(found);
    if let Some(size_of) = questions.volume
        && !reading.mistakes.are_about("spool.directory")
        && let Err(mistake) = volume::fits(&config.spool, size_of)
    {
        let mut found = Mistakes::default();
        found.push(mistake);
        reading.mistakes.add_unless_about_these(found);
    }
}
