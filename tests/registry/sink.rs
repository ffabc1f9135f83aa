//! Flat values in a database: Kafka Connect with Debezium's JDBC sink makes a table of each topic in PostgreSQL, upserts by
//! `id`, and has each event once, whoever of them all was killed on the way.

use std::{collections::BTreeMap, env, time::Duration};

use serde_json::Value;

use crate::{
    apicurio::Registry,
    broker::{self, Broker},
    connect::{Connect, Properties},
    events::Sent,
    postgresql::PostgreSql,
    read_back::{compare_values, post_all, settings},
    support::{
        bridge::{Bridge, Settings},
        wait,
    },
};

/// Of a hundred thousand events with two cores.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Each has an event of every type.
fn rounds() -> usize {
    if env::var_os("TEST_LONG").is_some() { 1064 } else { 6 }
}

fn sink(database: &PostgreSql, prefix: &str) -> Properties {
    let topics = prefix.replace('.', "\\.");
    BTreeMap::from([
        ("connector.class", "io.debezium.connector.jdbc.JdbcSinkConnector".to_owned()),
        ("tasks.max", "1".into()),
        (
            "topics.regex",
            format!("{topics}\\.(lead-activity|user-audit|notification|observability)\\..*"),
        ),
        ("connection.url", database.url()),
        ("connection.username", "test".into()),
        ("connection.password", "none".into()),
        ("insert.mode", "upsert".into()),
        ("primary.key.mode", "record_value".into()),
        ("primary.key.fields", "id".into()),
        ("schema.evolution", "basic".into()),
        ("quote.identifiers", "true".into()),
        ("transforms", "table".into()),
        ("transforms.table.type", "org.apache.kafka.connect.transforms.RegexRouter".into()),
        ("transforms.table.regex", format!("{topics}\\.(.*)")),
        ("transforms.table.replacement", "$1".into()),
    ])
}

/// A broker, a bridge and a sink; the registry is dead while the broker is.
#[track_caller]
fn into_tables(
    prefix: &str,
    settings: impl FnOnce(&str) -> Settings,
    more: &Properties,
    mut registry: Option<&mut Registry>,
) {
    let mut broker = Broker::start();
    let address = broker.address();
    let database = PostgreSql::start();
    let bridge = Bridge::start(settings(&address));
    let first = post_all(&bridge, 0);
    bridge.wait_until_drained(PATIENCE);
    let mut connector = sink(&database, prefix);
    connector.extend(more.clone());
    let mut connect = Connect::start(&address, "sink", &connector);
    let until_rows = |connect: &Connect, name: &str, rows: usize| {
        wait::until("each event in its table", PATIENCE, || {
            connect.assert_well(name);
            database.counts().0 == rows as u64
        });
    };
    until_rows(&connect, "sink", first.len());

    let rounds = rounds();
    let mut last = Vec::new();
    broker.kill();
    if let Some(registry) = &mut registry {
        registry.kill();
    }
    (1..rounds / 2).for_each(|round| drop(post_all(&bridge, round)));
    broker.relaunch();
    if let Some(registry) = &mut registry {
        registry.restart();
    }
    broker.wait_until_ready(1);
    (rounds / 2..rounds).for_each(|round| last = post_all(&bridge, round));
    bridge.wait_until_drained(PATIENCE);
    assert_eq!(bridge.metric("millrace_dead_letters_total", &[]), 0.0);
    let all = rounds * first.len();
    until_rows(&connect, "sink", all);
    assert_eq!(database.counts(), (all as u64, all as u64), "rows, and ids");
    first.iter().chain(&last).for_each(|sent| compare_row(&database, sent));
    assert_types(&database);

    // All of it once more: what is there already is written over.
    connect.kill();
    let lost = format!("delete from \"{}\" where id like '0-%'", table(&first[0].topic));
    database.run(&lost);
    let last_topic = &first.last().expect("there are events").topic;
    database.run(&format!("delete from \"{}\"", table(last_topic)));
    assert_eq!(database.counts().0 as usize, all - 1 - rounds);
    let again = Connect::start(&address, "again", &connector);
    until_rows(&again, "again", all);
    assert_eq!(database.counts(), (all as u64, all as u64), "rows, and ids");
}

