//! What it costs that operators look: intake, answer times and memory with the console open in a browser, against the
//! same service whose console is off and that nobody asks.
//!
//! An open page is a stream of events and a request a second for what it shows. Kafka is away, so that only the
//! request path is compared.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    Plan,
    intake::MIB,
    load::{Load, Report},
    machine,
    service::{Service, nowhere},
    support::http::Client,
    table::{Row, Target},
};

/// About 2 KB, at which what is done for each request weighs most.
const EVENTS: u32 = 4;
/// Deliveries a second, of which the answer times are compared.
const RATE: f64 = 2_000.0;
/// Pages that are open at once.
const PAGES: usize = 3;
/// What a page shows.
const SHOWN: [&str; 3] = ["/", "/deliveries", "/api/v1/status"];

pub fn measure(plan: &Plan, _kafka: &str) -> Vec<Row> {
    let off = "the console off";
    let mut rate = Row::new("intake, 2 KB, console open", "req/s", off, Target::AtLeast(0.97));
    let mut p99 = Row::new("answer p99, 2 KB, console open", "ms", off, Target::AtMost(1.1));
    let mut memory = Row::new("resident memory, console open", "MiB", off, Target::None);
    for round in 0..plan.rounds {
        println!("console, round {}", round + 1);
        // In turns, so that neither always comes first.
        let (open, closed) = match round % 2 {
            0 => {
                let open = with_pages(plan, PAGES);
                (open, with_pages(plan, 0))
            }
            _ => {
                let closed = with_pages(plan, 0);
                (with_pages(plan, PAGES), closed)
            }
        };
        rate.add(open.flood.rate, closed.flood.rate);
        p99.add(open.paced.p99, closed.paced.p99);
        memory.add(open.memory, closed.memory);
    }
    rate.note = format!("{PAGES} pages, each with its stream and a request a second");
    p99.note = format!("{RATE} deliveries a second");
    vec![rate, p99, memory]
}

struct Measured {
    flood: Report,
    paced: Report,
    memory: f64,
}

fn with_pages(plan: &Plan, pages: usize) -> Measured {
    let folder = tempfile::tempdir_in(&plan.folder).unwrap();
    let console = if pages == 0 { "off" } else { "read" };
    let settings = [("ADMIN__CONSOLE", console)];
    let service = Service::start(folder.path(), &nowhere(), &settings).unwrap();
    let viewers: Vec<_> = (0..pages).map(|_| Viewer::open(service.admin_address)).collect();
    let load = |rate, time| Load { to: &service.url, rate, events: EVENTS, time }.run();
    load(Some(RATE), plan.time / 4); // connections are opened
    let paced = load(Some(RATE), plan.time * 2);
    let flood = load(None, plan.time);
    let memory = machine::peak_memory(service.process.id()) as f64 / MIB;
    assert!(viewers.iter().all(Viewer::has_seen_something), "the pages show nothing");
    Measured { flood, paced, memory }
}

/// One open page.
struct Viewer {
    stream: TcpStream,
    seen: Arc<AtomicBool>,
    closed: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Viewer {
    fn open(admin: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(admin).unwrap();
        write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: {admin}\r\n\r\n").unwrap();
        let (seen, closed) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let reader = thread::spawn({
            let (mut stream, seen) = (stream.try_clone().unwrap(), seen.clone());
            move || {
                let mut bytes = [0; 16 * 1024];
                while matches!(stream.read(&mut bytes), Ok(1..)) {
                    let is_event = bytes.windows(6).any(|found| found == b"event:");
                    seen.fetch_or(is_event, Ordering::Relaxed);
                }
            }
        });
        let asking = thread::spawn({
            let closed = closed.clone();
            move || {
                while !closed.load(Ordering::Relaxed) {
                    for path in SHOWN {
                        let answer = Client::new(admin).get(path).unwrap();
                        assert_eq!(answer.status, 200, "{path}");
                    }
                    thread::sleep(Duration::from_secs(1));
                }
            }
        });
        Self { stream, seen, closed, threads: vec![reader, asking] }
    }

    fn has_seen_something(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        let _ = self.stream.shutdown(Shutdown::Both);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
