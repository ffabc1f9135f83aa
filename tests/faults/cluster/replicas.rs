//! Several replicas behind a load balancer, one of which is killed and one of which is scaled away.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
};

use millrace::sender::{
    EventId, account,
    adobe::{self, Keys},
};
use serde_json::Value;

use crate::{
    clusters,
    consumers::{self, read_topic},
    load::PATIENCE,
    senders::{self, Books, Senders},
    support::{
        balancer::Balancer,
        bridge::{Bridge, Settings},
        wait,
    },
};

const PREFIX: &str = "replicas";

fn settings(kafka: &str, keys: &str) -> Settings {
    Settings::new(kafka, PREFIX)
        .set("TOPICS__NAME", format!("{PREFIX}.{{stream}}"))
        .set("TOPICS__REPLICATION_FACTOR", "3")
        .set("SOURCES__AUDIT__KIND", "adobe-io")
        .set("SOURCES__AUDIT__AUTH__CLIENT_IDS", senders::CLIENT_ID)
        .set("ADOBE__KEYS_FOLDER", keys)
        // Longer than the balancer takes to notice, as it has to be.
        .set("SHUTDOWN__DELAY", "500ms")
        .set("SHUTDOWN__FLUSH", "500ms")
}

fn undelivered(bridge: &Bridge) -> f64 {
    bridge.metric("millrace_spool_undelivered_deliveries", &[])
}

#[test]
fn of_three_replicas_one_killed_and_one_drained_away_lose_nothing_and_the_senders_hardly_notice() {
    let mut cluster = clusters::borrow();
    let addresses = cluster.addresses();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let keys = Arc::new(Keys::generate("scaling").expect("keys can be made"));
    adobe::keys::write(&keys, folder.path()).expect("keys can be written");
    let settings = settings(&addresses, &folder.path().display().to_string());
    let mut bridges = [(); 3].map(|()| Bridge::start(settings.clone()));
    let balancer = Balancer::start();
    for (place, bridge) in bridges.iter().enumerate() {
        balancer.set(place, bridge.addresses());
    }
    wait::until("replicas behind the balancer", PATIENCE, || (0..3).all(|n| balancer.is_ready(n)));

    let senders = Senders::start(balancer.address(), &keys);
    let delivered = |bridge: &Bridge, source: &str| {
        bridge.metric("millrace_events_delivered_total", &[&format!("source=\"{source}\"")])
    };
    wait::until("each replica to deliver of both sources", PATIENCE, || {
        let is_busy =
            |bridge| delivered(bridge, "leads") > 100.0 && delivered(bridge, "audit") > 50.0;
        bridges.iter().all(is_busy)
    });

    // A quarter of a second is how far its checkpoint may be behind: what comes again is of what it
    // has not delivered now, and of what is sent from now on.
    let killed = &mut bridges[1];
    let (before, backlog) = (senders.sent(), undelivered(killed));
    senders.wait_for(1_500);
    killed.kill();
    let may_repeat = senders.sent() - before + backlog as u64 * senders::MOST_RECORDS;
    wait::until("a balancer that knows", PATIENCE, || !balancer.is_ready(1));
    senders.wait_for(1_000);
    killed.restart();
    balancer.set(1, killed.addresses());
    // It gets none of the connections that Marketo keeps.
    wait::until("new deliveries to the one that is back", PATIENCE, || {
        balancer.connections(1) > 10 && delivered(killed, "audit") > 50.0
    });

    // Scaled in while Kafka is away for a moment, so that its spool is not empty when it stops.
    cluster.brokers.iter_mut().for_each(|broker| broker.freeze());
    let leaving = &mut bridges[2];
    wait::until("something to drain", PATIENCE, || undelivered(leaving) > 10.0);
    let unanswered = senders.unanswered();
    leaving.terminate();
    assert!(leaving.wait(PATIENCE).success(), "a clean stop");
    let stopped = senders.unanswered() - unanswered;
    cluster.brokers.iter_mut().for_each(|broker| broker.thaw());
    let left = left(leaving);
    assert!(left > 0, "a drain without anything to drain proves nothing");
    let drained = leaving.tool(&["drain", "--deadline", "2m"]);
    let said = String::from_utf8_lossy(&drained.stderr);
    assert!(drained.status.success(), "{said}");
    senders.wait_for(1_000);

    let books = senders.finish();
    for bridge in &bridges[..2] {
        bridge.wait_until_drained(PATIENCE);
    }
    let quarantine = bridges.iter().flat_map(|bridge| bridge.files(".bytes"));
    let quarantine = quarantine.map(|path| fs::read_to_string(path).expect("a file can be read"));
    let may_repeat = may_repeat + left * senders::MOST_RECORDS;
    println!("{unanswered} requests got no answer before the stop, {stopped} while it went on");
    println!("{} connections were turned away", balancer.turned_away());
    settle(books, &addresses, &bridges, &quarantine.collect(), may_repeat);
}