/// The table of a topic.
fn table(topic: &str) -> String {
    topic.replace('.', "_")
}

#[track_caller]
fn compare_row(database: &PostgreSql, Sent { id, topic, members }: &Sent) {
    let rows = database.rows(&format!("select * from \"{}\" where id = '{id}'", table(topic)));
    let [row] = rows.as_slice() else { panic!("{id} is in {} rows", rows.len()) };
    let mut row = row.clone();
    // The database's own spelling of a moment, which is one of UTC there.
    for value in row.as_object_mut().into_iter().flat_map(|row| row.values_mut()) {
        if let Some(text) = value.as_str()
            && text.len() > 10
            && text.parse::<jiff::civil::DateTime>().is_ok()
        {
            *value = format!("{text}Z").into();
        }
    }
    compare_values(&row, id, members);
}

/// Numbers, booleans and times are such in the database.
#[track_caller]
fn assert_types(database: &PostgreSql) {
    let rows = database.rows(
        "select table_name, column_name, data_type from information_schema.columns \
         where table_schema = 'public'",
    );
    let text = |row: &Value, name: &str| row[name].as_str().expect("a name").to_owned();
    let found: BTreeMap<_, _> = rows
        .iter()
        .map(|row| ((text(row, "table_name"), text(row, "column_name")), text(row, "data_type")))
        .collect();
    for (column, expected) in [
        ("lead-activity_clicklink.id", "text"),
        ("lead-activity_clicklink.time", "timestamp"),
        ("lead-activity_clicklink.activity_date", "timestamp"),
        ("lead-activity_clicklink.lead_id", "bigint"),
        ("lead-activity_clicklink.link_id", "text"),
        ("lead-activity_clicklink.webpage_id", "bigint"),
        ("lead-activity_openemail.is_mobile_device", "boolean"),
        ("lead-activity_newlead.created_date", "date"),
        ("user-audit_email.component_id", "bigint"),
        ("observability_metrics.others", "text"),
    ] {
        let (table, name) = column.split_once('.').expect("a table and a column");
        let kind = found.get(&(table.to_owned(), name.to_owned()));
        let kind = kind.unwrap_or_else(|| panic!("no {column} in {found:?}"));
        assert!(kind.starts_with(expected), "{column} is {kind}");
    }
}

#[test]
fn with_connects_envelope_each_event_is_once_in_its_table_after_the_broker_was_killed() {
    let prefix = broker::own_prefix("envelope");
    let settings = |address: &str| {
        let plain = settings(address, "http://127.0.0.1:1", &prefix, "json-schema");
        plain.without("KAFKA__SCHEMA_REGISTRY__URL").set("TOPICS__ENVELOPE", "connect")
    };
    let more = [("value.converter", "org.apache.kafka.connect.json.JsonConverter".to_owned())];
    into_tables(&prefix, settings, &BTreeMap::from(more), None);
}

#[test]
fn with_avro_each_event_is_once_in_its_table_after_broker_and_registry_were_killed() {
    let prefix = broker::own_prefix("avro");
    let mut registry = Registry::start();
    let url = registry.url();
    let settings = |address: &str| settings(address, &url, &prefix, "avro");
    let more = [
        ("value.converter", "io.apicurio.registry.utils.converter.AvroConverter".to_owned()),
        ("value.converter.apicurio.registry.url", registry.native_url()),
        ("value.converter.apicurio.registry.as-confluent", "true".into()),
        ("value.converter.apicurio.registry.use-id", "contentId".into()),
        ("value.converter.apicurio.registry.headers.enabled", "false".into()),
    ];
    into_tables(&prefix, settings, &BTreeMap::from(more), Some(&mut registry));
}
