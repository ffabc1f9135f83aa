//! A line to a broker that carries so many bytes a second, each way, over all connections together.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

pub struct SlowLine {
    directions: [Arc<Direction>; 2],
}

struct Direction {
    bytes_a_second: AtomicU32,
    /// When everything that came so far is through.
    free: Mutex<Instant>,
}

impl SlowLine {
    /// Passes on what comes to `port`, for now without a limit. Its threads end with the process.
    pub fn start(port: u16, target: u16) -> Self {
        let direction = || {
            Arc::new(Direction {
                bytes_a_second: AtomicU32::new(u32::MAX),
                free: Mutex::new(Instant::now()),
            })
        };
        let directions = [direction(), direction()];
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        let [there, back] = directions.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(broker) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let clone =
                    |stream: &TcpStream| stream.try_clone().expect("a socket can be cloned");
                let (to_broker, to_client) = (clone(&broker), clone(&client));
                let (there, back) = (Arc::clone(&there), Arc::clone(&back));
                thread::spawn(move || there.pump(client, to_broker));
                thread::spawn(move || back.pump(broker, to_client));
            }
        });
        Self { directions }
    }

    pub fn slow_down(&self, bytes_a_second: u32) {
        for direction in &self.directions {
            direction.bytes_a_second.store(bytes_a_second, Ordering::Relaxed);
        }
    }
}

impl Direction {
    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = [0; 1024];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            thread::sleep(self.turn(length));
            if to.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }

    /// How long until these bytes are through, behind those that came before.
    fn turn(&self, length: usize) -> Duration {
        let rate = self.bytes_a_second.load(Ordering::Relaxed);
        let takes = Duration::from_secs(length as u64) / rate;
        let mut free = self.free.lock().expect("nobody panics with it");
        *free = (*free).max(Instant::now()) + takes;
        free.saturating_duration_since(Instant::now())
    }
}