/// Deliveries in the spool of a service that does not run.
#[track_caller]
fn left(bridge: &Bridge) -> u64 {
    let inspected = bridge.tool(&["spool", "inspect", "--json"]);
    let found: Value = serde_json::from_slice(&inspected.stdout).expect("it prints JSON");
    let sources = found["sources"].as_array().expect("there are sources");
    sources.iter().filter_map(|source| source["undelivered"]["deliveries"].as_u64()).sum()
}

/// A lane, and the number of an event within it.
type Event = (u16, u64);
/// Topic, key and id of each.
type Records = Vec<(String, Vec<u8>, String)>;

fn event(id: &str) -> Option<Event> {
    EventId::parse(id).map(|id| (id.subscription, id.number))
}

fn read_events(kafka: &str) -> Records {
    let streams = consumers::topics(kafka).into_keys().filter(|name| name.starts_with(PREFIX));
    let streams = streams.filter(|name| !name.ends_with("dead-letter"));
    let records = streams.flat_map(|topic| {
        let of_topic = read_topic(kafka, &topic).into_iter();
        of_topic.map(move |record| {
            let key = record.key.as_deref().unwrap_or_default().to_owned();
            (topic.clone(), key, record.header("ce_id").to_owned())
        })
    });
    records.collect()
}

/// For a person who looks for them: whose spool has the deliveries that brought `events`.
fn tell_where(bridges: &[Bridge], events: &BTreeSet<Event>) {
    println!("on no topic yet, by lane and number: {events:?}");
    for (replica, bridge) in bridges.iter().enumerate() {
        let inspected = bridge.tool(&["spool", "inspect"]);
        println!("replica {replica}: {}", String::from_utf8_lossy(&inspected.stdout));
        let exported = bridge.tool(&["spool", "export"]);
        for line in String::from_utf8_lossy(&exported.stdout).lines() {
            let mut words = line.split('"').map(|word| word.trim_end_matches('\\'));
            if words.any(|word| event(word).is_some_and(|event| events.contains(&event))) {
                let end = line.char_indices().nth(600).map_or(line.len(), |(at, _)| at);
                println!("  has {}", &line[..end]);
            }
        }
    }
}

/// Holds topics and quarantine against what was sent.
#[track_caller]
fn settle(
    mut books: Books,
    kafka: &str,
    bridges: &[Bridge],
    quarantine: &BTreeSet<String>,
    may_repeat: u64,
) {
    let mut records = read_events(kafka);
    let missing = |records: &Records| -> BTreeSet<Event> {
        let seen = records.iter().filter_map(|(_, _, id)| event(id)).collect::<BTreeSet<_>>();
        let sent = books.events.iter();
        let sent = sent.flat_map(|(lane, count)| (0..*count).map(move |number| (*lane, number)));
        sent.filter(|event| !seen.contains(event)).collect()
    };
    let not_there = missing(&records);
    if !not_there.is_empty() {
        tell_where(bridges, &not_there);
        // A broker that has just become a leader may show its last records a moment later.
        wait::until("every event to be on a topic", PATIENCE, || {
            records = read_events(kafka);
            missing(&records).is_empty()
        });
    }
    for (topic, key, id) in &records {
        books.ledger.read(topic, key, Some(id));
    }
    // What is too large for a letter is in quarantine, and its letter says where.
    let (mut letters, mut pointers) = (BTreeMap::<String, u64>::new(), 0);
    for letter in read_topic(kafka, &format!("{PREFIX}.dead-letter")) {
        if letter.headers.iter().any(|(name, _)| name == "millrace-quarantined") {
            pointers += 1;
        } else {
            let text = String::from_utf8_lossy(letter.value_bytes()).into_owned();
            *letters.entry(text).or_default() += 1;
        }
    }
    let tally = books.ledger.tally();
    let again = letters.values().sum::<u64>() - letters.len() as u64;
    println!("{tally:?}, {} letters, {again} of them again, {pointers} pointers", letters.len());
    println!("marketo {:?} {:?}", books.marketo.answers.statuses, books.marketo.silences);
    println!("adobe {:?} {:?}", books.adobe.answers.statuses, books.adobe.silences);
    println!("at most {may_repeat} may repeat");
    assert_eq!((tally.lost, tally.others), (0, 0));
    assert_eq!(tally.sent, tally.acknowledged, "everything was accepted in the end");
    assert_eq!(tally.on_topics, tally.sent + tally.repeated + tally.sent_again);
    let expected = &books.unfit;
    let found: BTreeSet<_> = letters.into_keys().chain(quarantine.iter().cloned()).collect();
    assert!(found == *expected, "{} of {} refused elements", found.len(), expected.len());
    assert!(quarantine.len() >= 4 && pointers >= quarantine.len());
    assert!(tally.repeated + again <= may_repeat, "more came again than may");

    // What a real Marketo and a real Adobe I/O would have done about it.
    assert_eq!(account::of_marketo(&books.marketo), []);
    assert_eq!(account::of_adobe(&books.adobe, books.worst), []);
    for account in [&books.marketo, &books.adobe] {
        let statuses = account.answers.statuses.keys();
        assert!(statuses.into_iter().all(|status| [200, 503].contains(status)));
    }
}
