//! Flat values in a database: Kafka Connect with Debezium's JDBC sink makes a table of each topic in PostgreSQL, upserts by
//! `id`, and has each event once, although broker, registry and sink are killed on the way.

use std::{collections::BTreeMap, env, time::Duration};

use serde_json::Value;

use crate::{
    apicurio::Registry,
    broker::{self, Broker},
    connect::{Connect, Properties},
    events::Sent,
    postgresql::PostgreSql,
    read_back::{compare_values, post_all, settings},
    support::{bridge::Bridge, documents, wait},
};

/// Of a hundred thousand events with two cores.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Each has an event of every type.
fn rounds() -> usize {
    if env::var_os("TEST_LONG").is_some() { 1064 } else { 6 }
}

const CONSUMING: &str = "deploy/CONSUMING.md";

/// The connector of the document, for the topics of one bridge and with its tables' names apart.
fn sink(
    database: &PostgreSql,
    prefix: &str,
    tables: &str,
    converter: Option<(&str, &str)>,
) -> Properties {
    let blocks = documents::of(CONSUMING);
    let mut text = documents::the(&blocks, CONSUMING, "JdbcSinkConnector").text.clone();
    if let Some((block, registry)) = converter {
        let last = text.lines().next_back().expect("it has lines").to_owned();
        let more = &documents::the(&blocks, CONSUMING, block).text;
        text =
            text.replace(&last, &more.replace("http://registry:8080/apis/registry/v2", registry));
    }
    for (written, typed) in [
        ("jdbc:postgresql://postgres:5432/marketo", &*database.url()),
        ("${file:/run/secrets/postgres.properties:password}", "none"),
        ("username=marketo", "username=test"),
        ("marketo\\\\.", &format!("{prefix}\\\\.")),
        ("replacement=$1", &format!("replacement={tables}.$1")),
    ] {
        assert!(text.contains(written), "{written} in {text}");
        text = text.replace(written, typed);
    }
    text
}

#[test]
fn each_event_is_once_in_its_table_in_both_forms_after_broker_registry_and_sink_were_killed() {
    let (mut registry, mut broker, database) =
        (Registry::start(), Broker::start(), PostgreSql::start());
    let address = broker.address();
    let [json, avro] = ["json", "avro"].map(broker::own_prefix);
    let bridges = [
        settings(&address, &registry.url(), &json, "json-schema")
            .without("KAFKA__SCHEMA_REGISTRY__URL")
            .set("TOPICS__ENVELOPE", "connect"),
        settings(&address, &registry.url(), &avro, "avro"),
    ]
    .map(Bridge::start);
    let first = post_to_all(&bridges, 0);
    bridges.iter().for_each(|bridge| bridge.wait_until_drained(PATIENCE));

    let json = sink(&database, &json, "json", None);
    let native = registry.native_url();
    let avro = sink(&database, &avro, "avro", Some(("converter.AvroConverter\n", &native)));
    let mut connect = Connect::start(&address, &[("json", json.clone()), ("avro", avro.clone())]);
    until_rows(&database, &connect, 2 * first.len());

    // While both are dead, and after them.
    let rounds = rounds();
    let mut last = Vec::new();
    broker.kill();
    registry.kill();
    (1..rounds / 2).for_each(|round| drop(post_to_all(&bridges, round)));
    broker.relaunch();
    registry.restart();
    broker.wait_until_ready(1);
    connect.assert_well();
    // The sink dies too; its successor begins at the beginning, so that what is there is written over.
    connect.kill();
    for tables in ["json", "avro"] {
        database.run(&format!("delete from \"{tables}_observability_metrics\""));
    }
    (rounds / 2..rounds).for_each(|round| last = post_to_all(&bridges, round));
    let connect = Connect::start(&address, &[("json-again", json), ("avro-again", avro)]);
    let all = 2 * rounds * first.len();
    until_rows(&database, &connect, all);
    for bridge in &bridges {
        bridge.wait_until_drained(PATIENCE);
        assert_eq!(bridge.metric("millrace_dead_letters_total", &[]), 0.0);
    }
    for tables in ["json", "avro"] {
        let each = (rounds * first.len()) as u64;
        assert_eq!(database.counts(tables), (each, each), "rows, and ids");
        first.iter().chain(&last).for_each(|sent| compare_row(&database, tables, sent));
        assert_types(&database, tables);
    }
}

#[track_caller]
fn post_to_all(bridges: &[Bridge], round: usize) -> Vec<Sent> {
    let mut sent = Vec::new();
    for bridge in bridges {
        sent = post_all(bridge, round);
    }
    sent
}

#[track_caller]
fn until_rows(database: &PostgreSql, connect: &Connect, rows: usize) {
    wait::until("each event in its table", PATIENCE, || {
        connect.assert_well();
        database.counts("").0 == rows as u64
    });
}

#[track_caller]
fn compare_row(database: &PostgreSql, tables: &str, Sent { id, topic, members }: &Sent) {
    let table = format!("{tables}_{}", topic.replace('.', "_"));
    let rows = database.rows(&format!("select * from \"{table}\" where id = '{id}'"));
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
fn assert_types(database: &PostgreSql, tables: &str) {
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
        let kind = found.get(&(format!("{tables}_{table}"), name.to_owned()));
        let kind = kind.unwrap_or_else(|| panic!("no {column} in {found:?}"));
        assert!(kind.starts_with(expected), "{column} is {kind}");
    }
}
