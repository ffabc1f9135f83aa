//! From what was written to what it means, section by section.

use super::{
    Config, OfMachine, Questions, adobe, deduplicate, kafka,
    leaf::{
        ADDRESS, COUNT, DURATION, FLAG, FOLDER, Kind, NONZERO_DURATION, PARTITIONS, REPLICAS, SIZE,
        SIZE_OR_NONE, string,
    },
    log,
    mistake::Mistakes,
    oauth, proxies,
    reading::{Reading, Section},
    rules, sources,
    stages::{Admin, Forward, Listen, Shutdown, Spool, Topics},
    tls,
    traces::Traces,
    volume,
    written::text,
};
use crate::deliver::{
    encode::Mode,
    route::{Router, is_topic_name},
};

/// Every section is read in any case, for the sake of its own mistakes, and what could not be read counts
/// as its default meanwhile. So the result means something only where no mistake was noted.
pub(super) fn read(
    reading: &mut Reading,
    questions: &Questions<'_>,
    machine: OfMachine<'_>,
) -> Config {
    let mut root = reading.root();
    let listen = listen(reading, &mut root);
    let admin = admin(reading, &mut root);
    let spool = spool(reading, &mut root);
    let kafka = kafka::read(reading, &mut root, questions.kafka);
    let topics = topics(reading, &mut root);
    let forward = forward(reading, &mut root);
    let adobe = adobe::read(reading, &mut root);
    let deduplicate = deduplicate::read(reading, &mut root).unwrap_or_default();
    let oauth = oauth::read(reading, &mut root);
    let sources = sources::read(reading, &mut root);
    let shutdown = shutdown(reading, &mut root);
    let log = log::read(reading, &mut root).unwrap_or_default();
    reading.end(root);
    reading.report_unknown();
    let traces = Traces::Off;
    let config = Config {
        listen,
        admin,
        spool,
        kafka,
        topics,
        forward,
        adobe,
        deduplicate,
        oauth,
        sources,
        shutdown,
        log,
        traces,
    };
    combinations(&config, reading, questions, machine);
    config
}

