//! From what was written to what it means, section by section.

use super::{
    Config, OfMachine, Questions, Sections, adobe, deduplicate, kafka,
    leaf::{
        ADDRESS, COUNT, DURATION, FLAG, FOLDER, Kind, NONZERO_DURATION, PARTITIONS, REPLICAS, SIZE,
        SIZE_OR_NONE, string,
    },
    log, oauth, proxies,
    reading::{Reading, Section},
    rules, sources,
    stages::{Admin, Forward, Listen, Shutdown, Spool, Topics},
    tls,
    traces::Traces,
    volume,
    written::text,
};
use crate::{
    encode::Mode,
    route::{Router, is_topic_name},
};

/// `None` after a mistake; every section is read in any case, for the sake of its own mistakes.
pub(super) fn read(
    reading: &mut Reading,
    questions: &Questions<'_>,
    machine: OfMachine<'_>,
) -> Option<Config> {
    let mut root = reading.root();
    let listen = listen(reading, &mut root);
    let admin = admin(reading, &mut root);
    let spool = spool(reading, &mut root);
    let kafka = kafka::read(reading, &mut root, questions.kafka);
    let topics = topics(reading, &mut root);
    let forward = forward(reading, &mut root);
    let adobe = adobe::read(reading, &mut root);
    let deduplicate = deduplicate::read(reading, &mut root);
    let oauth = oauth::read(reading, &mut root);
    let sources = sources::read(reading, &mut root);
    let shutdown = shutdown(reading, &mut root);
    let log = log::read(reading, &mut root);
    reading.end(root);
    reading.report_unknown();

    let known = rules::Known {
        listen: listen.as_ref(),
        admin: admin.as_ref(),
        spool: spool.as_ref(),
        kafka: kafka.as_ref(),
        topics: topics.as_ref(),
        forward: forward.as_ref(),
        sources: sources.as_deref(),
    };
    rules::check(known, &mut reading.mistakes);
    if let (Some(oauth), Some(sources)) = (&oauth, &sources) {
        oauth::check(oauth, sources, &mut reading.mistakes);
    }
    if let (Some(spool), Some(size_of)) = (&spool, questions.volume)
        && let Err(mistake) = volume::fits(spool, size_of)
    {
        reading.mistakes.push(mistake);
    }
    let sections = Sections {
        listen: listen.as_ref(),
        spool: spool.as_ref(),
        adobe: adobe.as_ref(),
        kafka: kafka.as_ref(),
    };
    for mistake in machine(&sections) {
        reading.mistakes.push(mistake);
    }
    Some(Config {
        listen: listen?,
        admin: admin?,
        spool: spool?,
        kafka: kafka?,
        topics: topics?,
        forward: forward?,
        adobe: adobe?,
        deduplicate: deduplicate?,
        oauth: oauth?,
        sources: sources?,
        shutdown: shutdown?,
        log: log?,
        traces: Traces::Off,
    })
}

fn listen(reading: &mut Reading, root: &mut Section) -> Option<Listen> {
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
    Some(Listen {
        address: address?,
        body_limit: body_limit?,
        body_limit_inflated: inflated?,
        body_budget: body_budget?,
        header_timeout: header_timeout?,
        request_timeout: request_timeout?,
        connections: connections?,
        // What does not fit is refused by the rules, as everything beyond a megabyte.
        header_limit: usize::try_from(header_limit?).unwrap_or(usize::MAX),
        trusted_proxies: trusted_proxies?,
        tls: tls?,
    })
}

fn admin(reading: &mut Reading, root: &mut Section) -> Option<Admin> {
    let mut section = reading.section(root, "admin");
    let address = reading.leaf(&mut section, "address", &ADDRESS, Admin::default().address);
    reading.end(section);
    Some(Admin { address: address? })
}

fn spool(reading: &mut Reading, root: &mut Section) -> Option<Spool> {
    let default = Spool::default();
    let mut section = reading.section(root, "spool");
    let s = &mut section;
    let directory = reading.leaf(s, "directory", &FOLDER, default.directory);
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
    Some(Spool {
        directory: directory?,
        size_limit: size_limit?,
        reserve: reserve?,
        keep_delivered_age: age?,
        keep_delivered_size: size?,
        segment_size: segment_size?,
        quarantine_keep: quarantine_keep?,
    })
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

fn topics(reading: &mut Reading, root: &mut Section) -> Option<Topics> {
    let default = Topics::default();
    let mut section = reading.section(root, "topics");
    let s = &mut section;
    let name = reading.leaf(s, "name", &TEMPLATE, default.name);
    let mode = reading.choice(s, "mode", &Mode::ALL, Mode::as_str, Some(default.mode));
    let create = reading.leaf(s, "create", &FLAG, default.create);
    let partitions = reading.leaf(s, "partitions", &PARTITIONS, default.partitions);
    let replicas = reading.leaf(s, "replication_factor", &REPLICAS, default.replication_factor);
    let limit = reading.leaf(s, "limit", &COUNT, default.limit);
    let dead_letter = reading.leaf(s, "dead_letter", &TOPIC, default.dead_letter);
    let checkpoints = reading.leaf(s, "checkpoints", &TOPIC, default.checkpoints);
    let mut map = reading.section(s, "config");
    reading.end(section);
    let mut config = Some(default.config);
    for name in map.names() {
        let value = reading.any(&mut map, &name, |value| match text(value) {
            Ok(text) => Ok((text.clone().into_owned(), string(&text))),
            Err(what) => Err((format!("is {what}"), "Write it as text, in quotes.".into())),
        });
        config = config.zip(value).map(|(mut config, value)| {
            config.insert(name, value);
            config
        });
    }
    Some(Topics {
        name: name?,
        mode: mode?,
        create: create?,
        partitions: partitions?,
        replication_factor: replicas?,
        config: config?,
        limit: limit?,
        dead_letter: dead_letter?,
        checkpoints: checkpoints?,
    })
}

fn forward(reading: &mut Reading, root: &mut Section) -> Option<Forward> {
    let default = Forward::default();
    let mut section = reading.section(root, "forward");
    let s = &mut section;
    let hold_after = reading.leaf(s, "hold_after", &NONZERO_DURATION, default.hold_after);
    let held_topics = reading.leaf(s, "held_topics", &COUNT, default.held_topics);
    let quarantine_after = reading.leaf(s, "quarantine_after", &DURATION, default.quarantine_after);
    reading.end(section);

    Some(Forward {
        hold_after: hold_after?,
        held_topics: held_topics?,
        quarantine_after: quarantine_after?,
    })
}

fn shutdown(reading: &mut Reading, root: &mut Section) -> Option<Shutdown> {
    let default = Shutdown::default();
    let mut section = reading.section(root, "shutdown");
    let delay = reading.leaf(&mut section, "delay", &DURATION, default.delay);
    let flush = reading.leaf(&mut section, "flush", &DURATION, default.flush);
    reading.end(section);
    Some(Shutdown { delay: delay?, flush: flush? })
}
