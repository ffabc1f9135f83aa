//! A network between the service and a broker that a test can cut, slow down and reset.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::net::sockopt::{set_socket_linger, socket_linger};

/// How often a line that is cut looks whether it is whole again.
const LOOK: Duration = Duration::from_millis(5);

/// Listens on `port` and passes everything on to `target`. Its threads end with the process.
pub struct Proxy {
    line: Arc<Line>,
}

#[derive(Default)]
struct Line {
    /// Nothing gets through, and nobody is told.
    cut: AtomicBool,
    /// What each piece of data waits before it goes on, in milliseconds.
    delay: AtomicU64,
    /// Bytes a second that each connection may carry to the broker; 0 is no limit.
    rate: AtomicU64,
    connections: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub fn start(port: u16, target: u16) -> Self {
        let line = Arc::new(Line::default());
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        thread::spawn({
            let line = Arc::clone(&line);
            move || {
                for client in listener.incoming().map_while(Result::ok) {
                    // A broker that is away refuses; so does the line, by closing.
                    let Ok(broker) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                    line.connect(client, broker);
                }
            }
        });
        Self { line }
    }

    /// Packets are lost in both directions until [`Proxy::mend`].
    pub fn cut(&self) {
        self.line.cut.store(true, Ordering::Relaxed);
    }

    pub fn mend(&self) {
        self.line.cut.store(false, Ordering::Relaxed);
    }

    /// Everything takes this much longer from now on.
    pub fn delay(&self, time: Duration) {
        let milliseconds = u64::try_from(time.as_millis()).expect("a short time");
        self.line.delay.store(milliseconds, Ordering::Relaxed);
    }

    /// Each connection carries this many bytes a second to the broker from now on.
    pub fn limit(&self, bytes_a_second: u64) {
        self.line.rate.store(bytes_a_second, Ordering::Relaxed);
    }

    /// Every connection ends with a RST, wherever it is; returns how many there were.
    pub fn reset(&self) -> usize {
        let connections = std::mem::take(&mut *self.line.connections());
        for connection in &connections {
            // Closing without lingering is a RST; it closes when the pumps have let go as well.
            let _ = set_socket_linger(connection, Some(Duration::ZERO));
            let _ = connection.shutdown(Shutdown::Read);
        }
        connections.len() / 2
    }
}

impl Line {
    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.connections.lock().expect("nobody panics with it")
    }

    fn connect(self: &Arc<Self>, client: TcpStream, broker: TcpStream) {
        let clone = |stream: &TcpStream| stream.try_clone().expect("a socket can be cloned");
        let _ = client.set_nodelay(true);
        let _ = broker.set_nodelay(true);
        self.connections().extend([clone(&client), clone(&broker)]);
        let directions = [(clone(&client), clone(&broker), true), (broker, client, false)];
        for (from, to, is_limited) in directions {
            let line = Arc::clone(self);
            thread::spawn(move || line.pump(from, to, is_limited));
        }
    }

    /// Passes on until one side ends.
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, is_limited: bool) {
        let mut bytes = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            while self.cut.load(Ordering::Relaxed) {
                thread::sleep(LOOK);
            }
            let delay = self.delay.load(Ordering::Relaxed);
            thread::sleep(Duration::from_millis(delay));
            let rate = self.rate.load(Ordering::Relaxed);
            if is_limited && rate > 0 {
                thread::sleep(Duration::from_secs_f64(length as f64 / rate as f64));
            }
            if to.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        // One that is reset says nothing more than that.
        if !matches!(socket_linger(&to), Ok(Some(_))) {
            let _ = to.shutdown(Shutdown::Both);
        }
    }
}