/// What is wrong with values together, and with the machine that they name. Of a value that is wrong by
/// itself nothing more is said: it is not what was meant.
fn combinations(
    config: &Config,
    reading: &mut Reading,
    questions: &Questions<'_>,
    machine: OfMachine<'_>,
) {
    let mut found = Mistakes::default();
    rules::check(config, &mut found);
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

fn listen(reading: &mut Reading, root: &mut Section) -> Listen {
    let default = Listen::default();
    let mut section = reading.section(root, "listen");
    let s = &mut section;
    let address = reading.leaf(s, "address", &ADDRESS, default.address);
    let body_limit = reading.leaf(s, "body_limit", &SIZE, default.body_limit);
    let inflated = reading.leaf(s, "body_limit_inflated", &SIZE, default.body_limit_inflated);
    let body_budget = reading.leaf(s, "body_budget", &SIZE, default.body_budget);
    let header_timeout =
        reading.leaf(s, "header_timeout", &NONZERO_DURATION, default.header_timeout);
    let request_timeout =
        reading.leaf(s, "request_timeout", &NONZERO_DURATION, default.request_timeout);
    let connections = reading.leaf(s, "connections", &COUNT, default.connections);
    let header_limit = reading.leaf(s, "header_limit", &SIZE, default.header_limit as u64);
    let trusted_proxies = proxies::read(reading, s);
    let tls = tls::read(reading, s);
    reading.end(section);
    Listen {
        address: address.unwrap_or(default.address),
        body_limit: body_limit.unwrap_or(default.body_limit),
        body_limit_inflated: inflated.unwrap_or(default.body_limit_inflated),
        body_budget: body_budget.unwrap_or(default.body_budget),
        header_timeout: header_timeout.unwrap_or(default.header_timeout),
        request_timeout: request_timeout.unwrap_or(default.request_timeout),
        connections: connections.unwrap_or(default.connections),
        // What does not fit is refused by the rules, as everything beyond a megabyte.
        header_limit: header_limit
            .map_or(default.header_limit, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        trusted_proxies: trusted_proxies.unwrap_or(default.trusted_proxies),
        tls: tls.unwrap_or_default(),
    }
}

fn admin(reading: &mut Reading, root: &mut Section) -> Admin {
    let mut section = reading.section(root, "admin");
    let address = reading.leaf(&mut section, "address", &ADDRESS, Admin::default().address);
    reading.end(section);
    Admin { address: address.unwrap_or(Admin::default().address) }
}

fn spool(reading: &mut Reading, root: &mut Section) -> Spool {
    let default = Spool::default();
    let mut section = reading.section(root, "spool");
    let s = &mut section;
    let directory = reading.leaf(s, "directory", &FOLDER, default.directory.clone());
    let size_limit = reading.leaf(s, "size_limit", &SIZE, default.size_limit);
    let reserve = reading.leaf(s, "reserve", &SIZE, default.reserve);
    let segment_size = reading.leaf(s, "segment_size", &SIZE, default.segment_size);
    let mut keep = reading.section(s, "keep_delivered");
    let age = reading.leaf(&mut keep, "age", &DURATION, default.keep_delivered_age);
    let size = reading.leaf(&mut keep, "size", &SIZE_OR_NONE, default.keep_delivered_size);
    reading.end(keep);
    reading.end(section);
    let mut quarantine = reading.section(root, "quarantine");
    let quarantine_keep = reading.leaf(&mut quarantine, "keep", &KEEP, default.quarantine_keep);
    reading.end(quarantine);
    Spool {
        directory: directory.unwrap_or(default.directory),
        size_limit: size_limit.unwrap_or(default.size_limit),
        reserve: reserve.unwrap_or(default.reserve),
        keep_delivered_age: age.unwrap_or(default.keep_delivered_age),
        keep_delivered_size: size.unwrap_or(default.keep_delivered_size),
        segment_size: segment_size.unwrap_or(default.segment_size),
        quarantine_keep: quarantine_keep.unwrap_or(default.quarantine_keep),
    }
}

/// An age, or none.
const KEEP: Kind<Option<std::time::Duration>> = Kind {
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

const TOPIC: Kind<String> = Kind {
    parse: |text| match is_topic_name(text) {
        true => Ok(text.into()),
        false => Err("which is no name of a topic".into()),
    },
    expected: "Write 1 to 249 letters, digits, `.`, `_` and `-`, and not `.` or `..` alone.",
    show: |text| string(text),
};

const TEMPLATE: Kind<String> = Kind {
    parse: |text| match Router::new(text) {
        Ok(_) => Ok(text.into()),
        Err(error) => Err(format!("which is no template of topic names: {error}").into()),
    },
    expected: "Write letters, digits, `.`, `_`, `-`, and the placeholders {stream}, {type}, \
               {source}, {munchkin_id} and {activity_type_id}.",
    show: |text| string(text),
};

fn topics(reading: &mut Reading, root: &mut Section) -> Topics {
    let default = Topics::default();
    let mut section = reading.section(root, "topics");
    let s = &mut section;
    let name = reading.leaf(s, "name", &TEMPLATE, default.name.clone());
    let mode = reading.choice(s, "mode", &Mode::ALL, Mode::as_str, Some(default.mode));
    let create = reading.leaf(s, "create", &FLAG, default.create);
    let partitions = reading.leaf(s, "partitions", &PARTITIONS, default.partitions);
    let replicas = reading.leaf(s, "replication_factor", &REPLICAS, default.replication_factor);
    let limit = reading.leaf(s, "limit", &COUNT, default.limit);
    let dead_letter = reading.leaf(s, "dead_letter", &TOPIC, default.dead_letter.clone());
    let checkpoints = reading.leaf(s, "checkpoints", &TOPIC, default.checkpoints.clone());
    let mut map = reading.section(s, "config");
    reading.end(section);
    let mut config = default.config;
    for name in map.names() {
        let value = reading.any(&mut map, &name, |value| match text(value) {
            Ok(text) => Ok((text.clone().into_owned(), string(&text))),
            Err(what) => Err((format!("is {what}"), "Write it as text, in quotes.".into())),
        });
        config.extend(value.map(|value| (name, value)));
    }
    Topics {
        name: name.unwrap_or(default.name),
        mode: mode.unwrap_or(default.mode),
        create: create.unwrap_or(default.create),
        partitions: partitions.unwrap_or(default.partitions),
        replication_factor: replicas.unwrap_or(default.replication_factor),
        config,
        limit: limit.unwrap_or(default.limit),
        dead_letter: dead_letter.unwrap_or(default.dead_letter),
        checkpoints: checkpoints.unwrap_or(default.checkpoints),
    }
}

fn forward(reading: &mut Reading, root: &mut Section) -> Forward {
    let default = Forward::default();
    let mut section = reading.section(root, "forward");
    let s = &mut section;
    let hold_after = reading.leaf(s, "hold_after", &NONZERO_DURATION, default.hold_after);
    let held_topics = reading.leaf(s, "held_topics", &COUNT, default.held_topics);
    let quarantine_after = reading.leaf(s, "quarantine_after", &DURATION, default.quarantine_after);
    reading.end(section);

    Forward {
        hold_after: hold_after.unwrap_or(default.hold_after),
        held_topics: held_topics.unwrap_or(default.held_topics),
        quarantine_after: quarantine_after.unwrap_or(default.quarantine_after),
    }
}

fn shutdown(reading: &mut Reading, root: &mut Section) -> Shutdown {
    let default = Shutdown::default();
    let mut section = reading.section(root, "shutdown");
    let delay = reading.leaf(&mut section, "delay", &DURATION, default.delay);
    let flush = reading.leaf(&mut section, "flush", &DURATION, default.flush);
    reading.end(section);
    Shutdown { delay: delay.unwrap_or(default.delay), flush: flush.unwrap_or(default.flush) }
}
