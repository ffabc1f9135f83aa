//! Whether a broker of the cluster answers at each address that the cluster names. Brokers give every client their
//! addresses, which may be good only elsewhere (another network, a name that is not resolved), or lead to a server that
//! is no broker, or to a port with other settings than this client's.
//!
//! First a name and a connection are tried, then a question in Kafka's protocol with all settings of the client
//! (TLS, a password). A few brokers are tried at once, and none after those where one fails: the time is that of
//! a few, however many there are.

use std::{
    collections::HashMap,
    fmt, io,
    net::{TcpStream, ToSocketAddrs},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rdkafka::producer::Producer;
use serde::Deserialize;

use crate::{
    config,
    kafka::{
        cause,
        cluster::Cluster,
        context::{asking, drain},
        properties,
    },
};

/// Timeout of the name's resolution and the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Shortest timeout of an answer.
const MIN_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Brokers that are tried at once: each has threads of its own.
const CONCURRENT_BROKERS: usize = 16;
/// Timeout for the cluster's id, which comes with the answer.
const CLUSTER_ID_TIMEOUT: Duration = Duration::from_millis(500);

/// Stands for the id of a server that is known by its address only.
const BOOTSTRAP_ID: i32 = -1;

/// Splits `kafka.bootstrap_servers`.
pub fn servers(text: &str) -> Vec<Named> {
    let server = |server: &str| {
        let (host, port) = server.rsplit_once(':')?;
        let host = host.trim_matches(['[', ']']).to_owned();
        Some(Named { id: BOOTSTRAP_ID, host, port: port.parse().ok()? })
    };
    text.split(',').filter_map(server).collect()
}

/// A broker's id, and its address as the cluster names it. Displays as `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub id: i32,
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The brokers that a cluster named to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedBrokers {
    /// In the order of their ids.
    pub brokers: Vec<Named>,
    /// Time since the client was made.
    pub after: Duration,
}

/// Reads them from the library's statistics; `None` before the cluster named any.
pub fn named_brokers(json: &[u8]) -> Option<NamedBrokers> {
    #[derive(Deserialize)]
    struct Statistics {
        /// In microseconds.
        age: u64,
        brokers: HashMap<String, Broker>,
    }
    #[derive(Deserialize)]
    struct Broker {
        nodeid: i32,
        nodename: String,
        source: String,
    }
    let statistics: Statistics = serde_json::from_slice(json).ok()?;
    let named = |broker: Broker| {
        let (host, port) = broker.nodename.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_told = broker.source == "learned" && broker.nodeid >= 0;
        is_told.then_some(Named { id: broker.nodeid, host, port: port.parse().ok()? })
    };
    let mut brokers: Vec<_> = statistics.brokers.into_values().filter_map(named).collect();
    brokers.sort_by_key(|broker| broker.id);
    let after = Duration::from_micros(statistics.age);
    (!brokers.is_empty()).then_some(NamedBrokers { brokers, after })
}

/// The question to each broker, with the answers of the cluster that named them.
#[derive(Clone, Debug)]
pub struct Question {
    pub kafka: config::Kafka,
    /// A topic; an answer about one is small.
    pub topic: String,
    pub cluster_id: Option<String>,
    /// Timeout of an answer; longer on a line that is known to be slow.
    pub within: Duration,
}

impl Question {
    /// The timeout after an answer of the cluster that `took` so long, of at most `timeout`.
    pub fn patience(took: Duration, timeout: Duration) -> Duration {
        (4 * took).clamp(MIN_ANSWER_TIMEOUT, timeout.max(MIN_ANSWER_TIMEOUT))
    }
}

/// The addresses among `brokers` where no broker of the cluster answers, each with the reason.
pub fn unreachable(question: &Question, brokers: &[Named]) -> Vec<String> {
    let mut left = brokers.len();
    for group in brokers.chunks(CONCURRENT_BROKERS) {
        left -= group.len();
        let mut found = look_at(question, group);
        if !found.is_empty() {
            if left > 0 {
                found.push(format!("and {left} others were not looked at"));
            }
            return found;
        }
    }
    Vec::new()
}

fn look_at(question: &Question, brokers: &[Named]) -> Vec<String> {
    let within = CONNECT_TIMEOUT.as_secs();
    let connected =
        all_at_once(brokers, CONNECT_TIMEOUT, |broker| connect(&broker).map_err(|e| e.to_string()));
    let connected = connected
        .into_iter()
        .map(|answer| answer.unwrap_or_else(|| Err(format!("no connection within {within} s"))));
    let mut open = Vec::new();
    let mut found = Vec::new();
    for (broker, connected) in brokers.iter().zip(connected) {
        match connected {
            Ok(()) => open.push(broker.clone()),
            Err(why) => found.push((broker.id, broker.clone(), why)),
        }
    }
    let ask = {
        let question = question.clone();
        move |broker: Named| ask(&question, &broker)
    };
    // A little longer than the question itself, which knows why there is no answer.
    let answers =
        all_at_once(&open, question.within + CLUSTER_ID_TIMEOUT + CLUSTER_ID_TIMEOUT, ask);
    for (broker, answer) in open.iter().zip(answers) {
        if let Err(why) = answer.unwrap_or_else(|| Err(silent(question.within))) {
            found.push((broker.id, broker.clone(), why));
        }
    }
    found.sort_by_key(|(id, ..)| *id);
    let told = |(id, at, why): &(i32, Named, String)| match *id {
        BOOTSTRAP_ID => format!("{at} ({why})"),
        id => format!("broker {id} at {at} ({why})"),
    };
    found.iter().map(told).collect()
}

type Answer = Result<(), String>;

/// Calls `look` for each of `brokers` at the same time; `None` for those without a result in time.
fn all_at_once(
    brokers: &[Named],
    within: Duration,
    look: impl Fn(Named) -> Answer + Clone + Send + 'static,
) -> Vec<Option<Answer>> {
    let end = Instant::now() + within;
    let start = |broker: &Named| {
        let (send, receive) = mpsc::channel();
        let look = look.clone();
        let broker = broker.clone();
        let look = move || {
            // If it comes too late, the receiver is gone.
            let _ = send.send(look(broker));
        };
        // A thread each, since the resolver has no time limit. Without a thread the sender is dropped,
        // and the broker counts as one that does not answer.
        let _ = thread::Builder::new().name("kafka-address".into()).spawn(look);
        receive
    };
    let threads: Vec<mpsc::Receiver<Answer>> = brokers.iter().map(start).collect();
    let left = || end.saturating_duration_since(Instant::now());
    threads.iter().map(|answer| answer.recv_timeout(left()).ok()).collect()
}

fn connect(broker: &Named) -> io::Result<()> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (broker.host.as_str(), broker.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Asks one broker, by a client that knows its address only.
fn ask(question: &Question, broker: &Named) -> Answer {
    let Question { kafka, topic, cluster_id, within } = question;
    let cluster = Arc::new(Cluster::new(&kafka.bootstrap_servers));
    let mut native = properties::client(kafka);
    native.set("bootstrap.servers", broker.to_string());
    let client = asking(kafka, native, &cluster).map_err(|error| properties::describe(&error))?;
    let answer = client.client().fetch_metadata(Some(topic), *within);
    drain(&client); // The reason for a failure comes as an event.
    // Only an answer of this broker names others; the next answer may be another broker's.
    if answer.is_err() && cluster.named().is_none() {
        // A time-out of the library only means that there was no answer.
        let complaint = cluster.last_complaint().filter(|reason| !reason.contains("imed out"));
        return Err(complaint.map_or_else(|| silent(*within), |reason| cause::with(kafka, reason)));
    }
    match (cluster_id, client.client().fetch_cluster_id(CLUSTER_ID_TIMEOUT)) {
        (Some(ours), Some(other)) if *ours != other => {
            Err(format!("a broker of another cluster answers: {other}, and this is {ours}"))
        }
        _ => Ok(()),
    }
}

fn silent(within: Duration) -> String {
    let seconds = within.as_secs();
    format!(
        "it accepts connections and does not answer within {seconds} s: is this a port of Kafka's, and does \
         what is in between let answers through?"
    )
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::kafka::MockCluster;

    fn question(cluster_id: Option<&str>) -> Question {
        let kafka = config::Kafka {
            bootstrap_servers: "b:9092".into(),
            properties: Default::default(),
            queue_size: 1,
            delivery: Default::default(),
        };
        let topic = "t".into();
        let cluster_id = cluster_id.map(str::to_owned);
        Question { kafka, topic, cluster_id, within: Duration::from_secs(5) }
    }

    fn named(id: i32, address: &str) -> Named {
        let (host, port) = address.rsplit_once(':').unwrap();
        Named { id, host: host.into(), port: port.parse().unwrap() }
    }

    #[test]
    fn an_address_that_refuses_or_has_no_name_is_named_with_the_reason() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let brokers = [named(7, &gone.to_string()), named(3, "no-such-host.invalid:9092")];
        let found = unreachable(&question(None), &brokers);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("broker 3 at no-such-host.invalid:9092 ("), "{found:?}");
        let refused = format!("broker 7 at {gone} (Connection refused");
        assert!(found[1].starts_with(&refused), "{found:?}");
    }

    #[test]
    fn of_three_brokers_the_one_that_accepts_and_does_not_answer_is_named() {
        let cluster = MockCluster::start(2).unwrap();
        let mut brokers: Vec<_> =
            (1..).zip(cluster.bootstrap().split(',')).map(|(id, at)| named(id, at)).collect();
        assert_eq!(unreachable(&question(None), &brokers), Vec::<String>::new());
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap().to_string();
        brokers.insert(1, named(9, &address));
        let found = unreachable(&question(None), &brokers);
        assert_eq!(found.len(), 1, "{found:?}");
        let said =
            format!("broker 9 at {address} (it accepts connections and does not answer within 5 s");
        assert!(found[0].starts_with(&said), "{found:?}");
    }

    #[test]
    fn a_broker_of_another_cluster_is_no_broker_of_this_one() {
        let cluster = MockCluster::start(1).unwrap();
        let brokers = [named(1, cluster.bootstrap())];
        let found = unreachable(&question(Some("this-one")), &brokers);
        assert!(found[0].contains("a broker of another cluster answers"), "{found:?}");
    }

    #[test]
    fn what_comes_behind_brokers_in_trouble_is_not_looked_at() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let brokers: Vec<_> = (1..=20).map(|id| named(id, &gone)).collect();
        let found = unreachable(&question(None), &brokers);
        assert_eq!(found.len(), CONCURRENT_BROKERS + 1);
        assert_eq!(found[CONCURRENT_BROKERS], "and 4 others were not looked at");
    }

    #[test]
    fn brokers_that_a_client_was_told_of_are_those_that_have_an_id() {
        let json = br#"{"age":1500000,"brokers":{
            "b:9092/bootstrap":{"nodeid":-1,"nodename":"b:9092","source":"configured"},
            "GroupCoordinator":{"nodeid":2,"nodename":"","source":"logical"},
            "[::1]:9093/2":{"nodeid":2,"nodename":"[::1]:9093","source":"learned"},
            "c:9092/1":{"nodeid":1,"nodename":"c:9092","source":"learned"}}}"#;
        let brokers = vec![named(1, "c:9092"), Named { id: 2, host: "::1".into(), port: 9093 }];
        assert_eq!(
            named_brokers(json),
            Some(NamedBrokers { brokers, after: Duration::from_millis(1500) })
        );
        assert_eq!(named_brokers(br#"{"age":1,"brokers":{}}"#), None);
        assert_eq!(named_brokers(b"{"), None);
    }

    #[test]
    fn an_address_of_ip_version_6_is_written_as_clients_take_it() {
        let broker = Named { id: 1, host: "::1".into(), port: 9092 };
        assert_eq!(broker.to_string(), "[::1]:9092");
    }
}
