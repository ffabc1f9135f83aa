//! A line to a broker that carries so many bytes a second, each way, over all connections together.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// Passes on what comes to `port`; its threads end with the process.
pub fn start(port: u16, target: u16, bytes_a_second: u32) {
    let directions = [Direction::new(bytes_a_second), Direction::new(bytes_a_second)];
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(broker) = TcpStream::connect(("127.0.0.1", target)) else { continue };
            let clone = |stream: &TcpStream| stream.try_clone().expect("a socket can be cloned");
            for ((from, to), direction) in
                [(clone(&client), clone(&broker)), (broker, client)].into_iter().zip(&directions)
            {
                let direction = direction.clone();
                thread::spawn(move || direction.pump(from, to));
            }
        }
    });
}

/// When the line is free again.
#[derive(Clone)]
struct Direction {
    bytes_a_second: u32,
    free: Arc<Mutex<Instant>>,
}

impl Direction {
    fn new(bytes_a_second: u32) -> Self {
        Self { bytes_a_second, free: Arc::new(Mutex::new(Instant::now())) }
    }

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

    /// How long until these bytes are through, behind those of everybody else.
    fn turn(&self, length: usize) -> Duration {
        let takes = Duration::from_secs(length as u64) / self.bytes_a_second;
        let mut free = self.free.lock().expect("nobody panics with it");
        *free = (*free).max(Instant::now()) + takes;
        free.saturating_duration_since(Instant::now())
    }
}
