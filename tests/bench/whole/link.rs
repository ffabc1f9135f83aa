//! What one produce request at a time costs: the client library alone, with one and with five, next to the
//! broker and behind a line on which everything takes its time.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Plan, admin, backlog,
    broker::{Broker, Options},
    limits::BareProducer,
    support::ports,
    table::{Row, Target},
};

/// What each byte waits, in each direction.
const DELAYS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(5)];

pub fn measure(plan: &Plan, _: &str) -> Vec<Row> {
    DELAYS.iter().map(|delay| one_against_five(plan, *delay)).collect()
}

fn one_against_five(plan: &Plan, delay: Duration) -> Row {
    let port = ports::free();
    let settings = vec![("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{port}"))];
    let broker = Broker::start_with(&Options { settings, ..Options::default() });
    line(port, broker.port(), delay);
    let kafka = format!("127.0.0.1:{port}");
    backlog::topics().for_each(|topic| admin::create_topic(&kafka, &topic, 3));

    let what = format!("one request at a time, {} ms away", 2 * delay.as_millis());
    let mut row = Row::new(&what, "ev/s", "rdkafka in a loop, five at a time", Target::None);
    let records = backlog::records();
    let size: usize = records.iter().map(|record| record.value.len()).sum();
    let count = plan.batch as usize / (size / records.len());
    let rate = |at_a_time| {
        let producer = BareProducer::with_requests(&kafka, at_a_time);
        producer.send(&records, records.len()); // connections, metadata
        let began = Instant::now();
        producer.send(&records, count);
        count as f64 / began.elapsed().as_secs_f64()
    };
    for round in 0..plan.rounds {
        println!("{what}, round {}", round + 1);
        row.add(rate(1), rate(5));
    }
    row.note = "one broker, 60 topics of 3 partitions, a queue of 64 MiB".into();
    row
}

/// Passes on from `port` to `target`, each piece `delay` after it came, as many under way as there are.
fn line(port: u16, target: u16, delay: Duration) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(broker) = TcpStream::connect(("127.0.0.1", target)) else { continue };
            for (from, to) in [(&client, &broker), (&broker, &client)] {
                to.set_nodelay(true).unwrap();
                pump(from.try_clone().unwrap(), to.try_clone().unwrap(), delay);
            }
        }
    });
}

/// Ends when one side does.
fn pump(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, pieces) = mpsc::sync_channel::<(Instant, Vec<u8>)>(4096);
    thread::spawn(move || {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            if sender.send((Instant::now() + delay, bytes[..length].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, piece) in pieces {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
